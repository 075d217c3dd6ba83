"""Results that complete later: a call that returns a coroutine, a generator or a future ends when that result is done.

A plain decorator, a lambda, ``functools.partial`` or ``contextmanager`` can hide an async function or a generator: ``inspect``
sees a sync function. So the result decides. The caller gets the same kind of object: for a coroutine another coroutine, for a
future the same future, and for any other awaitable an object that stands for it and has its class.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import lru_cache
from types import CoroutineType
from typing import Any, Final, Protocol

from ..recording.callables import STREAMS, stream_of
from ..recording.faults import own_fault
from ..recording.records import NOTHING
from .span_events import OpenSpan

Wrappers = Mapping[str, Callable[[Any, Any], Callable[..., Any]]]
"""For each kind of function, as ``kind_of`` returns it, the function that wraps one of that kind for a node."""


class Node(Protocol):
    """The part of a ``wrappers.ObservedNode`` that is used here."""

    level: int
    logger: logging.Logger


def hand_on(output: Any, way: str, node: Any, opened: OpenSpan | None, wrappers: Wrappers) -> Any:
    """Return a result that completes later, and log the end of the call when it does.

    Args:
        output: The result of the call.
        way: The kind of result, as ``way_of`` returns it.
        node: The node of the function.
        opened: The call's span, or None if its level is filtered: then only errors are logged.
        wrappers: The wrappers for each kind of function.
    """
    try:
        return _handed_on(output, way, node, opened, wrappers)
    except Exception:  # noqa: BLE001 - observability never breaks the observed code
        own_fault("following a result that comes later", None if opened is None else opened.context)
        return output


def _handed_on(output: Any, way: str, node: Any, opened: OpenSpan | None, wrappers: Wrappers) -> Any:
    if way == "manager":
        kind = stream_of(output)
        if kind is not None:
            pending = _pending(node, opened, output.gen, kind)
            output.gen = _observed(output.gen, kind, pending, wrappers)
            _follow_decorations(output, wrappers[kind], node, pending)
        elif opened is not None:
            opened.close(output)
        return output
    if way == "future":
        _watch(output, node, opened)
        return output
    pending = _pending(node, opened, output, way)
    if way == "awaitable":
        return _stand_in(type(output))(output, pending, wrappers)  # type: ignore[arg-type]  # the same
    return _observed(output, way, pending, wrappers)


def _follow_decorations(manager: Any, wrap: Callable[[Any, Any], Callable[..., Any]], node: Any, pending: Any) -> None:
    """Give a span to each call of a function that a manager decorates. Each call creates a new manager; this one is not used."""
    fresh = wrap(manager.func, node)

    def make(*args: Any, **kwargs: Any) -> Any:
        if isinstance(pending, Pending):
            pending.drop()
        return fresh(*args, **kwargs)

    manager.func = make


def _pending(node: Any, opened: OpenSpan | None, source: Any, way: str) -> Any:
    return node if opened is None else Pending(node, opened, source, way)


def _observed(source: Any, way: str, node: Any, wrappers: Wrappers) -> Any:
    """Return a coroutine or generator that delegates to another, and has its name."""
    observed = wrappers[way](lambda: source, node)()
    for name in ("__name__", "__qualname__"):
        if type(text := getattr(source, name, None)) is str:
            setattr(observed, name, text)
    return observed


class Pending:
    """Stands for a node until the result of a call is complete. ``open`` returns the span of the call, once.

    The result may never be awaited or iterated. When it is garbage, the span ends as cancelled.

    Attributes:
        is_used: Whether the result was used in another way than being awaited: then the call succeeded.
    """

    __slots__ = ("_opened", "_source", "_way", "is_used", "level", "node")

    def __init__(self, node: Node, opened: OpenSpan, source: Any, way: str) -> None:
        self.node, self._opened, self._source, self._way = node, [opened], source, way
        self.level, self.is_used = node.level, False

    @property
    def logger(self) -> Pending:
        """The logger for the level check: the entry was logged, so the end is logged too."""
        return self

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Return True: the span is open."""
        return True

    @property
    def is_taken(self) -> bool:
        """Whether other code has taken the span, and ends it."""
        return not self._opened

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        """Return the span of the call."""
        return self._opened.pop()

    def __del__(self) -> None:
        self.drop()

    def drop(self) -> None:
        """End the span of a result that was never used."""
        try:
            opened = self._opened.pop()
        except (AttributeError, IndexError):
            return
        if self._way == "future":
            _settle(self._source, opened)
        elif self._way in STREAMS:
            opened.close(NOTHING, None, {"chunks": 0, "closed_early": 1})
        elif self.is_used:
            opened.close(self._source)
        else:
            if type(self._source) is CoroutineType:
                self._source.close()  # the coroutine that stands for it warns that it was never awaited
            opened.close(NOTHING, GeneratorExit("never awaited"))


