"""``tea-obs replay``: what it prints, its exit codes, and that every mistake is one line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from the_edge_obs.cli import main
from the_edge_obs.flows import load

EXAMPLE = Path(__file__).parent.parent / "examples" / "replay"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own with the example in it, at a fixed width, without colours."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def whole(workplace: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the folder with a whole recording of the mended flow."""
    given = ["--live", "llm.*", "--live", "file.*", "--log-dir", "whole"]
    assert main(["replay", "bad-run.jsonl", "mended.yaml", *given]) == 0
    out = capsys.readouterr().out
    assert "1 answered from the log, 2 live (56 tokens, $0.0001), 0 recorded ones not asked for\n" in out
    assert "live: reply (llm.call): nothing like it was recorded\n" in out
    [path] = Path("whole").iterdir()
    assert out.endswith(f"log  {path}\n")
    (workplace / "logs" / "outbox.md").unlink()
    return "whole"


def test_the_same_flow_fails_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "bad-run.jsonl", "flow.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "\nno differences, 3 the same\n" in out
    assert out.endswith("1 answered from the log, 0 live, 0 recorded ones not asked for\n")
    assert err == ""


def test_a_mended_flow_ends_where_the_recording_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "bad-run.jsonl", "mended.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "read   python.run" in re.sub(r" +", lambda match: match[0][:3], out)
    assert err.startswith("tea-obs: note: ended at reply (llm.call): the recording, of a run that failed, ends before this call")


