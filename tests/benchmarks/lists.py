"""What lists of many runs cost: ``tea-obs ls`` and ``show --flow`` as whole processes, beside ``json.loads`` of every line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import the_edge_obs as obs

from .reading import LOADS
from .rounds import Plan, Row, interleaved, rows_of

EVENTS = 55  # of a run
_SHARE = 5  # a fifth of the runs is in the folder in which one is shown
_MORE = 10  # times as many runs, of which a few are listed


def lists(plan: Plan, names: list[str]) -> list[Row]:
    """Measure lists of runs: seconds of whole processes, imports included, and the most memory that they hold."""
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        path, content, flow_id = Path(folder), *_run()
        last = _write(path, content, flow_id, 0, plan.runs // _SHARE)
        rows += _measured(f"show --flow in {plan.runs // _SHARE:,} runs", ["show", folder, "--flow", last[:12]], path, "ok, ")
        _write(path, content, flow_id, plan.runs // _SHARE, plan.runs)
        rows += _measured(f"ls of {plan.runs:,} runs", ["ls", folder], path, f"{plan.runs:,} runs")
        _write(path, content, flow_id, plan.runs, _MORE * plan.runs)
        rows += _measured(f"ls --limit 20 of {_MORE * plan.runs:,} runs", ["ls", folder, "--limit", "20"], path, "20 runs")
    return rows


def _run() -> tuple[bytes, str]:
    """Log a run of an agent; return the content of its file, and its id."""
    plain = obs.observable("tool.get")(lambda params, state, ctx: {"result": "fine", "n": 3})
    answer = {"content": "an answer of some length, as models give them", "usage": {"prompt_tokens": 30, "completion_tokens": 40}}
    call = obs.observable("llm.call")(lambda params, state, ctx: answer)
    with TemporaryDirectory() as folder:
        handler, tea = obs.FlowFileHandler(Path(folder, "{flow_id}.jsonl")), logging.getLogger("tea")
        level = tea.level
        tea.setLevel(logging.INFO)
        tea.addHandler(handler)
        try:
            with obs.flow("triage", topic="cats") as run:
                for number in range(5):
                    with obs.span("step", number=number):
                        for observed in (plain, call, plain, plain):
                            observed({"prompt": "what is the weather like in Paris today", "n": number}, {}, None)
                plain({}, {}, None)
                run.log("note", message="done")
        finally:
            tea.removeHandler(handler)
            tea.setLevel(level)
            handler.close()
        content = Path(folder, f"{run.flow_id}.jsonl").read_bytes()
    events = content.count(b"\n")
    assert events == EVENTS, f"{events} events instead of {EVENTS}"
    return content, run.flow_id


def _write(folder: Path, content: bytes, flow_id: str, start: int, stop: int) -> str:
    """Write copies of a run under ids of their own, which are as long; return the last id."""
    name = flow_id
    for number in range(start, stop):
        name = str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))
        copy = content.replace(flow_id.encode(), name.encode()).replace(flow_id[:19].encode(), name[:19].encode())
        (folder / f"flow-{name}.jsonl").write_bytes(copy)
    return name


def _measured(variant: str, command: list[str], folder: Path, says: str) -> list[Row]:
    peaks: list[float] = []
    samplers: dict[str, Callable[[], float]] = {
        "the_edge_obs": partial(_called, command, says, peaks),
        LOADS: partial(_loaded, folder),
    }
    rows = rows_of(variant, interleaved(3, samplers, warm=False), "s")
    return [*rows, Row(f"{variant}, peak memory", "the_edge_obs", min(peaks), max(peaks), "MB")]


def _called(command: list[str], says: str, peaks: list[float]) -> float:
    start = time.perf_counter_ns()
    process = subprocess.Popen([sys.executable, "-m", "the_edge_obs", *command], stdout=subprocess.PIPE)
    out, _ = process.communicate()
    took = (time.perf_counter_ns() - start) / 1e9
    assert process.returncode == 0, f"{command}: exit code {process.returncode}"
    assert says.encode() in out.splitlines()[-1], f"{command}: {out[-200:]!r}"
    peaks.append(_peak(command))
    return took


# Before a process has started its program, it counts the memory of the one that made it. So a small one starts the command.
_PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss)
"""


def _peak(command: list[str]) -> float:
    """Return the most memory that a command holds, in MB."""
    measured = [sys.executable, "-c", _PEAK, sys.executable, "-m", "the_edge_obs", *command]
    peak = int(subprocess.run(measured, stdout=subprocess.PIPE, check=True).stdout)
    return peak * (1 if sys.platform == "darwin" else 1_024) / 1e6  # macOS counts in bytes


def _loaded(folder: Path) -> float:
    start = time.perf_counter_ns()
    events = 0
    for path in folder.iterdir():
        with path.open("rb") as file:
            events += sum(1 for _ in map(json.loads, file))
    assert events == EVENTS * sum(1 for _ in folder.iterdir()), "events are missing"
    return (time.perf_counter_ns() - start) / 1e9
