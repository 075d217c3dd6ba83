"""Instrumentation: functions log their entry, exit and errors.

What can be decided outside the call is decided there: the logger, the level, which arguments are the input, where the code
is. While a level is filtered, a call costs one ``isEnabledFor``. Whatever fails in here is reported and counted, and never
reaches the observed code.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextvars import Token
from operator import attrgetter
from types import FunctionType, TracebackType, coroutine
from typing import Any, Final, TypeVar, cast, overload

# The module, not what is in it: a wrapper that is pickled by value takes its globals along, and a module goes by its name. A
# context variable's methods cannot be pickled, and a random generator would take its state along, and repeat its ids.
from .. import context as places
from ..context import CURRENT, VARIANT, Place, child_context
from ..errors import ConfigurationError
from ..event import level_number
from ..recording.callables import Standing, is_there, kind_of, way_of
from ..recording.dispatch import emit, verdicts
from ..recording.faults import own_fault
from ..recording.names import fit_name, node_name
from ..recording.records import ENTRY, EXIT, NOTHING, Site
from ..redaction.snapshots import snapshot
from ..secrets.keys import classes_for
from .capture import MUTE, Capture, location_of, may_bring_metrics
from .later import Wrappers, hand_on
from .spans import OpenSpan, Span, give_back, node_logger, report, span

__all__ = ["Span", "observable", "span"]

F = TypeVar("F", bound=Callable[..., Any])

MARK: Final = "__observed__"  # of a wrapper: what it observes

wall_clock: Final = time.time_ns
clock: Final = time.perf_counter_ns


class _Node:
    """A decorated function, as far as it is known before any call.

    Pickled, it takes along what describes it, and finds its logger, with the levels there, in the other process.

    Attributes:
        verdicts: Where ``Logger.isEnabledFor`` keeps what it has decided of a level; empty until it is asked.
        there: The type of the last result, if none of that type ever comes later, or None.
    """

    __slots__ = ("capture", "classes", "level", "logger", "name", "site", "there", "verdicts")

    def __init__(self, name: str, level: int, sanitize_keys: Iterable[str] | None, capture: Capture, site: Site) -> None:
        self.level = level
        self.logger = node_logger(name)
        self.verdicts = verdicts(self.logger)
        self.name = fit_name(name)
        self.capture = capture
        self.classes = classes_for(sanitize_keys)
        self.site = site
        self.there: type | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Node, (self.name, self.level, sorted(self.classes.extra), self.capture, self.site)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        """Log the entry of a call."""
        context = child_context(self.name, self.step(kwargs) if kwargs else None)
        opened = OpenSpan(self.logger, self.level, self.site, context, self.classes)
        try:
            given = args[0] if args and self.capture.takes_params else self.capture(args, kwargs)
            opened.entry(ENTRY, snapshot(given, context.flow, self.classes))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging an entry", context)
        return opened

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an observed call of a sync function."""
        opened = self.open(args, kwargs)
        token = CURRENT.set(opened.context)
        try:
            output = fn(*args, **kwargs)
        except BaseException as error:
            CURRENT.reset(token)
            opened.close(NOTHING, error)
            raise
        CURRENT.reset(token)
        if type(output) is not self.there and (way := self.way(output)) is not None:
            return hand_on(output, way, self, opened, _WRAPPERS)
        opened.close(output)
        return output

    def close(self, context: Place, wall: int, started: int, output: Any, error: BaseException | None = None) -> None:
        """Log the end of a call whose entry the wrapper logged itself."""
        try:
            OpenSpan(self.logger, self.level, self.site, context, self.classes, wall, started).close(output, error)
        except Exception:  # noqa: BLE001 - at the end of the stack there is no room to tell more of it
            context[0].faults += 1

    def way(self, output: Any) -> str | None:
        """Return what sort of result that comes later an output is, or None: then its type is remembered, if it can be."""
        kind = type(output)
        if is_there(kind):
            self.there = kind
            return None
        return way_of(output)

    def step(self, kwargs: dict[str, Any]) -> str | None:
        step = kwargs.get("node") if self.capture.takes_node else None
        return fit_name(step) if issubclass(type(step), str) else None  # type: ignore[arg-type]

    def report(self, kwargs: dict[str, Any], error: BaseException | None, output: Any = None) -> None:
        """Log the error or the soft failure of a call whose entry was filtered."""
        report(self.logger, self.name, self.step(kwargs), self.site, error, output, self.classes)


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

    Works on sync, async, generator and async generator functions, methods, and every other callable but a class. A generator's
    span lives until its last item; ``chunks`` and ``time_to_first_chunk_ms`` are metrics of its exit. Callers see no change.

    A call that returns a coroutine, a future (of ``asyncio`` or ``concurrent.futures``), a generator or a context manager of
    ``contextlib`` is done when that is; one that is never awaited ends as cancelled. Handles of other libraries, such as the
    futures of Dask and Ray, are returned as they are, and the call is done.

    Args:
        action_name: The node's name, such as ``llm.call``, without blanks and of at most 256 characters; its logger is
            ``tea.`` + name. Default: the function's name.
        level: Level of the entry and exit events; errors are always ``error``. Default ``info``.
        sanitize_keys: Further keys whose values are secrets, beside the built-in ones.

    The input is ``params`` for ``(params, state, ctx)``, the parameters for ``(state, **params)``, otherwise the arguments by
    name; never ``self``, ``state``, ``ctx`` or ``engine``. A result ``{"success": False, "error": ...}`` is logged as an error.

    Raises:
        ConfigurationError: not a callable, a class, or a bad name or sanitize_keys.
        EventError: unknown level.
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
    """Return what to do about something that cannot be observed."""
    if isinstance(fn, type):
        return "decorate its methods, or the function that makes it"
    if isinstance(fn, functools.partialmethod):
        return "decorate the method that it is made of"
    if hasattr(type(fn), "__get__"):  # a property, a cached_property, a singledispatchmethod
        return f"put @observable below @{type(fn).__name__}, right above the function"
    if inspect.isawaitable(fn):
        return "decorate the coroutine function, not its call"
    return "allowed: a function, a method or a callable object, or the node's name: @observable('llm.call')"


