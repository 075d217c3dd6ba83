"""What is logged of LangChain's models, messages and documents."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest

import the_edge_obs as obs

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValue

from the_edge_obs.integrations._langchain_values import answered, asked, message, plain
from the_edge_obs.integrations.langchain import FlowCallback
from the_edge_obs.integrations.openai import instrument

from .model_server import Endpoint, answer, sse

KEY = "sk-proj-1234567890abcdefghijABCDEFGHIJ"
CALL = {"name": "weigh", "args": {"parcel": "lamp"}, "id": "c1"}
CALLED = {"id": "c1", "type": "function", "function": {"name": "weigh", "arguments": {"parcel": "lamp"}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HumanMessage("hi"), {"role": "user", "content": "hi"}),
        (HumanMessage("hi", name="ada"), {"role": "user", "content": "hi", "name": "ada"}),
        (SystemMessage("be brief"), {"role": "system", "content": "be brief"}),
        (AIMessage("hello"), {"role": "assistant", "content": "hello"}),
        (AIMessageChunk("hello"), {"role": "assistant", "content": "hello"}),
        (AIMessage([{"type": "text", "text": "a"}]), {"role": "assistant", "content": [{"type": "text", "text": "a"}]}),
        (AIMessage("", tool_calls=[CALL]), {"role": "assistant", "content": "", "tool_calls": [CALLED]}),
        (
            AIMessage("", invalid_tool_calls=[{"name": "weigh", "args": "{parcel", "id": "c1", "error": "not JSON"}]),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weigh", "arguments": "{parcel"}, "error": "not JSON"}
                ],
            },
        ),
        (ToolMessage("4", tool_call_id="c1"), {"role": "tool", "content": "4", "tool_call_id": "c1"}),
        (
            ToolMessage("no", tool_call_id="c1", status="error"),
            {"role": "tool", "content": "no", "tool_call_id": "c1", "status": "error"},
        ),
        (FunctionMessage("4", name="weigh"), {"role": "function", "content": "4", "name": "weigh"}),
        (ChatMessage("hi", role="critic"), {"role": "critic", "content": "hi"}),
    ],
)
def test_messages_have_the_form_of_chat_completions(given: Any, expected: dict[str, Any]) -> None:
    assert message(given) == expected


@dataclass
class Own:
    """A user's class, which a snapshot shows."""

    said: Any


def test_messages_and_documents_are_found_in_containers() -> None:
    own = Own(1)
    given = {
        "messages": [HumanMessage("hi"), ("user", "hi")],
        "found": {"documents": (Document(page_content="x", metadata={"page": 1}),)},
        "prompt": ChatPromptValue(messages=[HumanMessage("hi")]),
        "own": own,
        "number": 1,
    }
    assert plain(given) == {
        "messages": [{"role": "user", "content": "hi"}, ("user", "hi")],
        "found": {"documents": [{"content": "x", "metadata": {"page": 1}}]},
        "prompt": [{"role": "user", "content": "hi"}],
        "own": own,
        "number": 1,
    }


def test_commands_of_graphs() -> None:
    types = pytest.importorskip("langgraph.types")
    if hasattr(types, "Send"):
        assert plain([types.Send("branch", {"m": HumanMessage("hi")})])[0]["arg"] == {"m": {"role": "user", "content": "hi"}}
    if hasattr(types, "Command"):
        assert plain(types.Command(resume=[HumanMessage("hi")])) == {"resume": [{"role": "user", "content": "hi"}]}
        assert plain(types.Command(goto="end", update={"n": 1})) == {"goto": "end", "update": {"n": 1}}


def test_the_walk_over_a_value_is_bounded() -> None:
    """Wide, deep and circular values cost as much as a snapshot shows."""
    circle: list[Any] = []
    circle.append(circle)
    wide = [[HumanMessage("hi")] * 300] * 300
    deep: Any = HumanMessage("hi")
    for _ in range(50):
        deep = [deep]
    assert [len(part) for part in plain(wide)[:2]] == [201, 201]
    assert json.dumps(plain(wide), default=lambda message: None).count('"role"') < 2_000
    plain(deep)
    plain(circle)


def test_a_value_without_messages_is_not_copied() -> None:
    given = {"a": 1, "b": "x"}
    assert plain(given) is given


