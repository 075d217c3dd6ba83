"""The floor: two clock reads and two deque appends of tuples, with copies by hand. No ids, no levels, no handlers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .base import Contender, Seen, copied


class Floor(Contender):
    """What hardly anybody can do without."""

    keeps_ids = False
    writes = False
    levels = ("info",)

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.kept: deque[Any] = deque(maxlen=capacity)

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        append, clock = self.kept.append, time.perf_counter_ns

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            append((node, "entry", clock(), copied(params)))
            result = fn(params, state, ctx)
            append((node, "exit", clock(), copied(result)))
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        append, clock = self.kept.append, time.perf_counter_ns

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            append((node, "entry", clock(), copied(params)))
            result = await fn(params, state, ctx)
            append((node, "exit", clock(), copied(result)))
            return result

        return observed

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        yield None, None

    def events(self, flow_id: Any) -> list[Seen]:
        return [Seen(None, None, None, node, kind, data) for node, kind, _, data in self.kept]

    def clear(self) -> None:
        self.kept.clear()
