"""Instrumentation: every kind of function logs its calls, and nothing changes for its callers."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError, EventError
from the_edge_obs.event import problems


def told(ring: obs.RingBufferHandler, run: obs.ObservabilityContext) -> list[dict[str, Any]]:
    """Return a flow's events but for the root's; all of the flow's must be valid."""
    events = ring.events(run.flow_id)
    assert [problem for event in events for problem in problems(event)] == []
    return [event for event in events if event["node"] != "flow"]


def brief(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["node"], event["event_type"]) for event in events]


def where() -> Any:
    span = obs.current()
    return span and span.node


# --- one of each kind; each takes a number, is in its span while it runs, returns the number's double, and fails on 0 ---


def checked(n: int) -> int:
    assert where() == "work"
    if n == 0:
        raise ValueError("zero")
    return n * 2


@obs.observable("work")
def function(n: int) -> int:
    return checked(n)


@obs.observable("work")
async def coroutine(n: int) -> int:
    await asyncio.sleep(0)
    return checked(n)


class Worker:
    @obs.observable("work")
    def method(self, n: int) -> int:
        return checked(n)

    @obs.observable("work")
    @staticmethod
    def static_inside(n: int) -> int:
        return checked(n)

    @staticmethod
    @obs.observable("work")
    def static_outside(n: int) -> int:
        return checked(n)

    @obs.observable("work")
    @classmethod
    def class_inside(cls, n: int) -> int:
        assert cls is Worker
        return checked(n)

    @classmethod
    @obs.observable("work")
    def class_outside(cls, n: int) -> int:
        return checked(n)

    @obs.observable("work")
    async def async_method(self, n: int) -> int:
        return checked(n)


class SyncCallable:
    def __call__(self, n: int) -> int:
        return checked(n)


class AsyncCallable:
    async def __call__(self, n: int) -> int:
        return checked(n)


KINDS: dict[str, tuple[Callable[..., Any], Any]] = {
    "function": (function, {"n": 3}),
    "coroutine": (coroutine, {"n": 3}),
    "method": (Worker().method, {"n": 3}),
    "unbound method": (functools.partial(Worker.method, Worker()), {"n": 3}),
    "static inside": (Worker.static_inside, {"n": 3}),
    "static outside": (Worker().static_outside, {"n": 3}),
    "class inside": (Worker.class_inside, {"n": 3}),
    "class outside": (Worker.class_outside, {"n": 3}),
    "async method": (Worker().async_method, {"n": 3}),
    "bound method": (obs.observable("work")(Worker.__dict__["method"].__wrapped__.__get__(Worker())), {"n": 3}),
    "partial": (obs.observable("work")(functools.partial(checked)), {"n": 3}),
    "partial coroutine": (obs.observable("work")(functools.partial(AsyncCallable().__call__)), {"n": 3}),
    "callable object": (obs.observable("work")(SyncCallable()), {"n": 3}),
    "async callable object": (obs.observable("work")(AsyncCallable()), {"n": 3}),
    "lambda": (obs.observable("work")(lambda n: checked(n)), {"n": 3}),
}


def settle(result: Any) -> Any:
    """Return the result of a call, waiting for it if it is a coroutine."""

    async def wait() -> Any:
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_logs_entry_and_exit(ring: obs.RingBufferHandler, kind: str) -> None:
    """Input on entry, output and duration on exit, both of one span below the flow's; the result is the function's."""
    fn, captured = KINDS[kind]
    with obs.flow() as run:
        assert settle(fn(3)) == 6
        assert where() == "flow"
    entry, leave = told(ring, run)
    assert brief([entry, leave]) == [("work", "entry"), ("work", "exit")]
    assert (entry["data"], leave["data"]) == ({"input": captured}, {"output": 6})
    assert (entry["metrics"], list(leave["metrics"])) == ({}, ["duration_ms"])
    assert leave["metrics"]["duration_ms"] >= 0
    assert entry["span_id"] == leave["span_id"]
    assert {entry["parent_id"], leave["parent_id"]} == {ring.events(run.flow_id)[0]["span_id"]}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_logs_its_errors(ring: obs.RingBufferHandler, kind: str) -> None:
    """One error in place of the exit; the exception is the function's own."""
    fn, _ = KINDS[kind]
    with obs.flow() as run, pytest.raises(ValueError, match="zero"):
        settle(fn(0))
    _, failed = told(ring, run)
    assert brief([failed]) == [("work", "error")]
    assert (failed["level"], list(failed["metrics"])) == ("error", ["duration_ms"])
    assert (failed["data"]["error"]["type"], failed["data"]["error"]["message"]) == ("ValueError", "zero")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_silent_when_filtered_but_for_errors(ring: obs.RingBufferHandler, kind: str) -> None:
    """No span, and the error of a failing call all the same."""
    logging.getLogger("tea.work").setLevel("ERROR")
    fn, _ = KINDS[kind]
    # It checks that it runs in its span, which is not there now.
    with obs.flow() as run, obs.span("around") as around, pytest.raises(AssertionError):
        settle(fn(1))
    assert around.context is not None
    events = told(ring, run)
    assert brief(events) == [("around", "entry"), ("work", "error"), ("around", "exit")]
    assert events[1]["parent_id"] == around.context.span_id
    assert events[1]["span_id"] != around.context.span_id


