"""Render one run as a page: its tree on a time line, its events, its nodes, and the details of each span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from ..event import EVENT_TYPES, LEVELS, ROOT_NODE, SPAN_EVENTS, STATUSES, Event
from ..flow_log import FlowLog, SpanInfo
from ..text import clock_text, counted, dollars, duration_text
from ..tree.clocks import drawn, shift_notes
from ..tree.drawing import which
from ..tree.lanes import Placed, micros, place
from .template import render_page

_HERE: Final = Path(__file__).parent
_PARTS: Final = (
    *("theme", "values", "messages", "conversation", "nodes", "run_data", "markdown"),
    *("run_list", "run_tree", "run_lanes", "run_events", "run_filters", "run_details"),
)


def run_page(log: FlowLog, index: str | None = None) -> Iterator[str]:
    """Yield the text of an HTML page that shows a run.

    Args:
        log: The run.
        index: The address of a page that lists all runs, or None.
    """
    log = drawn(log)
    yield from render_page(
        _HERE,
        "run",
        _PARTS,
        title=log.name or ROOT_NODE,
        log=log,
        index=index,
        started=_started(log),
        duration=duration_text(log.metrics["total_duration_ms"]),
        figures=list(_figures(log)),
        warnings=list(_warnings(log)),
        statuses=STATUSES,
        levels=LEVELS,
        data=_data(log),
    )


def _started(log: FlowLog) -> str:
    return clock_text(log.events[0]["timestamp"]) if log.events else "?"


def _about(log: FlowLog) -> dict[str, Any]:
    """Return what the run as Markdown begins with."""
    took = log.metrics["total_duration_ms"]
    return {
        "name": log.name or ROOT_NODE,
        "status": log.status,
        "flow_id": log.flow_id,
        "started": _started(log),
        "figures": [*(() if took is None else (duration_text(took),)), *(f"{figure} {name}" for name, figure in _figures(log))],
        "warnings": list(_warnings(log)),
    }


def _figures(log: FlowLog) -> Iterator[tuple[str, str]]:
    metrics = log.metrics
    for noun in ("node", "event", "error"):
        if (count := metrics[f"{noun}_count"]) or noun != "error":
            figure, unit = counted(count, noun).split()
            yield unit, figure
    if metrics["tokens"]:
        yield "tokens", f"{metrics['tokens']:,}"
    if metrics["cost_usd"]:
        yield "cost", dollars(metrics["cost_usd"])


def _warnings(log: FlowLog) -> Iterator[str]:
    if log.status == "running":
        yield "The log has no end: the flow is still running, or its process was killed."
    if log.status == "unknown":
        yield "The flow's own events are not in the log, perhaps because of its level: it is not known how the flow ended."
    if lost := log.metrics["dropped_count"]:
        yield f"The ring buffer dropped {counted(lost, 'event')} before this log was written."
    if faults := log.metrics["fault_count"]:
        yield f"Logging itself failed {counted(faults, 'time')}."
    for note in shift_notes(log):
        yield f"{note[0].upper()}{note[1:]}."


def _data(log: FlowLog) -> dict[str, Any]:
    """Return the data of the page's script. Names are listed once; spans and events refer to them by number.

    ``start`` is in Unix milliseconds; all other times are in microseconds from there, and ``end`` is the last of them. A span is
    ``[id, parent, node, step, label, status, time, length, lane, depth, duration_ms, metrics, is_start_lost]``, parents before
    children (parent -1: none); an event is ``[span, node, type, level, time, message, data, metrics]``.
    """
    names: dict[str, int] = {}
    placed_spans = {placed.span.span_id: placed for placed in place(log)}
    first = min([placed.start for placed in placed_spans.values()] + [event["timestamp"] for event in log.events], default=0.0)
    begin = micros(first)
    order = _ordered(log)
    numbers = {span.span_id: number for number, (_, span) in enumerate(order)}
    entries = {event["span_id"]: event for event in log.events if event["event_type"] == "entry"}
    # A log of another writer, or of a later version, may have further types.
    types = _numbered([*EVENT_TYPES, *(event["event_type"] for event in log.events)])
    spans = []
    for depth, span in order:
        name = names.setdefault(span.node, len(names))
        label = _label(span, entries.get(span.span_id))
        spans.append(_span(span, placed_spans[span.span_id], begin, depth, name, numbers, label))
    events = [_event(event, begin, names, types, numbers) for event in log.events]
    ends = [span[6] + span[7] for span in spans] + [event[4] for event in events]
    nodes = [{"node": node, **figures} for node, figures in log.metrics["nodes"].items()]
    return {
        "about": _about(log),
        "start": first * 1000,
        "end": max(ends, default=0),
        "names": list(names),
        "types": list(types),
        "span_types": sorted(SPAN_EVENTS),
        "levels": LEVELS,
        "statuses": STATUSES,
        "spans": spans,
        "events": events,
        "nodes": nodes,
    }


def _ordered(log: FlowLog) -> list[tuple[int, SpanInfo]]:
    """Return all spans with their depths, parents before children."""
    order = list(log.walk())
    reached = {span.span_id for _, span in order}
    # Broken parent ids may form a circle, which a walk from the roots does not reach.
    return [*order, *((0, span) for span in log.spans if span.span_id not in reached)]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _label(span: SpanInfo, entry: Event | None) -> str:
    return (span.name or span.step or span.node) + which(span, entry)


def _span(span: SpanInfo, placed: Placed, begin: int, depth: int, name: int, numbers: dict[str, int], label: str) -> list[Any]:
    parent = numbers.get(span.parent_id or "", -1)
    start = micros(placed.start)
    return [
        span.span_id,
        parent if depth else -1,
        name,
        span.step,
        label,
        STATUSES.index(span.status),
        start - begin,
        micros(placed.end) - start,
        placed.lane,
        depth,
        span.duration_ms,
        span.metrics,
        span.partial and span.duration_ms is not None,
    ]


def _event(event: Event, begin: int, names: dict[str, int], types: dict[str, int], numbers: dict[str, int]) -> list[Any]:
    return [
        numbers.get(event["span_id"], -1),
        names.setdefault(event["node"], len(names)),
        types[event["event_type"]],
        LEVELS.index(event["level"]),
        micros(event["timestamp"]) - begin,
        event["message"],
        event["data"],
        event["metrics"],
    ]
