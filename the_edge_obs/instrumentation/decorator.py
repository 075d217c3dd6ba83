"""Decorating functions: ``observable``, and the callables that stand for what is not a plain function.

What can be decided outside the call is decided here: the logger, the level, which arguments are the input, where the code is.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import FunctionType
from typing import Any, Final, TypeVar, cast, overload

from ..errors import ConfigurationError
from ..event import level_number
from ..recording.callables import Standing, kind_of
from ..recording.names import node_name
from .answers import Asking, asking
from .capture import Capture, location_of
from .wrappers import WRAPPERS, ObservedNode

F = TypeVar("F", bound=Callable[..., Any])

MARK: Final = "__observed__"  # of a wrapper: what it observes
NODE: Final = "_node"  # of a wrapper: its node


@overload
def observable(action_name: F) -> F: ...
@overload
def observable(
    action_name: str | None = None, level: str | int = "info", sanitize_keys: Iterable[str] | None = None
) -> Callable[[F], F]: ...


def observable(
    action_name: F | str | None = None, level: str | int = "info", sanitize_keys: Iterable[str] | None = None
) -> F | Callable[[F], F]:
    """Make a function log each call as a span: its input, output, duration and errors.

    Works on sync, async, generator and async generator functions, on methods, and on every other callable except a class.
    Callers see no change. A generator's span ends with its last item; ``chunks`` and ``time_to_first_chunk_ms`` are metrics of
    its exit.

    A call that returns a coroutine, a future (of ``asyncio`` or ``concurrent.futures``), a generator or a context manager of
    ``contextlib`` ends when that is done; one that is never awaited ends as cancelled. Handles of other libraries, such as the
    futures of Dask and Ray, are returned unchanged, and the call ends.

    The input is ``params`` for ``(params, state, ctx)``, the parameters for ``(state, **params)``, otherwise the arguments by
    name; never ``self``, ``state``, ``ctx`` or ``engine``. A result ``{"success": False, "error": ...}`` is logged as an error.

    Args:
        action_name: The node's name, such as ``llm.call``, without blanks and of at most 256 characters; its logger is
            ``tea.`` + name. Default: the function's name.
        level: Level of the entry and exit events; errors are always ``error``. Default ``info``.
        sanitize_keys: Further keys whose values are secrets, in addition to the built-in ones.

    Returns:
        The decorated function, or a decorator if the function is not given yet.

    Raises:
        ConfigurationError: The object is not callable or is a class, or the name or sanitize_keys is not valid.
        EventError: The level is unknown.

    Example:
        >>> @obs.observable("llm.call", sanitize_keys=["cpf"])
        ... def llm_call(params, state, ctx):
        ...     return {"content": "hello"}
    """
    if action_name is not None and not isinstance(action_name, str):
        return cast("F", _observed(action_name, None, logging.INFO, None))
    if isinstance(sanitize_keys, str):
        raise ConfigurationError(f"sanitize_keys {sanitize_keys!r} is a string; give a list such as [{sanitize_keys!r}]")
    number = level_number(level)
    name = None if action_name is None else node_name(action_name)

    def decorate(fn: F) -> F:
        return cast("F", _observed(fn, name, number, sanitize_keys))

    return decorate


def _observed(fn: Any, name: str | None, level: int, sanitize_keys: Iterable[str] | None) -> Any:
    if isinstance(fn, (staticmethod, classmethod)):
        observed = type(fn)(_observed(fn.__func__, name, level, sanitize_keys))
        setattr(observed, MARK, fn)
        return observed
    if not callable(fn) or isinstance(fn, type):
        raise ConfigurationError(f"{fn!r} cannot be observed; {_way_out(fn)}")
    node = node_of(fn, name, level, sanitize_keys)
    return _wrapper(fn, node) if isinstance(fn, FunctionType) else standing(fn, node)


def _way_out(fn: Any) -> str:
    """Return what to decorate instead of an object that cannot be observed."""
    if isinstance(fn, type):
        return "decorate its methods, or the function that makes it"
    if isinstance(fn, functools.partialmethod):
        return "decorate the method that it is made of"
    if hasattr(type(fn), "__get__"):  # a property, a cached_property, a singledispatchmethod
        return f"put @observable below @{type(fn).__name__}, right above the function"
    if inspect.isawaitable(fn):
        return "decorate the coroutine function, not its call"
    return "allowed: a function, a method or a callable object, or the node's name: @observable('llm.call')"


def node_of(fn: Any, name: str | None, level: int, sanitize_keys: Iterable[str] | None = None) -> ObservedNode:
    """Return everything about a callable that is known before any call; the default name is that of the function or the type."""
    inner = fn
    while isinstance(inner, functools.partial) and not hasattr(inner, "__name__"):
        inner = inner.func
    own_name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    return ObservedNode(name or own_name, level, sanitize_keys, Capture(fn), location_of(fn))


def _wrapper(fn: Any, node: ObservedNode) -> Callable[..., Any]:
    """Return the function that logs the calls of another."""
    wrapper = WRAPPERS[kind_of(fn)](fn, node)
    vars(wrapper).update({MARK: fn, NODE: node})
    return wrapper


class Observed(Standing):
    """An observed callable that is not a plain function, or one of a registry.

    It is pickled by its name if a module has it under that name. Otherwise the wrapped callable is pickled and observed again: a
    callable of a registry has the name of a function that is not observed in its module.
    """

    def __reduce__(self) -> str | tuple[Any, ...]:
        name = self.__dict__.get("__qualname__", "")
        try:
            if attrgetter(name)(sys.modules[self.__module__]) is self:
                return str(name)
        except (AttributeError, KeyError):
            pass
        return standing, (self.__wrapped__, self.__dict__[NODE])


def standing(fn: Any, node: ObservedNode) -> Observed:
    """Return an observed callable that stands for another."""
    observed = Observed(_wrapper(fn, node), stands_for=fn)
    observed.__dict__.update({MARK: fn, NODE: node})
    return observed


def answering(fn: Any, name: str, level: int, asked: Asking) -> Observed:
    """Return an observed callable that stands for an action, and asks for an answer before each call of it.

    Args:
        fn: The action, which may be observed already: then it is logged as before.
        name: Its name in the registry.
        level: Level of the entry and exit events, unless it is observed already.
        asked: Answers the calls.
    """
    node = vars(fn).get(NODE) if hasattr(fn, MARK) else None
    inner = getattr(fn, MARK) if node is not None and fn.__wrapped__ is getattr(fn, MARK) else fn
    node = node or node_of(fn, name, level)
    answered = Observed(asking(inner, node, name, asked), stands_for=fn)
    answered.__dict__.update({MARK: inner, NODE: node})
    return answered
