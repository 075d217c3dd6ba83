"""The command line: what each command prints, how it ends, and that every mistake is one line."""

from __future__ import annotations

import gc
import gzip
import io
import json
import logging
import logging.config
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from the_edge_obs.cli import _program, main
from the_edge_obs.cli._state import initial_state, scalar
from the_edge_obs.cli._terminal import view_for
from the_edge_obs.configuration.config import dict_config
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.flow_log import build_flow_log

from .strategies import FLOW, OTHER_FLOW, event, whole

NODES = """
nodes:
  - name: load
    uses: file.read
    with: {path: "{{ state.path }}"}
    output: file
  - name: count
    run: |
      return {"lines": state["file"]["content"].count("\\n"), "password": "hunter2-hunter2"}
"""
FAILING = """
name: broken
nodes:
  - name: fetch
    run: |
      raise ValueError("no route to\\nhost")
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, at a fixed width, without colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "access.log").write_text("a\nb\n", encoding="utf-8")
    return tmp_path


def write_flow(text: str, name: str = "flow.yaml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def write_log(events: list[dict[str, Any]], name: str = "run.jsonl", tail: str = "") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in events) + tail, encoding="utf-8")
    return name


def triage(flow_id: str = FLOW) -> list[dict[str, Any]]:
    root = whole(1, 0, 2, flow_id=flow_id)
    root[0]["data"] = {"name": "triage", "schema_version": 1}
    return [root[0], *whole(2, 0.5, 1.5, flow_id=flow_id, node="llm.call", step="think", level="debug"), root[1]]


def anonymous(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)


def tree_of(output: str) -> list[str]:
    """Return the lines of a tree, bars, durations and ids out."""
    return [re.sub(r"( +[█▌▐]+)? +[\d.]+ m?s\b,?", "", anonymous(line)) for line in output.splitlines()]


def spawn(*args: str, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", **pipes.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", "the_edge_obs", *args], text=True, encoding="utf-8", env=env, **pipes)


# --- run ---


def test_run_shows_nodes_tree_and_state(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each finished node is on stderr, the tree and the final state, its secrets redacted, on stdout."""
    code = main(["run", write_flow("name: triage" + NODES), "--set", "path=access.log"])
    out, err = capsys.readouterr()
    assert (code, tree_of(out)) == (
        0,
        [
            "",
            "triage    flow  ok",
            "├─ load   file.read  ok",
            "└─ count  python.run  ok",
            "",
            "ok, 2 nodes, 6 events",
            "flow <id>",
            "",
            "final state",
            '  path      "access.log"',
            '  file      {"content": "a\\nb\\n", "path": "access.log", "bytes": 4, "success": true}',
            "  lines     2",
            '  password  "[REDACTED]"',
        ],
    )
    assert [re.sub(r"^\S+ | \([\d.]+ ms\)", "", line) for line in err.splitlines()] == [
        "info  file.read exit [load]",
        "info  python.run exit [count]",
        "info  flow exit",
    ]


def test_run_says_what_a_long_state_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """How many items, and the keys or the first text; short values and texts stay what they are."""
    names = ", ".join(f"'name {number}'" for number in range(300))
    state = f"names: [{names}], rows: [{{text: {'x' * 150}}}], few: [1, 2], big: {{a: 1, text: {'y' * 150}, password: hunter2}}"
    main(["run", write_flow(f"name: long\ninitial_state: {{{state}}}" + NODES), "--set", "path=access.log"])
    out = capsys.readouterr().out
    assert out[out.index("final state") :].splitlines()[:5] == [
        "final state (shortened; --output PATH writes all of it)",
        "  names     300 items: name 0",
        "  rows      1 item",
        "  few       [1, 2]",
        "  big       3 keys: a, text, password",
    ]


def test_run_shows_the_state_under_the_redaction_of_the_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the flow's own ``redact:`` are secret on stdout too, and so is what stood under them, wherever it reappears."""
    flow = """
        name: notes
        observability: {redact: {keys: [internal_note]}}
        initial_state: {internal_note: kept-apart-17}
        nodes:
          - {name: echo, uses: json.parse, with: {text: '["kept-apart-17"]'}, output: {said: '{{ result.data[0] }}'}}
    """
    assert main(["run", write_flow(textwrap.dedent(flow))]) == 0
    out = capsys.readouterr().out
    assert out[out.index("final state") :].splitlines() == [
        "final state",
        '  internal_note  "[REDACTED]"',
        '  said           "[REDACTED]"',
    ]


def test_run_leaves_logging_as_it_was() -> None:
    """What it installs is gone afterwards; the levels of --level never get into the environment."""
    tea = logging.getLogger("tea")
    before = (tea.level, tea.handlers[:], dict_config({}), os.environ.get("TEA_LOG"))
    main(["run", write_flow("name: triage" + NODES), "--set", "path=access.log", "--level", "debug"])
    assert (tea.level, tea.handlers, dict_config({}), os.environ.get("TEA_LOG")) == before


def test_run_says_where_the_log_lies(capsys: pytest.CaptureFixture[str]) -> None:
    """The file of --log-dir, and that of the flow's own block; both hold the whole run, and one of them can be opened."""
    block = "observability: {handlers: [{type: file, path: 'own/{flow_id}.jsonl'}]}"
    code = main(["run", write_flow(block + NODES), "--set", "path=access.log", "--log-dir", "logs"])
    lines = capsys.readouterr().out.splitlines()
    files = [line.removeprefix("log  ") for line in lines if line.startswith("log  ")]
    told = "to look at the run in a browser: "
    assert [line for line in lines if line.startswith(told)] == [lines[-1]] == [f"{told}tea-obs view {files[0]}"]
    assert (code, [anonymous(file) for file in files]) == (
        0,
        ["own/<id>.jsonl", "logs/flow-<id>.jsonl"],
    )
    assert [len(Path(file).read_text(encoding="utf-8").splitlines()) for file in files] == [6, 6]


