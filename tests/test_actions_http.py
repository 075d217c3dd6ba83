from __future__ import annotations

import contextlib
import encodings.aliases
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest

from the_edge_obs.actions import transport
from the_edge_obs.actions.http import http_get, http_post
from the_edge_obs.context import CURRENT, FlowState, SpanContext
from the_edge_obs.errors import ActionError
from the_edge_obs.text import known_charset

from .growth import assert_linear
from .local_server import LocalServer, RawServer


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


@pytest.mark.slow
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


SECRETS = (
    "Authorization Cookie Proxy-Authorization X-API-Key PRIVATE-TOKEN X-Auth-Token X-Vault-Token apikey DD-API-KEY "
    "X-Amz-Security-Token X-Goog-Api-Key Ocp-Apim-Subscription-Key X-Csrf-Token X-Mine Host Referer If-None-Match"
).split()
PUBLIC = ("Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Traceparent", "Tracestate")


@pytest.fixture
def other(server: Server) -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.mark.parametrize("ask", [http_get, http_post])
@pytest.mark.parametrize("status", [301, 302, 303])
def test_only_harmless_headers_go_along_to_another_origin(server: Server, other: Server, ask: Any, status: int) -> None:
    """A redirect to another port is one to another origin: what is not known to be harmless stays, whatever it is called."""
    server.answers["/old"] = (status, {"Location": f"{other.url}/new"}, b"")
    other.answers["/new"] = (200, TEXT, b"here")
    given = {name: f"v-{name}" for name in (*SECRETS, *PUBLIC)}
    assert ask({}, url=f"{server.url}/old", headers=given, params={"token": "hunter2"})["body"] == "here"
    method, path, headers, body = other.asked[0]
    assert (method, path, body) == ("GET", "/new", b"")
    sent = {name: value for name, value in headers.items() if name not in ("connection", "host")}
    assert sent == {name.lower(): f"v-{name}" for name in PUBLIC}
    assert (headers["host"], server.asked[0][2]["private-token"]) == (other.url.removeprefix("http://"), "v-PRIVATE-TOKEN")


def test_secrets_that_were_dropped_do_not_come_back(server: Server, other: Server) -> None:
    """A chain that leaves an origin and returns to it is in the hands of the other one: nothing is sent again."""
    server.answers["/a"] = (302, {"Location": f"{other.url}/b"}, b"")
    other.answers["/b"] = (302, {"Location": f"{server.url}/c"}, b"")
    server.answers["/c"] = (200, TEXT, b"back")
    assert http_get({}, url=f"{server.url}/a", headers={"X-Auth-Token": "hunter2"})["body"] == "back"
    assert [headers.get("x-auth-token") for _, _, headers, _ in server.asked] == ["hunter2", None]


@pytest.mark.parametrize(
    ("url", "following"),
    [
        ("https://h/", "http://h/"),
        ("http://h/", "https://h/"),
        ("http://h/", "http://h:8080/"),
        ("http://h/", "http://h.example/"),
        ("http://h/", "//g/x"),
    ],
)
def test_scheme_host_and_port_make_an_origin(url: str, following: str) -> None:
    """Each of them alone makes it another one; a downgrade to http is one too."""
    hop = transport._Hop("GET", url, {"X-Auth-Token": "hunter2", "Accept": "*/*"}, None)
    answer = SimpleNamespace(status=302, headers={"location": following})
    assert transport._redirected("http.get", hop, answer).headers == {"Accept": "*/*"}


@pytest.mark.parametrize("following", ["HTTP://H:80/x", "/x", "?q=1", "http://h/y"])
def test_the_same_origin_in_another_spelling_keeps_the_headers(following: str) -> None:
    """Case, a default port and a relative location change nothing."""
    hop = transport._Hop("GET", "http://h/", {"X-Auth-Token": "t"}, None)
    answer = SimpleNamespace(status=302, headers={"location": following})
    assert transport._redirected("http.get", hop, answer).headers == {"X-Auth-Token": "t"}


