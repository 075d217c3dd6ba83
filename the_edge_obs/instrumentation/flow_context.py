"""Flows: open one, log into it, read it back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

from ..context import (
    Entered,
    FlowState,
    RemoteParent,
    SpanContext,
    checked_flow_id,
    entered,
    flows_known,
    foreign_parents,
    new_flow_id,
    new_number,
    place,
)
from ..errors import ConfigurationError, EventError, allowed
from ..event import EVENT_TYPES, ROOT_NODE, SCHEMA_VERSION, level_number
from ..flow_log import FlowLog
from ..recording.faults import Guard, own_fault
from ..recording.names import fit_name
from ..recording.records import BEGUN, NOTHING, NOWHERE, PLAIN
from ..recording.tracebacks import Parts
from ..redaction.snapshots import snapshot
from ..store.sources import get_flow_log
from .capture import is_soft_failure
from .ends import end_of, outcome_of
from .event_streams import Events, FlowEvents
from .resources import resource_data, runtime, shared_root_data
from .running import current, enter, leave
from .span_events import OpenSpan, label_of, learn_secrets, log_event, node_logger, root_logger
from .spans import Span


class TraceContext(Protocol):
    """An engine's own tracing, which receives the spans and log events as well. The Edge Agent's TraceContext has this form."""

    def start_span(self, name: str, metadata: dict[str, Any] | None = None) -> Any:
        """Start a span."""

    def end_span(self, status: str = "ok", error: str | None = None) -> Any:
        """End the running span."""

    def log_event(self, *, message: str | None = None, metrics: dict[str, Any] | None = None) -> Any:
        """Log into the running span."""


class ObservabilityContext:
    """One flow: a context manager whose block is the run, with methods to log into it and to read it back.

    It also works without ``with``. Then the flow begins with the first span or event and ends with ``close``.

    Args:
        flow_id: A UUID, or None for a new one.
        config: An ``observability:`` block that is active for this flow alone until it is closed, or None.
        trace_context: An engine's own tracing (anything with ``start_span``, ``end_span`` and ``log_event``), which receives
            spans and events as well, or None.
        name: The flow's name. Default ``flow``.
        parent: The span of another process that this flow continues, as ``extract`` returns it, or None: a flow that begins in
            no other flow, but in a span of another tracing system that is bridged, continues that one.
        scope: The scope of handlers that take only the events of this flow, or None.

    Attributes:
        flow_id: The flow's id, a UUID string.
        name: The flow's name.
        about: Further keys of the data of the root span's entry event, such as ``input``. Set them before the flow begins.
        output: Set it to the result of the run; it becomes ``data.output`` of the event that ends the flow. A dict with
            ``success: False`` makes that event an error.
        metrics: Further numbers for that event, or None.

    Raises:
        ConfigurationError: flow_id is not a UUID, or not the parent's; or the config cannot be used.

    Example:
        >>> run = obs.ObservabilityContext(config={"level": "debug"})
        >>> run.log("rank", message="ranking begins")
        >>> run.close()
        >>> run.get_flow_log().status
        'ok'
    """

    def __init__(
        self,
        flow_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        trace_context: TraceContext | None = None,
        *,
        name: str = ROOT_NODE,
        parent: RemoteParent | None = None,
        scope: object = None,
    ) -> None:
        if flow_id is not None:
            flow_id = checked_flow_id(flow_id)
            if parent is not None and parent.flow_id != flow_id:
                raise ConfigurationError(f"flow_id {flow_id!r} is not its parent's, {parent.flow_id!r}; leave one of them out")
        if config is not None and scope is None:
            scope = self
        self._foreign = foreign = _foreign_parent() if foreign_parents else None
        if foreign is not None and (flow_id if parent is None else parent.flow_id) in (None, foreign.flow_id):
            parent, self._foreign = foreign, None  # of the span that headers name and this one, this one is nearer
        above = None
        if parent is not None:
            flow_id, above = parent.flow_id, parent.number
        flow = FlowState(flow_id or new_flow_id(), fit_name(name) if type(name) is str else label_of(name), scope)
        if parent is not None:
            flow.trace_flags, flow.tracestate = parent.trace_flags, parent.tracestate
        self.flow_id = flow.id
        self.name = flow.name
        self.trace_context = trace_context
        self.context = entered(flow, new_number(), above, ROOT_NODE)
        flows_known.add(flow)
        self._root: OpenSpan | None = None
        self._begun = self._is_over = self._is_entered = False
        self._spans: list[_NodeSpan] = []
        self.about: dict[str, Any] = {}
        self.output: Any = NOTHING
        self.metrics: dict[str, Any] | None = None
        self._undo: Callable[[], None] | None = None if config is None else _configure(config, scope)
        self.config = {} if config is None else dict(config)

    def __enter__(self) -> ObservabilityContext:
        here = place()
        outer = None if here is None else self._outer()
        if here is not self.context:
            enter(self.context)
            self._is_entered = True
        try:
            self._begin_in(outer)
        except BaseException:  # Ctrl-C: __exit__ will not be called
            leave(self.context)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(error)

    async def __aenter__(self) -> ObservabilityContext:
        return self.__enter__()

    async def __aexit__(self, *raised: Any) -> None:
        self.__exit__(*raised)

    def close(self, error: BaseException | None = None) -> None:
        """End a flow that was used without ``with``. A second call does nothing.

        Args:
            error: The exception that the flow failed with, or None.
        """
        self._end(error)

    def _begin(self) -> None:
        if not self._begun:
            self._begin_in(self._outer())

    def _begin_in(self, outer: SpanContext | None) -> None:
        """Log the root span's entry once, if its level passes. An event after the flow's end opens no second root."""
        if self._begun:
            return
        self._begun = True
        if about := self.about:
            self.about = {}
        logger = root_logger()
        if not logger.isEnabledFor(logging.INFO):
            return
        # A ``Span`` does the same, but would check a name and a level that are known.
        flow = self.context.flow
        flow.is_silent = not logger.hasHandlers()
        root = OpenSpan(logger, logging.INFO, NOWHERE, self.context)
        try:
            shared = None if about or outer or self._foreign else shared_root_data(flow)
            if shared is not None:
                root.entry(BEGUN, shared)
            else:
                data = {"name": self.name, "schema_version": SCHEMA_VERSION, "runtime": runtime(), **self._around(outer), **about}
                payload = snapshot(data, flow)
                root.entry(PLAIN["entry"], payload if "resource" in about else {**payload, **resource_data(flow)})
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            own_fault("logging an entry", self.context)
        self._root = root
        if outer is not None:
            self._log_into(outer)

    def _around(self, outer: SpanContext | None) -> dict[str, Any]:
        """Return what the log says of the span of another flow in which this one begins."""
        if outer is not None:
            return {"outer": {"flow_id": outer.flow.id, "span_id": outer.span_id}}
        if self._foreign is not None:
            above = FlowState(self._foreign.flow_id, "").span_id(self._foreign.number)
            return {"outer": {"flow_id": self._foreign.flow_id, "span_id": above}}
        return {}

    def _outer(self) -> SpanContext | None:
        """Return the span of another flow in which this one begins, or None."""
        span = current()
        return None if span is None or span.flow.id == self.flow_id or span.flow.ended else span

    def _log_into(self, outer: SpanContext) -> None:
        """Log into the outer flow that this flow begins there, so that each log names the other."""
        inner = {"flow_id": self.flow_id, "span_id": self.context.span_id, "name": self.name}
        try:
            context = outer._replace(node=ROOT_NODE, step=None)
            log_event(node_logger(ROOT_NODE), context, "log", logging.INFO, "a flow begins in here", {"inner": inner}, None)
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            own_fault("logging an event", outer)

    def _end(self, error: BaseException | None) -> None:
        leave(self.context, with_flow=self._is_entered)
        root, is_first = self._root, self._begun and not self._is_over
        self._root, self._is_over = None, True
        state, output = self.context.flow, self.output
        status, interrupt = "ok", None
        if error is not None or type(output) is dict:
            parts = Parts()
            has_failed = error is None and parts.read(is_soft_failure, output, instead=False)
            status, interrupt = "error" if has_failed else outcome_of(error, parts), parts.interrupt
        if root is not None:
            root.close(output, error, self.metrics)
        elif is_first and status != "ok":
            self._report(error)
        if not state.ended:
            state.ended, state.status = True, status
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
        if interrupt is not None:
            raise interrupt

    def _report(self, error: BaseException | None) -> None:
        logger, parts = node_logger(ROOT_NODE), Parts()
        end = end_of(self.output, error, parts, self.context.flow, is_detailed=logger.isEnabledFor(logging.DEBUG))
        if logger.isEnabledFor(end.level) and logger.hasHandlers():
            log_event(logger, self.context, "error", end.level, end.message, end.payload, None)
        if parts.interrupt is not None:
            raise parts.interrupt

    def begin(self) -> None:
        """Log the beginning of a flow that is used without ``with``, unless it has begun. It does not become current."""
        self._begin()

    def learn_secrets(self, values: Mapping[str, Any]) -> None:
        """Remember the values under secret keys, so that they appear nowhere in this flow's log. Nothing is logged.

        Args:
            values: What the flow starts with: a state, settings, variables.
        """
        learn_secrets(values, self.context)

    def log(
        self,
        node: str,
        level: str | int = "info",
        event_type: str = "log",
        message: str | None = None,
        data: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Log an event into the running span of this flow.

        Args:
            node: The node that the event is about; its logger is ``tea.`` + node.
            level: debug, info, warn or error. Default ``info``.
            event_type: entry, exit, error, metric or log. Default ``log``.
            message: A text for people, or None.
            data: The event's data, or None.
            metrics: Names and numbers, or None.

        Raises:
            ConfigurationError: The node has no name.
            EventError: The level or the event type is unknown.
        """
        number = level_number(level)
        if event_type not in EVENT_TYPES:
            raise EventError(f"unknown event_type {event_type!r}; {allowed(EVENT_TYPES)}")
        logger = node_logger(node)
        self._begin()
        if not logger.isEnabledFor(number):
            return
        context = self._running()._replace(node=fit_name(node), step=None)
        OpenSpan(logger, number, NOWHERE, context).log(event_type, number, message, data or {}, metrics)
        if self.trace_context is not None:
            self._trace(lambda trace: trace.log_event(message=message, metrics=metrics))

    def start_node_span(self, node: str, metadata: dict[str, Any] | None = None) -> str:
        """Start a span below the running one, and return its id.

        Args:
            node: The node's name.
            metadata: The data of the entry event, or None.

        Raises:
            ConfigurationError: The node has no name.
        """
        span = Span(node, data=dict(metadata or {}))
        self._begin()
        if self.trace_context is not None:
            self._trace(lambda trace: trace.start_span(name=node, metadata=metadata))
            self._trace(lambda trace: trace.log_event(message=f"Starting {node}", metrics=None))
        parent = self._running()
        context = Entered(parent.flow, new_number(), parent.number, fit_name(node), None)
        started = _NodeSpan(node, span, context)
        if node_logger(node).isEnabledFor(logging.INFO):
            span.enter(context)
        else:
            span.pass_by()
        self._spans.append(started)
        return context.span_id

    def end_node_span(self, node: str, status: str = "ok", error: str | None = None) -> dict[str, Any] | None:
        """End the youngest open span of a node.

        Args:
            node: The name given to ``start_node_span``.
            status: ``ok`` or ``error``. Default ``ok``.
            error: The error's message, or None.

        Returns:
            The dict that the trace context returned; without a trace context, ``{"span_id", "node", "status", "error"}``. None
            if no such span is open.

        Raises:
            EventError: The status is unknown.
        """
        if status not in ("ok", "error"):
            raise EventError(f"unknown status {status!r}; {allowed(('ok', 'error'))}")
        ended = self._take(node)
        if ended is None:
            return None
        failure = NodeError(error or "unknown error") if status == "error" else None
        ended.span.__exit__(None, failure, None)
        if self.trace_context is None:
            return {"span_id": ended.context.span_id, "node": node, "status": status, "error": error}
        completed = self._trace(lambda trace: trace.end_span(status=status, error=error))
        facts = completed if isinstance(completed, dict) else None
        message = f"Error in {node}: {error}" if failure else f"Completed {node}"
        metrics = None if failure else {"duration_ms": (facts or {}).get("duration_ms", 0)}
        self._trace(lambda trace: trace.log_event(message=message, metrics=metrics))
        return facts

    def get_flow_log(self) -> FlowLog:
        """Return everything known about this flow.

        Raises:
            FlowNotFoundError: Nothing was logged, or no handler keeps it.
        """
        return get_flow_log(self.flow_id)

    @property
    def event_stream(self) -> Events:
        """The flow's events. An event that is appended is logged into the flow."""
        return FlowEvents(self)

    def _running(self) -> SpanContext:
        """Return the running span of this flow; outside any other span, its root."""
        span = current()
        return span if span is not None and span.flow is self.context.flow else self.context

    def _take(self, node: str) -> _NodeSpan | None:
        """Remove and return the youngest open span of a node. Spans may end out of order."""
        for started in reversed(self._spans):
            if started.node == node:
                with suppress(ValueError):  # another thread took it
                    self._spans.remove(started)
                    return started
        return None

    def _trace(self, call: Callable[[TraceContext], Any]) -> Any:
        assert self.trace_context is not None
        try:
            return call(self.trace_context)
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            own_fault(f"{type(self.trace_context).__name__}", self.context)
            return None


