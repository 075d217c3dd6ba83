"""What is read from the attributes of OpenTelemetry's spans. None of its packages is needed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.otlp import Translator
from the_edge_obs.handlers.span_records import records_of
from the_edge_obs.integrations import _otel_names
from the_edge_obs.integrations._otel_names import NOTHING, Reading

from .strategies import event


@pytest.mark.parametrize(
    ("name", "kind", "attributes", "node"),
    [
        ("chat m", "CLIENT", {"gen_ai.operation.name": "chat"}, "llm.call"),
        ("m", "CLIENT", {"gen_ai.operation.name": "text_completion"}, "llm.call"),
        ("m", "CLIENT", {"gen_ai.operation.name": "embeddings"}, "embedding"),
        ("running tool", "INTERNAL", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add"}, "tool.add"),
        ("running tool", "INTERNAL", {"gen_ai.operation.name": "execute_tool"}, "tool.running_tool"),
        ("x", "INTERNAL", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "My Agent/2"}, "agent.My_Agent_2"),
        ("find", "INTERNAL", {"gen_ai.operation.name": "create_agent"}, "otel.find"),
        ("ChatCompletion", "INTERNAL", {"openinference.span.kind": "LLM"}, "llm.call"),
        ("search", "INTERNAL", {"openinference.span.kind": "TOOL", "tool.name": "web"}, "tool.web"),
        ("search", "INTERNAL", {"openinference.span.kind": "RETRIEVER"}, "retriever"),
        ("LangGraph", "INTERNAL", {"openinference.span.kind": "CHAIN"}, "chain.LangGraph"),
        ("ChatCompletion", "INTERNAL", {"llm.system": "openai"}, "llm.call"),
        ("CreateEmbeddingResponse", "INTERNAL", {"llm.system": "openai"}, "embedding"),
        ("e", "INTERNAL", {"embedding.model_name": "small"}, "embedding"),
        ("GET", "CLIENT", {"http.request.method": "GET"}, "http.client"),
        ("GET", "CLIENT", {"http.method": "GET"}, "http.client"),
        ("GET /x", "SERVER", {"http.request.method": "GET"}, "server.request"),
        ("SELECT", "CLIENT", {"db.system": "sqlite"}, "db.query"),
        ("SELECT", "CLIENT", {"db.system.name": "sqlite"}, "db.query"),
        ("running tool", "INTERNAL", {"gen_ai.tool.name": "add"}, "tool.add"),
        ("agent run", "INTERNAL", {"agent_name": "calc"}, "agent.calc"),
        ("send", "PRODUCER", {"messaging.system": "kafka"}, "messaging.producer"),
        ("Get", "CLIENT", {"rpc.system": "grpc"}, "rpc.client"),
        ("my work: a/b", "INTERNAL", {}, "otel.my_work:_a_b"),
        (" ... ", "INTERNAL", {}, "otel"),
        ("x" * 500, "INTERNAL", {}, "otel." + "x" * 100),
    ],
)
def test_the_node(name: str, kind: str, attributes: dict[str, Any], node: str) -> None:
    """By the operation, the kind, or what else there is; a name is made fit for a logger."""
    assert Reading(name, kind, attributes).node() == node


def test_a_model_is_known_by_the_instrumentation_of_its_client() -> None:
    """Earlier ones told nothing at the start."""
    for name, node in ("ChatCompletion", "llm.call"), ("CreateEmbeddingResponse", "embedding"):
        assert Reading(name, "INTERNAL", {}, "openinference.instrumentation.openai").node() == node


def test_a_database_is_known_by_its_instrumentation() -> None:
    """It tells the system only after the start."""
    assert Reading("connect", "CLIENT", {}, "opentelemetry.instrumentation.sqlalchemy").node() == "db.query"
    assert Reading("connect", "CLIENT", {}, "opentelemetry.instrumentation.urllib3").node() == "otel.connect"


def test_the_names_of_spans_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node has a logger, which lives as long as the process; a span may be named after a user."""
    monkeypatch.setattr(_otel_names, "_seen", set())
    nodes = [Reading(f"GET /users/{number}", "INTERNAL", {}).node() for number in range(1_500)]
    assert len(set(nodes)) == 1_001
    assert nodes[-1] == "otel"
    assert Reading("GET /users/7", "INTERNAL", {}).node() == "otel.GET_users_7"


