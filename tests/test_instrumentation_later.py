"""A call whose result comes later is done when that is, and the result stays what it is."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import problems


class Request:
    """An awaitable with a life of its own, as HTTP clients return them."""

    method = "GET"

    def __init__(self, answer: Any = 14, error: BaseException | None = None) -> None:
        self.answer, self.error = answer, error

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from asyncio.sleep(0).__await__()
        with obs.span("inner"):
            if self.error is not None:
                raise self.error
        return self.answer

    async def __aenter__(self) -> str:
        return "open"

    async def __aexit__(self, *details: object) -> None:
        pass

    def __len__(self) -> int:
        return 3


async def work(answer: Any = 14, error: BaseException | None = None) -> Any:
    """Return an answer, or raise, in a later step of the loop."""
    await asyncio.sleep(0)
    with obs.span("inner"):
        if error is not None:
            raise error
    return answer


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate as people do, which hides that the function is async."""

    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return decorated


def task(*args: Any, **kwargs: Any) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work(*args, **kwargs))


def requested(*args: Any, **kwargs: Any) -> Request:
    return Request(*args, **kwargs)


class Called:
    """A callable object that returns a coroutine."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)


WAYS: dict[str, Callable[..., Any]] = {
    "decorator": plainly(work),
    "lambda": lambda *args, **kwargs: work(*args, **kwargs),
    "partial": functools.partial(plainly(work)),
    "object": Called(),
    "task": task,
    "custom": requested,
}


def ran(main: Coroutine[Any, Any, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
    """Run a coroutine in a flow; return its result and the spans: node, parent's node, status, error's message."""

    async def inside() -> tuple[str, Any]:
        with obs.flow() as run:
            return run.flow_id, await main

    flow_id, result = asyncio.run(inside())
    gc.collect()
    log = obs.get_flow_log(flow_id)
    assert [problem for event in log.events for problem in problems(event)] == []
    assert log.metrics["fault_count"] == 0
    nodes = {span.span_id: span.node for span in log.spans}
    told = [
        (span.node, nodes.get(span.parent_id or ""), span.status, span.error and span.error["message"]) for span in log.spans[1:]
    ]
    return result, told


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("way", WAYS)
def test_an_awaitable_result_keeps_the_span_open(way: str) -> None:
    """The answer is the call's output, and what happens on the way to it is inside the call."""
    observed = obs.observable("call")(WAYS[way])

    async def main() -> Any:
        return await observed(), obs.current().node  # type: ignore[union-attr]

    assert ran(main()) == ((14, "flow"), [("call", "flow", "ok", None), ("inner", "call", "ok", None)])


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("way", WAYS)
def test_what_is_raised_later_ends_the_span(way: str) -> None:
    """The very error comes out, and is the call's."""
    error = LookupError("gone")
    observed = obs.observable("call")(WAYS[way])

    async def main() -> bool:
        with pytest.raises(LookupError) as caught:
            await observed(error=error)
        return caught.value is error

    assert ran(main()) == (True, [("call", "flow", "error", "gone"), ("inner", "call", "error", "gone")])


