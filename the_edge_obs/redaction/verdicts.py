"""Caches for reading and writing the events of flows: the same texts and spans come again and again.

Checking whether scrubbing would change a text costs ten times a lookup, so the verdict is cached. It is the verdict of
``redaction.texts.scrub_text``, and is dropped as soon as the flow learns a secret or another policy becomes active. Flows that
know no secret and have no policy of their own share their verdicts: otherwise each short flow would check the same texts again.
A flow that knows secrets takes over those verdicts, for all texts of a dict at once in which none of its secrets is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from ..context import FlowState
from ..event import MAX_INT, dumps, level_name
from ..secrets.policies import BUILT_IN, Policy, followers, process_policy
from ..secrets.taints import SHORTEST_NUMBER
from .marks import LONGEST_WHOLE_KEY, MORE, Mark, Ways, cut_paths, paths_of, ways_to_marks
from .payloads import ENCODED, Encoded, Payload, decoded, snapshot_of
from .repeats import REPEATS
from .texts import are_surely_clean, scrub, scrub_text

_MAX_FLOWS: Final = 64  # flows with a cache
_MAX_TEXTS: Final = 1_024  # texts of a flow, or of all flows that share their verdicts,
_MAX_CHARS: Final = 65_536  # and the characters of a flow's texts: a chat repeats its history in every call
_MAX_SHARED_CHARS: Final = 262_144  # of the texts of all others: several chats at a time, but they outlive their flows
_MAX_HEADS: Final = 64  # few, so that they stay in the processor's cache
# Between these, json and orjson write a float in the same way: without an exponent.
_LEAST: Final = 1e-4
_MOST: Final = 1e16
_MAX_REPEATS: Final = 16
_FEW: Final = 32  # marks
_REST: Final = "[+"  # how a mark of left out items begins
_UNKNOWN: Final = object()
_MANY: Final = 64  # spellings of secrets; with more, an encoded payload is read before it is written
_NEVER: Final = (b"",)
_NONE_BELOW: Final[dict[int, Ways]] = {}
PARENT: Final = '","parent_id":'
NODE: Final = ',"node":'
_ALWAYS_CLEAN: Final = (None, True, False)


class _Clean:
    """What scrubbing does not change, up to a number of texts and of their characters. Then all of it is forgotten.

    Args:
        most_chars: Characters of all texts.

    Attributes:
        values: Texts and small numbers.
        keys: Keys that are not cut.
    """

    __slots__ = ("_chars", "_most_chars", "keys", "values")

    def __init__(self, most_chars: int) -> None:
        self._most_chars = most_chars
        self.values: set[Any] = set(_ALWAYS_CLEAN)
        self.keys: set[str] = set()
        self._chars = 0

    def add(self, text: str) -> None:
        """Add a text."""
        self._chars += len(text)
        if len(self.values) >= _MAX_TEXTS or self._chars > self._most_chars:
            self.values.clear()
            self.values.update(_ALWAYS_CLEAN)
            self._chars = len(text)
        self.values.add(text)

    def add_key(self, key: str) -> None:
        """Add a key, which is short."""
        if len(self.keys) >= _MAX_TEXTS:
            self.keys.clear()
        self.keys.add(key)


_shared = _Clean(_MAX_SHARED_CHARS)
"""What is clean in each flow without secrets and without a policy of its own."""


class Remembered:
    """The cache of one flow.

    Attributes:
        clean: Texts and small numbers that scrubbing does not change, at this ``version`` of the taints.
        clean_keys: Keys that are not cut and that scrubbing does not change.
        is_usual: Whether the flow knows no secret, and no redaction policy is active.
        repeats: Snapshots of lists that come again and again, by identity, which scrubbing does not change.
        needles: What must not be in the bytes of a payload, or None before ``spelled``.
        start: The beginning of every line of the flow.
        above: The parent that was written last, and its part of a line.
        heads: The beginnings of the lines of spans, by number, with node and level: an exit has the same as its entry.
        ids: The ids of spans, by number.
    """

    __slots__ = (
        "_clean", "_others", "above", "clean", "clean_keys", "flow", "heads", "ids", "is_usual", "needles", "repeats", "start",
        "version",
    )  # fmt: skip

    def __init__(self, flow: FlowState) -> None:
        self.flow = flow
        taints = flow.taints
        self.version = taints.version
        is_bare = not taints and taints.policy is None
        self.is_usual = is_bare and process_policy() is BUILT_IN
        self._clean = _shared if is_bare else _Clean(_MAX_CHARS)
        self._others = None if is_bare or taints.policy is not None else _shared
        self.clean, self.clean_keys = self._clean.values, self._clean.keys
        self.needles: tuple[bytes, ...] | None = None
        self.heads: dict[int, tuple[str, int, bytes]] = {}
        self.ids: dict[int, str] = {}
        self.repeats: dict[int, list[Any]] = {}
        self.start = f'{{"flow_id":"{flow.id}","span_id":"{flow.prefix}'
        self.above: tuple[int | None, str] = (None, f"{PARENT}null{NODE}")

    def new_head(self, number: int, parent: int | None, node: str, level: int) -> tuple[str, int, bytes]:
        """Return the beginning of a line of a span, up to its timestamp, for a node and a level; cache it."""
        if len(self.heads) >= _MAX_HEADS:
            self.heads.clear()
        above = self.above
        if above[0] != parent:
            parent_id = "null" if parent is None else f'"{self.flow.span_id(parent)}"'
            above = self.above = parent, f"{PARENT}{parent_id}{NODE}"
        text = f"{self.start}{number.to_bytes(8, 'big').hex('-', 6)}{above[1]}{named(node, level)}"
        head = self.heads[number] = node, level, text.encode()
        return head

    def span_id(self, number: int) -> str:
        """Return the id of a span; cache it, as several events have it."""
        if (span_id := self.ids.get(number)) is None:
            if len(self.ids) >= _MAX_HEADS:
                self.ids.clear()
            span_id = self.ids[number] = self.flow.span_id(number)
        return span_id

    def scrubbed(self, payload: Payload, path: str) -> tuple[Any, list[str]]:
        """Return a scrubbed copy of a payload, and the paths where it is not complete.

        Args:
            payload: The payload.
            path: Its path, such as ``input``; empty for data as a whole.
        """
        if type(payload) is ENCODED:
            if self.is_clean_payload(payload):
                return decoded(payload), paths_of(path, payload.ways)
            payload = snapshot_of(payload)
        marks: list[tuple[str | int, ...]] = []
        if (type(payload) is dict or type(payload) is list) and (copy := self._known_copy(payload, (), marks)) is not _UNKNOWN:
            clean, ways = copy, tuple(marks)
        elif (marked := self.marks_in(payload)) is not None:
            clean, ways = _copied(payload), marked
        else:
            clean = scrub(payload, self.flow.taints)
            return clean, cut_paths(path, payload, clean)
        return clean, paths_of(path, ways) if ways else []

    def _known_copy(self, value: Any, way: tuple[str | int, ...], ways: list[tuple[str | int, ...]]) -> Any:
        """Return a copy of a dict or list in which all is cached as clean, as most are; ``_UNKNOWN`` of any other.

        Args:
            value: A snapshot, or a part of it.
            way: The way to it.
            ways: The ways to marks, to which those in it are added.
        """
        clean = self.clean
        items: Iterable[tuple[Any, Any]]
        if type(value) is dict:
            if not self.clean_keys.issuperset(value):
                return _UNKNOWN
            try:
                if clean.issuperset(value.values()):
                    return value.copy()
            except TypeError:  # it contains a container
                pass
            items = value.items()
        else:
            if value and type(value[0]) is dict and self.are_clean(value):
                return [row.copy() for row in value]
            items = enumerate(value)
        copy = value.copy()
        for key, item in items:
            kind = type(item)
            if kind is dict or kind is list:
                if (inner := self._known_copy(item, (*way, key), ways)) is _UNKNOWN:
                    return _UNKNOWN
                copy[key] = inner
            elif kind is Mark:
                if (text := str(item)) not in clean or text.startswith(_REST) or key == MORE or len(ways) == _FEW:
                    return _UNKNOWN
                copy[key] = text
                ways.append((*way, key))
            elif kind not in _ATOMS or item not in clean:
                return _UNKNOWN
        return copy

    def is_clean_payload(self, payload: Encoded) -> bool:
        """Tell whether scrubbing leaves an encoded payload unchanged; it may say no where that is not sure.

        All of it is searched at once. A secret that the flow knows is in the bytes as JSON spells it, wherever it is in a text.
        """
        return payload.is_clean(self.needles if self.needles is not None else self.spelled())

    def spelled(self) -> tuple[bytes, ...]:
        """Return the ``needles``, and remember them; every payload has the empty one, if all must be read."""
        taints = self.flow.taints
        if taints.policy is not None or process_policy() is not BUILT_IN:
            self.needles = _NEVER
        else:
            texts = [*taints.copied(), *map(str, taints.numbers), "…[+"] if taints else []
            spelled = tuple(dumps(text)[1:-1].encode("utf-8", "replace") for text in texts)
            self.needles = spelled if len(spelled) <= _MANY else _NEVER
        return self.needles

    def is_clean(self, text: str) -> bool:
        """Tell whether scrubbing leaves a text unchanged, and cache it if so."""
        if scrub_text(text, self.flow.taints) != text:
            return False
        self._clean.add(text)
        if self._others is not None and text not in self._others.values:
            self._others.add(text)
        return True

    def is_clean_key(self, key: str) -> bool:
        """Tell whether a key is not cut and scrubbing leaves it unchanged, and cache it if so."""
        if len(key) > LONGEST_WHOLE_KEY or scrub_text(key, self.flow.taints) != key:
            return False
        self._clean.add_key(key)
        if self._others is not None:
            self._others.add_key(key)
        return True

    def _take_over(self, value: dict[str, Any], others: _Clean) -> None:
        """Cache the keys and texts of a dict that are clean without secrets, if none of the flow's secrets is in any of them."""
        if not others.keys.issuperset(value):
            return
        texts = [text for item in value.values() if isinstance(item, str) and (text := str(item)) in others.values]
        joined = "\n".join((*value, *texts))
        if "…[+" not in joined and not self.flow.taints.in_text(joined):
            for key in value:
                self._clean.add_key(key)
            for text in texts:
                self._clean.add(text)

    def are_clean(self, rows: list[Any]) -> bool:
        """Tell whether a list has only dicts whose keys and values are cached as clean."""
        if set(map(type, rows)) != {dict}:
            return False
        try:
            return self.clean.issuperset(chain.from_iterable(map(dict.values, rows))) and self.clean_keys.issuperset(
                chain.from_iterable(rows)
            )
        except TypeError:  # they contain containers
            return False

    def marks_in(self, value: Any) -> Ways | None:
        """Return the ways to the marks in a payload; None if scrubbing changes it, or if encoders write it differently."""
        kind, clean, is_marked, below, items = type(value), self.clean, False, _NONE_BELOW, value
        if kind is dict:
            if not self.clean_keys.issuperset(value):
                if self._others is not None:
                    self._take_over(value, self._others)
                if not self.clean_keys.issuperset(value) and not all(map(self.is_clean_key, value)):
                    return None
            items = value.values()
            try:
                if clean.issuperset(items):
                    return ()
            except TypeError:  # it contains a container
                pass
        elif kind is not list:
            items = (value,)
        elif value and type(value[0]) is dict:
            if self.repeats.get(id(value)) is value or self.are_clean(value):
                return ()
            self.learn_clean(value)
            if REPEATS.is_shared(value):
                return self.marks_in_repeat(value)
        for item in items:
            kind = type(item)
            if kind is str:
                if item not in clean and not self.is_clean(item):
                    return None
            elif kind is int or kind is float:
                if item not in clean and not self.is_plain_number(item):
                    return None
            elif kind is dict or kind is list:
                if (ways := self.marks_in(item)) != ():
                    if ways is None:
                        return None
                    below, is_marked = below or {}, True
                    below[id(item)] = ways
            elif kind is Mark:
                if (text := str(item)) not in clean and not self.is_clean(text):
                    return None
                is_marked = True
            elif kind is ENCODED:  # the payload itself
                return item.ways if self.is_clean_payload(item) else None
            elif item is not None and kind is not bool:
                return None
        return ways_to_marks(value, below) if is_marked else ()

    def learn_clean(self, rows: list[Any]) -> None:
        """Cache the texts in a list of dicts if all of them are clean, which takes less time at once than text by text."""
        items = chain.from_iterable([row.values() for row in rows if type(row) is dict])
        new = [text for text in items if type(text) is str and text not in self.clean]
        if len(new) > 1 and are_surely_clean(new, self.flow.taints):
            for text in new:
                self._clean.add(text)

    def marks_in_repeat(self, value: list[Any]) -> Ways | None:
        """Return what ``marks_in`` does of the snapshot of a list that comes again and again, and cache that it is clean."""
        for item in value:
            if self.marks_in(item) != ():
                return None
        if len(self.repeats) >= _MAX_REPEATS:
            self.repeats.clear()
        self.repeats[id(value)] = value
        return ()

    def are_plain_figures(self, metrics: dict[str, Any]) -> bool:
        """Tell whether metrics are written unchanged. Durations are not cached: there are too many."""
        if not self.clean_keys.issuperset(metrics):
            return self.marks_in(metrics) == ()
        for number in metrics.values():
            if type(number) is int:
                is_plain = -SHORTEST_NUMBER < number < SHORTEST_NUMBER
            else:
                is_plain = type(number) is float and (_LEAST <= number < _MOST or number == 0)
            if not is_plain:
                return self.marks_in(metrics) == ()
        return True

    def is_plain_number(self, number: float) -> bool:
        """Tell whether a number is written unchanged, and cache it if it is small; a large integer may be a taint."""
        if not -SHORTEST_NUMBER < number < SHORTEST_NUMBER and type(number) is int:
            return -MAX_INT <= number <= MAX_INT and abs(number) not in self.flow.taints.numbers
        if not (_LEAST <= number < _MOST or -_MOST < number <= -_LEAST or number == 0):
            return False
        if -SHORTEST_NUMBER < number < SHORTEST_NUMBER and len(self.clean) < _MAX_TEXTS:
            self.clean.add(number)  # and with it, equal values: 1, 1.0 and True are each written unchanged
        return True