ASKED = [{"role": "user", "parts": [{"type": "text", "content": "hi"}, {"type": "text", "content": "there"}]}]
CALLED = {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}
GEN_AI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "small",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.stop_sequences": ("END",),
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be brief"}]),
    "gen_ai.input.messages": json.dumps(
        [
            *ASKED,
            {"role": "assistant", "parts": [CALLED]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": 3}]},
            {"role": "user", "parts": [{"type": "blob", "content": "x"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "ok"}, CALLED], "finish_reason": "stop"}]
    ),
    "gen_ai.response.model": "small-2026",
    "gen_ai.response.id": "r1",
    "gen_ai.response.finish_reasons": ("tool_calls",),
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.usage.cache_read.input_tokens": 2,
    "operation.cost": 0.5,
    "logfire.json_schema": "{}",
    "server.port": 443,
}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def test_a_call_of_a_model_in_the_names_of_gen_ai() -> None:
    """It becomes what ``llm.call`` logs; parts that have no place there stay as they are."""
    reading = Reading("chat small", "CLIENT", GEN_AI)
    assert reading.node() == "llm.call"
    assert reading.input() == {
        "provider": "openai",
        "model": "small",
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi\nthere"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": 3},
            {"role": "user", "parts": [{"type": "blob", "content": "x"}]},
        ],
    }
    assert reading.output() == {
        "content": "ok",
        "tool_calls": [CALL],
        "finish_reason": "tool_calls",
        "model": "small-2026",
        "id": "r1",
    }
    assert reading.metrics() == {
        "input_tokens": 7, "output_tokens": 3, "tokens": 10, "cached_tokens": 2, "cost_usd": 0.5, "time_to_first_chunk_ms": 250.0,
    }  # fmt: skip
    assert reading.rest({}) == {"server.port": 443}


def test_what_came_in_goes_out_under_the_same_names() -> None:
    """The tables are read as they are written."""
    reading = Reading("chat small", "CLIENT", GEN_AI)
    entry = event(2, "entry", node=reading.node(), data={"input": reading.input()})
    end = event(2, "exit", 1, node=reading.node(), data={"output": reading.output()}, metrics=reading.metrics())
    (record,) = records_of(build_flow_log([entry, end]))
    sent = Translator(names=["gen_ai"]).translate(record).attributes
    known = {name: list(value) if isinstance(value, tuple) else value for name, value in GEN_AI.items()}
    # Texts of messages are written with system prompts as messages, and one text a message.
    same = {name: value for name, value in known.items() if name in sent and not name.endswith("messages")}
    assert {name: sent[name] for name in same} == same
    assert set(GEN_AI) - set(sent) == {
        "gen_ai.system", "gen_ai.system_instructions", "operation.cost", "logfire.json_schema", "server.port",
    }  # fmt: skip


def test_a_call_of_a_model_in_the_names_of_openinference() -> None:
    """The values of input and output are what the program gave and got; the messages in numbered attributes repeat them."""
    given = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
    reading = Reading(
        "ChatCompletion",
        "INTERNAL",
        {
            "openinference.span.kind": "LLM",
            "input.value": json.dumps(given),
            "input.mime_type": "application/json",
            "output.value": "hello",
            "output.mime_type": "text/plain",
            "llm.input_messages.0.message.content": "hi",
            "llm.output_messages.0.message.content": "hello",
            "llm.model_name": "small",
            "llm.token_count.prompt": 7,
            "llm.token_count.completion": 3,
            "llm.token_count.total": 11,
            "llm.token_count.prompt_details.cache_read": 0,
            "llm.token_count.completion_details.reasoning": 1,
            "llm.cost.total": 0.25,
        },
    )
    assert (reading.node(), reading.input(), reading.output()) == ("llm.call", given, "hello")
    assert reading.metrics() == {"input_tokens": 7, "output_tokens": 3, "tokens": 11, "reasoning_tokens": 1, "cost_usd": 0.25}
    assert reading.rest({}) == {"llm.model_name": "small"}
    assert reading.rest({"llm.model_name": "small"}) == {}
    assert reading.rest({"llm.model_name": "large"}) == {"llm.model_name": "small"}


