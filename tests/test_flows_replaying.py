"""Replay: which answer a call gets, when a replay stops and what it says then, and that no effect fires by accident."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.configuration.config import configure
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import Event, problems
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.flows import Report, load, recorded_answers, replay
from the_edge_obs.flows.replaying import problems as unusable
from the_edge_obs.flows.replaying.recording import holds_placeholder
from the_edge_obs.instrumentation.answers import ReplayStopped
from the_edge_obs.instrumentation.decorator import observable
from the_edge_obs.instrumentation.registries import instrument
from the_edge_obs.store.sources import get_flow_log

EXAMPLES = Path(__file__).parent.parent / "examples"

Action = Callable[..., Any]


def record(flow: Mapping[str, Any], state: Mapping[str, Any] | None = None, **actions: Action) -> FlowLog:
    """Run a flow, and return its log; dots in the names of actions are written as underscores."""
    events: list[Event] = []
    block = {**flow.get("observability", {}), "handlers": [{"type": "callback", "callback": lambda event: events.append(event)}]}
    with suppress(Exception):  # it is in the log
        load({**flow, "observability": block}, dotted(actions)).run(state)
    return build_flow_log(events)


def dotted(actions: Mapping[str, Action]) -> dict[str, Action]:
    return {name.replace("_", "."): action for name, action in actions.items()}


class FiresError(AssertionError):
    """An effect of the world, in a replay."""


def fires() -> Action:
    """Return an action that must not be called. Each is a function of its own, as the actions of a registry are."""

    def act(state: Any = None, **params: Any) -> Any:
        raise FiresError(params)

    return act


def again(log: FlowLog | Path, flow: Any, state: Any = None, **options: Any) -> Report:
    """Replay a flow all of whose actions must not be called, unless ``actions`` says so."""
    actions = dotted({name: fires() for name in ("llm_ask", "llm_two", "file_put", "my_agent")} | options.pop("actions", {}))
    report = replay(log, flow, state, actions=actions, **options)
    assert not [line for event in report.new.events for line in problems(event)]
    assert not isinstance(report.error, FiresError), "an effect fired"
    return report


def ask(name: str = "ask", prompt: str = "{{ state.x }}", **more: Any) -> dict[str, Any]:
    return {"name": name, "uses": more.pop("uses", "llm.ask"), "with": {"prompt": prompt}, "output": name, **more}


def flow_of(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "test", "nodes": list(nodes), **more}


def echo(state: Any, prompt: Any = None) -> Any:
    return {"content": f"answer to {prompt}", "usage": {"total_tokens": 7}, "cost_usd": 0.5}


def same(report: Report) -> bool:
    return not report.diff and report.stopped is None and report.unused == () and report.error is None


# --- what is answered ---


def test_a_replay_is_as_the_run_was_and_calls_nothing() -> None:
    flow = flow_of(ask(), ask("two", "{{ state.ask.content }}"), {"name": "n", "run": "return {'n': len(state['two'])}"})
    log = record(flow, {"x": "hi"}, llm_ask=echo)
    report = again(log, flow)
    assert same(report)
    assert report.state is not None
    assert report.state["two"]["content"] == "answer to answer to hi"
    assert [len(calls) for calls in report.calls.values()] == [2, 0, 0, 0]


def test_tokens_and_costs_are_not_counted_again_and_the_log_says_what_it_is() -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": "hi"}, llm_ask=echo)
    report = again(log, flow)
    assert (log.metrics["tokens"], log.metrics["cost_usd"]) == (7, 0.5)
    assert (report.new.metrics["tokens"], report.new.metrics["cost_usd"]) == (0, 0)
    assert report.new.events[0]["data"]["replay_of"] == log.flow_id
    assert [span.answered for span in report.new.spans] == [False, True]


def test_branches_loops_and_attempts_get_the_answers_of_their_places() -> None:
    calls: list[str] = []

    def flaky(state: Any, prompt: Any) -> Any:
        calls.append(prompt)
        if calls.count(prompt) == 1:
            raise TimeoutError("busy")
        return {"n": len(calls), "prompt": prompt}

    retry = {"mode": "retry", "max_retries": 2, "delay": 0}
    fan = {"name": "fan", "type": "dynamic_parallel", "items": list("abcdef"), "fan_in": "loop"}
    fan["steps"] = [ask(prompt="{{ item }}", on_error=retry)]
    count = {"name": "c", "run": "return {'i': state.get('i', 0) + 1}"}
    loop = {"name": "loop", "type": "while_loop", "condition": "{{ state.get('i', 0) < 3 }}", "max_iterations": 5}
    loop["body"] = [count, ask("said", "{{ state.i }}", on_error=retry)]
    flow = flow_of(fan, loop)
    log = record(flow, llm_ask=flaky)
    report = again(log, flow)
    assert same(report), str(report.diff)
    assert len(report.calls["same"]) == 18


def test_equal_calls_get_their_answers_in_order() -> None:
    answers = iter(range(10))
    flow = flow_of({"name": "code", "run": "return {'got': [actions['llm.ask'](state, prompt='x') for _ in range(4)]}"})
    log = record(flow, llm_ask=lambda state, prompt: next(answers))
    report = again(log, flow)
    assert same(report)
    assert report.state is not None
    assert report.state["got"] == [0, 1, 2, 3]


def test_prompts_with_the_id_of_the_run_are_the_same() -> None:
    flow = flow_of(ask(prompt="run {{ state.flow_id }}"))
    assert same(again(record(flow, llm_ask=echo), flow))


def test_a_renamed_step_moves_its_answer() -> None:
    log = record(flow_of(ask()), {"x": "hi"}, llm_ask=echo)
    report = again(log, flow_of(ask("renamed")))
    [moved] = report.calls["moved"]
    assert (moved.place, moved.why) == ("renamed", "recorded at ask")
    assert report.stopped is None


def test_branches_of_a_renamed_step_get_their_own_answers() -> None:
    """Although they ask the same, in another order."""

    def flow(name: str, *steps: dict[str, Any], limit: int = 2) -> dict[str, Any]:
        fan = {"type": "dynamic_parallel", "items": "{{ [0, 1] }}", "max_concurrency": limit, "output": "r"}
        return flow_of({"name": name, **fan, "steps": [*steps]})

    log = record(flow("fan", ask(prompt="same"), limit=1), llm_ask=lambda state, prompt: state["item"])
    is_done = threading.Event()

    def gate(state: Any, before: int | None = None, after: int | None = None) -> None:
        if before == 0:
            assert is_done.wait(10)
        elif after == 1:
            is_done.set()

    gates = [{"uses": "my.agent", "with": {name: "{{ item }}"}} for name in ("before", "after")]
    report = again(log, flow("all", gates[0], ask(prompt="same"), gates[1]), live=["my.*"], actions={"my_agent": gate})
    assert report.state is not None
    assert [branch["ask"] for branch in report.state["r"]] == [0, 1]


def test_an_answer_is_given_once() -> None:
    """What the first step gets, as the only one with that input, is not there for the step at whose place it was recorded."""
    log = record(flow_of(ask("a", "x")), llm_ask=echo)
    report = again(log, flow_of(ask("b", "x"), ask("a", "x")))
    assert report.stopped is not None
    assert (report.stopped.place, report.stopped.why) == ("a", "its recorded answer was given to b")
    assert again(log, flow_of(ask("b", "x"), ask("a", "x")), live=["llm.*"], actions={"llm_ask": echo}).stopped is None


def test_soft_failures_and_errors_take_their_ways() -> None:
    flow = flow_of(
        ask(on_error={"mode": "graceful"}),
        {"name": "two", "uses": "llm.two", "on_error": {"mode": "graceful"}},
        {
            "name": "code",
            "run": "try:\n    actions['llm.two'](state)\nexcept KeyError as error:\n    return {'e': repr(str(error))}",
        },
    )

    def soft(state: Any, prompt: Any) -> Any:
        return {"success": False, "error": "busy", "error_type": "rate_limit"}

    def hard(state: Any) -> Any:
        try:
            raise OSError("first")
        except OSError as error:
            raise KeyError("key") from error

    log = record(flow, {"x": 1}, llm_ask=soft, llm_two=hard)
    report = again(log, flow)
    assert same(report), str(report.diff)
    assert report.state is not None
    assert report.state["e"] == "\"'key'\""


def test_a_flow_that_failed_fails_alike() -> None:
    flow = flow_of(ask(), {"name": "read", "run": "import json\nreturn json.loads(state['ask']['content'])"})
    log = record(flow, {"x": 1}, llm_ask=lambda state, prompt: {"content": '```json\n{"a": 1}\n```'})
    report = again(log, flow)
    assert not report.diff, str(report.diff)
    assert (type(report.error).__name__, report.is_as_before) == ("JSONDecodeError", True)
    mended = flow_of(ask(), {"name": "read", "run": "return {'a': 1}"}, ask("reply", "{{ state.a }}"))
    report = again(log, mended)
    assert (report.stopped, report.error) == (None, None)
    assert report.beyond is not None
    assert report.beyond.place == "reply"
    report = again(log, mended, live=["llm.*"], actions={"llm_ask": echo})
    assert report.state is not None
    assert report.state["reply"]["content"] == "answer to 1"


def test_an_answer_stands_for_what_an_action_did_inside() -> None:
    """The calls inside an answered action are not made, and are no differences."""
    inner = observable("llm.inner")(lambda prompt: prompt.upper())

    def agent(state: Any) -> Any:
        return {"plan": inner("a") + inner("b")}

    flow = flow_of({"name": "plan", "uses": "my.agent"})
    report = again(record(flow, my_agent=agent), flow)
    assert same(report), str(report.diff)


def test_decorated_actions_are_answered_too() -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=observable("llm.own")(echo))

    def never(state: Any, prompt: Any) -> Any:
        raise FiresError

    report = again(log, flow, actions={"llm_ask": observable("llm.own")(never)})
    assert same(report), str(report.diff)


def test_streams_are_answered_where_the_runner_drains_them() -> None:
    def stream(state: Any, prompt: Any) -> Any:
        yield from "abc"

    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=stream)
    report = again(log, flow)
    assert same(report), str(report.diff)
    inline = flow_of({"name": "ask", "run": "return {'n': len(list(actions['llm.ask'](state, prompt=1)))}"})
    log = record(inline, llm_ask=stream)
    report = again(log, inline, actions={"llm_ask": stream})
    assert report.stopped is not None
    assert "stream" in report.stopped.why

    def returning(state: Any, prompt: Any) -> Any:
        yield from "abc"
        return {"content": "abc"}

    assert same(again(record(flow, {"x": 1}, llm_ask=returning), flow))
    report = again(record(inline, llm_ask=returning), inline, actions={"llm_ask": returning})
    assert report.stopped is not None
    assert report.stopped.kind == "unfit"


# --- what is not ---


def test_a_changed_prompt_stops_and_names_what_changed() -> None:
    log = record(flow_of(ask(prompt="Be brief. {{ state.x }}")), {"x": "hi"}, llm_ask=echo)
    report = again(log, flow_of(ask(prompt="Be kind. {{ state.x }}")))
    stop = report.stopped
    assert stop is not None
    assert (stop.place, stop.node, stop.kind) == ("ask", "llm.ask", "changed")
    [change] = stop.changes
    assert (change.path, change.old, change.new) == ("input.prompt", "Be brief. hi", "Be kind. hi")
    assert "input.prompt: 'Be brief. hi' -> 'Be kind. hi'" in str(stop)
    assert "live 'llm.ask'" in stop.hint
    assert report.new.status == "cancelled"


def test_only_what_depends_on_a_change_is_asked_anew() -> None:
    def flow(style: str) -> dict[str, Any]:
        return flow_of(
            ask("draft", style), ask("other", "constant"), ask("review", "{{ state.draft.content }}"), ask("last", "end")
        )

    log = record(flow("brief"), llm_ask=echo)
    asked: list[str] = []

    def live(state: Any, prompt: Any) -> Any:
        asked.append(prompt)
        return echo(state, prompt)

    report = again(log, flow("kind"), live=["llm.*"], actions={"llm_ask": live})
    assert asked == ["kind", "answer to kind"]
    assert [call.place for call in report.calls["same"]] == ["other", "last"]
    assert [(call.place, call.changes[0].path) for call in report.calls["live"]] == [
        ("draft", "input.prompt"),
        ("review", "input.prompt"),
    ]
    assert report.new.metrics["tokens"] == 14


def test_an_effect_with_another_content_does_not_fire() -> None:
    flow = flow_of(ask(), {"name": "save", "uses": "file.put", "with": {"text": "{{ state.ask.content }}"}, "output": "saved"})
    log = record(flow, {"x": "hi"}, llm_ask=echo, file_put=lambda state, text: {"path": "p"})
    options: dict[str, Any] = {"live": ["llm.*"], "actions": {"llm_ask": echo}}
    report = again(log, flow, {"x": "other"}, **options)
    assert report.stopped is not None
    assert report.stopped.place == "save"
    report = again(log, flow, {"x": "other"}, pretend=["file.*"], **options)
    assert report.state is not None
    assert report.state["saved"] == {"path": "p"}
    [pretended] = report.calls["pretended"]
    assert (pretended.place, pretended.changes[0].new) == ("save", "answer to other")


def test_from_a_step_on_calls_are_made_again() -> None:
    flow = flow_of(ask("a", "1"), ask("b", "2"), ask("c", "3"))
    log = record(flow, llm_ask=echo)
    report = again(log, flow, live=["llm.*"], again=True, from_step="b", actions={"llm_ask": echo})
    assert [(kind, [call.place for call in calls]) for kind, calls in report.calls.items() if calls] == [
        ("same", ["a"]),
        ("live", ["b", "c"]),
    ]
    changed = flow_of(ask("a", "other"), ask("b", "2"))
    report = again(log, changed, live=["llm.*"], from_step="b")
    assert report.stopped is not None
    assert report.stopped.place == "a"


def test_frozen_code_returns_what_was_recorded() -> None:
    flow = flow_of({"name": "now", "run": "import time\nreturn {'t': time.perf_counter_ns()}"}, ask(prompt="at {{ state.t }}"))
    log = record(flow, llm_ask=echo)
    report = again(log, flow)
    assert report.stopped is not None
    assert "the code of 'now'" in report.stopped.hint
    assert same(again(log, flow, frozen=["now"]))
    assert same(again(log, flow, ignore=["input.prompt", "output.t"]))


def test_ignored_paths_may_differ() -> None:
    flow = flow_of(
        {"name": "ask", "uses": "llm.ask", "with": {"prompt": {"at": "{{ state.at }}", "list": ["{{ state.at }}", 1]}}}
    )
    log = record(flow, {"at": 1}, llm_ask=lambda state, prompt: {"x": 1})
    assert again(log, flow, {"at": 2}).stopped is not None
    ignore = ["input.prompt.at", "input.prompt.list[0]", "input.at"]
    assert same(again(log, flow, {"at": 2}, ignore=ignore))
    assert again(log, flow, {"at": 2}, ignore=ignore[:1]).stopped is not None
    assert same(again(log, flow, {"at": 2}, ignore=["input.*"]))


def test_the_initial_state_comes_from_the_log() -> None:
    flow = flow_of(ask(), initial_state={"x": "default"})
    log = record(flow, {"x": {"deep": [1, "a"]}}, llm_ask=echo)
    assert same(again(log, flow))
    bare = build_flow_log(
        [{**e, "data": {k: v for k, v in e["data"].items() if k != "input"}} if e["parent_id"] is None else e for e in log.events]
    )
    with pytest.raises(ConfigurationError, match="give it with state"):
        again(bare, flow)
    long = record(flow, {"x": "a" * 9_000, "y": 1}, llm_ask=echo)
    with pytest.raises(ConfigurationError, match=r"cut at input\.x"):
        again(long, flow)


# --- a recording that is not whole ---


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("a" * 9_000, "cut at output"),
        ({"vector": [0.5] * 1_536}, "cut at output.vector"),
        ({"a": {"b": "x" * 40_000}}, "cut at output.a.b"),
        ({"client": object()}, "only a description of what it answered at output.client"),
        (b"\xff\xfe", "only a description"),
    ],
)
def test_a_cut_answer_stops_with_the_remedy(answer: Any, words: str) -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=lambda state, prompt: answer)
    report = again(log, flow)
    stop = report.stopped
    assert stop is not None
    assert stop.kind == "unfit"
    assert words in stop.why
    assert "record: {full: [llm.ask]}" in stop.hint
    assert again(log, flow, live=["llm.ask"], actions={"llm_ask": lambda state, prompt: "short"}).stopped is None


@pytest.mark.parametrize("new", ["a" * 9_000, "a" * 8_500 + "b" * 500])
def test_an_input_that_was_cut_is_never_taken_for_the_same(new: str) -> None:
    flow = flow_of(ask(prompt="{{ state.x * 9000 }}"))
    log = record(flow, {"x": "a"}, llm_ask=lambda state, prompt: "short")
    report = again(log, flow_of(ask(prompt=new)))
    assert report.stopped is not None
    assert report.stopped.kind == "unfit"
    assert "input was cut at input.prompt" in report.stopped.why


def deep(value: Any) -> Any:
    for _ in range(20):
        value = [value]
    return value


BEYOND = {
    "characters of a string": lambda end: "a" * 9_000 + end,
    "items of a list": lambda end: [0] * 250 + [end],
    "items of a dict": lambda end: {**{str(n): n for n in range(250)}, "z": end},
    "depth": deep,
    "values of a snapshot": lambda end: [[0] * 150 for _ in range(20)] + [end],
    "characters of a snapshot": lambda end: [*("b" * 8_000 for _ in range(6)), "c" * 100 + end],
    "characters of a key": lambda end: {"k" * 300 + end: 1},
    "bytes": lambda end: b"\xff" * 100 + end.encode(),
    "an object": lambda end: type("Client", (), {"end": end})(),
    "a line": lambda end: ["é\x01" * 4_000 for _ in range(8)] + [end],
}


@pytest.mark.parametrize("cap", BEYOND)
def test_inputs_that_differ_beyond_a_cap_are_never_taken_for_the_same(cap: str, tmp_path: Path) -> None:
    call = {"name": "a", "run": "return {'got': actions['llm.ask'](state, prompt=state['x'])}"}
    file = {"handlers": [{"type": "file", "path": str(tmp_path / "run.jsonl")}]}
    load({"observability": file, "nodes": [call]}, {"llm.ask": lambda state, prompt: "answer"}).run({"x": BEYOND[cap]("1")})
    for end in ("1", "2"):
        report = again(tmp_path / "run.jsonl", flow_of(call), {"x": BEYOND[cap](end)})
        assert report.stopped is not None, end
        assert report.asked == ()


def test_a_replay_that_logs_nothing_is_a_mistake() -> None:
    flow = flow_of({"name": "a", "run": "return {'b': 1}"})
    with pytest.raises(ConfigurationError, match="log the flow at level info"):
        again(record(flow), {**flow, "observability": {"level": "error", "levels": {"flow": "error"}}})


def test_texts_that_look_like_marks_are_texts() -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": "…[+3 chars]"}, llm_ask=lambda state, prompt: {"content": "a [REDACTED] b …[+3 chars]"})
    report = again(log, flow)
    assert same(report)
    live = flow_of(ask(), ask("two", "{{ state.ask.content }}"))
    report = again(log, live, live=["llm.*"], actions={"llm_ask": echo})
    assert report.stopped is None


def test_a_call_without_an_end_is_no_answer() -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=echo)
    killed = build_flow_log([event for event in log.events if event["event_type"] == "entry"])
    report = again(killed, flow)
    assert report.stopped is not None
    assert (report.stopped.kind, "no end of it" in report.stopped.why) == ("unfit", True)


def test_filtered_levels_are_named() -> None:
    flow = flow_of(ask())
    log = record({**flow, "observability": {"levels": {"llm": "warn"}}}, {"x": 1}, llm_ask=echo)
    report = again(log, flow)
    assert report.stopped is not None
    assert "record llm at level info" in report.stopped.hint
    report = again(log, {**flow, "observability": {"levels": {"llm": "warn"}}})
    assert report.stopped is not None
    assert "log llm at level info" in report.stopped.hint


LOGIN = flow_of(
    {"name": "login", "uses": "llm.two", "output": "login"},
    {"name": "ask", "uses": "llm.ask", "with": {"prompt": "{{ state.p }}", "auth": "Bearer {{ state.login.access_token }}"}},
)
KEY = "s3cr3t-t0ken-of-the-service"


def _signed(state: Any, prompt: Any, auth: str) -> Any:
    return {"said": prompt, "was": auth == f"Bearer {KEY}"}


def test_secrets_match_and_are_never_sent_as_placeholders() -> None:
    log = record(LOGIN, {"p": 1}, llm_two=lambda state: {"access_token": KEY}, llm_ask=_signed)
    assert KEY not in json.dumps(log.events)
    assert same(again(log, LOGIN))
    report = again(log, LOGIN, {"p": 2}, live=["llm.ask"])
    assert report.stopped is not None
    assert "[REDACTED] in place of a secret" in report.stopped.why
    assert "login.output.access_token" in report.stopped.hint
    secrets = {"login.output.access_token": KEY}
    report = again(log, LOGIN, {"p": 2}, live=["llm.ask"], secrets=secrets, actions={"llm_ask": _signed})
    assert report.state is not None
    assert report.state["was"] is True
    assert KEY not in json.dumps(report.new.events)
    assert same(again(log, LOGIN, secrets=secrets))
    with pytest.raises(ConfigurationError, match=r"allowed: login\.output\.access_token"):
        again(log, LOGIN, secrets={"login.output.token": KEY})


def test_another_password_is_the_same() -> None:
    flow = flow_of({"name": "ask", "uses": "llm.ask", "with": {"prompt": 1, "api_key": "{{ state.api_key }}"}})

    def signed(state: Any, prompt: Any, api_key: str) -> Any:
        return {"x": 1}

    log = record(flow, {"api_key": "one-of-the-keys"}, llm_ask=signed)
    assert same(again(log, flow, {"api_key": "quite-another-key"}))
    assert same(again(log, flow))
    assert same(again(log, flow, secrets={"flow.input.api_key": "third-of-the-keys"}))


def test_digests_of_secrets_are_folded() -> None:
    flow = {**LOGIN, "observability": {"redact": {"correlate": True}}}
    log = record(flow, {"p": 1}, llm_two=lambda state: {"access_token": KEY}, llm_ask=_signed)
    assert "[REDACTED:" in json.dumps(log.events)
    assert again(log, flow).stopped is None


def test_a_swallowed_stop_ends_the_replay_all_the_same() -> None:
    code = "try:\n    actions['llm.ask'](state, prompt={!r})\nexcept BaseException:\n    pass\nreturn {{'went': 'on'}}"
    log = record(flow_of({"name": "a", "run": code.format("one")}), llm_ask=echo)
    report = again(log, flow_of({"name": "a", "run": code.format("two")}))
    assert report.stopped is not None
    assert report.state is None


def test_classes_of_exceptions_are_known_where_they_are_imported() -> None:
    class BusyError(RuntimeError):
        def __init__(self, code: int, text: str) -> None:
            super().__init__(f"{code} {text}")

    def busy(state: Any, prompt: Any) -> Any:
        raise BusyError(429, "slow down")

    retry = {"mode": "retry", "max_retries": 2, "delay": 0, "retryable_errors": ["RuntimeError"]}
    flow = flow_of(ask(on_error=retry))
    log = record(flow, {"x": 1}, llm_ask=busy)
    report = again(log, flow)
    assert not report.diff, str(report.diff)
    assert str(report.error) == "429 slow down"


def test_classes_of_exceptions_that_cannot_be_asked_do_no_harm() -> None:
    """Such as those of a metaclass that raises, or that says that all its classes are equal."""

    class Refusing(type):
        def __getattribute__(cls, name: str) -> Any:
            raise ZeroDivisionError(name)

        def __eq__(cls, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    class UnaskedError(RuntimeError, metaclass=Refusing):
        pass

    def busy(state: Any, prompt: Any) -> Any:
        raise UnaskedError("429 slow down")

    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=busy)
    report = again(log, flow)
    assert not report.diff, str(report.diff)


# --- whole answers ---


@dataclass
class Money:
    amount: Decimal
    tags: tuple[str, ...]


class OutOfStockError(ValueError):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(item, left)
        self.item = item


def whole(flow: dict[str, Any], tmp_path: Path, state: Any = None, **actions: Action) -> Path:
    """Run a flow whose models are recorded whole, and return its log file."""
    handlers = [{"type": "file", "path": str(tmp_path / "run.jsonl")}]
    block = {"handlers": handlers, "record": {"full": ["llm.*"]}}
    with suppress(Exception):
        load({**flow, "observability": block}, dotted(actions)).run(state)
    return tmp_path / "run.jsonl"


LONG = "a" * 20_000


def test_whole_answers_have_no_caps_and_keep_their_types(tmp_path: Path) -> None:
    answer = {
        "text": LONG,
        "vector": [0.5] * 1_536,
        "money": Money(Decimal("1.10"), ("x",)),
        "when": datetime(2025, 3, 1, tzinfo=timezone.utc),
        "raw": b"\xff\x00",
        "set": {1, 2},
        "big": 2**70,
        "by_number": {1: "one"},
    }

    def act(state: Any, prompt: Any) -> Any:
        state["written"] = {"in": "place"}
        return answer

    flow = flow_of(
        ask(prompt=LONG), {"name": "n", "run": "return {'n': state['written']['in'], 't': type(state['ask']['money']).__name__}"}
    )
    report = again(whole(flow, tmp_path, llm_ask=act), flow)
    assert report.stopped is None
    assert report.state is not None
    assert report.state["ask"] == answer
    assert (report.state["n"], report.state["t"]) == ("place", "Money")


@pytest.mark.parametrize("new", [LONG[:-1] + "b", LONG + "a"])
def test_a_prompt_that_differs_beyond_the_cut_is_refused(tmp_path: Path, new: str) -> None:
    log = whole(flow_of(ask(prompt=LONG)), tmp_path, llm_ask=echo)
    report = again(log, flow_of(ask(prompt=new)))
    assert report.stopped is not None
    assert report.asked == ()
    if len(new) == len(LONG):
        assert "beyond what the log shows" in report.stopped.why


def test_secrets_beyond_a_cut_are_no_difference(tmp_path: Path) -> None:
    text = LONG + " password=hunter2secret " + LONG
    flow = flow_of(ask(prompt="x"))
    log = whole(flow, tmp_path, llm_ask=lambda state, prompt: {"content": text})
    assert same(again(log, flow))


def test_keys_that_only_an_action_takes_for_secret_are_no_difference(tmp_path: Path) -> None:
    @observable("llm.own", sanitize_keys=["topic"])
    def act(state: Any, prompt: Any) -> str:
        return "answer"

    def flow(topic: str) -> dict[str, Any]:
        return flow_of(ask(uses="my.agent", prompt={"topic": topic, "text": LONG}))

    log = whole(flow("abc"), tmp_path, my_agent=act)
    assert again(log, flow("xyz"), actions={"my_agent": act}).stopped is None


def test_long_prompts_with_the_id_of_the_run_are_the_same(tmp_path: Path) -> None:
    flow = flow_of(ask(prompt="{{ state.flow_id }}" + LONG))
    assert again(whole(flow, tmp_path, llm_ask=echo), flow).stopped is None


def test_whole_errors_have_their_class_and_attributes(tmp_path: Path) -> None:
    def act(state: Any, prompt: Any) -> Any:
        raise OutOfStockError("desk", 3)

    flow = flow_of(ask())
    report = again(whole(flow, tmp_path, {"x": 1}, llm_ask=act), flow)
    assert type(report.error) is OutOfStockError
    assert report.error.args == ("desk", 3)
    assert not report.diff, str(report.diff)


def test_whole_errors_say_what_they_said(tmp_path: Path) -> None:
    """Arguments do not have everything: the path of a file that is not there is an attribute."""
    code = {"name": "n", "run": "return {'n': state['__error__']['message']}"}
    flow = flow_of(ask(on_error={"mode": "graceful"}), code)
    report = again(whole(flow, tmp_path, {"x": 1}, llm_ask=lambda state, prompt: Path("/no/such/file").read_text()), flow)
    assert same(report), str(report.diff)
    assert report.state is not None
    assert report.state["n"] == "[Errno 2] No such file or directory: '/no/such/file'"


@pytest.mark.parametrize(
    "changed",
    [
        {"node": "llm.two"},
        {"error": {"mro": ["ValueError", "Exception"], "args": {"$": "tuple", "v": []}}},
    ],
)
def test_a_whole_answer_of_another_call_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    log = whole(flow_of(ask()), tmp_path, {"x": 1}, llm_ask=echo)
    file = Path(f"{log}.full")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}) + "\n")
    report = again(log, flow_of(ask()))
    assert report.stopped is not None
    assert "its whole answer is that of another call" in str(report.stopped)
    assert "record it whole" not in report.stopped.hint


# --- files and folders ---

OUTER = """\
name: outer
observability: {enabled: true, handlers: [{type: file, path: never.jsonl}]}
imports: [{path: own.py}]
nodes:
  - {name: read, uses: own.read, with: {path: "{{ flow_dir }}/data/a.txt"}, output: text}
  - {name: sub, flow: inner.yaml, with: {text: "{{ state.text }}"}}
