"""Two runs side by side: what was added, removed, moved, and what changed of what stayed."""

from ._comparing import MAX_CHANGES, diff
from ._limits import check_fail_on
from ._model import FlowDiff
from ._rows import Figure, SpanDiff
from ._text import partly_logged, render, summary
from ._values import Change

__all__ = [
    "MAX_CHANGES",
    "Change",
    "Figure",
    "FlowDiff",
    "SpanDiff",
    "check_fail_on",
    "diff",
    "partly_logged",
    "render",
    "summary",
]
