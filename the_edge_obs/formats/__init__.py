"""The export formats, one module each; a format turns a flow's events into text."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol, cast

from ..errors import ExportError, allowed
from ..event import Event

FORMATS: Final = ("chrome", "csv", "html", "json", "jsonl", "speedscope")

__all__ = ["FORMATS", "Render", "format_of", "renderer"]


class Render(Protocol):
    """What a format's module offers: a function that yields the text of an export, piece by piece."""

    def __call__(self, events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
        """Yield the text of the events given; ``dropped`` is, by flow, how many events are lost: known when all are read."""


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that the end of a path names: ``html`` of ``x.html`` and ``x.html.gz``, ``jsonl`` where it names none."""
    ending = os.path.splitext(os.fspath(path).removesuffix(".gz"))[1].removeprefix(".").lower()
    return {"htm": "html"}.get(ending, ending if ending in FORMATS else "jsonl")


def renderer(format: str) -> Render:  # noqa: A002 - the name that flows and the command line use
    """Return the renderer of a format, importing it now.

    Raises:
        ExportError: the format does not exist.
    """
    if format not in FORMATS:
        raise ExportError(f"unknown format {format!r}; {allowed(FORMATS)}")
    return cast("Render", importlib.import_module(f"{__name__}.{format}").render)
