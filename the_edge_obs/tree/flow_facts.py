"""What is known of a flow, as those see it who draw it: its spans, and the shape of a flow log."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..event import Event


@dataclass(slots=True)
class SpanInfo:
    """One execution of a node, as its events tell it.

    Attributes:
        span_id, parent_id: As in the events; a parent that is not in the log leaves the span a root of the tree.
        node, step: What ran; step is None outside YAML flows.
        name: What a flow is called, of its own span; otherwise None.
        status: ok, error, running (no end is known) or cancelled.
        start, end: Unix seconds; end is None while running. Where the entry is missing, start follows from the duration.
        duration_ms: Monotonic milliseconds, or None while running.
        metrics: The span's own metrics, of its exit, error and metric events.
        error: ``{type, message}``, with ``traceback`` at debug, or None.
        partial: Whether the entry event is missing.
        answered: Whether it was answered from a recording: its tokens and costs were spent before, and count in no total.
        children: Span ids, in order of their start.
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
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "metrics": dict(self.metrics), "children": list(self.children)}


def error_key(error: object) -> tuple[str, str] | None:
    """Return by what an error is known that leaves several spans: its type and message; None for none."""
    return (str(error.get("type")), str(error.get("message"))) if isinstance(error, dict) else None


def passed_keys(error: object) -> set[tuple[str, str]]:
    """Return by what a parent knows an error of its child again: the error itself, and the errors in a group."""
    key = error_key(error)
    return set() if key is None else {key, *_members(error)}


def came_out(error: object, passed: Container[tuple[str, str]]) -> bool:
    """Tell whether an error came out of children, by the keys of what did; a group did if each of its errors did."""
    members = _members(error)
    return error_key(error) in passed or (bool(members) and all(key in passed for key in members))


def _members(error: object) -> list[tuple[str, str]]:
    """Return the keys of the errors in a group; the last item of a cut list only says how many more there are."""
    errors = error.get("errors") if isinstance(error, dict) else None
    keys = [key for item in (errors if isinstance(errors, list) else ()) if (key := error_key(item)) is not None]
    return [key for key in keys if key[0] != "…"]


class FlowFacts(Protocol):
    """What a view asks of a flow log; ``flow_log.FlowLog`` has it, and says what it means."""

    @property
    def flow_id(self) -> str:
        """The run."""

    @property
    def name(self) -> str | None:
        """What the flow is called."""

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
        """Totals, and figures by node."""

    @property
    def roots(self) -> list[SpanInfo]:
        """The spans at the top of the tree."""

    def walk(self) -> Iterator[tuple[int, SpanInfo]]:
        """Yield each span of the tree with its depth."""