def test_messages_in_events() -> None:
    """As pydantic-ai before 1.0 has them: in one attribute."""
    told = [
        {"event.name": "gen_ai.user.message", "gen_ai.message.index": 0, "role": "user", "content": "hi"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "hello"}},
    ]
    reading = Reading("chat small", "INTERNAL", {"gen_ai.operation.name": "chat", "events": json.dumps(told)})
    assert reading.input() == {"messages": [{"role": "user", "content": "hi"}]}
    assert reading.output() == {"content": "hello"}
    assert reading.rest({}) == {}


@pytest.mark.parametrize(
    ("kind", "attributes", "given", "answered"),
    [
        ("TOOL", {"gen_ai.tool.call.arguments": '{"a": 1}', "gen_ai.tool.call.result": "[2]"}, {"a": 1}, [2]),
        ("TOOL", {"tool_arguments": '{"a": 1}', "tool_response": "two"}, {"a": 1}, "two"),
        ("TOOL", {"input.value": "one", "output.value": "two"}, "one", "two"),
        ("AGENT", {"final_result": "done"}, NOTHING, "done"),
        ("CHAIN", {"input.value": '{"a": 1}', "output.value": "{not json"}, {"a": 1}, "{not json"),
        (None, {"http.method": "GET", "http.url": "http://x/", "http.status_code": 200},
         {"method": "GET", "url": "http://x/"}, {"status_code": 200}),
        (None, {"http.request.method": "GET", "url.full": "http://x/", "http.response.status_code": 200},
         {"method": "GET", "url": "http://x/"}, {"status_code": 200}),
        (None, {"db.system": "sqlite", "db.statement": "select 1"}, {"system": "sqlite", "statement": "select 1"}, NOTHING),
        (None, {"db.system.name": "sqlite", "db.query.text": "select 1", "db.operation.name": "select"},
         {"system": "sqlite", "statement": "select 1", "operation": "select"}, NOTHING),
        ("LLM", {}, NOTHING, NOTHING),
        (None, {}, NOTHING, NOTHING),
    ],
)  # fmt: skip
def test_what_other_spans_were_given_and_returned(
    kind: str | None, attributes: dict[str, Any], given: Any, answered: Any
) -> None:
    """Tools, agents, chains, requests and queries; nothing of it is told twice."""
    kinds = {} if kind is None else {"openinference.span.kind": kind}
    reading = Reading("x", "CLIENT", {**kinds, **attributes})
    reading.node()
    assert (reading.input(), reading.output(), reading.metrics()) == (given, answered, {})
    assert reading.rest({}) == {}


@pytest.mark.parametrize(
    "value", ["no json", '{"a": ', 7, None, {"role": "user"}, '[1, "x", {"parts": 3}, {"parts": [1]}]', "[[]]"]
)
def test_values_of_any_form_are_read(value: Any) -> None:
    """Attributes are what some library wrote, of any version."""
    attributes = dict.fromkeys(GEN_AI, value) | {"gen_ai.operation.name": "chat", "events": value}
    reading = Reading("x", "CLIENT", attributes)
    assert reading.node() == "llm.call"
    reading.input(), reading.output(), reading.metrics(), reading.rest({}), reading.error_type()
    for name in ("gen_ai.operation.name", "openinference.span.kind"):
        reading = Reading("x", "INTERNAL", {name: value, "tool.name": value, "gen_ai.tool.name": value})
        assert reading.node()
        reading.input(), reading.output()
        assert Reading("x", "INTERNAL", {name: "TOOL" if "span" in name else "execute_tool", "tool.name": value}).node()
