"""The logs that commands read: files, and folders of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import FlowNotFoundError, LogFileError
from ..event import Event
from ..event_query import WholeIds, matches
from ..jsonl import SUFFIXES, Skipped
from ..store.logs import log_events, ordered_log_events
from ..store.paths import log_files, named, no_logs
from ..store.run_events import filters_of
from ..store.run_filters import choose
from ..store.run_lists import list_runs
from ..store.summaries import FlowSummaries, FlowSummary, short_flow_id
from ..text import printable
from ._progress import Progress
from ._terminal import say_skipped

_LOGS: Final = Path("logs")
_ALL: Final = (*SUFFIXES, ".parquet")
LOG_HELP = "a .jsonl or .jsonl.gz log, a .json export, or a folder of logs with its sub-folders"

Paths = Sequence[Path]


def add_log(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the argument LOG, one or several paths; see ``log_or_latest`` for one that may be left out."""
    text = f"{LOG_HELP}; several are read together"
    if optional:
        parser.add_argument("log", metavar="LOG", type=Path, nargs="*", help=f"{text}; default: the folder {_LOGS}")
    else:
        parser.add_argument("log", metavar="LOG", type=Path, nargs="+", help=text)


def log_or_latest(log: Paths, choice: dict[str, Any]) -> tuple[Paths, dict[str, Any]]:
    """Return a log and the choice of its runs; without a log, the folder ``logs`` and the latest run that is chosen.

    Raises:
        LogFileError: no log was given, and there is no such folder.
    """
    if log:
        return log, choice
    if not _LOGS.is_dir():
        raise LogFileError(f"no folder {str(_LOGS)!r} is here; give a log, or write one: tea-obs run FLOW.yaml --log-dir logs")
    return [_LOGS], {"last": 1, **choice}


def has_only_tables(log: Paths) -> bool:
    """Tell whether a log is made of Parquet files alone. Beside other logs, Parquet files are copies that are passed over."""
    return bool(log_files(log, Skipped(), _ALL[-1:])) and all(file.suffix == _ALL[-1] for file in log_files(log, Skipped(), _ALL))


def files_of(log: Paths, skipped: Skipped) -> list[Path]:
    """Return the files of a log.

    Raises:
        LogFileError: there are none.
    """
    if files := log_files(log, skipped):
        return files
    raise no_logs(log, skipped)


def read(
    log: Paths,
    skipped: Skipped,
    *,
    in_order: bool = False,
    progress: Callable[[int, int], object] = lambda done, of: None,
    **filters: Any,
) -> Iterator[Event]:
    """Return an iterator of the events of a log that match the filters; at its end it prints on stderr what it skipped.

    Args:
        log: Files and folders.
        skipped: Records the lines and paths that were skipped, and the events that an export says were lost before.
        in_order: Whether the events come in the order of their times; otherwise as they are read, one file after the other.
        progress: As in ``logs.log_events``.
        filters: As in ``event_query.matches``.

    Raises:
        LogFileError: the log cannot be read, or holds no events. Raised by the iterator.
        QueryError: a filter is not valid. Raised at once.
    """
    matches(filters)
    reader = ordered_log_events if in_order else log_events
    return _all(log, skipped, reader(log, skipped, filters, progress=progress))


def _all(log: Paths, skipped: Skipped, events: Iterator[Event]) -> Iterator[Event]:
    yield from events
    say_skipped(named(log), skipped)


def short_flow(event: Event) -> str:
    """Return the short id of an event's run, as a column in front of its line."""
    return printable(short_flow_id(event["flow_id"])) + "  "


def listed_runs(log: Paths, skipped: Skipped, choice: Mapping[str, Any], progress: Progress) -> list[FlowSummary]:
    """Return the runs that are chosen; then print on stderr what was skipped.

    Args:
        log: Files and folders.
        skipped: Records the lines and paths that were skipped.
        choice: Filters and order of runs, as in ``obs.runs``.
        progress: Shows how many runs have been read.

    Raises:
        QueryError: a filter is not valid.
        LogFileError: the log cannot be read, or holds no events.
    """
    runs = _runs(log, choice, progress, skipped)
    say_skipped(named(log), skipped)
    return runs


def chosen_flows(log: Paths, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of events that leave those of the chosen runs; there are none if all runs are chosen.

    Args:
        log: Files and folders. They are read once, unless the runs are chosen by their ids alone.
        choice: Filters of runs, as in ``obs.runs``.

    Raises:
        QueryError: a filter is not valid.
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: no run passes the filters.
    """
    if not choice.keys() - {"flow_id"} and not any("/" in flow_id for flow_id in choice.get("flow_id", ())):
        return dict(choice)
    runs = chosen_runs(log, choice)
    # In Parquet, runs that share a flow are chosen together.
    return {"flow_id": WholeIds(run.flow_id for run in runs)} if has_only_tables(log) else filters_of(log, runs)


def chosen_runs(log: Paths, choice: Mapping[str, Any]) -> list[FlowSummary]:
    """Return the chosen runs.

    Raises:
        QueryError: a filter is not valid.
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: no run passes the filters.
    """
    with Progress("runs") as progress:
        runs = _runs(log, choice, progress)
    if not runs:
        raise FlowNotFoundError(f"no run of {named(log)} passes these filters; tea-obs ls {named(log)} lists the runs")
    return runs


def _runs(log: Paths, choice: Mapping[str, Any], progress: Progress, skipped: Skipped | None = None) -> list[FlowSummary]:
    """Return the chosen runs of a log, or of Parquet files."""
    if has_only_tables(log):
        from ..sql.folders import table_runs

        choose((), choice)  # report a mistake before reading
        return choose(table_runs(log), choice)
    return list_runs(log, Skipped() if skipped is None else skipped, dict(choice), progress)


def flow_events(log: Paths, skipped: Skipped, wanted: Mapping[str, Any]) -> tuple[FlowSummaries, list[Event]]:
    """Return the flows that are chosen, and the events of the flow if there is only one.

    As soon as a second flow appears the events are dropped: a folder of many runs is read without keeping them.

    Args:
        log: Files and folders.
        skipped: Records the lines that were skipped.
        wanted: Filters of events, as ``chosen_flows`` returns them.

    Raises:
        LogFileError: the log cannot be read, or holds no events.
        FlowNotFoundError: the ids that were given do not name a flow.
    """
    flows, events = FlowSummaries(), []
    with Progress("files") as progress:
        for event in read(log, skipped, progress=progress, **wanted):
            flows.add(event)
            if flows.flow_count == 1:
                events.append(event)
            else:
                events.clear()
    for _ in flows.rest():
        pass
    if not flows.flow_count:
        given = " or ".join(map(repr, wanted.get("flow_id", ())))
        raise FlowNotFoundError(f"no flow of {named(log)} begins with {given}; tea-obs ls {named(log)} lists the runs")
    return flows, events
