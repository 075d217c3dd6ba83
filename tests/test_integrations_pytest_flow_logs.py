"""Recorded runs in tests: a bad run becomes a test, a changed flow fails it, and recording again is deliberate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.integrations.pytest_flow_logs import PytestFlowLogs
from the_edge_obs.store.full_record import full_records

LONG = "because " * 2_000
FLOW: dict[str, Any] = {
    "name": "triage",
    "nodes": [
        {"name": "ask", "uses": "llm.ask", "with": {"prompt": "Which topic? {{ state.text }}"}, "output": "answer"},
        {"name": "read", "run": "import json\nreturn {'topic': json.loads(state['answer']['content'])['topic']}"},
        {"name": "note", "uses": "shop.note", "with": {"topic": "{{ state.topic }}"}, "output": "noted"},
    ],
}
MENDED = "import json\nreturn {'topic': json.loads(state['answer']['content'].strip('`'))['topic']}"


def flow_with(**changes: Any) -> dict[str, Any]:
    """Return the flow with other nodes: each keyword names a step and has the keys to change."""
    return {**FLOW, "nodes": [{**node, **changes.get(node["name"], {})} for node in FLOW["nodes"]]}


class Model:
    """Actions that count their calls."""

    def __init__(self, content: str) -> None:
        self.content, self.calls = content, 0

    def ask(self, state: Any, prompt: str) -> Any:
        """Answer as a model does."""
        self.calls += 1
        return {"content": self.content, "reason": LONG}

    def note(self, state: Any, topic: str) -> Any:
        """Have an effect."""
        self.calls += 1
        return {"id": self.calls}

    @property
    def actions(self) -> dict[str, Any]:
        """The actions by name."""
        return {"llm.ask": self.ask, "shop.note": self.note}


def recorded(folder: Path, content: str, flow: dict[str, Any] = FLOW, full: tuple[str, ...] = ("llm.*",)) -> Path:
    """Run the flow for real, and return its log."""
    log = folder / "run.jsonl"
    undo = obs.configure({"handlers": [{"type": "file", "path": str(log)}], "record": {"full": list(full)}})
    try:
        flows.load(flow, Model(content).actions).run({"text": "the bill is wrong"})
    except ValueError:
        pass
    finally:
        undo()
    return log


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[PytestFlowLogs]:
    """Yield what the fixture of the plugin gives."""
    made = PytestFlowLogs(tmp_path)
    yield made
    made.close()


BILLING = '{"topic": "billing"}'
FENCED = f"```{BILLING}```"


def test_bad_run_becomes_a_test(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """The same flow fails as it did; the mended one comes past the failure, offline, and no effect fires."""
    recorded(tmp_path, FENCED)
    model = Model("never")
    failed = logs.replay("run.jsonl", FLOW, actions=model.actions)
    assert (type(failed.error).__name__, failed.unused) == ("JSONDecodeError", ())
    mended = logs.replay("run.jsonl", flow_with(read={"run": MENDED}), actions=model.actions)
    assert mended.error is None
    assert mended.beyond is not None
    assert (mended.beyond.node, model.calls) == ("shop.note", 0)
    assert logs.order("ask", "read", "note")[-5:] == ["ask", "read", "ask", "read", "note"]


def test_good_run_stays_green(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """The state, what was asked, and the difference to the recorded run can be asserted."""
    recorded(tmp_path, BILLING)
    run = logs.replay("run.jsonl", FLOW, actions=Model("never").actions)
    assert run.state is not None
    assert (run.state["topic"], run.state["answer"]["reason"], run.unused) == ("billing", LONG, ())
    assert run.diff.failures("status,output") == []


def test_changed_prompt_fails_with_the_place_and_the_change(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """The message has them, each on a line of its own."""
    recorded(tmp_path, BILLING)
    changed = flow_with(ask={"with": {"prompt": "What is it about? {{ state.text }}"}})
    with pytest.raises(AssertionError) as caught:
        logs.replay("run.jsonl", changed, actions=Model("never").actions)
    first, change, *hints = str(caught.value).splitlines()
    assert first == "the replay stopped at ask (llm.ask): it is not asked as it was recorded"
    assert change == "  input.prompt: 'Which topic? the bill is wrong' -> 'What is it about? the bill is wrong'"
    assert "live" in hints[-1]
    assert caught.value.__cause__ is None
    assert re.search(r"ask +llm\.ask .*cancelled", str(logs)) is not None


def test_failure_that_the_recorded_run_did_not_have_fails_the_test(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """The exception itself comes out, for ``pytest.raises``."""
    recorded(tmp_path, BILLING)
    with pytest.raises(ZeroDivisionError):
        logs.replay("run.jsonl", flow_with(read={"run": "return 1 / 0"}), actions=Model("never").actions)


def test_missing_recording_fails(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """It is never skipped, and never recorded by itself."""
    for way in (lambda: logs.replay("gone.jsonl", FLOW), lambda: logs.answers("gone.jsonl", "llm.*")):
        with pytest.raises(AssertionError, match=r"there is no recorded run '.*gone\.jsonl'; record it with"):
            way()
    again = PytestFlowLogs(tmp_path, rerecord=True)
    try:
        with pytest.raises(AssertionError, match="there is no recorded run"):
            again.replay("gone.jsonl", FLOW)
    finally:
        again.close()


@pytest.fixture
def again(tmp_path: Path) -> Iterator[PytestFlowLogs]:
    """Yield what the fixture gives with ``--flow-logs-rerecord``."""
    made = PytestFlowLogs(tmp_path, rerecord=True)
    yield made
    made.close()


def test_recording_again_puts_the_new_log_in_the_place_of_the_old(again: PytestFlowLogs, tmp_path: Path) -> None:
    """The flow runs for real from the recorded state; then the new recording is replayed like any other."""
    log = recorded(tmp_path, BILLING)
    changed = flow_with(ask={"with": {"prompt": "What is it about? {{ state.text }}"}})
    model = Model('{"topic": "shipping"}')
    run = again.replay("run.jsonl", changed, actions=model.actions)
    assert run.state is not None
    assert (run.state["topic"], model.calls) == ("shipping", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.jsonl", "run.jsonl.full"]
    assert {record.output["reason"] for record in full_records(log).values()} == {LONG}
    replayer = PytestFlowLogs(tmp_path)
    try:
        replayed = replayer.replay("run.jsonl", changed, actions=Model("never").actions)
    finally:
        replayer.close()
    assert replayed.state is not None
    assert (replayed.state["topic"], model.calls) == ("shipping", 2)


def test_recording_again_that_fails_leaves_the_old_log(again: PytestFlowLogs, tmp_path: Path) -> None:
    """A good recording is not lost to a flow that does not work."""
    log = recorded(tmp_path, BILLING)
    before = log.read_bytes(), Path(f"{log}.full").read_bytes()
    with pytest.raises(ZeroDivisionError):
        again.replay("run.jsonl", flow_with(read={"run": "return 1 / 0"}), actions=Model(BILLING).actions)
    assert (log.read_bytes(), Path(f"{log}.full").read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.jsonl", "run.jsonl.full"]


def test_answers_of_models_alone(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """What is not named is called; a prompt that was not recorded stops the run."""
    recorded(tmp_path, BILLING)
    model = Model("never")
    actions = {**model.actions, **logs.answers("run.jsonl", "llm.*")}
    state = flows.load(FLOW, actions).run({"text": "the bill is wrong"})
    assert (state["topic"], state["answer"]["reason"], model.calls) == ("billing", LONG, 1)
    with pytest.raises(flows.ReplayStopped):
        flows.load(FLOW, actions).run({"text": "something else"})
    with pytest.raises(AssertionError, match=r"the replay stopped at ask \(llm\.ask\)"):
        logs.check()


def test_answers_need_recorded_calls(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """A glob that names nothing would call everything for real."""
    recorded(tmp_path, BILLING)
    with pytest.raises(AssertionError, match=r"no call of http\.\* is in 'run\.jsonl'; it has llm\.ask, python\.run, shop\.note"):
        logs.answers("run.jsonl", "http.*")


def test_flow_that_was_swallowed_is_noticed(logs: PytestFlowLogs, tmp_path: Path) -> None:
    """A program that catches everything does not make a test green."""
    recorded(tmp_path, BILLING)
    ask = logs.answers("run.jsonl", "llm.*")["llm.ask"]
    with obs.flow("mine"), obs.span("llm.ask", prompt="another"):
        try:
            ask(prompt="another")
        except BaseException:  # noqa: BLE001 - what a program should not do
            json.dumps({})
    with pytest.raises(AssertionError, match="the replay stopped"):
        logs.check()
