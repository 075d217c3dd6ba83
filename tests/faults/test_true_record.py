"""The record is true: statuses, names and counts, and what the log says of itself."""

from __future__ import annotations

import contextvars
import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.actions import builtin_registry
from the_edge_obs.cli import main
from the_edge_obs.errors import DurationError, LevelError
from the_edge_obs.event import problems
from the_edge_obs.event_query import parse_time
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.flows import load
from the_edge_obs.instrumentation import resources
from the_edge_obs.jsonl import read_events
from the_edge_obs.store.retention import age_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@obs.observable("work")
def work(value: Any = None, **more: Any) -> Any:
    return value


@obs.observable("fail")
def fail(text: str) -> None:
    raise ValueError(text)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return list(read_events(path))


def file_block(folder: Path, **more: Any) -> dict[str, Any]:
    return {"handlers": [{"type": "file", "path": str(folder / "flow-{flow_id}.jsonl")}], **more}


# --- a raised level -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["info", "warn", "error"])
def test_a_raised_level_leaves_the_run(level: str, tmp_path: Path) -> None:
    """A run that reads itself goes on, and has its name, status and duration, here and in its file."""
    undo = obs.configure(file_block(tmp_path, level=level))
    try:
        with obs.flow("triage") as run:
            work(1)
            assert [event["node"] for event in obs.query(node="flow")] == ["flow"]
            assert (obs.get_flow_log().name, obs.get_flow_log().status) == ("triage", "running")
    finally:
        undo()
    (row,) = obs.runs(tmp_path)
    assert (row.flow_id, row.name, row.status, row.duration_ms is not None) == (run.flow_id, "triage", "ok", True)


def test_a_filtered_root_is_known_to_its_process_and_unknown_to_others(tmp_path: Path) -> None:
    """A level for ``flow`` itself counts: then who runs it still knows, and a reader of the file says that it does not."""
    undo = obs.configure(file_block(tmp_path, levels={"flow": "warn"}))
    try:
        with obs.flow("triage") as run:
            assert (obs.query(), obs.get_flow_log().status, obs.get_flow_log().events) == ([], "running", [])
            work(1)
            assert (obs.get_flow_log().name, obs.get_flow_log().status) == ("triage", "running")
        assert (run.get_flow_log().name, run.get_flow_log().status) == ("triage", "ok")
    finally:
        undo()
    assert [(row.name, row.status) for row in obs.runs(tmp_path)] == [(None, "unknown")]
    events = lines_of(next(tmp_path.iterdir()))
    assert build_flow_log([{**event, "flow_id": run.flow_id[::-1]} for event in events]).status == "unknown"


def test_a_flow_that_is_not_observed_reads_itself_as_empty(tmp_path: Path) -> None:
    """``enabled: false`` fails no flow that queries, reads or exports its own log."""
    steps = [
        {"name": "errors", "action": "obs.query", "filters": {"level": "error"}, "store": "errors"},
        {"name": "log", "action": "obs.get_flow_log", "store": "log"},
        {"name": "file", "action": "obs.export", "path": str(tmp_path / "x.jsonl"), "store": "file"},
    ]
    state = load({"name": "quiet", "observability": {"enabled": False}, "nodes": steps}).run()
    assert (state["errors"], state["log"]["events"], state["log"]["status"], state["log"]["name"]) == ([], [], "running", "quiet")
    assert (state["file"]["events"], (tmp_path / "x.jsonl").read_text()) == (0, "")
    with pytest.raises(obs.FlowNotFoundError):
        obs.query(state["flow_id"])


# --- several roots, repeats, errors -------------------------------------------------------------------------------------


def requests(folder: Path) -> str:
    """Log two requests below one gateway's trace, the second of which fails; return the flow id that they share."""
    undo = obs.configure(file_block(folder))
    try:
        for name in ("GET /a", "GET /b"):
            with pytest.MonkeyPatch.context(), obs.flow(name, parent=obs.extract({"traceparent": TRACE})) as run:
                work(1)
                if name == "GET /b":
                    work(2)
                    try:
                        fail("no")
                    except ValueError as error:
                        run.__exit__(ValueError, error, None)
    finally:
        undo()
    return run.flow_id


