"""Spans of a stream of events, reported as they end. They are as in a flow log, but the flow is not kept in memory.

Only open spans are held. Metrics count as in a flow log: a span's own metric counts unless a span below it has reported the same
one; an error that passes through several spans counts in the innermost. This relies on a child's end coming before its parent's,
as every process logs them. If the files of several processes are read one after the other, a figure that a parent repeats from a
child in a later file counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, Final, NamedTuple

from ..event import COUNTED, ENDS, Event, is_answered, is_failure, is_number, status_of
from ..tree.flow_facts import came_out, passed_keys

_MOST_LOST: Final = 1_000  # parents
_NOTHING: Final[frozenset[Any]] = frozenset()

MAX_ERROR: Final = 500
"""How many characters of the type and the message of a run's first error are kept."""


def error_of(event: Event) -> dict[str, str] | None:
    """Return the type and the message of an error, as lists of runs show them; None for any other event."""
    if not is_failure(event) or not (error := event["data"].get("error")):
        return None
    return {key: str(error.get(key) or "")[:MAX_ERROR] for key in ("type", "message")}


class EndedSpan(NamedTuple):
    """A span that has ended, or whose end is missing.

    Attributes:
        node: The node's name.
        status: ok, error or cancelled; running if the end is missing.
        duration_ms: Monotonic milliseconds, or None.
        figures: The span's own tokens and costs, by their names in ``metrics``.
        errors: 1 if an error arose in the span, otherwise 0. An error of a child counts in the child.
        top: Id of the outermost enclosing span that was open when this one began, or of the span itself.
    """

    node: str
    status: str
    duration_ms: float | None
    figures: dict[str, float]
    errors: int = 0
    top: Any = ""


class _Reports:
    """What the children of a span have reported: the names of their figures, and the errors that they have raised."""

    __slots__ = ("below", "passed")

    def __init__(self) -> None:
        # Most spans have no children that report something, so sets are made when the first one does.
        self.below: Set[str] = _NOTHING
        self.passed: Set[Any] = _NOTHING

    def take(self, figures: Set[str], errors: Set[Any]) -> None:
        """Take what one child reports."""
        if not figures <= self.below:
            self.below = self.below | figures
        if errors:
            passed = self.passed
            if isinstance(passed, set):
                passed |= errors
            else:
                self.passed = set(errors)


class _Open(_Reports):
    """A span that has begun and not ended."""

    __slots__ = ("answered", "figures", "is_partial", "node", "parent", "top")

    def __init__(self, node: str, parent: Any, top: Any) -> None:
        super().__init__()
        self.node, self.parent, self.top = node, parent, top
        self.figures: dict[str, float] = {}
        self.answered, self.is_partial = False, True


class SpanStream:
    """The spans of one flow. Their ids may be of any type that a dict takes as a key."""

    __slots__ = ("_lost", "_open")

    def __init__(self) -> None:
        self._open: dict[Any, _Open] = {}
        self._lost: dict[Any, _Reports] = {}  # for parents that are not open, for example filtered ones

    def top_of(self, event: Event) -> Any:
        """Return the id of the outermost open span around an event, or of the event's own span if none is open."""
        span = self._open.get(event["span_id"]) or self._open.get(event["parent_id"])
        return event["span_id"] if span is None else span.top

    def add(self, event: Event) -> EndedSpan | None:
        """Add an event; return the span that it ends, or None."""
        kind, node, span_id = event["event_type"], event["node"], event["span_id"]
        if kind == "log":
            return None
        span, is_end = self._open.get(span_id), kind in ENDS
        if span is None:
            span = self._begun(node, event["parent_id"], span_id)
            if not is_end:
                self._open[span_id] = span
        if kind == "entry" and span.is_partial:
            span.node, span.is_partial = node, False
        if "answered" in event["data"] and node == span.node and is_answered(event):
            span.answered = True
        metrics = event["metrics"]
        if metrics and kind != "entry":
            for key in COUNTED:
                if key in metrics and is_number(value := metrics[key]) and value:
                    span.figures[key] = value
        if not is_end or not (span.is_partial or node == span.node):  # an error that was logged by hand ends no span
            if span.figures:
                self._hand_up(span.parent, span.figures.keys(), _NOTHING)
            return None
        self._open.pop(span_id, None)
        duration = metrics.get("duration_ms")
        return self._ended(span, status_of(event), duration if is_number(duration) else None, event["data"].get("error"))

    def _begun(self, node: str, parent: Any, span_id: Any) -> _Open:
        above = None if parent is None else self._open.get(parent)
        span = _Open(node, parent, span_id if above is None else above.top)
        if (lost := self._lost.pop(span_id, None)) is not None:
            span.below, span.passed = lost.below, lost.passed
            self._hand_up(parent, span.below, _NOTHING)
        return span

    def add_leaf(self, parent: Any, figures: dict[str, float]) -> dict[str, float]:
        """Add the figures of a span that has ended, and below which no span has reported any; return what counts of them."""
        self._hand_up(parent, figures.keys(), _NOTHING)
        return figures

    def rest(self) -> Iterator[EndedSpan]:
        """Yield the spans without an end, and forget them. The youngest come first, because they are below the others."""
        while self._open:
            _, span = self._open.popitem()
            yield self._ended(span, "running", None, None)

    def _ended(self, span: _Open, status: str, duration_ms: float | None, error: Any) -> EndedSpan:
        own, below = span.figures, span.below
        if own and below:
            own = {key: value for key, value in own.items() if key not in below}
        passed = passed_keys(error) if status == "error" else _NOTHING
        self._hand_up(span.parent, below | own.keys() if own else below, passed)
        arose = status == "error" and not came_out(error, span.passed)
        return EndedSpan(span.node, status, duration_ms, {} if span.answered else own, int(arose), span.top)

    def _hand_up(self, parent: Any, reported: Set[str], passed: Set[Any]) -> None:
        """Tell the parent of a span which figures the span or one below it has reported, and which errors have passed it.

        The spans around the parent learn of the figures at once: the parent may end after them, or never.
        """
        if not (reported or passed) or (above := self._above(parent)) is None:
            return
        above.take(_NOTHING, passed)
        while above is not None and not reported <= above.below:
            above.take(reported, _NOTHING)
            above = self._above(above.parent) if isinstance(above, _Open) else None

    def _above(self, parent: Any) -> _Reports | None:
        """Return the reports of the children of a span; None for a span without a parent, or if too many parents are not open."""
        span = None if parent is None else self._open.get(parent)
        if span is not None:
            return span
        if parent is None or (parent not in self._lost and len(self._lost) >= _MOST_LOST):
            return None
        return self._lost.setdefault(parent, _Reports())
