"""loguru with one sink, a patcher that stamps the ids, and no diagnosis of exceptions; JSON by a sink of its own with orjson.

Its ``serialize=True`` writes every field of a record and is much slower; its documentation shows the sink used here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from loguru import logger

from .base import SPAN, Keeping, Seen, copied, new_number

_FIELDS = ("flow_id", "span_id", "parent_id", "node")


def _stamp(record: Any) -> None:
    record["extra"]["flow_id"], record["extra"]["span_id"], record["extra"]["parent_id"] = SPAN.get()


class WithLoguru(Keeping):
    """``off`` is ``logger.disable``."""

    levels = ("info", "warn", "off")

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        logger.remove()
        self.file = None if folder is None else (folder / "loguru.jsonl").open("ab", buffering=0)
        self.sink = logger.add(
            self._write if self.file else self._keep,
            level="WARNING" if level == "warn" else "INFO",
            format=lambda record: "",
            backtrace=False,
            diagnose=False,
            colorize=False,
        )
        if level == "off":
            logger.disable(__name__)
        self.log = logger.patch(_stamp)

    def _keep(self, message: Any) -> None:
        record = message.record
        self.keep(record["extra"]["flow_id"], record)

    def _write(self, message: Any) -> None:
        record = message.record
        self.keep(record["extra"]["flow_id"], record)
        line = {"time": record["time"].timestamp(), "level": record["level"].name, "event": record["message"]}
        self.file.write(orjson.dumps({**line, **record["extra"]}) + b"\n")

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        info, clock = self.log.info, time.perf_counter_ns
        # loguru has no public test of its level; a caller who wants one keeps it.
        enabled = self.level == "info"

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            if not enabled:
                info("entry")
                result = fn(params, state, ctx)
                info("exit")
                return result
            flow_id, parent, _ = SPAN.get()
            token = SPAN.set((flow_id, new_number(), parent))
            try:
                info("entry", node=node, data=copied(params))
                start = clock()
                result = fn(params, state, ctx)
                took = clock() - start
                info("exit", node=node, data=copied(result), duration_ns=took)
            finally:
                SPAN.reset(token)
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        info, clock = self.log.info, time.perf_counter_ns

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            flow_id, parent, _ = SPAN.get()
            token = SPAN.set((flow_id, new_number(), parent))
            try:
                info("entry", node=node, data=copied(params))
                start = clock()
                result = await fn(params, state, ctx)
                took = clock() - start
                info("exit", node=node, data=copied(result), duration_ns=took)
            finally:
                SPAN.reset(token)
            return result

        return observed

    def seen(self, events: Iterable[Any]) -> list[Seen]:
        pairs = ((event["event"], event) if "event" in event else (event["message"], event["extra"]) for event in events)
        return [Seen(*(extra[name] for name in _FIELDS), kind, extra["data"]) for kind, extra in pairs]

    def close(self) -> None:
        logger.remove(self.sink)
        logger.enable(__name__)
        if self.file:
            self.file.close()
