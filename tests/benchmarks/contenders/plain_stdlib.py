"""Plain ``logging``: ``logger.info(extra=...)``, a filter that stamps ids, a handler with a deque a flow, python-json-logger.

For speed: what "Optimization" in the logging HOWTO lets one leave out is left out (thread, process and task names), except
the code's location, which this package keeps too; JSON is written by python-json-logger's orjson formatter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pythonjsonlogger.orjson import OrjsonFormatter

from .base import SPAN, Keeping, Seen, copied, new_number

_SWITCHES = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")
_FIELDS = ("flow_id", "span_id", "parent_id", "node", "kind", "data")


class Stamp(logging.Filter):
    """Stamp records with the running span's ids."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.flow_id, record.span_id, record.parent_id = SPAN.get()
        return True


class DequePerFlow(logging.Handler):
    """Keep records by flow."""

    def __init__(self, keep: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self.keep = keep
        self.addFilter(Stamp())

    def emit(self, record: logging.LogRecord) -> None:
        self.keep(record.flow_id, record)


class PlainStdlib(Keeping):
    """``logging`` as one would set it up by hand."""

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.switches = {name: getattr(logging, name) for name in _SWITCHES if hasattr(logging, name)}
        for name in self.switches:
            setattr(logging, name, False)
        self.root = logging.getLogger("benchmark")
        self.root.propagate = False
        self.root.setLevel(logging.WARNING if level == "warn" else logging.INFO)
        self.root.addHandler(DequePerFlow(self.keep))
        if folder is not None:
            file = logging.FileHandler(folder / "stdlib.jsonl")
            file.addFilter(Stamp())
            file.setFormatter(OrjsonFormatter(list(_FIELDS), timestamp=True))
            self.root.addHandler(file)

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        log, clock = logging.getLogger(f"benchmark.{node}"), time.perf_counter_ns

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            if not log.isEnabledFor(logging.INFO):
                return fn(params, state, ctx)
            flow_id, parent, _ = SPAN.get()
            token = SPAN.set((flow_id, new_number(), parent))
            try:
                log.info("entry", extra={"node": node, "kind": "entry", "data": copied(params)})
                start = clock()
                result = fn(params, state, ctx)
                took = clock() - start
                log.info("exit", extra={"node": node, "kind": "exit", "data": copied(result), "duration_ns": took})
            finally:
                SPAN.reset(token)
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        log, clock = logging.getLogger(f"benchmark.{node}"), time.perf_counter_ns

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            flow_id, parent, _ = SPAN.get()
            token = SPAN.set((flow_id, new_number(), parent))
            try:
                log.info("entry", extra={"node": node, "kind": "entry", "data": copied(params)})
                start = clock()
                result = await fn(params, state, ctx)
                took = clock() - start
                log.info("exit", extra={"node": node, "kind": "exit", "data": copied(result), "duration_ns": took})
            finally:
                SPAN.reset(token)
            return result

        return observed

    def seen(self, events: Iterable[Any]) -> list[Seen]:
        fields = (event if isinstance(event, dict) else vars(event) for event in events)
        return [Seen(*(event[name] for name in _FIELDS)) for event in fields]

    def close(self) -> None:
        for name, value in self.switches.items():
            setattr(logging, name, value)
        for handler in list(self.root.handlers):
            self.root.removeHandler(handler)
            handler.close()
