"""The seam: what a run with answers asks, where it asks, and what it does with an answer, a real call and a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.context import current
from the_edge_obs.errors import ConfigurationError, FlowFileError
from the_edge_obs.event import Event, problems
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.flows import Answer, Real, ReplayStopped, load
from the_edge_obs.instrumentation.decorator import observable
from the_edge_obs.instrumentation.flow_context import flow
from the_edge_obs.instrumentation.registries import instrument

UUID = "00000000-0000-4000-8000-000000000000"


class Told:
    """Answers by name; it keeps what it was asked. A name that it does not know is called."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.replay_of: str | None = UUID
        self.secrets: tuple[str, ...] = ()

    def call(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Any:
        span = current()
        assert span is not None
        self.asked.append((name, dict(params), span.node))
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return real() if answer is None else answer


def called(state: Any = None, **params: Any) -> dict[str, Any]:
    raise AssertionError("the real action was called")


def run(flow: dict[str, Any] | str, answers: Any, state: Any = None, **actions: Callable[..., Any]) -> tuple[Any, FlowLog]:
    """Run a flow with answers, and return its final state, or what it raised, and its log."""
    events: list[Event] = []
    block = {"handlers": [{"type": "callback", "callback": lambda event: events.append(event)}]}
    loaded = load({"observability": block, **flow} if isinstance(flow, dict) else flow, {"my.act": called, **actions})
    try:
        outcome: Any = loaded.run(state, answers=answers)
    except BaseException as error:  # noqa: BLE001 - what a run raises is its outcome here
        outcome = error
    assert not [line for event in events for line in problems(event)]
    return outcome, build_flow_log(events)


def ends(log: FlowLog, node: str) -> list[Event]:
    return [event for event in log.events if event["node"] == node and event["event_type"] in ("exit", "error")]


def test_an_answer_stands_for_the_call() -> None:
    answers = Told(my_act=Answer({"content": "hi", "usage": {"total_tokens": 9}}, metrics={"chunks": 3}))
    nodes = [{"name": "ask", "uses": "my.act", "with": {"x": "{{ state.x }}"}, "output": "said"}]
    state, log = run({"nodes": nodes}, answers, {"x": 1})
    assert state["said"]["content"] == "hi"
    assert answers.asked == [("my.act", {"x": 1}, "my.act")]
    [end] = ends(log, "my.act")
    assert end["data"]["answered"] is True
    assert (end["metrics"]["chunks"], end["metrics"]["tokens"]) == (3, 9)
    assert log.metrics["tokens"] == 0
    assert log.events[0]["data"]["replay_of"] == UUID


def test_a_real_call_is_as_without_answers() -> None:
    state, log = run({"nodes": [{"name": "ask", "uses": "my.act"}]}, Told(), **{"my.act": lambda state: {"x": 2}})
    assert state["x"] == 2
    assert "answered" not in ends(log, "my.act")[0]["data"]


def test_inline_code_and_what_it_calls_are_asked_for() -> None:
    code = "return {'said': actions['my.act'](prompt='hi')}"
    answers = Told(my_act=Answer("yes"))
    state, log = run({"nodes": [{"name": "code", "run": code}]}, answers)
    assert state["said"] == "yes"
    assert answers.asked == [("python.run", {}, "python.run"), ("my.act", {"prompt": "hi"}, "my.act")]
    assert [span.answered for _, span in log.walk()] == [False, False, True]


def test_inline_code_can_be_answered() -> None:
    state, log = run({"nodes": [{"name": "code", "run": "return 1 / 0"}]}, Told(python_run=Answer({"x": 4})))
    assert state["x"] == 4
    assert log.status == "ok"


def test_subflows_with_imports_of_their_own_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def act(state):\n    1 / 0\n\n\ndef register_actions(registry, engine):\n    registry['own.act'] = act\n"
    )
    (tmp_path / "inner.yaml").write_text("imports: [{path: own.py}]\nnodes: [{name: in, uses: own.act, output: x}]\n")
    (tmp_path / "outer.yaml").write_text("observability: {}\nnodes: [{name: sub, flow: inner.yaml}]\n")
    state = load(tmp_path / "outer.yaml").run(answers=Told(own_act=Answer(3)))
    assert state["x"] == 3


