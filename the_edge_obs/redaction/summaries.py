"""Results that are logged as a summary: an action that returns parts of the log would otherwise fill the log with copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def whole(value: Any) -> Any:
    """Return a value without its summary, as a plain list or dict; any other value is returned as it is."""
    return list(value) if type(value) is Listing else dict(value) if type(value) is Record else value


class Listing(list[Any]):
    """A list with a summary, which snapshots use instead of the items. Copies are plain lists.

    Attributes:
        summary: What is logged.
    """

    __slots__ = ("summary",)

    def __init__(self, items: Iterable[Any], summary: Mapping[str, Any]) -> None:
        super().__init__(items)
        self.summary = summary

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return list, (list(self),)


class Record(dict[str, Any]):
    """A dict with a summary, which snapshots use instead of the items. Copies are plain dicts.

    Attributes:
        summary: What is logged.
    """

    __slots__ = ("summary",)

    def __init__(self, items: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        super().__init__(items)
        self.summary = summary

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return dict, (dict(self),)
