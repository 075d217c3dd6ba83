"""Filters of events: one grammar for Python, YAML flows and the command line."""

from __future__ import annotations

import math
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from fnmatch import translate
from typing import Any, Final

from .errors import LevelError, QueryError, allowed
from .event import EVENT_TYPES, LEVELS, Event, dumps, is_uuid, level_name, level_number
from .jsonl import LineFilter
from .text import BLANKS, UNITS, signed_seconds

__all__ = ["OwnSpans", "WholeIds", "matches", "select"]

Predicate = Callable[[Event], bool]


def matches(filters: Mapping[str, Any], *, now: float | None = None) -> Predicate:
    """Return a predicate that tells whether an event passes all filters.

    Args:
        filters: A mapping with any of these keys; a value of None is ignored.
            ``flow_id`` (the beginning of an id, or a list), ``node`` (glob such as ``llm.*``, or a list), ``level`` (exact),
            ``min_level``, ``event_type`` (one or a list), ``start_time`` and ``end_time`` (inclusive; Unix seconds, ISO 8601, or
            relative such as ``-5m``), ``span_id`` (one or a list), ``step`` (glob or list), ``text`` (anywhere in message or
            data, in any case), and ``limit`` and ``last``, which are checked here and applied by ``select``.
        now: The time that relative times refer to, Unix seconds. Default: the current time.

    Raises:
        QueryError: A filter is unknown, or its value is not valid.

    Example:
        >>> is_error = matches({"node": "llm.*", "level": "error"})
        >>> errors = [event for event in events if is_error(event)]
    """
    if not isinstance(filters, Mapping):
        raise QueryError(f"filters are {filters!r}; they must be a mapping such as {{level: error}}; {allowed(FILTERS)}")
    tests = []
    if filters.get("limit") is not None and filters.get("last") is not None:
        raise QueryError("limit takes the first events and last the last ones; give one of them")
    for name, value in filters.items():
        if name not in FILTERS:
            raise QueryError(f"unknown filter {name!r}; {allowed(FILTERS, name)}")
        if value is not None and (test := FILTERS[name](name, value, time.time() if now is None else now)):
            tests.append(test)
    if len(tests) == 1:
        return tests[0]

    def passes(event: Event) -> bool:
        for test in tests:  # noqa: SIM110 - all() of a generator takes twice as long
            if not test(event):
                return False
        return True

    return passes


def select(events: Iterable[Event], filters: Mapping[str, Any], *, now: float | None = None) -> Iterator[Event]:
    """Return an iterator of the events that pass the filters, in the order given.

    Args:
        events: The events.
        filters: The filters, as in ``matches``; ``limit`` returns the first so many events, ``last`` the last so many.
        now: The time that relative times refer to, Unix seconds. Default: the current time.

    Raises:
        QueryError: A filter is unknown, or its value is not valid. It is raised by the call, not by the iterator.
    """
    passed = filter(matches(filters, now=now), events)
    last = filters.get("last")
    return _limited(passed, filters.get("limit")) if last is None else _last(passed, last)


def _last(events: Iterable[Event], count: int) -> Iterator[Event]:
    yield from deque(events, min(count, sys.maxsize))


def _limited(events: Iterable[Event], limit: int | None) -> Iterator[Event]:
    if limit == 0:
        return
    for count, event in enumerate(events, 1):
        yield event
        if count == limit:
            return


