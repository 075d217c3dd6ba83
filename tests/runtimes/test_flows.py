"""Flows that Hypothesis writes, in both runtimes: exit code, final state and normalised log are equal.

``nox -s runtimes -- tests/runtimes/test_flows.py --hypothesis-profile nightly`` tries many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import event, given

from the_edge_obs.jsonl import read_events
from the_edge_obs.parity import normalise
from the_edge_obs.store.validation import check_whole

from .asking import Rust, check_same
from .flow_files import CHILD, flows
from .running import Run, asked_of_rust, check_same_end, normalised_by_rust, run_in_python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder with the flow that others may call."""
    with TemporaryDirectory() as name:
        Path(name, "child.yaml").write_text(json.dumps(CHILD), encoding="utf-8")
        yield Path(name)


def _runs(rust: Rust, flow: dict[str, Any], folder: Path) -> tuple[Run, Run]:
    path, written = folder / "flow.yaml", json.dumps(flow, ensure_ascii=False, indent=1)
    path.write_text(written, encoding="utf-8")
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        in_python, in_rust = run_in_python(path, Path(one)), asked_of_rust(rust, path, Path(two))
        return _kept(in_python, folder / "python.jsonl"), _kept(in_rust, folder / "rust.jsonl")


def _kept(run: Run, path: Path) -> Run:
    """Move the log of a run to where it outlives the folder of the run."""
    if run.log is None:
        return run
    return Run(run.code, run.state, run.log.replace(path), run.said)


def _faults(log: Path) -> list[str]:
    """Return the problems of a log, without those of S8: a process may be off the processor for longer than that allows."""
    return [problem for _, problem in check_whole(log) if "within its parent" not in problem]


@given(flows())
def test_flows(rust: Rust, folder: Path, flow: dict[str, Any]) -> None:
    """Within the rules F1 to F8."""
    case = json.dumps(flow, ensure_ascii=False)
    in_python, in_rust = _runs(rust, flow, folder)
    event(f"exit code {in_python.code}")
    check_same_end(case, in_python, in_rust)
    assert (in_python.log is None) == (in_rust.log is None), case
    if in_python.log is None or in_rust.log is None:
        return  # the flow was refused, by both
    assert (_faults(in_python.log), _faults(in_rust.log)) == ([], []), case
    by_python, by_rust = (normalise(list(read_events(run.log))) for run in (in_python, in_rust) if run.log)
    check_same(case, by_python, by_rust)
    check_same(case, by_rust, normalised_by_rust(rust, in_rust.log))
