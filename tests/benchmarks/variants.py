"""What logging a node costs: in time, in threads, in tasks, in bytes."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.event import dumps
from the_edge_obs.handlers import lines
from the_edge_obs.redaction.payloads import captured

from .contenders import Contender, available, load
from .contenders.base import copied
from .honesty import check, check_tasks, check_threads
from .node import CHAT, NESTED, NEW_CHAT, NODE, SMALL, Payload
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


def _loop(observed: Callable[..., Any], calls: int, payload: Payload) -> int:
    params, state = payload.parameters(), {}
    if payload.is_new:
        return _new_loop(observed, calls, payload)
    start = time.perf_counter_ns()
    for _ in range(calls):
        observed(params, state, None)
    return time.perf_counter_ns() - start


def _new_loop(observed: Callable[..., Any], calls: int, payload: Payload) -> int:
    given = [payload.parameters() for _ in range(calls)]
    gc.collect()
    start = time.perf_counter_ns()
    for params in given:
        observed(params, {}, None)
    return time.perf_counter_ns() - start


def _sample(contender: Contender, observed: Callable[..., Any], calls: int, payload: Payload) -> float:
    """Return µs a call inside a flow of its own; the flow's own cost, and its reading back, are not in it."""
    contender.clear()
    with contender.flow():
        took = _loop(observed, calls, payload)
        start = time.perf_counter_ns()
        contender.finish()
        took += time.perf_counter_ns() - start
    contender.clear()
    return took / calls / 1000


def per_call(variant: str, plan: Plan, names: list[str], payload: Payload = SMALL, **settings: Any) -> list[Row]:
    """Return µs a node above the bare call; the settings are those of ``opened``."""
    calls = plan.calls // payload.share
    with opened(names, **settings) as running, TemporaryDirectory() as folder:
        samplers: dict[str, Callable[[], float]] = {
            name: partial(_sample, contender, contender.observe(payload.call, NODE), calls, payload)
            for name, contender in running.items()
        }
        bare = partial(_loop, payload.call, calls, payload)
        samplers[BARE] = lambda: bare() / calls / 1000
        rows = rows_of(payload.variant(variant), interleaved(plan.rounds, samplers), "µs/node", bare=BARE)
        work = _references(payload, Path(folder) if settings.get("files") else None) if settings.get("level") is None else {}
        samples = interleaved(plan.rounds, {name: partial(_repeated, step, calls) for name, step in work.items()})
        return rows + rows_of(payload.variant(variant), samples, "µs/node")


def _references(payload: Payload, folder: Path | None) -> dict[str, Callable[[], Any]]:
    """Return what can be compared with the handling of one call's parameters and result: encoders, and two bare writes."""
    both = payload.parameters(), payload.result
    work: dict[str, Callable[[], Any]] = {"json.dumps of both": lambda: [json.dumps(value) for value in both]}
    if find_spec("orjson") is not None:
        dump = import_module("orjson").dumps
        work["orjson.dumps of both"] = lambda: [dump(value) for value in both]
    if folder is not None:
        lines_of_both = [f"{dumps(copied(value))}\n".encode() for value in both]
        file = (folder / "two-writes.jsonl").open("ab", buffering=0)
        work["two writes"] = lambda: [file.write(line) for line in lines_of_both]
    return work


