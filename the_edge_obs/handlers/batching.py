"""A base for handlers that send whole spans in batches, from a thread of their own.

The thread that logs only pairs facts: it neither makes events nor waits. ``dictConfig``, as uvicorn and Django call it, closes
every handler while it holds logging's lock, which the sending thread may want; so ``flush`` and ``close`` never wait. Only the
interpreter's exit does, with one deadline for all handlers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any, Final

from ..errors import ConfigurationError
from ..event import ENDS, is_failure, may_be_root
from ..recording.dispatch import KEEPERS, Take
from ..recording.faults import handler_failed, note_loss
from ..recording.records import ENTRY, EXIT, Facts, Item, NodeRecord, events_of, item_of, place_of, record_of_item
from ._sending import Sender
from .span_records import SpanRecord, span_record

MAX_EVENTS: Final = 1_000
"""The most events that are kept of one span beside its entry and its end."""
MAX_OPEN: Final = 20_000
"""The most open spans whose entries are remembered; the end of an older one is sent without its input."""
_MOST_ENDED: Final = 1 << 15


class BatchHandler(logging.Handler):
    """Collect the events of each span, and hand whole spans to ``send`` in batches. A subclass writes ``send``.

    ``send`` runs in a thread of the handler, outside any flow, so what it logs is in no run. If more spans wait than
    ``max_spans``, spans that end are dropped whole: those without children first, never roots, errors or what has children. At
    twice as many, everything is dropped that has no child among those kept. A drop, and a batch that could not be sent, counts
    in the ``fault_count`` of its flow, and is reported in one line on stderr when the program ends.

    Args:
        level: As in ``logging.Handler``.
        max_spans: How many spans may wait. Default 8,192.
        max_batch: The most spans of one batch. Default 512.
        delay_s: Seconds that a span waits for others. Default 1.
        exit_s: The longest time, in seconds, for which the end of the program waits. Default 2.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Facts reach a keeper without a record. A subclass that handles records in its own way gets records.
        if all(getattr(cls, name) is getattr(BatchHandler, name) for name in ("handle", "emit", "keep")):
            KEEPERS.add(cls)

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        *,
        max_spans: int = 8_192,
        max_batch: int = 512,
        delay_s: float = 1.0,
        exit_s: float = 2.0,
    ) -> None:
        for name, count in (("max_spans", max_spans), ("max_batch", max_batch)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ConfigurationError(f"{name} {count!r} is not a whole number of at least 1")
        for name, seconds in (("delay_s", delay_s), ("exit_s", exit_s)):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= threading.TIMEOUT_MAX:
                raise ConfigurationError(f"{name} {seconds!r} is not a number of seconds of at least 0")
        super().__init__(level)
        self.max_spans, self.max_batch = max_spans, max_batch
        self._counting = threading.RLock()  # an end that a finalizer logs may come in between, in the same thread
        self._open: dict[int, list[Item]] = {}
        self._with_child: set[int] = set()
        self._pinned: set[int] = set()
        # For each span that has ended, the one under which its late children hang: itself, or its parent if it was dropped.
        self._ended: dict[int, int | None] = {}
        self._ended_before: dict[int, int | None] = {}
        self._waiting: deque[list[Item]] = deque()
        self._dropped = self._lost_events = 0
        self._few = max_spans // 2  # with more, they are sent without delay
        self.is_over = False  # the program has ended: nothing can be sent any more
        self._sender = Sender(self, self._waiting, delay_s, exit_s)

    # --- what a subclass writes ---

    def send(self, spans: list[SpanRecord]) -> None:
        """Send spans. A subclass overrides this method; what it raises means that these spans are lost.

        Args:
            spans: Between 1 and ``max_batch`` spans, in the order in which they ended.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method send(spans)")

    def give_up(self) -> None:
        """End what ``send`` waits for: the program ends, and the time for that is up. By default there is nothing to end."""

    def after_fork(self) -> None:
        """Prepare ``send`` for a forked child, in which connections of the parent must not be used. By default do nothing."""

    # --- what a program may ask ---

    def stats(self) -> dict[str, int]:
        """Return how many spans are ``open``, ``waiting``, ``sent``, ``failed`` and ``dropped``, and how many ``lost_events``.

        ``send`` did not take those that ``failed``. Lost events had no open span, or came after 1,000 others in theirs.
        """
        sender = self._sender
        return {
            "open": len(self._open),
            "waiting": len(self._waiting) + sender.in_flight,
            "sent": sender.sent,
            "failed": sender.failed,
            "dropped": self._dropped,
            "lost_events": self._lost_events,
        }

    def drain(self, timeout_s: float) -> bool:
        """Wait until all spans that have ended are sent, and tell whether they are. Only a program that wants to calls this.

        Args:
            timeout_s: The longest wait, in seconds.
        """
        until = time.monotonic() + timeout_s
        while self._waiting or self._sender.in_flight:
            if time.monotonic() >= until:
                return False
            self._sender.hurry()
            time.sleep(0.005)
        return True

    # --- what logging and the package call ---

    def keep(self, facts: Facts) -> Take | None:
        """Keep the facts of an event, as ``handle`` does with a record, and return this method for the end of the same span.

        The common case is inline: an entry, and an end while few spans wait.
        """
        try:
            place, kind = facts[0], facts[1]  # by index: each event passes here
            number, opened = place[1], self._open
            if kind is ENTRY and number not in opened and len(opened) < MAX_OPEN and not self.is_over:
                opened[number] = [facts]
            elif kind is EXIT and number in opened and len(self._waiting) < self._few and not self.is_over:
                items = opened.pop(number)
                items.append(facts)
                if (parent := place[2]) in opened:
                    self._with_child.add(parent)
                    self._pinned.add(parent)
                self._with_child.discard(number)
                self._pinned.discard(number)
                if len(self._ended) >= _MOST_ENDED:
                    self._remember(number, number)
                else:
                    self._ended[number] = number
                self._waiting.append(items)
                if not self._sender.is_awake:
                    self._sender.wake()
            else:
                self._take(facts, kind.event_type, number, place[2], place[3])
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(NodeRecord(facts))
        return self.keep

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's event. Records outside any flow are left out."""
        try:
            item = item_of(record)
            if isinstance(item, tuple):
                place = place_of(item)
                self._take(item, item[1].event_type, place[1], place[2], place[3])
            elif item is not None and item["flow_id"] is not None:
                parent = item["parent_id"]
                number, above = _number(item["span_id"]), None if parent is None else _number(parent)
                self._take(item, item["event_type"], number, above, item["node"])
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report the failure on stderr as ``logging`` does, without secrets, and count it in the flow."""
        handler_failed(self, record)

    def flush(self) -> None:
        """Send what waits soon. It does not wait for that: ``dictConfig`` calls it while it holds logging's lock."""
        self._sender.hurry()

    def close(self) -> None:
        """Send soon what waits, and end the thread. It does not wait; a handler that is still in use goes on."""
        self._sender.close()
        super().close()

    # --- spans ---

    def _take(self, item: Item, kind: str, number: int, parent: int | None, node: str) -> None:
        if self.is_over:
            return
        items = self._open.get(number)
        if kind == "entry" and items is None:
            self._open[number] = [item]
            if len(self._open) > MAX_OPEN:
                self._forget_oldest()
        elif kind in ENDS and (items is None or _node(items[0]) == node):
            self._end(number, parent, node, item)
        elif items is not None and len(items) <= MAX_EVENTS:
            items.append(item)
        else:
            self._lose_event()

    def _forget_oldest(self) -> None:
        for number in list(self._open)[: MAX_OPEN // 10]:
            self._open.pop(number, None)

    def _lose_event(self) -> None:
        with self._counting:
            self._lost_events += 1

    def _end(self, number: int, parent: int | None, node: str, item: Item) -> None:
        items = self._open.pop(number, None)
        if items is None:
            if number in self._ended or number in self._ended_before:
                self._lose_event()  # an error that was logged by hand, after the end
                return
            items = [item]
        else:
            items.append(item)
        has_child, is_pinned = number in self._with_child, number in self._pinned
        self._with_child.discard(number)
        self._pinned.discard(number)
        waiting = len(self._waiting)
        is_spared = waiting < self.max_spans or is_pinned
        if not is_spared and waiting < 2 * self.max_spans:
            is_spared = has_child or may_be_root(node, parent) or _is_failure(item)
        if is_spared:
            self._keep(number, parent, items)
        else:
            self._drop(number, parent, items)

    def _keep(self, number: int, parent: int | None, items: list[Item]) -> None:
        self._remember(number, number)
        if parent is not None and parent in self._open:
            self._pinned.add(parent)
        self._waiting.append(items)
        self._sender.wake()
        if len(self._waiting) > self._few:
            self._sender.hurry()

    def _drop(self, number: int, parent: int | None, items: list[Item]) -> None:
        self._remember(number, None if parent is None else self._under(parent))
        if parent is not None and parent in self._open:
            self._with_child.add(parent)
        with self._counting:
            self._dropped += 1
        self._note(items[-1], "dropped a span: too many wait to be sent")

    def _remember(self, number: int, under: int | None) -> None:
        if len(self._ended) >= _MOST_ENDED:
            self._ended_before, self._ended = self._ended, {}
        self._ended[number] = under

    def _under(self, number: int) -> int | None:
        """Return the span under which the children of a span hang."""
        return self._ended.get(number, self._ended_before.get(number, number))

    def _note(self, item: Item, what: str) -> None:
        if isinstance(item, tuple):
            note_loss(place_of(item), f"{type(self).__name__} {what}")

    # --- what the sender calls ---

    def take_unfinished(self) -> None:
        """Put the spans that are still open among those that wait: the program ends."""
        for number in list(self._open):
            if (items := self._open.pop(number, None)) is not None:
                self._remember(number, number)
                self._waiting.append(items)

    def records(self, batch: list[list[Item]]) -> list[SpanRecord]:
        """Return the spans of items. One that cannot be made is reported, and left out."""
        records = []
        for items in batch:
            try:
                events = list(events_of(items))
                record = span_record(events)
            except Exception:  # noqa: BLE001 - one that fails does not cost the others
                self.handleError(record_of_item(items[-1]))
                continue
            if record is not None:
                records.append(self._below_what_is_kept(record))
        return records

    def _below_what_is_kept(self, record: SpanRecord) -> SpanRecord:
        """Return a span below the nearest span that was not dropped."""
        parent = record.parent_id
        if parent is None or (under := self._under(number := _number(parent))) == number:
            return record
        other = None if under is None else f"{parent[:19]}{under.to_bytes(8, 'big').hex('-', 6)}"
        return replace(record, parent_id=other)

    def note_failed(self, batch: list[list[Item]]) -> None:
        """Count spans that could not be sent in their flows."""
        for items in batch:
            self._note(items[-1], "could not send a span")

    def renew(self) -> None:
        """Start anew in a forked child: the parent sends what it has, and ends the spans that are open now."""
        self._counting = threading.RLock()
        self._ended.update((number, number) for number in self._open)
        self._open.clear()
        self._waiting.clear()
        self._with_child.clear()
        self._pinned.clear()
        self._dropped = self._lost_events = 0
        self._sender.renew()
        self.after_fork()


def _number(span_id: str) -> int:
    return int(span_id[19:23] + span_id[24:], 16)


def _node(item: Item) -> str:
    return place_of(item)[3] if isinstance(item, tuple) else str(item["node"])


def _is_failure(item: Item) -> bool:
    if not isinstance(item, tuple):
        return is_failure(item)
    return is_failure({"event_type": item[1].event_type, "data": item[5] if isinstance(item[5], dict) else {}})
