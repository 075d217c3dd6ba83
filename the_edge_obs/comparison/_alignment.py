"""Align the spans of two runs: from the roots down, the children of matched parents by step or node."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from ..event import ENDS, ROOT_NODE, Event, dumps, is_number
from ..flow_log import COUNTED, FlowLog, SpanInfo
from ._sequences import Pairs, common, rising, same
from .cuts import cut_of
from .values import DIGEST_MARK, lasting, without_digests

_BRANCH: Final = "parallel.branch"
_ITERATION: Final = "loop.iteration"
_OF_CODE: Final = ("traceback", "where")  # keys of an error
_NEAR: Final = 16  # of the spans that a span has passed, how many at each end are checked for whether they ran one by one


@dataclass(frozen=True, slots=True)
class KeyedSpan:
    """A span, and the keys by which it is matched with a span of the other run.

    Attributes:
        span: The span.
        given: ``{"input": ...}``, or empty if it has none; without the index of a branch or iteration.
        result: ``{"output": ...}``, or empty if it has none.
        key: Its step, or its node if it has none; with the index of a branch or iteration and the number of an attempt.
        content: Equal for spans with the same key and input; for a branch, the item counts in place of the index.
        own: Equal for spans that do not differ; None if that cannot be decided.
        whole: Equal for spans that do not differ, with subtrees that do not differ.
        index: The index of a branch; otherwise -1.
        cut: The paths in input, output and error that were cut (True) or only redacted (False), as ``data.cut`` lists them.
        has_digests: Whether it has placeholders with digests, which equal secrets share within one run.
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
    """A span of the old run, of the new run, or of both, in the order of the tree.

    Attributes:
        depth: 0 for a root.
        old, new: The span in each run, or None.
        moved: Whether it ran before a sibling in one run and after it in the other.
    """

    depth: int
    old: KeyedSpan | None
    new: KeyedSpan | None
    moved: bool


class Tree:
    """One run, ready to be aligned.

    Args:
        log: The run.
    """

    def __init__(self, log: FlowLog) -> None:
        # A replay has the recorded run's id in the answers that it was given.
        recorded = (e["data"].get("replay_of") for e in log.events if e["node"] == ROOT_NODE and e["event_type"] == "entry")
        self._flow_ids = {log.flow_id, *(flow_id for flow_id in recorded if isinstance(flow_id, str))}
        self.ids: AbstractSet[str] = {*self._flow_ids, *(span.span_id for span in log.spans)}
        self._has_digests = False
        self._entries: dict[str, dict[str, Any]] = {}
        self._ends: dict[tuple[str, str], dict[str, Any]] = {}
        for event in log.events:
            self._note(event)
        self._keyed: dict[str, KeyedSpan] = {}
        for _, span in reversed(list(log.walk())):  # children before their parents
            self._keyed[span.span_id] = self._key(span)
        self.tops = self._sorted([span.span_id for span in log.roots])

    def children(self, parent: KeyedSpan) -> list[KeyedSpan]:
        """Return the children of a span: branches by their index, all others by their start."""
        return self._sorted(parent.span.children)

    def _note(self, event: Event) -> None:
        kind = event["event_type"]
        if kind == "entry":
            self._entries.setdefault(event["span_id"], event["data"])
        elif kind in ENDS:
            self._ends[event["span_id"], event["node"]] = event["data"]

    def _sorted(self, span_ids: Sequence[str]) -> list[KeyedSpan]:
        return sorted((self._keyed[span_id] for span_id in span_ids), key=lambda keyed: keyed.index)

    def _key(self, span: SpanInfo) -> KeyedSpan:
        entry, end = self._entries.get(span.span_id, {}), self._ends.get((span.span_id, span.node), {})
        start = end if "input" in end else entry  # adapters may learn only at the end what a span was given
        given, result = ({key: data[key]} if key in data else {} for key, data in (("input", start), ("output", end)))
        key, index = span.step or span.node, -1.0
        if span.node in (_BRANCH, _ITERATION) and (position := _index(given.get("input"))) is not None:
            given = {"input": {name: value for name, value in given["input"].items() if name != "index"}}
            key += f" [{position}]"
            index = position if span.node == _BRANCH else index
        if isinstance(entry.get("attempt"), int):
            key += f" (attempt {entry['attempt']})"
        content = f"{key if index < 0 else span.node} {self._digest(given)}"
        self._has_digests = False
        own = self._digest([span.node, span.status, error_of(span), given, result, metrics_of(span), figures_of(span)])
        has_digests = self._has_digests
        children = sorted(self._keyed[child].whole for child in span.children)
        cut = {**cut_of(start, "input"), **cut_of(end, "output")}
        whole = f"{content} {self._digest([own, children])}"
        return KeyedSpan(span, given, result, key, content, own, whole, index, cut, has_digests)

    def _digest(self, value: Any) -> str | None:
        """Return a short text that only equal values share, or None for a value that is nested too deep."""
        try:
            text = dumps(value)
            if any(flow_id in text for flow_id in self._flow_ids):
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
    """Return ``{"error": ...}`` without what has paths and lines of code; empty if there is no error."""
    return {"error": {key: value for key, value in span.error.items() if key not in _OF_CODE}} if span.error else {}


