"""Conversions of values that do not have a JSON type: strings and numbers of other types, bytes, times, containers, errors.

Only methods of known types run here; a subclass is read through its base.
"""

from __future__ import annotations

import base64
import enum
import sys
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, Protocol
from uuid import UUID

from ..context import FlowState
from .marks import Mark
from .summaries import Listing, Record
from .texts import MAX_STRING, PLACEHOLDER, scrub_text

MAX_ITEMS: Final = 200  # items of one container
_name_of: Final[Any] = vars(type)["__name__"].__get__


class Walk(Protocol):
    """The pass that a conversion is part of; ``redaction.snapshots`` implements it."""

    flow: FlowState | None

    def take(self, value: Any, path: tuple[int, ...]) -> Any:
        """Return the copy of any value."""

    def text(self, text: str) -> str:
        """Return a string within the caps."""

    def mapping(self, pairs: Iterable[tuple[Any, Any]], count: int, source: object, path: tuple[int, ...]) -> Any:
        """Return the copy of a mapping."""

    def items(self, source: Iterable[Any], count: int, value: object, path: tuple[int, ...]) -> Any:
        """Return the copy of a list."""

    def stop(self, source: object, path: tuple[int, ...]) -> str | None:
        """Return the mark of a container that is not entered, or None to enter it."""


def _str(walk: Walk, value: str, path: tuple[int, ...]) -> str:
    if type(value) is Mark:
        return value  # from an error's description: it already says what is missing
    # Not str(value), which would run a foreign __str__. Only as much as a snapshot reads is copied.
    length, head = str.__len__(value), str.__getitem__(value, slice(2 * MAX_STRING + 1))
    text = walk.text(head)
    return text if length == len(head) else Mark(f"{text.rpartition('…[+')[0]}…[+{length - MAX_STRING} chars]")


def _bytes(walk: Walk, value: bytes | bytearray | memoryview, path: tuple[int, ...]) -> str:
    head = bytes(value[:MAX_STRING])
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    try:
        text = head.decode("utf-8") if len(head) == size else None
    except UnicodeDecodeError:
        text = None
    if text is not None and text.translate(_LAYOUT).isprintable():
        return walk.text(text)
    shown = head[:48].decode("latin-1")
    # Base64 would hide a secret from redaction.
    if scrub_text(shown) != shown or (walk.flow is not None and walk.flow.taints.in_text(head.decode("latin-1"))):
        return Mark(f"<{size} bytes: {PLACEHOLDER}>")
    encoded = base64.b64encode(head[:48]).decode("ascii")
    return Mark(f"<{size} bytes: {encoded}…>") if size > 48 else f"<{size} bytes: {encoded}>"


_LAYOUT: Final = dict.fromkeys(map(ord, "\n\r\t"))


def _number(walk: Walk, value: Decimal | Fraction, path: tuple[int, ...]) -> str:
    is_huge = sys.getsizeof(value) > 2_048
    if type(value) is Fraction:
        is_huge = max(value.numerator.bit_length(), value.denominator.bit_length()) > 4_096
    return Mark(f"<{type(value).__name__} of thousands of digits>") if is_huge else str(value)


def _chain(walk: Walk, value: ChainMap[Any, Any], path: tuple[int, ...]) -> Any:
    # Its own items() and len() go through every map.
    first: dict[Any, Any] = {}
    for mapping in reversed(value.maps[:MAX_ITEMS]):
        first.update(islice(mapping.items(), MAX_ITEMS) if len(mapping) > MAX_ITEMS else mapping)
    more = sum(max(0, len(mapping) - MAX_ITEMS) for mapping in value.maps[:MAX_ITEMS])
    return walk.mapping(first.items(), len(first) + more, value, path)


def _tuple(walk: Walk, value: tuple[Any, ...], path: tuple[int, ...]) -> Any:
    """Return the items of a tuple's subclass; in a named tuple, items with a secret name are redacted."""
    names, items = getattr(type(value), "_fields", ()), tuple.__getitem__(value, slice(MAX_ITEMS))
    inner = (*path, id(value))
    if type(names) is tuple and len(names) == len(items) and all(type(name) is str for name in names):
        pairs = tuple(zip(names, items, strict=True))
        named = walk.mapping(pairs, len(pairs), value, path)
        return list(named.values()) if type(named) is dict else named
    return walk.items(items, tuple.__len__(value), value, path) if id(value) not in path else walk.stop(value, inner)


def _exception(walk: Walk, value: BaseException, path: tuple[int, ...]) -> dict[str, str]:
    return {"type": name_of(type(value)), "message": walk.take(exception_text(value), ())}


def exception_text(error: object) -> str:
    """Return ``str(error)``, or a note that it raised.

    Raises:
        KeyboardInterrupt, SystemExit: the program is stopped while the text is read.
    """
    try:
        return str.__str__(str(error))  # str(error) may be a subclass of str with methods of its own
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:  # noqa: BLE001 - a message that raises is reported as such
        return f"<{name_of(type(error))}: {name_of(type(failure))} in its __str__>"


def name_of(kind: type) -> str:
    """Return the name of a class without running code of its metaclass."""
    return str.__str__(_name_of(kind))


def _each(kind: Any) -> Callable[[Walk, Any, tuple[int, ...]], Any]:
    """Return the conversion of a list-like type; it uses the methods of that type even for subclasses."""
    return lambda walk, value, path: walk.items(kind.__iter__(value), kind.__len__(value), value, path)


CONVERSIONS: Final[list[tuple[Any, Callable[[Walk, Any, tuple[int, ...]], Any]]]] = [
    ((Listing, Record), lambda walk, value, path: walk.take(value.summary, path)),
    (enum.Enum, lambda walk, value, path: walk.take(value._value_, path)),
    (str, _str),
    (int, lambda walk, value, path: walk.take(int.__int__(value), path)),
    (float, lambda walk, value, path: walk.take(float.__float__(value), path)),
    ((bytes, bytearray, memoryview), _bytes),
    ((datetime, date, time), lambda walk, value, path: value.isoformat()),
    (timedelta, lambda walk, value, path: value.total_seconds()),
    ((Decimal, Fraction), _number),
    ((UUID, PurePath), lambda walk, value, path: walk.take(str(value), ())),
    (BaseException, _exception),
    (dict, lambda walk, value, path: walk.mapping(dict.items(value), dict.__len__(value), value, path)),
    (MappingProxyType, lambda walk, value, path: walk.mapping(value.items(), len(value), value, path)),
    (UserDict, lambda walk, value, path: walk.take(value.data, (*path, id(value)))),
    (ChainMap, _chain),
    (list, _each(list)),
    (tuple, _tuple),
    (set, _each(set)),
    (frozenset, _each(frozenset)),
    (deque, _each(deque)),
    (UserList, lambda walk, value, path: walk.take(value.data, (*path, id(value)))),
    ((range, complex), lambda walk, value, path: repr(value)),
]
"""Types and their conversions; the first match counts."""
