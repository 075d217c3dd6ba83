from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ExportError, FlowNotFoundError, LogFileError
from the_edge_obs.event import dumps
from the_edge_obs.jsonl import Skipped
from the_edge_obs.sql import opened, write_days, write_parquet
from the_edge_obs.sql.parquet import COLUMNS
from the_edge_obs.store.paths import log_files

from .strategies import FLOW, OTHER_FLOW, Event, event, whole

duckdb = pytest.importorskip("duckdb", reason="needs the extra sql")

DAY = 86_400.0
MADE = [
    *whole(1, 0, 2 * DAY, data={"output": {"text": "tschüß"}}),
    *whole(2, 1, 2, node="llm.call", metrics={"tokens": 3}),
    *whole(1, 3, 4, flow_id=OTHER_FLOW),
]


def written(folder: Path, made: list[Event]) -> Path:
    """Write events to a log of a folder, and return its path."""
    path = folder / "run.jsonl"
    path.write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")
    return path


def test_columns_and_types(tmp_path: Path) -> None:
    """Other readers of Parquet find typed columns, times with a zone, and JSON as text."""
    path = written(tmp_path, MADE)
    done = write_parquet([path], str(tmp_path / "new" / "spans.parquet"), Skipped())
    assert (done.events, done.size) == (len(MADE), (tmp_path / "new" / "spans.parquet").stat().st_size)
    types = dict(row[:2] for row in duckdb.sql(f"DESCRIBE FROM '{tmp_path}/new/spans.parquet'").fetchall())
    assert tuple(types) == COLUMNS
    numbers = ("timestamp", "duration_ms", "tokens", "input_tokens", "output_tokens", "cost_usd")
    assert {types[name] for name in numbers} == {"DOUBLE"}
    assert (types["ts"], types["flow_id"], types["data"]) == ("TIMESTAMP WITH TIME ZONE", "VARCHAR", "JSON")
    found = duckdb.sql(
        f"SELECT epoch(ts), tokens, data->>'$.output.text' FROM '{tmp_path}/new/spans.parquet' ORDER BY ts"
    ).fetchall()
    assert found == [
        (1_700_000_000.0, None, None),
        (1_700_000_001.0, None, None),
        (1_700_000_002.0, 3.0, None),
        (1_700_000_003.0, None, None),
        (1_700_000_004.0, None, None),
        (1_700_172_800.0, None, "tschüß"),
    ]
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "new" / "spans.parquet").stat().st_mode) == 0o600


def test_a_file_per_day(tmp_path: Path) -> None:
    """Days are UTC, as Hive names them; a second export is beside the first, and counts nothing twice."""
    made = [*MADE, event(5, "log", 1e15)]  # no calendar has this time
    path = written(tmp_path, made)
    folder = tmp_path / "shared"
    for _ in range(2):
        assert write_days([path], f"{folder}/", Skipped()).events == len(made)
    assert sorted(str(part.relative_to(folder).parent) for part in folder.rglob("*.parquet")) == (
        ["day=2023-11-14"] * 2 + ["day=2023-11-16"] * 2 + ["day=__HIVE_DEFAULT_PARTITION__"] * 2
    )
    assert [part for part in folder.rglob("*") if part.is_file() and part.suffix != ".parquet"] == []
    with opened(folder, Skipped()) as log:
        assert list(log.query("SELECT count(*), sum(tokens) FROM events").rows) == [(len(made), 3.0)]


def test_chosen_flows(tmp_path: Path) -> None:
    """Whole ids and the beginnings of ids choose flows, in any case of the letters; a flow that is not there is an error."""
    path, target = written(tmp_path, MADE), tmp_path / "x.parquet"
    assert write_parquet([path], str(target), Skipped(), [OTHER_FLOW.upper()]).events == 2
    assert write_parquet([path], str(target), Skipped(), [FLOW[:8]]).events == 4
    assert write_parquet([path], str(target), Skipped(), [FLOW[:1], OTHER_FLOW]).events == 6
    before = target.read_bytes()
    with pytest.raises(FlowNotFoundError, match="'f1'"):
        write_parquet([path], str(target), Skipped(), ["f1"])
    assert target.read_bytes() == before


