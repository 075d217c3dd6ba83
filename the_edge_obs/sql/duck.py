"""DuckDB: found if it is installed, opened in memory without extensions to download, its errors as one line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from threading import Event
from typing import Any, Final

from ..errors import ExportError, MissingExtraError

# Nothing is downloaded, and a table name never stands for a variable of this process.
_CONFIG: Final = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
_AGAIN: Final = 0.05  # seconds between attempts to interrupt
_MOST_OF_ERROR: Final = 500  # characters


def duckdb() -> Any:
    """Return the module ``duckdb``.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("duckdb")
    except ImportError as error:
        raise MissingExtraError("SQL over logs and Parquet", "sql") from error


@contextmanager
def connected(scratch: str) -> Iterator[Any]:
    """Open a database in memory. Times are UTC.

    Args:
        scratch: A private folder, where DuckDB puts what does not fit into memory.
    """
    with duckdb().connect(":memory:", config=_CONFIG) as connection:
        connection.execute(f"SET temp_directory = {quoted(scratch)}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # it would be written to stdout, into the answer
        yield connection


def run(connection: Any, statement: str) -> Any:
    """Execute a statement that may take long, and return the connection. Ctrl-C ends it, which DuckDB itself does not notice."""
    begun, stopped, ended = Event(), Event(), Event()

    def execute() -> Any:
        begun.set()
        try:
            return None if stopped.is_set() else connection.execute(statement)
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(execute).result()
        except KeyboardInterrupt:  # also before ``submit`` has returned
            stopped.set()
            while begun.is_set() and not ended.is_set():
                connection.interrupt()  # has no effect on a statement that has not quite begun
                ended.wait(_AGAIN)
            raise


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Report an error of DuckDB within the block as an ``ExportError`` of one line that begins with what failed."""
    try:
        yield
    except duckdb().Error as error:
        raise ExportError(f"{what}: {line_of(error)}") from error


def line_of(error: Exception) -> str:
    """Return the first sentences of an error of DuckDB, without the excerpt of the query that follows them."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith("LINE ") and line.strip(" ^")]
    return " ".join(lines)[:_MOST_OF_ERROR]


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Sequence[str]) -> str:
    """Return texts as a list of SQL."""
    return f"[{', '.join(map(quoted, texts))}]"


def script(name: str) -> str:
    """Return the text of a ``.sql`` file beside this module."""
    return resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
