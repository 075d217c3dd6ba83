"""Find the common subsequence of two sequences of keys: exact for few edits, near-linear for many."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final

Pairs = list[tuple[int, int]]

_MAX_EDITS: Final = 200  # the exact way takes time that grows with the square of the edits


def common(old: Sequence[str], new: Sequence[str]) -> Pairs:
    """Return pairs of positions of equal keys, ascending in both sequences, as many as can be found.

    Swapping the sequences only swaps the positions.
    """
    if list(new) < list(old):  # arbitrary choices below are made in the same direction, whichever sequence comes first
        return [(old_at, new_at) for new_at, old_at in common(new, old)]
    start, shortest = 0, min(len(old), len(new))
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1
    head = [(at, at) for at in range(start)]
    tail = [(len(old) - back, len(new) - back) for back in range(end, 0, -1)]
    return [*head, *_between(old, new, range(start, len(old) - end), range(start, len(new) - end)), *tail]


def same(old: Sequence[str], new: Sequence[str], left: Iterable[int], right: Iterable[int]) -> Pairs:
    """Return pairs of the given positions with equal keys, in any order: the first with the first, and so on."""
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for at in right:
        waiting[new[at]].append(at)
    return [(at, waiting[old[at]].popleft()) for at in left if waiting.get(old[at])]


def rising(pairs: Pairs) -> Pairs:
    """Return the longest series of the pairs that ascends in both positions."""
    ordered = sorted(pairs)
    ends: list[int] = []  # the smallest position at which a rising series of each length can end
    last: list[int] = []  # the index of the pair at its end
    before: list[int] = []  # of each pair, the index of the pair before it
    for index, (_, at) in enumerate(ordered):
        length = bisect_left(ends, at)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(at)
            last.append(index)
        else:
            ends[length], last[length] = at, index
    longest, index = [], last[-1] if last else -1
    while index >= 0:
        longest.append(ordered[index])
        index = before[index]
    return longest[::-1]


def _between(old: Sequence[str], new: Sequence[str], left: range, right: range) -> Pairs:
    # A key that only one side has is an edit in any case.
    old_keys, new_keys = Counter(old[at] for at in left), Counter(new[at] for at in right)
    old_shared = [at for at in left if new_keys[old[at]]]
    new_shared = [at for at in right if old_keys[new[at]]]
    exact = _few_edits([old[at] for at in old_shared], [new[at] for at in new_shared])
    if exact is not None:
        return [(old_shared[at], new_shared[new_at]) for at, new_at in exact]
    return rising(same(old, new, old_shared, new_shared))


def _few_edits(old: Sequence[str], new: Sequence[str]) -> Pairs | None:
    """Return the longest common subsequence, or None if it takes more than ``_MAX_EDITS`` edits.

    The greedy algorithm of Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, as in diff and git.
    """
    furthest, trail = {1: 0}, []
    for edits in range(min(_MAX_EDITS, len(old) + len(new)) + 1):
        trail.append(dict(furthest))
        for lane in range(-edits, edits + 1, 2):
            at = furthest[lane + 1] if _goes_down(furthest, lane, edits) else furthest[lane - 1] + 1
            while at < len(old) and at - lane < len(new) and old[at] == new[at - lane]:
                at += 1
            furthest[lane] = at
            if at >= len(old) and at - lane >= len(new):
                return _walked_back(trail, len(old), len(new))
    return None


def _goes_down(furthest: dict[int, int], lane: int, edits: int) -> bool:
    return lane == -edits or (lane != edits and furthest[lane - 1] < furthest[lane + 1])


def _walked_back(trail: list[dict[int, int]], at: int, other: int) -> Pairs:
    pairs: Pairs = []
    for edits in range(len(trail) - 1, -1, -1):
        furthest, lane = trail[edits], at - other
        previous = lane + 1 if _goes_down(furthest, lane, edits) else lane - 1
        start = furthest[previous]
        while at > start and other > start - previous:
            at, other = at - 1, other - 1
            pairs.append((at, other))
        at, other = start, start - previous
    return pairs[::-1]
