"""Is a log what it should be: every line against the event schema, in one pass."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

from .errors import LogFileError
from .event import problems


class Finding(NamedTuple):
    """What is wrong in one place of a log.

    Attributes:
        number: 1-based line of the file; in a ``.json`` export, 1-based position in its ``events``.
        problem: What is wrong and what is allowed, in one line.
    """

    number: int
    problem: str


class Tally:
    """What a check has counted.

    Attributes:
        events: How many lines are valid events.
        invalid: How many are not.
        flows: The ids of the flows seen.
    """

    __slots__ = ("events", "flows", "invalid")

    def __init__(self) -> None:
        self.events = self.invalid = 0
        self.flows: set[str] = set()


def check_log(path: str | os.PathLike[str], tally: Tally) -> Iterator[Finding]:
    """Yield what is wrong in a log, one finding a line; memory does not grow with a ``.jsonl`` file.

    Args:
        path: A ``.jsonl`` file, a ``.jsonl.gz`` one, or a ``.json`` export.
        tally: Counts as the check goes on.

    Raises:
        LogFileError: the file is not there or cannot be read, or a ``.json`` file holds no list of events.
    """
    path = Path(path)
    try:
        with cast("IO[bytes]", gzip.open(path) if path.name.endswith(".gz") else path.open("rb")) as file:
            yield from _exported(path, file, tally) if path.name.endswith(".json") else _lines(file, tally)
    except (OSError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
        raise LogFileError(f"{str(path)!r} cannot be read: {reason}") from error


def _lines(file: IO[bytes], tally: Tally) -> Iterator[Finding]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            problem = _problem_of_line(line, tally)
            if problem is not None and not line.endswith(b"\n"):
                problem = f"the line is cut off, as when a process is killed: {problem}"
            yield from _finding(number, problem, tally)
    except EOFError:
        yield from _finding(number + 1, "the compressed file ends too early: it is still being written, or was cut off", tally)


def _problem_of_line(line: bytes, tally: Tally) -> str | None:
    if not line.strip():
        return "the line is empty; a log has one event a line"
    try:
        # Decoded here: json would guess UTF-16 and UTF-32 as well.
        event = json.loads(line.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        return f"no JSON (RFC 8259): {error}"
    return _problem(event, tally)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number; write null")


def _problem(event: Any, tally: Tally) -> str | None:
    found = problems(event)
    if not found:
        tally.flows.add(event["flow_id"])
    return "; ".join(found) or None


def _finding(number: int, problem: str | None, tally: Tally) -> Iterator[Finding]:
    if problem is None:
        tally.events += 1
    else:
        tally.invalid += 1
        yield Finding(number, problem)


def _exported(path: Path, file: IO[bytes], tally: Tally) -> Iterator[Finding]:
    try:
        content = json.loads(file.read().decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise LogFileError(f"{str(path)!r} is no JSON (RFC 8259): {error}") from error
    for flow in content if isinstance(content, list) else [content]:
        events = flow.get("events") if isinstance(flow, dict) else None
        if not isinstance(events, list):
            raise LogFileError(f"{str(path)!r} is no exported flow log: it has no list of events")
        for number, event in enumerate(events, 1):
            yield from _finding(number, _problem(event, tally), tally)
