"""What only a whole log shows: one test per rule S1 to S8 of docs/parity.md."""

from __future__ import annotations

from typing import Any

import pytest

from the_edge_obs.store.whole_logs import ROOT_KEYS, WholeLog

from .strategies import FLOW, OTHER_FLOW, T0, event, span_id, whole

ROOT = {"name": "n", "schema_version": 1, "runtime": "r/1", "resource": {"host": "h", "pid": 1, "service": "s"}}


def good() -> list[dict[str, Any]]:
    """Return a log of a root with two nodes, one in the other."""
    root = whole(1, 0.0, 3.0)
    outer, inner = whole(2, 0.5, 2.5), whole(3, 1.0, 2.0)
    root[0]["data"] = dict(ROOT)
    return [root[0], outer[0], inner[0], inner[1], outer[1], root[1]]


def faults(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    log = WholeLog()
    for number, one in enumerate(events, 1):
        log.add(number, one)
    return [tuple(fault) for fault in log.faults()]


def test_a_good_log_has_no_faults() -> None:
    """Nested spans, an error of a node whose level is filtered, and one logged by hand, which ends nothing."""
    log = good()
    log[3:3] = [event(4, "error", 1.5, parent=3), event(3, "error", 1.5, node="mine"), event(3, "metric", 1.5)]
    assert faults(log) == []


def test_ids_begin_like_their_flow() -> None:
    """S1."""
    log = good()
    log[1]["span_id"] = log[4]["span_id"] = log[2]["parent_id"] = log[3]["parent_id"] = (other := span_id(2, OTHER_FLOW))
    problem = f"span_id is {other!r}; it must begin with the first 8 bytes of the flow_id, {FLOW[:19]}"
    assert faults(log) == [(2, problem), (5, problem)]


def test_the_root_comes_first() -> None:
    """S2: a reader knows the schema version before anything else."""
    log = good()
    log[0], log[1] = log[1], log[0]
    parent = f"parent {span_id(1)} of node 'node2' has no entry before this line"
    first = f"the first event of flow {FLOW} is the entry of 'node2'; it must be the entry of its root, node 'flow'"
    assert faults(log) == [(1, first), (1, parent)]


@pytest.mark.parametrize("key", ["name", "schema_version", "runtime", "resource"])
def test_the_data_of_the_root(key: str) -> None:
    """S3: four keys are always there."""
    log = good()
    del log[0]["data"][key]
    assert faults(log) == [(1, f"data.{key} is missing; the entry of a root has name, schema_version, runtime, resource")]


def test_other_data_of_the_root() -> None:
    """S3: other keys are known, and texts are texts."""
    log = good()
    log[0]["data"] |= {"secret": 1, "runtime": 7}
    unknown = f"unknown key 'secret' in the data of a root's entry; allowed: {', '.join(ROOT_KEYS)}"
    assert faults(log) == [(1, unknown), (1, "data.runtime is 7; it must be a string")]


def test_every_span_has_one_entry_and_one_end() -> None:
    """S4 and S5."""
    log = good()
    for extra, where, problem in [
        (log[2], 4, f"span {span_id(3)} has a second entry, after that of line 3; a span has one"),
        (log[3], 5, f"span {span_id(3)} has a second end, after that of line 4; a span has one"),
        (event(9, "exit", 2.0, parent=3), 5, f"span {span_id(9)} ends, and has no entry before this line"),
        (
            event(9, "error", 2.0, parent=3, metrics={"duration_ms": 1}),
            5,
            f"span {span_id(9)} ends, and has no entry before this line",
        ),
    ]:
        assert faults([*log[: where - 1], extra, *log[where - 1 :]]) == [(where, problem)]
    assert faults([*log[:3], *log[4:]]) == [(3, f"span {span_id(3)} of node 'node3' has no end; it must have one")]


def test_parents_are_in_the_log() -> None:
    """S6: only a root has no parent; a root of a flow that another process began has one elsewhere."""
    log = good()
    log[2]["parent_id"] = None
    assert faults(log) == [(3, "node 'node3' has no parent; only a root, node 'flow', has none")]
    log[2]["parent_id"] = span_id(8)
    assert faults(log) == [(3, f"parent {span_id(8)} of node 'node3' has no entry before this line")]
    log = good()
    log[0]["parent_id"] = log[5]["parent_id"] = span_id(8)
    assert faults(log) == []


@pytest.mark.parametrize(
    ("off", "is_fine"), [(0.0, True), (1e-6, True), (-1e-6, True), (4e-6, False), (-4e-6, False), (-1000.0, False)]
)
def test_an_end_is_entry_plus_duration(off: float, is_fine: bool) -> None:
    """S7, to what the rounding of two timestamps explains."""
    log = good()
    log[3]["timestamp"] += off
    moment = f"timestamp is {log[3]['timestamp']!r}; it must be that of the entry of line 3 plus the duration, {T0 + 2:.6f}"
    expected = f"{moment}, to 2 microseconds"
    assert [fault for fault in faults(log) if "plus the duration" in fault[1]] == ([] if is_fine else [(4, expected)])


def test_an_end_has_a_duration() -> None:
    """S7."""
    log = good()
    del log[3]["metrics"]["duration_ms"]
    assert faults(log) == [
        (4, f"metrics.duration_ms of the end of span {span_id(3)} is missing; it must be a number of at least 0")
    ]


@pytest.mark.parametrize(
    ("start", "end", "found"), [(0.5, 2.5, []), (0.4995, 2.5, []), (0.4, 2.5, [3]), (1.0, 2.6, [4]), (0.4, 2.6, [3, 4])]
)
def test_a_child_lies_within_its_parent(start: float, end: float, found: list[int]) -> None:
    """S8, to what clocks explain."""
    log = good()
    log[2:4] = whole(3, start, end)
    assert [number for number, _ in faults(log)] == found


def test_flows_of_one_file_are_told_apart() -> None:
    """Each has a root of its own."""
    other = whole(1, 0.0, 1.0, flow_id=OTHER_FLOW)
    other[0]["data"] = dict(ROOT)
    log = good()
    assert faults([log[0], other[0], *log[1:], other[1]]) == []
    assert [number for number, _ in faults([log[0], other[1], *log[1:]])] == [2, 2]
