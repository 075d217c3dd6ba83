"""Spans: one execution of a node, as a context manager or as an object that is ended explicitly.

A failure in here is reported and counted. It never reaches the observed code.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any

from ..context import Entered, SpanContext, child_context, new_number, root_context
from ..event import level_number
from ..recording.faults import own_fault
from ..recording.names import node_name
from ..recording.records import ENTRY, NOTHING, NOWHERE, PLAIN, Site
from ..redaction.snapshots import snapshot
from .ends import text_of
from .running import current, enter, leave
from .span_events import OpenSpan, label_of, report


class Span:
    """One execution of a node: a context manager, for ``with`` in sync and async code alike.

    It logs an entry event, makes itself the context of what runs inside, and logs an exit event, or an error event with what
    the block raised, which goes on unchanged. While the node's level is filtered it opens no span and logs only errors.

    Args:
        node: What runs, such as ``rank`` or ``llm.call``; its logger is ``tea.`` + node.
        input: What becomes ``data.input`` of the entry event; left out when not given.
        step: The YAML flow's name for the node, or None.
        level: Level of the entry and exit events. Default ``info``.
        data: Further keys of the entry event's data.
        site: Where the code is.

    Attributes:
        output: Set it to what the block produced; it becomes ``data.output``. A dict with ``success: False`` makes the exit
            an error, and ``usage`` or ``cost_usd`` in a dict become metrics.
        metrics: Further numbers for the event that ends the span, or None.

    Raises:
        ConfigurationError: the node has no name.
        EventError: unknown level.
    """

    __slots__ = ("_kind", "_level", "_logger", "_node", "_open", "_payload", "_pending", "_site", "_step", "metrics", "output")

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
        # What is still to be ended, at most one: taking it out is one step, so that of two threads one logs the end.
        self._pending: list[OpenSpan | None] = []
        self.output: Any = NOTHING
        self.metrics: dict[str, Any] | None = None

    @property
    def context(self) -> SpanContext | None:
        """The span's place, or None while its level is filtered."""
        return None if self._open is None else self._open.context

    def __enter__(self) -> Span:
        if self._pending:
            return self  # it is open already, and has one end
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
        except BaseException:  # Ctrl-C: then nobody will leave it
            leave(entered)
            raise

    def open(self, context: Entered, beside: dict[str, Any] | None = None) -> None:
        """Log the entry of the span as the given context; ``beside`` is further data, a snapshot already."""
        self._open = span = OpenSpan(self._logger, self._level, self._site, context)
        try:
            payload = snapshot(self._payload, context.flow)
            span.entry(self._kind, payload if beside is None else {**payload, **beside})
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging an entry", context)
        self._pending[:] = [span]

    def start(self, around: SpanContext | None) -> None:
        """Open the span below another, or as the root of a flow of its own, if its level passes; it does not become current."""
        if not self._logger.isEnabledFor(self._level):
            self.pass_by()
        elif around is None:
            self.open(Entered(*root_context(self._node, self._step)))
        else:
            self.open(Entered(around[0], new_number(), around[1], self._node, self._step))

    def pass_by(self) -> None:
        """Open no span, for its level is filtered; the end logs an error alone."""
        self._pending[:] = [None]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(self, *raised: Any) -> None:
        self.__exit__(*raised)

    def close(self, error: BaseException | None = None) -> bool:
        """Log the end of the span and make what was before it current again; False when it has not begun, or has ended."""
        try:
            span = self._pending.pop()
        except IndexError:
            return False
        if span is None:
            report(self._logger, self._node, self._step, self._site, error, self.output)
            return True
        span.close(self.output, error, self.metrics)
        return True

    def metric(self, **metrics: float) -> None:
        """Log a metric event of this span with the given numbers."""
        if self._open is not None:
            self._open.log("metric", self._level, None, {}, metrics)

    def log(self, message: str, level: str | int = "info", **data: Any) -> None:
        """Log a ``log`` event of this span with a message and further data.

        Raises:
            EventError: unknown level.
        """
        number = level_number(level)
        if self._open is not None:
            self._open.log("log", number, message, data, None)


def span(node: str, /, *, step: str | None = None, level: str | int = "info", **input: Any) -> Span:  # noqa: A002
    """Return a ``Span`` to use with ``with``; further keyword arguments are its input.

    Raises:
        ConfigurationError: the node has no name.
        EventError: unknown level.
    """
    frame = sys._getframe(1)
    site = Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    return Span(node, input if input else NOTHING, step=step, level=level, site=site)


class StartedSpan:
    """A span that was started with ``start_span`` and ends with ``end``; it never becomes current by itself.

    Attributes:
        context: Its place, to give to ``start_span`` as the parent of others; None while its level is filtered.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def context(self) -> SpanContext | None:
        """The span's place, or None while its level is filtered."""
        return self._span.context

    def end(self, output: Any = NOTHING, error: BaseException | str | None = None, metrics: dict[str, Any] | None = None) -> bool:
        """Log the end; False when it has ended before.

        Args:
            output: What it produced; left out when not given.
            error: What it failed with, an exception or a text, or None.
            metrics: Further numbers, or None.
        """
        span = self._span
        if error is not None and not isinstance(error, BaseException):
            error = SpanError(text_of(error))
        span.output, span.metrics = output, metrics
        return span.close(error)

    def metric(self, **metrics: float) -> None:
        """Log a metric event of this span with the given numbers."""
        self._span.metric(**metrics)

    def log(self, message: str, level: str | int = "info", **data: Any) -> None:
        """Log a ``log`` event of this span.

        Raises:
            EventError: unknown level.
        """
        self._span.log(message, level, **data)


class SpanError(Exception):
    """What a span that ended with a text as its error is logged as."""


def start_span(
    node: str,
    input: Any = NOTHING,  # noqa: A002 - the key of the data it becomes
    parent: StartedSpan | SpanContext | None = None,
    *,
    step: str | None = None,
    level: str | int = "info",
) -> StartedSpan:
    """Start a span that ends with its ``end()``: in any thread or task, at any time, in any order with others.

    For adapters to libraries that call back when something begins and ends. Where ``with`` can be used, use ``span``. One that is
    never ended ends as cancelled when the interpreter exits.

    Args:
        node: What runs, such as ``llm.call``.
        input: What becomes ``data.input`` of the entry event; left out when not given.
        parent: The span around it: one that was started so, or a place that ``current()`` gives. Default None: what is current.
        step: The YAML flow's name for the node, or None.
        level: Level of the entry and exit events. Default ``info``.

    Raises:
        ConfigurationError: the node has no name.
        EventError: unknown level.
    """
    frame = sys._getframe(1)
    span = Span(node, input, step=step, level=level, site=Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
    around = parent.context if isinstance(parent, StartedSpan) else parent
    span.start(around or current())
    return StartedSpan(span)
