"""The runs of a log file or a folder, in memory that does not grow with the events.

Of a file whose last line has true totals only two lines are read. Any other log is read as a whole, one after the other. A flow
with events in several logs is summarised last, from all of them: it is found by its id, and then the folder is read once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..event import Event, Seen
from ..jsonl import Skipped
from .file_ends import summary_of_file
from .logs import Log, logs_of, nothing_in, read_log
from .paths import LogPaths, paths_of, unread
from .run_filters import choose
from .summaries import FlowSummaries, FlowSummary


def runs(path: LogPaths, **filters: Any) -> list[FlowSummary]:
    """Return the runs of log files, and of folders of log files with their sub-folders, that pass the filters.

    Of most files only the first and the last line are read, and no events are kept in memory.

    Args:
        path: A log file or a folder of log files, or several of them.
        **filters: Filters and order, as in ``store.run_filters.choose``: flow_id (the beginning of one), name, status, errors,
            host, attributes, start_time, end_time, last, sort, limit. Default: all runs, ordered by start.

    Returns:
        One summary per run, with ``flow_id``, ``root``, ``name``, ``status``, ``start`` and ``end`` (Unix seconds),
        ``duration_ms``, ``events``, ``errors``, ``error`` (the first one's type and message), ``tokens``, ``cost_usd``,
        ``attributes``, ``alone`` and ``resource``.

    Raises:
        QueryError: A filter is unknown, or its value is not valid.
        LogFileError: A path cannot be read, or there are no events.

    Example:
        >>> for run in obs.runs("logs", errors=True, start_time="-1d", sort="-duration", limit=10):
        ...     print(run.flow_id, run.name, run.error)
    """
    skipped = Skipped()
    chosen = list_runs(paths_of(path), skipped, filters)
    if skipped.failures:
        raise unread(skipped)
    return chosen


def list_runs(
    paths: Sequence[Path], skipped: Skipped, filters: dict[str, Any], progress: Callable[[int], object] = lambda done: None
) -> list[FlowSummary]:
    """Return the runs that ``runs`` returns.

    Args:
        paths: Log files and folders of log files.
        skipped: Records the lines and paths that were skipped.
        filters: Filters and order, as in ``runs``.
        progress: Called with the number of runs that have been read, now and then.

    Raises:
        QueryError, LogFileError: As ``runs``.
    """
    choose((), filters)  # report a mistake before reading
    shared: set[int] = set()
    while True:
        before, part = len(shared), Skipped()
        chosen = choose(_counted(_Reader(paths, part, shared).runs(), progress), filters)
        if len(shared) == before:
            skipped.add(part)
            return chosen


def _counted(found: Iterator[FlowSummary], progress: Callable[[int], object]) -> Iterator[FlowSummary]:
    for done, run in enumerate(found, 1):
        if not done % 100:
            progress(done)
        yield run


class _Reader:
    """One reading of all logs.

    Args:
        paths: Log files and folders of log files.
        skipped: Records the lines and paths that were skipped.
        shared: Hashes of the ids of flows with events in several logs, as far as they are known; more are added.
    """

    def __init__(self, paths: Sequence[Path], skipped: Skipped, shared: set[int]) -> None:
        self._paths, self._skipped, self._shared = paths, skipped, shared
        self._flows = Seen()  # hashes of flow ids: 8 bytes per run
        self._joined, self._events = FlowSummaries(), Seen()

    def runs(self) -> Iterator[FlowSummary]:
        """Yield the runs. If more flows turn out to be shared, they are not right, and the logs must be read again.

        Raises:
            LogFileError: The logs cannot be read, or hold no events.
        """
        known, is_empty = frozenset(self._shared), True
        for log in logs_of(self._paths, self._skipped):
            run = summary_of_file(log.files[0]) if log.may_have_totals else None
            if run is not None and hash(run.flow_id) not in known:
                self._note(run.flow_id)
                found: Iterator[FlowSummary] = iter((run,))
            else:
                found = self._read(log, known)
            for run in found:
                is_empty = False
                yield run
        for _ in self._joined.rest():
            pass
        yield from self._joined
        if is_empty and not self._joined.flow_count:
            raise nothing_in(self._paths, self._skipped)

    def _note(self, flow_id: str) -> None:
        if not self._flows.add(number := hash(flow_id)):
            self._shared.add(number)

    def _read(self, log: Log, known: frozenset[int]) -> Iterator[FlowSummary]:
        """Read a log as a whole, and yield its runs but those of shared flows."""
        flows, seen = FlowSummaries(), Seen()
        for event in read_log(self._paths, log, self._skipped):
            if hash(event["flow_id"]) in known:
                _add(event, self._joined, self._events)
            else:
                _add(event, flows, seen)
        for _ in flows.rest():
            pass
        for flow_id in flows.ids():
            self._note(flow_id)
        yield from flows


def _add(event: Event, flows: FlowSummaries, seen: Seen) -> None:
    if seen.is_new(event):
        flows.add(event)
