"""Format ``csv``: a row for each span (RFC 4180, UTF-8), for spreadsheets.

Rows are spans, not events, so that each has a duration, a status and a cost. Tokens and costs are in the rows where they count in
the flow log's totals, so that the sum of a column is the total. No cell is a formula, whatever was logged.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from ..event import Event, dumps
from ..flow_log import COUNTED, FlowLog, SpanInfo, counted_figures
from ..text import printable
from ._flow_logs import by_start

COLUMNS: Final = (
    *("flow", "depth", "step", "node", "status", "start", "start_ms", "duration_ms"),
    *COUNTED,
    *("metrics", "error_type", "error_message", "flow_id", "span_id", "parent_id", "input", "output"),
)
MAX_CELL: Final = 32_767  # characters; the limit of spreadsheets
# What a spreadsheet reads as the start of a formula, in the ASCII and in the wide form: at the beginning of a cell, and after a
# semicolon, where a cell begins for a reader that expects semicolons instead of commas and so does not see the quotes.
_FORMULA: Final = re.compile("(^|;)(?=[-=+@\uff1d\uff0b\uff0d\uff20])")


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield the names of the columns, and then a row for each span, parents before children; lines end in CR LF."""
    yield row_text(COLUMNS)
    for log in by_start(events, dropped):
        yield from map(row_text, _rows(log))


def _rows(log: FlowLog) -> Iterator[list[Any]]:
    spans = {span.span_id: span for span in log.spans}
    depths = {span.span_id: depth for depth, span in log.walk()}
    # Broken parent ids may form a circle, which a walk from the roots does not reach.
    depths = {**depths, **{span_id: 0 for span_id in spans if span_id not in depths}}
    figures = counted_figures(spans)
    captured = {key: _captured(log, key) for key in ("input", "output")}
    begin = min((span.start for span in log.spans), default=0.0)
    for span_id, depth in depths.items():
        span = spans[span_id]
        cells = {
            "flow": cell_text(log.name),
            "depth": depth,
            **_facts(span),
            "start_ms": round((span.start - begin) * 1000, 3),
            **{key: figures[key].get(span_id) for key in COUNTED},
            **{key: cell_text(captured[key].get(span_id)) for key in captured},
            "flow_id": cell_text(log.flow_id),
        }
        yield [cells[column] for column in COLUMNS]


def _facts(span: SpanInfo) -> dict[str, Any]:
    error = span.error or {}
    return {
        "step": cell_text(span.step),
        "node": cell_text(span.node),
        "status": span.status,
        "start": _moment(span.start),
        "duration_ms": span.duration_ms,
        "metrics": cell_text({key: value for key, value in span.metrics.items() if key not in COUNTED} or None),
        "error_type": cell_text(error.get("type")),
        "error_message": cell_text(error.get("message")),
        "span_id": cell_text(span.span_id),
        "parent_id": cell_text(span.parent_id),
    }


def _captured(log: FlowLog, key: str) -> dict[str, Any]:
    return {event["span_id"]: event["data"][key] for event in log.events if key in event["data"]}


def _moment(seconds: float) -> str:
    """Return a UTC time in a form that spreadsheets read: with milliseconds and without a zone."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(" ", "milliseconds")[:-6]
    except (ValueError, OverflowError, OSError):  # a broken or hostile log
        return ""


def cell_text(value: Any) -> str:
    """Return a value as the text of a cell: one line, not a formula, and not longer than a spreadsheet allows."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return dumps(value)
    text = value if isinstance(value, str) else dumps(value)
    text = _FORMULA.sub(r"\1'", printable(text[:MAX_CELL]))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def row_text(cells: Iterable[Any]) -> str:
    """Return cells as a row of the file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
