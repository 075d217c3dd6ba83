"""Read ``on_error``: what happens after a node's failure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, get_args

from ..errors import allowed
from . import checks
from .model import Mode, OnError
from .spot import Spot

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


def read_on_error(spot: Spot, value: Any, names: Collection[str]) -> OnError:
    """Read an ``on_error`` block; ``retry_delay`` and ``backoff_multiplier`` are other names of ``delay`` and ``backoff``.

    An unknown key or mode, a value out of range, and a setting that does not apply to the mode are noted.

    Args:
        spot: The block.
        value: What it holds.
        names: The nodes that a fallback can name; none inside nested steps.

    Raises:
        FlowFileError: It is not a mapping, or two spellings of one key are used.
    """
    data = checks.mapping(spot, value)
    checks.refuse_unknown(spot, data, _KEYS)
    mode = data.get("mode", "raise")
    if not (is_known := mode in get_args(Mode)):
        spot.at("mode").note(f"unknown mode {mode!r}; {allowed(get_args(Mode), mode)}")
    delay = checks.one_of(spot, data, ("delay", "retry_delay")) or "delay"
    backoff = checks.one_of(spot, data, ("backoff", "backoff_multiplier")) or "backoff"
    for key in ("max_retries", delay, backoff, "retryable_errors"):
        if key in data and is_known and mode != "retry":
            spot.at(key).note(f"{key!r} applies to mode: retry only, not to {mode!r}")
    retries = data.get("max_retries", _RETRIES_BY_DEFAULT if mode == "retry" else 0)
    seconds = spot.at(delay).called(spot.text("delay (seconds)"))
    factor = spot.at(backoff).called(spot.text("backoff"))
    attempt = spot.attempt
    return OnError(
        mode=mode,
        max_retries=attempt(checks.whole_number, spot.key("max_retries"), retries, 0) or 0,
        delay=attempt(checks.number, seconds, data.get(delay, 1.0), 0) or 0.0,
        backoff=attempt(checks.number, factor, data.get(backoff, 2.0), 1) or 1.0,
        fallback=attempt(_fallback, spot.key("fallback"), data.get("fallback"), mode, names),
        retryable=attempt(_retryable, spot.key("retryable_errors"), data.get("retryable_errors")),
    )


def _fallback(spot: Spot, name: Any, mode: str, names: Collection[str]) -> str | None:
    if name is None:
        return None
    if not names:
        raise spot.error("only top-level nodes can have a fallback; nested steps run one after the other")
    if mode == "raise":
        raise spot.error("a fallback needs mode: retry or mode: graceful, not 'raise'")
    checks.refuse_unknown_target(spot, name, names)
    return str(name)


def _retryable(spot: Spot, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    return frozenset(checks.text(spot.item(index), name) for index, name in enumerate(checks.listing(spot, value)))
