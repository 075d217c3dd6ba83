"""Callables: what a call of one gives, and callables that stand for others."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, Final, Literal, TypeAlias

from ..errors import ConfigurationError

Kind: TypeAlias = Literal["function", "coroutine", "iterable_coroutine", "generator", "async_generator"]
"""An ``iterable_coroutine`` is a generator that ``types.coroutine`` has made awaitable."""


def kind_of(fn: Callable[..., Any]) -> Kind:
    """Return what kind of function a callable is, as its caller sees it; partials and objects with ``__call__`` included."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    # An object is asked as well: a mock, or a callable that was marked, says itself that its result is to be awaited.
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
_FUTURE: Final = "_asyncio_future_blocking"  # which tells asyncio that something is a future
_THREADS_FUTURE: Final = ("concurrent.futures._base", "Future")  # whose module takes time to import

Way: TypeAlias = Literal[Kind, "manager", "future", "awaitable"]


def is_there(kind: type) -> bool:
    """Tell whether results of a type never come later."""
    try:
        return _way_of(kind) is None
    except Exception:  # noqa: BLE001 - a metaclass whose classes cannot even be hashed
        return False


def way_of(output: Any) -> Way | None:
    """Return what sort of result that comes later something is, or None: it is there, or it has begun before this call."""
    try:
        way = _way_of(type(output))  # type: ignore[arg-type]  # mypy takes no class for hashable
    except Exception:  # noqa: BLE001 - a metaclass whose classes cannot even be hashed
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
    if names >= {"__await__", "send", "throw", "close"}:  # as collections.abc.Coroutine tells
        return "awaitable" if "__aenter__" in names else "coroutine"  # a request of aiohttp is to be entered as well
    return "awaitable" if "__await__" in names and not _is_handle(kind, names) else None


def _is_handle(kind: Any, names: set[str]) -> bool:
    """Tell whether an awaitable is somebody's handle of what goes on, as those of Dask and Ray: only itself is taken back there.

    They look at its type or read it in C, and nothing can stand for it.
    """
    return "result" in names or type(kind.__await__) is not FunctionType


def stream_of(manager: Any) -> Kind | None:
    """Return what kind of generator a manager of ``contextlib`` goes through, or None where it is another object."""
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


def check_runs(what: str, fn: Callable[..., Any]) -> None:
    """Check that a call of something that is given events runs it.

    Args:
        what: What it is, for the error: ``callback``.
        fn: It.

    Raises:
        ConfigurationError: a call gives something that is to be awaited or iterated, which nobody does.
    """
    if (kind := kind_of(fn)) != "function":
        raise ConfigurationError(f"{what} {fn!r} is {_KINDS[kind]}: a call alone does not run it; {HAND_ON}")


class Standing(functools.partial):  # type: ignore[type-arg]
    """A callable that stands for another: it has that one's name, docstring, signature, kind and attributes.

    It binds as a method where the other does. Attributes that are not its own are read from the other and set there.
    A partial, because ``inspect`` and frameworks see through one: ``iscoroutinefunction`` asks the function below.

    Args:
        call: What a call calls.
        args: The first arguments of ``call``, before those of the caller.
        stands_for: The other callable.
    """

    __wrapped__: Any

    def __new__(cls, call: Callable[..., Any], /, *args: Any, stands_for: Any) -> Standing:
        """Make one for a callable."""
        self = super().__new__(cls, call, *args)
        # Its face alone: a copy of its attributes would not change when they do.
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
        """Set an attribute of the other callable; what it does not take is set here."""
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
        """Return what it stands for."""
        return f"<{type(self).__name__.strip('_').lower()} {self.__wrapped__!r}>"
