"""Does the time of some work grow with its text as it should? Measured as ratios, so that the machine does not matter."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

_RUNS = 3
_TRIES = 4
# Linear work takes 4 times as long for 4 times the text; what is quadratic takes 16 times as long.
_MOST = 8.0
# Below this, in seconds, the clock and the machine's other work are most of what is measured.
_LEAST = 0.01


def assert_linear(make_text: Callable[[int], Any], work: Callable[[Any], object], sizes: Sequence[int]) -> None:
    """Assert that work takes about 4 times as long for 4 times the text.

    Args:
        make_text: Makes a text of a size.
        work: What is measured.
        sizes: n, 2n and 4n; large enough for the work to take milliseconds, or it passes for being fast.

    Raises:
        AssertionError: in each of several tries the largest text took 8 times as long as the smallest, or longer.
    """
    texts = [make_text(size) for size in sizes]
    seen: list[list[float]] = []
    for _ in range(_TRIES):
        times = [_least(work, text) for text in texts]
        if times[-1] < max(_MOST * max(times[0], _LEAST / _MOST), _LEAST):
            return
        seen.append(times)
    raise AssertionError(f"sizes {list(sizes)} took (in seconds, in each of {_TRIES} tries) {seen}: that is not linear")


def _least(work: Callable[[Any], object], text: Any) -> float:
    """Return the shortest of several runs, in seconds of the process, with the collector out of the way."""
    shortest = float("inf")
    was_on = gc.isenabled()
    gc.disable()
    try:
        for _ in range(_RUNS):
            began = time.process_time()
            work(text)
            shortest = min(shortest, time.process_time() - began)
            if shortest > 1:
                break  # long enough for the noise not to matter
    finally:
        if was_on:
            gc.enable()
    return shortest
