"""Spans in the terms of OpenTelemetry's protocol (OTLP): the one translator of exports and of what is sent.

https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto. A flow id is a trace
id, and the last 8 bytes of a span id are a span id, so ids are the same wherever a run is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..errors import ConfigurationError, allowed
from ..event import CHECKED_METRICS, MAX_INT, Event, dumps, is_number, level_number
from ..handlers.span_records import SpanRecord, records_of
from ..tree.clocks import Process, processes
from ._flow_logs import by_start
from .otlp_attributes import ATTRIBUTES, Kind
from .otlp_names import CONVENTIONS, Value, bridged, kind_of, title_of

__all__ = [
    "CONVENTIONS",
    "UNKNOWN_RESOURCE",
    "OtlpEvent",
    "OtlpSpan",
    "Translator",
    "Value",
    "bridged",
    "resource_attributes",
    "runs_of",
    "span_id_of",
    "trace_id_of",
]

Attributes: TypeAlias = "dict[str, Value]"

# Receivers refuse ids of zeros alone.
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")
_SPAN_ID: Final = re.compile(r"[0-9a-fA-F]{16}(?!0{16})[0-9a-fA-F]{16}")
_SEVERITIES: Final = {"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR"}
# Metrics for which the conventions have names.
_MOST_NS: Final = 2**64 - 1
_NAMED_METRICS: Final = frozenset(CHECKED_METRICS)


@dataclass(frozen=True, slots=True)
class OtlpEvent:
    """An event of a span: its name, nanoseconds of the Unix clock, and attributes."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class OtlpSpan:
    """A span as OTLP has it.

    Attributes:
        trace_id, span_id, parent_id: Hexadecimal, 32 and 16 digits; parent_id is None for a root.
        is_client: Whether the kind of the span is CLIENT; otherwise it is INTERNAL.
        start_ns, end_ns: Nanoseconds of the Unix clock. The end of an unfinished span is its last event.
        status: ok, error, or unset, as for a span that was cancelled or has not ended; ``message`` belongs to an error.
        links: The trace ids and span ids of related spans.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    is_client: bool
    start_ns: int
    end_ns: int
    attributes: Attributes
    status: str
    message: str
    events: list[OtlpEvent] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


class Translator:
    """Translates spans.

    Args:
        content: Whether inputs, outputs, messages of models and texts of log events are included. Default True. Errors are in any
            case.
        names: The conventions whose attributes are set: ``gen_ai`` (OpenTelemetry's own) and ``openinference`` (Phoenix, MLflow).
            Default: both.

    Raises:
        ConfigurationError: a convention is unknown.
    """

    def __init__(self, *, content: bool = True, names: Iterable[str] = tuple(CONVENTIONS)) -> None:
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in CONVENTIONS:
                raise ConfigurationError(f"names has {name!r}; {allowed(CONVENTIONS, name)}")
        self._content = content
        self._conventions = [CONVENTIONS[name] for name in names]

    def translate(self, record: SpanRecord) -> OtlpSpan:
        """Return a span in the terms of OTLP."""
        kind = kind_of(record.node)
        start, error = _ns(record.start), record.error or {}
        is_error = record.status == "error"
        last = max((event["timestamp"] for event in record.events), default=record.start)
        return OtlpSpan(
            trace_id=trace_id_of(record.flow_id),
            span_id=span_id_of(record.span_id),
            parent_id=None if record.parent_id is None else span_id_of(record.parent_id),
            name=_clean(title_of(kind, record)),
            is_client=kind in (Kind.LLM, Kind.HTTP),
            start_ns=start,
            end_ns=max(start, _ns(last if record.end is None else record.end)),
            attributes=self._attributes(kind, record),
            status="error" if is_error else "ok" if record.status == "ok" else "unset",
            message=_clean(str(error.get("message") or error.get("type") or "")) if is_error else "",
            events=[*map(self._event, record.inner), *_exceptions(record)],
            links=_links(record),
        )

    def _attributes(self, kind: Kind, record: SpanRecord) -> Attributes:
        attributes: Attributes = {"tea.node": record.node}
        if record.step is not None:
            attributes["tea.step"] = record.step
        if record.status == "running":
            attributes["tea.unfinished"] = True
        elif record.status not in ("ok", "error"):
            attributes["tea.status"] = record.status
        if record.partial:
            attributes["tea.partial"] = True
        for name, value in record.metrics.items():
            if name not in _NAMED_METRICS and is_number(value):
                attributes[f"tea.metrics.{name}"] = value
        if record.status == "error" and record.error:
            attributes["error.type"] = str(record.error.get("type"))
        for convention in self._conventions:
            attributes.update(convention(kind, record, self._content))
        if bridged(record):
            for name, value in _brought(record):
                if self._content or is_number(value) or isinstance(value, bool):
                    attributes.setdefault(name, value)
        return _cleaned(attributes)

    def _event(self, event: Event) -> OtlpEvent:
        attributes: Attributes = {"log.logger": event["node"], "log.severity": _SEVERITIES[event["level"]]}
        attributes["log.severity_number"] = level_number(event["level"])
        for name, value in event["metrics"].items():
            if is_number(value):
                attributes[f"tea.metrics.{name}"] = value
        if self._content:
            if event["message"] is not None:
                attributes["log.message"] = event["message"]
            if event["data"]:
                attributes["log.data"] = dumps(event["data"])
        return OtlpEvent(event["event_type"], _ns(event["timestamp"]), _cleaned(attributes))


def runs_of(
    events: Iterable[Event], dropped: Mapping[str, int], translator: Translator
) -> Iterator[tuple[Attributes, list[OtlpSpan]]]:
    """Yield the resource and the spans of each run among some events, in the order of their earliest events.

    A flow of several processes comes in parts, one for each. Spans of an unknown process are with those of the first.
    """
    for log in by_start(events, dropped):
        of = processes(log)
        first = next(iter(of.values()), None)
        parts: dict[Process | None, list[OtlpSpan]] = {}
        for record in records_of(log):
            parts.setdefault(of.get(record.span_id, first), []).append(translator.translate(record))
        for process, spans in parts.items():
            yield dict(UNKNOWN_RESOURCE) if process is None else resource_attributes(process._asdict()), spans


UNKNOWN_RESOURCE: Final[Mapping[str, Value]] = {"service.name": "unknown_service"}
"""The attributes of an unknown resource."""


def resource_attributes(resource: Mapping[str, Any]) -> Attributes:
    """Return the attributes of the resource that a root's entry names."""
    names = {"service.name": "service", "host.name": "host", "process.pid": "pid"}
    found = {name: resource.get(key) for name, key in names.items()}
    return _cleaned({name: value for name, value in found.items() if isinstance(value, (str, int))})


def _brought(record: SpanRecord) -> Iterator[tuple[str, Value]]:
    """Yield the attributes that a span from OpenTelemetry had there."""
    for event in record.events:
        brought = event["data"].get(ATTRIBUTES)
        for name, value in brought.items() if isinstance(brought, Mapping) else ():
            if value is not None:
                yield name, value if isinstance(value, (str, bool)) or is_number(value) else dumps(value)


def _exceptions(record: SpanRecord) -> Iterable[OtlpEvent]:
    """Yield the event ``exception`` of a span that failed."""
    if record.status != "error" or not record.error:
        return
    error = record.error
    named = {"type": error.get("type"), "message": error.get("message"), "stacktrace": error.get("traceback")}
    attributes: Attributes = {f"exception.{name}": value for name, value in named.items() if isinstance(value, str)}
    yield OtlpEvent("exception", _ns(record.start if record.end is None else record.end), _cleaned(attributes))


def _links(record: SpanRecord) -> list[tuple[str, str]]:
    """Return the link of a flow to the span in which it was opened."""
    outer = record.entry.get("outer")
    if not isinstance(outer, Mapping):
        return []
    flow_id, span_id = outer.get("flow_id"), outer.get("span_id")
    return [(trace_id_of(flow_id), span_id_of(span_id))] if isinstance(flow_id, str) and isinstance(span_id, str) else []


def trace_id_of(flow_id: str) -> str:
    """Return the trace id of a flow, 32 hexadecimal digits: those of its UUID. Of any other id, a digest."""
    digits = flow_id.replace("-", "")
    return digits.lower() if _TRACE_ID.fullmatch(digits) else _digest(flow_id)


def span_id_of(span_id: str) -> str:
    """Return OpenTelemetry's id of a span, 16 hexadecimal digits: the last 8 bytes of its UUID. Of any other id, a digest."""
    digits = span_id.replace("-", "")
    return digits[16:].lower() if _SPAN_ID.fullmatch(digits) else _digest(span_id)[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _ns(seconds: float) -> int:
    return min(max(0, round(seconds * 1e6) * 1000), _MOST_NS)  # an event has microseconds


def _cleaned(attributes: Attributes) -> Attributes:
    """Return attributes as Protobuf takes them. Otherwise one span would cost its whole batch."""
    return {_clean(name): _fit(value) for name, value in attributes.items()}


def _fit(value: Value) -> Value:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return float(value) if abs(value) > MAX_INT else value


def _clean(text: str) -> str:
    """Return a text without surrogates, which UTF-8 does not have."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
