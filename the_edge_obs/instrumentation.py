"""Instrumentation: functions, and whole registries of them, log their entry, exit and errors.

What can be decided outside the call is decided there: the logger, the level, which arguments are the input, where the code
is. While a level is filtered, a call costs one ``isEnabledFor``. Whatever fails in here is reported and counted, and never
reaches the observed code.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, MutableMapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final, TypeVar, cast, overload

from .capture import Capture, location_of
from .context import CURRENT, VARIANT, Place, child_context, place, random_bits
from .errors import ConfigurationError
from .event import level_number
from .faults import own_fault
from .names import fit_name
from .records import ENTRY, EXIT, NOTHING, emit
from .secret_keys import classes_for
from .snapshots import snapshot
from .spans import OpenSpan, Span, give_back, node_logger, report, span

__all__ = ["Span", "instrument", "observable", "span"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__observed__"
_OWNERS: Final = "__instrument_owners__"  # of a wrapper: by registry and name, what it stands for, and who wants it there

enter: Final = CURRENT.set
leave: Final = CURRENT.reset
wall_clock: Final = time.time_ns
clock: Final = time.perf_counter_ns


class _Node:
    """A decorated function, as far as it is known before any call."""

    __slots__ = ("capture", "classes", "level", "logger", "name", "site")

    def __init__(self, fn: Callable[..., Any], name: str, level: int, sanitize_keys: Iterable[str] | None) -> None:
        self.level = level
        self.logger = node_logger(name)
        self.name = fit_name(name)
        self.capture = Capture(fn)
        self.classes = classes_for(sanitize_keys)
        self.site = location_of(fn)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        """Log the entry of a call."""
        context = child_context(self.name, self.step(kwargs))
        opened = OpenSpan(self.logger, self.level, self.site, context, self.classes)
        try:
            opened.entry(ENTRY, snapshot(self.capture(args, kwargs), context.flow, self.classes))
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
        opened.close(output)
        return output

    def close(self, context: Place, wall: int, started: int, output: Any, error: BaseException | None = None) -> None:
        """Log the end of a call whose entry the wrapper logged itself."""
        try:
            OpenSpan(self.logger, self.level, self.site, context, self.classes, wall, started).close(output, error)
        except Exception:  # noqa: BLE001 - at the end of the stack there is no room to tell more of it
            context[0].faults += 1

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

    Works on sync, async, generator and async generator functions, methods, and callable objects. A generator's span lives
    until its last item; ``chunks`` and ``time_to_first_chunk_ms`` are metrics of its exit. Nothing changes for callers.

    Args:
        action_name: The node's name, such as ``llm.call``; its logger is ``tea.`` + name. Default: the function's name.
        level: Level of the entry and exit events; errors are always ``error``. Default ``info``.
        sanitize_keys: Further keys whose values are secrets, beside the built-in ones.

    The input is ``params`` for ``(params, state, ctx)``, the parameters for ``(state, **params)``, otherwise the arguments by
    name; never ``self``, ``state``, ``ctx`` or ``engine``. A result ``{"success": False, "error": ...}`` is logged as an error.

    Raises:
        ConfigurationError: not a function, or a bad name or sanitize_keys.
        EventError: unknown level.
    """
    if callable(action_name) or isinstance(action_name, (staticmethod, classmethod)):
        return cast("F", _observed(action_name, None, logging.INFO, None))
    if isinstance(sanitize_keys, str):
        raise ConfigurationError(f"sanitize_keys {sanitize_keys!r} is a string; give a list such as [{sanitize_keys!r}]")
    number = level_number(level)

    def decorate(fn: F) -> F:
        return cast("F", _observed(fn, action_name, number, sanitize_keys))

    return decorate


def instrument(registry: MutableMapping[str, Any], level: str | int = "info") -> Callable[[], None]:
    """Wrap every callable of a registry in place, and return the undo.

    Args:
        registry: Names to callables, as an engine's action registry. A name becomes the node's name; of several names of one
            function (``llm.call`` and ``actions.llm_call``) the one without ``actions.`` does. What is observed already stays;
            what another ``instrument`` wrapped stays until both are undone.
        level: Level of the entry and exit events. Default ``info``.

    Raises:
        ConfigurationError: the registry is no mapping that can be changed.
        EventError: unknown level.
    """
    if not isinstance(registry, MutableMapping):
        raise ConfigurationError(f"registry is a {type(registry).__name__}; give a dict of names to callables")
    number = level_number(level)
    wrapped: dict[int, Any] = {}
    # All of them are made before the first is put in: a name that cannot be one leaves the registry as it was.
    replaced: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for name in sorted(registry, key=lambda name: (str(name).startswith("actions."), str(name))):
        fn = registry[name]
        if not callable(fn) or isinstance(fn, type):
            continue
        if _entry(fn, registry, name) is not None:
            shared[name] = fn
        elif not hasattr(fn, _MARK):
            if id(fn) not in wrapped:
                wrapped[id(fn)] = _observed(fn, str(name), number, None)
                setattr(wrapped[id(fn)], _OWNERS, {})
            replaced[name] = wrapped[id(fn)]
    originals = {name: registry[name] for name in replaced}
    registry.update(replaced)
    return _owned(registry, originals, replaced | shared)


