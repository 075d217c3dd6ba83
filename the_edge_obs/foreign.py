"""Records of other libraries, scrubbed in place: so that handlers which are not ours give nothing away either."""

from __future__ import annotations

import logging
from typing import Any, Final

from .context import FlowState
from .event import dumps
from .records import SCRUBBED_ERROR, STANDARD, brought_event, message_of
from .redaction import scrub, scrub_text
from .snapshots import exception_text, snapshot

_TRACEBACKS: Final = logging.Formatter()
# What a snapshot that hides or lacks something has in it. What is too large to be looked through leaves as its copy.
_MARKS: Final = ("[REDACTED", "…[+", " items]", '"[depth]"')


def scrub_record(record: logging.LogRecord, flow: FlowState | None) -> None:
    """Take secrets out of a record's message, arguments, extras and traceback; without any, it stays as it is.

    Args:
        record: A record that another library logged.
        flow: The flow whose taints count and learn, or None.
    """
    if brought_event(record) is not None:
        return
    try:
        _scrub(record, flow)
    except Exception as error:  # noqa: BLE001 - logging never breaks its caller, and what cannot be looked at does not leave
        record.msg, record.args = f"[a record that cannot be scrubbed: {type(error).__name__}]", ()
        record.exc_info = record.exc_text = record.stack_info = None


def _scrub(record: logging.LogRecord, flow: FlowState | None) -> None:
    attributes = record.__dict__
    extras = {key: value for key, value in attributes.items() if key not in STANDARD}
    # Arguments and extras first: what stands under a secret key there may be in the message, too.
    arguments = _clean_arguments(record.args, flow) if record.args else record.args
    changed = {key: clean for key, value in extras.items() if (clean := _clean({key: value}, flow)) is not None}
    taints = flow.taints if flow is not None else ()
    _scrub_message(record, arguments, flow)
    for key, clean in changed.items():
        del attributes[key]
        attributes.update(clean)
    info = record.exc_info
    if isinstance(info, tuple) and info[1] is not None:
        text = record.exc_text or _TRACEBACKS.formatException(info)
        if (clean_text := scrub_text(text, taints)) != text:
            error = {"type": type(info[1]).__name__, "message": scrub_text(exception_text(info[1]), taints)}
            attributes[SCRUBBED_ERROR] = error
            # Not all formatters look at exc_text before they write out exc_info.
            record.exc_info, record.exc_text = None, clean_text
    for key in ("message", "exc_text", "stack_info"):
        kept = attributes.get(key)
        if isinstance(kept, str):
            attributes[key] = scrub_text(kept, taints)


def _scrub_message(record: logging.LogRecord, arguments: Any, flow: FlowState | None) -> None:
    taints = flow.taints if flow is not None else ()
    if isinstance(record.msg, dict) and (clean := _clean(record.msg, flow)) is not None:
        record.msg = clean  # a dict, which some formatters write out as fields
    message = message_of(record)
    text = scrub_text(message, taints)
    if arguments is not record.args and _rendered(record.msg, arguments) == text:
        record.args = arguments
    elif text != message or arguments is not record.args:
        record.msg, record.args = text, ()


def _rendered(template: object, arguments: Any) -> str | None:
    """Return the message that clean arguments make, or None where they do not fit: some formatters want them one by one."""
    try:
        rendered: str = str(template) % arguments
        return rendered
    except Exception:  # noqa: BLE001 - "%d" of a placeholder, or a hostile __str__
        return None


def _clean_arguments(arguments: Any, flow: FlowState | None) -> Any:
    if not isinstance(arguments, tuple):
        clean = _clean(arguments, flow)
        return arguments if clean is None else clean
    found = [_clean(one, flow) for one in arguments]
    if all(clean is None for clean in found):
        return arguments
    return tuple(one if clean is None else clean for one, clean in zip(arguments, found, strict=True))


def _clean(value: Any, flow: FlowState | None) -> Any:
    """Return a clean copy of a value, or None where there is nothing to hide."""
    if type(value) is bool or type(value) is float or value is None:
        return None
    taints = flow.taints if flow is not None else ()
    if isinstance(value, str):
        clean = scrub_text(value, taints)
        return clean if clean != value else None
    clean = scrub(snapshot(value, flow), taints)
    text = dumps(clean)
    return clean if any(mark in text for mark in _MARKS) else None
