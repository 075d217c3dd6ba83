"""What reading back costs: one flow of many, flow logs, queries of large files; and what importing costs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import the_edge_obs as obs
from the_edge_obs.event import dumps

from .contenders import Contender, missing
from .honesty import require
from .node import CHAT, NODE, RESULT, SMALL, Payload, nested_parameters, parameters, redacted
from .rounds import Plan, Row, interleaved, rows_of
from .variants import opened

FLOW_EVENTS = 1_000
LONG, HALF, SHORT = "get_flow_log, long flow", "get_flow_log, half of it", "get_flow_log, 1,000 events"
RING = "query of a long flow in a ring"
QUERY, MEMORY, IMPORT = "query of a JSONL file", "peak memory of a query", "import"
LOADS = "json.loads of every line"
BASELINE, OURS, OURS_USED = "logging, json", "the_edge_obs", "the_edge_obs and its main names"


def one_of_many(plan: Plan, names: list[str]) -> list[Row]:
    """Measure reading one flow of 1,000 events back, with many such flows in memory: ms."""
    return [row for payload in (SMALL, CHAT) for name in names for row in _read_back(plan, name, payload)]


def _read_back(plan: Plan, name: str, payload: Payload) -> list[Row]:
    with opened([name], capacity=FLOW_EVENTS + 10) as running:
        for contender in running.values():
            if contender.keeps_ids:
                flows = [_filled(contender, FLOW_EVENTS // 2, payload) for _ in range(plan.flows // payload.share)]
                contender.finish()
                chosen = random.Random(0)
                samples = interleaved(plan.rounds, {name: partial(_read_any, contender, flows, chosen)})
                return rows_of(payload.variant("read 1 flow of many"), samples, "ms")
    return []


def _filled(contender: Contender, calls: int, payload: Payload) -> Any:
    observed, params = contender.observe(payload.call, NODE), payload.parameters()
    with contender.flow() as (flow_id, _):
        for _ in range(calls):
            observed(params, {}, None)
    return flow_id


def _read_any(contender: Contender, flows: list[Any], chosen: random.Random) -> float:
    return _read(contender, chosen.choice(flows))


def _read(contender: Contender, flow_id: Any) -> float:
    start = time.perf_counter_ns()
    events = contender.events(flow_id)
    took = time.perf_counter_ns() - start
    count = sum(event.node == NODE for event in events)
    require(count == FLOW_EVENTS, contender, f"{count} events were read back of {FLOW_EVENTS}")
    return took / 1e6


def flow_logs(plan: Plan, names: list[str]) -> list[Row]:
    """Measure ``get_flow_log`` with a walk of its tree: µs an event of a flow of 1,000, of a long one, and of half of it.

    Beside it, a query of the long one by node, level and time, as of a file.

    Processor time of the thread, because a busy machine takes turns away.
    """
    undo = obs.configure({"buffer_size": plan.events + 100})
    try:
        samplers: dict[str, Callable[[], float]] = {}
        for variant, size in ((SHORT, 1_000), (HALF, plan.events // 2), (LONG, plan.events)):
            flow_id = _nested(size)
            samplers[variant] = partial(_flow_log, flow_id, size)
        samplers[RING] = partial(_query_ring, flow_id, plan.events)
        samples = interleaved(max(5, plan.rounds // 2), samplers)
    finally:
        undo()
    return [row for variant, taken in samples.items() for row in rows_of(variant, {"the_edge_obs": taken}, "µs/event")]


def _nested(events: int) -> str:
    """Log a flow of so many events: spans of one node with nine below it; return its id."""
    inner = obs.observable(NODE)(SMALL.call)
    params = parameters()
    with obs.flow("nested") as run:
        left = events // 2 - 1
        while left > 0:
            below = min(9, left - 1)
            with obs.span("plan", below=below):
                for _ in range(below):
                    inner(params, {}, None)
            left -= below + 1
    return run.flow_id


def _flow_log(flow_id: str, events: int) -> float:
    start = time.thread_time_ns()
    log = obs.get_flow_log(flow_id)
    walked = sum(1 for _ in log.walk())
    took = time.thread_time_ns() - start
    assert (len(log.events), walked, log.metrics["node_count"]) == (events, events // 2, events // 2 - 1), "events are missing"
    return took / events / 1000


def _query_ring(flow_id: str, events: int) -> float:
    start = time.thread_time_ns()
    found = obs.query(flow_id, node="plan", level="info", start_time=_START)
    took = time.thread_time_ns() - start
    assert len(found) == 2 * -(-(events // 2 - 1) // 10), f"the query found {len(found)} events"
    return took / events / 1000


# --- files ---

_START = 1_750_000_000.0
_STEP = 0.001  # seconds between two lines
_NODES = ("llm.call", "http.get", "file.read", "memory.store", "http.post", "json.parse", "rank")


def queries(plan: Plan, names: list[str]) -> list[Row]:
    """Measure a query by node, level and time over a file of many lines, beside the plain loop; and its peak memory.

    The plain loop is what one writes by hand: ``json.loads`` of every line and three comparisons.
    """
    with TemporaryDirectory() as folder:
        path, tenth = Path(folder, "large.jsonl"), Path(folder, "tenth.jsonl")
        write_log(path, plan.lines)
        write_log(tenth, plan.lines // 10)
        start = _START + plan.lines // 2 * _STEP
        found: dict[str, int] = {}
        samplers = {
            "the_edge_obs": partial(
                _timed, found, "ours", lambda: obs.query(path, node="http.*", level="error", start_time=start)
            ),
            LOADS: partial(_timed, found, "loop", lambda: list(_plain_loop(path, start))),
        }
        samples = interleaved(3, samplers, warm=False)
        assert found["ours"] == found["loop"] > 0, f"the query and the plain loop differ: {found}"
        rows = rows_of(QUERY, samples, "s")
        return [*rows, _peak(path, plan.lines), _peak(tenth, plan.lines // 10)]


def write_log(path: Path, lines: int) -> None:
    """Write events of several nodes, one in 50 an error; some texts look like the keys of an error."""
    ids = random.Random(1)
    flow = "5d9c1e0a-7b1f-4c58-9a39-"
    quoted = 'an answer that quotes {"level":"error","node":"http.get"}'
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            failed = number % 50 == 7
            data: dict[str, Any] = {"output": RESULT} if number % 2 else {"input": redacted(nested_parameters())}
            if failed:
                data = {"error": {"type": "TimeoutError", "message": "timed out"}}
            elif number % 11 == 0:
                data = {"output": quoted}
            event = {
                "flow_id": f"{flow}{number // 1000:012x}",
                "span_id": f"{flow[:19]}8{number % 4096:03x}-{ids.getrandbits(48):012x}",
                "parent_id": f"{flow[:19]}8000-{number // 1000:012x}",
                "node": _NODES[number % 7],
                "level": "error" if failed else "info",
                "timestamp": round(_START + number * _STEP, 6),
                "event_type": "error" if failed else "exit" if number % 2 else "entry",
                "message": None,
                "data": data,
                "metrics": {"duration_ms": 12.5} if failed or number % 2 else {},
            }
            file.write(dumps(event) + "\n")


def _timed(found: dict[str, int], name: str, run: Callable[[], list[Any]]) -> float:
    start = time.perf_counter_ns()
    found[name] = len(run())
    return (time.perf_counter_ns() - start) / 1e9


def _plain_loop(path: Path, start: float) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            event = json.loads(line)
            if event["node"].startswith("http.") and event["level"] == "error" and event["timestamp"] >= start:
                yield event


def _peak(path: Path, lines: int) -> Row:
    """Return the peak memory of a query that finds as much in a small file as in a large one: its last lines."""
    last = _START + (lines - 5_000) * _STEP
    tracemalloc.start()
    obs.query(path, node="http.*", level="error", start_time=last)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Row(MEMORY, f"{lines:,} lines", peak / 1e6, peak / 1e6, "MB")


# --- import ---

_PATHS = [path for path in sys.path if path]
_PEERS = {"structlog": "structlog", "loguru": "loguru", "eliot": "eliot", "opentelemetry": "opentelemetry.sdk.trace"}
_PROBE = """
import sys, time
sys.path[:] = {paths!r}
start = time.perf_counter_ns()
import logging, json
{statement}
print(time.perf_counter_ns() - start, "yaml" in sys.modules, "jinja2" in sys.modules)
"""


def imports(plan: Plan, names: list[str]) -> list[Row]:
    """Measure ms of imports above ``import logging, json`` in fresh processes, isolated and without ``site``."""
    statements = {
        BASELINE: "",
        OURS: "import the_edge_obs",
        OURS_USED: "from the_edge_obs import flow, get_flow_log, observable, query, span; import the_edge_obs.handlers",
    }
    statements |= {name: f"import {module}" for name, module in _PEERS.items() if name in names and not missing(name)}
    samplers = {name: partial(_import, statement) for name, statement in statements.items()}
    samples = interleaved(plan.processes, samplers)
    return rows_of(IMPORT, samples, "ms", bare=BASELINE)


def _import(statement: str) -> float:
    code = _PROBE.format(paths=_PATHS, statement=statement)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    took, *loaded = done.stdout.split()
    assert "the_edge_obs" not in statement or loaded == ["False", "False"], f"{statement!r} loads yaml or jinja2"
    return int(took) / 1e6
