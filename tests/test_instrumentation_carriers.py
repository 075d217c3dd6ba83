"""Carriers: ``wrap`` and ``propagate`` take the context to where Python does not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import types
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, cast

import pytest

import the_edge_obs as obs
from the_edge_obs.context import current
from the_edge_obs.errors import ConfigurationError


def where() -> str | None:
    """Return the id of the flow that what is logged here belongs to, though it may have ended; or None."""
    span = current()
    return None if span is None else span.flow.id


def test_wrap_carries_the_context_into_threads_and_pools() -> None:
    """A plain thread and a pool know no flow; a wrapped function does, and the result may be called many times at once."""
    seen: list[str | None] = []
    with ThreadPoolExecutor(4) as pool, obs.flow() as run:
        plain = pool.submit(where).result()
        carried = obs.wrap(where)
        results = list(pool.map(lambda _: carried(), range(50)))
        thread = threading.Thread(target=obs.wrap(lambda: seen.append(where())))
        thread.start()
        thread.join()
    assert (plain, set(results), seen) == (None, {run.flow_id}, [run.flow_id])


def test_wrap_keeps_what_runs_inside_to_itself() -> None:
    """A wrapped function runs in a copy: a span that it leaves open does not reach its caller or the next call."""
    with obs.flow() as run:
        carried = obs.wrap(lambda: obs.flow().__enter__().flow_id)
        inner = {carried(), carried()}
        assert where() == run.flow_id
    assert len(inner) == 2


def test_wrap_passes_arguments_and_results() -> None:
    """Arguments, results and exceptions go through."""
    assert obs.wrap(lambda a, *, b: (a, b))(1, b=2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        obs.wrap(lambda: 1 / 0)()


def test_propagate_makes_threads_and_pools_inherit() -> None:
    """A thread gets the context of its start, a pool's task that of its submit; after the undo neither does."""
    started: list[str | None] = []

    def run_thread() -> None:
        thread = threading.Thread(target=lambda: started.append(where()))
        thread.start()
        thread.join()

    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    undo = obs.propagate()
    try:
        with ThreadPoolExecutor(1) as pool:
            with obs.flow() as first:
                run_thread()
                in_first = pool.submit(where).result()
            with obs.flow() as second:
                in_second = list(pool.map(lambda _: where(), range(2)))
            outside = pool.submit(where).result()
    finally:
        undo()
    with obs.flow(), ThreadPoolExecutor(1) as pool:
        run_thread()
        after = pool.submit(where).result()
    assert (started, in_first, in_second) == ([first.flow_id, None], first.flow_id, [second.flow_id] * 2)
    assert (outside, after) == (None, None)
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)
    undo()
    assert threading.Thread.start is start


def test_propagate_twice_is_undone_in_any_order() -> None:
    """Two libraries opt in and out independently: after both undos nothing is inherited any more."""
    with ThreadPoolExecutor(1) as pool:
        start, submit = threading.Thread.start, ThreadPoolExecutor.submit
        first, second = obs.propagate(), obs.propagate()
        try:
            first()
            with obs.flow() as run:
                between = pool.submit(where).result()
            second()
            with obs.flow():
                after = pool.submit(where).result()
        finally:
            threading.Thread.start, ThreadPoolExecutor.submit = start, submit  # type: ignore[method-assign]
    assert (between, after) == (run.flow_id, None)


def patched() -> tuple[Any, ...]:
    """Return what ``propagate`` patches."""
    return threading.Thread.start, ThreadPoolExecutor.submit, ProcessPoolExecutor.submit


def in_a_thread() -> str | None:
    """Return the flow that a new thread is in."""
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(where()))
    thread.start()
    thread.join()
    return found[0]


def test_owners_of_propagate_that_overlap_share_one_patch() -> None:
    """Two thousand owners, each there before the one before it goes: threads start as ever, and in the end nothing is left."""
    before = patched()
    undo = obs.propagate()
    first = patched()
    for _ in range(2_000):
        following = obs.propagate()
        undo()
        undo()  # twice is once: it takes nothing from the other owner
        undo = following
    assert patched() == first
    with obs.flow() as run:
        assert in_a_thread() == run.flow_id
    undo()
    with obs.flow():
        assert in_a_thread() is None
    assert patched() == before


