"""Full recordings: chosen nodes are recorded whole beside their log, and nothing else changes."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.cli import main
from the_edge_obs.formats import FORMATS
from the_edge_obs.instrumentation.wrappers import ObservedNode
from the_edge_obs.recording.full import recorders
from the_edge_obs.store.full_record import FullRecord, full_files, full_records

SECRET = "sk-proj-9fQ2xVb7Lm4TzR8wKc1YpD6s"
LONG = "word " * 8_000


class OutOfStockError(LookupError):
    """An error of a program."""

    def __init__(self, item: str, *, code: int) -> None:
        super().__init__(item, code)


@obs.observable("full.call")
def call(state: dict[str, Any], prompt: str, api_key: str = "") -> Any:
    """Answer, and write into the state."""
    state["seen"] = prompt[:4]
    state.setdefault("history", []).append(prompt[:2])
    state.pop("old", None)
    return {"content": prompt, "parts": (1, b"\xff"), "access_token": SECRET}


@obs.observable("full.later")
async def later(prompt: str) -> str:
    """Answer later."""
    await asyncio.sleep(0)
    return prompt


@obs.observable("full.fails")
def fails(item: str) -> None:
    """Raise an error of the program's own."""
    raise OutOfStockError(item, code=3)


@obs.observable("full.stream")
def stream(count: int) -> Generator[int, None, list[int]]:
    """Yield, and return something else."""
    yield from range(count)
    return [count]


@obs.observable("plain.call")
def plain(value: Any) -> Any:
    """Return what is given."""
    return value


def block(folder: Path, *globs: str) -> dict[str, Any]:
    """Return a block with a log in a folder, and full recordings of some nodes."""
    record = {"record": {"full": list(globs)}} if globs else {}
    return {"handlers": [{"type": "file", "path": str(folder / "flow-{flow_id}.jsonl")}], **record}


def recorded(folder: Path, work: Callable[[], object], *globs: str) -> dict[str, FullRecord]:
    """Run something as one flow, and return the full recordings by node."""
    undo = obs.configure(block(folder, *globs))
    try:
        with obs.flow("f") as run:
            work()
    finally:
        undo()
    return {record.node: record for record in full_records(folder / f"flow-{run.flow_id}.jsonl").values()}


def test_chosen_call_is_recorded_whole(tmp_path: Path) -> None:
    """The answer with its types, what was written into the state, and the digest of the input; without secrets, for the owner."""
    state = {"old": 1, "history": ["x"], "same": [1]}
    found = recorded(tmp_path, lambda: call(state, LONG, api_key=SECRET), "full.*")["full.call"]
    assert found.output == {"content": LONG, "parts": (1, b"\xff"), "access_token": "[REDACTED]"}
    assert found.state == {"seen": "word", "history": ["x", "wo"]}
    assert found.removed == ("old",)
    assert found.redacted == ("input.api_key", "output.access_token")
    assert (found.error, found.lost, len(found.input_sha256 or "")) == (None, {}, 64)
    (file,) = tmp_path.glob("*.full")
    assert SECRET not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_kind_of_call_is_recorded(tmp_path: Path) -> None:
    """Coroutines, generators, spans, and calls that raise."""

    def work() -> None:
        asyncio.run(later(LONG))
        list(stream(2))
        with pytest.raises(OutOfStockError):
            fails("mug")
        with obs.span("full.span", top=(3,)) as span:
            span.output = {3}

    found = recorded(tmp_path, work, "full.*")
    assert (found["full.later"].output, found["full.stream"].output, found["full.span"].output) == (LONG, [2], {3})
    error = found["full.fails"].error
    assert error is not None
    assert error.bases == (f"{__name__}.OutOfStockError", "LookupError", "Exception", "BaseException")
    assert (error.args, error.message, found["full.fails"].has_output) == (("mug", 3), "('mug', 3)", False)


