"""Facts straight to a line of JSON, as files hold it, without the event in between.

Most events have nothing in them that must be taken out. ``encoded`` finds that out text by text, with a memo, and encodes the
payload as it was captured, once. Whatever is out of the ordinary goes the long way: event, scrubbing, ``to_line``. Both ways give
the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from .context import FlowState
from .event import EVENT_TYPES, Event, dumps, level_name
from .formatters import MAX_EVENT_BYTES, to_line
from .records import NOTHING, Facts, Item, event_of_facts
from .redaction import MAX_INT, Policy, followers, scrub_text

_MAX_FLOWS: Final = 64  # of which something is remembered
_MAX_TEXTS: Final = 1_024  # remembered of each, with
_MAX_CHARS: Final = 256  # characters at most
# Within these, json and orjson write a float alike: without an exponent.
_LEAST: Final = 1e-4
_MOST: Final = 1e16
_FIRST: Final = 10**9  # ns, for a timestamp
_LAST: Final = 10**25
_SHORTEST: Final = 100  # ns, for a duration in ms
_LONGEST: Final = 10**22
_SHORT: Final = MAX_EVENT_BYTES // 4  # bytes of a line that is not cut


class _Flow:
    """What is remembered of a flow that is being written.

    Attributes:
        clean: Keys and texts that leave as they are, as far as this many ``taints`` are known.
        heads: What lines of spans begin with, by their number: an exit has that of its entry.
    """

    __slots__ = ("clean", "flow", "heads", "taints")

    def __init__(self, flow: FlowState) -> None:
        self.flow = flow
        self.taints = len(flow.taints)
        self.clean: set[str] = set()
        self.heads: dict[int, bytes] = {}

    def new_head(self, number: int, parent: int | None) -> bytes:
        """Return what a line of a span begins with, and remember it."""
        if len(self.heads) >= _MAX_TEXTS:
            self.heads.clear()
        above = "null" if parent is None else f'"{self.flow.span_id(parent)}"'
        head = f'{{"flow_id":"{self.flow.id}","span_id":"{self.flow.span_id(number)}","parent_id":{above},'.encode()
        self.heads[number] = head
        return head

    def is_clean(self, text: str) -> bool:
        """Tell whether scrubbing leaves a text as it is, and remember it if so."""
        if scrub_text(text, self.flow.taints) != text:
            return False
        if len(text) <= _MAX_CHARS:
            if len(self.clean) >= _MAX_TEXTS:
                self.clean.clear()
            self.clean.add(text)
        return True

    def is_plain(self, value: Any) -> bool:
        """Tell whether scrubbing leaves a snapshot as it is, and every encoder writes it alike."""
        kind, clean = type(value), self.clean
        if kind is dict:
            if not clean.issuperset(value) and not all(map(self.is_clean, value)):
                return False
            value = value.values()
        elif kind is not list:
            value = (value,)
        for item in value:
            kind = type(item)
            if kind is str:
                if item not in clean and not self.is_clean(item):
                    return False
            elif kind is int:
                if not -100_000 < item < 100_000 and not self.is_plain_int(item):
                    return False
            elif kind is float:
                if not (_LEAST <= item < _MOST or -_MOST < item <= -_LEAST or item == 0):
                    return False
            elif kind is dict or kind is list:
                if not self.is_plain(item):
                    return False
            elif item is not None and kind is not bool:
                return False
        return True

    def is_plain_int(self, number: int) -> bool:
        """Tell the same of a large integer, which may be a taint."""
        return -MAX_INT <= number <= MAX_INT and str(number) not in self.flow.taints


# By flow id. The dict is another one when another policy comes into force: a verdict that was found before goes nowhere.
_flows: dict[str, _Flow] = {}


def _follow(policy: Policy) -> None:
    global _flows
    _flows = {}


followers.append(_follow)


def _remembered(flow: FlowState) -> _Flow:
    if len(_flows) >= _MAX_FLOWS:
        _flows.clear()
    known = _flows[flow.id] = _Flow(flow)
    return known


# What stands between the values of a line, by the type of the event and by the key that its payload has in the data.
_AFTER_TIME: Final = {name: b',"event_type":"%b","message":' % name.encode() for name in EVENT_TYPES}
_BEFORE_DATA: Final = {None: b',"data":', "input": b',"data":{"input":', "output": b',"data":{"output":'}
_AFTER_DATA: Final = {None: b',"metrics":', "input": b'},"metrics":', "output": b'},"metrics":'}


def encoded(facts: Facts) -> bytes:
    """Return the line of facts, newline included: ``to_line(event_of_facts(facts))`` in UTF-8.

    Written out in line, and joined from pieces, for this is most of what a file costs beside the write: a dict of the event takes
    as long to make as all of this.
    """
    (flow, number, parent, node, step), (event_type, key), level, wall, message, payload, metrics, _ = facts
    known = _flows.get(flow.id)
    if known is None or known.taints != len(flow.taints):
        known = _remembered(flow)
    if not _FIRST <= wall < _LAST:
        return _long_way(facts)
    if payload is NOTHING:
        key, payload = None, {}
    elif not known.is_plain(payload) or (key is None and (type(payload) is not dict or "error" in payload)):
        return _long_way(facts)  # what people put under "error" may have to become one
    if message is not None and message not in known.clean and not known.is_clean(message):
        return _long_way(facts)
    if type(metrics) is int and _SHORTEST <= metrics < _LONGEST:
        metrics = {"duration_ms": metrics / 1e6}
    elif metrics is not None and not (type(metrics) is dict and known.is_plain(metrics)):
        return _long_way(facts)
    try:
        pieces = (
            known.heads.get(number) or known.new_head(number, parent),
            _named(node, level),
            _dump(wall // 1000 / 1e6),
            _AFTER_TIME[event_type],
            b"null" if message is None else _dump(message),
            _BEFORE_DATA[key],
            _dump(payload),
            _AFTER_DATA[key],
            _dump(metrics) if metrics else b"{}",
            b"}\n" if step is None else _stepped(step),
        )
    except (KeyError, TypeError):  # another kind of event; what json takes and orjson does not
        return _long_way(facts)
    line = b"".join(pieces)
    return line if len(line) <= _SHORT else _long_way(facts)


@lru_cache(maxsize=1024)
def _named(node: str, level: int) -> bytes:
    return f'"node":{dumps(node)},"level":"{level_name(level)}","timestamp":'.encode("utf-8", "replace")


@lru_cache(maxsize=1024)
def _stepped(step: str) -> bytes:
    return f',"step":{dumps(step)}}}\n'.encode("utf-8", "replace")


def _long_way(facts: Facts) -> bytes:
    return encoded_event(event_of_facts(facts))


def encoded_event(event: Event) -> bytes:
    """Return the line of an event that has been scrubbed, newline included."""
    return f"{to_line(event)}\n".encode("utf-8", "replace")


def encoded_item(item: Item) -> bytes:
    """Return the line of what a buffer keeps, newline included."""
    return encoded(item) if isinstance(item, tuple) else encoded_event(item)


def _by_json(value: Any) -> bytes:
    return dumps(value).encode()


# orjson where it is installed (extra "fast"), else json.
try:
    from orjson import dumps as _dump
except ImportError:
    _dump = _by_json  # type: ignore[assignment]