def parse_time(value: Any, now: float, name: str = "time") -> float:
    """Return a time as Unix seconds.

    Args:
        value: Unix seconds; ISO 8601, as ``tea-obs ls`` prints it (local time without a zone); a ``datetime`` (local time without
            a zone); or a duration: ``-5m`` and ``5m`` mean 5 minutes ago, ``+5m`` means in 5 minutes. The grammar is in
            ``docs/parity.md``.
        now: The time that durations refer to, Unix seconds.
        name: The name of the value in an error message. Default ``time``.

    Raises:
        QueryError: The value is not a time.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0:
        return float(value)
    text = str(value).strip(BLANKS)
    if (duration := signed_seconds(text)) is not None:
        sign, seconds = duration
        return now + seconds if sign == "+" else now - seconds
    try:
        if _NUMBER.fullmatch(text) and math.isfinite(seconds := float(text)):
            return seconds
        moment = value if isinstance(value, datetime) else _moment(text)
        return _unix_seconds(moment)
    except (ValueError, OverflowError, OSError) as error:
        raise QueryError(
            f"{name} {value!r} is not a valid time; allowed: Unix seconds, ISO 8601 such as 2026-01-31T12:00:00Z (local time "
            f"without a zone), or relative such as -30s, -5m, -2h, -1d (units: {', '.join(UNITS)})"
        ) from error


_DAY: Final = timedelta(days=1)
# What ``float`` and ``datetime.fromisoformat`` accept beyond these depends on the version of Python, and is not ASCII.
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]((?:[01][0-9]|2[0-3]):[0-9]{2})(?:(:[0-9]{2})(?:\.([0-9]+))?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)


def _moment(text: str) -> datetime:
    """Return the date, or date and time, of an ISO 8601 text; digits of a second beyond microseconds are cut.

    Raises:
        ValueError: The text is not one.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, minutes, seconds, fraction, zone = match.groups()
    # Python 3.10 reads neither a Z nor a fraction that has not six digits.
    zone = "+00:00" if zone in ("Z", "z") else zone or ""
    return datetime.fromisoformat(f"{day}T{minutes or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}{zone}")


def _unix_seconds(moment: datetime) -> float:
    """Return a moment as Unix seconds; without a zone it is local time.

    ``datetime.timestamp`` asks for the offsets up to a day around a local time, which fails on the first and the last day of the
    calendar. Their offset is that of the days beside them.
    """
    if moment.tzinfo is not None:
        return moment.timestamp()
    if moment - datetime.min < _DAY:
        inside = 2 * _DAY
    elif datetime.max - moment < _DAY:
        inside = -2 * _DAY
    else:
        return moment.timestamp()
    seconds = (moment.replace(microsecond=0) + inside).timestamp() - inside.total_seconds()
    return seconds + moment.microsecond / 1e6


def strings(name: str, value: Any) -> list[str]:
    """Return the values of a filter that takes one string or several.

    Raises:
        QueryError: One of them is not a string.
    """
    values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    for item in values:
        if not isinstance(item, str):
            raise QueryError(f"{name} {item!r} is not a string; allowed: a string or a list of strings")
    return values


def _glob(name: str, value: Any, now: float) -> Predicate:
    matcher = re.compile("|".join(translate(pattern) for pattern in strings(name, value)) or r"(?!)").match
    # There are few different nodes, so each result is cached.
    verdicts: dict[str, bool] = {}

    def test(event: Event) -> bool:
        text = event.get(name)
        if not isinstance(text, str):
            return False
        verdict = verdicts.get(text)
        if verdict is None:
            verdict = verdicts[text] = matcher(text) is not None
        return verdict

    return test


def _level(name: str, value: Any, now: float) -> Predicate:
    wanted = level_name(_number(name, value))
    return lambda event: bool(event["level"] == wanted)


def _min_level(name: str, value: Any, now: float) -> Predicate:
    accepted = frozenset(LEVELS[LEVELS.index(level_name(_number(name, value))) :])
    return lambda event: event["level"] in accepted


def _number(name: str, value: Any) -> int:
    try:
        return level_number(value)
    except LevelError as error:
        raise LevelError(f"{name}: {error}") from error


def _event_type(name: str, value: Any, now: float) -> Predicate:
    wanted = frozenset(strings(name, value))
    if unknown := wanted - set(EVENT_TYPES):
        raise QueryError(f"unknown event_type {min(unknown)!r}; {allowed(EVENT_TYPES)}")
    return lambda event: event["event_type"] in wanted


def _start_time(name: str, value: Any, now: float) -> Predicate:
    start = parse_time(value, now, name)
    return lambda event: bool(event["timestamp"] >= start)


