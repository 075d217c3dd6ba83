"""Filters and order of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import QueryError
from the_edge_obs.store.run_filters import ORDERS, choose
from the_edge_obs.store.summaries import FlowSummary


def run(number: int, **values: Any) -> FlowSummary:
    """Return a run that starts after so many seconds."""
    return FlowSummary(
        **{"flow_id": f"{number:08x}", "name": "triage", "status": "ok", "start": number, "end": number + 1, **values}
    )


RUNS = [
    run(3, errors=2, attributes={"topic": "cats", "n": 1}),
    run(1, status="error", errors=1, name=None, duration_ms=5.0),
    run(2, attributes={"topic": "dogs", "on": False, "none": None}, cost_usd=0.5, root="ab-12", resource={"host": "web-2"}),
]


@pytest.mark.parametrize(
    ("filters", "starts"),
    [
        ({}, [1, 2, 3]),
        ({"errors": True}, [1, 3]),
        ({"errors": False}, [2]),
        ({"errors": 2}, [3]),
        ({"errors": None, "name": None}, [1, 2, 3]),
        ({"name": "*"}, [2, 3]),
        ({"status": ["error", "running"]}, [1]),
        ({"attributes": {"topic": "[cd]*s"}}, [2, 3]),
        ({"attributes": {"n": 1}}, [3]),
        ({"attributes": {"on": False, "none": None}}, [2]),
        ({"flow_id": ["00000002", "00000003"]}, [2, 3]),
        ({"flow_id": "00/12"}, [2]),
        ({"flow_id": ["00/1", "00000003"]}, [3]),
        ({"host": "web-*"}, [2]),
        ({"host": ["web", "db"]}, []),
        ({"start_time": 2, "end_time": 2}, [2]),
        ({"start_time": "-1s"}, [3]),
        ({"sort": "-cost"}, [2, 1, 3]),
        ({"sort": "duration"}, [2, 3, 1]),
        ({"last": 2, "limit": 1}, [2]),
        ({"last": 0}, []),
    ],
)
def test_choose(filters: Mapping[str, Any], starts: list[int]) -> None:
    """The runs that pass all filters, in the order asked for; those that are equal there by their start."""
    assert [one.start for one in choose(RUNS, filters, now=4)] == starts


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"state": "ok"}, r"unknown filter 'state'; did you mean 'status'\? allowed: flow_id, name"),
        ({"status": 3}, "status 3 is not a string"),
        ({"errors": "many"}, "errors 'many' is not a whole number of at least 0"),
        ({"attributes": "topic=cats"}, "attributes are 'topic=cats'; they must be a mapping"),
        ({"last": True}, "last True is not a whole number"),
        ({"sort": 5}, "sort 5 is not a valid order; allowed: start"),
        ({"sort": "--start"}, "sort '--start' is not a valid order"),
    ],
)
def test_mistakes(filters: Mapping[str, Any], message: str) -> None:
    """Each names the value and what is allowed."""
    with pytest.raises(QueryError, match=message):
        choose((), filters)


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_sorts_whatever_runs_there_are(order: str) -> None:
    """Also those without a name or a duration."""
    assert {one.start for one in choose(RUNS, {"sort": order})} == {1, 2, 3}


def test_a_flow_is_found_by_what_it_was_given(tmp_path: Path) -> None:
    """Keyword arguments are the run's attributes; secrets, and what is not simple, are not."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "flow-{flow_id}.jsonl")}]})
    with obs.flow("research", topic="cats", api_key="sk-live-0123456789abcdef", rows=[1], text="x" * 500, n=3) as first:
        pass
    with obs.flow("research", topic="dogs"):
        pass
    undo()
    (found,) = obs.runs(tmp_path, attributes={"topic": "cats"})
    assert (found.flow_id, found.attributes) == (first.flow_id, {"topic": "cats", "n": 3})
    events = obs.query(tmp_path, flow_id=found.flow_id[:13].upper(), last=1)
    assert [(one["flow_id"], one["event_type"]) for one in events] == [(first.flow_id, "exit")]
    with pytest.raises(QueryError, match="limit takes the first events and last the last ones"):
        obs.query(tmp_path, limit=1, last=1)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12),
    st.sampled_from([*ORDERS, *(f"-{name}" for name in ORDERS)]),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
)
def test_a_few_runs_are_those_of_the_whole_order(
    pairs: list[tuple[int, int]], sort: str, last: int | None, limit: int | None
) -> None:
    """Although only so many are kept: the same ones, in the same order, those of the same start too."""
    made = [run(start, flow_id=str(number), errors=errors) for number, (start, errors) in enumerate(pairs)]
    by_start = sorted(made, key=lambda one: one.start)
    latest = by_start if last is None else by_start[len(by_start) - min(last, len(by_start)) :]
    key = ORDERS[sort.removeprefix("-")]
    expected = sorted(latest, key=key, reverse=sort.startswith("-"))[:limit]
    assert choose(iter(made), {"sort": sort, "last": last, "limit": limit}) == expected