@pytest.mark.parametrize(
    "location", ["http://user:hunter2@127.0.0.1/", "ftp://user:hunter2@h/", "file:///etc/passwd", "http://[::1", "data:,x"]
)
def test_redirect_to_nowhere_is_a_soft_failure(server: Server, location: str) -> None:
    """Credentials in a location, other schemes and broken ones end the chain, without the password in the message."""
    server.answers["/old"] = (302, {"Location": location}, b"")
    result = http_get({}, url=f"{server.url}/old")
    assert (result["success"], result["error_type"], "hunter2" in result["error"]) == (False, "http_error", False)


def test_a_location_is_sent_as_the_server_wrote_it(server: Server) -> None:
    """Bytes beyond ASCII are percent-encoded one by one, spaces too, and a fragment stays behind."""
    server.answers["/old"] = (302, {"Location": "/s\u00c3\u00b8k a?b=\u00e9#part"}, b"")
    http_get({}, url=f"{server.url}/old")
    assert server.asked[1][1] == "/s%C3%B8k%20a?b=%E9"


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
        ({"url": "http://[::1"}, "cannot be parsed"),
        ({"url": "http://h:port/"}, "cannot be parsed"),
        ({"url": "http://user:hunter2@host/"}, "the url for host contains credentials"),
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
    """A body that is not JSON, text or bytes raises."""
    with pytest.raises(ActionError, match=re.escape(message)):
        http_post({}, url="http://127.0.0.1:9", **params)


def test_results_are_json(server: Server) -> None:
    """A result can be written to a log as it is."""
    server.answers["/users"] = (200, JSON, b'{"a": 1}')
    result = http_get({}, url=f"{server.url}/users")
    assert json.loads(json.dumps(result)) == result


# --- servers that mean harm ---

OK = "HTTP/1.1 200 OK\r\n"


def endless(*parts: bytes, every: float = 0.0) -> Any:
    """Send the first parts, then the last one for as long as the client stays."""

    def answer(send: Any, release: Any) -> None:
        for part in parts[:-1]:
            send(part)
        while not release.wait(every):
            send(parts[-1])

    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"y", every=0.02),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.02),
        endless(b"H", every=0.02),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", every=0.02),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", every=0.02),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
        endless(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n", every=0.02),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x", every=0.02),
    ],
    ids=["headers", "continue", "slow continue", "status", "chunks", "size", "trailers", "error body", "body"],
)
def test_one_deadline_for_all_that_a_server_does(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Bytes that come now and then, or without an end, do not make a call longer than its timeout."""
    monkeypatch.setenv("no_proxy", "*")
    with RawServer(answer) as server:
        result = http_get({}, url=server.url, timeout=0.3)
        assert (result["success"], result["error_type"] in ("timeout", "http_error")) == (False, True)
        assert not server.release.is_set()  # the call ended by itself, while the server was still sending


def test_a_redirect_with_an_endless_body_is_followed_without_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body of a redirect says nothing, and is not read."""
    server.answers["/new"] = (200, TEXT, b"here")
    start = f"HTTP/1.1 302 Found\r\nLocation: {server.url}/new\r\n\r\n".encode()
    with RawServer(endless(start, b"x" * 65536)) as hostile:
        assert http_get({}, url=hostile.url)["body"] == "here"


def test_each_redirect_has_what_the_ones_before_it_left(server: Server) -> None:
    """A chain of slow redirects is as long as one slow answer: the deadline is the call's."""
    server.answers["/slow"] = (302, {"Location": "/slow"}, b"")
    assert http_get({}, url=f"{server.url}/slow", timeout=0.2)["error_type"] == "timeout"
    assert len(server.asked) == 1


def test_a_name_that_is_never_resolved_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs does not hang the flow."""
    monkeypatch.setenv("no_proxy", "*")
    release = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: release.wait(30) and [])
    result = http_get({}, url="http://somewhere.example/", timeout=0.1)
    release.set()
    assert result["error_type"] == "timeout"


@pytest.mark.slow
@pytest.mark.parametrize("answer", [lambda send, release: release.wait(30), endless(b"\x16\x03\x03\x40\x00", b"\0", every=0.02)])
def test_a_handshake_that_does_not_end_is_a_timeout(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """TLS is part of the call: a server that answers nothing, or a byte of its hello now and then."""
    monkeypatch.setenv("no_proxy", "*")
    with RawServer(answer, reads=False) as server:
        result = http_get({}, url=server.url.replace("http:", "https:"), timeout=0.4)
        assert (result["success"], result["error_type"]) == (False, "timeout")
        assert not server.release.is_set()


@pytest.mark.slow
def test_a_server_that_does_not_read_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending a body is part of the call, too."""
    monkeypatch.setenv("no_proxy", "*")
    with RawServer(lambda send, release: release.wait(30), reads=False) as server:
        result = http_post({}, url=server.url, body=b"x" * 30_000_000, timeout=0.3)
    assert result["error_type"] == "timeout"


@pytest.mark.parametrize(
    ("raw", "error_type"),
    [
        (OK + "X: y\r\n" * 200 + "\r\n", "connection"),
        (OK + "X: " + "y" * 100_000, "connection"),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "connection"),
        ("garbage\r\n\r\n", "connection"),
        (OK + "Content-Length: " + "9" * 5000 + "\r\n\r\nx", None),
        (OK + "Content-Length: 99\r\n\r\nx", "connection"),
        (OK + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "connection"),
        (OK + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello", "connection"),
        (OK + "Content-Type: application/json\r\n\r\n" + "[" * 200_000, "parse"),
        (OK + "Content-Type: application/json\r\n\r\n" + "9" * 200_000, "parse"),
        (OK + "Content-Type: text/plain; charset=" + "x" * 60_000 + "\r\n\r\nhi", None),
        (OK + 'Content-Type: text/plain; a="' + ";" * 60_000 + "\r\n\r\nhi", None),
        ("HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n" + "[" * 60_000, "http_error"),
    ],
)
def test_no_answer_raises(monkeypatch: pytest.MonkeyPatch, raw: str, error_type: str | None) -> None:
    """Whatever a server sends is a result or a soft failure."""
    monkeypatch.setenv("no_proxy", "*")
    with RawServer(lambda send, release: send(raw.encode())) as server:
        result = http_get({}, url=server.url, timeout=20)
    assert result.get("error_type") == error_type


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "undefined", "unicode_escape", "raw-unicode-escape", "hex", "rot13", "zip", "x\0y", "a" * 999]
)
def test_a_codec_that_is_no_charset_is_not_used(server: Server, name: str) -> None:
    """Python's own codecs raise, or take quadratic time, for foreign bytes: such a body is read as UTF-8."""
    assert known_charset(name) is None
    if name.isprintable():
        server.answers["/"] = (200, {"Content-Type": f"text/plain; charset={name}"}, "ü\\x".encode())
        assert http_get({}, url=server.url)["body"] == "ü\\x"


