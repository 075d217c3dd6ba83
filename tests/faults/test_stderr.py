"""Every way out: what the package prints, raises or hands to logging when something fails has no secret, and still helps."""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ObservabilityError

SECRET = "correct horse battery 7731"
SHAPED = "sk-live0123456789abcdefghij"


def fails_with(*_: Any) -> None:
    """Raise as a client does that tells all it knows, after another error that told more."""
    try:
        raise OSError(f"connecting with {SECRET}")
    except OSError as error:
        raise ConnectionError(f"refused {SECRET} {SHAPED}") from error


class Unwritable(logging.StreamHandler):  # type: ignore[type-arg]
    """A handler of somebody else, whose stream always fails."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    def format(self, record: logging.LogRecord) -> str:
        raise BrokenPipeError("the pipe is gone")


def failing_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> logging.Handler:
    """Return a handler whose disk is full."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", f"/var/log/{SECRET}")

    handler = obs.FlowFileHandler(path / "log.jsonl")
    monkeypatch.setattr("the_edge_obs.handlers.appending.LogFile.append", full)
    return handler


HANDLERS: dict[str, Callable[[Path, pytest.MonkeyPatch], logging.Handler]] = {
    "callback": lambda path, patch: obs.CallbackHandler(fails_with),
    "file": failing_file,
    "file with a formatter": lambda path, patch: formatted(failing_file(path, patch)),
    "ring": lambda path, patch: failing_ring(),
    "foreign": lambda path, patch: Unwritable(),
    "foreign target": lambda path, patch: obs.RingBufferHandler(target=Unwritable()),
}


