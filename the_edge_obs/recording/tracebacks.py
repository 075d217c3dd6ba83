"""Errors as text: messages and tracebacks, in bounded size and time, even if reading them raises.

The layout is that of Python's ``traceback`` module, which limits neither the errors of a chain nor their texts. Attributes are
read where ``BaseException`` stores them: a subclass may override them with something that raises.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from textwrap import indent
from types import TracebackType
from typing import Any, Final, TypeVar

from ..context import FlowState
from ..event import dumps
from ..redaction.conversions import exception_text, name_of
from ..redaction.marks import Mark
from ..redaction.snapshots import snapshot
from ..redaction.texts import MAX_STRING, scrub

T = TypeVar("T")

MAX_FRAMES: Final = 32  # of each error, the last ones: as many as fit into a text
MAX_ERRORS: Final = 16  # of one chain, and members of one group
MAX_NOTES: Final = 16  # of one error
MAX_LINES: Final = 2_000  # frames of one error whose source lines are read
MAX_DEPTH: Final = 10_000  # frames that are walked to the origin of an error
MAX_LOOKED: Final = 1_000  # errors of one group, and of the groups in it, that are visited

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_READ: Final = ("__traceback__", "__cause__", "__context__", "__suppress_context__", "args")
_get: Final[dict[str, Any]] = {name: vars(BaseException)[name].__get__ for name in _READ}
_GROUP: Final[Any] = getattr(builtins, "BaseExceptionGroup", ())  # from Python 3.11 on
_NONE: Final = ()
_mro_of: Final[Any] = vars(type)["__mro__"].__get__
_PLAIN: Final = (BaseException.__str__, KeyError.__str__)  # these write the whole arguments, however large


class Parts:
    """Reads a possibly hostile object part by part: a part that cannot be read leaves a mark, and the others stay.

    Attributes:
        interrupt: A Ctrl-C or an exit that came while reading, or None; the reader raises it when it is done.
    """

    interrupt: BaseException | None = None

    def read(self, make: Callable[..., Any], *arguments: Any, instead: Any = None) -> Any:
        """Return the result of a call; if it raises, ``instead``, or a text that says so."""
        try:
            return make(*arguments)
        except BaseException as failure:  # noqa: BLE001 - a part that raises must not take the others away
            self.note(failure)
            return f"<{type_name(failure)} while it was read>" if instead is None else instead

    def note(self, failure: BaseException) -> None:
        """Remember the first Ctrl-C or exit."""
        if isinstance(failure, (KeyboardInterrupt, SystemExit)):
            self.interrupt = self.interrupt or failure


def type_name(error: object) -> str:
    """Return the name of an error's class."""
    return name_of(type(error))


def mro_of(error: object) -> tuple[type, ...]:
    """Return the class of an error and its bases, without ``object``."""
    return tuple(kind for kind in _mro_of(type(error)) if kind is not object)


def class_names(error: object) -> list[str]:
    """Return the names of an error's class and its bases."""
    return [name_of(kind) for kind in _mro_of(type(error))]


def described(error: BaseException, parts: Parts | None = None) -> dict[str, Any]:
    """Return the description of an error for an event, without its traceback; not scrubbed, and with uncut texts.

    Args:
        error: The exception.
        parts: Collects an interrupt that comes while reading, or None: then it is raised.

    Returns:
        ``type`` and ``message``, and, if the error has them, ``where`` it arose (``file:line in function``), its direct
        ``cause`` and the ``errors`` of its group, flat (each ``{type, message}``), and ``notes``.
    """
    reading = parts or Parts()
    details = _named(error, reading)
    for key, make in _FURTHER:
        if value := reading.read(make, error, reading, instead=_NONE):
            details[key] = value
    if parts is None and reading.interrupt is not None:
        raise reading.interrupt
    return details


def _named(error: BaseException, parts: Parts) -> dict[str, Any]:
    return {"type": parts.read(type_name, error), "message": parts.read(error_text, error)}


def _where_of(error: BaseException, _: Parts) -> str | None:
    """Return where an error was raised, ``file:line in function``; None if it was not raised, or the stack is too deep."""
    trace: TracebackType | None = _get["__traceback__"](error)
    last = trace
    for _link in range(MAX_DEPTH):
        if trace is None:
            break
        last, trace = trace, trace.tb_next
    if last is None or trace is not None:
        return None
    code = last.tb_frame.f_code
    return f"{code.co_filename}:{last.tb_lineno} in {code.co_name}"


