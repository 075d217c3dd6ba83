"""Errors of many runs, grouped by their cause: the node, the type, and the message without what differs from time to time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..event import Event, is_failure, without_repeats
from .summaries import FlowSummaries

__all__ = ["ErrorGroup", "error_groups"]

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


_Key = tuple[str, str, str]


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
        root: The span id of the run's root if further runs have its flow id, otherwise None.
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
    root: str | None = None

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
    flows = FlowSummaries()
    groups: dict[_Key, ErrorGroup] = {}
    tops: dict[_Key, set[tuple[str, str]]] = {}  # by group, the flows of its errors and the outermost spans around them
    last: dict[_Key, tuple[str, str]] = {}
    for event in without_repeats(events):
        failure = is_failure(event)
        top = flows.top_of(event) if failure else ""
        span = flows.add(event)
        if not failure or (span is not None and not span.errors):
            continue
        key, is_last = _count(groups, event)
        tops.setdefault(key, set()).add((event["flow_id"], top))
        if is_last:
            last[key] = event["flow_id"], top
    roots = {flow_id: flows.roots_of(flow_id) for every in tops.values() for flow_id, _ in every}
    for key, group in groups.items():
        group.runs = len({(flow_id, top if top in roots[flow_id] else None) for flow_id, top in tops[key]})
        flow_id, top = last[key]
        group.root = top if top in roots[flow_id] else None
    return sorted(groups.values(), key=lambda group: (-group.count, -group.last))


def _count(groups: dict[_Key, ErrorGroup], event: Event) -> tuple[_Key, bool]:
    """Count an error in its group; return the group's key, and whether the error is its last one so far."""
    error = event["data"].get("error") or {}
    message = str(error.get("message") or event["message"] or "")
    key = (event["node"], str(error.get("type") or "error"), shape_of(message))
    if key not in groups and len(groups) >= MAX_GROUPS:
        key = (event["node"], "…", "…")
    group = groups.get(key)
    if group is None:
        moment = event["timestamp"]
        group = groups[key] = ErrorGroup(*key, 0, 0, moment, moment, message, None, None, event["flow_id"], event["span_id"])
    group.count += 1
    group.first = min(group.first, event["timestamp"])
    is_last: bool = event["timestamp"] >= group.last
    if is_last:
        where, step = error.get("where"), event.get("step")
        group.last, group.message, group.where, group.step = event["timestamp"], message, where, step
        group.flow_id, group.span_id = event["flow_id"], event["span_id"]
    return key, is_last
