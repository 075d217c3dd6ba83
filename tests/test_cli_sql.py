from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.cli import main
from the_edge_obs.event import dumps
from the_edge_obs.sql import duck

from .strategies import Event, event, whole

BOOM = {"error": {"type": "ValueError", "message": "bad \x1b[31mtext\n=1+1"}}
MADE = [
    event(1, "entry", 0, data={"name": "triage", "input": {"topic": "cats"}}),
    *whole(2, 1, 2, node="llm.call", metrics={"tokens": 1200, "cost_usd": 0.5}),
    event(3, "entry", 3, parent=1, node="http.get"),
    event(3, "error", 4, parent=1, node="http.get", level="error", message="bad", data=BOOM, metrics={"duration_ms": 1000}),
    event(1, "exit", 5, metrics={"duration_ms": 5000}),
]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return a folder with one log."""
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "run.jsonl", MADE)
    return folder


def write(path: Path, made: list[Event]) -> None:
    """Write events to a log."""
    path.write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")


def test_without_duckdb_the_message_names_the_extra(
    logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install, for the query and for the export."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for command in (["sql", str(logs), "select 1"], ["export", str(logs), "-o", str(logs / "x.parquet")]):
        assert main(command) == 2
        expected = (
            "tea-obs: error: SQL over logs and Parquet needs an optional package: python -m pip install 'the_edge_obs[sql]'\n"
        )
        assert capsys.readouterr().err == expected
    assert [path.name for path in logs.iterdir()] == ["run.jsonl"]


@pytest.fixture
def duckdb() -> None:
    """Skip a test if DuckDB is missing."""
    pytest.importorskip("duckdb", reason="needs the extra sql")


def answer(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Return what a command prints; it ends well and says nothing else."""
    assert main(["sql", *command]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


@pytest.mark.usefixtures("duckdb")
def test_a_table(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are aligned right and have no needless point; nothing is a dash; control characters are inert."""
    query = "select node, tokens, cost_usd, error_message from spans order by started"
    assert answer(capsys, str(logs), query) == (
        "node      tokens  cost_usd  error_message\n"
        "flow           -         -  -\n"
        "llm.call    1200       0.5  -\n"
        "http.get       -         -  bad \\x1b[31mtext\\n=1+1\n"
        "\n"
        "3 rows\n"
    )
    assert answer(capsys, str(logs), "select 1 as a where false") == "0 rows\n"


@pytest.mark.usefixtures("duckdb")
def test_a_long_table_is_cut(logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Long cells are cut on a narrow terminal; too many rows are counted."""
    monkeypatch.setattr("the_edge_obs.cli.sql._MOST_ROWS", 2)
    lines = answer(capsys, str(logs), "select repeat('x', 300) as text from range(5)").splitlines()
    assert lines[1:] == ["x" * 79 + "…"] * 2 + ["", "5 rows, of which 3 are not shown; --format csv shows all"]


@pytest.mark.usefixtures("duckdb")
def test_json_and_csv(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both hold the values; JSON within JSON is not text; a cell of a spreadsheet is not a formula."""
    query = "select name, started, attributes, 0/0::double as nan, 1.5 as d, [1, 2] as list, null as n from runs"
    row = {"name": "triage", "started": "2023-11-14 22:13:20+00", "attributes": {"topic": "cats"}}
    row |= {"nan": None, "d": 1.5, "list": [1, 2], "n": None}
    assert json.loads(answer(capsys, str(logs), query, "--format", "json")) == [row]
    assert json.loads(answer(capsys, str(logs), query, "--format", "jsonl")) == row
    assert json.loads(answer(capsys, str(logs), "select 1 as a where false", "--format", "json")) == []
    assert answer(capsys, str(logs), "select 1 as a where false", "--format", "jsonl") == ""
    lines = answer(capsys, str(logs), "select i from range(3) t(i)", "--format", "jsonl")
    assert lines == '{"i": 0}\n{"i": 1}\n{"i": 2}\n'
    text = answer(capsys, str(logs), "select '=1+1' as \"a,b\", e'\\x1b' as c, 12.0::double as d", "--format", "csv")
    assert list(csv.reader(io.StringIO(text))) == [["a,b", "c", "d"], ["'=1+1", "\\x1b", "12.0"]]
    odd = "select 'nan'::double as a, ['inf'::double, 1] as b, map {1: -0.5::double} as c, {'x': 2.0} as d, uuid() is null as e"
    row = {"a": None, "b": [None, 1.0], "c": {"1": -0.5}, "d": "{'x': 2.0}", "e": False}
    assert json.loads(answer(capsys, str(logs), odd, "--format", "jsonl")) == row
    cells = list(csv.reader(io.StringIO(answer(capsys, str(logs), odd, "--format", "csv"))))[1]
    assert cells == ["", "[null,1.0]", '{"1":-0.5}', "{'x': 2.0}", "false"]
    kinds = "select interval 1 day, '1'::blob, date '2026-01-01', 1::hugeint << 90, 'a'::enum('a'), time '12:00', '101'::bit"
    for name in ("table", "csv", "json", "jsonl"):
        assert "2026-01-01" in answer(capsys, str(logs), kinds, "--format", name)
    assert "\x1b" not in answer(capsys, str(logs), "select error_message from runs", "--format", "json")


@pytest.mark.usefixtures("duckdb")
def test_the_query_may_come_from_stdin(logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A long query can come from a file. A comment and a semicolon at its end do not count as a second query."""
    monkeypatch.setattr("sys.stdin", io.StringIO("select count(*) as n\nfrom runs; -- all of them\n"))
    assert answer(capsys, str(logs), "-") == "n\n1\n\n1 row\n"


@pytest.mark.usefixtures("duckdb")
def test_an_export_reads_like_the_log(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Parquet file and a folder by day answer as the log does."""
    query = "select * exclude (name) from spans order by started"
    expected = answer(capsys, str(logs), query, "--format", "jsonl")
    for output, said in (("x.parquet", "x.parquet: 6 events as parquet, "), ("days/", "days/: 6 events as parquet in 1 file, ")):
        assert main(["export", str(logs), "--format", "parquet", "-o", f"{logs.parent}/{output}"]) == 0
        assert capsys.readouterr().out.startswith(f"{logs.parent}/{said}")
        assert answer(capsys, f"{logs.parent}/{output}", query, "--format", "jsonl") == expected


@pytest.mark.usefixtures("duckdb")
def test_an_export_takes_the_choice_of_runs(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As with every other format."""
    write(logs / "other.jsonl", [{**one, "flow_id": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"} for one in whole(1, 8, 9)])
    target = str(logs.parent / "x.parquet")
    for options, events in (
        (["--errors"], 6),
        (["--last", "1"], 2),
        (["--flow", "AAAA"], 2),
        (["--attribute", "topic=c*"], 6),
        ([], 8),
    ):
        assert main(["export", str(logs), "-o", target, *options]) == 0
        assert f": {events} events as parquet" in capsys.readouterr().out
    assert main(["export", str(logs), "-o", target, "--flow", "bbbb"]) == 2
    assert "'bbbb'" in capsys.readouterr().err
    assert main(["export", str(logs), "--format", "parquet", "-o", "-"]) == 2
    assert capsys.readouterr().err == "tea-obs: error: a Parquet file cannot be written to stdout; give a path\n"


@pytest.mark.usefixtures("duckdb")
def test_mistakes_are_one_line(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DuckDB's messages, without the excerpt of the query; control characters are inert."""
    for query, said in (
        ("select nod from spans", 'Referenced column "nod" not found'),
        ("selec 1", "syntax error"),
        ("select error('a\nb \x1b[31m')", "\\x1b[31m"),
        ("select 1; select 2", "the query is not one SELECT; the views are events, spans, runs"),
    ):
        assert main(["sql", str(logs), query]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("tea-obs: error: the query ")
        assert said in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.usefixtures("duckdb")
def test_skipped_lines_are_told(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As by the other commands."""
    with (logs / "run.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"flow_id":"tor')
    for command in (
        ["sql", str(logs), "select count(*) from events"],
        ["export", str(logs), "-o", str(logs.parent / "x.parquet")],
    ):
        assert main(command) == 0
        said = f"tea-obs: note: the last line of {str(logs)!r} is cut off: its process was killed or is still writing\n"
        assert capsys.readouterr().err == said
    with (logs / "run.jsonl").open("a", encoding="utf-8") as file:
        file.write('n\nnot json\n{"level":3}\n')
    assert main(["sql", str(logs), "select count(*) as n from events"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("n\n6\n")
    assert printed.err.startswith(f"tea-obs: note: 3 lines of {str(logs)!r} are not events (line 7: not valid JSON")


@pytest.mark.usefixtures("duckdb")
def test_the_examples_of_the_help_run(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each query of --help is valid."""
    assert main(["sql", "--help"]) == 0
    shown = capsys.readouterr().out
    queries = [part.partition('"')[2].partition('"')[0] for part in shown.split("tea-obs sql logs")[1:]]
    assert len(queries) == 6
    for query in queries:
        answer(capsys, str(logs), query)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.usefixtures("duckdb")
def test_ctrl_c_ends_a_query(logs: Path, tmp_path: Path) -> None:
    """A query that would take days ends at once, and leaves no file behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    query = "select sum(a.i * b.i) from range(10000000) a(i), range(10000000) b(i)"
    command = [sys.executable, "-c", f"{BEGUN}\nmain(['sql', {str(logs)!r}, {query!r}])"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGINT)
        printed, said = program.communicate(timeout=60)
    assert (printed, said) == ("", "tea-obs: interrupted\n")
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("duckdb")
def test_ctrl_c_while_a_query_is_handed_to_its_thread_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although nothing that would tell of the query has been returned yet."""

    class Pool(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            super().submit(*args, **kwargs)
            raise KeyboardInterrupt

    monkeypatch.setattr(duck, "ThreadPoolExecutor", Pool)
    with duck.connected(str(tmp_path)) as connection, pytest.raises(KeyboardInterrupt):
        duck.run(connection, "select sum(a.i * b.i) from range(10000000) a(i), range(10000000) b(i)")


# A program that tells when the query has begun: DuckDB's thread is at work.
BEGUN = """
import the_edge_obs.sql.query as query
from the_edge_obs.cli import main
own = query.run
def run(connection, statement):
    if "range" in statement:
        print("begun", flush=True)
    return own(connection, statement)
query.run = run
"""
