"""``ls``, ``stats`` and ``errors`` of Parquet files, and of large logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from the_edge_obs.cli import main
from the_edge_obs.event import dumps
from the_edge_obs.jsonl import Skipped
from the_edge_obs.sql import write_days, write_parquet
from the_edge_obs.sql.folders import table_error_events, table_runs, table_stats
from the_edge_obs.store.error_groups import error_groups
from the_edge_obs.store.run_stats import node_stats
from the_edge_obs.store.summaries import summarise

from .strategies import FLOW, OTHER_FLOW, Event, event, whole
from .test_sql_query import many_flows

pytest.importorskip("duckdb", reason="needs the extra sql")

FAILED = {"error": {"type": "OSError", "message": "no 'a.csv'", "where": "load.py:7 in part"}}


def run_of(flow_id: str, start: float) -> list[Event]:
    """Return a run with a model call and a handled error."""
    made = [
        event(1, "entry", start, data={"name": "triage", "input": {"topic": "cats"}}),
        *whole(2, start + 1, start + 2, node="llm.call", metrics={"tokens": 1200, "cost_usd": 0.1}),
        event(3, "entry", start + 3, parent=1, node="load", step="read"),
        event(3, "error", start + 4, parent=1, node="load", step="read", level="error", data=FAILED, metrics={"duration_ms": 3}),
        *whole(1, start, start + 5)[1:],
    ]
    return [{**one, "flow_id": flow_id} for one in made]


def written(path: Path, made: list[Event]) -> Path:
    """Write events to a log, and return its path."""
    path.write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")
    return path


@pytest.mark.parametrize("start", [0, 253_402_300_800, 9e18 - 2**20])
def test_times_and_ids_of_other_writers(tmp_path: Path, capsys: pytest.CaptureFixture[str], start: float) -> None:
    """Times that no calendar has, and ids that begin with others, are the same in Parquet, and choose the same runs."""
    ids = ["a", "ab", "A/b", "İ", "x\ny", "", "'", "$.x"]
    run = [{**one, "timestamp": start + number} for number, one in enumerate(run_of(FLOW, 0))]
    made = [{**one, "flow_id": flow_id} for flow_id in ids for one in run]
    log = written(tmp_path / "run.jsonl", made)
    table = tmp_path / "run.parquet"
    write_parquet([log], str(table), Skipped())
    for command in ("ls", "stats", "errors"):
        for options in ([], *([f"--flow={flow_id}"] for flow_id in ids), ["--name=triage"]):
            answers = []
            for source in (log, table):
                assert main([command, str(source), "--json", *options]) == 0
                found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
                for one in found:
                    one.pop("resource", None)  # only the host is in Parquet
                answers.append(sorted(found, key=lambda one: [one.get(key, "") for key in ("flow_id", "node")]))
            assert answers[0] == answers[1]


@pytest.mark.parametrize("command", ["ls", "stats", "errors"])
def test_tables_answer_as_logs_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A folder of Parquet by day, written twice, gives what the log gives, also for chosen runs; so does a single file."""
    log = written(tmp_path / "run.jsonl", [*run_of(FLOW, 0), *run_of(OTHER_FLOW, 90_000)])
    shared, table = tmp_path / "shared", tmp_path / "run.parquet"
    write_days([log], str(shared), Skipped())
    write_days([log], str(shared), Skipped())
    write_parquet([log], str(table), Skipped())
    for options in ([], ["--name", "tri*", "--errors"], ["--flow", OTHER_FLOW[:8]]):
        answers = []
        for source in (log, shared, table):
            assert main([command, str(source), "--json", *options]) == 0
            answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
        assert len(answers[0]) > 0
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.slow
@given(many_flows())
@settings(deadline=None, max_examples=20)
def test_figures_are_those_of_the_log(tmp_path_factory: pytest.TempPathFactory, made: list[Event]) -> None:
    """Runs, statistics and errors of flows whose children end before their parents."""
    folder = tmp_path_factory.mktemp("logs")
    made.sort(key=lambda one: one["timestamp"])
    write_days([written(folder / "run.jsonl", made)], str(folder / "shared"), Skipped())
    stats, expected = table_stats(folder / "shared", {}), node_stats(made)
    assert (stats.runs, stats.events, stats.to_dicts()) == (expected.runs, expected.events, expected.to_dicts())
    assert table_runs(folder / "shared") == sorted(summarise(made), key=lambda run: (run.start, run.flow_id))
    assert error_groups(table_error_events(folder / "shared", {})) == error_groups(made)


@pytest.mark.parametrize("command", ["ls", "stats", "errors"])
def test_without_duckdb_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Not as an import error of something that the user has not asked for."""
    write_days([written(tmp_path / "run.jsonl", run_of(FLOW, 0))], str(tmp_path / "shared"), Skipped())
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert main([command, str(tmp_path / "shared")]) == 2
    assert "the_edge_obs[sql]" in capsys.readouterr().err


def test_large_logs_are_left_to_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody sees a difference, but that it is faster."""
    log = written(tmp_path / "run.jsonl", [*run_of(FLOW, 0), *run_of(OTHER_FLOW, 90_000)])
    with log.open("ab") as file:
        file.write(b'{"flow_id"')
    assert main(["stats", str(tmp_path)]) == 0
    expected = capsys.readouterr()
    monkeypatch.setattr("the_edge_obs.sql.figures.LARGE", 1)
    monkeypatch.setattr("the_edge_obs.cli.stats.node_stats", None)
    assert main(["stats", str(tmp_path)]) == 0
    assert capsys.readouterr() == expected
    assert "cut off" in expected.err


WRITER = """
import sys
from the_edge_obs.cli import main
print("ready", flush=True)
for _ in sys.stdin:
    assert main(["export", sys.argv[1], "--format", "parquet", "-o", sys.argv[2]]) == 0
"""


@pytest.mark.slow
def test_two_writers_and_a_reader_share_a_folder(tmp_path: Path) -> None:
    """Two processes export by day into one folder at the same time, more than once; whoever reads then sees whole files alone."""
    shared, made, writers = tmp_path / "shared", [], []
    for number, flow_id in enumerate((FLOW, OTHER_FLOW)):
        (tmp_path / str(number)).mkdir()
        made += run_of(flow_id, 86_400 * number)
        written(tmp_path / str(number) / "run.jsonl", run_of(flow_id, 86_400 * number))
        arguments = [sys.executable, "-c", WRITER, str(tmp_path / str(number)), f"{shared}/"]
        writers.append(subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for _ in range(2):
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        while not list(shared.rglob("*.parquet")):  # the reader reads while the others write
            assert all(writer.poll() is None for writer in writers)
        assert {run.flow_id for run in table_runs(shared)} <= {FLOW, OTHER_FLOW}
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(list(shared.rglob("*.parquet"))) == 4
    assert table_runs(shared) == summarise(made)
    assert table_stats(shared, {}).to_dicts() == node_stats(made).to_dicts()
