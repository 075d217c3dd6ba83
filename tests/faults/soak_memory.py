"""Memory over a long time: many events in a few flows, then many flows; what the process holds must not grow.

Run it with ``python tests/faults/soak_memory.py``. It prints how fast events came and what the process held (resident memory)
on the way, and ends with code 1 if that grew after the warm-up.
"""

from __future__ import annotations

import argparse
import contextvars
import gc
import logging
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable

import the_edge_obs as obs

MEBI = 1 << 20


@obs.observable("llm.call")
def call(params: dict[str, object], state: object, ctx: object) -> dict[str, object]:
    return {"text": "The quarterly report's export hangs.", "finish_reason": "stop"}


def params(number: int) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "prompt": f"Summarise ticket {number}. " + "x" * 200, "max_tokens": 512}


def resident() -> int:
    """Return the resident memory of this process in bytes; where the system does not tell, the most it has been."""
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def many_events(count: int) -> None:
    """Log so many events into flows of twenty thousand, and now and then an error."""
    for logged in range(0, count, 20_000):
        with obs.flow("long") as run:
            for number in range(min(count - logged, 20_000) // 2):
                call(params(number), None, None)
                if number % 1_000 == 0:
                    run.log("n", "error", message="an error to pin " + "y" * 2_000)


def many_flows(count: int) -> None:
    """Run so many flows of five events, five hundred of them at a time."""
    running: deque[tuple[contextvars.Context, obs.ObservabilityContext]] = deque()
    for number in range(count):
        context = contextvars.copy_context()
        running.append((context, context.run(begun, number)))
        if len(running) > 500:
            end(*running.popleft())
    while running:
        end(*running.popleft())


def begun(number: int) -> obs.ObservabilityContext:
    """Return a flow that is running, with a node that has run in it."""
    run = obs.flow("short").__enter__()
    call(params(number), None, None)
    run.log("n", message=f"run {number}")
    return run


def end(context: contextvars.Context, run: obs.ObservabilityContext) -> None:
    """End a flow where it began."""
    context.run(run.__exit__, None, None, None)


def measured(what: str, work: Callable[[int], None], warm_up: int, count: int, slices: int = 5) -> int:
    """Do the work in slices, print a line for each, and return by how many bytes memory grew after the warm-up."""
    work(warm_up)
    start = resident()
    print(f"{what:<8} {warm_up:>10,} to warm up{'':>22} {start / MEBI:7.1f} MiB")
    grown = 0
    for number in range(1, slices + 1):
        began = time.perf_counter()
        work(count // slices)
        took = time.perf_counter() - began
        now = resident()
        grown = max(grown, now - start)
        done = number * (count // slices)
        print(f"{what:<8} {done:>10,} done, {took / (count // slices) * 1e6:7.2f} µs each {now / MEBI:15.1f} MiB")
    return grown


def main() -> int:
    """Run the soak and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--flows", type=int, default=100_000)
    parser.add_argument("--warm-up", type=int, default=200_000, help="events before the first measurement; flows: a tenth")
    parser.add_argument("--max-bytes", type=int, default=8 * MEBI, help="the ring's cap, which the warm-up is to reach")
    parser.add_argument("--allowed", type=float, default=6.0, help="MiB that memory may grow after the warm-up; default 6")
    args = parser.parse_args()
    ring = obs.RingBufferHandler(max_bytes=args.max_bytes)
    logger = logging.getLogger("tea")
    logger.setLevel(logging.INFO)
    logger.addHandler(ring)
    grown = measured("events", many_events, args.warm_up, args.events)
    grown = max(grown, measured("flows", many_flows, args.warm_up // 10, args.flows))
    print(f"grown by {grown / MEBI:.1f} MiB at most; {ring.stats()}")
    return int(grown > args.allowed * MEBI)


if __name__ == "__main__":
    sys.exit(main())
