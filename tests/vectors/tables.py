"""The tables of redaction, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from the_edge_obs.event import MAX_EVENT_BYTES, MAX_INT, MAX_LINE_BYTES
from the_edge_obs.jsonl import MAX_DEPTH as MAX_LINE_DEPTH
from the_edge_obs.redaction import conversions, marks, snapshots
from the_edge_obs.secrets import keys, taints, words

from .registry import Cases, about


@about(
    "The tables of redaction and the limits: {name, value}. Sets are sorted lists; their order means nothing. That of other "
    "lists does."
)
def tables() -> Cases:
    named = {name: value for name, value in vars(words).items() if name.isupper() and name[0] != "_"}
    limits = {
        "MAX_INT": MAX_INT,
        "MAX_EVENT_BYTES": MAX_EVENT_BYTES,
        "MAX_LINE_BYTES": MAX_LINE_BYTES,
        "MAX_LINE_DEPTH": MAX_LINE_DEPTH,
        "MAX_STRING": taints.MAX_STRING,
        "MAX_ITEMS": conversions.MAX_ITEMS,
        "MAX_DEPTH": snapshots.MAX_DEPTH,
        "MAX_VALUES": snapshots.MAX_VALUES,
        "MAX_CHARS": snapshots.MAX_CHARS,
        "MAX_KEY": keys.MAX_KEY,
        "MAX_PATHS": marks.MAX_PATHS,
        "MAX_PATH": marks.MAX_PATH,
        "MAX_SECRETS": taints.MAX_SECRETS,
        "SHORTEST_SECRET": taints.SHORTEST,
        "SHORTEST_NUMBER": taints.SHORTEST_NUMBER,
    }
    return [{"name": name, "value": _plain(value)} for name, value in {**named, **limits}.items()]


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
