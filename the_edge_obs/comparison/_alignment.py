"""Which span of one run is which of another: trees aligned from the top, children of matched parents by step or node."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from ..event import ENDS, Event, dumps
from ..flow_log import COUNTED, FlowLog, SpanInfo
from ._cuts import cut_of
from ._sequences import Pairs, common, rising, same
from ._values import DIGEST_MARK, lasting, without_digests

_BRANCH: Final = "parallel.branch"
_ROUND: Final = "loop.iteration"
_NEAR: Final = 16  # neighbours at either end of what a span has passed that tell whether it passed any of them for good


@dataclass(frozen=True, slots=True)
class Place:
    """A span, and by what it is known among its siblings.

    Attributes:
        span: The span.
        given: ``{"input": ...}``, or empty where it has none; of a branch or round without the index, which says where it stood.
        result: ``{"output": ...}``, or empty where it has none.
        key: What it is: its step or else its node, of a branch or round with its index, of an attempt with its number.
        content: What is equal for spans of one key that were given the same; a branch's item makes up for its index.
        own: What is equal for spans of which nothing differs, or None where that cannot be told.
        whole: What is equal for spans of which, and inside of which, nothing differs.
        index: Of a branch, its index; otherwise -1.
        cut: Where input, output and error are not all that was captured, as ``data.cut`` tells it, and whether something was
            cut off there; otherwise it was only redacted.
        has_digests: Whether there are placeholders in it that equal secrets share, in this run alone.
    """

    span: SpanInfo
    given: dict[str, Any]
    result: dict[str, Any]
    key: str
    content: str
    own: str | None
    whole: str
    index: float
    cut: Mapping[str, bool] = field(default_factory=dict)
    has_digests: bool = False


class Match(NamedTuple):
    """A span of the old run, of the new one, or of both, in the order of a tree.

    Attributes:
        depth: 0 for a root.
        old, new: The span in either run, or None.
        moved: Whether it ran before a sibling in one run and after it in the other.
    """

    depth: int
    old: Place | None
    new: Place | None
    moved: bool


class Tree:
    """One run, ready to be aligned.

    Args:
        log: The run.
    """

    def __init__(self, log: FlowLog) -> None:
        self.ids: AbstractSet[str] = {log.flow_id, *(span.span_id for span in log.spans)}
        self._flow_id = log.flow_id
        self._has_digests = False
        self._entries: dict[str, dict[str, Any]] = {}
        self._ends: dict[tuple[str, str], dict[str, Any]] = {}
        for event in log.events:
            self._note(event)
        self._found: dict[str, Place] = {}
        for _, span in reversed(list(log.walk())):  # what is inside of a span comes before it
            self._found[span.span_id] = self._place(span)
        self.tops = self._places([span.span_id for span in log.roots])

    def children(self, place: Place) -> list[Place]:
        """Return what ran inside a span: branches by their index, all else by its start."""
        return self._places(place.span.children)

    def _note(self, event: Event) -> None:
        kind = event["event_type"]
        if kind == "entry":
            self._entries.setdefault(event["span_id"], event["data"])
        elif kind in ENDS:
            self._ends[event["span_id"], event["node"]] = event["data"]

    def _places(self, span_ids: Sequence[str]) -> list[Place]:
        return sorted((self._found[span_id] for span_id in span_ids), key=lambda place: place.index)

    def _place(self, span: SpanInfo) -> Place:
        entry, end = self._entries.get(span.span_id, {}), self._ends.get((span.span_id, span.node), {})
        given, result = ({key: data[key]} if key in data else {} for key, data in (("input", entry), ("output", end)))
        key, index = span.step or span.node, -1.0
        if span.node in (_BRANCH, _ROUND) and (position := _index(given.get("input"))) is not None:
            given = {"input": {name: value for name, value in given["input"].items() if name != "index"}}
            key += f" [{position}]"
            index = position if span.node == _BRANCH else index
        if isinstance(entry.get("attempt"), int):
            key += f" (attempt {entry['attempt']})"
        content = f"{key if index < 0 else span.node} {self._digest(given)}"
        self._has_digests = False
        own = self._digest([span.node, span.status, error_of(span), given, result, metrics_of(span), figures_of(span)])
        has_digests = self._has_digests
        inside = sorted(self._found[child].whole for child in span.children)
        cut = {**cut_of(entry, "input"), **cut_of(end, "output")}
        return Place(span, given, result, key, content, own, f"{content} {self._digest([own, inside])}", index, cut, has_digests)

    def _digest(self, value: Any) -> str | None:
        """Return a short text that only equal values share, or None for a value that nests too deep."""
        try:
            text = dumps(value)
            if self._flow_id in text:
                text = dumps(lasting(value, self.ids))
            if DIGEST_MARK in text:
                self._has_digests, text = True, without_digests(text)
        except (RecursionError, ValueError):
            return None
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _index(given: Any) -> int | None:
    index = given.get("index") if isinstance(given, dict) else None
    return index if isinstance(index, int) and index >= 0 else None


def error_of(span: SpanInfo) -> dict[str, Any]:
    """Return ``{"error": ...}`` without its traceback, which tells paths and lines; empty where there is none."""
    return {"error": {key: value for key, value in span.error.items() if key != "traceback"}} if span.error else {}


def metrics_of(span: SpanInfo) -> dict[str, Any]:
    """Return ``{"metrics": ...}``: those that are neither times nor compared on their own."""
    return {"metrics": {key: value for key, value in span.metrics.items() if key not in COUNTED and not key.endswith("_ms")}}


def figures_of(span: SpanInfo) -> list[float]:
    """Return the metrics that are compared on their own, in the order of ``COUNTED``; 0 for what is missing or no number."""
    return [number(span.metrics.get(name)) for name in COUNTED]


def number(value: Any) -> float:
    """Return a metric, or 0 for one that is missing or no number."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def align(old: Tree, new: Tree) -> Iterator[Match]:
    """Yield every span of two runs once, parents before children, in the order of the new run; what is gone where it was."""
    waiting = [Match(0, *row) for row in reversed(_rows(old.tops, new.tops))]
    while waiting:
        match = waiting.pop()
        yield match
        mine = old.children(match.old) if match.old else []
        theirs = new.children(match.new) if match.new else []
        waiting.extend(Match(match.depth + 1, *row) for row in reversed(_rows(mine, theirs)))