def test_branches_and_loops_are_asked_for() -> None:
    steps = [{"name": "ask", "uses": "my.act", "with": {"x": "{{ item }}"}}]
    fan = {"name": "fan", "type": "dynamic_parallel", "items": [1, 2, 3], "steps": steps, "fan_in": "join"}
    answers = Told(my_act=Answer({"y": 1}))
    state, _ = run({"nodes": [fan, {"name": "join", "run": "return {'n': len(parallel_results)}"}]}, answers)
    assert state["n"] == 3
    assert sorted(params["x"] for name, params, _ in answers.asked if name == "my.act") == [1, 2, 3]


def test_a_decorated_action_logs_itself_as_before() -> None:
    @observable("llm.own", level="warn", sanitize_keys=["cpf"])
    def ask(state: Any, node: str, cpf: str = "", x: int = 0) -> Any:
        raise AssertionError

    answers = Told(ask=Answer({"y": 5}))
    state, log = run({"nodes": [{"name": "s", "uses": "ask", "with": {"cpf": "123", "x": 1}}]}, answers, ask=ask)
    assert state["y"] == 5
    entry = next(event for event in log.events if event["node"] == "llm.own")
    assert (entry["level"], entry["step"], entry["data"]["input"]) == ("warn", "s", {"cpf": "[REDACTED]", "x": 1})
    assert answers.asked[0][::2] == ("ask", "llm.own")
    assert [span.answered for span in log.spans if span.node == "llm.own"] == [True]


def test_a_decorated_action_that_is_called_has_one_span() -> None:
    @observable("llm.own")
    def ask(state: Any) -> Any:
        return {"y": 6}

    nodes = [{"name": "s", "uses": "ask"}, {"name": "code", "run": "return {'z': actions['ask'](state)['y']}"}]
    state, log = run({"nodes": nodes}, Told(), ask=ask)
    assert (state["y"], state["z"]) == (6, 6)
    assert [span.node for span in log.spans].count("llm.own") == 2


class Later:
    """Actions whose results come later."""

    @staticmethod
    async def coroutine(state: Any, x: int = 0) -> Any:
        await asyncio.sleep(0)
        return {"x": x}

    @staticmethod
    def generator(state: Any, x: int = 0) -> Iterator[int]:
        yield from range(x)

    @staticmethod
    async def stream(state: Any, x: int = 0) -> AsyncIterator[int]:
        for item in range(x):
            yield item


@pytest.mark.parametrize(("name", "result"), [("coroutine", {"x": 2}), ("generator", [0, 1]), ("stream", [0, 1])])
@pytest.mark.parametrize("is_decorated", [False, True])
def test_results_that_come_later(name: str, result: Any, is_decorated: bool) -> None:
    fn = getattr(Later, name)
    fn = observable("my.later")(fn) if is_decorated else fn
    flow = {"nodes": [{"name": "s", "uses": "my.later", "with": {"x": 2}, "output": "got"}]}
    state, log = run(flow, Told(), **{"my.later": fn})
    assert state["got"] == result
    assert [span.status for span in log.spans] == ["ok", "ok"]
    state, log = run(flow, Told(my_later=Answer(result)), **{"my.later": fn})
    assert state["got"] == result
    assert [span.answered for span in log.spans] == [False, True]


def test_inline_code_awaits_the_answer_of_a_coroutine() -> None:
    code = "import asyncio\nreturn {'got': asyncio.run(actions['my.later'](state, x=2))}"
    flow = {"nodes": [{"name": "code", "run": code}]}
    for answers in (Told(), Told(my_later=Answer({"x": 2}))):
        state, log = run(flow, answers, **{"my.later": Later.coroutine})
        assert state["got"] == {"x": 2}
        assert log.status == "ok"


