"""Facts encoded directly as a line of JSON for files, without an event in between.

Most events contain nothing to redact. ``encoded`` checks that text by text, with a cache, and encodes the captured payload as
it is. Everything unusual takes the long way: event, scrubbing, ``to_line``. Both ways give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from ..event import EVENT_TYPES, MAX_EVENT_BYTES, Event, dumps
from ..recording.records import BEGUN, ENTRY, EXIT, NOTHING, Facts, Item, event_of_facts
from ..redaction.marks import Ways, paths_of
from ..redaction.payloads import ENCODED, LINES
from ..redaction.verdicts import FLOWS, NODE, PARENT, Remembered, named, remembered
from .formatters import to_line

# Between these, json and every version of orjson write a float without an exponent, which they write differently.
_FIRST: Final = 10**9  # ns, for a timestamp
_LAST: Final = 10**24  # not 10**25, below which some quotients are rounded to 1e16
_SHORTEST: Final = 100  # ns, for a duration in ms
_LONGEST: Final = 10**21
_known: Final = FLOWS.get  # bound once: each line needs it
_MAX_SHARED: Final = 64  # data of roots' entries whose text is remembered
_SHORT: Final = MAX_EVENT_BYTES // 4  # bytes up to which a line is surely not cut

# The text between the values of a line: for entries and exits of functions, and for other events by the event type and by the
# key of the payload in the data.
_INPUT: Final = b',"event_type":"entry","message":null,"data":{"input":'
_NO_METRICS: Final = b'},"metrics":{}'
_BEGINNING: Final = b',"event_type":"entry","message":null,"data":'
_NOTHING_ELSE: Final = b',"metrics":{}}\n'
_OUTPUT: Final = b',"event_type":"exit","message":null,"data":{"output":'
_NO_OUTPUT: Final = b',"event_type":"exit","message":null,"data":{},"metrics":{"duration_ms":'
_DURATION: Final = b'},"metrics":{"duration_ms":'
_AFTER_DURATION: Final = b"}"
_METRICS: Final = b'},"metrics":'
_AFTER_TIME: Final = {name: b',"event_type":"%b","message":' % name.encode() for name in EVENT_TYPES}
_BEFORE_DATA: Final = {None: b',"data":', "input": b',"data":{"input":', "output": b',"data":{"output":'}
_OWN: Final = frozenset({"error", "cut"})
_AFTER_DATA: Final = {None: b',"metrics":', "input": b'},"metrics":', "output": b'},"metrics":'}


def _by_python(facts: Facts) -> bytes:
    """Return the line of facts, newline included.

    The common case is inline, and joins pieces, because this is most of the cost of a file besides the write: building the
    event as a dict would take as long as all of this.
    """
    (flow, number, parent, node, step), kind, level, wall, message, payload, metrics, _ = facts
    known = _known(flow.id)
    if known is None or known.flow is not flow or known.version != flow.taints.version:
        known = remembered(flow)
    took: float | None = None
    if kind is EXIT and type(metrics) is int and _SHORTEST <= metrics < _LONGEST:
        took = metrics / 1e6
    elif not (metrics is None if kind is ENTRY else kind is EXIT and type(metrics) is dict and known.are_plain_figures(metrics)):
        if kind is BEGUN and known.is_usual and step is None and _FIRST <= wall < _LAST:
            if (rest := _SHARED.get(id(payload))) is None or rest[0] is not payload:
                rest = _shared(payload, known)
            if rest[1]:
                return b"".join((known.new_head(number, parent, node, level)[2], _dump(wall // 1000 / 1e6), rest[1]))
        return _other(facts, known)
    is_without = payload is NOTHING
    if message is not None or (is_without and took is None) or not _FIRST <= wall < _LAST:
        return _other(facts, known)
    clean, cut, text = known.clean, b"", b""
    if type(payload) is ENCODED:
        if not known.is_clean_payload(payload):
            return _long_way(facts)
        text = payload.json
        if payload.ways:
            cut = _cut(kind.key or "", payload.ways)
    else:
        try:
            if type(payload) is dict:
                is_plain = clean.issuperset(payload.values()) and known.clean_keys.issuperset(payload)
            else:
                is_plain = is_without or payload in clean
        except TypeError:  # it is or contains a container
            is_plain = False
        if not is_plain and (ways := known.marks_in(payload)) != ():
            if ways is None:
                return _long_way(facts)
            cut = _cut(kind.key or "", ways)
    head = known.heads.get(number)
    if head is None or head[0] is not node or head[1] != level:
        head = known.new_head(number, parent, node, level)
    end = b"}\n" if step is None else _stepped(step)
    try:
        moment = _dump(wall // 1000 / 1e6)
        if not text and not is_without:
            text = _dump(payload)
        if kind is ENTRY:
            pieces: tuple[bytes, ...] = (head[2], moment, _INPUT, text, cut, _NO_METRICS, end)
        elif is_without:
            pieces = head[2], moment, _NO_OUTPUT, _dump(took), _AFTER_DURATION, end
        elif took is None:
            pieces = head[2], moment, _OUTPUT, text, cut, _METRICS, _dump(metrics), end
        else:
            pieces = head[2], moment, _OUTPUT, text, cut, _DURATION, _dump(took), _AFTER_DURATION, end
    except TypeError:  # json accepts more than orjson
        return _long_way(facts)
    line = b"".join(pieces)
    return line if len(line) <= _SHORT else _long_way(facts)


_SHARED: Final[dict[int, tuple[Any, bytes]]] = {}
"""By the identity of the data of a root's entry: the data, and its line after the time; nothing if it must be searched."""


