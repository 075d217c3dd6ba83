"""Records and events: the only module that knows the inside of a record.

A node logs a plain tuple of facts (``Facts``), which takes well under a microsecond. The facts travel in a ``NodeRecord``, a
``LogRecord`` that completes itself when more than its level is read: formatters, ``QueueHandler``, ``pickle``, ``copy`` and
``vars`` see a complete record. A ring keeps only the facts. ``event_of`` turns facts, node records and records of other
libraries into events.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..context import FlowState, Place, current
from ..event import ENDS, EVENT_TYPES, KEYS, Event, dumps, headline, is_error_data, is_uuid, level_name, level_number, may_be_root
from ..redaction.marks import Mark, Ways, cut_paths, paths_of, without_cut
from ..redaction.payloads import ENCODED, events_of_facts, is_encoded
from ..redaction.snapshots import snapshot
from ..redaction.texts import scrub, scrub_text
from ..redaction.verdicts import Remembered, remembered
from .bare_errors import exc_info_of
from .names import fit_name
from .tracebacks import described, type_name


class Kind(NamedTuple):
    """The kind of an event: its type, and the key of its payload in the data (None: the payload is the data)."""

    event_type: str
    key: str | None


ENTRY: Final = Kind("entry", "input")
EXIT: Final = Kind("exit", "output")
NOTHING: Final = type("Nothing", (), {"__repr__": lambda self: "NOTHING", "__reduce__": lambda self: "NOTHING"})()
"""The payload of an event without one; None is an ordinary value."""

PLAIN: Final[dict[str, Kind]] = {name: Kind(name, None) for name in EVENT_TYPES}
BEGUN: Final = Kind("entry", None)
"""The kind of a root's entry whose payload is shared with other flows, and never changes."""


class Site(NamedTuple):
    """The code location of a node, as in a log record."""

    pathname: str
    lineno: int
    function: str


NOWHERE: Final = Site("(unknown file)", 0, "(unknown function)")

Facts: TypeAlias = "tuple[Place, Kind, int, int, str | None, Any, int | dict[str, Any] | None, Site]"
"""(place of the span, kind, level number, wall clock in ns, message, payload, duration in ns or metrics, site).

A plain tuple, because a named one takes three times as long to make. The functions below name its parts; what runs for each
event may read it by index, with a comment that says so.
"""

EVENT: Final = "flow_event"
"""The attribute of a node's record that holds its event. Not ``event``, which structlog uses for the message of a record."""

IDS: Final = ("flow_id", "span_id", "parent_id")
_KEYS: Final = frozenset(KEYS[:-1])

Stamp: TypeAlias = "tuple[str | None, str | None, str | None]"
STAMP: Final = "_stamp"
"""The attribute with a record's ids if the program uses one of their names for something else."""

Item: TypeAlias = "Facts | Event"
"""What a buffer keeps of a record: its facts, or the event that the record carries from another thread or process."""


def place_of(facts: Facts) -> Place:
    """Return the place of the span that facts belong to."""
    return facts[0]


def flow_of(facts: Facts) -> FlowState:
    """Return the flow that facts belong to."""
    return facts[0][0]


def node_of(facts: Facts) -> str:
    """Return the node that facts belong to."""
    return facts[0][3]


def flow_id_of(item: Item) -> str:
    """Return the id of the flow that an item belongs to."""
    return flow_of(item).id if isinstance(item, tuple) else cast("str", item["flow_id"])


def level_of(item: Item) -> int:
    """Return the level number of an item."""
    return item[2] if isinstance(item, tuple) else level_number(item["level"])


def wall_of(item: Item) -> int:
    """Return when an item happened, wall clock in ns."""
    return item[3] if isinstance(item, tuple) else round(item["timestamp"] * 1e9)


def metrics_of(item: Item) -> int | dict[str, Any] | None:
    """Return the metrics of an item, or its duration in ns where facts have that alone."""
    return item[6] if isinstance(item, tuple) else cast("dict[str, Any]", item["metrics"])


def is_last(item: Item) -> bool:
    """Tell whether an item is the end of a flow's root span, here or in another process."""
    if isinstance(item, tuple):
        place = item[0]  # by index: each first and last event of a file passes here
        return item[1][0] in ENDS and may_be_root(place[3], place[2])
    return item["event_type"] in ENDS and may_be_root(item["node"], item["parent_id"])


def size_of(item: Item) -> int:
    """Return an estimate of the bytes an item holds in memory, within about a half; equal for the same item each time."""
    # Of facts, the message, the payload and the metrics: the rest is shared or small.
    total = 400
    waiting: list[Any] = [item if not isinstance(item, tuple) else item[4:7]]
    for value in waiting:  # it grows
        if type(value) is dict:
            total += 100 * len(value)
            parts: Iterable[Any] = value.values()
        else:
            total += 8 * len(value)
            parts = value
        for part in parts:
            kind = type(part)
            if kind is str or kind is Mark:
                total += 49 + len(part)
            elif kind is dict or kind is list or kind is tuple:
                waiting.append(part)
            elif kind is ENCODED:
                total += 160 + len(part.json)
    return total


