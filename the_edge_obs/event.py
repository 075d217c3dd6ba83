"""The event: its keys and their order, its levels and types, and its one JSON form.

An event is a plain dict with the keys of ``KEYS`` in that order (``step`` only where a YAML flow gave one). The contract
is ``event.schema.json`` (JSON Schema draft 2020-12); ``problems`` checks the same rules without a schema library.
"""

from __future__ import annotations

import json
import json.encoder
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeGuard, cast

from .errors import EventError, allowed

Event: TypeAlias = "dict[str, Any]"

SCHEMA_VERSION: Final = 1
KEYS: Final = (
    "flow_id",
    "span_id",
    "parent_id",
    "node",
    "level",
    "timestamp",
    "event_type",
    "message",
    "data",
    "metrics",
    "step",
)
EVENT_TYPES: Final = ("entry", "exit", "error", "metric", "log")
LEVELS: Final = ("debug", "info", "warn", "error")

_NUMBERS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CHECKED_METRICS: Final = ("duration_ms", "tokens", "input_tokens", "output_tokens", "cost_usd")


def _encoder() -> Callable[[Any], str]:
    """Return the one encoder of every line: strict RFC 8259, where NaN raises instead of being written bare.

    ``JSONEncoder.encode`` makes CPython's encoder anew for each value, a fifth of a line's cost; this makes it once.
    """
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    encode = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


dumps: Final = _encoder()


def level_number(level: str | int) -> int:
    """Return the logging level number of a level's name (any case; ``warn`` and ``warning`` alike) or number.

    Raises:
        EventError: the name is not a level.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    number = _NUMBERS.get(level.lower()) if isinstance(level, str) else None
    if number is None:
        raise EventError(f"unknown level {level!r}; {allowed(LEVELS)}")
    return number


@lru_cache(maxsize=128)
def level_name(number: int) -> str:
    """Return the event level of a logging level number: CRITICAL is ``error``, what lies between rounds down."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the event, as shipped in the package."""
    text = Path(__file__).with_name("event.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def is_uuid(value: object) -> bool:
    """Tell whether the value is a UUID in its canonical, lowercase, hyphenated form."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def problems(event: object) -> list[str]:
    """Return what is wrong with an event, one line each; an empty list for a valid one."""
    if not isinstance(event, Mapping):
        return [f"an event is an object, not {type(event).__name__}"]
    found = [f"key {key!r} is missing" for key in KEYS[:-1] if key not in event]
    found += [f"unknown key {key!r}; {allowed(KEYS)}" for key in event if key not in KEYS]
    for key, (holds, what) in _RULES.items():
        if key in event and not holds(event[key]):
            found.append(f"{key} is {_short(event[key])}; it must be {what}")
    if isinstance(event.get("metrics"), Mapping):
        found += _metric_problems(event["metrics"])
    if isinstance(event.get("data"), Mapping) and not is_error_data(event["data"].get("error")):
        found.append(f"data.error is {_short(event['data']['error'])}; it must be null or {{type, message}} of strings")
    return found


def validate(event: object) -> None:
    """Check an event against the schema.

    Raises:
        EventError: it breaks a rule; the message lists every rule broken.
    """
    if found := problems(event):
        raise EventError("; ".join(found))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def is_error_data(error: object) -> bool:
    """Tell whether a value may stand as ``data.error``: null, or ``{type, message}`` of strings.

    It may also have ``traceback``, ``where`` (strings), ``notes`` (strings), ``cause`` and ``errors`` (each ``{type, message}``).
    """
    if error is None:
        return True
    if not _is_named(error) or not all(isinstance(error.get(key, ""), str) for key in ("traceback", "where")):
        return False
    notes, errors = error.get("notes", []), error.get("errors", [])
    if not isinstance(notes, list) or not isinstance(errors, list) or not ("cause" not in error or _is_named(error["cause"])):
        return False
    return all(isinstance(note, str) for note in notes) and all(map(_is_named, errors))


def _is_named(error: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(error, Mapping) and all(isinstance(error.get(key), str) for key in ("type", "message"))


def _metric_problems(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in metrics.items():
        if key in CHECKED_METRICS:
            if not _is_number(value) or value < 0:
                found.append(f"metrics.{key} is {_short(value)}; it must be a number of at least 0")
        elif value is not None and not _is_number(value):
            found.append(f"metrics.{key} is {_short(value)}; it must be a number or null")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "flow_id": (is_uuid, "a UUID string"),
    "span_id": (is_uuid, "a UUID string"),
    "parent_id": (lambda value: value is None or is_uuid(value), "a UUID string or null"),
    "node": (lambda value: isinstance(value, str) and value != "", "a string that is not empty"),
    "level": (lambda value: value in LEVELS, "one of " + ", ".join(LEVELS)),
    "timestamp": (lambda value: _is_number(value) and value >= 0, "Unix seconds"),
    "event_type": (lambda value: value in EVENT_TYPES, "one of " + ", ".join(EVENT_TYPES)),
    "message": (lambda value: value is None or isinstance(value, str), "a string or null"),
    "data": (lambda value: isinstance(value, Mapping), "an object"),
    "metrics": (lambda value: isinstance(value, Mapping), "an object"),
    "step": (lambda value: isinstance(value, str), "a string"),
}