def node_of(fn: Any, name: str | None, level: int, sanitize_keys: Iterable[str] | None = None) -> _Node:
    """Return what is known of a callable before any call; its default name is the function's, or its type's."""
    inner = fn
    while isinstance(inner, functools.partial) and not hasattr(inner, "__name__"):
        inner = inner.func
    own_name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    return _Node(name or own_name, level, sanitize_keys, Capture(fn), location_of(fn))


def _wrapper(fn: Any, node: _Node) -> Callable[..., Any]:
    """Return the function that logs the calls of another."""
    wrapper = _WRAPPERS[kind_of(fn)](fn, node)
    setattr(wrapper, MARK, fn)
    return wrapper


class Observed(Standing):
    """An observed callable that is not a plain function, or one of a registry.

    Pickled, it goes by its name where a module has it under that name. Otherwise the callable below it is pickled, and observed
    anew: one of a registry has the name of a function that is in its module as it was.
    """

    def __reduce__(self) -> str | tuple[Any, ...]:
        name = self.__dict__.get("__qualname__", "")
        try:
            if attrgetter(name)(sys.modules[self.__module__]) is self:
                return str(name)
        except (AttributeError, KeyError):
            pass
        return standing, (self.__wrapped__, self.__dict__["_node"])


def standing(fn: Any, node: _Node) -> Observed:
    """Return an observed callable that stands for another."""
    observed = Observed(_wrapper(fn, node), stands_for=fn)
    observed.__dict__.update({MARK: fn, "_node": node})
    return observed