@pytest.mark.slow
def test_every_charset_takes_any_bytes_in_linear_time() -> None:
    """What is used as a charset decodes anything."""
    for name in sorted({*encodings.aliases.aliases.values()}):
        if (charset := known_charset(name)) is not None:
            assert_linear(lambda size: bytes(range(256)) * size, lambda raw, c=charset: raw.decode(c, "replace"), 50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: http_post({}, url="http://127.0.0.1:9", body="\ud800"), "body has '\\ud800' at position 0"),
        (lambda: http_get({}, url="http://127.0.0.1:9/\ud800"), "cannot be parsed"),
        (lambda: http_get({}, url="http://127.0.0.1:9/", params={"a": "\ud800"}), "cannot be parsed"),
        (lambda: http_get({}, url="http://127.0.0.1:9/", headers={"A": "\ud800"}), "header 'A' has"),
    ],
)
def test_half_a_character_is_refused(call: Any, message: str) -> None:
    """A lone surrogate cannot be sent, and the error names what has it."""
    with pytest.raises(ActionError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("url", ["http://a..b/", "http://" + "a" * 70 + ".example/", "http://ex%00ample/"])
def test_a_host_that_is_no_name_is_a_connection_failure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What no resolver takes is not found."""
    monkeypatch.setenv("no_proxy", "*")
    assert http_get({}, url=url)["error_type"] == "connection"


def test_a_very_long_timeout_is_taken(server: Server) -> None:
    """A number that no socket takes means: as long as it lasts."""
    server.answers["/"] = (200, TEXT, b"x")
    assert http_get({}, url=server.url, timeout=1e300)["body"] == "x"
