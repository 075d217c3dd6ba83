"""Observed code that is hostile, or at the end of its stack: it runs as without the package, and what happened is logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import problems
from the_edge_obs.instrumentation import wrappers as instrumentation
from the_edge_obs.redaction.snapshots import snapshot

pytestmark = pytest.mark.slow


class Odd(BaseException):
    """An error that is not an Exception."""


class AskedError(Exception):
    """An error that raises when it is asked for anything."""

    def __str__(self) -> str:
        raise Odd("asked")

    __repr__ = __str__
    __traceback__ = __cause__ = __context__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise Odd("asked")


class Asked:
    """An object that raises when it is asked for anything."""

    def __getattribute__(self, name: str) -> Any:
        raise Odd("asked")

    def __str__(self) -> str:
        raise Odd("asked")

    __repr__ = __len__ = __iter__ = __float__ = __eq__ = __hash__ = __bool__ = __str__  # type: ignore[assignment]


class OddlyNamedError(ValueError):
    """An error whose class has a name of many lines and characters."""


OddlyNamedError.__name__ = OddlyNamedError.__qualname__ = "Odd\n" + "N" * 100_000

ERRORS: dict[str, Any] = {
    "asked": AskedError,
    "odd": lambda: Odd("x"),
    "oddly named": lambda: OddlyNamedError("x"),
    "huge": lambda: ValueError(list(range(100_000))),
    "memory": MemoryError,
    "recursion": lambda: RecursionError("deep"),
}


def function(error: BaseException) -> None:
    """Raise; the error is not an argument of the observed function."""

    @obs.observable("hostile")
    def fails() -> None:
        raise error

    fails()


def filtered(error: BaseException) -> None:
    """Raise in a call whose level may be filtered."""

    @obs.observable("hostile", level="debug")
    def fails() -> None:
        raise error

    fails()


def driven(waits_for_nothing: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing: asyncio itself asks errors for their class."""
    with suppress(StopIteration):
        waits_for_nothing.send(None)


def coroutine(error: BaseException) -> None:
    """Raise in a coroutine."""

    @obs.observable("hostile")
    async def fails() -> None:
        raise error

    driven(fails())


def generator(error: BaseException) -> None:
    """Raise between two items."""

    @obs.observable("hostile")
    def fails() -> Iterator[int]:
        yield 1
        raise error

    list(fails())


def async_generator(error: BaseException) -> None:
    """Raise between two items of an async generator."""

    @obs.observable("hostile")
    async def fails() -> AsyncIterator[int]:
        yield 1
        raise error

    async def through() -> list[int]:
        return [part async for part in fails()]

    driven(through())


def span(error: BaseException) -> None:
    """Raise in a block."""
    with obs.span("hostile"):
        raise error


OBSERVED = [function, filtered, coroutine, generator, async_generator, span]


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("how", OBSERVED)
def test_a_hostile_error_comes_out_as_it_is_and_is_logged(ring: obs.RingBufferHandler, how: Any, kind: str, level: str) -> None:
    """The very object that was raised, one error event, no fault, and the context is what it was."""
    logging.getLogger("tea").setLevel(level)
    error, caught = ERRORS[kind](), None
    with obs.flow() as run:
        before = obs.current()
        try:
            how(error)
        except BaseException as raised:  # noqa: BLE001 - whatever it is
            caught = raised
        is_same = caught is error
        assert is_same
        assert obs.current() == before
    log = obs.get_flow_log(run.flow_id)
    assert [problem for event in log.events for problem in problems(event)] == []
    ends = [event["event_type"] for event in log.events if event["node"] == "hostile" and event["event_type"] != "entry"]
    assert (ends, log.metrics["fault_count"]) == (["error"], 0)


def test_hostile_values_of_a_span_lose_nothing_else(ring: obs.RingBufferHandler) -> None:
    """Metrics, outputs and messages that raise when they are asked: each event is logged, with what can be told."""
    with obs.flow() as run:
        with obs.span("hostile", given=Asked()) as span:
            span.metric(bad=Asked(), good=1)  # type: ignore[arg-type]
            span.output = {"success": False, "error": Asked()}
            span.metrics = {"bad": Asked(), "good": 2}
        span.log(Asked())  # type: ignore[arg-type]
        run.log("logged", message=Asked(), metrics={Asked: 1})  # type: ignore[arg-type, dict-item]
        assert obs.observable("returns")(lambda: {"usage": Asked(), "cost_usd": Asked(), "success": Asked()})()
    log = obs.get_flow_log(run.flow_id)
    told = [(event["node"], event["event_type"]) for event in log.events if event["node"] != "flow"]
    kinds = ["entry", "metric", "error", "log"]
    assert told == [*(("hostile", kind) for kind in kinds), ("logged", "log"), ("returns", "entry"), ("returns", "exit")]
    assert log.metrics["fault_count"] == 0
    ((metric,), (end,)) = (obs.query(run.flow_id, event_type=kind, node="hostile") for kind in ("metric", "error"))
    assert metric["metrics"] == {"bad": None, "good": 1}
    assert end["metrics"] | {"duration_ms": 0} == {"duration_ms": 0, "bad": None, "good": 2}


