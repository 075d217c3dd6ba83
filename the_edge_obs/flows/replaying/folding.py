"""What is not a difference between the inputs of two runs: ids, the folder of the flow, digests of secrets, ignored paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase
from typing import Any, Final

from ...comparison import Change
from ...comparison.values import changes, lasting
from ...event import Event, dumps
from ...redaction.marks import inside

_DIGEST: Final = re.compile(r"\[REDACTED:[0-9a-f]{12}\]")


class Ignored:
    """The paths that may differ.

    Args:
        patterns: Paths, such as ``input.requested_at``, with all that is inside; ``*`` and ``?`` stand for any characters.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [pattern.replace("[", "[[]") for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def has(self, path: str) -> bool:
        """Tell whether a path is ignored."""
        return any(fnmatchcase(path, end) for one in self._patterns for end in (one, f"{one}.*", f"{one}[[]*"))

    def without(self, path: str, value: Any) -> Any:
        """Return a value without what is ignored in it."""
        if isinstance(value, dict):
            inner = ((key, inside(path, key), item) for key, item in value.items())
            return {key: self.without(at, item) for key, at, item in inner if not self.has(at)}
        if isinstance(value, list):
            return [self.without(f"{path}[{n}]", item) for n, item in enumerate(value) if not self.has(f"{path}[{n}]")]
        return value

    def from_event(self, event: Event) -> Event:
        """Return an event without what is ignored in its input and output."""
        data = {
            key: self.without(key, value) if key in ("input", "output") else value
            for key, value in event["data"].items()
            if not (key in ("input", "output") and self.has(key))
        }
        return {**event, "data": data}


class Folder:
    """Translates paths below the folder of the recorded flow into paths below that of the flow that runs.

    Args:
        old, new: The two flow files, or None. A file whose folder is not known is not translated.

    Attributes:
        is_needed: Whether there is anything to translate.
    """

    def __init__(self, old: str | None, new: str | None) -> None:
        self._old, self._new = ("" if file is None or not os.path.isabs(file) else os.path.dirname(file) for file in (old, new))
        self.is_needed = self._old != self._new and len(self._old) > 1 and bool(self._new)
        self._pattern = re.compile(rf"(?<![\w./\\-]){re.escape(self._old)}(?![\w.-])") if self.is_needed else None

    def back(self, text: str) -> str:
        """Return a text with paths below the new folder translated into those below the old one."""
        return text if self._pattern is None else text.replace(self._new, self._old)

    def translated(self, value: Any) -> Any:
        """Return a JSON value with its texts translated."""
        pattern = self._pattern
        if pattern is None:
            return value
        return _mapped(value, lambda text: pattern.sub(lambda _: self._new, text) if self._old in text else text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _mapped(item, change) for key, item in value.items()}
    return value


def plain(data: dict[str, Any], ids: AbstractSet[str], ignored: Ignored) -> dict[str, Any]:
    """Return ``{"input": ...}`` of an entry, without what two runs never share; empty if there is none."""
    if "input" not in data or ignored.has("input"):
        return {}
    value = data["input"]
    # The parameters of a call are not an event, even if one of them is called flow_id. A value inside them may be one.
    value = {key: lasting(item, ids) for key, item in value.items()} if isinstance(value, dict) else lasting(value, ids)
    value = _mapped(value, lambda text: _DIGEST.sub("[REDACTED]", text) if "[REDACTED:" in text else text)
    return {"input": ignored.without("input", value) if ignored else value}


def key_of(node: str, given: dict[str, Any]) -> str | None:
    """Return a text that only calls of the same node with the same input share; None for one that is nested too deep."""
    try:
        return f"{node} {dumps(_sorted(given))}"
    except (RecursionError, ValueError):
        return None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def differing(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Yield where two inputs differ that ``plain`` returned. Numbers must be equal: one may be a time, or decide a branch."""
    return changes("input", old, new, (frozenset(), frozenset()), noise=0)
