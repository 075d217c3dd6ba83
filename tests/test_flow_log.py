from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import FlowNotFoundError
from the_edge_obs.event import identity, problems
from the_edge_obs.flow_log import Outcome, build_flow_log, empty_flow_log, known_outcome, percentile

from .strategies import FLOW, METRICS, T0, event, events, flows, span_id, whole


def tree(log: obs.FlowLog) -> list[tuple[int, str]]:
    return [(depth, span.span_id) for depth, span in log.walk()]


def test_a_whole_flow_log():
    """Events become spans, a tree, a timeline and totals, each value where the contract says."""
    given_events = [
        event(1, "entry", 0, data={"name": "triage"}),
        event(2, "entry", 1, node="llm.call", step="ask", data={"input": {"q": 1}}),
        event(2, "metric", 2, node="llm.call", step="ask", metrics={"chunks": 3}),
        event(2, "exit", 3, node="llm.call", step="ask", metrics={"duration_ms": 2000.0, "tokens": 7, "cost_usd": 0.5}),
        event(1, "exit", 4, metrics={"duration_ms": 4000.0}),
    ]

    log = build_flow_log(given_events, dropped=2, faults=1).to_dict()

    llm = {
        "span_id": span_id(2), "parent_id": span_id(1), "node": "llm.call", "step": "ask", "name": None, "status": "ok",
        "start": T0 + 1, "end": T0 + 3, "duration_ms": 2000.0, "metrics": {"chunks": 3, "tokens": 7, "cost_usd": 0.5},
        "error": None, "partial": False, "answered": False, "children": [],
    }  # fmt: skip
    root = {
        "span_id": span_id(1), "parent_id": None, "node": "flow", "step": None, "name": "triage", "status": "ok",
        "start": T0, "end": T0 + 4,
        "duration_ms": 4000.0, "metrics": {}, "error": None, "partial": False, "answered": False, "children": [span_id(2)],
    }  # fmt: skip
    first, second, *rest = ({"type": "event", **one} for one in given_events)
    assert log == {
        "flow_id": FLOW,
        "name": "triage",
        "status": "ok",
        "events": given_events,
        "spans": [root, llm],
        "metrics": {
            "total_duration_ms": 4000.0, "node_count": 1, "event_count": 5, "error_count": 0,
            "tokens": 7, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.5,
            "nodes": {"llm.call": {
                "count": 1, "errors": 0, "total_ms": 2000.0, "p50_ms": 2000.0, "p95_ms": 2000.0, "max_ms": 2000.0,
                "tokens": 7, "cost_usd": 0.5,
            }},
            "dropped_count": 2, "fault_count": 1,
        },
        "timeline": [{"type": "span", **root}, first, {"type": "span", **llm}, second, *rest],
    }  # fmt: skip


def test_no_events_are_no_flow_log():
    """There is nothing to say about a flow without events."""
    with pytest.raises(FlowNotFoundError, match="no events"):
        build_flow_log([])


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_same_log(made: list[dict[str, Any]], shuffler: random.Random):
    """The order in which events are given does not matter."""
    shuffled = shuffler.sample(made, len(made))
    assert build_flow_log(shuffled).to_dict() == build_flow_log(made).to_dict()


@pytest.mark.slow
@given(flows())
def test_a_drawn_flow_is_read_as_it_was_made(made: list[dict[str, Any]]):
    """Every span is there once, with its times, its status and its children in order of their start."""
    log = build_flow_log(made)
    entries = {one["span_id"]: one for one in made if one["event_type"] == "entry"}
    ends = {one["span_id"]: one for one in made if one["event_type"] in ("exit", "error")}

    assert all(problems(one) == [] for one in made)
    assert {span.span_id: (span.start, span.end, span.partial) for span in log.spans} == {
        key: (entries[key]["timestamp"], ends[key]["timestamp"], False) for key in entries
    }
    assert {span.span_id: span.children for span in log.spans} == {
        key: [child for child in entries if entries[child]["parent_id"] == key] for key in entries
    }
    assert sorted(span_id for _, span_id in tree(log)) == sorted(entries)
    assert log.metrics["total_duration_ms"] == ends[span_id(1)]["metrics"]["duration_ms"]
    errors = [one for one in ends.values() if one["event_type"] == "error" and not one["data"].get("cancelled")]
    passed = {one["parent_id"] for one in errors}  # all of them are the same error
    assert log.metrics["error_count"] == sum(one["span_id"] not in passed for one in errors)


