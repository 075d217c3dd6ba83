"""One run as a page: its tree on a time line, its events, its nodes, and the details of any span."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ..event import EVENT_TYPES, LEVELS, ROOT_NODE, SPAN_EVENTS, STATUSES, Event
from ..flow_log import FlowLog, SpanInfo
from ..lanes import Placed, micros, place
from ..tree import clock_text, counted, dollars, duration_text, which
from .template import render_page

_HERE: Final = Path(__file__).parent


def run_page(log: FlowLog, index: str | None = None) -> Iterator[str]:
    """Yield the text of an HTML page that shows a run.

    Args:
        log: The run.
        index: The address of a page that lists this run with others, or None.
    """
    yield from render_page(
        _HERE,
        "run",
        title=log.name or ROOT_NODE,
        log=log,
        index=index,
        started=clock_text(log.events[0]["timestamp"]) if log.events else "?",
        duration=duration_text(log.metrics["total_duration_ms"]),
        figures=list(_figures(log)),
        warnings=list(_warnings(log)),
        statuses=STATUSES,
        levels=LEVELS,
        data=_data(log),
    )


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
        yield "The log has no end: the flow is running, or its process died."
    if log.status == "unknown":
        yield "The flow's own events are not in the log, as where their level filters them: how it ended is not known."
    if lost := log.metrics["dropped_count"]:
        yield f"{counted(lost, 'event')} had to leave the ring buffer before this log was written."
    if faults := log.metrics["fault_count"]:
        yield f"Logging itself failed {counted(faults, 'time')}."


def _data(log: FlowLog) -> dict[str, Any]:
    """Return what the page's script draws: names are said once, all else refers to them by number.

    ``start`` is in Unix milliseconds, all times after it in microseconds from there, ``end`` is the last of them. A span is
    ``[id, parent, node, step, label, status, time, length, lane, depth, duration_ms, metrics, is_start_lost]``, parents before
    children (parent -1: none); an event ``[span, node, type, level, time, message, data, metrics]``.
    """
    names: dict[str, int] = {}
    placed = {one.span.span_id: one for one in place(log)}
    first = min([one.start for one in placed.values()] + [event["timestamp"] for event in log.events], default=0.0)
    begin = micros(first)
    order = list(log.walk())
    seen = {span.span_id for _, span in order}
    # Broken parent ids may go round in a circle, which no walk from the top reaches.
    order += [(0, span) for span in log.spans if span.span_id not in seen]
    numbers = {span.span_id: number for number, (_, span) in enumerate(order)}
    entries = {event["span_id"]: event for event in log.events if event["event_type"] == "entry"}
    # Logs of other writers, or of a later version, may have more types than ours.
    types = {
        name: number for number, name in enumerate(dict.fromkeys([*EVENT_TYPES, *(event["event_type"] for event in log.events)]))
    }
    spans = []
    for depth, span in order:
        name = names.setdefault(span.node, len(names))
        spans.append(_span(span, placed[span.span_id], begin, depth, name, numbers, _label(span, entries.get(span.span_id))))
    events = [_event(event, begin, names, types, numbers) for event in log.events]
    ends = [span[6] + span[7] for span in spans] + [event[4] for event in events]
    nodes = [{"node": node, **figures} for node, figures in log.metrics["nodes"].items()]
    return {
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