def metrics_of(span: SpanInfo) -> dict[str, Any]:
    """Return ``{"metrics": ...}`` without times and without the metrics in ``COUNTED``, which are compared separately."""
    return {"metrics": {key: value for key, value in span.metrics.items() if key not in COUNTED and not key.endswith("_ms")}}


def figures_of(span: SpanInfo) -> list[float]:
    """Return the metrics in ``COUNTED``, in that order; 0 for one that is missing or not a number."""
    return [number(span.metrics.get(name)) for name in COUNTED]


def number(value: Any) -> float:
    """Return a metric, or 0 for one that is missing or no number."""
    return value if is_number(value) else 0


def align(old: Tree, new: Tree) -> Iterator[Match]:
    """Yield every span of two runs once, parents before children, in the order of the new run; removed spans where they were."""
    waiting = [Match(0, *row) for row in reversed(_rows(old.tops, new.tops))]
    while waiting:
        match = waiting.pop()
        yield match
        old_children = old.children(match.old) if match.old else []
        new_children = new.children(match.new) if match.new else []
        waiting.extend(Match(match.depth + 1, *row) for row in reversed(_rows(old_children, new_children)))


class _Siblings(NamedTuple):
    """The siblings of two runs that belong together, as pairs of an old and a new position.

    Attributes:
        pairs: All pairs.
        chain: The pairs that are in the same order in both runs.
        moved: The pairs whose order has changed.
    """

    pairs: Pairs
    chain: Pairs
    moved: AbstractSet[tuple[int, int]]

    def swapped(self) -> _Siblings:
        """Return the same with the runs swapped."""
        swapped = [[(new, old) for old, new in pairs] for pairs in self]
        return _Siblings(swapped[0], swapped[1], set(swapped[2]))


def _rows(old: Sequence[KeyedSpan], new: Sequence[KeyedSpan]) -> list[tuple[KeyedSpan | None, KeyedSpan | None, bool]]:
    """Return siblings of two runs side by side, in one order."""
    pairs, chain, moved = _siblings(old, new)
    stayed = {at for at, _ in pairs}
    partner = {new_at: at for at, new_at in pairs}
    rows: list[tuple[KeyedSpan | None, KeyedSpan | None, bool]] = []
    start = new_start = 0
    for end, new_end in [*chain, (len(old), len(new))]:
        rows += [(old[at], None, False) for at in range(start, end) if at not in stayed]
        for new_at in range(new_start, min(new_end + 1, len(new))):
            at = partner.get(new_at)
            rows.append((None if at is None else old[at], new[new_at], (at, new_at) in moved))
        start, new_start = end + 1, new_end + 1
    return rows


def _siblings(old: Sequence[KeyedSpan], new: Sequence[KeyedSpan]) -> _Siblings:
    old_wholes, new_wholes = _texts(old, "whole"), _texts(new, "whole")
    if old_wholes == new_wholes:
        pairs = [(at, at) for at in range(len(old))]
        return _Siblings(pairs, pairs, frozenset())
    if new_wholes < old_wholes:
        return _siblings(new, old).swapped()  # arbitrary choices are made in the same direction, whichever run comes first
    pairs = same(old_wholes, new_wholes, _overlapping(old), _overlapping(new))
    old_left, new_left = _left(old, new, pairs)
    rest = _matched([old[at] for at in old_left], [new[at] for at in new_left])
    pairs = sorted([*pairs, *((old_left[at], new_left[new_at]) for at, new_at in rest)])
    chain = rising(pairs)
    return _Siblings(pairs, chain, _moved(old, new, set(pairs).difference(chain), chain))


