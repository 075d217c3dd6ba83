"""Why a replay stops: where, what differs there, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...comparison import Change
from ...comparison.values import apart
from ...instrumentation.answers import ReplayStopped
from ...text import counted

UNFIT: Final = "unfit"
BEYOND: Final = "beyond"
_SHOWN: Final = 3  # changes that the message names
_LONG: Final = 90  # characters of a value in the message


class Stop(ReplayStopped):
    """A call that is neither answered nor made.

    Attributes:
        place: The steps that lead to it: ``fan > parallel.branch [1] > ask``.
        node: The node, such as ``llm.call``.
        why: What is wrong.
        changes: Where its input differs from the recorded one, as ``comparison.Change`` objects.
        hint: What to do.
        kind: ``changed`` (the flow asks something else), ``unfit`` (the recording cannot be used there) or ``beyond`` (the run
            that was recorded failed, and the recording ends before this call).
    """

    def __init__(
        self, place: str, node: str, why: str, changes: Sequence[Change] = (), hint: str = "", kind: str = "changed"
    ) -> None:
        self.place, self.node, self.why, self.changes, self.hint, self.kind = place, node, why, tuple(changes), hint, kind
        super().__init__(str(self))

    def __str__(self) -> str:
        shown = "; ".join(map(described, self.changes[:_SHOWN]))
        if (more := len(self.changes) - _SHOWN) > 0:
            shown += f"; {counted(more, 'more change')}"
        name = self.place if self.place == self.node else f"{self.place} ({self.node})"
        return "; ".join(filter(None, (f"{name}: {self.why}", shown, self.hint)))


def described(change: Change) -> str:
    """Return a change as one line: ``input.prompt: 'a' -> 'b'``."""
    if change.kind == "changed":
        old, new = apart(change.old, change.new)
        return f"{change.path}: {_short(old)} -> {_short(new)}"
    return f"{change.path}: {change.kind}, {_short(change.new if change.kind == 'added' else change.old)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else text[: _LONG - 3] + "..."
