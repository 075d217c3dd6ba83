"""``tea-obs diff``: sources, formats, exit codes, and that every mistake is one line."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.cli import main

from .strategies import FLOW, OTHER_FLOW, event, whole


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own with two logs, at a fixed width, without colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write("a.jsonl", run(FLOW, "billing", 1.0))
    write("b.jsonl", run(OTHER_FLOW, "sales", 1.5))
    return tmp_path


def run(flow_id: str, topic: str, seconds: float) -> list[dict[str, Any]]:
    root = whole(1, 0, seconds + 0.5, flow_id=flow_id)
    root[0]["data"] = {"name": "triage"}
    metrics = {"tokens": 10 if topic == "billing" else 13}
    think = whole(2, 0.1, 0.1 + seconds, flow_id=flow_id, node="llm.call", step="think", data={"output": topic}, metrics=metrics)
    return [root[0], *think, root[1]]


def write(name: str, events: list[dict[str, Any]], tail: str = "") -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in events) + tail
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What differs, where it is, and the totals; without --fail-on that is not a failure."""
    assert main(["diff", "a.jsonl", "b.jsonl"]) == 0
    out, err = capsys.readouterr()
    heads = [line.partition("  started ")[0] for line in out.splitlines()[:2]]
    assert heads == [f"--- triage  ok  1.50 s  {FLOW}", f"+++ triage  ok  2.00 s  {OTHER_FLOW}"]
    assert out.splitlines()[2:] == [
        "",
        "  triage    flow      2.00 s          ok",
        "  │  duration: 1.50 s → 2.00 s (+33%)",
        "~ └─ think  llm.call  1.50 s  13 tok  ok",
        "        duration: 1.00 s → 1.50 s (+50%)",
        "        tokens: 10 → 13 (+30%)",
        '        output: "billing" → "sales"',
        "",
        "1 changed, 1 the same",
        "duration 1.50 s → 2.00 s (+33%), tokens 10 → 13 (+30%)",
    ]
    assert err == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail_on", "code", "failures"),
    [
        ("status,error,input,metrics,nodes,duration=+50%,tokens=+3", 0, []),
        ("status,output", 1, ["output of 1 span differs: triage / think"]),
        ("duration=+20%", 1, ["duration grew from 1.50 s to 2.00 s, +33.3%: more than +20%"]),
        ("duration=+499ms,tokens=+10%", 1, ["duration grew", "tokens grew from 10 to 13, +30.0%: more than +10%"]),
    ],
)
def test_fail_on(capsys: pytest.CaptureFixture[str], fail_on: str, code: int, failures: list[str]) -> None:
    """1 is for what the list names; each is said on stderr, and stdout is what it would be without."""
    assert main(["diff", "a.jsonl", "b.jsonl"]) == 0
    plain = capsys.readouterr().out
    assert main(["diff", "a.jsonl", "b.jsonl", "--fail-on", fail_on]) == code
    out, err = capsys.readouterr()
    assert out == plain
    assert len(err.splitlines()) == len(failures)
    for line, failure in zip(err.splitlines(), failures, strict=True):
        assert line.startswith(f"tea-obs: failed: {failure}")


