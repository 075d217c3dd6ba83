"""Render a comparison as text: the differences in the tree of spans, and the totals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from ..flow_log import FlowLog
from ..text import View, clock_text, columns, counted, dollars, duration_text, fitted, printable
from ..tree.drawing import FOLD_OVER, error_text
from ..tree.table import Cell, branch, line_of, room_beside, shared, trunk, widths_of
from ._rows import Aligned, Figure, SpanDiff
from .values import Change, apart

# A duration counts as changed if it changed by both: short nodes vary by half, and long ones by a second.
NOTABLE_PERCENT: Final = 20.0
NOTABLE_MS: Final = 10.0

_SHOWN_CUTS: Final = 3  # values that were cut and are named
_SHOWN_CHANGES: Final = 8  # of one span, unless the view does not fold
_ADDED_BELOW: Final = 12  # rows shown of one added or removed part of the tree, unless the view does not fold
_NARROWEST: Final = 60  # columns
_DEEPEST: Final = 600  # columns of the lines of the tree; deeper spans are not indented further
_STYLES: Final = {"added": "ok", "removed": "error", "changed": "warn", "same": ""}
_HIDDEN: Final = {"added": "more added", "removed": "more removed", "same": "the same"}
_MARKS: Final = {"added": "+", "removed": "-", "changed": "~", "same": " "}


@dataclass(frozen=True, slots=True)
class _Note:
    """A note below a row, on one line if it fits.

    Attributes:
        style: Its style.
        text: The text, or the text before two values.
        old, new: The two values, or empty texts.
    """

    style: str
    text: str
    old: str = ""
    new: str = ""

    def lines(self, room: int, view: View) -> Iterator[tuple[str, str]]:
        """Yield the lines, each with its style, cut to so many columns."""
        room = max(room, _NARROWEST // 2)
        line = f"{self.text}{self.old} {_arrow(view)} {self.new}" if self.old or self.new else self.text
        if columns(line) <= room or not self.new:
            yield self.style, fitted(line, room, view)
            return
        yield self.style, fitted(self.text.rstrip(), room, view)
        yield "error", fitted(f"  - {self.old}", room, view)
        yield "ok", fitted(f"  + {self.new}", room, view)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the tree.

    Attributes:
        style: The style of its mark and label.
        mark: The mark at the beginning of the line.
        stem, below: The lines of the tree before the label, and before the notes.
        label: The label.
        cells: Node, duration, tokens, cost, status.
        notes: The notes below it.
    """

    style: str
    mark: str
    stem: str
    below: str
    label: str
    cells: Sequence[str] = ("", "", "", "", "")
    notes: Sequence[_Note] = ()


def render(diff: Aligned, view: View) -> Iterator[str]:
    """Yield the lines of a readable comparison.

    It shows spans that differ and the spans around them, and counts the rest. Without ``view.fold`` it shows every span. A
    duration counts as different if it changed by at least 20 % and 10 ms. Durations, tokens and costs of a replay are its own.
    """
    yield from _heads(diff, view)
    rows = list(_rows(diff, view))
    if rows:
        yield ""
        yield from _table(rows, view)
    yield ""
    yield summary(diff)
    if shown := [f"{name} {text}" for name, text in totals(diff, view)]:
        yield ", ".join(shown)
    for which, log in (("old", diff.old), ("new", diff.new)):
        yield from (view.paint("warn", line) for line in missing(which, log))
    yield from (view.paint("dim", line) for line in partly_logged(diff))


def summary(diff: Aligned) -> str:
    """Return how many spans differ, as a short text."""
    counts = diff.counts
    differing = [f"{counts[kind]:,} {kind}" for kind in ("changed", "added", "removed", "moved") if counts[kind]]
    far = " as far as logged" if diff.is_partly_logged else ""
    return ", ".join(differing or ["no differences"]) + f", {counts['same']:,} the same{far}"


def partly_logged(diff: Aligned) -> Iterator[str]:
    """Yield one line that names values that are the same only as far as they were logged, if there are any."""
    cuts = [f"{path} of {printable(' / '.join(span.path))}" for span in diff.spans for path in map(printable, span.cut)]
    if cuts:
        more = f" and {len(cuts) - _SHOWN_CUTS:,} more" if len(cuts) > _SHOWN_CUTS else ""
        yield f"cut or redacted, and the same as far as logged: {', '.join(cuts[:_SHOWN_CUTS])}{more}"


def is_notable(diff: Aligned, span: SpanDiff) -> bool:
    """Tell whether the duration of a span changed by more than runs usually vary; answers from a recording take no time."""
    figure = span.duration_ms
    delta, percent = figure.delta, figure.percent
    return (
        not diff.is_replay
        and delta is not None
        and abs(delta) >= NOTABLE_MS
        and (percent is None or abs(percent) >= NOTABLE_PERCENT)
    )


