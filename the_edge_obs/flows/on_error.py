"""Read ``on_error``: what a node's failure leads to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, get_args

from ..configuration.yaml_reader import Place
from ..errors import allowed
from . import checks
from .model import Mode, OnError
from .yaml_source import Source

_KEYS: Final = (
    "mode",
    "max_retries",
    "delay",
    "retry_delay",
    "backoff",
    "backoff_multiplier",
    "fallback",
    "retryable_errors",
)
_RETRIES_BY_DEFAULT: Final = 3


def read_on_error(source: Source, value: Any, place: Place, owner: str, names: Collection[str]) -> OnError:
    """Read an ``on_error`` block; ``delay`` and ``backoff`` are also taken as ``retry_delay`` and ``backoff_multiplier``.

    Args:
        source: The flow.
        value: The block.
        place: Where it is.
        owner: The node, for messages.
        names: The nodes a fallback may be; none inside nested steps.

    An unknown key or mode, a value out of range, and settings of one mode used with another are noted.

    Raises:
        FlowFileError: It is not a mapping, or two spellings of one key are used.
    """
    what = f"{owner}: on_error"
    data = checks.mapping(source, value, place, what)
    checks.refuse_unknown(source, data, _KEYS, place, what)
    mode = data.get("mode", "raise")
    if not (is_known := mode in get_args(Mode)):
        source.note(f"{what}: unknown mode {mode!r}; {allowed(get_args(Mode), mode)}", (*place, "mode"))
    delay = checks.one_of(source, data, ("delay", "retry_delay"), place, what)
    backoff = checks.one_of(source, data, ("backoff", "backoff_multiplier"), place, what)
    for key in ("max_retries", delay, backoff, "retryable_errors"):
        if key in data and is_known and mode != "retry":
            source.note(f"{what}: {key!r} has a meaning with mode: retry only, not with {mode!r}", (*place, key))
    retries = data.get("max_retries", _RETRIES_BY_DEFAULT if mode == "retry" else 0)
    attempt = source.attempt
    return OnError(
        mode=mode,
        max_retries=attempt(checks.whole_number, source, retries, (*place, "max_retries"), f"{what}: max_retries", 0) or 0,
        delay=attempt(checks.number, source, data.get(delay or "", 1.0), (*place, delay), f"{what}: delay (seconds)", 0) or 0.0,
        backoff=attempt(checks.number, source, data.get(backoff or "", 2.0), (*place, backoff), f"{what}: backoff", 1) or 1.0,
        fallback=attempt(_fallback, source, data.get("fallback"), mode, (*place, "fallback"), what, names),
        retryable=attempt(_retryable, source, data.get("retryable_errors"), (*place, "retryable_errors"), what),
    )


def _fallback(source: Source, name: Any, mode: str, place: Place, what: str, names: Collection[str]) -> str | None:
    if name is None:
        return None
    if not names:
        raise source.error(f"{what}: fallback is for top-level nodes; nested steps run one after the other", place)
    if mode == "raise":
        raise source.error(f"{what}: fallback needs mode: retry or mode: graceful, not 'raise'", place)
    checks.refuse_unknown_target(source, name, names, place, f"{what}: fallback")
    return str(name)


def _retryable(source: Source, value: Any, place: Place, what: str) -> frozenset[str] | None:
    if value is None:
        return None
    names = checks.listing(source, value, place, f"{what}: retryable_errors")
    return frozenset(checks.text(source, name, place, f"{what}: an error's class name") for name in names)
