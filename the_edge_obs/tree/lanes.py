"""Lanes: where the spans of a flow are drawn, so that what ran side by side lies side by side.

On a lane, spans lie one behind the other, or a span lies inside its parent and within its time. So a viewer that knows nothing
of parents, and makes a tree of what lies inside what, finds the tree of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from .flow_facts import FlowFacts, SpanInfo


@dataclass(frozen=True, slots=True)
class Placed:
    """A span with its place.

    Attributes:
        span: The span.
        start, end: Unix seconds, end not before start. What has no end lasts as long as anything is known of the flow.
        lane: 0 for the flow's own span and what runs in it one after the other; the lowest one that is free for all else.
        inside: Whether it lies inside its parent. Otherwise nothing is around it: it runs beside a sibling, goes on after its
            parent has ended, or has no parent in the log.
    """

    span: SpanInfo
    start: float
    end: float
    lane: int
    inside: bool


def place(log: FlowFacts) -> list[Placed]:
    """Return the spans of a flow log with their places, ordered by start, parents before children."""
    starts = _starts(log)
    last = max((event["timestamp"] for event in log.events), default=0.0)
    order = {span.span_id: number for number, (_, span) in enumerate(log.walk())}
    # Broken parent ids may go round in a circle, which no walk from the top reaches.
    spans = sorted(log.spans, key=lambda span: (starts[span.span_id], order.get(span.span_id, len(order))))
    lanes = _Lanes()
    placed = []
    for span in spans:
        start = starts[span.span_id]
        placed.append(lanes.add(span, start, max(start, last if span.end is None else span.end)))
    return placed


def micros(seconds: float) -> int:
    """Return a time in whole microseconds. What nests or lies apart still does then: all times are rounded alike."""
    return round(seconds * 1e6)


def _starts(log: FlowFacts) -> dict[str, float]:
    """Return each span's start; one that is only reckoned, since the entry is lost, gives way to what its children say."""
    starts = {span.span_id: max(span.start, 0.0) for span in log.spans}
    for _, span in reversed(list(log.walk())):
        if span.partial:
            starts[span.span_id] = min([starts[span.span_id], *(starts[child] for child in span.children)])
    return starts


class _Lanes:
    """The lanes while they are filled, by spans in the order of their starts."""

    def __init__(self) -> None:
        self._open: list[list[Placed]] = []  # by lane: what lies in what, the outermost first
        self._busy: list[tuple[float, int]] = []  # a heap: when the outermost span of a lane ends
        self._free: list[int] = []  # a heap
        self._lane_of: dict[str, int] = {}

    def add(self, span: SpanInfo, start: float, end: float) -> Placed:
        """Place a span: into its parent if that has room, otherwise on a lane where nothing is."""
        lane = self._lane_of.get(span.parent_id) if span.parent_id is not None else None
        inside = lane is not None and self._has_room(lane, span, start, end)
        if lane is None or not inside:
            lane = self._empty(start)
            self._open[lane].clear()
            heappush(self._busy, (end, lane))
        placed = Placed(span, start, end, lane, inside)
        self._open[lane].append(placed)
        self._lane_of[span.span_id] = lane
        return placed

    def _has_room(self, lane: int, span: SpanInfo, start: float, end: float) -> bool:
        around = self._open[lane]
        while around and around[-1].end <= start and around[-1].span.span_id != span.parent_id:
            around.pop()
        return bool(around) and around[-1].span.span_id == span.parent_id and around[-1].end >= end

    def _empty(self, start: float) -> int:
        while self._busy and self._busy[0][0] <= start:
            heappush(self._free, heappop(self._busy)[1])
        if self._free:
            return heappop(self._free)
        self._open.append([])
        return len(self._open) - 1
