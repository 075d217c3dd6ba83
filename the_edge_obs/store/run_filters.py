"""Filters and order of runs: one grammar for Python and the command line."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import Any, Final

from ..errors import QueryError, allowed
from ..event import STATUSES, dumps
from ..event_query import parse_time, strings, whole_number
from .summaries import FlowSummary

Test = Callable[[FlowSummary], bool]

ORDERS: Final[dict[str, Callable[[FlowSummary], Any]]] = {
    "start": lambda run: run.start,
    "name": lambda run: run.name or "",
    "status": lambda run: STATUSES.index(run.status),
    "duration": lambda run: -1.0 if run.duration_ms is None else run.duration_ms,
    "events": lambda run: run.events,
    "errors": lambda run: run.errors,
    "tokens": lambda run: run.tokens,
    "cost": lambda run: run.cost_usd,
}


def choose(runs: Iterable[FlowSummary], filters: Mapping[str, Any], *, now: float | None = None) -> list[FlowSummary]:
    """Return the runs that pass all filters, in the order asked for.

    Args:
        runs: The runs.
        filters: A mapping with any of these keys; a value of None is ignored.
            ``flow_id`` (the beginning of an id, or a list; ``ID/SPAN``, as ``run_id`` has it, for a run that shares its flow id),
            ``name`` (glob such as ``triage*``, or a list), ``host`` (glob, or a list), ``status`` (one or a list of ok, error,
            cancelled, running, unknown), ``errors`` (True: with errors, handled ones too; False: without; a
            number: with at least so many), ``attributes`` (``{name: glob}``, all have to match), ``start_time`` and ``end_time``
            (inclusive, of the run's start; Unix seconds, ISO 8601, or relative such as ``-5m``), ``last`` (only the latest so
            many), ``sort`` (start, name, status, duration, events, errors, tokens or cost; with ``-`` in front, the largest
            first; default ``start``), and ``limit`` (the first so many of that order).
        now: The time that relative times refer to, Unix seconds. Default: the current time.

    Raises:
        QueryError: A filter is unknown, or its value is not valid.
    """
    now = time.time() if now is None else now
    tests, given = [], {name: value for name, value in filters.items() if value is not None}
    for name, value in given.items():
        if name in FILTERS:
            tests.append(FILTERS[name](name, value, now))
        elif name not in _ORDER:
            raise QueryError(f"unknown filter {name!r}; {allowed([*FILTERS, *_ORDER], name)}")
    last, limit = (whole_number(name, given.get(name)) for name in ("last", "limit"))
    key, is_reversed = _order(given.get("sort", "start"))
    passing: Iterable[FlowSummary] = (run for run in runs if all(test(run) for test in tests))
    if last is not None:
        latest = heapq.nlargest(last, enumerate(passing), key=lambda pair: (pair[1].start, pair[0]))
        passing = [run for _, run in reversed(latest)]
    if limit is None:
        return sorted(sorted(passing, key=ORDERS["start"]), key=key, reverse=is_reversed)
    return _first(limit, passing, key, is_reversed)


def _first(count: int, runs: Iterable[FlowSummary], key: Callable[[FlowSummary], Any], is_reversed: bool) -> list[FlowSummary]:
    """Return the first runs of an order, without keeping the others; those that are equal in it are ordered by start."""
    if is_reversed:
        pairs = heapq.nlargest(count, enumerate(runs), key=lambda pair: (key(pair[1]), -pair[1].start, -pair[0]))
    else:
        pairs = heapq.nsmallest(count, enumerate(runs), key=lambda pair: (key(pair[1]), pair[1].start, pair[0]))
    return [run for _, run in pairs]


_ORDER: Final = ("last", "sort", "limit")


def _order(sort: Any) -> tuple[Callable[[FlowSummary], Any], bool]:
    name = sort.removeprefix("-") if isinstance(sort, str) else sort
    if not isinstance(name, str) or name not in ORDERS:
        raise QueryError(f"sort {sort!r} is not a valid order; {allowed(ORDERS, name)}, or one of them with - in front")
    return ORDERS[name], name != sort


def _glob(pattern: str) -> Callable[[str], Any]:
    return re.compile(translate(pattern)).match


def _name(name: str, value: Any, now: float) -> Test:
    matchers = [_glob(pattern) for pattern in strings(name, value)]
    return lambda run: run.name is not None and any(matcher(run.name) for matcher in matchers)


def _host(name: str, value: Any, now: float) -> Test:
    matchers = [_glob(pattern) for pattern in strings(name, value)]
    return lambda run: run.resource is not None and any(matcher(str(run.resource["host"])) for matcher in matchers)


def _status(name: str, value: Any, now: float) -> Test:
    wanted = frozenset(strings(name, value))
    if unknown := wanted - set(STATUSES):
        raise QueryError(f"unknown status {min(unknown)!r}; {allowed(STATUSES, min(unknown))}")
    return lambda run: run.status in wanted


def _errors(name: str, value: Any, now: float) -> Test:
    if isinstance(value, bool):
        return lambda run: bool(run.errors) is value
    least = whole_number(name, value) or 0
    return lambda run: run.errors >= least


def _attributes(name: str, value: Any, now: float) -> Test:
    if not isinstance(value, Mapping):
        raise QueryError(f"attributes are {value!r}; they must be a mapping of names to patterns, such as {{'topic': 'ca*'}}")
    matchers = {str(key): _glob(attribute_text(pattern)) for key, pattern in value.items()}
    return lambda run: all(
        key in run.attributes and matcher(attribute_text(run.attributes[key])) for key, matcher in matchers.items()
    )


def attribute_text(value: Any) -> str:
    """Return the text by which a run's attribute is shown and matched: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else dumps(value)


def _flow_id(name: str, value: Any, now: float) -> Test:
    texts = tuple(text.lower() for text in strings(name, value))
    of_runs = [(flow, span) for flow, slash, span in (text.rpartition("/") for text in texts) if slash]

    def test(run: FlowSummary) -> bool:
        flow_id = run.flow_id.lower()
        # Also ids with slashes in them, which other writers may have.
        if flow_id.startswith(texts) or run.run_id.lower() in texts:
            return True
        return any(flow_id.startswith(flow) and (run.root or "").lower().endswith(span) for flow, span in of_runs)

    return test


def _start_time(name: str, value: Any, now: float) -> Test:
    start = parse_time(value, now, name)
    return lambda run: run.start >= start


def _end_time(name: str, value: Any, now: float) -> Test:
    end = parse_time(value, now, name)
    return lambda run: run.start <= end


FILTERS: Final[dict[str, Callable[[str, Any, float], Test]]] = {
    "flow_id": _flow_id,
    "name": _name,
    "host": _host,
    "status": _status,
    "errors": _errors,
    "attributes": _attributes,
    "start_time": _start_time,
    "end_time": _end_time,
}
