"""Events as Parquet files: written completely or not at all, by several writers beside each other.

The columns are those of ``COLUMNS``. ``timestamp`` is the event's own float, and ``ts`` the same time as a timestamp with a zone.
``inner_errors``, ``cancelled``, ``answered``, ``name``, ``attributes`` and ``content`` are what the views of spans and runs need
of ``data``, so that queries do not read it.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import ExportError, FlowNotFoundError, LogFileError
from ..event import Event
from ..files import FILE_MODE, create, draft_name, kind_of, make_folders, reason_of
from ..jsonl import Skipped
from ..store.paths import unread
from ..text import counted
from .duck import connected, failing, quoted, run
from .lines import Checked, all_events, check, clean_lines, define_lines, prepare

SUFFIX: Final = ".parquet"
_DAY: Final = "coalesce(ts::DATE::VARCHAR, '__HIVE_DEFAULT_PARTITION__')"  # what Hive calls the part of those that have none
COLUMNS: Final = (
    *("flow_id", "span_id", "parent_id", "node", "step", "level", "event_type", "ts", "timestamp", "message"),
    *("duration_ms", "tokens", "input_tokens", "output_tokens", "cost_usd", "error_type", "error_message", "inner_errors"),
    *("cancelled", "answered", "name", "attributes", "host", "data", "metrics", "content"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What an export has written.

    Attributes:
        events: Number of events.
        files: The paths of the files.
        size: Bytes of all files.
    """

    events: int
    files: list[str]
    size: int


def write_parquet(
    logs: Sequence[Path] | Iterable[Event], path: str, skipped: Skipped, flow_ids: Collection[str] | None = None
) -> Written:
    """Write events to a Parquet file, completely or not at all.

    Args:
        logs: Log files, or events.
        path: The file to write. A new one is its owner's (0600); an existing one is replaced, and keeps its mode.
        skipped: Records the lines that were skipped.
        flow_ids: Only events of flows whose ids begin with one of these. Default: all.

    Raises:
        ExportError: The file cannot be written.
        LogFileError: A log cannot be read, or none has an event.
        FlowNotFoundError: No flow id begins so.
    """
    with staged(logs, skipped, flow_ids) as (connection, _):
        return _written({path: "FROM rows"}, connection)


def write_days(logs: Sequence[Path], folder: str, skipped: Skipped, flow_ids: Collection[str] | None = None) -> Written:
    """Write events to new Parquet files in a folder, one for each day (UTC), such as ``day=2026-11-29/events-….parquet``.

    The names of the files are new, so several programs can write to one folder. If one file cannot be written, none is.

    Args:
        logs: Log files.
        folder: The folder; it is created if it is missing.
        skipped: Records the lines that were skipped.
        flow_ids: Only events of flows whose ids begin with one of these. Default: all.

    Raises:
        ExportError: A file cannot be written.
        LogFileError: A log cannot be read, or none has an event.
        FlowNotFoundError: No flow id begins so.
    """
    with staged(logs, skipped, flow_ids) as (connection, scratch):
        whole = quoted(os.path.join(scratch, "whole.parquet"))
        with failing(f"{folder!r} cannot be written"):
            run(connection, f"COPY (FROM rows) TO {whole} (FORMAT parquet)")
            days = connection.execute(f"SELECT DISTINCT {_DAY} FROM {whole} ORDER BY 1").fetchall()
        return _written(
            {
                os.path.join(folder, f"day={day}", f"events-{secrets.token_hex(8)}{SUFFIX}"): (
                    f"FROM {whole} WHERE {_DAY} = {quoted(day)}"
                )
                for (day,) in days
            },
            connection,
        )


@contextmanager
def staged(
    logs: Sequence[Path] | Iterable[Event],
    skipped: Skipped,
    flow_ids: Collection[str] | None = None,
    *,
    may_be_empty: bool = False,
) -> Iterator[tuple[Any, str]]:
    """Open a database with the view ``rows``, which has the columns of ``COLUMNS``, one row per event.

    Args:
        logs, skipped, flow_ids: As in ``write_parquet``.
        may_be_empty: Whether writing no events is allowed.

    Yields:
        The database and a private folder, which is removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="tea-obs-") as scratch, connected(scratch) as connection:
        prepare(connection)
        if isinstance(logs, Sequence):
            checked = check(connection, logs, skipped)
            rest: Iterable[Event] = all_events(checked.others, skipped)
        else:
            checked, rest = Checked(), logs
        clean = os.path.join(scratch, "clean.jsonl")
        with failing("the log cannot be read"):
            if not checked.lines + clean_lines(clean, rest) and not may_be_empty:
                if skipped.failures:
                    raise unread(skipped)
                raise LogFileError(f"the log holds no events{_detail(skipped)}; give a .jsonl flow log or a folder of them")
            define_lines(connection, checked.plain, clean, flow_ids)
            if flow_ids is not None and not connection.execute("SELECT 1 FROM lines LIMIT 1").fetchone():
                raise FlowNotFoundError(f"no flow of the log begins with {' or '.join(map(repr, sorted(flow_ids)[:3]))}")
        yield connection, scratch


def _detail(skipped: Skipped) -> str:
    return f" ({counted(skipped.lines, 'line')} skipped; {skipped.first})" if skipped.lines else ""


def _written(queries: Mapping[str, str], connection: Any) -> Written:
    """Write the result of a query to each path: first to drafts beside the paths, which are then renamed."""
    count, size = 0, 0
    with ExitStack() as undo:
        drafts: dict[str, str] = {}
        for path, query in queries.items():
            try:
                drafts[path] = _draft(path, undo)
                with failing(f"path {path!r} cannot be written"):
                    options = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
                    (rows,) = run(connection, f"COPY ({query}) TO {quoted(drafts[path])} ({options})").fetchone()
                count, size = count + rows, size + os.path.getsize(drafts[path])
            except OSError as error:
                raise ExportError(f"path {path!r} cannot be written: {reason_of(error)}") from error
        for path, draft in drafts.items():
            _place(draft, path, undo)
        undo.pop_all()
    return Written(count, list(queries), size)


def _draft(path: str, undo: ExitStack) -> str:
    """Create the draft of a file, and the folders that it needs; the undo removes them unless they hold something else."""
    if (kind := kind_of(path, follow=True)) is not None:
        raise ExportError(f"path {path!r} cannot be written: it is {kind}; name a file")
    for folder in reversed([folder for folder in Path(path).parents if not os.path.lexists(folder)]):
        undo.callback(_without_errors, os.rmdir, folder)
    make_folders(os.path.dirname(path))
    draft = draft_name(path)
    create(draft, FILE_MODE).close()
    undo.callback(_without_errors, os.unlink, draft)
    return draft


def _place(draft: str, path: str, undo: ExitStack) -> None:
    try:
        if os.path.lexists(path):
            if not os.path.islink(path):
                os.chmod(draft, stat.S_IMODE(os.lstat(path).st_mode))
        else:
            undo.callback(_without_errors, os.unlink, path)
        os.replace(draft, path)
    except OSError as error:
        raise ExportError(f"path {path!r} cannot be written: {reason_of(error)}") from error


def _without_errors(remove: Callable[[str | Path], None], path: str | Path) -> None:
    with suppress(OSError):
        remove(path)
