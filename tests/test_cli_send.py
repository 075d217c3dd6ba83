from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main

from .otlp_sink import Sink, assert_tree, attributes
from .strategies import whole

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

KILLED = """
import os, signal, sys
import the_edge_obs as obs
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1]}]})
with obs.flow("killed"), obs.span("work"):
    with obs.span("done", prompt="a needle"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the log of two runs."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "logs" / "flow-{flow_id}.jsonl")}]})
    for name in ("one", "two"):
        with obs.flow(name), obs.span("work", prompt="a needle"):
            pass
    undo()
    return tmp_path / "logs"


def test_the_spans_of_a_folder_are_sent(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the ids of the log, the resource that logged them, and the headers that were given."""
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url, "--header", "x-team=a=b"]) == 0
        assert capsys.readouterr().out == f"{sink.url}: 4 spans sent\n"
        assert_tree(sink.spans)
        assert sorted(span.name for span in sink.spans) == ["one", "two", "work", "work"]
        assert {request["x-team"] for request in sink.requests} == {"a=b"}
        entry = obs.query(log, node="flow", event_type="entry")[0]
        assert sink.resources[0]["process.pid"] == entry["data"]["resource"]["pid"]
        assert entry["flow_id"].replace("-", "") in {span.trace_id.hex() for span in sink.spans}


def test_each_process_of_a_flow_is_sent_with_its_resource(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The logs of two hosts, given as two paths or as the folder around them; each path has a memory of its own."""
    spans = {"a": whole(1, 0, 9, node="flow"), "b": [*whole(2, 1, 3, parent=1, node="flow"), *whole(3, 1, 2, parent=2)]}
    for host, events in spans.items():
        events[0]["data"] = {"resource": {"host": host, "pid": 1, "service": "s"}}
        (tmp_path / host).mkdir()
        (tmp_path / host / "run.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
    for paths in ([tmp_path], [tmp_path / "b", tmp_path / "a"]):
        with Sink() as sink:
            assert main(["send", *map(str, paths), "--to", sink.url]) == 0
            assert capsys.readouterr().out == f"{sink.url}: 3 spans sent\n"
            assert sink.by_host() == {"a": ["1"], "b": ["2", "3"]}
        assert all(len(memories(path)) == 1 for path in paths)
    with Sink() as sink:
        assert main(["send", str(tmp_path / "gone"), str(tmp_path / "a"), "--to", sink.url]) == 2
        assert (len(sink.spans), "gone' cannot be read: no such file" in capsys.readouterr().err) == (1, True)


def test_spans_of_other_writers_are_sent_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their ids need not be UUIDs, and a span id may be in several flows."""
    made = [
        {**one, "flow_id": flow_id, "span_id": one["span_id"][-1], "parent_id": None if number == 1 else "1"}
        for flow_id in ("a", "request/2", "0af7651916cd43dd8448eb211c80319c")
        for number in (1, 2)
        for one in whole(number, number, 9)
    ]
    (tmp_path / "run.jsonl").write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    with Sink() as sink:
        for expected in ("6 spans sent", "0 spans sent; 6 spans had been sent before"):
            assert main(["send", str(tmp_path), "--to", sink.url]) == 0
            assert capsys.readouterr().out == f"{sink.url}: {expected}\n"
        assert (len({span.trace_id for span in sink.spans}), len({span.span_id for span in sink.spans})) == (3, 2)
        assert {span.parent_span_id for span in sink.spans} == {b"", sink.spans[0].span_id}
        assert "0af7651916cd43dd8448eb211c80319c" in {span.trace_id.hex() for span in sink.spans}


def memories(log: Path) -> list[Path]:
    """Return the files that remember what was accepted."""
    return sorted(log.glob(".sent-*"))


def ran(path: Path, name: str = "three") -> None:
    """Log a run of two spans."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(path)}]})
    with obs.flow(name), obs.span("work"):
        pass
    undo()


def test_what_was_accepted_is_not_sent_again(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is new is, until the file beside the log is removed; then all is, with the same ids."""
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert main(["send", str(log), "--to", f"{sink.url}/"]) == 0
        assert [len(sink.spans), len(sink.bodies)] == [4, 1]
        ran(log / "flow-{flow_id}.jsonl")
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{sink.url}: 4 spans sent",
            f"{sink.url}/: 0 spans sent; 4 spans had been sent before",
            f"{sink.url}: 2 spans sent; 4 spans had been sent before",
        ]
        assert_tree(sink.spans)
        (memory,) = memories(log)
        assert memory.stat().st_mode & 0o777 == 0o600
        memory.unlink()
        assert main(["send", str(log), "--to", sink.url]) == 0
        ids = [(span.trace_id, span.span_id) for span in sink.spans]
        assert (len(ids), len(set(ids))) == (12, 6)