# The getter of a record's real __dict__. NodeRecord has a property in front of it, which completes the record first.
_real_dict: Final = cast("Callable[[logging.LogRecord], dict[str, Any]]", vars(logging.LogRecord)["__dict__"].__get__)


class NodeRecord(logging.LogRecord):
    """A record of a node's event. It holds its facts and its level, and becomes a complete ``LogRecord`` when read.

    Besides the standard attributes, a complete record has ``flow_id``, ``span_id``, ``parent_id`` and ``flow_event``, the whole
    event. The price of laziness: an unknown attribute is looked up twice.

    Args:
        facts: What happened.
        error: The exception, if there is one: third-party handlers get it as ``exc_info``, without variables and secrets.
    """

    __slots__ = ("_error", "facts")

    def __init__(self, facts: Facts, error: BaseException | None = None) -> None:
        # Deliberately no super().__init__(): it costs more than the rest of an event.
        self.facts = facts
        self.levelno = level_of(facts)
        self._error = error

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        attributes = _real_dict(self)
        if "relativeCreated" not in attributes:
            self.complete(logging.getLogRecordFactory())
        return attributes

    def complete(self, make: Callable[..., logging.LogRecord]) -> None:
        """Fill in the attributes that ``make``, called like ``LogRecord``, sets; attributes that a filter has set stay."""
        error, self._error = self._error, None  # an error holds its frames
        _complete(self.facts, error, make, _real_dict(self))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are ordinary records: facts and tracebacks refer to objects of this process.
        attributes = dict(self.__dict__)
        if (info := attributes["exc_info"]) and not attributes["exc_text"]:
            attributes["exc_text"] = "".join(traceback.format_exception(*info)).rstrip("\n")
        return logging.makeLogRecord, ({**attributes, "exc_info": None},)


def _complete(
    facts: Facts, error: BaseException | None, make: Callable[..., logging.LogRecord], attributes: dict[str, Any]
) -> None:
    (flow, _, _, node, _), _, level, wall, *_, site = facts
    event = event_of_facts(facts)
    info = None if error is None else exc_info_of(error, flow)
    made = make(f"tea.{node}", level, site.pathname, site.lineno, headline(event), (), info, site.function)
    created = wall / 1e9
    made.relativeCreated += (created - made.created) * 1e3
    made.created, made.msecs = created, wall % 1_000_000_000 // 1_000_000 + 0.0
    details = event["data"].get("error")
    made.exc_text = details.get("traceback") if isinstance(details, dict) else None
    ids = {key: event[key] for key in IDS}
    attributes.update({**made.__dict__, **ids, EVENT: event, **attributes})


def event_of_facts(facts: Facts) -> Event:
    """Return the event of facts: a new, scrubbed dict that shares nothing with them."""
    return _event(facts, remembered(facts[0][0]))


def _event(facts: Facts, known: Remembered) -> Event:
    (flow, number, parent, node, step), (event_type, key), level, wall, message, payload, metrics, _ = facts
    data: dict[str, Any] = {}
    cut: list[str] | None = None
    if key is None:
        data, cut = known.scrubbed(payload, "")
        data = _with_error(without_cut(data))
    elif payload is not NOTHING:
        data[key], cut = known.scrubbed(payload, key)
    text = message
    if message is not None:
        text = scrub_text(message, flow.taints)
        if type(message) is Mark or text != message:
            cut = [*(cut or ()), "message"]
    if cut:
        data["cut"] = cut
    ids = known.ids
    event = {
        "flow_id": flow.id,
        "span_id": ids.get(number) or known.span_id(number),
        "parent_id": None if parent is None else ids.get(parent) or known.span_id(parent),
        "node": node,
        "level": level_name(level),
        "timestamp": wall // 1000 / 1e6,  # as ``_seconds``, inline
        "event_type": event_type,
        "message": text,
        "data": data,
        "metrics": {"duration_ms": metrics / 1e6} if isinstance(metrics, int) else dict(metrics) if metrics else {},
    }
    if step is not None:
        event["step"] = step
    return event


def _with_error(data: dict[str, Any]) -> dict[str, Any]:
    """Turn a user's value under ``error``, such as a text, into what the schema requires: ``{type, message}``."""
    if "error" in data and not is_error_data(data["error"]):
        error = data["error"]
        data["error"] = {"type": "Error", "message": error if isinstance(error, str) else dumps(error)}
    return data


