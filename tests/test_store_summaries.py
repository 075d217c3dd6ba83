"""Many flows at a glance, found in one pass; the summary agrees with the flow log."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.store.summaries import FlowSummary, summarise

from .strategies import FLOW, OTHER_FLOW, T0, event, flows, span_id, whole

ERROR = {"error": {"type": "E", "message": "x"}}
REMOTE = "99999999-9999-4999-8999-999999999999"


def moment(made: dict[str, Any]) -> float:
    return made["timestamp"]  # type: ignore[no-any-return]


def test_flows_come_by_their_start() -> None:
    """Each with its own counts, whatever the order of their events."""
    events = [*whole(1, 10, 12), *whole(1, 5, 6, flow_id=OTHER_FLOW), event(1, "log", 13)]
    assert summarise(events) == [
        FlowSummary(OTHER_FLOW, "flow", "ok", T0 + 5, T0 + 6, 1000.0, 2, root=span_id(1, OTHER_FLOW)),
        FlowSummary(FLOW, "flow", "ok", T0 + 10, T0 + 13, 2000.0, 3, root=span_id(1)),
    ]


@pytest.mark.parametrize(
    "events",
    [
        whole(1, 0, 2),
        [event(1, "entry", 0, data={"name": "triage"})],
        [event(1, "entry", 0), event(1, "error", 1, data=ERROR, metrics={"duration_ms": 5.0})],
        [event(1, "entry", 0), event(1, "error", 1, data={**ERROR, "cancelled": True})],
        [event(2, "entry", 0), event(2, "error", 1, data=ERROR), event(1, "error", 2, data=ERROR)],
        [*whole(2, 0, 1, metrics={"tokens": 7}), event(1, "exit", 2, metrics={"tokens": 7})],
        [*whole(2, 0, 1, parent=None, node="other"), *whole(1, 2, 5)],
        [*whole(1, 0, 3), *whole(2, 4, 5, parent=None, node="other")],
        [event(1, "entry", 0, parent=REMOTE, node="flow"), event(1, "error", 1, parent=REMOTE, node="flow", data=ERROR)],
        [event(2, "entry", 0), event(2, "error", 1, data=ERROR)],
        [event(1, "exit", 1)],
        [event(1, "log", 1)],
        sorted([*whole(1, 0, 3, metrics={"tokens": 9}), *whole(2, 1, 2, metrics={"tokens": 7, "cost_usd": 0.5})], key=moment),
    ],
)
def test_it_agrees_with_the_flow_log(events: list[dict[str, Any]]) -> None:
    """Name, status and counts are those of the flow log."""
    log = build_flow_log(events)
    (found,) = summarise(events)
    assert (found.flow_id, found.name, found.status, found.events, found.errors, found.tokens, found.cost_usd) == (
        log.flow_id,
        log.name,
        log.status,
        log.metrics["event_count"],
        log.metrics["error_count"],
        log.metrics["tokens"],
        log.metrics["cost_usd"],
    )


def test_runs_of_one_foreign_trace_are_a_row_each() -> None:
    """Each has its own name, status, times and counts; what continues a span of the log itself does not count as a run."""
    first, second = whole(1, 0, 2, parent=REMOTE, node="flow"), whole(4, 5, 9, parent=REMOTE, node="flow")
    resource = {"host": "a", "pid": 1, "service": "web"}
    first[0]["data"], second[0]["data"] = {"name": "GET /a", "resource": resource}, {"name": "GET /b"}
    second[1].update(event_type="error", data=ERROR)
    inner = [*whole(2, 0.5, 1, parent=1, node="llm", metrics={"tokens": 7}), *whole(3, 1.1, 1.2, parent=2, node="flow")]
    made = [first[0], *inner, first[1], *second]
    expected = [
        FlowSummary(FLOW, "GET /a", "ok", T0, T0 + 2, 2000.0, 6, 0, 7, root=span_id(1), shares_flow=True, resource=resource),
        FlowSummary(
            FLOW, "GET /b", "error", T0 + 5, T0 + 9, 4000.0, 2, 1, error=ERROR["error"], root=span_id(4), shares_flow=True
        ),
    ]
    assert summarise(made) == summarise([*made, *made]) == summarise([*second, *first[:1], *inner, first[1]]) == expected
    assert [run.run_id for run in expected] == [f"{FLOW}/000000000001", f"{FLOW}/000000000004"]
    assert [run.run_id for run in summarise(first)] == [FLOW]


def test_a_root_that_opened_by_itself_is_marked() -> None:
    """A node without a flow around it, as one whose context was lost."""
    (run,) = summarise(whole(1, 0, 1, parent=None, node="llm.call"))
    assert (run.name, run.status, run.alone) == ("llm.call", "ok", True)


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
def test_order_and_repeats_change_no_status(made: list[dict[str, Any]], shuffler: random.Random) -> None:
    """Name, status, times and the number of events are the same, however the events come, and however often."""
    shuffled = shuffler.sample([*made, *made], 2 * len(made))
    facts = [(run.name, run.status, run.start, run.end, run.duration_ms, run.events) for run in summarise(made)]
    assert [(run.name, run.status, run.start, run.end, run.duration_ms, run.events) for run in summarise(shuffled)] == facts
