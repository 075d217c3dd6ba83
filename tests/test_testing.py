"""What a test learns of the flows it ran."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.testing import FlowLogs
from the_edge_obs.text import View


@pytest.fixture
def logs() -> Iterator[FlowLogs]:
    found = FlowLogs()
    yield found
    found.close()


def triage(*asked: str) -> None:
    """Run a flow that loads, asks once for each word (``bad`` fails), and saves."""
    with obs.flow("triage"):
        with obs.span("file.read", step="load"):
            pass
        for word in asked:
            ask(word)
        with obs.span("file.write", step="save"):
            pass


@obs.observable("llm.call")
def ask(word: str) -> dict[str, object]:
    if word == "bad":
        raise TimeoutError("no answer")
    return {"success": word != "soft", "error": "busy", "error_type": "rate_limit"}


def outlines(logs: FlowLogs) -> list[str]:
    return [log.status for log in logs]


def test_how_often_something_ran(logs: FlowLogs) -> None:
    """By step, node or glob; attempts count each, the flow itself does not."""
    triage("a", "b")
    names = ("llm.call", "llm.*", "load", "file.*", "f?le.read", "*", "flow", "llm", "CALL")
    assert {name: logs.ran(name) for name in names} == {
        "llm.call": 2,
        "llm.*": 2,
        "load": 1,
        "file.*": 2,
        "f?le.read": 1,
        "*": 4,
        "flow": 0,
        "llm": 0,
        "CALL": 0,
    }


def test_in_what_order(logs: FlowLogs) -> None:
    """Each is named as it was asked for; without names it is the step, or else the node."""
    triage("a", "b")
    assert logs.order() == ["load", "llm.call", "llm.call", "save"]
    assert logs.order("load", "llm.*") == ["load", "llm.call", "llm.call"]
    assert logs.order("file.*", "llm.call") == ["file.read", "llm.call", "llm.call", "file.write"]
    assert logs.order("nothing") == []


def test_errors_are_told_once_where_they_arose(logs: FlowLogs) -> None:
    """Not again for the spans that they passed; those that were handled, soft failures and what people log count too."""
    with pytest.raises(TimeoutError):
        triage("soft", "bad")
    with obs.flow("by hand") as run:
        run.log("scoring", "error", "error", "no\x1b score")
        run.log("scoring", "error", "error", data={"error": "text"})
        run.log("scoring", "error", "log", "an error's level is no error")
    assert logs.errors == [
        "llm.call: rate_limit: busy",
        "llm.call: TimeoutError: no answer",
        "scoring: no\\x1b score",
        "scoring: Error: text",
    ]


def test_the_step_of_an_error_is_named(logs: FlowLogs) -> None:
    """A YAML flow is known by its steps, and every attempt is one."""
    answers = [{"error": "busy", "error_type": "rate_limit"}, "yes"]
    node = {"name": "ask", "uses": "llm.call", "with": {"prompt": "?", "answers": answers}}
    flows.load({"nodes": [{**node, "on_error": {"mode": "retry", "delay": 0}}]}).run()
    assert (logs.only.status, logs.ran("ask"), logs.errors) == ("ok", 2, ["ask (llm.call): rate_limit: busy"])


def test_cancellation_is_no_error(logs: FlowLogs) -> None:
    """A flow that is stopped has not failed."""
    with pytest.raises(KeyboardInterrupt), obs.flow():
        raise KeyboardInterrupt
    assert (outlines(logs), logs.errors) == (["cancelled"], [])


def test_it_is_a_sequence_of_flow_logs(logs: FlowLogs) -> None:
    """In the order of their start, whatever ended first; what still runs is told so."""
    with obs.flow("outer"):
        with obs.flow("inner"):
            pass
        assert [(log.name, log.status) for log in logs] == [("outer", "running"), ("inner", "ok")]
    assert (len(logs), logs[0].name, logs[-1].name, [log.status for log in logs[0:]]) == (2, "outer", "inner", ["ok", "ok"])


def test_the_only_one(logs: FlowLogs) -> None:
    """One that is not the only one, or not there, fails the test and says what ran."""
    with pytest.raises(AssertionError, match=r"^no flow was logged; did the code run in observable, "):
        logs.only  # noqa: B018 - the access is what is tested
    triage()
    assert logs.only.name == "triage"
    triage("a")
    with pytest.raises(AssertionError, match=r"^2 flows ran, not one: <FlowLog 'triage' ok in .*, <FlowLog 'triage' ok in "):
        logs.only  # noqa: B018


def test_it_shows_itself_in_the_message_of_an_assert(logs: FlowLogs) -> None:
    """In one line, which stays short."""
    assert repr(logs) == "<0 flows>"
    triage("a")
    assert repr(logs) == "<1 flow: load, llm.call, save>"
    triage(*"abcdef")
    names = "load, llm.call, save, load, llm.call, llm.call, llm.call, llm.call, ... 3 more"
    assert repr(logs) == f"<2 flows: {names}>"


def test_trees(logs: FlowLogs) -> None:
    """All flows are drawn, or the last ones."""
    triage()
    assert [line.split("  ")[0] for line in str(logs).splitlines()] == ["triage", "├─ load", "└─ save", "", "ok, " + took(logs)]
    for _ in range(20):
        triage()
    drawn = list(logs.draw(View(unicode=False)))
    assert (drawn[0], len(drawn), drawn.count("")) == ("1 earlier flow not shown", 121, 40)
    assert not any("├" in line for line in drawn)


def took(logs: FlowLogs) -> str:
    return str(logs.only).rpartition("ok, ")[2]


def test_threads_are_seen(logs: FlowLogs) -> None:
    """Wherever it runs, what a test runs is its own."""
    threads = [threading.Thread(target=triage, args=("a",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outlines(logs), logs.ran("llm.call")) == (["ok"] * 4, 4)


def test_it_hears_debug_and_leaves_the_tree_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes of any level count, whatever TEA_LOG says; before and after, nothing is logged."""
    monkeypatch.setenv("TEA_LOG", "error")
    logger = logging.getLogger("tea")
    before = (logger.level, logger.handlers[:])
    logs = FlowLogs()
    with obs.flow(), obs.span("cache.get", level="debug"):
        pass
    ran = logs.ran("cache.get")
    logs.close()
    triage()
    assert (ran, (logger.level, logger.handlers[:])) == (1, before)


def test_what_configures_itself_is_heard(logs: FlowLogs) -> None:
    """A program that configures the package in the test keeps its own levels; a flow's own block does not hide it."""
    undo = obs.configure({"level": "info"})
    triage("a")
    undo()
    flows.load({"observability": {"level": "error"}, "nodes": [{"run": "x = 1"}]}).run()
    assert [log.metrics["node_count"] for log in logs] == [3, 1]


@pytest.mark.slow
def test_more_than_a_ring_usually_keeps(logs: FlowLogs) -> None:
    """A count is of all that ran."""
    with obs.flow():
        for _ in range(1500):
            ask("a")
    assert logs.ran("llm.call") == 1500


def test_two_at_once() -> None:
    """Each has what ran since it was made."""
    outer = FlowLogs()
    triage()
    inner = FlowLogs()
    triage()
    found = (len(outer), len(inner))
    outer.close()
    triage()
    found += (len(inner),)
    inner.close()
    assert found == (2, 1, 2)
