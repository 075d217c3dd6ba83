"""Carriers: functions that carry the context to other threads, pools and processes."""

from __future__ import annotations

import contextvars
import inspect
import threading
import types
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from ..context import CURRENT, FlowState, SpanContext, at_fork, current
from ..errors import ConfigurationError
from ..recording.callables import Kind, Standing, kind_of, stream_of, way_of
from ..secrets.policies import Policy

P = ParamSpec("P")
R = TypeVar("R")
_Run: TypeAlias = "Callable[..., Any]"  # of a context

# Flows in which carriers were made, as long as they are referenced: a forked worker finds the flow of its carrier here.
_carried: Final[weakref.WeakValueDictionary[str, FlowState]] = weakref.WeakValueDictionary()


class _Carrier(Standing):
    """A function with the context in which it was wrapped.

    A pickle holds the running span instead of the whole context. In another process the function runs below that span, in the
    same flow. The pickle holds the flow's taints too, because a secret must not appear in the log of the other process.
    """

    def __new__(cls, fn: Callable[..., Any], context: contextvars.Context) -> _Carrier:
        return cast("_Carrier", super().__new__(cls, _CALLS[kind_of(fn)], context, fn, stands_for=fn))

    def __reduce__(self) -> tuple[Any, ...]:
        span = self.args[0].get(CURRENT)
        if span is None:
            return _unpickled, (self.__wrapped__, None, (), frozenset(), None, ())
        flow, *rest = span
        flow.is_abroad = True
        about = (flow.name, flow.trace_flags, flow.tracestate)
        return _unpickled, (self.__wrapped__, flow.id, about, flow.taints.copied(), flow.taints.policy, tuple(rest))


def _unpickled(
    fn: Callable[..., Any],
    flow_id: str | None,
    about: tuple[Any, ...],
    taints: frozenset[str],
    policy: Policy | None,
    rest: tuple[Any, ...],
) -> _Carrier:
    """Return a carrier that came from another process. All other context variables are this process's own."""
    context = contextvars.copy_context()
    span = None
    if flow_id is not None:
        name, trace_flags, tracestate = about
        flow = _carried.setdefault(flow_id, FlowState(flow_id, name))
        flow.trace_flags, flow.tracestate = trace_flags, tracestate
        flow.taints.policy = policy
        flow.taints.absorb(taints)
        span = SpanContext(flow, *rest)
    # Set None too: a forked worker still has the span of the process that started it.
    context.run(CURRENT.set, span)
    return _Carrier(fn, context)


# --- calls of a carrier: each call, with all of its steps, runs in its own copy of the context ---


