"""``tea-obs ls``, and the table of runs that ``show`` draws as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from the_edge_obs.cli import main
from the_edge_obs.cli._listing import runs_table
from the_edge_obs.store.summaries import summarise
from the_edge_obs.text import View, clock_text

from .strategies import FLOW, OTHER_FLOW, T0, event, span_id, whole


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
    head = f"{'name':<{len(name)}}  status  started (local)      duration  errors  tokens     cost  "
    assert capsys.readouterr().out.splitlines() == [
        f"{head}{'flow':<{len(FLOW)}}  first error",
        f"{'triage':<{len(name)}}  ok      {at[0]}    2.00 s           1,200  $0.5000  {FLOW}",
        f"{name}  error   {at[1]}         -       1                   {OTHER_FLOW}  E: no",
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


RUNS = {
    "aaaaaaaa-0000-4000-8000-000000000001": ("triage", {"topic": "cats", "n": 1}, None, 3.0),
    "aaaaaaaa-0000-4000-8000-000000000002": ("triage", {"topic": "dogs", "n": 2, "on": True}, "it is 3 o'clock", 1.0),
    "bbbbbbbb-0000-4000-8000-000000000003": ("report", {"topic": "cats"}, None, 2.0),
}


@pytest.fixture
def many(tmp_path: Path) -> str:
    """Return a folder of three runs, a minute apart; one fails."""
    for number, (flow_id, (name, given, error, seconds)) in enumerate(RUNS.items()):
        start = number * 60
        made = [event(1, "entry", start, flow_id=flow_id, node="flow", data={"name": name, "input": given})]
        end = {"duration_ms": seconds * 1000}
        if error is None:
            made.append(event(1, "exit", start + seconds, flow_id=flow_id, node="flow", metrics=end))
        else:
            data = {"error": {"type": "E", "message": error}}
            made.append(event(1, "error", start + seconds, flow_id=flow_id, node="flow", level="error", data=data, metrics=end))
        (tmp_path / f"flow-{flow_id}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ("--flow AAAA", [0, 1]),
        ("--flow aaaaaaaa-0000-4000-8000-000000000002 --flow bbb", [1, 2]),
        ("--name tri*", [0, 1]),
        ("--name triage --name rep?rt", [0, 1, 2]),
        ("--status error", [1]),
        ("--status ok --status running", [0, 2]),
        ("--errors", [1]),
        ("--attribute topic=cats", [0, 2]),
        ("--attribute topic=*s --attribute n=2 --attribute on=true", [1]),
        (f"--since {T0 + 60}", [1, 2]),
        (f"--until {T0 + 60}", [0, 1]),
        ("--last", [2]),
        ("--last 2 --name triage", [0, 1]),
        ("--sort duration", [1, 2, 0]),
        ("--sort -duration --limit 2", [0, 2]),
        ("--sort name", [2, 0, 1]),
        ("--sort -start --last 2", [2, 1]),
        ("--limit 0", []),
        ("--name nothing", []),
    ],
)
def test_filters_and_order(many: str, options: str, runs: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """One grammar: the options choose what the arguments of the same names choose in Python."""
    ids = list(RUNS)
    assert main(["ls", many, "--json", *options.split()]) == 0
    listed = [json.loads(line)["flow_id"] for line in capsys.readouterr().out.splitlines()]
    assert listed == [ids[number] for number in runs]
    assert main(["ls", many, *options.split()]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{len(runs)} run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--status bad", "unknown status 'bad'; allowed: ok, error, running, cancelled, unknown"),
        ("--sort size", "sort 'size' is not a valid order; allowed: start, name"),
        ("--since soon", "start_time 'soon' is not a valid time"),
        ("--limit -1", "limit -1 is not a whole number of at least 0"),
        ("--attribute topic", "ls: argument --attribute: 'topic' is not KEY=GLOB, such as topic=cats"),
    ],
)
def test_mistakes_are_reported_before_anything_is_read(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is allowed."""
    assert main(["ls", "no-such-folder", *options.split()]) == 2
    assert capsys.readouterr().err.startswith(f"tea-obs: error: {message}")


def test_every_command_chooses_the_same_runs(many: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A choice that leaves one run: the command reads its events alone."""
    last, choice = list(RUNS)[1], ["--name", "triage", "--errors"]
    assert main(["show", many, *choice]) == 0
    assert capsys.readouterr().out.startswith(f"flow {last}, ")
    assert main(["show", many, "--name", "triage", "--last"]) == 0
    assert capsys.readouterr().out.startswith(f"flow {last}, ")
    assert main(["stats", many, *choice]) == 0
    assert capsys.readouterr().out.endswith("1 run, 2 events\n")
    assert main(["query", many, *choice]) == 0
    assert {json.loads(line)["flow_id"] for line in capsys.readouterr().out.splitlines()} == {last}
    assert main(["export", many, *choice, "-o", str(tmp_path / "one.json")]) == 0
    assert json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))["flow_id"] == last
    assert main(["export", many, "--last", "2", "--format", "html", "-o", f"{tmp_path}/pages/"]) == 0
    assert len(list((tmp_path / "pages").glob("run-*.html"))) == 2
    assert main(["tail", many, "--flow", last[:10], "-n", "1"]) == 0
    capsys.readouterr()
    assert main(["diff", many, "--name", "triage"]) == 0
    heads = capsys.readouterr().out.splitlines()[:2]
    assert [flow_id in head for flow_id, head in zip(RUNS, heads, strict=False)] == [True, True], heads
    assert main(["diff", many, many, "--status", "ok"]) == 2
    assert "2 runs of" in capsys.readouterr().err


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
        "attributes": {},
        "error": None,
        "root": span_id(1),
        "shares_flow": False,
        "resource": None,
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
