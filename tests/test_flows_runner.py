"""Running flows that nobody observes: bodies, order, errors, sub-flows, loops and fan-outs."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from the_edge_obs.context import current
from the_edge_obs.errors import FlowRunError
from the_edge_obs.flows import load
from the_edge_obs.flows.executor import Run
from the_edge_obs.flows.loader import Loading, load_plan
from the_edge_obs.flows.scheduler import run_plan
from the_edge_obs.flows.tracing import SILENT

RUN_KEYS = ("flow_id", "_observability")


def run(flow: Any, state: dict[str, Any] | None = None, **actions: Any) -> dict[str, Any]:
    """Run a flow whose actions are called ``my.<keyword>``, and return its final state without the run's id."""
    final = load(flow, {f"my.{name}": action for name, action in actions.items()}).run(state)
    return {key: value for key, value in final.items() if key not in RUN_KEYS}


def nodes(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"nodes": list(items), **more}


def step(name: str, **more: Any) -> dict[str, Any]:
    """A node that adds its name to ``path``."""
    return {"name": name, "run": f"return {{'path': [*state.get('path', []), {name!r}]}}", **more}


# --- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"uses": "my.act", "with": {"x": "{{ state.n }}"}, "output": "out"}, {"out": {"got": 5}}),
        ({"action": "my.act", "x": "{{ state.n }}", "store": "out"}, {"out": {"got": 5}}),
        ({"uses": "my.act", "with": {"x": "a{{ state.n }}"}}, {"got": "a5"}),
        ({"uses": "my.plain"}, {"result": 42}),
        ({"uses": "my.nothing"}, {}),
        ({"uses": "my.act", "x": 1, "output": {"y": "{{ result.got }}", "z": "={{ result.got }}"}}, {"y": 1, "z": "=1"}),
        ({"uses": "my.act", "with": {"x": None}, "description": "d", "language": "python"}, {"got": None}),
        ({"run": "return {'m': state['n'] + variables['one']}"}, {"m": 6}),
        ({"run": "m = state['n'] * ${one}"}, {"m": 5}),
        ({"run": "return 7"}, {"result": 7}),
        ({"run": "state['m'] = json.loads('[1]')"}, {"m": [1]}),
        ({"run": {"type": "expression", "value": "state['n'] > 3", "output_key": "big"}}, {"big": True}),
        ({"run": "return actions['my.act'](state=state, x=node)"}, {"got": "step_1"}),
        ({"run": "return {'m': [config['k'], graph.name]}"}, {"m": ["v", "flow"]}),
        (
            {"steps": [{"uses": "my.act", "x": 1, "output": "a"}, {"run": "state['b'] = state['a']['got'] + 1"}]},
            {"a": {"got": 1}, "b": 2},
        ),
    ],
)
def test_bodies(node: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every body, and where its result goes."""
    flow = nodes(node, variables={"one": 1}, settings={"k": "v"})
    actions = {"act": lambda state, x: {"got": x}, "plain": lambda state: 42, "nothing": lambda state: None}
    assert run(flow, {"n": 5}, **actions) == {"n": 5, **expected}


def test_the_run_has_an_id_and_the_given_state_stays() -> None:
    """Each run has a fresh flow id in its state, also when nobody observes it, and no flow context."""
    given = {"n": 1}
    seen = []
    flow = load(nodes({"run": "n = 2"}, {"uses": "my.look"}), {"my.look": lambda state: seen.append(current())})
    first, second = flow.run(given), flow.run(given)
    assert given == {"n": 1}
    assert first == {"n": 2, "flow_id": first["flow_id"], "_observability": {"flow_id": first["flow_id"], "enabled": False}}
    assert uuid.UUID(first["flow_id"]) != uuid.UUID(second["flow_id"])
    assert seen == [None, None]


def test_the_initial_state_gives_way_to_the_given_one() -> None:
    """What run() is given wins, key by key; a run that changes its state changes no other run's."""
    flow = load(nodes({"run": "state['seen'].append(state['n'])"}, initial_state={"n": 1, "seen": [0], "flow_id": "mine"}))
    for state, expected in (
        ({}, {"n": 1, "seen": [0, 1]}),
        ({"n": 2}, {"n": 2, "seen": [0, 2]}),
        ({"seen": []}, {"n": 1, "seen": [1]}),
    ):
        final = flow.run(state)
        assert {key: value for key, value in final.items() if key not in RUN_KEYS} == expected
        assert uuid.UUID(final["flow_id"])


def test_a_flow_knows_its_folder(tmp_path: Path) -> None:
    """Templates, conditions and code find what lies beside the file, a sub-flow beside its own; a dict's is the working one."""
    (tmp_path / "sub").mkdir()
    inner = """\
        nodes: [{run: "return {'code': flow_dir}"}]
        """
    (tmp_path / "sub" / "inner.yaml").write_text(dedent(inner), encoding="utf-8")
    outer = """\
        nodes:
          - {flow: sub/inner.yaml, output: inner}
          - {uses: my.act, x: "{{ flow_dir }}/data.csv", goto: [{if: flow_dir, to: __end__}]}
        """
    path = tmp_path / "outer.yaml"
    path.write_text(dedent(outer), encoding="utf-8")
    assert run(path, act=lambda state, x: {"got": x}) == {
        "inner": {"code": str(tmp_path.resolve() / "sub")},
        "got": f"{tmp_path.resolve()}/data.csv",
    }
    assert run(nodes({"run": "folder = flow_dir"})) == {"folder": "."}


def test_state_that_is_no_mapping_is_refused() -> None:
    """A list is not a state."""
    with pytest.raises(TypeError, match=r"state is \[1\]; it must be a mapping"):
        load(nodes(step("a"))).run([1])  # type: ignore[arg-type]


def test_flows_run_at_the_same_time_do_not_meet() -> None:
    """One flow object serves many threads."""
    flow = load(
        nodes({"run": "m = state['n'] * 2"}, {"uses": "my.act", "x": "{{ state.m }}"}), {"my.act": lambda state, x: {"y": x}}
    )
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: flow.run({"n": n})["y"], range(50)))
    assert results == [2 * n for n in range(50)]


