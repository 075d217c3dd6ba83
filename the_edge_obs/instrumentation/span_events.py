"""The events of a span: its entry, its exit or error, and what happens in between.

A failure in here is reported and counted. It never reaches the observed code.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..context import Entered, Place, SpanContext, child_context
from ..event import ROOT_NODE
from ..recording.dispatch import Take, emit
from ..recording.exits import forget, opened
from ..recording.faults import Guard, own_fault
from ..recording.full import FullCall, is_chosen
from ..recording.names import fit_name, node_name
from ..recording.pricing import active
from ..recording.records import EXIT, NOTHING, NOWHERE, PLAIN, Kind, Site
from ..recording.tracebacks import Parts
from ..redaction.payloads import captured, snapshot_of
from ..redaction.snapshots import snapshot
from ..secrets.keys import KEY_CLASSES, KeyClasses
from .capture import is_soft_failure, metrics_of
from .costs import with_cost
from .ends import end_of, numbers, text_of
from .running import leave


def node_logger(node: str) -> logging.Logger:
    """Return a node's logger, ``tea.`` + node.

    Raises:
        ConfigurationError: ``node_name`` does not accept the node.
    """
    return _logger_of(node_name(node))


# A logger lives as long as the process, and ``getLogger`` takes a lock twice.
@lru_cache(maxsize=1024)
def _logger_of(name: str) -> logging.Logger:
    return logging.getLogger("tea." + name)


def root_logger() -> logging.Logger:
    """Return the logger of root spans."""
    return _logger_of(ROOT_NODE)


def label_of(value: object) -> str:
    """Return the name of a step or flow as a text that every handler can write."""
    return fit_name(value if type(value) is str else text_of(value))


def learn_secrets(values: Mapping[str, Any], context: SpanContext) -> None:
    """Remember the values under secret keys as taints of a span's flow; nothing is logged."""
    with Guard(own_fault, "remembering the secrets that a flow starts with", context):
        snapshot(dict(values), context.flow)


