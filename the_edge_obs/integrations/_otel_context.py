"""OpenTelemetry's context and the running span, kept equal: what is made current in one is current in the other.

A span of OpenTelemetry is current from ``attach`` to ``detach``, not from its start to its end: a stream starts one that it makes
current only for a moment. So both are followed where they happen. OpenTelemetry has no public way to hear of them but a runtime
context of one's own, chosen by an environment variable before its packages are imported; this one is put in front of the one in
use (``opentelemetry.context._RUNTIME_CONTEXT``), and taken away by the undo.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, TraceFlags, TraceState

from .. import ConfigurationError, RemoteParent, continue_traces, current, guard, log_event, use_span
from .. import SpanContext as FlowContext

_lock: Final = threading.Lock()
_api: Final[Any] = context_api
_following: Final = guard("following OpenTelemetry's current span")
_telling: Final = guard("telling OpenTelemetry the current span")


class FlowSpan(Span):
    """A span of a flow, as OpenTelemetry's current span. What is set on it becomes log events of the span.

    Args:
        here: The span's context.
    """

    def __init__(self, here: FlowContext) -> None:
        self.here = here
        flow = here.flow
        state = TraceState.from_header([flow.tracestate]) if flow.tracestate else None
        self._ids = SpanContext(trace_id_of(here), here.number, False, TraceFlags(flow.trace_flags), state)

    def get_span_context(self) -> SpanContext:
        """Return the span's ids."""
        return self._ids

    def is_recording(self) -> bool:
        """Return True: what is set is logged."""
        return True

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the flow ends its own spans."""

    def update_name(self, name: str) -> None:
        """Do nothing: a span is named after its node."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Log an attribute."""
        self._log("attributes", attributes={key: value})

    def set_attributes(self, attributes: Any) -> None:
        """Log attributes."""
        self._log("attributes", attributes=attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Log an event."""
        self._log(name, attributes=attributes)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Do nothing: spans of flows have no links."""

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Log a status that says that something failed."""
        status = status if isinstance(status, Status) else Status(status, description)
        if status.status_code is StatusCode.ERROR:
            self._log(status.description or "failed", "error")

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Log an exception."""
        self._log(None, "error", error=exception, attributes=attributes)

    def _log(self, message: str | None, level: str = "info", **data: Any) -> None:
        with guard("logging what was set on OpenTelemetry's current span", self.here), use_span(self.here):
            log_event(message, level, **{key: value for key, value in data.items() if value is not None})


flow_spans: Final[dict[int, weakref.ref[FlowSpan]]] = {}
"""Spans of flows that are current in some context of OpenTelemetry, by their numbers.

Not a ``WeakValueDictionary``: whether that is empty takes longer to find out than all else that is asked outside flows.
"""


def _remembered(span: FlowSpan) -> FlowSpan:
    """Remember a span as long as it lives."""
    number = span.here.number

    def forget(gone: object) -> None:
        if flow_spans.get(number) is gone:
            flow_spans.pop(number, None)

    flow_spans[number] = weakref.ref(span, forget)
    return span


class Joined(Protocol):
    """A span of a flow that stands for a span of OpenTelemetry."""

    @property
    def context(self) -> FlowContext | None:
        """Its context, or None while its level is filtered."""


class _Attached(NamedTuple):
    """An ``attach`` in a flow: its token and context, the flow's span that is current with it, and the one that it made so."""

    token: object
    context: context_api.Context
    here: FlowContext | None
    using: AbstractContextManager[None] | None
    below: _Attached | None


class FlowRuntime:
    """OpenTelemetry's runtime context in front of another, which does the work.

    Args:
        inner: The one that was in use.
        joined: The spans of flows that stand for spans of OpenTelemetry, by the ids of these.

    Attributes:
        users: How many bridges use it. Without any, only what was attached before is still followed.
        held: How many contexts are attached that have made a flow's span current.
    """

    def __init__(self, inner: Any, joined: Mapping[int, Joined]) -> None:
        self.inner, self._joined, self.users, self.held = inner, joined, 0, 0
        self._attached: ContextVar[_Attached | None] = ContextVar("the_edge_obs.otel_attached", default=None)
        # The last answer of get_current, and for which context and span it is.
        self._answer: ContextVar[tuple[Any, int, context_api.Context] | None] = ContextVar("the_edge_obs.otel", default=None)

    def attach(self, context: context_api.Context) -> Any:
        """Make a context current, and the flow's span that stands for its span."""
        token = self.inner.attach(context)
        if self.users and (self._joined or current() is not None):  # otherwise no flow is running
            with _following:
                self._follow(context, token)
        return token

    def _follow(self, context: context_api.Context, token: object) -> None:
        here, there = current(), self._standing_for(trace.get_current_span(context))
        if here is None and there is None:
            return  # outside any flow
        using = None
        if there is not None and (here is None or there.number != here.number):
            using = use_span(there)
            using.__enter__()
            here = current()
            with _lock:
                self.held += 1
        self._attached.set(_Attached(token, context, here, using, self._attached.get()))
        self._answer.set(None)

    def detach(self, token: Any) -> None:
        """Make the context before current again, and the flow's span before."""
        self.inner.detach(token)
        if (at := self._attached.get()) is not None:
            with _following:
                self._unfollow(at, token)

    def _unfollow(self, at: _Attached | None, token: object) -> None:
        above: list[_Attached] = []  # normally none: contexts may be detached out of order
        while at is not None and at.token is not token:
            above.append(at)
            at = at.below
        if at is None:
            return
        rest = at.below
        for one in reversed(above):
            rest = one._replace(below=rest)
        self._attached.set(rest)
        self._answer.set(None)
        if at.using is not None:
            at.using.__exit__(None, None, None)
            with _lock:
                self.held -= 1
                self.leave()

    def leave(self) -> None:
        """Give OpenTelemetry its own runtime context back, if nobody needs this one any more. The caller holds the lock."""
        if not self.users and not self.held and _api._RUNTIME_CONTEXT is self:  # otherwise another one is in front of it
            _api._RUNTIME_CONTEXT = self.inner

    def get_current(self) -> context_api.Context:
        """Return the current context; its span is the flow's, if that began later."""
        context: context_api.Context = self.inner.get_current()
        if self.users and (here := current()) is not None:
            with _telling:
                return self._with_flow(context, here)
        return context

    def _with_flow(self, context: context_api.Context, here: FlowContext) -> context_api.Context:
        attached = self._attached.get()
        if attached is not None and attached.context is context and attached.here and attached.here.number == here.number:
            return context  # it was made current later than the flow's span
        answer = self._answer.get()
        if answer is None or answer[0] is not context or answer[1] != here.number:
            self._answer.set(answer := (context, here.number, self._answered(context, here)))
        return answer[2]

    def _answered(self, context: context_api.Context, here: FlowContext) -> context_api.Context:
        span = trace.get_current_span(context)
        if span.get_span_context().span_id == here.number or not _is_recorded(here):
            return context
        return trace.set_span_in_context(_remembered(FlowSpan(here)), context)

    def _standing_for(self, span: Span) -> FlowContext | None:
        if isinstance(span, FlowSpan):
            return span.here
        joined = self._joined.get(span.get_span_context().span_id)
        return None if joined is None else joined.context


def trace_id_of(here: FlowContext) -> int:
    """Return the id of the trace that a flow is."""
    return int(here.flow.id.replace("-", ""), 16)


def _is_recorded(here: FlowContext) -> bool:
    """Tell whether a flow's span is in a log: otherwise OpenTelemetry's spans would have a parent that is nowhere."""
    if not here.flow.is_silent:
        return True
    logger = logging.getLogger(f"tea.{here.node}")
    return logger.isEnabledFor(logging.INFO) and logger.hasHandlers()


def _outer() -> RemoteParent | None:
    """Return OpenTelemetry's current span, as the parent of a flow."""
    ids = trace.get_current_span().get_span_context()
    if not ids.is_valid:
        return None
    text = f"{ids.trace_id:032x}"
    flow_id = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return RemoteParent(flow_id, ids.span_id, int(ids.trace_flags), ids.trace_state.to_header())


def follow(joined: Mapping[int, Joined]) -> Callable[[], None]:
    """Put a ``FlowRuntime`` in front of OpenTelemetry's runtime context, once, and return the undo.

    Raises:
        ConfigurationError: this version of OpenTelemetry keeps it elsewhere.
    """
    with _lock:
        runtime = getattr(_api, "_RUNTIME_CONTEXT", None)
        if runtime is None:
            raise ConfigurationError("this version of opentelemetry-api has no runtime context to follow; install another one")
        if not isinstance(runtime, FlowRuntime):
            runtime = FlowRuntime(runtime, joined)
            _api._RUNTIME_CONTEXT = runtime
        runtime.users += 1
    undo_traces = continue_traces(_outer)
    left = [runtime]

    def undo() -> None:
        with _lock:
            for runtime in (left.pop() for _ in left[:]):
                undo_traces()
                runtime.users -= 1
                if not runtime.users:
                    runtime.leave()

    return undo
