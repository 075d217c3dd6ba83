"""How a flow log is shown: as a tree on a terminal, in a notebook, and as lanes for viewers. It draws whatever has its shape."""

from ..text import View
from .drawing import render

__all__ = ["View", "render"]
