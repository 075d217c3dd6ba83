"""Records and events: the one place that knows how a record looks inside.

What a node logs is a plain tuple of facts (``Facts``), made in well under a microsecond. It travels in a ``NodeRecord``, a
``LogRecord`` that fills itself in when somebody asks for more than its level: formatters, ``QueueHandler``, ``pickle``,
``copy`` and ``vars`` see a complete record; a ring keeps the facts alone. ``event_of`` turns either, and any record that
another library logged, into an event.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from logging import Logger
from typing import Any, Final, NamedTuple, TypeAlias, cast

from .context import FlowState, Place, current
from .event import ENDS, KEYS, ROOT_NODE, Event, dumps, headline, is_error_data, is_uuid, level_name, level_number
from .marks import Mark, cut_paths, without_cut
from .names import fit_name
from .redaction import scrub, scrub_text
from .remembered import remembered
from .snapshots import snapshot
from .tracebacks import apart, error_text, type_name


class Kind(NamedTuple):
    """What sort of event the facts are: its type, and the key of data under which its payload stands (None: it is data)."""

    event_type: str
    key: str | None


ENTRY: Final = Kind("entry", "input")
EXIT: Final = Kind("exit", "output")
NOTHING: Final = type("Nothing", (), {"__repr__": lambda self: "NOTHING"})()
"""The payload of an event that has none: None is a value like any other."""

PLAIN: Final[dict[str, Kind]] = {name: Kind(name, None) for name in ("entry", "exit", "error", "metric", "log")}


class Site(NamedTuple):
    """Where records of a node come from: its code location, as a log record states it."""

    pathname: str
    lineno: int
    function: str


NOWHERE: Final = Site("(unknown file)", 0, "(unknown function)")

Facts: TypeAlias = "tuple[Place, Kind, int, int, str | None, Any, int | dict[str, Any] | None, Site]"
"""(place of the span, kind, level number, wall clock in ns, message, payload, duration in ns or metrics, site)."""

_IDS: Final = ("flow_id", "span_id", "parent_id")
_KEYS: Final = frozenset(KEYS[:-1])

Item: TypeAlias = "Facts | Event"
"""What a buffer keeps of a record: its facts, or the event that it brought along from another thread or process."""

# The getter of a record's real __dict__, which NodeRecord hides behind a property that completes it first.
_real_dict: Final = cast("Callable[[logging.LogRecord], dict[str, Any]]", vars(logging.LogRecord)["__dict__"].__get__)


class NodeRecord(logging.LogRecord):
    """A record of a node's event. It holds its facts and its level, and becomes a whole ``LogRecord`` when asked.

    Beside the standard attributes a complete one has ``flow_id``, ``span_id``, ``parent_id`` and ``event`` (the whole event).
    The price of being lazy: an unknown attribute is looked up twice.
    """

    __slots__ = ("facts",)

    def __init__(self, facts: Facts) -> None:
        # Deliberately not super().__init__: it costs more than all the rest of an event together.
        self.facts = facts
        self.levelno = facts[2]

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        attributes = _real_dict(self)
        if "relativeCreated" not in attributes:
            _complete(self.facts, attributes)
        return attributes

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are ordinary records: the facts refer to what only this process has.
        return logging.makeLogRecord, (dict(self.__dict__),)


Take: TypeAlias = "Callable[[Facts], object]"

KEEPERS: Final[set[type[logging.Handler]]] = set()
"""Handler classes, by exact type, whose ``keep(facts)`` does what their ``handle`` does with a record of the facts.