@pytest.mark.parametrize("filtered", [False, True])
def test_soft_failures_of_sync_and_async(ring: obs.RingBufferHandler, filtered: bool) -> None:
    """``{"success": False, "error": ...}`` is an error, observed or filtered, and goes back to the caller unchanged."""
    failure = {"success": False, "error": "refused", "error_type": "quota"}

    @obs.observable("soft")
    def sync() -> Any:
        return failure

    @obs.observable("soft")
    async def asynchronous() -> Any:
        return failure

    if filtered:
        logging.getLogger("tea.soft").setLevel("ERROR")
    with obs.flow() as run:
        assert sync() is failure
        assert settle(asynchronous()) is failure
    errors = [event for event in told(ring, run) if event["event_type"] == "error"]
    assert len(told(ring, run)) == (2 if filtered else 4)
    assert [event["data"] for event in errors] == [{"error": {"type": "quota", "message": "refused"}, "output": failure}] * 2


def test_steps_of_engine_actions(ring: obs.RingBufferHandler) -> None:
    """The engine's name of the node is the event's step, not an input."""

    @obs.observable("file.read")
    def read(state: Any, path: str = "", **more: Any) -> Any:
        return {"content": path}

    with obs.flow() as run:
        read(state={"big": 1}, path="x", node="load", config={}, graph=None)
        read({}, path="y")
    events = told(ring, run)
    assert [(event.get("step"), event["data"]) for event in events] == [
        ("load", {"input": {"path": "x"}}),
        ("load", {"output": {"content": "x"}}),
        (None, {"input": {"path": "y"}}),
        (None, {"output": {"content": "y"}}),
    ]


def test_usage_becomes_metrics(ring: obs.RingBufferHandler) -> None:
    """Tokens and cost of a result are metrics of its exit, and survive redaction in its output."""

    @obs.observable("llm.call")
    def call(params: Any, state: Any, ctx: Any) -> Any:
        return {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, "cost_usd": 0.1}

    with obs.flow() as run:
        result = call({"max_tokens": 5, "api_key": "sk-1"}, {}, None)
    entry, leave = told(ring, run)
    assert entry["data"] == {"input": {"max_tokens": 5, "api_key": "[REDACTED]"}, "cut": ["input.api_key"]}
    assert leave["data"] == {"output": result}
    assert {key: leave["metrics"][key] for key in ("tokens", "input_tokens", "output_tokens", "cost_usd")} == {
        "tokens": 7,
        "input_tokens": 3,
        "output_tokens": 4,
        "cost_usd": 0.1,
    }


def test_further_keys_are_secret_in_and_out(ring: obs.RingBufferHandler) -> None:
    """``sanitize_keys`` counts for the input, for the output, and for what a soft failure or a generator returns."""

    @obs.observable("a", sanitize_keys=["cpf"])
    def plain(params: Any, state: Any) -> Any:
        return {"cpf": "111.222.333-44", "CPF": "x"}

    @obs.observable("a", sanitize_keys=["cpf"])
    async def soft(**more: Any) -> Any:
        return {"success": False, "error": "e", "Cpf": "555.666.777-88"}

    @obs.observable("a", sanitize_keys=["cpf"])
    def stream() -> Iterator[Any]:
        yield 1
        return {"c_p_f": "999.888.777-66"}

    with obs.flow() as run:
        plain({"cpf": "123.456.789-00"}, {})
        settle(soft(cpf="000.111"))
        list(stream())
    logging.getLogger("tea.a").setLevel("ERROR")
    with obs.flow() as filtered:
        settle(soft())
    text = str(ring.events(run.flow_id)) + str(ring.events(filtered.flow_id))
    for secret in ("111.222", "123.456", "555.666", "000.111", "999.888"):
        assert secret not in text
    assert plain({}, {}) == {"cpf": "111.222.333-44", "CPF": "x"}


