"""What an observed flow logs: the spans of every kind of node, attempts, handled failures, and when it is observed at all."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from traceback import walk_stack
from typing import Any

import pytest

from the_edge_obs.configuration.config import configure
from the_edge_obs.context import current
from the_edge_obs.event import problems
from the_edge_obs.flows import load
from the_edge_obs.instrumentation.decorator import observable
from the_edge_obs.instrumentation.flow_context import flow as open_flow
from the_edge_obs.store.sources import get_flow_log, query

TEA = logging.getLogger("tea")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Every test leaves the logger ``tea`` as it found it; the block's handlers come and go with the run."""
    before = (TEA.level, list(TEA.handlers))
    yield
    assert (TEA.level, TEA.handlers) == before


def act(state: dict[str, Any], x: Any = None) -> dict[str, Any]:
    return {"got": x}


def fail(state: dict[str, Any]) -> None:
    raise OSError("down")


ACTIONS = {"my.act": act, "my.fail": fail}


def observed(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "test", "observability": {}, "nodes": list(nodes), **more}


def tree(flow_id: str) -> list[Any]:
    """Return the spans below the root as nested lists: [node, step, data of its entry, data of its end, *children]."""
    events = get_flow_log(flow_id).to_dict()["events"]
    below: dict[str | None, list[Any]] = {}
    for event in events:
        if event["event_type"] == "entry":
            end = next(e for e in events if e["span_id"] == event["span_id"] and e["event_type"] in ("exit", "error"))
            children = below.setdefault(event["span_id"], [])
            if error := end["data"].get("error"):
                error.pop("where", None)  # of the code
            item = [event["node"], event.get("step"), event["data"], end["data"], children]
            below.setdefault(event["parent_id"], []).append(item)
    return below[None][0][-1]


def ran(flow: Any, state: dict[str, Any] | None = None) -> list[Any]:
    return tree(load(flow, ACTIONS).run(state)["flow_id"])


def failed(flow: Any, error: type[BaseException]) -> dict[str, Any]:
    """Run a flow that fails, and return its log."""
    seen: list[str] = []
    look = {"my.look": lambda state: seen.append(state["flow_id"])}
    with pytest.raises(error):
        load({**flow, "nodes": [{"name": "look", "uses": "my.look"}, *flow["nodes"]]}, {**ACTIONS, **look}).run()
    return dict(get_flow_log(seen[0]).to_dict())


def test_actions_and_code() -> None:
    """An action's span has its parameters and result, inline code's only a result; actions called by code are below it."""
    flow = observed(
        {"name": "one", "uses": "my.act", "with": {"x": "{{ state.n }}"}, "output": "out"},
        {"name": "two", "run": "m = actions['my.act'](state=state, x=2)['got']"},
        {"name": "three", "run": {"type": "expression", "value": "1 + 1", "output_key": "sum"}},
    )
    assert ran(flow, {"n": 5}) == [
        ["my.act", "one", {"input": {"x": 5}}, {"output": {"got": 5}}, []],
        [
            "python.run",
            "two",
            {},
            {"output": {"m": 2}},
            [["my.act", None, {"input": {"x": 2}}, {"output": {"got": 2}}, []]],
        ],
        ["python.run", "three", {}, {"output": {"sum": 2}}, []],
    ]


