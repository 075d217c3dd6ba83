"""Format ``chrome``: the Trace Event Format, for Perfetto (https://ui.perfetto.dev) and chrome://tracing.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. A flow is a process and a lane is a thread. The
viewers drop slices of one thread that overlap, so spans that run in parallel get lanes of their own, with an arrow from their
parent. Times are whole microseconds, rounded so that they nest as the spans do. Where clocks of hosts differ, they are those of
``tree.clocks``: the label of the flow says so, and each shifted span has its ``clock_shift_ms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final

from ..event import SPAN_EVENTS, Event, dumps
from ..flow_log import FlowLog, SpanInfo
from ..text import counted
from ..tree.clocks import DrawnSpan, drawn, shift_notes
from ..tree.drawing import which
from ..tree.lanes import Placed, micros, place
from ._flow_logs import by_start, marked, title

_NAME: Final = 80  # characters of a message that name its event; the arguments have all of it
_COLOURS: Final = {"error": "terrible", "cancelled": "grey"}  # for chrome://tracing; Perfetto chooses its own colours


@dataclass(frozen=True, slots=True)
class _Process:
    """A flow as the viewers see it.

    Attributes:
        log: The flow.
        pid: Its process number.
        spans: Its spans with their lanes.
        arrows: The numbers of arrows, which are unique in the file.
    """

    log: FlowLog
    pid: int
    spans: list[Placed]
    arrows: Iterator[int]

    @property
    def lanes(self) -> int:
        return max((placed.lane for placed in self.spans), default=0) + 1

    def event(self, phase: str, lane: int, **fields: Any) -> dict[str, Any]:
        # Thread numbers are unique in the file. Lane 0 has the number of the process, as a main thread does.
        return {"ph": phase, "pid": self.pid, "tid": self.pid + lane, **fields}


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield one JSON object, with one event of the trace per line."""
    yield '{"displayTimeUnit":"ms","traceEvents":['
    before, pid, arrows = "\n", 1, count(1)
    for log in map(drawn, by_start(events, dropped)):
        process = _Process(log, pid, place(log), arrows)
        for event in chain(_names(process), _slices(process), _moments(process)):
            yield before + dumps(event)
            before = ",\n"
        pid += process.lanes
    yield "\n]}\n"


def _names(process: _Process) -> Iterator[dict[str, Any]]:
    log = process.log
    lost = log.metrics["dropped_count"]
    about = {
        "process_name": {"name": title(log)},
        "process_labels": {
            "labels": ", ".join([log.status, *([f"{counted(lost, 'event')} lost"] if lost else []), *shift_notes(log)])
        },
        "process_sort_index": {"sort_index": process.pid},
    }
    for name, args in about.items():
        yield process.event("M", 0, name=name, args=args)
    for lane in range(process.lanes):
        yield process.event("M", lane, name="thread_name", args={"name": "lane"})
        yield process.event("M", lane, name="thread_sort_index", args={"sort_index": lane})


def _slices(process: _Process) -> Iterator[dict[str, Any]]:
    """Yield a slice for each span, followed by the end of the arrow to it and by the starts of the arrows from it.

    The end of an arrow belongs to the innermost slice that is open at its time, which is the slice just before it.
    """
    events: dict[str, list[Event]] = {}
    for event in process.log.events:
        if event["event_type"] in SPAN_EVENTS:
            events.setdefault(event["span_id"], []).append(event)
    branches = _branches(process.spans)
    heads: dict[str, dict[str, Any]] = {}
    for placed in process.spans:
        span_id = placed.span.span_id
        yield _slice(process, placed, events.get(span_id, []))
        if span_id in heads:
            yield heads[span_id]
        for branch in branches.get(span_id, ()):
            tail, heads[branch.span.span_id] = _arrow(process, placed, branch)
            yield tail


def _branches(spans: list[Placed]) -> dict[str, list[Placed]]:
    """Return, by parent, the spans that are not drawn inside their parent and do not come before it."""
    branches: dict[str, list[Placed]] = {}
    seen = set()
    for placed in spans:
        span = placed.span
        seen.add(span.span_id)
        if not placed.inside and span.parent_id in seen and span.parent_id != span.span_id:
            branches.setdefault(span.parent_id, []).append(placed)
    return branches


def _slice(process: _Process, placed: Placed, events: list[Event]) -> dict[str, Any]:
    span = placed.span
    entry = next((event for event in events if event["event_type"] == "entry"), None)
    start = micros(placed.start)
    plain = process.event(
        "X",
        placed.lane,
        name=marked(span.status, _label(span, entry)),
        cat=span.node.partition(".")[0],
        ts=start,
        dur=micros(placed.end) - start,
        args=_arguments(span, events),
    )
    return {**plain, "cname": _COLOURS[span.status]} if span.status in _COLOURS else plain


def _label(span: SpanInfo, entry: Event | None) -> str:
    return (span.name or span.step or span.node) + which(span, entry)


def _arguments(span: SpanInfo, events: list[Event]) -> dict[str, Any]:
    facts: dict[str, Any] = {"node": span.node, "status": span.status, "span_id": span.span_id}
    if span.step is not None:
        facts["step"] = span.step
    if isinstance(span, DrawnSpan) and span.shift:
        facts["clock_shift_ms"] = round(span.shift * 1000, 3)
    if span.partial:
        facts["start_lost"] = True
    data = {key: value for event in events for key, value in event["data"].items()}
    metrics = span.metrics if span.duration_ms is None else {"duration_ms": span.duration_ms, **span.metrics}
    return {**data, **facts, **({"metrics": metrics} if metrics else {})}


def _arrow(process: _Process, parent: Placed, branch: Placed) -> tuple[dict[str, Any], dict[str, Any]]:
    same: dict[str, Any] = {"name": "branch", "cat": "branch", "id": next(process.arrows)}
    tail = process.event("s", parent.lane, ts=micros(parent.start), **same)
    return tail, process.event("f", branch.lane, ts=micros(branch.start), bp="e", **same)


def _moments(process: _Process) -> Iterator[dict[str, Any]]:
    """Yield what was logged inside spans: messages, also of other loggers, and metrics."""
    lanes = {placed.span.span_id: placed.lane for placed in process.spans}
    for event in process.log.events:
        if event["event_type"] in SPAN_EVENTS:
            continue
        text = " ".join((event["message"] or event["node"]).split())
        yield process.event(
            "i",
            lanes.get(event["span_id"], 0),
            name=text[:_NAME] or event["node"],
            cat=event["event_type"],
            ts=micros(event["timestamp"]),
            s="t",
            args={key: event[key] for key in ("node", "level", "message", "data", "metrics") if event[key]},
        )
