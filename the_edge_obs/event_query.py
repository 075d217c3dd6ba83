"""The filters: one grammar for Python, flows and the command line."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from fnmatch import translate
from typing import Any, Final

from .errors import LevelError, QueryError, allowed
from .event import EVENT_TYPES, LEVELS, Event, dumps, level_name, level_number
from .jsonl import LineFilter
from .text import UNITS, signed_seconds

Predicate = Callable[[Event], bool]


def matches(filters: Mapping[str, Any], *, now: float | None = None) -> Predicate:
    """Return the predicate that a set of filters stands for; filters that are None do not count.

    Args:
        filters: Any of
            ``node`` (glob such as ``llm.*``, or a list of them), ``level`` (exact), ``min_level``, ``event_type`` (or a list),
            ``start_time`` and ``end_time`` (inclusive; as ``parse_time`` reads them: Unix seconds, ISO 8601, ``-5m``),
            ``span_id``, ``step`` (glob or list), ``text`` (anywhere in message or data, any case), and ``limit``, which
            ``select`` applies.
        now: The moment that relative times refer to, Unix seconds; default: now.

    Raises:
        QueryError: an unknown filter, or a value it does not take.
    """
    if not isinstance(filters, Mapping):
        raise QueryError(f"filters are {filters!r}; they must be a mapping such as {{level: error}}; {allowed(FILTERS)}")
    tests = []
    for name, value in filters.items():
        if name not in FILTERS:
            raise QueryError(f"unknown filter {name!r}; {allowed(FILTERS, name)}")
        if value is not None and (test := FILTERS[name](name, value, time.time() if now is None else now)):
            tests.append(test)
    return lambda event: all(test(event) for test in tests)


def select(events: Iterable[Event], filters: Mapping[str, Any], *, now: float | None = None) -> Iterator[Event]:
    """Return an iterator of the events that pass the filters, the first ``limit`` of them, in the order given.

    Raises:
        QueryError: an unknown filter, or a value it does not take; at once, not when the first event is asked for.
    """
    test = matches(filters, now=now)
    return _limited(filter(test, events), filters.get("limit"))


def _limited(events: Iterable[Event], limit: int | None) -> Iterator[Event]:
    if limit == 0:
        return
    for count, event in enumerate(events, 1):
        yield event
        if count == limit:
            return


def parse_time(value: Any, now: float, name: str = "time") -> float:
    """Return Unix seconds of a time as people give it.

    Args:
        value: Unix seconds; ISO 8601, local time without a zone, as ``tea-obs ls`` prints times; a ``datetime``, local without a
            zone; or a duration: ``-5m`` and ``5m`` are 5 minutes ago, ``+5m`` is in 5 minutes.
        now: The moment that durations refer to, Unix seconds.
        name: What it is for, in the message.

    Raises:
        QueryError: it is none of these.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0:
        return float(value)
    text = str(value).strip()
    if (found := signed_seconds(text)) is not None:
        return now + found[1] if found[0] == "+" else now - found[1]
    try:
        if math.isfinite(seconds := float(text)):
            return seconds
    except ValueError:
        pass
    try:
        if not isinstance(value, datetime):
            # Python 3.10 does not read the Z of ISO 8601.
            value = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)
        return float(value.timestamp())  # without a zone it is local time
    except (ValueError, OverflowError, OSError) as error:
        raise QueryError(
            f"{name} {value!r} is not a valid time; allowed: Unix seconds, ISO 8601 such as 2026-01-31T12:00:00Z (local time "
            f"without a zone), or relative such as -30s, -5m, -2h, -1d (units: {', '.join(UNITS)})"
        ) from error


def _strings(name: str, value: Any) -> list[str]:
    values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    for item in values:
        if not isinstance(item, str):
            raise QueryError(f"{name} {item!r} is not a string; allowed: a string or a list of strings")
    return values


def _glob(name: str, value: Any, now: float) -> Predicate:
    matcher = re.compile("|".join(translate(pattern) for pattern in _strings(name, value)) or r"(?!)").match
    # A node's name is one of few: its verdict is looked up after the first time.
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
    wanted = frozenset(_strings(name, value))
    if unknown := wanted - set(EVENT_TYPES):
        raise QueryError(f"unknown event_type {min(unknown)!r}; {allowed(EVENT_TYPES)}")
    return lambda event: event["event_type"] in wanted


