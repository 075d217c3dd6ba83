"""What logging a node costs: in time, in threads, in tasks, in bytes."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.handlers import lines
from the_edge_obs.redaction.snapshots import snapshot

from .contenders import Contender, available, load
from .honesty import check, check_tasks, check_threads
from .node import NODE, REDACTED, RESULT, acall, call, nested_parameters, parameters
from .rounds import Plan, Row, interleaved, rows_of

BARE = "bare call"
WITHOUT_ORJSON = "memory and JSONL file, without orjson"
ROOMY = 10_000  # events a flow: none is evicted in a sample
THREADS = {"1 thread": 1, "2 threads": 2, "4 threads": 4, "8 threads": 8}
LONGER = 5  # times as many calls in a sample of threads
DEFAULT_RING = 1_000  # events a flow: every call of a long flow evicts two


@contextmanager
def opened(
    names: list[str], *, capacity: int = ROOMY, files: bool = False, level: str = "info"
) -> Iterator[dict[str, Contender]]:
    """Yield those contenders that know the level (and can write, if files are asked for), each checked for honesty."""
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        for name in available(names):
            kind = load(name)
            if level not in kind.levels or (files and not kind.writes):
                continue
            folder = Path(stack.enter_context(TemporaryDirectory())) if files else None
            running[name] = contender = kind(capacity, folder, level)
            stack.callback(contender.close)
            if level == "info":
                check(contender)
        yield running


def _loop(observed: Callable[..., Any], calls: int, params: dict[str, Any] | None = None) -> int:
    params, state = params or parameters(), {}
    start = time.perf_counter_ns()
    for _ in range(calls):
        observed(params, state, None)
    return time.perf_counter_ns() - start


def _sample(contender: Contender, observed: Callable[..., Any], calls: int, params: dict[str, Any]) -> float:
    """Return µs a call inside a flow of its own; the flow's own cost, and its reading back, are not in it."""
    contender.clear()
    with contender.flow():
        took = _loop(observed, calls, params)
        start = time.perf_counter_ns()
        contender.finish()
        took += time.perf_counter_ns() - start
    contender.clear()
    return took / calls / 1000


def per_call(variant: str, plan: Plan, names: list[str], *, nested: bool = False, **settings: Any) -> list[Row]:
    """Return µs a node above the bare call; the settings are those of ``opened``."""
    params = nested_parameters() if nested else parameters()
    with opened(names, **settings) as running:
        samplers: dict[str, Callable[[], float]] = {
            name: partial(_sample, contender, contender.observe(call, NODE), plan.calls, params)
            for name, contender in running.items()
        }
        samplers[BARE] = lambda: _loop(call, plan.calls) / plan.calls / 1000
        return rows_of(variant, interleaved(plan.rounds, samplers), "µs/node", bare=BARE)


