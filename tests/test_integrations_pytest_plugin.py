"""The pytest plugin, as pytest loads it: by its entry point, in a process of its own."""

from __future__ import annotations

import re
import sys
import textwrap
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.integrations.pytest_flow_logs import PytestFlowLogs

from .test_docs import ROOT, assert_like, snippets_of

pytestmark = pytest.mark.slow

DOCUMENT = ROOT / "docs" / "testing.md"
MODULE = """
import the_edge_obs as obs

@obs.observable("llm.call")
async def ask(word):
    if word == "bad":
        raise TimeoutError("no answer")

async def triage(*words):
    with obs.flow("triage"):
        for word in words:
            await ask(word)
"""
TESTS = """
import asyncio, logging, unittest
import pytest
import the_edge_obs as obs
from app import triage

def test_passes(flow_logs):
    asyncio.run(triage("a", "b"))
    assert flow_logs.ran("llm.call") == 2
    assert flow_logs.errors == []

def test_fails(flow_logs):
    asyncio.run(triage("a"))
    assert flow_logs.ran("llm.*") == 2

def test_only_its_own(flow_logs):
    assert flow_logs.only

@pytest.fixture
def warm(flow_logs):
    asyncio.run(triage("bad"))

def test_setup_fails(warm):
    pass

def test_still_running(flow_logs):
    run = obs.ObservabilityContext(name="open")
    run.start_node_span("slow")
    assert not flow_logs.order()

class TestCase(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _flow_logs(self, flow_logs):
        self.flow_logs = flow_logs

    async def test_unittest(self):
        await triage("a", "b")
        self.assertEqual(self.flow_logs.ran("llm.call"), 3)

def test_unused():
    asyncio.run(triage("a"))
    logger = logging.getLogger("tea")
    assert (logger.level, logger.handlers, logging.getLogger().level) == (0, [], 30)
    assert 0, "fails without a tree"
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project whose tests run flows."""
    monkeypatch.setenv("COLUMNS", "120")
    pytester.makepyfile(app=MODULE, test_app=TESTS)
    return pytester


