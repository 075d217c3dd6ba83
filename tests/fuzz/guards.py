"""What every target holds a call to: it ends in time, and its time grows with its input, not with the square of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SLOW: Final = 0.02  # CPU seconds; shorter times say nothing about growth
_STEP: Final = 4  # times as long is the longer input
_FACTOR: Final = 9  # times as long it may take: 4 is linear, 16 is quadratic


class TookTooLongError(AssertionError):
    """A call did not end in time."""


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Raise ``TookTooLongError`` where the body is still running after so many seconds; ``re``, too, can be interrupted.

    Without interval timers (Windows), and in other threads than the main one, nothing is watched.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def assert_linear(call: Callable[[str], Any], text: str, length: int = 8_000) -> None:
    """Assert that a call on a text, repeated to a length and to four times it, takes about four times as long.

    A busy machine can only make a time longer, so the shortest of three counts, and a bad ratio has to come three times.
    """
    short = (text * (length // max(1, len(text)) + 1))[:length]
    long = short * _STEP
    ratios = []
    for _ in range(3):
        slow = _least(call, long)
        if slow < _SLOW:
            return
        ratios.append(slow / max(_least(call, short), 1e-6))
        if ratios[-1] < _FACTOR:
            return
    raise TookTooLongError(f"{_STEP} times the text takes {min(ratios):.0f} times as long: {text!r}")


def _least(call: Callable[[str], Any], text: str) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        call(text)
        times.append(time.process_time() - start)
        if times[-1] < _SLOW:
            break
    return min(times)
