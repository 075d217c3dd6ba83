"""Spans: one execution of a node, as a context manager or as an object that is ended explicitly.

A failure in here is reported and counted. It never reaches the observed code.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, TypeVar, cast

from ..context import Entered, SpanContext, Started, child_context, new_number, root_context
from ..event import level_number
from ..recording.faults import Guard, own_fault
from ..recording.names import node_name
from ..recording.records import ENTRY, NOTHING, NOWHERE, PLAIN, Site
from ..recording.tracebacks import described
from ..redaction.payloads import captured
from ..redaction.snapshots import snapshot
from .ends import text_of
from .following import followed
from .running import current, enter, leave
from .span_events import OpenSpan, label_of, report
from .span_events import log_event as log_event_of

G = TypeVar("G", bound=Generator[Any, Any, Any] | AsyncGenerator[Any, Any])


class Span:
    """One execution of a node: a context manager for ``with`` and ``async with``.

    The span logs an entry event and becomes the current span. At the end of the block it logs an exit event. If the block raises,
    it logs an error event instead, and the exception propagates unchanged. While the node's level is filtered, no span is opened
    and only errors are logged.

    Args:
        node: The node's name, such as ``rank`` or ``llm.call``; its logger is ``tea.`` + node.
        input: The ``data.input`` of the entry event; left out if not given.
        step: The YAML flow's name for the node, or None.
        level: Level of the entry and exit events. Default ``info``.
        data: Further keys of the entry event's data.
        site: Code location of the span.

    Attributes:
        output: Set it to the result of the block; it becomes ``data.output``. A dict with ``success: False`` makes the exit
            an error. ``usage`` and ``cost_usd`` in a dict become metrics.
        metrics: Further numbers for the event that ends the span, or None.
        answered: Whether the span was answered from a recording: its tokens and costs count in no total. Default False.

    Raises:
        ConfigurationError: The node has no name.
        EventError: The level is unknown.
    """

    __slots__ = (
        *("_kind", "_level", "_logger", "_node", "_open", "_payload", "_pending", "_site", "_step"),
        *("answered", "metrics", "output"),
    )

    def __init__(
        self,
        node: str,
        input: Any = NOTHING,  # noqa: A002 - the key of the data it becomes
        *,
        step: str | None = None,
        level: str | int = "info",
        data: dict[str, Any] | None = None,
        site: Site = NOWHERE,
    ) -> None:
        self._node, self._step, self._site = node_name(node), None if step is None else label_of(step), site
        self._logger = logging.getLogger("tea." + self._node)
        self._level = level_number(level)
        if input is NOTHING or data:
            self._kind, self._payload = PLAIN["entry"], (data or {}) if input is NOTHING else {"input": input, **(data or {})}
        else:
            self._kind, self._payload = ENTRY, input
        self._open: OpenSpan | None = None
        # The span that still has to be ended, at most one. Popping it is atomic, so only one of two threads logs the end.
        self._pending: list[OpenSpan | None] = []
        self.output: Any = NOTHING
        self.metrics: dict[str, Any] | None = None
        self.answered = False

    @property
    def context(self) -> SpanContext | None:
        """The span's context (flow, ids, node, step), or None while its level is filtered."""
        return None if self._open is None else self._open.context

    def __enter__(self) -> Span:
        if self._pending:
            return self  # already open: it is entered once
        if self._logger.isEnabledFor(self._level):
            self.enter(child_context(self._node, self._step))
        else:
            self.pass_by()
        return self

    def enter(self, context: SpanContext) -> None:
        """Open the span as the given context, whatever the level of its logger, and make it current."""
        entered = context if isinstance(context, Entered) else Entered(*context)
        enter(entered)
        try:
            self.open(entered)
        except BaseException:  # Ctrl-C: __exit__ will not be called
            leave(entered)
            raise

    def open(self, context: Entered, beside: dict[str, Any] | None = None, wall: int = 0) -> None:
        """Log the entry of the span as the given context; ``beside`` is further data, already a snapshot."""
        started = time.perf_counter_ns() - time.time_ns() + wall if wall else 0
        self._open = span = OpenSpan(self._logger, self._level, self._site, context, wall=wall, started=started)
        try:
            if beside is None and self._kind.key is not None:
                span.entry(self._kind, captured(self._payload, context.flow))
            else:
                span.entry(self._kind, {**snapshot(self._payload, context.flow), **(beside or {})})
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            own_fault("logging an entry", context)
        self._pending[:] = [span]

    def start(self, parent: SpanContext | None, number: int | None = None, wall: int = 0) -> None:
        """Open the span below a parent, or as the root of a new flow, if its level passes; it does not become current.

        Args:
            parent: The parent, or None.
            number: The last 8 bytes of the span's id. Default: random.
            wall: Wall clock at the start, in nanoseconds. Default 0: now.
        """
        if not self._logger.isEnabledFor(self._level):
            self.pass_by()
            return
        flow, above = (root_context(self._node).flow, None) if parent is None else (parent.flow, parent.number)
        context = Started(flow, new_number() if number is None else number, above, self._node, self._step)
        self.open(context, wall=wall)

    def pass_by(self) -> None:
        """Open no span because its level is filtered; the end logs only an error."""
        self._pending[:] = [None]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(self, *raised: Any) -> None:
        self.__exit__(*raised)

    def close(self, error: BaseException | None = None, data: dict[str, Any] | None = None, ended: int = 0) -> bool:
        """Log the end of the span and make the span before it current again; return False if it is not open.

        Args:
            error: The exception, or None.
            data: Further keys of the event's data, or None.
            ended: Wall clock at the end, in nanoseconds. Default 0: now.
        """
        try:
            span = self._pending.pop()
        except IndexError:
            return False
        if span is None:
            report(self._logger, self._node, self._step, self._site, error, self.output)
            return True
        if self.answered:
            data = {**(data or {}), "answered": True}
        span.close(self.output, error, self.metrics, data, ended)
        return True

    def metric(self, **metrics: float) -> None:
        """Log a metric event of this span.

        Args:
            **metrics: Names and numbers.
        """
        if self._open is not None:
            self._open.log("metric", self._level, None, {}, metrics)

    def log(self, message: str, level: str | int = "info", **data: Any) -> None:
        """Log a ``log`` event of this span.

        Args:
            message: The event's message.
            level: debug, info, warn or error. Default ``info``.
            **data: The event's data.

        Raises:
            EventError: The level is unknown.
        """
        number = level_number(level)
        if self._open is not None:
            self._open.log("log", number, message, data, None)