@pytest.mark.slow
@given(flows(), st.data())
def test_lost_events_invent_nothing(made: list[dict[str, Any]], data: st.DataObject):
    """With any events missing, what is left is kept, marked partial or running, and nothing else appears."""
    left = data.draw(st.lists(st.sampled_from(made), min_size=1, unique_by=lambda one: made.index(one)))
    log = build_flow_log(left)
    kinds: dict[str, set[str]] = {}
    for one in left:
        if one["event_type"] != "log":
            kinds.setdefault(one["span_id"], set()).add(one["event_type"])

    assert {span.span_id for span in log.spans} == set(kinds)
    for span in log.spans:
        assert span.partial == ("entry" not in kinds[span.span_id])
        assert (span.status == "running") == (span.end is None) == kinds[span.span_id].isdisjoint({"exit", "error"})
    assert sorted(span_id for _, span_id in tree(log)) == sorted(kinds)
    assert log.metrics["event_count"] == len(log.events) == len(left)
    if span_id(1) not in kinds:
        assert (log.status, log.metrics["total_duration_ms"]) == ("unknown", None)
    elif log.spans[0].status == "running":
        assert (log.status, log.metrics["total_duration_ms"]) == ("running", None)


@pytest.mark.slow
@given(st.lists(events(), min_size=1, max_size=20))
def test_any_valid_events_make_a_flow_log(made: list[dict[str, Any]]):
    """No combination of valid events is refused: logs come from other programs, too."""
    log = build_flow_log(made)
    assert len(log.to_dict()["timeline"]) == len(set(map(identity, made))) + len(log.spans)


def test_parallel_and_nested_spans_are_not_added_up():
    """The flow's duration is its root's wall time, however much ran inside and beside."""
    branches = [one for number in range(2, 12) for one in whole(number, 1, 9, parent=1, node="work")]
    nested = whole(12, 2, 8, parent=2, node="work")
    log = build_flow_log([*whole(1, 0, 10), *branches, *nested])
    assert log.metrics["total_duration_ms"] == 10_000.0
    assert log.metrics["nodes"]["work"]["total_ms"] == 86_000.0


def test_tokens_that_parents_repeat_count_once():
    """Figures that every span on the way up repeats count where they arose, at every depth."""
    repeated = {"tokens": 30, "input_tokens": 20, "output_tokens": 10, "cost_usd": 0.3}
    leaf = {"tokens": 15, "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.15}
    log = build_flow_log(
        [
            *whole(1, 0, 9, metrics=repeated),
            *whole(2, 1, 8, parent=1, node="agent", metrics=repeated),
            *whole(3, 2, 7, parent=2, node="chain", metrics=repeated),
            *whole(4, 3, 4, parent=3, node="llm.call", metrics=leaf),
            *whole(5, 5, 6, parent=3, node="llm.call", metrics=leaf),
        ]
    )
    totals = {key: log.metrics[key] for key in repeated}
    assert totals == repeated
    assert {node: (of["tokens"], of["cost_usd"]) for node, of in log.metrics["nodes"].items()} == {
        "agent": (0, 0), "chain": (0, 0), "llm.call": (30, 0.3),
    }  # fmt: skip


def test_a_figure_counts_where_nothing_below_reports_it():
    """A branch without figures of its own does not hide what its parent reports, and figures are judged one by one."""
    log = build_flow_log(
        [
            *whole(1, 0, 9),
            *whole(2, 1, 8, parent=1, metrics={"tokens": 10, "cost_usd": 0.2}),
            *whole(3, 2, 3, parent=2, metrics={"tokens": 4}),
            *whole(4, 4, 5, parent=2, metrics={"tokens": 0}),
        ]
    )
    assert (log.metrics["tokens"], log.metrics["cost_usd"]) == (4, 0.2)


def test_figures_below_a_lost_span_count():
    """A span in the middle whose events are all lost cuts the tree, and what is on either side still counts."""
    log = build_flow_log([*whole(1, 0, 9, metrics={"tokens": 5}), *whole(3, 2, 3, parent=2, metrics={"tokens": 4})])
    assert log.metrics["tokens"] == 9
    assert tree(log) == [(0, span_id(1)), (0, span_id(3))]


@pytest.mark.slow
@given(flows(max_spans=20), st.randoms(use_true_random=False))
def test_node_figures_add_up_to_the_totals(made: list[dict[str, Any]], shuffler: random.Random):
    """What the nodes and the root count of themselves is the total: no token twice, none lost."""
    log = build_flow_log(shuffler.sample(made, len(made)))
    by_id = {span.span_id: span for span in log.spans}

    def below(span: Any) -> Any:
        return [one for child in span.children for one in (by_id[child], *below(by_id[child]))]

    counted = {
        span.span_id: span.metrics.get("tokens", 0)
        for span in log.spans
        if not any(one.metrics.get("tokens") for one in below(span))
    }
    assert log.metrics["tokens"] == sum(counted.values())
    nodes = sum(of["tokens"] for of in log.metrics["nodes"].values())
    assert nodes + counted.get(span_id(1), 0) == log.metrics["tokens"]


@pytest.mark.parametrize(
    ("numbers", "percent", "expected"),
    [
        ([], 50, None),
        ([7], 50, 7),
        ([7], 95, 7),
        ([15, 20, 35, 40, 50], 30, 20),  # the textbook example of nearest rank
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 21)), 95, 19),
        ([1, 2], 0, 1),
    ],
)
def test_percentiles_are_nearest_rank(numbers: list[float], percent: int, expected: float | None):
    """A percentile is always one of the numbers."""
    assert percentile(numbers, percent) == expected


