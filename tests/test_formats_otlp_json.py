from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.otlp_json import render

from .strategies import FLOW, OTHER_FLOW, Event, event, flows, whole


def requests(made: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in "".join(render(made, dropped={})).splitlines()]


def test_a_line_for_each_run() -> None:
    """Ids are hexadecimal, 64-bit integers are strings, enumerations are numbers."""
    entry, end = whole(1, 0, 2, metrics={"items": 3, "share": 0.5})
    entry["data"] = {"name": "triage", "resource": {"host": "h", "pid": 7, "service": "shop"}}
    failed = event(1, "error", 1, flow_id=OTHER_FLOW, data={"error": {"type": "E", "message": "no"}})
    one, other = requests([entry, end, failed])
    (resource,) = one["resourceSpans"]
    assert {"key": "process.pid", "value": {"intValue": "7"}} in resource["resource"]["attributes"]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert span == {
        "traceId": FLOW.replace("-", ""),
        "spanId": "8000000000000001",
        "flags": 1,
        "name": "triage",
        "kind": 1,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000002000000000",
        "attributes": [
            {"key": "tea.node", "value": {"stringValue": "flow"}},
            {"key": "tea.metrics.items", "value": {"intValue": "3"}},
            {"key": "tea.metrics.share", "value": {"doubleValue": 0.5}},
            {"key": "openinference.span.kind", "value": {"stringValue": "CHAIN"}},
        ],
        "events": [],
        "links": [],
        "status": {"code": 1},
    }
    (span,) = other["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["status"], span["events"][0]["name"]) == ({"code": 2, "message": "no"}, "exception")


def test_log_events_alone_make_no_line() -> None:
    """There is no span to show."""
    assert requests([event(1, "log", node="agent")]) == []


@pytest.mark.slow
@given(flows())
def test_every_line_is_a_request_of_the_protocol(made: list[Event]) -> None:
    """The official definition reads it, with a span for each of the log."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    read = 0
    for request in requests(made):
        for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            for key in ("traceId", "spanId", "parentSpanId"):  # plain Protobuf JSON has them in base64
                if key in span:
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
        parsed = json_format.ParseDict(request, service.ExportTraceServiceRequest())
        read += len(parsed.resource_spans[0].scope_spans[0].spans)
    assert read == len(build_flow_log(made).spans)
