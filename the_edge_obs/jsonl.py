"""Event files: JSON Lines, plain or gzipped, complete or cut off.

Reading takes time in proportion to the length of the file, and memory in proportion to ``MAX_LINE_BYTES``, whatever the file
holds. Longer lines are skipped, and reported with their number. The same limits apply to the content of a gzip file.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn, cast

from .errors import LogFileError
from .event import LEVELS, MAX_INT, MAX_LINE_BYTES, Event, dumps, is_error_data, problems, without_totals
from .files import open_regular, reason_of

__all__ = ["Skipped", "read_events"]

SUFFIXES = (".jsonl", ".jsonl.gz")
MAX_DEPTH: Final = 200
"""The deepest nesting of containers in a line that readers accept; lines of this package have at most 16 levels."""
MAX_EXPORT_BYTES: Final = 64 * MAX_LINE_BYTES
"""The largest ``.json`` export that can be read, in bytes, because it is read at once; a ``.jsonl`` export has no limit."""
_MAX_PROBLEMS, _MAX_PROBLEM = 16, 500  # problems of one line; characters of one problem
_AROUND_EVENTS: Final = 3  # containers around an event in a .json export: the array of flows, the flow, its events
TOO_LONG: Final = f"longer than {MAX_LINE_BYTES:,} bytes"


class Skipped:
    """What a reader skipped or could not read.

    Attributes:
        lines: Number of lines that are not events.
        torn: Whether the last line is cut off, as in the log of a process that was killed.
        first: The problem of the first skipped line, with its line number, or None.
        unread: Whether lines that could not match the filters were not parsed.
        dropped: Number of lost events by flow: dropped by a ring, or lost before a ``.json`` export, which says so.
        failures: The problem of each file or folder that could not be read.
    """

    __slots__ = ("dropped", "failures", "first", "lines", "torn", "unread")

    def __init__(self) -> None:
        self.lines = 0
        self.dropped: dict[str, int] = {}
        self.failures: list[str] = []
        self.torn = self.unread = False
        self.first: str | None = None

    def note(self, number: int, problem: str, *, torn: bool = False, of: str = "line") -> None:
        """Count a line that is not an event; ``of`` names the unit of the number."""
        self.lines += 1
        self.torn = self.torn or torn
        self.first = self.first or f"{of} {number:,}: {problem}"

    def note_failure(self, problem: str) -> None:
        """Note a file or folder that could not be read; the same problem counts once."""
        if problem not in self.failures:
            self.failures.append(problem)

    def add(self, other: Skipped) -> None:
        """Add what another reader skipped."""
        self.lines += other.lines
        self.torn, self.unread = self.torn or other.torn, self.unread or other.unread
        self.first = self.first or other.first
        for problem in other.failures:
            self.note_failure(problem)
        for flow_id, count in other.dropped.items():
            self.dropped[flow_id] = max(count, self.dropped.get(flow_id, 0))

    def note_dropped(self, log: Mapping[str, Any]) -> None:
        """Note how many events an exported flow log has lost. The same flow in two exports has lost them once."""
        flow_id, metrics = log.get("flow_id"), log.get("metrics")
        count = metrics.get("dropped_count") if isinstance(metrics, dict) else None
        if isinstance(flow_id, str) and type(count) is int and count > 0:
            self.dropped[flow_id] = max(count, self.dropped.get(flow_id, 0))


class LineFilter(NamedTuple):
    """A test of which lines of a file have to be parsed.

    Attributes:
        needle: Bytes that a line must contain, unless it contains a ``\\u``; a newline if every line may match.
        test: Returns False only for a line that cannot match.
        any_case: Whether letters of the needle, which are lower case, may be capitals in the line.
    """

    needle: bytes
    test: Callable[[bytes], bool]
    any_case: bool = False


class Flaw(str):
    """The problem of a line that cannot be read, or of the rest of a file."""

    __slots__ = ()


_ESCAPE: Final = re.compile(rb"\\u")  # three times as fast as `in`, which searches for the u
_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = re.compile(rb"\xff\xfe[^\0]\0|\xfe\xff\0[^\0]")  # the mark and a first character that JSON may begin with


def read_events(
    path: str | os.PathLike[str], skipped: Skipped | None = None, wanted: LineFilter | None = None
) -> Iterator[Event]:
    """Yield the events of a file, one at a time, in the order of the file. Memory does not grow with a ``.jsonl`` file.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` log, or a ``.json`` or ``.json.gz`` export.
        skipped: Records the lines that are not events. Default None: they are skipped silently.
        wanted: Lines that it rules out are not parsed and not checked. Default None: every line is parsed.

    Raises:
        LogFileError: The file does not exist or cannot be read, or a ``.json`` file is not an export.

    Example:
        >>> for event in read_events("logs/flow-6f1c9ad2.jsonl"):
        ...     print(event["node"], event["event_type"])
    """
    path = Path(path)
    skipped = Skipped() if skipped is None else skipped
    with opened(path) as file:
        yield from _exported(path, file, skipped) if path.name.endswith((".json", ".json.gz")) else _lines(file, skipped, wanted)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a log for reading; a gzipped one is unpacked.

    Raises:
        LogFileError: The file is not a regular file, or cannot be read, now or within the block.
    """
    try:
        with open_regular(path) as raw:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.name.endswith(".gz") else raw
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        reason = "there is not enough memory for it" if isinstance(error, MemoryError) else reason_of(error)
        raise LogFileError(f"{str(path)!r} cannot be read: {reason}") from error


def _lines(file: IO[bytes], skipped: Skipped, wanted: LineFilter | None) -> Iterator[Event]:
    skipped.unread = skipped.unread or wanted is not None
    for number, line in numbered_lines(file, wanted):
        event = line if isinstance(line, Flaw) else parsed(line)
        if isinstance(event, dict):
            yield event
        else:
            skipped.note(number, event, torn=line is CUT_OFF or _is_torn(line))


def _is_torn(line: bytes | Flaw) -> bool:
    return isinstance(line, bytes) and not line.endswith(b"\n")


CUT_OFF: Final = Flaw("the compressed file ends too early: it is still being written, or was cut off")


def numbered_lines(file: IO[bytes], wanted: LineFilter | None = None) -> Iterator[tuple[int, bytes | Flaw]]:
    """Yield the lines of a log with their numbers. A line that cannot be read comes as a ``Flaw``. Blank lines are left out.

    Args:
        file: A buffered file, or an unpacked gzip file.
        wanted: Lines that it rules out are left out. Default None: no line is.

    Raises:
        OSError, zlib.error: Nothing of the file can be read.
    """
    for number, block in _blocks(file):
        if isinstance(block, Flaw):
            yield number, block
        elif wanted is None:
            yield from _all_lines(block, number)
        elif block.endswith(b"\n"):
            yield from _candidates(block, number, wanted)
        else:
            yield number, block  # the last line may be cut off: it is always parsed


def _blocks(file: IO[bytes]) -> Iterator[tuple[int, bytes | Flaw]]:
    """Yield blocks of complete lines, each with the number of its first line. A last line without a newline comes by itself.

    Only a line that continues in the next piece of the file can be too long: a piece has at most ``MAX_LINE_BYTES``.
    """
    number, length, rest = 1, 0, list[bytes]()
    for piece in _pieces(file):
        if isinstance(piece, Flaw):
            yield number, piece
            return
        first, end = piece.find(b"\n") + 1, piece.rfind(b"\n") + 1
        length += first or len(piece)
        if length <= MAX_LINE_BYTES + bool(first):
            rest.append(piece[:first] if first else piece)
        else:
            rest.clear()
        if not first:
            continue
        if length > MAX_LINE_BYTES + 1:
            yield number, Flaw(TOO_LONG)
            block, number = piece[first:end], number + 1
        else:
            rest.append(piece[first:end])
            block = b"".join(rest)
        if block:
            yield number, block
        number += block.count(b"\n")
        rest, length = [piece[end:]], len(piece) - end
    if length:
        yield number, b"".join(rest) if length <= MAX_LINE_BYTES else Flaw(TOO_LONG)


def _pieces(file: IO[bytes]) -> Iterator[bytes | Flaw]:
    """Yield the content of a file, piece by piece. A gzip file that cannot be unpacked to its end gives a ``Flaw`` at last."""
    read, is_first = file.read1, True  # type: ignore[attr-defined] # read1 returns what it can unpack before it raises
    try:
        while piece := read(MAX_LINE_BYTES):
            if is_first and _UTF_16.match(piece):
                raise OSError("it is UTF-16; a log is UTF-8: convert it first")
            yield piece.removeprefix(_BOM) if is_first else piece
            is_first = False
    except EOFError:
        # A gzip file that is still being written, or whose writer was killed.
        yield CUT_OFF
    except (zlib.error, gzip.BadGzipFile) as error:
        if is_first:
            raise
        yield Flaw(f"the compressed file is damaged from here on: {error}")


def _all_lines(block: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    for at, line in enumerate(BytesIO(block), number):
        if not line.isspace():
            yield at, line


def _candidates(block: bytes, number: int, wanted: LineFilter) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a block that may match; ``number`` is that of its first line."""
    needle, seen = wanted.needle, 0
    if needle == b"\n" or _ESCAPE.search(block):  # an escape may stand for any character: test every line
        yield from ((at, line) for at, line in _all_lines(block, number) if wanted.test(line))
        return
    searched = block.lower() if wanted.any_case else block
    at = searched.find(needle)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at) + 1
        number += block.count(b"\n", seen, start)
        seen = start
        if wanted.test(line := block[start:end]):
            yield number, line
        at = searched.find(needle, end)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number; write null")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text} is out of range")
    return number


# Python's own decoder accepts NaN and Infinity, and reads 1e999 as Infinity. Readers of an export of such a log would not.
_decode: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse).decode


def parsed(line: bytes | str) -> Event | str:
    """Return the event of a line, without totals, or the line's problem as a text."""
    event = as_written(line)
    return event if isinstance(event, str) else without_totals(event)


def as_written(line: bytes | str) -> Event | str:
    """Return the event of a line as it is there, with the totals of its file, or the line's problem as a text."""
    try:
        event = decoded(line)
    except ValueError as error:
        return f"not valid JSON ({error})"
    if isinstance(event, dict) and is_readable(event):
        return event
    if not isinstance(event, dict) or not event.keys() >= {"flow_id", "span_id", "event_type", "timestamp"}:
        return "not an event"
    return listed(problems(event)) or "its timestamp or a metric is out of range"


def listed(lines: list[str]) -> str:
    """Return problems as one line of limited length: the keys and values of other writers can be of any length."""
    more = f"; and {len(lines) - _MAX_PROBLEMS:,} more" if len(lines) > _MAX_PROBLEMS else ""
    return (
        "; ".join(text if len(text) <= _MAX_PROBLEM else text[: _MAX_PROBLEM - 3] + "..." for text in lines[:_MAX_PROBLEMS])
        + more
    )


def decoded(content: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text, strictly by RFC 8259.

    Args:
        content: The text; bytes are UTF-8.
        max_depth: The deepest nesting of containers that is accepted.

    Raises:
        ValueError: The text is not valid JSON, or nests too deeply.
    """
    if isinstance(content, str):
        return _read(content, max_depth, _decode)
    fast = _fast_decoder()
    # orjson reads an integer beyond 64 bits as a float. Looking for one costs a tenth of the parsing.
    if fast is not None and content.count(b"[") + content.count(b"{") <= max_depth and _LONG not in content.translate(_AS_ZERO):
        try:
            return fast(content)
        except ValueError:  # it refuses more than json, such as lone surrogates, and says less
            pass
    return _read(content.decode("utf-8"), max_depth, _decode)


_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * 19


@lru_cache(maxsize=1)
def _fast_decoder() -> Callable[[bytes], Any] | None:
    """Return the decoder of orjson where it is installed (extra ``fast``), otherwise None."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson.loads


def _read(text: str, max_depth: int, decode: Callable[[str], Any]) -> Any:
    try:
        value = decode(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # A deep value has at least as many brackets. Counting them costs a hundredth of the parsing, and few lines have so many.
    if text.count("[") + text.count("{") > max_depth and _is_deeper(value, max_depth):
        raise ValueError(_TOO_DEEP)
    return value


def strictly_decoded(content: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text, as a writer of logs must write it.

    Beyond ``decoded``, keys are unique, integers are within ``MAX_INT``, and texts hold no lone surrogates: other readers refuse
    such a line, or read something else.

    Args:
        content: The text; bytes are UTF-8.
        max_depth: The deepest nesting of containers that is accepted.

    Raises:
        ValueError: The text does not follow these rules; the message names the value and what is allowed.
    """
    text = content if isinstance(content, str) else content.decode("utf-8")
    value = _read(text, max_depth, _decode_strictly)
    if (escape := lone_surrogate(text)) is not None:
        raise ValueError(f"{escape} is a lone surrogate; write the character itself, or a pair of surrogates")
    return value


def lone_surrogate(text: str) -> str | None:
    """Return the first escape in a JSON text that stands for half a character, such as ``\\ud800``; None without one."""
    if _ESCAPE_OF_SURROGATE.search(text):
        for escape in _ESCAPES.finditer(text):
            if escape[1] is not None and _SURROGATES[0] <= int(escape[1], 16) <= _SURROGATES[1]:
                return escape[0]
    return None


def _bounded(text: str) -> int:
    # Counted first: Python refuses to read thousands of digits.
    if len(text) > _MAX_DIGITS or not -MAX_INT <= int(text) <= MAX_INT:
        shown = text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
        raise ValueError(f"integer {shown} is out of range; write it as a string, beyond -{MAX_INT} and {MAX_INT}")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            shown = key if len(key) <= _MAX_SHOWN else key[: _MAX_SHOWN - 3] + "..."
            raise ValueError(f"key {shown!r} occurs twice in an object; keys are unique")
        value[key] = item
    return value


_MAX_DIGITS, _MAX_SHOWN = len(f"-{MAX_INT}"), 60
_decode_strictly: Final = json.JSONDecoder(
    parse_float=_finite, parse_int=_bounded, parse_constant=_refuse, object_pairs_hook=_unique
).decode
_SURROGATES: Final = (0xD800, 0xDFFF)
_ESCAPE_OF_SURROGATE: Final = re.compile(r"\\u[dD]")
# A pair, and a backslash that is itself escaped, are passed over as a whole.
_ESCAPES: Final = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([0-9a-fA-F]{4})|.)")


_TOO_DEEP: Final = f"it nests deeper than {MAX_DEPTH} containers"


def _is_deeper(value: Any, max_depth: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        insides = (item.values() if isinstance(item, dict) else item for item in level)
        level = [inner for inside in insides for inner in inside if isinstance(inner, (dict, list))]
    return bool(level)


def is_readable(event: dict[str, Any]) -> bool:
    """Tell whether an event has the types that readers rely on: a cheap subset of the rules of ``event.problems``."""
    try:
        return (
            type(event["flow_id"]) is type(event["span_id"]) is type(event["node"]) is type(event.get("step", "")) is str
            and event["level"] in LEVELS
            and (event["parent_id"] is None or type(event["parent_id"]) is str)
            and type(event["timestamp"]) in (float, int)
            and 0 <= event["timestamp"] <= MAX_INT
            and type(event["data"]) is type(event["metrics"]) is dict
            and type(event["event_type"]) is str
            and (event["message"] is None or type(event["message"]) is str)
            and (not event["metrics"] or all(map(_is_metric, event["metrics"].values())))
            and ("error" not in event["data"] or is_error_data(event["data"]["error"]))
        )
    except KeyError:
        return False


def _is_metric(value: Any) -> bool:
    # An integer may have thousands of digits; one beyond the range of a float breaks calculations.
    return type(value) is float or value is None or (type(value) is int and -MAX_INT <= value <= MAX_INT)


def _exported(path: Path, file: IO[bytes], skipped: Skipped) -> Iterator[Event]:
    logs = exported_logs(path, file)
    for log in logs:
        skipped.note_dropped(log)
    for number, event in enumerate((event for log in logs for event in log["events"]), 1):
        if isinstance(event, dict) and is_readable(event):
            yield event
        else:
            skipped.note(number, "not an event")


def exported_logs(path: Path, file: IO[bytes], decode: Callable[[bytes, int], Any] = decoded) -> list[dict[str, Any]]:
    """Return the flow logs of a ``.json`` export, each with its list of ``events``.

    Args:
        path: The file's name, for messages.
        file: The open file.
        decode: Reads the JSON: ``decoded`` or ``strictly_decoded``.

    Raises:
        LogFileError: The file is not an export, or is larger than ``MAX_EXPORT_BYTES``.
    """
    content = file.read(MAX_EXPORT_BYTES + 1)
    if len(content) > MAX_EXPORT_BYTES:
        raise LogFileError(
            f"{str(path)!r} is larger than {MAX_EXPORT_BYTES:,} bytes, and a .json export is read as a whole; "
            "export the log as .jsonl, which has no limit"
        )
    try:
        value = decode(content.removeprefix(_BOM), MAX_DEPTH + _AROUND_EVENTS)
    except ValueError as error:
        raise LogFileError(f"{str(path)!r} is not valid JSON ({error}); a log is a .jsonl file or a .json export") from error
    logs = value if isinstance(value, list) else [value]
    if not logs or not all(isinstance(log, dict) and isinstance(log.get("events"), list) for log in logs):
        raise LogFileError(f"{str(path)!r} is not an exported flow log: it has no list of events")
    return logs


_SET_ASIDE: Final = re.compile(r"(.*)\.closed-[0-9a-f]{8}(\.jsonl)", re.DOTALL)


def set_aside_name(name: str) -> str:
    """Return a new name for a log that must not be appended to any more. Readers still read it."""
    plain = name.removesuffix(".gz")
    return f"{plain.removesuffix('.jsonl')}.closed-{secrets.token_hex(4)}.jsonl{name[len(plain) :]}"


def log_name(name: str) -> str:
    """Return the log that a file belongs to: its name without ``.gz`` and without the mark of ``set_aside_name``."""
    plain = name.removesuffix(".gz")
    if ".closed-" not in plain:
        return plain
    match = _SET_ASIDE.fullmatch(plain)
    return match[1] + match[2] if match else plain


def lines_of(events: Iterable[Event]) -> Iterator[str]:
    """Yield each event as a line of JSON with its newline."""
    for event in events:
        yield dumps(event) + "\n"
