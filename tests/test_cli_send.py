from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main

from .otlp_sink import Sink, assert_tree, attributes

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


def test_a_log_sent_twice_has_the_same_ids(log: Path) -> None:
    """A receiver that knows a span gets it again, not another one."""
    with Sink() as sink:
        assert [main(["send", str(log), "--to", sink.url]) for _ in range(2)] == [0, 0]
        ids = [(span.trace_id, span.span_id) for span in sink.spans]
        assert (len(ids), len(set(ids))) == (8, 4)


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
        assert f"tea-obs: error: {sink.url!r} did not take 2 spans, after 0 that were sent; the logger opentelemetry" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "localhost"], "endpoint 'localhost' is not the address of a receiver"),
        (["--to", "http://x", "--header", "secret"], "--header 'secret' has no value; write NAME=VALUE"),
        ([], "the following arguments are required: --to"),
    ],
)
def test_a_mistake_is_one_line(log: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent."""
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
