from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.pages import run_page
from the_edge_obs.text import clock_text

from .strategies import FLOW, T0, Event, event, flows, span_id, whole


def text_of(made: list[Event], **counts: int) -> str:
    return "".join(run_page(build_flow_log(made, **counts)))


def data_of(made: list[Event]) -> dict[str, Any]:
    """Return what the page's script is given."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text_of(made), re.S)[1])  # type: ignore[index, no-any-return]


def test_what_the_script_is_given() -> None:
    """Names once, times in microseconds from the start, parents before children by number, every event at its span."""
    made = [
        event(1, "entry", 0, data={"name": "triage"}),
        event(2, "entry", 1, node="llm.call", step="ask", data={"input": "hi"}),
        event(2, "log", 1.1, node="my.lib", level="warn", message="slow"),
        event(2, "error", 1.25, node="llm.call", level="error", data={"error": {"type": "E", "message": "no"}}),
        event(1, "exit", 2, metrics={"duration_ms": 2000.0}),
    ]
    started = clock_text(T0)
    assert data_of(made) == {
        "about": {
            "name": "triage",
            "status": "ok",
            "flow_id": FLOW,
            "started": started,
            "figures": ["2.00 s", "1 node", "5 events", "1 error"],
            "warnings": [],
        },
        "start": T0 * 1000,
        "end": 2_000_000,
        "names": ["flow", "llm.call", "my.lib"],
        "types": ["entry", "exit", "error", "metric", "log"],
        "span_types": ["entry", "error", "exit"],
        "levels": ["debug", "info", "warn", "error"],
        "statuses": ["ok", "error", "running", "cancelled", "unknown"],
        "spans": [
            [span_id(1), -1, 0, None, "triage", 0, 0, 2_000_000, 0, 0, 2000.0, {}, False],
            [span_id(2), 0, 1, "ask", "ask", 1, 1_000_000, 250_000, 0, 1, 250.0, {}, False],
        ],
        "events": [
            [0, 0, 0, 1, 0, None, {"name": "triage"}, {}],
            [1, 1, 0, 1, 1_000_000, None, {"input": "hi"}, {}],
            [1, 2, 4, 2, 1_100_000, "slow", {}, {}],
            [1, 1, 2, 3, 1_250_000, None, {"error": {"type": "E", "message": "no"}}, {}],
            [0, 0, 1, 1, 2_000_000, None, {}, {"duration_ms": 2000.0}],
        ],
        "nodes": [{"node": "llm.call", **build_flow_log(made).metrics["nodes"]["llm.call"]}],
    }


@pytest.mark.slow
@given(flows())
def test_every_span_and_event_is_there_in_the_order_of_the_tree(made: list[Event]) -> None:
    """A parent comes before its children, one level above them; each event refers to its own span."""
    log, data = build_flow_log(made), data_of(made)
    assert [(span[0], span[9]) for span in data["spans"]] == [(span.span_id, depth) for depth, span in log.walk()]
    assert [(-1 if span[1] < 0 else data["spans"][span[1]][9]) for span in data["spans"]] == [s[9] - 1 for s in data["spans"]]
    assert [data["spans"][one[0]][0] for one in data["events"]] == [one["span_id"] for one in log.events]
    assert all(0 <= span[6] <= span[6] + span[7] <= data["end"] for span in data["spans"])


def test_spans_whose_parents_go_in_a_circle_are_there() -> None:
    """A broken log loses nothing."""
    made = [*whole(1, 0, 1), *whole(2, 0, 1, parent=3), *whole(3, 0, 1, parent=2)]
    assert [(span[0], span[1]) for span in data_of(made)["spans"]] == [(span_id(1), -1), (span_id(2), -1), (span_id(3), -1)]


def test_what_is_missing_is_said() -> None:
    """A run without an end, events that were dropped, failures of logging."""
    text = text_of([event(1, "entry", 0)], dropped=3, faults=1)
    assert re.findall(r'<p class="warning">(.*?)</p>', text.split("<main>")[0]) == [
        "The log has no end: the flow is still running, or its process was killed.",
        "The ring buffer dropped 3 events before this log was written.",
        "Logging itself failed 1 time.",
    ]
    assert FLOW in text
