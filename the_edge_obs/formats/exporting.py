"""Exports: the events of a flow, a file or a folder, written in one of the formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from ..errors import ExportError
from ..event import Event
from ..files import write_atomically
from ..jsonl import Skipped
from ..store.paths import LogPaths, unread
from ..store.sources import iter_query
from . import PARQUET, format_of, renderer


def export(
    source: LogPaths | None,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
    **filters: Any,
) -> dict[str, Any]:
    """Write the events of a flow that match the filters to a file, completely or not at all.

    Args:
        source: A flow id, one or several paths of files and folders, or None for the running flow.
        path: The file to write; missing folders are created.
        format: ``jsonl``, ``json``, ``csv``, ``html`` (one flow), ``chrome``, ``speedscope``, ``otlp-json`` or ``parquet`` (extra
            ``sql``). Default: the suffix of the path, otherwise ``jsonl``.
        filters: As in ``query``.

    Returns:
        ``{"path", "format", "events", "bytes"}``.

    Raises:
        ExportError: the format is unknown, or the path cannot be written.
        QueryError, FlowNotFoundError, LogFileError: as in ``query``. If some of the paths cannot be read, what the others hold is
            written first.
        MissingExtraError: the format needs a package that is not installed.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ExportError(f"path {path!r} is not a file to write; give one such as run.jsonl or run.html")
    format = format_of(path) if format is None else format  # noqa: A001
    skipped = Skipped()
    if format == PARQUET:
        from ..sql import write_parquet

        written = write_parquet(iter_query(source, skipped, **filters), os.fspath(path), skipped)
        _check_read(skipped)
        return {"path": os.fspath(path), "format": format, "events": written.events, "bytes": written.size}
    render = renderer(format)
    events = _started(iter_query(source, skipped, **filters))
    count = 0

    def counted() -> Iterator[Event]:
        nonlocal count
        for event in events:
            count += 1
            yield event

    size = write_atomically(path, render(counted(), dropped=skipped.dropped))
    _check_read(skipped)
    return {"path": os.fspath(path), "format": format, "events": count, "bytes": size}


def _check_read(skipped: Skipped) -> None:
    if skipped.failures:
        raise unread(skipped)


def _started(events: Iterator[Event]) -> Iterator[Event]:
    """Return an iterator that has read its first item, so that an unreadable source fails before the file is created."""
    return chain(list(islice(events, 1)), events)