def _foreign_parent() -> RemoteParent | None:
    """Return the span of another tracing system in which a flow begins that is in no other flow, or None."""
    if not foreign_parents or current() is not None:
        return None
    parents: list[RemoteParent | None] = []
    for parent_of in foreign_parents[:]:
        with Guard(own_fault, "asking for a foreign parent"):
            parents.append(parent_of())
    return next(filter(None, parents), None)


def _configure(config: Mapping[str, Any], scope: object) -> Callable[[], None]:
    # logging.config takes time to import, and most flows have no config of their own.
    from ..configuration.config import configure

    return configure(config, scope=scope)


@dataclass(eq=False, slots=True)
class _NodeSpan:
    """A span that ``start_node_span`` started."""

    node: str
    span: Span
    context: SpanContext


_new: Final = object.__new__


class NodeError(Exception):
    """The type of the error of a span that ended with status ``error``."""


def flow(
    name: str = ROOT_NODE,
    *,
    flow_id: str | None = None,
    parent: RemoteParent | None = None,
    scope: object = None,
    **attributes: Any,
) -> ObservabilityContext:
    """Return a flow for ``with`` or ``async with``: everything observed in its block belongs to it.

    Args:
        name: The flow's name. Default ``flow``.
        flow_id: A UUID, or None for a new one.
        parent: The span of another process that this flow continues, as ``extract`` returns it, or None.
        scope: The scope of handlers that take only the events of this flow, or None.
        **attributes: What the run is about. They are logged as its input; ``tea-obs ls`` shows them, and
            ``obs.runs("logs", attributes={"topic": "cats"})`` finds the run by them.

    Raises:
        ConfigurationError: flow_id is not a UUID, or not the parent's.

    Example:
        >>> with obs.flow("triage", topic="cats") as run:
        ...     llm_call({"prompt": "hi"}, {}, None)
        >>> obs.get_flow_log(run.flow_id).status
        'ok'
    """
    # Its own call: through the class, Python 3.11 would make a tuple and a dict of the arguments.
    run: ObservabilityContext = _new(ObservabilityContext)
    ObservabilityContext.__init__(run, flow_id, name=name, parent=parent, scope=scope)
    if attributes:
        run.about["input"] = attributes
    return run
