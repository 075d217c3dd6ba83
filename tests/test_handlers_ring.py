"""The ring buffer: bounded, counted, pinned, spilled, and a flight recorder."""

from __future__ import annotations

import contextvars
import gc
import logging
import logging.config
import os
import re
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import problems


@obs.observable("work")
def work(n: int) -> int:
    return n


class Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.flow_event)  # type: ignore[attr-defined]


def install(**options: Any) -> obs.RingBufferHandler:
    """Put a ring on the logger ``tea``, where nothing else looks at its records."""
    ring = obs.RingBufferHandler(**options)
    tea = logging.getLogger("tea")
    tea.setLevel("DEBUG")
    tea.addHandler(ring)
    tea.propagate = False  # pytest's own capture would keep every record
    return ring


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["n"] for event in events if "n" in event["data"]]


def log_numbers(run: obs.ObservabilityContext, values: Any, level: str = "info") -> None:
    for n in values:
        run.log("n", level, data={"n": n})


NOTHING_LOST = {"dropped": 0, "suppressed": 0}


def reasons(target: Keep) -> list[str]:
    """Return what the target was told about each dump."""
    return [event["data"]["reason"] for event in target.seen if event["node"] == "obs"]


def test_it_keeps_each_flow_apart() -> None:
    """Events by flow, in order; an unknown flow has none."""
    ring = install()
    with obs.flow() as first:
        work(1)
    with obs.flow() as second:
        work(2)
    assert ring.flow_ids() == [first.flow_id, second.flow_id]
    for run, n in ((first, 1), (second, 2)):
        events = ring.events(run.flow_id)
        assert {event["flow_id"] for event in events} == {run.flow_id}
        assert [(event["node"], event["event_type"]) for event in events] == [
            ("flow", "entry"),
            ("work", "entry"),
            ("work", "exit"),
            ("flow", "exit"),
        ]
        assert events[2]["data"] == {"output": n}
        assert [problem for event in events for problem in problems(event)] == []
    assert (ring.events("unknown"), ring.dropped("unknown"), ring.is_abroad("unknown")) == ([], 0, False)


