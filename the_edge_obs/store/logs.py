"""The logs of files and folders, and the events in them. Nothing here knows what this process itself records."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import LogFileError
from ..event import Event, without_repeats
from ..event_query import flow_ids, line_filter, matches, select
from ..jsonl import LineFilter, Skipped, log_name
from ..text import counted
from .file_ends import only_flow_of
from .ordering import in_time_order
from .paths import file_names, is_one_file, log_files, named, no_logs, readable_events, unread

LineTest = Callable[[bytes], bool]
_IDENTITY: Final = ("timestamp", "span_id", "event_type", "node")


def log_events(
    paths: Sequence[Path],
    skipped: Skipped | None,
    filters: Mapping[str, Any],
    needed: LineTest | None = None,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Iterator[Event]:
    """Return an iterator of the events that pass the filters, one log after the other; see ``sources.iter_query``.

    Args:
        paths, skipped, filters: As there.
        needed: A further test of raw lines, called before those of the filters. Lines that it rules out are not parsed. Default
            None.
        progress: Called after each log with the number of logs that have been read and of those to read.
    """
    matches(filters)
    record = Skipped() if skipped is None else skipped
    events = without_repeats(_streamed(paths, record, filters, needed, progress))
    return select(events if skipped is not None else _complete(events, record), filters)


def ordered_log_events(
    paths: Sequence[Path],
    skipped: Skipped | None,
    filters: Mapping[str, Any],
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Iterator[Event]:
    """Return an iterator of the events that pass the filters, in the order of time; see ``sources.ordered_query``.

    Args:
        paths, skipped, filters: As there.
        progress: As in ``log_events``. Of a folder, all logs have been read before the first event comes.
    """
    matches(filters)
    if is_one_file(paths):
        return log_events(paths, skipped, filters)
    which = {name: value for name, value in filters.items() if name not in ("limit", "last")}
    events = in_time_order(log_events(paths, skipped, which, progress=progress))
    return select(events, {name: filters.get(name) for name in ("limit", "last")})


def _complete(events: Iterator[Event], record: Skipped) -> Iterator[Event]:
    """Yield events; then what could not be read is an error."""
    yield from events
    if record.failures:
        raise unread(record)


def _streamed(
    paths: Sequence[Path],
    skipped: Skipped,
    filters: Mapping[str, Any],
    needed: LineTest | None,
    progress: Callable[[int, int], object],
) -> Iterator[Event]:
    """Yield the events of files and folders that may pass the filters; an event of a log and its compressed copy comes once."""
    empty, wanted = True, line_filter(filters)
    if needed is not None:
        needle, test, any_case = wanted or LineFilter(b"\n", lambda line: True)
        wanted = LineFilter(needle, lambda line: needed(line) and test(line), any_case)
    flow_id = filters.get("flow_id")
    is_wanted = None if flow_id is None else flow_ids("flow_id", flow_id)
    logs = list(logs_of(paths, skipped))
    for done, log in enumerate(logs, 1):
        if is_wanted is None or _may_have(log, is_wanted):
            for event in read_log(paths, log, skipped, wanted):
                empty = False
                yield event
        else:
            skipped.unread = True
        progress(done, len(logs))
    if empty and not (skipped.unread and any(_has_events(file) for file in log_files(paths, Skipped()))):
        raise nothing_in(paths, skipped)


_ID_IN_NAME: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _may_have(log: Log, is_wanted: Callable[[str], bool]) -> bool:
    """Tell whether a log may have events of the wanted flows.

    One that is named after another flow has none if its totals say that it holds a single run. Names alone do not tell: files
    that were joined have the name of one, and the id in a name may be that of a host or a job.
    """
    ids = _ID_IN_NAME.findall(log.name[1])
    if not ids or any(map(is_wanted, ids)):
        return True
    flow_id = only_flow_of(log.files[0]) if log.may_have_totals else None
    return flow_id is None or is_wanted(flow_id)


class Log(NamedTuple):
    """One log: its folder and name, and its files. It has several if a part was set aside, or compressed by another program."""

    name: tuple[str, str]
    files: list[str]

    @property
    def may_have_totals(self) -> bool:
        """Whether the last line of its only file can be read without the others."""
        return len(self.files) == 1 and self.files[0].endswith(".jsonl")


def logs_of(paths: Sequence[Path], skipped: Skipped) -> Iterator[Log]:
    """Yield the logs of files and folders, by name; what cannot be read is recorded.

    Raises:
        LogFileError: There are none.
    """
    named_files = sorted((_log_name(file), file) for file in files_of(paths, skipped))
    for name, files in groupby(named_files, key=itemgetter(0)):
        yield Log(name, [file for _, file in files])


def read_log(paths: Sequence[Path], log: Log, skipped: Skipped, wanted: LineFilter | None = None) -> Iterator[Event]:
    """Return an iterator of the events of a log. They are held in memory only if it has several files.

    Args:
        paths: Files and folders.
        log: One of their logs.
        skipped: Records the lines and files that were skipped.
        wanted: Lines that it rules out are not parsed. Default None.
    """
    readers = [readable_events(file, skipped, wanted) for file in _still_there(paths, log)]
    return readers[0] if len(readers) == 1 else iter(merged([list(reader) for reader in readers]))


def _still_there(paths: Sequence[Path], log: Log) -> list[str]:
    """Return the files of a log, under their new names if ``clean`` has compressed it since the folder was listed."""
    if not all(map(os.path.exists, log.files)):
        return [file for file in file_names(paths, Skipped()) if _log_name(file) == log.name] or log.files
    return log.files


def _log_name(file: str) -> tuple[str, str]:
    folder, name = os.path.split(file)
    return folder, log_name(name)


def _has_events(file: Path) -> bool:
    return next(readable_events(file, Skipped()), None) is not None


def nothing_in(paths: Sequence[Path], skipped: Skipped) -> LogFileError:
    """Return the error for paths without events; it names what could not be read, if that is why."""
    if skipped.failures:
        return unread(skipped)
    detail = f" ({counted(skipped.lines, 'line')} skipped; {skipped.first})" if skipped.lines else ""
    return LogFileError(f"{named(paths)} holds no events{detail}; give a .jsonl flow log or a folder of them")


def files_of(paths: Sequence[Path], skipped: Skipped) -> list[str]:
    """Return the log files of paths.

    Raises:
        LogFileError: There are none.
    """
    files = file_names(paths, skipped)
    if not files:
        raise no_logs(paths, skipped)
    return files


def merged(sources: list[list[Event]]) -> list[Event]:
    """Return the events of several copies of the same flows, each once, ordered by time.

    Two equal events of one source are two events; an event in two sources is one. Events are equal if time, span, type and node
    are. Their content may differ: a later reading redacts secrets that were learned later, and a file cuts events that are too
    long. Equal events are matched from the end, because a ring keeps the last ones.
    """
    if len(sources) == 1:
        return sources[0]
    taken: Counter[tuple[Any, ...]] = Counter()
    together: list[Event] = []
    for source in sources:
        here: Counter[tuple[Any, ...]] = Counter()
        new: list[Event] = []
        for event in reversed(source):
            identity = tuple(event[key] for key in _IDENTITY)
            here[identity] += 1
            if here[identity] > taken[identity]:
                taken[identity] += 1
                new.append(event)
        together[:0] = reversed(new)  # a later source has the older events, which the sources before it have lost
    return sorted(together, key=lambda event: event["timestamp"])
