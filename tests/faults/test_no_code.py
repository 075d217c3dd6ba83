"""Flows that want their code to run: under --no-code, and when they are only looked at, nothing they name is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# It is importable from the folder that the commands run in, and leaves a file behind when it is imported.
EVIL = """\
import pathlib
pathlib.Path("imported").touch()
f = print
def register_actions(registry, engine): registry["evil.act"] = f
"""

NODES = "nodes:\n  - {uses: json.parse, with: {text: '1'}}\n"
# Each flow, and the line of what brings its code.
FLOWS: dict[str, tuple[str, int]] = {
    "callback": ("observability:\n  handlers:\n    - type: callback\n      callback: evilmod:f\n" + NODES, 4),
    "off": ("observability:\n  enabled: false\n  handlers:\n    - {type: callback, callback: evilmod:f}\n" + NODES, 4),
    "prices": ("observability:\n  prices: evilmod:f\n" + NODES, 2),
    "imports": ("imports:\n  - {package: evilmod}\n" + NODES, 1),
    "path": ("imports: [{path: evilmod.py}]\n" + NODES, 1),
    "run": ("nodes:\n  - run: |\n      import evilmod\n", 2),
    "expression": ("nodes:\n  - run: {type: expression, value: \"__import__('evilmod')\"}\n", 2),
    "steps": ("nodes:\n  - name: a\n    steps:\n      - {run: import evilmod}\n", 4),
    "loop": (
        "nodes:\n  - type: while_loop\n    condition: 'true'\n    max_iterations: 1\n    body:\n      - {run: import evilmod}\n",
        6,
    ),
    "fan-out": ("nodes:\n  - type: dynamic_parallel\n    items: [1]\n    action:\n      run: import evilmod\n", 4),
    "env": ("nodes:\n  - uses: json.parse\n    with:\n      text: '{{ env.HOME }}'\n", 4),
    "env in a condition": (
        "nodes:\n  - {name: a, uses: json.parse, text: '1'}\nedges:\n  - {from: a, to: a, when: env.HOME}\n",
        4,
    ),
}
# Mistakes in any flow: links to objects, factories and classes are for a dictConfig.
REFUSED: dict[str, tuple[str, int]] = {
    "ext path": ("observability:\n  handlers:\n    - {type: file, path: 'ext://evilmod.f'}\n" + NODES, 3),
    "ext redact": ("observability:\n  redact:\n    keys: ['ext://evilmod.f']\n" + NODES, 3),
    "factory": ("observability:\n  handlers:\n    - {type: console, (): evilmod.f}\n" + NODES, 3),
    "class": ("observability:\n  handlers:\n    - {type: console, class: evilmod.f}\n" + NODES, 3),
    "redact factory": ("observability:\n  redact: {'()': evilmod.f}\n" + NODES, 2),
    "filters": ("observability:\n  filters: {a: {(): evilmod.f}}\n" + NODES, 2),
    "formatter": ("observability:\n  formatters: {a: {(): evilmod.f}}\n" + NODES, 2),
    "dictConfig": ("observability:\n  version: 1\n  handlers: {a: {class: evilmod.f}}\n" + NODES, 2),
    "tag": ("a: !!python/object/apply:evilmod.f []\n" + NODES, 1),
    "name tag": ("a: !!python/name:evilmod.f x\n" + NODES, 1),
}

COMMANDS = """\
import contextlib, io, json, sys
from the_edge_obs.cli import main
for arguments in json.load(sys.stdin):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(arguments)
    out.flush()
    sys.__stdout__.write(json.dumps([code, out.buffer.getvalue().decode()]) + "\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "evilmod.py").write_text(EVIL)
    for name, (text, _) in {**FLOWS, **REFUSED}.items():
        (tmp_path / f"{name}.yaml").write_text(dedent(text))
    (tmp_path / "parent.yaml").write_text("nodes:\n  - {flow: callback.yaml}\n")
    return tmp_path


def called(folder: Path, commands: list[list[str]]) -> list[list[Any]]:
    """Run commands in one process of its own, which can import what lies in the folder; return codes and outputs."""
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], input=json.dumps(commands), capture_output=True, text=True, cwd=folder, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command", ["run", "validate"])
def test_no_code_means_none(folder: Path, command: str) -> None:
    """Whatever brings code is refused with its file and line, in a sub-flow too, and nothing is imported."""
    names = [*FLOWS, *REFUSED]
    results = called(folder, [[command, "--no-code", f"{name}.yaml"] for name in (*names, "parent")])
    for name, (code, output) in zip(names, results, strict=False):
        line = {**FLOWS, **REFUSED}[name][1]
        assert (name, code, f"{name}.yaml:{line}: " in output) == (name, 2, True)
    assert results[-1][0] == 2
    assert "callback.yaml:4: observability.handlers[0].callback: 'evilmod:f' brings code" in results[-1][1]
    assert not (folder / "imported").exists()


def test_looking_at_a_flow_imports_no_callback(folder: Path) -> None:
    """config imports nothing at all; validate, without --no-code, what stands under imports alone."""
    results = called(folder, [["config", f"{name}.yaml"] for name in (*FLOWS, *REFUSED)])
    assert {code for code, _ in results} == {0, 2}
    assert '"evilmod:f"' in called(folder, [["config", "--format", "json", "callback.yaml"]])[0][1]
    shown = [name for name in FLOWS if name not in ("imports", "path")]
    assert [code for code, _ in called(folder, [["validate", f"{name}.yaml"] for name in shown])] == [0] * len(shown)
    assert not (folder / "imported").exists()
    assert called(folder, [["validate", "imports.yaml"]])[0][0] == 0
    assert (folder / "imported").exists()


def test_a_callback_that_is_missing_is_an_error_before_anything_runs(folder: Path) -> None:
    """It is looked up when the flow runs, and the message names the place in the block."""
    block = "observability:\n  handlers: [{type: callback, callback: 'no_such:f'}]\n"
    (folder / "none.yaml").write_text(block + "nodes:\n  - {uses: file.write, path: ran, content: x}\n")
    ((code, output),) = called(folder, [["run", "none.yaml"]])
    assert (code, "observability.handlers[0].callback: callback 'no_such:f' is not found" in output) == (2, True)
    assert not (folder / "ran").exists()


def test_with_code_it_runs(folder: Path) -> None:
    """The switch is what refuses: without it, the callback is imported and called."""
    ((code, _),) = called(folder, [["run", "callback.yaml"]])
    assert (code, (folder / "imported").exists()) == (0, True)
