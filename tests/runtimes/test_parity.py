"""The fixtures of docs/parity.md in both runtimes: logs, final states and exit codes are equal, whoever checks them.

``nox -s runtimes -- tests/runtimes/test_parity.py`` builds the Rust runtime and runs these tests, and so does
``scripts/observability-parity-test.sh``.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from the_edge_obs.cli import main
from the_edge_obs.formats import FORMATS
from the_edge_obs.jsonl import read_events
from the_edge_obs.parity import main as parity
from the_edge_obs.store.file_ends import summary_of_file
from the_edge_obs.store.summaries import summarise

from .asking import EXPECTED, FAILING, FIXTURES, check_same
from .running import Run, check_same_end, neutral, run_in_python, run_in_rust

pytestmark = pytest.mark.slow

NAMES = sorted(path.stem for path in FIXTURES.glob("*.yaml"))
# Fixtures whose spans run at the same time, and those whose order could otherwise depend on chance.
_REPEATED = ["parallel", "branch_failure", "nested", "recovery"]
_TIMES = 50
_READING = ["recovery"]  # what this flow does depends on the log that it reads
_RUNTIMES = ["python", "rust"]


@cache
def expected(name: str) -> Any:
    """Return the expected log of a fixture."""
    return json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def runs(tea_obs_rs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what runs a fixture in a runtime: once, for all tests that look at the run."""

    @cache
    def run(name: str, runtime: str) -> Run:
        folder, flow = tmp_path_factory.mktemp(f"{name}-{runtime}"), FIXTURES / f"{name}.yaml"
        return run_in_python(flow, folder) if runtime == "python" else run_in_rust(tea_obs_rs, flow, folder)

    return run


def _called(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the Rust runtime's program."""
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60, encoding="utf-8")


