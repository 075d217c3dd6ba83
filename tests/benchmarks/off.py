"""``python -m tests.benchmarks.off [--rounds N]``: what each integration costs while it is installed and observability is off.

Each is called in turns with the bare library, in one process and without any network. The figure is the difference of the
fastest rounds, in microseconds of processor time per call. An integration whose package is missing is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeAlias

Loop: TypeAlias = "Callable[[int], object]"  # runs a call as often as it is told
Pair: TypeAlias = "tuple[Callable[[], Callable[[], object]], Loop, Loop]"  # what installs, the bare loop, the observed loop


def sync_loop(call: Callable[[], object]) -> Loop:
    """Return a loop of a call."""

    def loop(count: int) -> None:
        for _ in range(count):
            call()

    return loop


def async_loop(call: Callable[[], Awaitable[object]]) -> Loop:
    """Return a loop of a call that is awaited, in one event loop."""

    def loop(count: int) -> None:
        async def calls() -> None:
            for _ in range(count):
                await call()

        asyncio.run(calls())

    return loop


def openai_call() -> Pair:
    """A call of the method ``request``, which only returns."""
    import openai

    def request(self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        return None

    openai.OpenAI.request = request  # type: ignore[assignment]
    client = openai.OpenAI(api_key="x", base_url="http://127.0.0.1:9/v1")
    loop = sync_loop(lambda: client.request(dict, _options(), stream=False))
    return _instrument, loop, loop


def openai_async_call() -> Pair:
    """The same with an async client."""
    import openai

    async def request(self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        return None

    openai.AsyncOpenAI.request = request  # type: ignore[assignment]
    client = openai.AsyncOpenAI(api_key="x", base_url="http://127.0.0.1:9/v1")
    loop = async_loop(lambda: client.request(dict, _options(), stream=False))
    return _instrument, loop, loop


@lru_cache(maxsize=1)
def _options() -> Any:
    from openai._models import FinalRequestOptions

    return FinalRequestOptions.construct(method="post", url="/chat/completions", json_data={"model": "m"})


def _instrument() -> Callable[[], object]:
    from the_edge_obs.integrations.openai import instrument

    return instrument()


def otel_span() -> Pair:
    """A span of OpenTelemetry's SDK that is current in a block, with nothing that exports it."""
    from opentelemetry.sdk.trace import TracerProvider

    from the_edge_obs.integrations.otel import bridge

    providers = TracerProvider(), TracerProvider()

    def loop_of(provider: Any) -> Loop:
        tracer = provider.get_tracer("bench")

        def call() -> None:
            with tracer.start_as_current_span("work"):
                pass

        return sync_loop(call)

    return lambda: bridge(providers[1]), loop_of(providers[0]), loop_of(providers[1])


def otel_current() -> Pair:
    """OpenTelemetry's question for its current span."""
    from opentelemetry import trace

    from the_edge_obs.integrations.otel import bridge

    return bridge, sync_loop(trace.get_current_span), sync_loop(trace.get_current_span)


def langchain() -> Pair:
    """LangChain's choice of handlers, which it makes for each run."""
    from langchain_core.callbacks import CallbackManager

    from the_edge_obs.integrations.langchain import install

    install()()  # LangChain then asks for a handler, also after the undo
    return install, sync_loop(CallbackManager.configure), sync_loop(CallbackManager.configure)


def asgi() -> Pair:
    """A request of an application that does nothing."""
    from the_edge_obs.integrations.asgi import FlowMiddleware

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    observed: Any = FlowMiddleware(app)
    scope = {"type": "http", "path": "/a", "method": "GET"}
    loops = [async_loop(lambda app=app: app(scope, None, None)) for app in (app, observed)]
    return lambda: lambda: None, loops[0], loops[1]


def django() -> Pair:
    """A request of a view that does nothing."""
    from the_edge_obs.integrations.django import FlowMiddleware

    request = SimpleNamespace(path="/a")
    observed = FlowMiddleware(lambda request: None)
    return lambda: lambda: None, sync_loop(lambda: observed.get_response(request)), sync_loop(lambda: observed(request))


def celery() -> Pair:
    """An eager task that does nothing."""
    from celery import Celery

    from the_edge_obs.integrations.celery import install

    app = Celery("bench", broker="memory://")

    @app.task(name="bench.nothing")
    def task() -> None:
        pass

    return lambda: install(app), sync_loop(task.apply), sync_loop(task.apply)


CASES: dict[str, Callable[[], Pair]] = {
    "openai, a call": openai_call,
    "openai, an async call": openai_async_call,
    "otel.bridge, a span": otel_span,
    "otel.bridge, the current span": otel_current,
    "langchain, a run": langchain,
    "asgi, a request": asgi,
    "django, a request": django,
    "celery, a task": celery,
}


def measured(pair: Pair, rounds: int, count: int) -> tuple[float, float]:
    """Return the microseconds of a call, bare and observed: those of the fastest round."""
    install, bare, observed = pair
    fastest = [float("inf"), float("inf")]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for number, loop in enumerate((bare, observed)):
                undo = install() if number else (lambda: None)
                loop(10)  # what the change has dropped is built again
                started = time.thread_time()
                loop(count)
                fastest[number] = min(fastest[number], (time.thread_time() - started) / count * 1e6)
                undo()
    finally:
        gc.enable()
    return fastest[0], fastest[1]


def main(arguments: list[str] | None = None) -> int:
    """Print a line per integration."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.off", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=200, help="in each round")
    given = parser.parse_args(arguments)
    assert not logging.getLogger("tea").handlers, "observability is on"
    for name, make in CASES.items():
        with suppress(ImportError):
            bare, observed = measured(make(), given.rounds, given.calls)
            print(f"{name:30} bare {bare:8.2f} µs  installed, off {observed - bare:+6.2f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
