"""Spans of OpenTelemetry as spans of the running flow: a span processor, and what its undo takes back."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from .. import ConfigurationError, SpanContext, StartedSpan, current, guard, start_span
from ..formats.otlp_attributes import ATTRIBUTES, BRIDGED, SENT_TO, Kind
from ._otel_context import flow_spans, follow, trace_id_of
from ._otel_names import NOTHING, Reading
from ._otel_sdk import receivers_of

_FIRST_CHUNK: Final = "First Token Stream Event"  # OpenInference
_joining: Final = guard("joining a span of OpenTelemetry")
_ending: Final = guard("ending a span of OpenTelemetry")
_forgetting: Final = guard("ending a span that OpenTelemetry forgot")


class _Joined:
    """A span of OpenTelemetry that is in a flow.

    Attributes:
        started: The flow's span that stands for it.
        told: The attributes that the entry has.
    """

    __slots__ = ("node", "original", "started", "told")

    def __init__(self, started: StartedSpan, node: str, told: Mapping[str, Any], original: weakref.ref[Span]) -> None:
        self.started, self.node, self.told, self.original = started, node, told, original

    @property
    def context(self) -> SpanContext | None:
        """The context of the flow's span, or None while its level is filtered."""
        return self.started.context


_joined: Final[dict[int, _Joined]] = {}
"""The spans that are in a flow, by their ids, as long as OpenTelemetry's objects live: a child may begin after the end."""


def _drop(span_id: int) -> Callable[[object], None]:
    """Return a function that forgets a span whose object is gone, and ends one that was never ended."""

    def forget(original: object) -> None:
        with _forgetting:
            joined = _joined.get(span_id)
            if joined is not None and joined.original is original:
                del _joined[span_id]
                joined.started.end(error=GeneratorExit("never ended"))

    return forget


class BridgeProcessor(SpanProcessor):
    """Joins the spans of one provider to the flow that is running when they start; others are left alone.

    Args:
        provider: The provider.

    Attributes:
        users: How many bridges use it. Without any, spans that are already in a flow are still ended.
    """

    def __init__(self, provider: Any) -> None:
        self.users = 0
        self._provider = weakref.ref(provider)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Start a span of the flow. It does not become current: that happens when OpenTelemetry makes its own current."""
        if self.users and (_joined or current() is not None or flow_spans):  # otherwise no flow is running
            with _joining:
                above = _parent(span) or current()
                if above is not None:
                    self._join(span, above)

    def _join(self, span: Span, above: SpanContext) -> None:
        ids, attributes = span.get_span_context(), dict(span.attributes or {})
        scope = _scope(span)
        reading = Reading(span.name, span.kind.name, attributes, scope)
        node = reading.node()
        # An id that is known belongs to another span: OpenTelemetry's come from the random numbers that a program may seed.
        original = weakref.ref(span, _drop(ids.span_id))
        logger = logging.getLogger(f"tea.{node}")
        if not logger.isEnabledFor(logging.INFO):
            if logger.hasHandlers():  # then its error is logged
                _joined[ids.span_id] = _Joined(start_span(node, parent=above), node, attributes, original)
            return
        about: dict[str, Any] = {"name": span.name, "scope": scope}
        if ids.trace_flags.sampled and ids.trace_id == trace_id_of(above) and (receivers := receivers_of(self._provider())):
            about[SENT_TO] = receivers
        given, rest = reading.input(), reading.rest({})
        data = {BRIDGED: about, **({ATTRIBUTES: rest} if rest else {})}
        start = None if span.start_time is None else span.start_time / 1e9
        told = {} if given is NOTHING else {"input": given}
        started = start_span(node, parent=above, data=data, start=start, number=ids.span_id, **told)
        _joined[ids.span_id] = _Joined(started, node, {**attributes, "input": given}, original)

    def on_end(self, span: ReadableSpan) -> None:
        """End the flow's span."""
        if _joined:
            with _ending:
                joined = None if span.context is None else _joined.get(span.context.span_id)
                if joined is not None and (joined.context is not None or span.status.status_code is StatusCode.ERROR):
                    _end(joined, span)

    def shutdown(self) -> None:
        """Do nothing: the flows go on."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits."""
        return True


