"""Records and events: the one place that knows how a record looks inside.

What a node logs is a plain tuple of facts (``Facts``), made in well under a microsecond. It travels in a ``NodeRecord``, a
``LogRecord`` that fills itself in when somebody asks for more than its level: formatters, ``QueueHandler``, ``pickle``,
``copy`` and ``vars`` see a complete record; a ring keeps the facts alone. ``event_of`` turns either, and any record that
another library logged, into an event.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..context import FlowState, Place, current
from ..event import ENDS, EVENT_TYPES, KEYS, Event, dumps, headline, is_error_data, is_uuid, level_name, level_number, may_be_root
from ..redaction.marks import Mark, cut_paths, without_cut
from ..redaction.snapshots import snapshot
from ..redaction.texts import scrub, scrub_text
from ..redaction.verdicts import remembered
from .bare_errors import exc_info_of
from .names import fit_name
from .tracebacks import described, type_name


class Kind(NamedTuple):
    """What sort of event the facts are: its type, and the key of data under which its payload stands (None: it is data)."""

    event_type: str
    key: str | None


ENTRY: Final = Kind("entry", "input")
EXIT: Final = Kind("exit", "output")
NOTHING: Final = type("Nothing", (), {"__repr__": lambda self: "NOTHING", "__reduce__": lambda self: "NOTHING"})()
"""The payload of an event that has none: None is a value like any other."""

PLAIN: Final[dict[str, Kind]] = {name: Kind(name, None) for name in EVENT_TYPES}


class Site(NamedTuple):
    """Where records of a node come from: its code location, as a log record states it."""

    pathname: str
    lineno: int
    function: str


NOWHERE: Final = Site("(unknown file)", 0, "(unknown function)")

Facts: TypeAlias = "tuple[Place, Kind, int, int, str | None, Any, int | dict[str, Any] | None, Site]"
"""(place of the span, kind, level number, wall clock in ns, message, payload, duration in ns or metrics, site)."""

EVENT: Final = "flow_event"
"""The attribute of a node's record that is its event. Not ``event``: that is structlog's name for the message of any record."""

IDS: Final = ("flow_id", "span_id", "parent_id")
_KEYS: Final = frozenset(KEYS[:-1])

Stamp: TypeAlias = "tuple[str | None, str | None, str | None]"
STAMP: Final = "_stamp"
"""The attribute with a record's ids where its program uses one of their names for something else."""

Item: TypeAlias = "Facts | Event"
"""What a buffer keeps of a record: its facts, or the event that it brought along from another thread or process."""

# The getter of a record's real __dict__, which NodeRecord hides behind a property that completes it first.
_real_dict: Final = cast("Callable[[logging.LogRecord], dict[str, Any]]", vars(logging.LogRecord)["__dict__"].__get__)


class NodeRecord(logging.LogRecord):
    """A record of a node's event. It holds its facts and its level, and becomes a whole ``LogRecord`` when asked.

    Beside the standard attributes a complete one has ``flow_id``, ``span_id``, ``parent_id`` and ``flow_event``, the whole event.
    The price of being lazy: an unknown attribute is looked up twice.

    Args:
        facts: What happened.
        error: What was raised, where that is at hand: handlers of others get it as ``exc_info``, without variables and secrets.
    """

    __slots__ = ("_error", "facts")

    def __init__(self, facts: Facts, error: BaseException | None = None) -> None:
        # Deliberately not super().__init__: it costs more than all the rest of an event together.
        self.facts = facts
        self.levelno = facts[2]
        self._error = error

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        attributes = _real_dict(self)
        if "relativeCreated" not in attributes:
            self.complete(logging.getLogRecordFactory())
        return attributes

    def complete(self, make: Callable[..., logging.LogRecord]) -> None:
        """Fill in what ``make``, called like ``LogRecord``, gives a record; what a filter has set meanwhile stays."""
        error, self._error = self._error, None  # it holds its frames
        _complete(self.facts, error, make, _real_dict(self))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are ordinary records: the facts refer to what only this process has, and so does a traceback.
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
    mine = {key: event[key] for key in IDS}
    attributes.update({**made.__dict__, **mine, EVENT: event, **attributes})


def event_of_facts(facts: Facts) -> Event:
    """Return the event that facts stand for: a fresh dict, scrubbed, that shares nothing with them."""
    (flow, number, parent, node, step), kind, level, wall, message, payload, metrics, _ = facts
    known = remembered(flow)
    data: dict[str, Any] = {}
    cut: list[str] = []
    if kind.key is None:
        data, cut = known.scrubbed(payload, "")
        data = _with_error(without_cut(data))
    elif payload is not NOTHING:
        data[kind.key], cut = known.scrubbed(payload, kind.key)
    text = message if message is None else scrub_text(message, flow.taints)
    if type(message) is Mark or text != message:
        cut = [*cut, "message"]
    if cut:
        data["cut"] = cut
    event = {
        "flow_id": flow.id,
        "span_id": flow.span_id(number),
        "parent_id": None if parent is None else flow.span_id(parent),
        "node": node,
        "level": level_name(level),
        "timestamp": wall // 1000 / 1e6,
        "event_type": kind.event_type,
        "message": text,
        "data": data,
        "metrics": {"duration_ms": metrics / 1e6} if isinstance(metrics, int) else dict(metrics) if metrics else {},
    }
    if step is not None:
        event["step"] = step
    return event


