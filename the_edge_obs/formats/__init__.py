"""The export formats, one module each. A format turns the events of flows into text."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol, cast

from ..errors import ExportError, allowed
from ..event import Event

FORMATS: Final = ("chrome", "csv", "html", "json", "jsonl", "otlp-json", "speedscope")
PARQUET: Final = "parquet"
"""The format that is not text: ``the_edge_obs.sql`` writes it."""

__all__ = ["FORMATS", "PARQUET", "Render", "format_of", "renderer"]


class Render(Protocol):
    """The function ``render`` of a format's module: it yields the text of an export, piece by piece."""

    def __call__(self, events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
        """Yield the text of the events.

        Args:
            events: The events, of any number of flows.
            dropped: How many events of each flow are lost, by flow id; complete only when all events have been read.
        """


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that the suffix of a path names: ``html`` for ``x.html`` and ``x.html.gz``. Default: ``jsonl``."""
    suffix = os.path.splitext(os.fspath(path).removesuffix(".gz"))[1].removeprefix(".").lower()
    return {"htm": "html"}.get(suffix, suffix if suffix in (*FORMATS, PARQUET) else "jsonl")


def renderer(format: str) -> Render:  # noqa: A002 - the name that flows and the command line use
    """Import the module of a format, and return its renderer.

    Raises:
        ExportError: the format is unknown.
    """
    if format not in FORMATS:
        raise ExportError(f"unknown format {format!r}; {allowed([*FORMATS, PARQUET])}")
    return cast("Render", importlib.import_module(f"{__name__}.{format.replace('-', '_')}").render)
