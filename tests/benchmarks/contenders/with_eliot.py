"""eliot: ``start_action``, a destination with a deque a flow, and its own ``FileDestination``, which writes with orjson.

It has no levels. Its flow is a task; a span is an action, named by its place in the task (``task_level``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import eliot

from .base import Keeping, Seen, copied

_KINDS = {"started": "entry", "succeeded": "exit"}


class WithEliot(Keeping):
    """eliot's own API around the call."""

    levels = ("info",)
    logs_flows = True

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.file = None if folder is None else (folder / "eliot.jsonl").open("ab")
        self.destinations = [self._keep, *([eliot.FileDestination(file=self.file)] if self.file else [])]
        eliot.add_destinations(*self.destinations)

    def _keep(self, message: dict[str, Any]) -> None:
        self.keep(message["task_uuid"], message)

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        start_action = eliot.start_action

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            with start_action(action_type=node, data=copied(params)) as action:
                result = fn(params, state, ctx)
                action.add_success_fields(data=copied(result))
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        start_action = eliot.start_action

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            with start_action(action_type=node, data=copied(params)) as action:
                result = await fn(params, state, ctx)
                action.add_success_fields(data=copied(result))
            return result

        return observed

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        with self.block() as task:
            yield task.task_uuid, ()

    def block(self) -> Any:
        return eliot.start_task(action_type="flow")

    def seen(self, events: Iterable[dict[str, Any]]) -> list[Seen]:
        return [
            Seen(
                event["task_uuid"], tuple(event["task_level"][:-1]), tuple(event["task_level"][:-2]), event["action_type"],
                _KINDS[event["action_status"]], event.get("data"),
            )
            for event in events
        ]  # fmt: skip

    def close(self) -> None:
        for destination in self.destinations:
            eliot.remove_destination(destination)
        if self.file:
            self.file.close()
