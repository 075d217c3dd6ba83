"""The content of the event that ends a span: error, output and metrics. Each part is read by itself, so one can fail alone."""

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

# Exceptions that cancel a span. They are matched by name, so that asyncio need not be imported. ``Cancelled`` is trio's.
_CANCELLATIONS: Final = frozenset(
    {"Cancelled", "CancelledError", "GeneratorExit", "KeyboardInterrupt", "ReplayStopped", "SystemExit"}
)


class End(NamedTuple):
    """The level, message and data of an error event."""

    level: int
    message: str
    payload: dict[str, Any]


def end_of(
    output: Any, error: BaseException | None, parts: Parts, flow: FlowState | None = None, *, is_detailed: bool = False
) -> End:
    """Return the content of the error event that ends a span.

    Args:
        output: The result, a soft failure; used if nothing was raised.
        error: The exception, or None.
        parts: Reads values that may be hostile.
        flow: The flow whose taints apply when a long traceback is cut, or None.
        is_detailed: Whether to include the traceback. Default False.
    """
    if error is None:
        return _soft_end(output, parts)
    details = described(error, parts)
    if is_detailed:
        # Cut, with the last frames kept: a recursion that fails ends a thousand spans, each with a longer traceback.
        details["traceback"] = parts.read(traceback_text, error, flow)
    if outcome_of(error, parts) == "cancelled":
        return End(logging.WARNING, details["message"], {"error": details, "cancelled": True})
    return End(logging.ERROR, details["message"], {"error": details})


def outcome_of(error: BaseException | None, parts: Parts) -> str:
    """Return the status of a span or flow that ended with an exception or None: ok, error or cancelled."""
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
    """Return an action's ``error`` as text: the text itself, an exception's text, or the snapshot of any other value."""
    if value is None or issubclass(type(value), (str, BaseException)):
        return error_text(value)
    copy = snapshot(value)
    return copy if isinstance(copy, str) else dumps(scrub(copy))


def text_of(value: object) -> str:
    """Return a text itself, any other value as the text of its snapshot: a foreign ``__str__`` may raise or never return."""
    return str.__str__(value) if issubclass(type(value), str) else error_part(value)


def numbers(metrics: dict[str, Any], flow: FlowState) -> dict[str, Any]:
    """Return metrics as JSON numbers. A value that is not a number (NaN, a text) becomes null. Names are scrubbed.

    The schema's own metrics (durations, tokens, costs) cannot be null or negative; such a value is left out. Of all others the
    first ``MAX_ITEMS`` are kept; ``…`` counts the rest.
    """
    kept: dict[str, Any] = {}
    others = 0
    for key, value in metrics.items():
        if key in CHECKED_METRICS:
            if _is_number(value) and value >= 0:
                kept[key] = value
        elif (others := others + 1) <= MAX_ITEMS:
            name = scrub_key(text_of(key)[: 2 * MAX_STRING], effective(flow.taints.policy))[:MAX_KEY]
            kept[name] = value if _is_number(value) else None
    if others > MAX_ITEMS:
        kept["…"] = others - MAX_ITEMS
    return kept


def _is_number(value: Any) -> bool:
    kind = type(value)  # not isinstance: __class__ may lie or raise
    if kind is int:  # most are
        return bool(-MAX_INT <= value <= MAX_INT)
    if issubclass(kind, float):
        return float.__sub__(value, value) == 0
    return issubclass(kind, int) and kind is not bool and -MAX_INT <= int.__int__(value) <= MAX_INT