def item_of(record: logging.LogRecord) -> Item | None:
    """Return what a buffer keeps of a record: its facts, or the event that it carries; None outside any flow.

    A record of another library gets the span that is running now. Its message is formatted now, because its arguments may
    change.
    """
    if type(record) is NodeRecord:
        return record.facts
    if (brought := brought_event(record)) is not None:
        return brought
    span, stamp = current(), stamp_of(record)
    # The thread of a queue listener may be in another flow: then the stamp is right.
    if span is None or (stamp is not None and stamp[0] != span.flow.id):
        return None if stamp is None or stamp[0] is None else loose_event(record)
    site = Site(record.pathname, record.lineno, record.funcName or "")
    place = span._replace(node=_logger_name(record), step=None)
    return (
        place,
        PLAIN["log"],
        record.levelno,
        round(record.created * 1e9),
        _captured_message(record, span.flow),
        snapshot(_record_data(record), span.flow),
        None,
        site,
    )


def brought_event(record: logging.LogRecord) -> Event | None:
    """Return the event that a copy of a node's record carries, such as a record from another process; or None."""
    brought = record.__dict__.get(EVENT)
    # The flow id becomes part of a file name, so a record's claim is checked: an id is a UUID.
    is_event = isinstance(brought, dict) and brought.keys() >= _KEYS and is_uuid(brought["flow_id"])
    return cast("Event", brought) if is_event else None


def event_of_item(item: Item) -> Event:
    """Return the event of an item."""
    return event_of_facts(item) if isinstance(item, tuple) else item


class Head:
    """The part of an event that is known without its message, payload and metrics. Filters read it like an event."""

    __slots__ = ("_facts",)

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def __getitem__(self, key: str) -> Any:
        return _OF_HEAD[key](self._facts)

    get = __getitem__


_OF_HEAD: Final[dict[str, Callable[[Facts], Any]]] = {
    "flow_id": lambda facts: facts[0][0].id,
    "span_id": lambda facts: facts[0][0].span_id(facts[0][1]),
    "node": lambda facts: facts[0][3],
    "level": lambda facts: level_name(facts[2]),
    "timestamp": lambda facts: _seconds(facts[3]),
    "event_type": lambda facts: facts[1][0],
    "step": lambda facts: facts[0][4],
}


def _seconds(wall: int) -> float:
    """Return the timestamp of a wall clock in ns: Unix seconds, cut to microseconds."""
    return wall // 1000 / 1e6


def events_of(items: Sequence[Item]) -> Iterator[Event]:
    """Yield the events of items, in their order.

    Each is made when it is asked for; by the native core, at most as many ahead as were asked for, up to 255.
    """
    if events_of_facts is None:
        yield from _events(items)
        return
    at, size = 0, 1
    while at < len(items):
        yield from _events_at_once(items[at : at + size])
        at, size = at + size, min(2 * size, 256)


def _events(items: Iterable[Item]) -> Iterator[Event]:
    known: Remembered | None = None
    for item in items:
        if isinstance(item, tuple):
            flow = item[0][0]
            if known is None or known.flow is not flow or known.version != flow.taints.version:
                known = remembered(flow)
            yield _event(item, known)
        else:
            yield item


_USUAL: Final[Event] = dict.fromkeys(KEYS[:-1])
_CUTS: Final[dict[tuple[str, Ways], tuple[str, ...]]] = {}
"""By the key of a payload in the data and by its ways, the paths of what was cut: for the native core."""
_MAX_CUTS: Final = 256


def _events_at_once(items: Sequence[Item]) -> Iterable[Event]:
    """Return the events of items; the native core makes those that are usual."""
    assert events_of_facts is not None
    flow = next((item[0][0] for item in items if isinstance(item, tuple)), None)
    if flow is None:
        return _events(items)
    known = remembered(flow)
    needles = known.needles if known.needles is not None else known.spelled()
    events = events_of_facts(list(items), flow, flow.prefix, {**_USUAL, "flow_id": flow.id}, needles, _CUTS, NOTHING)
    missing = [at for at, event in enumerate(events) if event is None]
    for at, event in zip(missing, _events([items[at] for at in missing]), strict=True):
        events[at] = event
        _note_cut(items[at])
    return cast("list[Event]", events)


def _note_cut(item: Item) -> None:
    """Note the paths of what was cut in a payload of bytes, so that the core can make the next event like it."""
    if isinstance(item, tuple) and is_encoded(payload := item[5]) and payload.ways and (key := item[1][1]) is not None:
        if len(_CUTS) >= _MAX_CUTS:
            _CUTS.clear()
        _CUTS[key, payload.ways] = tuple(paths_of(key, payload.ways))


def event_of(record: logging.LogRecord) -> Event | None:
    """Return the event of any record, or None if another library logged it outside any flow."""
    item = item_of(record)
    return None if item is None else event_of_item(item)


