"""What only a whole log shows about the events in it: spans that begin, nest and end as the contract of the runtimes says.

The rules are S1 to S8 of ``docs/parity.md``. They are for the log of one complete run, as a runtime writes it in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..event import ENDS, ROOT_NODE, Event, is_number, status_of

END_TOLERANCE: Final = 2e-6
"""Seconds between an end's timestamp and its entry's plus its duration: both timestamps are cut to microseconds, less than one
each, and a float of Unix seconds is exact to a quarter of a microsecond."""
NESTING_TOLERANCE: Final = 1e-3
"""Seconds by which a child may seem to begin before its parent, or end after it: each span reads the wall clock, then the
monotonic one, and may lose the processor in between."""
DRIFT: Final = 5e-4
"""What a wall clock gains or loses on the monotonic one while it is being corrected, at most: 500 ppm, the limit of NTP."""

ROOT_KEYS: Final = ("name", "schema_version", "runtime", "resource", "input", "flow", "outer", "replay_of", "cut")
"""The keys of ``data`` in the entry of a root."""
_ALWAYS: Final = ROOT_KEYS[:4]
_OF_SPANS: Final = 19  # the first 8 bytes of an id, with their hyphens


class Fault(NamedTuple):
    """A broken rule: the number of its line, and what is wrong and what is allowed."""

    number: int
    problem: str


@dataclass(slots=True)
class _Span:
    """A span with an entry in the log.

    Args:
        number: The line of its entry.
        entry: The event of its entry.
        end: The event of its end, or None.
        ended: The line of its end, or 0.
    """

    number: int
    entry: Event
    end: Event | None = None
    ended: int = 0


class WholeLog:
    """Collects the events of a log, and tells which rules the log as a whole breaks. Memory grows with the number of spans."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], _Span] = {}
        self._flows: set[str] = set()
        self._faults: list[Fault] = []

    def add(self, number: int, event: Event) -> None:
        """Add the event of a line; it follows the event schema. Lines come in the order of the log."""
        flow_id, span_id = event["flow_id"], event["span_id"]
        if not span_id.startswith(flow_id[:_OF_SPANS]):
            self._note(
                number, f"span_id is {span_id!r}; it must begin with the first 8 bytes of the flow_id, {flow_id[:_OF_SPANS]}"
            )
        is_root_entry = event["event_type"] == "entry" and event["node"] == ROOT_NODE
        if flow_id not in self._flows:
            self._flows.add(flow_id)
            if not is_root_entry:
                what = f"{event['event_type']} of {event['node']!r}"
                self._note(
                    number, f"the first event of flow {flow_id} is the {what}; it must be the entry of its root, node 'flow'"
                )
        if event["event_type"] == "entry":
            self._begin(number, event, is_root_entry)
        elif event["event_type"] in ENDS:
            self._end(number, event)

    def _note(self, number: int, problem: str) -> None:
        self._faults.append(Fault(number, problem))

    def _begin(self, number: int, event: Event, is_root: bool) -> None:
        key, parent_id = (event["flow_id"], event["span_id"]), event["parent_id"]
        if (known := self._spans.setdefault(key, _Span(number, event))).number != number:
            self._note(number, f"span {event['span_id']} has a second entry, after that of line {known.number}; a span has one")
        if is_root:
            self._check_root(number, event["data"])
        elif parent_id is None:
            self._note(number, f"node {event['node']!r} has no parent; only a root, node 'flow', has none")
        else:
            self._check_parent(number, event)

    def _check_root(self, number: int, data: dict[str, Any]) -> None:
        for key in _ALWAYS:
            if key not in data:
                self._note(number, f"data.{key} is missing; the entry of a root has {', '.join(_ALWAYS)}")
        for key in data:
            if key not in ROOT_KEYS:
                self._note(number, f"unknown key {key!r} in the data of a root's entry; allowed: {', '.join(ROOT_KEYS)}")
        for key in ("name", "runtime"):
            if not isinstance(data.get(key, ""), str):
                self._note(number, f"data.{key} is {data[key]!r}; it must be a string")

    def _check_parent(self, number: int, event: Event) -> None:
        if (event["flow_id"], event["parent_id"]) not in self._spans:
            self._note(number, f"parent {event['parent_id']} of node {event['node']!r} has no entry before this line")

    def _end(self, number: int, event: Event) -> None:
        span = self._spans.get((event["flow_id"], event["span_id"]))
        took = event["metrics"].get("duration_ms")
        if span is None:
            self._end_without_entry(number, event)
        elif event["node"] == span.entry["node"]:
            if span.end is not None:
                self._note(number, f"span {event['span_id']} has a second end, after that of line {span.ended}; a span has one")
            elif not is_number(took):
                self._note(
                    number,
                    f"metrics.duration_ms of the end of span {event['span_id']} is missing; it must be a number of at least 0",
                )
            else:
                expected = span.entry["timestamp"] + took / 1000
                if not abs(event["timestamp"] - expected) <= END_TOLERANCE:
                    sum_of = f"that of the entry of line {span.number} plus the duration, {expected:.6f}"
                    self._note(number, f"timestamp is {event['timestamp']!r}; it must be {sum_of}, to 2 microseconds")
            span.end, span.ended = span.end or event, span.ended or number

    def _end_without_entry(self, number: int, event: Event) -> None:
        if status_of(event) == "ok" or "duration_ms" in event["metrics"]:
            self._note(number, f"span {event['span_id']} ends, and has no entry before this line")
        elif event["parent_id"] is not None:
            self._check_parent(number, event)

    def faults(self) -> list[Fault]:
        """Return the broken rules so far, by line; to be asked once all events have been added."""
        found = list(self._faults)
        for (flow_id, span_id), span in self._spans.items():
            if span.end is None:
                found.append(Fault(span.number, f"span {span_id} of node {span.entry['node']!r} has no end; it must have one"))
            elif (parent := self._spans.get((flow_id, span.entry["parent_id"] or ""))) is not None:
                found += _outside(span, parent)
        return sorted(found, key=lambda fault: fault.number)


def _outside(span: _Span, parent: _Span) -> Iterator[Fault]:
    """Yield a fault for each side on which a span reaches out of its parent, by more than clocks explain."""
    begin, first = span.entry["timestamp"], parent.entry["timestamp"]
    last = None if parent.end is None else parent.end["timestamp"]
    room = NESTING_TOLERANCE + DRIFT * max(0.0, (last or begin) - first)
    name = f"node {span.entry['node']!r}"
    if begin < first - room:
        yield Fault(span.number, f"timestamp is {begin!r}; {name} must begin within its parent, which begins at {first!r}")
    if last is not None and span.end is not None and span.end["timestamp"] > last + room:
        at = span.end["timestamp"]
        yield Fault(span.ended, f"timestamp is {at!r}; {name} must end within its parent, which ends at {last!r}")
