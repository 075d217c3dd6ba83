"""What OpenTelemetry's attributes say of a span: its node, input, output and metrics. It needs none of its packages.

The tables are those by which spans are written, and what else instrumentations use: earlier names of the conventions, and those
of HTTP, databases and messages (https://opentelemetry.io/docs/specs/semconv/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from ..event import is_number
from ..formats import otlp_attributes as names
from ..formats.otlp_attributes import OPERATIONS, PARAMETERS, SPAN_KINDS, Kind

NOTHING: Final = object()
"""Stands for an input or output that a span does not have; None is an ordinary value."""

_KIND_OF_OPERATION: Final = {
    **{operation: kind for kind, operation in OPERATIONS.items()},
    "text_completion": Kind.LLM,
    "generate_content": Kind.LLM,
    "retrieval": Kind.RETRIEVER,
}
_KIND_OF_SPAN_KIND: Final = {text: kind for kind, text in SPAN_KINDS.items()}
_NODES: Final = {Kind.LLM: "llm.call", Kind.EMBEDDING: "embedding", Kind.RETRIEVER: "retriever"}

# Further names of metrics, most of them earlier ones.
_OTHER_METRICS: Final = {
    "input_tokens": ("gen_ai.usage.prompt_tokens",),
    "output_tokens": ("gen_ai.usage.completion_tokens",),
    "tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "cost_usd": ("gen_ai.usage.cost", "operation.cost"),
    "cached_tokens": (names.GEN_AI_CACHED, names.OPENINFERENCE_CACHED),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "llm.token_count.prompt_details.cache_write"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
}
_PARTS: Final = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")  # absent if 0
_METRIC_NAMES: Final = {
    metric: tuple(filter(None, (names.GEN_AI_METRICS.get(metric), names.OPENINFERENCE_METRICS.get(metric), *others)))
    for metric, others in _OTHER_METRICS.items()
}
_NAMES: Final = {**names.NAMES, Kind.AGENT: (*names.NAMES[Kind.AGENT], "agent_name")}
_PARAMETER_OF: Final = {attribute: name for name, attribute in PARAMETERS.items()}
_PROVIDERS: Final = (names.PROVIDER, "gen_ai.system", names.LLM_PROVIDER, "llm.system")
_ARGUMENTS: Final = (names.ARGUMENTS, "tool_arguments")
_RESULTS: Final = (names.RESULT, "tool_response")
_HTTP: Final = {
    "method": ("http.request.method", "http.method"),
    "url": ("url.full", "http.url", "http.target", "url.path"),
}
_STATUS: Final = ("http.response.status_code", "http.status_code")
_DB: Final = {
    "system": ("db.system.name", "db.system"),
    "statement": ("db.query.text", "db.statement"),
    "operation": ("db.operation.name", "db.operation"),
}
# Instrumentations of clients of models: OpenInference's told everything only after the start, and the kind last of all.
_LLM_SCOPE: Final = re.compile(
    r"openinference\.instrumentation\.(openai|anthropic|groq|mistralai|vertexai|google_genai|bedrock|litellm|portkey)"
)
# Instrumentations of databases, of which some tell the system only after the start.
_DB_SCOPE: Final = re.compile(
    r"opentelemetry\.instrumentation\.(sqlalchemy|sqlite3|dbapi|psycopg2?|asyncpg|aiopg|mysql|mysqlclient|pymysql|pymssql|pymongo|redis"
    r"|cassandra|elasticsearch|pymemcache|tortoiseorm)"
)
_SYSTEM: Final = "gen_ai.system_instructions"
_EVENTS: Final = "events"  # of pydantic-ai before 1.0: the messages of a call, in one list
_OMITTED: Final = ("logfire.",)  # how Logfire shows the rest

_UNFIT: Final = re.compile(r"[^\w.:-]+")
_MOST_NODES: Final = 1_000
_seen: Final[set[str]] = set()


class Reading:
    """Reads the attributes of one span, and knows which of them were not read.

    Args:
        name: The span's name.
        kind: The name of its kind, such as ``CLIENT``.
        attributes: Its attributes; those of its end include those of its beginning.
        scope: The name of what instrumented it.
    """

    def __init__(self, name: str, kind: str, attributes: dict[str, Any], scope: str = "") -> None:
        self._name, self._span_kind, self._attributes, self._scope = name, kind, attributes, scope
        self._read: set[str] = set()
        self.kind = self._kind()

    def node(self) -> str:
        """Return the node of the span: ``llm.call``, ``tool.NAME``, ``http.client``, ``db.query``, otherwise ``otel.NAME``."""
        is_server = self._span_kind == "SERVER"
        if self.kind in _NODES:
            return _NODES[self.kind]
        if self.kind in _NAMES:
            return _bounded(self.kind.value, str(self._first(_NAMES[self.kind]) or self._name))
        if (span_kind := self._first([names.SPAN_KIND])) is not None:
            return _bounded(str(span_kind).lower(), self._name)
        if self.kind is Kind.HTTP:
            return "server.request" if is_server else "http.client"
        if self._first(_DB["system"]) is not None or _DB_SCOPE.fullmatch(self._scope):
            return "db.query"
        for what in ("messaging", "rpc"):
            if f"{what}.system" in self._attributes or f"{what}.system.name" in self._attributes:
                return f"{what}.{self._span_kind.lower()}"
        return _bounded("otel", self._name)

    def input(self) -> Any:
        """Return what the span was given, or NOTHING."""
        given = self._value(names.INPUT_VALUE)
        if self.kind is Kind.TOOL and given is NOTHING:
            return self._value(*_ARGUMENTS)
        if self.kind is Kind.HTTP:
            return self._parts(_HTTP)
        if self.kind is Kind.OTHER and given is NOTHING:
            return self._parts(_DB)
        if self.kind not in (Kind.LLM, Kind.EMBEDDING):
            return given
        asked = self._asked() if given is NOTHING else {}
        self._first([names.OPERATION])
        return given if given is not NOTHING else asked or NOTHING

    def output(self) -> Any:
        """Return what the span returned, or NOTHING."""
        answer = self._value(names.OUTPUT_VALUE)
        if answer is not NOTHING:
            return answer
        if self.kind is Kind.TOOL:
            return self._value(*_RESULTS)
        if self.kind is Kind.AGENT:
            return self._value("final_result", names.OUTPUT_MESSAGES)
        if self.kind is Kind.HTTP:
            return self._parts({"status_code": _STATUS})
        return self._answered() or NOTHING if self.kind in (Kind.LLM, Kind.EMBEDDING) else NOTHING

    def metrics(self) -> dict[str, Any]:
        """Return the tokens, the cost and the time to the first chunk."""
        found = {metric: self._first(spellings, is_number) for metric, spellings in _METRIC_NAMES.items()}
        metrics = {metric: value for metric, value in found.items() if value is not None and (value or metric not in _PARTS)}
        if "tokens" not in metrics and "input_tokens" in metrics:
            metrics["tokens"] = metrics["input_tokens"] + metrics.get("output_tokens", 0)
        if (seconds := self._first([names.GEN_AI_FIRST_CHUNK], is_number)) is not None:
            metrics["time_to_first_chunk_ms"] = seconds * 1000
        return metrics

    def error_type(self) -> str | None:
        """Return the type of the error that the span failed with, if an attribute has it."""
        found = self._first(["error.type"])
        return None if found is None else str(found)

    def rest(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that were not read, without those that are known with the same value."""
        numbered = NOTHING if names.INPUT_VALUE in self._attributes else None  # then the messages are there twice
        omitted = (*_OMITTED, *(names.NUMBERED if numbered is NOTHING else ()))
        return {
            name: _parsed(value)
            for name, value in self._attributes.items()
            if name not in self._read and not name.startswith(omitted) and (name not in known or known[name] != value)
        }

    # --- parts ---

    def _kind(self) -> Kind:
        attributes = self._attributes
        if (operation := attributes.get(names.OPERATION)) is not None:
            kind = _KIND_OF_OPERATION.get(str(operation), Kind.OTHER)
        elif (span_kind := attributes.get(names.SPAN_KIND)) is not None:
            kind = _KIND_OF_SPAN_KIND.get(str(span_kind), Kind.OTHER)
        elif any(name in attributes for name in _NAMES[Kind.TOOL]):  # pydantic-ai before 1.0 names no operation
            kind = Kind.TOOL
        elif "agent_name" in attributes:
            kind = Kind.AGENT
        elif any(name.startswith("embedding.") for name in attributes):
            kind = Kind.EMBEDDING
        elif _LLM_SCOPE.fullmatch(self._scope) or any(name.startswith("llm.") for name in attributes):
            kind = Kind.EMBEDDING if "embedding" in self._name.lower() else Kind.LLM
        else:
            kind = Kind.HTTP if any(name in attributes for name in _HTTP["method"]) else Kind.OTHER
        if kind is not Kind.OTHER:
            self._read |= {names.OPERATION, names.SPAN_KIND}
        return kind

    def _first(self, spellings: Iterable[str], is_fit: Callable[[Any], bool] | None = None) -> Any:
        """Return the first attribute that there is of some names, all of which count as read."""
        found, attributes = None, self._attributes
        for name in spellings:
            if name in attributes and (is_fit is None or is_fit(attributes[name])):
                self._read.add(name)
                found = attributes[name] if found is None else found
        return found

    def _value(self, *spellings: str) -> Any:
        """Return an attribute that may be JSON, or NOTHING."""
        value = self._first(spellings)
        if value is None:
            return NOTHING
        self._read.update(names.MIME_TYPES[name] for name in spellings if name in names.MIME_TYPES)
        return _parsed(value)

    def _parts(self, table: Mapping[str, Iterable[str]]) -> Any:
        found = {key: self._first(spellings) for key, spellings in table.items()}
        return {key: value for key, value in found.items() if value is not None} or NOTHING

    def _asked(self) -> dict[str, Any]:
        """Return what a model was asked, in the form of ``llm.call``."""
        given: dict[str, Any] = {"provider": self._first(_PROVIDERS), "model": self._first([names.REQUEST_MODEL])}
        given.update((_PARAMETER_OF[name], self._value(name)) for name in self._attributes if name in _PARAMETER_OF)
        system, asked = self._value(_SYSTEM), self._value(names.INPUT_MESSAGES, "gen_ai.prompt")
        messages = [*_messages([{"role": "system", "parts": system}] if isinstance(system, list) else []), *_messages(asked)]
        if not messages and isinstance(events := self._value(_EVENTS), list):
            messages = [_said(event) for event in events if isinstance(event, dict) and "message" not in event]
        given["messages"] = messages or NOTHING
        return {name: value for name, value in given.items() if value is not None and value is not NOTHING}

    def _answered(self) -> dict[str, Any]:
        """Return what a model answered, in the form of ``llm.call``."""
        messages = list(_messages(self._value(names.OUTPUT_MESSAGES, "gen_ai.completion")))
        if not messages and isinstance(events := self._value(_EVENTS), list):
            messages = [_said(event["message"]) for event in events if isinstance(event, dict) and "message" in event]
        answer = {name: value for name, value in (messages[-1] if messages else {}).items() if name != "role"}
        reasons = self._value(names.FINISH_REASONS)
        answer["finish_reason"] = reasons[0] if isinstance(reasons, (list, tuple)) and reasons else answer.get("finish_reason")
        answer["model"], answer["id"] = self._first([names.RESPONSE_MODEL]), self._first([names.RESPONSE_ID])
        return {name: value for name, value in answer.items() if value is not None}


