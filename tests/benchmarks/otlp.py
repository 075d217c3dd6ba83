"""``python -m tests.benchmarks.otlp [--rounds N]``: what the handler ``otlp`` costs the thread of a flow, per span.

The same flow of 1,000 nodes runs in turns into a ring, and into a ring and the handler, whose receiver is another process. Three
figures: the processor time of the flow's thread, which a busy machine hardly changes; the wall time of the flow; and the
processor time of the whole process, in which the handler's thread makes spans of the events and sends them, once the flow is
over. Each is the difference of the medians.

Then the bridge: the processor time of a span of OpenTelemetry's SDK, without it, with it outside any flow, and in one.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import the_edge_obs as obs

from .node import NODE, SMALL, parameters

SPANS = 1_000
MOST = 4.0  # µs of processor time per span


class Sample(NamedTuple):
    """Seconds of one flow: of its thread's processor time, of wall time, of the whole process's processor time."""

    own: float
    wall: float
    total: float


def receive(pipe: Any) -> None:
    """Run a receiver that takes everything, and tell its address."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def sample(observed: Callable[..., Any], finish: Callable[[], object]) -> Sample:
    """Run one flow; what waits is sent before the clock of the whole process stops."""
    params = parameters()
    total = time.process_time()
    with obs.flow("bench"):
        own, wall = time.thread_time(), time.perf_counter()
        for _ in range(SPANS):
            observed(params, {}, None)
        own, wall = time.thread_time() - own, time.perf_counter() - wall
    finish()
    return Sample(own, wall, time.process_time() - total)


def measured(url: str, rounds: int) -> tuple[Sample, Sample]:
    """Return the medians without and with the handler, in µs per span."""
    from the_edge_obs.integrations.otel import OtlpHandler

    tea = logging.getLogger("tea")
    undo = obs.configure({})
    handler = OtlpHandler(url)
    observed = obs.observable(NODE)(SMALL.call)

    def without() -> Sample:
        return sample(observed, lambda: None)

    def with_it() -> Sample:
        tea.addHandler(handler)
        try:
            return sample(observed, lambda: handler.drain(30))
        finally:
            tea.removeHandler(handler)

    pairs = []
    for number in range(rounds + 3):
        gc.collect()
        pair = (without(), with_it()) if number % 2 else (with_it(), without())[::-1]
        if number >= 3:
            pairs.append(pair)
    stats = handler.stats()
    undo()
    if stats["sent"] != (rounds + 3) * (SPANS + 1):
        raise SystemExit(f"not all spans arrived: {stats}")
    bare, sent = (Sample(*(median(one) / SPANS * 1e6 for one in zip(*side, strict=True))) for side in zip(*pairs, strict=True))
    return bare, sent


def bridged(rounds: int) -> dict[str, float]:
    """Return the medians of a span of OpenTelemetry by itself, with the bridge outside flows, and in a flow, in µs."""
    from opentelemetry.sdk.trace import TracerProvider

    from the_edge_obs.integrations.otel import bridge

    bare, joined = TracerProvider().get_tracer("bench"), TracerProvider()
    undo, undo_bridge = obs.configure({}), bridge(joined)

    def spans(tracer: Any) -> float:
        gc.collect()
        begun = time.thread_time()
        for _ in range(SPANS):
            with tracer.start_as_current_span("chat small", attributes={"gen_ai.operation.name": "chat"}):
                pass
        return time.thread_time() - begun

    times: dict[str, list[float]] = {"OpenTelemetry alone": [], "bridged, outside flows": [], "bridged, in a flow": []}
    for _ in range(rounds):
        for (name, taken), tracer in zip(times.items(), (bare, *[joined.get_tracer("bench")] * 2), strict=True):
            if name.endswith("in a flow"):
                with obs.flow("bench"):
                    taken.append(spans(tracer))
            else:
                taken.append(spans(tracer))
    undo_bridge()
    undo()
    return {name: median(taken) / SPANS * 1e6 for name, taken in times.items()}


def main() -> int:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.otlp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    here, there = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(there,), daemon=True)
    receiver.start()
    try:
        bare, sent = measured(here.recv(), rounds)
    finally:
        receiver.terminate()
    for name, without, with_it in zip(Sample._fields, bare, sent, strict=True):
        print(f"{name:5} ring {without:6.2f} us, ring and otlp {with_it:6.2f} us, difference {with_it - without:6.2f} us")
    verdict = "pass" if sent.own - bare.own <= MOST else "FAIL"
    for name, took in bridged(rounds).items():
        print(f"span {name:22} {took:6.2f} us")
    print(f"at most {MOST:g} us of the flow's thread per span: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