def _with_error(data: dict[str, Any]) -> dict[str, Any]:
    """Make what people put under ``error`` (a text, say) what the schema wants there: ``{type, message}``."""
    if "error" in data and not is_error_data(data["error"]):
        error = data["error"]
        data["error"] = {"type": "Error", "message": error if isinstance(error, str) else dumps(error)}
    return data


def item_of(record: logging.LogRecord) -> Item | None:
    """Return what a buffer keeps of a record: its facts, or the event it brought along; None outside any flow.

    A record of another library gets the span that is running now, and its message is written out now: its arguments may
    change.
    """
    if type(record) is NodeRecord:
        return record.facts
    if (brought := brought_event(record)) is not None:
        return brought
    span, stamp = current(), stamp_of(record)
    # Where a queue is listened to, the thread may be in a flow of its own: the stamp knows better.
    if span is None or (stamp is not None and stamp[0] != span.flow.id):
        return None if stamp is None or stamp[0] is None else loose_event(record)
    site = Site(record.pathname, record.lineno, record.funcName or "")
    node = span._replace(node=_logger_name(record), step=None)
    return (
        node,
        PLAIN["log"],
        record.levelno,
        round(record.created * 1e9),
        _captured_message(record, span.flow),
        snapshot(_record_data(record), span.flow),
        None,
        site,
    )


def brought_event(record: logging.LogRecord) -> Event | None:
    """Return the event that a copy of a node's record has with it, as one from another process has; or None."""
    brought = record.__dict__.get(EVENT)
    # The flow's id becomes part of a file's name: what is not a UUID is not an id, whatever a record claims.
    is_event = isinstance(brought, dict) and brought.keys() >= _KEYS and is_uuid(brought["flow_id"])
    return cast("Event", brought) if is_event else None


def event_of_item(item: Item) -> Event:
    """Return the event of what ``item_of`` gave."""
    return event_of_facts(item) if isinstance(item, tuple) else item


def event_of(record: logging.LogRecord) -> Event | None:
    """Return the event of any record, or None for one that another library logged outside any flow."""
    item = item_of(record)
    return None if item is None else event_of_item(item)


def stamp_of(record: logging.LogRecord) -> Stamp | None:
    """Return the ids that ``FlowContextFilter`` stamped on a record, here or in another process; three None outside any flow.

    What a program itself put under one of their names, as ``extra={"flow_id": "order-17"}``, is not an id.
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
    """Return under which of the names of ids a record has what its program put there."""
    attributes, stamp = record.__dict__, stamp_of(record) or (None, None, None)
    named = [(key, attributes[key], mine) for key, mine in zip(IDS, stamp, strict=True) if key in attributes]
    return [key for key, value, mine in named if value is not mine and not (type(value) is str and value == mine)]


def loose_event(record: logging.LogRecord) -> Event:
    """Return a ``log`` event of a record with the ids stamped on it, or null ones where there are none."""
    stamped = record.__dict__.get("_flow")
    flow = stamped if isinstance(stamped, FlowState) else None
    taints = flow.taints if flow is not None else ()
    # Before the message is scrubbed: they may teach a secret that is in there too.
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
    """Return a record's message, or what is wrong with it: an argument that does not fit loses the text no more."""
    try:
        return record.getMessage()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - "not all arguments converted", or whatever a hostile __str__ raises
        msg = record.msg
        return f"{str.__str__(msg) if issubclass(type(msg), str) else type_name(msg)} [{type_name(error)}]"


def _captured_message(record: logging.LogRecord, flow: FlowState | None) -> str:
    if record.args:
        snapshot(record.args, flow)  # what stands under a secret key there is a secret everywhere
    return cast("str", snapshot(message_of(record), flow))


SCRUBBED_ERROR: Final = "_scrubbed_error"
"""The attribute of a record whose traceback was scrubbed that tells its error, ``{type, message}``."""

# What every LogRecord has; all else came with `extra=` or a filter.
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
    if "error" in data:  # its program's own, beside what was raised
        data["error'"] = data["error"]
    return {**data, "error": error}


def level_of(item: Item) -> int:
    """Return the level number of an item."""
    return item[2] if isinstance(item, tuple) else level_number(item["level"])


def wall_of(item: Item) -> int:
    """Return when an item happened, wall clock in ns."""
    return item[3] if isinstance(item, tuple) else round(item["timestamp"] * 1e9)


def is_last(item: Item) -> bool:
    """Tell whether an item is the end of a flow's root span, here or in another process."""
    if isinstance(item, tuple):
        return item[1].event_type in ENDS and may_be_root(item[0][3], item[0][2])
    return item["event_type"] in ENDS and may_be_root(item["node"], item["parent_id"])


def record_of_item(item: Item) -> logging.LogRecord:
    """Return a record for an item, complete when asked, as a target handler gets it."""
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


def size_of(item: Item) -> int:
    """Return an estimate of the bytes an item holds in memory, within about a half; equal for the same item each time."""
    total, waiting = 400, [item if not isinstance(item, tuple) else item[4:7]]
    while waiting:
        value: Any = waiting.pop()
        if isinstance(value, str):
            total += 49 + len(value)
        elif type(value) is dict:
            total += 100 * len(value)
            waiting.extend(value.values())
        elif type(value) in (list, tuple):
            total += 8 * len(value)
            waiting.extend(value)
    return total
