"""Spans: one execution of a node logs its entry, its exit or error, and what happens in between.

Whatever fails in here is reported and counted, and never reaches the observed code.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import time
from types import TracebackType
from typing import Any

from ..context import CURRENT, Entered, Place, SpanContext, child_context, context_of, new_number, place, root_context
from ..event import level_number
from ..recording.dispatch import emit
from ..recording.exits import forget, opened
from ..recording.faults import own_fault
from ..recording.names import fit_name, node_name
from ..recording.records import ENTRY, EXIT, NOTHING, NOWHERE, PLAIN, Kind, Site
from ..recording.tracebacks import Parts
from ..redaction.snapshots import snapshot
from ..secrets.keys import KEY_CLASSES, KeyClasses
from .capture import is_soft_failure, metrics_of
from .ends import end_of, numbers, text_of


def node_logger(node: str) -> logging.Logger:
    """Return a node's logger, ``tea.`` + node.

    Raises:
        ConfigurationError: the node is not a name, as ``node_name`` wants it.
    """
    return logging.getLogger("tea." + node_name(node))


def label_of(value: object) -> str:
    """Return the name of a step or flow, fit for every handler; what is not a text becomes one."""
    return fit_name(text_of(value))


class OpenSpan:
    """A span whose entry was logged, and what is needed to log its end.

    Attributes:
        context: The span.
        started: Monotonic clock at entry, in nanoseconds.
        wall: Wall clock at entry, in nanoseconds; the end is logged ``wall`` + duration, so that no clock change reorders them.
    """

    __slots__ = ("classes", "context", "is_ended", "level", "logger", "site", "started", "wall")

    def __init__(
        self,
        logger: logging.Logger,
        level: int,
        site: Site,
        context: Place,
        classes: KeyClasses = KEY_CLASSES,
        wall: int = 0,
        started: int = 0,
    ) -> None:
        self.logger, self.level, self.site, self.classes = logger, level, site, classes
        self.context = context if isinstance(context, SpanContext) else SpanContext(*context)
        self.wall = wall or time.time_ns()
        self.started = started or time.perf_counter_ns()
        self.is_ended = False

    def entry(self, kind: Kind, payload: Any) -> None:
        """Log the entry; the payload is a snapshot."""
        opened(self.context[1], self)
        emit(self.logger, (self.context, kind, self.level, self.wall, None, payload, None, self.site))

    def close(self, output: Any, error: BaseException | None = None, metrics: dict[str, Any] | None = None) -> None:
        """Log the exit, or the error where it raised or returned a soft failure.

        Args:
            output: What it returned, or NOTHING.
            error: What it raised, or None.
            metrics: Further metrics.
        """
        if self.is_ended:
            return
        self.is_ended = True
        if isinstance(self.context, Entered):
            leave(self.context)
        forget(self.context[1], None)
        parts, duration = Parts(), time.perf_counter_ns() - self.started
        try:
            if error is not None or not self._exit(duration, output, metrics, parts):
                self._finish(duration, output, error, metrics, parts)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            try:
                own_fault("logging the end of a span", self.context)
            except RecursionError:  # no room even to begin to tell it
                self.context[0].faults += 1
        if self.context[2] is None:
            self.context[0].ended = True
        if parts.interrupt is not None:
            raise parts.interrupt

    def _exit(self, duration: int, output: Any, metrics: dict[str, Any] | None, parts: Parts) -> bool:
        """Log an exit; False for a soft failure, and where something cannot be read: reading each part alone takes longer."""
        flow = self.context.flow
        figures: Any = duration
        try:
            if type(output) is dict and is_soft_failure(output):
                return False
            if output is not NOTHING:
                if brought := metrics_of(output):
                    metrics = brought if metrics is None else {**metrics, **brought}
                output = snapshot(output, flow, self.classes)
            if metrics is not None:
                figures = {"duration_ms": duration / 1e6, **numbers(metrics, flow)}
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the end is logged
            parts.note(failure)
            return False
        emit(self.logger, (self.context, EXIT, self.level, self.wall + duration, None, output, figures, self.site))
        return True

    def _finish(
        self, duration: int, output: Any, error: BaseException | None, metrics: dict[str, Any] | None, parts: Parts
    ) -> None:
        """Log any end, each part of it read by itself."""
        kind, level, message, payload, flow = EXIT, self.level, None, output, self.context.flow
        if error is None and output is not NOTHING and (brought := parts.read(metrics_of, output, instead={})):
            metrics = {**(metrics or {}), **brought}
        if error is not None or (type(output) is dict and parts.read(is_soft_failure, output, instead=False)):
            is_detailed = self.logger.isEnabledFor(logging.DEBUG)
            level, message, payload = end_of(output, error, parts, flow, is_detailed=is_detailed)
            kind = PLAIN["error"]
        if kind is not EXIT:
            payload = {key: parts.read(snapshot, value, flow, self.classes) for key, value in payload.items()}
        elif payload is not NOTHING:
            payload = parts.read(snapshot, payload, flow, self.classes)
        if message is not None:
            message = parts.read(snapshot, message, flow)
        figures: Any = duration
        if metrics is not None:
            figures = {"duration_ms": duration / 1e6, **parts.read(numbers, metrics, flow, instead={})}
        emit(self.logger, (self.context, kind, level, self.wall + duration, message, payload, figures, self.site), error)

    def log(self, kind: str, level: int, message: str | None, data: dict[str, Any], metrics: dict[str, Any] | None) -> None:
        """Log an event of the span, if its level passes."""
        if self.logger.isEnabledFor(level):
            try:
                log_event(self.logger, self.context, kind, level, message, data, metrics, self.site)
            except Exception:  # noqa: BLE001 - observability never breaks what it observes
                own_fault("logging an event", self.context)


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


def current() -> SpanContext | None:
    """Return the span that is running here, or None outside any flow; never one that has ended.

    Spans may end in another order than they began, and in another task or thread. Then it is the nearest one around that is still
    open. What is logged in a task or thread that outlives its span still stands below that span.

    Returns:
        The span's place, with ``flow.id``, ``flow.name``, ``span_id``, ``parent_id``, ``node`` and ``step``.
    """
    found = nearest_open(place())
    if found is None or (found[0].ended and not isinstance(found, Entered)):
        return None
    return context_of(found)


def nearest_open(at: Place | None) -> Place | None:
    """Return a place, or the nearest one around it, as it was entered, whose span is open; None where there is none."""
    while isinstance(at, Entered) and at.is_ended:
        at = at.before
    return at


def enter(context: Entered) -> None:
    """Make the place of a span current."""
    before = place()
    context.before, context.is_late = before, isinstance(before, Entered) and before.is_ended
    CURRENT.set(context)


def leave(context: Entered, *, with_flow: bool = False) -> None:
    """Make what is still open around a span current again; where a later span is current, that one's end does it.

    Args:
        context: The span's place.
        with_flow: Whether a later span of the same flow is left too, though it is still open: its flow is over.
    """
    if context.is_ended:
        return
    context.is_ended = True
    around = context.before
    if isinstance(around, Entered):
        around = nearest_open(around)
    here = place()
    if here is context or (with_flow and here is not None and here[0] is context[0]):
        CURRENT.set(context.before if context.is_late else around)
    context.before = around  # who is called back from one ended span into the next must not hold on to all of them


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
    """A span that was started with ``start_span`` and ends with ``end``; it never becomes current by itself."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def context(self) -> SpanContext | None:
        """The span's place, to give to ``start_span`` as the parent of others; None while its level is filtered."""
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

    For adapters to libraries that call back when something begins and ends. Where ``with`` can be used, use ``span``. It never
    becomes current by itself. One that is never ended ends as cancelled when the interpreter exits.

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


