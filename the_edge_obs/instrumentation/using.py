"""Making a span current for a block that neither starts nor ends it."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType

from ..context import CURRENT, Entered, Lent, Place, SpanContext, Started, lent, nearest_open, place
from .flow_context import ObservabilityContext
from .running import give_back
from .spans import Span, StartedSpan


def use_span(span: ObservabilityContext | StartedSpan | Span | SpanContext | None) -> Using:
    """Return a context manager in whose block a span is the current one; the block neither starts nor ends it.

    For code that runs in turns or in other threads: a generator that is in its flow only while it computes, a callback, a pool
    without ``wrap``. Afterwards the span before it is current again, also if the block was left in another context; if that has
    ended meanwhile, the nearest open span around it. A flow that has not begun begins.

    Args:
        span: A flow, what ``start_span`` returned, or the result of ``current()``. With None, or a span whose level is filtered,
            the current span stays.

    Example:
        >>> call = obs.start_span("llm.call")
        >>> with obs.use_span(call):
        ...     obs.current().node
        'llm.call'
        >>> call.end()
        True
    """
    if isinstance(span, ObservabilityContext):
        span.begin()
    return Using(span if span is None or isinstance(span, SpanContext) else span.context)


class Using:
    """A block in which a span is the current one."""

    __slots__ = ("_context", "_lent", "_tokens")

    def __init__(self, context: SpanContext | None) -> None:
        self._context = context
        self._tokens: list[tuple[Token[Place | None], Entered | None]] = []  # with the span before, if that was open
        self._lent: list[Lent] = []

    def __enter__(self) -> None:
        context = self._context
        if isinstance(context, Started):
            context = lent(context)
            self._lent.append(context)
        if context is not None:
            before = place()
            is_open = isinstance(before, Entered) and not before.is_ended
            self._tokens.append((CURRENT.set(context), before if is_open else None))  # type: ignore[arg-type]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lent:
            self._lent.pop().is_left = True
        if self._tokens:
            token, before = self._tokens.pop()
            give_back(token)
            if before is not None and before.is_ended and place() is before:  # spans may end out of order
                CURRENT.set(nearest_open(before))
