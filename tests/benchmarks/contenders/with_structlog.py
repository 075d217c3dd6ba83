"""structlog as its chapter on performance has it.

A cached filtering bound logger, Unix timestamps, orjson into a ``BytesLogger``; in memory, the last processor keeps the event.
The ids are context variables, bound around every node, as its chapter on them has it. ``WithStructlogTuned`` shows what is
gained by a context variable of one's own, whose ids go as arguments.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
from structlog.contextvars import bound_contextvars, get_contextvars, merge_contextvars

from .base import SPAN, Keeping, Seen, copied, new_number, open_flow


class Nothing:
    """The logger below the bound one when nothing is written."""

    def info(self) -> None:
        """Do nothing."""


class WithStructlog(Keeping):
    """structlog without the standard library below it."""

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.file = None if folder is None else (folder / "structlog.jsonl").open("ab")
        last = [self._keep, structlog.processors.JSONRenderer(serializer=orjson.dumps)] if self.file else [self._keep_only]
        number = logging.WARNING if level == "warn" else logging.INFO
        self.log = structlog.wrap_logger(
            structlog.BytesLogger(self.file) if self.file else Nothing(),
            processors=[merge_contextvars, structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt=None), *last],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind()

    def _keep(self, logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        self.keep(event["flow_id"], event)
        return event

    def _keep_only(self, logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        self.keep(event["flow_id"], event)
        return {}

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        log, clock = self.log.bind(node=node), time.perf_counter_ns
        info, enabled = log.info, log.is_enabled_for

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            if not enabled(logging.INFO):
                return fn(params, state, ctx)
            with bound_contextvars(span_id=new_number(), parent_id=get_contextvars()["span_id"]):
                info("entry", data=copied(params))
                start = clock()
                result = fn(params, state, ctx)
                took = clock() - start
                info("exit", data=copied(result), duration_ns=took)
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        info, clock = self.log.bind(node=node).info, time.perf_counter_ns

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            with bound_contextvars(span_id=new_number(), parent_id=get_contextvars()["span_id"]):
                info("entry", data=copied(params))
                start = clock()
                result = await fn(params, state, ctx)
                took = clock() - start
                info("exit", data=copied(result), duration_ns=took)
            return result

        return observed

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        with open_flow() as (flow_id, root), bound_contextvars(flow_id=flow_id, span_id=root, parent_id=None):
            yield flow_id, root

    def seen(self, events: Iterable[dict[str, Any]]) -> list[Seen]:
        fields = ("flow_id", "span_id", "parent_id", "node", "event", "data")
        return [Seen(*(event[name] for name in fields)) for event in events]

    def close(self) -> None:
        if self.file:
            self.file.close()


class WithStructlogTuned(WithStructlog):
    """structlog with the running span in a context variable of the caller's own."""

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        log, clock = self.log.bind(node=node), time.perf_counter_ns
        info, enabled = log.info, log.is_enabled_for

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            if not enabled(logging.INFO):
                return fn(params, state, ctx)
            flow_id, parent, _ = SPAN.get()
            span = new_number()
            token = SPAN.set((flow_id, span, parent))
            try:
                info("entry", span_id=span, parent_id=parent, data=copied(params))
                start = clock()
                result = fn(params, state, ctx)
                took = clock() - start
                info("exit", span_id=span, parent_id=parent, data=copied(result), duration_ns=took)
            finally:
                SPAN.reset(token)
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        info, clock = self.log.bind(node=node).info, time.perf_counter_ns

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            flow_id, parent, _ = SPAN.get()
            span = new_number()
            token = SPAN.set((flow_id, span, parent))
            try:
                info("entry", span_id=span, parent_id=parent, data=copied(params))
                start = clock()
                result = await fn(params, state, ctx)
                took = clock() - start
                info("exit", span_id=span, parent_id=parent, data=copied(result), duration_ns=took)
            finally:
                SPAN.reset(token)
            return result

        return observed
