"""Inputs and outputs of LangChain's runs as plain values: messages in the form of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue

_ROLES: Final = {"human": "user", "HumanMessageChunk": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
_PARAMETERS: Final = (
    "temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty", "seed", "stop", "stop_sequences",
    "reasoning_effort", "response_format", "tool_choice",
)  # fmt: skip
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_REASONS: Final = ("finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason")
_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes})
_MAX_VALUES: Final = 2_000  # of one input or output; as many as a snapshot keeps
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 201  # of one container; one more than a snapshot shows, so that it sees that there are more


def plain(value: Any) -> Any:
    """Return a value with messages and documents as dicts, wherever they are in dicts, lists and commands."""
    return _Walk().take(value, 0)


class _Walk:
    """One pass over one value, with what is left of its cap."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MAX_VALUES

    def take(self, value: Any, depth: int) -> Any:
        convert = _conversion(type(value))  # type: ignore[arg-type]  # mypy does not treat a class as hashable
        if convert is None or depth > _MAX_DEPTH or self.left <= 0:
            return value
        self.left -= 1
        return convert(self, value, depth + 1)

    def mapping(self, value: Any, depth: int) -> Any:
        if len(value) < _MAX_ITEMS and _ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: self.take(item, depth) for key, item in islice(value.items(), _MAX_ITEMS)}

    def items(self, value: Any, depth: int) -> Any:
        if len(value) < _MAX_ITEMS and _ATOMS.issuperset(map(type, value)):
            return value
        return [self.take(item, depth) for item in islice(value, _MAX_ITEMS)]

    def fields(self, value: Any, depth: int) -> Any:
        """Return the fields of LangGraph's own objects that are set: of a command, a packet for a node, an interrupt."""
        names = [field.name for field in fields(value)] if is_dataclass(value) else type(value).__slots__
        given = ((name, getattr(value, name, None)) for name in names)
        return {name: self.take(item, depth) for name, item in given if item is not None and item != ()}


_Conversion: TypeAlias = "Callable[[_Walk, Any, int], Any]"


@lru_cache(maxsize=1024)
def _conversion(kind: type) -> _Conversion | None:
    """Return the function that makes a value of a type plain, or None for one that stays. Asking the type takes long."""
    if issubclass(kind, dict):
        return _Walk.mapping
    if kind in (list, tuple):
        return _Walk.items
    if issubclass(kind, BaseMessage):
        return lambda walk, value, depth: message(value)
    if issubclass(kind, Document):
        return lambda walk, value, depth: {"content": value.page_content, "metadata": value.metadata}
    if issubclass(kind, PromptValue):
        return lambda walk, value, depth: walk.take(value.to_messages(), depth)
    if kind.__module__ in ("langgraph.types", "langgraph.constants") and (is_dataclass(kind) or hasattr(kind, "__slots__")):
        return _Walk.fields
    return None


def message(value: BaseMessage) -> dict[str, Any]:
    """Return a message as ``{role, content}``, with ``name``, ``tool_calls``, ``tool_call_id`` and ``status`` if it has them."""
    found: dict[str, Any] = {"role": getattr(value, "role", None) or _ROLES.get(value.type, value.type), "content": value.content}
    if value.name:
        found["name"] = value.name
    calls = [_call(call, call.get("args")) for call in getattr(value, "tool_calls", None) or ()]
    calls += [{**_call(call, call.get("args")), "error": call.get("error")} for call in _invalid(value)]
    if calls:
        found["tool_calls"] = calls
    if (call_id := getattr(value, "tool_call_id", None)) is not None:
        found["tool_call_id"] = call_id
    if getattr(value, "status", None) == "error":
        found["status"] = "error"
    return found


