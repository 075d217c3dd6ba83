from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.event import validate
from the_edge_obs.flows import load
from the_edge_obs.store.sources import get_flow_log, query

from .local_server import LocalServer

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def _no_configured_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "OLLAMA_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_configured_endpoint: None) -> Path:
    """The agent's file, to be run from an empty working directory, in which it leaves its memory and its logs."""
    monkeypatch.chdir(tmp_path)
    return EXAMPLES / "llm_agent" / "flow.yaml"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, _no_configured_endpoint: None) -> Iterator[list[dict[str, Any]]]:
    """A configured endpoint that says OK to everything; the list of what it was asked."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            choice = {"message": {"content": "OK"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "cost": 0.001}
            self.wfile.write(json.dumps({"model": "local-1", "choices": [choice], "usage": usage}).encode())

    server = LocalServer(Handler)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_MODEL", "local")
    yield requests
    server.close()


def nodes_ended(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["step"], event["event_type"]) for event in events if event["event_type"] in ("exit", "error") and "step" in event
    ]


def test_agent_answers_a_ticket_from_its_script(agent: Path) -> None:
    """Without an endpoint the script answers: one call fails and is tried again, the first draft does not pass its check."""
    state = load(agent).run()
    assert (state["class"]["data"], state["drafts"], state["verdict"]["content"]) == (
        {"topic": "billing", "urgent": False},
        2,
        "OK",
    )
    assert state["reply"]["content"].startswith("Sorry about the double charge.")
    events = query("logs")
    for event in events:
        validate(event)
    assert nodes_ended(events) == [
        ("recall", "exit"),
        ("classify", "exit"),
        ("read_class", "exit"),
        ("count", "exit"),
        ("draft", "error"),
        ("draft", "exit"),
        ("check", "exit"),
        ("count", "exit"),
        ("draft", "exit"),
        ("check", "exit"),
        ("remember", "exit"),
    ]
    assert get_flow_log("logs").status == "ok"


def test_agent_remembers_its_customer(agent: Path) -> None:
    """The second run knows of the first one's ticket; another customer is new."""
    flow = load(agent)
    seen = [flow.run(state)["memory"]["value"]["tickets"] for state in ({}, {}, {"customer": "bob@example.org"})]
    assert seen == [0, 1, 0]


def test_agent_asks_the_configured_endpoint(agent: Path, asked: list[dict[str, Any]]) -> None:
    """With OPENAI_BASE_URL set, the model there answers, and its tokens and cost are counted."""
    state = load(agent).run({"ticket": "The door is stuck."})
    assert (state["verdict"]["content"], state["verdict"]["model"], state["class"]["data"]["topic"]) == ("OK", "local-1", "other")
    assert [request["model"] for request in asked] == ["local"] * 3
    assert all("The door is stuck." in request["messages"][1]["content"] for request in asked)
    metrics = get_flow_log("logs").metrics
    assert (metrics["tokens"], metrics["cost_usd"]) == (33, pytest.approx(0.003))


def test_flow_repairs_itself() -> None:
    """The flow finds its errors in its own log, mends what they name, and succeeds; the log tells the story."""
    state = load(EXAMPLES / "self_repair" / "flow.yaml").run()
    log = get_flow_log(state["flow_id"])
    assert (state["total"], log.status) == (50.0, "ok")
    notes = [event["message"] for event in log.events if event["level"] == "warn"]
    errors = [event["data"]["error"]["message"] for event in log.events if event["event_type"] == "error"]
    assert (notes, errors) == (
        ["repaired: put ':' in line 2", "repaired: put ',' in line 4"],
        ["JSON parse error: Expecting ':' delimiter", "JSON parse error: Expecting ',' delimiter"],
    )


def test_flow_says_what_it_cannot_repair() -> None:
    """An error that the repair does not know ends the flow with that error."""
    flow = load(EXAMPLES / "self_repair" / "flow.yaml")
    with pytest.raises(ValueError, match="no repair is known for: JSON parse error: Expecting value"):
        flow.run({"orders": "nothing"})
    with pytest.raises(ValueError, match="could not be repaired in 6 tries"):
        flow.run({"orders": '{"orders": [1 2 3 4 5 6 7 8]}'})


def test_scripts_stay_deterministic_in_branches_retries_and_nested_steps() -> None:
    """In a real flow: branches count apart, a retry of nested steps goes on in the script, a stream is drained."""
    answers = [{"error": "busy"}, "first", "second"]
    call = {"uses": "llm.call", "with": {"prompt": "p", "answers": answers}}
    flow = load(
        {
            "name": "scripts",
            "nodes": [
                {"name": "warm", **call, "output": "warm"},
                {
                    "name": "each",
                    "type": "dynamic_parallel",
                    "items": "{{ [1, 2, 3, 4] }}",
                    "steps": [{"name": "one", **call, "output": "one"}, {"name": "two", **call, "output": "two"}],
                },
                {
                    "name": "nested",
                    "steps": [
                        {
                            "name": "again",
                            "uses": "llm.call",
                            "with": {"prompt": "p", "answers": [{"error": "x"}, "y"]},
                            "output": "again",
                        },
                        {"name": "judge", "run": "assert state['again']['success']"},
                    ],
                    "on_error": {"mode": "retry", "max_retries": 1, "delay": 0},
                },
                {"name": "stream", "uses": "llm.stream", "with": {"prompt": "p", "answers": ["a b"]}, "output": "stream"},
            ],
        }
    )
    for _ in range(2):
        state = flow.run()
        said = [(branch.state["one"]["content"], branch.state["two"]["content"]) for branch in state["parallel_results"]]
        assert (state["warm"]["error"], said, state["again"]["content"]) == ("busy", [("first", "second")] * 4, "y")
        assert (state["stream"]["content"], state["stream"]["chunk_count"]) == ("a b", 2)