def test_digest_tells_apart_what_the_log_shows_alike(tmp_path: Path) -> None:
    """Two prompts that differ beyond the cap; and equal ones are equal in another run, with another password."""
    digests = [
        recorded(tmp_path, partial(call, {}, prompt, api_key=key), "full.*")["full.call"].input_sha256
        for prompt, key in [(LONG, "hunter-2-hunter"), (LONG + "!", "hunter-2-hunter"), (LONG, "another-long-password")]
    ]
    assert digests[0] == digests[2] != digests[1]


def test_log_itself_is_the_same(tmp_path: Path) -> None:
    """Recording changes no line of the log, except ids and times."""

    def lines(name: str, *globs: str) -> list[Any]:
        folder = tmp_path / name
        recorded(folder, lambda: (call({}, LONG, api_key=SECRET), plain(1)), *globs)
        (file,) = folder.glob("*.jsonl")
        return [
            {key: event[key] for key in ("node", "level", "event_type", "message", "data")}
            | {"keys": [*event], "figures": [*event["metrics"]]}
            for event in map(json.loads, file.read_text().splitlines())
            if event["node"] != "flow"
        ]

    assert lines("with", "*") == lines("without")


def node_of(function: Any) -> ObservedNode:
    """Return the description of an observed function."""
    return next(cell.cell_contents for cell in function.__closure__ if isinstance(cell.cell_contents, ObservedNode))


def test_other_nodes_are_called_as_if_there_were_no_recorder(tmp_path: Path) -> None:
    """A node that is not chosen keeps the cache of its logger's levels; a chosen one asks, until the undo."""
    logger = logging.getLogger("tea.plain.call")
    assert node_of(plain).verdicts is logger._cache  # type: ignore[attr-defined]
    undo = obs.configure(block(tmp_path, "full.*"))
    try:
        assert node_of(plain).verdicts is logger._cache  # type: ignore[attr-defined]
        assert node_of(call).is_chosen
        assert not node_of(plain).is_chosen
    finally:
        undo()
    assert not node_of(call).is_chosen
    assert not recorders


def test_function_that_is_decorated_later_is_chosen_too(tmp_path: Path) -> None:
    """The order of decorating and configuring does not matter."""

    def work() -> None:
        obs.observable("full.new")(lambda value: value)(LONG)

    assert recorded(tmp_path, work, "full.n*")["full.new"].output == LONG


def test_filtered_node_is_not_recorded(tmp_path: Path) -> None:
    """A call that is not in the log has no line beside it."""
    undo = obs.configure({**block(tmp_path, "full.*"), "levels": {"full": "error"}})
    try:
        with obs.flow("f"):
            call({}, "hi")
    finally:
        undo()
    assert not list(tmp_path.glob("*.full"))


FLOW: dict[str, Any] = {
    "name": "shop",
    "nodes": [
        {"name": "ask", "uses": "model.ask", "with": {"prompt": "{{ state.prompt }}"}, "output": "answer"},
        {"name": "note", "run": "state['noted'] = (1,)\nreturn {'done': True}"},
    ],
}


def ask(state: dict[str, Any], prompt: str) -> Any:
    """Answer as a model does."""
    state["asked"] = 1
    return {"content": prompt.upper(), "vector": (0.5,) * 1_536}


def test_flow_records_its_own_nodes_alone(tmp_path: Path) -> None:
    """The block of a flow chooses for that flow: another run with the same node is not recorded."""
    own = flows.load({**FLOW, "observability": block(tmp_path / "own", "model.*", "python.run")}, {"model.ask": ask})
    undo = obs.configure(block(tmp_path / "other"))
    try:
        state = own.run({"prompt": LONG})
        with obs.flow("another"), obs.span("model.ask") as span:
            span.output = 1
    finally:
        undo()
    log = tmp_path / "own" / f"flow-{state['flow_id']}.jsonl"
    found = {record.node: record for record in full_records(log).values()}
    assert found["model.ask"].output == {"content": LONG.upper(), "vector": (0.5,) * 1_536}
    assert found["model.ask"].state == {"asked": 1}
    assert (found["python.run"].output, found["python.run"].state) == ({"done": True}, {"noted": (1,)})
    assert [path.name for path in tmp_path.rglob("*.full")] == [f"{log.name}.full"]
    spans = {event["span_id"] for event in obs.query(str(log), node="model.*")}
    assert {span_id for _, span_id in full_records(log)} >= spans