def stamp_of(record: logging.LogRecord) -> Stamp | None:
    """Return the ids that ``FlowContextFilter`` stamped on a record, here or in another process; three None outside any flow.

    A value that a program put under one of their names itself, as in ``extra={"flow_id": "order-17"}``, is not an id.
    """
    attributes = record.__dict__
    if STAMP in attributes:
        return cast("Stamp", attributes[STAMP])
    if not attributes.keys() >= set(IDS):
        return None
    flow_id, span_id, parent_id = stamp = cast("Stamp", tuple(attributes[key] for key in IDS))
    is_stamp = is_uuid(flow_id) and is_uuid(span_id) and (parent_id is None or is_uuid(parent_id))
    is_outside = "_flow" in attributes and flow_id is None and span_id is None and parent_id is None
    return stamp if is_stamp or is_outside else None


def own_ids(record: logging.LogRecord) -> list[str]:
    """Return the names of ids under which a record has a value of the program."""
    attributes, stamp = record.__dict__, stamp_of(record) or (None, None, None)
    named = [(key, attributes[key], stamped) for key, stamped in zip(IDS, stamp, strict=True) if key in attributes]
    return [key for key, value, stamped in named if value is not stamped and not (type(value) is str and value == stamped)]


def loose_event(record: logging.LogRecord) -> Event:
    """Return a ``log`` event of a record, with the ids stamped on it, or null ids without a stamp."""
    stamped = record.__dict__.get("_flow")
    flow = stamped if isinstance(stamped, FlowState) else None
    taints = flow.taints if flow is not None else ()
    # Captured before the message is scrubbed: the flow may learn a secret from them that is also in the message.
    message, data = _captured_message(record, flow), snapshot(_record_data(record), flow)
    clean, text = scrub(data, taints), scrub_text(message, taints)
    cut = cut_paths("", data, clean) + (["message"] if type(message) is Mark or text != message else [])
    clean = _with_error(without_cut(clean))
    flow_id, span_id, parent_id = stamp_of(record) or (None, None, None)
    return {
        "flow_id": flow_id,
        "span_id": span_id,
        "parent_id": parent_id,
        "node": _logger_name(record),
        "level": level_name(record.levelno),
        "timestamp": round(record.created * 1e9) // 1000 / 1e6,
        "event_type": "log",
        "message": text,
        "data": {**clean, "cut": cut} if cut else clean,
        "metrics": {},
    }


def _logger_name(record: logging.LogRecord) -> str:
    name = record.name
    return fit_name(name) if issubclass(type(name), str) and name else "root"


def message_of(record: logging.LogRecord) -> str:
    """Return a record's message; if it cannot be formatted, the bare text and the name of the error."""
    try:
        return record.getMessage()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - "not all arguments converted", or whatever a hostile __str__ raises
        msg = record.msg
        return f"{str.__str__(msg) if issubclass(type(msg), str) else type_name(msg)} [{type_name(error)}]"


def _captured_message(record: logging.LogRecord, flow: FlowState | None) -> str:
    if record.args:
        snapshot(record.args, flow)  # so that the flow learns the secrets in the arguments
    return cast("str", snapshot(message_of(record), flow))


SCRUBBED_ERROR: Final = "_scrubbed_error"
"""The attribute with the error, ``{type, message}``, of a record whose traceback was scrubbed."""

# The attributes of every LogRecord; any other came with `extra=` or from a filter.
STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    *IDS, "_flow", "asctime", "message", "taskName", SCRUBBED_ERROR, STAMP,
}  # fmt: skip


def _record_data(record: logging.LogRecord) -> dict[str, Any]:
    data = {key: value for key, value in record.__dict__.items() if key not in STANDARD}
    data.update({key: record.__dict__[key] for key in own_ids(record)})
    info, error = record.exc_info, None
    if info and isinstance(info, tuple) and info[1] is not None:
        error = described(info[1])
    elif SCRUBBED_ERROR in record.__dict__:
        error = record.__dict__[SCRUBBED_ERROR]
    if error is None:
        return data
    if "error" in data:  # the program's own, besides the exception
        data["error'"] = data["error"]
    return {**data, "error": error}


def record_of_item(item: Item) -> logging.LogRecord:
    """Return a record for an item, as a target handler gets it; it completes itself when read."""
    if isinstance(item, tuple):
        return NodeRecord(item)
    event = item
    attributes = {
        "name": event["node"],
        "msg": headline(event),
        "levelno": level_number(event["level"]),
        "levelname": logging.getLevelName(level_number(event["level"])),
        "created": event["timestamp"],
    }
    return logging.makeLogRecord({**attributes, EVENT: event, **{key: event[key] for key in IDS}})
