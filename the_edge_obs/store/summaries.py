"""Many runs at a glance: which ones a file or folder holds, found out in one pass that keeps no events.

A run is a root. Most flows have one; requests that continue one foreign trace are runs of their own with one flow id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..event import ALONE, CONTINUED, ENDS, Event, is_failure, name_of_root, root_rank, status_of, without_repeats
from .span_stream import EndedSpan, SpanStream


@dataclass(slots=True)
class FlowSummary:
    """One run at a glance.

    Attributes:
        flow_id: The flow; runs that continue one foreign trace share it.
        name: What it is called, or None where its first event is lost.
        status: ok, error, cancelled, running (also: its process died), or unknown where its root is not in the log.
        start, end: Unix seconds of its earliest and latest event.
        duration_ms: Of its root span, or None while running.
        events: How many events there are.
        errors: How many errors arose.
        tokens, cost_usd: Counted as ``store.span_stream`` does, of what has ended; ``FlowSummaries.rest`` adds what has not.
        alone: Whether its root opened by itself, with no flow around it: so does a node whose context was lost.
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
    alone: bool = False

    def count(self, event: Event) -> None:
        """Count one more event, and when it was."""
        self._widen(event["timestamp"], event["timestamp"])
        self.events += 1

    def absorb(self, other: FlowSummary) -> None:
        """Count what belongs to the same flow, and to no other run of it."""
        if other.events:
            self._widen(other.start, other.end)
        self.events, self.errors = self.events + other.events, self.errors + other.errors
        self.tokens, self.cost_usd = self.tokens + other.tokens, self.cost_usd + other.cost_usd

    def _widen(self, start: float, end: float) -> None:
        self.start, self.end = (min(self.start, start), max(self.end, end)) if self.events else (start, end)


@dataclass(slots=True)
class _Root:
    """A root and what is known of its run; ``node`` is None until its entry has come."""

    run: FlowSummary
    parent: str | None
    node: str | None = None

    def add(self, event: Event) -> None:
        """Take an entry or end of the root span into account."""
        run, kind = self.run, event["event_type"]
        if kind == "entry":
            if self.node is None:
                self.node, run.name = event["node"], name_of_root(event)
        elif self.node is None or event["node"] == self.node:  # another node's is an error that was logged by hand
            duration = event["metrics"].get("duration_ms")
            run.status = status_of(event)
            run.duration_ms = duration if isinstance(duration, (int, float)) else None


class _Flow:
    """One flow: its roots of the highest rank (``event.root_rank``), and what belongs to none of them."""

    __slots__ = ("_loose", "_rank", "_roots", "_seen", "_spans")

    def __init__(self, flow_id: str, moment: float) -> None:
        self._loose = FlowSummary(flow_id, None, "unknown", moment, moment)
        self._roots: dict[str, _Root] = {}
        self._rank = 0
        self._spans = SpanStream()
        self._seen: set[str] = set()  # spans, while all roots have a parent, which may be one of these

    def add(self, event: Event) -> EndedSpan | None:
        kind, span_id = event["event_type"], event["span_id"]
        top = self._spans.top_of(event)
        if kind == "entry" or kind in ENDS:
            self._note(event, span_id)
        run = self._run_of(top)
        run.count(event)
        span = self._spans.add(event)
        if span is not None:
            self._counted(span)
        elif is_failure(event):
            run.errors += 1  # logged by hand
        return span

    def _note(self, event: Event, span_id: str) -> None:
        rank = root_rank(event["node"], event["parent_id"])
        if self._rank <= CONTINUED:
            self._seen.add(span_id)
        if rank > self._rank:
            for lesser in self._roots.values():
                self._loose.absorb(lesser.run)
            self._roots.clear()
            self._rank = rank
            if rank > CONTINUED:
                self._seen.clear()
        root = self._roots.get(span_id)
        if root is None and rank == self._rank > 0:
            root = self._roots[span_id] = _Root(self._new_run(event), event["parent_id"])
        if root is not None:
            root.add(event)

    def _new_run(self, event: Event) -> FlowSummary:
        moment = event["timestamp"]
        return FlowSummary(self._loose.flow_id, None, "running", moment, moment, alone=self._rank == ALONE)

    def _run_of(self, top: str) -> FlowSummary:
        root = self._roots.get(top)
        return self._loose if root is None else root.run

    def rest(self) -> Iterator[EndedSpan]:
        for span in self._spans.rest():
            self._counted(span)
            yield span

    def _counted(self, span: EndedSpan) -> None:
        run = self._run_of(span.top)
        run.errors += span.errors
        run.tokens += span.figures.get("tokens", 0)
        run.cost_usd += span.figures.get("cost_usd", 0)

    def runs(self) -> list[FlowSummary]:
        """Return a run for each root, by start; what belongs to none counts in the first."""
        loose = replace(self._loose)
        runs = []
        for root in self._roots.values():
            if self._rank == CONTINUED and root.parent in self._seen and self._roots.get(root.parent or "") is not root:
                loose.absorb(root.run)  # it continues a span that is in this log
            else:
                runs.append(replace(root.run))
        runs.sort(key=lambda run: run.start)
        if not runs:
            return [loose]
        if loose.events:
            runs[0].absorb(loose)
        return runs


class FlowSummaries:
    """The runs of a stream of events, in the order in which their flows first appear."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}

    @property
    def flow_count(self) -> int:
        """The number of flow ids."""
        return len(self._flows)

    def __iter__(self) -> Iterator[FlowSummary]:
        for flow in self._flows.values():
            yield from flow.runs()

    def add(self, event: Event) -> EndedSpan | None:
        """Take an event into account; return the span that it ends, if it does."""
        flow_id = event["flow_id"]
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = _Flow(flow_id, event["timestamp"])
        return flow.add(event)

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans that have no end, and count what is known of them: once all has been read."""
        for flow in self._flows.values():
            yield from flow.rest()


def summarise(events: Iterable[Event]) -> list[FlowSummary]:
    """Return the runs that events belong to, by start; an event that is there twice counts once."""
    found = FlowSummaries()
    for event in without_repeats(events):
        found.add(event)
    for _ in found.rest():
        pass
    return sorted(found, key=lambda run: run.start)