@pytest.mark.slow
def test_propagate_below_the_patch_of_somebody_else() -> None:
    """Who patches on top meanwhile keeps their patch. Where they take it away after our undo, ours is back on top and does
    nothing; the next one takes its place, so that a thousand rounds leave one layer."""
    before = threading.Thread.start
    try:
        for _ in range(1_500):
            undo = obs.propagate()
            ours = threading.Thread.start

            @functools.wraps(ours)
            def theirs(thread: threading.Thread, start: Any = ours) -> None:
                start(thread)

            threading.Thread.start = theirs  # type: ignore[method-assign]
            undo()
            assert threading.Thread.start is theirs
            threading.Thread.start = ours  # type: ignore[method-assign]
        with obs.flow() as run:
            assert in_a_thread() is None
            undo = obs.propagate()
            assert in_a_thread() == run.flow_id
            undo()
            assert in_a_thread() is None
        assert threading.Thread.start is before
    finally:
        threading.Thread.start = before  # type: ignore[method-assign]


def test_propagate_above_a_patch_that_stays() -> None:
    """Somebody's patch that holds an old one of ours stays: the new one stands above it, the old one passes through."""
    before = threading.Thread.start
    try:
        undo = obs.propagate()
        ours, calls = threading.Thread.start, []

        def theirs(thread: threading.Thread) -> None:
            calls.append(thread)
            ours(thread)

        threading.Thread.start = theirs  # type: ignore[method-assign]
        undo()
        for _ in range(1_500):
            obs.propagate()()
        with obs.flow() as run:
            assert in_a_thread() is None
            undo = obs.propagate()
            assert in_a_thread() == run.flow_id
            undo()
        assert (threading.Thread.start, len(calls)) == (theirs, 2)
    finally:
        threading.Thread.start = before  # type: ignore[method-assign]


def test_a_thread_that_is_started_twice_still_says_so() -> None:
    """With propagate, misuse of a thread is reported as without it."""
    undo = obs.propagate()
    try:
        thread = threading.Thread(target=where)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
    finally:
        undo()


def test_timers_and_thread_subclasses_inherit_too() -> None:
    """A subclass with its own run is carried as well."""
    seen: list[str | None] = []

    class Worker(threading.Thread):
        def run(self) -> None:
            seen.append(where())

    undo = obs.propagate()
    try:
        with obs.flow() as run:
            for thread in (Worker(), threading.Timer(0, lambda: seen.append(where()))):
                thread.start()
                thread.join()
    finally:
        undo()
    assert seen == [run.flow_id] * 2


# --- functions whose calls go on ---


async def coroutine(n: int) -> list[Any]:
    """Return where each step of it is."""
    seen = [where(), n]
    await asyncio.sleep(0)
    return [*seen, where(), await asyncio.create_task(asyncio.sleep(0, where()))]


def generator(n: int) -> Iterator[Any]:
    """Yield where each step is, and what was sent or thrown in; it ends with a value."""
    try:
        got = yield where()
        while n := n - 1:
            try:
                got = yield where(), got
            except KeyError as error:
                got = error.args
        return "end", where()
    finally:
        closed.append(where())


async def async_generator(n: int) -> AsyncIterator[Any]:
    """Yield where each step is, and what was sent or thrown in."""
    try:
        got = yield where()
        while n := n - 1:
            await asyncio.sleep(0)
            try:
                got = yield where(), got
            except KeyError as error:
                got = error.args
    finally:
        await asyncio.sleep(0)
        closed.append(where())


closed: list[str | None] = []
KINDS = (where, coroutine, generator, async_generator)


class Callables:
    """Each kind as a method, and as what a call of an object is."""

    async def coroutine(self, n: int) -> list[Any]:
        return await coroutine(n)

    async def __call__(self, n: int) -> list[Any]:
        return await coroutine(n)


@pytest.mark.parametrize("fn", KINDS)
def test_wrap_keeps_a_functions_face(fn: Any) -> None:
    """Name, docstring, signature and kind, for frameworks that ask."""
    carried = obs.wrap(fn)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(carried, attribute) == getattr(fn, attribute)
    assert inspect.signature(carried) == inspect.signature(fn)
    for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction, callable):
        assert ask(carried) == ask(fn)


@pytest.mark.parametrize(
    "fn",
    [
        coroutine,
        functools.partial(coroutine),
        Callables().coroutine,
        Callables(),
        obs.observable(coroutine),
        lambda n: coroutine(n),
        types.coroutine(lambda n: (yield from coroutine(n).__await__())),
        lambda n: types.coroutine(lambda: (yield from coroutine(n).__await__()))(),
    ],
)
def test_wrap_carries_every_step_of_a_coroutine(fn: Any) -> None:
    """Awaited in another thread's loop, outside any flow."""

    async def main() -> list[Any]:
        return cast("list[Any]", await carried(7))

    with obs.flow() as run:
        carried = obs.wrap(fn)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(main())).result() == [run.flow_id, 7, run.flow_id, run.flow_id]


