"""What is captured of a call: the arguments that are its input, its code location, and the metrics in its result."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..recording.records import NOWHERE, Site

# Never captured: they are large, shared, or not the call's own business.
_HIDDEN: Final = frozenset({"self", "cls", "state", "ctx", "engine"})
# What an engine passes to every action beside its parameters (TEA: config=, node=, graph=, and to a fan-in parallel_results=).
_ENGINE_ARGUMENTS: Final = frozenset({"config", "node", "graph", "parallel_results"})

_Get: TypeAlias = Callable[[str], Any]

_USAGE_KEYS: Final = ("usage", "usage_metadata", "usageMetadata")
_KEYS: Final = frozenset({*_USAGE_KEYS, "cost_usd"})
# The spellings of each count, and the counts to add to it. OpenAI's and LangChain's counts are complete: they include cached and
# reasoning tokens. Anthropic's and Bedrock's input count does not include tokens from the cache
# (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching). Gemini's candidates do not include the thoughts
# (https://ai.google.dev/api/generate-content#UsageMetadata).
_INPUT: Final = {
    "input_tokens": ("cache_read_input_tokens", "cache_creation_input_tokens"),
    "prompt_tokens": (),
    "inputTokens": ("cacheReadInputTokens", "cacheWriteInputTokens"),
    "prompt_token_count": ("tool_use_prompt_token_count",),
    "promptTokenCount": ("toolUsePromptTokenCount",),
}
_OUTPUT: Final = {
    "output_tokens": (),
    "completion_tokens": (),
    "outputTokens": (),
    "candidates_token_count": ("thoughts_token_count",),
    "candidatesTokenCount": ("thoughtsTokenCount",),
}
_TOTAL: Final = {"total_tokens": (), "tokens": (), "totalTokens": (), "total_token_count": (), "totalTokenCount": ()}
# Counts that are part of the input or the output, and where a usage of OpenAI, Anthropic, Bedrock, Gemini or LangChain has them.
_PARTS: Final = {
    "cached_tokens": (
        *(("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"), ("cache_read_input_tokens",)),
        *(("cacheReadInputTokens",), ("cached_content_token_count",), ("cachedContentTokenCount",)),
        ("input_token_details", "cache_read"),
    ),
    "cache_write_tokens": (
        *(("cache_creation_input_tokens",), ("cacheWriteInputTokens",), ("prompt_tokens_details", "cache_write_tokens")),
        *(("input_tokens_details", "cache_write_tokens"), ("input_token_details", "cache_creation")),
    ),
    "reasoning_tokens": (
        *(("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens")),
        *(("thoughts_token_count",), ("thoughtsTokenCount",), ("output_token_details", "reasoning")),
    ),
}
_MAX_KEYS: Final = 32  # of a usage whose keys are looked at first
_MODEL_KEYS: Final = ("model", "model_name", "model_version", "modelVersion")

MUTE: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset})
"""Types of results that hold no metrics."""


class Capture:
    """Selects the input from a call's arguments. Created once per function, from its signature.

    For ``(params, state, ...)`` the input is the params. For ``(state, **params)`` it is all parameters except the state and the
    engine's own arguments. Otherwise it is the arguments by name. ``self``, ``cls``, ``state``, ``ctx`` and ``engine`` are left
    out.

    Attributes:
        takes_params: Whether the first argument is the whole input.
        params_at: Index of the params among the positional arguments (1 in a method, after self), or None.
        takes_node: Whether the ``node`` argument is the engine's name for the step.
    """

    __slots__ = ("hidden", "names", "params_at", "rest", "takes_node", "takes_params")

    def __init__(self, fn: Callable[..., Any]) -> None:
        names, rest = _parameters(fn)
        self.names = names
        self.rest = rest
        first = 1 if names[:1] in (("self",), ("cls",)) else 0
        self.takes_node = names[first : first + 1] == ("state",)
        self.params_at = first if names[first : first + 2] == ("params", "state") else None
        self.takes_params = self.params_at == 0
        self.hidden = _HIDDEN | _ENGINE_ARGUMENTS if self.takes_node else _HIDDEN

    def state_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the state that a call gets, or None."""
        state = kwargs.get("state")
        if state is None and "state" in self.names and len(args) > (at := self.names.index("state")):
            state = args[at]
        return state if type(state) is dict else None

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the input of a call."""
        if (at := self.params_at) is not None:
            return args[at] if len(args) > at else kwargs.get("params")
        hidden = self.hidden
        captured = {name: value for name, value in zip(self.names, args, strict=False) if name not in hidden}
        if len(args) > len(self.names) and self.rest:
            captured[self.rest] = args[len(self.names) :]
        for name, value in kwargs.items():
            if name not in hidden:
                captured[name] = value
        return captured


def _parameters(fn: Callable[..., Any]) -> tuple[tuple[str, ...], str]:
    """Return the names of the positional parameters, and that of ``*args``."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return (), "args"  # some builtins have no signature
    positional = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return positional, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


