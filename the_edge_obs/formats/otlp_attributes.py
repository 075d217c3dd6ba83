"""The names of attributes in the two conventions for models, tools and agents: the tables from which they are written and read.

``gen_ai``: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. ``openinference``:
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = [
    "ARGUMENTS",
    "ATTRIBUTES",
    "BRIDGED",
    "FINISH_REASONS",
    "GEN_AI_CACHED",
    "GEN_AI_FIRST_CHUNK",
    "GEN_AI_METRICS",
    "INPUT_MESSAGES",
    "INPUT_VALUE",
    "INVOCATION",
    "KINDS",
    "LLM_PROVIDER",
    "MIME_TYPES",
    "MODEL_NAMES",
    "NAMES",
    "NUMBERED",
    "OPENINFERENCE_CACHED",
    "OPENINFERENCE_METRICS",
    "OPERATION",
    "OPERATIONS",
    "OUTPUT_MESSAGES",
    "OUTPUT_VALUE",
    "PARAMETERS",
    "PROVIDER",
    "REQUEST_MODEL",
    "RESPONSE_ID",
    "RESPONSE_MODEL",
    "RESULT",
    "SENT_TO",
    "SPAN_KIND",
    "SPAN_KINDS",
    "Kind",
]


class Kind(Enum):
    """What a node is, by its name."""

    LLM = "llm"
    EMBEDDING = "embedding"
    TOOL = "tool"
    AGENT = "agent"
    RETRIEVER = "retriever"
    HTTP = "http"
    OTHER = "other"


KINDS: Final = {
    "llm": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "embeddings": Kind.EMBEDDING,
    "tool": Kind.TOOL,
    "agent": Kind.AGENT,
    "retriever": Kind.RETRIEVER,
    "http": Kind.HTTP,
    "web": Kind.HTTP,
}
"""The kind of a node, by the first part of its name."""

OPERATION: Final = "gen_ai.operation.name"
OPERATIONS: Final = {
    Kind.LLM: "chat",
    Kind.EMBEDDING: "embeddings",
    Kind.TOOL: "execute_tool",
    Kind.AGENT: "invoke_agent",
}

SPAN_KIND: Final = "openinference.span.kind"
SPAN_KINDS: Final = {
    Kind.LLM: "LLM",
    Kind.EMBEDDING: "EMBEDDING",
    Kind.TOOL: "TOOL",
    Kind.AGENT: "AGENT",
    Kind.RETRIEVER: "RETRIEVER",
}

PARAMETERS: Final = {
    name: f"gen_ai.request.{'stop_sequences' if name == 'stop' else name}"
    for name in (
        "temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty", "seed", "stop", "stop_sequences",
    )
}  # fmt: skip
"""The parameters of a model's call."""

PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
NAMES: Final = {Kind.TOOL: ("gen_ai.tool.name", "tool.name"), Kind.AGENT: ("gen_ai.agent.name", "agent.name")}
"""The names of tools and agents, in either convention."""

GEN_AI_CACHED: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_METRICS: Final = {"input_tokens": "gen_ai.usage.input_tokens", "output_tokens": "gen_ai.usage.output_tokens"}

MODEL_NAMES: Final = {Kind.LLM: "llm.model_name", Kind.EMBEDDING: "embedding.model_name"}
LLM_PROVIDER: Final = "llm.provider"
INVOCATION: Final = "llm.invocation_parameters"
OPENINFERENCE_CACHED: Final = "llm.token_count.prompt_details.cache_read"
OPENINFERENCE_METRICS: Final = {
    "input_tokens": "llm.token_count.prompt",
    "output_tokens": "llm.token_count.completion",
    "tokens": "llm.token_count.total",
    "reasoning_tokens": "llm.token_count.completion_details.reasoning",
    "cost_usd": "llm.cost.total",
}
INPUT_VALUE: Final = "input.value"
OUTPUT_VALUE: Final = "output.value"
MIME_TYPES: Final = {INPUT_VALUE: "input.mime_type", OUTPUT_VALUE: "output.mime_type"}
NUMBERED: Final = ("llm.input_messages", "llm.output_messages")

BRIDGED: Final = "otel"
"""The key in the data of an entry by which a span came from OpenTelemetry: its name there, and what instrumented it."""
SENT_TO: Final = "sent_to"
"""The key in there of the receivers to which an exporter of OpenTelemetry sends the span."""
ATTRIBUTES: Final = "attributes"
"""The key in the data of a span from OpenTelemetry of those attributes that are in no other part of it."""