def test_a_carried_coroutine_is_cancelled_and_fails_as_before() -> None:
    """What is thrown in arrives in the context, and what is raised comes out; errors hold no frames that hold them."""

    async def fails() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            closed.append(where())

    async def main() -> None:
        task = asyncio.create_task(obs.wrap(fails)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            await obs.wrap(coroutine)()  # type: ignore[call-arg]

    closed.clear()
    with obs.flow() as run:
        asyncio.run(main())
    assert closed == [run.flow_id]


def test_wrap_carries_every_step_of_a_generator() -> None:
    """What is sent, thrown and returned goes through; between the steps the consumer is where it was."""
    closed.clear()
    with obs.flow() as run:
        carried = obs.wrap(generator)
    here = run.flow_id
    steps = carried(4)
    assert [next(steps), steps.send(1), steps.throw(KeyError("k")), where()] == [here, (here, 1), (here, ("k",)), None]
    assert [next(steps), closed] == [(here, None), []]
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert (stop.value.value, closed) == (("end", here), [here])
    early = carried(4)
    next(early)
    early.close()
    assert closed == [here] * 2


def test_wrap_carries_what_a_plain_function_returns() -> None:
    """A generator, and the block of a context manager: what they do at each step and at the end is in the context."""
    closed.clear()

    @contextlib.contextmanager
    def managed() -> Iterator[Any]:
        yield from generator(1)

    @contextlib.asynccontextmanager
    async def managed_later() -> AsyncIterator[Any]:
        async for place in async_generator(1):
            yield place

    async def later(manager: Any) -> Any:
        async with manager() as place:
            return place, where()

    with obs.flow() as run:
        carried = [obs.wrap(fn) for fn in (lambda: generator(2), lambda: async_generator(1), managed, managed_later)]

        async def items() -> Any:
            return [item async for item in carried[1]()]

        def everything() -> Any:
            with carried[2]() as place:
                block = place, where()
            return list(carried[0]()), asyncio.run(items()), block, asyncio.run(later(carried[3]))

        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(everything).result()
    own = run.flow_id
    assert seen == ([own, (own, None)], [own], (own, None), (own, None))
    assert closed == [own] * 4


def test_wrap_carries_every_step_of_an_async_generator() -> None:
    """As of a generator, to its closing by whoever closes it."""

    async def main() -> list[Any]:
        steps = carried(4)
        found = [await anext(steps), await steps.asend(1), await steps.athrow(KeyError("k")), where(), await anext(steps)]
        found.append([step async for step in steps])
        early = carried(4)
        found.append(await anext(early))
        await early.aclose()
        return found

    closed.clear()
    with obs.flow() as run:
        carried = obs.wrap(async_generator)
    here = run.flow_id
    assert asyncio.run(main()) == [here, (here, 1), (here, ("k",)), None, (here, None), [], here]
    assert closed == [here] * 2


@pytest.mark.parametrize("value", [3, None, "work", object()])
def test_what_cannot_be_wrapped_is_refused(value: Any) -> None:
    """At once, not in the thread that would call it."""
    with pytest.raises(ConfigurationError, match=r"cannot be wrapped, since it is not callable; give a function"):
        obs.wrap(value)
    call = coroutine(1)
    with pytest.raises(ConfigurationError, match=r"give the coroutine function itself, not its call"):
        obs.wrap(call)  # type: ignore[arg-type]
    call.close()


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_thread_is_freed_without_the_collector(is_plain: bool) -> None:
    """With propagate as without it: what a thread holds goes when the last reference to it does."""
    undo = obs.propagate()
    gc.disable()
    try:
        held = Callables()
        kept = weakref.ref(held)
        with obs.flow():
            thread = threading.Thread(target=id, args=(held,)) if is_plain else threading.Timer(0, id, [held])
            thread.start()
            thread.join()
        thread_of = weakref.ref(thread)
        del thread, held
        assert (thread_of(), kept()) == (None, None)
    finally:
        gc.enable()
        undo()


def test_a_thread_that_could_not_start_can_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failed start leaves it as it was, with its own run."""
    seen: list[str | None] = []
    thread = threading.Thread()
    thread.run = lambda: seen.append(where())  # type: ignore[method-assign]
    own = thread.run

    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    undo = obs.propagate()
    try:
        for name in ("_start_new_thread", "_start_joinable_thread"):
            if hasattr(threading, name):
                monkeypatch.setattr(threading, name, fails)
        with obs.flow() as run:
            with pytest.raises(RuntimeError, match="can't start new thread"):
                thread.start()
            assert thread.run is own
            monkeypatch.undo()
            thread.start()
            thread.join()
    finally:
        undo()
    assert seen == [run.flow_id]