# --- order -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "path"),
    [({"kind": "a"}, ["first", "a", "last"]), ({"kind": "b"}, ["first", "b"]), ({}, ["first", "other", "last"])],
)
def test_goto(state: dict[str, Any], path: list[str]) -> None:
    """Rules are tried in order; a rule without if is the rest; goto comes before edges and file order."""
    flow = nodes(
        step("first", goto=[{"if": "state.kind == 'a'", "to": "a"}, {"if": "state.kind", "to": "b"}, {"to": "other"}]),
        step("a", goto="last"),
        step("b", goto="__end__"),
        step("other"),
        step("last"),
        edges=[{"from": "first", "to": "b"}],
    )
    assert run(flow, state)["path"] == path


def test_goto_sees_the_result() -> None:
    """The node's own result is at hand."""
    flow = nodes(
        {"name": "a", "uses": "my.act", "goto": [{"if": "result.code > 400", "to": "bad"}, {"to": "__end__"}]}, step("bad")
    )
    assert run(flow, act=lambda state: {"code": 500})["path"] == ["bad"]
    assert run(flow, act=lambda state: {"code": 200}) == {"code": 200}


@pytest.mark.parametrize(
    ("state", "path"),
    [({"n": 1}, ["start", "small"]), ({"n": 9}, ["start", "big", "end"]), ({"n": 9, "skip": True}, ["big", "end"])],
)
def test_edges(state: dict[str, Any], path: list[str]) -> None:
    """The first edge that holds is taken; a node without edges goes on with the next one of the file."""
    flow = nodes(
        step("start"),
        step("big"),
        step("end"),
        step("small"),
        edges=[
            {"from": "__start__", "to": "big", "when": "skip"},
            {"from": "__start__", "to": "start", "when": "!skip"},
            {"from": "start", "to": "big", "condition": {"type": "expression", "value": "state.n > 5"}, "when": True},
            {"from": "start", "to": "small", "condition": "state.n > 5", "when": False},
            {"from": "end", "to": "__end__"},
        ],
    )
    assert run(flow, state)["path"] == path


