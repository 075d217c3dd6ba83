"""Compare two runs: align their spans, and find out what differs of each pair."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

from ..flow_log import FlowLog, SpanInfo
from ..store.sources import get_flow_log
from ._alignment import Match, Place, Tree, align, error_of, figures_of, metrics_of
from ._model import FlowDiff
from ._rows import SpanDiff
from ._values import Change, Pairing, as_text, changes

MAX_CHANGES: Final = 100  # of one span

_ITEM: Final = 40  # characters of a branch's item; a longer one is not told
_PATH: Final = 16  # labels of a path
_LAST: Final = 14

_Ids = tuple[AbstractSet[str], AbstractSet[str]]


def diff(old: FlowLog | str | os.PathLike[str], new: FlowLog | str | os.PathLike[str]) -> FlowDiff:
    """Compare two runs, span by span: what was added, removed, moved, and what changed.

    Spans are aligned from the root, the children of a pair by their step, or else their node: branches of a parallel node by
    item or index, rounds of a loop by index, attempts by number; several calls of one node by what they were given. Ids and
    times do not count as differences, and neither does the order of what ran side by side.

    Args:
        old, new: Flow logs, or what ``get_flow_log`` takes: a flow id, a log file, or a folder with the log of one flow.

    Returns:
        A ``FlowDiff``: true where the runs differ in anything but durations; ``str()`` of it is for people.

    Raises:
        FlowNotFoundError, LogFileError: as in ``get_flow_log``.
    """
    before, after = (log if isinstance(log, FlowLog) else get_flow_log(log) for log in (old, new))
    return FlowDiff(before, after, tuple(_compared(before, after)))


def _compared(old: FlowLog, new: FlowLog) -> Iterator[SpanDiff]:
    trees = Tree(old), Tree(new)
    ids, pairing = (trees[0].ids, trees[1].ids), Pairing()
    way: list[tuple[str, ...]] = [()]
    for match in align(*trees):
        label = _label(match)
        del way[match.depth + 1 :]
        above = way[-1]
        path = (*above, label) if len(above) < _PATH else (above[0], "...", *above[-_LAST + 1 :], label)
        way.append(path)
        yield _row(match, label, path, ids, pairing)


def _label(match: Match) -> str:
    place: Place = match.new or match.old  # type: ignore[assignment] # one of them there is
    if name := place.span.name:
        return name
    return place.key + (_item(place) if place.index >= 0 else "")


def _item(place: Place) -> str:
    """Return what a branch is about, if it is said in a few words."""
    given = place.given["input"]
    item = given.get("branch", given.get("item", ""))
    text = item if isinstance(item, str) else as_text(item)
    return f" {text}" if text and len(text) <= _ITEM and "\n" not in text else ""


def _row(match: Match, label: str, path: tuple[str, ...], ids: _Ids, pairing: Pairing) -> SpanDiff:
    depth, old, new, moved = match
    if old is None or new is None:
        gone, come = old.span if old else None, new.span if new else None
        return SpanDiff("added" if old is None else "removed", False, (), depth, label, path, gone, come)
    kept: tuple[Change, ...] = ()
    more = 0
    if old.own != new.own or old.own is None or old.has_digests:
        found = _changes(old, new, ids, pairing)
        kept = tuple(islice(found, MAX_CHANGES))
        more = sum(1 for _ in found)
    differences = tuple(_differences(old.span, new.span, kept))
    kind = "changed" if differences else "same"
    return SpanDiff(kind, moved, differences, depth, label, path, old.span, new.span, kept, more, *_cut(old, new, kept))


def _cut(old: Place, new: Place, found: Sequence[Change]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is the same as far as it was logged: what was cut or redacted in either run, but for what differs all the same.

    The second are those of which something was cut off.
    """
    differing = tuple(change.path for change in found)
    paths = sorted(path for path in {**old.cut, **new.cut} if not any(_overlap(path, other) for other in differing))
    return tuple(paths), tuple(path for path in paths if old.cut.get(path) or new.cut.get(path))


def _overlap(path: str, other: str) -> bool:
    """Tell whether one path is the other, or leads to it."""
    short, long = sorted((path, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def _changes(old: Place, new: Place, ids: _Ids, pairing: Pairing) -> Iterator[Change]:
    yield from changes("error", error_of(old.span), error_of(new.span), ids, pairing)
    yield from changes("input", old.given, new.given, ids, pairing)
    yield from changes("output", old.result, new.result, ids, pairing)
    yield from changes("metrics", metrics_of(old.span), metrics_of(new.span), ids, pairing)


def _differences(old: SpanInfo, new: SpanInfo, found: Sequence[Change]) -> Iterator[str]:
    for name in ("node", "status"):
        if getattr(old, name) != getattr(new, name):
            yield name
    named = {re.split(r"[.[]", change.path, maxsplit=1)[0] for change in found}
    yield from (name for name in ("error", "input", "output", "metrics") if name in named)
    *tokens, cost = (
        not math.isclose(mine, theirs, rel_tol=1e-9) for mine, theirs in zip(figures_of(old), figures_of(new), strict=True)
    )
    if any(tokens):
        yield "tokens"
    if cost:
        yield "cost"