@pytest.mark.slow
@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_that_covers_its_share(numbers: list[float], percent: int):
    """At least that share is at or below it, and no smaller number will do."""
    ordered = sorted(numbers)
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(number <= found for number in ordered) * 100 >= percent * len(ordered)
    assert sum(number < found for number in ordered) * 100 < percent * len(ordered)


def test_errors_and_cancellations():
    """An error ends its span as error and counts; a cancellation is not an error."""
    error, gone = {"type": "ValueError", "message": "no"}, {"type": "CancelledError", "message": ""}
    log = build_flow_log(
        [
            event(1, "entry", 0),
            event(2, "entry", 1),
            event(2, "error", 2, level="error", data={"error": error}, metrics={"duration_ms": 1000.0}),
            event(3, "entry", 3, parent=1),
            event(3, "error", 4, parent=1, data={"error": gone, "cancelled": True}, metrics={"duration_ms": 1000.0}),
            event(1, "error", 5, level="warn", data={"cancelled": True}, metrics={"duration_ms": 5000.0}),
        ]
    )  # fmt: skip
    assert [(span.status, span.error and span.error["type"]) for span in log.spans] == [
        ("cancelled", None), ("error", "ValueError"), ("cancelled", "CancelledError"),
    ]  # fmt: skip
    assert (log.status, log.metrics["error_count"]) == ("cancelled", 1)
    assert {node: of["errors"] for node, of in log.metrics["nodes"].items()} == {"node2": 1, "node3": 0}


def test_a_running_flow():
    """Of a flow without an end everything known is given, and no duration is made up."""
    log = build_flow_log([event(1, "entry", 0, data={"name": "n"}), event(2, "entry", 1), event(2, "log", 2, message="hm")])
    assert (log.name, log.status, log.metrics["total_duration_ms"]) == ("n", "running", None)
    assert [(span.status, span.end, span.duration_ms) for span in log.spans] == [("running", None, None)] * 2
    assert log.metrics["nodes"]["node2"] == {
        "count": 1, "errors": 0, "total_ms": 0.0, "p50_ms": None, "p95_ms": None, "max_ms": None, "tokens": 0, "cost_usd": 0,
    }  # fmt: skip


def test_an_evicted_entry_leaves_a_partial_span():
    """A span's start follows from its duration when its entry is gone; it stays the root, without its name."""
    log = build_flow_log([event(1, "exit", 10, metrics={"duration_ms": 4000.0})])
    assert (log.spans[0].partial, log.spans[0].start, log.spans[0].node) == (True, T0 + 6, "flow")
    assert (log.name, log.status, log.metrics["total_duration_ms"]) == (None, "ok", 4000.0)


def test_an_end_without_a_duration_is_measured_by_the_clock():
    """Events that people log themselves bring no duration."""
    log = build_flow_log([event(1, "entry", 0), event(1, "exit", 1.5)])
    assert log.metrics["total_duration_ms"] == 1500.0