def formatted(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(obs.JsonFormatter())
    return handler


def failing_ring() -> logging.Handler:
    ring = obs.RingBufferHandler()
    ring.addFilter(lambda record: fails_with())
    return ring


@pytest.mark.parametrize("kind", HANDLERS)
def test_a_failing_handler_shows_no_secret(
    ring: obs.RingBufferHandler,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Neither its own texts, nor those it is chained to, nor the error that is being logged, nor message and arguments."""
    handler = HANDLERS[kind](tmp_path, monkeypatch)
    tea = logging.getLogger("tea")
    with obs.flow() as run, obs.span("login", password=SECRET):
        tea.addHandler(handler)  # now: what fails before the flow knows the secret cannot hide it
        with pytest.raises(ConnectionError), obs.span("call"):
            fails_with()
        with pytest.raises(ConnectionError):
            obs.observable("observed")(fails_with)()
        with pytest.raises(ConnectionError):
            obs.observable("filtered", level="debug")(fails_with)()
    told = capsys.readouterr().err
    assert (SECRET in told, SHAPED in told) == (False, False)
    assert "--- Logging error ---" in told
    assert "Traceback (most recent call last):\n" in told
    expected = {"file": "OSError: ", "callback": "ConnectionError: refused [REDACTED] ", "ring": "ConnectionError: refused"}
    assert expected.get(kind.partition(" ")[0], "BrokenPipeError: the pipe is gone") in told
    assert SECRET not in str(obs.query(run.flow_id))
    if not kind.startswith("foreign"):
        assert obs.get_flow_log(run.flow_id).metrics["fault_count"] > 0
        assert f"Handler: {type(handler).__name__}\nLogged from file " in told


def test_a_failure_with_a_foreign_record_shows_neither_message_nor_arguments(
    ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its arguments are in its message, which is scrubbed; its flow is the one that was stamped on it."""
    handler = obs.CallbackHandler(fails_with)
    logger = logging.getLogger("tea.db")
    logger.propagate = False  # pytest's own handler fails as well, and raises that
    with obs.flow(), obs.span("login", password=SECRET):
        logger.addHandler(handler)
        logger.warning("used %s for %s", SECRET, SHAPED)
        logger.warning("used %d", f"{SECRET}")
    told = capsys.readouterr().err
    assert (SECRET in told, SHAPED in told, "Arguments" in told) == (False, False, False)
    assert "Message: 'used [REDACTED] for [REDACTED]'\n" in told
    assert "Message: 'used %d [TypeError]'\n" in told


@pytest.mark.parametrize("failing", ["closed", "none", "raises"])
def test_a_broken_stderr_breaks_nothing(monkeypatch: pytest.MonkeyPatch, ring: obs.RingBufferHandler, failing: str) -> None:
    """Whatever stands in for stderr: the call is not disturbed, and the flow's log tells."""

    class Raises(io.StringIO):
        def write(self, text: str) -> int:
            raise ValueError("no")

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", {"closed": closed, "none": None, "raises": Raises()}[failing])
    logging.getLogger("tea").addHandler(obs.CallbackHandler(fails_with))
    with obs.flow() as run:
        assert obs.observable("work")(lambda: 7)() == 7
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 4


def test_raise_exceptions_is_respected(
    monkeypatch: pytest.MonkeyPatch, ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    """In production nothing is printed; it is counted all the same."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("tea").addHandler(obs.CallbackHandler(fails_with))
    with obs.flow() as run:
        pass
    assert (capsys.readouterr().err, obs.get_flow_log(run.flow_id).metrics["fault_count"]) == ("", 2)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: obs.flow(flow_id=SHAPED),
        lambda: obs.span({"password": SHAPED}),  # type: ignore[arg-type]
        lambda: obs.configure({"level": SHAPED}),
        lambda: obs.configure({"handlers": [{"type": "file", "path": f"/{SHAPED}/{{x}}"}]}),
        lambda: obs.observable(sanitize_keys=SHAPED),
        lambda: obs.RingBufferHandler(capacity=SHAPED),  # type: ignore[arg-type]
        lambda: obs.CallbackHandler(f"{SHAPED}:f"),
        lambda: obs.query("x", node="n", **{SHAPED: 1}),
    ],
)
def test_errors_that_quote_a_value_show_no_secret(mistake: Callable[[], Any]) -> None:
    """What they were given goes into their message as long as it is none."""
    with pytest.raises(ObservabilityError) as caught:
        mistake()
    assert SHAPED not in str(caught.value)
    assert len(str(caught.value)) > 30


def test_an_error_with_a_taint_of_the_running_flow_hides_it(ring: obs.RingBufferHandler) -> None:
    """What the flow knows to be secret is not in an error's message either; a long one is cut."""
    with obs.flow(), obs.span("login", password=SECRET):
        with pytest.raises(ObservabilityError, match=r"flow_id '\[REDACTED\]' is not a UUID"):
            obs.flow(flow_id=SECRET)
        with pytest.raises(ObservabilityError) as caught:
            obs.flow(flow_id="x" * 1_000_000)
    assert len(str(caught.value)) < 10_000


SHUTDOWN = f"""
import builtins, sys
import the_edge_obs as obs

@obs.observable("llm.stream")
def stream():
    yield "a"
    yield "b"

@obs.observable("work")
def work(secret):
    raise ValueError({SECRET!r})

def by_hand():
    with obs.span("by_hand", password={SECRET!r}):
        yield 1

class Dies:
    def __del__(self):
        try:
            work(1)
        except ValueError:
            pass

obs.configure({{"level": "debug", "handlers": [{{"type": "file", "path": sys.argv[1]}}, {{"type": "console"}}]}})
obs.flow("x").__enter__()
builtins.kept = kept = [stream(), by_hand(), Dies()]
for parts in kept[:2]:
    next(parts)
"""


@pytest.mark.slow
def test_finalizers_that_log_while_python_shuts_down_raise_nothing(tmp_path: Path) -> None:
    """Nothing is ignored in a finalizer, the process ends well, and what is lost is told in a line each, without secrets."""
    command = [sys.executable, "-c", SHUTDOWN, os.fspath(tmp_path / "log.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + (tmp_path / "log.jsonl").read_text("utf-8")