def test_a_recorded_error_takes_the_way_of_a_raised_one() -> None:
    rule = {"mode": "graceful", "fallback": "after"}
    nodes = [{"name": "ask", "uses": "my.act", "on_error": rule}, {"name": "after", "run": "return {'e': state['__error__']}"}]
    state, log = run({"nodes": nodes}, Told(my_act=Answer(error=OSError("down"))))
    assert state["e"]["message"] == "down"
    [end] = ends(log, "my.act")
    assert (end["event_type"], end["data"]["answered"], end["data"]["error"]["type"]) == ("error", True, "OSError")


def test_a_recorded_error_reaches_inline_code() -> None:
    code = "try:\n    actions['my.act']()\nexcept OSError as error:\n    return {'e': str(error)}"
    state, log = run({"nodes": [{"name": "code", "run": code}]}, Told(my_act=Answer(error=OSError("down"))))
    assert state["e"] == "down"
    assert ends(log, "my.act")[0]["data"]["answered"] is True


RETRY = {"mode": "retry", "max_retries": 2, "delay": 3600}


def test_delays_before_answers_are_skipped() -> None:
    nodes = [{"name": "ask", "uses": "my.act", "on_error": RETRY}]
    error, log = run({"nodes": nodes}, Told(my_act=Answer(error=OSError("down"))))
    assert str(error) == "down"
    assert len(ends(log, "my.act")) == 3


def test_delays_after_real_calls_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("threading.Event.wait", lambda self, seconds=None: waited.append(seconds))
    nodes = [{"name": "ask", "uses": "my.act", "on_error": {**RETRY, "delay": 1}}]
    run({"nodes": nodes}, Told(), **{"my.act": lambda state: 1 / 0})
    assert len(waited) == 2


@pytest.mark.parametrize(
    "node",
    [
        {"uses": "my.act", "on_error": {"mode": "retry", "max_retries": 5}},
        {"uses": "my.act", "on_error": {"mode": "graceful"}},
        {"run": "try:\n    actions['my.act']()\nexcept BaseException:\n    pass"},
        {"run": "try:\n    actions['my.act']()\nexcept BaseException:\n    raise ValueError('mine')"},
        {"type": "dynamic_parallel", "items": [1, 2], "fan_in": "z", "steps": [{"name": "ask", "uses": "my.act"}]},
    ],
)
def test_a_stop_ends_the_run_in_any_case(node: dict[str, Any]) -> None:
    stop = ReplayStopped("no such answer")
    nodes = [{"name": "a", **node}, {"name": "b", "run": "return {'went': 'on'}"}, {"name": "z", "run": "return {}"}]
    error, log = run({"nodes": nodes}, Told(my_act=stop))
    assert error is stop
    assert log.status == "cancelled"
    assert all(event["data"].get("cancelled") for event in ends(log, "my.act"))


def test_after_a_stop_nothing_is_called() -> None:
    code = "try:\n    actions['my.act']()\nexcept BaseException:\n    pass\nactions['my.other']()"
    other: list[Any] = []
    run({"nodes": [{"name": "a", "run": code}]}, Told(my_act=ReplayStopped("x")), **{"my.other": lambda **_: other.append(1)})
    assert other == []


def test_a_run_with_answers_must_be_observed() -> None:
    flow = load({"nodes": [{"name": "a", "uses": "my.act"}], "observability": {"enabled": False}}, {"my.act": called})
    with pytest.raises(ConfigurationError, match="is not observed"):
        flow.run(answers=Told())


def test_no_key_of_a_flow_file_turns_it_on() -> None:
    """The keys of a flow file are checked when it is loaded, and none of them is about answers."""
    for key in ("answers", "replay", "replay_of"):
        with pytest.raises(FlowFileError, match=key):
            load({"nodes": [{"name": "a", "run": "1"}], "observability": {key: "log.jsonl"}})
        with pytest.raises(FlowFileError, match=key):
            load({"nodes": [{"name": "a", "run": "1"}], key: "log.jsonl"})


def test_a_registry_with_answers_can_be_restored() -> None:
    registry: dict[str, Any] = {"my.act": called, "actions.my_act": called}
    undo = instrument(registry, answers=Told(my_act=Answer(7)))
    with flow("outer"):
        assert registry["my.act"]({}, x=1) == 7
    undo()
    assert registry == {"my.act": called, "actions.my_act": called}
