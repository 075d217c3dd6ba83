"""Where a flow's events are: ring buffers, their spill, and files; read alike."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..context import current, flows_known
from ..errors import FlowNotFoundError, LogFileError
from ..event import ROOT_NODE, Event, is_uuid, without_repeats
from ..event_query import line_filter, matches, select
from ..flow_log import FlowLog, Outcome, build_flow_log, empty_flow_log, known_outcome
from ..handlers import FlowFileHandler
from ..jsonl import Skipped, log_files, log_name, read_events
from ..recording.buffers import listeners
from .summaries import FlowSummary, summarise

_NOTHING: Final = "source {!r} is nothing to read; give a flow_id, a .jsonl flow log or a folder of them"
_IDENTITY: Final = ("timestamp", "span_id", "event_type", "node")


class Found(NamedTuple):
    """A flow's events, how many of them are lost, how often logging itself failed, and what this process knows of the flow."""

    events: list[Event]
    dropped: int = 0
    faults: int = 0
    known: Outcome | None = None


def get_flow_log(source: str | os.PathLike[str] | None = None) -> FlowLog:
    """Return everything known about one flow.

    Args:
        source: A flow id, the path of a log file, or None (the default) for the running flow. A folder will do when it
            holds the log of one flow. Of a running flow that has logged nothing, the log is empty.

    Raises:
        FlowNotFoundError: no buffer and no file knows the flow, or nothing is running.
        LogFileError: the file cannot be read, holds no events, or those of several flows.
    """
    found = _find(source)
    flows = Counter(event["flow_id"] for event in found.events)
    if len(flows) > 1:
        known = ", ".join(list(flows)[:3])
        rest = ", ..." if len(flows) > 3 else ""
        raise LogFileError(
            f"{str(source)!r} holds {len(flows)} flows: {known}{rest}; give the file of one, or hand what query() has of one "
            f"flow_id to flow_log.build_flow_log(); in a terminal: tea-obs show {str(source)!r} --flow ID"
        )
    if not found.events and found.known is not None:
        return empty_flow_log(_flow_id(source), found.known, faults=found.faults)
    return build_flow_log(found.events, dropped=found.dropped, faults=found.faults, known=found.known)


def runs(path: str | os.PathLike[str]) -> list[FlowSummary]:
    """Return the runs of a log file, or of a folder of them, by start; it is read once, and no events are held.

    Raises:
        LogFileError: it cannot be read, or holds no events.
    """
    return summarise(_stream(_path(path), Skipped(), {}))


def query(source: str | os.PathLike[str] | None = None, **filters: Any) -> list[Event]:
    """Return the events of a flow, a file or a folder that pass the filters, in order.

    Args:
        source: A flow id, a file, a folder of files, or None (the default) for the running flow.
        filters: As in ``event_query.matches``: node, level, min_level, event_type, start_time, end_time, span_id, step, text,
            limit.

    Raises:
        QueryError: an unknown filter, or a value it does not take.
        FlowNotFoundError, LogFileError: as in ``get_flow_log``.
    """
    return list(iter_query(source, **filters))


def iter_query(source: str | os.PathLike[str] | None = None, skipped: Skipped | None = None, **filters: Any) -> Iterator[Event]:
    """Yield what ``query`` returns, one event at a time; of files, without holding them in memory."""
    matches(filters)  # a mistake in the filters comes before one in the source
    skipped = Skipped() if skipped is None else skipped
    if is_path(source):
        return select(_stream(_path(source), skipped, filters), filters)
    found = _of_flow(_flow_id(source))
    skipped.dropped[_flow_id(source)] = found.dropped
    return select(found.events, filters)


def is_path(source: str | os.PathLike[str] | None) -> bool:
    """Tell whether a source is a file or a folder rather than a flow id (or None).

    Raises:
        LogFileError: it is none of these.
    """
    if not isinstance(source, (str, os.PathLike, type(None))):
        raise LogFileError(_NOTHING.format(source))
    return source is not None and not (isinstance(source, str) and is_uuid(source.lower()))


def _path(source: str | os.PathLike[str] | None) -> Path:
    if not source or not isinstance(source, (str, os.PathLike)):
        raise LogFileError(_NOTHING.format(source))
    return Path(source)


def _find(source: str | os.PathLike[str] | None) -> Found:
    if not is_path(source):
        return _of_flow(_flow_id(source))
    path, skipped = _path(source), Skipped()
    # A folder may hold the files of several processes, or a log beside its compressed copy.
    events = list(without_repeats(_merged([list(read_events(file, skipped)) for file in _files_of(path)])))
    if not events:
        raise _nothing_in(path, skipped)
    return Found(events, skipped.dropped.get(events[0]["flow_id"], 0))