def test_each_receiver_is_remembered_by_itself(log: Path) -> None:
    """An experiment is part of the receiver; a key that is changed is not."""
    with Sink() as sink, Sink() as other:
        for url, header in (
            (sink.url, "x-mlflow-experiment-id=1"),
            (sink.url, "X-MLflow-Experiment-Id=1"),
            (sink.url, "x-mlflow-experiment-id=2"),
            (other.url, "authorization=Bearer a"),
            (other.url, "authorization=Bearer b"),
        ):
            assert main(["send", str(log), "--to", url, "--header", header]) == 0
        assert (len(sink.spans), len(other.spans), len(memories(log))) == (8, 4, 3)


def test_the_log_of_a_file_is_remembered_beside_it(log: Path) -> None:
    """By its name; a folder and the files in it are different logs."""
    path = sorted(log.iterdir())[0]
    with Sink() as sink:
        for _ in range(2):
            assert main(["send", str(path), "--to", sink.url]) == 0
        assert len(sink.spans) == 2
    assert [memory.name.rpartition(".sent-")[0] for memory in log.glob(".*")] == [f".{path.name}"]
    assert {run.name for run in obs.runs(log)} == {"one", "two"}


def test_a_memory_that_was_cut_off_is_read_as_far_as_it_goes(log: Path) -> None:
    """Power may fail while a line is written: what it says is lost, and no more."""
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url]) == 0
        (memory,) = memories(log)
        lines = memory.read_bytes().strip().split(b"\n")
        assert len(lines) == 2
        memory.write_bytes(lines[0] + b"\n" + lines[1][:-9])
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert len(sink.spans) == 6
        memory.write_bytes(b'\xff\n[]\n{"flow_id": 7, "ended": [], "open": []}\n')
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert len(sink.spans) == 10


def test_a_memory_that_cannot_be_written_is_said(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spans are sent all the same."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("the_edge_obs.integrations.otel_sending.open_for_appending", full)
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url]) == 0
        assert len(sink.spans) == 4
    said = capsys.readouterr().err
    assert "cannot be written, so they would be sent again: no space left on device" in said
    assert said.count("\n") == 1


