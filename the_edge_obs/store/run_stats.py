"""Statistics of nodes over many runs, computed in one pass that keeps no events."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..event import CONTINUED, SPAN_EVENTS, Event, Total, float_sum, root_rank, without_repeats
from ..flow_log import percentile
from ..handlers.span_stream import EndedSpan, SpanStream

__all__ = ["NodeStats", "RunStats", "node_stats"]


@dataclass(slots=True)
class NodeStats:
    """One node over many runs.

    Attributes:
        node: The node's name.
        count, errors: Number of spans, and number of failed ones.
        durations: Milliseconds of each span that has an end. They take eight bytes per span, and percentiles are exact.
        tokens, cost_usd: Totals, counted as in ``handlers.span_stream``.
    """

    node: str
    count: int = 0
    errors: int = 0
    durations: array[float] = field(default_factory=lambda: array("d"), repr=False)
    tokens: Total = field(default_factory=Total)
    cost_usd: Total = field(default_factory=Total)

    def add(self, span: EndedSpan) -> None:
        """Count one more span of the node."""
        self.count += 1
        if span.status == "error":
            self.errors += 1
        if span.duration_ms is not None:
            self.durations.append(span.duration_ms)
        if figures := span.figures:
            self.tokens.add(figures.get("tokens", 0))
            self.cost_usd.add(figures.get("cost_usd", 0))

    def to_dict(self) -> dict[str, Any]:
        """Return ``node``, ``count``, ``errors``, ``total_ms``, ``p50_ms``, ``p95_ms``, ``max_ms``, ``tokens``, ``cost_usd``.

        Percentiles are by nearest rank, as in a flow log. They and the maximum are None if no span has an end.
        """
        ordered = sorted(self.durations)
        return {
            "node": self.node,
            "count": self.count,
            "errors": self.errors,
            "total_ms": round(float_sum(ordered), 6),
            "p50_ms": percentile(ordered, 50),
            "p95_ms": percentile(ordered, 95),
            "max_ms": ordered[-1] if ordered else None,
            "tokens": self.tokens.value(),
            "cost_usd": round(float(self.cost_usd.value()), 12),
        }


@dataclass(slots=True)
class RunStats:
    """Statistics over many runs.

    Attributes:
        runs, events: How many there are.
        nodes: The statistics of each node, by its name. The node ``flow`` stands for the runs themselves.
    """

    runs: int = 0
    events: int = 0
    nodes: dict[str, NodeStats] = field(default_factory=dict)

    def of(self, node: str) -> NodeStats:
        """Return the statistics of a node, new ones if it has none."""
        stats = self.nodes.get(node)
        if stats is None:
            stats = self.nodes[node] = NodeStats(node)
        return stats

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the statistics of each node as a dict, ordered by name."""
        return [self.nodes[node].to_dict() for node in sorted(self.nodes)]


class _Flow:
    """One flow: its spans, and its roots of the highest rank (``event.root_rank``), each of which is a run."""

    __slots__ = ("rank", "roots", "seen", "spans")

    def __init__(self) -> None:
        self.rank, self.spans = 0, SpanStream()
        self.roots: dict[str, str | None] = {}  # the parent of each
        self.seen: set[str] = set()  # span ids, while all roots have a parent; it may be one of these

    def note(self, event: Event) -> None:
        """Note an entry or end event, which may be that of a root."""
        rank = root_rank(event["node"], event["parent_id"])
        if self.rank <= CONTINUED:
            self.seen.add(event["span_id"])
        if rank > self.rank:
            self.roots.clear()
            self.rank = rank
            if rank > CONTINUED:
                self.seen.clear()
        if rank == self.rank > 0:
            self.roots.setdefault(event["span_id"], event["parent_id"])

    def runs(self) -> int:
        """Return the number of runs. A root that continues a span of this log is none; without roots, the flow is one run."""
        own = self.roots
        if self.rank == CONTINUED:
            own = {root: parent for root, parent in own.items() if parent == root or parent not in self.seen}
        return len(own) or 1


def node_stats(events: Iterable[Event], stats: RunStats | None = None) -> RunStats:
    """Return the statistics of some events. An event that is there twice counts once.

    Args:
        events: The events of any number of runs, each run in the order in which it was logged.
        stats: Statistics of other runs, to which those of the events are added. Default: new ones.
    """
    flows: dict[str, _Flow] = {}
    stats = RunStats() if stats is None else stats
    count = 0
    for event in without_repeats(events):
        count += 1
        flow = flows.get(event["flow_id"])
        if flow is None:
            flow = flows[event["flow_id"]] = _Flow()
        if event["event_type"] in SPAN_EVENTS:
            flow.note(event)
        if (span := flow.spans.add(event)) is not None:
            stats.of(span.node).add(span)
    for flow in flows.values():
        for span in flow.spans.rest():
            stats.of(span.node).add(span)
    stats.runs, stats.events = stats.runs + sum(flow.runs() for flow in flows.values()), stats.events + count
    return stats
