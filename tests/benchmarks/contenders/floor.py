"""The floor: two clock reads and two deque appends of tuples, with snapshot and redaction. No ids, no levels, no handlers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from the_edge_obs.context import FlowState, new_flow_id

from .base import Contender, Seen, snapshot


class Floor(Contender):
    """The floor with a capture of the same duty as this package's: the flow's secrets are remembered."""

    keeps_ids = False
    writes = False
    levels = ("info",)
    taints = True

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.kept: deque[Any] = deque(maxlen=capacity)
        self.state = FlowState(new_flow_id(), "floor") if self.taints else None

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        append, clock, state = self.kept.append, time.perf_counter_ns, self.state

        def observed(params: Any, run_state: Any, ctx: Any) -> Any:
            append((node, "entry", clock(), snapshot(params, state)))
            result = fn(params, run_state, ctx)
            append((node, "exit", clock(), snapshot(result, state)))
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        append, clock, state = self.kept.append, time.perf_counter_ns, self.state

        async def observed(params: Any, run_state: Any, ctx: Any) -> Any:
            append((node, "entry", clock(), snapshot(params, state)))
            result = await fn(params, run_state, ctx)
            append((node, "exit", clock(), snapshot(result, state)))
            return result

        return observed

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        yield None, None

    def events(self, flow_id: Any) -> list[Seen]:
        return [Seen(None, None, None, node, kind, data) for node, kind, _, data in self.kept]

    def clear(self) -> None:
        self.kept.clear()


class FloorWithoutTaints(Floor):
    """The floor with the capture that the peers have: no secret is remembered."""

    taints = False
