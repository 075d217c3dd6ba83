from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.handlers.batching import MAX_EVENTS, BatchHandler
from the_edge_obs.handlers.span_records import SpanRecord


class Collector(BatchHandler):
    """Keeps what it is given, once ``gate`` is open; fails as often as it is told."""

    def __init__(self, level: int = logging.NOTSET, fails: int = 0, **options: Any) -> None:
        super().__init__(level, **{"delay_s": 0.01, **options})
        self.got: list[SpanRecord] = []
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = fails

    def send(self, spans: list[SpanRecord]) -> None:
        self.gate.wait(10)
        logging.getLogger("tea.sender").warning("about to send")
        if self.fails:
            self.fails -= 1
            raise OSError("no route, Authorization: Bearer sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C")
        self.batches.append(len(spans))
        self.got += spans


def attach(handler: logging.Handler, level: int = logging.DEBUG) -> None:
    logger = logging.getLogger("tea")
    logger.setLevel(level)
    logger.addHandler(handler)


@pytest.fixture
def collector() -> Iterator[Collector]:
    handler = Collector()
    attach(handler)
    yield handler
    handler.gate.set()
    handler.close()


@obs.observable("leaf")
def leaf(number: int) -> int:
    if number < 0:
        raise ValueError("below zero")
    return number


def burst(count: int) -> str:
    with obs.flow("burst") as run, obs.span("middle"):
        for number in range(count):
            leaf(number)
    return str(run.flow_id)


def assert_tree(spans: list[SpanRecord]) -> None:
    ids = [one.span_id for one in spans]
    assert len(ids) == len(set(ids))
    assert {one.parent_id for one in spans} - {None} <= set(ids)


def test_whole_spans_arrive(collector: Collector, ring: obs.RingBufferHandler) -> None:
    """A span has its input, output, events and place in the tree; what another logger says inside is one of its events."""
    logging.getLogger("agent").addHandler(collector)
    with obs.flow("triage"), obs.span("work", top=3) as span:
        span.metric(candidates=12)
        logging.getLogger("agent").warning("hm %d", 4)
        leaf(7)
    assert collector.drain(5)
    inner, work, root = collector.got
    assert (inner.node, inner.input, inner.output, inner.parent_id) == ("leaf", {"number": 7}, 7, work.span_id)
    assert (work.node, work.input, work.metrics["candidates"], work.parent_id) == ("work", {"top": 3}, 12, root.span_id)
    assert [(one["node"], one["message"]) for one in work.inner] == [("work", None), ("agent", "hm 4")]
    assert (root.name, root.status, root.parent_id) == ("triage", "ok", None)
    assert collector.stats() == {"open": 0, "waiting": 0, "sent": 3, "failed": 0, "dropped": 0, "lost_events": 0}
    assert [one["node"] for one in obs.query(root.flow_id) if one["node"] == "sender"] == []


def test_a_batch_is_no_larger_than_allowed() -> None:
    """Many spans make several batches."""
    handler = Collector(max_batch=10)
    attach(handler)
    burst(43)
    assert handler.drain(5)
    assert (sum(handler.batches), max(handler.batches)) == (45, 10)


def test_a_burst_drops_whole_leaves_and_counts_them(ring: obs.RingBufferHandler) -> None:
    """What is left is a tree without a gap; errors, parents and roots are in it; the flow knows of the rest."""
    handler = Collector(max_spans=50)
    attach(handler)
    handler.gate.clear()
    with obs.flow("burst") as run, obs.span("middle"):
        for number in range(1000):
            leaf(number)
        with pytest.raises(ValueError):
            leaf(-1)
    handler.gate.set()
    assert handler.drain(5)
    stats = handler.stats()
    assert_tree(handler.got)
    assert stats["dropped"] > 0
    assert len(handler.got) + stats["dropped"] == 1003
    counted = Counter((one.node, one.status) for one in handler.got)
    assert (counted["flow", "ok"], counted["middle", "ok"], counted["leaf", "error"]) == (1, 1, 1)
    log = obs.get_flow_log(run.flow_id)
    assert log.metrics["fault_count"] == stats["dropped"]
    told = [one["message"] for one in log.events if one["node"] == "obs"]
    assert told == ["Collector dropped a span: too many wait to be sent"]


def test_no_burst_of_roots_and_errors_takes_all_memory() -> None:
    """At twice the bound, roots and errors are dropped too, but nothing that is a parent of what is kept."""
    handler = Collector(max_spans=20)
    attach(handler)
    handler.gate.clear()
    for number in range(300):
        with obs.flow("request"), pytest.raises(ValueError):
            leaf(-1 - number)
    assert handler.stats()["waiting"] < 100
    handler.gate.set()
    assert handler.drain(5)
    assert_tree(handler.got)
    assert len(handler.got) + handler.stats()["dropped"] == 600