def _start_time(name: str, value: Any, now: float) -> Predicate:
    start = parse_time(value, now, name)
    return lambda event: bool(event["timestamp"] >= start)


def _end_time(name: str, value: Any, now: float) -> Predicate:
    end = parse_time(value, now, name)
    return lambda event: bool(event["timestamp"] <= end)


def _span_id(name: str, value: Any, now: float) -> Predicate:
    wanted = frozenset(_strings(name, value))
    return lambda event: event["span_id"] in wanted


def _text(name: str, value: Any, now: float) -> Predicate:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QueryError(f"text {value!r} is not a text; allowed: a string")
    needle = str(value).casefold()
    return lambda event: (
        needle in (event["message"] or "").casefold() or any(needle in text.casefold() for text in _texts(event["data"]))
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield the keys and values in a JSON value as texts; without recursion, for a file may nest as deep as it likes."""
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


def _limit(name: str, value: Any, now: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise QueryError(f"limit {value!r} is not a whole number of at least 0")


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
    "limit": _limit,
}


# --- lines that need not be parsed --------------------------------------------------------------------------------------

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.:-]+")  # characters that JSON writes as they are, or as \u
_HEAD = re.compile(
    rb'\{"flow_id":"[^"\\]*","span_id":"[^"\\]*","parent_id":(?:null|"[^"\\]*"),"node":"[^"\\]*","level":"[a-z]+"'
    rb',"timestamp":([0-9.]+),'
)


def line_filter(filters: Mapping[str, Any], *, now: float | None = None) -> LineFilter | None:
    """Return which raw lines may match the filters, told without parsing them; None where that cannot be told of any.

    A value that is asked for must stand in the line in quotes, whatever the order of keys and the white space, unless the line
    has a ``\\u`` in it, which may spell anything. The time is read from lines that begin as this package writes them.
    """
    now = time.time() if now is None else now
    needles = [found for name in _NEEDLES if (found := _needles(name, filters.get(name)))]
    start, end = (filters.get(name) for name in ("start_time", "end_time"))
    first = None if start is None else parse_time(start, now, "start_time")
    last = None if end is None else parse_time(end, now, "end_time")
    if not needles and first is None and last is None:
        return None
    single = [found[0] for found in needles if len(found) == 1]
    several = [found for found in needles if len(found) > 1]

    def may_match(line: bytes) -> bool:
        for needle in single:
            if needle not in line:
                return b"\\u" in line
        for found in several:
            if not any(needle in line for needle in found):
                return b"\\u" in line
        if (first is None and last is None) or (head := _HEAD.match(line)) is None:
            return True
        moment = float(head[1])
        return (first is None or moment >= first) and (last is None or moment <= last)

    return LineFilter(single[0] if single else b"\n", may_match)


def _needles(name: str, value: Any) -> list[bytes]:
    """Return byte strings of which a line must hold one for a filter to match; an empty list where any line may do."""
    if value is None:
        return []
    if name in ("level", "min_level"):
        lowest = LEVELS.index(level_name(_number(name, value)))
        wanted = list(LEVELS[lowest : lowest + 1] if name == "level" else LEVELS[lowest:])
        return [f'"{level}"'.encode() for level in wanted] if len(wanted) < len(LEVELS) else []
    pieces = [_literal(text) for text in _strings(name, value)]
    return [] if None in pieces else [piece for piece in pieces if piece is not None]


def _literal(pattern: str) -> bytes | None:
    """Return what a line must hold for a glob to match a string in it: the longer of its ends, with the quote; or None."""
    if _PLAIN_TEXT.fullmatch(pattern):
        return f'"{pattern}"'.encode()
    head, tail = (match[0] if match else "" for match in (_PLAIN_TEXT.match(pattern), _PLAIN_TEXT.search(pattern[::-1])))
    tail = tail[::-1] if pattern.endswith(tail[::-1]) else ""
    return (f'"{head}' if len(head) >= len(tail) else f'{tail}"').encode() if head or tail else None


# Ordered by how much they tend to rule out.
_NEEDLES: Final = ("span_id", "level", "min_level", "step", "node", "event_type")