def _stream(path: Path, skipped: Skipped, filters: Mapping[str, Any]) -> Iterator[Event]:
    """Return an iterator of the events of a file or a folder that may pass the filters, each once, whatever file repeats it."""
    return without_repeats(_streamed(path, skipped, filters))


def _streamed(path: Path, skipped: Skipped, filters: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of a file or a folder that may pass the filters; what a log and its compressed copy share once."""
    empty, wanted = True, line_filter(filters)
    for name, files in groupby(sorted(_files_of(path), key=_log_name), key=_log_name):
        # Only where there is a copy, or a part that was set aside, events are held in memory.
        readers = [read_events(file, skipped, wanted) for file in _still_there(path, name, list(files))]
        for event in readers[0] if len(readers) == 1 else _merged([list(reader) for reader in readers]):
            empty = False
            yield event
    if empty and not (skipped.unread and any(_has_events(file) for file in _files_of(path))):
        raise _nothing_in(path, skipped)


def _still_there(path: Path, name: str, files: list[Path]) -> list[Path]:
    """Return the files of a log; by new names where ``clean`` has compressed it since the folder was listed."""
    if path.is_dir() and not all(map(os.path.exists, files)):
        return [file for file in _files_of(path) if _log_name(file) == name]
    return files


def _log_name(file: Path) -> str:
    return log_name(file.name)


def _has_events(file: Path) -> bool:
    return next(read_events(file), None) is not None


def _nothing_in(path: Path, skipped: Skipped) -> LogFileError:
    detail = f" ({skipped.lines} lines skipped; {skipped.first})" if skipped.lines else ""
    return LogFileError(f"{str(path)!r} holds no events{detail}; give a .jsonl flow log or a folder of them")


def _files_of(path: Path) -> list[Path]:
    return log_files(path) if path.is_dir() else [path]


def _flow_id(source: str | os.PathLike[str] | None) -> str:
    if source is not None:
        return str(source).lower()
    span = current()
    if span is None:
        raise FlowNotFoundError("no flow is running here; name one by its flow_id, or give a log file")
    return span.flow.id


def _of_flow(flow_id: str) -> Found:
    """Return the events of a flow from every ring that has it; where those cannot have them all, from its files as well."""
    rings = [ring for ring in listeners if ring.has(flow_id)]
    kept = _merged([ring.events(flow_id) for ring in rings])
    dropped = min((ring.dropped(flow_id) for ring in rings), default=0)
    events = kept
    if dropped or not rings or any(ring.is_abroad(flow_id) for ring in rings):
        events = _merged([kept, *(_of_file(path, flow_id) for path in _files(flow_id))])
        dropped = max(0, dropped - (len(events) - len(kept)))
    state = flows_known.get(flow_id)
    # A flow of which nobody has heard, or a ring that lets only errors through: nothing is lost, and the log is empty.
    is_empty = state is not None and not state.ended and (state.is_silent or len(listeners) > 0)
    if not events and not is_empty:
        raise FlowNotFoundError(f"flow {flow_id!r} is in no ring buffer and no flow file of this process; {_next_step()}")
    return Found(events, dropped, max((ring.faults(flow_id) for ring in rings), default=0), known_outcome(flow_id))


def _next_step() -> str:
    """Return what to do about a flow that is not found: who silenced the loggers is told so, not to configure them."""
    manager, tea = logging.Logger.manager, logging.getLogger(f"tea.{ROOT_NODE}")
    if manager.disable >= logging.INFO:
        level = logging.getLevelName(manager.disable)
        return f"logging.disable({level}) keeps every logger quiet; call logging.disable(logging.NOTSET) before the flow runs"
    if tea.disabled:
        return (
            f"logger {tea.name!r} is disabled, as dictConfig and fileConfig leave loggers that exist unless they are given "
            "disable_existing_loggers=False"
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


def _merged(sources: list[list[Event]]) -> list[Event]:
    """Return the events of several records of the same flows, each once, ordered by time.

    Two like events of one source are two events; the same event in two sources is one. They are known by when and where they
    happened: what they say may differ, since a secret that was learned later is missing in a later reading, and a file cuts
    events that are too long. Of like events a ring keeps the last, so that they are counted from the end.
    """
    if len(sources) == 1:
        return sources[0]
    taken: Counter[tuple[Any, ...]] = Counter()
    merged: list[Event] = []
    for source in sources:
        here: Counter[tuple[Any, ...]] = Counter()
        new: list[Event] = []
        for event in reversed(source):
            identity = tuple(event[key] for key in _IDENTITY)
            here[identity] += 1
            if here[identity] > taken[identity]:
                taken[identity] += 1
                new.append(event)
        merged[:0] = reversed(new)  # a source that comes later has what the ones before it lost, and that is older
    return sorted(merged, key=lambda event: event["timestamp"])
