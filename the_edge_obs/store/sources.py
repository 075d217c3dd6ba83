"""Sources of a flow's events: ring buffers, their spill files, and log files, all read in the same way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..context import current, flows_known
from ..errors import FlowNotFoundError, LogFileError
from ..event import ROOT_NODE, Event, is_uuid
from ..event_query import NOT_OF_HEADS, matches, select
from ..flow_log import FlowLog, Outcome, build_flow_log, empty_flow_log, known_outcome
from ..handlers.flow_file import FlowFileHandler
from ..jsonl import Skipped, read_events
from ..recording.buffers import listeners
from ..recording.records import Head, Item, events_of
from .logs import files_of, log_events, merged, nothing_in, ordered_log_events
from .paths import LogPaths, named, paths_of, readable_events, unread


class FlowEvents(NamedTuple):
    """A flow's events or their facts, how many events are lost, how often logging failed, and what is known of the flow."""

    flow_id: str
    items: Sequence[Item]
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
    events = list(events_of(content.items))
    flows = dict.fromkeys(map(itemgetter("flow_id"), events))
    if len(flows) > 1:
        known = ", ".join(list(flows)[:3])
        rest = ", ..." if len(flows) > 3 else ""
        name = named(given) if isinstance(given, tuple) else repr(given)
        raise LogFileError(
            f"{name} holds {len(flows)} flows: {known}{rest}; give the file of one flow, or pass the events of one "
            f"flow_id to flow_log.build_flow_log(); in a terminal: tea-obs show {name} --flow ID"
        )
    if not events and content.known is not None and isinstance(given, str):
        return empty_flow_log(given, content.known, faults=content.faults)
    return build_flow_log(events, dropped=content.dropped, faults=content.faults, known=content.known)


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
    return ordered_log_events(given, skipped, filters) if isinstance(given, tuple) else iter_query(given, skipped, **filters)


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
        return log_events(given, skipped, filters)
    content = _of_flow(given, partial(_chosen, filters))
    if skipped is not None:
        skipped.dropped[content.flow_id] = content.dropped
    return select(events_of(content.items), {name: filters.get(name) for name in NOT_OF_HEADS})


def _chosen(filters: Mapping[str, Any], items: Sequence[Item]) -> Sequence[Item]:
    """Return the items that pass the filters that need no payload, and of these no more than ``limit`` and ``last`` allow."""
    wanted = {name: value for name, value in filters.items() if name not in NOT_OF_HEADS and value is not None}
    if wanted:
        passes: Callable[[Any], bool] = matches(wanted)
        items = [item for item in items if passes(Head(item) if isinstance(item, tuple) else item)]
    if filters.get("text") is not None:
        return items  # not all of them pass
    return list(select(cast("Sequence[Event]", items), {name: filters.get(name) for name in ("limit", "last")}))


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
    files = files_of(paths, skipped)
    events = merged([list(readable_events(file, skipped)) for file in files])
    if not events:
        raise nothing_in(paths, skipped)
    if skipped.failures:
        raise unread(skipped)
    return FlowEvents(events[0]["flow_id"], events, skipped.dropped.get(events[0]["flow_id"], 0))


def _of_flow(flow_id: str, choose: Callable[[Sequence[Item]], Sequence[Item]] = lambda items: items) -> FlowEvents:
    """Return the events of a flow from all rings that have it, and from its files if the rings may not have all of them.

    Args:
        flow_id: The flow.
        choose: Returns those of some items that are wanted, in their order. No event is made of the others. Default: all.
    """
    rings = [ring for ring in listeners if ring.has(flow_id)]
    kept = [ring.items(flow_id) for ring in rings]
    dropped = min((ring.dropped(flow_id) for ring in rings), default=0)
    is_complete = bool(rings) and not dropped and not any(ring.is_abroad(flow_id) for ring in rings)
    if is_complete and len(rings) == 1:
        found: Sequence[Item] = kept[0]
    else:
        found = here = merged([list(events_of(items)) for items in kept])
        if not is_complete:
            found = merged([here, *(_of_file(path, flow_id) for path in _files(flow_id))])
            dropped = max(0, dropped - (len(found) - len(here)))
    state = flows_known.get(flow_id)
    # No handler has seen the flow yet, or a ring only takes errors: nothing is lost, and the log is empty.
    is_empty = state is not None and not state.ended and (state.is_silent or len(listeners) > 0)
    if not found and not is_empty:
        raise FlowNotFoundError(f"flow {flow_id!r} is in no ring buffer and no flow file of this process; {_next_step()}")
    faults = max((ring.faults(flow_id) for ring in rings), default=0)
    return FlowEvents(flow_id, choose(found), dropped, faults, known_outcome(flow_id))


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