def test_run_of_a_failing_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the tree with the error, and one line with step, node, type and message; no traceback."""
    code = main(["run", write_flow(FAILING)])
    out, err = capsys.readouterr()
    assert (code, tree_of(out)[1:5], err.splitlines()[-1]) == (
        1,
        [
            "broken    flow  error",
            "└─ fetch  python.run  error",
            "     ValueError: no route to\\nhost (flow.yaml:6 in <module>)",
            "",
        ],
        "tea-obs: error: step 'fetch' (python.run): ValueError: no route to\\nhost",
    )
    assert "Traceback" not in out + err


HANDLED = "nodes: [{name: load, uses: file.read, with: {path: gone.txt}, on_error: {mode: graceful}}]"


@pytest.mark.slow
@pytest.mark.parametrize(("line", "completed"), [("tea-obs sh", {"show"}), ("tea-obs ls --st", {"--start-time", "--status"})])
def test_the_shell_completes(line: str, completed: set[str], tmp_path: Path) -> None:
    """Through argcomplete, as the shell's own function asks it."""
    pytest.importorskip("argcomplete")
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": "words"}
    with spawn(env={**asked, "_ARGCOMPLETE_IFS": "|"}) as process:
        process.communicate()
    assert {word.strip() for word in Path("words").read_text(encoding="utf-8").split("|")} == completed


