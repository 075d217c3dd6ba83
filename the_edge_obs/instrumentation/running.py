"""Which span is running: entering a span, leaving it, and finding the nearest one that is still open."""

from __future__ import annotations

from contextvars import Token

from ..context import CURRENT, Entered, Place, SpanContext, context_of, place


def current() -> SpanContext | None:
    """Return the span that is running here, or None outside any flow; never one that has ended.

    Spans may end in another order than they began, and in another task or thread. Then it is the nearest one around that is still
    open.
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


def give_back(token: Token[Place | None]) -> None:
    """Make the span before this one current again, if this is still the context it was entered in.

    A generator or coroutine can be closed from another context, which never held the span: nothing to give back there.
    """
    try:
        CURRENT.reset(token)
    except (ValueError, RuntimeError):  # another context's; used already
        return
