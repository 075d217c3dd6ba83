"""Lists that are captured again and again, such as the tools and the messages of a chat.

To see that nothing in a list has changed takes a third of the time of a snapshot: all in it is compared by identity, which runs
no code of the values. Then the earlier snapshot is shared. Only lists of plain values under plain keys are remembered, of which
a snapshot is the same in each flow. The memory is small, and lists that never come again are soon not remembered any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import is_
from typing import Any, Final

_MAX_LISTS: Final = 32
_MAX_VALUES: Final = 1_000  # of one list
_COST: Final = 8  # how often lists must have come again before another one is remembered,
_CREDIT: Final = 64  # unless so many in the beginning;
_EVERY: Final = 64  # and of all others one in so many
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class Repeat:
    """A list, and its snapshot.

    Args:
        source: The list.
        taken: Its snapshot.
        classes: The classifier of its keys.
        depth: The number of containers around it.
        values: Values that it took from the cap on these.
        chars: Characters that it took from the cap on these.

    Attributes:
        keys: The keys of all dicts in the list.
        hits: How often the list came again.
        is_whole: Whether the snapshot has every value of the list, and all are plain.
    """

    __slots__ = ("_all", "_dicts", "_lists", "_sizes", "chars", "classes", "depth", "hits", "is_whole", "keys", "taken", "values")

    def __init__(self, source: list[Any], taken: Any, classes: object, depth: int, values: int, chars: int) -> None:
        self.taken, self.classes, self.depth, self.values, self.chars = taken, classes, depth, values, chars
        self.hits = 0
        found = _containers(source)
        copies = _containers(taken)
        self._dicts, self._lists = found or ([], [])
        self._sizes = self._measured()
        self.keys = [*chain.from_iterable(self._dicts)]
        self._all = [*self._parts()]
        self.is_whole = found is not None and copies is not None and self._is_copied(*copies)

    def _measured(self) -> list[int]:
        return [*map(len, self._dicts), *map(len, self._lists)]

    def _parts(self) -> Iterable[Any]:
        """Return all keys, values and items."""
        return _parts_of(self._dicts, self._lists)

    def _is_copied(self, dicts: list[dict[Any, Any]], lists: list[Any]) -> bool:
        if self._sizes != [*map(len, dicts), *map(len, lists)]:
            return False
        return all(
            there is copy or type(there) not in _PLAIN for there, copy in zip(self._all, _parts_of(dicts, lists), strict=True)
        )

    def is_unchanged(self) -> bool:
        """Tell whether nothing in the list has changed."""
        try:
            return self._sizes == self._measured() and all(map(is_, self._all, self._parts()))
        except RuntimeError:  # another thread is changing it
            return False


def _parts_of(dicts: list[dict[Any, Any]], lists: list[Any]) -> Iterable[Any]:
    return chain(chain.from_iterable(dicts), chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists))


def _containers(source: Any) -> tuple[list[dict[Any, Any]], list[Any]] | None:
    """Return the dicts and the lists in a list, itself included; None if it has anything else than those and plain values."""
    dicts: list[dict[Any, Any]] = []
    lists: list[Any] = []
    waiting, left = [source], _MAX_VALUES
    for container in waiting:  # it grows
        if type(container) is dict:
            dicts.append(container)
            items: list[Any] = [*container.values()]
        else:
            lists.append(container)
            items = [*container]
        left -= len(items)
        if left < 0:
            return None
        for item in items:
            kind = type(item)
            if kind is dict or kind is list or kind is tuple:
                waiting.append(item)
            elif kind not in _PLAIN:
                return None
    return dicts, lists


class Repeats:
    """The memory of lists."""

    __slots__ = ("_credit", "_known", "_misses", "_shared")

    def __init__(self) -> None:
        self._known: dict[int, Repeat] = {}
        self._shared: dict[int, Repeat] = {}
        self._credit, self._misses = _CREDIT, 0

    def of(self, source: list[Any], classes: object, depth: int) -> Repeat | None:
        """Return what is remembered of a list, if nothing in it has changed."""
        known = self._known.get(id(source))
        if known is None or known.classes is not classes or known.depth != depth or not known.is_unchanged():
            return None
        known.hits += 1
        if self._credit < _CREDIT:
            self._credit += 1
        return known

    def is_due(self, source: list[Any]) -> bool:
        """Tell whether to remember a list: while others come again, unless it came before and changed; and now and then."""
        self._misses += 1
        if self._misses % _EVERY:
            known = self._known.get(id(source))
            if self._credit < _COST or (known is not None and not known.hits):
                return False
        self._credit = max(0, self._credit - _COST)
        return True

    def add(self, source: list[Any], repeat: Repeat) -> None:
        """Remember a list."""
        if len(self._known) >= _MAX_LISTS:
            self._known.clear()
            self._shared.clear()
        before = self._known.get(id(source))
        if before is not None:
            self._shared.pop(id(before.taken), None)
        self._known[id(source)] = repeat
        self._shared[id(repeat.taken)] = repeat

    def is_shared(self, taken: Any) -> bool:
        """Tell whether a snapshot is shared by several events."""
        repeat = self._shared.get(id(taken))
        return repeat is not None and repeat.taken is taken and repeat.hits > 0

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._shared.clear()
        self._credit, self._misses = _CREDIT, 0


REPEATS: Final = Repeats()