def _watch(future: Any, node: Any, opened: OpenSpan | None) -> None:
    """End a span when a future is done."""
    if opened is None:
        future.add_done_callback(lambda done: _settle(done, None, node))
    elif future.done():
        _settle(future, opened)
    else:
        pending = Pending(node, opened, future, "future")
        future.add_done_callback(lambda done: None if pending.is_taken else _settle(done, pending.open((), {})))


def _settle(future: Any, opened: OpenSpan | None, node: Any = None) -> None:
    """Log the end of a call by the future that it returned."""
    output, error = NOTHING, None
    if not future.done() or future.cancelled():
        home = sys.modules.get("asyncio") or sys.modules["concurrent.futures"]
        error = home.CancelledError("never done" if not future.done() else "")
    elif (error := _error_of(future)) is None:
        output = future.result()
    if opened is not None:
        opened.close(output, error)
    else:
        node.report({}, error, output)


def _error_of(future: Any) -> BaseException | None:
    # Its method marks the exception as retrieved: then asyncio does not log it when the future is garbage.
    if hasattr(type(future), "_exception") or "_exception" in getattr(future, "__dict__", ()):
        error: BaseException | None = future._exception
    else:
        error = future.exception()
    return error


class _StandIn:
    """An awaitable that stands for another: it has the other's class, attributes and methods."""

    __slots__ = ("__weakref__", "_original", "_pending", "_wrappers")

    def __init__(self, original: Any, pending: Any, wrappers: Wrappers) -> None:
        for name, value in (("_original", original), ("_pending", pending), ("_wrappers", wrappers)):
            object.__setattr__(self, name, value)

    def __await__(self) -> Generator[Any, Any, Any]:
        original, pending = _parts_of(self)[:2]
        if isinstance(pending, Pending) and pending.is_taken:  # it is awaited a second time
            again: Generator[Any, Any, Any] = type(original).__await__(original)
            return again
        waiting: Generator[Any, Any, Any] = _observed(original, "coroutine", pending, _parts_of(self)[2]).__await__()
        return waiting

    @property
    def __class__(self) -> Any:
        return type(_parts_of(self)[0])

    @__class__.setter
    def __class__(self, kind: type) -> None:
        _used(self).__class__ = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(_used(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_used(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_used(self), name)


_KEPT: Final = frozenset(vars(_StandIn)) | {
    "__new__", "__init__", "__del__", "__dict__", "__slots__", "__getattribute__", "__init_subclass__", "__subclasshook__",
    "__doc__", "__module__", "__class_getitem__", "__sizeof__",
}  # fmt: skip


def _parts_of(stand_in: _StandIn) -> tuple[Any, Any, Wrappers]:
    get = object.__getattribute__
    return get(stand_in, "_original"), get(stand_in, "_pending"), get(stand_in, "_wrappers")


def _used(stand_in: _StandIn) -> Any:
    original, pending, _ = _parts_of(stand_in)
    if isinstance(pending, Pending):
        pending.is_used = True
    return original


@lru_cache(maxsize=256)
def _stand_in(kind: type) -> type[_StandIn]:
    """Return the class of stand-ins for awaitables of a class. Special methods are looked up in the class, not in the object."""
    return type(kind.__name__, (_StandIn,), {"__slots__": (), **{name: _forwarded(name) for name in _special(kind)}})


def _special(kind: type) -> Iterator[str]:
    for base in type.mro(kind):
        for name, value in vars(base).items():
            if name[:2] == name[-2:] == "__" and name not in _KEPT and (callable(value) or value is None):
                yield name


def _forwarded(name: str) -> Any:
    def method(self: _StandIn, *args: Any, **kwargs: Any) -> Any:
        return getattr(_used(self), name)(*args, **kwargs)

    method.__name__ = name
    return method
