"""Tables of runs and figures for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..flow_summary import FlowSummary
from ..formatters import printable
from ..tree import View, clock_text, columns, dollars, duration_text, fitted

_NAME = 40  # columns of the widest name


def runs_table(flows: Sequence[FlowSummary], view: View) -> Iterator[str]:
    """Yield the lines of a table of runs, in the order given; the column of costs is there when there are some."""
    head = ["name", "status", "started", "duration", "errors", "tokens", "cost", "flow"]
    rows = [
        [
            fitted(printable(flow.name or "?"), _NAME, view),
            flow.status,
            clock_text(flow.start),
            duration_text(flow.duration_ms) or "-",
            f"{flow.errors:,}" if flow.errors else "",
            f"{flow.tokens:,}" if flow.tokens else "",
            dollars(flow.cost_usd) if flow.cost_usd else "",
            printable(flow.flow_id),
        ]
        for flow in flows
    ]
    return table(head, rows, frozenset({"duration", "errors", "tokens", "cost"}), view, "status")


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
    shown = [place for place in range(len(head)) if any(row[place] for row in rows)]
    widths = {place: max(columns(row[place]) for row in (head, *rows)) for place in shown}

    def line(row: Sequence[str], style: str = "") -> str:
        cells = []
        for place in shown:
            space = " " * (widths[place] - columns(row[place]))
            text = view.paint(row[place] if head[place] == styled and not style else style, row[place])
            cells.append(space + text if head[place] in right else text + space)
        return "  ".join(cells).rstrip()

    yield line(head, "dim")
    for row in rows:
        yield line(row)
