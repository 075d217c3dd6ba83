"""When logging itself fails: counted in the flow, and shown in its log, once a handler."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from ..context import FlowState, Place, SpanContext, context_of, current, new_number
from ..redaction.snapshots import snapshot
from ..redaction.texts import on_loss, scrub_text
from .buffers import listeners
from .records import NOWHERE, PLAIN, Facts, NodeRecord, message_of
from .tracebacks import error_text, traceback_text, type_name


def handler_failed(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Do what a ``handleError`` of ours does: tell of the failure on stderr as logging does, without secrets, and count it.

    The first failure of each handler becomes an event of the flow's log. It goes to the ring buffers alone, never through a
    logger, so that a broken handler is not asked again.
    """
    error = sys.exc_info()[1]
    try:
        span = record.facts[0] if type(record) is NodeRecord else current()
        if span is not None:
            span[0].faults += 1
        _tell(lambda: _failure_text(handler, record, error, _flow_of(record, span)))
        if span is not None:
            _report(context_of(span), f"{type_name(handler)} failed", error)
    except Exception:  # noqa: BLE001 - what cannot even be told, as at the end of the stack, must not break anything
        pass


def own_fault(where: str, place: Place | None = None) -> None:
    """Report a failure inside this package, in an ``except`` clause: on stderr as logging does, and in the flow's log."""
    if place is not None:
        place[0].faults += 1  # first, and without a call: at the end of the stack there may be no room for more
    try:
        error, span = sys.exc_info()[1], current() if place is None else context_of(place)
        if span is not None and place is None:
            span.flow.faults += 1
        _tell(lambda: f"the_edge_obs: {where} failed: {_told(error, span)}\n")
        if span is not None:
            _report(span, where + " failed", error)
    except Exception:  # noqa: BLE001 - what cannot even be told must not break anything
        pass


def _tell(text: Callable[[], str]) -> None:
    """Write a text to stderr, where logging tells of its own failures."""
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):  # stderr may be closed; the flow's log still tells
            sys.stderr.write(text())


def _failure_text(
    handler: logging.Handler, record: logging.LogRecord, error: BaseException | None, flow: FlowState | None
) -> str:
    """Return what ``logging.Handler.handleError`` prints, scrubbed: no arguments, for the message has them."""
    taints = () if flow is None else flow.taints
    if sys.is_finalizing():  # a finalizer logs after everything was taken down: a traceback of that helps nobody
        return f"the_edge_obs: {type_name(handler)} loses an event: Python is shutting down\n"
    trace = "" if error is None else scrub_text(traceback_text(error, flow), taints)
    where = f"Handler: {type_name(handler)}\nLogged from file {record.pathname}, line {record.lineno}"
    message = scrub_text(snapshot(message_of(record), flow), taints)
    return f"--- Logging error ---\n{trace}{where}\nMessage: {message!r}\n"


def _flow_of(record: logging.LogRecord, span: Place | None) -> FlowState | None:
    stamped = None if type(record) is NodeRecord else record.__dict__.get("_flow")
    return stamped if isinstance(stamped, FlowState) else None if span is None else span[0]


def _told(error: BaseException | None, span: SpanContext | None) -> str:
    """Return what an error says of itself, without secrets: what failed may have had some in its hands."""
    flow = None if span is None else span.flow
    return scrub_text(f"{type_name(error)}: {snapshot(error_text(error), flow)}", () if flow is None else flow.taints)


def _report(span: SpanContext, what: str, error: BaseException | None) -> None:
    """Let the ring buffers show a failure in its flow's log; the first of each kind."""
    if what in span.flow.reported:
        return
    span.flow.reported.add(what)
    message = what if error is None else f"{what}: {_told(error, span)}"
    where = span._replace(node="obs", step=None)
    facts: Facts = (where, PLAIN["log"], logging.ERROR, time.time_ns(), message, {}, None, NOWHERE)
    for keep in list(listeners):
        receive: Callable[[Facts], None] = keep.keep_fault
        receive(facts)


def _secret_lost(flow: FlowState) -> None:
    """Count that a flow cannot remember a secret any more, and show it once in its log."""
    flow.faults += 1
    span = current()
    if span is None or span.flow is not flow:
        span = SpanContext(flow, new_number(), None, "obs", None)
    _report(span, "a secret of the flow cannot be remembered: it may show up where no key names it", None)


on_loss.append(_secret_lost)
