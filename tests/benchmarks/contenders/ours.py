"""This package, through its public names alone: ``configure``, ``observable``, ``flow``, ``query``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import the_edge_obs as obs

from .base import Contender, Seen


class TheEdgeObs(Contender):
    """``off`` means that nothing is configured."""

    levels = ("info", "warn", "off")
    logs_flows = True

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        # No cap on bytes: the others have none, and 100 flows of 1,000 events have to stay.
        ring = {"class": "the_edge_obs.RingBufferHandler", "capacity": capacity, "max_bytes": None}
        handlers: dict[str, Any] = {"ring": ring}
        if folder is not None:
            handlers["file"] = {"class": "the_edge_obs.FlowFileHandler", "path": str(folder / "flow-{flow_id}.jsonl")}
        tea = {"level": ("info" if level == "off" else level).upper().replace("WARN", "WARNING"), "handlers": list(handlers)}
        config = {"version": 1, "handlers": handlers, "loggers": {"tea": tea}}
        self.undo: Callable[[], None] = (lambda: None) if level == "off" else obs.configure(config)

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        return obs.observable(node)(fn)

    observe_async = observe

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        with self.block() as run:
            yield run.flow_id, run.context.span_id

    def block(self) -> obs.ObservabilityContext:
        return obs.flow("flow")

    def seen(self, events: Iterable[dict[str, Any]]) -> list[Seen]:
        return [
            Seen(
                event["flow_id"], event["span_id"], event["parent_id"], event["node"], event["event_type"],
                event["data"].get("input", event["data"].get("output")),
            )
            for event in events
        ]  # fmt: skip

    def events(self, flow_id: Any) -> list[Seen]:
        return self.seen(obs.query(flow_id))

    def written(self) -> list[Seen]:
        return self.seen(obs.query(str(self.folder)))

    def clear(self) -> None:
        for handler in logging.getLogger("tea").handlers:
            if isinstance(handler, obs.RingBufferHandler):
                handler.clear()

    def close(self) -> None:
        self.clear()
        self.undo()