class OpenSpan:
    """A span whose entry was logged, with everything that logging its end takes.

    Attributes:
        context: The span's context.
        started: Monotonic clock at entry, in nanoseconds.
        wall: Wall clock at entry, in nanoseconds. The end gets ``wall`` + duration as its time, so a clock change cannot reorder
            them.
        given: The captured input, while prices are active: it may name the model.
        full: The full recording of the call, or None.
    """

    __slots__ = ("_take", "classes", "context", "full", "given", "is_ended", "level", "logger", "site", "started", "wall")

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
        self.given: Any = None
        self.full: FullCall | None = None
        self._take: Take | None = None  # where the entry went

    def record(self, given: Any, state: dict[str, Any] | None) -> None:
        """Begin the full recording of the call, if a recorder has chosen its node.

        Args:
            given: The input itself, or NOTHING.
            state: The state that the node may write into, or None.
        """
        if is_chosen(self.context.node):
            self.full = FullCall(self.context, self.level, given, self.classes, state)

    def entry(self, kind: Kind, payload: Any) -> None:
        """Log the entry; the payload is a snapshot."""
        if active:
            self.given = payload if kind.key is not None else payload.get("input") if type(payload) is dict else None
        opened(self.context[1], self)
        self._take = emit(self.logger, (self.context, kind, self.level, self.wall, None, payload, None, self.site))

    def close(
        self,
        output: Any,
        error: BaseException | None = None,
        metrics: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        ended: int = 0,
    ) -> None:
        """Log the exit; log an error instead if the span raised or returned a soft failure.

        Args:
            output: The result, or NOTHING.
            error: The exception, or None.
            metrics: Further metrics.
            data: Further keys of the event's data, or None.
            ended: Wall clock at the end, in nanoseconds. Default 0: now.
        """
        if self.is_ended:
            return
        self.is_ended = True
        if isinstance(self.context, Entered) and not self.context.is_ended:
            leave(self.context)
        forget(self.context[1], None)
        parts = Parts()
        duration = max(0, ended - self.wall) if ended else time.perf_counter_ns() - self.started
        try:
            if data or error is not None or not self._exit(duration, output, metrics, parts):
                self._finish(duration, output, error, metrics, parts, data)
        except Exception:  # noqa: BLE001 - observability never breaks the observed code
            try:
                own_fault("logging the end of a span", self.context)
            except RecursionError:  # not even the report fits on the stack
                self.context[0].faults += 1
        if self.full is not None:
            with Guard(own_fault, "recording a whole call", self.context):
                self.full.end(output, error)
        if self.context[2] is None:
            self.context[0].ended = True
        if parts.interrupt is not None:
            raise parts.interrupt

    def _exit(self, duration: int, output: Any, metrics: dict[str, Any] | None, parts: Parts) -> bool:
        """Log an exit. Return False for a soft failure, or if a part cannot be read: ``_finish`` reads each part by itself."""
        flow = self.context.flow
        figures: Any = duration
        try:
            if type(output) is dict and is_soft_failure(output):
                return False
            if output is not NOTHING:
                if brought := metrics_of(output):
                    metrics = brought if metrics is None else {**metrics, **brought}
                if active:
                    metrics = self._priced(metrics, output)
                output = captured(output, flow, self.classes)
            elif active:
                metrics = self._priced(metrics, output)
            if metrics is not None:
                figures = {"duration_ms": duration / 1e6, **numbers(metrics, flow)}
        except BaseException as failure:  # noqa: BLE001 - the end is logged in any case
            parts.note(failure)
            return False
        facts = (self.context, EXIT, self.level, self.wall + duration, None, output, figures, self.site)
        if self._take is not None and self.context[2] is not None:  # a flow may get handlers while it runs
            self._take(facts)
        else:
            emit(self.logger, facts)
        return True

    def _priced(self, metrics: dict[str, Any] | None, output: Any) -> dict[str, Any] | None:
        """Return the metrics with the cost of the span, and note a model without a price."""
        if metrics is None:
            return None
        costs = with_cost(metrics, output, snapshot_of(self.given), self.context)
        if costs.note is not None:
            self.log("log", logging.WARNING, costs.note, {}, None)
        return costs.metrics

    def _finish(
        self,
        duration: int,
        output: Any,
        error: BaseException | None,
        metrics: dict[str, Any] | None,
        parts: Parts,
        data: dict[str, Any] | None,
    ) -> None:
        """Log any end. Each part is read by itself, so one that fails does not cost the others."""
        kind, level, message, payload, flow = EXIT, self.level, None, output, self.context.flow
        if error is None and output is not NOTHING and (brought := parts.read(metrics_of, output, instead={})):
            metrics = {**(metrics or {}), **brought}
        if active:
            metrics = parts.read(self._priced, metrics, output, instead=metrics)
        if error is not None or (type(output) is dict and parts.read(is_soft_failure, output, instead=False)):
            is_detailed = self.logger.isEnabledFor(logging.DEBUG)
            level, message, payload = end_of(output, error, parts, flow, is_detailed=is_detailed)
            kind = PLAIN["error"]
        elif data:
            kind, payload = PLAIN["exit"], {} if output is NOTHING else {"output": output}
        if kind is not EXIT:
            beside = parts.read(snapshot, data, flow, self.classes, instead={}) if data else {}  # as a whole: its keys count
            payload = {**beside, **{key: parts.read(snapshot, value, flow, self.classes) for key, value in payload.items()}}
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
            except Exception:  # noqa: BLE001 - observability never breaks the observed code
                own_fault("logging an event", self.context)


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
    """Log one event of a span. The caller checks the level."""
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
    """Log the error or soft failure of a node whose entry was filtered, if it failed and its logger has a handler."""
    if error is None and not (type(output) is dict and is_soft_failure(output)):
        return
    parts = Parts()
    try:
        if not (logger.isEnabledFor(logging.ERROR) and logger.hasHandlers()):
            return
        end = end_of(output, error, parts, is_detailed=logger.isEnabledFor(logging.DEBUG))
        if end.level >= logging.ERROR and logger.isEnabledFor(end.level):
            log_event(logger, child_context(node, step), "error", end.level, end.message, end.payload, None, site, classes, error)
    except Exception:  # noqa: BLE001 - observability never breaks the observed code
        own_fault("logging an error")
    if parts.interrupt is not None:
        raise parts.interrupt
