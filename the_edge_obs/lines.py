"""Facts straight to a line of JSON, as files hold it, without the event in between.

Most events have nothing in them that must be taken out. ``encoded`` finds that out text by text, with a memo, and encodes the
payload as it was captured, once. Whatever is out of the ordinary goes the long way: event, scrubbing, ``to_line``. Both ways give
the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from .event import EVENT_TYPES, Event, dumps
from .formatters import MAX_EVENT_BYTES, to_line
from .records import NOTHING, Facts, Item, event_of_facts
from .remembered import FLOWS, remembered

# Beyond these, json and orjson write a float differently: with an exponent.
_FIRST: Final = 10**9  # ns, for a timestamp
_LAST: Final = 10**25
_SHORTEST: Final = 100  # ns, for a duration in ms
_LONGEST: Final = 10**22
_SHORT: Final = MAX_EVENT_BYTES // 4  # bytes of a line that is not cut

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
    known = FLOWS.get(flow.id)
    if known is None or known.flow is not flow or known.taints != len(flow.taints):
        known = remembered(flow)
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
