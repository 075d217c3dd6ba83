"""Records of other libraries, scrubbed in place, so that third-party handlers do not leak secrets either."""

from __future__ import annotations

import logging
from typing import Any, Final

from ..context import FlowState
from ..event import dumps
from ..redaction.conversions import MAX_ITEMS
from ..redaction.snapshots import snapshot
from ..redaction.texts import MAX_STRING, scrub, scrub_text
from .bare_errors import clean_text, is_clean
from .records import SCRUBBED_ERROR, STANDARD, brought_event, message_of, own_ids
from .tracebacks import error_text, traceback_text, type_name

# Marks of a snapshot that is redacted or cut. A value that is too large to be searched is replaced by its snapshot.
_MARKS: Final = ("[REDACTED", "…[+", " items]", '"[depth]"')
_TAIL: Final = 4 * MAX_STRING  # characters of a traceback or stack, the last ones: the error is at the end


def scrub_record(record: logging.LogRecord, flow: FlowState | None) -> None:
    """Remove secrets from a record's message, arguments, extras and traceback; a record without secrets is not changed.

    What is too long to be searched is cut, visibly: texts after 8,192 characters, like captured texts, and tracebacks
    before the last 32,768. So the time does not depend on their length.

    Args:
        record: A record that another library logged.
        flow: The flow whose taints are removed, and which learns new ones, or None.
    """
    if brought_event(record) is not None:
        return
    try:
        _scrub(record, flow)
    except Exception as error:  # noqa: BLE001 - logging never breaks its caller, and what cannot be searched is withheld
        _withhold(record, type_name(error))


def _withhold(record: logging.LogRecord, why: str) -> None:
    """Remove everything from a record but the attributes that ``logging`` itself sets."""
    for key in (record.__dict__.keys() - STANDARD) | set(own_ids(record)):
        del record.__dict__[key]
    record.__dict__.pop("message", None)
    record.msg, record.args = f"[a record that cannot be scrubbed: {why}]", ()
    record.exc_info = record.exc_text = record.stack_info = None


def _scrub(record: logging.LogRecord, flow: FlowState | None) -> None:
    # Arguments and extras first: a value under a secret key there may also be in the message.
    arguments = _clean_arguments(record.args, flow) if record.args else record.args
    _scrub_extras(record, flow)
    _scrub_message(record, arguments, flow)
    _scrub_error(record, flow)
    for key in ("message", "exc_text", "stack_info"):
        kept = record.__dict__.get(key)
        if isinstance(kept, str):
            record.__dict__[key] = clean_text(kept, flow) if key == "message" else _end_of(kept, flow)


def _scrub_extras(record: logging.LogRecord, flow: FlowState | None) -> None:
    attributes = record.__dict__
    extras = [*own_ids(record), *(key for key in attributes if key not in STANDARD)]
    for key in extras[:MAX_ITEMS]:
        if (clean := _clean({key: attributes[key]}, flow)) is not None:
            del attributes[key]
            attributes.update(clean)
    if len(extras) > MAX_ITEMS:
        for key in extras[MAX_ITEMS:]:
            del attributes[key]
        attributes["…"] = f"[+{len(extras) - MAX_ITEMS} items]"


def _scrub_error(record: logging.LogRecord, flow: FlowState | None) -> None:
    info = record.exc_info
    if not isinstance(info, tuple) or info[1] is None:
        return
    if is_clean(info[1], flow):
        return
    taints = flow.taints if flow is not None else ()
    message = clean_text(error_text(info[1]), flow)
    record.__dict__[SCRUBBED_ERROR] = {"type": type_name(info[1]), "message": message}
    # Some formatters write exc_info without checking exc_text.
    record.exc_info, record.exc_text = None, scrub_text(traceback_text(info[1], flow), taints).rstrip("\n")


def _scrub_message(record: logging.LogRecord, arguments: Any, flow: FlowState | None) -> None:
    if issubclass(type(record.msg), dict) and (clean := _clean(record.msg, flow)) is not None:
        record.msg = clean  # a dict, which some formatters write as fields
    if arguments is record.args:
        message = message_of(record)
        if (text := clean_text(message, flow)) != message:
            record.msg, record.args = text, ()
        return
    rendered = _rendered(record.msg, arguments)
    if rendered is not None and clean_text(rendered, flow) == rendered:
        record.args = arguments
    else:
        record.msg, record.args = clean_text(message_of(record) if rendered is None else rendered, flow), ()


def _end_of(text: str, flow: FlowState | None) -> str:
    """Return a text without secrets; only the last lines of a long one."""
    window = text[-_TAIL - MAX_STRING :]
    clean = scrub_text(window, flow.taints if flow is not None else ())
    if len(window) == len(text) and len(clean) <= _TAIL:
        return clean
    # A secret that begins before the window ends in its first part, which is dropped up to the end of a line.
    start = max(len(clean) - _TAIL, MAX_STRING if len(window) < len(text) else 0)
    kept = clean[start:].partition("\n")[2]
    return f"[+{len(text) - min(len(kept), len(text))} chars]\n{kept}"


def _rendered(template: object, arguments: Any) -> str | None:
    """Return the message with clean arguments, or None if they do not fit: some formatters need separate arguments."""
    try:
        rendered: str = str(template) % arguments
        return rendered
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - "%d" with a placeholder, or a hostile __str__
        return None


def _clean_arguments(arguments: Any, flow: FlowState | None) -> Any:
    if not isinstance(arguments, tuple):
        clean = _clean(arguments, flow)
        return arguments if clean is None else clean
    if len(arguments) > MAX_ITEMS:
        return ()  # no template has so many; the message keeps their text
    copies = [_clean(argument, flow) for argument in arguments]
    if all(clean is None for clean in copies):
        return arguments
    return tuple(argument if clean is None else clean for argument, clean in zip(arguments, copies, strict=True))


def _clean(value: Any, flow: FlowState | None) -> Any:
    """Return a clean copy of a value, or None if there is nothing to hide."""
    if type(value) is bool or type(value) is float or value is None:
        return None
    if issubclass(type(value), str):
        clean = clean_text(value, flow)
        return clean if clean != value else None
    clean = scrub(snapshot(value, flow), flow.taints if flow is not None else ())
    text = dumps(clean)
    return clean if any(mark in text for mark in _MARKS) else None
