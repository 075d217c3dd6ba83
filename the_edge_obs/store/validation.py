"""Validate a log: check every line against the event schema, in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from ..event import problems
from ..jsonl import Flaw, decoded, exported_logs, listed, numbered_lines, opened


class Finding(NamedTuple):
    """One problem of a log.

    Attributes:
        number: 1-based line of the file; in a ``.json`` export, 1-based position in its ``events``.
        problem: What is wrong and what is allowed, in one line.
    """

    number: int
    problem: str


class Tally:
    """The counts of a check.

    Attributes:
        events: Number of lines that are valid events.
        invalid: Number of lines that are not.
        loose: Number of records outside any run: ``log`` events whose ids are null, as ``JsonFormatter`` writes them.
        flows: The ids of the flows.
    """

    __slots__ = ("events", "flows", "invalid", "loose")

    def __init__(self) -> None:
        self.events = self.invalid = self.loose = 0
        self.flows: set[str] = set()


def check_log(path: str | os.PathLike[str], tally: Tally) -> Iterator[Finding]:
    """Yield the problems of a log, one finding per line. Memory does not grow with a ``.jsonl`` file. Blank lines are ignored.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` log, or a ``.json`` export.
        tally: Is updated while the check runs.

    Raises:
        LogFileError: The file does not exist or cannot be read, or a ``.json`` file is not an export.
    """
    path = Path(path)
    with opened(path) as file:
        yield from _exported(path, file, tally) if path.name.endswith(".json") else _lines(file, tally)


def _lines(file: IO[bytes], tally: Tally) -> Iterator[Finding]:
    for number, line in numbered_lines(file):
        problem = line if isinstance(line, Flaw) else _problem_of_line(line, tally)
        if problem is not None and isinstance(line, bytes) and not line.endswith(b"\n"):
            problem = f"the line is cut off, as when a process is killed: {problem}"
        yield from _finding(number, problem, tally)


def _problem_of_line(line: bytes, tally: Tally) -> str | None:
    try:
        event = decoded(line)
    except ValueError as error:
        return f"not valid JSON (RFC 8259): {error}"
    return _problem(event, tally)


def _problem(event: Any, tally: Tally) -> str | None:
    if _is_loose(event):
        return listed(problems({**event, **_ANY_IDS})) or _LOOSE
    lines = problems(event)
    if not lines:
        tally.flows.add(event["flow_id"])
    return listed(lines) or None


_ANY_IDS: Final = dict.fromkeys(("flow_id", "span_id"), "00000000-0000-0000-0000-000000000000")
_LOOSE: Final = ""


def _is_loose(event: Any) -> bool:
    """Tell whether an event says that it happened outside any run."""
    ids = ("flow_id", "span_id", "parent_id")
    return isinstance(event, dict) and event.get("event_type") == "log" and all(event.get(key, "") is None for key in ids)


def _finding(number: int, problem: str | None, tally: Tally) -> Iterator[Finding]:
    if problem == _LOOSE:
        tally.loose += 1
    elif problem is None:
        tally.events += 1
    else:
        tally.invalid += 1
        yield Finding(number, problem)


def _exported(path: Path, file: IO[bytes], tally: Tally) -> Iterator[Finding]:
    for log in exported_logs(path, file):
        for number, event in enumerate(log["events"], 1):
            yield from _finding(number, _problem(event, tally), tally)
