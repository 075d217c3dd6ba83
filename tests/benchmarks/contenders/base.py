"""What every contender offers to the variants, and what the peers among them share."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from the_edge_obs.context import new_number

from ..node import REDACTED

__all__ = ["SPAN", "Contender", "Keeping", "Seen", "copied", "new_number", "open_flow"]

_SECRET_KEYS = frozenset({"api_key", "password", "token", "authorization"})


def copied(value: Any) -> Any:
    """Return a redacted copy as people write it for themselves: four keys, no caps, no cycles, nothing but JSON types."""
    if isinstance(value, dict):
        return {key: REDACTED if key in _SECRET_KEYS else copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


class Seen(NamedTuple):
    """An event as it was read back; ids are whatever the contender uses, as long as they can be compared."""

    flow_id: Any
    span_id: Any
    parent_id: Any
    node: str
    kind: str
    data: Any


class Contender:
    """One way to observe a node.

    Args:
        capacity: Events kept of each flow.
        folder: Where to write JSON lines too, or None: into memory alone.
        level: ``info``, ``warn`` (the node's events are filtered) or ``off``.

    Attributes:
        keeps_ids: Whether events carry ids; only a floor does without.
        writes: Whether it can write a file.
        levels: The values of ``level`` that mean something to it.
        logs_flows: Whether the beginning and the end of a flow are events of their own.
    """

    keeps_ids: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    levels: ClassVar[tuple[str, ...]] = ("info", "warn")
    logs_flows: ClassVar[bool] = False

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        self.capacity = capacity
        self.folder = folder
        self.level = level

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        """Return the function, observed as a node."""
        raise NotImplementedError

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        """Return the coroutine function, observed as a node."""
        raise NotImplementedError

    def flow(self) -> AbstractContextManager[tuple[Any, Any]]:
        """Open a flow; the block is given its id and that of its root span."""
        raise NotImplementedError

    def block(self) -> AbstractContextManager[Any]:
        """Return what a user of the library writes after ``with``, where it logs the beginning and the end of a flow."""
        raise NotImplementedError

    def events(self, flow_id: Any) -> list[Seen]:
        """Read a flow back from memory."""
        raise NotImplementedError

    def written(self) -> list[Seen]:
        """Read back what stands in the files."""
        raise NotImplementedError

    def finish(self) -> None:
        """Wait for what is still on its way; it counts as time of the round."""

    def clear(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Uninstall what was installed."""

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of all files written."""
        assert self.folder is not None
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                yield from map(json.loads, file)


# (flow id, span id, parent id) of the running span, for peers that bring no such thing themselves.
SPAN: ContextVar[tuple[int, int, int | None]] = ContextVar("benchmark.span", default=(0, 0, None))


@contextmanager
def open_flow() -> Iterator[tuple[int, int]]:
    """Open a flow in ``SPAN``."""
    flow_id, root = new_number(), new_number()
    token = SPAN.set((flow_id, root, None))
    try:
        yield flow_id, root
    finally:
        SPAN.reset(token)


class Keeping(Contender):
    """A contender that keeps events in one bounded deque a flow."""

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.flows: dict[Any, deque[Any]] = {}

    def keep(self, flow_id: Any, event: Any) -> None:
        """Append an event to its flow."""
        events = self.flows.get(flow_id)
        if events is None:
            events = self.flows.setdefault(flow_id, deque(maxlen=self.capacity))
        events.append(event)

    def flow(self) -> AbstractContextManager[tuple[Any, Any]]:
        return open_flow()

    def seen(self, events: Iterable[Any]) -> list[Seen]:
        """Return events as they are kept in the form that all contenders share."""
        raise NotImplementedError

    def events(self, flow_id: Any) -> list[Seen]:
        return self.seen(self.flows[flow_id])

    def written(self) -> list[Seen]:
        return self.seen(self.lines())

    def clear(self) -> None:
        self.flows.clear()