class _Siblings(NamedTuple):
    """Which siblings of two runs belong together, by position.

    Attributes:
        pairs: All that do, the old one's position first.
        chain: Those of them that are in the same order in both runs.
        moved: Those of them whose order has changed.
    """

    pairs: Pairs
    chain: Pairs
    moved: AbstractSet[tuple[int, int]]

    def swapped(self) -> _Siblings:
        """Return the same, seen from the other run."""
        turned = [[(other, place) for place, other in pairs] for pairs in self]
        return _Siblings(turned[0], turned[1], set(turned[2]))


def _rows(old: Sequence[Place], new: Sequence[Place]) -> list[tuple[Place | None, Place | None, bool]]:
    """Return siblings of two runs side by side, in one order."""
    pairs, chain, moved = _siblings(old, new)
    stayed = {place for place, _ in pairs}
    partner = {other: place for place, other in pairs}
    rows: list[tuple[Place | None, Place | None, bool]] = []
    left = right = 0
    for end, other_end in [*chain, (len(old), len(new))]:
        rows += [(old[place], None, False) for place in range(left, end) if place not in stayed]
        for other in range(right, min(other_end + 1, len(new))):
            mine = partner.get(other)
            rows.append((None if mine is None else old[mine], new[other], (mine, other) in moved))
        left, right = end + 1, other_end + 1
    return rows


def _siblings(old: Sequence[Place], new: Sequence[Place]) -> _Siblings:
    wholes, others = _texts(old, "whole"), _texts(new, "whole")
    if wholes == others:
        pairs = [(place, place) for place in range(len(old))]
        return _Siblings(pairs, pairs, frozenset())
    if others < wholes:
        return _siblings(new, old).swapped()  # what is arbitrary is decided in one direction
    pairs = same(wholes, others, _beside(old), _beside(new))
    left, right = _left(old, new, pairs)
    rest = _one_after_another([old[place] for place in left], [new[place] for place in right])
    pairs = sorted([*pairs, *((left[place], right[other]) for place, other in rest)])
    chain = rising(pairs)
    return _Siblings(pairs, chain, _moved(old, new, set(pairs).difference(chain), chain))


