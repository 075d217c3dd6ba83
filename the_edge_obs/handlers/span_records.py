"""Whole spans: everything that one execution of a node logged, in one object, for what sends or exports spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..event import ENDS, Event
from ..flow_log import FlowLog, SpanInfo, spans_of

__all__ = ["SpanRecord", "records_of", "span_record"]


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One execution of a node, with all of its events. Its texts are redacted.

    Attributes:
        flow_id, span_id, parent_id: UUID strings, as in the events; parent_id is None for a root. The last 8 bytes of a span id
            are an OpenTelemetry span id, and a flow id is a trace id.
        node, step: The node, and the YAML flow's name for it, or None.
        name: The flow's name, for a root span of a flow; otherwise None.
        status: ok, error, cancelled, or running: the span had not ended when the program did.
        start, end: Unix seconds; end is None while running.
        metrics: The span's own metrics, with ``duration_ms`` if the span has ended.
        error: ``{type, message}``, with ``traceback`` at debug, or None.
        partial: Whether the entry is missing, as for the error of a node whose entry its level filtered.
        events: The span's events, as dicts in the order in which they were logged.
    """

    flow_id: str
    span_id: str
    parent_id: str | None
    node: str
    step: str | None
    name: str | None
    status: str
    start: float
    end: float | None
    metrics: dict[str, Any]
    error: dict[str, Any] | None
    partial: bool
    events: list[Event] = field(repr=False)

    @property
    def input(self) -> Any:
        """What the span was given, or None. An adapter may learn it, or the rest of it, only when the span ends."""
        return next((data["input"] for data in (*self._ends, self.entry) if "input" in data), None)

    @property
    def output(self) -> Any:
        """What the span returned, or None."""
        return next((data["output"] for data in self._ends if "output" in data), None)

    @property
    def _ends(self) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["event_type"] in ENDS]

    @property
    def entry(self) -> dict[str, Any]:
        """The data of the entry event; empty if it is missing."""
        entries = (event["data"] for event in self.events if event["event_type"] == "entry")
        return next(entries, {})

    @property
    def inner(self) -> list[Event]:
        """The log and metric events, and what was logged by hand with the span's id."""
        own = {event["event_type"]: number for number, event in enumerate(self.events) if event["node"] == self.node}
        around = {own.get("entry"), *(own.get(kind) for kind in ENDS)}
        return [event for number, event in enumerate(self.events) if number not in around]


def span_record(events: Sequence[Event]) -> SpanRecord | None:
    """Return the span of some events, which must be of one span, or None if they neither open, measure nor end one."""
    infos = spans_of(events)
    return _record(events[0]["flow_id"], infos[0], events) if infos else None


def records_of(log: FlowLog) -> Iterator[SpanRecord]:
    """Yield the spans of a flow log, ordered by start."""
    events: dict[str, list[Event]] = {}
    for event in log.events:
        events.setdefault(event["span_id"], []).append(event)
    for info in log.spans:
        yield _record(log.flow_id, info, events.get(info.span_id, []))


def _record(flow_id: str, info: SpanInfo, events: Iterable[Event]) -> SpanRecord:
    took = {} if info.duration_ms is None else {"duration_ms": info.duration_ms}
    return SpanRecord(
        flow_id=flow_id,
        span_id=info.span_id,
        parent_id=info.parent_id,
        node=info.node,
        step=info.step,
        name=info.name,
        status=info.status,
        start=info.start,
        end=info.end,
        metrics={**took, **info.metrics},
        error=info.error,
        partial=info.partial,
        events=list(events),
    )
