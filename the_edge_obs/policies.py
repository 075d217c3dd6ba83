"""What a ``redact:`` entry says: checked, and made a redaction policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .errors import ConfigurationError, allowed
from .redaction import Policy
from .secret_keys import fold

REDACT_KEYS: Final = ("keys", "safe_keys", "patterns", "correlate")
_EXAMPLE: Final = "write one such as 'AC-[0-9]{6}'"


def policy_of(entry: Any, where: str) -> Policy:
    """Return the policy that a ``redact:`` entry stands for.

    Args:
        entry: ``{keys: [...], safe_keys: [...], patterns: [...], correlate: true}``, each of them optional; None is an empty one.
        where: Where it stands, for messages.

    Raises:
        ConfigurationError: it names the key, the value and what is allowed.
    """
    entry = {} if entry is None else entry
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"{where} is {entry!r}; it must be a mapping with {allowed(REDACT_KEYS)}")
    for key in entry:
        if key not in REDACT_KEYS:
            raise ConfigurationError(f"unknown key {key!r} in {where}; {allowed(REDACT_KEYS, key)}")
    keys = _folded(f"{where}.keys", entry.get("keys"))
    safe_keys = _folded(f"{where}.safe_keys", entry.get("safe_keys"))
    if both := keys.keys() & safe_keys.keys():
        name = safe_keys[min(both)]
        raise ConfigurationError(f"{where}.safe_keys has {name!r}, which {where}.keys has too; keep it in one of them")
    patterns = tuple(_pattern(f"{where}.patterns", text) for text in _texts(f"{where}.patterns", entry.get("patterns")))
    correlate = entry.get("correlate", False)
    if not isinstance(correlate, bool):
        raise ConfigurationError(f"{where}.correlate is {correlate!r}; {allowed(('true', 'false'))}")
    return Policy(frozenset(keys), frozenset(safe_keys), patterns, correlate)


def _texts(where: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{where} is {value!r}; it must be a list of texts")
    texts = list(value)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"{where} has {text!r}; each must be a text that is not empty")
    return texts


def _folded(where: str, value: Any) -> dict[str, str]:
    names = {fold(text): text for text in _texts(where, value)}
    if "" in names:
        raise ConfigurationError(f"{where} has {names['']!r}; a key must have a letter or a digit, such as 'cpf'")
    return names


def _pattern(where: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError) as error:
        raise ConfigurationError(f"{where} has {text!r}, which is no regular expression: {error}; {_EXAMPLE}") from error
    if pattern.fullmatch(""):
        raise ConfigurationError(f"{where} has {text!r}, which matches an empty text; {_EXAMPLE}")
    return pattern