# --- head and foot ---


def _heads(diff: Aligned, view: View) -> Iterator[str]:
    for mark, style, log in (("---", "error", diff.old), ("+++", "ok", diff.new)):
        parts = [printable(log.name or "?"), log.status, duration_text(log.metrics["total_duration_ms"]), printable(log.flow_id)]
        parts += [f"started {clock_text(log.events[0]['timestamp'])}"] if log.events else []
        yield view.paint(style, fitted(f"{mark} {'  '.join(filter(None, parts))}", max(view.width, _NARROWEST), view))


def totals(diff: Aligned, view: View) -> Iterator[tuple[str, str]]:
    """Yield the name of each total that is not zero in both runs, and its values as text."""
    spent = {"duration_ms": duration_text, "tokens": count_text, "cost_usd": dollars}
    shown = {**({} if diff.is_replay else spent), "error_count": count_text}
    for name, as_text in shown.items():
        figure = diff.totals[name]
        if figure.old or figure.new:
            yield name.partition("_")[0].replace("error", "errors"), two(figure, as_text, view)


def missing(which: str, log: FlowLog) -> Iterator[str]:
    """Yield what is known to be missing from a run, the ``old`` or the ``new`` one."""
    if dropped := log.metrics["dropped_count"]:
        lost = counted(dropped, "event")
        yield f"the {which} run is incomplete, {lost} dropped by its ring buffer: a span that is missing may have run"
    if log.status == "running":
        yield f"the {which} run has no end in its log: it is still running, or its process was killed"
    if log.status == "unknown":
        yield f"the {which} run's own events are not in its log: it is not known how it ended"


# --- rows ---


def _rows(diff: Aligned, view: View) -> Iterator[_Row]:
    children = _children(diff.spans)
    sizes, wanted = _subtrees(diff, children, view)
    if not any(wanted):
        return
    waiting: list[tuple[int | str, str, str]] = [
        (item, "", "") for item in reversed(_folded(diff.spans, children[-1], sizes, wanted, view))
    ]
    while waiting:
        item, stem, below = waiting.pop()
        if isinstance(item, str):
            yield _Row("dim", " ", stem, below, item)
            continue
        inner = _folded(diff.spans, children[item], sizes, wanted, view)
        below = below[:_DEEPEST]
        yield _row(diff, diff.spans[item], stem, below + (trunk(view) if inner else "   "), view)
        for position in range(len(inner) - 1, -1, -1):
            last = position == len(inner) - 1
            waiting.append((inner[position], below + branch(view, last), below + ("   " if last else trunk(view))))


def _children(spans: Sequence[SpanDiff]) -> list[list[int]]:
    """Return for each row the rows directly below it; at the last index, -1, the roots."""
    children: list[list[int]] = [[] for _ in range(len(spans) + 1)]
    path = [-1]
    for index, span in enumerate(spans):
        del path[span.depth + 1 :]
        children[path[-1]].append(index)
        path.append(index)
    return children


def _subtrees(diff: Aligned, children: Sequence[Sequence[int]], view: View) -> tuple[list[int], list[bool]]:
    """Return for each row how many rows its subtree has, and whether any of them is shown."""
    spans = diff.spans
    sizes, wanted = [1] * len(spans), [not view.fold] * len(spans)
    for index in range(len(spans) - 1, -1, -1):
        span = spans[index]
        sizes[index] += sum(sizes[child] for child in children[index])
        wanted[index] = wanted[index] or span.kind != "same" or span.moved or is_notable(diff, span)
        wanted[index] = wanted[index] or any(wanted[child] for child in children[index])
        if view.fold and span.kind in ("added", "removed") and sizes[index] > _ADDED_BELOW:
            for child in children[index]:
                wanted[child] = False
    return sizes, wanted


def _folded(
    spans: Sequence[SpanDiff], siblings: Sequence[int], sizes: Sequence[int], wanted: Sequence[bool], view: View
) -> list[int | str]:
    """Return the rows of one parent that are shown, and a text in place of each group of rows that are not."""
    rows: list[int | str] = []
    shown = 0
    for visible, group in groupby(siblings, key=wanted.__getitem__):
        indexes = list(group)
        kept = indexes[: max(FOLD_OVER - shown, 0) if view.fold else None] if visible else []
        shown += len(kept)
        rows += kept
        if rest := indexes[len(kept) :]:
            what = "more" if visible else _HIDDEN[spans[rest[0]].kind]
            rows.append(f"{'⋮' if view.unicode else ':'} {sum(sizes[index] for index in rest):,} {what}")
    return rows


