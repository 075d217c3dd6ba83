"""Shared parts of the builtin actions: the form of a soft failure, and checks of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..context import current
from ..errors import ActionError


def failure(error: str, error_type: str, **facts: Any) -> dict[str, Any]:
    """Return a soft failure: a result that describes the failure, is logged as an error, and lets the flow continue.

    Args:
        error: What went wrong, for people.
        error_type: The kind of failure, for programs: ``timeout``, ``not_found``, ``parse`` ...
        **facts: Further keys of the result, such as ``status``.
    """
    return {"success": False, "error": error, "error_type": error_type, **facts}


def add_event(node: str, level: int, event_type: str, message: str | None, data: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Log an event about a node in the running span, if one is open and the node's level allows it.

    Raises:
        ConfigurationError: The node has no name.
    """
    from ..instrumentation.span_events import OpenSpan, node_logger
    from ..recording.records import NOWHERE

    logger, span = node_logger(node), current()
    if span is not None:
        OpenSpan(logger, level, NOWHERE, span._replace(node=node)).log(event_type, level, message, data, metrics)


def text_of(action: str, name: str, value: object) -> str:
    """Return a parameter that must be a string that is not empty.

    Raises:
        ActionError: It is something else.
    """
    if not isinstance(value, str) or not value:
        raise ActionError(f"{action}: {name} is {value!r}; it must be a string that is not empty")
    return value


def check_encoding(action: str, encoding: object) -> None:
    """Refuse an encoding that Python does not know.

    Raises:
        ActionError: It is unknown, or not a string.
    """
    try:
        " ".encode(text_of(action, "encoding", encoding))
    except LookupError as error:
        raise ActionError(f"{action}: unknown encoding {encoding!r}; use a name that Python knows, such as utf-8") from error


def positive(action: str, name: str, value: object) -> float:
    """Return a parameter that must be a number above zero.

    Raises:
        ActionError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ActionError(f"{action}: {name} is {value!r}; it must be a number above 0")
    return value


def not_negative(action: str, name: str, value: object) -> float:
    """Return a parameter that must be a number of at least zero.

    Raises:
        ActionError: It is something else.
    """
    return 0 if value == 0 and not isinstance(value, bool) else positive(action, name, value)


def count_of(action: str, name: str, value: object) -> int:
    """Return a parameter that must be a whole number above zero.

    Raises:
        ActionError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ActionError(f"{action}: {name} is {value!r}; it must be a whole number above 0")
    return value


def mapping_of(action: str, name: str, value: object) -> Mapping[str, Any]:
    """Return a parameter that must be a mapping; None counts as an empty one.

    Raises:
        ActionError: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ActionError(f"{action}: {name} is {value!r}; it must be a mapping of names to values")
    return value


def json_bytes(action: str, name: str, value: object) -> bytes:
    """Return a parameter as strict JSON (RFC 8259), UTF-8.

    Raises:
        ActionError: It holds a value that JSON cannot represent, such as NaN or an object.
    """
    import json

    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(f"{action}: {name} cannot be written as JSON ({error}); give strings, numbers, lists, dicts") from error


def parsed_json(text: str | bytes, **options: Any) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The text; bytes are UTF-8, UTF-16 or UTF-32.
        **options: Further arguments of ``json.loads``.

    Raises:
        ValueError: It is not valid JSON, or is nested too deeply for Python's parser.
    """
    import json

    try:
        return json.loads(text, **options)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
