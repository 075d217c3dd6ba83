"""What needs OpenTelemetry's packages. The handler imports this module when it is made: at exit, that would be too late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ..formats.otlp import OtlpSpan
from ..instrumentation.resources import resource, runtime

_UNNAMED: Final = "unknown_service"
_CODES: Final = {"ok": StatusCode.OK, "error": StatusCode.ERROR, "unset": StatusCode.UNSET}


class Client:
    """Sends spans by the official exporter.

    Args:
        endpoint: The whole address, or None for that of the environment.
        headers: The headers of each request, or None.
        service: The name of the service, or None.
    """

    def __init__(self, endpoint: str | None, headers: Mapping[str, str] | None, service: str | None) -> None:
        self._endpoint, self._headers = endpoint, None if headers is None else dict(headers)
        # Made now: the SDK asks its detectors in threads, which cannot be started at exit.
        self._named = _named(Resource.create(), service)
        self._scope = InstrumentationScope("the_edge_obs", runtime().partition("/")[2].partition(" ")[0])
        self._exporter: Any = None
        self._start()

    def _start(self) -> None:
        own = resource()
        self._resource = self._named.merge(Resource({"host.name": own["host"], "process.pid": own["pid"]}))
        self._exporter = OTLPSpanExporter(endpoint=self._endpoint, headers=self._headers)

    @property
    def receiver(self) -> str | None:
        """The host and port of the receiver, as ``receiver_of`` returns them."""
        if self._exporter is None:
            self._start()
        return receiver_of(self._exporter._endpoint)

    def renew(self) -> None:
        """Forget the parent's connections in a forked child; new ones are made when they are needed."""
        self._exporter = None

    def send(self, spans: Iterable[tuple[OtlpSpan, Mapping[str, Any] | None]]) -> bool:
        """Send spans, and tell whether the receiver took them. Instrumented libraries make no spans of the posts.

        Args:
            spans: The spans, each with the attributes of the resource that logged it, or None for this process.
        """
        if self._exporter is None:
            self._start()
        readable = [self._readable(span, self._resource if by is None else Resource(dict(by))) for span, by in spans]
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            return bool(self._exporter.export(readable) is SpanExportResult.SUCCESS)
        finally:
            detach(token)

    def shutdown(self) -> None:
        """End the wait for the next try."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _readable(self, span: OtlpSpan, made_by: Resource) -> ReadableSpan:
        """Return a span as the exporter takes it."""
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
            resource=made_by,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.time_ns) for event in span.events],
            links=[Link(_context(*ids)) for ids in span.links],
            kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
            status=Status(_CODES[span.status], span.message or None),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def receiver_of(endpoint: object) -> str | None:
    """Return the host and port of a receiver of OTLP, the same for its ports for HTTP and for gRPC; None if there is none."""
    return _receiver(endpoint) if isinstance(endpoint, str) else None


@lru_cache(maxsize=64)
def _receiver(endpoint: str) -> str | None:
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if host is None:
        return None
    is_here = host in ("localhost", "127.0.0.1", "::1", "0.0.0.0")
    return f"{'localhost' if is_here else host}:{4318 if port == 4317 else port}"


def receivers_of(provider: Any) -> list[str]:
    """Return where the exporters of a provider send spans. Only OTLP's have an endpoint."""
    provider = getattr(provider, "provider", provider)  # Logfire's stands for the SDK's
    found = []
    for processor in getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ()):
        batch = getattr(processor, "_batch_processor", None)
        exporter = getattr(processor, "span_exporter", None) or getattr(batch, "_exporter", None)
        if (receiver := receiver_of(getattr(exporter, "_endpoint", None))) is not None:
            found.append(receiver)
    return found


def _named(made_by: Resource, service: str | None) -> Resource:
    """Return a resource with a name: the given one, that of the environment, or the program's."""
    name = str(made_by.attributes.get("service.name") or _UNNAMED)
    own: str = resource()["service"]
    return made_by.merge(Resource({"service.name": service or (own if name.startswith(_UNNAMED) else name)}))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