def test_a_stop_is_one_line_and_fails(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", whole, "mended.yaml", "--set", "ticket=Hello"]) == 1
    out, err = capsys.readouterr()
    assert "3 recorded spans not reached\n" in out
    assert " removed" not in out
    assert "0 answered from the log, 0 live, 2 recorded ones not asked for\n" in out
    assert err.startswith(
        "tea-obs: error: stopped at classify (llm.call): it is not asked as it was recorded; input.prompt: 'I was"
    )
    assert err.count("\n") == 1


def test_a_whole_recording_is_a_test(whole: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", whole, "mended.yaml", "--fail-on", "status,output"]) == 0
    assert "no differences, 5 the same\n" in capsys.readouterr().out
    assert not (workplace / "logs" / "outbox.md").exists()
    text = Path("mended.yaml").read_text(encoding="utf-8").replace('{"topic": json', '{"more": 1, "topic": json')
    Path("other.yaml").write_text(text, encoding="utf-8")
    assert main(["replay", whole, "other.yaml"]) == 0
    assert main(["replay", whole, "other.yaml", "--fail-on", "status,output"]) == 1
    assert "tea-obs: failed: output of 1 span differs: desk / read\n" in capsys.readouterr().err
    broken = text.replace("import json", "1 / 0")
    Path("broken.yaml").write_text(broken, encoding="utf-8")
    assert main(["replay", whole, "broken.yaml"]) == 1
    assert "tea-obs: error: step 'read' (python.run): ZeroDivisionError" in capsys.readouterr().err


def test_from_again_pretend_frozen_and_ignore(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--from", "reply", "--live", "llm.*", "--again", "--pretend", "file.*", "--frozen", "read"]
    assert main(["replay", whole, "mended.yaml", *options]) == 0
    assert "3 answered from the log, 1 live" in capsys.readouterr().out
    given = ["--set", "style=kind", "--ignore", "input.system", "--ignore", "input.style"]
    assert main(["replay", whole, "mended.yaml", *given, "--fail-on", "input"]) == 0


def test_dry_says_whether_a_log_is_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "bad-run.jsonl", "flow.yaml", "--dry"]) == 0
    out = capsys.readouterr().out
    assert "the flow file is as it was recorded\nusable: every recorded call can be answered\n" in out
    flow = 'observability: {handlers: [{type: file, path: "run.jsonl"}]}\nnodes:\n'
    flow += "  - {name: login, uses: file.read, with: {path: bad-run.jsonl}}\n  - {name: a, uses: key.get, output: login}\n"
    Path("long.yaml").write_text(flow, encoding="utf-8")
    Path("bad-run.jsonl").write_text("x" * 9_000, encoding="utf-8")
    load("long.yaml", {"key.get": lambda state: {"access_token": "a-long-secret-token"}}).run()
    Path("long.yaml").write_text(flow.replace("key.get", "json.parse, with: {text: '1'}"), encoding="utf-8")
    assert main(["replay", "run.jsonl", "long.yaml", "--dry"]) == 2
    out, err = capsys.readouterr()
    assert "the flow file is another one than was recorded\n" in out
    assert "redacted: a.output.access_token; a real call that gets it needs --secret a.output.access_token=VARIABLE\n" in out
    assert "not usable: login (file.read): its recorded answer was cut at output.content\n" in out
    assert "1 part of the recording cannot be used" in err
    assert main(["replay", "run.jsonl", "long.yaml", "--dry", "--live", "file.*"]) == 0
    assert main(["replay", "run.jsonl", "long.yaml"]) == 2
    assert "record it whole with `record: {full: [file.read]}`" in capsys.readouterr().err


def test_one_run_of_several(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("bad-run.jsonl", whole)
    assert main(["replay", whole, "mended.yaml"]) == 2
    err = capsys.readouterr().err
    assert "holds 2 flows" in err
    assert err.endswith("; choose one with flow_id (--flow ID)\n")
    [path] = Path(whole).glob("flow-*.jsonl")
    assert main(["replay", whole, "mended.yaml", "--flow", path.name[5:13]]) == 0
    assert "no differences, 5 the same" in capsys.readouterr().out
    assert main(["replay", whole, "mended.yaml", "--flow", "nothing"]) == 2
    assert main(["replay", whole, "mended.yaml", "--flow", ""]) == 2
    assert capsys.readouterr().err.endswith("; give more of the id\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fail-on", "outputs"], "fail-on 'outputs' is unknown; did you mean 'output'"),
        (["--from", "repply", "--live", "*"], "did you mean 'reply'"),
        (["--again"], "name them with live"),
        (["--frozen", "reply"], "not a step with inline code"),
        (["--set", "x"], "--set 'x' is not key=value"),
        (["--secret", "x"], "is not PLACE=VARIABLE"),
        (["--secret", "x.output=NO_SUCH_VARIABLE"], "'NO_SUCH_VARIABLE' is not set"),
        (["--secret", "x.output.access_token=NO_SUCH_VARIABLE"], "'NO_SUCH_VARIABLE' is not set; 'x.output.access_token' gets"),
        (["--dry", "--frozen", "reed"], "frozen 'reed' is not a step"),
        (["--dry", "--set", "x"], "--set 'x' is not key=value"),
        (["--secret", "x.output=COLUMNS"], "nothing was redacted in this recording"),
        (["--log-dir", "flow.yaml"], "--log-dir 'flow.yaml' cannot be used"),
    ],
)
def test_mistakes_are_one_line(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "bad-run.jsonl", "flow.yaml", *options]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_part_of_a_state_that_was_cut_is_not_enough(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "doc.yaml").write_text(
        "observability: {handlers: [{type: file, path: doc.jsonl}]}\n"
        "nodes: [{uses: file.write, with: {path: out.txt, content: '{{ state.doc.body }}'}}]\n"
    )
    load("doc.yaml").run({"doc": {"title": "t", "body": "b" * 20_000}})
    Path("out.txt").unlink()
    given = ["replay", "doc.jsonl", "doc.yaml", "--live", "*", "--set", "doc.title=u"]
    assert main(given) == 2
    assert "was cut at input.doc.body; give that key with state (--set)" in capsys.readouterr().err
    assert main([*given, "--dry"]) == 2
    assert main([*given, "--set", "doc.body=short", "--dry"]) == 0
    assert main([*given, "--set", "doc.body=short"]) == 0
    assert Path("out.txt").read_text() == "short"
