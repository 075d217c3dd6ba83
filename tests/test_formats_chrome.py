from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.chrome import render
from the_edge_obs.tree.lanes import micros, place

from .strategies import FLOW, OTHER_FLOW, T0, Event, event, flows, span_id, whole

START = int(T0) * 1_000_000


def trace(made: list[Event], **dropped: int) -> list[dict[str, Any]]:
    """Return the events of the trace that is made of a flow's events."""
    content = json.loads("".join(render(made, dropped=dropped)))
    assert content.keys() == {"displayTimeUnit", "traceEvents"}
    return content["traceEvents"]


def of(phase: str, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in made if one["ph"] == phase]


@pytest.mark.slow
@given(flows())
def test_every_span_is_a_slice_on_its_lane(made: list[Event]) -> None:
    """Slices stand where the spans are placed, so that none of a thread overlap unless one lies in the other."""
    slices = of("X", trace(made))
    places = place(build_flow_log(made))
    assert [(one["args"]["span_id"], one["tid"] - one["pid"], one["ts"], one["ts"] + one["dur"]) for one in slices] == [
        (one.span.span_id, one.lane, micros(one.start), micros(one.end)) for one in places
    ]


@pytest.mark.slow
@given(flows())
def test_arrows_lead_to_what_runs_beside_its_siblings(made: list[Event]) -> None:
    """A span outside its parent has one arrow; each end of it stands right behind its slice, on its lane and at its start."""
    events = trace(made)
    ends: dict[int, dict[str, str]] = {}
    slices = [one for one in events if one["ph"] == "X"]
    for at, one in enumerate(events):
        if one["ph"] in ("s", "f"):
            owner = next(before for before in reversed(events[:at]) if before["ph"] == "X")
            assert (owner["tid"], owner["ts"]) == (one["tid"], one["ts"])
            ends.setdefault(one["id"], {})[one["ph"]] = owner["args"]["span_id"]
    assert len(slices) == len(build_flow_log(made).spans)
    outside = [one.span for one in place(build_flow_log(made)) if not one.inside and one.span.parent_id]
    assert sorted((end["s"], end["f"]) for end in ends.values()) == sorted((one.parent_id, one.span_id) for one in outside)


def test_a_slice_tells_what_its_span_tells() -> None:
    """Input, output, errors and metrics are in the arguments; an error shows in the name."""
    made = [
        event(1, "entry", 0, data={"name": "triage", "schema_version": 1}),
        event(2, "entry", 1, node="llm.call", step="ask", data={"input": {"prompt": "hi"}, "attempt": 2}),
        event(
            2,
            "error",
            1.25,
            node="llm.call",
            step="ask",
            level="error",
            data={"error": {"type": "E", "message": "no"}},
            metrics={"duration_ms": 249.5, "tokens": 7},
        ),
        *whole(1, 0, 2)[1:],
    ]
    root, ask = of("X", trace(made))
    assert (root["name"], root["cat"], root["ts"], root["dur"]) == ("triage", "flow", START, 2_000_000)
    assert ask == {
        "ph": "X",
        "pid": 1,
        "tid": 1,
        "name": "✗ ask (attempt 2)",
        "cat": "llm",
        "ts": START + 1_000_000,
        "dur": 250_000,
        "args": {
            "input": {"prompt": "hi"},
            "attempt": 2,
            "error": {"type": "E", "message": "no"},
            "node": "llm.call",
            "status": "error",
            "span_id": span_id(2),
            "step": "ask",
            "metrics": {"duration_ms": 249.5, "tokens": 7},
        },
        "cname": "terrible",
    }


def test_the_spans_of_a_killed_run_are_shown() -> None:
    """What has no end is marked, and reaches to the last thing known; what lost its entry says so."""
    made = [event(1, "entry", 0), *whole(2, 1, 3, parent=1)[1:], event(3, "entry", 4, parent=1)]
    slices = of("X", trace(made))
    assert [(one["name"], one["ts"] - START, one["dur"], one["args"].get("start_lost")) for one in slices] == [
        ("flow (running)", 0, 4_000_000, None),
        ("node2", 1_000_000, 2_000_000, True),
        ("node3 (running)", 4_000_000, 0, None),
    ]


