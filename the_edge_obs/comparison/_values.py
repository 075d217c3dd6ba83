"""Where two JSON values differ, by path; ids and times, which no two runs share, do not count."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, cast

from ..event import dumps
from ..redaction.marks import inside
from ._sequences import common

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OURS: Final = ("flow_id", "span_id")  # an object with one of them is an event, a span or a flow log
_TIMES: Final = frozenset({"timestamp", "start", "end"})
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One place at which two values differ.

    Attributes:
        path: Where, such as ``output.items[3].name``; positions are those in the new list, of what was removed in the old one.
        kind: ``changed``, ``added`` or ``removed``.
        old, new: The values there; None where there is none.
    """

    path: str
    kind: str
    old: Any
    new: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a dict of JSON values, with the attributes as keys."""
        return {"path": self.path, "kind": self.kind, "old": self.old, "new": self.new}


DIGEST_MARK: Final = "[REDACTED:"
_DIGEST: Final = re.compile(r"\[REDACTED:([0-9a-f]{12})\]")


def without_digests(text: str) -> str:
    """Return a text in which placeholders that equal secrets share, in one run, are all alike."""
    return _DIGEST.sub("[REDACTED:]", text)


class Pairing:
    """Which placeholder of the new run stands for which of the old one: their digests are keyed by process.

    The first pair that is met counts. From then on either of them has to come with the other.
    """

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def is_alike(self, old: str, new: str) -> bool:
        """Tell whether two texts are the same but for placeholders that map one to one."""
        if without_digests(old) != without_digests(new):
            return False
        pairs = list(zip(_DIGEST.findall(old), _DIGEST.findall(new), strict=True))
        there, back = {**self._there}, {**self._back}
        for mine, theirs in pairs:
            if there.setdefault(mine, theirs) != theirs or back.setdefault(theirs, mine) != mine:
                return False
        self._there, self._back = there, back
        return True


def changes(
    key: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    ids: tuple[AbstractSet[str], AbstractSet[str]],
    pairing: Pairing | None = None,
) -> Iterator[Change]:
    """Yield where the values under a key of two objects differ; either object may be without it.

    Args:
        key: The key, with which every path begins.
        old, new: The objects.
        ids: The ids of the old and of the new run: where they stand in a text, one is as good as another.
        pairing: The placeholders that were met so far. Default: none were.
    """
    if old.get(key) is new.get(key) is None:
        return  # a run without an output, and one whose output is null
    mine, theirs = old.get(key, _ABSENT), new.get(key, _ABSENT)
    pairing = pairing or Pairing()
    text = None if mine is _ABSENT or theirs is _ABSENT else as_text(mine)
    if text is not None and text == as_text(theirs) and (DIGEST_MARK not in text or pairing.is_alike(text, text)):
        return
    # A value that nests deeper than any of ours is compared as it is.
    with suppress(RecursionError):
        mine, theirs = lasting(mine, ids[0]), lasting(theirs, ids[1])
    yield from _walked(key, mine, theirs, pairing)


def lasting(value: Any, ids: AbstractSet[str], ours: bool = False) -> Any:
    """Return a copy of a JSON value without what no two runs share.

    Args:
        value: The value.
        ids: Ids that give way to ``[id]``, also inside of texts.
        ours: Whether it lies in an event, span or flow log, whose times and durations give way to null.
    """
    if isinstance(value, str):
        return _UUID.sub(lambda match: "[id]" if match[0] in ids else match[0], value)
    if isinstance(value, list):
        return [lasting(item, ids, ours) for item in value]
    if not isinstance(value, dict):
        return value
    ours = ours or any(key in value for key in _OURS)
    return {key: None if ours and _is_time(key, item) else lasting(item, ids, ours) for key, item in value.items()}


def _is_time(key: str, value: Any) -> bool:
    return isinstance(value, (int, float)) and (key in _TIMES or key.endswith("_ms"))


def as_text(value: Any) -> str | None:
    """Return a text that only equal values share, or None for a value that nests too deep."""
    try:
        return dumps(value)
    except (RecursionError, ValueError):
        return None


def _walked(path: str, old: Any, new: Any, pairing: Pairing) -> Iterator[Change]:
    waiting = [(path, old, new)]
    while waiting:
        path, old, new = waiting.pop()
        if old is _ABSENT:
            yield Change(path, "added", None, new)
        elif new is _ABSENT:
            yield Change(path, "removed", old, None)
        elif isinstance(old, dict) and isinstance(new, dict):
            inner = [(inside(path, key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}]
            waiting.extend(reversed(inner))
        elif isinstance(old, list) and isinstance(new, list):
            waiting.extend(reversed(list(_items(path, old, new))))
        elif not _alike(old, new, pairing):
            yield Change(path, "changed", old, new)


def _items(path: str, old: list[Any], new: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the items of two lists that may differ: what lies between equal ones is compared in order."""
    mine, theirs = ([as_text(item) for item in items] for items in (old, new))
    pairs: list[tuple[int, int]] = []
    if None not in mine and None not in theirs:
        pairs = common(cast("list[str]", mine), cast("list[str]", theirs))
    left = right = 0
    for end, other_end in [*pairs, (len(old), len(new))]:
        for place, other in zip_longest(range(left, end), range(right, other_end)):
            shown = place if other is None else other
            yield (
                f"{path}[{shown}]",
                _ABSENT if place is None else old[place],
                _ABSENT if other is None else new[other],
            )
        left, right = end + 1, other_end + 1


def _alike(old: Any, new: Any, pairing: Pairing) -> bool:
    """Tell whether two values are the same: numbers by value, but for the last digits of a float; true is not 1."""
    if type(old) is str and type(new) is str and DIGEST_MARK in old:
        return pairing.is_alike(old, new)
    if type(old) is type(new) and old == new:
        return True
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in (old, new)):
        return False
    try:
        return math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-12)
    except OverflowError:
        return bool(old == new)
