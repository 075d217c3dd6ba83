"""Text in columns for a terminal: cells as wide as their column, aligned left or right, with two blanks between columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..text import View, columns, fitted

_GAP: Final = "  "
_LABEL: Final = 16  # smallest number of columns of a label


class Cell(NamedTuple):
    """A cell of a line.

    Attributes:
        text: The text. Text that is wider than its column is cut.
        style: The style of the text, as in ``View.paint``; empty for none.
        right: Whether the text is aligned right.
        stem: Unstyled text before the text: the lines of a tree, one column per character. A long stem is cut to half the width
            of the column.
    """

    text: str
    style: str = ""
    right: bool = False
    stem: str = ""


def line_of(cells: Iterable[Cell], widths: Sequence[int], view: View) -> str:
    """Return the cells as one line, without blanks at its end.

    Args:
        cells: One cell for each column.
        widths: The width of each column in terminal columns; a column of width 0 is left out.
        view: Colours, and the mark of a cut.
    """
    pairs = zip(cells, widths, strict=True)
    return _GAP.join(_drawn(cell, width, view) for cell, width in pairs if width).rstrip()


def _drawn(cell: Cell, width: int, view: View) -> str:
    text, style, right, stem = cell
    if len(stem) > width // 2 + 3:
        stem = fitted(stem, width // 2, view)
    blanks = width - len(stem) - columns(text)
    if blanks < 0:
        text = fitted(text, width - len(stem), view)
        blanks = width - len(stem) - columns(text)
    line = stem + view.paint(style, text)
    return " " * blanks + line if right else line + " " * blanks


def padded(text: str, width: int) -> str:
    """Return a text with blanks up to a width."""
    return text + " " * (width - columns(text))


def widths_of(rows: Iterable[Sequence[str]]) -> list[int]:
    """Return the width of each column: that of its widest text, or 0 if all texts are empty."""
    return [max(map(columns, texts)) for texts in zip(*rows, strict=True)]


def line_width(widths: Iterable[int]) -> int:
    """Return the width of a line of columns, with the gaps between them."""
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def room_beside(widths: Iterable[int], total: int) -> int:
    """Return the width that columns of these widths leave for a label; at least 16."""
    return max(total - line_width(widths) - len(_GAP), _LABEL)


def shared(room: int, label: int, node: int) -> tuple[int, int]:
    """Return the widths of a label and of the node beside it, given the widths of their texts.

    The label gets what the node does not need, and at least half of the room.
    """
    if node:
        label = min(label, max(room - node - len(_GAP), room // 2))
        return label, min(node, max(room - label - len(_GAP), 0))
    return min(label, room), 0


def branch(view: View, last: bool) -> str:
    """Return the lines of a tree before a child; the last child ends the line of its parent."""
    if view.unicode:
        return "└─ " if last else "├─ "
    return "`- " if last else "|- "


def trunk(view: View) -> str:
    """Return the line of a tree that passes a row by."""
    return "│  " if view.unicode else "|  "