def reports(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return, by test that failed, the lines of its report, without bars, durations and column widths."""
    parts = re.split(r"^_{5,} (.+?) _{5,}$", result.stdout.str(), flags=re.MULTILINE)
    texts = [re.split(r"^={5,}", part, flags=re.MULTILINE)[0] for part in parts[2::2]]
    texts = [re.sub(r"[\d.]+ ms", "N ms", re.sub(r"[█▌▐]+", "", text)) for text in texts]
    return {name: re.sub(r"(?<=\S) {2,}", "  ", text).splitlines() for name, text in zip(parts[1::2], texts, strict=True)}


def section(report: list[str], phase: str = "call") -> list[str]:
    """Return the lines of the section with the flows."""
    start = next(number for number, line in enumerate(report) if re.fullmatch(rf"-+ Flows \({phase}\) -+", line))
    return report[start + 1 :]


def test_the_fixture(project: pytest.Pytester) -> None:
    """A failed test shows why in the words of pytest, and the tree of its flows; others are left alone."""
    result = project.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=5, errors=1)
    found = reports(result)
    assert "E  AssertionError: assert 1 == 2" in found["test_fails"]
    assert "E  +  where ran = <1 flow: llm.call>.ran" in found["test_fails"]
    tree = ["triage  flow  N ms  ok", "└─ llm.call  N ms  ok", "", "ok, N ms, 1 node, 4 events"]
    assert section(found["test_fails"]) == tree
    assert (
        "E  AssertionError: no flow was logged; did the code run in observable, span, flow or a YAML flow?"
        in (found["test_only_its_own"])
    )
    assert "└─ llm.call  N ms  error" in section(found["ERROR at setup of test_setup_fails"], "setup")
    assert section(found["test_still_running"])[:2] == ["open  flow  running", "└─ slow  running"]
    assert "└─ llm.call  N ms  ok" in section(found["TestCase.test_unittest"])
    assert {name for name, report in found.items() if "Flows (" in "\n".join(report)} == {
        "ERROR at setup of test_setup_fails",
        "test_fails",
        "test_still_running",
        "TestCase.test_unittest",
    }


def test_every_test_of_a_project(project: pytest.Pytester) -> None:
    """pytest's own ``usefixtures`` gives all tests the trees; a test that runs no flow has none."""
    project.makeini("[pytest]\nusefixtures = flow_logs")
    project.makepyfile(
        test_app="from app import triage\nimport asyncio\n"
        "def test_flow():\n    asyncio.run(triage('a'))\n    assert 0\n"
        "def test_none():\n    assert 0\n"
    )
    found = reports(project.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly"))
    assert {name: "Flows (call)" in "\n".join(report) for name, report in found.items()} == {
        "test_flow": True,
        "test_none": False,
    }


def test_workers_of_xdist(project: pytest.Pytester) -> None:
    """The trees come back from other processes."""
    pytest.importorskip("xdist", reason="needs pytest-xdist: pip install pytest-xdist")
    result = project.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly", "-n", "2")
    result.assert_outcomes(passed=1, failed=5, errors=1)
    assert result.stdout.str().count(" Flows (") == 4


def test_documented_tests_do_what_is_documented(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of ``docs/testing.md`` end as it says, and the reports of those that fail are those that it shows."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER"):  # with these, pytest tells more
        monkeypatch.delenv(name, raising=False)
    tests, shown = (one for one in snippets_of(DOCUMENT) if one.language in ("python", "text"))
    (flow,) = (one for one in snippets_of(DOCUMENT) if one.language == "yml")
    (replay,) = re.findall(r"   ```python\n(   # test_bad_run.py\n.*?)   ```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    messages = re.findall(r"^   E +(.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    record_documented(pytester, flow.text)
    changed = replay.replace("test_bad_run", "test_changed").replace("triage.yaml", "changed.yaml")
    pytester.makepyfile(test_triage=tests.text, test_bad_run=textwrap.dedent(replay), test_changed=textwrap.dedent(changed))
    result = pytester.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=3)
    assert_like("...\n" + shown.text + "...", result.stdout.str())
    told = [line.lstrip("E ") for line in result.stdout.str().splitlines() if line.startswith("E ")]
    assert [message for message in messages if message not in told] == []
    fixed = flow.text.replace('["content"]', '["content"].strip("`json\\n")')
    (pytester.path / "triage.yaml").write_text(fixed, encoding="utf-8")
    logs = PytestFlowLogs(pytester.path)
    try:
        run = logs.replay("bad-run.jsonl", "triage.yaml")
    finally:
        logs.close()
    assert run.state is not None
    assert (run.error, run.state["topic"], run.unused) == (None, "billing", ())


def record_documented(pytester: pytest.Pytester, flow: str) -> None:
    """Run the flow of the document with a model that puts its JSON into a fence; copy its log to where the test looks."""
    for name, text in (
        ("triage.yaml", flow),
        ("changed.yaml", flow.replace("The topic of this ticket, as", "Which topic has this ticket? As")),
    ):
        (pytester.path / name).write_text(text, encoding="utf-8")

    def call(state: Any, **params: Any) -> Any:
        return {"content": '```json\n{"topic": "billing"}\n```'}

    with pytest.raises(ValueError, match="Expecting value"):
        flows.load(str(pytester.path / "triage.yaml"), {"llm.call": call}).run({"ticket": "charged twice"})
    for log in (pytester.path / "logs").iterdir():
        log.rename(pytester.path / f"bad-run{''.join(log.suffixes)}")


REPLAYED = """
import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.integrations.pytest_flow_logs import PytestFlowLogs

def ask(state, prompt):
    return {"content": prompt.upper()}

FLOW = {"name": "f", "nodes": [{"name": "ask", "uses": "llm.ask", "with": {"prompt": "{{ state.text }}"}, "output": "answer"}]}

def test_replay(flow_logs):
    run = flow_logs.replay("run.jsonl", FLOW, {"text": "hello"}, actions={"llm.ask": ask})
    assert run.state["answer"] == {"content": "HELLO"}

def test_swallowed(flow_logs):
    flow = flows.load(FLOW, flow_logs.answers("run.jsonl", "llm.*"))
    try:
        flow.run({"text": "other"})
    except BaseException:
        pass
"""


def test_recording_again(pytester: pytest.Pytester) -> None:
    """The option records runs again; what answers have stopped fails its test even if the test swallowed that."""
    log = pytester.path / "run.jsonl"
    undo = obs.configure({"handlers": [{"type": "file", "path": str(log)}]})
    names: dict[str, Any] = {}
    exec(REPLAYED, names)
    flows.load(names["FLOW"], {"llm.ask": names["ask"]}).run({"text": "hi"})
    undo()
    pytester.makepyfile(test_replay=REPLAYED)
    result = pytester.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly", "--flow-logs-rerecord")
    result.assert_outcomes(passed=2, errors=1)
    found = reports(result)["ERROR at teardown of test_swallowed"]
    assert "E  AssertionError: the replay stopped at ask (llm.ask): it is not asked as it was recorded" in found
    assert "E  input.prompt: 'hello' -> 'other'" in found
    assert [event["data"]["output"] for event in obs.query(log, node="llm.ask", event_type="exit")] == [{"content": "HELLO"}]


def test_unused_it_costs_nothing(pytester: pytest.Pytester) -> None:
    """With the plugin loaded and no test that asks for it, nothing of the package is imported but the way to it."""
    pytester.makepyfile("def test_other(): pass")
    code = """
import sys, pytest
assert pytest.main(["-q", "--no-header"]) == 0
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("the_edge_obs", "yaml", "jinja2", "pythonjsonlogger")))
"""
    result = pytester.run(sys.executable, "-c", code)
    own = ("errors", "integrations", "integrations.pytest_plugin", "on_demand")
    expected = ("the_edge_obs", *(f"the_edge_obs.{name}" for name in own))
    assert result.outlines[-1] == " ".join(expected)
