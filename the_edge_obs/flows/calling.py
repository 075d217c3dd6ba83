"""Call an action: ``fn(state=state, **params)``, plus the further arguments that its signature names.

``config``, ``node`` and ``graph`` are passed to an action that names them or takes ``**kwargs``. A coroutine is awaited. A
generator is drained: its result is its return value, or else the list of the items that it yielded. Chunks are counted as
``observable`` counts them.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ..instrumentation.carriers import wrap
from .tracing import Trace

INJECTED: Final = ("state", "config", "node", "graph")
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Calling:
    """A callable and its parameters.

    Args:
        function: The action.
        injected: Those of state, config, node and graph that it takes.
        accepted: The parameters it takes, or None when it takes any.
        required: The parameters without a default.
    """

    function: Callable[..., Any]
    injected: tuple[str, ...]
    accepted: tuple[str, ...] | None
    required: tuple[str, ...] = ()

    @property
    def logs_itself(self) -> bool:
        """Whether the action is decorated with ``observable``, or already instrumented."""
        return hasattr(self.function, "__observed__")

    def __call__(self, given: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
        """Call the action and return its result, or an awaitable or generator that ``finished`` turns into one.

        Args:
            given: Values for state, config, node and graph.
            params: The node's parameters; they win over a given value of the same name.
        """
        return self.function(**{**{name: given[name] for name in self.injected}, **params})


def calling(function: Callable[..., Any]) -> Calling:
    """Return how to call a function; one without a readable signature gets the state and any parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Calling(function, ("state",), None)
    named = [parameter for parameter in parameters if parameter.kind in _KEYWORD]
    names = tuple(parameter.name for parameter in named)
    required = tuple(p.name for p in named if p.default is p.empty and p.name not in INJECTED)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return Calling(function, INJECTED, None, required)
    return Calling(function, tuple(name for name in INJECTED if name in names), names, required)


def finished(result: Any, trace: Trace) -> Any:
    """Return the final result of a call: awaited, or drained.

    Args:
        result: What the call returned.
        trace: The call's trace; for a generator it gets the metrics ``chunks`` and ``time_to_first_chunk_ms``.
    """
    if inspect.isgenerator(result):
        with _counting(trace) as count:
            return _drained(result, count)
    if inspect.isasyncgen(result):
        with _counting(trace) as count:
            return _awaited(_collected(result, count))
    if inspect.isawaitable(result):
        return finished(_awaited(result), trace)
    return result


@contextmanager
def _counting(trace: Trace) -> Iterator[Callable[[], None]]:
    """Yield a function to call for each chunk; pass the figures to the trace, also when the generator fails."""
    started, count, metrics = time.perf_counter(), 0, {}

    def count_chunk() -> None:
        nonlocal count
        if not count:
            metrics["time_to_first_chunk_ms"] = (time.perf_counter() - started) * 1000
        count += 1

    try:
        yield count_chunk
    finally:
        trace.metrics = {"chunks": count, **metrics}


def _drained(generator: Generator[Any, Any, Any], count: Callable[[], None]) -> Any:
    items = []
    while True:
        try:
            items.append(next(generator))
        except StopIteration as stop:
            return items if stop.value is None else stop.value
        count()


async def _collected(generator: AsyncIterator[Any], count: Callable[[], None]) -> list[Any]:
    items = []
    async for item in generator:
        items.append(item)
        count()
    return items


def _awaited(awaitable: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await awaitable

    if not _loop_is_running():
        return asyncio.run(main())
    # This thread's loop already runs the caller of the flow (in a notebook, for example); a second loop needs its own thread.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(wrap(asyncio.run), main()).result()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
