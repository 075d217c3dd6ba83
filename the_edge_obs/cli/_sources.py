"""The logs that commands read: a file, or a folder of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import FlowNotFoundError, LogFileError
from ..event import Event
from ..event_query import matches
from ..jsonl import SUFFIXES, Skipped, log_files
from ..store.sources import iter_query
from ..store.summaries import FlowSummaries
from ._terminal import say_skipped

LOG_HELP = "a .jsonl or .jsonl.gz log, a .json export, or a folder of logs"


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the argument LOG."""
    parser.add_argument("log", metavar="LOG", type=Path, help=LOG_HELP)


def files_of(log: Path) -> list[Path]:
    """Return the files of a log.

    Raises:
        LogFileError: the log is a folder without logs.
    """
    if not log.is_dir():
        return [log]
    if files := log_files(log):
        return files
    raise LogFileError(f"folder {str(log)!r} holds no logs; the name of a log ends in {' or '.join(SUFFIXES)}")


def read(log: Path, skipped: Skipped | None = None, **filters: Any) -> Iterator[Event]:
    """Return an iterator of the events of a log that match the filters; at its end it prints on stderr which lines it skipped.

    Args:
        log: A file or a folder.
        skipped: Records the lines that were skipped, and the events that an export says were lost before.
        filters: As in ``event_query.matches``.

    Raises:
        LogFileError: the log cannot be read, or holds no events. Raised by the iterator.
        QueryError: a filter is not valid. Raised at once.
    """
    matches(filters)
    return _all(log, skipped or Skipped(), filters)


def _all(log: Path, skipped: Skipped, filters: Mapping[str, Any]) -> Iterator[Event]:
    files_of(log)
    yield from iter_query(log, skipped, **filters)
    say_skipped(str(log), skipped)


def flow_events(log: Path, skipped: Skipped, wanted: str | None) -> tuple[FlowSummaries, list[Event]]:
    """Return the flows of a log, and the events of the flow if there is only one.

    As soon as a second flow appears the events are dropped: a folder of many runs is read without keeping them.

    Args:
        log: A file or a folder.
        skipped: Records the lines that were skipped.
        wanted: The beginning of a flow id; flows with other ids are ignored. None: all flows.

    Raises:
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: ``wanted`` matches no flow, or more than one.
    """
    flows, events = FlowSummaries(), []
    for event in read(log, skipped):
        if wanted is not None and not event["flow_id"].startswith(wanted.lower()):
            continue
        flows.add(event)
        if flows.flow_count == 1:
            events.append(event)
        else:
            events.clear()
    for _ in flows.rest():
        pass
    if wanted is not None and flows.flow_count != 1:
        problem = f"{flows.flow_count} flows of {str(log)!r} begin" if flows.flow_count else f"no flow of {str(log)!r} begins"
        raise FlowNotFoundError(f"{problem} with {wanted!r}; tea-obs show {str(log)!r} lists the flows")
    return flows, events