def test_a_memory_that_cannot_be_read_is_an_error(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sending everything again would not be noticed."""
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url]) == 0
        (memory,) = memories(log)
        memory.unlink()
        memory.mkdir()
        assert main(["send", str(log), "--to", sink.url]) == 2
        assert len(sink.spans) == 4
    assert "which remembers what was sent, cannot be read" in capsys.readouterr().err


def test_a_span_that_ends_after_it_was_sent_is_sent_again(tmp_path: Path) -> None:
    """It was sent as one that has not ended; what has not changed is not."""
    path = tmp_path / "run.jsonl"
    undo = obs.configure({"handlers": [{"type": "file", "path": str(path)}]})
    with Sink() as sink:
        with obs.flow("slow"), obs.span("work"):
            for _ in range(2):
                assert main(["send", str(path), "--to", sink.url]) == 0
        undo()
        for _ in range(2):
            assert main(["send", str(path), "--to", sink.url]) == 0
        sent = [(span.name, attributes(span).get("tea.unfinished", False)) for span in sink.spans]
        assert sorted(sent) == [("slow", False), ("slow", True), ("work", False), ("work", True)]


def test_events_after_the_end_of_a_span_are_sent_with_it(tmp_path: Path) -> None:
    """As long as it waits; an error that was logged by hand, for another node, is not its end."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "run.jsonl")}]})
    with obs.flow("late") as run:
        with obs.span("work") as span:
            run.log("check", "error", "error", "no rows")
        span.metric(rows=3)
    undo()
    with Sink() as sink:
        assert main(["send", str(tmp_path / "run.jsonl"), "--to", sink.url]) == 0
        assert_tree(sink.spans)
        (work,) = (span for span in sink.spans if span.name == "work")
        assert [event.name for event in work.events] == ["error", "metric"]
        assert work.status.code == 1


def test_without_content_no_text_is_sent(log: Path) -> None:
    """Only names and figures."""
    with Sink() as sink:
        assert main(["send", str(log), "--to", sink.url, "--no-content"]) == 0
        assert len(sink.spans) == 4
        assert [body for body in sink.bodies if b"needle" in body] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_killed_run_is_sent(tmp_path: Path) -> None:
    """Spans that never ended are marked, and their children are no orphans."""
    path = tmp_path / "killed.jsonl"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    with Sink() as sink:
        assert main(["send", str(path), "--to", sink.url]) == 0
        assert_tree(sink.spans)
        marks = {span.name: attributes(span).get("tea.unfinished", False) for span in sink.spans}
        assert marks == {"killed": True, "work": True, "done": False}


def test_a_receiver_that_refuses_is_an_error(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says how many spans were sent before."""
    with Sink(status=400) as sink:
        assert main(["send", str(log), "--to", sink.url]) == 2
        said = capsys.readouterr().err
        assert memories(log) == []
        assert f"tea-obs: error: {sink.url!r} did not take 4 spans, after 0 that were sent; the logger opentelemetry" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "localhost"], "endpoint 'localhost' is not the address of a receiver"),
        (["--to", "http://x", "--header", "secret"], "--header 'secret' has no value; write NAME=VALUE"),
        ([], "the following arguments are required: --to"),
        (["--to", "http://x", "-f"], "cannot be followed; only .jsonl files can"),
    ],
)
def test_a_mistake_is_one_line(log: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent."""
    if "-f" in options:
        log = obs.export(log / sorted(log.iterdir())[0].name, log.parent / "run.json")["path"]  # type: ignore[assignment]
    assert main(["send", str(log), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_without_the_packages_an_error_names_the_extra(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever uses the command learns how to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "the_edge_obs.integrations._otel_sdk", raising=False)
    assert main(["send", str(log), "--to", "http://x"]) == 2
    assert "python -m pip install 'the_edge_obs[otel]'" in capsys.readouterr().err


def test_a_log_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is followed would never come."""
    for options in ([], ["-f"]):
        assert main(["send", str(tmp_path / "logs"), "--to", "http://x", *options]) == 2
        assert "cannot be read: no such file or directory" in capsys.readouterr().err


# --- programs ---

MANY = """
import os, signal, sys
import the_edge_obs as obs
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1]}]})
with obs.flow(sys.argv[2]):
    for number in range(int(sys.argv[3])):
        with obs.span("work"):
            pass
    if sys.argv[4] == "wait":
        print("ready", flush=True)
        sys.stdin.readline()
    with obs.span("last"):
        if sys.argv[4] != "end":
            os.kill(os.getpid(), signal.SIGKILL)
