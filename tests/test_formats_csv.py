from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.csv import COLUMNS, MAX_CELL, render

from .strategies import FLOW, OTHER_FLOW, Event, event, flows, span_id, whole


def text_of(made: list[Event]) -> str:
    return "".join(render(made, dropped={}))


def rows(made: list[Event], **form: Any) -> list[dict[str, str]]:
    """Return the rows as a reader of CSV sees them."""
    return list(csv.DictReader(io.StringIO(text_of(made), newline=""), strict=True, **form))


def test_a_row_holds_what_a_span_tells() -> None:
    """Times in UTC, what it took and cost, its error, input and output; JSON where there is more than a text."""
    made = [
        event(1, "entry", 0, data={"name": "triage"}),
        event(2, "entry", 1, node="llm.call", step="ask", data={"input": {"prompt": "hi, you"}}),
        *whole(2, 1, 1.25, node="llm.call", step="ask", data={"output": "hello"}, metrics={"tokens": 7, "chunks": 2})[1:],
        *whole(1, 0, 2)[1:],
    ]
    empty = dict.fromkeys(COLUMNS, "")
    root = {"flow": "triage", "depth": "0", "node": "flow", "status": "ok", "start": "2023-11-14 22:13:20.000"}
    ask = {"flow": "triage", "depth": "1", "step": "ask", "node": "llm.call", "status": "ok", "start": "2023-11-14 22:13:21.000"}
    assert rows(made) == [
        {**empty, **root, "start_ms": "0.0", "duration_ms": "2000", "flow_id": FLOW, "span_id": span_id(1)},
        {
            **empty,
            **ask,
            "start_ms": "1000.0",
            "duration_ms": "250.0",
            "tokens": "7",
            "metrics": '{"chunks":2}',
            "flow_id": FLOW,
            "span_id": span_id(2),
            "parent_id": span_id(1),
            "input": '{"prompt":"hi, you"}',
            "output": "hello",
        },
    ]


@pytest.mark.slow
@given(flows())
def test_columns_add_up_to_the_totals_of_the_flow(made: list[Event]) -> None:
    """A figure that a parent repeats stands once; every span has its row; the order is that of the tree."""
    log, found = build_flow_log(made), rows(made)
    for key in ("tokens", "input_tokens", "output_tokens", "cost_usd"):
        assert sum(float(row[key] or 0) for row in found) == log.metrics[key]
    assert [(row["span_id"], row["depth"]) for row in found] == [(span.span_id, str(depth)) for depth, span in log.walk()]


NASTY = st.text(st.sampled_from("=+-@\uff1d;,\"'\t\r\n a|\x00\ud800\u2028"), max_size=8) | st.text(max_size=8)


@pytest.mark.slow
@given(NASTY, NASTY, NASTY)
def test_no_cell_is_a_formula_whatever_separates_them(message: str, step: str, key: str) -> None:
    """No cell begins as a formula does, nor would one for a reader that expects semicolons; a row is one line."""
    error = {"type": message, "message": message, "traceback": message}
    made = [event(1, "entry", 0, flow_id=FLOW, step=step, data={"name": message, "input": {key: message}})]
    made += [event(1, "error", 1, step=step, data={"error": error, "output": message}, metrics={key: 1})]
    made = [{**one, "flow_id": message, "span_id": step or "s"} for one in made]
    text = text_of(made)
    assert len(text.split("\r\n")) == 3
    assert "\r" not in text.replace("\r\n", "")
    for cells in ([cell for row in rows(made) for cell in row.values()], re.split("[;\r\n]", text)):
        assert [cell for cell in cells if re.match("[=+@\uff1d\uff0b\uff0d\uff20\t\r-]", cell)] == []


@pytest.mark.parametrize(
    ("logged", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a=b, -c", "a=b, -c"),
        ("one\ntwo", "one\\ntwo"),
        ([-1, {"a": "=1"}], '[-1,{"a":"=1"}]'),
        (-1.5, "-1.5"),
        (None, ""),
        (False, "false"),
        ("x" * (MAX_CELL + 1), "x" * MAX_CELL),
        ("\n" * MAX_CELL, "\\n" * (MAX_CELL // 2) + "…"),
    ],
)
def test_cells(logged: Any, cell: str) -> None:
    """Texts stay as they are, but for what a spreadsheet would run, could not show, or has no room for."""
    (row,) = rows(whole(1, 0, 1, data={"output": logged}))
    assert row["output"] == cell


def test_broken_parents_and_clocks() -> None:
    """Spans whose parents go round in a circle have their rows; a time that no calendar has is left out."""
    made = [*whole(1, 0, 1, parent=2), *whole(2, 0, 1, parent=1), event(3, "entry", 4e15, parent=None)]
    assert [(row["span_id"], row["depth"], row["start"]) for row in rows(made)] == [
        (span_id(3), "0", ""),
        (span_id(1), "0", "2023-11-14 22:13:20.000"),
        (span_id(2), "0", "2023-11-14 22:13:20.000"),
    ]


def test_several_flows_and_none() -> None:
    """Rows of several flows stand together, by their starts; of nothing only the columns are told."""
    later = [{**one, "flow_id": OTHER_FLOW} for one in whole(1, 50, 60)]
    assert [row["flow_id"] for row in rows([*later, *whole(2, 0, 9, parent=None)])] == [FLOW, OTHER_FLOW]
    assert text_of([]) == ",".join(COLUMNS) + "\r\n"
