"""Callables: what kind of result a call returns, and callables that stand in for others."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
from collections.abc import Callable
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, Final, Literal, TypeAlias

from ..errors import ConfigurationError

Kind: TypeAlias = Literal["function", "coroutine", "iterable_coroutine", "generator", "async_generator"]
"""An ``iterable_coroutine`` is a generator that ``types.coroutine`` has made awaitable."""


def kind_of(fn: Callable[..., Any]) -> Kind:
    """Return the kind of function that a callable is for its caller; partials and objects with ``__call__`` included."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    # The object itself is checked too: a mock, or a marked callable, can say that its result is awaitable.
    for call in (inner,) if inspect.isroutine(inner) else (inner, type(inner).__call__):
        if inspect.iscoroutinefunction(call):
            return "coroutine"
        if inspect.isasyncgenfunction(call):
            return "async_generator"
        if inspect.isgeneratorfunction(call):
            code = getattr(call, "__code__", None)
            return "iterable_coroutine" if code is not None and _is_awaitable(code) else "generator"
    return "function"


def _is_awaitable(code: CodeType) -> bool:
    """Tell whether ``types.coroutine`` has marked a generator's code."""
    return bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


STREAMS: Final[dict[Kind, type]] = {"generator": GeneratorType, "async_generator": AsyncGeneratorType}
_MANAGERS: Final[tuple[type, ...]] = (
    contextlib._GeneratorContextManager,
    contextlib._AsyncGeneratorContextManager,
)
_FUTURE: Final = "_asyncio_future_blocking"  # the attribute by which asyncio recognises a future
_THREADS_FUTURE: Final = ("concurrent.futures._base", "Future")  # by name: its module is slow to import

Way: TypeAlias = Literal[Kind, "manager", "future", "awaitable"]


def is_there(kind: type) -> bool:
    """Tell whether a value of a type is a complete result, not one that comes later."""
    try:
        return _way_of(kind) is None
    except Exception:  # noqa: BLE001 - a metaclass may make its classes unhashable
        return False


def way_of(output: Any) -> Way | None:
    """Return how a result comes later, or None if it is complete or was started before this call."""
    try:
        way = _way_of(type(output))  # type: ignore[arg-type]  # mypy does not know that classes are hashable
    except Exception:  # noqa: BLE001 - a metaclass may make its classes unhashable
        return None
    if way == "generator":
        way = "iterable_coroutine" if _is_awaitable(output.gi_code) else way
        return way if inspect.getgeneratorstate(output) == inspect.GEN_CREATED else None
    if way == "coroutine" and type(output) is CoroutineType:
        return way if inspect.getcoroutinestate(output) == inspect.CORO_CREATED else None
    return way


@functools.lru_cache(maxsize=1024)
def _way_of(kind: type) -> Way | None:
    bases = type.mro(kind)
    names = {name for base in bases for name in vars(base)}
    for way, base in STREAMS.items():
        if issubclass(kind, base):
            return way
    if issubclass(kind, _MANAGERS):
        return "manager"
    if _FUTURE in names or any((base.__module__, base.__qualname__) == _THREADS_FUTURE for base in bases):
        return "future"
    if names >= {"__await__", "send", "throw", "close"}:  # the rule of collections.abc.Coroutine
        return "awaitable" if "__aenter__" in names else "coroutine"  # an aiohttp request can be entered as well
    return "awaitable" if "__await__" in names and not _is_handle(kind, names) else None


def _is_handle(kind: Any, names: set[str]) -> bool:
    """Tell whether an awaitable is the handle of running work, as in Dask and Ray, whose APIs accept only the handle itself.

    They check its type or read it in C, so no wrapper can replace it.
    """
    return "result" in names or type(kind.__await__) is not FunctionType


def stream_of(manager: Any) -> Kind | None:
    """Return the kind of generator behind a context manager of ``contextlib``, or None if it is another object."""
    return next((kind for kind, base in STREAMS.items() if type(manager.gen) is base), None)


_KINDS: Final = {
    "coroutine": "an async function",
    "iterable_coroutine": "a coroutine",
    "generator": "a generator",
    "async_generator": "an async generator",
}
HAND_ON: Final = (
    "give a plain function that hands the event on, such as lambda event: loop.call_soon_threadsafe(queue.put_nowait, event)"
)


# The path of a function: ``package.module:function``.
_FUNCTION_PATH: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_function_path(text: str) -> bool:
    """Tell whether a text can be the path of a function, ``package.module:function``; nothing is imported."""
    return _FUNCTION_PATH.fullmatch(text) is not None


def function_at(what: str, path: str) -> Any:
    """Import the function at a path, ``package.module:function``.

    Args:
        what: The name of the setting, for the error: ``callback``.
        path: The path.

    Raises:
        ConfigurationError: it is not found.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{what} {path!r} is not found ({error}); write 'package.module:function'") from error


def check_runs(what: str, fn: Callable[..., Any]) -> None:
    """Check that calling a function runs it.

    Args:
        what: The name of the setting, for the error: ``callback``.
        fn: The function.

    Raises:
        ConfigurationError: a call returns something to await or iterate over, and nothing here does that.
    """
    if (kind := kind_of(fn)) != "function":
        raise ConfigurationError(f"{what} {fn!r} is {_KINDS[kind]}: a call alone does not run it; {HAND_ON}")


class Standing(functools.partial):  # type: ignore[type-arg]
    """A callable that stands in for another: it has the other's name, docstring, signature, kind and attributes.

    It binds as a method where the other does. Attributes that are not its own are read from the other and set there.
    It is a partial because ``inspect`` and frameworks unwrap partials: ``iscoroutinefunction`` checks the function inside.

    Args:
        call: The function that a call runs.
        args: The first arguments of ``call``, before those of the caller.
        stands_for: The other callable.
    """

    __wrapped__: Any

    def __new__(cls, call: Callable[..., Any], /, *args: Any, stands_for: Any) -> Standing:
        """Make a stand-in for a callable."""
        self = super().__new__(cls, call, *args)
        # Only the names and the docstring: a copy of the other attributes would go stale.
        for name in (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__"):
            value = stands_for if name == "__wrapped__" else getattr(stands_for, name, self)
            if value is not self:
                object.__setattr__(self, name, value)
        return self

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the other callable."""
        try:
            other = self.__dict__["__wrapped__"]
        except KeyError:
            raise AttributeError(name) from None
        return getattr(other, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the other callable; if it refuses, set it here."""
        if name not in self.__dict__:
            try:
                return setattr(self.__wrapped__, name, value)
            except (AttributeError, TypeError):  # a builtin, or an object with slots
                pass
        return object.__setattr__(self, name, value)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as the other callable does: functions and ``lru_cache`` do, partials, builtins and objects do not."""
        bind = getattr(type(self.__wrapped__), "__get__", None)
        if instance is None or bind is None or bind(self.__wrapped__, instance, owner) is self.__wrapped__:
            return self
        return MethodType(self, instance)

    def __repr__(self) -> str:
        """Return the kind of stand-in, and the other callable."""
        return f"<{type(self).__name__.strip('_').lower()} {self.__wrapped__!r}>"
