"""``guard``: what an adapter raises itself is reported, and never raised in the observed code."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import the_edge_obs as obs

SECRET = "sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C"


def reported(run: obs.ObservabilityContext) -> list[str]:
    return [event["message"] for event in obs.query(run.flow_id, node="obs")]


def test_a_failure_is_reported_counted_and_shown_once(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr each time, in the running flow's log once, without secrets; what follows the block runs."""
    done = []
    with obs.flow() as run:
        for number in range(3):
            with obs.guard("reading an answer"):
                raise ValueError(f"no choices for {SECRET}")
            done.append(number)
    said = "reading an answer failed: ValueError: no choices for [REDACTED]"
    assert done == [0, 1, 2]
    assert reported(run) == [said]
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 3
    assert capsys.readouterr().err == f"the_edge_obs: {said}\n" * 3


def test_a_block_that_raises_nothing_is_left_alone(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    def answer() -> int:
        with obs.guard("answering"):
            return 42
        return 0

    with obs.flow() as run:
        assert answer() == 42
    assert (reported(run), capsys.readouterr().err) == ([], "")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_are_raised(interrupt: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(interrupt), obs.guard("waiting"):
        raise interrupt
    assert capsys.readouterr().err == ""


def test_the_failure_belongs_to_the_flow_of_a_span(ring: obs.RingBufferHandler) -> None:
    """A flow, a started span, a span, a context: each names its flow, from outside of it and from another one."""
    with obs.flow("named") as named:
        context, started = obs.current(), obs.start_span("call")
        with obs.span("inner") as inner, obs.flow("other") as other:
            for place in (named, context, started, inner):
                with obs.guard("reading", place):
                    raise LookupError("broken")
    with obs.guard("reading later", started):
        raise LookupError("broken")
    assert obs.get_flow_log(named.flow_id).metrics["fault_count"] == 5
    assert obs.get_flow_log(other.flow_id).metrics["fault_count"] == 0


def test_a_span_that_is_filtered_means_the_running_flow(ring: obs.RingBufferHandler) -> None:
    logging.getLogger("tea.call").setLevel(logging.ERROR)
    with obs.flow() as run:
        call = obs.start_span("call")
        assert call.context is None
        with obs.guard("reading", call):
            raise LookupError("broken")
    assert reported(run) == ["reading failed: LookupError: broken"]


def test_outside_any_flow_it_is_reported_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with obs.guard("starting"):
        raise LookupError("broken")
    assert capsys.readouterr().err == "the_edge_obs: starting failed: LookupError: broken\n"


def test_one_guard_serves_threads_at_once(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no state: each failure counts in the flow in which it happens."""
    guarded, together = obs.guard("reading"), threading.Barrier(4)

    def work(number: int) -> str:
        with obs.flow(f"run {number}") as run:
            together.wait(20)
            for _ in range(number):
                with guarded, guarded:
                    together_again = number
                    raise ValueError(together_again)
        return run.flow_id

    with ThreadPoolExecutor(4) as pool:
        flow_ids = list(pool.map(work, range(4)))
    assert [obs.get_flow_log(flow_id).metrics["fault_count"] for flow_id in flow_ids] == [0, 1, 2, 3]


def test_reporting_an_error_that_cannot_be_read_is_harmless(ring: obs.RingBufferHandler) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with obs.flow() as run, obs.guard("reading"):
        raise HostileError
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 1
