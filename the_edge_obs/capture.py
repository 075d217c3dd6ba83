"""What is captured of a call: which arguments are its input, where its code is, what its result says of itself."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any, Final, cast

from .records import NOWHERE, Site

# Never captured: they are large, shared, or not the call's own business.
_HIDDEN: Final = frozenset({"self", "cls", "state", "ctx", "engine"})
# What an engine passes to every action beside its parameters (TEA: config=, node=, graph=, and to a fan-in parallel_results=).
_ENGINE_ARGUMENTS: Final = frozenset({"config", "node", "graph", "parallel_results"})

_USAGE_KEYS: Final = ("usage", "usage_metadata", "usageMetadata")
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


def metrics_of(result: object) -> dict[str, Any] | None:
    """Return the metrics that a result brings, or None: tokens of its ``usage`` or ``usage_metadata``, and ``cost_usd``.

    The result, and its usage, is a dict or an object, as the SDKs of OpenAI, Anthropic, Google and others have them. A total that
    the usage leaves out is the sum of input and output.
    """
    if type(result) in MUTE:
        return None
    usage = next((usage for key in _USAGE_KEYS if (usage := _stored(result, key)) is not None), None)
    found = {} if type(usage) in MUTE else _tokens_of(usage)
    if _is_count(cost := _stored(result, "cost_usd")):
        found["cost_usd"] = cost
    return found or None


def _tokens_of(usage: object) -> dict[str, Any]:
    total, _ = _count(usage, _TOTAL)
    counts = {"input_tokens": _count(usage, _INPUT), "output_tokens": _count(usage, _OUTPUT)}
    whole = sum((own or 0) + beside for own, beside in counts.values())
    # Some gateways speak Anthropic's words and count as OpenAI does: then the total has no room for what stands beside.
    is_whole = total is not None and total < whole
    found = {name: own if is_whole else own + beside for name, (own, beside) in counts.items() if own is not None}
    if total is not None or found:
        found["tokens"] = sum(found.values()) if total is None else total
    return found


def _count(usage: object, spellings: Mapping[str, tuple[str, ...]]) -> tuple[Any, Any]:
    """Return a count of a usage, None without one, and the sum of what stands beside it."""
    for key, others in spellings.items():
        if _is_count(own := _stored(usage, key)):
            return own, sum(count for other in others if _is_count(count := _stored(usage, other)))
    return None, 0


def _stored(value: object, name: str) -> Any:
    """Return an item of a dict, or an attribute as an object stores it, or None; no property and no foreign code runs."""
    kind = type(value)
    if issubclass(kind, dict):
        return dict.get(cast("dict[str, Any]", value), name)
    for store in ("__dict__", "__pydantic_extra__"):
        try:
            fields = object.__getattribute__(value, store)
        except Exception:  # noqa: BLE001 - it stores nothing there, or is a descriptor of its own that fails
            continue
        if type(fields) is dict and name in fields:
            return fields[name]
    slot = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    if type(slot) is MemberDescriptorType:
        try:
            return slot.__get__(value, kind)
        except AttributeError:  # not set
            return None
    return None


def _is_count(value: Any) -> bool:
    kind = type(value)  # not isinstance: a value may lie about its class, or raise when it is asked
    return kind in (int, float) and 0 <= value < math.inf
