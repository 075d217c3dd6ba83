"""Render a comparison as a page: one file that opens from disk, needs no network, and runs only its own script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..event import SPAN_EVENTS
from ..flow_log import FlowLog, SpanInfo
from ..pages import render_page
from ..text import View, clock_text, dollars, duration_text
from ._model import FlowDiff
from ._rows import SpanDiff
from ._text import count_text, is_notable, missing, partly_logged, totals

_HERE = Path(__file__).parent
_VIEW = View()


def page(diff: FlowDiff) -> Iterator[str]:
    """Yield the text of an HTML page that shows two runs side by side."""
    names = dict.fromkeys(log.name or "?" for log in (diff.old, diff.new))
    yield from render_page(
        _HERE,
        "page",
        title=f"{' and '.join(names)}: two runs",
        runs=[_run(side, log, diff) for side, log in (("old", diff.old), ("new", diff.new))],
        counts=[(f"{count:,}", kind) for kind, count in diff.counts.items() if count],
        totals=list(totals(diff, _VIEW)),
        differs=bool(diff),
        data={"rows": list(_rows(diff))},
    )


def _run(side: str, log: FlowLog, diff: FlowDiff) -> dict[str, Any]:
    return {
        "side": side,
        "name": log.name or "?",
        "status": log.status,
        "figures": duration_text(log.metrics["total_duration_ms"]),
        "flow_id": log.flow_id,
        "started": clock_text(log.events[0]["timestamp"]) if log.events else "?",
        "warnings": [*missing(side, log), *(partly_logged(diff) if side == "new" else ())],
    }


def _rows(diff: FlowDiff) -> Iterator[dict[str, Any]]:
    data = {id(log): _data(log) for log in (diff.old, diff.new)}
    for span in diff.spans:
        row = {
            "kind": span.kind,
            "moved": span.moved,
            "notable": is_notable(diff, span),
            "depth": span.depth,
            "label": span.label,
            "path": span.path,
            "differences": span.differences,
            "old": _side(span.old),
            "new": _side(span.new),
            "figures": list(_figures(span)),
            "changes": [_change(change.path, change.kind, change.old, change.new) for change in span.changes],
            "more": span.more_changes,
        }
        if span.old is None or span.new is None:
            log, side = (diff.new, "new") if span.new else (diff.old, "old")
            row["changes"] = [{"path": path, side: value} for path, value in data[id(log)].get(span.span.span_id, {}).items()]
        yield row


def _side(span: SpanInfo | None) -> dict[str, str] | None:
    return None if span is None else {"node": span.node, "status": span.status, "duration": duration_text(span.duration_ms)}


def _figures(span: SpanDiff) -> Iterator[tuple[str, str, str, str]]:
    shown = (
        ("duration", span.duration_ms, duration_text),
        ("tokens", span.figure("tokens"), count_text),
        ("cost", span.figure("cost_usd"), dollars),
    )
    for name, figure, as_text in shown:
        if figure.old or figure.new:
            old, new = ("" if value is None else as_text(value) for value in (figure.old, figure.new))
            yield name, old, new, "" if not figure.percent else f"{figure.percent:+,.0f}%"


def _change(path: str, kind: str, old: Any, new: Any) -> dict[str, Any]:
    return {"path": path, **({"old": old} if kind != "added" else {}), **({"new": new} if kind != "removed" else {})}


def _data(log: FlowLog) -> dict[str, dict[str, Any]]:
    """Return the input, error and output of each span that has them."""
    parts: dict[str, dict[str, Any]] = {}
    for event in log.events:
        if event["event_type"] in SPAN_EVENTS:
            data = event["data"]
            parts.setdefault(event["span_id"], {}).update({key: data[key] for key in ("input", "error", "output") if key in data})
    return parts
