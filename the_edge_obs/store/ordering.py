"""Events of many files in the order of their times, in bounded memory."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Final

from ..event import Event, dumps

MOST: Final = 20_000
"""How many events are held in memory at a time."""


def in_time_order(events: Iterable[Event], most: int = MOST) -> Iterator[Event]:
    """Yield events ordered by time; those of the same time keep their order.

    Up to ``most`` events are sorted in memory. More of them are sorted in parts, which wait in temporary files.
    """
    held: list[Event] = []
    with ExitStack() as files:
        parts: list[IO[bytes]] = []
        for event in events:
            held.append(event)
            if len(held) == most:
                parts.append(_set_aside(held, files))
                held.clear()
        held.sort(key=_time)
        yield from heapq.merge(*map(_read, parts), held, key=_time)


def _time(event: Event) -> float:
    return event["timestamp"]  # type: ignore[no-any-return]


def _set_aside(events: list[Event], files: ExitStack) -> IO[bytes]:
    events.sort(key=_time)
    file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by the stack
    file.writelines(dumps(event).encode("utf-8", "surrogatepass") + b"\n" for event in events)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[Event]:
    yield from map(json.loads, file)
