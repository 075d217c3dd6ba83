"""Compare two runs: which spans were added, removed or moved, and what changed in the others."""

from ._comparing import MAX_CHANGES, diff
from ._limits import check_fail_on
from ._model import FlowDiff
from ._rows import Figure, SpanDiff
from ._text import partly_logged, render, summary
from .values import Change

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
