"""The thread that sends batches of spans, and the one wait at the end of the program."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..context import at_fork
from ..recording.faults import Guard, own_fault
from ..recording.records import Item
from ..recording.tracebacks import error_text, type_name
from ..redaction.texts import scrub_text

if TYPE_CHECKING:
    from .span_records import SpanRecord

_GRACE_S: Final = 0.1  # how long a sender that was told to give up has to count its last batch


def _take_no_signals(starter: int) -> None:
    """Leave signals to the threads of the program.

    A program that blocks a signal in its only thread, as Celery's workers do while they hold a lock, would get it in this one.

    Args:
        starter: The native id of the thread that started this one. With gevent it is this one: a thread is not a thread there.
    """
    if hasattr(signal, "pthread_sigmask") and threading.get_native_id() != starter:
        names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2")
        signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in names])


class Sender:
    """Sends what waits for a handler, in a daemon thread that exists only while there is something to send.

    Args:
        owner: The handler.
        waiting: The items of the spans that wait.
        delay_s: Seconds to wait for more spans once there is one.
        exit_s: The longest wait at the end of the program, in seconds.

    Attributes:
        sent, failed: How many spans ``send`` took, and did not take.
        in_flight: How many are being sent.
        is_awake: Whether the thread will look at what waits once more.
        is_over: Whether the program has ended, so that nothing can be sent any more.
    """

    def __init__(self, owner: Any, waiting: deque[list[Item]], delay_s: float, exit_s: float) -> None:
        self._owner, self._waiting = weakref.ref(owner), waiting
        self._delay_s, self.exit_s = delay_s, exit_s
        self.sent = self.failed = self.in_flight = 0
        self.is_over = self._is_closed = self._gave_up = self._has_complained = False
        self._prepare()
        _live.add(self)

    def _prepare(self) -> None:
        self._guard = threading.RLock()
        self._some, self._hurry, self._done = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._is_exiting = self.is_awake = False

    # --- called by the handler ---

    def wake(self) -> None:
        """Send what waits after the delay."""
        if self._thread is None:
            self._start()
        self.is_awake = self._thread is not None
        self._some.set()

    def hurry(self) -> None:
        """Send what waits now."""
        if self._waiting:
            self.wake()
            self._hurry.set()

    def close(self) -> None:
        """Send what waits now, and end the thread then.

        What is still in use, as after a ``dictConfig`` that closes every handler, starts a thread again for each batch.
        """
        self._is_closed = True
        self._some.set()
        self._hurry.set()

    def renew(self) -> None:
        """Start anew in a forked child, which has no such thread."""
        self.sent = self.failed = self.in_flight = 0
        self._prepare()

    def _start(self) -> None:
        with self._guard:
            owner = self._owner()
            if self._thread is not None or owner is None:
                return
            # In a context of its own: what is logged while sending is in no flow.
            run = contextvars.Context().run
            about = (self._work, owner, threading.get_native_id())
            thread = threading.Thread(target=run, args=about, name=f"tea-{type(owner).__name__}", daemon=True)
            with suppress(RuntimeError):  # no thread can be started; the next span tries again, and the end reports what waits
                thread.start()
                self._thread = thread
            _finish_with_multiprocessing()

    # --- in the thread ---

    def _work(self, owner: Any, starter: int) -> None:
        """Send what waits until the handler is closed; the thread holds the handler until then."""
        _take_no_signals(starter)
        while True:
            self._some.wait()
            self._hurry.wait(self._delay_s)
            self._some.clear()
            self._hurry.clear()
            self.is_awake = False  # before the queue is read: what comes later wakes this thread again
            while self._waiting and not self._gave_up:
                with Guard(own_fault, f"{type_name(owner)}.send"):
                    self._send_one(owner)
            if self._is_exiting:
                self._done.set()
                return
            if self._is_closed and self._ends():
                return

    def _ends(self) -> bool:
        """Let go of the thread, unless a span has come in the meantime."""
        with self._guard:
            me, self._thread = self._thread, None
            self.is_awake = False
            if self._waiting:
                self._thread = me
                self._some.set()
                return False
        return True

    def _send_one(self, owner: Any) -> None:
        batch: list[list[Item]] = []
        self.in_flight = min(len(self._waiting), owner.max_batch)
        for _ in range(self.in_flight):
            batch.append(self._waiting.popleft())
        try:
            spans: list[SpanRecord] = owner.records(batch)
            if spans:
                owner.send(spans)
            self.sent += len(spans)
            self.failed += len(batch) - len(spans)
        except BaseException as error:  # noqa: BLE001 - it is counted and reported; the thread goes on
            self.failed += len(batch)
            self._complain(owner, len(batch), error)
            owner.note_failed(batch)
        finally:
            self.in_flight = 0

    def _complain(self, owner: Any, count: int, error: BaseException) -> None:
        """Say on stderr what failed, once; the line at the end has the count."""
        if not self._has_complained:
            self._has_complained = True
            _say(f"{type_name(owner)} could not send {count} spans: {type_name(error)}: {error_text(error)}")

    # --- at the end of the program ---

    def begin_exit(self) -> None:
        """Send what waits, and the spans that are still open."""
        owner = self._owner()
        if owner is not None:
            owner.take_unfinished()
        if self._waiting or self.in_flight:
            self.hurry()
        self._is_exiting = True
        if self._thread is None or not self._thread.is_alive():
            self._done.set()
        self._some.set()
        self._hurry.set()

    def end_exit(self, started: float) -> None:
        """Wait until that is done, at most ``exit_s`` after the start of the exit, and report what was lost."""
        owner = self._owner()
        if not self._done.wait(max(0.0, started + self.exit_s - time.monotonic())) and owner is not None:
            self._gave_up = True
            with Guard(own_fault, f"{type_name(owner)}.give_up"):
                owner.give_up()
            self._done.wait(_GRACE_S)
        self.is_over = True
        if owner is None:
            return
        owner.is_over = True
        stats = owner.stats()
        losses = {"dropped": stats["dropped"], "failed": stats["failed"], f"not sent in {self.exit_s:g} s": stats["waiting"]}
        told = ", ".join(f"{count} {what}" for what, count in losses.items() if count)
        if told:
            _say(f"{type_name(owner)} lost spans: {told}; {stats['sent']} sent")


def _say(text: str) -> None:
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):
            sys.stderr.write(f"the_edge_obs: {scrub_text(text)}\n")


_live: Final[weakref.WeakSet[Sender]] = weakref.WeakSet()


_finished_by_multiprocessing: Final[set[int]] = set()
"""The processes that have told multiprocessing what to call at their end."""


def _finish_all() -> None:
    """Wait for all handlers, with one deadline that begins now."""
    started, senders = time.monotonic(), [sender for sender in list(_live) if not sender.is_over]
    for sender in senders:
        sender.begin_exit()
    for sender in senders:
        sender.end_exit(started)


def _finish_with_multiprocessing() -> None:
    """Have a child of multiprocessing, which leaves without ``atexit``, finish as well."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or os.getpid() in _finished_by_multiprocessing:
        return
    _finished_by_multiprocessing.add(os.getpid())
    util.Finalize(None, _finish_all, exitpriority=0)


def _renew_all() -> None:
    for sender in list(_live):
        owner = sender._owner()
        if owner is not None:
            owner.renew()


atexit.register(_finish_all)
at_fork(after_in_child=_renew_all)
