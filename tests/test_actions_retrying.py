"""Repeating failed attempts: how many, how long apart, and with which jitter."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.actions.retrying import Retrying

SECONDS = st.floats(min_value=0, max_value=1e308)


@pytest.mark.parametrize(
    ("chance", "delays"), [(0.0, [2, 6, 10, 10]), (0.5, [1.75, 5.25, 8.75, 8.75]), (1.0, [1.5, 4.5, 7.5, 7.5])]
)
def test_delays_grow_to_the_longest_and_lose_up_to_a_quarter(chance: float, delays: list[float]) -> None:
    """The jitter shortens each delay by itself; the next one grows from the delay without jitter."""
    retrying = Retrying(retries=4, delay=2, factor=3, longest=10, chance=lambda: chance)
    assert list(islice(retrying.delays(), 4)) == delays


def test_each_delay_has_its_own_jitter() -> None:
    """Clients that failed together drift apart with each attempt."""
    chances = iter([0.0, 1.0, 0.4])
    retrying = Retrying(retries=3, delay=4, factor=1, longest=60, chance=lambda: next(chances))
    assert list(islice(retrying.delays(), 3)) == [4, 3, 3.6]


def test_two_runs_do_not_wait_equally_long() -> None:
    """The jitter is random unless a source is given."""
    retrying = Retrying(retries=20, delay=1, factor=2, longest=60)
    assert list(islice(retrying.delays(), 20)) != list(islice(replace(retrying).delays(), 20))


@given(SECONDS, st.floats(min_value=1, max_value=1e308), SECONDS)
def test_no_delay_is_longer_than_the_longest(delay: float, factor: float, longest: float) -> None:
    """Also where the growth overflows, every delay is a number between three quarters of the cap and the cap."""
    highest = list(islice(Retrying(9, delay, factor, longest, lambda: 0.0).delays(), 9))
    lowest = list(islice(Retrying(9, delay, factor, longest, lambda: 1.0).delays(), 9))
    assert highest[0] == min(delay, longest)
    assert highest == sorted(highest)
    assert max(highest) <= longest
    assert lowest == [seconds * 0.75 for seconds in highest]


@pytest.mark.parametrize(
    ("results", "made", "pauses"),
    [
        (["ok"], 1, []),
        (["busy", "ok"], 2, [(1, "busy", 1.0)]),
        (["busy", "busy", "busy", "never asked for"], 3, [(1, "busy", 1.0), (2, "busy", 2.0)]),
        (["busy", "broken", "never asked for"], 2, [(1, "busy", 1.0)]),
    ],
)
def test_attempts_end_with_a_success_a_lasting_failure_or_the_last_retry(
    results: list[str], made: int, pauses: list[tuple[int, str, float]]
) -> None:
    """Only a failure that may pass is repeated, and no pause follows the last attempt."""
    seen: list[tuple[int, str, float]] = []
    retrying = Retrying(retries=2, delay=1, factor=2, longest=60, chance=lambda: 0.0)
    outcome = retrying.run(lambda number: results[number - 1], lambda result: result == "busy", lambda *pause: seen.append(pause))
    assert (outcome, seen) == ((results[made - 1], made), pauses)
