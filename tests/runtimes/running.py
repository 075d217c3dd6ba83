"""Runs of flows in both runtimes, and what of a run is compared."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from the_edge_obs import errors
from the_edge_obs.cli import main
from the_edge_obs.errors import ObservabilityError
from the_edge_obs.jsonl import read_events

from .asking import Rust, check_same, plain, refused

_OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ObservabilityError)}
_OF_ONE_RUN = ("flow_id", "span_id", "parent_id", "timestamp", "timing_ms", "duration_ms", "time_to_first_chunk_ms")
_OF_ONE_PLACE = ("_observability", "traceback", "where", "runtime", "resource", "path", "sha256")
_OF_LANGUAGES = ("cause", "errors", "notes")
_WORDS = {"error_type": "error", "type": "message"}  # of an error of this package, which each runtime phrases itself (N11)


@dataclass(frozen=True)
class Run:
    """How a run of a flow ended.

    Args:
        code: The exit code.
        state: The final state; None if there is none.
        log: The file of the log; None if there is none.
        said: What the program wrote to stderr and stdout.
    """

    code: int
    state: dict[str, Any] | None
    log: Path | None
    said: str


def run_in_python(flow: Path, folder: Path) -> Run:
    """Run a flow with ``tea-obs run``."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["run", *_arguments(flow, folder)])
    return _run(code, folder, said.getvalue())


def run_in_rust(program: Path, flow: Path, folder: Path) -> Run:
    """Run a flow with ``tea-obs-rs run``."""
    done = subprocess.run([str(program), "run", *_arguments(flow, folder)], capture_output=True, check=False, timeout=60)
    return _run(done.returncode, folder, (done.stderr + done.stdout).decode(errors="replace"))


def asked_of_rust(rust: Rust, flow: Path, folder: Path) -> Run:
    """Run a flow in the process that answers; it takes less time than to start one."""
    (folder / "logs").mkdir()
    answer = rust.ask("run", path=str(flow), folder=str(folder / "logs"))
    if refused(answer):
        return _run(2, folder, answer["error"])
    if "state" in answer:
        state = {key: value for key, value in answer["state"].items() if key != "_observability"}
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return _run(int("failure" in answer), folder, str(answer.get("failure", "")))


def _arguments(flow: Path, folder: Path) -> list[str]:
    return [str(flow), "-o", str(folder / "state.json"), "--log-dir", str(folder / "logs")]


def _run(code: int, folder: Path, said: str) -> Run:
    state = folder / "state.json"
    logs = sorted(folder.glob("logs/*.jsonl"))
    assert len(logs) <= 1, logs
    return Run(
        code, json.loads(state.read_text(encoding="utf-8")) if state.exists() else None, logs[0] if logs else None, said[-2_000:]
    )


def neutral(value: Any) -> Any:
    """Return a final state without what two runs do not share.

    These are ids, times, places in code, the words of this package's errors, and what a runtime keeps under ``_observability``.
    """
    if isinstance(value, list):
        return [neutral(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    made = {key: neutral(item) for key, item in value.items() if key not in _OF_ONE_PLACE}
    made.update(dict.fromkeys(key for key in _OF_ONE_RUN if key in made))
    for kind, words in _WORDS.items():
        if value.get(kind) in _OWN_ERRORS and words in made:
            made[words] = None
            made = {key: item for key, item in made.items() if key not in _OF_LANGUAGES}
    if isinstance(error := made.get("data"), Mapping) and value.get("event_type") == "error":
        inner = error.get("error")
        made["message"] = None if isinstance(inner, Mapping) and inner.get("type") in _OWN_ERRORS else made["message"]
    return made


def check_same_end(case: Any, python: Run, rust: Run) -> None:
    """Fail if two runs of a flow differ in their exit codes or final states."""
    shown = {"case": case, "Python said": python.said, "Rust said": rust.said}
    check_same(shown, [python.code, plain(neutral(python.state))], [rust.code, plain(neutral(rust.state))])


def normalised_by_rust(rust: Rust, log: Path) -> list[dict[str, Any]]:
    """Return a log as the Rust runtime normalises it."""
    events = list(read_events(log))
    made: list[dict[str, Any]] = rust.ask("normalise", events=events)
    return made
