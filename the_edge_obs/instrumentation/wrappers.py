"""Wrappers: what a decorated call does, for each kind of function, and everything that is decided before the call.

A failure in here is reported and counted. It never reaches the observed code.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextvars import Token
from types import TracebackType, coroutine
from typing import Any, Final

# Import the module, not its members: a pickle of a wrapper by value contains its globals, and a module is pickled by its name. A
# context variable's methods cannot be pickled, and a copy of a random generator would repeat its ids.
from .. import context as places
from ..context import CURRENT, VARIANT, FlowState, Lent, Place, child_context
from ..recording.callables import is_there, way_of
from ..recording.dispatch import emit, verdicts
from ..recording.faults import own_fault
from ..recording.full import followers, is_chosen, recorders
from ..recording.names import fit_name
from ..recording.pricing import active
from ..recording.records import ENTRY, EXIT, NOTHING, Site
from ..redaction.payloads import captured
from ..secrets.keys import classes_for
from .capture import MUTE, Capture, is_soft_failure, may_bring_metrics, metrics_of
from .ends import numbers
from .later import Wrappers, hand_on
from .running import give_back
from .span_events import OpenSpan, node_logger, report

wall_clock: Final = time.time_ns
clock: Final = time.perf_counter_ns


class ObservedNode:
    """A decorated function: everything about it that is known before any call.

    A pickle holds its description. The other process looks up its own logger, with the levels that apply there.

    Attributes:
        verdicts: The cache of ``Logger.isEnabledFor``, by level; empty until the logger is asked, and while calls are recorded
            in full.
        is_chosen: Whether a recorder has chosen the node: then calls take the way that can record them.
        there: The type of the last result, if results of that type are complete when the call returns; otherwise None.
    """

    __slots__ = ("__weakref__", "capture", "classes", "is_chosen", "level", "logger", "name", "site", "there", "verdicts")

    def __init__(self, name: str, level: int, sanitize_keys: Iterable[str] | None, capture: Capture, site: Site) -> None:
        self.level = level
        self.logger = node_logger(name)
        self.name = fit_name(name)
        self.choose()
        self.capture = capture
        self.classes = classes_for(sanitize_keys)
        self.site = site
        self.there: type | None = None
        _nodes[id(self)] = self

    def choose(self) -> None:
        """Note whether a recorder has chosen the node. The function asks only where ``verdicts`` has no answer."""
        self.is_chosen = is_chosen(self.name)
        self.verdicts = {} if self.is_chosen else verdicts(self.logger)

    def __reduce__(self) -> tuple[Any, ...]:
        return ObservedNode, (self.name, self.level, sorted(self.classes.extra), self.capture, self.site)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        """Log the entry of a call."""
        context = child_context(self.name, self.step(kwargs) if kwargs else None)
        opened = OpenSpan(self.logger, self.level, self.site, context, self.classes)
        try:
            given = args[0] if args and self.capture.takes_params else self.capture(args, kwargs)
            opened.entry(ENTRY, captured(given, context.flow, self.classes))
            if recorders:
                opened.record(given, self.capture.state_of(args, kwargs))
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
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
            return hand_on(output, way, self, opened, WRAPPERS)
        opened.close(output)
        return output

    def close(self, context: Place, wall: int, started: int, given: Any, output: Any, error: BaseException | None = None) -> None:
        """Log the end of a call whose entry the wrapper logged itself; ``given`` is the captured input."""
        try:
            opened = OpenSpan(self.logger, self.level, self.site, context, self.classes, wall, started)
            opened.given = given
            opened.close(output, error)
        except Exception:  # noqa: BLE001 - at the end of the stack there is no room to report more
            context[0].faults += 1

    def figures(self, output: dict[str, Any], duration: int, flow: FlowState) -> int | dict[str, Any] | None:
        """Return the metrics of a plain exit; None for a soft failure, and while prices are active."""
        if active or is_soft_failure(output):
            return None
        metrics = metrics_of(output)
        return {"duration_ms": duration / 1e6, **numbers(metrics, flow)} if metrics else duration

    def way(self, output: Any) -> str | None:
        """Return the kind of a result that completes later, or None for one that is complete.

        The type of a complete result is remembered where all results of that type are complete.
        """
        kind = type(output)
        if is_there(kind):
            self.there = kind
            return None
        return way_of(output)

    def step(self, kwargs: dict[str, Any]) -> str | None:
        """Return the step that the engine names in the ``node`` argument, or None."""
        step = kwargs.get("node") if self.capture.takes_node else None
        return fit_name(step) if issubclass(type(step), str) else None  # type: ignore[arg-type]

    def report(self, kwargs: dict[str, Any], error: BaseException | None, output: Any = None) -> None:
        """Log the error or the soft failure of a call whose entry was filtered."""
        report(self.logger, self.name, self.step(kwargs), self.site, error, output, self.classes)


_nodes: Final[weakref.WeakValueDictionary[int, ObservedNode]] = weakref.WeakValueDictionary()


def _choose_again() -> None:
    for reference in _nodes.valuerefs():
        if (node := reference()) is not None:
            node.choose()


followers.append(_choose_again)


def _function(fn: Callable[..., Any], node: ObservedNode) -> Callable[..., Any]:
    """Wrap a sync function. This is the hot path, so the common case is written inline.

    The inline code saves the frames of ``ObservedNode.open`` and ``OpenSpan.close`` and the second search for handlers, about a
    third of the cost of a call. The price: it repeats the entry and the plain exit of a nested call. All other cases go through
    those methods.

    The level check reads the cache of ``Logger.isEnabledFor`` and calls the method only where the cache has no entry. The cache
    does not cover ``disabled``. A call without keyword arguments passes no ``**kwargs``, which saves a dict. Each variable of the
    closure costs each call 3 ns, filtered calls too, and each local variable 1 ns, so there are few.
    """
    level, logger = node.level, node.logger

    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Any:
        try:
            on = node.verdicts[level]
        except KeyError:
            on = logger.isEnabledFor(level)
            if on and node.is_chosen and not logger.disabled:
                return node.call(fn, args, kwargs)
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
                return hand_on(output, way, node, None, WRAPPERS)
            return output
        parent, capture = places.place(), node.capture
        if parent is None or (parent.__class__ is Lent and parent.is_left):
            return node.call(fn, args, kwargs)
        flow, site, step = parent[0], node.site, node.step(kwargs) if capture.takes_node and kwargs else None
        context = (flow, places.random_bits(62) | VARIANT, parent[1], node.name, step)
        # The duration begins with the entry's timestamp, so the end's timestamp is that plus the duration.
        wall, take, started = wall_clock(), None, clock()
        try:
            payload = captured(args[0] if args and capture.takes_params else capture(args, kwargs), flow, node.classes)
            take = emit(logger, (context, ENTRY, level, wall, None, payload, None, site))
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            payload = None
            own_fault("logging an entry", context)
        token = places.enter(context)
        try:
            output = fn(*args, **kwargs) if kwargs else fn(*args)
        except BaseException as error:
            places.leave(token)
            node.close(context, wall, started, payload, NOTHING, error)
            raise
        duration = clock() - started
        places.leave(token)
        kind = type(output)
        figures: Any = duration
        if kind is dict:
            says_more = False
            if (
                "success" in output
                or "usage" in output
                or "cost_usd" in output
                or "usage_metadata" in output
                or "usageMetadata" in output
            ):
                try:
                    figures = node.figures(output, duration, flow)
                except BaseException:  # noqa: BLE001 - it is read again, each part by itself
                    figures = None
                says_more = figures is None
        elif kind is str or (type(kind) is type and kind in MUTE):  # a metaclass may raise in __hash__
            says_more = False
        elif kind is not node.there and (way := node.way(output)) is not None:
            opened = OpenSpan(logger, level, site, context, node.classes, wall, started)
            opened.given = payload
            return hand_on(output, way, node, opened, WRAPPERS)
        else:
            says_more = may_bring_metrics(output)
        if says_more:
            node.close(context, wall, started, payload, output)
            return output
        try:
            payload = captured(output, flow, node.classes)
        except (KeyboardInterrupt, SystemExit):  # it may come from outside the snapshot: end the span and raise it
            node.close(context, wall, started, payload, output)
            raise
        except BaseException:  # noqa: BLE001 - the end is logged without the parts that cannot be read
            node.close(context, wall, started, payload, output)
            return output
        try:
            facts = (context, EXIT, level, wall + duration, None, payload, figures, site)
            if take is not None:
                take(facts)
            else:
                emit(logger, facts)
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            own_fault("logging the end of a span", context)
        return output

    return observed


def _coroutine(fn: Callable[..., Any], node: ObservedNode) -> Callable[..., Any]:
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


def _iterable_coroutine(fn: Callable[..., Any], node: ObservedNode) -> Callable[..., Any]:
    """Wrap a generator function whose result can also be awaited; the wrapper keeps both."""
    awaited = _coroutine(fn, node)

    @coroutine
    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from awaited(*args, **kwargs).__await__())

    return observed


class _Stream:
    """A generator's span. It is entered for each item and left again, so it never leaks into the code that consumes the items."""

    __slots__ = ("chunks", "first", "kwargs", "node", "opened", "token")

    def __init__(self, node: ObservedNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.node, self.kwargs = node, kwargs
        self.opened = node.open(args, kwargs) if node.logger.isEnabledFor(node.level) else None
        self.chunks = 0
        self.first: int | None = None
        self.token: Token[Place | None] | None = None

    # Not contextlib.contextmanager: that reads the error's class and sets its traceback.
    def __enter__(self) -> None:
        """Enter the span while the generator runs. An error that it raises ends the span."""
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


def _generator(fn: Callable[..., Any], node: ObservedNode) -> Callable[..., Any]:
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
            except BaseException as error:  # noqa: BLE001 - the source gets it, and raises it again if it does not handle it
                resume = functools.partial(source.throw, error)

    return observed


def _async_generator(fn: Callable[..., Any], node: ObservedNode) -> Callable[..., Any]:
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
            except BaseException as error:  # noqa: BLE001 - the source gets it, and raises it again if it does not handle it
                resume = functools.partial(source.athrow, error)

    return observed


WRAPPERS: Final[Wrappers] = {
    "function": _function,
    "coroutine": _coroutine,
    "iterable_coroutine": _iterable_coroutine,
    "generator": _generator,
    "async_generator": _async_generator,
}
