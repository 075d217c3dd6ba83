from __future__ import annotations

from typing import Any

import pytest

from the_edge_obs.flows import load


def unreached(*nodes: dict[str, Any], edges: Any = ()) -> list[str]:
    return load({"nodes": [{"run": "x = 1", **node} for node in nodes], "edges": list(edges)}).unreached()


A, B, C, D = ({"name": name} for name in "abcd")
FAN_OUT = {"name": "each", "type": "dynamic_parallel", "items": "{{ state.x }}", "fan_in": "d", "steps": [{"run": "x = 1"}]}


@pytest.mark.parametrize(
    ("nodes", "edges", "names"),
    [
        ((A, B, C), (), []),
        ((A, B, C), ({"from": "a", "to": "c"},), ["b"]),
        ((A, B, C), ({"from": "__start__", "to": "b"},), ["a"]),
        ((A, B, C), ({"from": "a", "to": "c", "when": "x"}, {"from": "a", "to": "b", "when": "false"}), []),
        (({**A, "goto": "__end__"}, {**B, "goto": "c"}, {**C, "goto": "b"}), (), ["b", "c"]),
        (({**A, "goto": [{"if": "x", "to": "c"}]}, B, C), (), ["b"]),
        (({**A, "goto": "a", "on_error": {"mode": "graceful", "fallback": "c"}}, B, C), (), ["b"]),
        (
            (A, B, C, D),
            (
                {"from": "a", "to": "b", "type": "parallel", "fan_in": "d"},
                {"from": "a", "to": "c", "type": "parallel", "fan_in": "d"},
            ),
            [],
        ),
        ((A, B, C, D), ({"from": "a", "to": "c", "type": "parallel", "fan_in": "d"},), ["b"]),
    ],
)
def test_what_nothing_leads_to_is_found(nodes: Any, edges: Any, names: list[str]) -> None:
    """Edges, jumps, fallbacks, fan-ins and the order of the file count; conditions do not."""
    assert unreached(*nodes, edges=edges) == names


def test_a_fan_out_leads_to_its_fan_in() -> None:
    """What stands between a fan-out and its fan-in is passed over."""
    flow = load({"nodes": [FAN_OUT, {**B, "run": "x = 1"}, {**D, "run": "x = 1"}]})
    assert flow.unreached() == ["b"]