"""
INNER = """\
imports: [{path: own.py}]
nodes:
  - {name: send, uses: own.send, with: {text: "{{ state.text }}", to: "{{ flow_dir }}/out.txt"}, output: sent}
"""
OWN = """\
from pathlib import Path

def read(state, path):
    return Path(path).read_text()

def send(state, text, to):
    Path(to).write_text(text)
    return {"to": to}

def register_actions(registry, engine):
    registry.update({"own.read": read, "own.send": send})
"""


def test_another_folder_is_no_difference_and_the_handlers_of_the_flow_get_nothing(tmp_path: Path) -> None:
    here = tmp_path / "production" / "app"
    (here / "data").mkdir(parents=True)
    for name, text in {"outer.yaml": OUTER, "inner.yaml": INNER, "own.py": OWN, "data/a.txt": "hi"}.items():
        (here / name).write_text(text)
    there = tmp_path / "ci"
    (here / "outer.yaml").write_text(OUTER.replace("never.jsonl", str(tmp_path / "log.jsonl")))
    load(here / "outer.yaml").run()
    (here / "out.txt").unlink()
    (here / "data" / "a.txt").unlink()
    shutil.move(here, there)
    (there / "outer.yaml").write_text(OUTER.replace("never.jsonl", str(tmp_path / "never.jsonl")))
    report = replay(tmp_path / "log.jsonl", there / "outer.yaml", log_dir=tmp_path / "new")
    assert same(report), report.stopped or str(report.diff)
    assert report.state is not None
    assert report.state["sent"] == {"to": str(there / "out.txt")}
    assert not (there / "out.txt").exists()
    assert not (tmp_path / "never.jsonl").exists()
    [kept] = (tmp_path / "new").iterdir()
    assert get_flow_log(kept).metrics["node_count"] == 3


def test_another_folder_is_no_difference_for_whole_answers(tmp_path: Path) -> None:
    block = {"handlers": [{"type": "file", "path": str(tmp_path / "log.jsonl")}], "record": {"full": ["llm.*"]}}
    nodes = [ask(prompt="{{ flow_dir }}/x"), ask("two", "{{ state.ask.content }}", uses="llm.two")]
    for folder in ("production", "ci"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "flow.yaml").write_text(json.dumps({"observability": block, "nodes": nodes}))
    load(tmp_path / "production" / "flow.yaml", dotted({"llm_ask": echo, "llm_two": echo})).run()
    assert same(again(tmp_path / "log.jsonl", tmp_path / "ci" / "flow.yaml"))


@pytest.mark.parametrize("name", ["viewing", "llm_agent", "self_repair", "quickstart"])
def test_examples_replay_without_differences_or_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # of the scripted model
    events: list[Event] = []
    undo = configure({"enabled": True, "handlers": [{"type": "callback", "callback": lambda event: events.append(event)}]})
    try:
        load(tmp_path / name / "flow.yaml").run()
    finally:
        undo()
    log = build_flow_log([event for event in events if event["flow_id"] == events[0]["flow_id"]])
    report = replay(log, tmp_path / name / "flow.yaml")
    if refused := list(unusable(recorded_answers(log))):
        assert (name, report.stopped is not None and report.stopped.kind) == ("quickstart", "unfit"), refused
    else:
        assert same(report), report.stopped or str(report.diff)


# --- inputs that look alike ---

KEY = "sk-live-" + "Zq3xR7tLm9Kp2Wv8Ns4B"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (10_000_000_001, 10_000_000_002),
        (1764527794.12, 1764527794.95),
        ({"flow_id": "a", "start": 1}, {"flow_id": "a", "start": 2}),
        (lambda: 1, lambda: 2),
        ({KEY: LONG}, {KEY: LONG[:-1] + "b"}),
    ],
)
def test_an_input_that_is_only_nearly_the_same_is_another_one(old: Any, new: Any) -> None:
    log = record(flow_of(ask()), {"x": old}, llm_ask=lambda state, prompt: "answer")
    report = again(log, flow_of(ask()), {"x": new})
    assert report.stopped is not None
    assert report.asked == ()


def test_a_parameter_called_flow_id_makes_no_event_of_a_call() -> None:
    def flow(start: int) -> dict[str, Any]:
        given = {"flow_id": "{{ state.flow_id }}", "start": start}
        return flow_of({"name": "page", "uses": "llm.ask", "with": given, "output": "page"})

    log = record(flow(0), llm_ask=lambda state, flow_id, start: start)
    assert same(again(log, flow(0)))
    assert again(log, flow(10)).stopped is not None


def test_the_id_of_the_recorded_run_in_an_answer_is_no_difference() -> None:
    mixed = {"name": "mix", "run": "return {'y': state['ask']['content'] + ' of ' + state['flow_id']}"}
    flow = flow_of(ask(prompt="id {{ state.flow_id }}"), mixed)
    log = record(flow, llm_ask=echo)
    assert same(again(log, flow))


# --- what must not be sent, and calls whose place is not known ---


def test_placeholders_that_came_by_the_state_or_an_error_are_never_sent(tmp_path: Path) -> None:
    def act(state: Any, prompt: Any) -> Any:
        state["session"] = {"api_key": KEY}
        raise ValueError(f"{KEY} has expired")

    key, message = ("{{ state.session.api_key }}", "{{ state.__error__.message }}")
    first = ask(on_error={"mode": "graceful"})
    options: Any = {"live": ["llm.two"], "again": True}
    flow = flow_of(first, ask("two", message, uses="llm.two"))
    report = again(record(flow, llm_ask=act, llm_two=echo), flow, **options)
    assert report.stopped is not None
    assert "in place of a secret" in str(report.stopped)
    flow = flow_of(first, ask("two", key, uses="llm.two"))
    log, sent = whole(flow, tmp_path, llm_ask=act, llm_two=echo), list[Any]()
    report = again(log, flow, **options)
    assert report.stopped is not None
    assert "--secret ask.state.session.api_key=VARIABLE" in report.stopped.hint
    options["actions"] = {"llm_two": lambda state, prompt: sent.append(prompt)}
    again(log, flow, secrets={"ask.state.session.api_key": KEY}, **options)
    assert sent == [KEY]


def test_secrets_that_are_given_back_are_in_no_log(tmp_path: Path) -> None:
    """They need not look like secrets: what stood there did."""
    own = "the pass of ada"
    flow = flow_of(ask(prompt="{{ state.x }}"), ask("two", "say {{ state.ask.content }}", uses="llm.two"))
    log = record(flow, {"x": f"key {KEY}"}, llm_ask=lambda state, prompt: {"content": prompt}, llm_two=echo)
    secrets = {"flow.input.x": own, "ask.output.content": own}
    assert same(again(log, flow, secrets=secrets))
    sent: list[Any] = []
    two = {"llm_two": lambda state, prompt: sent.append(prompt)}
    report = again(log, flow, live=["llm.two"], again=True, secrets=secrets, actions=two, log_dir=tmp_path)
    assert sent == [f"say key {own}"]
    [kept] = tmp_path.iterdir()
    assert own not in kept.read_text()
    assert own not in str(report.diff)


class Linked:
    __slots__ = ("__weakref__", "all", "text")
    all: list[Any]
    text: str


@pytest.mark.parametrize("text", ["Bearer [REDACTED]", "Bearer x"])
def test_objects_that_reach_each_other_are_searched_once(text: str) -> None:
    nodes = [Linked() for _ in range(30)]
    for node in nodes:
        node.all, node.text = nodes, "x"
    nodes[-1].text = text
    assert holds_placeholder({"client": nodes}) == ("[REDACTED]" in text)


def test_a_call_that_is_not_logged_gets_no_answer_of_the_span_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_helper")
    monkeypatch.setitem(sys.modules, "own_helper", module)

    @observable("helper")
    def helper(text: str) -> str:
        answer: str = vars(module)["actions"]["llm.ask"](prompt=text)
        return f"helper: {answer}"

    vars(module).update(helper=helper)
    code = "import own_helper\nown_helper.actions = actions\nreturn {'n': own_helper.helper('q')}"
    flow = flow_of({"name": "n", "run": code}, observability={"levels": {"llm": "error"}})
    log = record(flow, llm_ask=lambda state=None, prompt=None: "real")
    report = again(log, flow)
    assert report.stopped is not None
    assert "its level is filtered" in report.stopped.why


def test_answers_that_get_no_events_say_so() -> None:
    answers = recorded_answers(record(flow_of(ask(prompt="q")), llm_ask=echo))
    actions: dict[str, Any] = {"llm.ask": fires()}
    undo = configure({"handlers": [{"type": "callback", "callback": lambda event: None}]})
    try:
        instrument(actions, answers=answers)
        with pytest.raises(ReplayStopped, match=r"got no events of the run.*callback: answers\.take"):
            actions["llm.ask"](prompt="q")
    finally:
        undo()


def test_a_call_in_a_thread_without_the_run_says_so() -> None:
    code = "import threading\nt = threading.Thread(target=lambda: actions['llm.ask'](prompt='q'))\nt.start(); t.join()\nx = 1"
    flow = flow_of({"name": "n", "run": code})
    monitor = threading.excepthook
    threading.excepthook = lambda args: None
    try:
        report = again(record(flow, llm_ask=lambda state=None, prompt=None: "real"), flow)
    finally:
        threading.excepthook = monitor
    assert report.stopped is not None
    assert "in a thread that does not know the run; pass the_edge_obs.wrap(function)" in str(report.stopped)


# --- what is said before, and what happens ---


def test_what_is_said_to_be_unusable_is_what_stops(tmp_path: Path) -> None:
    @observable("inner")
    def inner() -> object:
        return object()

    def act(state: Any, prompt: Any) -> Any:
        inner()
        return "answer"

    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=act)
    assert [*unusable(recorded_answers(log))] == []  # what an answered action did inside is not asked for
    assert same(again(log, flow))
    flow = flow_of(ask(prompt=LONG), ask("two", LONG, uses="llm.two"))
    later: dict[str, Any] = {"live": ["llm.*"], "from_step": "two"}
    log = record(flow, llm_ask=echo, llm_two=echo)
    assert [line.partition(" ")[0] for line in unusable(recorded_answers(log, **later))] == ["ask"]
    assert str(again(log, flow, **later).stopped).startswith("ask ")
    flow = flow_of({"name": "now", "run": f"return {{'now': {LONG!r}}}"})
    log = record(flow)
    assert [*unusable(recorded_answers(log))] == []
    assert [line.partition(" ")[0] for line in unusable(recorded_answers(log, frozen=["now"]))] == ["now"]
    assert str(again(log, flow, frozen=["now"]).stopped).startswith("now ")
    flow = flow_of(ask())
    path = whole(flow, tmp_path, {"x": [object(), LONG]}, llm_ask=echo)
    [line] = unusable(recorded_answers(path), ["x"])
    assert "was not recorded: object: it is not plain data" in line
    assert str(again(path, flow, {"x": [object(), LONG]}).stopped).startswith(line)


def test_an_effect_whose_content_was_cut_can_be_pretended() -> None:
    flow = flow_of(ask(uses="file.put", prompt=LONG))
    log = record(flow, file_put=lambda state, prompt: "written")
    assert [*unusable(recorded_answers(log, pretend=["file.*"]))] == []
    report = again(log, flow, pretend=["file.*"])
    assert [one.kind for one in report.asked] == ["pretended"]
    assert "was cut at input.prompt" in report.asked[0].why


def test_an_initial_state_that_was_cut_is_given_where_it_was_cut() -> None:
    def cut(given: list[str], **state: Any) -> list[str]:
        return recorded_answers(record(flow_of({"name": "n", "run": "return {}"}), state)).recording.cut_state(given)

    doc = {"title": "t", "body": LONG}
    assert cut([], doc=doc) == cut(["doc.title"], doc=doc) == cut(["do"], doc=doc) == ["input.doc.body"]
    assert cut(["doc.body"], doc=doc) == cut(["doc"], doc=doc) == []
    assert cut([], **{"a b": LONG}) == ['input["a b"]']
    assert cut(["a b"], **{"a b": LONG}) == []
    many = {f"k{n}": n for n in range(300)}
    assert cut(["k1"], **many) == ["input"]
    assert cut([*many], **many) == []


@pytest.mark.parametrize("code", ["raise KeyError('other')", "return {}"])
def test_another_failure_is_not_as_before(code: str) -> None:
    log = record(flow_of({"name": "n", "run": "raise ValueError('x')"}))
    last = {"name": "last", "run": "raise ValueError('x')"}
    assert not again(log, flow_of({"name": "n", "run": code}, last)).is_as_before
    assert again(log, flow_of({"name": "n", "run": "raise ValueError('y')"})).is_as_before


def test_a_failure_after_another_step_is_not_as_before() -> None:
    """A goto, or an edge, fails between steps: what was run last tells where. So it does if an earlier failure was handled."""

    def step(name: str, key: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "run": "return {}", "goto": [{"if": f"{{{{ state.{key} > 1 }}}}", "to": "b"}], **more}

    def failing(code: str, first: str, then: str) -> dict[str, Any]:
        handled = {"name": "handled", "run": code, "on_error": {"mode": "graceful"}, "goto": "a"}
        return flow_of(handled, step("a", first), step("b", then), {"name": "last", "run": "return {}"})

    for code in ("return {}", "raise ValueError('x')"):
        log = record(failing(code, "x", "y"), {"x": 1, "y": 1})
        assert log.status == "error"
        assert again(log, failing(code, "x", "y")).is_as_before
        report = again(log, failing(code, "x", "y"), {"x": 2})
        assert (type(report.error).__name__, report.is_as_before) == ("FlowRunError", False)


# --- arguments ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"live": "llm.*"}, "give a list"),
        ({"from_step": "asc", "live": ["*"]}, "did you mean 'ask'"),
        ({"from_step": "ask"}, "name these with live"),
        ({"again": True}, "name them with live"),
        ({"frozen": ["ask"]}, "not a step with inline code"),
        ({"secrets": {"ask.output.x": "y"}}, "nothing was redacted"),
    ],
)
def test_arguments_that_name_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    flow = flow_of(ask())
    log = record(flow, {"x": 1}, llm_ask=echo)
    with pytest.raises(ConfigurationError, match=words):
        again(log, flow, **options)


# --- the property ---

PROMPTS = st.sampled_from(["a", "b", "c" * 9_000, "c" * 8_999 + "d", "e"])
CALLS = st.lists(st.tuples(st.sampled_from(["s", "t", "u"]), PROMPTS), min_size=1, max_size=5, unique_by=lambda call: call[0])


@settings(max_examples=15)
@given(recorded=CALLS, asked=CALLS)
def test_no_call_gets_an_answer_that_was_recorded_for_something_else(
    recorded: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    """Calls reordered, removed, repeated, or asked with another input, also beyond the caps."""
    log = record(
        flow_of(*(ask(*call) for call in recorded)), llm_ask=lambda state, prompt: {"for": prompt[-3:] + str(len(prompt))}
    )
    report = again(log, flow_of(*(ask(*call) for call in asked)))
    if report.stopped is None:
        assert report.state is not None
        for name, prompt in asked:
            assert report.state[name] == {"for": prompt[-3:] + str(len(prompt))}
            assert len(prompt) < 8_192
            assert prompt in [given for _, given in recorded]
    else:
        known, wanted = Counter(prompt for _, prompt in recorded), Counter(prompt for _, prompt in asked)
        assert wanted - known or any(len(prompt) > 8_192 for prompt in wanted)


@settings(max_examples=6)
@given(recorded=CALLS, asked=CALLS)
def test_the_same_in_threads(recorded: list[tuple[str, str]], asked: list[tuple[str, str]]) -> None:
    def fan(calls: list[tuple[str, str]]) -> dict[str, Any]:
        steps = [ask(prompt="{{ item }}")]
        items = [prompt for _, prompt in calls]
        return flow_of(
            {"name": "fan", "type": "dynamic_parallel", "items": items, "steps": steps, "fan_in": "z"},
            {"name": "z", "run": "return {'got': [r.state['ask'] for r in parallel_results]}"},
        )

    log = record(fan(recorded), llm_ask=lambda state, prompt: prompt)
    report = again(log, fan(asked))
    if report.stopped is None:
        assert report.state is not None
        assert report.state["got"] == [prompt for _, prompt in asked]
