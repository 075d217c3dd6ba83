"""Spans of a stream of events, told as they end: what a flow log says of them, without keeping the flow.

Only spans that are open are held. Figures count as in a flow log: a span's own, unless something below it reported the same one
first. That needs a child's end before its parent's, as every process logs them; where the files of several processes are read one
after the other, a figure that a parent repeats of a child in a later file is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .event import Event
from .flow_log import COUNTED

_ENDS: Final = frozenset({"exit", "error"})


class EndedSpan(NamedTuple):
    """A span that has ended, or of which no more is known.

    Attributes:
        node: What ran.
        status: ok, error, cancelled, or running for one without an end.
        duration_ms: Monotonic milliseconds, or None.
        figures: Its tokens and costs, by their names in ``metrics``, as far as they are its own.
    """

    node: str
    status: str
    duration_ms: float | None
    figures: dict[str, float]


class _Open:
    """A span that has begun."""

    __slots__ = ("below", "figures", "node", "parent")

    def __init__(self, node: str, parent: str | None) -> None:
        self.node, self.parent = node, parent
        self.figures: dict[str, float] = {}
        self.below: set[str] = set()  # figures that something below it has reported


class SpanStream:
    """The spans of one flow."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def add(self, event: Event) -> EndedSpan | None:
        """Take an event into account; return the span that it ends, if it does."""
        kind = event["event_type"]
        if kind == "log":
            return None
        span = self._open.get(event["span_id"])
        if span is None:
            span = _Open(event["node"], event["parent_id"])
            if kind not in _ENDS:
                self._open[event["span_id"]] = span
        if kind != "entry" and event["metrics"]:
            span.figures.update((key, value) for key in COUNTED if _is_figure(value := event["metrics"].get(key)))
        if kind not in _ENDS:
            return None
        self._open.pop(event["span_id"], None)
        status = "ok" if kind == "exit" else "cancelled" if event["data"].get("cancelled") else "error"
        duration = event["metrics"].get("duration_ms")
        return self._ended(span, status, duration if _is_number(duration) else None)

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans that have no end, and forget them; the youngest first, for they lie below the others."""
        while self._open:
            _, span = self._open.popitem()
            yield self._ended(span, "running", None)

    def _ended(self, span: _Open, status: str, duration_ms: float | None) -> EndedSpan:
        own = {key: value for key, value in span.figures.items() if key not in span.below}
        reported = span.below | own.keys()
        if reported and span.parent is not None and (parent := self._open.get(span.parent)) is not None:
            parent.below |= reported
        return EndedSpan(span.node, status, duration_ms, own)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_figure(value: Any) -> bool:
    return _is_number(value) and value != 0