def test_the_callers_values_are_untouched(ring: obs.RingBufferHandler) -> None:
    """Arguments and result are the very objects; later changes are not seen."""

    @obs.observable("same")
    def same(params: Any, state: Any) -> Any:
        params["items"].append(2)
        return params

    params = {"items": [1], "password": "hunter2"}
    with obs.flow() as run:
        assert same(params, {}) is params
        params["items"].append(3)
    entry, leave = told(ring, run)
    assert entry["data"] == {"input": {"items": [1], "password": "[REDACTED]"}, "cut": ["input.password"]}
    assert leave["data"] == {"output": {"items": [1, 2], "password": "[REDACTED]"}, "cut": ["output.password"]}
    assert params == {"items": [1, 2, 3], "password": "hunter2"}


def test_decoration_keeps_a_functions_face() -> None:
    """Name, docstring, signature, attributes and kind."""

    async def plain(a: int, *, b: str = "x") -> int:
        """Say something."""
        return a

    plain.mark = 1  # type: ignore[attr-defined]
    observed: Any = obs.observable(plain)
    assert (observed.__name__, observed.__doc__, observed.mark) == ("plain", "Say something.", 1)
    assert inspect.signature(observed) == inspect.signature(plain)
    assert inspect.iscoroutinefunction(observed)
    assert inspect.isgeneratorfunction(obs.observable(numbers_of))
    assert inspect.isasyncgenfunction(obs.observable(async_numbers_of))
    assert observed.__wrapped__ is plain


def test_names_by_default(ring: obs.RingBufferHandler) -> None:
    """The function's, the partial's function's, or the object's type's name."""

    def plain() -> None: ...

    with obs.flow() as run:
        for fn in (plain, functools.partial(plain), lambda: None):
            obs.observable(fn)()
            obs.observable()(fn)()
        obs.observable(SyncCallable())
    assert [event["node"] for event in told(ring, run) if event["event_type"] == "entry"] == [
        "plain",
        "plain",
        "plain",
        "plain",
        "lambda",
        "lambda",
    ]


def test_a_wrong_call_fails_as_before(ring: obs.RingBufferHandler) -> None:
    """A TypeError of the call is the caller's, and an error of the span."""
    with obs.flow() as run:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            function()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            next(numbers())  # type: ignore[call-arg]
    assert brief(told(ring, run)) == [("work", "entry"), ("work", "error"), ("numbers", "entry"), ("numbers", "error")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: obs.observable("a")(7), "7 cannot be observed; allowed: a function"),
        (lambda: obs.observable("a")(Worker), "cannot be observed"),
        (lambda: obs.observable(Worker), "cannot be observed"),
        (lambda: obs.observable(7), "7 cannot be observed; allowed: a function"),  # type: ignore[call-overload]
        (lambda: obs.observable(""), "node '' is not a name"),
        (lambda: obs.observable("item 17 is done"), "node 'item 17 is done' has a blank in it; give the name of what runs"),
        (lambda: obs.observable("...")(where), "is not a name"),
        (lambda: obs.observable(".rank")(where), "node '.rank' begins with a dot; give a name such as 'rank'"),
        (lambda: obs.observable("a", sanitize_keys="cpf"), r"sanitize_keys 'cpf' is a string; give a list such as \['cpf'\]"),
    ],
)
def test_what_cannot_be_observed_is_refused(make: Callable[[], Any], message: str) -> None:
    """When it is decorated, not when it is called."""
    with pytest.raises(ConfigurationError, match=message):
        make()
    with pytest.raises(EventError, match="unknown level 'loud'"):
        obs.observable("a", level="loud")


# --- generators ---


def numbers_of(n: int) -> Iterator[Any]:
    assert where() == "numbers"
    total = 0
    for i in range(n):
        got = yield i
        assert where() == "numbers"
        total += got or 0
        if got == -1:
            raise ValueError("minus one")
    return total or None


async def async_numbers_of(n: int) -> AsyncIterator[int]:
    for i in range(n):
        assert where() == "numbers"
        await asyncio.sleep(0)
        got = yield i
        if got == -1:
            raise ValueError("minus one")


numbers = obs.observable("numbers")(numbers_of)
async_numbers = obs.observable("numbers")(async_numbers_of)


