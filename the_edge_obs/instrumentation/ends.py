"""What the event that ends a span says of an error, an output and metrics. Each part is read by itself: one fails alone."""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from ..context import FlowState
from ..event import CHECKED_METRICS, MAX_INT, dumps
from ..recording.tracebacks import Parts, class_names, described, error_text, traceback_text
from ..redaction.conversions import MAX_ITEMS
from ..redaction.snapshots import snapshot
from ..redaction.texts import MAX_STRING, scrub, scrub_key
from ..secrets.keys import MAX_KEY
from ..secrets.policies import effective

# What ends a span without being its failure; by name, for asyncio need not be imported.
_CANCELLATIONS: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})


class End(NamedTuple):
    """The level, message and data of an error event."""

    level: int
    message: str
    payload: dict[str, Any]


def end_of(
    output: Any, error: BaseException | None, parts: Parts, flow: FlowState | None = None, *, is_detailed: bool = False
) -> End:
    """Return what the error event says that ends a span.

    Args:
        output: What was returned, a soft failure, where nothing was raised.
        error: What was raised, or None.
        parts: Reads what may be hostile.
        flow: The flow whose taints count where a long traceback is cut, or None.
        is_detailed: Whether the traceback is told.
    """
    if error is None:
        return _soft_end(output, parts)
    details = described(error, parts)
    if is_detailed:
        # The last frames tell most; and a recursion that fails ends a thousand spans, each with a longer traceback.
        details["traceback"] = parts.read(traceback_text, error, flow)
    if outcome_of(error, parts) == "cancelled":
        return End(logging.WARNING, details["message"], {"error": details, "cancelled": True})
    return End(logging.ERROR, details["message"], {"error": details})


def outcome_of(error: BaseException | None, parts: Parts) -> str:
    """Return the status of what ended with an exception, or with none: ok, error or cancelled."""
    if error is None:
        return "ok"
    return "error" if _CANCELLATIONS.isdisjoint(parts.read(class_names, error, instead=())) else "cancelled"


def _soft_end(output: dict[str, Any], parts: Parts) -> End:
    kind, error = output.get("error_type"), output.get("error")
    message = parts.read(error_part, error)
    details = {
        "type": parts.read(error_part, kind) if parts.read(bool, kind, instead=True) else "ActionError",
        "message": message,
    }
    return End(logging.ERROR, message, {"error": details, "output": output})


def error_part(value: object) -> str:
    """Return what an action put under ``error`` as text: a text or an exception as it is, anything else as its snapshot."""
    if value is None or issubclass(type(value), (str, BaseException)):
        return error_text(value)
    taken = snapshot(value)
    return taken if isinstance(taken, str) else dumps(scrub(taken))


def text_of(value: object) -> str:
    """Return a text as it is, anything else as the text of its snapshot: a foreign ``__str__`` may raise, or never end."""
    return str.__str__(value) if issubclass(type(value), str) else error_part(value)


def numbers(metrics: dict[str, Any], flow: FlowState) -> dict[str, Any]:
    """Return metrics as JSON numbers; what is not a number (NaN, a text) becomes null, and no name is a secret of the flow.

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
            name = scrub_key(text_of(key)[: 2 * MAX_STRING], effective(flow.taints.policy))[:MAX_KEY]
            taken[name] = value if _is_number(value) else None
    if others > MAX_ITEMS:
        taken["…"] = others - MAX_ITEMS
    return taken


def _is_number(value: Any) -> bool:
    kind = type(value)  # not isinstance: a value may lie about its class, or raise when it is asked
    if kind is int:  # most are
        return bool(-MAX_INT <= value <= MAX_INT)
    if issubclass(kind, float):
        return float.__sub__(value, value) == 0
    return issubclass(kind, int) and kind is not bool and -MAX_INT <= int.__int__(value) <= MAX_INT
