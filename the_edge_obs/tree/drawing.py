"""A flow log as text: the tree of its spans, its errors and warnings, and its totals."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from ..event import Event, is_number
from ..text import View, clock_text, columns, counted, dollars, duration_text, fitted, printable
from .clocks import DrawnSpan, drawn, shift_notes
from .flow_facts import FlowFacts, SpanInfo, error_key
from .table import Cell, branch, line_of, padded, room_beside, shared, trunk, widths_of

# If a span has more children than this, the first and last ones are shown, and the first ones that are not ok.
FOLD_OVER: Final = 24
_FIRST, _LAST, _NOT_OK = 8, 2, 8
_NOTES: Final = 3  # warnings shown per span
_NOTE_LINES: Final = 4  # lines per message
_LABEL: Final = 40  # columns of a branch's item; a longer one is not shown
_SHORT: Final = 100  # characters of a payload that is written on one line
_DEEPEST: Final = 600  # columns of the tree's lines; deeper spans are drawn at this depth
_NARROWEST: Final = 60  # columns; on a narrower terminal, lines wrap
_BAR: Final = (8, 30)  # smallest and largest number of columns of a bar
_PLAIN: Final = View()


@dataclass(slots=True)
class Row:
    """One row of the tree.

    Attributes:
        stem: The lines of the tree before the label.
        below: The lines of the tree before the notes.
        cells: Label, node, duration, tokens, cost, status.
        bar: Start and end of the bar, as fractions of the run's time; None for a row that stands for many spans.
        status: ok, error, running or cancelled; empty for a row that stands for many spans.
        around: Whether the span has children.
        notes: ``(style, text)`` of each note below the row.
        span: The span; None for a row that stands for many spans.
        details: Texts of several lines below the notes, each with its name: ``input``, ``output``, ``traceback``.
    """

    stem: str
    below: str
    cells: tuple[str, str, str, str, str, str]
    status: str
    notes: list[tuple[str, str]] = field(default_factory=list)
    bar: tuple[float, float] | None = None
    around: bool = False
    span: SpanInfo | None = None
    details: list[tuple[str, str]] = field(default_factory=list)


def render(log: FlowFacts, view: View = _PLAIN, *, payloads: bool = False, tracebacks: bool = False) -> Iterator[str]:
    """Yield the lines of a flow log for people: the tree, the totals, and what is missing.

    Each span has a line with its step or node, a bar on the run's time line if there is room, duration, tokens, cost and status.
    Below the line are the message of an error that arose in the span, with the place in the code, and the span's warnings.

    Args:
        log: A flow log.
        view: Width, characters, colours and folding. Default: 100 columns, box characters, no colours, long lists folded.
        payloads: Show the input and the output of each span, as JSON. Default False.
        tracebacks: Show the traceback of each error below it. Default False.

    Example:
        >>> print(*render(obs.get_flow_log(run.flow_id)), sep="\\n")
    """
    log = drawn(log)
    if table := list(rows(log, view)):
        payloads_of = _payloads(log.events) if payloads else {}
        for row in table if payloads or tracebacks else ():
            if row.span is not None:
                row.details = [*payloads_of.get(row.span.span_id, ()), *(_traceback(row) if tracebacks else ())]
        yield from _table(table, view)
        yield ""
    yield ", ".join(totals(log))
    yield from (view.paint("warn", line) for line in (*missing(log), *map(printable, shift_notes(log))))


def origin(log: FlowFacts) -> SpanInfo | None:
    """Return the span in which the error that ended a flow arose (the last and deepest one that has it), or None without one."""
    root = next((span for span in log.roots if span.error is not None), None)
    if root is None:
        return None
    same = [span for span in log.spans if _same_error(span, root)]
    parents = {span.parent_id for span in same}
    return next((span for span in reversed(same) if span.span_id not in parents), root)


# --- rows ---


def rows(log: FlowFacts, view: View) -> Iterator[Row]:
    """Yield the rows of the tree, parents before children. Long loops and fan-outs are folded if ``view.fold`` is set.

    Spans are drawn where ``clocks.drawn`` puts them.
    """
    log = drawn(log)
    spans = {span.span_id: span for span in log.spans}
    entries = {event["span_id"]: event for event in log.events if event["event_type"] == "entry"}
    warnings = _warnings(log.events)
    healthy, part = _healthy(log, spans), _parts(log)
    # A flow without its root, for example because it was evicted, has many tops.
    tops = reversed(_folded(log.roots, healthy, view))
    waiting: list[tuple[SpanInfo | str, str, str]] = [(span, "", "") for span in tops]
    while waiting:
        span, stem, below = waiting.pop()
        if isinstance(span, str):
            yield Row(stem, below, (span, "", "", "", "", ""), "")
            continue
        children = [spans[child] for child in span.children]
        below = below[:_DEEPEST]
        bar = below + (trunk(view) if children else "  ")
        notes = [*_error_notes(span, children), *warnings.get(span.span_id, ())]
        cells = _cells(span, span.name or span.step, entries.get(span.span_id))
        yield Row(stem, bar, cells, span.status, notes, part.get(span.span_id), bool(children), span)
        shown = _folded(children, healthy, view)
        for position in range(len(shown) - 1, -1, -1):
            last = position == len(shown) - 1
            waiting.append((shown[position], below + branch(view, last), below + ("   " if last else trunk(view))))


def _parts(log: FlowFacts) -> dict[str, tuple[float, float]]:
    """Return the start and end of each span, as fractions of the log's time; an empty dict if that is 0."""
    last = log.events[-1]["timestamp"] if log.events else 0.0
    times = {span.span_id: (span.start, max(span.start, last if span.end is None else span.end)) for span in log.spans}
    first = min((start for start, _ in times.values()), default=0.0)
    whole = max((end for _, end in times.values()), default=0.0) - first
    return {key: ((start - first) / whole, (end - first) / whole) for key, (start, end) in times.items()} if whole > 0 else {}