def _overlapping(spans: Sequence[KeyedSpan]) -> list[int]:
    """Return the positions of spans that overlap a span with the same key and input: their order means nothing."""
    overlapping: set[int] = set()
    latest: dict[str, int] = {}  # by content, the span that ends last so far
    for at in sorted(range(len(spans)), key=lambda at: spans[at].span.start):
        before = latest.setdefault(spans[at].content, at)
        if before != at and spans[at].span.start < _end(spans[before]):
            overlapping |= {before, at}
        if _end(spans[at]) >= _end(spans[before]):
            latest[spans[at].content] = at
    return sorted(overlapping)


def _end(keyed: KeyedSpan) -> float:
    return math.inf if keyed.span.end is None else keyed.span.end


def _matched(old: Sequence[KeyedSpan], new: Sequence[KeyedSpan]) -> Pairs:
    contents, wholes, keys = ((_texts(old, name), _texts(new, name)) for name in ("content", "whole", "key"))
    pairs, alike = common(*contents), common(*wholes)
    alike += _in_gaps(*contents, alike)
    if len(alike) >= len(pairs):  # of several calls with the same input, those with the same result belong together
        pairs = alike
    for texts in (wholes, contents):
        pairs = sorted([*pairs, *same(*texts, *_left(old, new, pairs))])
    pairs += _in_gaps(*keys, pairs)
    return [*pairs, *_unique(*keys, *_left(old, new, pairs))]


def _texts(spans: Sequence[KeyedSpan], name: str) -> list[str]:
    return [getattr(keyed, name) for keyed in spans]


def _left(old: Sequence[object], new: Sequence[object], pairs: Pairs) -> tuple[list[int], list[int]]:
    """Return the positions that are in no pair."""
    old_paired, new_paired = {at for at, _ in pairs}, {at for _, at in pairs}
    return [at for at in range(len(old)) if at not in old_paired], [at for at in range(len(new)) if at not in new_paired]


def _in_gaps(old: Sequence[str], new: Sequence[str], pairs: Pairs) -> Pairs:
    """Return further pairs of equal texts, at positions between the same two of the given pairs."""
    old_left, new_left = _left(old, new, pairs)
    further: Pairs = []
    start = new_start = 0
    for end, new_end in [*rising(pairs), (len(old), len(new))]:
        old_gap = old_left[start : (start := bisect_left(old_left, end))]
        new_gap = new_left[new_start : (new_start := bisect_left(new_left, new_end))]
        if old_gap and new_gap:
            inner = common([old[at] for at in old_gap], [new[at] for at in new_gap])
            further += [(old_gap[at], new_gap[new_at]) for at, new_at in inner]
    return further


def _unique(old: Sequence[str], new: Sequence[str], old_left: Sequence[int], new_left: Sequence[int]) -> Pairs:
    """Return pairs, at any positions, of equal texts that are unique among the siblings of each run."""
    old_counts, new_counts = Counter(old), Counter(new)
    old_unique = [at for at in old_left if old_counts[old[at]] == 1]
    return same(old, new, old_unique, [at for at in new_left if new_counts[new[at]] == 1])


def _moved(
    old: Sequence[KeyedSpan], new: Sequence[KeyedSpan], pairs: AbstractSet[tuple[int, int]], chain: Pairs
) -> AbstractSet[tuple[int, int]]:
    """Return those of some pairs that ran before a pair of the chain in one run and after it in the other.

    Spans that ran in parallel have no order, so that threads make no difference; nor have the branches of a parallel node.
    """
    moved = set()
    new_chain = [new_at for _, new_at in chain]
    for at, new_at in pairs:
        first, last = bisect_left(chain, (at,)), bisect_left(new_chain, new_at)
        passed = chain[min(first, last) : max(first, last)]
        for near, new_near in {*passed[:_NEAR], *passed[-_NEAR:]} if old[at].index < 0 else ():
            old_order, new_order = (old[near], old[at]), (new[new_at], new[new_near])
            if first < last:
                old_order, new_order = old_order[::-1], new_order[::-1]
            if _one_by_one(*old_order) and _one_by_one(*new_order):
                moved.add((at, new_at))
    return moved


def _one_by_one(first: KeyedSpan, second: KeyedSpan) -> bool:
    return first.span.end is not None and first.span.end <= second.span.start
