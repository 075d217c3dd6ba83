"""Drawing a flow log: as a tree on a terminal, as a page in a notebook, and as lanes for viewers."""

from ..text import View
from .drawing import origin, render

__all__ = ["View", "origin", "render"]