def log_event(
    logger: logging.Logger,
    context: SpanContext,
    kind: str,
    level: int,
    message: str | None,
    data: dict[str, Any] | None,
    metrics: dict[str, Any] | None,
    site: Site = NOWHERE,
    classes: KeyClasses = KEY_CLASSES,
    error: BaseException | None = None,
) -> None:
    """Log one event of a span; the caller has checked the level."""
    captured = snapshot(data or {}, context.flow, classes)
    if (node := fit_name(context.node)) != context.node:
        context = context._replace(node=node)
    text = message if message is None else snapshot(text_of(message), context.flow)
    figures = numbers(metrics, context.flow) if metrics else None
    facts = (context, PLAIN[kind], level, time.time_ns(), text, captured, figures, site)
    emit(logger, facts, error)


def report(
    logger: logging.Logger,
    node: str,
    step: str | None,
    site: Site,
    error: BaseException | None,
    output: Any = None,
    classes: KeyClasses = KEY_CLASSES,
) -> None:
    """Log the error or the soft failure, if there is one, of a node whose entry was filtered, where anybody listens."""
    if error is None and not (type(output) is dict and is_soft_failure(output)):
        return
    parts = Parts()
    try:
        if not (logger.isEnabledFor(logging.ERROR) and logger.hasHandlers()):
            return
        end = end_of(output, error, parts, is_detailed=logger.isEnabledFor(logging.DEBUG))
        if end.level >= logging.ERROR and logger.isEnabledFor(end.level):
            log_event(logger, child_context(node, step), "error", end.level, end.message, end.payload, None, site, classes, error)
    except Exception:  # noqa: BLE001 - observability never breaks what it observes
        own_fault("logging an error")
    if parts.interrupt is not None:
        raise parts.interrupt


def give_back(token: contextvars.Token[Place | None]) -> None:
    """Make the span before this one current again, if this is still the context it was entered in.

    A generator or coroutine can be closed from another context, which never held the span: nothing to give back there.
    """
    try:
        CURRENT.reset(token)
    except (ValueError, RuntimeError):  # another context's; used already
        return
