"""Tables of runs and figures for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..store.run_filters import attribute_text
from ..store.summaries import FlowSummary
from ..text import View, clock_text, columns, dollars, duration_text, fitted, printable
from ..tree.drawing import error_text
from ..tree.table import Cell, line_of, line_width

_NARROWEST: Final = 10  # columns that a name keeps
_LEAST: Final = 20  # columns of attributes and of errors; with less room they are left out
_FIGURES: Final = frozenset({"duration", "errors", "tokens", "cost"})
_HEAD: Final = (
    *("name", "status", "started (local)", "duration", "errors", "tokens", "cost", "host", "flow", "attributes", "first error"),
)
_ID: Final = 8  # the column of the id
_FIXED: Final = 9  # columns before those that take the room that is left


def runs_table(flows: Sequence[FlowSummary], view: View) -> Iterator[str]:
    """Yield the lines of a table of runs, in the order given. If it is wider than the view, ids, names and texts are cut."""
    has_hosts = len({_host_of(flow) for flow in flows} - {""}) > 1
    rows = [_row(flow, has_hosts) for flow in flows]
    widths = _widths(_HEAD, rows)
    if line_width(widths) > view.width:
        for row, flow in zip(rows, flows, strict=True):
            row[_ID] = printable(flow.short_id)
        fixed = [*widths[:_ID], *_widths(_HEAD[_ID:_FIXED], [row[_ID:_FIXED] for row in rows])]
        name = max(max(columns(row[0]) for row in rows) - max(line_width(fixed) - view.width, 0), _NARROWEST)
        for row in rows:
            row[0] = fitted(row[0], name, view)
        fixed[0], *_ = _widths(_HEAD[:1], [row[:1] for row in rows])
        texts = [max(columns(row[at]) for row in rows) for at in (_FIXED, _FIXED + 1)]
        for at, share in enumerate(_shares(texts, view.width - line_width(fixed)), _FIXED):
            for row in rows:
                row[at] = fitted(row[at], share, view) if share else ""
        widths = [*fixed, *_widths(_HEAD[_FIXED:], [row[_FIXED:] for row in rows])]
    return _drawn(_HEAD, rows, widths, _FIGURES, view, "status")


def _shares(widths: Sequence[int], room: int) -> list[int]:
    """Return how wide the attributes and the errors may be in the room beside the other columns; 0 leaves them out."""
    attributes, error = widths
    room -= 2 * bool(attributes) + 2 * bool(error)
    if attributes + error <= room:
        return [attributes, error]
    error = min(error, max(room - attributes, room // 2)) if attributes else min(error, room)
    attributes = min(attributes, room - error)
    return [width if width >= _LEAST else 0 for width in (attributes, error)]


def _host_of(flow: FlowSummary) -> str:
    return str(flow.resource["host"]) if flow.resource else ""


def _row(flow: FlowSummary, has_hosts: bool) -> list[str]:
    return [
        printable(flow.name or "?"),
        flow.status,
        clock_text(flow.start, zone=False),
        duration_text(flow.duration_ms) or "-",
        f"{flow.errors:,}" if flow.errors else "",
        f"{flow.tokens:,}" if flow.tokens else "",
        dollars(flow.cost_usd) if flow.cost_usd else "",
        printable(_host_of(flow)) if has_hosts else "",
        printable(flow.run_id),
        printable(" ".join(f"{key}={attribute_text(value)}" for key, value in flow.attributes.items())),
        error_text(flow.error) if flow.error else "",
    ]


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column, head included; 0 for a column without text below its head."""
    return [max(map(columns, texts)) if any(texts[1:]) else 0 for texts in zip(head, *rows, strict=True)]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], view: View, styled: str | None = None
) -> Iterator[str]:
    """Return the lines of a table. A column without any text is left out, and so is the head of a table without rows.

    Args:
        head: The names of the columns.
        rows: Their cells.
        right: The columns that are aligned right.
        view: What it may use of a terminal.
        styled: The column whose texts are the names of their own styles.
    """
    return _drawn(head, rows, _widths(head, rows), right, view, styled)


def _drawn(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: list[int],
    right: frozenset[str],
    view: View,
    styled: str | None,
) -> Iterator[str]:
    if not rows:
        return
    yield line_of([Cell(name, "dim", name in right) for name in head], widths, view)
    kinds = [(at, name == styled, name in right) for at, name in enumerate(head) if widths[at]]
    shown = [width for width in widths if width]
    for row in rows:
        yield line_of([Cell(row[at], row[at] if is_styled else "", is_right) for at, is_styled, is_right in kinds], shown, view)