def test_a_generators_span_lives_until_its_last_item(ring: obs.RingBufferHandler) -> None:
    """The consumer is never inside the span; chunks and the time to the first are metrics of the exit."""
    with obs.flow() as run:
        for _ in numbers(3):
            assert where() == "flow"
            function(1)
    events = told(ring, run)
    assert brief(events) == [("numbers", "entry"), *[("work", "entry"), ("work", "exit")] * 3, ("numbers", "exit")]
    root = ring.events(run.flow_id)[0]["span_id"]
    assert {event["parent_id"] for event in events} == {root}
    metrics = events[-1]["metrics"]
    assert set(metrics) == {"duration_ms", "chunks", "time_to_first_chunk_ms"}
    assert metrics["chunks"] == 3
    assert 0 <= metrics["time_to_first_chunk_ms"] <= metrics["duration_ms"]


def test_a_generator_gets_what_is_sent_and_thrown(ring: obs.RingBufferHandler) -> None:
    """send, throw and the return value work as without us."""

    def outer() -> Iterator[Any]:
        result = yield from numbers(2)
        yield f"got {result}"

    with obs.flow() as run:
        generator: Any = outer()
        assert (next(generator), generator.send(5), generator.send(6)) == (0, 1, "got 11")
        thrown: Any = numbers(2)
        next(thrown)
        with pytest.raises(KeyError, match="mine"):
            thrown.throw(KeyError("mine"))
        raised: Any = numbers(2)
        next(raised)
        with pytest.raises(ValueError, match="minus one"):
            raised.send(-1)
    events = told(ring, run)
    assert brief(events) == [("numbers", "entry"), ("numbers", "exit"), *[("numbers", "entry"), ("numbers", "error")] * 2]
    assert events[1]["data"] == {"output": 11}
    assert [event["data"]["error"]["message"] for event in (events[3], events[5])] == ["'mine'", "minus one"]


def test_a_generator_may_answer_what_is_thrown(ring: obs.RingBufferHandler) -> None:
    """What it catches is not an error."""

    @obs.observable("patient")
    def patient() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    with obs.flow() as run:
        generator: Any = patient()
        assert (next(generator), generator.throw(KeyError("x"))) == ("first", "caught")
        assert list(generator) == []
    assert brief(told(ring, run)) == [("patient", "entry"), ("patient", "exit")]


@pytest.mark.slow
def test_a_generator_closed_early(ring: obs.RingBufferHandler) -> None:
    """Closing, or letting go of it, ends the span with what it gave so far; its clean-up runs inside the span."""
    cleaned: list[Any] = []

    @obs.observable("cleaning")
    def cleaning() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(where())

    with obs.flow() as run:
        for _ in cleaning():
            break
        gc.collect()
        generator: Any = cleaning()
        next(generator)
        generator.close()
        cleaning()  # never started: it never ran
        assert where() == "flow"
    events = told(ring, run)
    assert brief(events) == [("cleaning", "entry"), ("cleaning", "exit")] * 2
    assert [(event["metrics"]["chunks"], event["metrics"]["closed_early"]) for event in events[1::2]] == [(1, 1)] * 2
    assert cleaned == ["cleaning"] * 2


def test_generators_take_turns(ring: obs.RingBufferHandler) -> None:
    """Two of them, item by item, never see each other's span."""
    with obs.flow() as run:
        assert list(zip(numbers(3), numbers(3), strict=True)) == [(0, 0), (1, 1), (2, 2)]
        assert where() == "flow"
    assert sorted(brief(told(ring, run))) == [("numbers", "entry")] * 2 + [("numbers", "exit")] * 2


def test_a_generator_consumed_in_another_thread(ring: obs.RingBufferHandler) -> None:
    """It belongs to the flow in which it was begun, and leaves no trace in the thread."""
    seen: list[Any] = []
    with obs.flow() as run:
        generator = numbers(3)
        next(generator)

        def consume() -> None:
            seen.extend(generator)
            seen.append(where())

        thread = threading.Thread(target=consume)
        thread.start()
        thread.join()
    assert seen == [1, 2, None]
    assert brief(told(ring, run)) == [("numbers", "entry"), ("numbers", "exit")]