def test_a_late_child_of_a_dropped_span_hangs_under_the_one_above() -> None:
    """The parent has ended and was dropped; the child that comes later is not an orphan."""
    handler = Collector(max_spans=1)
    attach(handler)
    handler.gate.clear()
    with obs.flow("late"):
        for number in range(5):
            leaf(number)
        parent = obs.start_span("parent")
        parent.end()
        obs.start_span("child", parent=parent.context).end(error=ValueError("x"))
    handler.gate.set()
    assert handler.drain(5)
    assert_tree(handler.got)
    assert "child" in [one.node for one in handler.got]


def test_what_cannot_be_sent_is_counted_and_told_once(capsys: pytest.CaptureFixture[str], ring: obs.RingBufferHandler) -> None:
    """The flow has the faults, stderr one line without the secret, and later spans are sent."""
    handler = Collector(fails=2)
    attach(handler)
    ids = [burst(1) for _ in range(2) if handler.drain(5)]
    assert handler.drain(5)
    burst(1)
    assert handler.drain(5)
    assert (handler.stats()["failed"], handler.stats()["sent"]) == (6, 3)
    told = capsys.readouterr().err
    assert told == "the_edge_obs: Collector could not send 3 spans: OSError: no route, Authorization: [REDACTED]\n"
    assert [obs.get_flow_log(one).metrics["fault_count"] for one in ids] == [3, 3]


def test_an_error_of_a_filtered_node_is_a_span(collector: Collector) -> None:
    """Its entry is filtered, so the span is partial."""
    logging.getLogger("tea.leaf").setLevel(logging.ERROR)
    with obs.flow("filtered"), pytest.raises(ValueError):
        leaf(-1)
    assert collector.drain(5)
    assert [(one.node, one.status, one.partial) for one in collector.got] == [("leaf", "error", True), ("flow", "ok", False)]


def test_an_error_logged_by_hand_ends_no_span(collector: Collector) -> None:
    """Neither does it end the span that it is in, nor is it one of its own when that has ended."""
    with obs.flow("by hand") as run:
        run.log("scoring", "error", "error", "bad")
    run.log("scoring", "error", "error", "too late")
    assert collector.drain(5)
    (root,) = collector.got
    assert (root.status, [one["node"] for one in root.inner]) == ("ok", ["scoring"])


def test_events_of_one_span_are_bounded(collector: Collector) -> None:
    """A root that logs without end does not take all memory."""
    with obs.flow("chatty") as run:
        for number in range(MAX_EVENTS + 5):
            run.log("chat", "info", "log", f"{number}")
    assert collector.drain(5)
    (root,) = collector.got
    assert len(root.inner) == MAX_EVENTS
    assert collector.stats()["lost_events"] == 5


def test_records_reach_it_behind_a_queue_and_a_filter() -> None:
    """A copy of a record from elsewhere carries its event."""
    handler = Collector()
    relay = logging.handlers.QueueHandler(queue.SimpleQueue())
    attach(relay)
    with obs.flow("queued"):
        leaf(1)
    while not relay.queue.empty():
        handler.handle(relay.queue.get())
    handler.emit(logging.makeLogRecord({"msg": "outside"}))
    assert handler.drain(5)
    assert [one.node for one in handler.got] == ["leaf", "flow"]
    assert_tree(handler.got)


def test_dictconfig_while_sending_returns_at_once_and_later_spans_arrive(collector: Collector) -> None:
    """Others' dictConfig closes every handler, while it holds the lock that the sender's logging wants."""
    collector.gate.clear()
    leaf(1)
    time.sleep(0.05)
    started = time.monotonic()
    saved = list(logging._handlerList)  # type: ignore[attr-defined]
    logging._handlerList[:] = [one for one in saved if one() is collector]  # type: ignore[attr-defined]
    try:
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    finally:
        logging._handlerList[:] = saved  # type: ignore[attr-defined]
    assert time.monotonic() - started < 1
    collector.gate.set()
    leaf(2)
    assert collector.drain(5)
    leaf(3)
    assert collector.drain(5)
    assert [one.output for one in collector.got] == [1, 2, 3]


def test_a_closed_handler_ends_its_thread() -> None:
    """What waits is sent first."""

    class Closing(Collector):
        pass

    handler = Closing()
    attach(handler)
    leaf(1)
    handler.close()
    until = time.monotonic() + 5
    while (alive := [one for one in threading.enumerate() if one.name == "tea-Closing"]) and time.monotonic() < until:
        time.sleep(0.01)
    assert alive == []
    assert [one.output for one in handler.got] == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_spans": 0}, "max_spans 0 is not a whole number of at least 1"),
        ({"max_batch": True}, "max_batch True is not a whole number"),
        ({"delay_s": -1}, "delay_s -1 is not a number of seconds"),
        ({"exit_s": "2"}, "exit_s '2' is not a number of seconds"),
    ],
)
def test_bad_numbers_are_refused(options: dict[str, Any], message: str) -> None:
    """The message names the argument and what is allowed."""
    with pytest.raises(obs.ConfigurationError, match=message):
        Collector(**options)


def test_a_subclass_that_handles_records_itself_gets_records() -> None:
    """It is no keeper then, and loses nothing."""

    class Own(Collector):
        seen = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.seen += record.name == "tea.leaf"
            super().emit(record)

    handler = Own()
    attach(handler)
    leaf(1)
    assert handler.drain(5)
    assert (handler.seen, [one.node for one in handler.got]) == (2, ["leaf"])


