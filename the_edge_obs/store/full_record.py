"""Full recordings read back: the whole answers of chosen nodes, which stand in a file beside their log.

See ``recording.full`` for who writes them, and ``redaction.typed`` for how values are written.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

from ..errors import LogFileError, NotRecordedError
from ..files import open_regular, reason_of
from ..jsonl import log_name
from ..recording.full import SUFFIX, VERSION
from ..recording.tracebacks import error_text
from ..redaction.conversions import name_of
from ..redaction.typed import loaded, typed, untagged, value_of
from .paths import LogPath

_T = TypeVar("_T")
MAX_LINE: Final = 1 << 28
"""The longest line that is read, in bytes."""
CUT_OFF: Final = "the line is cut off, as when a process is killed"


@dataclass(frozen=True)
class FullError:
    """What a call raised.

    Attributes:
        bases: The names of the exception's class and its bases, such as ``("shop.OutOfStock", "ValueError", ...)``.
        message: Its text.
    """

    bases: tuple[str, ...]
    message: str
    _args: Any = field(repr=False)

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments of the exception.

        Raises:
            NotRecordedError: One of them was not recorded.
        """
        return _checked(value_of(self._args, "error.args"), tuple, "error.args")

    def exception(self, text: str | None = None) -> BaseException:
        """Return a new exception with the same classes and arguments.

        Only classes of modules that are loaded are used, and none of their code runs. A class that is not loaded is replaced by
        a new one with its name and with its bases.

        Args:
            text: What it says. If the arguments alone do not say that, as with the path of a ``FileNotFoundError``, its class is
                a new one below the recorded class. Default None: what the arguments say.

        Raises:
            NotRecordedError: One of the arguments was not recorded, or the class cannot be made from them.
        """
        arguments = self.args
        try:
            made = self._made_from(arguments)
            if text is None or error_text(made) == text:
                return made
            own = {"__module__": type(made).__module__, "__str__": lambda self: text}
            return _made(type(name_of(type(made)), (type(made),), own), arguments)
        except Exception as error:  # classes and arguments that do not belong together
            raise NotRecordedError(f"error is not a valid recording of a {self.bases[:1]}: {error}") from error

    def _made_from(self, arguments: tuple[Any, ...]) -> BaseException:
        unknown = [*takewhile(lambda name: _exception_class(name) is None, self.bases)]
        known = [kind for kind in map(_exception_class, self.bases) if kind is not None] or [Exception]
        bases = tuple(kind for at, kind in enumerate(known) if not any(issubclass(nearer, kind) for nearer in known[:at]))
        for name in reversed(unknown):
            bases = (_new_class(name, bases),)
        return _made(bases[0], arguments)


def _new_class(name: str, bases: tuple[type[BaseException], ...]) -> type[BaseException]:
    module, _, short = name.rpartition(".")
    try:
        return type(short, bases, {"__module__": module or "builtins"})
    except TypeError:  # they cannot be combined
        return type(short, bases[:1], {"__module__": module or "builtins"})


def _exception_class(name: str) -> type[BaseException] | None:
    kind = loaded(name)
    return kind if kind is not None and issubclass(kind, BaseException) else None