def test_recording_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    """The call answers, the log is whole, and the flow counts the fault."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "all.jsonl")}], "record": {"full": ["full.*"]}})
    (tmp_path / "all.jsonl.full").mkdir()
    try:
        with obs.flow("f") as run:
            assert call({}, "hi")["content"] == "hi"
        log = obs.get_flow_log(run.flow_id)
    finally:
        undo()
    assert log.status == "ok"
    assert log.metrics["fault_count"] == 1


def test_files_of_flows_are_closed_with_them(tmp_path: Path) -> None:
    """A program of many runs keeps no files open."""
    undo = obs.configure(block(tmp_path, "full.*"))
    try:
        for _ in range(3):
            with obs.flow("f"):
                call({}, "hi")
        (files,) = recorders
        assert not len(files._files)  # type: ignore[attr-defined]
    finally:
        undo()
    assert len(list(tmp_path.glob("*.full"))) == 3


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (5, "observability.record is 5; it must be a mapping such as {full: [llm.*]}"),
        ({"all": ["llm.*"]}, "unknown key 'all' in observability.record; allowed: full"),
        (
            {"full": "llm.*"},
            "observability.record.full is 'llm.*'; it must be a list of nodes or globs such as [llm.*, rag.search]",
        ),
        ({"full": [""]}, "observability.record.full is ['']; it must be a list"),
    ],
)
def test_mistakes_are_named(entry: Any, problem: str) -> None:
    """The message says what is wrong and what is allowed."""
    with pytest.raises(obs.ConfigurationError) as caught:
        obs.configure({"record": entry, "handlers": [{"type": "file"}]})
    assert str(caught.value).startswith(problem)


def test_record_needs_a_log() -> None:
    """A recording without a log could not be joined to anything."""
    with pytest.raises(obs.ConfigurationError, match="there is no log to record beside"):
        obs.configure({"record": {"full": ["llm.*"]}})


def test_no_reader_of_folders_takes_a_recording_for_a_log(tmp_path: Path) -> None:
    """Its name does not end as that of a log, and it is found from each name of its log."""
    recorded(tmp_path, lambda: call({}, "zwieback"), "full.*")
    (log,) = tmp_path.glob("*.jsonl")
    assert [run.name for run in obs.runs(str(tmp_path))] == ["f"]
    assert len(obs.query(str(tmp_path), node="full.call")) == 2
    assert full_files(log) == full_files(f"{log}.gz") == [tmp_path / f"{log.name}.full"]
    assert full_files(log.with_name("other.jsonl")) == []


def test_recording_is_never_shown_exported_or_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only the recording has is in no output, of the folder or of the recording itself."""
    folder = tmp_path / "logs"
    recorded(folder, lambda: call({}, LONG + "zwieback"), "full.*")
    (log,), (recording,) = folder.glob("*.jsonl"), folder.glob("*.full")
    assert "zwieback" in recording.read_text()
    assert "zwieback" not in log.read_text()
    out = tmp_path / "out"
    out.mkdir()
    for source in (folder, log, recording):
        for name in FORMATS:
            main(["export", str(source), "--format", name, "-o", str(out / f"{source.suffix}.{name}")])
        for command in (["show", "--input"], ["query"], ["ls"], ["stats"], ["errors"], ["tail"]):
            main([command[0], str(source), *command[1:]])
    written = [path.read_text() for path in out.rglob("*") if path.is_file()]
    assert len(written) >= 2 * len(FORMATS)
    assert "zwieback" not in "".join([*written, *capsys.readouterr()])
