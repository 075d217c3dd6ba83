"""Event files: JSON Lines, plain or gzipped, whole or torn."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn, cast

from .errors import ExportError, LogFileError
from .event import LEVELS, Event, dumps, is_error_data, problems
from .redaction import MAX_INT

SUFFIXES = (".jsonl", ".jsonl.gz")


class Skipped:
    """What a reader passed over, or could not get.

    Attributes:
        lines: How many lines were no events.
        torn: Whether the last line was cut off, as in the log of a process that was killed.
        first: What was wrong with the first of them, with its line number, or None.
        unread: Whether lines that could not match were not looked at.
        dropped: By flow, how many events a ``.json`` export says were lost before it was made.
    """

    __slots__ = ("dropped", "first", "lines", "torn", "unread")

    def __init__(self) -> None:
        self.lines = 0
        self.dropped: dict[str, int] = {}
        self.torn = self.unread = False
        self.first: str | None = None

    def note(self, number: int, problem: str, *, torn: bool = False) -> None:
        """Count a line that is no event."""
        self.lines += 1
        self.torn = self.torn or torn
        self.first = self.first or f"line {number}: {problem}"

    def note_dropped(self, log: Mapping[str, Any]) -> None:
        """Take in how many events an exported flow log has lost; the same flow in two exports has lost them once."""
        flow_id, metrics = log.get("flow_id"), log.get("metrics")
        count = metrics.get("dropped_count") if isinstance(metrics, dict) else None
        if isinstance(flow_id, str) and type(count) is int and count > 0:
            self.dropped[flow_id] = max(count, self.dropped.get(flow_id, 0))


class LineFilter(NamedTuple):
    """Which lines of a file are worth parsing.

    Attributes:
        needle: What a line must hold, unless it has a ``\\u`` in it; a newline where nothing is sure.
        test: False only for a line that cannot be wanted.
    """

    needle: bytes
    test: Callable[[bytes], bool]


_BLOCK: Final = 1 << 20  # bytes read at a time where lines are passed over
_ESCAPE: Final = re.compile(rb"\\u")  # three times as fast as `in`, which looks for the u


def read_events(
    path: str | os.PathLike[str], skipped: Skipped | None = None, wanted: LineFilter | None = None
) -> Iterator[Event]:
    """Yield the events of a file in its order, one at a time; memory does not grow with the file.

    Args:
        path: A ``.jsonl`` file, a ``.jsonl.gz`` one, or a ``.json`` export.
        skipped: Gets a note of each line that is no event; without it such lines are passed over in silence.
        wanted: Lines that it rules out are not parsed, and so not checked either; None: every line is.

    Raises:
        LogFileError: the file is not there or cannot be read, or a ``.json`` file holds no export.
    """
    path = Path(path)
    skipped = Skipped() if skipped is None else skipped
    try:
        with _opened(path) as file:
            if path.name.endswith(".json"):
                yield from _exported(path, file, skipped)
            else:
                yield from _lines(file, skipped, wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise LogFileError(f"{str(path)!r} cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _lines(file: IO[bytes], skipped: Skipped, wanted: LineFilter | None) -> Iterator[Event]:
    number, line = 0, b""
    skipped.unread = skipped.unread or wanted is not None
    try:
        for number, line in enumerate(file, 1) if wanted is None else _candidates(file, wanted):
            event = parsed(line)
            if isinstance(event, dict):
                yield event
            elif line.strip():
                skipped.note(number, event, torn=not line.endswith(b"\n"))
    except EOFError:
        # A gzip file that is still being written, or whose writer was killed.
        skipped.note(number + 1, "the compressed file ends too early", torn=True)


def _candidates(file: IO[bytes], wanted: LineFilter) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that may match, with their numbers, and a last one without a newline in any case."""
    number, rest = 1, b""
    while block := file.read(_BLOCK):
        block = rest + block
        end = block.rfind(b"\n") + 1
        number = yield from _in_block(block[:end], number, wanted)
        rest = block[end:]
    if rest:
        yield number, rest


def _in_block(block: bytes, number: int, wanted: LineFilter) -> Generator[tuple[int, bytes], None, int]:
    """Yield what may match of whole lines, the first of which has the given number; return the number of the next one."""
    needle, seen = wanted.needle, 0
    if _ESCAPE.search(block):
        needle = b"\n"  # an escape may spell anything: look at every line
    at = block.find(needle)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at) + 1
        number += block.count(b"\n", seen, start)
        seen = start
        if wanted.test(line := block[start:end]):
            yield number, line
        at = block.find(needle, end)
    return number + block.count(b"\n", seen)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text} is out of range")
    return number


# Python's own reader takes NaN and Infinity, and makes the latter of 1e999; whoever reads what is exported of it would not.
_decode: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse).decode


def parsed(line: bytes | str) -> Event | str:
    """Return the event of a line, or what is wrong with it."""
    try:
        event = _decode(line if isinstance(line, str) else line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"no JSON ({error})"
    if not isinstance(event, dict) or not event.keys() >= {"flow_id", "span_id", "event_type", "timestamp"}:
        return "no event"
    return event if is_readable(event) else "; ".join(problems(event)) or "its timestamp or a metric is out of range"


def is_readable(event: dict[str, Any]) -> bool:
    """Tell whether an event has what readers rely on, a cheap part of ``event.problems``."""
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
            and all(map(_is_metric, event["metrics"].values()))
            and is_error_data(event["data"].get("error"))
        )
    except KeyError:
        return False


def _is_metric(value: Any) -> bool:
    # An integer may have thousands of digits; one beyond a float's range cannot be reckoned with.
    return type(value) is float or value is None or (type(value) is int and -MAX_INT <= value <= MAX_INT)


def _exported(path: Path, file: IO[bytes], skipped: Skipped) -> Iterator[Event]:
    try:
        content = _decode(file.read().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise LogFileError(f"{str(path)!r} is no JSON ({error}); a log is a .jsonl file or a .json export") from error
    logs = content if isinstance(content, list) else [content]
    if not logs or not all(isinstance(log, dict) and isinstance(log.get("events"), list) for log in logs):
        raise LogFileError(f"{str(path)!r} is no exported flow log: it has no list of events")
    for log in logs:
        skipped.note_dropped(log)
    for number, event in enumerate((event for log in logs for event in log["events"]), 1):
        if isinstance(event, dict) and is_readable(event):
            yield event
        else:
            skipped.note(number, "no event")


def log_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the event files in a folder, by name. Sub-folders are not entered.

    Raises:
        LogFileError: the folder cannot be read.
    """
    try:
        return sorted(path for path in Path(folder).iterdir() if path.name.endswith(SUFFIXES) and path.is_file())
    except OSError as error:
        raise LogFileError(f"folder {str(folder)!r} cannot be read: {_reason(error)}") from error


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[str]) -> int:
    """Write text to a file that appears whole or not at all, and return its size in bytes.

    Raises:
        ExportError: it cannot be written; nothing is left behind.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    new_folders = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            for chunk in chunks:
                file.write(chunk)
            size = file.tell()
        os.replace(partial, path)
    except BaseException as error:
        for remove in (partial.unlink, *(folder.rmdir for folder in new_folders)):
            with suppress(OSError):
                remove()
        if isinstance(error, OSError):
            raise ExportError(f"path {str(path)!r} cannot be written: {_reason(error)}") from error
        raise
    return size


def lines_of(events: Iterable[Event]) -> Iterator[str]:
    """Yield each event as a line of JSON with its newline."""
    for event in events:
        yield dumps(event) + "\n"