def location_of(fn: Callable[..., Any]) -> Site:
    """Return a callable's code location; ``NOWHERE`` if it is not Python code."""
    inner = inspect.unwrap(fn)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    code = getattr(inner, "__code__", None) or getattr(vars(type(inner)).get("__call__"), "__code__", None)
    return Site(code.co_filename, code.co_firstlineno, code.co_name) if code else NOWHERE


def is_soft_failure(result: dict[str, Any]) -> bool:
    """Tell whether a result says that the action failed: ``{"success": False, "error": ...}``."""
    return result.get("success") is False


def may_bring_metrics(result: object) -> bool:
    """Tell whether a result has a key or attribute that ``metrics_of`` reads; False if it cannot be read."""
    try:
        for fields in _fields_of(result):
            if not dict.keys(fields).isdisjoint(_KEYS):
                return True
    except Exception:  # noqa: BLE001 - a metaclass whose classes cannot even be hashed
        pass
    return False


def _fields_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the mappings that hold a dict's items or an object's attributes."""
    kind = type(value)
    if issubclass(kind, dict):
        return (value,)
    slots = _slots_of(kind)  # type: ignore[arg-type]  # mypy does not treat a class as hashable
    return slots, *_stores_of(value, slots)


def metrics_of(result: object) -> dict[str, Any] | None:
    """Return the metrics in a result, or None: the tokens of its ``usage`` or ``usage_metadata``, and ``cost_usd``.

    ``cached_tokens`` and ``cache_write_tokens`` are part of ``input_tokens``, ``reasoning_tokens`` of ``output_tokens``.

    The result and its usage are dicts or objects, as in the SDKs of OpenAI, Anthropic, Google and others. If the usage has no
    total, the total is the sum of input and output.
    """
    kind = type(result)
    if kind in MUTE or (kind is dict and cast("dict[str, Any]", result).keys().isdisjoint(_KEYS)):
        return None
    get: _Get = cast("dict[str, Any]", result).get if kind is dict else _getter(result)
    usage: Any = None
    for key in _USAGE_KEYS:
        if (usage := get(key)) is not None:
            break
    if type(usage) in MUTE:
        metrics = {}
    else:
        tables = _tables_for(usage)
        metrics = (tables.three and _three_of(usage, tables.three)) or _tokens_of(_getter(usage), tables)
    if is_count(cost := get("cost_usd")):
        metrics["cost_usd"] = cost
    return metrics or None


class _Tables(NamedTuple):
    """The spellings of counts that a usage may have; ``_ALL`` has all of them.

    Attributes:
        three: The spellings of its input, output and total, if it has these three and no other count.
    """

    total: Mapping[str, tuple[str, ...]]
    input: Mapping[str, tuple[str, ...]]
    output: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, tuple[tuple[str, ...], ...]]
    three: tuple[str, ...]


_ALL: Final = _Tables(_TOTAL, _INPUT, _OUTPUT, _PARTS, ())
_SPELLINGS: Final = frozenset(
    key for spellings in (_TOTAL, _INPUT, _OUTPUT) for first, others in spellings.items() for key in (first, *others)
) | {path[0] for paths in _PARTS.values() for path in paths}


def _tables_for(usage: Any) -> _Tables:
    """Return what has to be looked up in a usage: of a dict, only the spellings that are its keys."""
    if type(usage) is not dict or len(usage) > _MAX_KEYS:
        return _ALL
    for key in usage:
        if type(key) is not str:
            return _ALL
    return _tables_of(tuple([key for key in usage if key in _SPELLINGS]))


# Usages come from few libraries, each with its own keys.
@functools.lru_cache(maxsize=64)
def _tables_of(keys: tuple[str, ...]) -> _Tables:
    def among(spellings: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        return {key: tuple(other for other in others if other in keys) for key, others in spellings.items() if key in keys}

    parts = {name: tuple(path for path in paths if path[0] in keys) for name, paths in _PARTS.items()}
    total, sent, got = among(_TOTAL), among(_INPUT), among(_OUTPUT)
    three = (*sent, *got, *total)
    is_three = len(sent) == len(got) == len(total) == 1 and len(keys) == len(three)
    return _Tables(total, sent, got, {name: paths for name, paths in parts.items() if paths}, three if is_three else ())


def _three_of(usage: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the metrics of a usage that has three counts and no other; None if they are not all whole numbers."""
    sent, got, total = map(usage.get, keys)
    if type(sent) is type(got) is type(total) is int and sent >= 0 and got >= 0 and total >= 0:
        return {"input_tokens": sent, "output_tokens": got, "tokens": total}
    return None