@pytest.mark.slow
def test_a_hundred_thousand_events_in_a_ring_of_a_thousand() -> None:
    """The last 1,000 are kept in order, 99,000 counted as dropped, and memory stays flat."""
    ring = install(capacity=1000)
    with obs.flow() as run:
        log_numbers(run, range(3_000))
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        ring.clear()
        with obs.span("s") as span:
            for n in range(1_100_000, 1_150_000 - 1):
                span.metric(n=n)
                span.log("n", n=n)
            gc.collect()
            after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kept = ring.events(run.flow_id)
        dropped = ring.dropped(run.flow_id)
    # The span's entry and exit make it 100,000.
    assert (len(kept), dropped) == (1000, 99_000)
    assert (kept[0]["event_type"], kept[-1]["event_type"]) == ("log", "exit")
    assert numbers(kept) == list(range(1_149_499, 1_149_999))
    assert after - before < 3_000_000
    assert peak - before < 4_000_000


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(capacity=st.integers(1, 30), levels=st.lists(st.sampled_from(["debug", "info", "error"]), max_size=120))
def test_the_law_of_eviction(capacity: int, levels: list[str]) -> None:
    """Kept are the last ``capacity`` events in order, before them the youngest errors; kept + dropped is everything."""
    tea = logging.getLogger("tea")
    ring = install(capacity=capacity)
    logging.getLogger("tea.flow").setLevel("CRITICAL")
    try:
        with obs.flow() as run:
            for n, level in enumerate(levels):
                run.log("n", level, data={"n": n})
        kept = numbers(ring.events(run.flow_id))
        dropped = ring.dropped(run.flow_id)
    finally:
        tea.removeHandler(ring)
        ring.close()
    cut = max(0, len(levels) - capacity)
    errors = [n for n in range(cut) if levels[n] == "error"]
    pinned = errors[-max(1, capacity // 10) :]
    assert kept == [*pinned, *range(cut, len(levels))]
    assert dropped + len(kept) == len(levels)


def test_errors_are_pinned() -> None:
    """Noise cannot push the one error out, nor can later errors beyond their share push the ring out."""
    ring = install(capacity=20)
    with obs.flow() as run:
        with pytest.raises(ValueError), obs.span("fails"):
            raise ValueError("the one")
        log_numbers(run, range(500))
        events, dropped = ring.events(run.flow_id), ring.dropped(run.flow_id)
    assert events[0]["data"]["error"]["message"] == "the one"
    assert numbers(events) == list(range(480, 500))
    # What is lost: the entries of the flow and of the span, and 480 numbers.
    assert dropped == 482


# --- flight recorder ---


def test_a_target_gets_the_flow_when_it_fails_each_event_once() -> None:
    """Nothing before the error; with it everything so far; with the next error, or the flow's end, what came since."""
    target = Keep()
    ring = install(target=target)
    with obs.flow() as run:
        log_numbers(run, [1, 2])
        assert target.seen == []
        log_numbers(run, [3], "error")
        first = numbers(target.seen)
        log_numbers(run, [4, 5])
        log_numbers(run, [6], "error")
        log_numbers(run, [7])
        assert (first, numbers(target.seen)) == ([1, 2, 3], [1, 2, 3, 4, 5, 6])
    why, *handed = target.seen
    assert (why["node"], why["event_type"], why["data"]) == ("obs", "log", {"reason": "error", "events": 4, **NOTHING_LOST})
    assert problems(why) == []
    assert handed == ring.events(run.flow_id)


def test_another_flows_error_is_not_mine() -> None:
    """Only the failing flow is handed over."""
    target = Keep()
    install(target=target)
    with obs.flow():
        pass
    with obs.flow() as bad:
        bad.log("n", "error", data={"n": 1})
    assert {event["flow_id"] for event in target.seen} == {bad.flow_id}


def test_flush_level_and_dump() -> None:
    """The level is a name or a number; ``dump`` hands over on request, each event once, and says how many."""
    target = Keep()
    ring = install(target=target, flush_level="warn")
    with obs.flow() as run:
        log_numbers(run, [1])
        log_numbers(run, [2], "warn")
        assert numbers(target.seen) == [1, 2]
        log_numbers(run, [3])
        assert (ring.dump(run.flow_id), ring.dump(run.flow_id), ring.dump("unknown")) == (1, 0, 0)
    assert numbers(target.seen) == [1, 2, 3]
    assert (target.seen[-1]["event_type"], ring.dump()) == ("exit", 0)
    with obs.flow() as run:
        log_numbers(run, [4])
        assert ring.dump(run.flow_id) == 2
    assert target.seen[-1]["event_type"] != "exit"  # it did not fail
    assert (ring.dump(), target.seen[-1]["event_type"]) == (1, "exit")
    assert obs.RingBufferHandler(flush_level=35).flushLevel == 35
    assert obs.RingBufferHandler().dump() == 0


def test_only_what_the_ring_still_has_is_handed_over() -> None:
    """After eviction the target gets the ring's content, and still nothing twice."""
    target = Keep()
    install(capacity=5, target=target)
    with obs.flow() as run:
        log_numbers(run, range(50))
        log_numbers(run, [50], "error")
        log_numbers(run, range(51, 53))
        log_numbers(run, [53], "error")
    assert numbers(target.seen) == [46, 47, 48, 49, 50, 51, 52, 53]


def test_a_foreign_target_gets_whole_records() -> None:
    """A stock handler with a stock formatter writes what was recorded."""
    import io

    stream = io.StringIO()
    target = logging.StreamHandler(stream)
    target.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s %(flow_id)s"))
    install(target=target)
    with obs.flow() as run:
        run.log("n", "error", message="bad")
    assert re.sub(r"\d+\.\d ms", "0.0 ms", stream.getvalue()).splitlines() == [
        f"WARNING tea.obs obs flight recorder: an event of level error {run.flow_id}",
        f"INFO tea.flow flow entry {run.flow_id}",
        f"ERROR tea.n n bad {run.flow_id}",
        "INFO tea.flow flow exit (0.0 ms) " + run.flow_id,
    ]


def test_a_target_that_fails_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow goes on and its log tells."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space")

    ring = install(target=Broken())
    with obs.flow() as run:
        run.log("n", "error", message="bad")
        assert work(1) == 1
    assert "no space" in capsys.readouterr().err
    assert any("OSError: no space" in (event["message"] or "") for event in ring.events(run.flow_id))


def test_target_by_name_in_a_dict_config() -> None:
    """The form that dictConfig knows from MemoryHandler."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "err": {"class": "logging.StreamHandler"},
                "ring": {
                    "class": "the_edge_obs.RingBufferHandler",
                    "capacity": 7,
                    "flush_level": "warn",
                    "target": "err",
                    "level": "INFO",
                },
            },
            "loggers": {"tea": {"level": "DEBUG", "handlers": ["ring"]}},
        }
    )
    (ring,) = logging.getLogger("tea").handlers
    assert isinstance(ring, obs.RingBufferHandler)
    assert isinstance(ring.target, logging.StreamHandler)
    assert (ring.capacity, ring.flushLevel, ring.level) == (7, 30, 20)


def test_flush_and_exit_hand_nothing_over() -> None:
    """logging.shutdown flushes every handler; the buffer is for reading."""
    target = Keep()
    ring = install(target=target)
    with obs.flow() as run:
        pass
    ring.flush()
    ring.close()
    assert target.seen == []
    assert len(ring.events(run.flow_id)) == 2


@pytest.mark.parametrize(("slow_ms", "expected"), [(0, ["slow"]), (60_000, []), (None, [])])
def test_a_slow_run_is_handed_over_at_its_end(slow_ms: float | None, expected: list[str]) -> None:
    """Slower than the limit in milliseconds, all of it; a slow node in it is not enough."""
    target = Keep()
    ring = install(target=target, slow_ms=slow_ms)
    with obs.flow() as run:
        work(1)
        assert target.seen == []
    assert reasons(target) == expected
    assert target.seen[1:] == (ring.events(run.flow_id) if expected else [])


def test_a_slow_run_that_goes_on_from_another_process_counts() -> None:
    """Its root span here has a parent, over there; and so does one whose events come from elsewhere, without its state."""
    target = Keep()
    install(target=target, slow_ms=0)
    parent = obs.extract({"traceparent": "00-0b5e7a524c1e4f6b9d802f4f3f0d9a11-8d802f4f3f0d9a11-01"})
    with obs.flow("remote", parent=parent):
        pass
    assert reasons(target) == ["slow"]
    events = [{**event, "flow_id": "ffffffff" + event["flow_id"][8:], "parent_id": None} for event in target.seen[1:]]
    target.seen.clear()
    for event in events:
        logging.getLogger("tea.flow").handle(logging.makeLogRecord({"levelno": 20, "levelname": "INFO", "flow_event": event}))
    assert reasons(target) == ["slow"]
    assert problems(target.seen[0]) == []
    assert target.seen[1:] == events


def test_the_reason_is_told_again_when_it_changes() -> None:
    """An error, more of the same, then somebody asks, twice: nothing new has no reason either."""
    target = Keep()
    ring = install(target=target, flush_level="warn", slow_ms=0)
    with obs.flow() as run:
        log_numbers(run, [1], "warn")
        log_numbers(run, [2], "warn")
        log_numbers(run, [3])
        assert (ring.dump(), ring.dump()) == (1, 0)
        log_numbers(run, [4], "error")
    assert reasons(target) == ["warn", "asked", "error", "slow"]
    assert numbers(target.seen) == [1, 2, 3, 4]


def test_dumps_are_limited_by_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many flows, each as a whole; the others wait for an occasion after the minute, are counted, and can be asked for."""
    from the_edge_obs.handlers import _recorder

    clock = [1_000.0]
    monkeypatch.setattr(_recorder.time, "monotonic", lambda: clock[0])
    target = Keep()
    ring = install(target=target, max_dumps=2)
    runs = [obs.flow() for _ in range(5)]
    for run in (*runs, *runs):
        log_numbers(run, [1], "error")
    assert [event["flow_id"] for event in target.seen if event["node"] == "obs"] == [run.flow_id for run in runs[:2]]
    assert [len([event for event in target.seen if event["flow_id"] == run.flow_id]) for run in runs] == [4, 4, 0, 0, 0]
    assert ring.stats()["suppressed_dumps"] == 3
    assert ring.dump(runs[4].flow_id) == 3
    clock[0] += 60
    target.seen.clear()
    log_numbers(runs[2], [2], "error")
    assert target.seen[0]["data"] == {"reason": "error", "events": 4, "dropped": 0, "suppressed": 3}
    assert numbers(target.seen) == [1, 1, 2]
    for run in runs:
        run.close()


def test_a_dump_has_spilled_and_pinned_events() -> None:
    """All that readers would get, in its order, once."""
    target = Keep()
    ring = install(capacity=10, target=target, flush_level="critical")
    with obs.flow() as run:
        log_numbers(run, range(3), "error")
        log_numbers(run, range(3, 40))
        assert ring.dump(run.flow_id) == 11
        assert numbers(target.seen) == [2, *range(30, 40)]
        log_numbers(run, range(40, 80))
        ring.dump(run.flow_id)
    assert numbers(target.seen) == [2, *range(30, 40), *range(70, 80)]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    capacity=st.integers(1, 12), steps=st.lists(st.sampled_from(["info", "info", "info", "error", "dump", "read"]), max_size=60)
)
def test_the_law_of_dumps_with_a_spill(tmp_path_factory: pytest.TempPathFactory, capacity: int, steps: list[str]) -> None:
    """With a spill the target gets every event up to the last dump, in order, each once, whatever was read in between.

    Where there was an error, that is all of them.
    """
    target = Keep()
    path = tmp_path_factory.mktemp("spill") / "{flow_id}.jsonl"
    ring = install(capacity=capacity, target=target, spill=path, max_dumps=None)
    expected = 0
    try:
        with obs.flow() as run:
            for n, step in enumerate(steps):
                if step == "read":
                    ring.events(run.flow_id)
                elif step == "dump":
                    ring.dump(run.flow_id)
                else:
                    log_numbers(run, [n], step)
                expected = n + 1 if step in ("dump", "error") else expected
            everything = ring.events(run.flow_id)
    finally:
        logging.getLogger("tea").removeHandler(ring)
        ring.close()
    logged = [n for n, step in enumerate(steps) if step in ("info", "error")]
    assert numbers(everything) == logged
    assert numbers(target.seen) == [n for n in logged if n < expected or "error" in steps]