"""


def program(path: Path, name: str, spans: int, then: str) -> subprocess.Popen[str]:
    """Start a program that logs some spans, and then ends, is killed, or waits for a line and is killed."""
    command = [sys.executable, "-c", MANY, str(path), name, str(spans), then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def sender(log: Path, url: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "the_edge_obs", "send", str(log), "--to", url, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, told = process.communicate(timeout=60)
    return process.returncode, said or "", told or ""


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def accepted(log: Path) -> int:
    """Return how many spans are remembered beside a log."""
    lines = [line for memory in log.glob(".*") for line in memory.read_text().split("\n")]
    return sum(len(told["ended"]) + len(told["open"]) for told in map(json.loads, filter(None, lines)))


def ids(spans: list[Any]) -> list[tuple[bytes, bytes]]:
    return [(span.trace_id, span.span_id) for span in spans]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_sender_that_is_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    """All spans arrive; at most the batch that was on its way comes twice, with the same ids."""
    path = tmp_path / "run.jsonl"
    assert ended(program(path, "long", 1_500, "end"))[0] == 0
    with Sink() as sink:
        sink.delay_s = 30
        first = sender(path, sink.url)
        wait_for(lambda: len(sink.bodies) == 1)
        sink.delay_s = 0
        first.kill()  # while the receiver has the first batch, and has not answered
        first.communicate()
        assert list(tmp_path.glob(".*")) == []
        sink.delay_s = 0.2
        second = sender(path, sink.url)
        wait_for(lambda: len(sink.bodies) == 3)
        second.kill()
        second.communicate()
        remembered = accepted(tmp_path)
        assert remembered in (512, 1_024)
        sink.delay_s = 0
        code, said, _ = ended(sender(path, sink.url))
        assert (code, said) == (
            0, f"{sink.url}: {1_502 - remembered:,} spans sent; {remembered:,} spans had been sent before\n",
        )  # fmt: skip
        found = ids(sink.spans)
        assert len(set(found)) == 1_502
        assert len(found) <= 1_502 + 2 * 512
        assert_tree(list(dict(zip(found, sink.spans, strict=True)).values()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_folder_is_followed(tmp_path: Path) -> None:
    """Old runs, one that is running, one that begins later, and one that is killed; a second sender has nothing to do."""
    log = tmp_path / "logs"
    assert ended(program(log / "flow-{flow_id}.jsonl", "old", 3, "end"))[0] == 0
    running = program(log / "flow-{flow_id}.jsonl", "running", 2, "wait")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    with Sink() as sink:
        following = sender(log, sink.url, "-f")
        sink.wait(7, 30)  # the old one's five, and two of the running one, without those that are open
        assert sorted(span.name for span in sink.spans) == ["last", "old", *["work"] * 5]
        assert ended(program(log / "flow-{flow_id}.jsonl", "new", 1, "end"))[0] == 0
        sink.wait(10, 30)
        running.communicate("go\n", timeout=60)
        sink.wait(12, 60)
        marks = {span.name: attributes(span).get("tea.unfinished", False) for span in sink.spans[10:]}
        assert marks == {"running": True, "last": True}
        assert_tree(sink.spans)
        wait_for(lambda: accepted(log) == 12)  # the receiver has them before the sender knows
        following.send_signal(signal.SIGINT)
        assert ended(following)[:2] == (130, f"{sink.url}: 12 spans sent\n")
        assert ended(sender(log, sink.url))[1] == f"{sink.url}: 0 spans sent; 12 spans had been sent before\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_follower_outlives_its_receiver_and_is_resumed(tmp_path: Path) -> None:
    """While the receiver refuses, it says so and tries again; killed, it is resumed where it was."""
    path = tmp_path / "run.jsonl"
    assert ended(program(path, "first", 2, "end"))[0] == 0
    with Sink(status=400) as sink:
        following = sender(path, sink.url, "--follow")
        wait_for(lambda: len(sink.bodies) == 2)
        assert sink.spans == []
        sink.status = 200
        sink.wait(4, 30)
        wait_for(lambda: accepted(tmp_path) == 4)
        following.kill()
        assert "did not take 4 spans, after 0 that were sent" in following.communicate()[1]
        assert ended(program(path, "second", 2, "end"))[0] == 0
        following = sender(path, sink.url, "-f")
        sink.wait(8, 30)
        wait_for(lambda: accepted(tmp_path) == 8)
        following.send_signal(signal.SIGINT)
        assert ended(following)[:2] == (130, f"{sink.url}: 4 spans sent; 4 spans had been sent before\n")
        assert_tree(sink.spans)
