"""Checks that every part of a flow file goes through, and the wording of their errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import allowed
from .spot import Spot


def refuse_unknown(spot: Spot, data: Mapping[Any, Any], known: Collection[str]) -> None:
    """Note every key of a mapping that is not known, with the closest known key and all of them.

    Args:
        spot: The mapping.
        data: What it holds.
        known: The keys it may have.
    """
    for key in data:
        if key not in known:
            spot.at(key).note(f"unknown key {key!r}; {allowed(known, key)}")


def mapping(spot: Spot, value: Any) -> dict[str, Any]:
    """Return a value that must be a mapping with strings as keys; None counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise spot.wrong(value, "a mapping (key: value)")
    for key in value:
        if not isinstance(key, str):
            raise spot.at(key).error(f"key {key!r} is not a string; put it in quotes")
    return value


def listing(spot: Spot, value: Any) -> list[Any]:
    """Return a value that must be a list; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise spot.wrong(value, "a list (- item)")
    return value


def text(spot: Spot, value: Any) -> str:
    """Return a value that must be a string that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise spot.wrong(value, "a string that is not blank; put it in quotes if needed")
    return value


def truth(spot: Spot, value: Any) -> bool:
    """Return a value that must be true or false."""
    if not isinstance(value, bool):
        raise spot.wrong(value, "true or false")
    return value


def whole_number(spot: Spot, value: Any, least: int) -> int:
    """Return a value that must be a whole number, at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise spot.wrong(value, f"a whole number of {least} or more")
    return value


def number(spot: Spot, value: Any, least: float) -> float:
    """Return a value that must be a finite number, at least ``least``."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value < float("inf"):
        raise spot.wrong(value, f"a number of {least:g} or more")
    return float(value)


def one_of(spot: Spot, data: Mapping[str, Any], spellings: tuple[str, str]) -> str | None:
    """Return which of two spellings of one key is used, or None; using both is a mistake."""
    used = [key for key in spellings if key in data]
    if len(used) == 2:
        raise spot.at(used[1]).error(f"{used[0]!r} and {used[1]!r} are two spellings of one key; keep one")
    return used[0] if used else None


def refuse_unknown_target(spot: Spot, target: Any, names: Collection[str]) -> None:
    """Refuse the name of a node that does not exist."""
    if not isinstance(target, str) or target not in names:
        raise spot.error(f"node {target!r} does not exist; {allowed(names, target)}")