def _function(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    """Wrap a sync function: the hot path, where the common case is written out in line.

    What that gains is the frames of ``_Node.open`` and ``OpenSpan.close``, and the second search for handlers, about a third
    of a call's cost; what it costs is that the entry and the plain exit of a nested call stand here again. Everything else
    goes through them. The verdict on a level is read where ``Logger.isEnabledFor`` keeps it, which asks only when it has
    none; that the logger was disabled is not noted there. Calling without ``**kwargs`` where there are none saves a dict. Each
    variable that it shares with this function costs each call 3 ns, also a filtered one, and each of its own 1 ns: so there are
    few.
    """
    level, logger = node.level, node.logger

    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Any:
        try:
            on = node.verdicts[level]
        except KeyError:
            on = logger.isEnabledFor(level)
        if not on or logger.disabled:
            try:
                output = fn(*args, **kwargs) if kwargs else fn(*args)
            except BaseException as error:
                node.report(kwargs, error)
                raise
            kind = type(output)
            if kind is dict:
                if "success" in output:
                    node.report(kwargs, None, output)
            elif kind is not str and kind is not node.there and (way := node.way(output)) is not None:
                return hand_on(output, way, node, None, _WRAPPERS)
            return output
        parent, capture = places.place(), node.capture
        if parent is None or capture.takes_node:
            return node.call(fn, args, kwargs)
        flow, site = parent[0], node.site
        context = (flow, places.random_bits(62) | VARIANT, parent[1], node.name, None)
        # The duration begins here, with the entry's timestamp: so the end is at the timestamp plus the duration.
        wall, take, started = wall_clock(), None, clock()
        try:
            payload = snapshot(args[0] if args and capture.takes_params else capture(args, kwargs), flow, node.classes)
            take = emit(logger, (context, ENTRY, level, wall, None, payload, None, site))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging an entry", context)
        token = places.enter(context)
        try:
            output = fn(*args, **kwargs) if kwargs else fn(*args)
        except BaseException as error:
            places.leave(token)
            node.close(context, wall, started, NOTHING, error)
            raise
        duration = clock() - started
        places.leave(token)
        kind = type(output)
        if kind is dict:
            says_more = (
                "success" in output
                or "usage" in output
                or "cost_usd" in output
                or "usage_metadata" in output
                or "usageMetadata" in output
            )
        elif kind is str or (type(kind) is type and kind in MUTE):  # a metaclass may raise when it is asked for a hash
            says_more = False
        elif kind is not node.there and (way := node.way(output)) is not None:
            return hand_on(output, way, node, OpenSpan(logger, level, site, context, node.classes, wall, started), _WRAPPERS)
        else:
            says_more = may_bring_metrics(output)
        if says_more:
            node.close(context, wall, started, output)
            return output
        try:
            payload = snapshot(output, flow, node.classes)
        except (KeyboardInterrupt, SystemExit):  # it may have come just now, and is not asked for again
            node.close(context, wall, started, output)
            raise
        except BaseException:  # noqa: BLE001 - the end is logged without what cannot be read
            node.close(context, wall, started, output)
            return output
        try:
            facts = (context, EXIT, level, wall + duration, None, payload, duration, site)
            if take is not None:
                take(facts)
            else:
                emit(logger, facts)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging the end of a span", context)
        return output

    return observed


def _coroutine(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    enabled, level = node.logger.isEnabledFor, node.level

    @functools.wraps(fn)
    async def observed(*args: Any, **kwargs: Any) -> Any:
        if not enabled(level):
            try:
                output = await fn(*args, **kwargs)
            except BaseException as error:
                node.report(kwargs, error)
                raise
            node.report(kwargs, None, output)
            return output
        opened = node.open(args, kwargs)
        token = places.enter(opened.context)
        try:
            output = await fn(*args, **kwargs)
        except BaseException as error:
            give_back(token)
            opened.close(NOTHING, error)
            raise
        give_back(token)
        opened.close(output)
        return output

    return observed


def _iterable_coroutine(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    """Wrap a generator function that is awaitable, too; it stays both."""
    awaited = _coroutine(fn, node)

    @coroutine
    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from awaited(*args, **kwargs).__await__())

    return observed


class _Stream:
    """A generator's span: entered for each item and left again, so that it never leaks into the code that consumes it."""

    __slots__ = ("chunks", "first", "kwargs", "node", "opened", "token")

    def __init__(self, node: _Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.node, self.kwargs = node, kwargs
        self.opened = node.open(args, kwargs) if node.logger.isEnabledFor(node.level) else None
        self.chunks = 0
        self.first: int | None = None
        self.token: Token[Place | None] | None = None

    # Not contextlib's: it asks the error for its class, and sets its traceback.
    def __enter__(self) -> None:
        """Be in the span while the generator runs; what it raises, but for its end, ends the span."""
        self.token = CURRENT.set(self.opened.context) if self.opened else None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.token:
            give_back(self.token)
        if kind is not None and not issubclass(kind, (StopIteration, StopAsyncIteration)):
            self.close(NOTHING, error)

    def count(self) -> None:
        self.chunks += 1
        if self.first is None and self.opened:
            self.first = time.perf_counter_ns() - self.opened.started

    def close(self, output: Any, error: BaseException | None = None, *, early: bool = False) -> None:
        if self.opened is None:
            self.node.report(self.kwargs, error, output)
            return
        metrics: dict[str, Any] = {"chunks": self.chunks}
        if self.first is not None:
            metrics["time_to_first_chunk_ms"] = self.first / 1e6
        if early:
            metrics["closed_early"] = 1
        self.opened.close(NOTHING if output is None else output, error, metrics)


def _generator(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        stream = _Stream(node, args, kwargs)
        with stream:
            source = fn(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, source)
        while True:
            try:
                with stream:
                    item = resume()
            except StopIteration as stop:
                stream.close(stop.value)
                return stop.value
            stream.count()
            try:
                resume = functools.partial(source.send, (yield item))
            except GeneratorExit:
                with stream:
                    source.close()
                stream.close(NOTHING, early=True)
                raise
            except BaseException as error:  # noqa: BLE001 - it goes into the source, and comes out again from there
                resume = functools.partial(source.throw, error)

    return observed


def _async_generator(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        stream = _Stream(node, args, kwargs)
        with stream:
            source = fn(*args, **kwargs)
        resume: Callable[[], Any] = source.__anext__
        while True:
            try:
                with stream:
                    item = await resume()
            except StopAsyncIteration:
                stream.close(NOTHING)
                return
            stream.count()
            try:
                resume = functools.partial(source.asend, (yield item))
            except GeneratorExit:
                with stream:
                    await source.aclose()
                stream.close(NOTHING, early=True)
                raise
            except BaseException as error:  # noqa: BLE001 - it goes into the source, and comes out again from there
                resume = functools.partial(source.athrow, error)

    return observed


_WRAPPERS: Final[Wrappers] = {
    "function": _function,
    "coroutine": _coroutine,
    "iterable_coroutine": _iterable_coroutine,
    "generator": _generator,
    "async_generator": _async_generator,
}
