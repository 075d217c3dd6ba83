"""Validate a log in one pass: the JSON of every line, strictly, and the event schema; on request what only whole logs show.

It is the gate for logs of other writers, so it refuses what readers tolerate: a repeated key, a lone surrogate, an integer that
other runtimes cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from ..event import problems, root_problems
from ..jsonl import Flaw, exported_logs, listed, numbered_lines, opened, strictly_decoded
from .whole_logs import WholeLog


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
        whole: Collects the valid events for ``check_whole``, or None.
    """

    __slots__ = ("events", "flows", "invalid", "loose", "whole")

    def __init__(self, whole: WholeLog | None = None) -> None:
        self.events = self.invalid = self.loose = 0
        self.flows: set[str] = set()
        self.whole = whole


def check_whole(path: str | os.PathLike[str], tally: Tally | None = None) -> list[Finding]:
    """Return the problems of a log of complete runs: those of its lines, and those that only the whole log shows.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` log, or a ``.json`` export.
        tally: Is updated while the check runs.

    Raises:
        LogFileError: The file does not exist or cannot be read, or a ``.json`` file is not an export.
    """
    tally = tally or Tally()
    tally.whole = whole = WholeLog()
    found = list(check_log(path, tally))
    found += [Finding(number, problem) for number, problem in whole.faults()]
    return sorted(found, key=lambda finding: finding.number)


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
        problem = line if isinstance(line, Flaw) else _problem_of_line(line, tally, number)
        if problem is not None and isinstance(line, bytes) and not line.endswith(b"\n"):
            problem = f"the line is cut off, as when a process is killed: {problem}"
        yield from _finding(number, problem, tally)


def _problem_of_line(line: bytes, tally: Tally, number: int) -> str | None:
    try:
        event = strictly_decoded(line)
    except ValueError as error:
        return f"not valid JSON (RFC 8259): {error}"
    return _problem(event, tally, number)


def _problem(event: Any, tally: Tally, number: int) -> str | None:
    if _is_loose(event):
        return listed(problems({**event, **_ANY_IDS})) or _LOOSE
    if not (lines := problems(event) or root_problems(event)):
        tally.flows.add(event["flow_id"])
        if tally.whole is not None:
            tally.whole.add(number, event)
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
    for log in exported_logs(path, file, strictly_decoded):
        for number, event in enumerate(log["events"], 1):
            yield from _finding(number, _problem(event, tally, number), tally)
