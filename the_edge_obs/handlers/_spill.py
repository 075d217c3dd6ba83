"""Files for the events that leave a ring: one per flow, read back with the flow and removed with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

from ..errors import ConfigurationError
from ..event import Event
from ..jsonl import read_events
from ..recording.records import Item, flow_id_of, is_last, wall_of
from .appending import FlowFiles
from .lines import encoded_item


class Spill:
    """The files for events that leave a ring.

    Args:
        path: Path of the files, with ``{flow_id}``.

    Attributes:
        is_over: Whether nothing may be written any more.

    Raises:
        ConfigurationError: the path has no ``{flow_id}``, or cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if "{flow_id}" not in os.fspath(path):
            raise ConfigurationError(f"spill {path!r} has no {{flow_id}}; write something like spill/{{flow_id}}.jsonl")
        self._files = FlowFiles(path)
        self._flows: set[str] = set()
        self.is_over = False

    def write(self, item: Item) -> None:
        """Write an event to its flow's file.

        Raises:
            OSError: it could not be written as a whole.
        """
        flow_id = flow_id_of(item)
        self._flows.add(flow_id)
        self._files.write(flow_id, encoded_item(item), wall_of(item), None, is_end=is_last(item))

    def read(self, flow_id: str, start: int, stop: int) -> Iterator[Event]:
        """Return an iterator over the events of a flow's file from ``start`` to ``stop``; the file is already open."""
        path = self._files.path_of(flow_id)
        if start >= stop or not os.path.exists(path):
            return iter(())
        events = islice(read_events(path), start, stop)
        return chain(list(islice(events, 1)), events)

    def forget(self, flow_id: str) -> None:
        """Close a flow's file; the next write opens or creates it again."""
        self._files.forget(self._files.path_of(flow_id))

    def remove(self, flow_id: str) -> None:
        """Remove a flow's file if it exists."""
        self.forget(flow_id)
        self._flows.discard(flow_id)
        path = self._files.path_of(flow_id)
        if os.path.exists(path):
            os.unlink(path)

    def clear(self) -> None:
        """Close and remove every file that this process wrote."""
        for flow_id in list(self._flows):
            with suppress(OSError):  # this must not fail the exit or an undo
                self.remove(flow_id)
        self._files.close()

    def end(self) -> None:
        """Remove all files and write no more: events logged while Python exits leave nothing behind."""
        self.is_over = True
        self.clear()

    def after_fork(self) -> None:
        """Leave the parent's files to the parent."""
        self._flows.clear()
