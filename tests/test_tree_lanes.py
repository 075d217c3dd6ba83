from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.tree.lanes import Placed, place

from .strategies import T0, Event, event, flows, span_id, whole


@st.composite
def odd_flows(draw: st.DrawFn) -> list[Event]:
    """Draw a flow of few moments, in which anything may be missing: entries, ends, parents; with parents in circles."""
    made: list[Event] = []
    for number in range(1, draw(st.integers(1, 9)) + 1):
        parent = draw(st.none() | st.integers(1, 10))
        start, length = draw(st.integers(0, 6)), draw(st.integers(-1, 4))
        both = whole(number, start, start + length, parent=parent, node=f"node{number}")
        made += draw(st.sampled_from([both, both, both[:1], both[1:]]))
    return draw(st.permutations(made))


def placed(made: list[Event]) -> list[Placed]:
    return place(build_flow_log(made))


def shown(made: list[Event]) -> list[tuple[str, int, bool]]:
    """Return node, lane and whether it lies in its parent, of each span."""
    return [(one.span.node, one.lane, one.inside) for one in placed(made)]


def assert_lawful(spans: list[Placed]) -> None:
    """Check that on each lane spans are apart, or one lies in the other and is a descendant of it."""
    by_id = {one.span.span_id: one for one in spans}
    for at, late in enumerate(spans):
        assert late.start <= late.end
        above = late
        ancestors = set()
        while above.inside:
            above = by_id[above.span.parent_id or ""]
            ancestors.add(above.span.span_id)
        for early in spans[:at]:
            assert early.start <= late.start
            if early.lane != late.lane or early.end <= late.start:
                continue
            assert early.span.span_id in ancestors
            assert late.end <= early.end


def assert_lowest(spans: list[Placed]) -> None:
    """Check that a lane is taken only where all lower ones are in use."""
    for at, late in enumerate(spans):
        if not late.inside:
            in_use = {one.lane for one in spans[:at] if one.end > late.start}
            assert late.lane == min(set(range(len(spans) + 1)) - in_use)


@pytest.mark.slow
@given(flows())
def test_what_overlaps_on_a_lane_is_a_span_in_its_parent(made: list[Event]) -> None:
    """The laws hold for whole flows, whose siblings overlap as threads do; every span has one place."""
    spans = placed(made)
    assert_lawful(spans)
    assert_lowest(spans)
    assert sorted(one.span.span_id for one in spans) == sorted(span.span_id for span in build_flow_log(made).spans)


@pytest.mark.slow
@given(odd_flows())
def test_the_laws_hold_for_broken_logs(made: list[Event]) -> None:
    """The laws hold, and nothing is left out, where entries, ends or parents are lost and clocks are set back."""
    spans = placed(made)
    assert_lawful(spans)
    assert_lowest(spans)
    assert len(spans) == len(build_flow_log(made).spans)


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
def test_places_do_not_depend_on_the_order_of_events(made: list[Event], chance: random.Random) -> None:
    """Events of several files, or threads, come in any order."""
    expected = shown(made)
    chance.shuffle(made)
    assert shown(made) == expected


def test_one_after_the_other_takes_one_lane() -> None:
    """A sequential flow is a single lane, however deep; spans that touch do not overlap."""
    made = [*whole(1, 0, 9), *whole(2, 1, 4), *whole(3, 1, 4), *whole(4, 4, 4, parent=1), *whole(5, 4, 9, parent=1)]
    assert shown(made) == [("flow", 0, False), *((f"node{number}", 0, True) for number in range(2, 6))]


def test_branches_take_lanes_and_give_them_back() -> None:
    """Of branches side by side the first stays with the parent; what a branch does is on its lane; a free lane is used again."""
    made = [
        *whole(1, 0, 9),
        *whole(2, 1, 5, parent=1),
        *whole(3, 2, 6, parent=1),
        *whole(4, 3, 4, parent=3),
        *whole(5, 5, 8, parent=1),
        *whole(6, 7, 8, parent=1),
    ]
    lanes = [("flow", 0, False), ("node2", 0, True), ("node3", 1, False), ("node4", 1, True), ("node5", 0, True)]
    assert shown(made) == [*lanes, ("node6", 1, False)]


def test_what_outlives_its_parent_leaves_its_lane() -> None:
    """A task that nobody waited for lies beside the parent that started it."""
    made = [*whole(1, 0, 9), *whole(2, 1, 3), *whole(3, 2, 5), *whole(4, 6, 7, parent=1)]
    assert shown(made) == [("flow", 0, False), ("node2", 0, True), ("node3", 1, False), ("node4", 0, True)]


def test_what_has_no_end_lasts_until_the_last_event() -> None:
    """The spans of a killed run reach to the last thing known of it."""
    made = [event(1, "entry", 0), event(2, "entry", 1), event(3, "entry", 2), event(3, "log", 4)]
    assert [(one.start - T0, one.end - T0, one.lane) for one in placed(made)] == [(0, 4, 0), (1, 4, 0), (2, 4, 0)]


def test_a_reckoned_start_gives_way_to_the_children() -> None:
    """Where a parent's entry was evicted, its start follows from a duration that another clock measured."""
    made = [*whole(1, 0, 9)[1:], *whole(2, 0, 3, parent=1), *whole(3, 4, 5, parent=1)]
    made[0]["metrics"]["duration_ms"] = 8_999
    assert shown(made) == [("flow", 0, False), ("node2", 0, True), ("node3", 0, True)]
    assert placed(made)[0].start == T0


def test_moments_without_length_nest() -> None:
    """On a clock that stands still, as a coarse one does, children still lie in their parents."""
    made = [*whole(1, 0, 9), *whole(2, 5, 5, parent=1), *whole(3, 5, 5, parent=2), *whole(4, 5, 5, parent=1)]
    assert shown([*made, *whole(5, 5, 5, parent=4)]) == [("flow", 0, False), *((f"node{n}", 0, True) for n in range(2, 6))]


@pytest.mark.slow
def test_wide_fan_outs_take_time_that_grows_with_their_size() -> None:
    """Ten times the branches take no more than thirty times as long: a search through all lanes would take a hundred."""

    def seconds(count: int) -> float:
        made = whole(1, 0, count + 9)
        for number in range(2, count + 2):
            made += whole(number, number / 1000, count + 2, parent=1)
        log = build_flow_log(made)
        best = 9e9
        for _ in range(3):
            began = time.process_time()
            assert max(one.lane for one in place(log)) == count - 1
            best = min(best, time.process_time() - began)
        return best

    assert seconds(5_000) < 30 * seconds(500)


def test_a_span_in_a_lost_parent_is_a_root() -> None:
    """Where the parent is in another process's log, or evicted, nothing is around a span."""
    made = [*whole(2, 0, 3, parent=1), *whole(3, 1, 2, parent=7)]
    assert shown(made) == [("node2", 0, False), ("node3", 1, False)]
    assert placed(made)[1].span.parent_id == span_id(7)