def test_at_the_end_of_the_stack_a_call_that_ran_returns_what_it_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little room there is to log it: what ran to its end gives its result, and the context is given back.

    A wrapper takes frames itself, so that some calls do not begin; what had no room to be logged is counted.
    """
    monkeypatch.setattr(logging, "raiseExceptions", False)
    tea = logging.getLogger("tea")
    tea.setLevel("INFO")
    tea.propagate = False
    tea.addHandler(obs.RingBufferHandler(capacity=10_000))
    ran: list[int] = []
    missing = LookupError("missing")  # made here: at the end of the stack there is no room for that

    @obs.observable("leaf")
    def leaf(number: int) -> int:
        ran.append(number)
        return number

    @obs.observable("fails")
    def fails(number: int) -> int:
        ran.append(number)
        raise missing

    def at(depth: int, call: Any, number: int) -> Any:
        if depth:
            return at(depth - 1, call, number)
        return call(number)

    outcomes: list[tuple[int, Any]] = []
    with obs.flow() as run:
        before = obs.current()
        room = sys.getrecursionlimit()
        for number in range(room - 400, room):
            for call in (leaf, fails):
                ran.clear()
                missing.__traceback__ = None  # or it would grow with each call
                try:
                    outcome: Any = at(number, call, number)
                except (RecursionError, LookupError) as error:
                    outcome = type(error)
                assert obs.current() == before
                if ran:
                    outcomes.append((number, outcome))
                    assert outcome == (number if call is leaf else LookupError)
    assert len(outcomes) > 100
    log = obs.get_flow_log(run.flow_id)
    unlogged = len(outcomes) - len(obs.query(run.flow_id, node=["leaf", "fails"], event_type=["exit", "error"]))
    assert unlogged <= log.metrics["fault_count"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("error", [Odd, KeyboardInterrupt, SystemExit])
def test_a_handler_that_wants_to_stop_the_program_keeps_nothing_from_others(
    ring: obs.RingBufferHandler, error: type[BaseException], first: bool
) -> None:
    """As in logging, what is not an Exception is not the handler's failure, and goes on; other handlers have the event all the
    same, and the context is what it was."""

    class Stops(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise error

    seen: list[Any] = []
    tea = logging.getLogger("tea")
    stops, others = Stops(), obs.CallbackHandler(seen.append)
    with obs.flow() as run:
        before = obs.current()
        for handler in (stops, others) if first else (others, stops):
            tea.addHandler(handler)
        for call in (obs.observable("x")(lambda: 1), obs.span("x").__enter__, lambda: run.log("x")):
            with pytest.raises(error):
                call()
            assert obs.current() == before
        tea.removeHandler(stops)
    assert [event["node"] for event in seen] == ["x", "x", "x", "flow"]
    assert [event["node"] for event in ring.events(run.flow_id)] == ["flow", "x", "x", "x", "flow"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_while_a_result_is_copied_goes_on_after_the_end(
    ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """It comes once, and is not asked for again."""
    copies: list[Any] = []

    def copied(value: Any, *rest: Any) -> Any:
        copies.append(value)
        if len(copies) == 2:
            raise interrupt
        return snapshot(value, *rest)

    monkeypatch.setattr(instrumentation, "captured", copied)
    with obs.flow() as run, pytest.raises(interrupt):
        obs.observable("x")(lambda: 1)()
    assert [event["event_type"] for event in ring.events(run.flow_id)] == ["entry", "entry", "exit", "exit"]


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_results_whose_class_cannot_be_hashed(ring: obs.RingBufferHandler, level: str) -> None:
    """A metaclass that has ``__eq__`` alone; types of results are looked up in sets."""

    class Equal(type):
        def __eq__(cls, other: object) -> bool:
            return NotImplemented

        __hash__ = None  # type: ignore[assignment]

    result = Equal("Result", (), {})()
    logging.getLogger("tea").setLevel(level)
    observed = obs.observable("x")(lambda: result)
    with obs.flow() as run:
        assert [observed(), observed()] == [result, result]
        with obs.span("y") as span:
            span.output = result
    assert len([event for event in ring.events(run.flow_id) if event["node"] in "xy"]) == (6 if level == "INFO" else 0)
