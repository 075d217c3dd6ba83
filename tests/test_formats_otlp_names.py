from __future__ import annotations

import json
from typing import Any

import pytest

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.otlp import OtlpSpan, Translator
from the_edge_obs.handlers.span_records import records_of

from .strategies import event


def span(node: str, given: Any = None, answer: Any = None, metrics: dict[str, Any] | None = None, **options: Any) -> OtlpSpan:
    entry = event(2, "entry", node=node, data={} if given is None else {"input": given})
    end = event(2, "exit", 1, node=node, data={} if answer is None else {"output": answer}, metrics=metrics or {})
    (record,) = records_of(build_flow_log([entry, end]))
    return Translator(**options).translate(record)


GIVEN = {
    "model": "small",
    "provider": "openai",
    "system": "be brief",
    "prompt": "hi",
    "temperature": 0.5,
    "max_tokens": 9,
    "stop": "END",
}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
ANSWER = {
    "content": "hello",
    "model": "small-2026",
    "finish_reason": "tool_calls",
    "tool_calls": [CALL],
    "usage": {"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8}},
}
METRICS = {"input_tokens": 12, "output_tokens": 3, "tokens": 15, "cost_usd": 0.25, "time_to_first_chunk_ms": 250.0}


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"input_tokens": 12, "input_tokens_details": {"cached_tokens": 8}}, 8),
        ({"input_tokens": 4, "cache_read_input_tokens": 8}, 8),
        ({"input_tokens": 12, "input_token_details": {"cache_read": 8, "cache_creation": 1}}, 8),
        ({"input_tokens": 12, "input_token_details": {"audio": 1}}, None),
    ],
)
def test_cached_tokens_of_every_provider(usage: dict[str, Any], cached: int | None) -> None:
    """OpenAI's newer form, Anthropic's and LangChain's."""
    found = dict(span("llm.call", GIVEN, {**ANSWER, "usage": usage}, {}).attributes)
    assert found.get("gen_ai.usage.cache_read.input_tokens") == cached
    assert found.get("llm.token_count.prompt_details.cache_read") == cached


def test_a_call_of_a_model_in_the_names_of_gen_ai() -> None:
    """``chat {model}``, a client; cached tokens are part of the input; the first chunk is in seconds."""
    made = span("llm.call", GIVEN, ANSWER, METRICS, names=["gen_ai"])
    assert (made.name, made.is_client) == ("chat small", True)
    found = dict(made.attributes)
    asked, answered = json.loads(str(found.pop("gen_ai.input.messages"))), json.loads(str(found.pop("gen_ai.output.messages")))
    assert found == {
        "tea.node": "llm.call",
        "tea.metrics.time_to_first_chunk_ms": 250.0,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small-2026",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.response.time_to_first_chunk": 0.25,
    }
    assert [(one["role"], one["parts"][0]["content"]) for one in asked] == [("system", "be brief"), ("user", "hi")]
    call = {"type": "tool_call", "id": "c1", "name": "add", "arguments": '{"a": 1}'}
    assert answered == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hello"}, call], "finish_reason": "tool_calls"}
    ]


def test_a_call_of_a_model_in_the_names_of_openinference() -> None:
    """The names that Phoenix and MLflow show."""
    found = span("llm.call", GIVEN, ANSWER, METRICS, names=["openinference"]).attributes
    assert json.loads(str(found["input.value"])) == GIVEN
    assert {name: value for name, value in found.items() if not name.startswith(("tea.", "input.", "output."))} == {
        "openinference.span.kind": "LLM",
        "llm.model_name": "small-2026",
        "llm.provider": "openai",
        "llm.invocation_parameters": '{"temperature":0.5,"max_tokens":9,"stop":"END"}',
        "llm.token_count.prompt": 12,
        "llm.token_count.completion": 3,
        "llm.token_count.total": 15,
        "llm.token_count.prompt_details.cache_read": 8,
        "llm.cost.total": 0.25,
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "be brief",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "hello",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "add",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
    }


def test_an_answer_in_choices() -> None:
    """The answer of an OpenAI client, as a dict."""
    answer = {
        "id": "r1",
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    }
    found = span("llm.chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}]}]}, answer).attributes
    assert (found["gen_ai.response.id"], found["gen_ai.response.finish_reasons"]) == ("r1", ["stop"])
    assert found["llm.output_messages.0.message.content"] == "yes"
    assert found["llm.input_messages.0.message.content"] == '[{"type":"text","text":"?"}]'


@pytest.mark.parametrize(
    ("node", "name", "kind", "is_client"),
    [
        ("tool.search", "execute_tool search", "TOOL", False),
        ("agent.writer", "invoke_agent writer", "AGENT", False),
        ("retriever.docs", "retriever.docs", "RETRIEVER", False),
        ("embedding.create", "embeddings", "EMBEDDING", False),
        ("http.get", "http.get", "CHAIN", True),
        ("rank", "rank", "CHAIN", False),
        ("llm.call", "chat", "LLM", True),
    ],
)
def test_kinds_of_nodes(node: str, name: str, kind: str, is_client: bool) -> None:
    """The first part of a node tells what it is."""
    made = span(node)
    assert (made.name, made.attributes["openinference.span.kind"], made.is_client) == (name, kind, is_client)


def test_a_tool_has_its_name_arguments_and_result() -> None:
    """In both conventions."""
    found = span("tool.search", {"q": 1}, "none").attributes
    assert (found["gen_ai.tool.name"], found["tool.name"]) == ("search", "search")
    assert (found["gen_ai.tool.call.arguments"], found["gen_ai.tool.call.result"]) == ('{"q":1}', "none")
    assert (found["output.value"], found["output.mime_type"], found["input.mime_type"]) == (
        "none",
        "text/plain",
        "application/json",
    )


@pytest.mark.parametrize("node", ["llm.call", "tool.x", "agent.x", "embedding.x", "rank"])
def test_without_content_nothing_of_it_is_there(node: str) -> None:
    """Only names, numbers and parameters are left."""
    found = span(
        node, {"prompt": "needle", "messages": [{"role": "user", "content": "needle"}]}, "needle", content=False
    ).attributes
    assert "needle" not in json.dumps(found)


@pytest.mark.parametrize("odd", [3, "text", [1], {"messages": "x", "model": 5, "stop": [1]}, {"messages": [1, {"role": None}]}])
def test_odd_inputs_and_outputs_are_translated(odd: Any) -> None:
    """A node named like a model's may be given anything."""
    answers = [odd, {"choices": "x", "usage": 3, "tool_calls": [1, {"function": {"arguments": {"a": 1}}}]}, {"choices": [3]}]
    for answer in answers:
        assert span("llm.call", odd, answer).attributes["gen_ai.operation.name"] == "chat"
