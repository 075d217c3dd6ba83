"""When logging itself fails: counted in the flow, and shown in its log, once a handler."""

from __future__ import annotations

import logging
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from .context import Place, SpanContext, context_of, current
from .records import NOWHERE, PLAIN, Facts, NodeRecord
from .redaction import scrub_text
from .snapshots import exception_text


class _Listeners:
    """Buffers, oldest first, held weakly: one that is gone needs no farewell.

    Unlike a ``WeakSet`` it can be gone through while other threads, with a configuration of their own, add to it.
    """

    def __init__(self) -> None:
        self._by_id: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def add(self, buffer: Any) -> None:
        self._by_id[id(buffer)] = buffer

    def discard(self, buffer: Any) -> None:
        self._by_id.pop(id(buffer), None)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Any]:
        found = (reference() for reference in self._by_id.valuerefs())
        return iter([buffer for buffer in found if buffer is not None])


# Buffers that show faults in their flows, and that flows are read from; a ring adds itself.
listeners: Final = _Listeners()


def counted_fault(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Count a failure of a handler in the record's flow; the first of each handler becomes an event of the flow's log.

    The event goes to the ring buffers alone, never through a logger, so that a broken handler is not asked again.
    """
    span = record.facts[0] if type(record) is NodeRecord else current()
    if span is not None:
        _report(context_of(span), f"{type(handler).__name__} failed", sys.exc_info()[1])


def own_fault(where: str, place: Place | None = None) -> None:
    """Report a failure inside this package, in an ``except`` clause: on stderr as logging does, and in the flow's log."""
    span = current() if place is None else context_of(place)
    error = sys.exc_info()[1]
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):  # stderr may be closed; the flow's log still tells
            sys.stderr.write(f"the_edge_obs: {where} failed: {_told(error, span)}\n")
    if span is not None:
        _report(span, where + " failed", error)


def _told(error: BaseException | None, span: SpanContext | None) -> str:
    """Return what an error says of itself, without secrets: what failed may have had some in its hands."""
    return f"{type(error).__name__}: {scrub_text(exception_text(error), span.flow.taints if span is not None else ())}"


def _report(span: SpanContext, what: str, error: BaseException | None) -> None:
    flow = span.flow
    flow.faults += 1
    if what in flow.reported:
        return
    flow.reported.add(what)
    message = f"{what}: {_told(error, span)}"
    where = span._replace(node="obs", step=None)
    facts: Facts = (where, PLAIN["log"], logging.ERROR, time.time_ns(), message, {}, None, NOWHERE)
    for keep in list(listeners):
        receive: Callable[[Facts], None] = keep.keep
        receive(facts)