def _cause_of(error: BaseException, parts: Parts) -> dict[str, Any] | None:
    cause, context = _get["__cause__"](error), _get["__context__"](error)
    if cause is None and not _get["__suppress_context__"](error):
        cause = context
    return None if cause is None or cause is error else _named(cause, parts)


def _leaves_of(error: BaseException, parts: Parts) -> list[dict[str, Any]]:
    """Return the errors of a group and of its subgroups, at most 16; a last item counts those that are left out."""
    if not (members := members_of(error)):
        return []
    leaves: list[BaseException] = []
    waiting, visited = [*reversed(members)], 0
    while waiting and (visited := visited + 1) <= MAX_LOOKED:
        member = waiting.pop()
        if inner := members_of(member):
            waiting += reversed(inner)
        else:
            leaves.append(member)
    details = [_named(leaf, parts) for leaf in leaves[:MAX_ERRORS]]
    if rest := len(leaves) - len(details) + len(waiting):
        details.append({"type": "…", "message": Mark(f"[+{rest} errors]")})
    return details


def _all_notes(error: BaseException, _: Parts) -> list[str]:
    notes = notes_of(error)
    return [*notes[:MAX_NOTES], Mark(f"[+{len(notes) - MAX_NOTES} notes]")] if len(notes) > MAX_NOTES else notes


_FURTHER: Final = (("where", _where_of), ("cause", _cause_of), ("errors", _leaves_of), ("notes", _all_notes))