@pytest.mark.parametrize(
    ("flow", "problem"),
    [
        (
            nodes(step("a"), edges=[{"from": "a", "to": "a", "when": "never"}]),
            "step 'a': no edge that leaves it holds (1 tried); add one without a condition, or one that leads to __end__",
        ),
        (
            nodes(step("a"), edges=[{"from": "__start__", "to": "a", "when": "never"}]),
            "the start: no edge that leaves it holds (1 tried); add one without a condition, or one that leads to __end__",
        ),
        (
            nodes(step("a", goto=[{"if": "state.never", "to": "a"}])),
            "step 'a': no rule of its goto holds (1 tried); add a final rule without if, or one that leads to __end__",
        ),
        (
            nodes(step("a", goto="a"), settings={"max_steps": 5}),
            (
                "step 'a': more than 5 steps in one run, which looks like an endless goto; add a way out of the loop, "
                "or raise settings.max_steps"
            ),
        ),
        (
            nodes({"name": "a", "uses": "my.act", "with": {"x": "{{ state.a.b.c }}"}}),
            "step 'a', key 'with.x': cannot render '{{ state.a.b.c }}': 'None' has no attribute 'b'",
        ),
    ],
)
def test_flows_that_cannot_go_on(flow: dict[str, Any], problem: str) -> None:
    """The message names the step and the way out."""
    with pytest.raises(FlowRunError) as caught:
        run(flow, act=lambda state, x: x)
    assert str(caught.value) == problem


# --- errors ------------------------------------------------------------------------------------------------------------


class Flaky:
    """An action that fails a number of times before it works."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self, state: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if self.calls > self.failures:
            return {"success": True, "calls": self.calls}
        if self.error is not None:
            raise self.error
        return {"success": False, "error": "not yet", "error_type": "busy"}


def flaky(on_error: dict[str, Any] | None, *more: dict[str, Any]) -> dict[str, Any]:
    node = {"name": "try", "uses": "my.act", "output": "out", **({"on_error": on_error} if on_error else {})}
    return nodes(node, step("after"), *more)


RETRY = {"mode": "retry", "max_retries": 2, "delay": 0}


def test_an_exception_leaves_the_flow_unchanged() -> None:
    """The node's own exception object comes out of run()."""
    error = KeyError("x")
    for on_error in (None, {"mode": "raise"}, RETRY):
        with pytest.raises(KeyError) as caught:
            run(flaky(on_error), act=Flaky(9, error))
        assert caught.value is error


def test_a_soft_failure_is_a_result() -> None:
    """The flow goes on, and nothing is tried again."""
    action = Flaky(1)
    assert run(flaky(None), act=action) == {
        "out": {"success": False, "error": "not yet", "error_type": "busy"},
        "path": ["after"],
    }
    assert run(flaky({"mode": "graceful"}), act=Flaky(1))["out"]["success"] is False


@pytest.mark.parametrize("error", [None, OSError("down")])
def test_retry_until_it_works(error: Exception | None) -> None:
    """Exceptions and soft failures are tried again, in either spelling of the delay."""
    assert run(flaky(RETRY), act=Flaky(2, error)) == {"out": {"success": True, "calls": 3}, "path": ["after"]}
    other = {"mode": "retry", "retry_delay": 0, "backoff_multiplier": 3}
    assert run(flaky(other), act=Flaky(3, error))["out"] == {"success": True, "calls": 4}


