"""Queries in SQL over the logs of a file or a folder: read-only, in memory, and without access to anything else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import LogFileError, QueryError
from ..jsonl import SUFFIXES, Skipped
from ..store.paths import LogPaths, log_files, no_logs, paths_of
from .duck import duckdb, failing, line_of, listed, quoted, run, script
from .parquet import COLUMNS, SUFFIX, staged

VIEWS: Final = ("events", "spans", "runs")
_END: Final = re.compile(r";(\s|--[^\n]*(\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)  # a semicolon, and what says nothing behind it
_BATCH: Final = 10_000  # rows
# What Python cannot hold, or holds only with packages that need not be there, comes as text.
_AS_TEXT: Final = ("TIMESTAMP", "TIME", "DATE", "INTERVAL", "UUID", "BIT", "BLOB", "JSON", "ENUM", "UNION", "VARIANT", "DECIMAL")


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a query.

    Attributes:
        columns: The names of its columns.
        types: Their types, as DuckDB names them.
        rows: The rows; they can be read once.
    """

    columns: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


class SqlLog:
    """A log with the views ``events``, ``spans`` and ``runs``. Use ``opened``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def query(self, text: str) -> Table:
        """Run a query.

        Args:
            text: One SELECT.

        Raises:
            QueryError: It is not one SELECT, DuckDB refuses it, or it reads anything but the views.
        """
        try:
            statements = self._connection.extract_statements(text)
            if len(statements) != 1 or statements[0].type != duckdb().StatementType.SELECT:
                raise QueryError(f"the query is not one SELECT; the views are {', '.join(VIEWS)}")
            run(self._connection, f"CREATE OR REPLACE TEMP TABLE result AS FROM ({_END.sub('', text)}\n)")
            described = self._connection.execute("DESCRIBE result").fetchall()
        except duckdb().Error as error:
            raise QueryError(f"the query failed: {line_of(error)}") from error
        columns, types = [row[0] for row in described], [row[1] for row in described]
        wanted = (_name(name) + _cast(kind) for name, kind in zip(columns, types, strict=True))
        self._connection.execute(f"SELECT {', '.join(wanted)} FROM result ORDER BY rowid")
        return Table(columns, types, self._rows())

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        while batch := self._connection.fetchmany(_BATCH):
            yield from batch


def _cast(kind: str) -> str:
    if kind.startswith("DECIMAL") and not kind.endswith("]"):
        return "::DOUBLE"
    return "::VARCHAR" if any(word in kind for word in _AS_TEXT) else ""


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


@contextmanager
def opened(log: LogPaths, skipped: Skipped) -> Iterator[SqlLog]:
    """Open a log for queries.

    Args:
        log: Files and folders of logs and Parquet files, sub-folders included.
        skipped: Records the lines that were skipped.

    Raises:
        MissingExtraError: DuckDB is not installed.
        LogFileError: The log cannot be read, or has no events.
    """
    lines, tables = files_of(paths_of(log), skipped)
    with staged(lines, skipped, may_be_empty=bool(tables)) as (connection, scratch):
        if lines:
            own = os.path.join(scratch, f"lines{SUFFIX}")
            with failing("the log cannot be read"):
                run(connection, f"COPY (FROM rows) TO {quoted(own)} (FORMAT parquet)")
            tables = [*tables, own]
        _define_views(connection, tables)
        connection.execute(f"SET allowed_paths = {listed(tables)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield SqlLog(connection)


def files_of(paths: Sequence[Path], skipped: Skipped) -> tuple[list[Path], list[str]]:
    """Return the logs and the Parquet files of paths.

    Raises:
        LogFileError: There are none.
    """
    suffixes = (*SUFFIXES, SUFFIX)
    files = log_files(paths, skipped, suffixes)
    if not files:
        raise no_logs(paths, skipped, suffixes)
    tables = [os.path.abspath(file) for file in files if file.name.endswith(SUFFIX)]
    return [file for file in files if not file.name.endswith(SUFFIX)], tables


def _define_views(connection: Any, tables: Sequence[str]) -> None:
    try:
        source = f"read_parquet({listed(tables)}, file_row_number = true, union_by_name = true, hive_partitioning = false)"
        columns = ", ".join(_name(column) for column in COLUMNS)
        connection.execute(f"CREATE VIEW stored AS SELECT {columns}, file_row_number AS seq FROM {source}")
        connection.execute(script("views"))
    except duckdb().Error as error:
        raise LogFileError(f"the Parquet files are not exports of events: {line_of(error)}") from error
