"""``tea-obs errors``: groups for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from the_edge_obs.cli import main

from .strategies import FLOW, OTHER_FLOW, event, whole


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return a log of two runs with one cause, in a path with a blank."""
    made = []
    for number, flow_id in enumerate((FLOW, OTHER_FLOW)):
        error = {"type": "OSError", "message": f"cannot read 'part{number}.csv'\x1b[31m", "where": "load.py:7 in part"}
        made += [event(1, "entry", number, flow_id=flow_id, node="flow", data={"name": f"run{number}"})]
        made += [event(2, "entry", number, flow_id=flow_id, parent=1, node="load", step="read")]
        made += [
            event(2, "error", number, flow_id=flow_id, parent=1, node="load", step="read", level="error", data={"error": error}),
            event(1, "exit", number, flow_id=flow_id, node="flow"),
        ]
    path = tmp_path / "a log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    return str(path)


def test_for_people(log: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """How many, where, since when, and the command that shows the last one; control characters are inert."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["errors", log]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["2 in 2 runs  load [read]", "  OSError: cannot read 'part1.csv'\\x1b[31m", "  at load.py:7 in part"]
    assert lines[3].endswith(f"; tea-obs show '{log}' --flow {OTHER_FLOW[:8]}")
    assert lines[-1] == "2 errors, 1 cause"


@pytest.mark.parametrize(
    ("flow_id", "named"), [("request-11", "request-11"), ("x y", "'x y'"), (FLOW.replace("-", ""), FLOW[:8])]
)
def test_the_run_to_look_at_has_an_id_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flow_id: str, named: str
) -> None:
    """Other writers may have ids that begin alike, and with blanks."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(event(1, "error", 1, flow_id=flow_id)) + "\n", encoding="utf-8")
    assert main(["errors", str(path)]) == 0
    assert f" --flow {named}\n" in capsys.readouterr().out


def test_for_programs(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the runs that are chosen."""
    assert main(["errors", log, "--json", "--name", "run0"]) == 0
    (group,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (group["node"], group["count"], group["flow_id"], group["where"]) == ("load", 1, FLOW, "load.py:7 in part")


def test_without_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says so."""
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in whole(1, 0, 1, node="flow")), encoding="utf-8")
    assert main(["errors", str(path)]) == 0
    assert capsys.readouterr().out == "0 errors, 0 causes\n"
