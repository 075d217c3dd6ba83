"""A local endpoint that speaks OpenAI's protocol by a script, for tests of what asks one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler
from typing import Any

from .local_server import LocalServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Endpoint(LocalServer):
    """A local endpoint that speaks OpenAI's protocol: it answers by a list, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.path, headers, body))
                self.close_connection = True
                with contextlib.suppress(ConnectionError):  # a client that timed out or left early
                    outer.answers.pop(0)(self)

        super().__init__(Handler)
        self.url += "/v1"

    def silent(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the test is over."""
        self.release.wait(30)


def answer(payload: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with a status and JSON, or with text as it is."""
    content = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        fixed = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"}
        for name, value in {**fixed, **given}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def sse(*events: Any, after: Callable[[], object] | None = None) -> Answer:
    """Answer with a chunked stream of server-sent events; ``after`` is called once the first one is out."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for number, event in enumerate(events):
            text = event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
            raw = text.encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
            handler.wfile.flush()
            if number == 0 and after is not None:
                after()
        handler.wfile.write(b"0\r\n\r\n")

    return send


def chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"delta": {"content": text}, "finish_reason": finish}]}


USAGE = {
    "prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250,
    "prompt_tokens_details": {"cached_tokens": 1000}, "completion_tokens_details": {"reasoning_tokens": 40},
}  # fmt: skip


def completion(content: str | None = "Paris", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """Return a whole chat completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], "usage": USAGE,
    }  # fmt: skip


def sdk_chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion, with everything that an SDK expects."""
    choice = {"index": 0, "finish_reason": finish, "delta": {"content": content, **delta}}
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice], "usage": None,
    }  # fmt: skip


def streamed(*pieces: str, usage: bool = True, after: Callable[[], object] | None = None) -> Answer:
    """Answer with a stream of a chat completion, with the chunk that a request for usage brings."""
    chunks: list[Any] = [*(sdk_chunk(piece) for piece in pieces), sdk_chunk(finish="stop")]
    if usage:
        chunks.append({**sdk_chunk(), "choices": [], "usage": USAGE})
    return sse(*chunks, "data: [DONE]\n\n", after=after)


def model_response(*output: dict[str, Any], status: str = "completed", **facts: Any) -> dict[str, Any]:
    """Return an answer of the API ``responses``."""
    usage = {
        "input_tokens": 1200, "output_tokens": 50, "total_tokens": 1250,
        "input_tokens_details": {"cached_tokens": 1000}, "output_tokens_details": {"reasoning_tokens": 40},
    }  # fmt: skip
    text = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "Paris", "annotations": []},
    ]}  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m-1", "status": status, "output": list(output) or [text],
        "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], **facts,
    }  # fmt: skip


def drained(stream: Generator[str, None, dict[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """Return what a stream yields, and what it returns."""
    pieces: list[str] = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            return pieces, stop.value
