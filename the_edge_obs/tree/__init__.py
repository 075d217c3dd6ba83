"""Drawing a flow log: as a tree on a terminal, as a page in a notebook, and as lanes for viewers."""

from ..text import View
from .clocks import DrawnSpan, drawn
from .drawing import origin, render

__all__ = ["DrawnSpan", "View", "drawn", "origin", "render"]