def _beside(places: Sequence[Place]) -> list[int]:
    """Return the positions of spans beside which another ran that was given the same: their order says nothing."""
    found: set[int] = set()
    latest: dict[str, int] = {}  # of each content, the span so far that ended last
    for place in sorted(range(len(places)), key=lambda place: places[place].span.start):
        before = latest.setdefault(places[place].content, place)
        if before != place and places[place].span.start < _end(places[before]):
            found |= {before, place}
        if _end(places[place]) >= _end(places[before]):
            latest[places[place].content] = place
    return sorted(found)


def _end(place: Place) -> float:
    return math.inf if place.span.end is None else place.span.end


def _one_after_another(old: Sequence[Place], new: Sequence[Place]) -> Pairs:
    contents, wholes, keys = ((_texts(old, name), _texts(new, name)) for name in ("content", "whole", "key"))
    pairs, alike = common(*contents), common(*wholes)
    alike += _in_gaps(*contents, alike)
    if len(alike) >= len(pairs):  # of several calls that were given the same, those with the same result belong together
        pairs = alike
    for texts in (wholes, contents):
        pairs = sorted([*pairs, *same(*texts, *_left(old, new, pairs))])
    pairs += _in_gaps(*keys, pairs)
    return [*pairs, *_alone(*keys, *_left(old, new, pairs))]


def _texts(places: Sequence[Place], name: str) -> list[str]:
    return [getattr(place, name) for place in places]


def _left(old: Sequence[object], new: Sequence[object], pairs: Pairs) -> tuple[list[int], list[int]]:
    """Return the positions that no pair has."""
    mine, theirs = {place for place, _ in pairs}, {place for _, place in pairs}
    return [place for place in range(len(old)) if place not in mine], [place for place in range(len(new)) if place not in theirs]


def _in_gaps(old: Sequence[str], new: Sequence[str], pairs: Pairs) -> Pairs:
    """Return further pairs of equal texts, of positions that lie between the same of the pairs found."""
    left, right = _left(old, new, pairs)
    found: Pairs = []
    start = other_start = 0
    for end, other_end in [*rising(pairs), (len(old), len(new))]:
        mine = left[start : (start := bisect_left(left, end))]
        theirs = right[other_start : (other_start := bisect_left(right, other_end))]
        if mine and theirs:
            inner = common([old[place] for place in mine], [new[place] for place in theirs])
            found += [(mine[one], theirs[other]) for one, other in inner]
    return found


def _alone(old: Sequence[str], new: Sequence[str], left: Sequence[int], right: Sequence[int]) -> Pairs:
    """Return pairs, wherever they are, of texts that only one of the siblings in either run has."""
    counts, others = Counter(old), Counter(new)
    once = [place for place in left if counts[old[place]] == 1]
    return same(old, new, once, [place for place in right if others[new[place]] == 1])


def _moved(
    old: Sequence[Place], new: Sequence[Place], pairs: AbstractSet[tuple[int, int]], chain: Pairs
) -> AbstractSet[tuple[int, int]]:
    """Return those of some pairs that ran before a pair of the chain in one run and after it in the other.

    What ran side by side has no order, so that threads do not make a difference; nor have branches of one parallel node.
    """
    found = set()
    theirs = [other for _, other in chain]
    for place, other in pairs:
        first, last = bisect_left(chain, (place,)), bisect_left(theirs, other)
        passed = chain[min(first, last) : max(first, last)]
        for near, other_near in {*passed[:_NEAR], *passed[-_NEAR:]} if old[place].index < 0 else ():
            early, late = (old[near], old[place]), (new[other], new[other_near])
            if first < last:
                early, late = early[::-1], late[::-1]
            if _one_by_one(*early) and _one_by_one(*late):
                found.add((place, other))
    return found


def _one_by_one(first: Place, second: Place) -> bool:
    return first.span.end is not None and first.span.end <= second.span.start
