"""Spans: one execution of a node logs its entry, its exit or error, and what happens in between.

Whatever fails in here is reported and counted, and never reaches the observed code.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from .capture import is_soft_failure, metrics_of
from .context import CURRENT, FlowState, Place, SpanContext, child_context, context_of, place
from .conversions import MAX_ITEMS
from .errors import ConfigurationError
from .event import CHECKED_METRICS, dumps, level_number
from .faults import own_fault
from .names import fit_name
from .policies import effective
from .records import EXIT, NOTHING, NOWHERE, PLAIN, Kind, Site, emit
from .redaction import MAX_INT, MAX_STRING, scrub, scrub_key
from .secret_keys import KEY_CLASSES, MAX_KEY, KeyClasses
from .snapshots import snapshot
from .tracebacks import class_names, error_text, traceback_text, type_name

# What ends a span without being its failure; by name, for asyncio need not be imported.
_CANCELLATIONS: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})


def node_logger(node: str) -> logging.Logger:
    """Return a node's logger, ``tea.`` + node.

    Raises:
        ConfigurationError: the node has no name.
    """
    if not issubclass(type(node), str) or not str.strip(node, "."):
        raise ConfigurationError(f"node {node!r} is not a name; give a string such as 'rank' or 'llm.call'")
    return logging.getLogger("tea." + fit_name(node))


def label_of(value: object) -> str:
    """Return the name of a step or flow, fit for every handler; what is not a text becomes one."""
    return fit_name(_text_of(value))


def _text_of(value: object) -> str:
    """Return a text as it is, anything else as the text of its snapshot: a foreign ``__str__`` may raise, or never end."""
    return str.__str__(value) if issubclass(type(value), str) else _error_text(value)


class OpenSpan:
    """A span whose entry was logged, and what is needed to log its end.

    Attributes:
        context: The span.
        started: Monotonic clock at entry, in nanoseconds.
        wall: Wall clock at entry, in nanoseconds; the end is logged ``wall`` + duration, so that no clock change reorders them.
    """

    __slots__ = ("classes", "context", "level", "logger", "site", "started", "wall")

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
        self.logger, self.level, self.site, self.context, self.classes = logger, level, site, context_of(context), classes
        self.wall = wall or time.time_ns()
        self.started = started or time.perf_counter_ns()

    def entry(self, kind: Kind, payload: Any) -> None:
        """Log the entry; the payload is a snapshot."""
        emit(self.logger, (self.context, kind, self.level, self.wall, None, payload, None, self.site))

    def close(self, output: Any, error: BaseException | None = None, metrics: dict[str, Any] | None = None) -> None:
        """Log the exit, or the error where it raised or returned a soft failure.

        Args:
            output: What it returned, or NOTHING.
            error: What it raised, or None.
            metrics: Further metrics.
        """
        try:
            self._finish(time.perf_counter_ns() - self.started, output, error, metrics)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            try:
                own_fault("logging the end of a span", self.context)
            except RecursionError:  # no room even to begin to tell it
                self.context[0].faults += 1
        if self.context[2] is None:
            self.context[0].ended = True

    def _finish(self, duration: int, output: Any, error: BaseException | None, metrics: dict[str, Any] | None) -> None:
        kind, level, payload = EXIT, self.level, output
        if error is not None:
            kind, (level, payload) = PLAIN["error"], error_data(self.logger, error)
        elif type(output) is dict:
            if brought := metrics_of(output):
                metrics = {**(metrics or {}), **brought}
            if is_soft_failure(output):
                kind, level, payload = PLAIN["error"], logging.ERROR, failure_data(output)
        if level != self.level and not self.logger.isEnabledFor(level):
            return
        if payload is not NOTHING:
            payload = snapshot(payload, self.context.flow, self.classes)
        figures: Any = duration if metrics is None else {"duration_ms": duration / 1e6, **numbers(metrics, self.context.flow)}
        emit(self.logger, (self.context, kind, level, self.wall + duration, None, payload, figures, self.site))

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

    __slots__ = ("_data", "_level", "_logger", "_node", "_open", "_pending", "_site", "_step", "metrics", "output")

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
        self._logger = node_logger(node)
        self._node, self._step, self._site = fit_name(node), None if step is None else label_of(step), site
        self._level = level_number(level)
        self._data = (data or {}) if input is NOTHING else {"input": input, **(data or {})}
        self._open: OpenSpan | None = None
        # What is still to be ended, at most one: taking it out is one step, so that of two threads one logs the end.
        self._pending: list[tuple[OpenSpan | None, contextvars.Token[Place | None] | None]] = []
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
        entered = _Entered(*context)
        token = CURRENT.set(entered)
        try:
            self.open(entered, token)
        except BaseException:  # Ctrl-C: then nobody will leave it
            give_back(token)
            raise

    def open(self, context: SpanContext, token: contextvars.Token[Place | None] | None = None) -> None:
        """Log the entry of the span as the given context; with a token, which made it current, the end gives that back."""
        self._open = span = OpenSpan(self._logger, self._level, self._site, context)
        try:
            span.entry(PLAIN["entry"], snapshot(self._data, context.flow))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            own_fault("logging an entry", context)
        self._pending[:] = [(span, token)]

    def pass_by(self) -> None:
        """Open no span, for its level is filtered; the end logs an error alone."""
        self._pending[:] = [(None, None)]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(error)

    def close(self, error: BaseException | None = None) -> bool:
        """Log the end of the span and make what was before it current again; False when it has not begun, or has ended."""
        try:
            span, token = self._pending.pop()
        except IndexError:
            return False
        if span is None:
            report(self._logger, self._node, self._step, self._site, error, self.output)
            return True
        if token is not None:
            _leave(span.context, token)
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


class _Entered(SpanContext):
    """The place of a span that a ``Span`` made current.

    Attributes:
        token: What gives it back, once it has ended while a later span was current.
    """

    token: contextvars.Token[Place | None] | None = None


def _leave(context: SpanContext, token: contextvars.Token[Place | None]) -> None:
    """Make what was before a span current again; where a later span is current, that is left to the later one's end."""
    if place() is not context:
        context.token = token  # type: ignore[attr-defined]
        return
    give_back(token)
    while isinstance(before := place(), _Entered) and before.token is not None:
        token, before.token = before.token, None
        give_back(token)
        if place() is before:
            return  # it was entered in another context


