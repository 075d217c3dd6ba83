"""Samples: interleaved, each after a collection, reduced to minimum and median."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

Sampler = Callable[[], float]
Name = TypeVar("Name")


class Plan(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: Samples of each contender.
        calls: Calls of the node in one sample.
        tasks: asyncio tasks in one sample.
        flows: Flows in memory when one of them is read back.
        events: Events of the longest flow log.
        lines: Lines of the file that is queried.
        processes: Fresh processes for each import time.
        runs: Runs of a folder that is listed.
    """

    rounds: int
    calls: int
    tasks: int
    flows: int
    events: int
    lines: int
    processes: int
    runs: int


FULL = Plan(rounds=15, calls=2_000, tasks=1_000, flows=100, events=100_000, lines=1_000_000, processes=31, runs=10_000)
QUICK = Plan(rounds=3, calls=300, tasks=200, flows=10, events=10_000, lines=50_000, processes=5, runs=200)


class Row(NamedTuple):
    """One line of the table: what a contender needed in a variant; ``minimum`` and ``median`` are in ``unit``."""

    variant: str
    contender: str
    minimum: float
    median: float
    unit: str


def interleaved(rounds: int, samplers: Mapping[Name, Sampler], *, warm: bool = True) -> dict[Name, list[float]]:
    """Return the samples of each, taken in rounds of a changing order after one round that does not count."""
    samples: dict[Name, list[float]] = {name: [] for name in samplers}
    order = list(samplers)
    for number in range(-1 if warm else 0, rounds):
        random.Random(number).shuffle(order)
        for name in order:
            gc.collect()
            sample = samplers[name]()
            if number >= 0:
                samples[name].append(sample)
    return samples


def rows_of(variant: str, samples: Mapping[str, list[float]], unit: str, *, bare: str | None = None) -> list[Row]:
    """Return a row for each contender; ``bare`` names the samples of the bare call, which are taken off."""
    least = min(samples[bare]) if bare else 0.0
    middle = statistics.median(samples[bare]) if bare else 0.0
    return [
        Row(variant, name, min(taken) - least, statistics.median(taken) - middle, unit)
        for name, taken in samples.items()
        if name != bare
    ]
