"""What two sequences of keys have in common, in order: exact for few edits, near-linear for any number of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final

Pairs = list[tuple[int, int]]

_MAX_EDITS: Final = 200  # beyond it the exact way would take time that grows with their square


def common(old: Sequence[str], new: Sequence[str]) -> Pairs:
    """Return positions of equal keys, ascending in both sequences, as many as can be found.

    Swapping the sequences swaps the positions and changes nothing else.
    """
    if list(new) < list(old):  # whatever is arbitrary below is decided in one direction
        return [(mine, theirs) for theirs, mine in common(new, old)]
    start, shortest = 0, min(len(old), len(new))
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1
    head = [(place, place) for place in range(start)]
    tail = [(len(old) - place, len(new) - place) for place in range(end, 0, -1)]
    return [*head, *_between(old, new, range(start, len(old) - end), range(start, len(new) - end)), *tail]


def same(old: Sequence[str], new: Sequence[str], left: Iterable[int], right: Iterable[int]) -> Pairs:
    """Return pairs of the positions given whose keys are equal, wherever they stand: of like keys the first with the first."""
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for place in right:
        waiting[new[place]].append(place)
    return [(place, waiting[old[place]].popleft()) for place in left if waiting.get(old[place])]


def rising(pairs: Pairs) -> Pairs:
    """Return the most of the pairs that ascend in both positions."""
    ordered = sorted(pairs)
    ends: list[int] = []  # the smallest position at which a rising run of each length can end
    last: list[int] = []  # by which pair it does
    before: list[int] = []
    for index, (_, place) in enumerate(ordered):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            last.append(index)
        else:
            ends[length], last[length] = place, index
    found, index = [], last[-1] if last else -1
    while index >= 0:
        found.append(ordered[index])
        index = before[index]
    return found[::-1]


def _between(old: Sequence[str], new: Sequence[str], left: range, right: range) -> Pairs:
    # What only one side has is an edit in any case.
    ours, theirs = Counter(old[place] for place in left), Counter(new[place] for place in right)
    mine = [place for place in left if theirs[old[place]]]
    others = [place for place in right if ours[new[place]]]
    exact = _few_edits([old[place] for place in mine], [new[place] for place in others])
    if exact is not None:
        return [(mine[one], others[other]) for one, other in exact]
    return rising(same(old, new, mine, others))


def _few_edits(old: Sequence[str], new: Sequence[str]) -> Pairs | None:
    """Return the longest common subsequence, or None where that takes more than ``_MAX_EDITS`` edits.

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
    found: Pairs = []
    for edits in range(len(trail) - 1, -1, -1):
        furthest, lane = trail[edits], at - other
        previous = lane + 1 if _goes_down(furthest, lane, edits) else lane - 1
        start = furthest[previous]
        while at > start and other > start - previous:
            at, other = at - 1, other - 1
            found.append((at, other))
        at, other = start, start - previous
    return found[::-1]