def test_a_handler_without_send_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing reaches the flow."""
    handler = BatchHandler(delay_s=0)
    attach(handler)
    leaf(1)
    assert handler.drain(5)
    assert "NotImplementedError: BatchHandler has no method send(spans)" in capsys.readouterr().err
    assert handler.stats()["failed"] == 1


# --- the end of a program, and forks -------------------------------------------------------------------------------------------

PROGRAM = """
import logging, os, sys, time
import the_edge_obs as obs

class Printer(obs.BatchHandler):
    def send(self, spans):
        time.sleep(SLOW)
        for span in spans:
            os.write(1, f"{span.node} {span.status} {span.span_id} {span.parent_id}\\n".encode())

def work(n=2):
    for number in range(n):
        with obs.span("leaf", n=number): pass

def child():
    if not logging.getLogger("tea").handlers:  # spawned
        logging.getLogger("tea").addHandler(Printer(delay_s=30))
        logging.getLogger("tea").setLevel("INFO")
    work()

if __name__ == "__main__":
    handler = Printer(exit_s=0.5, delay_s=30)
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").setLevel("INFO")
"""


def ran(code: str, slow: float = 0, folder: Path | None = None) -> tuple[list[list[str]], str, float]:
    """Run a program, and return the spans that it sent, its stderr and how long it took."""
    program = PROGRAM.replace("SLOW", str(slow)) + dedent(code).replace("\n", "\n    ")
    arguments = ["-c", program]
    if folder is not None:
        (folder / "program.py").write_text(program)
        arguments = [str(folder / "program.py")]
    started = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=True)
    return [line.split() for line in done.stdout.splitlines()], done.stderr, time.monotonic() - started


@pytest.mark.slow
def test_the_end_of_a_program_sends_what_waits_and_what_is_open() -> None:
    """A span that is still open is sent as running, so its children are no orphans."""
    spans, said, _ = ran("""
    run = obs.flow("open").__enter__()
    work()
    """)
    assert [one[:2] for one in spans] == [["leaf", "ok"], ["leaf", "ok"], ["flow", "running"]]
    assert {one[3] for one in spans} == {"None", spans[2][2]}
    assert said == ""


@pytest.mark.slow
def test_the_end_of_a_program_waits_no_longer_than_allowed() -> None:
    """Several handlers share one deadline, and what was lost is told in one line for each."""
    quick = ran("work()")[2]
    spans, said, took = ran(
        """
        logging.getLogger("tea").addHandler(Printer(exit_s=0.5, delay_s=30))
        work()
        """,
        slow=30,
    )
    assert spans == []
    assert took < quick + 2
    assert said == "the_edge_obs: Printer lost spans: 2 not sent in 0.5 s; 0 sent\n" * 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_sends_its_own_spans_once() -> None:
    """Neither does the child send what the parent has, nor does the parent miss its own; the tree is whole."""
    spans, _, _ = ran("""
    with obs.flow("parent"):
        work()
        if (pid := os.fork()) == 0:
            with obs.span("child"): work(1)
            assert handler.drain(10)
            os._exit(0)
        os.waitpid(pid, 0)
    """)
    assert sorted(one[0] for one in spans) == ["child", "flow", "leaf", "leaf", "leaf"]
    assert len({one[2] for one in spans}) == 5
    assert {one[3] for one in spans} - {"None"} <= {one[2] for one in spans}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", *(["fork"] if hasattr(os, "fork") else [])])
def test_children_of_multiprocessing_send_what_they_have(method: str, tmp_path: Path) -> None:
    """They end without the functions of ``atexit``."""
    spans, _, _ = ran(
        f"""
        import multiprocessing
        process = multiprocessing.get_context({method!r}).Process(target=child)
        process.start()
        process.join(30)
        """,
        folder=tmp_path,
    )
    assert [one[0] for one in spans] == ["leaf", "leaf"]


SIGNALLED = """
    import os, signal, sys, threading
    import the_edge_obs as obs

    sending = threading.Event()
    class Waits(obs.BatchHandler):
        def send(self, spans):
            sending.set()
            threading.Event().wait(60)

    obs.configure({"handlers": [{"class": "__main__.Waits", "delay_s": 0, "exit_s": 0}]})
    with obs.flow(): pass
    assert sending.wait(20)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no signals to block")
def test_a_signal_that_the_program_blocks_stays_blocked() -> None:
    """A program with one thread may block a signal, as workers do while they hold a lock. Our thread does not let it in."""
    code = (
        SIGNALLED
        + """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
    print(signal.sigpending() == {signal.SIGTERM})
    """
    )
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no signals to block")
def test_a_program_whose_threads_are_greenlets_still_gets_its_signals() -> None:
    """With gevent our thread runs in the program's own, which must not stop to listen."""
    pytest.importorskip("gevent")
    code = (
        "\n    from gevent import monkey; monkey.patch_all()"
        + SIGNALLED
        + """
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    """
    )
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
