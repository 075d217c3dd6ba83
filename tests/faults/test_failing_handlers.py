"""Handlers that raise, log, block or never end: the flow's result is what it is without them, and the fault is told."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import problems
from the_edge_obs.recording.dispatch import MAX_REENTRY


class Calls(logging.Handler):
    """A handler that calls a function with each record."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def emit(self, record: logging.LogRecord) -> None:
        self.function(record)


@obs.observable("work")
def work(n: int) -> int:
    with obs.span("inner") as span:
        span.log("hi")
    return n + 1


def attach(*functions: Any, first: bool = True) -> None:
    tea = logging.getLogger("tea")
    handlers = [Calls(function) for function in functions]
    tea.handlers[:] = [*handlers, *tea.handlers] if first else [*tea.handlers, *handlers]


def told(run: obs.ObservabilityContext) -> tuple[int, list[str], list[tuple[str, str]]]:
    """Return a flow's faults, the notes of them, and its other events."""
    log = obs.get_flow_log(run.flow_id)
    assert [problem for event in log.events for problem in problems(event)] == []
    notes = [event["message"] for event in log.events if event["node"] == "obs"]
    rest = [(event["node"], event["event_type"]) for event in log.events if event["node"] != "obs"]
    return log.metrics["fault_count"], notes, rest


EVENTS = [
    ("flow", "entry"),
    ("work", "entry"),
    ("inner", "entry"),
    ("inner", "log"),
    ("inner", "exit"),
    ("work", "exit"),
    ("flow", "exit"),
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("error", [OSError("disk full"), RecursionError("deep"), MemoryError("none left"), AssertionError()])
def test_a_handler_that_raises_keeps_nothing_from_the_others(
    ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str], error: Exception, first: bool
) -> None:
    """Wherever it stands, every other handler gets every event; each failure is counted, and told of in the log."""
    seen: list[logging.LogRecord] = []

    def fails(record: logging.LogRecord) -> None:
        raise error

    attach(fails, seen.append, first=first)
    with obs.flow() as run:
        assert work(1) == 2
    count, notes, rest = told(run)
    assert (count, rest, len(seen)) == (7, EVENTS, 7)
    assert notes
    assert all(note.endswith(f" failed: {type(error).__name__}: {error}") for note in notes)
    assert capsys.readouterr().err.count(f"{type(error).__name__}: {error}") == 7


@pytest.mark.slow
@pytest.mark.parametrize("fan_out", [1, 2, 3])
def test_a_handler_that_causes_events_for_each_event_comes_to_an_end(
    ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str], fan_out: int
) -> None:
    """It gets some of its own events, not without end; that it would is a fault of the flow."""

    run = obs.flow()

    def observes(record: logging.LogRecord) -> None:
        for _ in range(fan_out):
            run.log("mine")

    attach(observes)
    with run:
        assert work(1) == 2
    count, notes, rest = told(run)
    own = [event for event in rest if event[0] == "mine"]
    assert [event for event in rest if event[0] != "mine"] == EVENTS
    depths = range(1, MAX_REENTRY + 2)
    assert len(own) == len(EVENTS) * sum(fan_out**depth for depth in depths)
    assert count == len(EVENTS) * fan_out ** depths[-1]
    assert notes == ["logging an event failed: RecursionError: Calls causes events while it handles one"]
    assert "causes events while it handles one" in capsys.readouterr().err


def test_a_handler_that_uses_observed_functions(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """One that posts events with an observed function, say, and catches everything itself."""

    @obs.observable("post")
    def post(record: logging.LogRecord) -> None:
        record.getMessage()

    attach(post)
    with obs.flow() as run:
        assert work(1) == 2
    count, _, rest = told(run)
    assert [event for event in rest if event[0] != "post"] == EVENTS
    # The flow's last event comes when it is over: what the handler does about it does not belong to it.
    assert count == (len(EVENTS) - 1) * 2 ** (MAX_REENTRY + 1)
    assert "causes events while it handles one" in capsys.readouterr().err


def test_a_handler_that_logs_with_a_logger_of_its_own(ring: obs.RingBufferHandler) -> None:
    """What it says inside the flow becomes part of it, and is not handed back to it."""
    logging.getLogger("other").addHandler(ring)

    def says(record: logging.LogRecord) -> None:
        logging.getLogger("other").warning("got %s", record.levelname)

    attach(says)
    with obs.flow() as run:
        assert work(1) == 2
    logging.getLogger("other").removeHandler(ring)
    count, notes, rest = told(run)
    assert (count, notes, [event for event in rest if event[0] != "other"]) == (0, [], EVENTS)
    assert rest.count(("other", "log")) == 6  # after its last event the flow is over


def test_a_handler_that_blocks_holds_up_its_own_thread_alone(ring: obs.RingBufferHandler) -> None:
    """Other threads work and read the log meanwhile, as long as they need not pass it; released, the flow is whole."""
    blocked, release, results = threading.Event(), threading.Event(), []

    def blocks(record: logging.LogRecord) -> None:
        blocked.set()
        assert release.wait(30)

    slow = Calls(blocks)
    logging.getLogger("tea.work").addHandler(slow)

    def run_flow() -> None:
        with obs.flow() as run:
            results.append((work(1), run))

    thread = threading.Thread(target=run_flow)
    thread.start()
    try:
        assert blocked.wait(30)
        (flow_id,) = ring.flow_ids()
        assert obs.get_flow_log(flow_id).status == "running"
        with obs.flow() as other, obs.span("rank"):
            pass
        assert obs.get_flow_log(other.flow_id).status == "ok"
    finally:
        release.set()
        thread.join(30)
    logging.getLogger("tea.work").removeHandler(slow)
    ((result, run),) = results
    assert (result, told(run)) == (2, (0, [], EVENTS))


def test_a_callback_that_reads_and_writes_the_flow_it_is_told_of(ring: obs.RingBufferHandler) -> None:
    """It may ask for the log, log, and change the configuration: nothing deadlocks, nothing is handed to it twice."""
    seen: list[str] = []

    def curious(event: dict[str, Any]) -> None:
        seen.append(event["event_type"])
        obs.query(event["flow_id"], node="w*")
        work(len(seen))
        obs.configure({"level": "debug"})()

    logging.getLogger("tea").addHandler(obs.CallbackHandler(curious))
    with obs.flow() as run, obs.span("rank"):
        pass
    assert seen == ["entry", "entry", "exit", "exit"]
    count, notes, rest = told(run)
    assert (count, notes, rest.count(("work", "exit"))) == (0, [], 3)
