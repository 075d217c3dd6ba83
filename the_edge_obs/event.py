"""The event: its keys and their order, its levels and types, its JSON form, and what it means for spans and flows.

An event is a plain dict with the keys of ``KEYS`` in that order (``step`` only if a YAML flow has set one). The contract
is ``event.schema.json`` (JSON Schema draft 2020-12); ``problems`` checks the same rules without a schema library.
"""

from __future__ import annotations

import json
import json.encoder
import logging
import math
import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeGuard, cast

from .errors import EventError, LevelError, allowed

__all__ = [
    "ENDS",
    "EVENT_TYPES",
    "KEYS",
    "LEVELS",
    "ROOT_NODE",
    "SCHEMA_VERSION",
    "SPAN_EVENTS",
    "STATUSES",
    "Event",
    "dumps",
    "is_failure",
    "is_number",
    "level_number",
    "problems",
    "resource_of",
    "schema",
    "status_of",
    "validate",
]

Event: TypeAlias = "dict[str, Any]"

SCHEMA_VERSION: Final = 1
KEYS: Final = (
    "flow_id",
    "span_id",
    "parent_id",
    "node",
    "level",
    "timestamp",
    "event_type",
    "message",
    "data",
    "metrics",
    "step",
)
EVENT_TYPES: Final = ("entry", "exit", "error", "metric", "log")
LEVELS: Final = ("debug", "info", "warn", "error")

_NUMBERS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CHECKED_METRICS: Final = ("duration_ms", "tokens", "input_tokens", "output_tokens", "cost_usd")

MAX_EVENT_BYTES: Final = 65_536
"""The most bytes of UTF-8 in a line that this package writes."""
MAX_LINE_BYTES: Final = 16 * MAX_EVENT_BYTES
"""The most bytes of a line that readers accept, without its newline. Other writers of the format may have larger events."""
MAX_INT: Final = 2**63 - 1
"""The largest integer. Larger ones are written as strings, because other runtimes read 64 bits."""


def _encoder() -> Callable[[Any], str]:
    """Return the encoder of every line: strict RFC 8259, so NaN raises an error.

    ``JSONEncoder.encode`` creates CPython's C encoder again for each value, a fifth of a line's cost. Here it is created once.
    """
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    encode = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


dumps: Final = _encoder()


