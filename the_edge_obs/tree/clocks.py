"""Flows of several processes: which process each span ran in, and where to draw it if clocks differ.

A process is known by the resource (host, pid) that the entry of its root names; the spans below belong to it. Clocks are those of
hosts: within a host nothing is moved. A remote child whose host's clock differs from that of its caller shows outside its
parent's time. Then all spans of its host are drawn shifted, by as little as puts them inside their remote parents:

- A child cannot begin before its parent, which called it.
- A child that is not longer than its parent ends with it at the latest. A longer one was only sent off, like a queued task.

A clock has one shift in a flow. It follows from all calls between its host and the hosts whose shifts are known, beginning with
that of the first root. If no shift suits all of them, the first rule counts. A host that is called from a shifted one is shifted
with it. Durations never change, and neither do the times in the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, Final, NamedTuple, TypeVar, cast

from ..event import Event, resource_of
from ..text import duration_text
from .flow_facts import FlowFacts, SpanInfo

Log = TypeVar("Log", bound=FlowFacts)


@dataclass(slots=True)
class DrawnSpan(SpanInfo):
    """A span as it is drawn, in a flow of several processes.

    Attributes:
        process: ``host:pid`` where a process begins; otherwise empty.
        shift: By how many seconds later the span is drawn than the clock of its host says.
    """

    process: str = ""
    shift: float = 0.0

    @property
    def mark(self) -> str:
        """Text that tells the process and the shift, where a process begins: ``host-b:42 (clock +5 s)``."""
        return f"{self.process} ({_clock(self.shift)})" if self.process and self.shift else self.process


def _clock(shift: float) -> str:
    return f"clock {'-' if shift < 0 else '+'}{_span_of_time(shift)}"


def _span_of_time(shift: float) -> str:
    return re.sub(r"\.0+(?= )", "", duration_text(abs(shift) * 1000))


class Process(NamedTuple):
    """A process: its host, its number, and its service."""

    host: str
    pid: Any
    service: Any


class _Call(NamedTuple):
    """A call of another host: the hosts, and between which values the difference of their shifts has to be, in microseconds."""

    caller: str
    called: str
    least: float
    most: float


def processes(log: FlowFacts) -> dict[str, Process]:
    """Return the process of each span, by the resource that the root above it names. Spans of an unknown process are left out."""
    named = {
        event["span_id"]: Process(resource["host"], resource.get("pid"), resource.get("service"))
        for event in log.events
        if (resource := resource_of(event)) is not None
    }
    by_id = {span.span_id: span for span in log.spans}
    of: dict[str, Process] = {}
    for _, span in log.walk() if named else ():
        process = named.get(span.span_id) or (of.get(span.parent_id) if span.parent_id in by_id and span.parent_id else None)
        if process is not None:
            of[span.span_id] = process
    return of


def clock_shifts(log: FlowFacts, of: Mapping[str, Process]) -> dict[str, float]:
    """Return by how many seconds later the spans of each host are drawn; hosts that are not shifted are left out.

    Args:
        log: A flow log.
        of: The process of each span, as ``processes`` returns it.
    """
    calls = list(_calls(log, of))
    if not calls:
        return {}
    shifts: dict[str, float] = {}
    for first in [of[span.span_id].host for span in log.roots if span.span_id in of]:
        if first not in shifts:
            shifts[first] = 0.0
            calls = _spread(calls, shifts)
    return {host: micros / 1e6 for host, micros in shifts.items() if micros}


def _calls(log: FlowFacts, of: Mapping[str, Process]) -> list[_Call]:
    """Return the calls between hosts, in the order of the tree."""
    by_id = {span.span_id: span for span in log.spans}
    found = []
    for _, span in log.walk():
        parent = by_id.get(span.parent_id or "")
        here, there = of.get(span.span_id), of.get(span.parent_id or "")
        if parent is not None and here is not None and there is not None and here.host != there.host:
            found.append(_call(there.host, here.host, parent, span))
    return found


def _call(caller: str, called: str, parent: SpanInfo, child: SpanInfo) -> _Call:
    is_known = not parent.partial or parent.duration_ms is not None
    begin = _micros(parent.start), _micros(child.start)
    least, most = begin[0] - begin[1] if is_known else -inf, inf
    if parent.end is not None and child.end is not None:
        end = _micros(parent.end), _micros(child.end)
        if end[1] - begin[1] <= end[0] - begin[0]:
            most = end[0] - end[1]
    return _Call(caller, called, least, most)


def _spread(calls: list[_Call], shifts: dict[str, float]) -> list[_Call]:
    """Shift the hosts that calls connect with those whose shifts are known; return the calls that connect no such hosts."""
    by_host: dict[str, list[_Call]] = {}
    for call in calls:
        by_host.setdefault(call.caller, []).append(call)
        by_host.setdefault(call.called, []).append(call)
    waiting = list(shifts)
    for known in waiting:  # grows while it is read
        for call in by_host.get(known, ()):
            host = call.called if call.caller in shifts else call.caller
            if host not in shifts:
                base = call.caller if host == call.called else call.called
                shifts[host] = _shift(host, shifts[base], by_host[host], shifts)
                waiting.append(host)
    return [call for call in calls if call.caller not in shifts]


def _shift(host: str, wanted: float, calls: Sequence[_Call], shifts: Mapping[str, float]) -> float:
    """Return the shift of a host that is the nearest one to that of its caller and suits all calls, in microseconds."""
    lows, highs = [-inf], [inf]
    hard_lows, hard_highs = [-inf], [inf]
    for call in calls:
        if call.called == host and call.caller in shifts:
            lows.append(shifts[call.caller] + call.least)
            hard_lows.append(lows[-1])
            highs.append(shifts[call.caller] + call.most)
        elif call.caller == host and call.called in shifts:
            lows.append(shifts[call.called] - call.most)
            highs.append(shifts[call.called] - call.least)
            hard_highs.append(highs[-1])
    low, high = max(lows), min(highs)
    if low > high:
        low, high = max(hard_lows), min(hard_highs)
    return max(low, min(high, wanted)) if low <= high else low


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def drawn(log: Log) -> Log:
    """Return a flow log as it is drawn: spans know their processes, and times are shifted where clocks differ.

    A flow of one process is returned as it is, and so is a log that is drawn already.
    """
    if any(isinstance(span, DrawnSpan) for span in log.spans[:1]):
        return log
    of = processes(log)
    if len(set(of.values())) < 2:
        return log
    shifts = clock_shifts(log, of)
    by_span = {span_id: shift for span_id, process in of.items() if (shift := shifts.get(process.host))}
    spans = [_drawn(span, of, by_span.get(span.span_id, 0.0)) for span in log.spans]
    events = [_moved(event, shift) if (shift := by_span.get(event["span_id"])) else event for event in log.events]
    if by_span:
        starts = {span.span_id: span.start for span in spans}
        for span in spans:
            span.children.sort(key=lambda child: starts[child])
        order = {span.span_id: number for number, (_, span) in enumerate(log.walk())}
        spans.sort(key=lambda span: (span.start, order.get(span.span_id, len(order))))  # parents first
        events.sort(key=lambda event: (event["timestamp"], event["span_id"] in by_span))
    return cast("Log", replace(cast("Any", log), spans=spans, events=events))


_FIELDS: Final = tuple(field.name for field in fields(SpanInfo))


def _drawn(span: SpanInfo, of: Mapping[str, Process], shift: float) -> DrawnSpan:
    values = {name: getattr(span, name) for name in _FIELDS}
    own = of.get(span.span_id)
    is_first = own is not None and own != of.get(span.parent_id or "")
    made = DrawnSpan(**values, process=f"{own.host}:{own.pid}" if own is not None and is_first else "", shift=shift)
    made.children = list(span.children)
    made.start += shift
    made.end = None if made.end is None else made.end + shift
    return made


def _moved(event: Event, shift: float) -> Event:
    return {**event, "timestamp": event["timestamp"] + shift}


def shift_notes(log: FlowFacts) -> list[str]:
    """Return a line for each host whose spans are drawn shifted; the log is one of ``drawn``."""
    shifts = {span.process.rpartition(":")[0]: span.shift for span in log.spans if isinstance(span, DrawnSpan) and span.process}
    return [
        f"the clock of host {host} differs: what ran there is drawn {_span_of_time(shift)} "
        f"{'later' if shift > 0 else 'earlier'} than it was logged"
        for host, shift in shifts.items()
        if shift
    ]
