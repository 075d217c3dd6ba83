"""Compare two runs: align their spans, and find the differences of each pair."""

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
from ._alignment import KeyedSpan, Match, Tree, align, error_of, figures_of, metrics_of
from ._model import FlowDiff
from ._rows import SpanDiff
from .values import Change, Pairing, as_text, changes

MAX_CHANGES: Final = 100  # of one span

_ITEM: Final = 40  # characters of a branch's item; a longer one is left out of the label
_PATH: Final = 16  # labels of a path; of a longer one, the first and the last ones are kept
_LAST: Final = 14

_Ids = tuple[AbstractSet[str], AbstractSet[str]]


def diff(old: FlowLog | str | os.PathLike[str], new: FlowLog | str | os.PathLike[str]) -> FlowDiff:
    """Compare two runs, span by span: what was added, removed, moved and changed.

    Spans are aligned from the root down. The children of a pair are aligned by their step, or by their node if they have none:
    branches of a parallel node by item or index, iterations of a loop by index, attempts by number, and several calls of one node
    by their input. Ids, times and the order of spans that ran in parallel are not differences.

    Args:
        old, new: Flow logs, or sources as for ``get_flow_log``: a flow id, a log file, or a folder with the log of one flow.

    Returns:
        A ``FlowDiff``. It is true if the runs differ in anything but durations; ``str()`` of it is a readable comparison.

    Raises:
        FlowNotFoundError, LogFileError: as in ``get_flow_log``.
    """
    before, after = (log if isinstance(log, FlowLog) else get_flow_log(log) for log in (old, new))
    return FlowDiff(before, after, tuple(_compared(before, after)))


def _compared(old: FlowLog, new: FlowLog) -> Iterator[SpanDiff]:
    trees = Tree(old), Tree(new)
    ids, pairing = (trees[0].ids, trees[1].ids), Pairing()
    paths: list[tuple[str, ...]] = [()]  # of the spans around
    for match in align(*trees):
        label = _label(match)
        del paths[match.depth + 1 :]
        above = paths[-1]
        path = (*above, label) if len(above) < _PATH else (above[0], "...", *above[-_LAST + 1 :], label)
        paths.append(path)
        yield _row(match, label, path, ids, pairing)


def _label(match: Match) -> str:
    keyed: KeyedSpan = match.new or match.old  # type: ignore[assignment] # one of them is not None
    if name := keyed.span.name:
        return name
    return keyed.key + (_item(keyed) if keyed.index >= 0 else "")


def _item(branch: KeyedSpan) -> str:
    """Return the item of a branch with a space before it, if the item is short."""
    given = branch.given["input"]
    item = given.get("branch", given.get("item", ""))
    text = item if isinstance(item, str) else as_text(item)
    return f" {text}" if text and len(text) <= _ITEM and "\n" not in text else ""


def _row(match: Match, label: str, path: tuple[str, ...], ids: _Ids, pairing: Pairing) -> SpanDiff:
    depth, old, new, moved = match
    if old is None or new is None:
        kind = "added" if old is None else "removed"
        return SpanDiff(kind, False, (), depth, label, path, old.span if old else None, new.span if new else None)
    kept: tuple[Change, ...] = ()
    more = 0
    if old.own != new.own or old.own is None or old.has_digests:
        changed = _changes(old, new, ids, pairing)
        kept = tuple(islice(changed, MAX_CHANGES))
        more = sum(1 for _ in changed)
    differences = tuple(_differences(old.span, new.span, kept))
    kind = "changed" if differences else "same"
    return SpanDiff(kind, moved, differences, depth, label, path, old.span, new.span, kept, more, *_cut(old, new, kept))


def _cut(old: KeyedSpan, new: KeyedSpan, changed: Sequence[Change]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values that are the same only as far as they were logged.

    Returns:
        The paths of values that were cut or redacted in either run and do not differ; and those of them that were cut.
    """
    differing = tuple(change.path for change in changed)
    paths = sorted(path for path in {**old.cut, **new.cut} if not any(_overlap(path, other) for other in differing))
    return tuple(paths), tuple(path for path in paths if old.cut.get(path) or new.cut.get(path))


def _overlap(path: str, other: str) -> bool:
    """Tell whether two paths are equal, or one leads to the other."""
    short, long = sorted((path, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def _changes(old: KeyedSpan, new: KeyedSpan, ids: _Ids, pairing: Pairing) -> Iterator[Change]:
    yield from changes("error", error_of(old.span), error_of(new.span), ids, pairing)
    yield from changes("input", old.given, new.given, ids, pairing)
    yield from changes("output", old.result, new.result, ids, pairing)
    yield from changes("metrics", metrics_of(old.span), metrics_of(new.span), ids, pairing)


def _differences(old: SpanInfo, new: SpanInfo, changed: Sequence[Change]) -> Iterator[str]:
    for name in ("node", "status"):
        if getattr(old, name) != getattr(new, name):
            yield name
    named = {re.split(r"[.[]", change.path, maxsplit=1)[0] for change in changed}
    yield from (name for name in ("error", "input", "output", "metrics") if name in named)
    *tokens, cost = (
        not math.isclose(before, after, rel_tol=1e-9) for before, after in zip(figures_of(old), figures_of(new), strict=True)
    )
    if any(tokens):
        yield "tokens"
    if cost:
        yield "cost"