def _made(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """Return an exception without running code of its class: only that of its nearest builtin base."""
    builtin: Any = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    error: BaseException
    try:
        error = builtin.__new__(kind, *arguments)
        builtin.__init__(error, *arguments)
    except TypeError:  # the class passes its base other arguments
        error = builtin.__new__(kind)
    error.args = arguments
    return error


@dataclass(frozen=True)
class FullRecord:
    """The full recording of one call.

    Attributes:
        flow_id, span_id, node: The span that it belongs to.
        input_sha256: The digest of the whole input, as ``redaction.typed.digest_of`` gives it; None for a call without input.
        error: What the call raised, or None.
        removed: Keys that the call removed from the state.
        redacted: The paths at which something was redacted: ``input.api_key``, ``output.access_token``.
        lost: Why a value was not recorded, by path: ``{"input.client": "shop.Client: it is not plain data"}``. The digest says
            nothing about values below ``input``.
    """

    flow_id: str
    span_id: str
    node: str
    input_sha256: str | None
    error: FullError | None
    removed: tuple[str, ...]
    redacted: tuple[str, ...]
    lost: Mapping[str, str]
    _line: Mapping[str, Any] = field(repr=False)

    @property
    def has_output(self) -> bool:
        """Whether the call returned something."""
        return "output" in self._line

    @cached_property
    def output(self) -> Any:
        """What the call returned, with its types; None if it returned nothing. The value is shared by all who read it.

        Raises:
            NotRecordedError: A part of it was not recorded, or cannot be made again; the message says which and why.
        """
        return value_of(self._line.get("output"), "output")

    @cached_property
    def state(self) -> dict[str, Any]:
        """The keys of the state that the call changed in place, with their new values.

        Raises:
            NotRecordedError: A part of it was not recorded, or cannot be made again; the message says which and why.
        """
        return _checked(value_of(self._line.get("state", {}), "state"), dict, "state")

    def translated(self, change: Callable[[Any], Any]) -> FullRecord:
        """Return the same recording with its values, as typed JSON, changed by a function."""
        line = {key: change(tree) if key in ("output", "state", "error") else tree for key, tree in self._line.items()}
        return replace(self, error=_error_of(line), _line=line)


def _checked(value: Any, kind: type[_T], path: str) -> _T:
    if type(value) is not kind:
        raise NotRecordedError(f"{path} is not a valid recording: it is a {type(value).__name__}, not a {kind.__name__}")
    return value


FullRecords = Mapping[tuple[str, str], FullRecord]
"""Full recordings by flow_id and span_id."""


def full_files(log: LogPath) -> list[Path]:
    """Return the files with the full recordings of a log: none, one, or a compressed one and one that was begun later."""
    path = Path(log)
    name = f"{log_name(path.name)}{SUFFIX}"
    return [file for file in (path.with_name(f"{name}.gz"), path.with_name(name)) if file.is_file()]


def full_records(log: LogPath) -> FullRecords:
    """Return the full recordings of a log; empty if nothing was recorded in full. A line that is cut off is left out.

    Args:
        log: The path of the log: ``logs/flow-….jsonl``.

    Raises:
        LogFileError: The file cannot be read, or is not a full recording.
    """
    found: dict[tuple[str, str], FullRecord] = {}
    for path in full_files(log):
        for number, line in full_lines(path):
            if isinstance(line, dict):
                found[line["flow_id"], line["span_id"]] = _record(line)
            elif line != CUT_OFF:
                raise LogFileError(f"{str(path)!r}, line {number}: {line}")
    return found


def full_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the lines of a full recording with their numbers, each as a dict, or as what is wrong with it.

    Raises:
        LogFileError: The file cannot be read.
    """
    try:
        with open_regular(path) as raw:
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.name.endswith(".gz") else raw
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                yield number, _parsed(line)
    except (OSError, EOFError, zlib.error) as error:
        raise LogFileError(f"recording {str(path)!r} cannot be read: {reason_of(error)}") from error


def full_problems(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with a full recording, by line: one that is not valid, and what looks like a secret.

    Raises:
        LogFileError: The file cannot be read.
    """
    for number, line in full_lines(path):
        if isinstance(line, str):
            yield number, line
            continue
        parts = {key: untagged(line[key]) for key in ("output", "error", "state", "removed") if key in line}
        for place in typed(parts, "").redacted:
            yield number, f"{place} holds what looks like a secret; delete the recording, and name the key or its shape in redact"


def _parsed(line: bytes) -> dict[str, Any] | str:
    if not line.endswith(b"\n"):
        return CUT_OFF
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    if not isinstance(tree, dict) or tree.get("full") != VERSION:
        return f"not a line of a full recording of version {VERSION}"
    texts = [tree.get(key) for key in ("flow_id", "span_id", "node")]
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(tree.get(key, kind()), kind)
        for key, kind in {"input": dict, "error": dict, "state": dict, "removed": list, "redacted": list, "lost": dict}.items()
    ):
        return "not a line of a full recording: flow_id, span_id and node are texts"
    bases = tree.get("error", {}).get("mro", [])
    texts = [*tree.get("removed", ()), *tree.get("redacted", ()), *tree.get("lost", {}).values()]
    texts += [tree.get("input", {}).get("sha256") or "", *(bases if isinstance(bases, list) else [bases])]
    if not all(isinstance(text, str) for text in texts):
        return "not a line of a full recording: removed, redacted, lost, input.sha256 and error.mro hold texts"
    return tree


def _record(line: dict[str, Any]) -> FullRecord:
    return FullRecord(
        line["flow_id"],
        line["span_id"],
        line["node"],
        line.get("input", {}).get("sha256"),
        _error_of(line),
        tuple(line.get("removed", ())),
        tuple(line.get("redacted", ())),
        line.get("lost", {}),
        line,
    )


def _error_of(line: Mapping[str, Any]) -> FullError | None:
    error = line.get("error")
    return None if error is None else FullError(tuple(error.get("mro", ())), str(error.get("message")), error.get("args"))


__all__ = ["FullError", "FullRecord", "FullRecords", "full_files", "full_problems", "full_records"]
