"""What is captured of a call: which arguments are its input, where its code is, what its result says of itself."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, TypeAlias, cast

from ..recording.records import NOWHERE, Site

# Never captured: they are large, shared, or not the call's own business.
_HIDDEN: Final = frozenset({"self", "cls", "state", "ctx", "engine"})
# What an engine passes to every action beside its parameters (TEA: config=, node=, graph=, and to a fan-in parallel_results=).
_ENGINE_ARGUMENTS: Final = frozenset({"config", "node", "graph", "parallel_results"})

_Get: TypeAlias = Callable[[str], Any]

_USAGE_KEYS: Final = ("usage", "usage_metadata", "usageMetadata")
_KEYS: Final = frozenset({*_USAGE_KEYS, "cost_usd"})
# The spellings of each count, and what stands beside it and is not in it. OpenAI's and LangChain's counts are whole: cached and
# reasoning tokens are details of them. Anthropic's and Bedrock's input leaves out what went through the cache
# (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching), Gemini's candidates leave out the thoughts
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

MUTE: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset})
"""Types of results that bring no metrics."""


class Capture:
    """Picks the input out of a call's arguments; made once a function, from its signature.

    For ``(params, state, ...)`` the input is the params; for ``(state, **params)`` all but the state and what an engine adds;
    otherwise the arguments by name. ``self``, ``cls``, ``state``, ``ctx`` and ``engine`` are left out.

    Attributes:
        takes_params: Whether the first argument is all of the input.
        params_at: Where the params are among the positional arguments: 1 in a method, which still gets its self; or None.
        takes_node: Whether a ``node`` argument is the engine's name of the step.
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

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the input of a call."""
        if (at := self.params_at) is not None:
            return args[at] if len(args) > at else kwargs.get("params")
        hidden = self.hidden
        found = {name: value for name, value in zip(self.names, args, strict=False) if name not in hidden}
        if len(args) > len(self.names) and self.rest:
            found[self.rest] = args[len(self.names) :]
        for name, value in kwargs.items():
            if name not in hidden:
                found[name] = value
        return found


def _parameters(fn: Callable[..., Any]) -> tuple[tuple[str, ...], str]:
    """Return the names of the positional parameters, and that of ``*args``."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return (), "args"  # some builtins have no signature
    positional = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return positional, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


def location_of(fn: Callable[..., Any]) -> Site:
    """Return where a callable's code is, as far as it is Python code."""
    inner = inspect.unwrap(fn)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    code = getattr(inner, "__code__", None) or getattr(vars(type(inner)).get("__call__"), "__code__", None)
    return Site(code.co_filename, code.co_firstlineno, code.co_name) if code else NOWHERE


def is_soft_failure(result: dict[str, Any]) -> bool:
    """Tell whether a result says that the action failed: ``{"success": False, "error": ...}``."""
    return result.get("success") is False


def may_bring_metrics(result: object) -> bool:
    """Tell whether a result has something that ``metrics_of`` reads; what cannot be read has nothing."""
    try:
        for fields in _fields_of(result):
            if not dict.keys(fields).isdisjoint(_KEYS):
                return True
    except Exception:  # noqa: BLE001 - a metaclass whose classes cannot even be hashed
        pass
    return False


def _fields_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Return where a dict has its items, or an object its attributes: its slots, and what it stores elsewhere."""
    kind = type(value)
    if issubclass(kind, dict):
        return (value,)
    slots = _slots_of(kind)  # type: ignore[arg-type]  # mypy takes no class for hashable
    return slots, *_stores_of(value, slots)


def metrics_of(result: object) -> dict[str, Any] | None:
    """Return the metrics that a result brings, or None: tokens of its ``usage`` or ``usage_metadata``, and ``cost_usd``.

    The result, and its usage, is a dict or an object, as the SDKs of OpenAI, Anthropic, Google and others have them. A total that
    the usage leaves out is the sum of input and output.
    """
    kind = type(result)
    if kind in MUTE or (kind is dict and cast("dict[str, Any]", result).keys().isdisjoint(_KEYS)):
        return None
    get = _getter(result)
    usage = None
    for key in _USAGE_KEYS:
        if (usage := get(key)) is not None:
            break
    found = {} if type(usage) in MUTE else _tokens_of(_getter(usage))
    if _is_count(cost := get("cost_usd")):
        found["cost_usd"] = cost
    return found or None


def _tokens_of(get: _Get) -> dict[str, Any]:
    total, _ = _count(get, _TOTAL)
    sent, beside_sent = _count(get, _INPUT)
    got, beside_got = _count(get, _OUTPUT)
    # Some gateways speak Anthropic's words and count as OpenAI does: then the total has no room for what stands beside.
    if total is not None and total < (sent or 0) + beside_sent + (got or 0) + beside_got:
        beside_sent = beside_got = 0
    found = {}
    if sent is not None:
        found["input_tokens"] = sent + beside_sent
    if got is not None:
        found["output_tokens"] = got + beside_got
    if total is not None or found:
        found["tokens"] = sum(found.values()) if total is None else total
    return found


def _count(get: _Get, spellings: Mapping[str, tuple[str, ...]]) -> tuple[Any, Any]:
    """Return a count of a usage, None without one, and the sum of what stands beside it."""
    for key, others in spellings.items():
        own = get(key)
        if own is not None and _is_count(own):
            beside = 0
            for other in others:
                if _is_count(count := get(other)):
                    beside += count
            return own, beside
    return None, 0


def _getter(value: object) -> _Get:
    """Return what gets an item of a dict, or an attribute as an object stores it, or None; no foreign code runs."""
    kind = type(value)
    if issubclass(kind, dict):
        own: _Get = dict.get.__get__(value)
        return own
    slots = _slots_of(kind)  # type: ignore[arg-type]  # mypy takes no class for hashable
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
    """Return what objects of a class store their attributes in, by name: slots, and the ``__dict__``."""
    found: dict[str, Any] = {}
    for base in reversed(type.mro(kind)):
        found.update(vars(base))
    return {
        name: slot
        for name, slot in found.items()
        if type(slot) is MemberDescriptorType or (name == "__dict__" and type(slot) is GetSetDescriptorType)
    }


def _in_slot(slot: Any, value: object) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:  # not set
        return None


def _is_count(value: Any) -> bool:
    kind = type(value)  # not isinstance: a value may lie about its class, or raise when it is asked
    return kind in (int, float) and 0 <= value < math.inf
