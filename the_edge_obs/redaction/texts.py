"""Redaction of texts and snapshots when they are read or written.

A value under a secret key is dropped when it is captured (see ``secrets.keys`` and ``redaction.snapshots``), and its texts
become *taints* of the flow (see ``secrets.taints``). ``scrub`` runs when an event is read or written. It removes secrets from
texts by their shape and by the names before them (see ``secrets.texts``), and the flow's taints wherever they reappear. The
active ``Policy`` adds to the built-in rules (see ``secrets.policies``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from ..context import FlowState
from ..event import MAX_INT
from ..secrets.card_numbers import card_numbers
from ..secrets.keys import KEY_CLASSES
from ..secrets.policies import BUILT_IN, Policy, effective, followers, process_policy
from ..secrets.taints import MAX_STRING, SHORTEST_NUMBER, Taints
from ..secrets.taints import SHORTEST as SHORTEST_TAINT
from ..secrets.texts import SHORTEST, find, is_surely_clean
from .marks import Mark

__all__ = [
    "MAX_INT",
    "MAX_STRING",
    "PLACEHOLDER",
    "int_text",
    "is_placeholder",
    "learn",
    "mask",
    "scrub",
    "scrub_key",
    "scrub_text",
    "without_digests",
]

PLACEHOLDER: Final = "[REDACTED]"

_Span: TypeAlias = tuple[int, int]

_KEY: Final = os.urandom(32)
_origins: Final[dict[str, str]] = {}  # by the digest of a spelling, the digest of the original secret


def mask(secret: str, policy: Policy) -> str:
    """Return the placeholder of a secret: ``[REDACTED]``, or, if the policy correlates, one that equal secrets share.

    The digest is keyed (BLAKE2b, RFC 7693) with random bytes that never leave the process, so guesses cannot be tested on a log.
    """
    if not policy.correlate:
        return PLACEHOLDER
    digest = _digest(secret)
    return f"[REDACTED:{_origins.get(digest, digest)}]"


_MASKED = re.compile(r"\[REDACTED(?::[0-9a-f]{12})?\]")


def is_placeholder(text: str) -> bool:
    """Tell whether a text is the placeholder of a secret."""
    return _MASKED.fullmatch(text) is not None


def without_digests(text: str) -> str:
    """Return a text in which the placeholders of a policy that correlates are plain ones."""
    return _MASKED.sub(PLACEHOLDER, text) if f"{PLACEHOLDER[:-1]}:" in text else text


_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|digest|apikey)\s{1,8}(\S+)\Z")


def _digest(secret: str) -> str:
    scheme = _SCHEME.match(secret)
    core = scheme[1] if scheme else secret
    return blake2b(core.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=6).hexdigest()


# --- taints -----------------------------------------------------------------------------------------------------------

on_loss: Final[list[Callable[[FlowState], None]]] = []
"""Called with a flow that cannot remember a secret."""


def learn(flow: FlowState, secrets: Iterable[str | bytes | int], *, is_token: bool = False, is_certain: bool = False) -> None:
    """Remember secrets as taints of a flow; see ``Taints.learn`` for the arguments and for what is remembered."""
    taints = flow.taints
    lost = taints.lost
    for secret in secrets:
        learned = taints.learn(secret, is_token=is_token, is_certain=is_certain)
        if effective(taints.policy).correlate:
            _note_origins(learned)
    for _ in range(taints.lost - lost):
        for report in on_loss:
            report(flow)


def _note_origins(learned: Iterable[tuple[str, Iterable[str]]]) -> None:
    if len(_origins) >= 4096:
        _origins.clear()
    for secret, spelled in learned:
        origin = _digest(secret)
        _origins.update({digest: origin for digest in map(_digest, spelled) if digest != origin})


def _taint_spans(text: str, taints: Taints) -> list[_Span]:
    """Return where taints stand in a text. They are searched in one pass: a taint may be part of the placeholder of another."""
    spellings = taints.in_text(text)
    return [match.span() for match in re.finditer("|".join(map(_bounded, spellings)), text)] if spellings else []


def _bounded(taint: str) -> str:
    # A number does not match inside a longer one.
    return rf"(?<!\d){taint}(?!\d)" if taint.isdecimal() else re.escape(taint)


def _without_halves(text: str, taints: Taints, policy: Policy) -> str:
    """Return a text that was cut before its flow knew a taint without the half of the taint before the cut."""
    head, mark, tail = text.rpartition("…[+")
    longest, half = 0, ""
    for taint in taints.copied():
        start = taint[:SHORTEST_TAINT]
        end = head[-len(taint) + 1 :]
        at = end.find(start)
        while at >= 0:
            if len(end) - at <= longest:
                break
            if taint.startswith(end[at:]):
                longest, half = len(end) - at, taint
                break
            at = end.find(start, at + 1)
    return f"{head[:-longest]}{mask(half, policy)}{mark}{tail}" if longest else text


# --- texts ------------------------------------------------------------------------------------------------------------

_SURROGATE = re.compile("[\ud800-\udfff]")
# JSON numbers cannot express these; the names are those of the JSON mapping of protocol buffers.
_NOT_FINITE: Final = {float("inf"): "Infinity", float("-inf"): "-Infinity"}


def scrub_text(text: str, taints: Iterable[str] = ()) -> str:
    """Return a text without secrets that are recognised by their shape, and without the flow's taints.

    Lone surrogates, which a UTF-8 file cannot hold, become U+FFFD. The time is linear in the length of the text.

    Args:
        text: Any text.
        taints: A flow's taints, which include the flow's own policy; or any texts to remove.
    """
    return _scrubbed_text(str(text), taints if type(taints) is Taints else Taints(taints))


def are_surely_clean(texts: Iterable[str], taints: Taints) -> bool:
    """Tell whether ``scrub_text`` changes none of some texts; it may say no where that is not sure. They are searched at once."""
    if effective(taints.policy) is not BUILT_IN:
        return False
    joined = "\n".join(texts)
    if taints and ("…[+" in joined or taints.in_text(joined)):
        return False
    return (joined.isascii() or not _SURROGATE.search(joined)) and is_surely_clean(joined, KEY_CLASSES)


def scrub_key(key: str, policy: Policy | None = None) -> str:
    """Return a key of a dict without secrets that are recognised by their shape; taints are not removed from keys."""
    return _by_shape(key, policy or process_policy())


def _scrubbed_text(text: str, taints: Taints) -> str:
    policy = effective(taints.policy)
    if taints:
        if "…[+" in text:
            text = _without_halves(text, taints, policy)
        if spans := _taint_spans(text, taints):
            return _masked(text, policy, spans)
    return _by_shape(text, policy)


def _by_shape(text: str, policy: Policy) -> str:
    return _known_by_shape(text, policy) if len(text) <= _REMEMBERED else _masked(text, policy)


def _masked(text: str, policy: Policy, spans: Sequence[_Span] = ()) -> str:
    """Return a text with a placeholder for each secret in it.

    All rules look at the text as it came. If one of them replaced what it finds before the next one looks, a part of a secret
    could hide the rest of it. Where secrets overlap, one placeholder stands for them.

    Args:
        text: The text.
        policy: What counts as a secret.
        spans: Where taints stand.
    """
    spans = [*spans, *(find(text, KEY_CLASSES.under_policy(policy)) if len(text) >= SHORTEST else ()), *_own_spans(text, policy)]
    if spans:
        if "[REDACTED" in text:
            spans += (match.span() for match in _MASKED.finditer(text))
        pieces, at = [], 0
        for start, end in _united(spans):
            pieces += [text[at:start], _placeholder(text[start:end], policy)]
            at = end
        text = "".join([*pieces, text[at:]])
    if not text.isascii() and _SURROGATE.search(text):
        text = _SURROGATE.sub("\ufffd", text)
    return text


def _placeholder(secret: str, policy: Policy) -> str:
    """Return what stands for a secret; a match inside a placeholder changes nothing."""
    return secret if is_placeholder(secret) else mask(secret, policy)


def _united(spans: list[_Span]) -> Iterator[_Span]:
    """Yield spans in order, those that overlap as one."""
    spans.sort()
    first, last = spans[0]
    for start, end in spans:
        if start >= last:
            yield first, last
            first, last = start, end
        last = max(last, end)
    yield first, last


# The same texts come again and again: keys, names, states, system prompts, the history of a conversation.
_REMEMBERED: Final = 512  # characters
_known_by_shape = lru_cache(maxsize=4096)(_masked)


def _follow(policy: Policy) -> None:
    _known_by_shape.cache_clear()


followers.append(_follow)


def _own_spans(text: str, policy: Policy) -> list[_Span]:
    """Return where the patterns and presets of a policy match in a text."""
    if policy is BUILT_IN or not policy.looks_at_texts:
        return []
    spans = [span for pattern in policy.patterns for match in pattern.finditer(text) if (span := match.span())[0] < span[1]]
    return [*spans, *card_numbers(text)] if "payment" in policy.presets else spans


def by_own_patterns(text: str, taints: Iterable[str] = ()) -> str:
    """Return a text as ``scrub_text`` does if a pattern or preset of the policy matches in it, else the text itself.

    A match could be the part of a secret by which the other rules find the rest of it, so they are applied as well.
    """
    taints = taints if type(taints) is Taints else Taints(taints)
    return _scrubbed_text(text, taints) if _own_spans(text, effective(taints.policy)) else text


# --- snapshots --------------------------------------------------------------------------------------------------------


def scrub(value: Any, taints: Iterable[str] = ()) -> Any:
    """Return a copy of a snapshot that is safe to write: every text and key is scrubbed, and every number is valid JSON.

    Keys lose secrets that are recognised by their shape; taints are removed only from values. Numbers without a JSON form become
    strings: ``NaN``, ``Infinity``, ``-Infinity``, and integers beyond 64 bits.
    """
    return _scrubbed(value, taints if type(taints) is Taints else Taints(taints))


def _scrubbed(value: Any, taints: Taints) -> Any:
    kind = type(value)
    if kind is str:
        return _scrubbed_text(value, taints)
    if kind is Mark:
        return _scrubbed_text(str(value), taints)
    if kind is dict:
        policy = effective(taints.policy)
        clean = {
            _by_shape(key, policy): _scrubbed_text(item, taints) if type(item) is str else _scrubbed(item, taints)
            for key, item in value.items()
        }
        return clean if len(clean) == len(value) else _kept_apart(value, taints)
    if kind is list:
        return [_scrubbed(item, taints) for item in value]
    if kind is int:
        if taints.numbers and abs(value) >= SHORTEST_NUMBER and abs(value) in taints.numbers:
            return mask(str(value), effective(taints.policy))
        return value if -MAX_INT <= value <= MAX_INT else int_text(value)
    if kind is float:
        return value if value - value == 0 else _NOT_FINITE.get(value, "NaN")
    return value


def _kept_apart(source: dict[str, Any], taints: Taints) -> dict[str, Any]:
    """Return a scrubbed dict in which keys that became equal are told apart by a ``'``."""
    clean: dict[str, Any] = {}
    policy = effective(taints.policy)
    for key, item in source.items():
        name = _by_shape(key, policy)
        while name in clean:
            name += "'"
        clean[name] = _scrubbed(item, taints)
    return clean


def int_text(value: int) -> str:
    """Return an integer as text; one of thousands of digits, which Python refuses to write out, as its size."""
    return str(value) if value.bit_length() <= 4096 else f"<int of {value.bit_length()} bits>"
