"""A failure whose text cannot be asked for is handled like any other by a YAML flow."""

from __future__ import annotations

from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.flows import load


class AskedError(Exception):
    """An error that raises when it is asked for its text."""

    def __str__(self) -> str:
        raise ZeroDivisionError("asked")


def fail(state: dict[str, Any], **params: Any) -> None:
    raise AskedError


def soft(state: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"success": False, "error": AskedError()}


ACTIONS = {"my.fail": fail, "my.soft": soft, "my.act": lambda state: {"acted": True}}
TOLD = "<AskedError: ZeroDivisionError in its __str__>"


def ran(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dict(load({"name": "test", "observability": {}, "nodes": list(nodes), **more}, ACTIONS).run())


@pytest.mark.parametrize("action", ["my.fail", "my.soft"])
def test_graceful_goes_on(action: str) -> None:
    """The state says what failed, in place of the text that it refused; the log has the end of the node."""
    state = ran({"name": "try", "uses": action, "on_error": {"mode": "graceful"}}, {"name": "next", "run": "went = 'on'"})
    assert state["went"] == "on"
    ends = obs.query(state["flow_id"], node=action, event_type="error")
    assert [event["data"]["error"]["message"] for event in ends] == [TOLD]
    if action == "my.fail":
        assert (state["__error__"]["type"], state["__error__"]["message"]) == ("AskedError", TOLD)


def test_retry_ends_in_its_fallback() -> None:
    """After every attempt that was allowed."""
    on_error = {"mode": "retry", "max_retries": 1, "delay": 0, "fallback": "plan_b"}
    state = ran({"name": "try", "uses": "my.fail", "on_error": on_error}, {"name": "plan_b", "run": "plan = 'b'"})
    assert (state["plan"], state["__error__"]["message"], state["__error__"]["retry_count"]) == ("b", TOLD, 1)


def test_a_fan_out_tells_the_fan_in() -> None:
    """The branch that failed is a result without success, the other is what it is."""
    edges = [{"from": "__start__", "to": name, "type": "parallel", "fan_in": "join"} for name in ("a", "b")]
    join = {"name": "join", "run": "told = [(r.success, r.error_type, r.error) for r in parallel_results]"}
    state = ran({"name": "a", "uses": "my.fail"}, {"name": "b", "uses": "my.act"}, join, edges=edges)
    assert list(map(tuple, state["told"])) == [(False, "AskedError", TOLD), (True, None, None)]


def test_a_template_says_what_failed() -> None:
    """Its failure is a FlowRunError that names step and expression."""
    flow = load({"name": "test", "nodes": [{"name": "ask", "run": "x = 1", "goto": [{"if": "{{ state.bad() }}", "to": "ask"}]}]})
    with pytest.raises(Exception, match="AskedError: ZeroDivisionError in its __str__"):
        flow.run({"bad": lambda: fail({})})
