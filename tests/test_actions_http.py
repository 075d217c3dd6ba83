from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from typing import Any

import pytest

from the_edge_obs.actions.http import http_get, http_post
from the_edge_obs.context import CURRENT, FlowState, SpanContext
from the_edge_obs.errors import ActionError

from .local_server import LocalServer


class Server(LocalServer):
    """A local HTTP server that answers by a table, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                if self.path == "/slow":
                    outer.release.wait(30)
                if self.path == "/trickle":
                    self.trickle()
                    return
                status, extra, content = outer.answers.get(self.path.partition("?")[0], (404, {}, b"no such page"))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = True

            def trickle(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client leaves
                    while not outer.release.wait(0.005):
                        self.wfile.write(b".")

            do_GET = do_POST = answer  # noqa: N815 - named by http.server

        super().__init__(Handler)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.close()


JSON = {"Content-Type": "application/json; charset=utf-8"}
TEXT = {"Content-Type": "text/plain; charset=iso-8859-1"}


def test_get_returns_parsed_json(server: Server) -> None:
    """A JSON answer comes parsed, with its status, its lowercase headers and its URL."""
    server.answers["/users"] = (200, JSON, '{"name": "Zoë"}'.encode())
    result = http_get({}, url=f"{server.url}/users")
    headers = {"content-length": "16", "content-type": "application/json; charset=utf-8"}
    got = {key: value for key, value in result["headers"].items() if key in headers}
    assert {**result, "headers": got} == {
        "success": True,
        "status": 200,
        "headers": headers,
        "body": {"name": "Zoë"},
        "url": f"{server.url}/users",
    }


@pytest.mark.parametrize(
    ("headers", "content", "body"),
    [
        (TEXT, "caf\xe9".encode("latin-1"), "café"),
        ({}, b"plain", "plain"),
        ({"Content-Type": "text/plain; charset=klingon"}, "ü".encode(), "ü"),
        (JSON, b"", None),
        ({"Content-Type": "application/problem+json"}, b"[1]", [1]),
    ],
)
def test_body_follows_the_content_type(server: Server, headers: dict[str, str], content: bytes, body: Any) -> None:
    """Text is decoded by its charset, JSON of any media type is parsed, an empty JSON body is None."""
    server.answers["/it"] = (200, headers, content)
    assert http_get({}, url=f"{server.url}/it")["body"] == body


def test_parameters_and_headers_are_sent(server: Server) -> None:
    """Query parameters join those of the URL, None is left out, text is percent-encoded."""
    server.answers["/søk"] = server.answers["/s%C3%B8k"] = (200, TEXT, b"")
    http_get(
        {},
        url=f"{server.url}/søk?a=1#top",
        params={"q": "x y", "tag": ["b", "c"], "no": None},
        headers={"X-Count": 3, "X-No": None, "user-agent": "mine"},
    )
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("GET", "/s%C3%B8k?a=1&q=x+y&tag=b&tag=c", b"")
    assert (headers["x-count"], headers["user-agent"], "x-no" in headers) == ("3", "mine", False)


def test_user_agent_names_the_package(server: Server) -> None:
    """Requests say who sends them, with the installed version."""
    server.answers["/"] = (200, TEXT, b"")
    http_get({}, url=server.url)
    assert server.asked[0][2]["user-agent"] == f"the_edge_obs/{version('the_edge_obs')}"


def test_traceparent_is_sent_inside_a_flow_only(server: Server) -> None:
    """The running span travels as a W3C traceparent; outside a flow there is no such header."""
    server.answers["/"] = (200, TEXT, b"")
    http_get({}, url=server.url)
    flow = FlowState("0af76519-16cd-43dd-8448-eb211c80319c", "run")
    token = CURRENT.set(SpanContext(flow, 0xB7AD6B7169203331, None, "flow", None))
    try:
        http_get({}, url=server.url)
        http_get({}, url=server.url, headers={"Traceparent": "own"})
    finally:
        CURRENT.reset(token)
    sent = [headers.get("traceparent") for _, _, headers, _ in server.asked]
    assert sent == [None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "own"]


@pytest.mark.parametrize(
    ("params", "content_type", "body"),
    [
        ({"json": {"a": [1, None, "é"]}}, "application/json", '{"a": [1, null, "é"]}'.encode()),
        ({"json": False}, "application/json", b"false"),
        ({"body": "ü"}, "text/plain; charset=utf-8", "ü".encode()),
        ({"body": b"\0"}, "application/octet-stream", b"\0"),
        ({"body": "a=1", "headers": {"content-type": "x/y"}}, "x/y", b"a=1"),
    ],
)
def test_post_sends_its_body(server: Server, params: dict[str, Any], content_type: str, body: bytes) -> None:
    """JSON, text and bytes are sent with a fitting content type, unless the headers name one."""
    server.answers["/in"] = (201, JSON, b'{"id": 7}')
    result = http_post({}, url=f"{server.url}/in", **params)
    method, _, headers, sent = server.asked[0]
    assert (method, headers["content-type"], sent) == ("POST", content_type, body)
    assert (result["success"], result["status"], result["body"]) == (True, 201, {"id": 7})


def test_http_error_is_a_soft_failure_with_its_body(server: Server) -> None:
    """A status of 400 or above lets the flow go on, and keeps what the server explained."""
    server.answers["/broken"] = (500, JSON, b'{"reason": "down"}')
    result = http_get({}, url=f"{server.url}/broken")
    headers = result.pop("headers")
    assert (result, headers["content-type"]) == (
        {
            "success": False,
            "error": f"HTTP 500 Internal Server Error from {server.url}/broken",
            "error_type": "http_error",
            "status": 500,
            "body": {"reason": "down"},
            "url": f"{server.url}/broken",
        },
        JSON["Content-Type"],
    )


def test_error_body_that_is_no_json_comes_as_text(server: Server) -> None:
    """An error page under a JSON content type does not hide the error."""
    server.answers["/broken"] = (502, JSON, b"<html>")
    assert http_get({}, url=f"{server.url}/broken")["body"] == "<html>"


def test_late_answer_is_a_timeout(server: Server) -> None:
    """A server that stays silent longer than the timeout is a soft failure."""
    result = http_get({}, url=f"{server.url}/slow", timeout=0.05)
    assert result == {
        "success": False,
        "error": f"no answer from {server.url}/slow within 0.05 s",
        "error_type": "timeout",
    }


def test_body_that_trickles_in_is_a_timeout(server: Server) -> None:
    """A server that sends a byte now and then cannot hold the flow for longer than the timeout."""
    result = http_get({}, url=f"{server.url}/trickle", timeout=0.5)
    assert result == {
        "success": False,
        "error": "the body did not end within 0.5 s",
        "error_type": "timeout",
    }


def test_no_server_is_a_connection_failure(server: Server) -> None:
    """A refused connection is a soft failure that names the URL."""
    server.close()
    result = http_get({}, url=server.url)
    assert (result["success"], result["error_type"]) == (False, "connection")
    assert result["error"].startswith(f"no answer from {server.url}: ")


def test_broken_off_body_is_a_connection_failure(server: Server) -> None:
    """A body shorter than announced is not taken for the whole."""
    server.answers["/cut"] = (200, {**TEXT, "Content-Length": "10"}, b"half")
    result = http_get({}, url=f"{server.url}/cut")
    assert result == {
        "success": False,
        "error": "the connection broke off after 4 bytes",
        "error_type": "connection",
    }


def test_broken_json_is_a_parse_failure(server: Server) -> None:
    """A JSON content type without JSON is a soft failure that has the text."""
    server.answers["/bad"] = (200, JSON, b'{"a": ')
    result = http_get({}, url=f"{server.url}/bad")
    assert (result["success"], result["error_type"], result["status"], result["body"]) == (False, "parse", 200, '{"a": ')


def test_body_above_the_cap_is_refused(server: Server) -> None:
    """A body of exactly max_bytes passes, one byte more is a soft failure."""
    server.answers["/big"] = (200, TEXT, b"x" * 100)
    assert http_get({}, url=f"{server.url}/big", max_bytes=100)["body"] == "x" * 100
    result = http_get({}, url=f"{server.url}/big", max_bytes=99)
    assert (result["error_type"], result["error"]) == (
        "too_large",
        f"{server.url}/big sent more than 99 bytes; raise max_bytes to accept more",
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed(server: Server, status: int) -> None:
    """Each kind of redirect leads on, and the result has the last URL."""
    server.answers["/old"] = (status, {"Location": "/new"}, b"")
    server.answers["/new"] = (200, TEXT, b"here")
    result = http_get({}, url=f"{server.url}/old", headers={"Authorization": "Bearer 1"})
    assert (result["body"], result["url"]) == ("here", f"{server.url}/new")
    assert server.asked[1][2]["authorization"] == "Bearer 1"


def test_credentials_do_not_follow_to_another_origin(server: Server) -> None:
    """A redirect to another host or port gets the plain headers, not the private ones."""
    other = Server()
    try:
        server.answers["/old"] = (302, {"Location": f"{other.url}/new"}, b"")
        other.answers["/new"] = (200, TEXT, b"here")
        http_get({}, url=f"{server.url}/old", headers={"Authorization": "Bearer 1", "Cookie": "a=b", "X-Mine": "yes"})
    finally:
        other.close()
    headers = other.asked[0][2]
    assert [headers.get(name) for name in ("authorization", "cookie", "x-mine")] == [None, None, "yes"]


def test_endless_redirect_is_a_soft_failure_on_one_line(server: Server) -> None:
    """A page that redirects to itself ends as an error of the server."""
    server.answers["/loop"] = (302, {"Location": "/loop"}, b"")
    result = http_get({}, url=f"{server.url}/loop")
    assert (result["success"], result["error_type"], result["status"]) == (False, "http_error", 302)
    assert "\n" not in result["error"]


def test_post_follows_to_a_get_but_is_never_repeated(server: Server) -> None:
    """After 303 the answer is fetched; a 307, which asks for the same POST elsewhere, is a failure that names its status."""
    server.answers["/form"] = (303, {"Location": "/done"}, b"")
    server.answers["/done"] = (200, TEXT, b"thanks")
    server.answers["/moved"] = (307, {"Location": "/done"}, b"")
    assert http_post({}, url=f"{server.url}/form", body="a=1")["body"] == "thanks"
    assert http_post({}, url=f"{server.url}/moved", body="a=1")["status"] == 307
    assert [(method, path, body) for method, path, _, body in server.asked] == [
        ("POST", "/form", b"a=1"),
        ("GET", "/done", b""),
        ("POST", "/moved", b"a=1"),
    ]


def test_redirect_to_a_file_is_refused(server: Server) -> None:
    """A redirect cannot lead out of http and https."""
    server.answers["/old"] = (302, {"Location": "file:///etc/hostname"}, b"")
    result = http_get({}, url=f"{server.url}/old")
    assert (result["success"], result["error_type"]) == (False, "http_error")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"url": "file:///etc/hostname"}, "url 'file:///etc/hostname' is not an http or https URL"),
        ({"url": "example.com"}, "url 'example.com' is not an http or https URL"),
        ({"url": None}, "url None is not an http or https URL"),
        ({"url": "http://[::1"}, "cannot be read"),
        ({"url": "http://h:port/"}, "cannot be read"),
        ({"url": "http://user:hunter2@host/"}, "the url for host holds credentials"),
        ({"url": "http://h", "timeout": 0}, "timeout is 0; it must be a number above 0"),
        ({"url": "http://h", "max_bytes": "9"}, "max_bytes is '9'; it must be a whole number above 0"),
        ({"url": "http://h", "params": ["a"]}, "params is ['a']; it must be a mapping"),
        ({"url": "http://h", "headers": {"A": "b\r\nC: d"}}, "header 'A' has"),
        ({"url": "http://h", "headers": {"A B": "c"}}, "header 'A B' has"),
    ],
)
def test_bad_use_raises(params: dict[str, Any], message: str) -> None:
    """What the flow's author has to mend raises, and names the value, but never a password."""
    with pytest.raises(ActionError, match=re.escape(message)) as caught:
        http_get({}, **params)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"json": 1, "body": "1"}, "json and body are both given"),
        ({"body": {"a": 1}}, "body is {'a': 1}; it must be text or bytes"),
        ({"json": float("nan")}, "json cannot be written as JSON"),
        ({"json": {"a": object()}}, "json cannot be written as JSON"),
    ],
)
def test_post_refuses_what_it_cannot_send(params: dict[str, Any], message: str) -> None:
    """A body that is no JSON, no text and no bytes raises."""
    with pytest.raises(ActionError, match=re.escape(message)):
        http_post({}, url="http://127.0.0.1:9", **params)


def test_results_are_json(server: Server) -> None:
    """A result can be written to a log as it is."""
    server.answers["/users"] = (200, JSON, b'{"a": 1}')
    result = http_get({}, url=f"{server.url}/users")
    assert json.loads(json.dumps(result)) == result