def span(node: str, /, *, step: str | None = None, level: str | int = "info", **input: Any) -> Span:  # noqa: A002
    """Return a ``Span`` for ``with`` or ``async with``; further keyword arguments are its input.

    Args:
        node: The node's name, such as ``rank``; its logger is ``tea.`` + node.
        step: The YAML flow's name for the node, or None.
        level: Level of the entry and exit events. Default ``info``.
        **input: The ``data.input`` of the entry event.

    Raises:
        ConfigurationError: The node has no name.
        EventError: The level is unknown.

    Example:
        >>> with obs.span("rank", top=3) as span:
        ...     span.output = {"best": 1}
    """
    frame = sys._getframe(1)
    site = Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    return Span(node, input if input else NOTHING, step=step, level=level, site=site)


class StartedSpan:
    """A span that ``start_span`` started and ``end`` ends; it never becomes the current span."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def context(self) -> SpanContext | None:
        """The span's context, which ``start_span`` takes as a parent; None while its level is filtered."""
        return self._span.context

    def end(
        self,
        output: Any = NOTHING,
        error: BaseException | str | None = None,
        metrics: dict[str, Any] | None = None,
        *,
        data: dict[str, Any] | None = None,
        end: float | None = None,
    ) -> bool:
        """Log the end of the span.

        Args:
            output: The ``data.output`` of the exit event; left out if not given.
            error: The exception or the text that the span failed with, or None.
            metrics: Further numbers, or None.
            data: Further keys of the event's data, or None.
            end: When it ended, in Unix seconds. Default: now.

        Returns:
            False if the span had already ended, and nothing is logged; otherwise True.
        """
        span = self._span
        if error is not None and not isinstance(error, BaseException):
            error = SpanError(text_of(error))
        span.output, span.metrics = output, metrics
        return span.close(error, data, _ns(end))

    def follow(self, stream: G, output: Callable[[], Any] | None = None) -> G:
        """Return a generator that yields what another yields, and ends the span with it.

        The span is current while the generator runs. Metrics are ``chunks``, ``time_to_first_chunk_ms`` and, if the consumer
        stops early, ``closed_early``. If it never starts, the span ends when it is garbage.

        Args:
            stream: A generator or async generator that has not started.
            output: Returns the ``data.output`` of the exit event, also if the consumer stops early. Default: what the generator
                returns.

        Raises:
            ConfigurationError: It is not a generator, or has started.

        Example:
            >>> call = obs.start_span("llm.stream")
            >>> list(call.follow(piece for piece in ["a", "b"]))
            ['a', 'b']
        """
        return cast("G", followed(stream, self._span._open, self.end, output))

    def metric(self, **metrics: float) -> None:
        """Log a metric event of this span.

        Args:
            **metrics: Names and numbers.
        """
        self._span.metric(**metrics)

    def log(self, message: str, level: str | int = "info", **data: Any) -> None:
        """Log a ``log`` event of this span.

        Args:
            message: The event's message.
            level: debug, info, warn or error. Default ``info``.
            **data: The event's data.

        Raises:
            EventError: The level is unknown.
        """
        self._span.log(message, level, **data)


