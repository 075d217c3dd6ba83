"""Facts straight to a line of JSON, as files hold it, without the event in between.

Most events have nothing in them that must be taken out. ``encoded`` finds that out text by text, with a memo, and encodes the
payload as it was captured, once. Whatever is out of the ordinary goes the long way: event, scrubbing, ``to_line``. Both ways give
the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from .context import FlowState, SpanContext
from .event import EVENT_TYPES, Event, dumps, level_name
from .formatters import MAX_EVENT_BYTES, to_line
from .records import NOTHING, Facts, Item, event_of_facts
from .redaction import MAX_INT, Policy, followers, scrub_text

_MAX_FLOWS: Final = 64  # of which something is remembered
_MAX_TEXTS: Final = 1_024  # remembered of each, with
_MAX_CHARS: Final = 256  # characters at most
_MAX_HEADS: Final = 64  # few, so that they stay in the processor's cache
# Within these, json and orjson write a float alike: without an exponent.
_NO_TAINT: Final = 100_000  # smaller numbers are never taken out
_LEAST: Final = 1e-4
_MOST: Final = 1e16
_FIRST: Final = 10**9  # ns, for a timestamp
_LAST: Final = 10**25
_SHORTEST: Final = 100  # ns, for a duration in ms
_LONGEST: Final = 10**22
_SHORT: Final = MAX_EVENT_BYTES // 4  # bytes of a line that is not cut
_ALWAYS_CLEAN: Final = (None, True, False)


class _Flow:
    """What is remembered of a flow that is being written.

    Attributes:
        clean: Keys, texts and small numbers that leave as they are, as far as this many ``taints`` are known.
        start: What every line begins with.
        above: The parent that was written last, and how it stands in a line.
        heads: What lines of spans begin with, by their number, with the node and the level: an exit has that of its entry.
    """

    __slots__ = ("above", "clean", "flow", "heads", "start", "taints")

    def __init__(self, flow: FlowState) -> None:
        self.flow = flow
        self.taints = len(flow.taints)
        self.clean: set[Any] = set(_ALWAYS_CLEAN)
        self.heads: dict[int, tuple[str, int, bytes]] = {}
        self.start = f'{{"flow_id":"{flow.id}","span_id":"{flow.prefix}'
        self.above: tuple[int | None, str] = (None, '","parent_id":null,"node":')

    def new_head(self, span: SpanContext, level: int) -> tuple[str, int, bytes]:
        """Return what a line of a span begins with, down to its timestamp, for a node and a level; remember it."""
        if len(self.heads) >= _MAX_HEADS:
            self.heads.clear()
        _, number, parent, node, _ = span
        above = self.above
        if above[0] != parent:
            parent_id = "null" if parent is None else f'"{self.flow.span_id(parent)}"'
            above = self.above = parent, f'","parent_id":{parent_id},"node":'
        text = f"{self.start}{number.to_bytes(8, 'big').hex('-', 6)}{above[1]}{_named(node, level)}"
        head = self.heads[number] = node, level, text.encode("utf-8", "replace")
        return head

    def is_clean(self, text: str) -> bool:
        """Tell whether scrubbing leaves a text as it is, and remember it if so."""
        if scrub_text(text, self.flow.taints) != text:
            return False
        if len(text) <= _MAX_CHARS:
            if len(self.clean) >= _MAX_TEXTS:
                self.clean.clear()
                self.clean.update(_ALWAYS_CLEAN)
            self.clean.add(text)
        return True

    def is_plain(self, value: Any) -> bool:
        """Tell whether scrubbing leaves a snapshot as it is, and every encoder writes it alike."""
        kind, clean = type(value), self.clean
        if kind is dict:
            if not clean.issuperset(value) and not all(map(self.is_clean, value)):
                return False
            value = value.values()
            try:
                if clean.issuperset(value):
                    return True
            except TypeError:  # there is a container in it
                pass
        elif kind is not list:
            value = (value,)
        for item in value:
            kind = type(item)
            if kind is str:
                if item not in clean and not self.is_clean(item):
                    return False
            elif kind is int or kind is float:
                if item not in clean and not self.is_plain_number(item):
                    return False
            elif kind is dict or kind is list:
                if not self.is_plain(item):
                    return False
            elif item is not None and kind is not bool:
                return False
        return True

    def is_plain_number(self, number: float) -> bool:
        """Tell the same of a number, and remember it if it is small; a large integer may be a taint."""
        if not -_NO_TAINT < number < _NO_TAINT and type(number) is int:
            return -MAX_INT <= number <= MAX_INT and str(number) not in self.flow.taints
        if not (_LEAST <= number < _MOST or -_MOST < number <= -_LEAST or number == 0):
            return False
        if -_NO_TAINT < number < _NO_TAINT and len(self.clean) < _MAX_TEXTS:
            self.clean.add(number)  # with it, what is equal: 1, 1.0 and True are each written as they are
        return True


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
    span, (event_type, key), level, wall, message, payload, metrics, _ = facts
    flow, number, _, node, step = span
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
    head = known.heads.get(number)
    if head is None or head[0] is not node or head[1] != level:
        head = known.new_head(span, level)
    try:
        pieces = (
            head[2],
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
def _named(node: str, level: int) -> str:
    return f'{dumps(node)},"level":"{level_name(level)}","timestamp":'


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