def _shared(payload: Any, known: Remembered) -> tuple[Any, bytes]:
    """Remember what the lines of roots whose entries share their data have in common."""
    if len(_SHARED) >= _MAX_SHARED:
        _SHARED.clear()
    is_plain = known.marks_in(payload) == () and _OWN.isdisjoint(payload)
    text = b"%b%b%b" % (_BEGINNING, _dump(payload), _NOTHING_ELSE) if is_plain else b""
    shared = _SHARED[id(payload)] = payload, text if len(text) <= _SHORT // 2 else b""
    return shared


def _other(facts: Facts, known: Remembered) -> bytes:
    """Return the line of facts that are less common; those that need an event take the long way."""
    (_, number, parent, node, step), (event_type, key), level, wall, message, payload, metrics, _ = facts
    if not _FIRST <= wall < _LAST:
        return _long_way(facts)
    cut = b""
    if payload is NOTHING:
        key, payload = None, {}
    elif (ways := known.marks_in(payload)) is None or (
        key is None and (type(payload) is not dict or not _OWN.isdisjoint(payload))
    ):
        return _long_way(facts)  # a user's "error" may have to be converted, and a user's "cut" renamed
    elif ways:
        if key is None:
            payload = {**payload, "cut": paths_of("", ways)}
        else:
            cut = _cut(key, ways)
    if message is not None and (
        type(message) is not str or (message not in known.clean and not known.is_clean(message))  # a Mark is listed in data.cut
    ):
        return _long_way(facts)
    if type(metrics) is int and _SHORTEST <= metrics < _LONGEST:
        metrics = {"duration_ms": metrics / 1e6}
    elif metrics is not None and not (type(metrics) is dict and known.marks_in(metrics) == ()):
        return _long_way(facts)
    try:
        line = b"".join(
            (
                known.new_head(number, parent, node, level)[2],
                _dump(wall // 1000 / 1e6),
                _AFTER_TIME[event_type],
                _dump(message),
                _BEFORE_DATA[key],
                payload.json if type(payload) is ENCODED else _dump(payload),
                cut,
                _AFTER_DATA[key],
                _dump(metrics or {}),
                b"}\n" if step is None else _stepped(step),
            )
        )
    except (KeyError, TypeError):  # another kind of event; json accepts more than orjson
        return _long_way(facts)
    return line if len(line) <= _SHORT else _long_way(facts)


@lru_cache(maxsize=256)
def _cut(path: str, ways: Ways) -> bytes:
    """Return the list, after the payload, of the parts that were cut or redacted."""
    return b',"cut":%b' % _dump(paths_of(path, ways))


@lru_cache(maxsize=1024)
def _stepped(step: str) -> bytes:
    return f',"step":{dumps(step)}}}\n'.encode("utf-8", "replace")


def _long_way(facts: Facts) -> bytes:
    return encoded_event(event_of_facts(facts))


def _by_core(facts: Facts) -> bytes:
    """Return the line of facts, newline included: joined by the native core, if it has made bytes of the payload."""
    if type(facts[5]) is ENCODED:
        place, metrics, figures = facts[0], facts[6], None
        flow, step = place[0], place[4]
        known = _known(flow.id)
        if known is None or known.flow is not flow or known.version != flow.taints.version:
            known = remembered(flow)
        if type(metrics) is dict and known.are_plain_figures(metrics):
            figures = _figures(metrics)
        needles = known.needles if known.needles is not None else known.spelled()
        line: bytes | None = _join(facts, known.start, flow.prefix, needles, figures, b"}\n" if step is None else _stepped(step))
        if line is not None:
            return line
    return _by_python(facts)


def _figures(metrics: dict[str, Any]) -> bytes | None:
    try:
        return _dump(metrics)
    except TypeError:  # json accepts more than orjson
        return None


_join: Any = None
encoded: Final[Callable[[Facts], bytes]] = _by_python if LINES is None else _by_core
"""Return the line of facts, newline included: ``to_line(event_of_facts(facts))`` in UTF-8."""
if LINES is not None:
    _join = LINES(
        entry=(ENTRY, ENTRY.key, _INPUT),
        exit=(EXIT, EXIT.key, _OUTPUT),
        metrics=_METRICS,
        none=_NO_METRICS,
        duration=(_DURATION, _AFTER_DURATION),
        parent=PARENT.encode(),
        node=NODE.encode(),
        named=lambda node, level: named(node, level).encode(),
        cut=_cut,
        longest=_SHORT,
    ).line


def encoded_event(event: Event) -> bytes:
    """Return the line of an event that has been scrubbed, newline included."""
    return f"{to_line(event)}\n".encode("utf-8", "replace")


def encoded_item(item: Item) -> bytes:
    """Return the line of an item of a buffer, newline included."""
    return encoded(item) if isinstance(item, tuple) else encoded_event(item)


def _by_json(value: Any) -> bytes:
    return dumps(value).encode()


# orjson where it is installed (extra "fast"), else json.
try:
    from orjson import dumps as _dump
except ImportError:
    _dump = _by_json  # type: ignore[assignment]
