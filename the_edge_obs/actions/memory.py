"""``memory.store`` and ``memory.retrieve``: values that outlive a run, in one SQLite file.

Threads, parallel branches and processes can use the same file at the same time: each call is one short transaction on its
own connection, and waits for the others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from ..errors import ActionError
from ..files import draft_name, kind_of, make_folders, open_for_appending
from ._support import failure, json_bytes, positive, text_of

if TYPE_CHECKING:
    import sqlite3

DEFAULT_PATH: Final = os.path.join(".tea-obs", "memory.db")
# Seconds to wait while another writer holds the file.
_PATIENCE: Final = 30.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS memory (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at REAL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID
"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS memory_expiry ON memory (expires_at) WHERE expires_at IS NOT NULL"


def memory_store(
    state: Mapping[str, Any],
    *,
    key: str,
    value: Any,
    namespace: str = "default",
    ttl: float | None = None,
    path: str = DEFAULT_PATH,
) -> dict[str, Any]:
    """Store a value under a key; an existing value is replaced.

    Args:
        state: The flow's state; not used.
        key: The name of the value; a number is converted to a string.
        value: Anything that JSON can represent.
        namespace: Separates equal keys, for example one namespace per user.
        ttl: Seconds until the value is forgotten; None keeps it.
        path: The SQLite file; created with its folders if it does not exist. Only its owner can read it (0600), as well as the
            journals that SQLite creates beside it. A symbolic link, a pipe or a device is refused.

    Returns:
        ``{"stored": True, "key": str, "namespace": str, "success": True}``. The soft failure, with ``"stored": False``, has
        ``error_type`` ``storage``: the file cannot be written, or is not an SQLite file.

    Raises:
        ActionError: There is no key, JSON cannot represent the value, or the ttl is not above 0.
    """
    import sqlite3

    name, space = _name("memory.store", "key", key), _name("memory.store", "namespace", namespace)
    text = json_bytes("memory.store", "value", value).decode()
    now = time.time()
    expires_at = None if ttl is None else now + positive("memory.store", "ttl", ttl)
    path = text_of("memory.store", "path", path)
    try:
        _make(path)
        # The write lock comes first: a transaction that reads and then writes could deadlock.
        with _transaction(path, "BEGIN IMMEDIATE") as connection:
            connection.execute(_TABLE)
            connection.execute(_INDEX)
            connection.execute("DELETE FROM memory WHERE expires_at <= ?", (now,))
            connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", (space, name, text, expires_at))
    except (sqlite3.Error, OSError) as error:
        return failure(f"{path}: {error}", "storage", stored=False, key=name, namespace=space)
    return {"stored": True, "key": name, "namespace": space, "success": True}


def memory_retrieve(
    state: Mapping[str, Any],
    *,
    key: str,
    default: Any = None,
    namespace: str = "default",
    path: str = DEFAULT_PATH,
) -> dict[str, Any]:
    """Return the value that is stored under a key.

    Args:
        state: The flow's state; not used.
        key: The name of the value; a number is converted to a string.
        default: The value to return when nothing is stored there, or it has expired.
        namespace: The namespace it was stored in.
        path: The SQLite file; it need not exist.

    Returns:
        ``{"value": Any, "found": bool, "key": str, "namespace": str, "success": True}``; a missing key is not a
        failure. The soft failure, with the default as value and ``"found": False``, has ``error_type`` ``storage``: the file
        cannot be read, or is not an SQLite file.

    Raises:
        ActionError: There is no key.
    """
    import json
    import sqlite3

    name, space = _name("memory.retrieve", "key", key), _name("memory.retrieve", "namespace", namespace)
    path = text_of("memory.retrieve", "path", path)
    facts = {"value": default, "found": False, "key": name, "namespace": space}
    try:
        row = _find(path, space, name) if os.path.lexists(path) else None
        return {**facts, **({"value": json.loads(row), "found": True} if row is not None else {}), "success": True}
    except (sqlite3.Error, OSError, ValueError) as error:
        return failure(f"{path}: {error}", "storage", **facts)


def _name(action: str, parameter: str, value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)  # {{ state.user_id }} is a number if the id is one
    if not isinstance(value, str) or not value:
        raise ActionError(f"{action}: {parameter} is {value!r}; it must be a string that is not empty, or a number")
    return value


def _make(path: str) -> None:
    """Create an empty file that is private from the beginning; SQLite gives its journals the same mode.

    It is created under another name: closing a descriptor of a file that SQLite has open in this process would release the
    locks of SQLite (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    make_folders(os.path.dirname(path))
    if os.path.lexists(path):
        return
    draft = draft_name(path)
    os.close(open_for_appending(draft)[0])
    try:
        with suppress(FileExistsError):  # another thread or process was first
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _find(path: str, namespace: str, key: str) -> str | None:
    with _transaction(path, "BEGIN") as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'memory'").fetchone() is None:
            return None
        row = connection.execute(
            "SELECT value FROM memory WHERE namespace = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)",
            (namespace, key, time.time()),
        ).fetchone()
        return None if row is None else str(row[0])


@contextmanager
def _transaction(path: str, begin: str) -> Iterator[sqlite3.Connection]:
    import sqlite3

    # SQLite would follow a link, and block on a pipe.
    if (kind := kind_of(path)) is not None:
        raise OSError(f"it is {kind}, not a regular file")
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.execute(begin)
        with connection:  # commits, or rolls back
            yield connection
    finally:
        connection.close()