@pytest.mark.parametrize("way", WAYS)
def test_a_filtered_call_reports_what_is_raised_later(ring: obs.RingBufferHandler, way: str) -> None:
    """No span is opened for it, and its error is logged."""
    logging.getLogger("tea.call").setLevel("WARNING")
    logging.getLogger("tea.inner").setLevel("CRITICAL")
    observed = obs.observable("call")(WAYS[way])

    async def main() -> Any:
        with pytest.raises(LookupError):
            await observed(error=LookupError("gone"))
        return await observed()

    with obs.flow() as run:
        assert asyncio.run(main()) == 14
    events = [(event["node"], event["event_type"], event["message"]) for event in ring.events(run.flow_id)[1:-1]]
    assert events == [("call", "error", "gone")]


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.filterwarnings("ignore:coroutine 'work' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("way", [way for way in WAYS if way != "task"])
def test_what_is_never_awaited_ends_as_cancelled(way: str) -> None:
    """As soon as nobody can await it any more; Python's warning names the function as without the decorator, once."""
    observed = obs.observable("call")(WAYS[way])

    async def main() -> None:
        observed()

    assert ran(main()) == (None, [("call", "flow", "cancelled", "never awaited")])


@pytest.mark.usefixtures("ring")
def test_a_task_stays_itself_and_ends_when_it_is_cancelled() -> None:
    """It is the same object, for whoever cancels or gathers it."""
    made: list[Any] = []

    @obs.observable("call")
    def starts() -> Any:
        made.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        return made[-1]

    async def main() -> bool:
        returned = starts()
        await asyncio.sleep(0)
        returned.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await returned
        await asyncio.sleep(0)
        return returned is made[0]

    assert ran(main()) == (True, [("call", "flow", "cancelled", "")])


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_an_error_that_nobody_retrieves_is_still_told_by_asyncio() -> None:
    """Looking at a future's error does not count as having seen it."""
    told: list[str] = []

    @obs.observable("call")
    def fails() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(LookupError("gone"))
        return future

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
        fails()
        gc.collect()

    assert ran(main()) == (None, [("call", "flow", "error", "gone")])
    assert told == ["Future exception was never retrieved"]


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_what_is_awaited_in_another_task_or_twice() -> None:
    """A coroutine is a coroutine: a task takes it, and it is awaited once; another awaitable may be awaited again."""
    coroutine, custom = obs.observable("call")(WAYS["lambda"]), obs.observable("custom")(requested)

    async def main() -> Any:
        waiting = coroutine()
        assert inspect.iscoroutine(waiting)
        answer = await asyncio.create_task(waiting)
        with pytest.raises(RuntimeError, match="already awaited"):
            await waiting
        again = custom()
        return [answer, await again, await again]

    result, told = ran(main())
    assert result == [14, 14, 14]
    assert told == [
        ("call", "flow", "ok", None),
        ("inner", "call", "ok", None),
        ("custom", "flow", "ok", None),
        ("inner", "custom", "ok", None),
        ("inner", "flow", "ok", None),
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_another_awaitable_is_what_it_is_in_every_other_way() -> None:
    """Its class, attributes, length and its use in ``async with`` are those of the original; used so, the call is good."""
    observed = obs.observable("call")(requested)

    async def main() -> Any:
        request = observed("x")
        request.method = "POST"
        async with request as entered:
            return isinstance(request, Request), request.method, len(request), entered, vars(request)

    expected = (True, "POST", 3, "open", {"answer": "x", "error": None, "method": "POST"})
    assert ran(main()) == (expected, [("call", "flow", "ok", None)])


class Entered(Request):
    """A coroutine that can be entered in place of being awaited, as aiohttp's requests can."""

    def send(self, value: Any) -> Any: ...

    def throw(self, *error: Any) -> Any: ...

    def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_what_can_be_awaited_or_entered_can_be_both() -> None:
    """A coroutine in its place could not be entered."""
    observed = obs.observable("call")(lambda: Entered())

    async def main() -> Any:
        async with observed() as entered:
            return entered, await observed()

    assert ran(main())[0] == ("open", 14)


class Handle(Request):
    """What a cluster gives for a task: it knows its own by their type."""

    def result(self) -> Any:
        return self.answer


class Foreign:
    """An awaitable that is not written in Python."""

    __await__ = functools.partial(iter, ())


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("kind", [Handle, Foreign])
def test_a_handle_is_handed_on_as_it_is(kind: type) -> None:
    """Whoever gave it may look at its type: nothing stands in its place, and the call is done."""
    handle = kind()
    observed = obs.observable("call")(lambda: handle)

    async def main() -> bool:
        return observed() is handle

    assert ran(main()) == (True, [("call", "flow", "ok", None)])


@contextlib.contextmanager
def opened(fail: bool = False) -> Iterator[str]:
    """Manage a block."""
    with obs.span("inner"):
        yield "block"


@contextlib.asynccontextmanager
async def opened_later(fail: bool = False) -> AsyncIterator[str]:
    """Manage a block."""
    with obs.span("inner"):
        yield "block"


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("fails", [False, True])
def test_a_context_manager_is_done_with_its_block(fails: bool) -> None:
    """Sync and async alike: what the block raises goes through, and is the call's error."""
    managers = [obs.observable("sync")(opened), obs.observable("async")(opened_later)]

    def end() -> None:
        if fails:
            raise LookupError("gone")

    async def main() -> Any:
        with contextlib.suppress(LookupError), managers[0]() as first:
            end()
        with contextlib.suppress(LookupError):
            async with managers[1]() as second:
                end()
        return first, second

    status, message = ("error", "gone") if fails else ("ok", None)
    assert ran(main()) == (
        ("block", "block"),
        [
            ("sync", "flow", status, message),
            ("inner", "sync", status, message),
            ("async", "flow", status, message),
            ("inner", "async", status, message),
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_each_call_of_what_a_context_manager_decorates_is_a_span(ring: obs.RingBufferHandler, level: str) -> None:
    """A manager makes another one for each call; the one that decorates manages no block, and is done with the first call."""
    logging.getLogger("tea.sync").setLevel(level)
    managers = [obs.observable("sync")(opened), obs.observable("async")(opened_later)]

    @managers[0]()
    def double(number: int) -> int:
        return 2 * number

    @managers[1]()
    async def doubled_later(number: int) -> int:
        return 2 * number

    async def main() -> list[int]:
        return [double(1), double(2), await doubled_later(3), await doubled_later(4)]

    def calls(node: str) -> list[tuple[Any, ...]]:
        return [(node, "flow", "ok", None), ("inner", node, "ok", None)] * 2

    filtered = [("inner", "flow", "ok", None)] * 2
    assert ran(main()) == ([2, 4, 6, 8], [*(calls("sync") if level == "INFO" else filtered), *calls("async")])
    assert {obs.get_flow_log(flow_id).status for flow_id in ring.flow_ids()} == {"ok"}


@types.coroutine
def stepwise(error: BaseException | None = None) -> Generator[Any, Any, int]:
    """Return an answer as coroutines did before ``async def``."""
    yield from asyncio.sleep(0).__await__()
    with obs.span("inner"):
        if error is not None:
            raise error
    return 14


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("function", [stepwise, plainly(stepwise)])
def test_a_generator_that_is_awaitable_stays_both(function: Callable[..., Any]) -> None:
    """It is awaited, and a generator function may go through it; what it yields is for the loop, and no chunk."""
    observed = obs.observable("call")(function)

    @types.coroutine
    def through() -> Generator[Any, Any, int]:
        return (yield from observed())  # type: ignore[no-any-return]

    async def main() -> Any:
        with pytest.raises(LookupError, match="gone"):
            await observed(error=LookupError("gone"))
        return await observed(), await through(), inspect.isgenerator(observed())

    good = [("call", "flow", "ok", None), ("inner", "call", "ok", None)]
    failed = [("call", "flow", "error", "gone"), ("inner", "call", "error", "gone")]
    unused = [("call", "flow", "cancelled", "never awaited")] if function is not stepwise else []
    assert ran(main()) == ((14, 14, True), [*failed, *good, *good, *unused])
    assert inspect.isgeneratorfunction(observed) == inspect.isgeneratorfunction(function)


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_a_future_of_a_pool_ends_the_span() -> None:
    """As a future of asyncio does: it stays the same object, and its answer, error or cancellation is the call's."""
    future: Future[int] = Future()
    observed = obs.observable("call")(lambda: future)

    async def main() -> bool:
        nonlocal future
        answered = observed()
        is_same = answered is future
        future.set_result(14)
        future = Future()
        observed().set_exception(LookupError("gone"))
        future = Future()
        observed().cancel()
        return is_same

    ends = [("ok", None), ("error", "gone"), ("cancelled", "")]
    assert ran(main()) == (True, [("call", "flow", *end) for end in ends])


def numbers() -> Iterator[int]:
    with obs.span("inner"):
        yield 1
        yield 2


async def numbers_later() -> AsyncIterator[int]:
    with obs.span("inner"):
        yield 1
        yield 2


@pytest.mark.usefixtures("ring")
def test_a_generator_that_a_plain_function_returns_is_a_stream() -> None:
    """It is a generator, its items are chunks of the call, and one that is never asked was closed early."""
    streams = [obs.observable("sync")(plainly(numbers)), obs.observable("async")(plainly(numbers_later))]

    async def main() -> Any:
        for stream in streams:
            stream()
        parts = streams[0]()
        return inspect.isgenerator(parts), list(parts), [part async for part in streams[1]()]

    assert ran(main()) == (
        (True, [1, 2], [1, 2]),
        [
            ("sync", "flow", "ok", None),
            ("async", "flow", "ok", None),
            ("sync", "flow", "ok", None),
            ("inner", "sync", "ok", None),
            ("async", "flow", "ok", None),
            ("inner", "async", "ok", None),
        ],
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_what_has_begun_before_the_call_is_left_alone() -> None:
    """A function that hands out a generator of somebody else has done its work."""
    begun = numbers()
    next(begun)

    @obs.observable("call")
    def hands_out() -> Any:
        return begun

    async def main() -> bool:
        return hands_out() is begun

    assert ran(main()) == (True, [("call", "flow", "ok", None)])


@pytest.mark.slow
@pytest.mark.usefixtures("ring")
def test_a_call_ends_though_the_level_changes_meanwhile() -> None:
    """What has an entry has an end."""
    observed = obs.observable("call")(WAYS["lambda"])

    async def main() -> Any:
        waiting = observed()
        logging.getLogger("tea").setLevel("WARNING")
        answer = await waiting
        logging.getLogger("tea").setLevel("INFO")
        return answer

    assert ran(main())[1][0] == ("call", "flow", "ok", None)
