"""Repeat failed attempts: one rule of delays for the ``on_error`` of a flow's nodes and for ``llm.call``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

# How much of a delay is random, so that clients that failed together do not retry together.
_JITTER: Final = 0.25
# The system's source has no state: a seeded program keeps its own numbers, and forked processes do not share a sequence.
_SYSTEM: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often a failed attempt is repeated, and how long to wait before each repetition.

    Args:
        retries: Attempts after the first one.
        delay: Seconds before the second attempt, before jitter.
        factor: By how much the delay grows from attempt to attempt; at least 1.
        longest: The cap of a delay, in seconds.
        chance: Returns a random number from 0 to 1, for the jitter.
    """

    retries: int
    delay: float
    factor: float
    longest: float
    chance: Callable[[], float] = _SYSTEM.random

    def delays(self) -> Iterator[float]:
        """Yield the seconds to wait after each attempt: exponential, capped, then up to a quarter shorter at random."""
        delay = min(self.delay, self.longest)
        while True:
            yield delay * (1 - _JITTER * self.chance())
            delay = min(delay * self.factor, self.longest)

    def run(
        self, attempt: Callable[[int], T], may_retry: Callable[[T], bool], pause: Callable[[int, T, float], None]
    ) -> tuple[T, int]:
        """Make attempts until one needs no repetition, or no more are allowed.

        Args:
            attempt: Makes the attempt with the given number, from 1.
            may_retry: Tells whether a result is a failure that another attempt can turn into a success.
            pause: Waits after a failed attempt; gets its number, its result and the delay in seconds.

        Returns:
            The last result, and how many attempts were made.
        """
        for number, delay in zip(range(1, self.retries + 1), self.delays(), strict=False):
            result = attempt(number)
            if not may_retry(result):
                return result, number
            pause(number, result, delay)
        return attempt(self.retries + 1), self.retries + 1