def test_a_target_that_logs_does_not_go_round_in_circles() -> None:
    """What it logs into the flow that it is given waits for the next time."""
    seen: list[str] = []

    class Chatty(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            run.log("target", "error", message=f"got {len(seen)}")

    install(target=Chatty())
    run = obs.flow()
    run.log("n", "error", message="first")
    assert len(seen) == 3  # why, the flow's entry, the error
    run.log("n", "error", message="second")
    assert [text.partition(" ")[2] for text in seen[3:]] == ["got 1", "got 2", "got 3", "second"]
    run.close()


# --- spill ---


def test_spilled_events_are_merged_back_and_removed_on_dispose(tmp_path: Path) -> None:
    """Nothing is lost: what leaves memory is read back from its file, which outlives a close."""
    ring = install(capacity=10, spill=tmp_path / "spill" / "{flow_id}.jsonl")
    with obs.flow() as run:
        log_numbers(run, range(100))
        with pytest.raises(ValueError), obs.span("fails"):
            raise ValueError("x")
        log_numbers(run, range(100, 130))
    events = ring.events(run.flow_id)
    assert numbers(events) == list(range(130))
    assert [event["event_type"] for event in (events[0], events[-1])] == ["entry", "exit"]
    assert ring.dropped(run.flow_id) == 0
    (path,) = (tmp_path / "spill").iterdir()
    assert path.name == f"{run.flow_id}.jsonl"
    ring.close()
    assert obs.query(run.flow_id) == events
    ring.dispose()
    assert list((tmp_path / "spill").iterdir()) == []


@pytest.mark.slow
def test_spilled_files_go_with_their_ring(tmp_path: Path) -> None:
    """A ring that nobody has any more leaves no file behind, and takes no other ring's along."""
    other = install(capacity=5, spill=tmp_path / "other" / "{flow_id}.jsonl")
    ring = install(capacity=5, spill=tmp_path / "one" / "{flow_id}.jsonl")
    with obs.flow() as run:
        log_numbers(run, range(20))
    assert len(list((tmp_path / "one").iterdir())) == 1
    logging.getLogger("tea").removeHandler(ring)
    del ring
    gc.collect()
    assert list((tmp_path / "one").iterdir()) == []
    assert numbers(other.events(run.flow_id)) == list(range(20))


@pytest.mark.slow
def test_spilled_files_are_removed_at_exit(tmp_path: Path) -> None:
    """Also after another library's dictConfig has closed the ring; and what is logged while Python exits makes no new ones."""
    program = """
import logging, logging.config, os, sys
import the_edge_obs as obs
ring = obs.RingBufferHandler(capacity=5, spill=sys.argv[1] + "/{flow_id}.jsonl")
tea = logging.getLogger("tea")
tea.setLevel("INFO")
tea.addHandler(ring)
def log(count):
    with obs.flow() as run:
        for number in range(count):
            run.log("n", data={"number": number})
    return run.flow_id
def late():
    assert os.listdir(sys.argv[1]) == [], os.listdir(sys.argv[1])
    assert (len(ring.events(log(20))), len(ring.events(kept))) == (5, 5)
kept = log(20)
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
print(len(obs.query(kept)), len(os.listdir(sys.argv[1])))
"""
    # Registered before the package is imported, so that it runs after the package's own.
    program = "import atexit\natexit.register(lambda: late())\n" + program
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode, list(tmp_path.iterdir())) == ("22 1\n", "", 0, [])