def test_a_wall_clock_that_ran_backwards_gives_no_negative_duration():
    """Of an end before its own start nothing is known but that it ended."""
    log = build_flow_log([event(1, "entry", 5), event(1, "exit", 4)])
    assert (log.status, log.spans[0].duration_ms) == ("ok", 0.0)


def test_what_is_logged_into_a_span_under_another_name_does_not_end_it():
    """An error of node ``check`` logged inside a span counts as an error, but the span goes on."""
    inside = event(1, "error", 1, node="check", level="error", data={"error": {"type": "E", "message": "m"}})
    log = build_flow_log([event(1, "entry", 0), inside])
    assert (log.status, log.spans[0].error, log.metrics["error_count"]) == ("running", None, 1)
    log = build_flow_log([event(1, "entry", 0), inside, event(1, "exit", 2, metrics={"duration_ms": 2000.0})])
    assert (log.status, log.metrics["error_count"]) == ("ok", 1)


def test_a_lone_error_is_a_partial_span():
    """A node whose entry was filtered by its level still reports its error, as a span of its own."""
    log = build_flow_log([event(1, "entry", 0), event(2, "error", 1, data={"error": {"type": "E", "message": "m"}})])
    assert [(span.node, span.status, span.partial) for span in log.spans] == [
        ("flow", "running", False),
        ("node2", "error", True),
    ]


def test_log_lines_make_no_span():
    """A line of another logger bears that logger's name, which is not a node's."""
    log = build_flow_log([event(3, "log", 0, node="httpx")])
    assert (log.spans, log.status, log.name, log.metrics["node_count"]) == ([], "unknown", None, 0)


def test_a_flow_that_goes_on_from_another_process():
    """Of a flow whose root's parent is elsewhere, that root is what is known: its name, status and duration."""
    far = whole(7, 1, 3, parent=99, node="flow")
    far[0]["data"] = {"name": "remote"}
    log = build_flow_log(far)
    assert (log.name, log.status, log.metrics["total_duration_ms"]) == ("remote", "ok", 2000.0)
    assert log.metrics["node_count"] == 0
    assert tree(log) == [(0, span_id(7))]


def test_two_processes_make_one_tree():
    """The caller's events and the callee's, with a clock that is off, join at the parent that the callee names."""
    here = [*whole(1, 0, 10), *whole(2, 1, 9, parent=1, node="http.get")]
    here[0]["data"] = {"name": "caller"}
    there = [*whole(3, 0.5, 3, parent=2, node="flow"), *whole(4, 0.75, 2, parent=3, node="llm.call", metrics={"tokens": 3})]
    there[0]["data"] = {"name": "callee"}
    for merged in ([*here, *there], [*there, *here]):
        log = build_flow_log(merged)
        assert tree(log) == [(0, span_id(1)), (1, span_id(2)), (2, span_id(3)), (3, span_id(4))]
        assert (log.name, log.metrics["total_duration_ms"], log.metrics["node_count"]) == ("caller", 10_000.0, 3)


def test_a_remote_part_does_not_pass_for_the_caller_that_lost_its_root():
    """While the caller's own spans are there, the callee's root is not taken for the flow's."""
    log = build_flow_log([event(2, "entry", 1, parent=1), *whole(3, 2, 3, parent=2, node="flow")])
    assert (log.status, log.metrics["total_duration_ms"]) == ("unknown", None)


def test_the_flow_s_own_root_goes_before_others():
    """Among several spans without a parent the one called ``flow`` is the flow."""
    log = build_flow_log([*whole(1, 0, 1, parent=None, node="early"), *whole(2, 0.5, 9, parent=None, node="flow")])
    assert log.metrics["total_duration_ms"] == 8500.0


def test_a_function_outside_any_flow_is_its_own_root():
    """A root that is not ``flow`` counts as a node, and names the flow."""
    log = build_flow_log(whole(1, 0, 2, parent=None, node="rank", metrics={"tokens": 3}))
    assert (log.name, log.metrics["node_count"], log.metrics["total_duration_ms"]) == ("rank", 1, 2000.0)
    assert log.metrics["nodes"]["rank"]["tokens"] == 3


@pytest.mark.slow
def test_deep_trees():
    """Five thousand levels are read, walked and written without recursion."""
    depth = 5000
    deep = [event(n, "entry", n / 1000) for n in range(1, depth + 1)]
    deep += [event(n, "exit", 100 - n / 1000, metrics={"duration_ms": 1.0, "tokens": 2}) for n in range(1, depth + 1)]
    log = build_flow_log(deep)
    assert tree(log) == [(n - 1, span_id(n)) for n in range(1, depth + 1)]
    assert log.metrics["tokens"] == 2
    assert len(log.to_dict()["timeline"]) == 3 * depth