@pytest.mark.parametrize(
    ("parameters", "metadata", "expected"),
    [
        ({"model": "m", "temperature": 0.5, "_type": "x", "n": 1}, None, {"model": "m", "temperature": 0.5}),
        ({"model_name": "m", "stop": None}, {"ls_provider": "acme"}, {"provider": "acme", "model": "m"}),
        (
            {"max_completion_tokens": 9},
            {"ls_model_name": "m", "ls_max_tokens": 8, "ls_temperature": 0.0, "ls_stop": ["\n"]},
            {"model": "m", "max_tokens": 9, "temperature": 0.0, "stop": ["\n"]},
        ),
        ({}, {"ls_max_tokens": 8}, {"max_tokens": 8}),
        (
            {"tools": [{"type": "function", "function": {"name": "a"}}, {"name": "b"}, {"type": "web_search"}, print]},
            None,
            {"tools": ["a", "b", "web_search", "builtin_function_or_method"]},
        ),
        ({"openai_api_key": KEY, "headers": {"Authorization": KEY}}, None, {}),
        (None, None, {}),
    ],
)
def test_what_a_model_was_asked(parameters: Any, metadata: Any, expected: dict[str, Any]) -> None:
    """The model, the provider and the usual parameters; nothing else of the model's arguments, which have its key."""
    assert asked({"invocation_params": parameters}, metadata, {"prompt": "hi"}) == {"prompt": "hi", **expected}


SENT = {"input_tokens": 10, "output_tokens": 3}
USED = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
OPENAI = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def chat(**fields: Any) -> list[list[ChatGeneration]]:
    about = fields.pop("generation_info", None)
    return [[ChatGeneration(message=AIMessage("hello", **fields), generation_info=about)]]


@pytest.mark.parametrize(
    ("generations", "total", "expected"),
    [
        (chat(usage_metadata=USED), None, {"usage": USED}),
        (
            chat(usage_metadata={**USED, "input_token_details": {"cache_read": 4}, "output_token_details": {}}),
            {"token_usage": OPENAI},
            {"usage": {**USED, "input_token_details": {"cache_read": 4}}},
        ),
        (chat(), {"token_usage": OPENAI, "model_name": "m"}, {"usage": OPENAI, "model": "m"}),
        (chat(), {"usage": SENT, "model": "m"}, {"usage": SENT, "model": "m"}),
        (
            chat(response_metadata={"token_usage": OPENAI, "model_name": "m", "finish_reason": "length"}),
            {},
            {"usage": OPENAI, "model": "m", "finish_reason": "length"},
        ),
        (chat(response_metadata={"stop_reason": "end_turn", "model": "m"}), None, {"finish_reason": "end_turn", "model": "m"}),
        (chat(response_metadata={"done_reason": "stop"}), None, {"finish_reason": "stop"}),
        (chat(generation_info={"finish_reason": "stop"}), None, {"finish_reason": "stop"}),
        (chat(tool_calls=[CALL]), None, {"tool_calls": [CALLED]}),
        ([[Generation(text="hello", generation_info={"finish_reason": "stop"})]], {"token_usage": {}}, {"finish_reason": "stop"}),
        ([[Generation(text="hello")]], {"token_usage": OPENAI}, {"usage": OPENAI}),
    ],
)  # fmt: skip
def test_what_a_model_answered(generations: Any, total: Any, expected: dict[str, Any]) -> None:
    """The counts of tokens, the model and the reason are found wherever the packages of providers put them."""
    assert answered(LLMResult(generations=generations, llm_output=total)) == {"content": "hello", **expected}


def test_a_model_that_answered_nothing_or_several_times() -> None:
    assert answered(LLMResult(generations=[])) == {}
    assert answered(LLMResult(generations=[[]])) == {}
    several = [
        [ChatGeneration(message=AIMessage(text, usage_metadata=USED), generation_info={"finish_reason": "stop"}) for text in "ab"]
    ]
    choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for text in "ab"]
    assert answered(LLMResult(generations=several)) == {"choices": choices, "usage": USED}


# --- a real client ---


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


def completion(message: dict[str, Any], reason: str) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "m-1-2025",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}],
        "usage": {**OPENAI, "prompt_tokens_details": {"cached_tokens": 4}},
    }


def piece(text: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if text is None else [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}]
    return {"id": "c2", "object": "chat.completion.chunk", "model": "m-1-2025", "choices": choices, **more}


