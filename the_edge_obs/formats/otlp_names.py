"""The attributes of spans of models, tools and agents, in the two conventions that viewers read.

``otlp_attributes`` has their names. Phoenix and MLflow show kinds, inputs and outputs only with those of ``openinference``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from ..event import dumps, is_number
from ..handlers.span_records import SpanRecord
from . import otlp_attributes as names
from .otlp_attributes import KINDS, NUMBERED, OPERATIONS, PARAMETERS, SPAN_KINDS, Kind

Value: TypeAlias = "str | bool | int | float | list[str]"

_Pairs: TypeAlias = "Iterator[tuple[str, Any]]"


def kind_of(node: str) -> Kind:
    """Return what a node is: the first part of its name tells."""
    return KINDS.get(node.partition(".")[0], Kind.OTHER)


def bridged(record: SpanRecord) -> Mapping[str, Any]:
    """Return what the entry of a span says of its origin in OpenTelemetry; empty if it did not come from there."""
    return _mapping(record.entry.get(names.BRIDGED))


def title_of(kind: Kind, record: SpanRecord) -> str:
    """Return the name of a span: that in OpenTelemetry if it came from there, ``chat {model}``, ``execute_tool {tool}``, the
    flow's name, the step, or the node."""
    if name := _string(bridged(record).get("name")):
        return name
    subject = _request_model(record) if kind in (Kind.LLM, Kind.EMBEDDING) else _tail(record.node)
    if kind in OPERATIONS:
        return f"{OPERATIONS[kind]} {subject}" if subject else OPERATIONS[kind]
    return record.name or record.step or record.node


def _gen_ai(kind: Kind, record: SpanRecord, content: bool) -> dict[str, Value]:
    return dict(_present(_gen_ai_pairs(kind, record, content)))


def _gen_ai_pairs(kind: Kind, record: SpanRecord, content: bool) -> _Pairs:
    if kind not in OPERATIONS:
        return
    yield names.OPERATION, OPERATIONS[kind]
    if kind in (Kind.TOOL, Kind.AGENT):
        yield names.NAMES[kind][0], _tail(record.node)
        if kind is Kind.TOOL and content:
            yield names.ARGUMENTS, _text(record.input)
            yield names.RESULT, _text(record.output)
        return
    given, answer = _mapping(record.input), _mapping(record.output)
    yield names.PROVIDER, _provider(given)
    yield names.REQUEST_MODEL, _request_model(record)
    yield names.RESPONSE_MODEL, _string(answer.get("model"))
    yield names.RESPONSE_ID, _string(answer.get("id"))
    for name, attribute in PARAMETERS.items():
        yield attribute, _parameter(name, given.get(name))
    yield names.FINISH_REASONS, _finish_reasons(answer)
    for metric, attribute in names.GEN_AI_METRICS.items():
        yield attribute, record.metrics.get(metric)
    yield names.GEN_AI_CACHED, _cached(record.metrics, answer)
    first: Any = record.metrics.get("time_to_first_chunk_ms")
    yield names.GEN_AI_FIRST_CHUNK, first / 1000 if is_number(first) else None
    if content and kind is Kind.LLM:
        if asked := _asked(given):
            yield names.INPUT_MESSAGES, dumps([_with_parts(message) for message in asked])
        if answered := _answered(answer):
            reasons = _finish_reasons(answer) or ["stop"]
            yield names.OUTPUT_MESSAGES, dumps([{**_with_parts(one), "finish_reason": reasons[0]} for one in answered])


def _openinference(kind: Kind, record: SpanRecord, content: bool) -> dict[str, Value]:
    return dict(_present(_openinference_pairs(kind, record, content)))


def _openinference_pairs(kind: Kind, record: SpanRecord, content: bool) -> _Pairs:
    yield names.SPAN_KIND, SPAN_KINDS.get(kind, "CHAIN")
    if content:
        for name, value in ((names.INPUT_VALUE, record.input), (names.OUTPUT_VALUE, record.output)):
            if value is not None:
                yield name, _text(value)
                yield names.MIME_TYPES[name], "text/plain" if isinstance(value, str) else "application/json"
    if kind in names.NAMES:
        yield names.NAMES[kind][1], _tail(record.node)
    if kind not in (Kind.LLM, Kind.EMBEDDING):
        return
    given, answer = _mapping(record.input), _mapping(record.output)
    model = _string(answer.get("model")) or _request_model(record)
    yield names.MODEL_NAMES[kind], model
    yield names.LLM_PROVIDER, _provider(given)
    parameters = {name: given[name] for name in PARAMETERS if given.get(name) is not None}
    yield names.INVOCATION, dumps(parameters) if parameters else None
    for metric, attribute in names.OPENINFERENCE_METRICS.items():
        yield attribute, record.metrics.get(metric)
    yield names.OPENINFERENCE_CACHED, _cached(record.metrics, answer)
    if content and kind is Kind.LLM:
        for prefix, messages in zip(NUMBERED, (_asked(given), _answered(answer)), strict=True):
            yield from _numbered(prefix, messages)


