"""Statistics of nodes over many runs, computed in one pass that keeps no events."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..event import Event, without_repeats
from ..flow_log import percentile
from .span_stream import EndedSpan
from .summaries import FlowSummaries

__all__ = ["NodeStats", "node_stats"]


@dataclass(slots=True)
class NodeStats:
    """One node over many runs.

    Attributes:
        node: The node's name.
        count, errors: Number of spans, and number of failed ones.
        durations: Milliseconds of each span that has an end. They take eight bytes per span, and percentiles are exact.
        tokens, cost_usd: Totals, counted as in ``store.span_stream``.
    """

    node: str
    count: int = 0
    errors: int = 0
    durations: array[float] = field(default_factory=lambda: array("d"), repr=False)
    tokens: float = 0
    cost_usd: float = 0.0

    def add(self, span: EndedSpan) -> None:
        """Count one more span of the node."""
        self.count += 1
        self.errors += span.status == "error"
        if span.duration_ms is not None:
            self.durations.append(span.duration_ms)
        self.tokens += span.figures.get("tokens", 0)
        self.cost_usd += span.figures.get("cost_usd", 0)

    def to_dict(self) -> dict[str, Any]:
        """Return ``node``, ``count``, ``errors``, ``total_ms``, ``p50_ms``, ``p95_ms``, ``max_ms``, ``tokens``, ``cost_usd``.

        Percentiles are by nearest rank, as in a flow log. They and the maximum are None if no span has an end.
        """
        ordered = sorted(self.durations)
        return {
            "node": self.node,
            "count": self.count,
            "errors": self.errors,
            "total_ms": round(sum(ordered), 6),
            "p50_ms": percentile(ordered, 50),
            "p95_ms": percentile(ordered, 95),
            "max_ms": ordered[-1] if ordered else None,
            "tokens": self.tokens,
            "cost_usd": round(self.cost_usd, 12),
        }


def node_stats(events: Iterable[Event]) -> tuple[FlowSummaries, list[NodeStats]]:
    """Return the runs of some events, and the statistics of each of their nodes, ordered by name.

    The node ``flow`` stands for the runs themselves. An event that is there twice counts once.
    """
    flows, nodes = FlowSummaries(), dict[str, NodeStats]()

    def count(span: EndedSpan) -> None:
        stats = nodes.get(span.node)
        if stats is None:
            stats = nodes[span.node] = NodeStats(span.node)
        stats.add(span)

    for event in without_repeats(events):
        if (span := flows.add(event)) is not None:
            count(span)
    for span in flows.rest():
        count(span)
    return flows, [nodes[node] for node in sorted(nodes)]
