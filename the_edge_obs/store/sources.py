"""Sources of a flow's events: ring buffers, their spill files, and log files, all read in the same way."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..context import current, flows_known
from ..errors import FlowNotFoundError, LogFileError
from ..event import ROOT_NODE, Event, is_uuid, without_repeats
from ..event_query import flow_ids, line_filter, matches, select
from ..flow_log import FlowLog, Outcome, build_flow_log, empty_flow_log, known_outcome
from ..handlers import FlowFileHandler
from ..jsonl import LineFilter, Skipped, log_name, read_events
from ..recording.buffers import listeners
from ..text import counted
from .ordering import in_time_order
from .paths import LogPaths, file_names, is_one_file, log_files, named, no_logs, paths_of, readable_events, unread

_IDENTITY: Final = ("timestamp", "span_id", "event_type", "node")


class FlowEvents(NamedTuple):
    """A flow's events, how many events are lost, how often logging itself failed, and what this process knows of the flow."""

    flow_id: str
    events: list[Event]
    dropped: int = 0
    faults: int = 0
    known: Outcome | None = None


def get_flow_log(source: LogPaths | None = None) -> FlowLog:
    """Return everything known about one flow.

    Args:
        source: A flow id, one or several paths of log files and folders with the log of one flow, or None (the default) for the
            running flow.

    Returns:
        The flow log. It is empty for a running flow that has logged nothing.

    Raises:
        FlowNotFoundError: The flow is in no buffer and in no file, or no flow is running.
        LogFileError: The file cannot be read, has no events, or has events of several flows.

    Example:
        >>> log = obs.get_flow_log("logs/flow-6f1c9ad2.jsonl")
        >>> log.status, len(log.spans)
        ('ok', 3)
    """
    given = _given(source)
    content = _of_paths(given) if isinstance(given, tuple) else _of_flow(given)
    flows = Counter(event["flow_id"] for event in content.events)
    if len(flows) > 1:
        known = ", ".join(list(flows)[:3])
        rest = ", ..." if len(flows) > 3 else ""
        name = named(given) if isinstance(given, tuple) else repr(given)
        raise LogFileError(
            f"{name} holds {len(flows)} flows: {known}{rest}; give the file of one flow, or pass the events of one "
            f"flow_id to flow_log.build_flow_log(); in a terminal: tea-obs show {name} --flow ID"
        )
    if not content.events and content.known is not None and isinstance(given, str):
        return empty_flow_log(given, content.known, faults=content.faults)
    return build_flow_log(content.events, dropped=content.dropped, faults=content.faults, known=content.known)


def query(source: LogPaths | None = None, **filters: Any) -> list[Event]:
    """Return the events of a flow, or of files and folders, that pass the filters, ordered by time.

    Args:
        source: A flow id, one or several paths of log files and folders, or None (the default) for the running flow.
        **filters: Filters, as in ``event_query.matches``: node, level, min_level, event_type, start_time, end_time, span_id,
            step, text, flow_id (the beginning of one), limit (the first so many), last (the last so many).

    Returns:
        Event dicts.

    Raises:
        QueryError: A filter is unknown, or its value is not valid.
        FlowNotFoundError: The flow is in no buffer and in no file, or no flow is running.
        LogFileError: A path cannot be read, or there are no events.

    Example:
        >>> obs.query("logs", node="llm.*", min_level="warn", start_time="-1h")
    """
    return sorted(ordered_query(source, **filters), key=lambda event: event["timestamp"])