@pytest.mark.parametrize("usual", [(700, 10, 10), (0, 10, 10), (10**6, 5, 5)])
def test_the_collector_runs_rarely_only_while_a_log_is_read(usual: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as before afterwards, also after an error; it stays off where it is off, and never runs more often."""
    seen: list[tuple[int, int, int]] = []

    def call(args: Any) -> int:
        seen.append(gc.get_threshold())
        raise ConfigurationError("no")

    monkeypatch.setattr("the_edge_obs.cli.show.call", call)
    before = gc.get_threshold()
    gc.set_threshold(*usual)
    try:
        assert main(["show", "x"]) == 2
        assert gc.get_threshold() == usual
    finally:
        gc.set_threshold(*before)
    assert seen == [(usual[0] and max(usual[0], 100_000), *usual[1:])]


def test_a_quiet_run_says_nothing_unless_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """No view, no tree, no state; --output still writes it."""
    assert main(["run", write_flow(HANDLED), "--quiet", "-o", "state.json"]) == 0
    assert capsys.readouterr() == ("", "")
    assert "flow_id" in json.loads(Path("state.json").read_text(encoding="utf-8"))
    assert main(["run", write_flow(FAILING), "-q"]) == 1
    out, err = capsys.readouterr()
    assert ("no route to" in out, err.splitlines()[-1].startswith("tea-obs: error: step 'fetch'")) == (True, True)
    assert main(["run", "flow.yaml", "-q", "--level", "info"]) == 2


def test_handled_errors_fail_a_run_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """--fail-on errors: exit code 1, with the tree also if it is quiet; without a log nothing can be counted."""
    assert main(["run", write_flow(HANDLED), "-q", "--fail-on", "errors"]) == 1
    out, err = capsys.readouterr()
    assert ("File not found" in out, err) == (True, "tea-obs: error: the flow handled 1 error; --fail-on errors\n")
    assert main(["run", write_flow("nodes: [{name: a, run: 'return {}'}]"), "-q", "--fail-on", "errors"]) == 0
    assert main(["run", write_flow("observability: {enabled: false}\n" + HANDLED), "--fail-on", "errors"]) == 2


def test_run_names_the_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of the runner say the step themselves."""
    main(["run", write_flow("nodes: [{name: load, uses: file.read, with: {path: '{{ 1 / 0 }}'}}]")])
    error = capsys.readouterr().err.splitlines()[-1]
    start = "tea-obs: error: file.read: FlowRunError: step 'load', key 'with.path': cannot render"
    assert (error[: len(start)], error.count("'load'")) == (start, 1)


def test_run_of_a_flow_that_exits(capsys: pytest.CaptureFixture[str]) -> None:
    """A sys.exit inside a flow is its failure, not the program's end."""
    code = main(["run", write_flow("nodes: [{name: quit, run: 'raise SystemExit(0)'}]")])
    assert (code, capsys.readouterr().err.splitlines()[-1]) == (
        1,
        "tea-obs: error: step 'quit' (python.run): SystemExit: 0",
    )


def test_run_of_a_flow_that_wants_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, runs the flow and shows its state; an error has no secrets in it."""
    code = main(["run", write_flow("observability: {enabled: false}" + NODES), "--set", "path=access.log"])
    out, err = capsys.readouterr()
    assert (code, out.splitlines()[:3], err) == (
        0,
        ["", "final state", '  path      "access.log"'],
        "tea-obs: note: nothing is logged: the observability block of 'flow.yaml' says enabled: false\n",
    )
    failing = "observability: {enabled: false}\nnodes: [{run: 'raise ValueError(\"Bearer abcdefghijklmnopqrstuvwx\")'}]"
    code = main(["run", write_flow(failing)])
    assert (code, capsys.readouterr().err.splitlines()[-1]) == (1, "tea-obs: error: ValueError: Bearer [REDACTED]")


def test_run_with_a_console_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A flow that prints its events is not printed twice."""
    main(["run", write_flow("observability: {handlers: [{type: console}]}" + NODES), "--set", "path=access.log"])
    assert len(capsys.readouterr().err.splitlines()) == 6


def test_levels_of_the_command_line_come_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--level before TEA_LOG, TEA_LOG before the block."""
    monkeypatch.setenv("TEA_LOG", "error,file=error,python=info")
    flow = write_flow("observability: {level: debug}" + NODES)
    main(["run", flow, "--set", "path=access.log", "--level", "file=info,python=error"])
    assert [re.sub(r"^\S+ | \([\d.]+ ms\)", "", line) for line in capsys.readouterr().err.splitlines()] == [
        "info  flow entry",
        "info  file.read entry [load]",
        "info  file.read exit [load]",
        "info  flow exit",
    ]


def test_the_tree_is_whole_whatever_the_flow_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow's own buffer may be small; the tree does not depend on it."""
    flow = write_flow("observability: {buffer_size: 2}" + NODES)
    main(["run", flow, "--set", "path=access.log"])
    assert "ok, 2 nodes, 6 events" in tree_of(capsys.readouterr().out)


def test_run_writes_the_final_state(capsys: pytest.CaptureFixture[str]) -> None:
    """--output gets all of it as JSON; with - stdout has nothing else, not even what the flow prints."""
    noisy = 'nodes: [{run: \'print(1); return {"a": {1, 2}, "password": "hunter2"}\'}]'
    assert main(["run", write_flow(noisy), "-o", "out/state.json"]) == 0
    assert "final state" not in capsys.readouterr().out
    assert main(["run", "flow.yaml", "-o", "-"]) == 0
    out, err = capsys.readouterr()
    for text in (out, Path("out/state.json").read_text(encoding="utf-8")):
        state = json.loads(text)
        assert {**state, "flow_id": ""} == {"flow_id": "", "a": [1, 2], "password": "hunter2"}
    assert "1 node, 4 events" in err


def test_run_writes_a_state_that_json_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys that are not texts, NaN, cycles and broken objects lose neither the file nor anything else without a note."""
    code = """\
class Hostile:
    def __str__(self):
        raise ZeroDivisionError
loop = [1]
loop.append(loop)
return {"pairs": {(1, 2): "a", 3: "b", "3": "c", None: "d"}, "nan": [float("nan"), float("-inf")], "loop": loop,
        "hostile": Hostile(), "half": chr(0xD83D), "big": 1 << 20_000, "raw": b"x"}
"""
    flow = write_flow(json.dumps({"nodes": [{"run": code}]}))
    assert main(["run", flow, "-o", "state.json"]) == 0
    _, err = capsys.readouterr()
    assert main(["run", flow, "-o", "-"]) == 0
    out, _ = capsys.readouterr()
    for text in (Path("state.json").read_text(encoding="utf-8"), out):
        state = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
        assert (state.pop("big")[:3], len(state.pop("flow_id"))) == ("0x1", 36)
        assert state == {
            "pairs": {"(1, 2)": "a", "3 (int)": "b", "3": "c", "null": "d"},
            "nan": ["NaN", "-Infinity"],
            "loop": [1, "[circular]"],
            "hostile": "<Hostile>",
            "half": "\ud83d",
            "raw": "b'x'",
        }
    assert [line.removeprefix("tea-obs: note: --output: ") for line in err.splitlines() if "--output" in line] == [
        "pairs has a key of type tuple, written as '(1, 2)'",
        "pairs has a key of type int, written as '3 (int)'",
        "nan[0] is nan, written as text",
        "nan[1] is -inf, written as text",
        "loop[1] is a circular reference, left out",
        "2 more values changed as well",
    ]


@pytest.mark.slow
def test_run_writes_a_deep_state() -> None:
    """What is nested too deeply for JSON's readers is cut with a note, and the rest is written."""
    deep = "deep = []\nfor _ in range(100_000):\n    deep = [deep]\nreturn {'deep': deep, 'n': 1}"
    assert main(["run", write_flow(json.dumps({"nodes": [{"run": deep}]})), "-o", "state.json"]) == 0
    text = Path("state.json").read_text(encoding="utf-8")
    assert (json.loads(text)["n"], text.count("[") > 100, '"[depth]"' in text) == (1, True, True)


def test_run_with_a_logging_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A dictConfig in YAML, or an INI file for fileConfig; a console in it is the only one."""
    dict_config = {
        "version": 1,
        "handlers": {"file": {"class": "the_edge_obs.FlowFileHandler", "path": "kept/{flow_id}.jsonl"}},
        "loggers": {"tea": {"level": "DEBUG", "handlers": ["file"]}},
    }
    Path("logging.yaml").write_text(yaml.safe_dump(dict_config), encoding="utf-8")
    flow = write_flow(NODES)
    assert main(["run", flow, "--set", "path=access.log", "--logging", "logging.yaml"]) == 0
    out = capsys.readouterr().out
    assert (len(list(Path("kept").iterdir())), [line[:10] for line in out.splitlines() if line.startswith("log")]) == (
        1,
        ["log  kept/"],
    )


@pytest.mark.slow
def test_run_with_an_ini_file() -> None:
    """It goes to logging.config.fileConfig, which clears what was there: a process of its own."""
    Path("logging.ini").write_text(
        "[loggers]\nkeys=root,tea\n[handlers]\nkeys=out\n[formatters]\nkeys=plain\n"
        "[logger_root]\nhandlers=\n[logger_tea]\nqualname=tea\nlevel=INFO\nhandlers=out\n"
        "[handler_out]\nclass=StreamHandler\nargs=(sys.stderr,)\nformatter=plain\n[formatter_plain]\nformat=INI %(name)s\n",
        encoding="utf-8",
    )
    with spawn("run", write_flow(NODES), "--set", "path=access.log", "--logging", "logging.ini") as process:
        out, err = process.communicate()
    assert (process.returncode, err.splitlines()) == (
        0,
        ["INI tea.flow", *["INI tea.file.read"] * 2, *["INI tea.python.run"] * 2, "INI tea.flow"],
    )
    assert "ok, 2 nodes, 6 events" in tree_of(out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["no.yaml"], "no.yaml: cannot read the file: "),
        (["flow.yaml", "--set", "x"], "--set 'x' is not key=value; write --set path=access.log"),
        (["flow.yaml", "--set", "=1"], "--set '=1' is not key=value"),
        (["flow.yaml", "--set", "a=1", "--set", "a.b=2"], "--set 'a.b=2': 'a' is already set to 1, which is not a mapping"),
        (["flow.yaml", "--state", "[1]"], "--state '[1]' is a list; it must be a JSON object"),
        (["flow.yaml", "--state", "{"], "--state '{' is not valid JSON ("),
        (["flow.yaml", "--state", "@nope"], "--state '@nope' cannot be read: no such file or directory"),
        (["flow.yaml", "--level", "loud"], "--level 'loud': unknown level 'loud'; allowed: debug, info, warn, error"),
        (["flow.yaml", "--log-dir", "flow.yaml"], "--log-dir 'flow.yaml' cannot be used: path "),
        (["flow.yaml", "--output", "flow.yaml/x"], "--output 'flow.yaml/x' cannot be used: path "),
        (["flow.yaml", "--output", "."], "is a folder; name a file in it"),
        (["filters.yaml"], "filters.yaml:1: step 'step_1': unknown filter 'nod'; did you mean 'node'? "),
        (["flow.yaml", "--logging", "no.yaml"], "configuration 'no.yaml' cannot be read: no such file"),
        (["flow.yaml", "--logging", "no.ini"], "--logging 'no.ini' cannot be read: the file does not exist"),
        (["flow.yaml", "--logging", "bad.ini"], "--logging 'bad.ini' is not a configuration that fileConfig accepts: "),
        (["flow.yaml", "--no-code"], "flow.yaml:7: step 'count': inline code in run"),
        (["bad.yaml"], "bad.yaml:1: observability.handlers[0].type is 'smoke'; allowed: console, file, callback"),
        (["folder.yaml"], "observability.handlers[0].path: path "),
    ],
)
def test_what_run_refuses(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line, before anything runs."""
    write_flow(NODES)
    write_flow("observability: {handlers: [{type: smoke}]}" + NODES, "bad.yaml")
    write_flow("observability: {handlers: [{type: file, path: /}]}" + NODES, "folder.yaml")
    write_flow("nodes: [{uses: obs.query, filters: {nod: x}}]", "filters.yaml")
    Path("bad.ini").write_text("[nothing]\n", encoding="utf-8")
    code = main(["run", *args])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("tea-obs: error: ")
    assert message in err


def test_the_state_that_a_run_begins_with() -> None:
    """--set goes on top of --state; dots lead into mappings."""
    Path("state.json").write_text('{"user": {"name": "ada"}, "n": 1}', encoding="utf-8")
    settings = ["n=3", "user.age=36", "url=http://x/?a=b", "empty="]
    assert initial_state("@state.json", settings) == {
        "user": {"name": "ada", "age": 36},
        "n": 3,
        "url": "http://x/?a=b",
        "empty": "",
    }
    with pytest.raises(ConfigurationError, match="the file is not UTF-8"):
        initial_state("@" + os.fspath(_latin()), [])


def _latin() -> Path:
    path = Path("latin.json")
    path.write_bytes(b'{"a": "\xe9"}')
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2.5", -2.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ('"3"', "3"),
        ("yes", "yes"),
        ("007", "007"),
        ("12:30", "12:30"),
        ("+49123", "+49123"),
        ("2024-01-31", "2024-01-31"),
        ("*.log", "*.log"),
        ("a: b # c", "a: b # c"),
        ("[1, 2]", [1, 2]),
        ('{"a": [null]}', {"a": [None]}),
        ('"[1, 2]"', "[1, 2]"),
        ("[a]", "[a]"),
        ("[1, NaN]", "[1, NaN]"),
        ("[1e999]", "[1e999]"),
        ("-Infinity", "-Infinity"),
        ("[" * 100_000, "[" * 100_000),
        ('"', '"'),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars(text: str, value: object) -> None:
    """What is valid JSON is that, lists and mappings too; what YAML 1.1 or a shell user may mistake stays text."""
    assert (scalar(text), type(scalar(text))) == (value, type(value))


# --- show ---


def test_show_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow's id and start, the tree, the totals."""
    code = main(["show", write_log(triage())])
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[0][:51], lines[1:]) == (
        0,
        f"flow {FLOW}, started ",
        [
            "",
            "triage    flow      ████████████████████  2.00 s  ok",
            "└─ think  llm.call       ██████████       1.00 s  ok",
            "",
            "ok, 2.00 s, 1 node, 4 events",
        ],
    )


