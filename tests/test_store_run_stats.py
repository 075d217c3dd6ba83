from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.event import Total
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.store.run_stats import node_stats
from the_edge_obs.store.summaries import summarise

from .strategies import OTHER_FLOW, Event, event, events, flows, whole


def test_figures_over_many_runs() -> None:
    """Nodes of all runs together, by name; a span without an end counts, and has no duration."""
    made = [event(1, "entry", 0)]
    for number, seconds in enumerate((0.1, 0.2, 0.3, 0.4), 2):
        made += whole(number, 1, 1 + seconds, parent=1, node="llm.call", metrics={"tokens": 10, "cost_usd": 0.25})
    made += [*whole(1, 0, 5)[1:], event(1, "entry", 9, flow_id=OTHER_FLOW)]
    made += [
        event(2, "entry", 9, flow_id=OTHER_FLOW, node="llm.call"),
        event(3, "error", 9.5, flow_id=OTHER_FLOW, node="http.get"),
    ]
    stats = node_stats(made)
    nothing = {"total_ms": 0, "p50_ms": None, "p95_ms": None, "max_ms": None, "tokens": 0, "cost_usd": 0.0}
    llm = {"total_ms": 1000.0, "p50_ms": 200.0, "p95_ms": 400.0, "max_ms": 400.0, "tokens": 40, "cost_usd": 1.0}
    flow = {"total_ms": 5000.0, "p50_ms": 5000.0, "p95_ms": 5000.0, "max_ms": 5000.0, "tokens": 0, "cost_usd": 0.0}
    assert stats.to_dicts() == [
        {"node": "flow", "count": 2, "errors": 0, **flow},
        {"node": "http.get", "count": 1, "errors": 1, **nothing},
        {"node": "llm.call", "count": 5, "errors": 0, **llm},
    ]
    assert (stats.runs, stats.events) == (2, 13)


@pytest.mark.slow
@given(flows())
def test_one_run_has_the_figures_of_its_flow_log(made: list[Event]) -> None:
    """Counts, errors and durations of each node; the log leaves out its own root."""
    expected = {
        node: (figures["count"], figures["errors"], figures["p50_ms"], figures["p95_ms"], figures["max_ms"])
        for node, figures in build_flow_log(made).metrics["nodes"].items()
    }
    found = {
        one["node"]: (one["count"], one["errors"], one["p50_ms"], one["p95_ms"], one["max_ms"])
        for one in node_stats(made).to_dicts()
    }
    assert {node: figures for node, figures in found.items() if node != "flow"} == expected


@given(st.lists(events(), max_size=12))
def test_runs_are_those_of_ls(made: list[Event]) -> None:
    """However broken a log is, it has as many runs and events as the list of its runs."""
    stats, runs = node_stats(made), summarise(made)
    assert (stats.runs, stats.events) == (len(runs), sum(run.events for run in runs))


@given(st.lists(st.integers(-(2**62), 2**62) | st.floats(-1e300, 1e300), max_size=8), st.randoms(use_true_random=False))
def test_a_total_is_the_same_in_any_order(values: list[float], order: random.Random) -> None:
    """Integers add up as integers, and other numbers exactly."""
    totals = [Total(), Total()]
    for total, given_values in zip(totals, (values, order.sample(values, len(values))), strict=True):
        for value in given_values:
            total.add(value)
    assert repr(totals[0].value()) == repr(totals[1].value())
    if all(isinstance(value, int) for value in values):
        assert totals[0].value() == sum(values)
