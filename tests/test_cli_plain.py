from __future__ import annotations

import json
from collections import UserDict
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.cli._plain import Plain

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
KEYS = SCALARS | st.floats() | st.tuples(st.integers()) | st.binary()
ANY = st.recursive(
    SCALARS | st.floats() | st.binary() | st.sets(st.integers()),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(PLAIN)
def test_what_json_holds_comes_through_as_it_is(value: Any) -> None:
    """Plain data is neither changed nor noted."""
    plain = Plain()
    assert (plain.value(value), plain.notes) == (value, [])


@pytest.mark.slow
@given(ANY)
def test_anything_becomes_json_and_nothing_is_dropped(value: Any) -> None:
    """Every key and item is there, whatever it was; strict JSON reads it back."""
    plain = Plain().value(value)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert size(plain) == size(value)


def size(value: Any) -> int:
    """Return how many values there are in a value."""
    if isinstance(value, dict):
        return 1 + sum(map(size, value.values()))
    return 1 + sum(map(size, value)) if isinstance(value, (list, set)) else 1


class Colour(IntEnum):
    RED = 1


@dataclass
class Point:
    x: float
    tags: frozenset[str]


class Broken(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items today")


@pytest.mark.parametrize(
    ("value", "plain", "notes"),
    [
        (Point(1.5, frozenset({"a"})), {"x": 1.5, "tags": ["a"]}, []),
        (UserDict({"a": (1, Colour.RED)}), {"a": [1, 1]}, []),
        ({1: "a", "1": "b"}, {"1 (int)": "a", "1": "b"}, ["the state has a key of type int, written as '1 (int)'"]),
        ({"a": {None: 1, "null": 2}}, {"a": {"null (NoneType)": 1, "null": 2}}, [
            "a has a key of type NoneType, written as 'null (NoneType)'"
        ]),
        ({"a": [float("inf")]}, {"a": ["Infinity"]}, ["a[0] is inf, written as text"]),
        ({float("nan"): 1}, {"NaN": 1}, ["the state has a key of type float, written as 'NaN'"]),
        ({"a": Broken()}, {"a": "<Broken>"}, ["a is not readable (RuntimeError), left out"]),
    ],
)  # fmt: skip
def test_what_json_has_not_is_written_as_text_with_a_note(value: Any, plain: Any, notes: list[str]) -> None:
    """A note says where it stands and what became of it."""
    made = Plain()
    assert (made.value(value), made.notes) == (plain, notes)


def test_what_is_there_twice_is_no_cycle() -> None:
    """Only a value inside itself is left out."""
    shared = [1]
    made = Plain()
    assert (made.value({"a": shared, "b": [shared, shared]}), made.notes) == ({"a": [1], "b": [[1], [1]]}, [])
