"""``tea-obs ls``, and the table of runs that ``show`` draws as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from the_edge_obs.cli import main
from the_edge_obs.cli._listing import runs_table
from the_edge_obs.store.summaries import summarise
from the_edge_obs.text import View, clock_text

from .strategies import FLOW, OTHER_FLOW, T0, event, whole


def logs(folder: Path) -> Path:
    """Write two runs, the younger one first by name; one failed, and one used tokens."""
    folder.mkdir()
    ok = [event(1, "entry", 0, data={"name": "triage"}), *whole(2, 1, 2, metrics={"tokens": 1200, "cost_usd": 0.5})]
    ok += whole(1, 0, 2)[1:]
    bad = [
        event(1, "entry", 60, flow_id=OTHER_FLOW, data={"name": "a\x1b[31m name that is long " + "x" * 20}),
        event(1, "error", 61, flow_id=OTHER_FLOW, level="error", data={"error": {"type": "E", "message": "no"}}),
    ]
    for name, made in (("b", ok), ("a", bad)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    return folder


def test_runs_by_their_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest first, figures to the right, control characters inert; at the end how many there are."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["ls", str(logs(tmp_path / "logs"))]) == 0
    at = [clock_text(T0, zone=False), clock_text(T0 + 60, zone=False)]
    name = "a\\x1b[31m name that is long " + "x" * 20
    assert capsys.readouterr().out.splitlines() == [
        f"{'name':<{len(name)}}  status  started (local)      duration  errors  tokens     cost  flow",
        f"{'triage':<{len(name)}}  ok      {at[0]}    2.00 s           1,200  $0.5000  {FLOW}",
        f"{name}  error   {at[1]}         -       1                   {OTHER_FLOW}",
        "",
        "2 runs, 1 failed",
    ]


@pytest.mark.parametrize("width", [60, 90, 120])
def test_the_table_fits(tmp_path: Path, width: int) -> None:
    """Ids are cut before names, and both so that they can still be told."""
    events = [json.loads(line) for path in logs(tmp_path / "logs").iterdir() for line in path.read_text().splitlines()]
    lines = list(runs_table(summarise(events), View(width)))
    short = any(FLOW not in line for line in lines[1:2])
    assert (short, lines[1].split()[-1]) == (True, FLOW[:8])
    assert all(len(line) <= max(width, 84) for line in lines)


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, for scripts."""
    assert main(["ls", str(logs(tmp_path / "logs")), "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    figures = {"events": 4, "errors": 0, "tokens": 1200, "cost_usd": 0.5}
    assert first == {
        "flow_id": FLOW,
        "name": "triage",
        "status": "ok",
        "start": T0,
        "end": T0 + 2,
        "duration_ms": 2000.0,
        **figures,
        "alone": False,
    }
    assert (second["flow_id"], second["status"], second["duration_ms"], second["errors"]) == (OTHER_FLOW, "error", None, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: no such file or directory"),
        ("", "holds no events"),
        ("some text\n", "holds no events (1 line skipped; line 1: not valid JSON"),
    ],
)
def test_what_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, problem: str) -> None:
    """One line on stderr that says what was found instead, exit code 2; for stats too."""
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    for command in ("ls", "stats"):
        assert main([command, str(path)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n"), problem in err) == ("", 1, True)
