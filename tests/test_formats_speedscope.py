from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.speedscope import render
from the_edge_obs.tree.lanes import place

from .strategies import FLOW, OTHER_FLOW, Event, event, flows, whole


def file_of(made: list[Event]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads("".join(render(made, dropped={})))
    return content


def shown(made: list[Event]) -> list[tuple[str, int, list[tuple[str, str, int]]]]:
    """Return each profile's name, length, and what opens and closes in it."""
    content = file_of(made)
    names = [frame["name"] for frame in content["shared"]["frames"]]
    return [
        (one["name"], one["endValue"], [(step["type"], names[step["frame"]], step["at"]) for step in one["events"]])
        for one in content["profiles"]
    ]


@pytest.mark.slow
@given(flows())
def test_frames_open_and_close_in_order(made: list[Event]) -> None:
    """In a profile time does not go back, what closes is what opened last, and nothing stays open; every span is in one."""
    content = file_of(made)
    opened = 0
    for profile in content["profiles"]:
        stack: list[int] = []
        now = profile["startValue"]
        for step in profile["events"]:
            assert now <= step["at"] <= profile["endValue"]
            now = step["at"]
            if step["type"] == "O":
                stack.append(step["frame"])
                opened += 1
            else:
                assert stack.pop() == step["frame"]
        assert stack == []
    assert opened == len(build_flow_log(made).spans)
    assert len(content["profiles"]) == 1 + max(one.lane for one in place(build_flow_log(made)))


def test_a_profile_a_lane_as_long_as_its_flow() -> None:
    """Branches side by side are profiles of their own, on the flow's time."""
    made = [event(1, "entry", 0, data={"name": "triage"}), *whole(1, 0, 9)[1:]]
    made += [*whole(2, 1, 5, parent=1, step="ask"), *whole(3, 2, 6, parent=1), *whole(4, 3, 4, parent=3)]
    title = f"triage {FLOW[:8]}"
    one = [("O", "triage", 0), ("O", "ask", 1_000_000), ("C", "ask", 5_000_000), ("C", "triage", 9_000_000)]
    two = [("O", "node3", 2_000_000), ("O", "node4", 3_000_000), ("C", "node4", 4_000_000), ("C", "node3", 6_000_000)]
    assert shown(made) == [(title, 9_000_000, one), (f"{title}, lane 2", 9_000_000, two)]


def test_frames_are_shared_and_marked() -> None:
    """What ran often is one frame, by step and node; what failed, or has no end, is another one."""
    made = [*whole(1, 0, 9), *whole(2, 1, 2, parent=1, node="a"), *whole(3, 2, 3, parent=1, node="a")]
    made += [event(4, "error", 4, parent=1, node="a", data={"error": {"type": "E", "message": ""}})]
    made += [event(5, "entry", 5, parent=1, node="a"), *whole(6, 6, 7, parent=1, node="b", step="a")]
    content = file_of(made)
    assert content["shared"]["frames"] == [
        {"name": "flow", "file": "flow"},
        {"name": "a", "file": "a"},
        {"name": "✗ a", "file": "a"},
        {"name": "a (running)", "file": "a"},
        {"name": "a", "file": "b"},
    ]


def test_several_flows_in_the_order_of_their_starts() -> None:
    """Each flow begins at zero."""
    later = [{**one, "flow_id": OTHER_FLOW} for one in whole(1, 50, 60)]
    assert shown([*later, *whole(2, 0, 9, parent=None)]) == [
        (f"flow {FLOW[:8]}", 9_000_000, [("O", "flow", 0), ("C", "flow", 9_000_000)]),
        (f"flow {OTHER_FLOW[:8]}", 10_000_000, [("O", "flow", 0), ("C", "flow", 10_000_000)]),
    ]


def test_without_spans_there_is_an_empty_profile() -> None:
    """The viewer refuses a file without profiles."""
    assert shown([]) == shown([event(1, "log", 0)]) == [("no spans", 0, [])]
