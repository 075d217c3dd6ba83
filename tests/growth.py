"""Does the time of some work grow with its text as it should? Measured as ratios, so that the machine does not matter."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

_RUNS = 3
_TRIES = 4
# Linear work takes 4 times as long for 4 times the text; what is quadratic takes 16 times as long.
_MOST = 8.0
# Below this, in seconds, the clock and the machine's other work are most of what is measured.
_LEAST = 0.01


def assert_linear(make_text: Callable[[int], Any], work: Callable[[Any], object], size: int) -> None:
    """Assert that work takes about 4 times as long for 4 times the text.

    Args:
        make_text: Makes a text of a size.
        work: What is measured.
        size: The size of the smaller text, large enough for the work to take milliseconds, or it passes for being fast.

    Raises:
        AssertionError: in each of several tries the largest text took 8 times as long as the smallest, or longer.
    """
    smallest, largest = make_text(size), make_text(4 * size)
    seen: list[tuple[float, float]] = []
    for _ in range(_TRIES):
        least = _least(work, smallest)
        allowed = max(_MOST * least, _LEAST)
        most = _least(work, largest, enough=allowed)
        if most < allowed:
            return
        seen.append((least, most))
    raise AssertionError(f"sizes {size} and {4 * size} took (in seconds, in each of {_TRIES} tries) {seen}: that is not linear")


def _least(work: Callable[[Any], object], text: Any, enough: float = 0) -> float:
    """Return the shortest of several runs, in seconds of the process, with the collector out of the way.

    A run that takes less than ``enough`` is the last: more of them could only be shorter.
    """
    shortest = float("inf")
    was_on = gc.isenabled()
    gc.disable()
    try:
        for _ in range(_RUNS):
            began = time.process_time()
            work(text)
            shortest = min(shortest, time.process_time() - began)
            if shortest > 1 or shortest < enough:
                break  # long enough for the noise not to matter, or short enough to tell
    finally:
        if was_on:
            gc.enable()
    return shortest
