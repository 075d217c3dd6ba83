"""The targets by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from . import reading, redaction

TARGETS: Final[dict[str, Callable[[], None]]] = {
    "texts": redaction.texts,
    "planted": redaction.planted,
    "values": redaction.values,
    "logs": reading.logs,
    "flows": reading.flows,
    "templates": reading.templates,
}