def test_a_span_that_names_itself_as_parent_is_kept():
    """A broken log of another program loses no span and ends no walk."""
    log = build_flow_log([event(1, "entry", 0, parent=1, node="odd")])
    assert tree(log) == [(0, span_id(1))]


@given(METRICS, st.lists(st.sampled_from(["entry", "exit"]), min_size=1, max_size=4))
def test_a_span_counted_twice_counts_once(metrics: dict[str, int], kinds: list[str]):
    """Repeated entries and exits of one span (a retried write, a merged file) are one span."""
    log = build_flow_log([event(1, kind, n, metrics=metrics) for n, kind in enumerate(kinds)])
    assert len(log.spans) == 1
    assert log.metrics["tokens"] == (metrics.get("tokens", 0) if "exit" in kinds else 0)


def test_to_dict_shares_no_span_with_the_log():
    """What is handed out can be changed without changing the log's spans."""
    log = build_flow_log(whole(1, 0, 1))
    log.to_dict()["spans"][0]["children"].append("x")
    assert log.spans[0].children == []


def test_repr_is_one_line():
    """However many events there are, it says what matters; the name is quoted, so that no line breaks it."""
    root = whole(1, 0, 1.5)
    root[0]["data"] = {"name": "tri\nage"}
    log = build_flow_log([*root, *whole(2, 0.1, 0.2)])
    assert repr(log) == "<FlowLog 'tri\\nage' ok in 1500.0 ms, 1 node, 4 events, 0 errors>"
    assert repr(build_flow_log([event(1, "log")])) == "<FlowLog None unknown, 0 nodes, 1 event, 0 errors>"


def test_as_text_it_is_its_tree(monkeypatch: pytest.MonkeyPatch):
    """As wide as the terminal, in characters that stdout has; so that print() always works."""
    log = build_flow_log([*whole(1, 0, 1), *whole(2, 0.1, 0.2, node="n" * 50)])
    monkeypatch.setenv("COLUMNS", "80")
    assert str(log).splitlines()[1] == f"└─ {'n' * 50}  100.0 ms  ok"
    monkeypatch.setenv("COLUMNS", "60")
    assert str(log).splitlines()[1] == f"└─ {'n' * 42}…  100.0 ms  ok"
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert str(log).splitlines()[1] == f"`- {'n' * 40}...  100.0 ms  ok"


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
def test_repeats_change_nothing(made: list[dict[str, Any]], shuffler: random.Random) -> None:
    """A log beside its copy, in any order, is the log."""
    doubled = [*made, *shuffler.choices(made, k=len(made)), *made]
    assert build_flow_log(shuffler.sample(doubled, len(doubled))).to_dict() == build_flow_log(made).to_dict()


def test_several_roots_in_one_flow() -> None:
    """Requests that continue one foreign trace: the status is the worst of theirs, each has its own name, and the time is all."""
    gone = "99999999-9999-4999-8999-999999999999"
    first, second = whole(1, 0, 2, parent=gone, node="flow"), whole(2, 5, 9, parent=gone, node="flow")
    first[0]["data"], second[0]["data"] = {"name": "GET /a"}, {"name": "GET /b"}
    second[1].update(event_type="error", data={"error": {"type": "E", "message": "m"}})
    log = build_flow_log([*second, *first])
    assert [(root.name, root.status) for root in log.roots] == [("GET /a", "ok"), ("GET /b", "error")]
    assert (log.name, log.status, log.metrics["total_duration_ms"]) == ("GET /a", "error", 9000.0)
    assert (log.metrics["node_count"], log.metrics["error_count"]) == (0, 1)
    assert build_flow_log(second[:1] + first).status == "running"


def test_what_the_process_knows_stands_in_for_a_lost_root() -> None:
    """Of a flow whose root its level filters, whoever runs it still knows name and status; the root goes before that."""
    known = Outcome("triage", "ok")
    log = build_flow_log([event(2, "entry", 1)], known=known)
    assert (log.name, log.status) == ("triage", "ok")
    assert build_flow_log([event(1, "entry", 0)], known=known).status == "running"
    empty = empty_flow_log(FLOW, Outcome("triage", "running"))
    assert (empty.name, empty.status, empty.events, empty.spans, empty.metrics["event_count"]) == ("triage", "running", [], [], 0)


