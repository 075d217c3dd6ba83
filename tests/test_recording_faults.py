"""Faults: what fails inside never reaches the observed code, and is never silent."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import problems
from the_edge_obs.recording.faults import Guard, own_fault


class Raising(logging.Handler):
    """A handler that does what handlers must not do."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


class RaisingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError("bad filter")


@obs.observable("work")
def work(n: int) -> int:
    return n + 1


def faults_in(ring: obs.RingBufferHandler, flow_id: str) -> list[str]:
    events = ring.events(flow_id)
    assert [problem for event in events for problem in problems(event)] == []
    return [event["message"] for event in events if event["node"] == "obs"]


def test_a_raising_callback_is_reported_once_and_counted(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's result is untouched, logging reports on stderr, the flow log shows and counts it."""

    def bad(event: Any) -> None:
        raise ValueError("bad callback")

    logging.getLogger("tea").addHandler(obs.CallbackHandler(bad))
    with obs.flow() as run:
        assert [work(i) for i in range(5)] == [1, 2, 3, 4, 5]
    assert faults_in(ring, run.flow_id) == ["CallbackHandler failed: ValueError: bad callback"]
    log = obs.get_flow_log(run.flow_id)
    assert log.metrics["fault_count"] == 12
    assert log.status == "ok"
    err = capsys.readouterr().err
    assert err.count("--- Logging error ---") == 12
    assert "ValueError: bad callback" in err


@pytest.mark.parametrize("position", [0, 1])
def test_a_handler_that_raises_from_emit(ring: obs.RingBufferHandler, position: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it stands before or after the ring, the function works, and the flow log tells of the failure."""
    tea = logging.getLogger("tea")
    tea.handlers.insert(position, Raising())
    with obs.flow() as run, obs.span("s") as span:
        assert work(1) == 2
        span.metric(n=1)
        span.log("hi")
    assert any("OSError: disk full" in text for text in faults_in(ring, run.flow_id))
    assert "OSError: disk full" in capsys.readouterr().err
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] >= 4


def test_a_filter_that_raises(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """On a logger, on a stock handler or on the ring itself."""
    logging.getLogger("tea.work").addFilter(RaisingFilter())
    with obs.flow() as run:
        assert work(1) == 2
    assert len(faults_in(ring, run.flow_id)) >= 1
    logging.getLogger("tea.work").filters.clear()
    ring.addFilter(RaisingFilter())
    with obs.flow() as run:
        assert work(1) == 2
    assert "LookupError: bad filter" in capsys.readouterr().err
    assert faults_in(ring, run.flow_id) == ["RingBufferHandler failed: LookupError: bad filter"]


def test_an_error_of_the_function_stays_its_own(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """What the function raises comes out as it is, even where logging it fails."""
    logging.getLogger("tea").handlers.insert(0, Raising())

    @obs.observable("fails")
    def fails() -> None:
        raise KeyError("mine")

    with obs.flow(), pytest.raises(KeyError, match="mine"):
        fails()
    assert "disk full" in capsys.readouterr().err


def test_a_closed_or_missing_stderr_breaks_nothing(ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pythonw, or when a daemon has closed its streams, the flow log still tells."""
    import io

    logging.getLogger("tea").addHandler(Raising())
    closed = io.StringIO()
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        with obs.flow() as run:
            assert work(1) == 2
        assert faults_in(ring, run.flow_id)


def test_raise_exceptions_off_keeps_stderr_clean(
    ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``logging.raiseExceptions = False``, as in production, silences stderr and nothing else."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("tea").addHandler(Raising())
    with obs.flow() as run:
        work(1)
    assert capsys.readouterr().err == ""
    assert faults_in(ring, run.flow_id)


def test_faults_belong_to_their_flow(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure in one flow does not touch another."""
    with obs.flow() as good:
        work(1)
    logging.getLogger("tea").addHandler(Raising())
    with obs.flow() as bad:
        work(1)
    capsys.readouterr()
    assert (faults_in(ring, good.flow_id), len(faults_in(ring, bad.flow_id)) > 0) == ([], True)
    assert obs.get_flow_log(good.flow_id).metrics["fault_count"] == 0


def test_outside_any_flow_stderr_alone_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to count it in, and still not silent."""
    try:
        raise RuntimeError("inside")
    except RuntimeError:
        own_fault("testing")
    assert capsys.readouterr().err == "the_edge_obs: testing failed: RuntimeError: inside\n"


def test_secrets_in_a_fault_are_redacted(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """What the flow knows to be secret is not in the report of a failure either."""

    def bad(event: Any) -> None:
        raise ValueError("cannot send hunter2hunter2")

    logging.getLogger("tea").addHandler(obs.CallbackHandler(bad))
    with obs.flow() as run, obs.span("login", password="hunter2hunter2"):
        pass
    capsys.readouterr()
    assert "hunter2" not in str(ring.events(run.flow_id))


def test_a_guard_reports_exceptions_and_lets_interrupts_pass() -> None:
    """What it calls sees the exception as in an ``except`` clause; what follows in the block does not run."""
    reported: list[Any] = []

    def report(*arguments: Any) -> None:
        reported.append((*arguments, sys.exc_info()[1]))

    with Guard(report, "a", 1):
        pass
    assert reported == []
    error = LookupError("not there")
    with Guard(report, "a", 1):
        raise error
    assert reported == [("a", 1, error)]
    with pytest.raises(KeyboardInterrupt), Guard(report):
        raise KeyboardInterrupt
    assert len(reported) == 1