def _cells(span: SpanInfo, name: str | None, entry: Event | None) -> tuple[str, str, str, str, str, str]:
    label, node = (name, span.node) if name and name != span.node else (span.node, "")
    tokens, cost = _number(span.metrics.get("tokens")), _number(span.metrics.get("cost_usd"))
    # A span that its level filters logs only its error. It has no entry and no duration, and nothing of it is lost.
    lost = span.partial and (span.duration_ms is not None or span.status == "running")
    return (
        printable(label + which(span, entry)),
        printable(node),
        duration_text(span.duration_ms),
        f"{tokens:,} tok" if tokens else "",
        dollars(cost) if cost else "",
        span.status + (" (start lost)" if lost else ""),
    )


def which(span: SpanInfo, entry: Event | None) -> str:
    """Return what distinguishes a span from others, after a space: the number of an iteration, branch or attempt, the process."""
    mark = span.mark if isinstance(span, DrawnSpan) else ""
    return numbered(span.node, entry) + (f" {mark}" if mark else "")


def numbered(node: str, entry: Event | None) -> str:
    """Return what distinguishes a span from its siblings, after a space: the number of an iteration, branch or attempt."""
    data = entry["data"] if entry else {}
    given = data.get("input")
    parts = []
    if node in ("loop.iteration", "parallel.branch") and isinstance(given, dict):
        parts = [f"[{given['index']}]"] if "index" in given else []
        parts += [str(given["branch"])] if "branch" in given else []
        parts += [text] if "item" in given and columns(text := _one_line(given["item"])) <= _LABEL else []
    if "attempt" in data:
        parts.append(f"(attempt {data['attempt']})")
    return "".join(f" {part}" for part in parts)