def test_json_and_html(capsys: pytest.CaptureFixture[str]) -> None:
    """The format is what the path ends in, or what --format says; a file appears whole."""
    assert main(["diff", "a.jsonl", "b.jsonl", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["differs"], [span["differences"] for span in found["spans"]]) == (True, [[], ["output", "tokens"]])
    assert main(["diff", "a.jsonl", "b.jsonl", "-o", "d.json"]) == 0
    assert json.loads(Path("d.json").read_text(encoding="utf-8")) == found
    assert main(["diff", "a.jsonl", "b.jsonl", "-o", "out/d.html", "--fail-on", "nodes"]) == 0
    text = Path("out/d.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert capsys.readouterr().out.splitlines()[1] == f"out/d.html: 1 changed, 1 the same; as html, {len(text.encode()):,} bytes"
    assert main(["diff", "a.jsonl", "b.jsonl", "--format", "html"]) == 0
    assert capsys.readouterr().out == text
    assert main(["diff", "a.jsonl", "b.jsonl", "-o", "d.txt", "--all"]) == 0
    assert Path("d.txt").read_text(encoding="utf-8").splitlines()[0].startswith("--- triage")


def test_all_shows_what_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run and itself there is nothing to show but that."""
    assert main(["diff", "a.jsonl", "a.jsonl"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["", "no differences, 2 the same", "duration 1.50 s, tokens 10"]
    assert main(["diff", "a.jsonl", "a.jsonl", "--all", "--fail-on", "status,nodes,output"]) == 0
    assert "  └─ think  llm.call  1.00 s  10 tok  ok" in capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_runs_of_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """They are chosen by their ids, or the beginning of these; plain, compressed and exported logs alike."""
    write("logs/a.jsonl", run(FLOW, "billing", 1.0))
    write("logs/b.jsonl.gz", run(OTHER_FLOW, "sales", 1.0))
    assert main(["diff", "logs", "logs", "--flow-a", FLOW[:4], "--flow-b", OTHER_FLOW.upper(), "--fail-on", "output"]) == 1
    main(["export", "a.jsonl", "-o", "a.json"])
    assert main(["diff", "a.json", "logs", "--flow-b", FLOW, "--fail-on", "output,nodes,status"]) == 0
    capsys.readouterr()


def test_the_latest_runs_of_other_writers(capsys: pytest.CaptureFixture[str]) -> None:
    """The id of one may be the beginning of the other's."""
    for number, flow_id in enumerate(("r-1", "r-10", "R-10")):
        made = run(flow_id, flow_id, 1.0)
        write(f"logs/{number}.jsonl", [{**one, "timestamp": one["timestamp"] + number} for one in made])
    assert main(["diff", "logs", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["old"]["flow_id"], found["new"]["flow_id"]) == ("r-10", "R-10")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two.jsonl", "b.jsonl"], "'two.jsonl' holds 2 flows; choose one with --flow-a ID; tea-obs ls 'two.jsonl' lists them"),
        (["a.jsonl", "two.jsonl"], "'two.jsonl' holds 2 flows; choose one with --flow-b ID; tea-obs ls 'two.jsonl' lists them"),
        (["two.jsonl", "b.jsonl", "--flow-a", "ff"], "no flow of 'two.jsonl' begins with 'ff'; tea-obs ls 'two.jsonl' lists"),
        (["missing.jsonl", "b.jsonl"], "'missing.jsonl' cannot be read: no such file or directory"),
        (["a.jsonl", "empty.jsonl"], "'empty.jsonl' holds no events"),
        (["a.jsonl", "other.json"], "'other.json' is not an exported flow log: it has no list of events"),
        (["a.jsonl", "."], "'.' holds 2 flows"),
        (["a.jsonl"], "only one run of 'a.jsonl' is chosen; a comparison without B needs two of them"),
        (["a.jsonl", "b.jsonl", "--format", "xml"], "diff: argument --format: invalid choice: 'xml'"),
        (
            ["a.jsonl", "b.jsonl", "--fail-on", "state"],
            "fail-on 'state' is unknown; did you mean 'status'? allowed: status",
        ),
        (["missing", "b.jsonl", "--fail-on", "cost"], "fail-on 'cost' is not a valid limit; allowed: cost=+5%, cost=+0.01"),
        (["a.jsonl", "b.jsonl", "-o", "a.jsonl/d.html"], f"path 'a.jsonl{os.sep}d.html' cannot be written: "),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """Each is one line that names what was given and what is allowed; nothing is left behind."""
    write("two.jsonl", [event(1, flow_id=FLOW), event(1, flow_id=OTHER_FLOW)])
    write("empty.jsonl", [])
    write("other.json", [{"a": 1}])
    before = sorted(os.listdir())
    assert main(["diff", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"tea-obs: error: {message}")
    assert sorted(os.listdir()) == before


def test_the_log_of_a_killed_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It is compared as far as it goes; a torn last line is told of, and so is the missing end."""
    write("killed.jsonl", run(FLOW, "billing", 1.0)[:2], tail='{"flow_id": "')
    assert main(["diff", "a.jsonl", "killed.jsonl", "--fail-on", "duration=+20%"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "the new run has no end in its log: it is still running, or its process was killed"
    assert [line for line in out.splitlines() if "→ running" in line] == [
        "~ triage    flow      ok → running",
        "~ └─ think  llm.call  ok → running",
    ]
    assert err.splitlines() == [
        "tea-obs: note: the last line of 'killed.jsonl' is cut off: its process was killed or is still writing",
        "tea-obs: failed: duration=+20% cannot be checked: the end of the new run is not in the log",
    ]


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """It has examples, the grammar of --fail-on, and the exit codes."""
    assert main(["diff", "--help"]) == 0
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    for text in (
        "tea-obs diff before.jsonl after.jsonl",
        "status,output,duration=+20%",
        "exit codes: 0 no difference that --fail-on names",
    ):
        assert text in out