def _row(diff: Aligned, span: SpanDiff, stem: str, below: str, view: View) -> _Row:
    shown = span.span
    tokens, cost = (span.figure(name) for name in ("tokens", "cost_usd"))
    node = "" if span.label.startswith(shown.node) else printable(shown.node)
    status = shown.status
    if span.old and span.new and "status" in span.differences:
        status = f"{span.old.status} {_arrow(view)} {status}"
    cells = (
        node,
        duration_text(shown.duration_ms),
        f"{count:,} tok" if (count := _latest(tokens)) else "",
        dollars(amount) if (amount := _latest(cost)) else "",
        status + (" (moved)" if span.moved else ""),
    )
    mark = ">" if span.moved and span.kind == "same" else _MARKS[span.kind]
    style = _STYLES[span.kind] or ("warn" if span.moved else "")
    return _Row(style, mark, stem, below, printable(span.label), cells, list(_notes(diff, span, view)))


def _latest(figure: Figure) -> float:
    return (figure.old if figure.new is None else figure.new) or 0


def _arrow(view: View) -> str:
    return "→" if view.unicode else "->"


# --- notes below a row ---


def _notes(diff: Aligned, span: SpanDiff, view: View) -> Iterator[_Note]:
    if span.old is None or span.new is None:
        if span.span.error:
            yield _Note("error", error_text(span.span.error))
        return
    if "node" in span.differences:
        yield _Note("warn", f"node: {printable(span.old.node)} {_arrow(view)} {printable(span.new.node)}")
    if is_notable(diff, span):
        yield _Note("bold", f"duration: {two(span.duration_ms, duration_text, view)}")
    for name, word, as_text in _FIGURES:
        if word in span.differences and (figure := span.figure(name)).delta:
            yield _Note("warn", f"{name.removesuffix('_usd').replace('_', ' ')}: {two(figure, as_text, view)}")
    shown = span.changes[:_SHOWN_CHANGES] if view.fold else span.changes
    for change in shown:
        yield _note_of(change)
    if more := len(span.changes) - len(shown) + span.more_changes:
        yield _Note("dim", f"and {counted(more, 'more change')}")


def _note_of(change: Change) -> _Note:
    if change.kind == "changed":
        return _Note("warn", f"{printable(change.path)}: ", *_apart(change.old, change.new))
    value = change.new if change.kind == "added" else change.old
    text = error_text(value) if change.path == "error" else _as_text(value)
    mark, style = ("+", "ok") if change.kind == "added" else ("-", "error")
    return _Note(style, f"{mark} {printable(change.path)}: {text}")


def _apart(old: Any, new: Any) -> tuple[str, str]:
    """Return two values as texts, without the long beginning that they share."""
    old, new = apart(old, new)
    return _as_text(old), _as_text(new)


def _as_text(value: Any) -> str:
    try:
        return printable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "(nested too deep)"


def two(figure: Figure, as_text: Callable[[float], str], view: View) -> str:
    """Return a number in two runs as text, with its growth in percent."""
    old, new = ("?" if value is None else as_text(value) for value in (figure.old, figure.new))
    if old == new:
        return old
    growth = "" if figure.percent is None else f" ({figure.percent:+,.0f}%)"
    return f"{old} {_arrow(view)} {new}{growth}"


def count_text(value: float) -> str:
    """Return a count with separators between thousands."""
    return f"{value:,}"


# The metrics of a span that have a note of their own, the difference that each belongs to, and how its value is written.
_FIGURES: Final = (
    ("tokens", "tokens", count_text),
    ("input_tokens", "tokens", count_text),
    ("output_tokens", "tokens", count_text),
    ("cost_usd", "cost", dollars),
)


# --- the table ---


def _table(rows: Sequence[_Row], view: View) -> Iterator[str]:
    total = max(view.width, _NARROWEST) - 2  # the mark and a space
    node, *figures = widths_of(row.cells for row in rows)
    wanted = max(len(row.stem) + columns(row.label) for row in rows)
    widths = (*shared(room_beside(figures, total), wanted, node), *figures)
    for row in rows:
        mark = view.paint(row.style, row.mark.strip()) or " "
        yield f"{mark} {line_of(_table_cells(row), widths, view)}".rstrip()
        indent = row.below if len(row.below) < total // 2 else ""
        for note in row.notes:
            for style, text in note.lines(total - len(indent), view):
                yield f"  {indent}{view.paint(style, text)}"


def _table_cells(row: _Row) -> list[Cell]:
    node, *figures, status = row.cells
    return [
        Cell(row.label, row.style, stem=row.stem),
        Cell(node, "dim"),
        *(Cell(figure, right=True) for figure in figures),
        Cell(status, row.style),
    ]