def test_show_lists_several_flows(capsys: pytest.CaptureFixture[str]) -> None:
    """By start, with how to choose one; --flow takes the beginning of an id, in any case."""
    write_log([{**one, "timestamp": one["timestamp"] + 60} for one in triage()], "logs/a.jsonl")
    write_log(triage(OTHER_FLOW)[:3], "logs/b.jsonl")
    assert main(["show", "logs"]) == 0
    lines = [re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "2 runs in 'logs'; choose one with --flow ID or --last",
        "",
        "name    status   started (local)      duration  flow",
        f"triage  running         -  {OTHER_FLOW}",
        f"triage  ok         2.00 s  {FLOW}",
    ]
    assert main(["show", "logs", "--flow", "AAAA"]) == 0
    assert capsys.readouterr().out.startswith(f"flow {OTHER_FLOW}, ")


def test_show_has_payloads_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """Input and output as JSON below their span, and where an error arose; control characters are inert."""
    error = {"type": "E", "message": "no", "where": "a.py:3 in load", "traceback": "Traceback\n  line \x1b[31m\nE: no"}
    made = [
        event(1, "entry", 0, node="flow", data={"name": "triage", "input": {"topic": "cats"}}),
        event(2, "entry", 0, parent=1, node="load", data={"input": {"path": "x" * 200}}),
        event(2, "error", 1, parent=1, node="load", level="error", data={"error": error}),
        event(1, "exit", 2, node="flow", data={"output": [1, 2]}),
    ]
    assert main(["show", write_log(made), "--input", "--traceback", "--ascii"]) == 0
    lines = [line.strip(" |") for line in capsys.readouterr().out.splitlines()]
    assert ('input: {"topic": "cats"}' in lines, "output: [1, 2]" in lines, "E: no (a.py:3 in load)" in lines) == (True,) * 3
    assert lines[lines.index("traceback:") + 1 :][:3] == ["Traceback", "line \\x1b[31m", "E: no"]
    assert f'"path": "{"x" * 200}"' in lines


