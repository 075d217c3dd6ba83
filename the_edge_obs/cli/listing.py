"""Tables of runs and figures for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..store.summaries import FlowSummary
from ..text import View, clock_text, columns, dollars, duration_text, fitted, printable

_NARROW: Final = 10  # columns of a name, at least
_SHORT_ID: Final = 8  # characters; the beginning of an id will do for --flow
_FIGURES: Final = frozenset({"duration", "errors", "tokens", "cost"})
_HEAD: Final = ("name", "status", "started (local)", "duration", "errors", "tokens", "cost", "flow")


def runs_table(flows: Sequence[FlowSummary], view: View) -> Iterator[str]:
    """Yield the lines of a table of runs, in the order given. Where it is wider than the view, ids and names are cut."""
    rows = [_row(flow) for flow in flows]
    if _width(rows) > view.width:
        rows = [[*row[:-1], row[-1][:_SHORT_ID]] for row in rows]
        longest = max(columns(row[0]) for row in rows)
        room = max(longest - max(_width(rows) - view.width, 0), _NARROW)
        rows = [[fitted(row[0], room, view), *row[1:]] for row in rows]
    return table(_HEAD, rows, _FIGURES, view, "status")


def _row(flow: FlowSummary) -> list[str]:
    return [
        printable(flow.name or "?"),
        flow.status,
        clock_text(flow.start, zone=False),
        duration_text(flow.duration_ms) or "-",
        f"{flow.errors:,}" if flow.errors else "",
        f"{flow.tokens:,}" if flow.tokens else "",
        dollars(flow.cost_usd) if flow.cost_usd else "",
        printable(flow.flow_id),
    ]


def _width(rows: Sequence[Sequence[str]]) -> int:
    return sum(width + 2 for width in _widths(_HEAD, rows).values()) - 2


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[int, int]:
    """Return the width of each column that has any text, by its place."""
    shown = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return {place: max(columns(row[place]) for row in (head, *rows)) for place in shown}


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], view: View, styled: str | None = None
) -> Iterator[str]:
    """Yield a table, line by line. A column without any text is left out.

    Args:
        head: What the columns are called.
        rows: Their cells.
        right: Which columns are set to the right.
        view: What it may use of a terminal.
        styled: The column whose texts are the names of their own styles.
    """
    widths = _widths(head, rows)

    def line(row: Sequence[str], style: str = "") -> str:
        cells = []
        for place, width in widths.items():
            space = " " * (width - columns(row[place]))
            text = view.paint(row[place] if head[place] == styled and not style else style, row[place])
            cells.append(space + text if head[place] in right else text + space)
        return "  ".join(cells).rstrip()

    yield line(head, "dim")
    for row in rows:
        yield line(row)