def in_memory(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory with room for all of them."""
    return per_call("into memory", plan, names)


def nested_in_memory(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the same with parameters that have containers in them."""
    return per_call("into memory, nested", plan, names, nested=True)


def full_ring(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory where 1,000 events a flow are kept: a long flow, most calls evict."""
    return per_call("into a full ring", plan, names, capacity=DEFAULT_RING)


def with_file(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory and a JSONL file, each line with the operating system when the call returns.

    The second time this package encodes with the standard library, as it does without the extra ``fast``; eliot has orjson both
    times.
    """
    rows = per_call("memory and JSONL file", plan, names, files=True)
    with patch.object(lines, "_dump", lines._by_json):
        return rows + per_call(WITHOUT_ORJSON, plan, [name for name in names if name in ("the_edge_obs", "eliot")], files=True)


def filtered(plan: Plan, names: list[str]) -> list[Row]:
    """Measure a node whose events the level filters."""
    return per_call("filtered by level", plan, names, level="warn")


def off(plan: Plan, names: list[str]) -> list[Row]:
    """Measure a node with logging off: nothing configured, or the peer's own switch."""
    return per_call("off", plan, names, level="off")


def threads(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the same number of calls on 1, 2, 4 and 8 threads at once, a flow each: µs of wall time a node.

    What as many threads take that make bare calls is taken off, as everywhere: starting and joining them is nobody's logging. The
    samples are longer than elsewhere, or what each thread needs to get going would be much of them.
    """
    calls = LONGER * plan.calls
    with opened(names, capacity=LONGER * ROOMY) as running:
        for contender in running.values():
            check_threads(contender)
        samplers: dict[tuple[str, str], Callable[[], float]] = {
            (variant, name): partial(_in_threads, contender, contender.observe(call, NODE), count, calls)
            for name, contender in running.items()
            for variant, count in THREADS.items()
        }
        samplers |= {(variant, BARE): partial(_in_threads, None, call, count, calls) for variant, count in THREADS.items()}
        samples = interleaved(plan.rounds, samplers)
    return [
        row
        for wanted in THREADS
        for row in rows_of(
            wanted, {name: taken for (variant, name), taken in samples.items() if variant == wanted}, "µs/node", bare=BARE
        )
    ]


def _in_threads(contender: Contender | None, observed: Callable[..., Any], count: int, calls: int) -> float:
    if contender is not None:
        contender.clear()
    started: list[int] = []
    # The clock is read by the last to arrive, before anybody runs: the main thread may have to wait for its turn.
    ready = threading.Barrier(count, action=lambda: started.append(time.perf_counter_ns()))

    def work() -> None:
        with contender.flow() if contender is not None else nullcontext():
            ready.wait()
            _loop(observed, calls // count)

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if contender is not None:
        contender.finish()
    took = time.perf_counter_ns() - started[0]
    if contender is not None:
        contender.clear()
    return took / (calls // count * count) / 1000


def tasks(plan: Plan, names: list[str]) -> list[Row]:
    """Measure asyncio tasks that each run one node which gives way once, all in one flow: µs a task above the bare ones."""
    with opened(names) as running:
        for contender in running.values():
            check_tasks(contender)
        samplers: dict[str, Callable[[], float]] = {
            name: partial(_in_tasks, contender, contender.observe_async(acall, NODE), plan.tasks)
            for name, contender in running.items()
        }
        samplers[BARE] = partial(_in_tasks, None, acall, plan.tasks)
        return rows_of(f"{plan.tasks:,} asyncio tasks", interleaved(plan.rounds, samplers), "µs/node", bare=BARE)


def _in_tasks(contender: Contender | None, observed: Callable[..., Any], count: int) -> float:
    params, state = parameters(), {}

    async def run() -> int:
        start = time.perf_counter_ns()
        await asyncio.gather(*(observed(params, state, None) for _ in range(count)))
        return time.perf_counter_ns() - start

    with ExitStack() as stack:
        if contender is None:
            return asyncio.run(run()) / count / 1000
        contender.clear()
        stack.enter_context(contender.flow())
        took = asyncio.run(run())
        contender.finish()
    contender.clear()
    return took / count / 1000


def kept_bytes(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the bytes that an event keeps in memory, by tracemalloc; texts of parameters and results are shared."""
    with opened(names) as running:
        return [
            Row("bytes kept", name, size, size, "B/event")
            for name, contender in running.items()
            for size in [_bytes_of(contender, plan.calls)]
        ]


def _bytes_of(contender: Contender, calls: int) -> float:
    observed = contender.observe(call, NODE)
    with contender.flow():
        _loop(observed, 100)
        contender.finish()
        contender.clear()
        gc.collect()
        tracemalloc.start()
        _loop(observed, calls)
        contender.finish()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    contender.clear()
    return size / (2 * calls)


def capture(plan: Plan, names: list[str]) -> list[Row]:
    """Measure what all of them share, by itself: the capture of the node's parameters and result."""
    flow = FlowState(new_flow_id(), "capture")
    rows = []
    for variant, params in (("capture alone", parameters()), ("capture alone, nested", nested_parameters())):
        samplers = {
            name: partial(_captures, take, params, plan.calls)
            for name, take in (
                ("snapshot with taints", lambda value: snapshot(value, flow)),
                ("snapshot", snapshot),
                ("by hand, three keys", _by_hand),
            )
        }
        rows += rows_of(variant, interleaved(plan.rounds, samplers), "µs/node")
    return rows


def _captures(take: Callable[[Any], Any], params: dict[str, Any], calls: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(calls):
        take(params)
        take(RESULT)
    return (time.perf_counter_ns() - start) / calls / 1000


def _by_hand(value: Any) -> Any:
    """Copy and redact as people write it for themselves: no caps, no cycles, nothing but JSON types."""
    if isinstance(value, dict):
        return {key: REDACTED if key in ("api_key", "password", "token") else _by_hand(item) for key, item in value.items()}
    return [_by_hand(item) for item in value] if isinstance(value, list) else value