def _parent(span: Span) -> SpanContext | None:
    """Return the flow's span that is or stands for the parent of a span, or None.

    It is found by its id: a processor may run in a thread of its own.
    """
    if span.parent is None:
        return None
    span_id = span.parent.span_id
    if (joined := _joined.get(span_id)) is not None:
        return joined.context
    above = None if (reference := flow_spans.get(span_id)) is None else reference()
    return None if above is None else above.here


def _scope(span: ReadableSpan) -> str:
    return str(getattr(span.instrumentation_scope, "name", ""))


def _end(joined: _Joined, span: ReadableSpan) -> None:
    attributes = dict(span.attributes or {})
    reading = Reading(span.name, span.kind.name, attributes, _scope(span))
    reading.node()
    given, output, metrics = reading.input(), reading.output(), reading.metrics()
    data: dict[str, Any] = {}
    if given is not NOTHING and given != joined.told.get("input"):
        data["input"] = given
    failure: Mapping[str, Any] = {}
    events = []
    for event in span.events:
        if event.name == _FIRST_CHUNK and span.start_time is not None:
            metrics.setdefault("time_to_first_chunk_ms", (event.timestamp - span.start_time) / 1e6)
        elif event.name == "exception" and span.status.status_code is StatusCode.ERROR:
            failure = event.attributes or {}
        else:
            events.append({"name": event.name, "time": event.timestamp / 1e9, "attributes": dict(event.attributes or {})})
    if events:
        data["events"] = events
    error = _error_of(span, reading, failure, output)
    if error is not None and "exception.stacktrace" in failure and _is_detailed(joined.node):
        data["stacktrace"] = failure["exception.stacktrace"]
    if rest := reading.rest(joined.told):
        data[ATTRIBUTES] = rest
    end = None if span.end_time is None else span.end_time / 1e9
    returned = {} if output is NOTHING else {"output": output}
    joined.started.end(error=error, metrics=metrics, data=data, end=end, **returned)


def _is_detailed(node: str) -> bool:
    return logging.getLogger(f"tea.{node}").isEnabledFor(logging.DEBUG)


def _error_of(span: ReadableSpan, reading: Reading, failure: Mapping[str, Any], output: Any) -> BaseException | None:
    if span.status.status_code is not StatusCode.ERROR:
        return None
    kind = str(failure.get("exception.type") or reading.error_type() or "Error")
    status = f"status {output['status_code']}" if reading.kind is Kind.HTTP and output is not NOTHING else ""
    message = failure.get("exception.message") or span.status.description or status
    return _error_type(kind.rpartition(".")[2])(message)


@lru_cache(maxsize=256)
def _error_type(name: str) -> type[Exception]:
    """Return a type of errors of a name: the log shows it, and knows cancellations by theirs."""
    return type(name, (Exception,), {"__module__": "builtins"})


# --- the bridge ---

_processors: Final[weakref.WeakKeyDictionary[Any, BridgeProcessor]] = weakref.WeakKeyDictionary()
_lock: Final = threading.Lock()


def bridge(provider: Any = None) -> Callable[[], None]:
    """Join the spans of a provider to flows; see ``otel.bridge``."""
    with _lock:
        provider = _given_or_global(provider)
        processor = _processors.get(provider)
        undo_context = follow(_joined)
        if processor is None:
            # A provider has no way to remove a processor, so each gets one, once.
            processor = _processors[provider] = BridgeProcessor(provider)
            provider.add_span_processor(processor)
        processor.users += 1
    left = [processor]

    def undo() -> None:
        with _lock:
            for processor in (left.pop() for _ in left[:]):
                processor.users -= 1
                undo_context()

    return undo


def _given_or_global(provider: Any) -> Any:
    """Return a provider, the global one, or a new one that becomes the global one."""
    if provider is None:
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            trace.set_tracer_provider(TracerProvider())
            provider = trace.get_tracer_provider()
    if not callable(getattr(provider, "add_span_processor", None)):
        raise ConfigurationError(
            f"a provider of type {type(provider).__name__} has no add_span_processor; "
            "give an opentelemetry.sdk.trace.TracerProvider, before another one is made the global one"
        )
    return provider