@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute")  # the oldest client does, of the newest pydantic
def test_a_real_client_of_openai(ring: obs.RingBufferHandler, endpoint: Endpoint) -> None:
    """Messages, parameters, tokens, finish reasons, tool calls, chunks and refusals of langchain-openai; its key is nowhere."""
    chat_models = pytest.importorskip("langchain_openai")
    logging.getLogger("tea").setLevel(logging.INFO)
    tool = {"type": "function", "function": {"name": "weigh", "description": "Weigh.", "parameters": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "weigh", "arguments": '{"parcel": "lamp"}'}}
    endpoint.answers = [
        answer(completion({"content": "hello"}, "stop")),
        answer(completion({"content": None, "tool_calls": [call]}, "tool_calls")),
        sse(piece("hel"), piece("lo", "stop"), piece(usage=OPENAI), "data: [DONE]\n\n"),
        answer({"error": {"message": f"bad key {KEY}"}}, 401),
    ]
    model = chat_models.ChatOpenAI(model="m-1", base_url=endpoint.url, api_key=KEY, temperature=0.5, max_tokens=20, max_retries=3)
    config = {"callbacks": [FlowCallback()]}
    with obs.flow("desk") as run:
        model.invoke([("system", "be brief"), ("user", "hi")], config, stop=["\n"])
        model.bind_tools([tool]).invoke("weigh it", config)
        list(model.stream("hi", config, stream_usage=True))
        with pytest.raises(Exception, match="bad key"):
            model.invoke("hi", config)
    log = run.get_flow_log()
    first, second, third, refused = ([e for e in log.events if e["span_id"] == span.span_id] for span in log.spans[1:])
    assert first[0]["data"]["input"] == {
        "provider": "openai",
        "model": "m-1",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_tokens": 20,
        "stop": ["\n"],
    }
    output = first[1]["data"]["output"]
    assert {**output, "usage": None} == {"content": "hello", "finish_reason": "stop", "model": "m-1-2025", "usage": None}
    assert second[0]["data"]["input"]["tools"] == ["weigh"]
    assert second[1]["data"]["output"]["tool_calls"] == [CALLED]
    assert second[1]["data"]["output"]["finish_reason"] == "tool_calls"
    assert third[1]["data"]["output"]["content"] == "hello"
    assert third[1]["metrics"]["chunks"] >= 2
    assert 0 < third[1]["metrics"]["time_to_first_chunk_ms"] < third[1]["metrics"]["duration_ms"]
    assert [refused[-1]["event_type"], refused[-1]["data"]["error"]["type"][-19:]] == ["error", "AuthenticationError"]
    tokens = {name: log.metrics[name] for name in ("input_tokens", "output_tokens", "tokens")}
    assert tokens == {"input_tokens": 30, "output_tokens": 9, "tokens": 39}
    assert "1234567890abcdefghij" not in json.dumps(log.to_dict())
    assert f"Bearer {KEY}" in endpoint.asked[0][1]["authorization"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute")  # as above
def test_an_observed_sdk_is_below_the_model(ring: obs.RingBufferHandler, endpoint: Endpoint, is_async: bool) -> None:
    """With OpenAI's SDK observed as well, its calls are spans inside those of the model, and tokens count once."""
    chat_models = pytest.importorskip("langchain_openai")
    if is_async and tuple(map(int, version("langchain-core").split(".")[:3])) < (0, 3, 10):
        pytest.skip("these versions start an asynchronous model in a task of its own")
    logging.getLogger("tea").setLevel(logging.INFO)
    endpoint.answers = [answer(completion({"content": "hello"}, "stop"))] * 2
    undo = instrument()
    model = chat_models.ChatOpenAI(model="m-1", base_url=endpoint.url, api_key=KEY, max_retries=3)
    config = {"callbacks": [FlowCallback()]}

    async def ask() -> None:
        await model.ainvoke("hi", config)
        await model.ainvoke("hi", config)

    with obs.flow("desk") as run:
        if is_async:
            asyncio.run(ask())
        else:
            model.invoke("hi", config)
            model.invoke("hi", config)
    undo()
    log = run.get_flow_log()
    assert [(depth, span.node) for depth, span in log.walk()] == [(0, "flow"), *[(1, "llm.call"), (2, "llm.call")] * 2]
    assert log.metrics["tokens"] == 26