def test_show_marks_what_a_kill_has_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Running spans, the missing end, and the torn line."""
    code = main(["show", write_log(triage()[:2], tail='{"flow_id": "111')])
    out, err = capsys.readouterr()
    assert (code, out.splitlines()[2:4], err) == (
        0,
        ["triage    flow      ████████████████████  running", "└─ think  llm.call                     ▐  running"],
        "tea-obs: note: the last line of 'run.jsonl' is cut off: its process was killed or is still writing\n",
    )
    assert "no end in the log" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "'nope' cannot be read: no such file or directory"),
        (["."], "folder '.' holds no logs; the name of a log ends in .jsonl or .jsonl.gz"),
        (["access.log"], "'access.log' holds no events"),
        (["run.jsonl", "--flow", "zz"], "no flow of 'run.jsonl' begins with 'zz'; tea-obs ls 'run.jsonl' lists the runs"),
        (["run.jsonl", "--name", "x*"], "no run of 'run.jsonl' passes these filters; tea-obs ls 'run.jsonl' lists the runs"),
        ([], "no folder 'logs' is here; give a log, or write one: tea-obs run FLOW.yaml --log-dir logs"),
    ],
)
def test_what_show_refuses(args: list[str], message: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line."""
    folder = workplace / "inner"
    folder.mkdir()
    if args != ["."]:
        write_log([*triage(), *triage(OTHER_FLOW)])
    code = main(["show", *args])
    assert (code, capsys.readouterr().err.count(f"tea-obs: error: {message}")) == (2, 1)


# --- query ---


@pytest.mark.slow
def test_query_streams_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Events that pass all filters, as they are in the log."""
    events = triage()
    log = write_log(events)

    def found(*args: str) -> list[int]:
        assert main(["query", log, *args]) == 0
        return [events.index(json.loads(line)) for line in capsys.readouterr().out.splitlines()]

    assert [
        found(),
        found("--node", "llm.*"),
        found("--node", "none", "--node", "flow", "--event-type", "exit"),
        found("--step", "th*", "--limit", "1"),
        found("--min-level", "info"),
        found("--level", "debug"),
        found("--since", str(events[1]["timestamp"]), "--until", str(events[2]["timestamp"])),
        found("--since", "-5m"),
        found("--text", "TRIAGE"),
        found("--span-id", events[0]["span_id"]),
        found("--text", "-"),
    ] == [[0, 1, 2, 3], [1, 2], [3], [1], [0, 3], [1, 2], [1, 2], [], [0], [0, 3], []]


def test_query_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """--format console gives the lines that a running flow shows."""
    main(["query", write_log(triage()), "--format", "console", "--node", "llm.call"])
    assert [line[30:] for line in capsys.readouterr().out.splitlines()] == [
        "debug llm.call entry [think]",
        "debug llm.call exit (1000.0 ms) [think]",
    ]


@pytest.mark.slow
def test_query_keeps_json_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal's encoding, the lines are JSON in UTF-8; a lone surrogate is escaped."""
    log = write_log([event(1, "log", 0, message="é \ud800 要約")])
    environment = {"PYTHONIOENCODING": "ascii"}
    with spawn("query", log, env=environment) as process:
        out, _ = process.communicate()
    assert (json.loads(out)["message"], "é" in out) == ("é \ud800 要約", True)


def test_query_says_what_it_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with the first mistake and where the others are listed; the events come all the same."""
    Path("mixed.jsonl").write_text(f"nonsense\n{json.dumps(event())}\n[]\n", encoding="utf-8")
    assert main(["query", "mixed.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err.count("\n")) == (1, 1)
    assert err.startswith("tea-obs: note: 2 lines of 'mixed.jsonl' are not events (line 1: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--level", "loud"], "level: unknown level 'loud'; allowed: debug, info, warn, error"),
        (["--since", "-5x"], "start_time '-5x' is not a valid time; allowed: "),
        (["--event-type", "end"], "unknown event_type 'end'; allowed: entry, exit, error, metric, log"),
        (["--limit", "x"], "query: argument --limit: invalid int value: 'x'; see tea-obs query --help"),
        (["--limit", "-1"], "limit -1 is not a whole number of at least 0"),
        (["--nodes", "x"], "unrecognized arguments: --nodes x; see tea-obs --help"),
        (["--since"], "query: argument --since/--start-time: expected one argument; see tea-obs query --help"),
    ],
)
def test_what_query_refuses(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line, nothing on stdout."""
    code = main(["query", write_log(triage()), *args])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tea-obs: error: {message}")


@pytest.mark.slow
def test_a_closed_pipe_is_quiet() -> None:
    """As with head: the reader has enough, and nobody complains."""
    write_log([{**one, "timestamp": one["timestamp"] + n} for n in range(5000) for one in triage()])
    with spawn("query", "run.jsonl") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line() -> None:
    """Output that cannot be written is an error."""
    with open("/dev/full", "w", encoding="utf-8") as full, spawn("query", write_log(triage()), stdout=full) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (2, "tea-obs: error: the output cannot be written: no space left on device\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell's way to close an output")
