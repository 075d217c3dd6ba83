"""Format ``jsonl``: one event per line (https://jsonlines.org), as in flow files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..event import Event
from ..jsonl import lines_of


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each event."""
    yield from lines_of(events)
