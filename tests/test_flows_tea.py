"""Agents of The Edge Agent in our own runner: what is taken, and what is refused with the way to observe it elsewhere."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.errors import FlowFileError
from the_edge_obs.flows.tea import WAY

NODES: list[dict[str, Any]] = [{"name": "a", "run": "return {'x': 1}"}]


def refused(flow: dict[str, Any]) -> list[str]:
    """Return what is wrong with a flow, without its place."""
    with pytest.raises(FlowFileError) as caught:
        flows.load(flow)
    return [error.problem for error in (caught.value, *caught.value.others)]


@pytest.mark.parametrize(
    "config",
    [
        None,
        {"raise_exceptions": True},
        {"raise_exceptions": False},
        {"interrupt_before": [], "interrupt_after": [], "checkpoint_dir": "./checkpoints"},
    ],
)
def test_a_config_that_asks_for_nothing_else_is_taken(config: Any) -> None:
    assert flows.load({"config": config, "nodes": NODES}).run()["x"] == 1


def test_an_error_is_raised_whatever_raise_exceptions_says() -> None:
    flow = {"config": {"raise_exceptions": False}, "nodes": [{"name": "a", "run": "raise KeyError('gone')"}]}
    with pytest.raises(KeyError, match="gone"):
        flows.load(flow).run()


@pytest.mark.parametrize("key", ["interrupt_before", "interrupt_after"])
def test_interrupts_are_explained(key: str) -> None:
    assert refused({"config": {key: ["a"]}, "nodes": NODES}) == [
        f"config: {key}: ['a'] stops a run to resume it later, which no run does here; {WAY}"
    ]


def test_a_config_with_mistakes_is_refused() -> None:
    assert refused({"config": {"raise_exceptions": "no", "colour": 1, "checkpoint": "x.pkl"}, "nodes": NODES}) == [
        "config: unknown key 'colour'; allowed: raise_exceptions, interrupt_before, interrupt_after, checkpoint_dir, checkpoint",
        "config: raise_exceptions is 'no'; it must be true or false",
        f"config: checkpoint: 'x.pkl' stops a run to resume it later, which no run does here; {WAY}",
    ]


NEEDS_THE_ENGINE = [
    ({"data": {}, "nodes": NODES}, "the flow: key 'data' is not supported"),
    ({"nodes": [{"name": "a", "run": "x = 1", "interrupt": "before"}]}, "step 'a': key 'interrupt' is not supported"),
    ({"nodes": [{"name": "a", "run": "x = 1", "parallel_each": "{{ [1] }}"}]}, "step 'a': key 'parallel_each' is not supported"),
    (
        {"nodes": [{"name": "a", "language": "prolog", "run": "x"}]},
        "step 'a': language 'prolog' is not supported; allowed: python",
    ),
    ({"nodes": [{"name": "a", "uses": "ltm.store"}]}, "step 'a': unknown action 'ltm.store'; "),
    ({"nodes": [{"name": "a", "uses": "llm.call", "with": {"prompt": "hi", "provider": "shell"}}]}, "unknown provider 'shell'"),
]


@pytest.mark.parametrize(("flow", "problem"), NEEDS_THE_ENGINE)
def test_what_needs_the_engine_says_how_to_observe_it_there(flow: dict[str, Any], problem: str) -> None:
    [said] = refused(flow)
    assert problem in said
    assert said.endswith(WAY)


@pytest.mark.parametrize("flow", [{"nodes": NODES, "nods": 1}, {"nodes": [{"name": "a", "uses": "file.raed"}]}])
def test_a_typing_mistake_says_nothing_of_another_engine(flow: dict[str, Any]) -> None:
    assert WAY not in refused(flow)[0]


def test_goto_may_be_one_rule() -> None:
    rule = {"if": "state.x == 1", "to": "c"}
    nodes = [{**NODES[0], "goto": rule}, {"name": "b", "run": "y = 1"}, {"name": "c", "run": "z = 1"}]
    state = flows.load({"nodes": nodes}).run()
    assert (state["z"], "y" in state) == (1, False)
    assert refused({"nodes": [{**NODES[0], "goto": {"then": "c"}}]}) != []


FAN = {"name": "each", "type": "dynamic_parallel", "items": "{{ [0, 1, 2] }}", "max_concurrency": 1, "output": "all"}


@pytest.mark.parametrize(("fail_fast", "ran"), [(False, [0, 1, 2]), (True, [0])])
def test_fail_fast_leaves_out_what_has_not_begun(fail_fast: bool, ran: list[int]) -> None:
    lock, seen = threading.Lock(), list[int]()

    def divide(state: dict[str, Any], by: int) -> dict[str, Any]:
        with lock:
            seen.append(by)
        return {"result": 1 / by}

    fan = {**FAN, "fail_fast": fail_fast, "action": {"uses": "divide", "with": {"by": "{{ item }}"}}}
    undo = obs.configure()
    state = flows.load({"nodes": [fan]}, {"divide": divide}).run()
    assert seen == ran
    results = state["all"]
    assert [one.success for one in results] == [False, not fail_fast, not fail_fast]
    assert results[0].error_type == "ZeroDivisionError"
    if fail_fast:
        assert results[2].error == "left out: another branch has failed (fail_fast)"
    branches = [span for span in obs.get_flow_log(state["flow_id"]).spans if span.node == "parallel.branch"]
    assert len(branches) == len(ran)
    undo()


def test_fail_fast_is_true_or_false() -> None:
    fan = {**FAN, "fail_fast": "yes", "action": {"uses": "obs.query"}}
    assert refused({"nodes": [fan]}) == ["step 'each': fail_fast is 'yes'; it must be true or false"]