class SpanError(Exception):
    """The type of the error of a span that ended with a text."""


def start_span(
    node: str,
    input: Any = NOTHING,  # noqa: A002 - the key of the data it becomes
    parent: StartedSpan | SpanContext | None = None,
    *,
    step: str | None = None,
    level: str | int = "info",
    data: dict[str, Any] | None = None,
    start: float | None = None,
    number: int | None = None,
) -> StartedSpan:
    """Start a span that ends with its ``end()``: in any thread or task, at any time, in any order with others.

    For adapters to libraries with callbacks for start and end. Where ``with`` is possible, use ``span``. A span that is never
    ended ends as cancelled when the interpreter exits.

    Args:
        node: The node's name, such as ``llm.call``; its logger is ``tea.`` + node.
        input: The ``data.input`` of the entry event; left out if not given.
        parent: The parent span: a ``StartedSpan``, or the result of ``current()``. Default: the current span.
        step: The YAML flow's name for the node, or None.
        level: Level of the entry and exit events. Default ``info``.
        data: Further keys of the entry event's data, or None.
        start: When it started, in Unix seconds. Default: now.
        number: The last 8 bytes of the span's id as an integer, where another tracing system has chosen them. Default: random.

    Raises:
        ConfigurationError: The node has no name.
        EventError: The level is unknown.

    Example:
        >>> call = obs.start_span("llm.call", input={"prompt": "hi"})
        >>> call.end(output={"content": "hello"})
        True
    """
    frame = sys._getframe(1)
    site = Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    span = Span(node, input, step=step, level=level, data=data, site=site)
    parent_context = parent.context if isinstance(parent, StartedSpan) else parent
    span.start(parent_context or current(), number, _ns(start))
    return StartedSpan(span)


def log_event(message: str | None, level: str | int = "info", **data: Any) -> None:
    """Log a ``log`` event of the running span, whoever started it. Outside any flow this does nothing.

    For adapters. Other code logs into its own spans, or with ``logging`` under ``tea``.

    Args:
        message: The event's message, or None.
        level: debug, info, warn or error; the node's own level decides whether it is logged. Default ``info``.
        **data: The event's data. An exception as ``error`` is described as in the error of a span.

    Raises:
        EventError: The level is unknown.

    Example:
        >>> with obs.span("rank"):
        ...     obs.log_event("retrying", "warn", attempt=2)
    """
    number, span = level_number(level), current()
    if span is None:
        return
    logger = logging.getLogger("tea." + span.node)
    if logger.isEnabledFor(number):
        with Guard(own_fault, "logging an event", span):
            error = data.get("error")
            if isinstance(error, BaseException):
                log_event_of(logger, span, "log", number, message, {**data, "error": described(error)}, None, error=error)
            else:
                log_event_of(logger, span, "log", number, message, data, None)


def _ns(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1e9)
