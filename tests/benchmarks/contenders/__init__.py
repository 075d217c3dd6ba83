"""The ledger of contenders: who they are, what they need, where they are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple

from .base import Contender, Seen

__all__ = ["LEDGER", "Contender", "Entry", "Seen", "available", "load", "missing"]


class Entry(NamedTuple):
    """Where a contender is, and the packages it cannot do without."""

    module: str
    kind: str
    needs: tuple[str, ...] = ()


LEDGER: Final[dict[str, Entry]] = {
    "floor": Entry("floor", "Floor"),
    "the_edge_obs": Entry("ours", "TheEdgeObs"),
    "stdlib": Entry("plain_stdlib", "PlainStdlib", ("orjson",)),
    "structlog": Entry("with_structlog", "WithStructlog", ("structlog", "orjson")),
    "structlog tuned": Entry("with_structlog", "WithStructlogTuned", ("structlog", "orjson")),
    "loguru": Entry("with_loguru", "WithLoguru", ("loguru", "orjson")),
    "eliot": Entry("with_eliot", "WithEliot", ("eliot", "orjson")),
    "opentelemetry": Entry("with_opentelemetry", "WithOpenTelemetry", ("opentelemetry.sdk", "orjson")),
    "opentelemetry batch": Entry("with_opentelemetry", "WithOpenTelemetryBatch", ("opentelemetry.sdk", "orjson")),
}


def missing(name: str) -> list[str]:
    """Return the packages that a contender needs and that are not installed."""
    return [package for package in LEDGER[name].needs if not _found(package)]


def _found(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is not there
        return False


def available(names: list[str] | None = None) -> list[str]:
    """Return the contenders, of the given ones or of all, that can run here."""
    return [name for name in LEDGER if (not names or name in names) and not missing(name)]


def load(name: str) -> type[Contender]:
    """Return a contender's class."""
    entry = LEDGER[name]
    return getattr(import_module(f".{entry.module}", __name__), entry.kind)