def test_retry_gives_up() -> None:
    """After the last attempt a soft failure stays a result; a fallback takes over from both kinds."""
    soft = {"success": False, "error": "not yet", "error_type": "busy"}
    action = Flaky(9)
    assert run(flaky(RETRY), act=action) == {"out": soft, "path": ["after"]}
    assert action.calls == 3

    info = {"node": "try", "action": "my.act", "retry_count": 2}
    fallback = flaky({**RETRY, "fallback": "plan_b"}, step("plan_b"))
    assert run(fallback, act=Flaky(9)) == {
        "out": soft,
        "__error__": {"type": "busy", "message": "not yet", **info},
        "path": ["plan_b"],
    }
    assert run(fallback, act=Flaky(9, OSError("down"))) == {
        "__error__": {"type": "OSError", "message": "down", **info},
        "path": ["plan_b"],
    }


def test_only_named_errors_are_worth_another_attempt() -> None:
    """A base class counts for its subclasses."""
    named = {**RETRY, "retryable_errors": ["OSError"]}
    assert run(flaky(named), act=Flaky(1, ConnectionError()))["out"] == {"success": True, "calls": 2}
    action = Flaky(1, ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        run(flaky(named), act=action)
    assert action.calls == 1


def test_soft_failures_are_retried_whatever_errors_are_named() -> None:
    """Rule L13 of docs/parity.md."""
    assert run(flaky({**RETRY, "retryable_errors": ["OSError"]}), act=Flaky(1))["out"] == {"success": True, "calls": 2}


def test_graceful_goes_on() -> None:
    """The failure is in the state, and the flow goes on: with the next node, or with the fallback."""
    failure = {"type": "OSError", "message": "down", "node": "try", "action": "my.act", "retry_count": 0}
    assert run(flaky({"mode": "graceful"}), act=Flaky(1, OSError("down"))) == {"__error__": failure, "path": ["after"]}
    fallback = flaky({"mode": "graceful", "fallback": "plan_b"}, step("plan_b"))
    assert run(fallback, act=Flaky(1, OSError("down"))) == {"__error__": failure, "path": ["plan_b"]}
    state = run(fallback, act=Flaky(1))
    assert (state["out"]["success"], state["__error__"]["type"], state["path"]) == (False, "busy", ["plan_b"])


def test_nested_steps_have_their_own_rules() -> None:
    """A failure inside steps is handled there; unhandled it takes the steps' changes with it."""
    inner = {"name": "try", "uses": "my.act", "on_error": {"mode": "graceful"}}
    handled = nodes({"name": "all", "steps": [{"run": "a = 1"}, inner, {"run": "b = 2"}]})
    assert {"a": 1, "b": 2}.items() <= run(handled, act=Flaky(1, OSError("down"))).items()
    unhandled = nodes({"steps": [{"run": "a = 1"}, {"uses": "my.act"}], "on_error": {"mode": "graceful"}})
    assert list(run(unhandled, act=Flaky(1, OSError("down")))) == ["__error__"]


# --- loops, sub-flows ----------------------------------------------------------------------------------------------------


def loop(condition: str, most: int, **more: Any) -> dict[str, Any]:
    body = [{"run": "return {'n': (state.get('n') or 0) + 1}"}, {"run": "state['seen'] = [*state.get('seen', []), state['n']]"}]
    return nodes({"name": "again", "type": "while_loop", "condition": condition, "max_iterations": most, "body": body, **more})


def test_while_loop() -> None:
    """The body runs while the condition holds, and no more often than the limit."""
    assert run(loop("state.n < 3", 10), {"n": 0}) == {"n": 3, "seen": [1, 2, 3]}
    assert run(loop("{{ true }}", 2)) == {"n": 2, "seen": [1, 2]}
    assert run(loop("never", 2), {"n": 7}) == {"n": 7}


@pytest.mark.parametrize(
    ("condition", "most", "expected"),
    [
        ("true", 2, {"stopped_by": "max_iterations", "rounds": 2, "n": 2, "seen": [1, 2]}),
        ("state.n != 2", 2, {"n": 2, "seen": [1, 2]}),
        ("state.n != 2", 9, {"n": 2, "seen": [1, 2]}),
        ("(state.n or 0) < 2 or state.n.broken.off", 2, {"stopped_by": "max_iterations", "rounds": 2, "n": 2, "seen": [1, 2]}),
    ],
)
def test_a_loop_that_its_limit_stopped_says_so(condition: str, most: int, expected: dict[str, Any]) -> None:
    """The result that a goto sees tells it from a loop whose condition ended it, in whatever round; the state stays clean."""
    flow = loop(condition, most, goto=[{"if": "result.stopped_by == 'max_iterations'", "to": "cut"}, {"to": "__end__"}])
    flow["nodes"].append({"name": "cut", "run": "return {'cut': True}"})
    final = run(flow)
    assert (final.pop("cut", False), final) == ("rounds" in expected, {"n": expected["n"], "seen": expected["seen"]})


def test_rounds_count_as_steps() -> None:
    """A loop does not get around settings.max_steps, neither at the top nor nested, with the nodes before it counted."""
    assert run(loop("true", 3, goto="__end__") | {"settings": {"max_steps": 4}})["n"] == 3
    problem = "step 'again': more than 4 steps in one run, which looks like an endless loop; add a way out of the loop, or raise"
    with pytest.raises(FlowRunError, match=problem):
        run(loop("true", 1_000_000) | {"settings": {"max_steps": 4}})
    inner = loop("true", 3)["nodes"][0]
    with pytest.raises(FlowRunError, match=problem):
        run(nodes({"name": "outer", "steps": [{**inner, "name": "before"}, inner]}, settings={"max_steps": 4}))


def test_sub_flow(tmp_path: Path) -> None:
    """A sub-flow sees its initial state, what ``with`` gives it and the actions of its parent; its final state is its result."""
    (tmp_path / "sub").mkdir()
    inner = """\
        variables: {plus: 1}
        initial_state: {n: 5, own: true}
        nodes:
          - {uses: my.act, x: "{{ state.n + variables.plus }}"}
          - {run: "return {'id': state['flow_id'], 'keys': sorted(state)}"}
        """
    (tmp_path / "sub" / "inner.yaml").write_text(dedent(inner), encoding="utf-8")
    outer = """\
        nodes:
          - {flow: sub/inner.yaml, with: {n: "{{ state.n }}"}, output: whole}
          - {flow: sub/inner.yaml, with: {n: 10}, output: {got: "{{ result.got }}"}}
        """
    path = tmp_path / "outer.yaml"
    path.write_text(dedent(outer), encoding="utf-8")
    state = load(path, {"my.act": lambda state, x: {"got": x}}).run({"n": 1, "secret": 2})
    keys = ["_observability", "flow_id", "got", "n", "own"]
    assert state["whole"] == {"n": 1, "own": True, "got": 2, "id": state["flow_id"], "keys": keys}
    assert (state["got"], state["n"]) == (11, 1)


# --- parallel ------------------------------------------------------------------------------------------------------------


def fork(*branches: dict[str, Any], more: tuple[dict[str, Any], ...] = (), join: str) -> dict[str, Any]:
    edges = [{"from": "__start__", "to": b["name"], "type": "parallel", "fan_in": "join"} for b in branches]
    return nodes(*branches, *more, {"name": "join", "run": join}, edges=edges)


def test_parallel_edges_meet_at_the_fan_in() -> None:
    """Branches run on copies of the state, in the order of the edges; the fan-in sees them, and the state stays clean."""
    meeting = threading.Barrier(2, timeout=10)

    def meet(state: dict[str, Any], name: str) -> dict[str, Any]:
        meeting.wait()
        state["shared"].append(name)
        return {"mine": name}

    flow = fork(
        {"name": "a", "uses": "my.meet", "with": {"name": "A"}},
        {"name": "b", "uses": "my.meet", "with": {"name": "B"}},
        join="return {'seen': [(r.branch, r.success, r['mine'], r.get('mine'), r.state['shared']) for r in parallel_results]}",
    )
    assert run(flow, {"shared": [0]}, meet=meet) == {
        "shared": [0],
        "seen": [("a", True, "A", "A", [0, "A"]), ("b", True, "B", "B", [0, "B"])],
    }


def test_a_branch_follows_its_own_way_to_the_fan_in() -> None:
    """Edges and gotos inside a branch hold; standing above a sibling does not lead into it."""
    flow = fork(
        step("a"),
        step("b", goto="b2"),
        more=(step("between"), step("b2", goto="join")),
        join="return {'paths': [r.state['path'] for r in parallel_results]}",
    )
    assert run(flow)["paths"] == [["a"], ["b", "b2"]]


def test_a_failed_branch_is_a_result() -> None:
    """The fan-in decides what it means; a soft failure is not a failed branch."""
    flow = fork(
        {"name": "a", "run": "x = 1\nreturn 1 / 0"},
        {"name": "b", "uses": "my.soft"},
        join="return {'seen': [(r.success, r.error, r.error_type, 'n' in r, r.get('none', 0)) for r in parallel_results]}",
    )
    assert run(flow, {"n": 1}, soft=lambda state: {"success": False, "error": "e"})["seen"] == [
        (False, "division by zero", "ZeroDivisionError", True, 0),
        (True, None, None, True, 0),
    ]


def test_forks_nest() -> None:
    """A branch may fork again; each fan-in sees its own branches."""
    flow = nodes(
        step("a", goto=None),
        step("c"),
        step("d"),
        {"name": "inner", "run": "return {'inner': [r.branch for r in parallel_results]}"},
        step("b"),
        {"name": "outer", "run": "return {'outer': [(r.branch, r.get('inner')) for r in parallel_results]}"},
        edges=[
            {"from": "__start__", "to": "a", "type": "parallel", "fan_in": "outer"},
            {"from": "__start__", "to": "b", "type": "parallel", "fan_in": "outer"},
            {"from": "a", "to": "c", "type": "parallel", "fan_in": "inner"},
            {"from": "a", "to": "d", "type": "parallel", "fan_in": "inner"},
            {"from": "inner", "to": "outer"},
        ],
    )
    assert run(flow) == {"outer": [("a", ["c", "d"]), ("b", None)]}


def test_state_that_cannot_be_copied_names_its_key() -> None:
    """A lock in the state cannot go into branches."""
    flow = fork(step("a"), join="x = 1")
    with pytest.raises(FlowRunError, match="step 'a': state key 'lock' cannot be copied for a parallel branch"):
        run(flow, {"n": 1, "lock": threading.Lock()})


@pytest.mark.parametrize(
    "body",
    [
        {"steps": [{"run": "x = state['url'] * 2"}, {"uses": "my.act", "x": "{{ url }}{{ state.x }}{{ i }}"}]},
        {"action": {"uses": "my.act", "with": {"x": "{{ url }}{{ url }}{{ url }}{{ state.i }}"}}},
    ],
)
@pytest.mark.parametrize("limit", [None, 1, "{{ variables.limit }}"])
def test_fan_out_over_a_list(body: dict[str, Any], limit: Any) -> None:
    """Each item has a branch; its item and index are in the state and in templates; results keep the items' order."""
    fan = {"name": "fan", "type": "dynamic_parallel", "items": "{{ state.urls }}", "item_var": "url", "index_var": "i"}
    more = {} if limit is None else {"max_concurrency": limit}
    join = {"name": "join", "run": "return {'got': [(r.branch, r.get('got'), r.state['url']) for r in parallel_results]}"}
    flow = nodes({**fan, **body, **more, "fan_in": "join"}, step("skipped"), join, variables={"limit": 2})
    assert run(flow, {"urls": ["a", "b"]}, act=lambda state, x: {"got": x}) == {
        "urls": ["a", "b"],
        "got": [("fan[0]", "aaa0", "a"), ("fan[1]", "bbb1", "b")],
    }


def test_fan_out_results_can_be_kept() -> None:
    """``output`` keeps the results under a key of their own; an empty list is not an error."""
    fan = {"name": "fan", "type": "dynamic_parallel", "items": "{{ state.urls }}", "steps": [{"run": "x = item"}]}
    flow = nodes({**fan, "output": "all", "fan_in": "join"}, {"name": "join", "run": "n = len(state['all'])"})
    assert run(flow, {"urls": []}) == {"urls": [], "all": [], "n": 0}
    assert [result.get("x") for result in run(flow, {"urls": [1, 2]})["all"]] == [1, 2]


def test_results_of_an_earlier_fork_are_for_reading() -> None:
    """A branch sees them, its own result does not drag them along."""
    first = {"type": "dynamic_parallel", "items": [1, 2], "steps": [{"run": "x = item"}]}
    second = {"type": "dynamic_parallel", "items": [0], "steps": [{"run": "y = parallel_results[1].get('x')"}], "output": "all"}
    (result,) = run(nodes(first, second))["all"]
    assert result.state.keys() - RUN_KEYS == {"item", "index", "y"}
    assert result.get("y") == 2


@pytest.mark.parametrize(
    ("urls", "problem"),
    [("abc", "step 'fan': items rendered to 'abc', a str; it must be a list"), (3, "step 'fan': items rendered to 3, a int;")],
)
def test_fan_out_over_no_list(urls: Any, problem: str) -> None:
    """A text is not spread into its letters."""
    fan = {"name": "fan", "type": "dynamic_parallel", "items": "{{ state.urls }}", "steps": [{"run": "x = item"}]}
    with pytest.raises(FlowRunError) as caught:
        run(nodes(fan), {"urls": urls})
    assert str(caught.value).startswith(problem)


def test_an_interrupt_stops_the_branches() -> None:
    """Ctrl-C goes through, and the other branches end before their next node; no thread is left."""
    stop, reached = threading.Event(), threading.Event()
    ran: list[str] = []

    def wait(state: dict[str, Any]) -> None:
        reached.set()
        assert stop.wait(10)

    def interrupt(state: dict[str, Any]) -> None:
        assert reached.wait(10)
        raise KeyboardInterrupt

    flow = fork(
        {"name": "a", "uses": "my.interrupt"},
        {"name": "b", "uses": "my.wait", "goto": "b2"},
        more=({"name": "b2", "uses": "my.ran"},),
        join="x = 1",
    )
    actions = {"my.interrupt": interrupt, "my.wait": wait, "my.ran": lambda state: ran.append("b2")}
    with pytest.raises(KeyboardInterrupt):
        run_plan(load_plan(flow, Loading(actions, {})), {}, Run(SILENT, None, run_plan, stop))
    assert ran == []
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("flow-branch")]


class Clock(threading.Event):
    """An event that is never set and notes how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return False


@pytest.mark.parametrize(
    ("on_error", "waits"),
    [
        ({"max_retries": 3}, [1, 2, 4]),
        ({"max_retries": 4, "delay": 10, "backoff": 3}, [10, 30, 60, 60]),
        ({"max_retries": 2, "retry_delay": 90}, [90, 90]),
        ({"max_retries": 0}, []),
    ],
)
def test_delays_grow_to_a_minute(on_error: dict[str, Any], waits: list[float]) -> None:
    """By the factor, up to 60 seconds, or to the first delay where that is longer; jitter takes off up to a quarter."""
    clock = Clock()
    plan = load_plan(flaky({"mode": "retry", **on_error}), Loading({"my.act": Flaky(9)}, {}))
    run_plan(plan, {}, Run(SILENT, None, run_plan, clock))
    assert len(clock.waits) == len(waits)
    assert [longest * 0.75 <= wait <= longest for wait, longest in zip(clock.waits, waits, strict=True)] == [True] * len(waits)
