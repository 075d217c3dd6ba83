"""The flows that a ring buffer keeps, and what leaves when they exceed a cap."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from ..event import Event
from ..recording.faults import Guard
from ..recording.records import Item, flow_of
from ._buffer import MAX_STEP, FlowBuffer, Load, estimate, exceeds
from ._spill import Spill

_REMEMBERED: Final = 10_000  # flows that have left; about 200 bytes each
# At a cap, room is made for more than one event. Otherwise every event would have to make room.
_LOW: Final = 15 / 16
_SHORT: Final = 32  # events up to which a flow is weighed together with others
_MAX_WAITING: Final = 64  # flows that wait to be weighed; more would take long at a time


class Room:
    """Flows, oldest first, within the caps of a ring buffer.

    Args:
        capacity, max_flows: As in ``RingBufferHandler``.
        load: Their total weight, with its caps.
        spill: The files for events that leave a ring, or None.
        on_failure: Called, in an ``except`` clause, with an event that could not be spilled.

    Attributes:
        flows: Each flow's buffer. Reading it, and appending to a buffer, needs no lock.
        lock: Must be held to move events between containers.
        evicted_flows: How many whole flows were evicted because of a cap.
        dropped: How many events were lost with them.
    """

    def __init__(
        self, capacity: int, max_flows: int, load: Load, spill: Spill | None, on_failure: Callable[[Item], None]
    ) -> None:
        self.flows: dict[str, FlowBuffer] = {}
        self.lock = threading.RLock()
        self.load = load
        self.evicted_flows = self.dropped = 0
        self._capacity, self._max_flows, self._spill, self._on_failure = capacity, max_flows, spill, on_failure
        self._pins = max(1, capacity // 10)
        # A ring runs over by an eighth before it is trimmed, once for many events; readers trim it first.
        self._high = capacity if spill is not None else capacity + capacity // 8
        # Evicted flows, oldest first: the number of lost events, and of running flows the deque that open spans still add to.
        self._left: OrderedDict[str, tuple[int, deque[Item] | None]] = OrderedDict()
        # Flows whose last events may not be weighed yet: those that were running when they were last looked at, and those that
        # wait to be weighed together, with the number of their events. A flow may be in both.
        self._running: deque[str] = deque()
        self._noted: list[str] = []
        self._waiting = 0
        self._inherited: frozenset[str] = frozenset()

    def add(self, flow_id: str, item: Item) -> FlowBuffer:
        """Return the buffer of a flow whose first event is about to come."""
        with self.lock:
            step = self._settle_others()
            if (buffer := self.flows.get(flow_id)) is not None:
                return buffer
            buffer = FlowBuffer(self._pins, flow_of(item) if isinstance(item, tuple) else None, self.load)
            buffer.limit = step - 1 if step <= self._high else self._high
            if flow_id in self._left:
                # The flow was evicted before: its lost events still count.
                buffer.dropped, later = self._left.pop(flow_id)
                if later is not None:
                    buffer.items, buffer.append = later, later.append
                self.dropped -= buffer.dropped
                buffer.allow(step, self._high)
            self.flows[flow_id] = buffer
            self._running.append(flow_id)
            if len(self.flows) > self._max_flows:
                self._evict(self._oldest(flow_id))
            return buffer

    def settle(self, flow_id: str, buffer: FlowBuffer, *, final: bool = False) -> None:
        """Do the postponed work: trim the ring, weigh its events (all of them if ``final``), enforce the caps."""
        with self.lock:
            if self.flows.get(flow_id) is not buffer:
                return  # evicted in the meantime
            if len(buffer.items) > self._high:
                self.trim(flow_id, buffer)
            buffer.weigh(self._high, final=final)
            if self.load.exceeds():
                self._make_room(flow_id, buffer)
                buffer.weigh(self._high)

    def trim(self, flow_id: str, buffer: FlowBuffer) -> None:
        """Cut a ring down to its capacity."""
        self._let_go(flow_id, buffer, len(buffer.items) - self._capacity)

    def forget(self, flow_id: str) -> None:
        """Drop a flow without counting its events as lost."""
        with self.lock:
            self._left.pop(flow_id, None)
            self._remove(flow_id)

    def dropped_with(self, flow_id: str) -> int:
        """Return how many events were lost when a flow was evicted; the last 10,000 such flows are remembered."""
        lost, later = self._left.get(flow_id, (0, None))
        return lost + len(later or ())

    def spilled(self, flow_id: str, buffer: FlowBuffer) -> list[Event]:
        """Return the events in a flow's spill file; events that were deleted from outside count as dropped."""
        if self._spill is None:
            return []
        events = list(self._spill.read(flow_id, 0, buffer.spilled))
        if missing := buffer.spilled - len(events):
            buffer.dropped += missing
            buffer.spilled, buffer.spill_dumped = len(events), min(buffer.spill_dumped, len(events))
            self._spill.forget(flow_id)
        return events

    def remove_spilled(self) -> None:
        """Remove every spill file, and count its events as dropped."""
        with self.lock:
            for buffer in self.flows.values():
                buffer.dropped += buffer.spilled
                buffer.spilled = buffer.spill_dumped = 0
            if self._spill is not None:
                self._spill.clear()

    def renew_lock(self) -> None:
        """Replace the lock with one that no thread holds: the other threads are gone."""
        self.lock = threading.RLock()

    def after_fork(self) -> None:
        """Prepare for a forked child: a new lock, and the spill files of the parent left alone."""
        self.renew_lock()
        self._inherited = frozenset(self.flows)
        if self._spill is not None:
            self._spill.after_fork()

    # --- what leaves ---

    def _settle_others(self) -> int:
        """Look at one flow, or two if the first has not ended; weigh those that wait once there is a step of events.

        Returns:
            How many events a flow may take before they must be weighed.
        """
        running = self._running
        count = len(running)
        if count and self._note(running.popleft()) and count > 1:
            self._note(running.popleft())
        step = self.load.step()
        if self._waiting >= step or len(self._noted) >= _MAX_WAITING:
            self._settle_noted()
            step = self.load.step()
        return step

    def _note(self, flow_id: str) -> bool:
        """Let a flow wait to be weighed; return False if it has ended.

        One that is running is weighed now if it is long or a cap is near: then its limit becomes lower.
        """
        buffer = self.flows.get(flow_id)
        if buffer is None:
            return True  # evicted
        is_running, fresh = not buffer.ended, len(buffer.items) - buffer.weighed
        if is_running:
            self._running.append(flow_id)
            if fresh > _SHORT or self.load.step() < MAX_STEP:
                self.settle(flow_id, buffer, final=True)
                return True
        self._noted.append(flow_id)
        self._waiting += fresh
        return is_running

    def _settle_noted(self) -> None:
        """Weigh the flows that wait: short ones together, each with the mean of their events."""
        noted, self._noted, self._waiting = self._noted, [], 0
        flows, short, has_long = self.flows, dict[str, FlowBuffer](), False
        for flow_id in noted:
            if (buffer := flows.get(flow_id)) is not None and (fresh := len(buffer.items) - buffer.weighed):
                if fresh <= _SHORT:
                    short[flow_id] = buffer
                else:
                    has_long = True
                    self.settle(flow_id, buffer, final=True)
        if has_long:  # they may have made room, and evicted short ones
            short = {flow_id: buffer for flow_id, buffer in short.items() if flows.get(flow_id) is buffer}
        self._settle_short(short)

    def _settle_short(self, short: dict[str, FlowBuffer]) -> None:
        load, items, counts = self.load, list[Item](), list[int]()
        sample = load.sample()
        for buffer in short.values():
            fresh = buffer.fresh()
            items += fresh
            counts.append(len(fresh))
            if sample == 1:
                buffer.charge(len(fresh), estimate(fresh, 1))
        if sample > 1:
            size, total = estimate(items, sample), len(items)
            for buffer, count in zip(short.values(), counts, strict=True):
                buffer.charge(count, size * count // total)
        if short and load.exceeds():
            flow_id, buffer = short.popitem()
            self._make_room(flow_id, buffer)

    def _make_room(self, flow_id: str, buffer: FlowBuffer) -> None:
        """Evict until there is some room again, for a flow that has just got events."""
        while self.load.exceeds(_LOW) and self._lighten(flow_id, buffer):
            pass

    def _lighten(self, flow_id: str, buffer: FlowBuffer) -> bool:
        """Make some room for a flow that has just got events; return False if nothing is left to drop."""
        is_alone = len(self.flows) == 1
        if not is_alone and self._is_greedy(buffer) and len(buffer.items) > 1:
            self._let_go(flow_id, buffer, max(1, len(buffer.items) // 8))
        elif (ended := self._ended(flow_id)) is not None:
            self._evict(ended)
        else:
            return self._lighten_heaviest(flow_id)
        return True

    def _lighten_heaviest(self, spared: str) -> bool:
        name, heaviest = max(self.flows.items(), key=lambda entry: entry[1].bytes)
        if len(heaviest.items) > 1:
            self._let_go(name, heaviest, max(1, len(heaviest.items) // 8))
        elif heaviest.pinned:
            heaviest.unpin()
            heaviest.dropped += 1
        elif len(self.flows) > 1:
            self._evict(self._oldest(spared))
        else:
            return False
        return True

    def _is_greedy(self, buffer: FlowBuffer) -> bool:
        events = len(buffer.items) + len(buffer.pinned)
        return exceeds(buffer.bytes, self.load.max_bytes, 0.5) or exceeds(events, self.load.max_events, 0.5)

    def _ended(self, spared: str) -> str | None:
        return next((name for name, buffer in self.flows.items() if name != spared and buffer.ended), None)

    def _oldest(self, spared: str) -> str:
        return self._ended(spared) or next(name for name in self.flows if name != spared)

    def _evict(self, flow_id: str) -> None:
        """Drop a flow, and remember how many events it lost."""
        buffer = self.flows[flow_id]
        lost = buffer.dropped + len(buffer.items) + len(buffer.pinned) + buffer.spilled
        self._remove(flow_id)
        self.evicted_flows += 1
        self.dropped += lost
        # Open spans may still add their ends to it, and the next event of the flow takes it over.
        buffer.items.clear()
        self._left[flow_id] = (lost, None if buffer.ended else buffer.items)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)

    def _remove(self, flow_id: str) -> None:
        buffer = self.flows.pop(flow_id, None)
        if buffer is not None:
            buffer.leave()
            self._remove_spilled(flow_id)

    def _let_go(self, flow_id: str, buffer: FlowBuffer, count: int) -> None:
        """Remove the oldest events from a ring: spill them, pin them, or drop them."""
        if count <= 0:
            return
        with self.lock:
            first = buffer.evicted
            taken = buffer.take(count)
            if self._spill is None or self._spill.is_over or flow_id in self._inherited:
                buffer.dropped += buffer.pin_errors(first, taken)
                return
            for number, item in enumerate(taken, first):
                if self._has_spilled(self._spill, item):
                    buffer.spilled += 1
                    buffer.spill_dumped += number < buffer.dumped
                else:
                    buffer.dropped += buffer.pin_errors(number, [item])

    def _has_spilled(self, spill: Spill, item: Item) -> bool:
        with Guard(self._on_failure, item):  # for a full disk: the event is lost, and counted
            spill.write(item)
            return True
        return False

    def _remove_spilled(self, flow_id: str) -> None:
        if self._spill is not None and flow_id not in self._inherited:
            self._spill.remove(flow_id)
