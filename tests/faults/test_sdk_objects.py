"""The answers of the SDKs themselves, from a server on this machine: their tokens are counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

import the_edge_obs as obs

from ..local_server import LocalServer

pytestmark = pytest.mark.slow

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}],
    "usage": {
        "prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250,
        "prompt_tokens_details": {"cached_tokens": 1000}, "completion_tokens_details": {"reasoning_tokens": 40},
    },
}  # fmt: skip
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt", "output": [], "status": "completed",
    "usage": {
        "input_tokens": 1200, "output_tokens": 50, "total_tokens": 1250,
        "input_tokens_details": {"cached_tokens": 1000}, "output_tokens_details": {"reasoning_tokens": 40},
    },
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": "Paris"}],
    "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {
        "input_tokens": 200, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 0, "output_tokens": 50,
    },
}  # fmt: skip
ANSWERS = {"/chat/completions": CHAT, "/responses": RESPONSE, "/v1/messages": MESSAGE}
COUNTED = {"input_tokens": 1200, "output_tokens": 50, "tokens": 1250}
PARTS = {"cached_tokens": 1000, "reasoning_tokens": 40}


class Api(BaseHTTPRequestHandler):
    """Answers as the two APIs do."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWERS[self.path.partition("?")[0]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def url() -> Iterator[str]:
    """Return the address of the server."""
    server = LocalServer(Api)
    yield server.url
    server.close()


def tokens_of(ring: obs.RingBufferHandler, run: obs.ObservabilityContext) -> dict[str, Any]:
    """Return the tokens of the flow's one call, without its duration."""
    (leave,) = [event for event in ring.events(run.flow_id) if event["node"] == "llm.call" and event["event_type"] == "exit"]
    return {name: value for name, value in leave["metrics"].items() if name != "duration_ms"}


def openai_chat(url: str) -> Any:
    """Ask with OpenAI's chat completions."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=url, api_key="x") as client:
        return client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "?"}])


def openai_responses(url: str) -> Any:
    """Ask with OpenAI's responses."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=url, api_key="x") as client:
        return client.responses.create(model="gpt", input="?")


def anthropic_message(url: str) -> Any:
    """Ask with Anthropic's messages."""
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(base_url=url, api_key="x") as client:
        return client.messages.create(model="claude", max_tokens=9, messages=[{"role": "user", "content": "?"}])


@pytest.mark.parametrize("ask", [openai_chat, openai_responses, anthropic_message])
@pytest.mark.parametrize("is_async", [False, True])
def test_tokens_of_sdk_objects(ring: obs.RingBufferHandler, url: str, ask: Any, is_async: bool) -> None:
    """1,200 tokens in, 1,000 of them cached, and 50 out, in each SDK's own words; the caller gets the SDK's object."""

    async def asked(url: str) -> Any:
        return ask(url)

    call = obs.observable("llm.call")(asked if is_async else ask)
    with obs.flow() as run:
        answer = asyncio.run(call(url)) if is_async else call(url)
    assert type(answer).__module__.partition(".")[0] in ("openai", "anthropic")
    parts = {"cached_tokens": 1000} if ask is anthropic_message else PARTS
    assert tokens_of(ring, run) == {**COUNTED, **parts}
    totals = obs.get_flow_log(run.flow_id).metrics
    assert {name: totals[name] for name in COUNTED} == COUNTED


def test_tokens_of_gemini(ring: obs.RingBufferHandler) -> None:
    """Google's SDK: the thoughts belong to the output."""
    types = pytest.importorskip("google.genai.types")
    answer = types.GenerateContentResponse.model_validate(
        {
            "usageMetadata": {
                "promptTokenCount": 1200,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 40,
                "totalTokenCount": 1250,
            }
        }
    )
    with obs.flow() as run:
        obs.observable("llm.call")(lambda: answer)()
    assert tokens_of(ring, run) == {**COUNTED, "reasoning_tokens": 40}
