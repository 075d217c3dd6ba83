"""The initial state of a run: ``--state`` and ``--set``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from ..errors import ConfigurationError

_WORDS: Final = {"True": True, "TRUE": True, "False": False, "FALSE": False}


def initial_state(given: str | None, settings: Sequence[str], before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the state that the options describe.

    Args:
        given: A JSON object, or ``@`` and the path of a file with one, or None.
        settings: ``key=value``; dots in a key lead into mappings; ``scalar`` reads the value.
        before: The state that they change, if none is given; or None.

    Raises:
        ConfigurationError: an option is not valid; the error names it and what is allowed.
    """
    state = (before or {}) if given is None else _state(given)
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.split(".")
        if not equals or not all(path):
            raise ConfigurationError(f"--set {setting!r} is not key=value; write --set path=access.log, or --set user.name=ada")
        _put(state, path, scalar(text), setting)
    return state


def _state(given: str) -> dict[str, Any]:
    text = given
    if given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "the file is not UTF-8"
            raise ConfigurationError(f"--state {given!r} cannot be read: {reason}") from error
    shown = given if len(given) <= 60 else given[:57] + "..."
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "" if given.startswith("@") else "; write @FILE to read a file"
        raise ConfigurationError(f"--state {shown!r} is not valid JSON ({error}){hint}") from error
    if not isinstance(state, dict):
        raise ConfigurationError(f'--state {shown!r} is a {type(state).__name__}; it must be a JSON object such as {{"n": 3}}')
    return state


def scalar(text: str) -> Any:
    """Return the value that a text stands for.

    Valid JSON is parsed: ``[1, 2]`` is a list, ``{"a": 1}`` a mapping, ``3`` a number. Any other text stands for itself: a path,
    a date, ``12:30`` and ``007``, which YAML 1.1 would read as numbers, and text that only looks like JSON (``[a]``, ``NaN``).
    Text that happens to be valid JSON goes in double quotes: ``'"[1, 2]"'``.
    """
    if text in _WORDS:
        return _WORDS[text]
    try:
        return json.loads(text, parse_constant=_not_json, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_json(text)


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _put(state: dict[str, Any], path: Sequence[str], value: Any, setting: str) -> None:
    inner = state
    for step, key in enumerate(path[:-1], 1):
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(
                f"--set {setting!r}: {'.'.join(path[:step])!r} is already set to {inner!r}, which is not a mapping"
            )
    inner[path[-1]] = value
