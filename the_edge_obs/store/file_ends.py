"""The summary of a run from the first and the last line of its file, where the last line has totals that are still true."""

from __future__ import annotations

import os
import re
from typing import Final

from ..errors import LogFileError
from ..event import ENDS, MAX_EVENT_BYTES, Event, root_rank, totals_of
from ..event_query import HEAD
from ..files import open_for_reading
from ..jsonl import as_written
from .summaries import FlowSummary, summary_of_ends

_PIECE: Final = 4_096  # bytes that are read first from each end
_MARK: Final = b'"totals":{'
_BYTES: Final = re.compile(rb'"totals":\{"bytes":([0-9]{1,19}),')  # in a text, its quotes have backslashes


def summary_of_file(path: str | os.PathLike[str]) -> FlowSummary | None:
    """Return the summary of the run of a file, as a complete reading gives it; None if only a complete reading can tell.

    That is so without totals, as in logs of older versions, of killed processes and of other writers, and if anything but those
    lines that were counted stands before the last line: their number of bytes is in the totals.
    """
    try:
        descriptor = open_for_reading(path)
        try:
            size = os.fstat(descriptor).st_size
            last = _last_line(descriptor, size)
            if last is None or _MARK not in last:
                return None
            first = _first_line(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, LogFileError):
        return None  # a complete reading says what is wrong
    return None if first is None else _summary(first, last, size - len(last))


def only_flow_of(path: str | os.PathLike[str]) -> str | None:
    """Return the id of the flow of a file, if the totals in its last line are true: then it holds no other.

    No line is parsed, so this takes a quarter of the time of ``summary_of_file``.
    """
    try:
        descriptor = open_for_reading(path)
        try:
            size = os.fstat(descriptor).st_size
            last = _last_line(descriptor, size) or b""
        finally:
            os.close(descriptor)
    except (OSError, LogFileError):
        return None
    head, totals = HEAD.match(last), _BYTES.search(last)
    if head is None or totals is None or int(totals[1]) != size - len(last):
        return None
    return head[1].decode("utf-8", "replace")


def _last_line(descriptor: int, size: int) -> bytes | None:
    """Return the last line of a file with its newline; None if it is cut off, or too long for a line of this package."""
    for length in (_PIECE, MAX_EVENT_BYTES + 2):
        start = max(0, size - length)
        piece = _read_at(descriptor, length, start)
        if not piece.endswith(b"\n"):
            return None
        at = piece.rfind(b"\n", 0, -1) + 1
        if at:
            return piece[at:]
        if not start:
            return None  # the only line
    return None


def _first_line(descriptor: int) -> bytes | None:
    for length in (_PIECE, MAX_EVENT_BYTES + 1):
        piece = _read_at(descriptor, length, 0)
        if at := piece.find(b"\n") + 1:
            return piece[:at]
    return None


def _read_at(descriptor: int, length: int, start: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, length)


def _summary(first: bytes, last: bytes, before: int) -> FlowSummary | None:
    entry, end = as_written(first), as_written(last)
    if isinstance(entry, str) or isinstance(end, str):
        return None
    totals = totals_of(end)
    if totals is None or totals["bytes"] != before or not _are_of_one_root(entry, end):
        return None
    return summary_of_ends(entry, end, totals)


def _are_of_one_root(entry: Event, end: Event) -> bool:
    return (
        entry["event_type"] == "entry"
        and end["event_type"] in ENDS
        and root_rank(entry["node"], entry["parent_id"]) > 0
        and all(entry[key] == end[key] for key in ("flow_id", "span_id", "parent_id", "node"))
    )
