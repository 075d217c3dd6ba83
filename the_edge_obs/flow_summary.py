"""Many flows at a glance: which ones a file or folder holds, found out in one pass that keeps no events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .event import Event

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
    """

    flow_id: str
    name: str | None
    status: str
    start: float
    end: float
    duration_ms: float | None = None
    events: int = 0
    errors: int = 0
    _root: str = ""
    _rank: int = 0

    def add(self, event: Event) -> None:
        """Take one more event of the flow into account."""
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

    def add(self, event: Event) -> FlowSummary:
        """Take an event into account, and return the summary of its flow."""
        flow_id, moment = event["flow_id"], event["timestamp"]
        summary = self._flows.get(flow_id)
        if summary is None:
            summary = self._flows[flow_id] = FlowSummary(flow_id, None, "running", moment, moment)
        summary.add(event)
        return summary


def summarise(events: Iterable[Event]) -> list[FlowSummary]:
    """Return the flows that events belong to, by start."""
    found = FlowSummaries()
    for event in events:
        found.add(event)
    return sorted(found, key=lambda summary: summary.start)