def test_runs_of_one_foreign_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The status is the worst of theirs, each has its name in the tree and on the page, and ``ls`` has a row each."""
    requests(tmp_path)
    log = obs.get_flow_log(tmp_path)
    assert (log.status, [(root.name, root.status) for root in log.roots]) == ("error", [("GET /a", "ok"), ("GET /b", "error")])
    assert [(row.name, row.status, row.errors) for row in obs.runs(tmp_path)] == [("GET /a", "ok", 0), ("GET /b", "error", 1)]
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert ("GET /a" in shown, "GET /b" in shown) == (True, True)
    page = tmp_path / "page.html"
    assert obs.export(tmp_path, page)["format"] == "html"
    assert ("GET /a" in page.read_text(), "GET /b" in page.read_text()) == (True, True)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_files_of_continued_flows_are_closed(tmp_path: Path) -> None:
    """40 flows that continue another process's leave no descriptor open."""
    undo = obs.configure(file_block(tmp_path))
    try:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(40):
            header = f"00-{number + 1:032x}-00f067aa0ba902b7-01"
            with obs.flow("served", parent=obs.extract({"traceparent": header})):
                work(number)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
    finally:
        undo()
    assert [row.status for row in obs.runs(tmp_path)] == ["ok"] * 40


def test_what_is_there_twice_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copied log, an export in the same folder, a line that two handlers wrote: the same everywhere."""
    single, double = tmp_path / "single", tmp_path / "double"
    undo = obs.configure(file_block(single))
    try:
        with obs.flow("triage") as run:
            work(1)
            with pytest.raises(ValueError, match="no"):
                fail("no")
    finally:
        undo()
    (file,) = single.iterdir()
    double.mkdir()
    text = file.read_text(encoding="utf-8")
    for name in ("a.jsonl", "b.jsonl"):
        (double / name).write_text(text + text, encoding="utf-8")
    obs.export(double, double / "all.jsonl")
    assert lines_of(double / "all.jsonl") == lines_of(file) == obs.query(double)
    assert (obs.get_flow_log(double).to_dict(), obs.runs(double)) == (obs.get_flow_log(single).to_dict(), obs.runs(single))
    told = []
    for folder in (single, double):
        for command in (["stats"], ["ls"], ["show", "--flow", run.flow_id]):
            assert main([command[0], str(folder), *command[1:]]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


def test_an_error_counts_where_it_arose(tmp_path: Path) -> None:
    """Through four spans it is one, in the flow log and in the list of runs."""
    undo = obs.configure(file_block(tmp_path))
    try:
        run = obs.flow("triage")
        with pytest.raises(ValueError, match="no"), run, obs.span("a"), obs.span("b"):
            fail("no")
        log = run.get_flow_log()
    finally:
        undo()
    assert [span.status for span in log.spans] == ["error"] * 4
    assert (log.metrics["error_count"], [row.errors for row in obs.runs(tmp_path)]) == (1, [1])


# --- links, resources, lost contexts ------------------------------------------------------------------------------------


def test_a_flow_inside_another_is_linked_both_ways(ring: obs.RingBufferHandler) -> None:
    """The inner root names the span around it, and the outer log names the inner root; each log is its own."""
    with obs.flow("outer") as outer, obs.span("step") as step, obs.flow("inner") as inner:
        pass
    assert step.context is not None
    (root,) = obs.query(inner.flow_id, event_type="entry")
    assert root["data"]["outer"] == {"flow_id": outer.flow_id, "span_id": step.context.span_id}
    (link,) = obs.query(outer.flow_id, event_type="log")
    inner_id = inner.context.span_id
    assert (link["span_id"], link["data"]) == (
        step.context.span_id,
        {"inner": {"flow_id": inner.flow_id, "span_id": inner_id, "name": "inner"}},
    )
    assert outer.get_flow_log().metrics["node_count"] == 1


def test_a_root_that_opened_by_itself_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node whose context was lost is a run of its own, and the list of runs says so."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "all.jsonl")}]})
    try:
        with obs.flow("triage"):
            contextvars.Context().run(work, 1)
    finally:
        undo()
    assert sorted((str(row.name), row.alone) for row in obs.runs(tmp_path)) == [("triage", False), ("work", True)]
    assert main(["ls", str(tmp_path)]) == 0
    assert "1 run started outside any flow" in capsys.readouterr().out


def test_the_root_says_who_wrote_it(ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, process and service, as they were when the process logged its first flow."""
    resources.forget()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "billing")
    named = []
    for _ in range(2):
        with obs.flow("x") as run:
            pass
        named.append(obs.query(run.flow_id)[0]["data"]["resource"])
        monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    resources.forget()
    assert named[0] == named[1] == {"host": platform.node(), "pid": os.getpid(), "service": "billing"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_the_root_of_a_forked_child_names_the_child(tmp_path: Path) -> None:
    """What the parent has read of itself is not taken over."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "all.jsonl")}]})
    try:
        with obs.flow("parent"):
            pass
        if (child := os.fork()) == 0:
            with obs.flow("child"):
                pass
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        undo()
    roots = [event["data"] for event in read_events(tmp_path / "all.jsonl") if event["event_type"] == "entry"]
    assert {root["name"]: root["resource"]["pid"] for root in roots} == {"parent": os.getpid(), "child": child}


def test_the_root_says_what_was_asked_and_which_flow_ran(tmp_path: Path) -> None:
    """The initial state, redacted and bounded, and the file's digest; what secrets it holds appears nowhere."""
    path = tmp_path / "f.yaml"
    content = "name: f\ninitial_state: {b: 2}\nobservability: {level: info}\nvariables: {api_key: hunter2-secret}\n"
    content += 'nodes: [{name: a, uses: json.parse, with: {text: "{}"}}]\n'
    path.write_text(content, encoding="utf-8")
    state = load(path).run({"a": "x" * 9_000, "password": "hunter2", "text": "it is hunter2-secret"})
    root = obs.query(state["flow_id"])[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert root["data"]["flow"] == {"path": str(path), "sha256": digest}
    given = root["data"]["input"]
    assert (given["b"], given["password"], len(given["a"]), "hunter2" in json.dumps(root)) == (2, "[REDACTED]", 8_205, False)
    assert root["data"]["cut"] == ["input.a", "input.password", "input.text"]
    assert problems(root) == []


def test_what_was_answered_from_a_recording_is_known_and_not_summed() -> None:
    """The schema knows ``answered`` and ``replay_of`` before anything writes them."""
    from ..strategies import FLOW, event, whole

    made = [*whole(1, 0, 3), *whole(2, 1, 2, metrics={"tokens": 9, "cost_usd": 1.0}, data={"answered": True})]
    made[0]["data"] = {"name": "x", "replay_of": FLOW}
    assert [problems(one) for one in made] == [[]] * 4
    log = build_flow_log(made)
    assert (log.metrics["tokens"], log.metrics["cost_usd"], log.spans[1].answered) == (0, 0, True)
    assert problems(event(1, "exit", 1, data={"answered": 1})) == ["data.answered is 1; it must be true or false"]
    assert len(problems({**made[0], "data": {"replay_of": "x", "flow": {}, "resource": {"pid": "1"}, "cut": "x"}})) == 4


# --- actions, levels, formats, times ------------------------------------------------------------------------------------


def test_actions_that_read_the_log_log_a_summary(ring: obs.RingBufferHandler) -> None:
    """The result is whole; what is logged of it does not grow with the log."""
    actions = builtin_registry()
    undo = obs.instrument(actions)
    with obs.flow("x") as run:
        for number in range(50):
            work(number)
        log = actions["obs.get_flow_log"](state={}, config={}, node="step", graph=object())
        found = actions["obs.query"](state={}, filters={"node": "work"}, config={}, node="step", graph=object())
        work(found)
    undo()
    assert (len(log["events"]), len(found), json.loads(json.dumps(found)) == list(found)) == (102, 100, True)
    outputs = {event["node"]: event["data"].get("output") for event in obs.query(run.flow_id, node="obs.*", event_type="exit")}
    assert outputs == {
        "obs.get_flow_log": {"flow_id": run.flow_id, "name": "x", "status": "running", "events": 102, "spans": 52},
        "obs.query": {"events": 100},
    }
    assert max(len(json.dumps(event)) for event in obs.query(run.flow_id, node="obs.*")) < 1_000


def test_what_a_flow_reads_of_its_log_goes_on_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary is for the call that read the log: the state, the next node and what ``run`` shows have all of it."""
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        "nodes:\n"
        "  - {name: ask, uses: obs.query, with: {filters: {event_type: entry, limit: 1}}, output: found}\n"
        "  - {name: log, uses: obs.get_flow_log, output: log}\n"
        "  - {name: hand_on, run: \"return {'again': state['found'], 'status': state['log']['status']}\"}\n"
    )
    assert main(["run", str(flow), "--log-dir", str(tmp_path / "logs"), "-o", str(tmp_path / "state.json")]) == 0
    state = json.loads((tmp_path / "state.json").read_text())
    outputs = {
        event["step"]: event["data"]["output"] for event in obs.query(tmp_path / "logs", event_type="exit") if "step" in event
    }
    assert outputs["ask"] == {"events": 1}
    assert set(outputs["log"]) == {"flow_id", "name", "status", "events", "spans"}
    assert [event["node"] for event in outputs["hand_on"]["again"]] == [event["node"] for event in state["found"]] == ["flow"]
    capsys.readouterr()
    assert main(["run", str(flow)]) == 0
    shown = capsys.readouterr().out.partition("final state")[2]
    assert re.search(r"^  found +1 item$", shown, re.MULTILINE)
    assert re.search(r"^  log +7 keys: flow_id, name, status, events, spans", shown, re.MULTILINE)


def test_parallel_results_are_an_engine_s_argument(ring: obs.RingBufferHandler) -> None:
    """A fan-in's action is given all branches' states by the engine, and they are not its input."""

    @obs.observable("join")
    def join(state: dict[str, Any], top: int, parallel_results: Any = None) -> None:
        pass

    with obs.flow() as run:
        join({}, top=3, parallel_results=[{"big": "x" * 1_000}])
    (entry,) = obs.query(run.flow_id, node="join", event_type="entry")
    assert entry["data"] == {"input": {"top": 3}}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: obs.configure({"level": "critical"}),
        lambda: obs.configure({"levels": {"llm": "loud"}}),
        lambda: obs.span("x", level="loud"),
        lambda: obs.query("nowhere", level="critical"),
        lambda: obs.RingBufferHandler(flush_level="loud"),
    ],
)
def test_a_wrong_level_is_one_type_of_error(mistake: Any) -> None:
    """Wherever it is given, and ``critical`` is none: events have four levels."""
    with pytest.raises(LevelError, match="allowed: debug, info, warn, error"):
        mistake()


def test_a_path_names_its_format(tmp_path: Path, ring: obs.RingBufferHandler) -> None:
    """``x.html`` is a page; a format that is named goes before that."""
    with obs.flow("x") as run:
        pass
    named = {end: obs.export(run.flow_id, tmp_path / f"x{end}")["format"] for end in (".html", ".csv", ".json", ".jsonl", ".log")}
    assert named == {".html": "html", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".log": "jsonl"}
    assert obs.export(run.flow_id, tmp_path / "y.html", "json")["format"] == "json"


def test_a_bad_block_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file that holds the block alone as in a flow."""
    block = tmp_path / "block.yaml"
    block.write_text("level: info\nlevels:\n  llm: debug\n  http: loud\n", encoding="utf-8")
    assert main(["config", str(block)]) == 2
    assert f"{block}:4: observability.levels.http: unknown level 'loud'" in capsys.readouterr().err


def test_logging_that_is_disabled_is_named() -> None:
    """``logging.disable`` is not blamed on the configuration."""
    undo = obs.configure()
    logging.disable(logging.CRITICAL)
    try:
        with obs.flow("x") as run:
            work(1)
        with pytest.raises(obs.FlowNotFoundError, match=r"logging\.disable\(CRITICAL\) silences every logger"):
            obs.get_flow_log(run.flow_id)
    finally:
        logging.disable(logging.NOTSET)
        undo()


@pytest.mark.parametrize("text", ["90ms", "1.5s", "2m", "2min", "12h", "30d", "2w"])
def test_one_grammar_of_durations(text: str) -> None:
    """A time before now, an age and a limit read the same ones."""
    seconds = 1_000.0 - parse_time(f"-{text}", now=1_000.0)
    assert (
        age_of(text),
        1_000.0 - parse_time(text, now=1_000.0),
        parse_time(f"+{text}", now=1_000.0) - 1_000.0,
    ) == pytest.approx((seconds, seconds, seconds))
    from the_edge_obs.comparison._limits import parse

    (rule,) = parse(f"duration=+{text}")
    assert rule.amount == pytest.approx(seconds * 1_000)  # type: ignore[union-attr]


def test_what_is_no_duration_is_one_type_of_error() -> None:
    """An age of another grammar is refused."""
    with pytest.raises(DurationError, match="is not a number with a unit"):
        age_of("2 fortnights")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone can be changed on POSIX alone")
def test_a_time_that_was_printed_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ls`` prints local times and ``--since`` reads them so, with or without the zone."""
    from the_edge_obs.text import clock_text

    monkeypatch.setenv("TZ", "America/St_Johns")
    time.tzset()
    try:
        assert clock_text(1_700_000_000.0) == "2023-11-14 18:43:20-03:30"
        for text in (clock_text(1_700_000_000.0), clock_text(1_700_000_000.0, zone=False)):
            assert parse_time(text, now=0.0) == 1_700_000_000.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_end_is_its_entry_and_its_duration(tmp_path: Path) -> None:
    """To the microsecond that timestamps have, for every kind of span."""

    @obs.observable("items")
    def items() -> Any:
        yield 1

    undo = obs.configure(file_block(tmp_path))
    try:
        with obs.flow("x") as run:
            for number in range(50):
                work({"n": [number] * 50})
            list(items())
            with obs.span("s"):
                pass
            with pytest.raises(ValueError, match="no"):
                fail("no")
        spans = run.get_flow_log().spans
    finally:
        undo()
    for span in spans:
        assert span.end is not None
        assert span.duration_ms is not None
        assert abs(span.end - span.start - span.duration_ms / 1_000) < 2.1e-6  # two timestamps, each cut to microseconds


# --- what was cut -------------------------------------------------------------------------------------------------------


def test_what_was_cut_is_told_beside_the_data(tmp_path: Path) -> None:
    """Cut texts, lists and depth, secrets by key and in texts; in memory as in the file. What only looks like a mark is none."""
    deep: Any = "x"
    for _ in range(20):
        deep = [deep]
    undo = obs.configure(file_block(tmp_path))
    try:
        with obs.flow("x") as run:
            work({"text": "x" * 9_000, "items": list(range(300)), "deep": deep, "api_key": "k", "a b": ["y" * 9_000]})
            work({"text": "…[+808 chars]", "items": ["[+100 items]"], "key": "[REDACTED]", "deep": "[depth]"})
            work("call https://u:secretpass@host/")
            run.log("note", message="m" * 9_000, data={"cut": "mine"})
        events = obs.query(run.flow_id)
    finally:
        undo()
    assert lines_of(next(tmp_path.iterdir())) == events
    assert [event["data"].get("cut") for event in events if event["event_type"] == "entry"][1:] == [
        [
            "input.value.text", "input.value.items", f"input.value.deep{'[0]' * 14}", "input.value.api_key",
            'input.value["a b"][0]',
        ],
        None,
        ["input.value"],
    ]  # fmt: skip
    (note,) = (event for event in events if event["node"] == "note")
    assert note["data"] == {"cut'": "mine", "cut": ["message"]}
    assert [problem for event in events for problem in problems(event)] == []


RUN = """
import sys, the_edge_obs as obs
undo = obs.configure({"redact": {"correlate": True}, "handlers": [{"type": "file", "path": sys.argv[1]}]})
@obs.observable("llm.call")
def call(prompt, **more): pass
with obs.flow("t"):
    call(sys.argv[2], password="first-of-the-secrets", other_password="second-of-the-secrets")
    call("again", password=sys.argv[3])
undo()
"""


def recorded(path: Path, prompt: str, secret: str = "first-of-the-secrets") -> Path:
    subprocess.run([sys.executable, "-c", RUN, str(path), prompt, secret], check=True, timeout=60)
    return path


@pytest.mark.slow
def test_a_diff_says_how_far_it_can_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts that differ beyond the cut are the same as far as logged, in text, JSON and on stderr."""
    old, new = (str(recorded(tmp_path / f"{end}.jsonl", "x" * 9_000 + end)) for end in "ab")
    assert main(["diff", old, new, "--fail-on", "input"]) == 3
    out, err = capsys.readouterr()
    assert "not proved: input of 1 span was cut, and is the same as far as logged: t / llm.call" in err
    assert main(["diff", old, new, "--fail-on", "output,error,status,tokens=+1%"]) == 0
    capsys.readouterr()
    assert ("the same as far as logged" in out, "input.prompt of t / llm.call" in err) == (True, True)
    found = obs.diff(old, new)
    assert [span.cut for span in found.spans][1] == ("input.other_password", "input.password", "input.prompt")
    assert found.spans[1].truncated == ("input.prompt",)
    assert found.to_dict()["spans"][1]["cut"] == ["input.other_password", "input.password", "input.prompt"]


@pytest.mark.slow
def test_placeholders_that_map_one_to_one_are_equal(tmp_path: Path) -> None:
    """They are keyed by process: equal runs are equal, and another secret in one place is not."""
    old, new = recorded(tmp_path / "a.jsonl", "p"), recorded(tmp_path / "b.jsonl", "p")
    other = recorded(tmp_path / "c.jsonl", "p", "second-of-the-secrets")
    assert (bool(obs.diff(old, new)), bool(obs.diff(old, old)), bool(obs.diff(old, other))) == (False, False, True)
    assert [change.path for span in obs.diff(old, other).changed for change in span.changes] == ["input.password"]
