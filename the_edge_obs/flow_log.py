"""A flow log: one flow's events, and its spans, tree, timeline and totals.

Nothing is counted twice. A flow's duration is the wall time of its root span, never a sum. Tokens and costs count in the
innermost span that reports them: a span's own figure counts only if no span below it reports the same figure. An error
counts in the span where it arose, not in the spans that it passes through. An event that is there twice counts once. The
order of the events does not matter, except between events of the same microsecond. A span without its entry is kept as
``partial``, one without an end is ``running``.

Several roots may share a flow, for example the requests that continue one foreign trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from .context import flows_known
from .errors import FlowNotFoundError
from .event import (
    COUNTED,
    ENDS,
    ROOT_NODE,
    Event,
    float_sum,
    in_order,
    is_answered,
    is_failure,
    is_number,
    name_of_root,
    root_rank,
    status_of,
    without_circles,
    worst,
)
from .tree.flow_facts import SpanInfo, came_out, passed_keys

__all__ = [
    "COUNTED", "FlowLog", "Outcome", "SpanInfo", "build_flow_log", "empty_flow_log", "known_outcome", "percentile",
    "spans_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class FlowLog:
    """Everything known about one flow. ``str()`` draws the tree of its spans, and a notebook shows a small page.

    Attributes:
        flow_id: The run.
        name: The flow's name, from its first root; None if that is lost.
        status: ok, error, cancelled, running (also if its process died), or unknown (no root is in the log). With several roots,
            the worst of theirs.
        events: Event dicts, ordered by time.
        spans: ``SpanInfo`` objects, ordered by start; ``children`` and ``parent_id`` form the tree.
        metrics: A dict of totals: ``total_duration_ms`` (milliseconds, None while running; with several roots, from the first
            start to the last end), ``node_count``, ``event_count``, ``error_count`` (each error counts once, where it arose),
            ``dropped_count``, ``fault_count`` (failures of logging itself), ``tokens``, ``input_tokens``, ``output_tokens``,
            ``cost_usd``, and ``nodes``: by node ``count``, ``errors``, ``total_ms``, ``p50_ms``, ``p95_ms``, ``max_ms``
            (percentiles by nearest rank), ``tokens`` and ``cost_usd`` (they add up to the totals).

    Example:
        >>> log = obs.get_flow_log(run.flow_id)
        >>> log.status, log.metrics["error_count"]
        ('ok', 0)
        >>> print(log)
    """

    flow_id: str
    name: str | None
    status: str
    events: list[Event]
    spans: list[SpanInfo]
    metrics: dict[str, Any]

    def __repr__(self) -> str:
        """Return a one-line summary, because there may be many events."""
        metrics = self.metrics
        took = "" if metrics["total_duration_ms"] is None else f" in {metrics['total_duration_ms']:.1f} ms"
        counts = ((metrics[f"{what}_count"], what) for what in ("node", "event", "error"))
        summary = ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in counts)
        return f"<FlowLog {self.name!r} {self.status}{took}, {summary}>"

    def __str__(self) -> str:
        """Return the tree of the spans and the totals, in the width of the terminal and the characters that stdout can encode."""
        import shutil

        from .text import View, drawable
        from .tree.drawing import render

        width = shutil.get_terminal_size((100, 24)).columns
        return "\n".join(render(self, View(width, unicode=drawable(getattr(sys.stdout, "encoding", None) or "utf-8"))))

    def _repr_html_(self) -> str:
        """Return a small HTML page. IPython calls this method."""
        from .tree.notebook import page

        return page(self)

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """Events and spans in one list, ordered by time; each has a ``type``, ``event`` or ``span``."""
        events = [(event["timestamp"], {"type": "event", **event}) for event in self.events]
        spans = [(span.start, {"type": "span", **span.to_dict()}) for span in self.spans]
        return [entry for _, entry in sorted(spans + events, key=lambda pair: pair[0])]

    @property
    def roots(self) -> list[SpanInfo]:
        """The spans at the top of the tree, ordered by start."""
        return _tops({span.span_id: span for span in self.spans})

    def walk(self) -> Iterator[tuple[int, SpanInfo]]:
        """Yield each span of the tree with its depth (0 for a root), parents before children."""
        by_id = {span.span_id: span for span in self.spans}
        waiting = [(0, span) for span in reversed(self.roots)]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            if span.children:
                waiting.extend((depth + 1, by_id[child]) for child in reversed(span.children))

    def to_dict(self) -> dict[str, Any]:
        """Return the flow log as a dict of JSON values: the attributes, and the timeline."""
        return {
            "flow_id": self.flow_id,
            "name": self.name,
            "status": self.status,
            "events": self.events,
            "spans": [span.to_dict() for span in self.spans],
            "metrics": self.metrics,
            "timeline": self.timeline,
        }


class Outcome(NamedTuple):
    """What the process that runs a flow knows about it. It is used if the log has no events of the flow's root.

    Attributes:
        name: The flow's name.
        status: ok, error, cancelled or running.
    """

    name: str | None
    status: str


def known_outcome(flow_id: str) -> Outcome | None:
    """Return what this process knows about a flow, or None if it did not run it or has forgotten it."""
    state = flows_known.get(flow_id)
    return None if state is None else Outcome(state.name, state.status)


def build_flow_log(events: Iterable[Event], *, dropped: int = 0, faults: int = 0, known: Outcome | None = None) -> FlowLog:
    """Return the flow log of one flow's events.

    Args:
        events: Events of one flow, in any order; a repeated event counts once. The caller must not mix flows.
        dropped: How many events of the flow are lost. Default 0.
        faults: How many times logging itself failed. Default 0.
        known: Name and status of the flow, used if none of its roots is in the log. Default None.

    Raises:
        FlowNotFoundError: There are no events.

    Example:
        >>> build_flow_log(obs.query("logs/flow-6f1c9ad2.jsonl")).status
        'ok'
    """
    ordered = in_order(events)
    if not ordered:
        raise FlowNotFoundError("no events were given; a flow log needs at least one")
    return _flow_log(ordered[0]["flow_id"], ordered, dropped, faults, known)


def empty_flow_log(flow_id: str, known: Outcome, *, faults: int = 0) -> FlowLog:
    """Return the log of a known flow that has logged nothing yet."""
    return _flow_log(flow_id, [], 0, faults, known)


def _flow_log(flow_id: str, ordered: list[Event], dropped: int, faults: int, known: Outcome | None) -> FlowLog:
    spans = _spans(ordered)
    _link(spans)
    roots = _roots(spans)
    metrics = _totals(ordered, spans, roots)
    metrics.update(dropped_count=dropped, fault_count=faults)
    name, status = (known or (None, "unknown")) if not roots else (_name(roots[0]), worst(root.status for root in roots))
    if known is not None and name is None:
        name = known.name
    return FlowLog(flow_id, name, status, ordered, list(spans.values()), metrics)


def _name(root: SpanInfo) -> str | None:
    return None if root.partial else root.name or root.node


def spans_of(events: Sequence[Event]) -> list[SpanInfo]:
    """Return the spans of events, ordered by start, without a tree or totals.

    Args:
        events: Events of one flow, ordered by time, without repeats.
    """
    return list(_spans(events).values())


def _spans(events: Sequence[Event]) -> dict[str, SpanInfo]:
    spans: dict[str, SpanInfo] = {}
    for event in events:
        kind = event["event_type"]
        if kind == "log":
            continue  # its node may be another logger's name, so it cannot name a span
        span_id, node = event["span_id"], event["node"]
        span = spans.get(span_id)
        if span is None:
            start = event["timestamp"]
            span = spans[span_id] = SpanInfo(span_id, event["parent_id"], node, event.get("step"), None, "running", start)
        if kind == "entry":
            if span.partial:
                span.partial = False
                span.node, span.step, span.start = node, event.get("step"), event["timestamp"]
                if node == ROOT_NODE:
                    span.name = name_of_root(event)
        else:
            if kind in ENDS and (span.partial or node == span.node):
                _end(span, event)
            metrics = event["metrics"]
            if len(metrics) != 1 or "duration_ms" not in metrics:  # most ends have that alone
                span.metrics.update((key, value) for key, value in metrics.items() if key != "duration_ms")
        if "answered" in event["data"] and node == span.node and is_answered(event):
            span.answered = True
    for span in spans.values():
        if span.end is not None and span.duration_ms is None and not span.partial:
            # An end that was logged by hand. A clock that was set back must not give a negative duration.
            span.duration_ms = max(0.0, round((span.end - span.start) * 1000, 6))
    return {span.span_id: span for span in sorted(spans.values(), key=attrgetter("start"))}


def _end(span: SpanInfo, event: Event) -> None:
    data = event["data"]
    duration = event["metrics"].get("duration_ms")
    span.end = event["timestamp"]
    span.error = data.get("error")
    span.status = status_of(event)
    if isinstance(duration, (int, float)):
        span.duration_ms = duration
    if span.partial:
        span.start = span.start if span.duration_ms is None else span.end - span.duration_ms / 1000
        span.node, span.step = event["node"], event.get("step")


def _link(spans: dict[str, SpanInfo]) -> None:
    for span in spans.values():
        if span.parent_id is not None and (parent := spans.get(span.parent_id)) is not None and parent is not span:
            parent.children.append(span.span_id)


def _roots(spans: dict[str, SpanInfo]) -> list[SpanInfo]:
    """Return the roots, ordered by start: the tops of the highest ``event.root_rank``, if that is above 0."""
    ranks = [(root_rank(span.node, span.parent_id), span) for span in _tops(spans)]
    highest = max((rank for rank, _ in ranks), default=0)
    return [span for rank, span in ranks if rank == highest > 0]


def _tops(spans: dict[str, SpanInfo]) -> list[SpanInfo]:
    return [span for span in spans.values() if span.parent_id not in spans or span.parent_id == span.span_id]


def _totals(events: Sequence[Event], spans: dict[str, SpanInfo], roots: Sequence[SpanInfo]) -> dict[str, Any]:
    own = {root.span_id for root in roots if root.node == ROOT_NODE}
    inner = [span for span in spans.values() if span.span_id not in own]
    counting = counted_figures(spans)
    return {
        "total_duration_ms": _duration(roots),
        "node_count": len(inner),
        "event_count": len(events),
        "error_count": _error_count(events, spans),
        **{key: _sum(figures.values()) for key, figures in counting.items()},
        "nodes": _per_node(inner, counting),
    }


def _duration(roots: Sequence[SpanInfo]) -> float | None:
    """Return the milliseconds from the first start of a root to the last end; None while one is running."""
    if len(roots) == 1:
        return roots[0].duration_ms
    ends = [root.end for root in roots if root.end is not None]
    return round((max(ends) - roots[0].start) * 1000, 6) if roots and len(ends) == len(roots) else None


def _error_count(events: Sequence[Event], spans: dict[str, SpanInfo]) -> int:
    """Return the number of errors; one that passes through several spans counts in the innermost."""
    failures = [event for event in events if event["event_type"] == "error" and is_failure(event)]
    if not failures:
        return 0
    passed: dict[str, set[tuple[str, str]]] = {}
    above = _above(spans)
    for span in spans.values():
        if span.status == "error" and (parent := above.get(span.span_id)) is not None:
            passed.setdefault(parent.span_id, set()).update(passed_keys(span.error))
    return sum(not came_out(event["data"].get("error"), passed.get(event["span_id"], ())) for event in failures)


def counted_figures(spans: Mapping[str, SpanInfo]) -> dict[str, dict[str, float]]:
    """Return each metric of ``COUNTED`` by span, for the spans where it counts: those below which no span reports it.

    A span that was answered from a recording reports metrics, but they do not count.
    """
    telling = [span for span in spans.values() if span.metrics]
    above = _above(spans) if telling else {}
    return {key: _counted(key, spans, telling, above) for key in COUNTED}


def _counted(key: str, spans: Mapping[str, SpanInfo], telling: list[SpanInfo], above: Mapping[str, SpanInfo]) -> dict[str, float]:
    figures = {span.span_id: figure for span in telling if (figure := _figure(span, key))}
    repeated: set[str] = set()
    for span_id in figures:
        parent = above.get(span_id)
        while parent is not None and parent.span_id not in repeated:
            repeated.add(parent.span_id)
            parent = above.get(parent.span_id)
    return {span_id: figure for span_id, figure in figures.items() if span_id not in repeated and not spans[span_id].answered}


def _above(spans: Mapping[str, SpanInfo]) -> dict[str, SpanInfo]:
    """Return the enclosing span of each span that has one in the log.

    In a circle of parents the first one has none: what is counted at the innermost span would otherwise be counted nowhere.
    """
    parents = {span.span_id: span.parent_id for span in spans.values() if span.parent_id in spans and span.parent_id is not None}
    ending = without_circles(parents, lambda span_id: (spans[span_id].start, span_id))
    return {span_id: spans[parent] for span_id, parent in ending.items()}


def _figure(span: SpanInfo, key: str) -> float:
    value: Any = span.metrics.get(key)
    figure: float = value if is_number(value) else 0
    return figure


def _sum(figures: Iterable[float]) -> float:
    values = list(figures)
    return sum(values) if all(isinstance(value, int) for value in values) else round(float_sum(values), 12)


def _per_node(spans: Sequence[SpanInfo], counting: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[SpanInfo]] = {}
    for span in spans:
        groups.setdefault(span.node, []).append(span)
    return {node: _node_totals(groups[node], counting) for node in sorted(groups)}


def _node_totals(spans: Sequence[SpanInfo], counting: dict[str, dict[str, float]]) -> dict[str, Any]:
    durations = sorted(span.duration_ms for span in spans if span.duration_ms is not None)
    return {
        "count": len(spans),
        "errors": sum(span.status == "error" for span in spans),
        "total_ms": round(float_sum(durations), 6),
        "p50_ms": percentile(durations, 50),
        "p95_ms": percentile(durations, 95),
        "max_ms": durations[-1] if durations else None,
        **{key: _sum_of(spans, counting[key]) for key in ("tokens", "cost_usd")},
    }


def _sum_of(spans: Sequence[SpanInfo], figures: Mapping[str, float]) -> float:
    return _sum(figures.get(span.span_id, 0) for span in spans) if figures else 0


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of ascending numbers, or None if there are none."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