def _end_time(name: str, value: Any, now: float) -> Predicate:
    end = parse_time(value, now, name)
    return lambda event: bool(event["timestamp"] <= end)


class OwnSpans(frozenset[tuple[str, str]]):
    """Spans by the ids of their flows and their own, as events have them. Other writers may have a span id in several flows."""

    __slots__ = ()


def _span_id(name: str, value: Any, now: float) -> Predicate:
    if isinstance(value, OwnSpans):
        return lambda event: (event["flow_id"], event["span_id"]) in value
    wanted = frozenset(strings(name, value))
    return lambda event: event["span_id"] in wanted


def _text(name: str, value: Any, now: float) -> Predicate:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QueryError(f"text {value!r} is not a string; allowed: a string or a number")
    # Lower case, not casefold: the standard libraries of other runtimes have it too.
    needle = str(value).lower()
    return lambda event: (
        needle in (event["message"] or "").lower() or any(needle in text.lower() for text in _texts(event["data"]))
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield the keys and values in a JSON value as texts. There is no recursion, because a file can nest to any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        else:
            yield dumps(item)


def whole_number(name: str, value: Any) -> int | None:
    """Return a count as it is, or None.

    Raises:
        QueryError: The value is not a whole number of at least 0.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise QueryError(f"{name} {value!r} is not a whole number of at least 0")
    return value


class WholeIds(frozenset[str]):
    """Ids of flows, exactly as events have them. In a filter, each stands for itself alone, not for ids that begin with it."""

    __slots__ = ()


def flow_ids(name: str, value: Any) -> Callable[[str], bool]:
    """Return a test of flow ids: whether one begins with one of some texts, in any case of the letters.

    Raises:
        QueryError: A text is not the beginning of an id.
    """
    if isinstance(value, WholeIds):
        return value.__contains__
    wanted = tuple(text.lower() for text in strings(name, value))
    whole = frozenset(filter(is_uuid, wanted))  # there may be many
    wanted = tuple(text for text in wanted if text not in whole)
    if part := next((text for text in wanted if "/" in text), None):
        raise QueryError(
            f"{name} {part!r} names one of several runs of a flow, but an event names its flow; give {part.partition('/')[0]!r}"
        )
    verdicts: dict[str, bool] = {}  # there are few flows in many events

    def test(flow_id: str) -> bool:
        verdict = verdicts.get(flow_id)
        if verdict is None:
            lower = flow_id.lower()  # other writers may have capitals
            verdict = verdicts[flow_id] = lower in whole or lower.startswith(wanted)
        return verdict

    return test


def _flow_id(name: str, value: Any, now: float) -> Predicate:
    known = flow_ids(name, value)
    return lambda event: known(event["flow_id"])


def _count(name: str, value: Any, now: float) -> None:
    whole_number(name, value)


FILTERS: Final[dict[str, Callable[[str, Any, float], Predicate | None]]] = {
    "node": _glob,
    "level": _level,
    "min_level": _min_level,
    "event_type": _event_type,
    "start_time": _start_time,
    "end_time": _end_time,
    "span_id": _span_id,
    "step": _glob,
    "text": _text,
    "flow_id": _flow_id,
    "limit": _count,
    "last": _count,
}


NOT_OF_HEADS: Final = frozenset({"text", "limit", "last"})
"""The filters that need more than what is known of an event without its message and data."""


# --- raw lines: which of them need to be parsed -------------------------------------------------------------------------

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.:-]+")  # characters that JSON writes unescaped, or as \u
HEAD: Final = re.compile(
    rb'\{"flow_id":"([^"\\]*)","span_id":"([^"\\]*)","parent_id":(?:null|"([^"\\]*)"),"node":"([^"\\]*)","level":"[a-z]+"'
    rb',"timestamp":([0-9.]+),'
)
"""How lines of this package begin; the groups are flow, span, parent, node and time. Texts with escapes do not match."""


def line_filter(filters: Mapping[str, Any], *, now: float | None = None) -> LineFilter | None:
    """Return a test of which raw lines may match the filters, without parsing them; None if it could not rule out any line.

    A line that matches contains the wanted value in quotes, whatever the order of keys and the white space, or contains a
    ``\\u``, which may stand for any character. The time is read from lines that begin as this package writes them.
    """
    now = time.time() if now is None else now
    if isinstance(own := filters.get("span_id"), OwnSpans):
        filters = {**filters, "span_id": [span_id for _, span_id in own]}
    spans = _spans(filters.get("span_id"))
    needles = [
        choices for name in _NEEDLES if not (name == "span_id" and spans) and (choices := _needles(name, filters.get(name)))
    ]
    start, end = (filters.get(name) for name in ("start_time", "end_time"))
    first = None if start is None else parse_time(start, now, "start_time")
    last = None if end is None else parse_time(end, now, "end_time")
    flow_id = filters.get("flow_id")
    flows = None if flow_id is None else flow_ids("flow_id", flow_id)
    if not needles and first is None and last is None and flows is None and spans is None:
        return None
    single = [choices[0] for choices in needles if len(choices) == 1]
    several = [choices for choices in needles if len(choices) > 1]

    def may_match(line: bytes) -> bool:
        for needle in single:
            if needle not in line:
                return b"\\u" in line
        for choices in several:
            if not any(needle in line for needle in choices):
                return b"\\u" in line
        if (first is None and last is None and flows is None and spans is None) or (head := HEAD.match(line)) is None:
            return True
        if spans is not None and head[2] not in spans:
            return False
        if flows is not None and not flows(head[1].decode("utf-8", "replace")):
            return False
        moment = float(head[5])
        return (first is None or moment >= first) and (last is None or moment <= last)

    if flows is not None and (beginning := _beginning(flow_id)):
        return LineFilter(beginning, may_match, any_case=True)
    return LineFilter(single[0] if single else b"\n", may_match)


def _beginning(flow_id: Any) -> bytes:
    """Return what a line in lower case contains if it is of the only wanted flow; nothing if several are wanted."""
    beginnings = strings("flow_id", flow_id)
    return f'"{beginnings[0].lower()}'.encode() if len(beginnings) == 1 and _PLAIN_TEXT.fullmatch(beginnings[0]) else b""


def _spans(value: Any) -> frozenset[bytes] | None:
    """Return the wanted span ids if there are several; they are looked up, because there may be many of them."""
    wanted = [] if value is None else strings("span_id", value)
    return frozenset(span_id.encode("utf-8", "surrogatepass") for span_id in wanted) if len(wanted) > 1 else None


def _needles(name: str, value: Any) -> list[bytes]:
    """Return byte strings, one of which a line must contain to match a filter; an empty list if any line may match."""
    if value is None:
        return []
    if name in ("level", "min_level"):
        lowest = LEVELS.index(level_name(_number(name, value)))
        wanted = list(LEVELS[lowest : lowest + 1] if name == "level" else LEVELS[lowest:])
        return [f'"{level}"'.encode() for level in wanted] if len(wanted) < len(LEVELS) else []
    pieces = [_literal(text) for text in strings(name, value)]
    if len(pieces) > _MOST_NEEDLES:
        return []  # looking for each of them in each line takes longer than parsing the line
    return [] if None in pieces else [piece for piece in pieces if piece is not None]


def _literal(pattern: str) -> bytes | None:
    """Return the bytes that a line must contain for a glob to match: the longer plain end with its quote; or None."""
    if _PLAIN_TEXT.fullmatch(pattern):
        return f'"{pattern}"'.encode()
    head, tail = (match[0] if match else "" for match in (_PLAIN_TEXT.match(pattern), _PLAIN_TEXT.search(pattern[::-1])))
    tail = tail[::-1] if pattern.endswith(tail[::-1]) else ""
    return (f'"{head}' if len(head) >= len(tail) else f'{tail}"').encode() if head or tail else None


_MOST_NEEDLES: Final = 16
# Those that usually rule out the most lines come first.
_NEEDLES: Final = ("span_id", "level", "min_level", "step", "node", "event_type")