It returns a function that takes the later facts of the same span directly, or None where it wants to see them itself.
"""

FACT_FILTERS: Final[dict[type[Any], Callable[[Any, Facts], bool]]] = {}
"""Filter classes, by exact type, with what tells of facts, in place of a record of them, whether they pass."""


def emit(logger: logging.Logger, facts: Facts) -> Take | None:
    """Hand facts to the handlers of a logger and of those above it, as ``Logger.handle`` does with a record.

    What it gains: a record is made only where a handler wants one, and rings and flow files do not; that is a third of the cost
    of an event. What it costs: the loop of ``Logger.callHandlers`` stands here again. Whatever is out of the ordinary (filters on
    the logger, a subclass of ``Logger``) goes the ordinary way. Without any handler nothing happens: logging's last resort would
    print it, and who has configured nothing wants nothing.

    Returns:
        Where keepers alone took the facts, a function that takes the end of the same span without looking for handlers
        again; else None.

    Raises:
        BaseException: what a handler raised, once all others have had the facts. As in ``logging``, an ``Exception`` is that
            handler's failure, which callers report; anything else, such as Ctrl-C, wants the program to stop, and goes on.
    """
    if logger.filters or logger.disabled or type(logger) is not Logger:
        if logger.hasHandlers():
            apart(logger.handle, NodeRecord(facts))
        return None
    at = logger
    while not (handlers := at.handlers):  # most have none, and looking costs less than going through an empty list
        above = at.parent if at.propagate else None
        if above is None:
            return None
        at = above
    above = at.parent if at.propagate else None
    if above is not None and (above.handlers or above.parent is not None):
        return _to_all(at, facts)
    for handler in handlers:
        if type(handler) not in KEEPERS or handler.filters or facts[2] < handler.level:
            return _to_all(at, facts)
    if len(handlers) == 1:
        return handler.keep(facts)  # type: ignore[attr-defined, no-any-return]
    take, are_all_direct = None, True
    for handler in handlers:
        if (its_take := handler.keep(facts)) is None:  # type: ignore[attr-defined]
            are_all_direct = False
        else:
            take = its_take if take is None else _both(take, its_take)
    return take if are_all_direct else None


def _to_all(at: logging.Logger | None, facts: Facts) -> Take | None:
    """Hand facts to the handlers of a logger and of those above it; ``emit`` says what it returns and raises."""
    level, record, take, are_all_direct = facts[2], None, None, True
    failure: BaseException | None = None
    while at is not None:
        if handlers := at.handlers:
            for handler in handlers:
                if level < handler.level:
                    continue
                if type(handler) in KEEPERS and (not handler.filters or _can_judge(handler.filters)):
                    if handler.filters and not all(FACT_FILTERS[type(one)](one, facts) for one in handler.filters):
                        continue
                    its_take = handler.keep(facts)  # type: ignore[attr-defined]
                    if its_take is None:
                        are_all_direct = False
                    else:
                        take = its_take if take is None else _both(take, its_take)
                else:
                    are_all_direct = False
                    record = record or NodeRecord(facts)
                    failed = handed(handler, record)
                    if failed is not None and (failure is None or isinstance(failure, Exception)):
                        failure = failed
        at = at.parent if at.propagate else None
    if failure is not None:
        raise failure
    return take if are_all_direct else None


def _can_judge(filters: list[Any]) -> bool:
    """Tell whether all filters can do without a record."""
    return all(type(one) in FACT_FILTERS for one in filters)


def _both(first: Take, second: Take) -> Take:
    def take(facts: Facts) -> None:
        first(facts)
        second(facts)

    return take


MAX_REENTRY: Final = 3  # a signal handler or a finalizer may well log while its thread is inside a handler
_handing = threading.local()


def handed(handler: logging.Handler, record: NodeRecord) -> BaseException | None:
    """Hand a record to a handler; return what it raised, even an interrupt, which is for the caller to raise.

    A handler that logs, or calls what is observed, gets those records too, but not without end: where each event causes two more,
    and the RecursionError of each is caught, that takes 2 to the power of the recursion limit.
    """
    depths: dict[int, int] = _handing.__dict__.setdefault("depths", {})
    depth = depths.get(id(handler), 0)
    if depth > MAX_REENTRY:
        return RecursionError(f"{type(handler).__name__} causes events while it handles one")
    depths[id(handler)] = depth + 1
    try:
        apart(handler.handle, record)
    except BaseException as error:  # noqa: BLE001 - the caller raises it, once all have had the record
        return error
    finally:
        if depth:
            depths[id(handler)] = depth
        else:
            del depths[id(handler)]
    return None


def _complete(facts: Facts, attributes: dict[str, Any]) -> None:
    """Fill in what ``LogRecord`` would have; what a filter has set meanwhile stays."""
    (_, _, _, node, _), _, level, wall, *_, site = facts
    event = event_of_facts(facts)
    made = logging.getLogRecordFactory()(
        f"tea.{node}", level, site.pathname, site.lineno, headline(event), (), None, site.function
    )
    created = wall / 1e9
    made.relativeCreated += (created - made.created) * 1e3
    made.created, made.msecs = created, wall % 1_000_000_000 // 1_000_000 + 0.0
    error = event["data"].get("error")
    made.exc_text = error.get("traceback") if isinstance(error, dict) else None
    mine = {key: event[key] for key in _IDS}
    attributes.update({**made.__dict__, **mine, "event": event, **attributes})


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
    span, stamp = current(), record.__dict__.get("flow_id")
    # Where a queue is listened to, the thread may be in a flow of its own: the stamp knows better.
    if span is None or (stamp != span.flow.id and is_uuid(stamp)):
        return _stamped_event(record)
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
    brought = record.__dict__.get("event")
    # The flow's id becomes part of a file's name: what is no UUID is no id, whatever a record claims.
    is_event = isinstance(brought, dict) and brought.keys() >= _KEYS and is_uuid(brought["flow_id"])
    return cast("Event", brought) if is_event else None


def event_of_item(item: Item) -> Event:
    """Return the event of what ``item_of`` gave."""
    return event_of_facts(item) if isinstance(item, tuple) else item


def event_of(record: logging.LogRecord) -> Event | None:
    """Return the event of any record, or None for one that another library logged outside any flow."""
    item = item_of(record)
    return None if item is None else event_of_item(item)


def _stamped_event(record: logging.LogRecord) -> Event | None:
    """Return the event of a record that ``FlowContextFilter`` stamped in another thread or process."""
    event = loose_event(record)
    return event if is_uuid(event["flow_id"]) and is_uuid(event["span_id"]) else None


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
    return {
        "flow_id": getattr(record, "flow_id", None),
        "span_id": getattr(record, "span_id", None),
        "parent_id": getattr(record, "parent_id", None),
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
    "_flow", "asctime", "flow_id", "message", "parent_id", "span_id", "taskName", SCRUBBED_ERROR,
}  # fmt: skip


def _record_data(record: logging.LogRecord) -> dict[str, Any]:
    data = {key: value for key, value in record.__dict__.items() if key not in STANDARD}
    info = record.exc_info
    if info and isinstance(info, tuple) and info[1] is not None:
        data["error"] = {"type": type_name(info[1]), "message": error_text(info[1])}
    elif SCRUBBED_ERROR in record.__dict__:
        data["error"] = record.__dict__[SCRUBBED_ERROR]
    return data


def level_of(item: Item) -> int:
    """Return the level number of an item."""
    return item[2] if isinstance(item, tuple) else level_number(item["level"])


def wall_of(item: Item) -> int:
    """Return when an item happened, wall clock in ns."""
    return item[3] if isinstance(item, tuple) else round(item["timestamp"] * 1e9)


def is_last(item: Item) -> bool:
    """Tell whether an item is the end of a flow's root span, here or in another process."""
    if isinstance(item, tuple):
        return item[1].event_type in ENDS and (item[0][2] is None or item[0][3] == ROOT_NODE)
    return item["event_type"] in ENDS and (item["parent_id"] is None or item["node"] == ROOT_NODE)


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
    return logging.makeLogRecord({**attributes, "event": event, **{key: event[key] for key in _IDS}})


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