def _repeated(work: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(calls):
        work()
    return (time.perf_counter_ns() - start) / calls / 1000


def in_memory(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory with room for all of them."""
    return [row for payload in (SMALL, CHAT, NEW_CHAT) for row in per_call("into memory", plan, names, payload)]


def nested_in_memory(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the same with parameters that have containers in them."""
    return per_call("into memory", plan, names, NESTED)


def full_ring(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory where few events a flow are kept: a long flow, most calls evict."""
    return [
        row
        for payload in (SMALL, CHAT)
        for row in per_call("into a full ring", plan, names, payload, capacity=DEFAULT_RING // payload.share)
    ]


def with_file(plan: Plan, names: list[str]) -> list[Row]:
    """Measure entry and exit into memory and a JSONL file, each line with the operating system when the call returns.

    The second time this package encodes with the standard library, as it does without the extra ``fast``; eliot has orjson both
    times.
    """
    rows = [
        row for payload in (SMALL, CHAT, NEW_CHAT) for row in per_call("memory and JSONL file", plan, names, payload, files=True)
    ]
    few = [name for name in names if name in ("the_edge_obs", "eliot")]
    with patch.object(lines, "_dump", lines._by_json):
        return rows + [row for payload in (SMALL, CHAT) for row in per_call(WITHOUT_ORJSON, plan, few, payload, files=True)]


def filtered(plan: Plan, names: list[str]) -> list[Row]:
    """Measure a node whose events the level filters."""
    return [row for payload in (SMALL, CHAT) for row in per_call("filtered by level", plan, names, payload, level="warn")]


def off(plan: Plan, names: list[str]) -> list[Row]:
    """Measure a node with logging off: nothing configured, or the peer's own switch."""
    return [row for payload in (SMALL, CHAT) for row in per_call("off", plan, names, payload, level="off")]


def threads(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the same number of calls on 1, 2, 4 and 8 threads at once, a flow each: µs of the process's processor time a node.

    What as many threads take that make bare calls is taken off, as everywhere: starting and joining them is nobody's logging. The
    samples are longer than elsewhere, or what each thread needs to get going would be much of them.
    """
    return [row for payload in (SMALL, CHAT) for row in _threads(plan, names, payload)]


def _threads(plan: Plan, names: list[str], payload: Payload) -> list[Row]:
    calls = LONGER * plan.calls // payload.share
    with opened(names, capacity=LONGER * ROOMY) as running:
        for contender in running.values():
            check_threads(contender)
        samplers: dict[tuple[str, str], Callable[[], float]] = {
            (variant, name): partial(_in_threads, contender, contender.observe(payload.call, NODE), count, calls, payload)
            for name, contender in running.items()
            for variant, count in THREADS.items()
        }
        samplers |= {
            (variant, BARE): partial(_in_threads, None, payload.call, count, calls, payload) for variant, count in THREADS.items()
        }
        samples = interleaved(plan.rounds, samplers)
    return [
        row
        for wanted in THREADS
        for row in rows_of(
            payload.variant(wanted),
            {name: taken for (variant, name), taken in samples.items() if variant == wanted},
            "µs/node",
            bare=BARE,
        )
    ]


def _in_threads(contender: Contender | None, observed: Callable[..., Any], count: int, calls: int, payload: Payload) -> float:
    if contender is not None:
        contender.clear()
    started: list[int] = []
    # The clock is read by the last to arrive, before anybody runs: the main thread may have to wait for its turn. A busy machine
    # takes turns away from the process; on an idle one, the wall clock gives the same.
    ready = threading.Barrier(count, action=lambda: started.append(time.process_time_ns()))

    def work() -> None:
        with contender.flow() if contender is not None else nullcontext():
            ready.wait()
            _loop(observed, calls // count, payload)

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if contender is not None:
        contender.finish()
    took = time.process_time_ns() - started[0]
    if contender is not None:
        contender.clear()
    return took / (calls // count * count) / 1000


def tasks(plan: Plan, names: list[str]) -> list[Row]:
    """Measure asyncio tasks that each run one node which gives way once, all in one flow: µs a task above the bare ones."""
    return [row for payload in (SMALL, CHAT) for row in _tasks(plan, names, payload)]


def _tasks(plan: Plan, names: list[str], payload: Payload) -> list[Row]:
    with opened(names) as running:
        for contender in running.values():
            check_tasks(contender)
        samplers: dict[str, Callable[[], float]] = {
            name: partial(_in_tasks, contender, contender.observe_async(payload.acall, NODE), plan.tasks, payload)
            for name, contender in running.items()
        }
        samplers[BARE] = partial(_in_tasks, None, payload.acall, plan.tasks, payload)
        samples = interleaved(plan.rounds, samplers)
        return rows_of(payload.variant(f"{plan.tasks:,} asyncio tasks"), samples, "µs/node", bare=BARE)


def _in_tasks(contender: Contender | None, observed: Callable[..., Any], count: int, payload: Payload) -> float:
    params, state = payload.parameters(), {}

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
    """Measure the bytes that an event keeps in memory, by tracemalloc.

    Texts that live on in the program are shared, and not counted; of the chat of new texts, nothing else keeps them.
    """
    rows = []
    with opened(names) as running:
        for payload in (SMALL, CHAT, NEW_CHAT):
            variant, calls = payload.variant("bytes kept"), plan.calls // payload.share
            sizes = {name: _bytes_of(contender, calls, payload) for name, contender in running.items()}
            sizes["its JSON"] = sum(len(dumps(value).encode()) for value in (payload.parameters(), payload.result)) / 2
            rows += [Row(variant, name, size, size, "B/event") for name, size in sizes.items()]
    return rows


def _bytes_of(contender: Contender, calls: int, payload: Payload) -> float:
    observed = contender.observe(payload.call, NODE)
    with contender.flow():
        _loop(observed, 100, payload)
        contender.finish()
        contender.clear()
        gc.collect()
        tracemalloc.start()
        _loop(observed, calls, payload)
        contender.finish()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    contender.clear()
    return size / (2 * calls)


def capture(plan: Plan, names: list[str]) -> list[Row]:
    """Measure the capture of the node's parameters and result by itself, beside a copy by hand."""
    flow = FlowState(new_flow_id(), "capture")
    rows = []
    for payload in (SMALL, NESTED, CHAT):
        both = payload.parameters(), payload.result
        works: dict[str, Callable[[Any], Any]] = {"the_edge_obs": lambda value: captured(value, flow), "copy by hand": copied}
        samplers: dict[str, Callable[[], float]] = {
            name: partial(_repeated, partial(_each, work, both), plan.calls // payload.share) for name, work in works.items()
        }
        samplers |= {
            name: partial(_repeated, work, plan.calls // payload.share) for name, work in _references(payload, None).items()
        }
        rows += rows_of(payload.variant("capture alone"), interleaved(plan.rounds, samplers), "µs/node")
    return rows


def _each(work: Callable[[Any], Any], values: tuple[Any, ...]) -> None:
    for value in values:
        work(value)
