"""One flow's part of a ring buffer, and the estimate of its size.

Measuring an event costs as much as keeping it. So events are weighed in batches, and of each batch a sample is measured: far
below the caps one random event of 128, and the more the closer a cap is; at last every event.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from ..context import FlowState, random_bits
from ..recording.records import Item, level_of, size_of

MAX_STEP: Final = 512
"""The most events that a flow takes before they are weighed."""

# A quarter of a step has one event measured. So the error of a step is small against the room that is left for it, even if some
# events are as large as events can be.
_MEASURED: Final = 4
# Bytes of the largest event: a step allows only as many events as have this much room each. With the default cap of 64 MiB,
# the longest step is used up to half of it.
_ROOM_OF_STEP: Final = 1 << 16
_SHARE: Final = 64  # a step takes at most one in 64 of the events that there is room for


class Load:
    """What all flows of a ring hold together, as far as it is weighed.

    Attributes:
        bytes, events: Estimated bytes, and how many events.
        max_bytes, max_events: The caps, or None.
    """

    __slots__ = ("_few_bytes", "_few_events", "bytes", "events", "max_bytes", "max_events")

    def __init__(self, max_bytes: int | None, max_events: int | None) -> None:
        self.bytes = self.events = 0
        self.max_bytes, self.max_events = max_bytes, max_events
        # Up to these, steps are the longest.
        self._few_bytes = math.inf if max_bytes is None else max_bytes - MAX_STEP * _ROOM_OF_STEP
        self._few_events = math.inf if max_events is None else max_events - MAX_STEP * _SHARE

    def exceeds(self, share: float = 1.0) -> bool:
        """Tell whether the load is over a share of one of the caps."""
        return exceeds(self.bytes, self.max_bytes, share) or exceeds(self.events, self.max_events, share)

    def step(self) -> int:
        """Return how many events a flow may take before they must be weighed: the closer a cap, the fewer."""
        if self.bytes <= self._few_bytes and self.events <= self._few_events:
            return MAX_STEP
        step = MAX_STEP
        if self.max_bytes is not None:
            step = min(step, (self.max_bytes - self.bytes) // _ROOM_OF_STEP)
        if self.max_events is not None:
            step = min(step, (self.max_events - self.events) // _SHARE)
        return max(1, step)

    def sample(self) -> int:
        """Return of how many events one is measured."""
        return max(1, self.step() // _MEASURED)


def estimate(items: Sequence[Item], sample: int) -> int:
    """Return the bytes of events, of which one in ``sample`` is measured."""
    if sample == 1:
        return sum(map(size_of, items))
    size, count = 0, len(items)
    for start in range(0, count, sample):
        group = min(sample, count - start)
        # At random: events alternate between entry and exit, so a fixed position would see only half of the kinds.
        size += group * size_of(items[start + random_bits(16) % group])
    return size


def exceeds(value: int, cap: int | None, share: float) -> bool:
    """Tell whether a value is over a share of a cap, which may be None."""
    return cap is not None and value > cap * share


class FlowBuffer:
    """One flow's ring.

    Attributes:
        flow: The flow's state, or None for events that came from another thread or process without it.
        items: The last events, oldest first, and for a while a few before them.
        append: ``items.append``.
        limit: The length of ``items`` above which the ring must be trimmed or weighed.
        pinned: Errors that have left the ring, oldest first, each with its number in the flow.
        evicted: How many events have left the ring, including pinned and spilled ones.
        dropped: How many of them are lost.
        spilled: How many of them are in the spill file. The target already has the oldest ``spill_dumped`` of these.
        dumped: How many events, counted from the flow's first, were handed to the target.
        reason: Why the last automatic handover happened, or None.
        admitted, refused: When (monotonic seconds) the limit admitted the flow, or None; whether the limit refused it.
        bytes, weighed: Estimated bytes of the events and of the flow's taints, and how many of ``items`` they include.
        ended: Whether the flow's root span has ended.
    """

    __slots__ = (
        "_chunks", "_ended", "_load", "_pins", "_tainted", "admitted", "append", "bytes", "dropped", "dumped", "evicted", "flow",
        "items", "limit", "pinned", "reason", "refused", "spill_dumped", "spilled", "weighed",
    )  # fmt: skip

    def __init__(self, pins: int, flow: FlowState | None, load: Load) -> None:
        self.flow = flow
        self.items: deque[Item] = deque()
        self.append = self.items.append  # made once: each event needs it
        self.pinned: deque[tuple[int, Item]] | tuple[()] = ()  # most flows lose no error, and a deque takes 600 bytes
        self.limit = 0
        self.evicted = self.dropped = self.dumped = self.spilled = self.spill_dumped = self.bytes = self.weighed = 0
        self.reason: str | None = None
        self.admitted: float | None = None
        self.refused = self._ended = False
        self._tainted = 0
        self._pins = pins
        self._load = load
        # Batches that were weighed together, oldest first: the number of events, and their bytes. None for one at most.
        self._chunks: deque[tuple[int, int]] | None = None

    @property
    def ended(self) -> bool:
        return self._ended if self.flow is None else self.flow.ended

    def note_end(self) -> None:
        self._ended = True

    def weigh(self, high: int, *, final: bool = False) -> None:
        """Weigh the events that came since the last time, if there are enough, and set a new limit.

        Args:
            high: The length above which the ring is trimmed.
            final: Weigh them even if there are few.
        """
        step = self._load.step()
        self.allow(step, high)
        if (count := len(self.items) - self.weighed) > 0 and (count >= step or final):
            items = self.fresh()
            self.charge(len(items), estimate(items, self._load.sample()))

    def allow(self, step: int, high: int) -> None:
        """Set the limit: ``step`` events may come before they must be weighed, up to a ring of ``high`` events."""
        limit = len(self.items) + step - 1
        self.limit = limit if limit < high else high

    def fresh(self) -> list[Item]:
        """Return the events that are not weighed yet."""
        items, weighed = self.items, self.weighed
        if not weighed:
            return list(items)  # in one step, as other threads append to it
        return [items[number] for number in range(weighed, len(items))]

    def charge(self, count: int, size: int) -> None:
        """Add the weight of the oldest events that are not weighed yet, and of the flow's taints."""
        if self._chunks is not None or self.weighed:
            self._all_chunks().append((count, size))
        self.weighed += count
        self.bytes += size
        load = self._load
        load.bytes += size
        load.events += count
        if self.flow is not None and self.flow.taints.chars != self._tainted:
            self._weigh_taints(self.flow.taints.chars)

    def _all_chunks(self) -> deque[tuple[int, int]]:
        """Return the batches as a deque, which is kept from now on."""
        if self._chunks is None:
            self._chunks = deque([(self.weighed, self.bytes - self._tainted)] if self.weighed else ())
        return self._chunks

    def _weigh_taints(self, chars: int) -> None:
        """Weigh the flow's taints: they stay as long as the flow's events do."""
        self._add(0, chars - self._tainted)
        self._tainted = chars

    def take(self, count: int) -> list[Item]:
        """Remove the oldest events from the ring, at most ``count``, and return them."""
        popleft = self.items.popleft
        taken = [popleft() for _ in range(min(count, len(self.items)))]
        self.evicted += len(taken)
        self._unweigh(len(taken))
        return taken

    def pin_errors(self, first: int, taken: list[Item]) -> int:
        """Pin the errors among events that left the ring, numbered from ``first``; return how many events are lost."""
        lost = len(taken)
        for number, item in enumerate(taken, first):
            # By index: every event of a full ring passes here.
            if (item[2] if type(item) is tuple else level_of(item)) >= logging.ERROR:
                lost -= 1
                if not self.pinned:
                    self.pinned = deque()
                self.pinned.append((number, item))
                self._add(1, size_of(item))
                if len(self.pinned) > self._pins:
                    self.unpin()
                    lost += 1
        return lost

    def unpin(self) -> None:
        """Drop the oldest pinned error."""
        assert self.pinned
        _, item = self.pinned.popleft()
        self._add(-1, -size_of(item))

    def untaken(self) -> list[Item]:
        """Return the events in memory that the target does not have yet, oldest first, and mark them as handed over."""
        pinned = [item for number, item in self.pinned if number >= self.dumped]
        kept = list(self.items)
        fresh = kept[max(0, self.dumped - self.evicted) :]
        self.dumped = self.evicted + len(kept)
        return [*pinned, *fresh]

    def leave(self) -> None:
        """Subtract the flow from the load."""
        self._load.bytes -= self.bytes
        self._load.events -= self.weighed + len(self.pinned)

    def _add(self, count: int, size: int) -> None:
        self.bytes += size
        self._load.bytes += size
        self._load.events += count

    def _unweigh(self, count: int) -> None:
        """Subtract the weight of the oldest events; events that are not weighed yet have none."""
        chunks = self._all_chunks()
        while count and chunks:
            number, size = chunks.popleft()
            if number > count:
                part = size * count // number
                chunks.appendleft((number - count, size - part))
                number, size = count, part
            count -= number
            self.weighed -= number
            self._add(-number, -size)
