"""Failures of logging itself: counted in the flow, and shown in its log once per handler."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..context import FlowState, Place, SpanContext, context_of, current, new_number
from ..redaction.snapshots import snapshot
from ..redaction.texts import on_loss, scrub_text
from .buffers import listeners
from .records import NOWHERE, PLAIN, Facts, NodeRecord, message_of
from .tracebacks import error_text, traceback_text, type_name


class Guard:
    """A context manager that reports an exception instead of raising it: logging never breaks the observed code.

    Interrupts such as Ctrl-C pass. Code that runs for each event has the same ``except`` clause inline, because a context
    manager would cost it a few tenths of a microsecond.

    Args:
        report: Called in place of the ``except`` clause, where ``sys.exc_info()`` has the exception: ``own_fault``, or the
            ``handleError`` of a handler.
        arguments: The arguments of ``report``.
    """

    __slots__ = ("_arguments", "_report")

    def __init__(self, report: Callable[..., object], *arguments: Any) -> None:
        self._report, self._arguments = report, arguments

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self._report(*self._arguments)
        return True


def handler_failed(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Report the failure of a handler of this package: on stderr as ``logging`` does, without secrets, and in the flow's count.

    The first failure of each handler becomes an event of the flow's log. It goes only to the ring buffers, never through a
    logger, so a broken handler is not called again.
    """
    error = sys.exc_info()[1]
    try:
        # By index, without a call: at the end of the stack there may be no room for more than the count.
        place: Place | None = record.facts[0] if type(record) is NodeRecord else current()
        if place is not None:
            place[0].faults += 1
        span = None if place is None else context_of(place)
        _write(lambda: _failure_text(handler, record, error, _flow_of(record, span)))
        if span is not None:
            _report(span, f"{type_name(handler)} failed", error)
    except Exception:  # noqa: BLE001 - reporting fails too, as at the end of the stack; that must not break anything
        pass


def own_fault(where: str, place: Place | None = None) -> None:
    """Report a failure inside this package, in an ``except`` clause: on stderr as logging does, and in the flow's log."""
    if place is not None:
        place[0].faults += 1  # first, and without a call, as above
    try:
        error, span = sys.exc_info()[1], current() if place is None else context_of(place)
        if span is not None and place is None:
            span.flow.faults += 1
        _write(lambda: f"the_edge_obs: {where} failed: {_description(error, span)}\n")
        if span is not None:
            _report(span, where + " failed", error)
    except Exception:  # noqa: BLE001 - reporting fails too; that must not break anything
        pass


def note_loss(place: Place, what: str) -> None:
    """Count something that a handler lost in its flow, and show it there once. Nothing is written to stderr."""
    place[0].faults += 1
    with suppress(Exception):  # reporting fails too; that must not break anything
        _report(context_of(place), what, None)


def _write(text: Callable[[], str]) -> None:
    """Write a text to stderr, where ``logging`` reports its own failures."""
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):  # stderr may be closed; the flow's log still has the failure
            sys.stderr.write(text())


def _failure_text(
    handler: logging.Handler, record: logging.LogRecord, error: BaseException | None, flow: FlowState | None
) -> str:
    """Return what ``logging.Handler.handleError`` prints, scrubbed and without arguments, which the message contains."""
    taints = () if flow is None else flow.taints
    if sys.is_finalizing():  # a finalizer logs after the teardown: a traceback would not help
        return f"the_edge_obs: {type_name(handler)} loses an event: Python is shutting down\n"
    trace = "" if error is None else scrub_text(traceback_text(error, flow), taints)
    where = f"Handler: {type_name(handler)}\nLogged from file {record.pathname}, line {record.lineno}"
    message = scrub_text(snapshot(message_of(record), flow), taints)
    return f"--- Logging error ---\n{trace}{where}\nMessage: {message!r}\n"


def _flow_of(record: logging.LogRecord, span: SpanContext | None) -> FlowState | None:
    stamped = None if type(record) is NodeRecord else record.__dict__.get("_flow")
    return stamped if isinstance(stamped, FlowState) else span and span.flow


def _description(error: BaseException | None, span: SpanContext | None) -> str:
    """Return the type and the text of an error, without secrets: the code that failed may have handled some."""
    flow = None if span is None else span.flow
    return scrub_text(f"{type_name(error)}: {snapshot(error_text(error), flow)}", () if flow is None else flow.taints)


def _report(span: SpanContext, what: str, error: BaseException | None) -> None:
    """Add a failure to its flow's log in the ring buffers; only the first of each kind."""
    if what in span.flow.reported:
        return
    span.flow.reported |= {what}
    message = what if error is None else f"{what}: {_description(error, span)}"
    where = span._replace(node="obs", step=None)
    facts: Facts = (where, PLAIN["log"], logging.ERROR, time.time_ns(), message, {}, None, NOWHERE)
    for buffer in list(listeners):
        keep: Callable[[Facts], None] = buffer.keep_fault
        keep(facts)


def _secret_lost(flow: FlowState) -> None:
    """Count a secret that a flow cannot remember, and show that once in its log."""
    flow.faults += 1
    span = current()
    if span is None or span.flow is not flow:
        span = SpanContext(flow, new_number(), None, "obs", None)
    _report(span, "a secret of the flow cannot be remembered: it may show up where no key names it", None)


on_loss.append(_secret_lost)
