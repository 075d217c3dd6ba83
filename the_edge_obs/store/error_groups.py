"""Errors of many runs, grouped by their cause: the node, the type, and the message without what differs from time to time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..event import Event, is_failure, without_repeats
from .span_stream import SpanStream

MAX_GROUPS: Final = 1_000
"""How many groups are kept apart; the errors of further ones are counted together, per node."""
_MAX_SHAPE: Final = 300  # characters of a message that are compared

# What differs between two messages of one cause: quoted texts, ids, hexadecimal and decimal numbers.
_VARYING: Final = re.compile(
    r"""(?<!\w)'[^'\n]{0,200}'(?!\w)|"[^"\n]{0,200}"|`[^`\n]{0,200}`"""
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
    r"|\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]{0,63}[0-9])[0-9a-fA-F]{8,64}\b"
    r"|[+-]?[0-9]+(?:[.,:][0-9]+)*"
)


@dataclass(slots=True)
class ErrorGroup:
    """Errors of one cause.

    Attributes:
        node, type: The node in which they arose, and the type of the error.
        shape: Their message, with ``…`` in place of quoted texts, ids and numbers.
        count, runs: How many errors there are, and in how many runs.
        first, last: Time of the first and the last one, Unix seconds.
        message, where, step, flow_id, span_id: Of the last one: its message, its place in the code or None, the step or None,
            the run and the span to look at.
    """

    node: str
    type: str
    shape: str
    count: int
    runs: int
    first: float
    last: float
    message: str
    where: str | None
    step: str | None
    flow_id: str
    span_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the group as a dict of JSON values, with the attributes as keys."""
        return asdict(self)


def shape_of(message: str) -> str:
    """Return a message with ``…`` in place of what differs from time to time: quoted texts, ids and numbers.

    Example:
        >>> shape_of("3 of 17 lines of 'access.log' cannot be read")
        '… of … lines of … cannot be read'
    """
    return _VARYING.sub("…", " ".join(message[: 2 * _MAX_SHAPE].split()))[:_MAX_SHAPE]


def error_groups(events: Iterable[Event]) -> list[ErrorGroup]:
    """Return the errors of some events, grouped, those with most errors first. Each error counts once, where it arose.

    Args:
        events: The events of any number of runs, each run in the order in which it was logged.
    """
    flows: dict[str, SpanStream] = {}
    groups: dict[tuple[str, str, str], ErrorGroup] = {}
    seen: dict[tuple[str, str, str], set[str]] = {}
    for event in without_repeats(events):
        flow = flows.get(event["flow_id"])
        if flow is None:
            flow = flows[event["flow_id"]] = SpanStream()
        span = flow.add(event)
        if not is_failure(event) or (span is not None and not span.errors):
            continue
        error = event["data"].get("error") or {}
        message = str(error.get("message") or event["message"] or "")
        key = (event["node"], str(error.get("type") or "error"), shape_of(message))
        if key not in groups and len(groups) >= MAX_GROUPS:
            key = (event["node"], "…", "…")
        group = groups.get(key)
        if group is None:
            moment = event["timestamp"]
            group = groups[key] = ErrorGroup(*key, 0, 0, moment, moment, message, None, None, event["flow_id"], event["span_id"])
        _count(group, event, message, error, seen.setdefault(key, set()))
    return sorted(groups.values(), key=lambda group: (-group.count, -group.last))


def events_of_errors(read: Callable[..., Iterator[Event]], again: Callable[..., Iterator[Event]]) -> Iterator[Event]:
    """Yield the events of a log that decide where its errors arose: those of spans with errors.

    The log is read twice. Most of its lines are not parsed.

    Args:
        read, again: Read the log for the first and the second time, with the filters ``event_type`` or ``span_id``.
    """
    spans = list({event["span_id"] for event in read(event_type="error")})
    return again(span_id=spans) if spans else iter(())


def _count(group: ErrorGroup, event: Event, message: str, error: dict[str, Any], runs: set[str]) -> None:
    runs.add(event["flow_id"])
    group.count, group.runs = group.count + 1, len(runs)
    group.first = min(group.first, event["timestamp"])
    if event["timestamp"] >= group.last:
        where, step = error.get("where"), event.get("step")
        group.last, group.message, group.where, group.step = event["timestamp"], message, where, step
        group.flow_id, group.span_id = event["flow_id"], event["span_id"]
