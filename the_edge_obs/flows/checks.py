"""Checks that every part of a flow file goes through, and the wording of what they refuse."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..configuration.yaml_reader import Place
from ..errors import allowed
from .yaml_source import Source


def refuse_unknown(source: Source, data: Mapping[Any, Any], known: Collection[str], place: Place, owner: str) -> None:
    """Note every key of a mapping that is not known.

    Args:
        source: The flow.
        data: The mapping.
        known: The keys it may have.
        place: Where the mapping is.
        owner: What it belongs to, for the message: ``step 'load'``; it has the allowed keys and the closest one.
    """
    for key in data:
        if key not in known:
            source.note(f"{owner}: unknown key {key!r}; {allowed(known, key)}", (*place, key))


def mapping(source: Source, value: Any, place: Place, owner: str) -> dict[str, Any]:
    """Return a value that must be a mapping with text keys; nothing at all is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise source.error(f"{owner} is {value!r}; it has to be a mapping (key: value)", place)
    for key in value:
        if not isinstance(key, str):
            raise source.error(f"{owner}: key {key!r} is not a text; put it in quotes", (*place, key))
    return value


def listing(source: Source, value: Any, place: Place, owner: str) -> list[Any]:
    """Return a value that must be a list; nothing at all is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise source.error(f"{owner} is {value!r}; it has to be a list (- item)", place)
    return value


def text(source: Source, value: Any, place: Place, owner: str) -> str:
    """Return a value that must be a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise source.error(f"{owner} is {value!r}; it has to be a text, in quotes if need be", place)
    return value


def whole_number(source: Source, value: Any, place: Place, owner: str, least: int) -> int:
    """Return a value that must be a whole number, not below ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise source.error(f"{owner} is {value!r}; it has to be a whole number of {least} or more", place)
    return value


def number(source: Source, value: Any, place: Place, owner: str, least: float) -> float:
    """Return a value that must be a finite number, not below ``least``."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value < float("inf"):
        raise source.error(f"{owner} is {value!r}; it has to be a number of {least:g} or more", place)
    return float(value)


def one_of(source: Source, data: Mapping[str, Any], spellings: tuple[str, str], place: Place, owner: str) -> str | None:
    """Return which of two spellings of one key is used, or None; using both is refused."""
    used = [key for key in spellings if key in data]
    if len(used) == 2:
        problem = f"{owner}: {used[0]!r} and {used[1]!r} are two spellings of one key; keep one"
        raise source.error(problem, (*place, used[1]))
    return used[0] if used else None


def refuse_unknown_target(source: Source, target: Any, names: Collection[str], place: Place, owner: str) -> None:
    """Refuse the name of a node that does not exist."""
    if not isinstance(target, str) or target not in names:
        raise source.error(f"{owner}: node {target!r} does not exist; {allowed(names, target)}", place)