def ordered_query(source: LogPaths | None = None, skipped: Skipped | None = None, **filters: Any) -> Iterator[Event]:
    """Return an iterator of the events that ``query`` returns, in bounded memory.

    The events of one file come as they are read: it is in the order of time but for spans that began or ended elsewhere. Those of
    a folder, or of several files, are read to the end first.

    Args:
        source: A flow id, one or several paths of log files and folders, or None (the default) for the running flow.
        skipped: As in ``iter_query``. Default None.
        **filters: Filters, as in ``query``.

    Raises:
        QueryError, FlowNotFoundError, LogFileError: As ``query``.
    """
    matches(filters)
    given = _given(source)
    if not isinstance(given, tuple) or is_one_file(given):
        return iter_query(given, skipped, **filters)
    which = {name: value for name, value in filters.items() if name not in ("limit", "last")}
    events = in_time_order(iter_query(given, skipped, **which))
    return select(events, {name: filters.get(name) for name in ("limit", "last")})


def iter_query(source: LogPaths | None = None, skipped: Skipped | None = None, **filters: Any) -> Iterator[Event]:
    """Return an iterator of the events that pass the filters, one log after the other, as they are read.

    Args:
        source: A flow id, one or several paths of log files and folders, or None (the default) for the running flow.
        skipped: Records the lines that are not events, the events that are lost, and the paths that cannot be read. Default None:
            after the events of the other paths, one that cannot be read is an error.
        **filters: Filters, as in ``query``.

    Raises:
        QueryError: A filter is unknown, or its value is not valid.
        FlowNotFoundError: The flow is in no buffer and in no file, or no flow is running.
        LogFileError: A path cannot be read, or there are no events; raised while iterating.
    """
    matches(filters)  # report a mistake in the filters before one in the source
    given = _given(source)
    if isinstance(given, tuple):
        return select(_stream(given, skipped, filters), filters)
    content = _of_flow(given)
    if skipped is not None:
        skipped.dropped[content.flow_id] = content.dropped
    return select(content.events, filters)


def _given(source: LogPaths | None) -> tuple[Path, ...] | str:
    """Return the paths or the flow id that a source stands for; None stands for the running flow.

    Raises:
        LogFileError: It is none of these.
        FlowNotFoundError: No flow is running.
    """
    if source is None:
        span = current()
        if span is None:
            raise FlowNotFoundError("no flow is running here; give a flow_id or a log file")
        return span.flow.id
    if isinstance(source, str) and is_uuid(source.lower()):
        return source.lower()
    return paths_of(source)


def _of_paths(paths: Sequence[Path]) -> FlowEvents:
    skipped = Skipped()
    # A folder may hold the files of several processes, or a log beside its compressed copy.
    files = _files_of(paths, skipped)
    events = list(without_repeats(merged([list(readable_events(file, skipped)) for file in files])))
    if not events:
        raise nothing_in(paths, skipped)
    if skipped.failures:
        raise unread(skipped)
    return FlowEvents(events[0]["flow_id"], events, skipped.dropped.get(events[0]["flow_id"], 0))