def test_a_forgotten_flow_takes_its_spill_along(tmp_path: Path) -> None:
    """``clear`` and ``max_flows`` remove the files, too."""
    ring = install(capacity=2, max_flows=2, spill=tmp_path / "{flow_id}.jsonl")
    runs = []
    for _ in range(3):
        with obs.flow() as run:
            log_numbers(run, range(5))
        runs.append(run.flow_id)
    assert {path.stem for path in tmp_path.iterdir()} == set(runs[1:])
    ring.clear(runs[1])
    assert {path.stem for path in tmp_path.iterdir()} == {runs[2]}
    ring.clear()
    assert (list(tmp_path.iterdir()), ring.flow_ids()) == ([], [])


def test_a_spill_that_fails_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full or vanished disk loses what was spilled: visibly, and without harm to the flow."""
    ring = install(capacity=5, spill=tmp_path / "s" / "{flow_id}.jsonl")
    (tmp_path / "s").write_text("in the way")
    with obs.flow() as run:
        log_numbers(run, range(20))
        events = ring.events(run.flow_id)
    assert "Logging error" in capsys.readouterr().err
    assert len(events) + ring.dropped(run.flow_id) >= 22
    assert ring.dropped(run.flow_id) >= 16
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] >= 1
    assert 19 in numbers(ring.events(run.flow_id))


def test_spilled_files_that_somebody_removes_are_counted(tmp_path: Path) -> None:
    """What was in them is lost, and what is spilled later is there again."""
    ring = install(capacity=10, spill=tmp_path / "{flow_id}.jsonl")
    with obs.flow() as run:
        log_numbers(run, range(30))
        (tmp_path / f"{run.flow_id}.jsonl").unlink()
        assert (numbers(ring.events(run.flow_id)), ring.dropped(run.flow_id)) == (list(range(20, 30)), 21)
        log_numbers(run, range(30, 45))
        assert (numbers(ring.events(run.flow_id)), ring.dropped(run.flow_id)) == (list(range(20, 45)), 21)


def test_an_error_that_cannot_be_spilled_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the noise, not the error."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    ring = install(capacity=20, spill=tmp_path / "s" / "{flow_id}.jsonl")
    (tmp_path / "s").write_text("in the way")
    with obs.flow() as run:
        log_numbers(run, [1], "error")
        log_numbers(run, range(2, 60))
        kept = ring.events(run.flow_id)
        assert numbers(kept)[0] == 1
        assert ring.dropped(run.flow_id) + len(kept) >= 60


def test_what_is_spilled_is_counted_as_dropped_once_the_ring_is_disposed(tmp_path: Path) -> None:
    """The files are gone; what is in memory can still be read, and says that it is not all."""
    ring = install(capacity=10, spill=tmp_path / "{flow_id}.jsonl")
    with obs.flow() as run:
        log_numbers(run, range(30))
    ring.dispose()
    assert (len(ring.events(run.flow_id)), ring.dropped(run.flow_id), list(tmp_path.iterdir())) == (10, 22, [])


# --- caps over flows ---


def test_max_flows_forgets_ended_flows_first() -> None:
    """A flow that is running outlives those that have ended; without such, the oldest leaves."""
    ring = install(max_flows=2)
    with obs.flow() as outer:
        ended = []
        for _ in range(3):
            with obs.flow() as run:
                pass
            ended.append(run.flow_id)
        assert ring.flow_ids() == [outer.flow_id, ended[-1]]
    running = [obs.flow() for _ in range(3)]
    for run in running:
        run.log("n")
    assert ring.flow_ids() == [run.flow_id for run in running[1:]]
    for run in running:
        run.close()


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    cap=st.integers(3_000, 60_000),
    flows=st.lists(st.lists(st.tuples(st.sampled_from(["info", "error"]), st.integers(0, 900)), max_size=25), max_size=5),
)
def test_max_bytes_holds(cap: int, flows: list[list[tuple[str, int]]]) -> None:
    """However many flows and errors there are, the estimate stays under the cap once more than one event is kept."""
    ring = install(capacity=200, max_bytes=cap)
    try:
        for flow in flows:
            with obs.flow() as run:
                for level, size in flow:
                    run.log("n", level, data={"text": "x" * size})
                    assert ring.stats()["bytes"] <= cap
        for name in list(ring.flow_ids()):
            ring.clear(name)
        assert ring.stats()["bytes"] == 0
    finally:
        logging.getLogger("tea").removeHandler(ring)
        ring.close()


def test_max_bytes_holds_for_flows_that_begin_while_others_run() -> None:
    """Between two looks, each flow takes few events that are not weighed."""
    ring = install(max_bytes=300_000)
    running: list[obs.ObservabilityContext] = []
    for n in range(300):
        running.append(obs.flow())
        for run in running[-10:]:
            run.log("n", data={"text": "x" * 2_000, "n": n})
        kept = sum(len(ring.events(flow_id)) for flow_id in ring.flow_ids())
        assert kept * 2_400 <= 1.6 * 300_000
    assert ring.stats()["bytes"] <= 300_000
    assert ring.stats()["evicted_flows"] > 100
    for run in running:
        run.close()


def test_max_bytes_drops_the_oldest_and_counts_it() -> None:
    """Of a single flow the oldest events leave."""
    ring = install(max_bytes=20_000)
    with obs.flow() as run:
        for n in range(100):
            run.log("n", data={"n": n, "text": "x" * 1000})
        events = ring.events(run.flow_id)
    kept = numbers(events)
    assert kept == list(range(100 - len(kept), 100))
    assert 5 < len(kept) < 20
    assert ring.dropped(run.flow_id) == 102 - 1 - len(events)


def test_a_flow_that_comes_back_says_that_it_has_lost_events(tmp_path: Path) -> None:
    """It was let go of while it ran: its files have the rest, and readers look there."""
    ring = install(max_flows=2)
    files = obs.FlowFileHandler(tmp_path / "{flow_id}.jsonl")
    logging.getLogger("tea").addHandler(files)
    others = [obs.flow() for _ in range(2)]
    with obs.flow() as run:
        with obs.span("long"):
            for other in others:
                contextvars.Context().run(other.log, "n")  # outside the flow around them
            assert (ring.flow_ids(), ring.dropped(run.flow_id)) == ([other.flow_id for other in others], 2)
        run.log("n")
        assert ring.dropped(run.flow_id) == 2
        assert [event["event_type"] for event in ring.events(run.flow_id)] == ["exit", "log"]
        log = obs.get_flow_log(run.flow_id)
        assert ([event["event_type"] for event in log.events], log.metrics["dropped_count"]) == (
            ["entry", "entry", "exit", "log"],
            0,
        )
    for other in others:
        other.close()
    assert ring.stats()["evicted_flows"] >= 2
    ring.clear(run.flow_id)
    assert ring.dropped(run.flow_id) == 0


def test_stats_tell_what_is_held_and_what_has_left() -> None:
    """Every event that came is held or counted as dropped; the flows that left as a whole are counted."""
    ring = install(capacity=10, max_flows=3)
    for _ in range(5):
        with obs.flow() as run:
            log_numbers(run, range(18))
    stats = ring.stats()
    assert {key: stats[key] for key in ("flows", "events", "evicted_flows", "dropped", "suppressed_dumps")} == {
        "flows": 3,
        "events": 30,
        "evicted_flows": 2,
        "dropped": 70,
        "suppressed_dumps": 0,
    }
    assert 30 * 400 < stats["bytes"] < 30 * 1_500
    assert len(ring.events(run.flow_id)) == 10
    ring.clear()
    assert ring.stats() == {**stats, "flows": 0, "events": 0, "bytes": 0, "dropped": 40}


def test_flows_that_leave_and_come_back_are_counted_once() -> None:
    """Events held and events dropped are together all that came, however often their flow has left."""
    ring, everything = install(max_flows=1), Keep()
    logging.getLogger("tea").addHandler(everything)
    first, second = obs.flow(), obs.flow()
    for n in range(4):
        log_numbers(first, [n, n])
        log_numbers(second, [n])
    stats = ring.stats()
    assert (stats["flows"], stats["evicted_flows"]) == (1, 7)
    assert stats["events"] + stats["dropped"] == len(everything.seen)


@given(
    capacity=st.integers(1, 8),
    max_flows=st.integers(1, 3),
    max_bytes=st.sampled_from([None, 700, 3_000]),
    spills=st.booleans(),
    steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["info", "error"])), max_size=60),
)
def test_every_event_is_held_or_counted(
    capacity: int, max_flows: int, max_bytes: int | None, spills: bool, steps: list[tuple[int, str]]
) -> None:
    """Whatever cap makes room, of each flow and of all together: nothing is lost without being counted, or counted twice."""
    tea, everything = logging.getLogger("tea"), Keep()
    with tempfile.TemporaryDirectory() as folder:
        spill = Path(folder, "{flow_id}.jsonl") if spills else None
        ring = install(capacity=capacity, max_flows=max_flows, max_bytes=max_bytes, spill=spill)
        tea.addHandler(everything)
        try:
            runs = [obs.flow() for _ in range(4)]
            for n, (number, level) in enumerate(steps):
                log_numbers(runs[number], [n], level)
            came = Counter(event["flow_id"] for event in everything.seen)
            dropped = ring.stats()["dropped"]  # what has not been weighed is now, and may have to leave
            held = {flow_id: len(ring.events(flow_id)) for flow_id in came}
            assert {flow_id: held[flow_id] + ring.dropped(flow_id) for flow_id in came} == came
            assert sum(held.values()) + dropped == len(everything.seen)
            ring.dispose()  # with the files that it has spilled into
            assert {flow_id: len(ring.events(flow_id)) + ring.dropped(flow_id) for flow_id in came} == came
        finally:
            tea.removeHandler(everything)
            tea.removeHandler(ring)


def test_the_end_of_a_span_comes_after_its_flow_has_left() -> None:
    """It is counted as dropped until the next event of the flow comes; then both are there."""
    ring = install(max_flows=1)
    other = obs.flow()

    @obs.observable("leaves")
    def leaves() -> None:
        contextvars.Context().run(other.log, "n")

    with obs.flow() as run:
        leaves()
        assert (ring.flow_ids(), ring.dropped(run.flow_id)) == ([other.flow_id], 3)
        run.log("n")
        assert [event["event_type"] for event in ring.events(run.flow_id)] == ["exit", "log"]
        assert ring.dropped(run.flow_id) == 2


def test_short_flows_weigh_too() -> None:
    """Each has fewer events than are weighed at a time; together they are kept within the cap."""
    ring = install(max_bytes=200_000)
    for _ in range(1_000):
        with obs.flow():
            pass
    assert 50 < len(ring.flow_ids()) < 400


def test_a_short_flow_that_leaves_while_it_waits_to_be_weighed_weighs_nothing() -> None:
    """Great flows that wait with it are weighed at the same time, and make room."""
    ring = install(max_bytes=3_000_000)
    great = {f"key {n}": {f"key {m}": m for m in range(40)} for n in range(45)}  # more than a step has room for
    short, *others = (obs.flow() for _ in range(5))
    for run, count in zip((short, *others), (0, 31, 31, 0, 0), strict=True):
        with run:
            for _ in range(count):
                run.log("n", data=great)
    stats = ring.stats()
    assert (short.flow_id in ring.flow_ids(), stats["events"]) == (False, ring._room.load.events)
    ring.clear()
    assert (ring.stats()["bytes"], ring._room.load.events) == (0, 0)


@pytest.mark.slow
def test_of_flows_that_have_left_the_last_ten_thousand_are_known() -> None:
    """What is remembered of them has a bound, too."""
    ring = install(max_flows=1)
    runs = []
    for _ in range(10_002):
        with obs.flow() as run:
            runs.append(run.flow_id)
    assert [ring.dropped(runs[n]) for n in (0, 1, 2, -2)] == [0, 2, 2, 2]


def test_what_is_left_of_a_batch_keeps_its_weight() -> None:
    """Events are weighed in batches, and leave one by one: what stays weighs as much as as many others."""
    ring = install(capacity=1_000)
    with obs.flow() as run:
        ring.stats()  # the root's entry is larger, and is weighed by itself
        log_numbers(run, range(500))
        half = ring.stats()
        log_numbers(run, range(500, 1_200))
        full = ring.stats()
    assert half["events"] == 501
    assert 1_000 <= full["events"] < 1_201
    assert full["bytes"] / full["events"] == pytest.approx(half["bytes"] / half["events"], rel=0.02)


def test_max_events_is_a_cap_over_all_flows() -> None:
    """Flows that have ended leave first; then the greatest loses its oldest events, and the others keep theirs."""
    ring = install(capacity=60, max_events=100)
    with obs.flow() as ended:
        log_numbers(ended, range(10))
    small, great = obs.flow(), obs.flow()
    log_numbers(small, range(20))
    for n in range(300):
        log_numbers(great, [n])
        assert ring.stats()["events"] <= 100
    assert numbers(ring.events(ended.flow_id)) == list(range(10))
    later = obs.flow()
    log_numbers(later, range(80))
    assert ring.stats()["events"] <= 100
    assert ended.flow_id not in ring.flow_ids()
    assert numbers(ring.events(small.flow_id)) == list(range(20))
    kept = numbers(ring.events(great.flow_id))
    assert kept == list(range(300 - len(kept), 300))
    for run in (small, great, later):
        run.close()


def test_one_flow_takes_at_most_half_of_max_bytes_from_others() -> None:
    """A noisy flow loses its own oldest events; flows that have ended stay, until others need the room."""
    ring = install(capacity=1_000, max_bytes=100_000)
    quiet = []
    for _ in range(10):
        with obs.flow() as run:
            log_numbers(run, range(5))
        quiet.append(run.flow_id)
    with obs.flow() as noisy:
        for n in range(500):
            noisy.log("n", data={"n": n, "text": "x" * 500})
    assert ring.stats()["bytes"] <= 100_000
    assert set(quiet[4:]) < set(ring.flow_ids())
    assert 20 < len(ring.events(noisy.flow_id)) < 60


@pytest.mark.slow
def test_the_estimate_far_below_a_cap_is_near_the_truth() -> None:
    """Only some events are weighed there; the sum is within a quarter of what all weigh."""
    from the_edge_obs.recording.records import size_of

    ring = install(capacity=100_000)
    with obs.flow() as run:
        for n in range(20_000):
            run.log("n", data={"n": n, "text": "x" * (n % 10 * 100)})
    real = sum(map(size_of, ring._flows[run.flow_id].items))
    assert 0.75 < ring.stats()["bytes"] / real < 1.25


def test_the_default_cap_grows_with_the_capacity() -> None:
    """64 MiB; whoever asks for more events than that holds gets them."""
    assert [obs.RingBufferHandler(n)._room.load.max_bytes for n in (1_000, 32_768, 100_000)] == [64 << 20, 64 << 20, 204_800_000]
    assert obs.RingBufferHandler(max_bytes=None, max_events=None)._room.load.step() == 512


def test_clearing_one_flow_leaves_the_others_alone() -> None:
    """A running flow's events stay where another's are forgotten, its ring is closed, or its configuration undone."""
    ring = install()
    with obs.flow() as run:
        log_numbers(run, [1])
        with obs.flow() as other:
            log_numbers(other, [2])
        ring.clear(other.flow_id)
        undo = obs.configure()
        undo()
        log_numbers(run, [3])
        assert numbers(ring.events(run.flow_id)) == [1, 3]
        assert ring.dropped(run.flow_id) == 0


@pytest.mark.slow
def test_memory_is_flat() -> None:
    """A hundred thousand events and two thousand flows in a process of their own; the same script takes larger numbers."""
    script = Path(__file__).with_name("faults") / "soak_memory.py"
    command = [sys.executable, str(script), "--events", "100000", "--flows", "2000", "--warm-up", "30000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the rest ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "capacity 0 is not a whole number of at least 1"),
        ({"capacity": True}, "capacity True is not a whole number"),
        ({"capacity": "1000"}, "capacity '1000' is not a whole number"),
        ({"max_flows": -1}, "max_flows -1 is not a whole number"),
        ({"max_bytes": 1.5}, "max_bytes 1.5 is not a whole number"),
        ({"max_bytes": "much"}, "max_bytes 'much' is not a whole number"),
        ({"max_events": 0}, "max_events 0 is not a whole number"),
        ({"max_dumps": 0}, "max_dumps 0 is not a whole number"),
        ({"slow_ms": -1}, "slow_ms -1 is not a number of milliseconds of at least 0"),
        ({"slow_ms": float("nan")}, "slow_ms nan is not a number of milliseconds"),
        ({"slow_ms": True}, "slow_ms True is not a number of milliseconds"),
        ({"flush_level": "loud"}, "flush_level: unknown level 'loud'; allowed: debug, info, warn, error"),
        ({"spill": "spill.jsonl"}, r"spill 'spill.jsonl' has no \{flow_id\}"),
        ({"spill": "/dev/null/{flow_id}.jsonl"}, "cannot be written"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    """The error names the option, its value and what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        obs.RingBufferHandler(**options)