def test_all_or_nothing(tmp_path: Path) -> None:
    """If the second day cannot be written, the first is not there either; a log without events leaves nothing behind."""
    path, folder = written(tmp_path, MADE), tmp_path / "shared"
    folder.mkdir()
    (folder / "day=2023-11-16").write_text("a file where a folder has to be", encoding="utf-8")
    with pytest.raises(ExportError, match="day=2023-11-16"):
        write_days([path], str(folder), Skipped())
    assert [part.name for part in folder.rglob("*")] == ["day=2023-11-16"]
    with pytest.raises(ExportError, match="it is a folder"):
        write_parquet([path], str(folder), Skipped())
    path.write_text("not an event\n", encoding="utf-8")
    with pytest.raises(LogFileError, match="holds no events"):
        write_days([path], str(tmp_path / "other"), Skipped())
    assert sorted(part.name for part in tmp_path.iterdir()) == ["run.jsonl", "shared"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    """A file that others may read stays so."""
    target = tmp_path / "x.parquet"
    target.touch()
    target.chmod(0o644)
    write_parquet([written(tmp_path, MADE)], str(target), Skipped())
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


WRITER = """
import sys
from pathlib import Path
import the_edge_obs as obs
from the_edge_obs.jsonl import Skipped
from the_edge_obs.sql import write_days
from the_edge_obs.store.paths import log_files
logs, shared, exports = sys.argv[1], sys.argv[2], int(sys.argv[3])
obs.configure({"handlers": [{"type": "file", "path": logs + "/flow-{flow_id}.jsonl"}]})
for number in range(exports):
    with obs.flow("shared", writer=logs):
        with obs.span("llm.call") as span:
            span.metric(tokens=1)
    write_days(log_files([Path(logs)], Skipped()), shared, Skipped())
    print(number + 1, flush=True)
"""


@pytest.mark.slow
def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    """Processes that export into one folder do not clash; a reader always sees whole files, and each run once."""
    shared, exports = tmp_path / "shared", 4
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen([*command, str(tmp_path / name), str(shared), str(exports)], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
    seen = [2]
    while True:
        is_over = all(writer.poll() is not None for writer in writers)
        with opened(shared, Skipped()) as log:
            query = "SELECT count(*), sum(tokens), count(*) FILTER (status <> 'ok') FROM runs"
            ((runs, tokens, not_ok),) = log.query(query).rows
        assert (tokens, not_ok) == (runs, 0)
        seen.append(runs)
        if is_over:
            break
    assert [writer.communicate()[0].splitlines()[-1] for writer in writers] == [str(exports)] * 2
    assert seen == sorted(seen)
    assert seen[-1] == 2 * exports
    assert len(list(shared.rglob("*.parquet"))) == len([part for part in shared.rglob("*") if part.is_file()]) >= 2 * exports
    own = sum(len(obs.runs(tmp_path / name)) for name in ("a", "b"))
    assert own == 2 * exports == sum(len(log_files([tmp_path / name], Skipped())) for name in ("a", "b"))


def test_a_torn_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is cut off at the end of a file is passed over and told, and the file still need not be read by Python."""
    path = written(tmp_path, MADE)
    with path.open("ab") as file:
        file.write(b'{"flow_id":"tor')
    monkeypatch.setattr("the_edge_obs.store.paths.read_events", None)
    skipped = Skipped()
    assert write_parquet([path], str(tmp_path / "x.parquet"), skipped).events == len(MADE)
    assert (skipped.lines, skipped.torn, skipped.first) == (1, True, f"line {len(MADE) + 1}: not valid JSON")


def test_a_run_in_memory_is_exported(tmp_path: Path) -> None:
    """``obs.export`` writes what the ring has, by the suffix of the path."""
    undo = obs.configure({"level": "info"})
    try:
        with obs.flow("memory", topic="cats") as run:
            obs.start_span("llm.call").end()
        done = obs.export(run.flow_id, tmp_path / "x.parquet")
    finally:
        undo()
    assert (done["format"], done["events"]) == ("parquet", 4)
    with opened(tmp_path / "x.parquet", Skipped()) as log:
        assert list(log.query("SELECT name, events, attributes FROM runs").rows) == [("memory", 4, '{"topic":"cats"}')]