def _bounded(head: str, name: str) -> str:
    """Return a node of two parts; with too many different ones, the first part. Each node has a logger, which lives on."""
    tail = _UNFIT.sub("_", name).strip("._")[:100]
    node = f"{head}.{tail}" if tail else head
    if node not in _seen:
        if len(_seen) >= _MOST_NODES:
            return head
        _seen.add(node)
    return node


def _parsed(value: Any) -> Any:
    """Return the value of a text that is a JSON object or array, so that its keys count when it is redacted."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return list(value) if isinstance(value, tuple) else value


# --- messages: of parts in the conventions, and as OpenAI has them in the log ---


def _messages(messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            parts = message.get("parts")
            yield _with_content(message, parts) if isinstance(parts, list) else message


def _with_content(message: dict[str, Any], parts: list[Any]) -> dict[str, Any]:
    """Return a message whose parts are texts, calls of tools and their results in OpenAI's form; otherwise the message itself."""
    made: dict[str, Any] = {name: value for name, value in message.items() if name != "parts"}
    texts, calls = [], []
    for part in parts:
        match part:
            case {"type": "text", "content": str(text)}:
                texts.append(text)
            case {"type": "tool_call", "name": name, **rest}:
                call = {"name": name, "arguments": rest.get("arguments")}
                calls.append({"id": rest.get("id"), "type": "function", "function": call})
            case {"type": "tool_call_response", **rest} if len(parts) == 1:
                result = rest.get("response", rest.get("result"))
                return {**made, "role": "tool", "tool_call_id": rest.get("id"), "content": result}
            case _:
                return message
    made["content"] = "\n".join(texts) if texts else None
    return {**made, "tool_calls": calls} if calls else made


def _said(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not name.startswith(("event.", "gen_ai."))}