def words(state: dict[str, Any], fails: bool = False) -> Iterator[str]:
    yield "a "
    yield "b"
    if fails:
        raise OSError("cut off")
    return {"success": True, "content": "a b", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


async def numbers(state: dict[str, Any]) -> AsyncIterator[int]:
    for number in range(3):
        yield number


def silence(state: dict[str, Any]) -> Iterator[str]:
    yield from ()


@pytest.mark.parametrize(
    ("action", "fails", "expected"),
    [
        (words, {}, ("exit", {"chunks": 2, "input_tokens": 3, "output_tokens": 2, "tokens": 5})),
        (words, {"with": {"fails": True}, "on_error": {"mode": "graceful"}}, ("error", {"chunks": 2})),
        (numbers, {}, ("exit", {"chunks": 3})),
        (silence, {}, ("exit", {"chunks": 0})),
        (observable("my.stream")(words), {}, ("exit", {"chunks": 2, "input_tokens": 3, "output_tokens": 2, "tokens": 5})),
    ],
)
def test_the_chunks_of_a_generator_are_counted(action: Any, fails: dict[str, Any], expected: Any) -> None:
    """A streaming node says how many pieces came and when the first one did, as a decorated generator does."""
    flow_id = load(observed({"uses": "my.stream", **fails}), {"my.stream": action}).run()["flow_id"]
    (end,) = [e for e in get_flow_log(flow_id).events if e["node"] == "my.stream" and e["event_type"] in ("exit", "error")]
    times = {key: end["metrics"].pop(key) for key in ("duration_ms", "time_to_first_chunk_ms") if key in end["metrics"]}
    assert (end["event_type"], end["metrics"]) == expected
    assert sorted(times) == ["duration_ms", "time_to_first_chunk_ms"][: 1 if action is silence else 2]
    assert times.get("time_to_first_chunk_ms", 0) <= times["duration_ms"]


def test_steps_and_loops() -> None:
    """Nested nodes are the children of their container, a loop's below its rounds."""
    body = [{"run": "i = state.get('i', 0) + 1"}]
    flow = observed(
        {"name": "both", "steps": [{"name": "a", "uses": "my.act"}, {"uses": "my.act", "x": 1}]},
        {"name": "again", "type": "while_loop", "condition": "true", "max_iterations": 2, "body": body},
    )
    assert ran(flow) == [
        [
            "steps",
            "both",
            {},
            {},
            [
                ["my.act", "a", {"input": {}}, {"output": {"got": None}}, []],
                ["my.act", "step_2", {"input": {"x": 1}}, {"output": {"got": 1}}, []],
            ],
        ],
        [
            "loop",
            "again",
            {},
            {"output": {"stopped_by": "max_iterations", "rounds": 2}},
            [
                [
                    "loop.iteration",
                    None,
                    {"input": {"index": i}},
                    {},
                    [["python.run", "step_1", {}, {"output": {"i": i + 1}}, []]],
                ]
                for i in range(2)
            ],
        ],
    ]


def test_a_loop_that_its_limit_stopped_is_a_warning() -> None:
    """The loop's span has a warning that names the step and the limit; one whose condition ended it has none."""
    body = [{"run": "i = state.get('i', 0) + 1"}]
    cut = {"name": "cut", "type": "while_loop", "condition": "true", "max_iterations": 2, "body": body}
    done = {"name": "done", "type": "while_loop", "condition": "state.i < 4", "max_iterations": 2, "body": body}
    flow_id = load(observed(cut, done)).run()["flow_id"]
    (warning,) = query(flow_id, level="warn")
    assert (warning["node"], warning["step"], warning["message"], warning["data"]) == (
        "loop",
        "cut",
        "step 'cut' stopped after 2 rounds (max_iterations); its condition still holds",
        {"step": "cut", "stopped_by": "max_iterations", "rounds": 2},
    )


def test_sub_flow(tmp_path: Path) -> None:
    """A sub-flow is one span in its parent's flow; its own block does nothing there."""
    path = tmp_path / "inner.yaml"
    text = (
        "observability: {handlers: [{type: file, path: %s/log.jsonl}]}\nnodes: [{name: in, uses: my.act, x: '{{ state.n }}'}]\n"
    )
    path.write_text(text % tmp_path, encoding="utf-8")
    flow = observed({"name": "sub", "flow": str(path), "with": {"n": 1}})
    inner = ["my.act", "in", {"input": {"x": 1}}, {"output": {"got": 1}}, []]
    assert ran(flow) == [["subflow", "sub", {"input": {"n": 1}}, {"output": {"n": 1, "got": 1}}, [inner]]]
    assert not (tmp_path / "log.jsonl").exists()


def test_parallel_edges() -> None:
    """The fork's span bears the fan-in's name; every branch is a child with its index, its nodes below it."""
    edges = [{"from": "__start__", "to": name, "type": "parallel", "fan_in": "join"} for name in ("a", "b")]
    flow = observed(
        {"name": "a", "uses": "my.act", "x": 1}, {"name": "b", "uses": "my.fail"}, {"name": "join", "run": "n = 1"}, edges=edges
    )
    fork, join = ran(flow)
    error = {"error": {"type": "OSError", "message": "down"}}
    assert fork[:4] == ["parallel", "join", {"input": {"branches": ["a", "b"]}}, {}]
    assert sorted(fork[4], key=lambda branch: branch[2]["input"]["index"]) == [
        [
            "parallel.branch",
            None,
            {"input": {"index": 0, "branch": "a"}},
            {},
            [["my.act", "a", {"input": {"x": 1}}, {"output": {"got": 1}}, []]],
        ],
        [
            "parallel.branch",
            None,
            {"input": {"index": 1, "branch": "b"}},
            error,
            [["my.fail", "b", {"input": {}}, error, []]],
        ],
    ]
    assert join == ["python.run", "join", {}, {"output": {"n": 1}}, []]


def test_the_way_out_of_a_branch_is_part_of_it() -> None:
    """A branch that finds no way on is an error with the failure's text; the fork, the join and the flow go on."""
    edges: list[dict[str, Any]] = [{"from": "__start__", "to": name, "type": "parallel", "fan_in": "join"} for name in ("a", "b")]
    flow = observed(
        {"name": "a", "uses": "my.act"},
        {"name": "b", "uses": "my.act"},
        {"name": "join", "run": "errors = [result.error for result in parallel_results]"},
        edges=[*edges, {"from": "a", "to": "join"}, {"from": "b", "to": "join", "when": "never"}],
    )
    log = get_flow_log(load(flow, ACTIONS).run()["flow_id"])
    problem = "step 'b': no edge that leaves it holds (1 tried); add one without a condition, or one that leads to __end__"
    statuses = [(span.node, span.status, (span.error or {}).get("message")) for span in log.spans if span.status != "ok"]
    assert (log.status, statuses) == ("ok", [("parallel.branch", "error", problem)])
    (join,) = [event for event in log.events if event.get("step") == "join" and event["event_type"] == "exit"][-1:]
    assert join["data"] == {"output": {"errors": [None, problem]}}


def test_fan_out_over_a_list() -> None:
    """The node's span counts its items; every item has a branch."""
    fan = {"name": "fan", "type": "dynamic_parallel", "items": ["p", "q"], "max_concurrency": 1}
    assert ran(observed({**fan, "action": {"name": "do", "uses": "my.act", "x": "{{ item }}"}})) == [
        [
            "parallel",
            "fan",
            {"input": {"items": 2}},
            {},
            [
                [
                    "parallel.branch",
                    None,
                    {"input": {"index": i, "item": item}},
                    {},
                    [["my.act", "do", {"input": {"x": item}}, {"output": {"got": item}}, []]],
                ]
                for i, item in enumerate("pq")
            ],
        ]
    ]


def notes(flow_id: str) -> list[tuple[str, str, Any, Any]]:
    events = get_flow_log(flow_id).to_dict()["events"]
    return [(e["node"], e["level"], e["message"], e["data"]) for e in events if e["event_type"] == "log"]


def test_attempts_are_spans_and_the_fallback_is_noted() -> None:
    """Each attempt says which one it is; that the failure was handled is a warning of the enclosing span."""
    on_error = {"mode": "retry", "max_retries": 1, "delay": 0, "fallback": "plan_b"}
    flow = load(observed({"name": "try", "uses": "my.fail", "on_error": on_error}, {"name": "plan_b", "run": "n = 1"}), ACTIONS)
    flow_id = flow.run()["flow_id"]
    error = {"error": {"type": "OSError", "message": "down"}}
    assert tree(flow_id) == [
        ["my.fail", "try", {"input": {}, "attempt": 1}, error, []],
        ["my.fail", "try", {"input": {}, "attempt": 2}, error, []],
        ["python.run", "plan_b", {}, {"output": {"n": 1}}, []],
    ]
    data = {"step": "try", "mode": "retry", "attempts": 2, **error, "fallback": "plan_b"}
    assert notes(flow_id) == [("flow", "warn", "step 'try' failed after 2 attempts, continuing with 'plan_b'", data)]
    assert get_flow_log(flow_id).status == "ok"


def test_names_in_notes_are_not_escaped() -> None:
    """Between quotes, as they are: every runtime writes the same."""
    nodes = [
        {"name": "it's", "uses": "my.fail", "on_error": {"mode": "graceful", "fallback": 'a "b"\u200b\\'}},
        {"name": 'a "b"\u200b\\', "type": "while_loop", "condition": "true", "max_iterations": 1, "body": [{"run": "n = 1"}]},
    ]
    found = [message for _, _, message, _ in notes(load(observed(*nodes), ACTIONS).run()["flow_id"])]
    assert found == [
        "step 'it's' failed, continuing with 'a \"b\"\u200b\\'",
        "step 'a \"b\"\u200b\\' stopped after 1 rounds (max_iterations); its condition still holds",
    ]


def test_graceful_failures_are_noted_in_the_enclosing_span() -> None:
    """In a span whose own level is filtered, the note goes to the next one out."""
    node = {"name": "try", "uses": "my.fail", "on_error": {"mode": "graceful"}}
    data = {"step": "try", "mode": "graceful", "attempts": 1, "error": {"type": "OSError", "message": "down"}, "fallback": None}
    for block, enclosing in (({}, "steps"), ({"levels": {"steps": "error"}}, "flow")):
        flow = load({**observed({"name": "all", "steps": [node]}), "observability": block}, ACTIONS)
        flow_id = flow.run()["flow_id"]
        assert notes(flow_id) == [(enclosing, "warn", "step 'try' failed, continuing", data)]


@pytest.mark.parametrize(
    ("on_error", "attempts"), [({"mode": "graceful"}, 1), ({"mode": "retry", "max_retries": 1, "delay": 0}, 2)]
)
def test_soft_failures_that_are_accepted_are_noted(on_error: dict[str, Any], attempts: int) -> None:
    """A node with on_error that ends in a soft failure is a handled failure like any other."""
    flow = observed({"name": "try", "uses": "my.soft", "on_error": on_error})
    flow_id = load(flow, {"my.soft": lambda state: {"success": False, "error": "no", "error_type": "busy"}}).run()["flow_id"]
    tries = "" if attempts == 1 else " after 2 attempts"
    data = {
        "step": "try",
        "mode": on_error["mode"],
        "attempts": attempts,
        "error": {"type": "busy", "message": "no"},
        "fallback": None,
    }
    assert notes(flow_id) == [("flow", "warn", f"step 'try' failed{tries}, continuing", data)]


def test_soft_failures_are_errors_in_the_log() -> None:
    """The flow goes on, the log says what happened."""
    flow = load(observed({"name": "soft", "uses": "my.soft"}), {"my.soft": lambda state: {"success": False, "error": "no"}})
    log = get_flow_log(flow.run()["flow_id"]).to_dict()
    assert (log["status"], log["metrics"]["error_count"]) == ("ok", 1)


def test_errors_that_leave_the_flow_are_the_roots_too() -> None:
    """The failing node and the root end with the error."""
    log = failed(observed({"name": "bad", "uses": "my.fail"}), OSError)
    errors = [(e["node"], e.get("step"), e["data"]["error"]["message"]) for e in log["events"] if e["event_type"] == "error"]
    assert (log["status"], errors) == ("error", [("my.fail", "bad", "down"), ("flow", None, "down")])


def test_an_error_ends_every_span_that_it_leaves(tmp_path: Path) -> None:
    """From the failing node outwards each span is an error of the same text; what ended before stays ok."""
    path = tmp_path / "inner.yaml"
    path.write_text("nodes: [{name: bad, uses: my.fail}]\n", encoding="utf-8")
    loop = {"name": "again", "type": "while_loop", "condition": "true", "max_iterations": 2, "body": [{"flow": str(path)}]}
    log = failed(observed({"name": "all", "steps": [{"uses": "my.act"}, loop]}), OSError)
    assert [(span["node"], span["status"], (span["error"] or {}).get("message")) for span in log["spans"]] == [
        ("flow", "error", "down"),
        ("my.look", "ok", None),
        ("steps", "error", "down"),
        ("my.act", "ok", None),
        ("loop", "error", "down"),
        ("loop.iteration", "error", "down"),
        ("subflow", "error", "down"),
        ("my.fail", "error", "down"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to a thread")
def test_ctrl_c_in_a_fan_out_leaves_a_whole_log(tmp_path: Path) -> None:
    """KeyboardInterrupt leaves run(), waiting branches wake up and stop, each span has its end, and no thread stays."""
    waiting = threading.Barrier(3, timeout=10)
    main, ran = threading.main_thread(), []

    def fall(state: dict[str, Any], node: str) -> None:
        ran.append(state["flow_id"])
        waiting.wait()
        if state["index"] == 0:
            while not any(frame.f_code.co_name == "_awaited" for frame, _ in walk_stack(sys._current_frames()[main.ident or 0])):
                pass  # until run() waits for its branches
            signal.pthread_kill(main.ident or 0, signal.SIGINT)
        raise OSError("down")  # the next attempt is a minute away: only the interrupt ends the waiting

    steps = [{"uses": "my.fall", "on_error": {"mode": "retry", "delay": 60}}]
    block = {"handlers": [{"type": "file", "path": str(tmp_path / "log.jsonl")}]}
    flow = observed({"name": "fan", "type": "dynamic_parallel", "items": [1, 2, 3], "steps": steps}, observability=block)
    with pytest.raises(KeyboardInterrupt):
        load(flow, {"my.fall": fall}).run()
    log = get_flow_log(tmp_path / "log.jsonl")
    branch = [("parallel.branch", "cancelled"), ("my.fall", "error")]
    statuses = [(span.node, span.status) for span in log.spans]
    assert (log.status, sorted(statuses)) == (
        "cancelled",
        sorted([("flow", "cancelled"), ("parallel", "cancelled"), *branch * 3]),
    )
    assert [problems(event) for event in log.events] == [[]] * len(log.events) == [[]] * 16
    assert len(ran) == 3
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("flow-branch")]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"uses": "my.act", "x": "{{ state.a.b.c }}"}, "my.act"),
        ({"uses": "my.act", "output": {"y": "{{ result.a.b.c }}"}}, "my.act"),
        ({"type": "dynamic_parallel", "items": "{{ 3 }}", "steps": [{"run": "x = 1"}]}, "parallel"),
        ({"run": "1 / 0"}, "python.run"),
    ],
)
def test_a_node_that_cannot_begin_or_end_has_its_own_error(node: dict[str, Any], name: str) -> None:
    """A template error is logged as the node's, not only as the flow's."""
    log = failed(observed({"name": "bad", **node}), RuntimeError if name != "python.run" else ZeroDivisionError)
    errors = [(e["node"], e.get("step")) for e in log["events"] if e["event_type"] == "error"]
    assert errors == [(name, "bad"), ("flow", None)]


