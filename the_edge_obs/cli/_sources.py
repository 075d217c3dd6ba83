"""The logs that commands read: a file, or a folder of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import FlowNotFoundError, LogFileError
from ..event import Event
from ..event_query import matches
from ..jsonl import SUFFIXES, Skipped, log_files
from ..store.run_filters import choose
from ..store.sources import iter_query, ordered_query
from ..store.summaries import FlowSummaries, FlowSummary, summarise
from ..text import printable
from ._listing import SHORT_ID
from ._progress import Progress, followed
from ._terminal import say_skipped

_LOGS: Final = Path("logs")
TABLE: Final = ".parquet"
LOG_HELP = "a .jsonl or .jsonl.gz log, a .json export, or a folder of logs"


def add_log(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the argument LOG; see ``log_or_latest`` for one that may be left out."""
    if optional:
        parser.add_argument("log", metavar="LOG", type=Path, nargs="?", help=f"{LOG_HELP}; default: the folder {_LOGS}")
    else:
        parser.add_argument("log", metavar="LOG", type=Path, help=LOG_HELP)


def log_or_latest(log: Path | None, choice: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return a log and the choice of its runs; without a log, the folder ``logs`` and the latest run that is chosen.

    Raises:
        LogFileError: no log was given, and there is no such folder.
    """
    if log is not None:
        return log, choice
    if not _LOGS.is_dir():
        raise LogFileError(f"no folder {str(_LOGS)!r} is here; give a log, or write one: tea-obs run FLOW.yaml --log-dir logs")
    return _LOGS, {"last": 1, **choice}


def tables_of(log: Path) -> Path | None:
    """Return a log that is a Parquet file, or a folder with Parquet files and without other logs; None for any other log."""
    if not log.is_dir():
        return log if log.suffix == TABLE else None
    return None if log_files(log) or next(log.rglob(f"*{TABLE}"), None) is None else log


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


def read(log: Path, skipped: Skipped | None = None, *, in_order: bool = False, **filters: Any) -> Iterator[Event]:
    """Return an iterator of the events of a log that match the filters; at its end it prints on stderr which lines it skipped.

    Args:
        log: A file or a folder.
        skipped: Records the lines that were skipped, and the events that an export says were lost before.
        in_order: Whether the events come in the order of their times; otherwise as they are read, one file after the other.
        filters: As in ``event_query.matches``.

    Raises:
        LogFileError: the log cannot be read, or holds no events. Raised by the iterator.
        QueryError: a filter is not valid. Raised at once.
    """
    matches(filters)
    return _all(log, skipped or Skipped(), ordered_query if in_order else iter_query, filters)


def _all(log: Path, skipped: Skipped, reader: Callable[..., Iterator[Event]], filters: Mapping[str, Any]) -> Iterator[Event]:
    files_of(log)
    yield from reader(log, skipped, **filters)
    say_skipped(str(log), skipped)


def short_flow(event: Event) -> str:
    """Return the first characters of the id of an event's run, as a column in front of its line."""
    return printable(event["flow_id"][:SHORT_ID]) + "  "


def all_runs(log: Path, progress: Progress, skipped: Skipped | None = None) -> list[FlowSummary]:
    """Return the runs of a log, or of Parquet files.

    Raises:
        LogFileError: the log cannot be read, or holds no events.
        MissingExtraError: it is Parquet, and DuckDB is not installed.
    """
    if (tables := tables_of(log)) is not None:
        from ..sql.folders import table_runs

        return table_runs(tables)
    files_of(log)
    return summarise(followed(iter_query(log, skipped), progress))


def chosen_flows(log: Path, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter of events that leaves those of the chosen runs; it is empty if all runs are.

    Runs that share a flow id, as requests that continue one foreign trace do, are chosen together.

    Args:
        log: A file or a folder. It is read once, unless the runs are chosen by their ids alone.
        choice: Filters of runs, as in ``obs.runs``.

    Raises:
        QueryError: a filter is not valid.
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: no run passes the filters.
    """
    choose((), choice)  # report a mistake before reading
    if not choice.keys() - {"flow_id"}:
        return dict(choice)
    with Progress("events") as progress:
        runs = choose(all_runs(log, progress), choice)
    if not runs:
        raise FlowNotFoundError(f"no run of {str(log)!r} passes these filters; tea-obs ls {str(log)!r} lists the runs")
    return {"flow_id": list(dict.fromkeys(run.flow_id for run in runs))}


def flow_events(log: Path, skipped: Skipped, choice: Mapping[str, Any]) -> tuple[FlowSummaries, list[Event]]:
    """Return the flows that are chosen, and the events of the flow if there is only one.

    As soon as a second flow appears the events are dropped: a folder of many runs is read without keeping them.

    Args:
        log: A file or a folder.
        skipped: Records the lines that were skipped.
        choice: Filters of runs, as in ``obs.runs``.

    Raises:
        QueryError: a filter is not valid.
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: no run passes the filters, or the ids that were given do not name one flow.
    """
    flows, events = FlowSummaries(), []
    for event in read(log, skipped, **chosen_flows(log, choice)):
        flows.add(event)
        if flows.flow_count == 1:
            events.append(event)
        else:
            events.clear()
    for _ in flows.rest():
        pass
    if not flows.flow_count:
        wanted = " or ".join(map(repr, choice.get("flow_id", ())))
        raise FlowNotFoundError(f"no flow of {str(log)!r} begins with {wanted}; tea-obs ls {str(log)!r} lists the runs")
    return flows, events
