"""What is captured of a call: which arguments are its input, where its code is, what its result says of itself."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Final

from .records import NOWHERE, Site

# Never captured: they are large, shared, or not the call's own business.
_HIDDEN: Final = frozenset({"self", "cls", "state", "ctx", "engine"})
# What an engine passes to every action beside its parameters (TEA: config=, node=, graph=, and to a fan-in parallel_results=).
_ENGINE_ARGUMENTS: Final = frozenset({"config", "node", "graph", "parallel_results"})

_USAGE: Final = (
    ("input_tokens", ("input_tokens", "prompt_tokens")),
    ("output_tokens", ("output_tokens", "completion_tokens")),
    ("tokens", ("total_tokens", "tokens")),
)


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


SAYS_MORE: Final = frozenset({"success", "usage", "cost_usd"})
"""The keys of a result that ``is_soft_failure`` and ``metrics_of`` read: without any of them there is nothing to find."""


def is_soft_failure(result: dict[str, Any]) -> bool:
    """Tell whether a result says that the action failed: ``{"success": False, "error": ...}``."""
    return result.get("success") is False


def metrics_of(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the metrics that a result brings, or None: tokens of its ``usage`` (in OpenAI's or Anthropic's words), ``cost_usd``.

    A total that the usage leaves out is the sum of input and output.
    """
    usage, cost = result.get("usage"), result.get("cost_usd")
    if usage is None and cost is None:
        return None
    found: dict[str, Any] = {}
    if type(usage) is dict:
        for name, spellings in _USAGE:
            count = next((usage[key] for key in spellings if _is_count(usage.get(key))), None)
            if count is not None:
                found[name] = count
        if "tokens" not in found and found:
            found["tokens"] = sum(found.values())
    if _is_count(cost):
        found["cost_usd"] = cost
    return found or None


def _is_count(value: Any) -> bool:
    kind = type(value)  # not isinstance: a value may lie about its class, or raise when it is asked
    return kind in (int, float) and 0 <= value < math.inf