def test_decorated_actions_are_logged_once() -> None:
    """An action with its own decorator keeps its own redaction, and is not counted twice."""

    @observable("my.secret", sanitize_keys=["cpf"])
    def secret(state: dict[str, Any], cpf: str, node: str | None = None) -> dict[str, Any]:
        return {"len": len(cpf)}

    flow = load(observed({"name": "one", "uses": "my.secret", "cpf": "123"}), {"my.secret": secret})
    ((node, step, entry, end, children),) = tree(flow.run()["flow_id"])
    assert (node, step, end, children) == ("my.secret", "one", {"output": {"len": 3}}, [])
    assert "123" not in str(entry)


def test_state_knows_the_run_and_that_it_is_observed() -> None:
    """Inline code and templates find the run's id where SPEC puts it."""
    flow = observed({"uses": "my.act", "x": "{{ [state.flow_id, state._observability.flow_id] }}"})
    state = load(flow, ACTIONS).run()
    assert state["got"] == [state["flow_id"]] * 2
    assert state["_observability"] == {"flow_id": state["flow_id"], "enabled": True}


@pytest.mark.parametrize(
    ("block", "configured", "expected"),
    [
        (None, False, False),
        (None, True, True),
        ({"enabled": False}, True, False),
        ({"enabled": True}, False, True),
        ({}, True, True),
    ],
)
def test_when_a_flow_is_observed(block: Any, configured: bool, expected: bool) -> None:
    """By its own block, or without one by whoever configured logging; ``enabled: false`` is final."""
    seen: list[bool] = []
    flow = {"nodes": [{"uses": "my.look"}], **({} if block is None else {"observability": block})}
    loaded = load(flow, {"my.look": lambda state: seen.append(current() is not None)})
    undo = configure() if configured else lambda: None
    try:
        state = loaded.run()
    finally:
        undo()
    assert (seen, state["_observability"]["enabled"]) == ([expected], expected)


def test_concurrent_runs_share_the_blocks_handlers(tmp_path: Path) -> None:
    """The handlers are there from the first run's beginning to the last one's end, and take this flow's events alone."""
    both_in = threading.Barrier(2, timeout=10)
    handlers: list[int] = []

    def meet(state: dict[str, Any], x: int) -> None:
        both_in.wait()
        handlers.append(len(TEA.handlers))

    block = {"handlers": [{"type": "file", "path": str(tmp_path / "flow-{flow_id}.jsonl")}]}
    flow = load({**observed({"uses": "my.meet", "x": "{{ state.x }}"}), "observability": block}, {"my.meet": meet})
    states: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda x=x: states.append(flow.run({"x": x}))) for x in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_flow("other"):
        pass
    assert handlers == [2, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"flow-{state['flow_id']}.jsonl" for state in states)