FLOWS: Final[dict[str, Remembered]] = {}
"""By flow id; use ``remembered``, unless the version is compared inline."""


def _follow(policy: Policy) -> None:
    # A verdict that another thread computes under the old policy goes into a cache that is no longer reachable here.
    global _shared
    FLOWS.clear()
    _shared = _Clean(_MAX_SHARED_CHARS)


followers.append(_follow)


def remembered(flow: FlowState) -> Remembered:
    """Return the cache of a flow, valid for its current taints."""
    known = FLOWS.get(flow.id)
    if known is None or known.flow is not flow or known.version != flow.taints.version:
        if len(FLOWS) >= _MAX_FLOWS:
            FLOWS.clear()
        known = FLOWS[flow.id] = Remembered(flow)
    return known


@lru_cache(maxsize=1024)
def named(node: str, level: int) -> str:
    """Return the text of a line from the name of the node to the timestamp."""
    name = dumps(node).encode("utf-8", "replace").decode()
    return f'{name},"level":"{level_name(level)}","timestamp":'


def _copied(value: Any) -> Any:
    """Return a copy of a clean snapshot; what was cut or redacted in it becomes an ordinary text."""
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) in _ATOMS else _copied(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in _ATOMS else _copied(item) for item in value]
    return str(value) if kind is Mark else value


_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
