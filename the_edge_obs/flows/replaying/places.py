"""The place of a span: the steps that lead to it, with branch, iteration and attempt, and which of several equal calls it is."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from ...event import ROOT_NODE, Event

CODE: Final = "python.run"
_NUMBERED: Final = frozenset({"parallel.branch", "loop.iteration"})
STRUCTURE: Final = frozenset({ROOT_NODE, "steps", "subflow", "loop", "parallel", *_NUMBERED})
"""Nodes that a flow is made of: they hold the calls, and are never asked for."""


class Place(NamedTuple):
    """Where a span is in its run. The places of two runs are equal where the same call was made.

    Attributes:
        path: A label for each span around it, and its own.
        steps: The steps among them.
        is_in_code: Whether inline code made the call, rather than a step.
        numbers: The indices of branches and iterations, the numbers of attempts and of equal calls on the way, without names.
    """

    path: tuple[str, ...]
    steps: frozenset[str]
    is_in_code: bool = False
    numbers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " > ".join(self.path)


_ROOT: Final = Place((), frozenset())


class Places:
    """The places of the spans of one run."""

    def __init__(self) -> None:
        self._places: dict[str | None, Place] = {}
        self._seen: Counter[tuple[str | None, str]] = Counter()
        self._code: set[str | None] = set()

    def add(self, entry: Event) -> Place:
        """Return the place of a span by its entry, after those of the spans around it."""
        parent = entry["parent_id"]
        if parent not in self._places and entry["node"] == ROOT_NODE:
            self._places[entry["span_id"]] = _ROOT
            return _ROOT
        step = entry.get("step")
        name: str = step or entry["node"]
        above, label = self._places.get(parent, _ROOT), _label(name, entry)
        self._seen[parent, label] += 1
        if (number := self._seen[parent, label]) > 1:
            label += f" (call {number})"
        if entry["node"] == CODE:
            self._code.add(entry["span_id"])
        steps = above.steps | {step} if step else above.steps
        numbers = (*above.numbers, label[len(name) :]) if label != name else above.numbers
        place = Place((*above.path, label), steps, parent in self._code, numbers)
        self._places[entry["span_id"]] = place
        return place


def _label(name: str, entry: Event) -> str:
    data: dict[str, Any] = entry["data"]
    given = data.get("input")
    if entry["node"] in _NUMBERED and isinstance(given, dict):
        return f"{name} [{given.get('index')}]"
    return f"{name} (attempt {data['attempt']})" if isinstance(data.get("attempt"), int) else name
