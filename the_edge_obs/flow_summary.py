"""Many flows at a glance: which ones a file or folder holds, found out in one pass that keeps no events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .event import Event
from .span_stream import EndedSpan, SpanStream

_ROOT_NODE = "flow"


@dataclass(slots=True)
class FlowSummary:
    """One flow at a glance.

    Attributes:
        flow_id: The run.
        name: What it is called, or None where its first event is lost.
        status: ok, error, cancelled, or running (also: its process died).
        start, end: Unix seconds of its earliest and latest event.
        duration_ms: Of its root span, or None while running.
        events: How many events there are.
        errors: How many of them are errors of a span.
        tokens, cost_usd: Counted as ``span_stream`` does, of what has ended; ``rest`` adds what has not.
    """

    flow_id: str
    name: str | None
    status: str
    start: float
    end: float
    duration_ms: float | None = None
    events: int = 0
    errors: int = 0
    tokens: float = 0
    cost_usd: float = 0
    _root: str = ""
    _rank: int = 0
    _spans: SpanStream = field(default_factory=SpanStream, repr=False, compare=False)

    def add(self, event: Event) -> EndedSpan | None:
        """Take one more event of the flow into account; return the span that it ends, if it does."""
        self.events += 1
        self.start, self.end = min(self.start, event["timestamp"]), max(self.end, event["timestamp"])
        kind = event["event_type"]
        if kind == "error" and not event["data"].get("cancelled"):
            self.errors += 1
        if kind in ("entry", "exit", "error") and (rank := _rank(event)) >= max(self._rank, 1):
            if rank > self._rank:
                self._root, self._rank, self.name, self.status, self.duration_ms = event["span_id"], rank, None, "running", None
            if event["span_id"] == self._root:
                self._add_of_root(event)
        return self._counted(self._spans.add(event))

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans that have no end, and count what is known of them."""
        for span in self._spans.rest():
            self._counted(span)
            yield span

    def _counted(self, span: EndedSpan | None) -> EndedSpan | None:
        if span is not None:
            self.tokens += span.figures.get("tokens", 0)
            self.cost_usd += span.figures.get("cost_usd", 0)
        return span

    def _add_of_root(self, event: Event) -> None:
        data, kind = event["data"], event["event_type"]
        if kind == "entry":
            name = data.get("name")
            self.name = name if isinstance(name, str) else event["node"]
            return
        self.status = "ok" if kind == "exit" else "cancelled" if data.get("cancelled") else "error"
        duration = event["metrics"].get("duration_ms")
        self.duration_ms = duration if isinstance(duration, (int, float)) else None


def _rank(event: Event) -> int:
    """Tell how sure an event is one of the root span, as ``flow_log`` chooses it: 3 surely, 0 not at all.

    A span of another node without a parent may stand beside the root, and the root of a flow that goes on from another
    process has a parent, in the log of that one.
    """
    is_flow = bool(event["node"] == _ROOT_NODE)
    return 2 + is_flow if event["parent_id"] is None else int(is_flow)


class FlowSummaries:
    """The flows of a stream of events, in the order in which they first appear."""

    def __init__(self) -> None:
        self._flows: dict[str, FlowSummary] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[FlowSummary]:
        return iter(self._flows.values())

    def add(self, event: Event) -> EndedSpan | None:
        """Take an event into account; return the span that it ends, if it does."""
        flow_id, moment = event["flow_id"], event["timestamp"]
        summary = self._flows.get(flow_id)
        if summary is None:
            summary = self._flows[flow_id] = FlowSummary(flow_id, None, "running", moment, moment)
        return summary.add(event)

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans that have no end, and count what is known of them: once all has been read."""
        for summary in self:
            yield from summary.rest()


def summarise(events: Iterable[Event]) -> list[FlowSummary]:
    """Return the flows that events belong to, by start."""
    found = FlowSummaries()
    for event in events:
        found.add(event)
    for _ in found.rest():
        pass
    return sorted(found, key=lambda summary: summary.start)
