"""Two runs side by side: a row for each span of either run, and the totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from ..event import is_replay
from ..flow_log import COUNTED, FlowLog, SpanInfo
from ._alignment import number
from .values import Change

KINDS: Final = ("added", "removed", "changed", "same")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in two runs.

    Attributes:
        old, new: Its value in each run, or None if it is not known.
    """

    old: float | None
    new: float | None

    @property
    def delta(self) -> float | None:
        """The new value minus the old one, or None if one of them is not known."""
        return None if self.old is None or self.new is None else round(self.new - self.old, 12)

    @property
    def percent(self) -> float | None:
        """The growth in percent of the old value; None if a value is not known, or if only the old one is 0."""
        if self.old is None or self.new is None:
            return None
        if not self.old:
            return None if self.new else 0.0
        return round((self.new - self.old) / self.old * 100, 2)

    def to_dict(self) -> dict[str, float | None]:
        """Return ``{"old", "new", "delta", "percent"}``."""
        return {"old": self.old, "new": self.new, "delta": self.delta, "percent": self.percent}


@dataclass(frozen=True, slots=True)
class SpanDiff:
    """A span of the old run, of the new run, or of both.

    Attributes:
        kind: ``added``, ``removed``, ``changed`` or ``same``; a span that only moved, or took longer, is the ``same``.
        moved: Whether it ran before a sibling in one run and after it in the other.
        differences: Which of ``node``, ``status``, ``error``, ``input``, ``output``, ``metrics``, ``tokens`` and ``cost`` differ.
        depth: 0 for a root.
        label: Its step, or its node if it has none, with the index of a branch or iteration and the number of an attempt.
        path: The labels from the root to it; the middle of a long path is left out.
        old, new: The span in each run, or None if that run does not have it.
        changes: The first 100 changes of its input, output, error and metrics.
        more_changes: How many further changes there are.
        cut: The parts of input, output and error that were cut or redacted in either run, and are the same as far as logged.
        truncated: The parts in ``cut`` that were cut and not only redacted, so that it is not known whether they are equal.
    """

    kind: str
    moved: bool
    differences: tuple[str, ...]
    depth: int
    label: str
    path: tuple[str, ...]
    old: SpanInfo | None
    new: SpanInfo | None
    changes: tuple[Change, ...] = ()
    more_changes: int = 0
    cut: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()

    @property
    def span(self) -> SpanInfo:
        """The span in the new run, or else in the old one."""
        return self.new or self.old  # type: ignore[return-value] # one of them is not None

    @property
    def duration_ms(self) -> Figure:
        """How long it took."""
        return Figure(*(None if span is None else span.duration_ms for span in (self.old, self.new)))

    def figure(self, name: str) -> Figure:
        """Return one of its metrics, such as ``tokens``: 0 if the span has none, None for a run without the span."""
        return Figure(*(None if span is None else number(span.metrics.get(name)) for span in (self.old, self.new)))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a dict of JSON values."""
        spans = (self.old, self.new)
        return {
            "kind": self.kind,
            "moved": self.moved,
            "differences": list(self.differences),
            "depth": self.depth,
            "label": self.label,
            "path": list(self.path),
            "node": self.span.node,
            "step": self.span.step,
            **{name: _both(spans, name) for name in ("span_id", "status")},
            "duration_ms": self.duration_ms.to_dict(),
            **{name: self.figure(name).to_dict() for name in COUNTED},
            "changes": [change.to_dict() for change in self.changes],
            "more_changes": self.more_changes,
            "cut": list(self.cut),
            "truncated": list(self.truncated),
        }


@dataclass(frozen=True, slots=True, repr=False)
class Aligned:
    """Two runs side by side, as limits, texts and pages use them.

    Attributes:
        old, new: The flow logs.
        spans: A row for each span of either run, parents before children, in the order of the new run.
    """

    old: FlowLog
    new: FlowLog
    spans: tuple[SpanDiff, ...]

    def __bool__(self) -> bool:
        return any(span.kind != "same" or span.moved for span in self.spans) or self.old.status != self.new.status

    @property
    def is_replay(self) -> bool:
        """Whether one of the runs is a replay: it took no time, tokens or money for what was answered from a recording."""
        return any(is_replay(log.events[0]) for log in (self.old, self.new) if log.events)

    @property
    def changed(self) -> list[SpanDiff]:
        """The rows that make the diff true: added, removed, changed and moved ones."""
        return [span for span in self.spans if span.kind != "same" or span.moved]

    @property
    def counts(self) -> dict[str, int]:
        """The number of ``added``, ``removed``, ``changed`` and ``same`` rows; ``moved`` counts changed and unchanged ones."""
        kinds = Counter("moved" if span.moved and span.kind == "same" else span.kind for span in self.spans)
        return {**{kind: kinds[kind] for kind in KINDS}, "moved": sum(span.moved for span in self.spans)}

    @property
    def is_partly_logged(self) -> bool:
        """Whether something is the same only as far as it was logged."""
        return any(span.cut for span in self.spans)

    @property
    def totals(self) -> dict[str, Figure]:
        """The totals of both runs: duration_ms (wall time), tokens and cost, nodes and errors."""
        names = {"duration_ms": "total_duration_ms", **{name: name for name in (*COUNTED, "node_count", "error_count")}}
        return {name: Figure(self.old.metrics[key], self.new.metrics[key]) for name, key in names.items()}


def _both(spans: tuple[SpanInfo | None, SpanInfo | None], name: str) -> dict[str, Any]:
    return {side: None if span is None else getattr(span, name) for side, span in zip(("old", "new"), spans, strict=True)}
