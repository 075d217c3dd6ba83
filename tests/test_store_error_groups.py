"""Errors of many runs, grouped by their cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.store.error_groups import MAX_GROUPS, error_groups, shape_of

from .strategies import FLOW, OTHER_FLOW, T0, event, whole


def failed(number: int, start: float, message: str, flow_id: str = FLOW, **more: object) -> list[dict[str, object]]:
    """Return a flow with a node that fails, and passes its error on."""
    data = {"error": {"type": "ValueError", "message": message, **more}}
    return [
        event(1, "entry", start, flow_id=flow_id, node="flow", data={"name": "triage"}),
        event(number, "entry", start, flow_id=flow_id, parent=1, node="load"),
        event(number, "error", start + 1, flow_id=flow_id, parent=1, node="load", level="error", data=data),
        event(1, "error", start + 2, flow_id=flow_id, node="flow", level="error", data=data),
    ]


def test_one_cause_is_one_group() -> None:
    """Where it arose, however often, with the last one to look at."""
    made = [
        *failed(2, 0, "line 3 of 'a.log' is bad", where="a.py:1 in load"),
        *failed(2, 60, "line 44 of 'b' is bad", OTHER_FLOW),
    ]
    made += whole(7, 100, 101, flow_id=OTHER_FLOW, parent=1)
    (group,) = error_groups(made)
    assert (group.node, group.type, group.shape) == ("load", "ValueError", "line … of … is bad")
    assert (group.count, group.runs, group.first, group.last) == (2, 2, T0 + 1, T0 + 61)
    assert (group.message, group.where, group.flow_id) == ("line 44 of 'b' is bad", None, OTHER_FLOW)


def test_errors_that_were_logged_by_hand_count() -> None:
    """They end no span; events that are there twice count once."""
    by_hand = event(1, "error", 1, node="save", level="error", data={"error": {"type": "E", "message": "full"}})
    assert [(group.node, group.count) for group in error_groups([event(1, "entry", 0), by_hand, by_hand])] == [("save", 1)]


def test_groups_are_bounded() -> None:
    """A message that differs in words each time does not fill the memory."""
    words = ["".join(chr(97 + (number // 26**place) % 26) for place in range(3)) for number in range(MAX_GROUPS + 20)]
    made = [
        event(n, "error", n, node="a", level="error", data={"error": {"type": "E", "message": w}}) for n, w in enumerate(words)
    ]
    groups = error_groups(made)
    assert len(groups) == MAX_GROUPS + 1
    assert (groups[0].shape, groups[0].count) == ("…", 20)


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("3 of 17 lines", "… of … lines"),
        ("no user 'ada' in \"db\"", "no user … in …"),
        ("flow 0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11 is gone", "flow … is gone"),
        ("at 0x7f3604459790 and deadbeef01", "at … and …"),
        ("took 1.5 s at 12:30:01, -3 left", "took … s at …, … left"),
        ("face it", "face it"),
        ("don't and can't", "don't and can't"),
        ("a\n  b", "a b"),
    ],
)
def test_what_differs_is_left_out(message: str, shape: str) -> None:
    """Numbers, ids and quoted texts."""
    assert shape_of(message) == shape


@given(st.text())
def test_a_shape_is_the_shape_of_itself(message: str) -> None:
    """Nothing is left to leave out, unless the cut has made it."""
    shape = shape_of(message)
    assert len(shape) <= 300
    assert not any(char in "0123456789" for char in shape)