def _call(call: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    return {"id": call.get("id"), "type": "function", "function": {"name": call.get("name"), "arguments": arguments}}


def _invalid(value: BaseMessage) -> Any:
    return getattr(value, "invalid_tool_calls", None) or ()


def asked(about: Mapping[str, Any], metadata: Mapping[str, Any] | None, said: dict[str, Any]) -> dict[str, Any]:
    """Return the input of a model.

    Args:
        about: What LangChain tells about the call: ``invocation_params``, ``options``.
        metadata: The run's metadata, which have the provider and the model as ``ls_...``.
        said: The messages, or the prompt.
    """
    given, standard = about.get("invocation_params") or {}, metadata or {}
    found = {
        "provider": standard.get("ls_provider"),
        "model": given.get("model") or given.get("model_name") or standard.get("ls_model_name"),
        **said,
        **{name: given.get(name, standard.get(f"ls_{name}")) for name in _PARAMETERS},
        "max_tokens": _first(given, *_LIMITS) or standard.get("ls_max_tokens"),
        "tools": [_tool_name(tool) for tool in given.get("tools") or given.get("functions") or ()] or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tool_name(tool: Any) -> Any:
    if not isinstance(tool, Mapping):
        return getattr(tool, "name", None) or type(tool).__name__
    function = tool.get("function")
    return (function.get("name") if isinstance(function, Mapping) else None) or tool.get("name") or tool.get("type")


def answered(response: Any) -> dict[str, Any]:
    """Return the output of a model, from LangChain's ``LLMResult``.

    One generation is ``{content, tool_calls, finish_reason, model, usage}``, of which only ``content`` is always there; several
    are ``{choices, model, usage}``.
    """
    total = response.llm_output if isinstance(response.llm_output, Mapping) else {}
    generations = response.generations[0] if response.generations else []
    if not generations:
        return {}
    choices = [_choice(generation) for generation in generations]
    metadata = _metadata(generations[0])
    found = (
        {**choices[0]["message"], "finish_reason": choices[0]["finish_reason"]}
        if len(choices) == 1
        else {"content": None, "choices": choices}
    )
    found.pop("role", None)
    found["model"] = _first(metadata, "model_name", "model") or _first(total, "model_name", "model")
    found["usage"] = _usage(generations[0], metadata, total)
    return {name: value for name, value in found.items() if value is not None}


def _choice(generation: Any) -> dict[str, Any]:
    answer = getattr(generation, "message", None)
    said = {"role": "assistant", "content": generation.text} if answer is None else message(answer)
    reason = _first(generation.generation_info or {}, *_REASONS) or _first(_metadata(generation), *_REASONS)
    return {"message": said, "finish_reason": reason}


def _metadata(generation: Any) -> Mapping[str, Any]:
    answer = getattr(generation, "message", None)
    return getattr(answer, "response_metadata", None) or generation.generation_info or {}


def _usage(generation: Any, metadata: Mapping[str, Any], total: Mapping[str, Any]) -> Any:
    """Return the counts of tokens: ``usage_metadata`` of the message, else what the provider's package left elsewhere."""
    counts = getattr(getattr(generation, "message", None), "usage_metadata", None)
    if counts:
        return {name: count for name, count in counts.items() if count != {}}
    return _first(total, "token_usage", "usage") or _first(metadata, "token_usage", "usage")


def _first(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if values.get(name)), None)


def is_bubble(error: BaseException) -> bool:
    """Tell whether an exception is one by which LangGraph leaves nodes on purpose: an interrupt, or a command to a parent."""
    kinds = type(error).__mro__
    return any(kind.__name__ in ("GraphBubbleUp", "GraphInterrupt") and kind.__module__ == "langgraph.errors" for kind in kinds)


def bubbled(error: BaseException) -> dict[str, Any]:
    """Return the output of a node that was left so: ``{interrupts: [...]}``, or the exception's argument by its name."""
    content = error.args[0] if error.args else None
    if isinstance(content, (list, tuple)):
        return {"interrupts": [plain(getattr(one, "value", one)) for one in content]}
    return {type(error).__name__: plain(content)}