def _call(context: contextvars.Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    here = context.copy()
    return _carried_on(here, here.run(fn, *args, **kwargs))


def _carried_on(context: contextvars.Context, output: Any) -> Any:
    """Return the result of a call. A coroutine or generator that a lambda or decorator returned runs in the context as well."""
    way = way_of(output)
    if way == "manager" and stream_of(output) is not None:
        output.gen = _carried_on(context, output.gen)
    elif way in _CALLS:
        return _CALLS[way](context, lambda: output)
    return output


async def _call_coroutine(context: contextvars.Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return await _awaited(context.copy().run, fn, *args, **kwargs)


def _call_generator(
    context: contextvars.Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Generator[Any, Any, Any]:
    run = context.copy().run
    return (yield from _steps(run, run(fn, *args, **kwargs)))


@types.coroutine
def _call_iterable_coroutine(
    context: contextvars.Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Generator[Any, Any, Any]:
    return (yield from _call_generator(context, fn, *args, **kwargs))


async def _call_async_generator(
    context: contextvars.Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> AsyncGenerator[Any, Any]:
    run = context.copy().run
    source = run(fn, *args, **kwargs)
    resume, value = source.asend, None
    while True:
        try:
            item = await _awaited(run, resume, value)
        except StopAsyncIteration:
            return
        finally:
            value = None  # an error that was thrown in would hold this frame, which holds the error
        try:
            resume, value = source.asend, (yield item)
        except GeneratorExit:
            await _awaited(run, source.aclose)
            raise
        except BaseException as error:  # noqa: BLE001 - the source gets it, and raises it again if it does not handle it
            resume, value = source.athrow, error


_CALLS: Final[dict[Kind, Callable[..., Any]]] = {
    "function": _call,
    "coroutine": _call_coroutine,
    "iterable_coroutine": _call_iterable_coroutine,
    "generator": _call_generator,
    "async_generator": _call_async_generator,
}


def _awaited(run: _Run, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return an awaitable that awaits a call of a function, each step of it by ``run``."""

    async def awaiting() -> Any:
        return await fn(*args, **kwargs)

    return types.coroutine(_steps)(run, awaiting())


def _steps(run: _Run, source: Any) -> Generator[Any, Any, Any]:
    """Yield the items of a generator or coroutine, each step of it by ``run``."""
    resume, value = source.send, None
    while True:
        try:
            item = run(resume, value)
        except StopIteration as stop:
            return stop.value
        finally:
            value = None  # an error that was thrown in would hold this frame, which holds the error
        try:
            resume, value = source.send, (yield item)
        except BaseException as error:  # noqa: BLE001 - the source gets it, and raises it again if it does not handle it
            resume, value = source.throw, error


def wrap(fn: Callable[P, R]) -> Callable[P, R]:
    """Return a function that runs ``fn`` in the current context, wherever it is called: a pool, a thread, a timer, a callback.

    A coroutine function, generator function or async generator function stays one, and each of its steps runs in the context.
    Each call has its own copy of the context, so many threads may call the result at once.

    The result can be pickled if ``fn`` can, for pools of processes. In the other process ``fn`` runs below the span that is
    running here, in the same flow. The pickle holds the secrets that the flow has redacted by their keys, so that they stay out
    of the log of the other process.

    Args:
        fn: Any callable.

    Raises:
        ConfigurationError: ``fn`` is not callable.

    Example:
        >>> pool.submit(obs.wrap(work), item)
    """
    if not callable(fn):
        hint = "the coroutine function itself, not its call" if inspect.isawaitable(fn) else "a function"
        raise ConfigurationError(f"{fn!r} cannot be wrapped, since it is not callable; give {hint}, as in obs.wrap(work)")
    span = current()
    if span is not None:
        _carried[span.flow.id] = span.flow
    return cast("Callable[P, R]", _Carrier(fn, contextvars.copy_context()))


def propagate() -> Callable[[], None]:
    """Make threads, and tasks of thread and process pools, inherit the context of the code that starts them.

    A thread gets the context of its ``start()``. A task of a ``concurrent.futures`` pool gets that of its ``submit()``. The patch
    applies to the whole process, because it changes the context variables that the threads of every library see. Several calls
    share one patch; the last of their undos removes it.

    Returns:
        The undo.
    """
    owner = object()
    with _propagation.lock:
        if not _propagation.owners:
            _propagation.install()
        _propagation.owners.add(owner)

    def undo() -> None:
        with _propagation.lock:
            if owner in _propagation.owners:
                _propagation.owners.remove(owner)
                if not _propagation.owners:
                    _propagation.remove()

    return undo


class _Propagation:
    """The patch of ``propagate`` and its owners.

    Other code may patch on top of it, and still call it after the undo. Then it only passes calls on. If it is at the top again
    later, the next patch replaces it instead of wrapping it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owners: set[object] = set()
        self._is_undone = threading.Event()
        self._patches: list[tuple[Any, str, Any, Any]] = []

    def install(self) -> None:
        """Patch the methods that start threads and tasks."""
        self._is_undone = is_undone = threading.Event()
        submitting = threading.local()
        methods = [(threading.Thread, "start", _start_carrying), *((pool, "submit", _submit_carrying) for pool in _pools())]
        for owner, name, carrying in methods:
            theirs = getattr(owner, name)
            # A patch made with functools.wraps copies our mark, so the mark counts only on the function that it names.
            while (mark := getattr(theirs, _MARK, None)) is not None and mark[0] is theirs:
                theirs = mark[1]
            ours = carrying(theirs, submitting, is_undone)
            setattr(ours, _MARK, (ours, theirs))
            setattr(owner, name, ours)
            self._patches.append((owner, name, theirs, ours))

    def remove(self) -> None:
        """Restore the methods that are still ours. Where other code still calls ours, it passes the calls on."""
        self._is_undone.set()
        for owner, name, theirs, ours in self._patches:
            if getattr(owner, name) is ours:
                setattr(owner, name, theirs)
        self._patches.clear()


_MARK: Final = "_the_edge_obs_carrying"
_propagation: Final = _Propagation()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock."""
    _propagation.lock = threading.Lock()


at_fork(after_in_child=_after_fork)


def _start_carrying(start: Callable[..., None], submitting: threading.local, is_undone: threading.Event) -> Callable[..., None]:
    def start_carrying(thread: threading.Thread) -> None:
        # A worker of a pool outlives the task that started it: its tasks carry the context, not the worker.
        if is_undone.is_set() or getattr(submitting, "now", False):
            return start(thread)
        own, carried = thread.__dict__.get("run"), wrap(thread.run)

        def give_back() -> None:
            if own is None:
                thread.__dict__.pop("run", None)
            else:
                thread.run = own  # type: ignore[method-assign]

        def run() -> None:
            give_back()  # otherwise the thread would reference itself until a garbage collection
            carried()

        thread.run = run  # type: ignore[method-assign]
        try:
            return start(thread)
        except BaseException:
            give_back()
            raise

    return start_carrying


def _submit_carrying(submit: Callable[..., Any], submitting: threading.local, is_undone: threading.Event) -> Callable[..., Any]:
    def submit_carrying(pool: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if is_undone.is_set():
            return submit(pool, fn, *args, **kwargs)
        outer, submitting.now = getattr(submitting, "now", False), True
        try:
            return submit(pool, wrap(fn) if callable(fn) else fn, *args, **kwargs)
        finally:
            submitting.now = outer

    return submit_carrying


def _pools() -> list[Any]:
    from concurrent import futures

    try:
        return [futures.ThreadPoolExecutor, futures.ProcessPoolExecutor]
    except (ImportError, AttributeError):  # a platform without processes
        return [futures.ThreadPoolExecutor]