def test_a_closed_output_is_quiet() -> None:
    """As after ``>&-``: there is nowhere to print, and nothing to complain of."""
    with spawn("show", write_log(triage()), stdout=None, preexec_fn=lambda: os.close(1)) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


# --- export ---


def test_export(capsys: pytest.CaptureFixture[str]) -> None:
    """The format is the one asked for, or the one that the path ends in, or jsonl."""
    log = write_log(triage())
    assert main(["export", log, "-o", "out/a.json"]) == 0
    assert main(["export", log, "-o", "b.txt"]) == 0
    assert main(["export", log, "-o", "c.json", "--format", "jsonl"]) == 0
    assert main(["export", log, "-o", "d.csv"]) == 0
    said = capsys.readouterr().out.splitlines()
    exported = json.loads(Path("out/a.json").read_text(encoding="utf-8"))
    assert (exported["name"], exported["events"]) == ("triage", triage())
    lines = [json.loads(line) for line in Path("b.txt").read_text(encoding="utf-8").splitlines()]
    assert lines == triage()
    size = Path("b.txt").stat().st_size
    assert (Path("c.json").read_bytes(), said[1]) == (
        Path("b.txt").read_bytes(),
        f"b.txt: 4 events as jsonl, {size:,} bytes",
    )
    assert said[3].startswith("d.csv: 4 events as csv, ")


