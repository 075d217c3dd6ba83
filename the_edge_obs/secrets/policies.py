"""Redaction policies: what counts as a secret in addition to the built-in rules, built from a checked ``redact:`` entry.

A policy is active for the whole process, or for the flows of one scope: a flow's own ``redact:`` applies only to that flow.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ..errors import ConfigurationError, allowed
from .words import PRESETS

REDACT_KEYS: Final = ("keys", "safe_keys", "patterns", "preset", "correlate")
_EXAMPLE: Final = "write one such as 'AC-[0-9]{6}'"


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What counts as a secret in addition to the built-in rules. Policies compare by identity, so caches can use them as keys.

    Attributes:
        keys: Further secret keys, as ``fold`` writes them.
        safe_keys: Keys that the built-in rules wrongly consider secret, as ``fold`` writes them.
        patterns: Further shapes of secrets.
        presets: Names of the presets whose shapes count, such as ``payment``; their keys are part of ``keys``.
        correlate: Whether equal secrets get equal placeholders, such as ``[REDACTED:1f3a9c0b77de]``.
    """

    keys: frozenset[str] = frozenset()
    safe_keys: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    presets: frozenset[str] = frozenset()
    correlate: bool = False

    @property
    def looks_at_texts(self) -> bool:
        """Whether the policy has shapes of its own, which are searched for when a text is captured."""
        return bool(self.patterns or self.presets)


BUILT_IN: Final = Policy()
"""The policy that adds nothing."""

_changing = threading.RLock()  # reentrant: a finalizer may undo while its thread activates
_active: Final[list[tuple[Policy, object]]] = []
_process = BUILT_IN
followers: Final[list[Callable[[Policy], None]]] = []
"""Called with each policy that becomes the process's."""


def activate(policy: Policy, scope: object = None) -> Callable[[], None]:
    """Activate a policy for the whole process or for the flows of a scope, and return the undo."""
    entry = policy, scope
    with _changing:
        _active.append(entry)
        _settle()

    def undo() -> None:
        with _changing:
            # By identity: an equal policy may have another owner.
            _active[:] = [other for other in _active if other is not entry]
            _settle()

    return undo


def process_policy() -> Policy:
    """Return the combination of all policies of the process."""
    return _process


def renew_lock() -> None:
    """Replace the lock with a free one: other threads are gone, in a forked child and when the interpreter exits."""
    global _changing
    _changing = threading.RLock()


def policy_of_scope(scope: object) -> Policy | None:
    """Return the combination of the policies of a scope, or None if it has none of its own."""
    return _sum(tuple(policy for policy, owner in _active if owner is scope)) if scope is not None and _active else None


def effective(own: Policy | None) -> Policy:
    """Return the combination of the process's policy and a flow's own."""
    return _process if own is None else _both(_process, own)


def _sum(policies: tuple[Policy, ...]) -> Policy | None:
    total = policies[0] if policies else None
    for policy in policies[1:]:
        total = policy if total is None else _both(total, policy)
    return total


@lru_cache(maxsize=64)
def _both(first: Policy, second: Policy) -> Policy:
    if first is BUILT_IN:
        return second
    return Policy(
        first.keys | second.keys,
        first.safe_keys | second.safe_keys,
        tuple(dict.fromkeys((*first.patterns, *second.patterns))),
        first.presets | second.presets,
        first.correlate or second.correlate,
    )


def _settle() -> None:
    global _process
    _process = _sum(tuple(policy for policy, scope in _active if scope is None)) or BUILT_IN
    for follow in followers:
        follow(_process)


def fold(key: str) -> str:
    """Return a key without case and separators, the form in which further keys are compared."""
    return re.sub(r"[\W_]", "", key.lower())


# --- entries ----------------------------------------------------------------------------------------------------------


def policy_of(entry: Any, where: str) -> Policy:
    """Return the policy of a ``redact:`` entry.

    Args:
        entry: ``{keys: [...], safe_keys: [...], patterns: [...], preset: payment, correlate: true}``, each key optional;
            None is an empty entry.
        where: The location of the entry, for messages.

    Raises:
        ConfigurationError: the entry is not valid; the message names the key, the value and what is allowed.
    """
    entry = {} if entry is None else entry
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"{where} is {entry!r}; it must be a mapping with {allowed(REDACT_KEYS)}", where=where)
    for key in entry:
        if key not in REDACT_KEYS:
            raise ConfigurationError(f"unknown key {key!r} in {where}; {allowed(REDACT_KEYS, key)}", where=f"{where}.{key}")
    keys = _folded(f"{where}.keys", entry.get("keys"))
    safe_keys = _folded(f"{where}.safe_keys", entry.get("safe_keys"))
    if both := keys.keys() & safe_keys.keys():
        name = safe_keys[min(both)]
        problem = f"{where}.safe_keys has {name!r}, which {where}.keys has too; keep it in one of them"
        raise ConfigurationError(problem, where=f"{where}.safe_keys")
    patterns = tuple(_pattern(f"{where}.patterns", text) for text in _texts(f"{where}.patterns", entry.get("patterns")))
    preset, correlate = entry.get("preset"), entry.get("correlate", False)
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise ConfigurationError(f"{where}.preset is {preset!r}; {allowed(PRESETS, preset)}", where=f"{where}.preset")
    if not isinstance(correlate, bool):
        raise ConfigurationError(f"{where}.correlate is {correlate!r}; {allowed(('true', 'false'))}", where=f"{where}.correlate")
    presets = frozenset() if preset is None else frozenset({preset})
    named = PRESETS[preset] - safe_keys.keys() if preset is not None else frozenset()
    return Policy(named | keys.keys(), frozenset(safe_keys), patterns, presets, correlate)


def _texts(where: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{where} is {value!r}; it must be a list of texts", where=where)
    texts = list(value)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"{where} has {text!r}; each must be a text that is not empty", where=where)
    return texts


def _folded(where: str, value: Any) -> dict[str, str]:
    names = {fold(text): text for text in _texts(where, value)}
    if "" in names:
        raise ConfigurationError(f"{where} has {names['']!r}; a key must have a letter or a digit, such as 'cpf'", where=where)
    return names


def _pattern(where: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError) as error:
        problem = f"{where} has {text!r}, which is not a valid regular expression: {error}; {_EXAMPLE}"
        raise ConfigurationError(problem, where=where) from error
    if pattern.fullmatch(""):
        raise ConfigurationError(f"{where} has {text!r}, which matches an empty text; {_EXAMPLE}", where=where)
    return pattern
