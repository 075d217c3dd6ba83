"""Summaries of many runs in a file or a folder, computed in one pass that keeps no events.

A run is a root. Most flows have one. Requests that continue one foreign trace are separate runs with the same flow id.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from ..event import (
    ALONE,
    CONTINUED,
    ENDS,
    Event,
    Total,
    is_failure,
    name_of_root,
    resource_of,
    root_rank,
    status_of,
    without_repeats,
)  # fmt: skip
from ..handlers.span_stream import EndedSpan, SpanStream, error_of
from ..redaction.marks import REDACTED

SHORT_SPAN: Final = 12
"""How many characters from the end of a span id tell spans of a flow apart: the beginning is that of the flow."""
_SHORT_FLOW: Final = 8
_RANDOM_ID: Final = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
MAX_ATTRIBUTES: Final = 20
"""How many attributes of a run are kept, and"""
MAX_ATTRIBUTE: Final = 200
"""how many characters a text may have to be one."""


def short_flow_id(flow_id: str) -> str:
    """Return what names a flow where there is little room: the beginning of a UUID. Other ids may begin alike, and stay whole."""
    return flow_id[:_SHORT_FLOW] if _RANDOM_ID.fullmatch(flow_id) else flow_id


@dataclass(slots=True)
class FlowSummary:
    """The summary of one run.

    Attributes:
        flow_id: The flow; runs that continue one foreign trace share it.
        name: The run's name, or None if its first event is lost.
        status: ok, error, cancelled, running (also if its process died), or unknown if its root is not in the log.
        start, end: Time of its first and last event, Unix seconds.
        duration_ms: Duration of its root span in milliseconds, or None while running.
        events: Number of events.
        errors: Number of errors; each counts once, where it arose.
        tokens, cost_usd: Totals, counted as in ``handlers.span_stream``. Spans that have not ended are added by
            ``FlowSummaries.rest``.
        alone: Whether the root is a span outside any flow, as that of a node whose context was lost.
        attributes: The simple values (short texts, numbers, true, false, null) of its input: what ``obs.flow`` was given, or the
            initial state of a YAML flow.
        error: ``{type, message}`` of its first error, or None.
        root: The span id of its root, or None if that is not in the log.
        shares_flow: Whether further runs have its ``flow_id``.
        resource: ``{host, pid, service}`` of the process that began it, or None.
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
    attributes: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    root: str | None = None
    shares_flow: bool = False
    resource: dict[str, Any] | None = None

    @property
    def run_id(self) -> str:
        """What names the run: its flow id; if further runs have that, also the end of its root's span id, after a slash."""
        return f"{self.flow_id}/{self.root[-SHORT_SPAN:]}" if self.shares_flow and self.root else self.flow_id

    @property
    def short_id(self) -> str:
        """``run_id`` where there is little room; filters by flow accept it."""
        return short_flow_id(self.flow_id) + self.run_id[len(self.flow_id) :]

    def count(self, event: Event) -> None:
        """Count an event, extend the run's time to it, and keep the first error."""
        self._widen(event["timestamp"], event["timestamp"])
        self.events += 1
        if self.error is None:
            self.error = error_of(event)

    def absorb(self, other: FlowSummary) -> None:
        """Add the events and errors of another summary: a part of the same flow that belongs to no other run."""
        if other.events:
            self._widen(other.start, other.end)
        self.events, self.errors = self.events + other.events, self.errors + other.errors
        self.error = self.error or other.error

    def _widen(self, start: float, end: float) -> None:
        self.start, self.end = (min(self.start, start), max(self.end, end)) if self.events else (start, end)


@dataclass(slots=True)
class _Root:
    """A root and the summary of its run; ``node`` is None until the entry has come."""

    run: FlowSummary
    parent: str | None
    node: str | None = None

    def add(self, event: Event) -> None:
        """Add an entry or end event of the root span."""
        run, kind = self.run, event["event_type"]
        run.root = event["span_id"]
        if kind == "entry":
            if self.node is None:
                self.node, run.name = event["node"], name_of_root(event)
                run.attributes = _attributes_of(event["data"].get("input"))
                resource = resource_of(event)
                run.resource = None if resource is None else {key: resource.get(key) for key in ("host", "pid", "service")}
        elif self.node is None or event["node"] == self.node:  # an event of another node is an error that was logged by hand
            duration = event["metrics"].get("duration_ms")
            run.status = status_of(event)
            run.duration_ms = duration if isinstance(duration, (int, float)) else None


def summary_of_ends(entry: Event, end: Event, totals: Mapping[str, Any]) -> FlowSummary:
    """Return the summary of a run from the first and the last event of its root, and the totals of its file."""
    is_alone = root_rank(entry["node"], entry["parent_id"]) == ALONE
    run = FlowSummary(entry["flow_id"], None, "running", totals["start"], totals["end"], alone=is_alone)
    root = _Root(run, entry["parent_id"])
    root.add(entry)
    root.add(end)
    run.events, run.errors, run.error = int(totals["events"]), int(totals["errors"]), totals["error"]
    run.tokens, run.cost_usd = totals["tokens"], totals["cost_usd"]
    return run


