"""A receiver of OTLP over HTTP on this machine, which decodes what it gets."""

from __future__ import annotations

import gzip
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from .local_server import LocalServer


class Sink:
    """A receiver of spans.

    Args:
        delay_s: How long each answer takes, unless the sink closes before.
        status: The HTTP status of each answer.

    Attributes:
        url: Its address.
        spans: The decoded spans, as Protobuf's objects.
        resources: The attributes of each resource.
        bodies: The bodies as they came.
        requests: The headers of each request.
    """

    def __init__(self, *, delay_s: float = 0, status: int = 200) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.requests: list[dict[str, str]] = []
        self.delay_s, self.status = delay_s, status
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink.receive(self.path, dict(self.headers), body)
                self.send_response(sink.status)
                self.send_header("content-length", "0")
                self.end_headers()

        self._server = LocalServer(Handler)
        self.url = self._server.url

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Decode a request, and wait."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        assert path == "/v1/traces"
        body = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        self.requests.append({name.lower(): value for name, value in headers.items()})
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        if self.delay_s:
            self._server.release.wait(self.delay_s)
        if self.status == 200:
            for resource in request.resource_spans:
                self.resources.append(attributes(resource.resource))
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def by_host(self) -> dict[Any, list[str]]:
        """Return the last digits of the ids of the spans, by the host that their resource names."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found: dict[Any, list[str]] = {}
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                ids = found.setdefault(attributes(resource.resource).get("host.name"), [])
                ids += [span.span_id.hex()[-1] for scope in resource.scope_spans for span in scope.spans]
        return {host: sorted(ids) for host, ids in found.items()}

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def wait(self, count: int, seconds: float = 10) -> None:
        """Wait until there are as many spans."""
        until = time.monotonic() + seconds
        while len(self.spans) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.spans) >= count


def attributes(part: Any) -> dict[str, Any]:
    """Return the attributes of a resource, a span or an event as Python's values."""
    return {pair.key: _value(pair.value) for pair in part.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def assert_tree(spans: list[Any]) -> None:
    """Check that ids are unique, and that no span is an orphan."""
    ids = [(span.trace_id, span.span_id) for span in spans]
    assert len(ids) == len(set(ids))
    assert {(span.trace_id, span.parent_span_id) for span in spans if span.parent_span_id} <= set(ids)