def level_number(level: str | int) -> int:
    """Return the logging level number of a level's name (any case; ``warn`` or ``warning``) or number.

    Raises:
        LevelError: The name is not a level.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    number = _NUMBERS.get(level.lower()) if isinstance(level, str) else None
    if number is None:
        raise LevelError(f"unknown level {level!r}; {allowed(LEVELS)}")
    return number


@lru_cache(maxsize=128)
def level_name(number: int) -> str:
    """Return the event level of a logging level number. CRITICAL is ``error``; a number between two levels rounds down."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the event, as it is shipped in the package."""
    text = Path(__file__).with_name("event.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def is_uuid(value: object) -> bool:
    """Tell whether the value is a UUID in its canonical, lowercase, hyphenated form."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def problems(event: object) -> list[str]:
    """Return the problems of an event, by the rules of the schema.

    Args:
        event: The event, a dict as ``query`` returns it, or any other JSON value.

    Returns:
        One line per problem; an empty list for a valid event.

    Example:
        >>> problems({**event, "level": "fatal"})
        ["level is 'fatal'; it must be one of debug, info, warn, error"]
    """
    if not isinstance(event, Mapping):
        return [f"an event is an object, not {type(event).__name__}"]
    lines = [f"key {key!r} is missing" for key in KEYS[:-1] if key not in event]
    lines += [f"unknown key {key!r}; {allowed(KEYS)}" for key in event if key not in KEYS]
    for key, (holds, what) in _RULES.items():
        if key in event and not holds(event[key]):
            lines.append(f"{key} is {_short(event[key])}; it must be {what}")
    if isinstance(event.get("metrics"), Mapping):
        lines += _metric_problems(event["metrics"])
    if isinstance(event.get("data"), Mapping) and not is_error_data(event["data"].get("error")):
        lines.append(f"data.error is {_short(event['data']['error'])}; it must be null or {{type, message}} of strings")
    if isinstance(event.get("data"), Mapping):
        lines += _data_problems(event["data"], event.get("event_type"), event.get("node"))
    return lines


def root_problems(event: Event) -> list[str]:
    """Return the problems of a valid event as the entry of a run's root. It names the schema version; other events have none."""
    if event["event_type"] != "entry" or event["node"] != ROOT_NODE or event["parent_id"] is not None:
        return []
    if "schema_version" not in event["data"]:
        return [f"data.schema_version is missing; the entry of a run's root names the schema version, {SCHEMA_VERSION}"]
    version = event["data"]["schema_version"]
    is_known = is_number(version) and version == SCHEMA_VERSION
    return [] if is_known else [f"data.schema_version is {_short(version)}; it must be {SCHEMA_VERSION}"]


def validate(event: object) -> None:
    """Check an event against the schema.

    Args:
        event: The event, a dict as ``query`` returns it, or any other JSON value.

    Raises:
        EventError: The event is not valid; the message lists every problem.
    """
    if lines := problems(event):
        raise EventError("; ".join(lines))


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number; a bool is not one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def float_sum(values: Iterable[float]) -> float:
    """Return the exact sum of numbers, rounded once: it is the same in any order."""
    try:
        total = math.fsum(values)
    except OverflowError:  # figures of a broken or hostile log
        return sys.float_info.max
    return total if total - total == 0 else sys.float_info.max


@dataclass(slots=True)
class Total:
    """The exact sum of numbers, which is the same in any order.

    Attributes:
        whole: The sum of the integers.
        parts: Floats whose exact sum is that of the other numbers: a few, however many numbers are added.
    """

    whole: int = 0
    parts: list[float] = field(default_factory=list, repr=False)

    def add(self, value: float) -> None:
        """Add a number."""
        if isinstance(value, int):
            self.whole += value
            return
        kept = []
        for part in self.parts:  # Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997: growing an expansion
            greater, lesser = (value, part) if abs(value) > abs(part) else (part, value)
            value = greater + lesser
            if value - value:  # beyond the range of floats; ``value`` says so
                self.parts = [value]
                return
            if rest := lesser - (value - greater):
                kept.append(rest)
        self.parts = [*kept, value]

    def absorb(self, other: Total) -> None:
        """Add what another total has."""
        self.whole += other.whole
        for part in other.parts:
            self.add(part)

    def value(self) -> float:
        """Return the sum: an integer if all numbers are."""
        return float_sum([*self.parts, self.whole]) if self.parts else self.whole


# --- what an event means ------------------------------------------------------------------------------------------------

ROOT_NODE: Final = "flow"
"""The node of a flow's own span."""
ENDS: Final = frozenset({"exit", "error"})
"""The types of events that end a span."""
SPAN_EVENTS: Final = frozenset({"entry", *ENDS})
"""The types of events that open or end a span: they carry what the span was given and what it returned."""
COUNTED: Final = ("tokens", "input_tokens", "output_tokens", "cost_usd")
"""The metrics that a parent repeats from its children."""
STATUSES: Final = ("ok", "error", "running", "cancelled", "unknown")
"""The statuses of a flow. ``unknown``: none of its roots is in the log, for example because their level filters them."""
_BY_SEVERITY: Final = ("ok", "unknown", "running", "cancelled", "error")


def is_failure(event: Event) -> bool:
    """Tell whether an event is an error that is not a cancellation."""
    return bool(event["event_type"] == "error" and not event["data"].get("cancelled"))


def status_of(event: Event) -> str:
    """Return the status of a span that an event ends: ok, error or cancelled."""
    return "ok" if event["event_type"] == "exit" else "error" if is_failure(event) else "cancelled"


def worst(statuses: Iterable[str]) -> str:
    """Return the worst of some statuses, in the order error, cancelled, running, unknown, ok; ``unknown`` if there are none."""
    return max(statuses, key=_BY_SEVERITY.index, default="unknown")


CONTINUED: Final = 1
"""The rank of a flow that continues one of another process."""
ALONE: Final = 2
"""The rank of a span that opened by itself, with no flow around it."""


def root_rank(node: str, parent_id: str | None) -> int:
    """Return how likely a span whose parent is not in the log is a root. The roots of a flow are its spans of the highest rank.

    3 is a flow without a parent, then come ``ALONE`` and ``CONTINUED``. 0 is any other span: its parent is lost.
    """
    is_flow = node == ROOT_NODE
    return ALONE + is_flow if parent_id is None else CONTINUED * is_flow


def may_be_root(node: str, parent: object) -> bool:
    """Tell whether a span may be a root of its flow: its ``root_rank`` is above 0. The parent is an id or a number."""
    return parent is None or node == ROOT_NODE


def without_circles(parents: Mapping[str, str], begin: Callable[[str], Any]) -> dict[str, str]:
    """Return the parents of spans such that each way up ends.

    A broken log may have a span that is its own parent, or a longer circle of parents. The span of a circle that began first
    has no parent then: it is the outermost one.

    Args:
        parents: By the id of a span, that of its parent.
        begin: Returns by what spans are ordered, such as their start, for an id.
    """
    ending = dict(parents)
    seen: set[str] = set()
    for span_id in parents:
        path: list[str] = []
        at = span_id
        while at in ending and at not in seen:
            seen.add(at)
            path.append(at)
            at = ending[at]
        if at in path:
            del ending[min(path[path.index(at) :], key=begin)]
    return ending


def headline(event: Mapping[str, Any]) -> str:
    """Return an event as one line for people: its node, its message or type, and its duration."""
    error = event["data"].get("error")
    text = event["message"] or event["event_type"]
    if isinstance(error, Mapping) and event["message"] in (None, "", error.get("message")):
        text = f"{error.get('type')}: {error.get('message')}" if error.get("message") else str(error.get("type"))
    duration = event["metrics"].get("duration_ms")
    took = f" ({duration:.1f} ms)" if isinstance(duration, (int, float)) else ""
    return f"{event['node']} {text}{took}"


TOTALS: Final = "totals"
"""The key of what a file holds of its run, in the data of the run's last event there; see ``is_totals``."""
_TOTALS: Final = (
    *((key, int) for key in ("bytes", "events", "errors")),
    *((key, float) for key in ("start", "end", "tokens", "cost_usd")),
)
_KEYS_OF_TOTALS: Final = {"error", *(key for key, _ in _TOTALS)}


def is_totals(value: object) -> bool:
    """Tell whether a value is the totals that a file's last event carries.

    ``bytes`` are those before the line of that event, so that readers see whether the file still holds what was counted. The
    others are counted with that event: ``events``, the first and the last timestamp (``start``, ``end``), ``errors`` where they
    arose, the first ``error`` (``{type, message}`` or null), ``tokens`` and ``cost_usd`` at the leaves.
    """
    if not isinstance(value, Mapping) or value.keys() != _KEYS_OF_TOTALS:
        return False
    for key, kind in _TOTALS:
        figure = value[key]
        if type(figure) is not kind and not is_number(_whole(figure) if kind is int else figure):
            return False
        if not 0 <= figure <= MAX_INT or (kind is int and figure % 1):
            return False
    return value["error"] is None or _is_named(value["error"])


def totals_of(event: Event) -> dict[str, Any] | None:
    """Return the totals that an event carries as the last one of its run in a file, or None."""
    totals = event["data"].get(TOTALS)
    is_end = totals is not None and event["event_type"] in ENDS and may_be_root(event["node"], event["parent_id"])
    return totals if is_end and is_totals(totals) else None


def without_totals(event: Event) -> Event:
    """Return an event without totals, which are about the file that it was read from, and not about the run."""
    if TOTALS in event["data"] and totals_of(event) is not None:
        return {**event, "data": {key: value for key, value in event["data"].items() if key != TOTALS}}
    return event


def is_answered(event: Event) -> bool:
    """Tell whether an entry or end event says that its span was answered from a recording."""
    return event["event_type"] != "metric" and event["data"].get("answered") is True


def is_replay(event: Event) -> bool:
    """Tell whether an event is the first one of a replay."""
    return event["event_type"] == "entry" and event["node"] == ROOT_NODE and "replay_of" in event["data"]


def name_of_root(event: Event) -> str:
    """Return the name of a run, by the entry event of its root."""
    name = event["data"].get("name")
    return name if isinstance(name, str) else str(event["node"])


def resource_of(event: Event) -> Mapping[str, Any] | None:
    """Return the resource (host, pid, service) that the entry of a process's root names; None for any other event."""
    if event["event_type"] != "entry" or event["node"] != ROOT_NODE:
        return None
    resource = event["data"].get("resource")
    # in an event that was cut, there may be a text in its place
    return resource if isinstance(resource, Mapping) and isinstance(resource.get("host"), str) else None


def identity(event: Event) -> tuple[Any, ...]:
    """Return a key that is equal for two copies of an event, and different for any two events of a log.

    The key is the flow, span, type, node and time. For events that can happen twice to a span within one microsecond, it includes
    the content.
    """
    kind = event["event_type"]
    key = event["flow_id"], event["span_id"], kind, event["node"], event["timestamp"]
    # Inline: each event that is read passes here.
    return key if kind == "entry" or kind == "exit" else (*key, event["message"], _content(event))


def happens_once(kind: str) -> bool:
    """Tell whether an event of a type happens only once to a span: its entry and its exit."""
    return kind == "entry" or kind == "exit"


def _content(event: Event) -> str:
    try:
        return dumps([event["data"], event["metrics"]])
    except (RecursionError, TypeError, ValueError):  # nested too deeply, or not from a log
        return repr(event)[:_MOST_CONTENT]


_MOST_CONTENT: Final = 1 << 16  # characters


def without_repeats(events: Iterable[Event]) -> Iterator[Event]:
    """Yield each event once. A log and its copy, or a log and its export, hold the same events.

    Takes about 16 bytes of memory per event.
    """
    return filter(Seen().is_new, events)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return events ordered by time, each once; those of the same time keep their order.

    Copies of an event have the same time. So only events of the same time are compared, which takes a tenth of the time of
    ``without_repeats``.
    """
    kept: list[Event] = []
    time: float | None = None
    same: set[tuple[Any, ...]] = set()  # the identities of the events of this time, if there are several
    for event in sorted(events, key=_time_of):
        if event["timestamp"] != time:
            time = event["timestamp"]
            if same:
                same = set()
        else:
            if not same:
                same.add(identity(kept[-1]))
            key = identity(event)
            if key in same:
                continue
            same.add(key)
        kept.append(event)
    return kept


_time_of: Final = itemgetter("timestamp")


class Seen:
    """Identities of events, or other things, seen so far, as 64-bit hashes: recent ones in a set, others in sorted arrays.


    Looking through the arrays takes long, and most events are new. So the last bits of each hash are also marked in a table, of
    at least four bytes per event: an event without a mark is new.
    """

    __slots__ = ("_count", "_marks", "_old", "_young")

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: list[array[int]] = []
        self._count, self._marks = 0, bytearray(4 * _MOST_YOUNG)

    def is_new(self, event: Event) -> bool:
        """Tell whether an event is new, and remember it."""
        value, marks, young = hash(identity(event)), self._marks, self._young
        at = value & (len(marks) - 1)
        if marks[at] or len(young) >= _MOST_YOUNG - 1:
            return self.add(value)
        marks[at] = 1  # inline: most events are new
        young.add(value)
        return True

    def add(self, value: int) -> bool:
        """Remember a hash, and return whether it is new."""
        marks = self._marks
        at = value & (len(marks) - 1)
        if marks[at]:
            if self._is_known(value):
                return False
        else:
            marks[at] = 1
        self._young.add(value)
        if len(self._young) >= _MOST_YOUNG:
            self._settle()
        return True

    def _is_known(self, value: int) -> bool:
        if value in self._young:
            return True
        return any((at := bisect_left(part, value)) < len(part) and part[at] == value for part in self._old)

    def _settle(self) -> None:
        merged = array("q", sorted(self._young))
        self._count += len(merged)
        self._young.clear()
        while self._old and len(self._old[-1]) <= 2 * len(merged):
            merged = array("q", sorted([*self._old.pop(), *merged]))
        self._old.append(merged)
        if 4 * self._count > len(self._marks):
            self._marks = marks = bytearray(2 * len(self._marks))
            last = len(marks) - 1
            for part in self._old:
                for value in part:
                    marks[value & last] = 1


_MOST_YOUNG: Final = 1 << 13


def is_error_data(error: object) -> bool:
    """Tell whether a value is valid as ``data.error``: null, or ``{type, message}`` of strings.

    Further keys are allowed: ``traceback`` and ``where`` (strings), ``notes`` (a list of strings), ``cause`` (``{type,
    message}``) and ``errors`` (a list of these).
    """
    if error is None:
        return True
    if not _is_named(error) or not all(isinstance(error.get(key, ""), str) for key in ("traceback", "where")):
        return False
    notes, errors = error.get("notes", []), error.get("errors", [])
    if not isinstance(notes, list) or not isinstance(errors, list) or not ("cause" not in error or _is_named(error["cause"])):
        return False
    return all(isinstance(note, str) for note in notes) and all(map(_is_named, errors))


def _is_named(error: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(error, Mapping) and all(isinstance(error.get(key), str) for key in ("type", "message"))


def _metric_problems(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in metrics.items():
        if key in CHECKED_METRICS:
            if not is_number(value) or value < 0:
                lines.append(f"metrics.{key} is {_short(value)}; it must be a number of at least 0")
        elif value is not None and not is_number(value):
            lines.append(f"metrics.{key} is {_short(value)}; it must be a number or null")
    return lines


def _data_problems(data: Mapping[str, Any], kind: object, node: object) -> list[str]:
    rules = {**_DATA_RULES, **(_SPAN_RULES if kind in ("entry", "exit") else {})}
    if kind == "entry" and node == ROOT_NODE:
        rules |= _ROOT_RULES
    if kind in ("exit", "error") and node == ROOT_NODE:
        rules |= _LAST_RULES
    checked = ((key, data[key], *rules[key]) for key in rules if key in data)
    return [f"data.{key} is {_short(value)}; it must be {what}" for key, value, holds, what in checked if not holds(value)]


def _has(**kinds: type | tuple[type, ...]) -> Callable[[Any], bool]:
    """Return a check for an object with values of these types. In a cut event it may be a text."""

    def holds(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return isinstance(value, str)
        return all(key in value and isinstance(_whole(value[key]), kind) for key, kind in kinds.items())

    return holds


def _whole(value: Any) -> Any:
    """Return a number without a fraction as an integer, as JSON Schema does. A bool becomes a value that is neither."""
    if isinstance(value, bool):
        return Ellipsis
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_IDS: Final = ("flow_id", "span_id")
_DATA_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "cut": (lambda value: isinstance(value, list) and all(isinstance(path, str) for path in value), "a list of paths"),
}
_SPAN_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "answered": (lambda value: isinstance(value, bool), "true or false"),  # in other events the key is the user's own
}
_ROOT_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "resource": (_has(host=str, pid=int, service=str), "{host, pid, service}"),
    "flow": (_has(path=(str, type(None)), sha256=(str, type(None))), "{path, sha256}"),
    "outer": (
        lambda value: isinstance(value, str) or (isinstance(value, Mapping) and all(map(is_uuid, map(value.get, _IDS)))),
        "{flow_id, span_id} of UUID strings",
    ),
    "replay_of": (is_uuid, "a UUID string"),
}
_LAST_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    TOTALS: (
        lambda value: isinstance(value, str) or is_totals(value),
        "{bytes, events, start, end, errors, error, tokens, cost_usd}",
    ),
}
_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "flow_id": (is_uuid, "a UUID string"),
    "span_id": (is_uuid, "a UUID string"),
    "parent_id": (lambda value: value is None or is_uuid(value), "a UUID string or null"),
    "node": (lambda value: isinstance(value, str) and value != "", "a string that is not empty"),
    "level": (lambda value: value in LEVELS, "one of " + ", ".join(LEVELS)),
    "timestamp": (lambda value: is_number(value) and value >= 0, "Unix seconds"),
    "event_type": (lambda value: value in EVENT_TYPES, "one of " + ", ".join(EVENT_TYPES)),
    "message": (lambda value: value is None or isinstance(value, str), "a string or null"),
    "data": (lambda value: isinstance(value, Mapping), "an object"),
    "metrics": (lambda value: isinstance(value, Mapping), "an object"),
    "step": (lambda value: isinstance(value, str), "a string"),
}
