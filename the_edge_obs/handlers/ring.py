"""A handler that keeps each flow's last events in memory."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from itertools import chain
from logging.handlers import MemoryHandler
from typing import Any, Final, Literal

from ..context import at_fork
from ..errors import ConfigurationError, LevelError
from ..event import Event, level_name, level_number
from ..recording.buffers import listeners
from ..recording.dispatch import KEEPERS, Take
from ..recording.exits import RENEWALS
from ..recording.faults import handler_failed
from ..recording.records import Facts, Item, events_of, flow_id_of, flow_of, is_last, item_of, level_of, record_of_item
from ..recording.tracebacks import apart
from ._buffer import FlowBuffer, Load
from ._recorder import ASKED, SLOW, DumpLimit, announcement, run_ms
from ._room import Room
from ._spill import Spill

DEFAULT_CAPACITY: Final = 1_000
DEFAULT_MAX_FLOWS: Final = 1_000
AUTO: Final = "auto"
DEFAULT_MAX_BYTES: Final = 64 << 20
DEFAULT_MAX_EVENTS: Final = 250_000
DEFAULT_MAX_DUMPS: Final = 60

_BYTES_OF_EVENT: Final = 2_048  # more than most events weigh


class RingBufferHandler(MemoryHandler):
    """Keep the last events of each flow, and hand them to a target when something goes wrong.

    Errors that leave the ring of a flow stay pinned, up to a tenth of its capacity, so that other events cannot push them out.
    At a cap over all flows, ended flows are evicted first, the oldest before the others; then the largest flow loses its oldest
    events. A flow that takes more than half of a cap loses its own events before other flows are evicted. Lost events are
    counted: ``dropped`` per flow, ``stats`` in total.

    As a flight recorder, the ring holds everything down to debug, and hands a flow's events to a target when the flow fails, is
    slow, or on request (``dump``): spilled, pinned and kept events, each once. Events that a failed flow logs later follow with
    its next failure or its end. A ``log`` event of the node ``obs`` comes first and says why: ``data.reason`` is ``slow``,
    ``asked`` or the level that was reached. Later events for the same reason have no such announcement.

    Args:
        capacity: Events kept per flow, at least 1. Default 1,000.
        max_flows: Flows kept. Default 1,000.
        max_bytes: Estimated bytes kept over all flows, or None for no such cap. Default ``"auto"``: 64 MiB, or 2 KiB per event
            of the capacity if that is more.
        flush_level: With a target: the level (name or number) of a record at which its flow's events are handed over.
            Default ``error``.
        target: A handler that gets those events. In a dictConfig, the name of a handler, if the ring is given by ``class:``.
        spill: Path, with ``{flow_id}``, for events that leave the ring; they are read back from there and are not lost. The
            files are removed with their flows, with the ring, and at exit. Default None: events that leave count as dropped.
        level: As in ``logging.Handler``.
        max_events: Events kept over all flows, at least ``capacity``, or None for no such cap. Default 250,000.
        slow_ms: With a target: a flow that took longer than this many milliseconds is handed over at its end. Default None.
        max_dumps: Flows handed over automatically in any minute, or None for no limit. Default 60. Refused flows stay in the
            ring, and are handed over at the next occasion that is allowed.

    Raises:
        ConfigurationError: a number is below 1, a level is unknown, or a spill path cannot be used.

    It subclasses ``MemoryHandler`` so that ``target:`` works in a dictConfig. Unlike ``MemoryHandler``, it is not emptied by
    ``flush`` and hands nothing over at exit.
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        max_flows: int = DEFAULT_MAX_FLOWS,
        max_bytes: int | Literal["auto"] | None = AUTO,
        flush_level: int | str | None = None,
        target: logging.Handler | None = None,
        spill: str | os.PathLike[str] | None = None,
        level: int | str = logging.NOTSET,
        *,
        max_events: int | None = DEFAULT_MAX_EVENTS,
        slow_ms: float | None = None,
        max_dumps: int | None = DEFAULT_MAX_DUMPS,
    ) -> None:
        _check(capacity=capacity, max_flows=max_flows)
        if max_bytes == AUTO:
            max_bytes = max(DEFAULT_MAX_BYTES, capacity * _BYTES_OF_EVENT)
        caps = {"max_bytes": max_bytes, "max_events": max_events, "max_dumps": max_dumps}
        _check(**{name: cap for name, cap in caps.items() if cap is not None})
        super().__init__(capacity, _threshold(flush_level, slow_ms), target, flushOnClose=False)
        self.setLevel(level)
        self.slow_ms = slow_ms
        self._spill = None if spill is None else Spill(spill)
        if self._spill is not None:
            weakref.finalize(self, self._spill.end)  # at exit at the latest
        self._is_closed = False
        load = Load(max_bytes, None if max_events is None else max(max_events, capacity))
        self._room = Room(capacity, max_flows, load, self._spill, self._failed)
        self._flows = self._room.flows
        self._limit = DumpLimit(max_dumps)
        self._looks = target is not None
        self._handing_over: set[int] = set()
        listeners.add(self)

    # --- writing ---

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep the record if the filters let it pass. Unlike ``Handler.handle`` this takes no lock: a deque needs none."""
        try:
            if self.filters:
                passed: Any = self.filter(record)
                if not passed:
                    return False
                # From Python 3.12 on a filter may put another record in its place.
                record = passed if isinstance(passed, logging.LogRecord) else record
            self.emit(record)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's event, and hand its flow's events to the target if its level is high enough."""
        item = item_of(record)
        if item is not None:
            self.keep_item(item)

    def keep(self, facts: Facts) -> Take | None:
        """Keep the facts of an event, and hand its flow's events to the target if its level is high enough.

        Returns:
            A function that keeps the end of the same span directly, or None if each event must be checked.
        """
        if not self._looks:
            try:
                flow_id = facts[0][0].id  # by index: each event passes here
                buffer = self._flows.get(flow_id) or self._added(flow_id, facts)
                append = buffer.append
                append(facts)
                if len(buffer.items) > buffer.limit:
                    self._room.settle(flow_id, buffer)
                if buffer.flow is not None:
                    return append
                self._look_at(flow_id, buffer, facts)
            except Exception:  # noqa: BLE001 - observability never breaks what it observes
                self.handleError(record_of_item(facts))
        else:
            self.keep_item(facts)
        return None

    def keep_item(self, item: Item) -> None:
        """Keep an item as ``keep`` does; it may be the event of another process."""
        try:
            flow_id = flow_id_of(item)
            buffer = self._flows.get(flow_id) or self._added(flow_id, item)
            if buffer.items and buffer.items[-1] is item:
                return  # this handler is on a logger and on one above it
            buffer.append(item)
            if len(buffer.items) > buffer.limit:
                self._room.settle(flow_id, buffer)
            self._look_at(flow_id, buffer, item)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record_of_item(item))

    def _added(self, flow_id: str, item: Item) -> FlowBuffer:
        buffer = self._room.add(flow_id, item)
        if self._is_closed:
            self._is_closed = False  # still in use: another dictConfig closes every handler, attached or not
            listeners.add(self)
        return buffer

    def keep_fault(self, facts: Facts) -> None:
        """Keep the facts of a failure of logging; a closed ring does so only for flows that it already has."""
        if not self._is_closed or self.has(flow_of(facts).id):
            self.keep(facts)

    def _look_at(self, flow_id: str, buffer: FlowBuffer, item: Item) -> None:
        """Act on an event: note the end of its flow, and hand over to the target."""
        if buffer.flow is None and is_last(item):
            buffer.note_end()
        if self.target is None:
            return
        level, thread = level_of(item), threading.get_ident()
        if level >= self.flushLevel:
            reason = level_name(level)
        elif self.slow_ms is not None and (took := run_ms(item)) is not None and took > self.slow_ms:
            reason = SLOW
        elif buffer.reason is not None and is_last(item):
            reason = buffer.reason  # otherwise the flow would look as if it were still running
        else:
            return
        # A target may log into the flow itself. Its events wait for the next handover, or there would be no end.
        if thread in self._handing_over:
            return
        with self._room.lock:
            is_allowed = self._limit.admits(buffer)
        if is_allowed:
            self._handing_over.add(thread)
            try:
                self._hand_over(flow_id, buffer, reason)
            finally:
                self._handing_over.discard(thread)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report the failure on stderr as ``logging`` does, without secrets, and count it in the flow."""
        handler_failed(self, record)

    def _failed(self, item: Item) -> None:
        self.handleError(record_of_item(item))

    def dump(self, flow_id: str | None = None) -> int:
        """Hand the events that the target does not have yet to it, of one flow or (None) of all; return how many."""
        names = [flow_id] if flow_id is not None else list(self._flows)
        buffers = [(name, buffer) for name in names if (buffer := self._flows.get(name)) is not None]
        return sum(self._hand_over(name, buffer, ASKED) for name, buffer in buffers)

    def _hand_over(self, flow_id: str, buffer: FlowBuffer, reason: str) -> int:
        target = self.target
        if target is None:
            return 0
        with self._room.lock:
            self._room.trim(flow_id, buffer)
            start, buffer.spill_dumped = buffer.spill_dumped, buffer.spilled
            spilled = self._spill.read(flow_id, start, buffer.spilled) if self._spill else iter(())
            items = buffer.untaken()
            count = buffer.spilled - start + len(items)
            is_news = reason == ASKED or reason != buffer.reason
            buffer.reason = buffer.reason if reason == ASKED else reason
        if count and is_news:
            last = (items or buffer.items)[-1]
            facts = {"events": count, "dropped": buffer.dropped, "suppressed": self._limit.suppressed}
            apart(target.handle, record_of_item(announcement(last, reason, facts)))
        for item in chain(spilled, items):
            apart(target.handle, record_of_item(item))
        return count

    def after_fork(self) -> None:
        """Prepare for a forked child: new locks, and the spill files of the parent left alone."""
        self._room.after_fork()
        self._handing_over = set()

    def flush(self) -> None:
        """Do nothing: the buffer is for reading; ``dump`` hands events over."""

    def close(self) -> None:
        """Close the handler as ``logging`` requires; its runs stay readable, and it still keeps new events.

        Another library's ``dictConfig`` or ``fileConfig`` closes every handler, even those that stay attached. So the ring keeps
        its target, which ``MemoryHandler.close`` would drop, and its spill files.
        """
        if self._flows and not self._is_closed:
            listeners.retain(self)
        self._is_closed = True
        logging.Handler.close(self)

    def dispose(self) -> None:
        """Close the ring for good, as an undo does: its runs are no longer found, and its spill files are removed."""
        self._is_closed = True
        listeners.discard(self)
        self._room.remove_spilled()
        self.close()

    # --- reading ---

    def flow_ids(self) -> list[str]:
        """Return the ids of the flows kept, oldest first."""
        return list(self._flows)

    def has(self, flow_id: str) -> bool:
        """Tell whether the ring keeps a flow."""
        return flow_id in self._flows

    def events(self, flow_id: str) -> list[Event]:
        """Return a flow's events, oldest first: spilled, pinned and kept ones; an empty list for an unknown flow."""
        return list(events_of(self.items(flow_id)))

    def items(self, flow_id: str) -> list[Item]:
        """Return what is kept of a flow's events, as ``events`` orders them. Payloads are not read yet."""
        buffer = self._flows.get(flow_id)
        if buffer is None:
            return []
        with self._room.lock:
            self._room.trim(flow_id, buffer)
            spilled = self._room.spilled(flow_id, buffer)
            items = [*(item for _, item in buffer.pinned), *buffer.items]
        return [*spilled, *items]

    def dropped(self, flow_id: str) -> int:
        """Return how many events of a flow are lost: evicted, and neither pinned nor spilled.

        For an evicted flow, these are all its events; the last 10,000 such flows are remembered.
        """
        buffer = self._flows.get(flow_id)
        if buffer is None:
            return self._room.dropped_with(flow_id)
        self._room.trim(flow_id, buffer)
        return buffer.dropped

    def stats(self) -> dict[str, int]:
        """Return what the ring holds and what it has lost.

        Returns:
            ``flows``, ``events`` and ``bytes`` (estimated) that it holds; ``evicted_flows``, evicted because of a cap;
            ``dropped``, the lost events of kept and evicted flows; ``suppressed_dumps``, flows refused by ``max_dumps``.
        """
        room = self._room
        with room.lock:
            for flow_id, buffer in list(self._flows.items()):
                room.settle(flow_id, buffer, final=True)
            buffers = list(self._flows.values())
            return {
                "flows": len(buffers),
                "events": sum(len(buffer.items) + len(buffer.pinned) for buffer in buffers),
                "bytes": room.load.bytes,
                "evicted_flows": room.evicted_flows,
                "dropped": room.dropped + sum(buffer.dropped for buffer in buffers),
                "suppressed_dumps": self._limit.suppressed,
            }

    def faults(self, flow_id: str) -> int:
        """Return how many times logging itself failed for an event of a flow."""
        buffer = self._flows.get(flow_id)
        last = buffer.items[-1] if buffer is not None and buffer.items else None
        return flow_of(last).faults if isinstance(last, tuple) else 0

    def is_abroad(self, flow_id: str) -> bool:
        """Tell whether another process may have logged into a flow: this ring does not have those events."""
        buffer = self._flows.get(flow_id)
        return buffer is not None and buffer.flow is not None and buffer.flow.is_abroad

    def clear(self, flow_id: str | None = None) -> None:
        """Forget a flow, or all of them (None)."""
        for name in [flow_id] if flow_id is not None else list(self._flows):
            self._room.forget(name)

    def setTarget(self, target: logging.Handler | None) -> None:  # noqa: N802 - logging's name
        """Set the handler that gets a flow's events when something goes wrong, or None."""
        super().setTarget(target)
        self._looks = target is not None


def _check(**counts: object) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} {value!r} is not a whole number of at least 1")


def _threshold(flush_level: int | str | None, slow_ms: object) -> int:
    """Return the number of ``flush_level``, after checking both arguments."""
    if slow_ms is not None and (isinstance(slow_ms, bool) or not isinstance(slow_ms, (int, float)) or not slow_ms >= 0):
        raise ConfigurationError(f"slow_ms {slow_ms!r} is not a number of milliseconds of at least 0")
    if isinstance(flush_level, str) and flush_level.upper() == "CRITICAL":
        return logging.CRITICAL  # a level of logging's records, but not of events
    try:
        return level_number(logging.ERROR if flush_level is None else flush_level)
    except LevelError as error:
        raise LevelError(f"flush_level: {error}") from error


def _renew_locks() -> None:
    for ring in list(listeners):
        ring._room.renew_lock()


def _after_fork() -> None:
    for ring in list(listeners):
        ring.after_fork()


KEEPERS.add(RingBufferHandler)
RENEWALS.append(_renew_locks)
at_fork(after_in_child=_after_fork)
