"""The ring buffers of this process: flows are read from them, and faults are shown in them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final


class _Listeners:
    """Buffers, oldest first, closed or not: ``dictConfig`` and ``fileConfig`` close every handler, even those that stay attached.

    They are held weakly. The last 16 that were closed with runs in them are also held strongly, because closing may have
    detached them from their loggers. Unlike a ``WeakSet``, it can be iterated over while other threads add to it.
    """

    def __init__(self) -> None:
        self._by_id: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._closed: deque[Any] = deque(maxlen=16)

    def add(self, buffer: Any) -> None:
        self._by_id[id(buffer)] = buffer

    def retain(self, buffer: Any) -> None:
        self._drop(buffer)
        self._closed.append(buffer)

    def discard(self, buffer: Any) -> None:
        self._by_id.pop(id(buffer), None)
        self._drop(buffer)

    def _drop(self, buffer: Any) -> None:
        with suppress(ValueError):  # never closed
            self._closed.remove(buffer)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Any]:
        buffers = (reference() for reference in self._by_id.valuerefs())
        return iter([buffer for buffer in buffers if buffer is not None])


listeners: Final = _Listeners()
"""Every ring buffer of this process; a ring adds itself."""
