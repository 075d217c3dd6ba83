"""Short flows, where opening and closing count, and a ring that has been full for long.

Processor time of the thread, because a busy machine takes turns away from all contenders. OpenTelemetry's batches, which another
thread exports, are left out for the same reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import the_edge_obs as obs

from .contenders import Contender, load
from .honesty import check_flows
from .node import NODE, SMALL
from .rounds import Plan, Row, interleaved, rows_of
from .variants import opened

MEMORY = "a flow, opened and closed: into memory"
FILE = "a flow, opened and closed: memory and JSONL file"
TASKS = "a flow of three calls in each task"
FRESH, AT_CAP = "small node, a fresh ring", "small node, the ring at its byte cap"
CALLS = 3  # of a node in the flow of a task
FLOWS = 150  # of 360 calls each: together they take more than the 64 MiB of a ring
CALLS_OF_FLOW = 360
EDGE = 40  # flows at the beginning, and at the end, that are compared


def flows(plan: Plan, names: list[str]) -> list[Row]:
    """Measure an empty flow, its beginning and its end logged: µs a flow, into memory, and then into a file as well.

    This package writes a file for each flow; the others have one file for all.
    """
    count = plan.calls // 5
    rows: list[Row] = []
    for variant, files in ((MEMORY, False), (FILE, True)):
        with opened(_who_logs_flows(names), files=files) as running:
            for contender in running.values():
                check_flows(contender)
            samplers = {name: partial(_in_flows, contender, contender.block, count) for name, contender in running.items()}
            rows += rows_of(variant, interleaved(plan.rounds, samplers), "µs/flow")
    return rows


def _who_logs_flows(names: list[str]) -> list[str]:
    return [name for name in names if load(name).logs_flows]


def _in_flows(contender: Contender, block: Callable[[], AbstractContextManager[Any]], count: int) -> float:
    contender.clear()
    start = time.thread_time_ns()
    for _ in range(count):
        with block():
            pass
    contender.finish()
    took = time.thread_time_ns() - start
    contender.clear()
    return took / count / 1000


def tasks_with_flows(plan: Plan, names: list[str]) -> list[Row]:
    """Measure asyncio tasks that each open a flow and run three nodes in it, each of which gives way once: µs a task."""
    with opened(_who_logs_flows(names)) as running:
        samplers = {
            name: partial(_in_tasks, contender, contender.observe_async(SMALL.acall, NODE), plan.tasks)
            for name, contender in running.items()
        }
        return rows_of(TASKS, interleaved(plan.rounds, samplers), "µs/task")


def _in_tasks(contender: Contender, observed: Callable[..., Any], count: int) -> float:
    params = SMALL.parameters()

    async def task() -> None:
        with contender.block():
            for _ in range(CALLS):
                await observed(params, {}, None)

    async def run() -> int:
        start = time.thread_time_ns()
        await asyncio.gather(*(task() for _ in range(count)))
        return time.thread_time_ns() - start

    contender.clear()
    took = asyncio.run(run())
    contender.finish()
    contender.clear()
    return took / count / 1000


def at_the_cap(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into a ring of default size: the first flows of a process, and those after it has filled up.

    The cap of bytes is that of each ring, so this concerns this package alone.
    """
    if "the_edge_obs" not in names:
        return []
    samples: dict[str, list[float]] = {FRESH: [], AT_CAP: []}
    for _ in range(max(1, plan.rounds // 5)):
        taken = _long_run()
        samples[FRESH] += taken[:EDGE]
        samples[AT_CAP] += taken[-EDGE:]
    return [row for variant in samples for row in rows_of(variant, {"the_edge_obs": samples[variant]}, "µs/node")]


def _long_run() -> list[float]:
    """Return the µs of a node in each of many flows, one after the other into one ring."""
    ring, tea, params = obs.RingBufferHandler(), logging.getLogger("tea"), SMALL.parameters()
    observed = obs.observable(NODE)(SMALL.call)
    before = tea.level
    tea.setLevel(logging.INFO)
    tea.addHandler(ring)
    taken = []
    for _ in range(FLOWS):
        with obs.flow("benchmark"):
            start = time.thread_time_ns()
            for _ in range(CALLS_OF_FLOW):
                observed(params, {}, None)
            taken.append((time.thread_time_ns() - start) / CALLS_OF_FLOW / 1000)
    tea.removeHandler(ring)
    tea.setLevel(before)
    if not ring.stats()["evicted_flows"]:
        raise AssertionError("the ring has not reached its cap: more flows are needed")
    return taken