def test_a_cancelled_span_is_marked() -> None:
    """A cancelled span is not an error, and is not shown as one."""
    made = whole(1, 0, 1)
    made[1].update(event_type="error", data={"error": {"type": "CancelledError", "message": ""}, "cancelled": True})
    (root,) = of("X", trace(made))
    assert (root["name"], root["cname"]) == ("flow (cancelled)", "grey")


def test_what_was_logged_is_a_moment_on_its_span_lane() -> None:
    """Messages and figures stand where they were logged, in one line each; of an unknown span on the first lane."""
    made = [
        *whole(1, 0, 9),
        *whole(2, 1, 5, parent=1),
        *whole(3, 2, 6, parent=1),
        event(3, "log", 3, level="warn", message="slow\n answer", data={"seconds": 2}),
        event(3, "metric", 4, node="score", metrics={"items": 42}),
        event(9, "log", 5, message="x" * 200),
    ]
    same = {"ph": "i", "pid": 1, "s": "t"}
    slow = {"node": "node3", "level": "warn", "message": "slow\n answer", "data": {"seconds": 2}}
    assert of("i", trace(made)) == [
        {**same, "tid": 2, "name": "slow answer", "cat": "log", "ts": START + 3_000_000, "args": slow},
        {
            **same,
            "tid": 2,
            "name": "score",
            "cat": "metric",
            "ts": START + 4_000_000,
            "args": {"node": "score", "level": "info", "metrics": {"items": 42}},
        },
        {
            **same,
            "tid": 1,
            "name": "x" * 80,
            "cat": "log",
            "ts": START + 5_000_000,
            "args": {"node": "node9", "level": "info", "message": "x" * 200},
        },
    ]


def test_several_flows_are_processes_in_the_order_of_their_starts() -> None:
    """Each flow has its process with its name, status and losses; no number of a thread is given twice."""
    later = [{**one, "flow_id": OTHER_FLOW} for one in whole(1, 50, 60)]
    made = [*later, *whole(2, 0, 9, parent=None), *whole(3, 1, 4, parent=2), *whole(4, 2, 5, parent=2)]
    names = [(one["pid"], one["tid"], one["name"], *one["args"].values()) for one in of("M", trace(made, **{OTHER_FLOW: 3}))]
    assert names == [
        (1, 1, "process_name", f"flow {FLOW[:8]}"),
        (1, 1, "process_labels", "ok"),
        (1, 1, "process_sort_index", 1),
        (1, 1, "thread_name", "lane"),
        (1, 1, "thread_sort_index", 0),
        (1, 2, "thread_name", "lane"),
        (1, 2, "thread_sort_index", 1),
        (3, 3, "process_name", f"flow {OTHER_FLOW[:8]}"),
        (3, 3, "process_labels", "ok, 3 events lost"),
        (3, 3, "process_sort_index", 3),
        (3, 3, "thread_name", "lane"),
        (3, 3, "thread_sort_index", 0),
    ]
    assert Counter((one["pid"], one["tid"]) for one in of("X", trace(made))) == {(1, 1): 2, (1, 2): 1, (3, 3): 1}


def test_no_events_are_an_empty_trace() -> None:
    """Of nothing, the viewers show nothing."""
    assert trace([]) == []


def test_arrows_do_not_go_round_in_a_circle() -> None:
    """Where parent ids are broken, an arrow has both its ends or is not there."""
    made = trace([*whole(1, 0, 1, parent=2), *whole(2, 0, 1, parent=1), *whole(3, 0, 1, parent=3)])
    assert len(of("X", made)) == 3
    assert [one["id"] for one in of("s", made)] == [one["id"] for one in of("f", made)]
