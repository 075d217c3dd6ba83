"""Format ``otlp-json``: spans in OTLP's JSON encoding, one request per run and line, as the Collector reads them from files.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal, 64-bit integers are strings, and
enumerations are numbers. https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/receiver/otlpjsonfilereceiver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..event import Event, dumps
from .otlp import OtlpSpan, Translator, Value, runs_of

_INTERNAL, _CLIENT = 1, 3
_CODES: Final = {"unset": 0, "ok": 1, "error": 2}
_SCOPE: Final = {"name": "the_edge_obs"}
_SAMPLED: Final = 1


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each flow."""
    for resource, spans in runs_of(events, dropped, Translator()):
        scopes = [{"scope": _SCOPE, "spans": [_span(span) for span in spans]}]
        yield dumps({"resourceSpans": [{"resource": {"attributes": _pairs(resource)}, "scopeSpans": scopes}]}) + "\n"


def _span(span: OtlpSpan) -> dict[str, Any]:
    above = {} if span.parent_id is None else {"parentSpanId": span.parent_id}
    message = {"message": span.message} if span.message else {}
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **above,
        "flags": _SAMPLED,
        "name": span.name,
        "kind": _CLIENT if span.is_client else _INTERNAL,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _pairs(span.attributes),
        "events": [
            {"timeUnixNano": str(event.time_ns), "name": event.name, "attributes": _pairs(event.attributes)}
            for event in span.events
        ],
        "links": [{"traceId": trace_id, "spanId": span_id} for trace_id, span_id in span.links],
        "status": {"code": _CODES[span.status], **message},
    }


def _pairs(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value} if isinstance(value, str) else {"arrayValue": {"values": [_value(item) for item in value]}}
