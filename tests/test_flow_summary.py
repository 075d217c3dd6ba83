"""Many flows at a glance, found in one pass; the summary agrees with the flow log."""

from __future__ import annotations

from typing import Any

import pytest

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.flow_summary import FlowSummary, summarise

from .strategies import FLOW, OTHER_FLOW, T0, event, whole

ERROR = {"error": {"type": "E", "message": "x"}}
REMOTE = "99999999-9999-4999-8999-999999999999"


def moment(made: dict[str, Any]) -> float:
    return made["timestamp"]  # type: ignore[no-any-return]


def test_flows_come_by_their_start() -> None:
    """Each with its own counts, whatever the order of their events."""
    events = [*whole(1, 10, 12), *whole(1, 5, 6, flow_id=OTHER_FLOW), event(1, "log", 13)]
    assert summarise(events) == [
        FlowSummary(OTHER_FLOW, "flow", "ok", T0 + 5, T0 + 6, 1000.0, 2, 0, 0, 0, events[2]["span_id"], 3),
        FlowSummary(FLOW, "flow", "ok", T0 + 10, T0 + 13, 2000.0, 3, 0, 0, 0, events[0]["span_id"], 3),
    ]


@pytest.mark.parametrize(
    "events",
    [
        whole(1, 0, 2),
        [event(1, "entry", 0, data={"name": "triage"})],
        [event(1, "entry", 0), event(1, "error", 1, data=ERROR, metrics={"duration_ms": 5.0})],
        [event(1, "entry", 0), event(1, "error", 1, data={**ERROR, "cancelled": True})],
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