def _tokens_of(get: _Get, tables: _Tables) -> dict[str, Any]:
    total, _ = _count(get, tables.total)
    sent, beside_sent = _count(get, tables.input)
    got, beside_got = _count(get, tables.output)
    # Some gateways use Anthropic's names but count as OpenAI does: then the counts include the cached tokens already.
    if total is not None and total < (sent or 0) + beside_sent + (got or 0) + beside_got:
        beside_sent = beside_got = 0
    tokens = {}
    if sent is not None:
        tokens["input_tokens"] = sent + beside_sent
    if got is not None:
        tokens["output_tokens"] = got + beside_got
    if total is not None or tokens:
        tokens["tokens"] = sum(tokens.values()) if total is None else total
    return {**tokens, **_parts_of(get, tables.parts)} if tables.parts else tokens


def _parts_of(get: _Get, tables: Mapping[str, tuple[tuple[str, ...], ...]]) -> dict[str, Any]:
    """Return the counts of a usage that are part of its input and output, as far as they are not 0."""
    parts = {}
    for name, paths in tables.items():
        for first, *rest in paths:
            value = get(first)
            if rest and value is not None:
                value = None if type(value) in MUTE else _getter(value)(rest[0])
            if value is not None and is_count(value):
                if value:
                    parts[name] = value
                break
    return parts


def model_in(value: object) -> str | None:
    """Return the model that a result or an input names, or None; for LangChain's messages, that of ``response_metadata``."""
    if type(value) in MUTE:
        return None
    get = _getter(value)
    model = next((model for key in _MODEL_KEYS if type(model := get(key)) is str and model), None)
    if model is None and type(about := get("response_metadata")) is dict:
        model = model_in(about)
    return model


def _count(get: _Get, spellings: Mapping[str, tuple[str, ...]]) -> tuple[Any, Any]:
    """Return a count of a usage (or None), and the sum of the counts to add to it."""
    for key, others in spellings.items():
        own = get(key)
        if own is not None and is_count(own):
            beside = 0
            for other in others:
                if is_count(count := get(other)):
                    beside += count
            return own, beside
    return None, 0


def _getter(value: object) -> _Get:
    """Return a function that gets an item of a dict, or a stored attribute of an object, or None; no foreign code runs."""
    kind = type(value)
    if issubclass(kind, dict):
        own: _Get = dict.get.__get__(value)
        return own
    slots = _slots_of(kind)  # type: ignore[arg-type]  # mypy does not treat a class as hashable
    stores = _stores_of(value, slots)

    def get(name: str) -> Any:
        for fields in stores:
            if name in fields:
                return fields[name]
        return _in_slot(slots[name], value) if name in slots else None

    return get


def _stores_of(value: object, slots: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the dicts in which an object stores attributes."""
    stores = []
    for name in ("__dict__", "__pydantic_extra__"):
        if name in slots and type(fields := _in_slot(slots[name], value)) is dict:
            stores.append(fields)
    return stores


@functools.lru_cache(maxsize=1024)
def _slots_of(kind: type) -> dict[str, Any]:
    """Return the descriptors of stored attributes of a class, by name: its slots, and ``__dict__``."""
    attributes: dict[str, Any] = {}
    for base in reversed(type.mro(kind)):
        attributes.update(vars(base))
    return {
        name: slot
        for name, slot in attributes.items()
        if type(slot) is MemberDescriptorType or (name == "__dict__" and type(slot) is GetSetDescriptorType)
    }


def _in_slot(slot: Any, value: object) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:  # not set
        return None


def is_count(value: Any) -> bool:
    """Tell whether a value is a finite number of at least 0."""
    kind = type(value)  # not isinstance: __class__ may lie or raise
    return kind in (int, float) and 0 <= value < math.inf
