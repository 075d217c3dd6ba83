"""A run that Python recorded, with a model and actions that only it has, is replayed by Rust, and the two logs do not differ.

``nox -s runtimes -- tests/runtimes/test_replay.py`` builds the Rust runtime and runs these tests, and so does
``scripts/observability-parity-test.sh``.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.parity import main as parity

pytestmark = pytest.mark.slow

# Branches with equal calls, a loop, retries, hard and soft failures, a sub-flow, actions that only Python has.
FLOW = """
name: agent
initial_state: {items: [a, b, a, c], n: 0}
nodes:
  - {name: login, uses: shop.login, with: {user: ada, password: '{{ state.password }}'}, output: login}
  - name: all
    type: dynamic_parallel
    items: '{{ state.items }}'
    steps:
      - {name: ask, uses: llm.call, with: {prompt: equal for all, model: live}, output: asked}
      - {name: again, uses: llm.call, with: {prompt: 'again {{ state.asked.content }}', model: live}, output: again}
    output: answers
  - name: rounds
    type: while_loop
    condition: '{{ state.n < 3 }}'
    max_iterations: 5
    body:
      - name: ask
        uses: llm.call
        with: {prompt: round, model: live}
        output: {n: '{{ state.n + 1 }}', last: '{{ result.content }}'}
  - {name: busy, uses: shop.busy, with: {}, on_error: {mode: retry, max_retries: 2, delay: 0.001, fallback: soft}}
  - {name: never, uses: llm.call, with: {prompt: never, model: live}}
  - {name: soft, uses: shop.soft, with: {stock: '{{ state.__error__.message }}'}, output: soft}
  - name: inner
    flow: inner.yaml
    with: {topic: '{{ state.soft.error }} in {{ flow_dir }}', run: '{{ state.flow_id }}'}
    output: inner
  - {name: read, uses: json.parse, with: {text: '[1, 2.5]'}, output: read}
  - {name: wait, uses: shop.rank, with: {items: '{{ state.read.data }}', token: '{{ state.login.token }}'}, output: ranked}
"""
INNER = """
name: inner
nodes:
  - name: draft
    uses: llm.call
    with: {prompt: 'write about {{ state.topic }}', model: live, extra_body: {run: '{{ state.run }}'}}
    output: draft
"""
FAILING = "\n  - {name: fatal, uses: shop.fatal, with: {}}\n"


def live_actions() -> dict[str, Callable[..., Any]]:
    """Return a live model, whose answers differ from call to call, and what else only Python has."""
    count = itertools.count(1)

    def ask(prompt: str, model: str, **_: Any) -> dict[str, Any]:
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        return {"content": f"{prompt} {next(count)}", "usage": usage, "cost_usd": 0.25}

    def login(user: str, password: str) -> dict[str, str]:
        return {"token": "tok-83hd72hs-91jd", "greeting": f"hello {user}"}

    def busy() -> None:
        raise TimeoutError(f"busy {next(count)}")

    def fatal() -> None:
        raise RuntimeError("out of stock") from ValueError("none left")

    def soft(stock: str) -> dict[str, Any]:
        return {"success": False, "error": f"no stock: {stock}", "error_type": "empty"}

    def rank(items: list[float], token: str) -> list[float]:
        return sorted(items, reverse=True)

    return {"llm.call": ask, "shop.login": login, "shop.busy": busy, "shop.fatal": fatal, "shop.soft": soft, "shop.rank": rank}


def flow_in(folder: Path, text: str = FLOW) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "inner.yaml").write_text(INNER, encoding="utf-8")
    (folder / "agent.yaml").write_text(text, encoding="utf-8")
    return folder / "agent.yaml"


def recorded_by_python(flow: Path, folder: Path, actions: dict[str, Callable[..., Any]], **block: Any) -> Path:
    """Run a flow in Python, and return its log."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(folder / "flow-{flow_id}.jsonl")}], **block})
    try:
        flows.load(flow, actions).run({"password": "hunter2xyz"})
    except RuntimeError:
        pass
    finally:
        undo()
    (log,) = folder.glob("*.jsonl")
    return log


def replayed_by_rust(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(program), "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60, encoding="utf-8")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a flow file and the log of its run in Python."""
    folder = tmp_path_factory.mktemp("recorded")
    flow = flow_in(folder / "flow")
    return flow, recorded_by_python(flow, folder, live_actions())


@pytest.mark.parametrize("more", ["", FAILING])
def test_rust_replays_what_python_recorded(tea_obs_rs: Path, tmp_path: Path, more: str) -> None:
    """Without network, models and actions of Python; also a run that failed."""
    flow = flow_in(tmp_path / "flow", FLOW.rstrip() + more)
    log = recorded_by_python(flow, tmp_path, live_actions())
    for number in range(5):
        done = replayed_by_rust(tea_obs_rs, log, flow, "--log-dir", tmp_path / f"new-{number}")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.startswith("no differences, "), done.stdout
        assert f"{19 if more else 18} answered from the log, 0 live, 0 recorded ones not asked for" in done.stdout
        (new,) = (tmp_path / f"new-{number}").glob("*.jsonl")
        found = obs.diff(log, new)
        assert not found, str(found)
        assert "no differences" in str(found)
    replayed = obs.get_flow_log(new)
    assert (replayed.metrics["tokens"], replayed.metrics["cost_usd"]) == (0, 0)
    assert replayed.events[0]["data"]["replay_of"] == obs.get_flow_log(log).flow_id
    assert parity(["--strict", str(new)]) == 0
    assert subprocess.run([str(tea_obs_rs), "validate", "--strict", str(new)], check=False, capture_output=True).returncode == 0


def test_another_folder_is_no_difference(tea_obs_rs: Path, recorded: tuple[Path, Path], tmp_path: Path) -> None:
    """As in CI."""
    done = replayed_by_rust(tea_obs_rs, recorded[1], flow_in(tmp_path / "elsewhere"))
    assert (done.returncode, done.stderr, done.stdout[:15]) == (0, "", "no differences,")