@pytest.mark.parametrize("writer", _RUNTIMES)
@pytest.mark.parametrize("name", NAMES)
def test_both_validators_accept_the_log(
    runs: Any, tea_obs_rs: Path, name: str, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file, line by line and as a whole."""
    log = runs(name, writer).log
    assert main(["validate", str(log)]) == 0, capsys.readouterr()
    assert parity(["--strict", str(log)]) == 0, capsys.readouterr()
    done = _called(tea_obs_rs, "validate", "--strict", log)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("writer", _RUNTIMES)
@pytest.mark.parametrize("name", NAMES)
def test_both_normalisers_give_the_expected_log(
    runs: Any, tea_obs_rs: Path, name: str, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the log of either runtime."""
    log = runs(name, writer).log
    assert parity(["--strict", str(log)]) == 0
    by_python = json.loads(capsys.readouterr().out)
    by_rust = json.loads(_called(tea_obs_rs, "parity", "--strict", log).stdout)
    check_same((name, writer, "expected, and normalised by Python"), expected(name), by_python)
    check_same((name, writer, "expected, and normalised by Rust"), expected(name), by_rust)


@pytest.mark.parametrize("writer", _RUNTIMES)
@pytest.mark.parametrize("name", NAMES)
def test_both_runtimes_write_totals(runs: Any, name: str, writer: str) -> None:
    """Those that a complete reading counts, so that two lines of the file are enough for a list."""
    log = runs(name, writer).log
    assert [summary_of_file(log)] == summarise(read_events(log))


@pytest.mark.parametrize("name", NAMES)
def test_both_runtimes_end_alike(runs: Any, name: str) -> None:
    """With the same final state and exit code."""
    python, rust = runs(name, "python"), runs(name, "rust")
    check_same_end(name, python, rust)
    assert (rust.code, rust.state is None) == (int(name in FAILING), name in FAILING)


@pytest.mark.parametrize("name", NAMES)
def test_the_parity_commands_agree(tea_obs_rs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a flow: the same output, and the same exit code."""
    code = parity(["--strict", str(FIXTURES / f"{name}.yaml")])
    out, err = capsys.readouterr()
    done = _called(tea_obs_rs, "parity", "--strict", FIXTURES / f"{name}.yaml")
    assert (code, done.returncode) == (int(name in FAILING), int(name in FAILING)), (err, done.stderr)
    check_same(name, json.loads(out), json.loads(done.stdout))
    check_same(name, expected(name), json.loads(done.stdout))


@pytest.mark.parametrize("name", _REPEATED)
def test_the_log_does_not_depend_on_chance(tea_obs_rs: Path, name: str) -> None:
    """Each of many runs has the expected log."""
    for number in range(_TIMES):
        done = _called(tea_obs_rs, "parity", "--strict", FIXTURES / f"{name}.yaml")
        assert (done.returncode, "problem" in done.stderr) == (int(name in FAILING), False), done.stderr
        check_same((name, f"run {number}"), expected(name), json.loads(done.stdout))


def test_exit_codes_of_bad_input(tea_obs_rs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2 for bad usage, files that are missing or not logs, flows with mistakes, and logs with problems."""
    broken, empty, invalid = tmp_path / "flow.yaml", tmp_path / "empty.jsonl", tmp_path / "log.jsonl"
    broken.write_text("nodes: [{uses: no.action}]\n", encoding="utf-8")
    empty.write_text("", encoding="utf-8")
    invalid.write_text("{}\n", encoding="utf-8")
    for path in (tmp_path / "absent.yaml", tmp_path / "absent.jsonl", broken, empty, invalid):
        assert parity(["--strict", str(path)]) == 2
        done = _called(tea_obs_rs, "parity", "--strict", path)
        assert (done.returncode, done.stdout, done.stderr != "") == (2, "", True)
    for command in ([], ["--nothing", str(broken)]):
        assert parity(command) == 2
        assert _called(tea_obs_rs, "parity", *command).returncode == 2
    for command in (["run", str(broken)], ["validate", str(broken)], ["validate", str(invalid)], ["validate", str(empty)]):
        assert _called(tea_obs_rs, *command).returncode == 2
        assert main(command) == 2
    capsys.readouterr()


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_of_an_export_is_written_or_named_as_pythons(tea_obs_rs: Path, runs: Any, name: str, tmp_path: Path) -> None:
    """``tea-obs-rs`` never calls a format unknown that Python has, and its help names all of them."""
    done = _called(tea_obs_rs, "export", runs("linear", "rust").log, "--format", name, "-o", tmp_path / "out")
    problem = f'format "{name}" is not written here; allowed: json, jsonl; export jsonl, and use Python\'s tea-obs export on it'
    if name in ("json", "jsonl"):
        assert (done.returncode, (tmp_path / "out").exists()) == (0, True)
    else:
        assert (done.returncode, problem in done.stderr, (tmp_path / "out").exists()) == (2, True, False), done.stderr
    assert name in _called(tea_obs_rs, "export", "--help").stdout


@pytest.mark.parametrize("name", NAMES)
def test_without_recording_a_flow_ends_as_if_unobserved(tea_obs_rs_bare: Path, runs: Any, name: str, tmp_path: Path) -> None:
    """The program that was built without it ends as Python's run that logs nothing does, and writes no log.

    The final state is also that of the observed run, but for the results of ``obs.*``, which have no log to read or add to.
    """
    flow = yaml.safe_load((FIXTURES / f"{name}.yaml").read_text(encoding="utf-8"))
    flow["observability"]["enabled"] = False
    for node in flow["nodes"]:
        if "flow" in node:  # the other flow is looked for beside this one
            node["flow"] = str(FIXTURES / node["flow"])
    unobserved, quiet = tmp_path / f"{name}.yaml", tmp_path / "python"
    unobserved.write_text(yaml.safe_dump(flow, allow_unicode=True, sort_keys=False), encoding="utf-8")
    quiet.mkdir()
    python, rust, observed = (
        run_in_python(unobserved, quiet),
        run_in_rust(tea_obs_rs_bare, FIXTURES / f"{name}.yaml", tmp_path),
        runs(name, "rust"),
    )
    check_same_end(name, python, rust)
    assert (python.log, rust.log) == (None, None)
    assert "nothing is logged: this program was built without the feature record" in rust.said
    if name not in _READING:
        check_same(name, _without_logging(observed.state), _without_logging(rust.state))


def _without_logging(state: dict[str, Any] | None) -> Any:
    """Return a final state without the results of ``obs.log_event``, which the fixtures call ``logged``."""
    return neutral({key: value for key, value in (state or {}).items() if key != "logged"})
