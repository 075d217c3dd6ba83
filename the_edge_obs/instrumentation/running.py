"""Which span is running: entering a span, leaving it, and finding the nearest one that is still open."""

from __future__ import annotations

from contextvars import Token

from ..context import CURRENT, Entered, Place, SpanContext, context_of, nearest_open, place


def current() -> SpanContext | None:
    """Return the running span's context, or None outside any flow.

    A span that has ended is never returned. Spans may end out of order, or in another task or thread; then the result is the
    nearest enclosing span that is still open.

    Returns:
        A ``SpanContext``, with ``flow`` (which has ``id`` and ``name``), ``span_id``, ``parent_id``, ``node`` and ``step``.
    """
    span = place()
    if span is None:  # asked first: outside flows this must cost next to nothing
        return None
    span = nearest_open(span)
    if span is None or (span[0].ended and not isinstance(span, Entered)):
        return None
    return context_of(span)


def enter(context: Entered) -> None:
    """Make a span current."""
    before = place()
    if before is not None or context.before is not None:  # most flows begin in no span, and an attribute takes a dict
        context.before, context.is_late = before, isinstance(before, Entered) and before.is_ended
    CURRENT.set(context)


def leave(context: Entered, *, with_flow: bool = False) -> None:
    """Make the nearest open span around a span current again. If a later span is current, the end of that span does so.

    Args:
        context: The span's context.
        with_flow: Whether to leave a later span of the same flow too. It is still open, but its flow has ended.
    """
    if context.is_ended:
        return
    context.is_ended = True
    before = around = context.before
    if isinstance(before, Entered):
        around = nearest_open(before)
    here = place()
    if here is context or (with_flow and here is not None and here[0] is context[0]):
        CURRENT.set(before if context.is_late else around)
    if around is not before:
        context.before = around  # a chain of callbacks, each from an ended span, must not keep all of them alive


def give_back(token: Token[Place | None]) -> None:
    """Make the span before this one current again, if this is still the context it was entered in.

    A generator or coroutine can be closed from another context. The span was never current there, so there is nothing to reset.
    """
    try:
        CURRENT.reset(token)
    except (ValueError, RuntimeError):  # the token belongs to another context, or was used already
        return
