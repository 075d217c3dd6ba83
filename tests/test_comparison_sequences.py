"""What two sequences have in common: laws, and that long ones take no time that grows with their square."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.comparison._sequences import common, rising, same

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def longest(old: list[str], new: list[str]) -> int:
    """Return the length of the longest common subsequence, by the book."""
    row = [0] * (len(new) + 1)
    for one in old:
        before = row[:]
        for place, other in enumerate(new):
            row[place + 1] = before[place] + 1 if one == other else max(before[place + 1], row[place])
    return row[-1]


@pytest.mark.slow
@given(WORDS, WORDS)
def test_common_is_the_longest_common_subsequence(old: list[str], new: list[str]) -> None:
    """Its pairs are equal, ascend on both sides, and there is no longer one."""
    pairs = common(old, new)
    assert all(old[place] == new[other] for place, other in pairs)
    assert pairs == sorted(set(pairs))
    assert [other for _, other in pairs] == sorted({other for _, other in pairs})
    assert len(pairs) == longest(old, new)


@pytest.mark.slow
@given(WORDS, WORDS)
def test_common_is_the_same_from_either_side(old: list[str], new: list[str]) -> None:
    """Which sequence is the old one decides nothing else."""
    assert common(old, new) == [(place, other) for other, place in common(new, old)]


@given(st.permutations(range(9)))
def test_rising_is_the_longest_rising_subsequence(order: list[int]) -> None:
    """It is what the order has in common with the sorted one."""
    pairs = list(enumerate(order))
    found = rising(pairs)
    assert set(found) <= set(pairs)
    assert [other for _, other in found] == sorted(other for _, other in found)
    assert len(found) == longest([str(place) for place in order], [str(place) for place in range(9)])


def test_same_pairs_like_keys_in_their_order() -> None:
    """The first with the first, as far as there are partners."""
    assert same("abab", "bba", range(4), range(3)) == [(0, 2), (1, 0), (3, 1)]
    assert same("abab", "bba", [2, 3], [1, 2]) == [(2, 2), (3, 1)]


def test_very_different_long_sequences_are_no_problem() -> None:
    """A shuffled sequence of 20,000, and one of four letters: the exact way would take minutes."""
    shuffled = [str(place) for place in range(20_000)]
    random.Random(5).shuffle(shuffled)
    letters = random.Random(6).choices("abcd", k=20_000)
    others = random.Random(7).choices("abcd", k=20_000)
    start = time.process_time()
    assert len(common([str(place) for place in range(20_000)], shuffled)) > 200
    assert len(common(letters, others)) > 5_000
    assert time.process_time() - start < 10