def error_text(error: object) -> str:
    """Return the text of an error, or a note that it cannot be read; huge arguments are cut to a snapshot.

    Raises:
        KeyboardInterrupt, SystemExit: the program is stopped while the text is read.
    """
    try:
        if isinstance(error, BaseException) and type(error).__str__ in _PLAIN:
            arguments = _get["args"](error)
            if any(type(argument) in (list, tuple, dict, set, frozenset) for argument in arguments):
                copy = dumps(scrub(snapshot(arguments[0] if len(arguments) == 1 else arguments)))
                if "…[+" in copy or " items]" in copy or "[depth]" in copy:
                    return copy
        return exception_text(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:  # noqa: BLE001 - a __str__ may raise anything, and must not break observed code
        return f"<{type_name(error)}: {type_name(failure)} in its __str__>"


def traceback_text(error: BaseException, flow: FlowState | None = None) -> str:
    """Return an error's traceback, with those of its causes before it and of its group below it; not scrubbed as a whole.

    Args:
        error: The exception.
        flow: The flow whose taints are removed before a long text is cut, or None.

    Returns:
        About 8,192 characters at most if leaving out the oldest frames is enough. Marks such as ``[+N frames]`` show the cuts.
    """
    text = ""
    for frames in (MAX_FRAMES, MAX_FRAMES // 4, 2):
        text = _text(error, flow, frames)
        if len(text) <= MAX_STRING:
            break
    return text


def _text(error: BaseException, flow: FlowState | None, frames: int, depth: int = 0) -> str:
    links, is_whole = chain(error)
    parts = [] if is_whole else ["[+ earlier errors]\n"]
    for cause, link in reversed(links):
        parts += [*_frames(cause, frames), _last_line(cause, flow), *_notes(cause, flow)]
        parts += [*_members(cause, flow, frames, depth), link]
    return "".join(parts)


def chain(error: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """Return an error and its causes, latest first, each with the text that leads to the next; and whether that is all."""
    links, link = [(error, "")], ""
    seen = {id(error)}
    while True:
        cause, context = _get["__cause__"](error), _get["__context__"](error)
        if cause is not None:
            error, link = cause, _CAUSE
        elif context is not None and not _get["__suppress_context__"](error):
            error, link = context, _CONTEXT
        else:
            return links, True
        if id(error) in seen:
            return links, True
        if len(links) >= MAX_ERRORS:
            return links, False
        seen.add(id(error))
        links.append((error, link))


def _frames(error: BaseException, most: int) -> list[str]:
    trace: TracebackType | None = _get["__traceback__"](error)
    if trace is None:
        return []
    rest = sum(1 for _ in _links(trace)) - most
    # Skipped here: if Python is asked for the last frames, it computes the columns of all of them.
    begin = next(islice(_links(trace), rest, None)) if rest > 0 else trace
    lines = ["Traceback (most recent call last):\n", *_lines(begin)]
    return [f"[+{rest} frames]\n", *lines] if rest > 0 else lines


def _lines(trace: TracebackType | None) -> list[str]:
    """Return the lines of frames, with their source if it can be read: a module's loader may raise anything."""
    try:
        return traceback.format_list(traceback.extract_tb(trace))
    except Exception:  # noqa: BLE001 - then without the source
        codes = ((link.tb_frame.f_code, link.tb_lineno) for link in _links(trace))
        return [f'  File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in codes]


def _links(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _last_line(error: BaseException, flow: FlowState | None) -> str:
    kind = type(error)
    module = vars(type)["__module__"].__get__(kind)
    name = str.__str__(vars(type)["__qualname__"].__get__(kind))[:MAX_STRING]
    where = "" if module in ("builtins", "__main__") or type(module) is not str else f"{module}."
    text = snapshot(error_text(error), flow)
    return f"{where}{name}: {text}\n" if text else f"{where}{name}\n"


def _notes(error: BaseException, flow: FlowState | None) -> list[str]:
    notes = notes_of(error)
    lines = [f"{snapshot(note, flow)}\n" for note in islice(notes, MAX_NOTES)]
    return [*lines, f"[+{len(notes) - MAX_NOTES} notes]\n"] if len(notes) > MAX_NOTES else lines


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an error that are texts (PEP 678)."""
    try:
        notes = error.__dict__.get("__notes__")
    except Exception:  # noqa: BLE001 - a class may override __dict__ with something that raises
        return []
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the members of an exception group; an empty tuple for any other error (PEP 654)."""
    if not issubclass(type(error), _GROUP):
        return ()
    members: tuple[BaseException, ...] = vars(_GROUP)["exceptions"].__get__(error)
    return members


def _members(error: BaseException, flow: FlowState | None, frames: int, depth: int) -> Iterator[str]:
    members = members_of(error)
    if not members or depth >= 3:
        return
    shown = members[: MAX_ERRORS >> depth]
    for number, member in enumerate(shown, 1):
        yield f"  +---------------- {number} ----------------\n"
        yield indent(_text(member, flow, frames >> 1 or 1, depth + 1), "  | ", lambda line: True)
    if len(members) > len(shown):
        yield f"  [+{len(members) - len(shown)} errors]\n"


def pieces(error: BaseException) -> Iterator[str | None]:
    """Yield every text that a full traceback shows: messages, notes and source lines; None for a part that is too long."""
    waiting, visited = [error], 0
    while waiting:
        links, is_whole = chain(waiting.pop())
        if not is_whole or (visited := visited + len(links)) > 2 * MAX_ERRORS:
            yield None
            return
        for cause, _ in links:
            yield error_text(cause)
            notes = notes_of(cause)
            yield from notes[:MAX_NOTES]
            if len(notes) > MAX_NOTES:
                yield None
            yield from _source_lines(cause)
            waiting += members_of(cause)[: 2 * MAX_ERRORS + 1]


def _source_lines(error: BaseException) -> Iterator[str | None]:
    frames = traceback.walk_tb(_get["__traceback__"](error))
    positions = {(frame.f_code.co_filename, line) for frame, line in islice(frames, MAX_LINES)}
    for path, line in positions:
        yield _source_line(path, line or 0)
    if next(frames, None) is not None:
        yield None


def _source_line(path: str, line: int) -> str | None:
    try:
        return linecache.getline(path, line)
    except Exception:  # noqa: BLE001 - a name that the file system refuses, a loader that raises: no tool shows a line then
        return None


class InsideAnError(Exception):
    """A stand-in for an error of observed code while it is logged."""


def apart(call: Callable[[T], object], argument: T) -> None:
    """Call a function so that its errors are not chained to the error that is being handled.

    ``logging.Handler.handleError`` prints the whole chain, and the texts of the errors of observed code are not scrubbed.
    """
    if sys.exc_info()[1] is None:
        call(argument)
        return
    try:
        raise InsideAnError("an error is being logged; it is left out here, because it may contain secrets")
    except InsideAnError as stand_in:
        stand_in.__context__ = None
        call(argument)