def test_an_async_generator(ring: obs.RingBufferHandler) -> None:
    """As the sync one: span until the last item, consumer outside, asend and athrow."""

    async def main() -> None:
        async for _ in async_numbers(3):
            assert where() == "flow"
            await coroutine(1)
        generator: Any = async_numbers(3)
        assert await anext(generator) == 0
        assert await generator.asend(None) == 1
        with pytest.raises(ValueError, match="minus one"):
            await generator.asend(-1)
        thrown: Any = async_numbers(3)
        await anext(thrown)
        with pytest.raises(KeyError):
            await thrown.athrow(KeyError("mine"))

    with obs.flow() as run:
        asyncio.run(main())
    events = told(ring, run)
    assert brief(events) == [
        ("numbers", "entry"),
        *[("work", "entry"), ("work", "exit")] * 3,
        ("numbers", "exit"),
        *[("numbers", "entry"), ("numbers", "error")] * 2,
    ]
    assert events[7]["metrics"]["chunks"] == 3


def test_an_async_generator_closed_from_another_task(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """Where four of six tracers fail: the token of another context is not given back, the span ends, nothing is raised."""

    async def main() -> None:
        with obs.flow() as run:
            generator: Any = async_numbers(5)
            await anext(generator)
            await asyncio.create_task(generator.aclose())
            assert where() == "flow"
            async with aclosing(async_numbers(5)) as second:  # type: ignore[type-var]
                await anext(second)
            left: Any = async_numbers(5)
            await anext(left)
        kept.extend((run, left))

    kept: list[Any] = []
    asyncio.run(main())  # the loop closes the one that was left open
    assert capsys.readouterr().err == ""
    events = told(ring, kept[0])
    assert brief(events) == [("numbers", "entry"), ("numbers", "exit")] * 3
    assert [event["metrics"]["closed_early"] for event in events[1::2]] == [1, 1, 1]


def test_a_cancelled_task(ring: obs.RingBufferHandler) -> None:
    """Cancellation is logged as such, for coroutines and async generators, and stays a cancellation."""

    @obs.observable("sleeps")
    async def sleeps() -> None:
        await asyncio.sleep(60)

    @obs.observable("streams")
    async def streams() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    async def consume() -> None:
        async for _ in streams():
            pass

    async def main() -> None:
        for job in (sleeps, consume):
            task = asyncio.create_task(job())
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    logging.getLogger("tea").setLevel("INFO")
    with obs.flow() as run:
        asyncio.run(main())
    events = told(ring, run)
    assert brief(events) == [("sleeps", "entry"), ("sleeps", "error"), ("streams", "entry"), ("streams", "error")]
    for event in events[1::2]:
        assert (event["level"], event["data"]["cancelled"]) == ("warn", True)


def test_filtered_generators_report_errors_alone(ring: obs.RingBufferHandler) -> None:
    """They run as they are, outside any span."""

    @obs.observable("quiet")
    def quiet(fail: bool) -> Iterator[Any]:
        yield where()
        if fail:
            raise ValueError("late")

    @obs.observable("quiet")
    async def async_quiet() -> AsyncIterator[Any]:
        yield where()
        raise ValueError("later")

    async def consume() -> list[Any]:
        return [item async for item in async_quiet()]

    logging.getLogger("tea.quiet").setLevel("ERROR")
    with obs.flow() as run:
        assert list(quiet(False)) == ["flow"]
        with pytest.raises(ValueError, match="late"):
            list(quiet(True))
        with pytest.raises(ValueError, match="later"):
            asyncio.run(consume())
    events = told(ring, run)
    assert [(event["node"], event["event_type"], event["data"]["error"]["message"]) for event in events] == [
        ("quiet", "error", "late"),
        ("quiet", "error", "later"),
    ]


# --- two flows at once ---


@obs.observable("outer")
def outer_call(name: str) -> str:
    return inner_call(name)


@obs.observable("inner")
def inner_call(name: str) -> str:
    return name


@obs.observable("outer")
async def async_outer_call(name: str) -> str:
    await asyncio.sleep(0)
    first = await asyncio.to_thread(inner_call, name)
    await asyncio.sleep(0)
    second = await asyncio.gather(asyncio.to_thread(inner_call, name), async_inner_call(name))
    return first + "".join(second)


@obs.observable("inner")
async def async_inner_call(name: str) -> str:
    await asyncio.sleep(0)
    return name


def assert_whole(ring: obs.RingBufferHandler, flow_id: str, name: str, inner: int) -> None:
    """Check that a flow has its own events alone, each inner span below an outer one."""
    events = [event for event in ring.events(flow_id) if event["node"] != "flow"]
    outers = {event["span_id"] for event in events if event["node"] == "outer"}
    inners = [event for event in events if event["node"] == "inner"]
    assert len(inners) == inner * 2 * len(outers)
    assert {event["parent_id"] for event in inners} <= outers
    assert {event["flow_id"] for event in events} == {flow_id}
    assert {event["data"]["input"]["name"] for event in events if event["event_type"] == "entry"} == {name}


def test_flows_in_threads_do_not_mix(ring: obs.RingBufferHandler) -> None:
    """Ten threads, each with a flow of its own, at the same time."""
    barrier = threading.Barrier(10)
    found: dict[str, str] = {}

    def one(name: str) -> None:
        barrier.wait()
        with obs.flow() as run:
            for _ in range(10):
                outer_call(name)
        found[run.flow_id] = name

    threads = [threading.Thread(target=one, args=(f"t{i}",)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 10
    for flow_id, name in found.items():
        assert_whole(ring, flow_id, name, 1)


def test_flows_in_tasks_do_not_mix(ring: obs.RingBufferHandler) -> None:
    """Twenty tasks, each with a flow of its own, with threads of their own."""

    async def one(name: str) -> tuple[str, str]:
        with obs.flow() as run:
            for _ in range(3):
                assert await async_outer_call(name) == name * 3
        return run.flow_id, name

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*(one(f"t{i}") for i in range(20)))

    for flow_id, name in asyncio.run(main()):
        assert_whole(ring, flow_id, name, 3)


@pytest.mark.parametrize("how", ["wrap", "propagate"])
def test_pools_carry_the_flow(ring: obs.RingBufferHandler, how: str) -> None:
    """Work handed to a shared pool belongs to the flow that handed it over."""
    undo = obs.propagate() if how == "propagate" else lambda: None
    carry: Callable[[Any], Any] = obs.wrap if how == "wrap" else lambda fn: fn
    found: dict[str, str] = {}
    try:
        with ThreadPoolExecutor(3) as pool:
            for name in ("a", "b", "c"):
                with obs.flow() as run:
                    futures = [pool.submit(carry(outer_call), name) for _ in range(20)]
                    assert {future.result() for future in futures} == {name}
                found[run.flow_id] = name
    finally:
        undo()
    for flow_id, name in found.items():
        assert_whole(ring, flow_id, name, 1)
    assert len(ring.flow_ids()) == 3


def test_recursion_makes_a_chain(ring: obs.RingBufferHandler) -> None:
    """Each call is the child of the one that called it."""

    @obs.observable("fact")
    def fact(n: int) -> int:
        return 1 if n <= 1 else n * fact(n - 1)

    with obs.flow() as run:
        assert fact(5) == 120
    spans = {span.span_id: span for span in obs.get_flow_log(run.flow_id).spans}
    deepest = next(span for span in spans.values() if not span.children)
    depth = 0
    while deepest.parent_id is not None:
        deepest, depth = spans[deepest.parent_id], depth + 1
    assert depth == 5


def test_a_stream_of_signatures(ring: obs.RingBufferHandler) -> None:
    """(params, state, ctx); (state, **params); plain; *args and **kwargs; keyword-only; methods of each."""

    class Thing:
        @obs.observable("n")
        def classic(self, params: Any, state: Any, ctx: Any) -> None: ...

        @obs.observable("n")
        def action(self, state: Any, **params: Any) -> None: ...

    @obs.observable("n")
    def classic(params: Any, state: Any, ctx: Any) -> None: ...

    @obs.observable("n")
    def action(state: Any, **params: Any) -> None: ...

    @obs.observable("n")
    def plain(a: Any, b: Any = 2, *, c: Any = 3) -> None: ...

    @obs.observable("n")
    def anything(*args: Any, **kwargs: Any) -> None: ...

    with obs.flow() as run:
        classic({"p": 1}, {"s": 1}, "ctx")
        classic(params={"p": 2}, state={"s": 1}, ctx=None)
        action({"s": 1}, p=3)
        action(state={"s": 1}, p=4)
        plain(1, c=5)
        anything(1, 2, k=3)
        Thing().classic({"p": 6}, {"s": 1}, None)
        Thing().action({"s": 1}, p=7)
    inputs = [event["data"]["input"] for event in told(ring, run) if event["event_type"] == "entry"]
    assert inputs == [
        {"p": 1},
        {"p": 2},
        {"p": 3},
        {"p": 4},
        {"a": 1, "c": 5},
        {"args": [1, 2], "k": 3},
        {"p": 6},
        {"p": 7},
    ]
