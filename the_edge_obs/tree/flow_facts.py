"""The parts of a flow log that views need: its spans, the protocol of a flow log, and the keys of errors."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..event import Event


@dataclass(slots=True)
class SpanInfo:
    """One execution of a node, built from its events.

    Attributes:
        span_id, parent_id: As in the events. A span whose parent is not in the log is at the top of the tree.
        node, step: The node, and the YAML flow's name for it; step is None outside YAML flows.
        name: The flow's name, for a root span of a flow; otherwise None.
        status: ok, error, cancelled, or running (no end is known).
        start, end: Unix seconds; end is None while running. If the entry is missing, start is computed from the duration.
        duration_ms: Monotonic milliseconds, or None while running.
        metrics: The span's own metrics, from its exit, error and metric events.
        error: ``{type, message}``, with ``traceback`` at debug, or None.
        partial: Whether the entry event is missing.
        answered: Whether the span was answered from a recording: its tokens and costs were spent before, and count in no total.
        children: Span ids, ordered by start.
    """

    span_id: str
    parent_id: str | None
    node: str
    step: str | None = None
    name: str | None = None
    status: str = "running"
    start: float = 0.0
    end: float | None = None
    duration_ms: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    partial: bool = True
    answered: bool = False
    children: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the span as a dict of JSON values, with the attributes as keys."""
        values = {name: getattr(self, name) for name in SpanInfo.__slots__}
        return {**values, "metrics": dict(self.metrics), "children": list(self.children)}


def error_key(error: object) -> tuple[str, str] | None:
    """Return the key by which an error is recognised in several spans: its type and message; None without an error."""
    return (str(error.get("type")), str(error.get("message"))) if isinstance(error, dict) else None


def passed_keys(error: object) -> set[tuple[str, str]]:
    """Return the keys by which a parent recognises an error of its child: those of the error, and of the errors in a group."""
    key = error_key(error)
    return set() if key is None else {key, *_members(error)}


def came_out(error: object, passed: Container[tuple[str, str]]) -> bool:
    """Tell whether an error came from a child, by the keys of the children's errors; a group did if each of its errors did."""
    members = _members(error)
    return error_key(error) in passed or (bool(members) and all(key in passed for key in members))


def _members(error: object) -> list[tuple[str, str]]:
    """Return the keys of the errors in a group. The last item of a cut list is only a count of the rest."""
    errors = error.get("errors") if isinstance(error, dict) else None
    keys = [key for item in (errors if isinstance(errors, list) else ()) if (key := error_key(item)) is not None]
    return [key for key in keys if key[0] != "…"]


class FlowFacts(Protocol):
    """The part of a flow log that views use. ``flow_log.FlowLog`` implements it."""

    @property
    def flow_id(self) -> str:
        """The run."""

    @property
    def name(self) -> str | None:
        """The flow's name."""

    @property
    def status(self) -> str:
        """ok, error, cancelled, running, or unknown."""

    @property
    def events(self) -> list[Event]:
        """Event dicts, ordered by time."""

    @property
    def spans(self) -> list[SpanInfo]:
        """Spans, ordered by start."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Totals, and totals by node."""

    @property
    def roots(self) -> list[SpanInfo]:
        """The spans at the top of the tree."""

    def walk(self) -> Iterator[tuple[int, SpanInfo]]:
        """Yield each span of the tree with its depth."""