def _stream(paths: Sequence[Path], skipped: Skipped | None, filters: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of files and folders that may pass the filters; an event in several files comes once.

    Without a record of what is skipped, what cannot be read is an error, after everything else has been read.
    """
    record = Skipped() if skipped is None else skipped
    yield from without_repeats(_streamed(paths, record, filters))
    if skipped is None and record.failures:
        raise unread(record)


def _streamed(paths: Sequence[Path], skipped: Skipped, filters: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of files and folders that may pass the filters; an event of a log and its compressed copy comes once."""
    empty, wanted = True, line_filter(filters)
    for logs in _in_turn(paths, skipped, filters.get("flow_id")):
        for log in logs:
            for event in read_log(paths, log, skipped, wanted):
                empty = False
                yield event
        if not empty:
            return
    if empty and not (skipped.unread and any(_has_events(file) for file in log_files(paths, Skipped()))):
        raise nothing_in(paths, skipped)


_ID_IN_NAME: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _in_turn(paths: Sequence[Path], skipped: Skipped, flow_id: Any) -> Iterator[list[Log]]:
    """Yield the logs to read, then those to read if no event was found in the first ones.

    A file that is named after a flow, as handlers name theirs, holds that flow: of a folder, those named after the wanted flows
    come first, with those that are named after none.

    Args:
        paths: Log files and folders.
        skipped: Records the paths that cannot be read.
        flow_id: The beginning of an id, or a list, as in the filters; None for every flow.
    """
    logs = list(logs_of(paths, skipped))
    if flow_id is None or len(logs) == 1:
        yield logs
        return
    is_wanted = flow_ids("flow_id", flow_id)
    names = [(log, [name.lower() for name in _ID_IN_NAME.findall(log.name[1])]) for log in logs]
    if any(any(map(is_wanted, ids)) for _, ids in names):
        yield [log for log, ids in names if not ids or any(map(is_wanted, ids))]
        logs = [log for log, ids in names if ids and not any(map(is_wanted, ids))]
    yield logs


class Log(NamedTuple):
    """One log: its folder and name, and its files. It has several if a part was set aside, or compressed by another program."""

    name: tuple[str, str]
    files: list[str]

    @property
    def may_have_totals(self) -> bool:
        """Whether its last line can be read without the others."""
        return self.files[0].endswith(".jsonl")


def logs_of(paths: Sequence[Path], skipped: Skipped) -> Iterator[Log]:
    """Yield the logs of files and folders, by name; what cannot be read is recorded.

    Raises:
        LogFileError: There are none.
    """
    named_files = sorted((_log_name(file), file) for file in _files_of(paths, skipped))
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


def _files_of(paths: Sequence[Path], skipped: Skipped) -> list[str]:
    """Return the log files of paths.

    Raises:
        LogFileError: There are none.
    """
    files = file_names(paths, skipped)
    if not files:
        raise no_logs(paths, skipped)
    return files


def _of_flow(flow_id: str) -> FlowEvents:
    """Return the events of a flow from all rings that have it, and from its files if the rings may not have all of them."""
    rings = [ring for ring in listeners if ring.has(flow_id)]
    kept = merged([ring.events(flow_id) for ring in rings])
    dropped = min((ring.dropped(flow_id) for ring in rings), default=0)
    events = kept
    if dropped or not rings or any(ring.is_abroad(flow_id) for ring in rings):
        events = merged([kept, *(_of_file(path, flow_id) for path in _files(flow_id))])
        dropped = max(0, dropped - (len(events) - len(kept)))
    state = flows_known.get(flow_id)
    # No handler has seen the flow yet, or a ring only takes errors: nothing is lost, and the log is empty.
    is_empty = state is not None and not state.ended and (state.is_silent or len(listeners) > 0)
    if not events and not is_empty:
        raise FlowNotFoundError(f"flow {flow_id!r} is in no ring buffer and no flow file of this process; {_next_step()}")
    return FlowEvents(flow_id, events, dropped, max((ring.faults(flow_id) for ring in rings), default=0), known_outcome(flow_id))


def _next_step() -> str:
    """Return the next step for a flow that is not found: enable the loggers if they are silenced, otherwise configure them."""
    manager, tea = logging.Logger.manager, logging.getLogger(f"tea.{ROOT_NODE}")
    if manager.disable >= logging.INFO:
        level = logging.getLevelName(manager.disable)
        return f"logging.disable({level}) silences every logger; call logging.disable(logging.NOTSET) before the flow runs"
    if tea.disabled:
        return (
            f"logger {tea.name!r} is disabled; dictConfig and fileConfig disable existing loggers unless "
            "disable_existing_loggers is False"
        )
    return "give the path of its log, or configure observability before the flow runs"


def _of_file(path: str, flow_id: str) -> list[Event]:
    # Flows may share a file.
    return [event for event in read_events(path) if event["flow_id"] == flow_id]


def _files(flow_id: str) -> list[str]:
    """Return the existing flow files that handlers of this process write for a flow."""
    paths = {handler.path_of(flow_id) for handler in _installed() if isinstance(handler, FlowFileHandler)}
    return sorted(path for path in paths if os.path.exists(path))


def _installed() -> Iterator[Any]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        yield from getattr(logger, "handlers", ())


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