def _entry(ours: Any, registry: MutableMapping[str, Any], name: str) -> tuple[Any, Any, set[object]] | None:
    """Return the wrapper at a name of a registry, what it stands for, and who wants it there; None for any other function.

    Whoever wraps it with ``functools.wraps`` copies the attribute, which therefore names its wrapper.
    """
    entry: tuple[Any, Any, set[object]] | None = getattr(ours, _OWNERS, {}).get((id(registry), name))
    return entry if entry is not None and entry[0] is ours else None


def _owned(registry: MutableMapping[str, Any], originals: dict[str, Any], wrappers: dict[str, Any]) -> Callable[[], None]:
    """Note one more owner of each wrapper in a registry, and return the undo: the last one puts back what was there."""
    owner = object()
    for name, ours in wrappers.items():
        _, _, owners = getattr(ours, _OWNERS).setdefault((id(registry), name), (ours, originals.get(name), set()))
        owners.add(owner)

    def undo() -> None:
        for name, ours in wrappers.items():
            entry = _entry(ours, registry, name)
            if entry is None or owner not in entry[2]:
                continue
            entry[2].remove(owner)
            if not entry[2]:
                del getattr(ours, _OWNERS)[id(registry), name]
                if registry.get(name) is ours:
                    registry[name] = entry[1]

    return undo


def _observed(fn: Any, name: str | None, level: int, sanitize_keys: Iterable[str] | None) -> Any:
    if isinstance(fn, (staticmethod, classmethod)):
        observed = type(fn)(_observed(fn.__func__, name, level, sanitize_keys))
        setattr(observed, _MARK, fn)
        return observed
    if not callable(fn) or isinstance(fn, type):
        raise ConfigurationError(f"{fn!r} cannot be observed; allowed: a function, a method or a callable object")
    node = _Node(fn, name or _name_of(fn), level, sanitize_keys)
    observed = _wrapper_for(fn)(fn, node)
    setattr(observed, _MARK, fn)
    return observed


def _name_of(fn: Any) -> str:
    inner = fn.func if isinstance(fn, functools.partial) else fn
    return str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")


def _wrapper_for(fn: Any) -> Callable[[Any, _Node], Any]:
    call = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else type(fn).__call__
    if inspect.iscoroutinefunction(call):
        return _coroutine
    if inspect.isasyncgenfunction(call):
        return _async_generator
    return _generator if inspect.isgeneratorfunction(call) else _function


def _function(fn: Callable[..., Any], node: _Node) -> Callable[..., Any]:
    """Wrap a sync function: the hot path, where the common case is written out in line.

    What that gains is the frames of ``_Node.open`` and ``OpenSpan.close``, and the second search for handlers, about a third
    of a call's cost; what it costs is that the entry and the plain exit of a nested call stand here again. Everything else
    goes through them. The verdict on a level is read where ``Logger.isEnabledFor`` keeps it, which asks only when it has
    none; ``emit`` looks whether the logger is disabled. Calling without ``**kwargs`` where there are none saves a dict. Each
    variable that it shares with this function costs each call 3 ns, also a filtered one: so there are few.
    """
    level, logger, verdict = node.level, node.logger, node.logger._cache.get  # type: ignore[attr-defined]

    @functools.wraps(fn)
    def observed(*args: Any, **kwargs: Any) -> Any:
        on = verdict(level)
        if on is None:
            on = logger.isEnabledFor(level)
        if not on:
            try:
                output = fn(*args, **kwargs) if kwargs else fn(*args)
            except BaseException as error:
                node.report(kwargs, error)
                raise
            if type(output) is dict and "success" in output:
                node.report(kwargs, None, output)
            return output
        parent, capture = place(), node.capture
        if parent is None or capture.takes_node:
            return node.call(fn, args, kwargs)
        flow, site = parent[0], node.site
        context = (flow, random_bits(62) | VARIANT, parent[1], node.name, None)
        # The duration begins here, with the entry's timestamp: so the end is at the timestamp plus the duration.
        wall, take, started = wall_clock(), None, clock()
        try:
            payload = snapshot(args[0] if args and capture.takes_params else capture(args, kwargs), flow, node.classes)
            take = emit(logger, (context, ENTRY, level, wall, None, payload, None, site))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging an entry", context)
        token = enter(context)
        try:
            output = fn(*args, **kwargs) if kwargs else fn(*args)
        except BaseException as error:
            leave(token)
            node.close(context, wall, started, NOTHING, error)
            raise
        duration = clock() - started
        leave(token)
        if type(output) is dict and ("success" in output or "usage" in output or "cost_usd" in output):
            node.close(context, wall, started, output)
            return output
        try:
            facts = (context, EXIT, level, wall + duration, None, snapshot(output, flow, node.classes), duration, site)
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
        token = CURRENT.set(opened.context)
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
