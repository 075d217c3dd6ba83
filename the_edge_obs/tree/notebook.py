"""A flow log as a small page in a notebook: the tree on its time line, with input and output of each span; without a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..event import ROOT_NODE, Event
from ..text import View, counted, printable
from .clocks import drawn, shift_notes
from .drawing import Row, missing, rows, totals
from .flow_facts import FlowFacts

if TYPE_CHECKING:
    from jinja2 import Template

# A notebook stores its pages, so they are limited. The page says what is left out.
_MAX_ROWS: Final = 250
_MAX_CHARS: Final = 2_000  # of one value
_STEM: Final = 3  # columns of the tree's lines per level


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the page.

    Attributes:
        depth: 0 for the root.
        cells, status, notes, around: As in ``tree.Row``.
        bar: Start and length of its bar, in percent of the flow's time; None for a row that stands for many spans.
        details: ``(title, text)`` of the data of its events.
    """

    depth: int
    cells: tuple[str, ...]
    status: str
    notes: list[tuple[str, str]]
    bar: tuple[float, float] | None
    around: bool
    details: list[tuple[str, str]]


def page(log: FlowFacts) -> str:
    """Return HTML of a flow log, to be embedded in another page: inline styles, no script, all data escaped."""
    log = drawn(log)
    shown = list(islice(rows(log, View()), _MAX_ROWS + 1))
    lines = list(_lines(log, shown[:_MAX_ROWS]))
    left_out = [f"the first {_MAX_ROWS} rows are shown; export() writes all of them"] if len(shown) > _MAX_ROWS else []
    return _template().render(
        name=printable(log.name or ROOT_NODE),
        flow_id=printable(log.flow_id),
        totals=list(totals(log)),
        notes=[*missing(log), *map(printable, shift_notes(log)), *left_out],
        lines=lines,
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment

    source = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def _lines(log: FlowFacts, shown: list[Row]) -> Iterator[_Line]:
    wanted = {row.span.span_id for row in shown if row.span is not None}
    data: dict[str, dict[str, Any]] = {}
    for event in log.events:
        if event["span_id"] in wanted and event["event_type"] != "log":
            data.setdefault(event["span_id"], {}).update(_facts(event))
    for row in shown:
        depth, span = len(row.stem) // _STEM, row.span
        if span is None:
            yield _Line(depth, row.cells, row.status, row.notes, None, False, [])
        else:
            values = {**data.get(span.span_id, {}), **({"metrics": span.metrics} if span.metrics else {})}
            details = [(printable(title), _text(value)) for title, value in values.items()]
            yield _Line(depth, row.cells, row.status, row.notes, _percent(row), row.around, details)


def _facts(event: Event) -> dict[str, Any]:
    """Return the details that an event adds to its span."""
    data = event["data"]
    if event["event_type"] == "error" and isinstance(error := data.get("error"), dict):
        return {**{key: value for key, value in data.items() if key != "error"}, "error": error.get("traceback") or error}
    return dict(data)


def _percent(row: Row) -> tuple[float, float]:
    """Return the start and the length of a row's bar, in percent."""
    begin, end = row.bar or (0.0, 0.0)
    return round(100 * begin, 2), round(100 * (end - begin), 2)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    shown = "\n".join(map(printable, text[:_MAX_CHARS].split("\n")))
    return shown if len(text) <= _MAX_CHARS else f"{shown}\n... {counted(len(text) - _MAX_CHARS, 'more character')}"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except RecursionError:  # the encoder that indents is recursive, and a file may nest deeper
        return json.dumps(value, ensure_ascii=False)