def test_filters_and_level_count() -> None:
    """As on any handler, and a filter may hand on another record (Python 3.12)."""
    ring = install(level="ERROR")
    ring.addFilter(lambda record: "skip" not in record.getMessage())
    with obs.flow() as run:
        run.log("n", "info", message="low")
        run.log("n", "error", message="skip")
        run.log("n", "error", message="keep")
    assert [event["message"] for event in ring.events(run.flow_id)] == ["keep"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters return records from Python 3.12 on")
def test_a_filter_may_replace_the_record() -> None:
    """What a filter puts in a record's place is what is kept."""
    ring = install()

    def replaced(record: logging.LogRecord) -> logging.LogRecord:
        return logging.makeLogRecord({**vars(record), "flow_event": {**vars(record)["flow_event"], "message": "replaced"}})

    ring.addFilter(replaced)  # type: ignore[arg-type]
    with obs.flow() as run:
        pass
    assert {event["message"] for event in ring.events(run.flow_id)} == {"replaced"}


def test_many_threads_at_once_lose_nothing() -> None:
    """Eight threads in one flow and eight flows of their own: every event kept or counted."""
    ring = install(capacity=100)

    def own() -> tuple[str, int]:
        with obs.flow() as run:
            log_numbers(run, range(300))
        return run.flow_id, 302

    results: list[tuple[str, int]] = []
    with obs.flow() as shared:
        carried = obs.wrap(lambda: log_numbers(shared, range(300)))
        threads = [threading.Thread(target=carried) for _ in range(8)]
        threads += [threading.Thread(target=lambda: results.append(own())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    results.append((shared.flow_id, 8 * 300 + 2))
    assert len(results) == 9
    for flow_id, total in results:
        assert (len(ring.events(flow_id)), ring.dropped(flow_id)) == (100, total - 100)


def test_reading_while_others_write() -> None:
    """Readers and writers in threads: no exception, and the order is that of the writer."""
    ring = install(capacity=50)
    done = threading.Event()
    seen: list[list[int]] = []
    with obs.flow() as run:

        def read() -> None:
            while not done.is_set():
                seen.append(numbers(ring.events(run.flow_id)))

        reader = threading.Thread(target=read)
        reader.start()
        log_numbers(run, range(3000))
        done.set()
        reader.join()
    for values in seen:
        assert values == sorted(values)
        assert len(values) < 100  # the writer may add a few between the trim and the copy


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_can_log_while_the_parents_threads_do() -> None:
    """No lock that another thread held at the moment of the fork stops the child."""
    code = """
import logging, os, sys, threading, warnings
warnings.simplefilter("ignore")
import the_edge_obs as obs
ring = obs.RingBufferHandler(capacity=3, spill=sys.argv[1] + "/{flow_id}.jsonl")
tea = logging.getLogger("tea"); tea.setLevel("INFO"); tea.addHandler(ring)
with obs.flow():
    pass  # what is imported late is imported now: an import that another thread is at cannot go on in a forked child
stop = threading.Event()
def noise():
    with obs.flow() as run:
        while not stop.is_set():
            run.log("noise")
threads = [threading.Thread(target=noise) for _ in range(3)]
for t in threads: t.start()
failed = 0
for _ in range(8):
    child = os.fork()
    if child == 0:
        import signal
        signal.alarm(2)
        with obs.flow() as run:
            for _ in range(10):
                run.log("n")
        os._exit(0 if len(ring.events(run.flow_id)) == 12 else 1)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
for t in threads: t.join()
print(failed)
"""
    folder = os.environ.get("TMPDIR", "/tmp")
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder) as spill:
        done = subprocess.run([sys.executable, "-c", code, spill], capture_output=True, text=True, check=True, timeout=90)
    assert done.stdout.strip() == "0", done.stderr


def test_what_a_flow_remembers_of_its_secrets_weighs() -> None:
    """Taints count against the cap on bytes, and leave with their flow."""
    ring = obs.RingBufferHandler()
    logging.getLogger("tea").addHandler(ring)
    logging.getLogger("tea").setLevel("INFO")
    try:
        with obs.flow("heavy") as run:
            obs.taint([f"{number:04d}-" + "kX9" * 2_000 for number in range(10)])
            with obs.span("s"):
                pass
        assert ring.stats()["bytes"] > 10 * 6_000
        ring.clear(run.flow_id)
        assert ring.stats()["bytes"] == 0
    finally:
        logging.getLogger("tea").removeHandler(ring)
        logging.getLogger("tea").setLevel(logging.NOTSET)
