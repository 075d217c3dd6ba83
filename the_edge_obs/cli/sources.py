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
from .terminal import say_skipped

LOG_HELP = "a .jsonl or .jsonl.gz log, a .json export, or a folder of logs"


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the argument LOG."""
    parser.add_argument("log", metavar="LOG", type=Path, help=LOG_HELP)


def files_of(log: Path) -> list[Path]:
    """Return the files of a log.

    Raises:
        LogFileError: it is a folder without logs.
    """
    if not log.is_dir():
        return [log]
    if files := log_files(log):
        return files
    raise LogFileError(f"folder {str(log)!r} holds no logs; a log ends in {' or '.join(SUFFIXES)}")


def read(log: Path, skipped: Skipped | None = None, **filters: Any) -> Iterator[Event]:
    """Return an iterator of the events of a log that pass the filters; it says on stderr which lines it passed over.

    Args:
        log: A file or a folder.
        skipped: Gets a note of what was passed over, and of what exports say was lost before.
        filters: As in ``event_query.matches``.

    Raises:
        LogFileError: it cannot be read, or holds no events.
        QueryError: a filter that cannot be used; at once.
    """
    matches(filters)
    return _all(log, skipped or Skipped(), filters)


def _all(log: Path, skipped: Skipped, filters: Mapping[str, Any]) -> Iterator[Event]:
    files_of(log)
    yield from iter_query(log, skipped, **filters)
    say_skipped(str(log), skipped)


def flow_events(log: Path, skipped: Skipped, wanted: str | None) -> tuple[FlowSummaries, list[Event]]:
    """Return the flows of a log, and the events of the wanted one if it is one.

    Events are held only while one flow is in question: a folder of many runs is read without keeping them.

    Raises:
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: no flow, or more than one, is the wanted one.
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
        found = f"{flows.flow_count} flows of {str(log)!r} begin" if flows.flow_count else f"no flow of {str(log)!r} begins"
        raise FlowNotFoundError(f"{found} with {wanted!r}; tea-obs show {str(log)!r} lists the flows")
    return flows, events
