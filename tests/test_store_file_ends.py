"""A run's summary from the first and the last line of its file: the one that a complete reading gives, or none."""

from __future__ import annotations

import gzip
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.handlers import appending
from the_edge_obs.jsonl import read_events
from the_edge_obs.store.file_ends import only_flow_of, summary_of_file
from the_edge_obs.store.run_lists import runs
from the_edge_obs.store.summaries import FlowSummary, summarise

REMOTE = obs.extract({"traceparent": "00-5d9c1e0a7b1f4c589a39000000000001-8000000000000001-01"})


@contextmanager
def written(folder: Path, name: str = "flow-{flow_id}.jsonl", level: int = logging.DEBUG) -> Iterator[obs.FlowFileHandler]:
    """Write the flow files of the block into a folder."""
    handler, tea = obs.FlowFileHandler(folder / name, level), logging.getLogger("tea")
    before = tea.level
    tea.setLevel(logging.DEBUG)
    tea.addHandler(handler)
    try:
        yield handler
    finally:
        tea.removeHandler(handler)
        tea.setLevel(before)
        handler.close()


def only(folder: Path) -> Path:
    """Return the only file of a folder."""
    (path,) = folder.iterdir()
    return path


def read_whole(path: Path) -> list[FlowSummary]:
    """Return what a complete reading gives."""
    return summarise(read_events(path))


@obs.observable("answer")
def answer(usage: dict[str, int], cost: float, fails: bool = False) -> dict[str, Any]:
    """Return what an LLM call returns, or a soft failure."""
    failed = {"success": False, "error": "no answer", "error_type": "E"} if fails else {}
    return {"usage": usage, "cost_usd": cost, **failed}


@obs.observable("plain")
def plain(n: int) -> int:
    return n


def test_only_two_lines_are_read(tmp_path: Path) -> None:
    """The totals are those of the whole file, its first error included; readers of events do not see them."""
    with written(tmp_path), obs.flow("triage", topic="cats") as run:
        with obs.span("plan"):
            answer({"prompt_tokens": 3, "completion_tokens": 4}, 0.1)
            answer({"prompt_tokens": 1, "completion_tokens": 1}, 0.2)
        with suppress(ValueError), obs.span("fetch"), obs.span("get"):
            raise ValueError("page 7 is not there")
        run.log("rank", message="ranked")
    path = only(tmp_path)
    last = json.loads(path.read_bytes().splitlines()[-1])
    before = sum(map(len, path.read_bytes().splitlines(keepends=True)[:-1]))
    found = summary_of_file(path)
    assert [found] == read_whole(path)
    assert found is not None
    assert last["data"]["totals"] == {
        "bytes": before,
        "events": 13,
        "start": found.start,
        "end": found.end,
        "errors": 1,
        "error": {"type": "ValueError", "message": "page 7 is not there"},
        "tokens": 9,
        "cost_usd": 0.3,
    }
    assert list(read_events(path))[-1]["data"] == {}


def test_totals_tell_that_a_file_holds_one_flow(tmp_path: Path) -> None:
    """As long as they are true: neither with lines before or after them, nor for words that look like them."""
    with written(tmp_path), obs.flow("triage", text='"totals":{"bytes":1,') as run:
        plain(1)
    path = only(tmp_path)
    lines = path.read_bytes()
    assert only_flow_of(path) == run.flow_id
    first, last = lines.splitlines(keepends=True)[0], lines.splitlines(keepends=True)[-1]
    for changed in (
        lines + first,
        first + lines,
        lines[:-1],
        lines[:-2],
        last,
        b"",
        b"\n",
        lines.replace(b'"bytes":', b'"bytes":1'),
    ):
        path.write_bytes(changed)
        assert only_flow_of(path) is None
    assert only_flow_of(tmp_path / "gone.jsonl") is None


def test_costs_add_up_exactly(tmp_path: Path) -> None:
    """In totals, in a complete reading and in a flow log: to the last digit, whatever the order of small and large ones."""
    with written(tmp_path), obs.flow("dear"):
        for cost in (1e16, 1.0, 1.0, 0.1, 0.2, 0.3):
            answer({"total_tokens": 1}, cost)
    path = only(tmp_path)
    found = summary_of_file(path)
    assert [found] == read_whole(path)
    assert found is not None
    assert found.cost_usd == obs.get_flow_log(path).metrics["cost_usd"] == 1e16 + 2


Step = Callable[[obs.ObservabilityContext], None]


def calls(usage: int, cost: float, fails: bool) -> Step:
    return lambda run: void(answer({"prompt_tokens": usage, "completion_tokens": 2}, cost, fails))


def void(value: object) -> None:
    """Drop a result."""


def nested(steps: list[Step], node: str, raises: bool, metrics: dict[str, float] | None, measured: bool) -> Step:
    def step(run: obs.ObservabilityContext) -> None:
        with suppress(KeyError, KeyboardInterrupt), obs.span(node) as span:
            if measured:
                span.metric(tokens=5, queue=2)
            for inner in steps:
                inner(run)
            span.metrics = metrics
            if raises:
                raise KeyError(node)

    return step