def test_an_end_without_its_entry_invents_no_duration():
    """Its own duration tells when the span began, and its step is known; without one only the end is."""
    told = event(2, "exit", 6, step="ask", metrics={"duration_ms": 2_000.0})
    first, second = build_flow_log([told, event(3, "error", 8, step="pick", data={"error": None})]).spans
    assert (first.start, first.end, first.duration_ms, first.step) == (T0 + 4, T0 + 6, 2_000.0, "ask")
    assert (second.start, second.end, second.duration_ms, second.step) == (T0 + 8, T0 + 8, None, "pick")


def test_what_was_answered_from_a_recording_costs_nothing():
    """It reports what it cost when it was recorded: the span shows it, the totals do not."""
    figures = {"tokens": 7, "cost_usd": 0.5}
    log = build_flow_log(
        [
            *whole(1, 0, 9),
            *whole(2, 1, 2, node="llm.call", parent=1, metrics=figures, data={"answered": True}),
            *whole(3, 3, 4, node="llm.call", parent=1, metrics={"tokens": 3}),
        ]
    )
    assert [(span.answered, span.metrics) for span in log.spans[1:]] == [(True, figures), (False, {"tokens": 3})]
    assert (log.metrics["tokens"], log.metrics["cost_usd"], log.metrics["nodes"]["llm.call"]["tokens"]) == (3, 0, 3)


def test_a_process_knows_the_flows_that_it_runs():
    """Their names and how they ended; of another it knows nothing."""
    run = obs.flow("triage")
    run.log("n")
    assert known_outcome(run.flow_id) == Outcome("triage", "running")
    run.close(error=ValueError("no"))
    assert known_outcome(run.flow_id) == Outcome("triage", "error")
    assert known_outcome(FLOW) is None


def test_figures_beyond_the_range_of_a_float_are_the_largest_float():
    """A broken log may have them; what is exported of it is still JSON."""
    log = build_flow_log([one for n in (2, 3) for one in whole(n, n, n + 1, parent=1, metrics={"cost_usd": 1e308})])
    assert log.metrics["cost_usd"] == sys.float_info.max


COUNTING = """
import json, sys
from the_edge_obs.flow_log import build_flow_log
log = build_flow_log(json.load(sys.stdin))
print(json.dumps([log.status, len(log.spans), len(log.roots), log.metrics["tokens"], log.metrics["error_count"]]))
"""


@pytest.mark.parametrize("length", [1, 2, 3])
def test_parents_that_go_round_in_a_circle_are_counted_in_finite_time(length: int) -> None:
    """As a broken or hostile log may have them; what lies below the circle counts, what repeats it does not."""
    circle = [one for n in range(1, length + 1) for one in whole(n, n, 9, parent=n % length + 1, metrics={"tokens": 5})]
    leaf = whole(
        length + 1, 8, 8.5, parent=min(length, 2), metrics={"tokens": 5}
    )  # in the innermost span: the first is outermost
    given_events = json.dumps([*circle, *leaf])
    # In a process of its own, which can be ended.
    done = subprocess.run(
        [sys.executable, "-c", COUNTING], input=given_events, capture_output=True, text=True, timeout=60, check=True
    )
    # A span that is its own parent is on top, though no root; in a longer circle no span is.
    assert json.loads(done.stdout) == ["unknown", length + 1, int(length == 1), 5, 0]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_a_circle_of_parents_reports_counts_once(length: int) -> None:
    """Nothing below it repeats that, so it must not get lost; also errors, and whatever the order of the events."""
    failed = {"data": {"error": {"type": "E", "message": "m"}}, "level": "error"}
    circle = [
        one for n in range(1, length + 1) for one in whole(n, n, 9, parent=n % length + 1, metrics={"tokens": n, "cost_usd": 1})
    ]
    circle = [one if one["event_type"] == "entry" else {**one, **failed, "event_type": "error"} for one in circle]
    for given_events in (circle, circle[::-1]):
        metrics = build_flow_log(given_events).metrics
        innermost = min(length, 2)
        assert (metrics["tokens"], metrics["cost_usd"], metrics["error_count"]) == (innermost, 1, 1)
        assert metrics["nodes"][f"node{innermost}"]["tokens"] == innermost