def test_export_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """With - stdout has the export and nothing else."""
    assert main(["export", write_log(triage()), "--format", "json", "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ok"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope", "-o", "x"], "'nope' cannot be read: no such file or directory"),
        (["run.jsonl", "-o", "run.jsonl/x"], "path 'run.jsonl/x' cannot be written: "),
        (["run.jsonl", "-o", "x", "--format", "pdf"], "export: argument --format: invalid choice: 'pdf' (choose from "),
        (["run.jsonl"], "export: the following arguments are required: -o/--output; see tea-obs export --help"),
    ],
)
def test_what_export_refuses(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line, and no file."""
    write_log(triage())
    code = main(["export", *args])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n"), sorted(os.listdir())) == (2, "", 1, ["access.log", "run.jsonl"])
    assert err.startswith(f"tea-obs: error: {message}")


# --- validate ---


def test_validate_logs(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain, compressed, exported, and all of a folder: OK, with counts."""
    write_log([*triage(), *triage(OTHER_FLOW)], "logs/a.jsonl")
    with gzip.open("logs/b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in triage())
    assert main(["validate", "logs"]) == 0
    assert capsys.readouterr().out == "logs/a.jsonl: OK, 8 events, 2 flows\nlogs/b.jsonl.gz: OK, 4 events, 1 flow\n"
    main(["export", "logs/a.jsonl", "-o", "all.json"])
    capsys.readouterr()
    assert main(["validate", "all.json"]) == 0
    assert capsys.readouterr().out == "all.json: OK, 8 events, 2 flows\n"


def test_validate_lists_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """By file and line; the count and exit code 2 follow."""
    good = json.dumps(triage()[0])
    wrong = json.dumps({**triage()[0], "level": "loud", "extra": 1})
    nan = good.replace('"metrics": {}', '"metrics": {"x": NaN}')
    Path("bad.jsonl").write_text(f"{good}\n{wrong}\n\n{nan}\n[]\n{good[:30]}", encoding="utf-8")
    code = main(["validate", "bad.jsonl"])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert (code, len(lines), lines[0][:38], lines[1:3]) == (
        2,
        4,
        "bad.jsonl:2: unknown key 'extra'; allo",
        [
            "bad.jsonl:4: not valid JSON (RFC 8259): NaN is not a JSON number; write null",
            "bad.jsonl:5: an event is an object, not list",
        ],
    )
    assert "level is 'loud'; it must be one of debug, info, warn, error" in lines[0]
    assert lines[3].startswith("bad.jsonl:6: the line is cut off, as when a process is killed: not valid JSON")
    assert err == "tea-obs: error: 4 of 5 lines of 'bad.jsonl' are not valid events\n"


def test_validate_a_torn_compressed_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The compressed file of a killed process ends too early."""
    whole_file = gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in triage() * 50))
    Path("torn.jsonl.gz").write_bytes(whole_file[:-20])
    assert main(["validate", "torn.jsonl.gz"]) == 2
    assert "the compressed file ends too early" in capsys.readouterr().out


def test_validate_a_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """OK with counts, or the mistake with its line; no node runs."""
    edges = "edges:\n  - {from: load, to: count}\n"
    assert main(["validate", write_flow("name: triage\nobservability: {}" + NODES + edges)]) == 0
    assert main(["validate", write_flow("nodes: [{name: a, uses: file.rad}]", "bad.yml")]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "flow.yaml: OK, flow triage, 2 nodes, 1 edge, observability on",
        "bad.yml:1: step 'a': unknown action 'file.rad'; did you mean 'file.read'? allowed: file.read, file.write",
        "    1 | nodes: [{name: a, uses: file.rad}]",
    ]
    assert err == "tea-obs: error: 1 mistake in 'bad.yml'\n"


def test_validate_tells_all_mistakes_of_a_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with file, line, what is allowed and the line itself, by line, also those of a sub-flow; secrets are redacted."""
    write_flow("nodes:\n  - {name: x, rum: 1}\n", "child.yaml")
    text = """\
nodes:
  - name: a
    uses: llm.call
    with: {prompt: hi, provider: shell, timeout: -1, api_key: sk-ant-api03-aaaabbbbccccddddeeeeffff0000}
  - {name: b, run: "x = ("}
  - {name: c, flow: child.yaml}
edges:
  - {from: a, to: zz, when: "yes"}
setings: {}
"""
    assert main(["validate", write_flow(text)]) == 2
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.partition("; ")[0].partition(". allowed")[0] for line in lines[::2]] == [
        "flow.yaml:4: step 'a': llm.call: timeout is -1",
        "flow.yaml:4: step 'a': llm.call: unknown provider 'shell'",
        "flow.yaml:5: step 'b': run: Python syntax error: '(' was never closed",
        "flow.yaml:8: edges[0]: condition 'yes' is neither true nor false",
        "flow.yaml:8: edges[0]: to: node 'zz' does not exist",
        "flow.yaml:9: the flow: unknown key 'setings'",
        "child.yaml:2: step 'x': no body",
    ]
    assert lines[3::4][:2] == ["    4 | " + SHOWN_LINE, '    8 |   - {from: a, to: zz, when: "yes"}']
    assert (lines[-1], err) == ("    2 |   - {name: x, rum: 1}", "tea-obs: error: 7 mistakes in 'flow.yaml'\n")


SHOWN_LINE = "    with: {prompt: hi, provider: shell, timeout: -1, api_key: [REDACTED]}"


def test_validate_shows_the_line_of_broken_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    """YAML that cannot be read has one mistake, shown as any other."""
    assert main(["validate", write_flow("name: a\nnodes: [{name: a}\nedges: []\n")]) == 2
    out, err = capsys.readouterr()
    assert (out.splitlines()[1:], err) == (["    3 | edges: []"], "tea-obs: error: 1 mistake in 'flow.yaml'\n")
    assert out.startswith("flow.yaml:3: broken YAML: ")


@pytest.mark.slow
def test_validate_tells_which_nodes_are_never_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """A node that neither an edge, a jump, a fallback nor its place in the file leads to is a mistake; running does not mind."""
    text = """\
nodes:
  - {name: a, run: x = 1, goto: c}
  - {name: b, run: x = 1}
  - {name: c, run: x = 1, goto: __end__, on_error: {mode: graceful, fallback: rescue}}
  - {name: d, run: x = 1, goto: b}
  - {name: rescue, run: x = 1}
"""
    assert main(["validate", write_flow(text)]) == 2
    out, err = capsys.readouterr()
    hint = "add an edge or a goto to it, or remove it"
    assert (out.splitlines(), err) == (
        [
            f"flow.yaml:3: nothing leads to step 'b'; {hint}",
            "    3 |   - {name: b, run: x = 1}",
            f"flow.yaml:5: nothing leads to step 'd'; {hint}",
            "    5 |   - {name: d, run: x = 1, goto: b}",
        ],
        "tea-obs: error: 2 mistakes in 'flow.yaml'\n",
    )
    assert main(["run", "flow.yaml"]) == 0


@pytest.mark.parametrize("name", ["nope.jsonl", "nope.yaml", "empty.jsonl", "other.json", "broken.json"])
def test_what_validate_refuses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line."""
    Path("empty.jsonl").touch()
    Path("other.json").write_text("{}", encoding="utf-8")
    Path("broken.json").write_text("{", encoding="utf-8")
    code = main(["validate", name])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n"), err[:16]) == (2, "", 1, "tea-obs: error: ")


# --- config ---


def test_config_prints_what_logging_takes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The dictConfig of a flow or of a block alone, TEA_LOG in it; the stdlib can use it as it is."""
    monkeypatch.setenv("TEA_LOG", "http=warn")
    block = "level: debug\nhandlers: [{type: file, path: 'own/{flow_id}.jsonl'}]\n"
    assert main(["config", write_flow(block, "block.yaml")]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    indented = block.replace("\n", "\n  ").rstrip()
    assert main(["config", write_flow(f"observability:\n  {indented}{NODES}"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    assert (printed["loggers"], sorted(printed["handlers"])) == (
        {"tea": {"level": "DEBUG", "handlers": ["tea_ring", "tea_file_1"], "propagate": False}, "tea.http": {"level": "WARNING"}},
        ["tea_file_1", "tea_ring"],
    )
    configurator = logging.config.DictConfigurator(printed)
    handler = configurator.configure_handler(dict(printed["handlers"]["tea_file_1"]))
    assert handler.path == os.path.abspath("own/{flow_id}.jsonl")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (NODES, "'flow.yaml' has no observability block, so it configures nothing; 'observability: {}' is the default one"),
        (
            "observability: {enabled: false}" + NODES,
            "the observability block of 'flow.yaml' says enabled: false, so it configures nothing",
        ),
    ],
)
def test_config_of_nothing(text: str, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dictConfig that configures nothing, and a note why."""
    assert main(["config", write_flow(text)]) == 0
    out, err = capsys.readouterr()
    assert (yaml.safe_load(out), err) == ({"version": 1, "disable_existing_loggers": False}, f"tea-obs: note: {note}\n")


def test_what_config_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line that names the file."""
    assert main(["config", write_flow("lvl: 3", "block.yaml")]) == 2
    assert capsys.readouterr().err == (
        "tea-obs: error: block.yaml:1: unknown key 'lvl' in observability; did you mean 'level'? "
        "allowed: enabled, level, levels, buffer_size, handlers, redact, capture, propagate, prices, record\n"
    )


# --- the program ---


@pytest.mark.parametrize("command", ["run", "show", "query", "export", "validate", "config", "lnav"])
def test_help_teaches_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command shows what to type."""
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"examples:\n  tea-obs {command} " in out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Both on stdout with exit code 0; without a command the help is on stderr, with 2."""
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert main(["--version"]) == 0
    assert (out, err, capsys.readouterr().out[:21]) == ("", help_text, "tea-obs (the_edge_obs")


def test_a_native_core_for_another_version_is_not_used_and_is_named(tmp_path: Path) -> None:
    """As after an upgrade of the package alone."""
    (tmp_path / "the_edge_obs_native.py").write_text("INTERFACE, __version__ = 0, '0.0.9'\n")
    code = "from the_edge_obs.cli import main; main(['--version'])"
    env = {
        **os.environ,
        "THE_EDGE_OBS_PURE": "",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "pure Python: the installed core 0.0.9 is for another version)" in done.stdout


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line with the commands there are."""
    assert main(["shw"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tea-obs: error: argument COMMAND: invalid choice: 'shw' (choose from ")
    assert err.endswith("; see tea-obs --help\n")


@pytest.mark.slow
def test_it_runs_as_a_module() -> None:
    """``python -m the_edge_obs`` ends with the command's exit code."""
    with spawn("run", write_flow(FAILING)) as process:
        _, err = process.communicate()
    assert (process.returncode, err.splitlines()[-1][:15]) == (1, "tea-obs: error:")


@pytest.mark.slow
def test_an_output_without_box_characters() -> None:
    """The tree is drawn in ASCII, and what the encoding lacks is escaped."""
    events = triage()
    events[1]["step"] = "é"
    with spawn("show", write_log(events), env={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate()
    assert (process.returncode, err, out.splitlines()[3][:8]) == (0, "", "`- \\xe9 ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c() -> None:
    """Exit code 130 and a short line; the log is whole, and the tree says what was cancelled."""
    flow = """
name: patient
nodes:
  - name: wait
    run: |
      import pathlib, time
      pathlib.Path("ready").touch()
      for _ in range(6000):
          time.sleep(0.01)
"""
    # A shell that runs the tests in the background has its children ignore Ctrl-C.
    options = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with spawn("run", write_flow(flow), "--log-dir", "logs", **options) as process:
        while not Path("ready").exists() and process.poll() is None:
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    (log,) = Path("logs").iterdir()
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert (process.returncode, err.splitlines()[-1]) == (130, "tea-obs: interrupted")
    assert tree_of(out)[1:3] == ["patient  flow  cancelled", "└─ wait  python.run  cancelled"]
    assert [(one["node"], one["event_type"]) for one in events] == [
        ("flow", "entry"),
        ("python.run", "entry"),
        ("python.run", "error"),
        ("flow", "error"),
    ]
    assert "Traceback" not in err


def test_a_log_dir_that_the_flow_writes_to_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow's own file handler, --logging and --log-dir may name one file: each event is in it once."""
    handler = "{class: the_edge_obs.FlowFileHandler, path: 'logs/flow-{flow_id}.jsonl'}"
    write_flow(
        f"version: 1\nhandlers: {{files: {handler}}}\nloggers: {{tea: {{level: INFO, handlers: [files]}}}}\n", "logging.yaml"
    )
    write_flow("observability: {handlers: [{type: file}]}\nnodes: [{name: a, run: 'return {}'}]\n")
    assert main(["run", "flow.yaml", "--log-dir", "logs", "--logging", "logging.yaml"]) == 0
    out = capsys.readouterr().out
    assert out.count("\nlog  ") == 1
    (log,) = Path("logs").iterdir()
    assert len(log.read_text(encoding="utf-8").splitlines()) == 4
    assert ", 4 events\n" in out


def test_show_tells_what_an_export_has_lost_and_counts_copies_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What an exported flow log says of lost events stays, through another export too; a .gz copy adds nothing."""
    Path("a.json").write_text(json.dumps(build_flow_log(triage(), dropped=3).to_dict()), encoding="utf-8")
    assert main(["export", "a.json", "-o", "b.json"]) == 0
    assert main(["show", "b.json"]) == 0
    assert "3 events dropped by the ring buffer" in capsys.readouterr().out
    log = Path(write_log(triage(), "logs/a.jsonl"))
    Path("logs/a.jsonl.gz").write_bytes(gzip.compress(log.read_bytes()))
    assert main(["show", "logs"]) == 0
    assert ", 4 events\n" in capsys.readouterr().out


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "colour"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (_Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours(stream: io.StringIO, variables: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on a terminal that can, and only where NO_COLOR is not set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert view_for(stream).colour is colour


_OF_FLOWS = {"actions", "comparison", "flows", "formats", "integrations", "pages", "sql"}


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        (["ls"], _OF_FLOWS | {"configuration", "context", "flow_log", "instrumentation", "recording", "secrets"}),
        (["query", "--limit", "0"], _OF_FLOWS | {"configuration", "instrumentation"}),
        (["show"], _OF_FLOWS | {"configuration", "instrumentation", "recording"}),
    ],
)
def test_a_command_loads_only_what_it_needs(command: list[str], unused: set[str]) -> None:
    """The commands that read logs start without YAML, templates, flows, pages and the other commands."""
    code = "import sys; from the_edge_obs.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    name, *options = command
    done = subprocess.run(
        [sys.executable, "-c", code, name, write_log(triage()), *options], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    package = {module.removeprefix("the_edge_obs.") for module in loaded if module.startswith("the_edge_obs.")}
    heavy = {module.split(".")[0] for module in loaded} & {"asyncio", "duckdb", "jinja2", "yaml"}
    assert (heavy, {module.split(".")[0] for module in package} & unused) == (set(), set())
    assert {module for module in package if module.startswith("cli.") and "._" not in module} == {f"cli.{name}"}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each module of a command is in the list, whose help does not import it."""
    folder = Path(_program.__file__).parent
    modules = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert main(["--help"]) == 0
    shown = re.findall(r"^    (\w+) +\S", capsys.readouterr().out, re.MULTILINE)
    assert (set(shown), len(shown)) == (modules, len(modules))
