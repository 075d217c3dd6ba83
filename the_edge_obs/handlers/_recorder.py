"""The decisions of the flight recorder: when a flow is handed over, how often, and how that is announced."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Final

from ..context import context_of
from ..event import level_name
from ..recording.records import NOWHERE, PLAIN, Item, is_last, metrics_of, place_of
from ._buffer import FlowBuffer

ASKED: Final = "asked"
SLOW: Final = "slow"
_MINUTE: Final = 60.0


class DumpLimit:
    """The number of flows that may be handed over automatically in any minute.

    What a flow logs in the minute after it was admitted is not counted again, so the flow is handed over whole.

    Attributes:
        suppressed: How many flows were refused, including those that were admitted later.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._times: deque[float] = deque()
        self.suppressed = 0

    def admits(self, buffer: FlowBuffer) -> bool:
        """Tell whether a flow may be handed over now, and count it as admitted or refused."""
        now = time.monotonic()
        if self._per_minute is None or (buffer.admitted is not None and now - buffer.admitted < _MINUTE):
            return True
        while self._times and now - self._times[0] >= _MINUTE:
            self._times.popleft()
        if len(self._times) >= self._per_minute:
            self.suppressed += not buffer.refused
            buffer.refused = True
            return False
        self._times.append(now)
        buffer.admitted, buffer.refused = now, False
        return True


def run_ms(item: Item) -> float | None:
    """Return the duration of a run in milliseconds if the item is its end, otherwise None."""
    if not is_last(item):
        return None
    figures = metrics_of(item)
    took: Any = figures / 1e6 if isinstance(figures, int) else (figures or {}).get("duration_ms")
    return took if isinstance(took, (int, float)) else None


def announcement(last: Item, reason: str, facts: dict[str, Any]) -> Item:
    """Return the ``log`` event that says why events are handed over. It has the ids of ``last``, the newest of them."""
    level = logging.INFO if reason == ASKED else logging.WARNING
    data = {"reason": reason, **facts}
    message = f"flight recorder: {_WHY.get(reason, f'an event of level {reason}')}"
    if isinstance(last, tuple):
        where = context_of(place_of(last))._replace(node="obs", step=None)
        return (where, PLAIN["log"], level, time.time_ns(), message, data, None, NOWHERE)
    ids = {key: last[key] for key in ("flow_id", "span_id", "parent_id")}
    moment = time.time_ns() // 1000 / 1e6
    named = {"node": "obs", "level": level_name(level), "timestamp": moment, "event_type": "log"}
    return {**ids, **named, "message": message, "data": data, "metrics": {}}


_WHY: Final = {ASKED: "asked for", SLOW: "the run was slow"}