def span(node: str, /, *, step: str | None = None, level: str | int = "info", **input: Any) -> Span:  # noqa: A002
    """Return a ``Span`` to use with ``with``; further keyword arguments are its input.

    Raises:
        ConfigurationError: the node has no name.
        EventError: unknown level.
    """
    frame = sys._getframe(1)
    site = Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    return Span(node, input if input else NOTHING, step=step, level=level, site=site)


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
) -> None:
    """Log one event of a span; the caller has checked the level."""
    captured = snapshot(data or {}, context.flow, classes)
    if (node := fit_name(context.node)) != context.node:
        context = context._replace(node=node)
    text = message if message is None else snapshot(_text_of(message), context.flow)
    figures = numbers(metrics, context.flow) if metrics else None
    facts = (context, PLAIN[kind], level, time.time_ns(), text, captured, figures, site)
    emit(logger, facts)


def numbers(metrics: dict[str, Any], flow: FlowState) -> dict[str, Any]:
    """Return metrics as JSON numbers; what is none (NaN, a text) becomes null, and no name is a secret of the flow.

    The schema's own figures (durations, tokens, costs) may be neither null nor below 0: such a one is left out. Of the others so
    many stay as a container has items; ``…`` counts the rest.
    """
    taken: dict[str, Any] = {}
    others = 0
    for key, value in metrics.items():
        if key in CHECKED_METRICS:
            if _is_number(value) and value >= 0:
                taken[key] = value
        elif (others := others + 1) <= MAX_ITEMS:
            name = scrub_key(_text_of(key)[: 2 * MAX_STRING], effective(flow.taints.policy))[:MAX_KEY]
            taken[name] = value if _is_number(value) else None
    if others > MAX_ITEMS:
        taken["…"] = others - MAX_ITEMS
    return taken


def _is_number(value: Any) -> bool:
    kind = type(value)  # not isinstance: a value may lie about its class, or raise when it is asked
    if issubclass(kind, float):
        return float.__sub__(value, value) == 0
    return issubclass(kind, int) and kind is not bool and -MAX_INT <= int.__int__(value) <= MAX_INT


def error_data(logger: logging.Logger, error: BaseException) -> tuple[int, dict[str, Any]]:
    """Return the level and data of an error event: a cancellation is a warning; a traceback comes at debug alone."""
    details = {"type": type_name(error), "message": error_text(error)}
    if logger.isEnabledFor(logging.DEBUG):
        # The last frames tell most; and a recursion that fails ends a thousand spans, each with a longer traceback.
        running = place()
        details["traceback"] = traceback_text(error, running and running[0])
    if not _CANCELLATIONS.isdisjoint(class_names(error)):
        return logging.WARNING, {"error": details, "cancelled": True}
    return logging.ERROR, {"error": details}


def outcome_of(error: BaseException | None) -> str:
    """Return the status of what ended with an exception, or with none: ok, error or cancelled."""
    if error is None:
        return "ok"
    return "error" if _CANCELLATIONS.isdisjoint(class_names(error)) else "cancelled"


def failure_data(output: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the error event of a soft failure."""
    kind, error = output.get("error_type") or "ActionError", output.get("error")
    return {"error": {"type": _error_text(kind), "message": _error_text(error)}, "output": output}


def _error_text(value: object) -> str:
    """Return what an action put under ``error`` as text: a text or an exception as it is, anything else as its snapshot."""
    if value is None or issubclass(type(value), (str, BaseException)):
        return error_text(value)
    taken = snapshot(value)
    return taken if isinstance(taken, str) else dumps(scrub(taken))


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
    try:
        if error is not None:
            level, data = error_data(logger, error)
        elif type(output) is dict and is_soft_failure(output):
            level, data = logging.ERROR, failure_data(output)
        else:
            return
        if level >= logging.ERROR and logger.isEnabledFor(level) and logger.hasHandlers():
            log_event(logger, child_context(node, step), "error", level, None, data, None, site, classes)
    except Exception:  # noqa: BLE001 - observability never breaks what it observes
        own_fault("logging an error")


def give_back(token: contextvars.Token[Place | None]) -> None:
    """Make the span before this one current again, if this is still the context it was entered in.

    A generator or coroutine can be closed from another context, which never held the span: nothing to give back there.
    """
    with suppress(ValueError, RuntimeError):  # another context's; used already
        CURRENT.reset(token)
