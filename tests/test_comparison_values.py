"""Where two values differ: paths, lists, numbers, and what no two runs share."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from the_edge_obs.comparison.values import Change, changes

from .strategies import DATA, FLOW, OTHER_FLOW, event, span_id

NO_IDS = (frozenset[str](), frozenset[str]())
IDS = ({FLOW, span_id(1)}, {OTHER_FLOW, span_id(1, OTHER_FLOW)})


def found(old: Any, new: Any, ids: Any = NO_IDS) -> list[tuple[str, str, Any, Any]]:
    """Return the changes from one output to another as tuples."""
    differing = changes("output", {"output": old}, {"output": new}, ids)
    return [(change.path, change.kind, change.old, change.new) for change in differing]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, 2, [("output", "changed", 1, 2)]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, [("output.a.b[1]", "changed", 2, 3)]),
        ({"a": 1}, {"b": 1}, [("output.a", "removed", 1, None), ("output.b", "added", None, 1)]),
        ({"a b": 1, "2": 0}, {"a b": 2, "2": 1}, [('output["a b"]', "changed", 1, 2), ('output["2"]', "changed", 0, 1)]),
        ([1], {"0": 1}, [("output", "changed", [1], {"0": 1})]),
        ("1", 1, [("output", "changed", "1", 1)]),
        (None, 0, [("output", "changed", None, 0)]),
        (True, 1, [("output", "changed", True, 1)]),
        ({"x": [False]}, {"x": [0]}, [("output.x[0]", "changed", False, 0)]),
    ],
)
def test_paths(old: Any, new: Any, expected: list[Any]) -> None:
    """Each place that differs is named, with both values; a type is part of a value."""
    assert found(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1.0, {"x": 2}], [1, {"x": 2.0}]),
        (0.1 + 0.2, 0.3),
        (10**400, 10**400),
    ],
)
def test_what_is_equal(old: Any, new: Any) -> None:
    """The order of keys says nothing, numbers are equal by value, the last digits of a float are noise."""
    assert found(old, new) == []


def test_whole_numbers_that_are_close_are_two_numbers() -> None:
    """They may be the ids of two orders."""
    assert found(10_000_000_001, 10_000_000_002) == [("output", "changed", 10_000_000_001, 10_000_000_002)]


def test_times_of_what_is_not_of_the_run_are_compared() -> None:
    """A key may be called flow_id without an event around it."""
    old, new = ({"flow_id": "a", "start": start, "end": 9} for start in (1, 2))
    assert found(old, new) == [("output.start", "changed", 1, 2)]
    ids = (frozenset({"a"}), frozenset({"b"}))
    assert not [*changes("output", {"output": old}, {"output": {**new, "flow_id": "a"}}, (ids[0], ids[0]))]


def test_numbers_out_of_range_are_compared() -> None:
    """An integer that no float holds is another number than any float."""
    assert found(10**400, 1.5) == [("output", "changed", 10**400, 1.5)]


def test_an_item_put_into_a_list_is_one_change() -> None:
    """The items behind it have not changed; nor have those behind one that was taken out."""
    items = [{"name": name} for name in "abcd"]
    assert found(items, [*items[:1], {"name": "x"}, *items[1:]]) == [("output[1]", "added", None, {"name": "x"})]
    assert found(items, items[1:]) == [("output[0]", "removed", {"name": "a"}, None)]
    assert found(items, [*items[:2], {"name": "x"}, items[3]]) == [("output[2].name", "changed", "c", "x")]


def test_a_value_that_is_missing() -> None:
    """A value that is not there is as good as null, and nothing else is."""
    assert list(changes("output", {}, {"output": None}, NO_IDS)) == []
    assert list(changes("output", {}, {"output": 0}, NO_IDS)) == [Change("output", "added", None, 0)]
    assert list(changes("output", {"output": 3}, {}, NO_IDS)) == [Change("output", "removed", 3, None)]
    assert list(changes("output", {}, {}, NO_IDS)) == []
    assert Change("output", "removed", 3, None).to_dict() == {"path": "output", "kind": "removed", "old": 3, "new": None}


def test_ids_of_the_runs_are_no_difference() -> None:
    """Not as a value, and not inside a text; ids of anything else are."""
    assert found([FLOW, f"see {span_id(1)}.json"], [OTHER_FLOW, f"see {span_id(1, OTHER_FLOW)}.json"], IDS) == []
    assert found(span_id(2), span_id(3), IDS) == [("output", "changed", span_id(2), span_id(3))]


def test_times_of_events_in_a_value_are_no_difference() -> None:
    """A flow that queried itself has its own events in an output; what they say counts, when they were does not."""
    old = event(1, "exit", 1, metrics={"duration_ms": 5, "tokens": 1})
    new = event(1, "exit", 9, flow_id=OTHER_FLOW, metrics={"duration_ms": 7, "tokens": 2})
    assert found([old], [new], IDS) == [("output[0].metrics.tokens", "changed", 1, 2)]
    assert found({"start": 1}, {"start": 2}) == [("output.start", "changed", 1, 2)]  # of anything else they do


@pytest.mark.slow
@given(DATA, DATA)
def test_laws(old: Any, new: Any) -> None:
    """Nothing differs from itself; from the other side, the same places differ the other way; what is equal has no change."""
    mirror = {"added": "removed", "removed": "added", "changed": "changed"}
    forth, back = found(old, new), found(new, old)
    assert found(old, old) == []
    assert Counter((kind, repr(one), repr(other)) for _, kind, one, other in forth) == Counter(
        (mirror[kind], repr(other), repr(one)) for _, kind, one, other in back
    )
    assert bool(forth) == (json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True))


def test_deep_nesting_is_no_problem() -> None:
    """A file may nest deeper than Python's own functions go."""
    deep: Any = 1
    other: Any = 2
    for _ in range(3000):
        deep, other = [deep], {"x": other}
    assert len(found([deep], [deep, 1])) == 1
    assert [change[1] for change in found(deep, other)] == ["changed"]
