"""The pytest plugin, as pytest loads it: by its entry point, in a process of its own."""

from __future__ import annotations

import re
import sys

import pytest

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
    """The tests of ``docs/testing.md`` end as it says, and the report of the one that fails is the one it shows."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER"):  # with these, pytest tells more
        monkeypatch.delenv(name, raising=False)
    tests, shown = (one for one in snippets_of(DOCUMENT) if one.language in ("python", "text"))
    pytester.makepyfile(test_triage=tests.text)
    result = pytester.runpytest_subprocess("-p", "no:logging", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    assert_like("...\n" + shown.text + "...", result.stdout.str())


def test_unused_it_costs_nothing(pytester: pytest.Pytester) -> None:
    """With the plugin loaded and no test that asks for it, nothing of the package is imported but the way to it."""
    pytester.makepyfile("def test_other(): pass")
    code = """
import sys, pytest
assert pytest.main(["-q", "--no-header"]) == 0
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("the_edge_obs", "yaml", "jinja2", "pythonjsonlogger")))
"""
    result = pytester.run(sys.executable, "-c", code)
    expected = ("the_edge_obs", "the_edge_obs.errors", "the_edge_obs.integrations", "the_edge_obs.integrations.pytest_plugin")
    assert result.outlines[-1] == " ".join(expected)