def in_thread(steps: list[Step]) -> Step:
    def step(run: obs.ObservabilityContext) -> None:
        def work() -> None:
            for inner in steps:
                inner(run)

        threads = [threading.Thread(target=obs.wrap(work)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return step


def left_open(run: obs.ObservabilityContext) -> None:
    obs.start_span("late").metric(tokens=3)


def ended_after_its_parent(run: obs.ObservabilityContext) -> None:
    with obs.span("outer"):
        inner = obs.start_span("inner")
    inner.end(metrics={"tokens": 4, "cost_usd": 0.1})


def by_hand(kind: str, node: str) -> Step:
    data = {"error": {"type": "E", "message": "by hand"}} if kind == "error" else {}
    return lambda run: run.log(node, "info", kind, "said", data, metrics={"tokens": 2})


def answered(run: obs.ObservabilityContext) -> None:
    obs.start_span("replayed", input=1, data={"answered": True}).end(output=2, metrics={"tokens": 70})


def numbered(run: obs.ObservabilityContext) -> None:
    for _ in range(2):
        obs.start_span("same", number=7)


def other_flow(run: obs.ObservabilityContext) -> None:
    with obs.flow("inner"):
        plain(1)


def other_library(run: obs.ObservabilityContext) -> None:
    logging.getLogger("tea.other").info("hello")


def set_back(run: obs.ObservabilityContext) -> None:
    obs.start_span("old", start=1_000.0).end(end=1_001.0)


STEPS: st.SearchStrategy[Step] = st.recursive(
    st.one_of(
        st.just(lambda run: void(plain(1))),
        st.builds(calls, st.integers(0, 9), st.sampled_from([0.1, 0.2, 0.3, 1e-7, 0.0]), st.booleans()),
        st.builds(by_hand, st.sampled_from(["log", "metric", "error"]), st.sampled_from(["flow", "rank"])),
        st.sampled_from([left_open, ended_after_its_parent, answered, numbered, other_flow, other_library, set_back]),
    ),
    lambda inner: st.one_of(
        st.builds(
            nested,
            st.lists(inner, max_size=3),
            st.sampled_from(["plan", "fetch", "flow"]),
            st.booleans(),
            st.sampled_from([None, None, {"tokens": 11}, {"cost_usd": 0.7, "tokens": 0}]),
            st.booleans(),
        ),
        st.builds(in_thread, st.lists(inner, max_size=2)),
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    steps=st.lists(STEPS, max_size=5),
    level=st.sampled_from([logging.DEBUG, logging.DEBUG, logging.INFO, logging.ERROR]),
    parent=st.sampled_from([None, None, REMOTE]),
    name=st.sampled_from(["flow-{flow_id}.jsonl", "flow-{flow_id}.jsonl", "all.jsonl"]),
    after=st.sampled_from(["", "", "torn", "cut", "twice", "event", "lost"]),
    metrics=st.sampled_from([None, {"tokens": 100.5}]),
)
def test_it_is_what_a_complete_reading_gives(
    steps: list[Step], level: int, parent: Any, name: str, after: str, metrics: dict[str, float] | None
) -> None:
    """Of flows with threads, errors, tokens and spans of any kind, and of files that were cut, joined or appended to."""
    with tempfile.TemporaryDirectory() as folder, written(Path(folder), name, level):
        with obs.flow("triage", parent=parent, n=1) as run:
            for step in steps:
                step(run)
            run.metrics = metrics
        if after == "event":
            run.log("rank", message="too late")
        for path in sorted(Path(folder).iterdir()):
            content = path.read_bytes()
            lines = content.splitlines(keepends=True)
            changed = {
                "torn": content[:-1],
                "cut": b"".join(lines[:-1]),
                "twice": content * 2,
                "lost": b"".join(lines[:1] + lines[2:]),
            }
            path.write_bytes(changed.get(after, content))
            found = summary_of_file(path)
            assert found is None or [found] == read_whole(path)
        key = {"key": lambda summary: (summary.start, summary.flow_id, summary.events)}
        expected = summarise(event for path in sorted(Path(folder).iterdir()) for event in read_events(path))
        if expected:
            assert sorted(runs(folder), **key) == sorted(expected, **key)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "step",
    [
        lambda run: void(plain(1)),
        calls(3, 0.1, False),
        calls(3, 0.1, True),
        nested([calls(3, 0.1, False), nested([calls(1, 0.2, False)], "b", True, None, True)], "a", True, {"tokens": 11}, False),
        in_thread([lambda run: void(plain(1)), calls(3, 0.1, False)]),
        by_hand("error", "rank"),
        by_hand("metric", "rank"),
        answered,
        other_flow,
        other_library,
        set_back,
    ],
)
@pytest.mark.parametrize("parent", [None, REMOTE])
def test_ordinary_runs_have_totals(step: Step, parent: Any, tmp_path: Path) -> None:
    """Also those that continue the run of another process."""
    with written(tmp_path), obs.flow("triage", parent=parent) as run:
        step(run)
    path = tmp_path / f"flow-{run.flow_id}.jsonl"
    assert [summary_of_file(path)] == read_whole(path)


def test_runs_at_the_same_time_have_totals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although their files are closed and opened again, because there are too many."""
    monkeypatch.setattr(appending, "MAX_OPEN_FILES", 2)
    with written(tmp_path):
        open_runs = [obs.ObservabilityContext(name=f"run {number}") for number in range(5)]
        for _ in range(3):
            for run in open_runs:
                run.log("rank", message="ranked")
        for run in open_runs:
            run.close()
    assert [[summary_of_file(path)] == read_whole(path) for path in tmp_path.iterdir()] == [True] * 5


def test_a_line_of_another_process_is_noticed(tmp_path: Path) -> None:
    """By the bytes before the last line."""
    with written(tmp_path), obs.flow("triage") as run:
        plain(1)
        path = only(tmp_path)
        entry = path.read_bytes().splitlines(keepends=True)[1]
        with path.open("ab") as file:
            file.write(entry.replace(b'"plain"', b'"other"'))
    assert run.flow_id in path.name
    assert (b'"totals"' in path.read_bytes(), summary_of_file(path)) == (True, None)
    assert [found.events for found in runs(path)] == [5]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_lines_of_a_forked_child_are_noticed(tmp_path: Path) -> None:
    """The child and its parent each count their own lines."""
    with written(tmp_path), obs.flow("triage"):
        plain(1)
        child = os.fork()
        if not child:
            plain(2)
            os._exit(0)
        os.waitpid(child, 0)
    assert summary_of_file(only(tmp_path)) is None
    assert [found.events for found in runs(tmp_path)] == [6]


def test_lines_with_a_formatter_are_not_counted(tmp_path: Path) -> None:
    """They may say anything."""
    with written(tmp_path) as handler:
        handler.setFormatter(obs.JsonFormatter())
        with obs.flow("triage"):
            plain(1)
    assert b'"totals"' not in only(tmp_path).read_bytes()


def test_other_files_are_read_as_a_whole(tmp_path: Path) -> None:
    """Compressed ones, empty ones, those of other writers, and folders that look like a log."""
    with written(tmp_path), obs.flow("triage"):
        plain(1)
    path = only(tmp_path)
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "one.jsonl").write_bytes(path.read_bytes().splitlines(keepends=True)[-1])
    (tmp_path / "text.jsonl").write_bytes(b'"totals":{\n' * 3)
    (tmp_path / "folder.jsonl").mkdir()
    names = ("packed.jsonl.gz", "empty.jsonl", "one.jsonl", "text.jsonl", "folder.jsonl", "absent.jsonl")
    assert [summary_of_file(tmp_path / name) for name in names] == [None] * 6
    assert [found.events for found in runs(tmp_path)] == [4]  # the run and its copies are one


@pytest.mark.parametrize(
    "change",
    [
        {"bytes": -1},
        {"events": True},
        {"events": 2.5},
        {"tokens": None},
        {"cost_usd": 1e300},
        {"error": {"type": "E"}},
        {"more": 1},
        {"start": "0"},
    ],
)
def test_totals_that_are_not_valid_are_ignored(change: dict[str, Any], tmp_path: Path) -> None:
    """Then they are a value like any other, and the file is read as a whole."""
    with written(tmp_path), obs.flow("triage"):
        plain(1)
    path = only(tmp_path)
    *lines, last = path.read_bytes().splitlines(keepends=True)
    event = json.loads(last)
    event["data"]["totals"] |= change
    path.write_bytes(b"".join([*lines, json.dumps(event).encode() + b"\n"]))
    assert summary_of_file(path) is None
    assert list(read_events(path))[-1]["data"] == event["data"]


def test_a_flow_in_several_files_is_one(tmp_path: Path) -> None:
    """Its runs are counted from all of them, although each file has totals."""
    with written(tmp_path, "a-{flow_id}.jsonl"), obs.flow("web"):
        headers = obs.inject({})
        answer({"prompt_tokens": 1, "completion_tokens": 2}, 0.1)
    with written(tmp_path, "b-{flow_id}.jsonl"), obs.flow("worker", parent=obs.extract(headers)):
        answer({"prompt_tokens": 1, "completion_tokens": 2}, 0.2)
    with written(tmp_path, "c-{flow_id}.jsonl"), obs.flow("other"):
        plain(1)
    events = [event for path in sorted(tmp_path.iterdir()) for event in read_events(path)]
    assert all(summary_of_file(path) for path in tmp_path.iterdir())
    assert runs(tmp_path) == summarise(events)
    assert [(found.name, found.events, found.tokens, found.cost_usd) for found in runs(tmp_path)] == [
        ("web", 8, 6, 0.3),
        ("other", 4, 0, 0),
    ]