def _attributes_of(given: Any) -> dict[str, Any]:
    """Return the simple values of a root's input: a folder of runs is read without keeping their payloads."""
    simple = ((key, value) for key, value in given.items() if _is_simple(value)) if isinstance(given, dict) else ()
    return dict(islice(simple, MAX_ATTRIBUTES))


def _is_simple(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ATTRIBUTE and not value.startswith(REDACTED)
    return value is None or isinstance(value, (bool, int, float))


class _Flow:
    """One flow: its roots of the highest rank (``event.root_rank``), and the events that belong to none of them."""

    __slots__ = ("_loose", "_rank", "_roots", "_seen", "_spans", "_sums")

    def __init__(self, flow_id: str, moment: float) -> None:
        self._loose = FlowSummary(flow_id, None, "unknown", moment, moment)
        self._roots: dict[str, _Root] = {}
        self._rank = 0
        self._spans = SpanStream()
        self._sums: dict[str, tuple[Total, Total]] = {}  # tokens and cost, by the root; by "" of spans without one
        self._seen: set[str] = set()  # span ids, while all roots have a parent; it may be one of these

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

    def top_of(self, event: Event) -> str:
        return str(self._spans.top_of(event))

    def separate(self) -> list[tuple[str, _Root]]:
        """Return the roots that are runs: one that continues a span of this log is part of another run."""
        return [
            (span_id, root)
            for span_id, root in self._roots.items()
            if self._rank != CONTINUED or root.parent not in self._seen or self._roots.get(root.parent or "") is root
        ]

    def rest(self) -> Iterator[EndedSpan]:
        for span in self._spans.rest():
            self._counted(span)
            yield span

    def _counted(self, span: EndedSpan) -> None:
        run = self._run_of(span.top)
        run.errors += span.errors
        if span.figures:
            tokens, cost = self._sums.setdefault(span.top if span.top in self._roots else "", (Total(), Total()))
            tokens.add(span.figures.get("tokens", 0))
            cost.add(span.figures.get("cost_usd", 0))

    def runs(self) -> list[FlowSummary]:
        """Return one run per root, ordered by start. Events that belong to no root count in the first run."""
        loose, separate = replace(self._loose), dict(self.separate())
        for span_id, root in self._roots.items():
            if span_id not in separate:
                loose.absorb(root.run)
        runs = [replace(root.run) for root in separate.values()]
        runs.sort(key=lambda run: run.start)
        for run in runs if len(runs) > 1 else ():
            run.shares_flow = True
        if not runs:
            runs = [loose]
        elif loose.events:
            runs[0].absorb(loose)
        self._sum_up(runs, separate)
        return runs

    def _sum_up(self, runs: Sequence[FlowSummary], separate: Container[str]) -> None:
        """Set the tokens and the cost of runs, the cost with 12 digits after the point, as in a flow log."""
        sums: dict[str | None, tuple[Total, Total]] = {}
        for span_id, added in self._sums.items():
            own = sums.setdefault(span_id if span_id in separate else runs[0].root, (Total(), Total()))
            for total, more in zip(own, added, strict=True):
                total.absorb(more)
        for run in runs:
            tokens, cost = sums.get(run.root, (Total(), Total()))
            run.tokens, run.cost_usd = tokens.value(), round(cost.value(), 12)


class FlowSummaries:
    """The runs of a stream of events, in the order in which their flows first appear."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}

    @property
    def flow_count(self) -> int:
        """The number of flow ids."""
        return len(self._flows)

    def ids(self) -> Iterator[str]:
        """Return an iterator of the flow ids."""
        return iter(self._flows)

    def __iter__(self) -> Iterator[FlowSummary]:
        for flow in self._flows.values():
            yield from flow.runs()

    def add(self, event: Event) -> EndedSpan | None:
        """Add an event; return the span that it ends, or None."""
        flow_id = event["flow_id"]
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = _Flow(flow_id, event["timestamp"])
        return flow.add(event)

    def top_of(self, event: Event) -> str:
        """Return the id of the outermost open span around an event that is about to be added."""
        flow = self._flows.get(event["flow_id"])
        return str(event["span_id"]) if flow is None else flow.top_of(event)

    def roots_of(self, flow_id: str) -> set[str]:
        """Return the span ids of the roots of a flow, if it has several runs."""
        separate = {span_id for span_id, _ in self._flows[flow_id].separate()}
        return separate if len(separate) > 1 else set()

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans without an end, and count them. Call it after the last event."""
        for flow in self._flows.values():
            yield from flow.rest()


def summarise(events: Iterable[Event]) -> list[FlowSummary]:
    """Return the runs of some events, ordered by start. An event that is there twice counts once."""
    summaries = FlowSummaries()
    for event in without_repeats(events):
        summaries.add(event)
    for _ in summaries.rest():
        pass
    return sorted(summaries, key=lambda run: run.start)
