"""Every builtin action in an observed flow: entry, and exit or error, with its timing and a span id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.actions import builtin_registry
from the_edge_obs.errors import ObservabilityError
from the_edge_obs.event import problems
from the_edge_obs.flows import load
from the_edge_obs.handlers import RingBufferHandler

from .local_server import LocalServer

NOBODY = "00000000-0000-4000-8000-000000000000"
# By action: parameters that work, parameters that fail, and the error's type then. SERVER stands for a server's address.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "file.read": ({"path": "a.txt"}, {"path": "none.txt"}, "not_found"),
    "file.write": ({"path": "b.txt", "content": "b"}, {"path": ".", "content": "b"}, "write_error"),
    "http.get": ({"url": "SERVER/there"}, {"url": "SERVER/gone"}, "http_error"),
    "http.post": ({"url": "SERVER/there", "json": {"n": 1}}, {"url": "SERVER/gone", "json": None}, "http_error"),
    "json.parse": ({"text": "[1]"}, {"text": "["}, "parse"),
    "json.transform": ({"data": {"n": 1}, "expression": "n"}, {"data": {"n": 1}, "expression": "length(n)"}, "transform"),
    "llm.call": ({"prompt": "a", "answers": ["b"]}, {"prompt": "a", "answers": [{"error": "busy"}]}, "api_error"),
    "llm.stream": ({"prompt": "a", "answers": ["b"]}, {"prompt": "a", "answers": [{"error": "busy"}]}, "api_error"),
    "memory.retrieve": ({"key": "k", "path": "m.db"}, {"key": "k", "path": "a.txt"}, "storage"),
    "memory.store": ({"key": "k", "value": 1, "path": "m.db"}, {"key": "k", "value": 1, "path": "a.txt"}, "storage"),
    "obs.export": ({"path": "out.jsonl"}, {"path": "a.txt/out.jsonl"}, "write_error"),
    "obs.get_flow_log": ({}, {"flow_id": NOBODY}, "FlowNotFoundError"),
    "obs.log_event": ({"message": "hello"}, {"event_type": "entry"}, "ActionError"),
    "obs.query": ({"filters": {"level": "error"}}, {"flow_id": NOBODY}, "FlowNotFoundError"),
    "web.fetch": ({"url": "SERVER/there"}, {"url": "SERVER/gone"}, "http_error"),
}


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200 if self.path == "/there" else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - named by http.server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setenv("no_proxy", "*")
    running = LocalServer(Handler)
    yield running
    running.close()


def logged(ring: RingBufferHandler, action: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of an action's own node in a flow that calls it twice, or once where it raises."""
    node = {"uses": action, "with": params, "output": "result"}
    with suppress(ObservabilityError):
        load({"nodes": [node, node]}).run()
    (flow_id,) = ring.flow_ids()
    events = ring.events(flow_id)
    assert [problem for event in events for problem in problems(event)] == []
    return [event for event in events if event["node"] == action]


def facts(event: dict[str, Any]) -> tuple[str, str, bool]:
    """Return what an event is, the type of its error, and whether it is timed."""
    duration = event["metrics"].get("duration_ms")
    return event["event_type"], (event["data"].get("error") or {}).get("type", ""), duration is not None and duration >= 0


def test_every_builtin_action_has_its_case() -> None:
    """A new action is not left out."""
    assert sorted(CASES) == sorted(builtin_registry())


@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
@pytest.mark.parametrize("action", sorted(CASES))
def test_an_action_has_entry_end_timing_and_a_span_of_its_own(
    action: str, fails: bool, server: LocalServer, ring: RingBufferHandler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry with the parameters, then exit or error with the duration; each call is a span, right below the flow's."""
    if action == "json.transform":
        pytest.importorskip("jmespath")
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("this is no database", encoding="utf-8")
    params = {
        name: value.replace("SERVER", server.url) if isinstance(value, str) else value
        for name, value in CASES[action][fails].items()
    }
    events = logged(ring, action, params)
    end = ("error", CASES[action][2], True) if fails else ("exit", "", True)
    calls = len(events) // 2
    assert calls == (1 if end[1].endswith("Error") else 2)
    assert [facts(event) for event in events] == [("entry", "", False), end] * calls
    assert [event["data"].get("input", {}) for event in events[::2]] == [params] * calls
    assert [event["span_id"] for event in events[::2]] == [event["span_id"] for event in events[1::2]]
    assert len({event["span_id"] for event in events}) == calls
    root = ring.events(events[0]["flow_id"])[0]
    assert {event["parent_id"] for event in events} == {root["span_id"]}
