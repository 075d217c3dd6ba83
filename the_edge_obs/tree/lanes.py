"""Lanes: assign the spans of a flow to lanes, so that spans that ran in parallel are drawn side by side.

On a lane, spans follow one another, or a span lies inside its parent, within the parent's time. So a viewer that does not know
parents and builds a tree from the nesting of times shows the tree of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from .clocks import drawn
from .flow_facts import FlowFacts, SpanInfo


@dataclass(frozen=True, slots=True)
class Placed:
    """A span with its lane and its time.

    Attributes:
        span: The span.
        start, end: Unix seconds; end is not before start. A span without an end lasts until the last event of the flow.
        lane: 0 for the flow's own span and the spans that run in it one after another; otherwise the lowest free lane.
        inside: Whether the span lies inside its parent on the lane. Otherwise nothing encloses it: it runs beside a sibling,
            continues after its parent has ended, or has no parent in the log.
    """

    span: SpanInfo
    start: float
    end: float
    lane: int
    inside: bool


def place(log: FlowFacts) -> list[Placed]:
    """Return the spans of a flow log with their lanes, ordered by start, parents before children.

    Spans are placed where ``clocks.drawn`` puts them.
    """
    log = drawn(log)
    starts = _starts(log)
    last = max((event["timestamp"] for event in log.events), default=0.0)
    order = {span.span_id: number for number, (_, span) in enumerate(log.walk())}
    # Broken parent ids may form a cycle, which no walk from the top reaches.
    spans = sorted(log.spans, key=lambda span: (starts[span.span_id], order.get(span.span_id, len(order))))
    lanes = _Lanes()
    placed = []
    for span in spans:
        start = starts[span.span_id]
        placed.append(lanes.add(span, start, max(start, last if span.end is None else span.end)))
    return placed


def micros(seconds: float) -> int:
    """Return a time in whole microseconds. All times are rounded in the same way, so nesting and order are kept."""
    return round(seconds * 1e6)


def _starts(log: FlowFacts) -> dict[str, float]:
    """Return each span's start. If the entry is lost, the start is computed, and cannot be later than that of a child."""
    starts = {span.span_id: max(span.start, 0.0) for span in log.spans}
    for _, span in reversed(list(log.walk())):
        if span.partial:
            starts[span.span_id] = min([starts[span.span_id], *(starts[child] for child in span.children)])
    return starts


class _Lanes:
    """The lanes, while they are filled with spans in the order of their starts."""

    def __init__(self) -> None:
        self._open: list[list[Placed]] = []  # by lane: the nested spans, the outermost first
        self._busy: list[tuple[float, int]] = []  # a heap: the end of a lane's outermost span, and the lane
        self._free: list[int] = []  # a heap
        self._lane_of: dict[str, int] = {}

    def add(self, span: SpanInfo, start: float, end: float) -> Placed:
        """Place a span inside its parent if that has room, otherwise on a free lane."""
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