def _numbered(prefix: str, messages: list[Mapping[str, Any]]) -> _Pairs:
    for number, message in enumerate(messages):
        path = f"{prefix}.{number}.message"
        yield f"{path}.role", _string(message.get("role"))
        content = message.get("content")
        yield f"{path}.content", None if content is None else _text(content)
        for at, (_, name, arguments) in enumerate(_tool_calls(message)):
            yield f"{path}.tool_calls.{at}.tool_call.function.name", name
            yield f"{path}.tool_calls.{at}.tool_call.function.arguments", arguments


CONVENTIONS: Final[Mapping[str, Callable[[Kind, SpanRecord, bool], dict[str, Value]]]] = {
    "gen_ai": _gen_ai,
    "openinference": _openinference,
}
"""The conventions by name: each gives the attributes of a span, with or without its content."""


# --- what a span of a model was given and answered: OpenAI's form, as llm.call and most libraries have it ---


def _asked(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages that a model was given; OpenAI's API ``responses`` calls them input and instructions."""
    system = given.get("system", given.get("instructions"))
    before: list[Mapping[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    messages = given.get("messages", given.get("input"))
    if isinstance(messages, list):
        return [*before, *(message for message in messages if isinstance(message, Mapping))]
    prompt = given.get("prompt", given.get("input"))
    return before if prompt is None else [*before, {"role": "user", "content": prompt}]


def _answered(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages that a model answered: of each choice, or the answer itself."""
    choices = answer.get("choices")
    if isinstance(choices, list):
        messages = [_mapping(_mapping(choice).get("message")) for choice in choices]
        if messages := [message for message in messages if message]:
            return [{"role": "assistant", **message} for message in messages]
    content, calls = answer.get("content", answer.get("text")), answer.get("tool_calls")
    if content is None and not calls:
        return []
    return [{"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}]


def _with_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in the form of ``gen_ai.input.messages``."""
    content = message.get("content")
    parts: list[dict[str, Any]] = [] if content is None else [{"type": "text", "content": _text(content)}]
    for call_id, name, arguments in _tool_calls(message):
        parts.append({"type": "tool_call", "id": call_id, "name": name, "arguments": arguments})
    return {"role": str(message.get("role")), "parts": parts}


def _tool_calls(message: Mapping[str, Any]) -> Iterator[tuple[str | None, str | None, str | None]]:
    """Yield the id, name and arguments of each tool call in a message."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = _mapping(_mapping(call).get("function"))
        if function:
            arguments = function.get("arguments")
            yield _string(call.get("id")), _string(function.get("name")), None if arguments is None else _text(arguments)


def _finish_reasons(answer: Mapping[str, Any]) -> list[str] | None:
    reasons = [answer.get("finish_reason", answer.get("stop_reason"))]
    if isinstance(choices := answer.get("choices"), list):
        reasons += [_mapping(choice).get("finish_reason") for choice in choices]
    return [reason for reason in reasons if isinstance(reason, str)] or None


def _cached(metrics: Mapping[str, Any], answer: Mapping[str, Any]) -> Any:
    """Return how many of the input tokens came from a cache: the metric, or what the answer of an older log says."""
    if (count := metrics.get("cached_tokens")) is not None:
        return count
    usage = _mapping(answer.get("usage"))
    if "input_token_details" in usage:  # of LangChain
        return _mapping(usage["input_token_details"]).get("cache_read")
    details = _mapping(usage.get("prompt_tokens_details", usage.get("input_tokens_details")))
    return details.get("cached_tokens", usage.get("cache_read_input_tokens"))


def _request_model(record: SpanRecord) -> str | None:
    return _string(_mapping(record.input).get("model")) or _string(_mapping(record.output).get("model"))


def _provider(given: Mapping[str, Any]) -> str | None:
    provider = _string(given.get("provider"))
    return None if provider == "auto" else provider


def _parameter(name: str, value: Any) -> Any:
    if name in ("stop", "stop_sequences"):
        return [value] if isinstance(value, str) else value
    return value if is_number(value) else None


# --- values ---


def _present(pairs: _Pairs) -> Iterator[tuple[str, Value]]:
    """Yield the pairs whose value OTLP can have: no None, and lists of texts only."""
    for name, value in pairs:
        is_texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if isinstance(value, (str, bool)) or is_number(value) or is_texts:
            yield name, value


def _tail(node: str) -> str:
    return node.partition(".")[2] or node


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)