def _one_line(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _same_error(span: SpanInfo, other: SpanInfo) -> bool:
    return error_key(span.error) == error_key(other.error) is not None


def _error_notes(span: SpanInfo, children: Sequence[SpanInfo]) -> list[tuple[str, str]]:
    """Return an error's text if it arose in this span. The spans above, which it passed through, have the same error."""
    if span.error is None or any(_same_error(child, span) for child in children):
        return []
    if span.status == "cancelled" and not span.error.get("message"):
        return []
    where = span.error.get("where")
    place = f" ({printable(where)})" if isinstance(where, str) and where else ""
    return [(span.status, error_text(span.error) + place)]


def _payloads(events: Sequence[Event]) -> dict[str, list[tuple[str, str]]]:
    """Return the input and output of each span, as JSON that is safe on a terminal."""
    by_span: dict[str, list[tuple[str, str]]] = {}
    for event in events:
        for key in ("input", "output"):
            if event["event_type"] != "log" and key in event["data"]:
                text = json.dumps(event["data"][key], ensure_ascii=False)
                if len(text) > _SHORT:
                    text = json.dumps(event["data"][key], ensure_ascii=False, indent=2)
                by_span.setdefault(event["span_id"], []).append((key, text))
    return by_span


def _traceback(row: Row) -> list[tuple[str, str]]:
    """Return the traceback of the error that arose in the span of a row, if it was logged."""
    text = row.span.error.get("traceback") if row.notes and row.span is not None and row.span.error is not None else None
    return [("traceback", text)] if isinstance(text, str) and text else []


def error_text(error: dict[str, Any]) -> str:
    """Return an event's ``{type, message}`` as one line that is safe on a terminal."""
    kind, message = (printable(str(error.get(key) or "")) for key in ("type", "message"))
    return f"{kind}: {message}" if message else kind


def _warnings(events: Sequence[Event]) -> dict[str, list[tuple[str, str]]]:
    """Return the first warnings and logged errors of each span."""
    by_span: dict[str, list[tuple[str, str]]] = {}
    left_out: dict[str, int] = {}
    for event in events:
        if event["event_type"] != "log" or event["level"] not in ("warn", "error"):
            continue
        notes = by_span.setdefault(event["span_id"], [])
        if len(notes) < _NOTES:
            notes.append((event["level"], printable(f"{event['level']}: {event['message'] or event['node']}")))
        else:
            left_out[event["span_id"]] = left_out.get(event["span_id"], 0) + 1
    for span_id, count in left_out.items():
        by_span[span_id].append(("warn", f"and {counted(count, 'more warning')}"))
    return by_span


# --- folding ---


def _healthy(log: FlowFacts, spans: dict[str, SpanInfo]) -> dict[str, bool]:
    """Return, for each span, whether it and all spans below it are ok."""
    healthy: dict[str, bool] = {}
    for _, span in reversed(list(log.walk())):
        healthy[span.span_id] = span.status == "ok" and all(healthy[child] for child in span.children)
    return healthy


def _folded(children: Sequence[SpanInfo], healthy: dict[str, bool], view: View) -> list[SpanInfo | str]:
    if not view.fold or len(children) <= FOLD_OVER:
        return list(children)
    failed = [span.span_id for span in children if not healthy[span.span_id]][:_NOT_OK]
    shown = {*(span.span_id for span in (*children[:_FIRST], *children[-_LAST:])), *failed}
    rows: list[SpanInfo | str] = []
    for kept, group in groupby(children, key=lambda span: span.span_id in shown):
        spans = list(group)
        if kept or len(spans) == 1:
            rows += spans
        else:
            count = sum(not healthy[span.span_id] for span in spans)
            rows.append(f"{'⋮' if view.unicode else ':'} {len(spans):,} more, {f'{count:,} not ok' if count else 'all ok'}")
    return rows


# --- the table ---


def _table(rows: Sequence[Row], view: View) -> Iterator[str]:
    total = max(view.width, _NARROWEST)
    _, node, *figures = widths_of(row.cells for row in rows)
    bar = min((total - _NARROWEST) // 3, _BAR[1])
    bar = bar if bar >= _BAR[0] and any(row.bar for row in rows) else 0
    wanted = max(len(row.stem) + columns(row.cells[0]) for row in rows)
    label, node = shared(room_beside((bar, *figures), total), wanted, node)
    for row in rows:
        yield line_of(_table_cells(row, node, bar, view), (label, node, bar, *figures), view)
        for style, text in row.notes:
            yield from _note(row, style, text, total, view)
        for name, text in row.details:
            yield from _detail(row, name, text, total, view)


def _table_cells(row: Row, node: int, bar: int, view: View) -> list[Cell]:
    label, name, *figures, status = row.cells
    bar_style = row.status if row.status != "ok" else "around" if row.around else "bar"
    return [
        Cell(label, stem=row.stem),
        Cell(padded(fitted(name, node, view), node), "dim"),
        Cell(_bar_text(row.bar, bar, view), bar_style),
        *(Cell(figure, right=True) for figure in figures),
        Cell(status, row.status),
    ]


def _bar_text(part: tuple[float, float] | None, width: int, view: View) -> str:
    """Return a bar in steps of half a column; it has at least one half."""
    if part is None:
        return " " * width
    halves = 2 * width
    first = min(int(part[0] * halves), halves - 1)
    last = max(first, min(math.ceil(part[1] * halves), halves) - 1)
    filled = [first <= half <= last for half in range(halves)]
    cells = zip(filled[::2], filled[1::2], strict=True)
    marks = {(True, True): "█", (True, False): "▌", (False, True): "▐"} if view.unicode else {}
    return "".join(marks.get(cell, "#") if any(cell) else " " for cell in cells)


def _note(row: Row, style: str, text: str, total: int, view: View) -> Iterator[str]:
    indent = row.below if len(row.below) < total // 2 else ""
    room = total - len(indent)
    if columns(text) > len(text):
        room //= 2  # textwrap counts characters, and some of these are two columns wide
    lines = textwrap.wrap(text, room, max_lines=_NOTE_LINES, placeholder=" ...")
    for line in lines:
        yield indent + view.paint(style, line)


def _detail(row: Row, name: str, text: str, total: int, view: View) -> Iterator[str]:
    indent = row.below if len(row.below) < total // 2 else ""
    first, *more = map(printable, text.splitlines())
    if not more:
        yield f"{indent}{view.paint('dim', name + ':')} {first}"
        return
    yield indent + view.paint("dim", f"{name}:")
    for line in (first, *more):
        yield f"{indent}  {line}"


# --- totals ---


def totals(log: FlowFacts) -> Iterator[str]:
    """Yield the totals of a flow log for people, as far as it has them: status, duration, counts, tokens, cost."""
    metrics = log.metrics
    yield log.status
    if metrics["total_duration_ms"] is not None:
        yield duration_text(metrics["total_duration_ms"])
    for name in ("node", "event", "error"):
        if (count := metrics[f"{name}_count"]) or name != "error":
            yield counted(count, name)
    if metrics["tokens"]:
        parts = [f"{metrics[key]:,} {word}" for key, word in (("input_tokens", "in"), ("output_tokens", "out")) if metrics[key]]
        yield counted(metrics["tokens"], "token") + (f" ({' + '.join(parts)})" if parts else "")
    if metrics["cost_usd"]:
        yield dollars(metrics["cost_usd"])


def missing(log: FlowFacts) -> Iterator[str]:
    """Yield a line for each reason why a flow log is not complete."""
    metrics = log.metrics
    last = f"; last event {clock_text(log.events[-1]['timestamp'])}" if log.events else ""
    if log.status == "running":
        yield f"no end in the log: the flow is still running, or its process was killed{last}"
    if log.status == "unknown":
        yield f"the flow's own events are not in the log, perhaps filtered by their level: how it ended is not known{last}"
    if metrics["dropped_count"]:
        yield f"{counted(metrics['dropped_count'], 'event')} dropped by the ring buffer: the tree is not complete"
    if metrics["fault_count"]:
        yield f"logging itself failed {counted(metrics['fault_count'], 'time')}"


def _number(value: Any) -> float:
    return value if is_number(value) else 0
