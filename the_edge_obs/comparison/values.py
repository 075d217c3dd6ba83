"""Find where two JSON values differ, by path; ids and times, which no two runs share, are ignored."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Any, Final, cast

from ..event import dumps
from ..redaction.marks import inside
from ._sequences import common

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OURS: Final = ("flow_id", "span_id")  # an object with an id of the run at one of them is an event, a span or a flow log
_TIMES: Final = frozenset({"timestamp", "start", "end"})
NOISE: Final = 1e-9
"""The relative difference of two numbers, one of them a float, that counts as none."""
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One place at which two values differ.

    Attributes:
        path: The place, such as ``output.items[3].name``; positions are in the new list, those of removed items in the old.
        kind: ``changed``, ``added`` or ``removed``.
        old, new: The values there, or None.
    """

    path: str
    kind: str
    old: Any
    new: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a dict of JSON values, with the attributes as keys."""
        return {"path": self.path, "kind": self.kind, "old": self.old, "new": self.new}


def apart(old: Any, new: Any) -> tuple[Any, Any]:
    """Return two values to show side by side: long texts without the beginning that they share."""
    if isinstance(old, str) and isinstance(new, str):
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
        if (cut := alike - _LEAD) > _LEAD:
            return f"...{old[cut:]}", f"...{new[cut:]}"
    return old, new


_LEAD: Final = 12  # characters of a text shown before the first one that differs

DIGEST_MARK: Final = "[REDACTED:"
_DIGEST: Final = re.compile(r"\[REDACTED:([0-9a-f]{12})\]")


def without_digests(text: str) -> str:
    """Return a text in which all placeholders are alike, without the digest that equal secrets of one run share."""
    return _DIGEST.sub("[REDACTED:]", text)


class Pairing:
    """Maps the placeholders of the old run to those of the new one, because their digests are keyed by process.

    The first pair decides: from then on the two placeholders must occur together.
    """

    def __init__(self) -> None:
        self._to_new: dict[str, str] = {}
        self._to_old: dict[str, str] = {}

    def is_alike(self, old: str, new: str) -> bool:
        """Tell whether two texts are the same, apart from placeholders that map one to one."""
        if without_digests(old) != without_digests(new):
            return False
        pairs = list(zip(_DIGEST.findall(old), _DIGEST.findall(new), strict=True))
        to_new, to_old = {**self._to_new}, {**self._to_old}
        for old_digest, new_digest in pairs:
            if to_new.setdefault(old_digest, new_digest) != new_digest or to_old.setdefault(new_digest, old_digest) != old_digest:
                return False
        self._to_new, self._to_old = to_new, to_old
        return True


def changes(
    key: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    ids: tuple[AbstractSet[str], AbstractSet[str]],
    pairing: Pairing | None = None,
    noise: float = NOISE,
) -> Iterator[Change]:
    """Yield the differences between the values of a key in two objects; the key may be missing.

    Args:
        key: The key, with which every path begins.
        old, new: The objects.
        ids: The ids of the old and of the new run; they are treated as equal, also inside texts.
        pairing: The placeholders that were mapped so far. Default: none.
        noise: The relative difference of two numbers, one of them a float, that counts as none; 0: they must be equal.
    """
    if old.get(key) is new.get(key) is None:
        return  # no output, and an output that is null
    before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
    pairing = pairing or Pairing()
    text = None if before is _ABSENT or after is _ABSENT else as_text(before)
    if text is not None and text == as_text(after) and (DIGEST_MARK not in text or pairing.is_alike(text, text)):
        return
    # A value that is nested too deep for this is compared as it is.
    with suppress(RecursionError):
        before, after = lasting(before, ids[0]), lasting(after, ids[1])
    yield from _walked(key, before, after, pairing, noise)


def lasting(value: Any, ids: AbstractSet[str], ours: bool = False) -> Any:
    """Return a copy of a JSON value without the ids and times that no two runs share.

    Args:
        value: The value.
        ids: Ids that are replaced with ``[id]``, also inside texts.
        ours: Whether the value is part of an event, span or flow log, whose times and durations are replaced with null.
    """
    if isinstance(value, str):
        return _UUID.sub(lambda match: "[id]" if match[0] in ids else match[0], value)
    if isinstance(value, list):
        return [lasting(item, ids, ours) for item in value]
    if not isinstance(value, dict):
        return value
    ours = ours or any(isinstance(own := value.get(key), str) and own in ids for key in _OURS)
    return {key: None if ours and _is_time(key, item) else lasting(item, ids, ours) for key, item in value.items()}


def _is_time(key: str, value: Any) -> bool:
    return isinstance(value, (int, float)) and (key in _TIMES or key.endswith("_ms"))


def as_text(value: Any) -> str | None:
    """Return a text that only equal values share, or None for a value that is nested too deep."""
    try:
        return dumps(value)
    except (RecursionError, ValueError):
        return None


def _walked(path: str, old: Any, new: Any, pairing: Pairing, noise: float) -> Iterator[Change]:
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
        elif not _alike(old, new, pairing, noise):
            yield Change(path, "changed", old, new)


def _items(path: str, old: list[Any], new: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the items of two lists that may differ: those between equal items are compared in order."""
    old_texts, new_texts = ([as_text(item) for item in items] for items in (old, new))
    pairs: list[tuple[int, int]] = []
    if None not in old_texts and None not in new_texts:
        pairs = common(cast("list[str]", old_texts), cast("list[str]", new_texts))
    start = new_start = 0
    for end, new_end in [*pairs, (len(old), len(new))]:
        for at, new_at in zip_longest(range(start, end), range(new_start, new_end)):
            yield (
                f"{path}[{at if new_at is None else new_at}]",
                _ABSENT if at is None else old[at],
                _ABSENT if new_at is None else new[new_at],
            )
        start, new_start = end + 1, new_end + 1


def _alike(old: Any, new: Any, pairing: Pairing, noise: float) -> bool:
    """Tell whether two values are the same: numbers by value, without the last digits of a float; true is not 1.

    Two whole numbers are never nearly the same: they may be the ids of two orders.
    """
    if type(old) is str and type(new) is str and DIGEST_MARK in old:
        return pairing.is_alike(old, new)
    if type(old) is type(new) and old == new:
        return True
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in (old, new)):
        return False
    if isinstance(old, int) and isinstance(new, int):
        return False
    try:
        return math.isclose(old, new, rel_tol=noise, abs_tol=noise / 1000)
    except OverflowError:
        return bool(old == new)
