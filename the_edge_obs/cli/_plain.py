"""Convert any value to plain data that JSON can represent, with a note of what is lost."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

# Many parsers refuse deeper JSON, and Python's encoder has a limit of its own.
_MAX_DEPTH: Final = 200
# In bits. Python writes at most 4,300 digits (sys.int_info.default_max_str_digits).
_MAX_BITS: Final = 10_000


class Plain:
    """Converts values to plain data: a dataclass becomes a dict of its fields, a set a list, any other object its text.

    Attributes:
        notes: What was changed, with its place: ``rows[3].x is NaN, written as text``.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._path: list[int] = []

    def value(self, value: Any, place: str = "") -> Any:
        """Return a value as plain data.

        Args:
            value: Any value; it is not changed.
            place: Its place, for notes: ``rows[3].x``.
        """
        try:
            return self._value(value, place)
        except Exception as error:  # noqa: BLE001 - a value may raise anything, and the run that it came from was ok
            return self._noted(place, f"not readable ({type(error).__name__}), left out", f"<{type(value).__name__}>")

    def _value(self, value: Any, place: str) -> Any:
        if value is None or type(value) in (str, bool):
            return value
        if isinstance(value, int):
            is_small = value.bit_length() <= _MAX_BITS
            return int(value) if is_small else self._noted(place, "a number with too many digits, written as text", hex(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._noted(place, f"{value!r}, written as text", _constant(value))
        if isinstance(value, str):
            return str(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._nested(value, place)
        return str(value)

    def _nested(self, value: Any, place: str) -> Any:
        if id(value) in self._path:
            return self._noted(place, "a circular reference, left out", "[circular]")
        if len(self._path) >= _MAX_DEPTH:
            return self._noted(place, f"nested deeper than {_MAX_DEPTH} levels, left out", "[depth]")
        self._path.append(id(value))
        try:
            if isinstance(value, Mapping):
                return self._mapping(value.items(), place)
            return [self.value(item, f"{place}[{index}]") for index, item in enumerate(value)]
        finally:
            self._path.pop()

    def _mapping(self, items: Iterable[tuple[Any, Any]], place: str) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        pairs = list(items)
        taken = {key for key, _ in pairs if type(key) is str}
        for key, item in pairs:
            name = key if type(key) is str else self._key(key, place, taken)
            plain[name] = self.value(item, f"{place}.{name}" if place else name)
        return plain

    def _key(self, key: Any, place: str, taken: set[str]) -> str:
        """Return a text for a key that is not a string, different from all other keys of its mapping."""
        name = _key_text(key)
        is_usual = key is None or isinstance(key, (bool, int, str)) or (isinstance(key, float) and math.isfinite(key))
        while name in taken:
            name, is_usual = f"{name} ({type(key).__name__})", False
        taken.add(name)
        if not is_usual:
            self.notes.append(f"{place or 'the state'} has a key of type {type(key).__name__}, written as {name!r}")
        return name

    def _noted(self, place: str, problem: str, text: str) -> str:
        self.notes.append(f"{place or 'the state'} is {problem}")
        return text


def _key_text(key: Any) -> str:
    try:
        if isinstance(key, float) and not math.isfinite(key):
            return _constant(key)
        return json.dumps(key) if key is None or isinstance(key, (bool, int)) else str(key)
    except Exception:  # noqa: BLE001 - a key may raise anything, too
        return f"<{type(key).__name__}>"


def _constant(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
