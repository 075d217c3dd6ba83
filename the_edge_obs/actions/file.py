"""``file.read`` and ``file.write``: text files on this machine."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Mapping
from typing import Any, Final

from ..errors import ActionError
from ..files import drafted, open_regular
from ._support import check_encoding, count_of, failure, text_of

DEFAULT_MAX_BYTES: Final = 10 * 1024 * 1024
_PATIENCE: Final = 5.0  # seconds to wait for the reader of a pipe
_PAUSE: Final = 0.01
_NEVER_WAIT: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)


def file_read(
    state: Mapping[str, Any], *, path: str, encoding: str = "utf-8", max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, Any]:
    """Read a text file.

    Args:
        state: The flow's state; not used.
        path: The file; relative to the working directory. A leading ``file://`` is dropped. A pipe or a device is refused: it
            may never end.
        encoding: The encoding of its text.
        max_bytes: The largest file to accept, in bytes.

    Returns:
        ``{"content": str, "path": str, "bytes": int, "success": True}``; line ends become ``\\n``. Soft failures have
        ``error_type`` ``not_found``, ``permission_denied``, ``read_error``, ``too_large`` or ``encoding`` (the bytes are
        not valid in this encoding).

    Raises:
        ActionError: The path is not a local path, or the encoding is unknown.
    """
    import io

    path, limit = _local_path("file.read", path), count_of("file.read", "max_bytes", max_bytes)
    check_encoding("file.read", encoding)
    try:
        with open_regular(path) as file:
            raw = file.read(limit + 1)
    except OSError as error:
        return _os_failure(error, path, "read_error")
    if len(raw) > limit:
        problem = f"{path} is larger than {limit} bytes; raise max_bytes to accept more"
        return failure(problem, "too_large", path=path)
    try:
        content = io.TextIOWrapper(io.BytesIO(raw), encoding=encoding).read()
    except UnicodeError as error:
        return failure(f"{path} is not valid {encoding}: {error}", "encoding", path=path)
    return {"content": content, "path": path, "bytes": len(raw), "success": True}


def file_write(
    state: Mapping[str, Any], *, path: str, content: str, encoding: str = "utf-8", append: bool = False
) -> dict[str, Any]:
    """Write a text file; missing parent folders are created.

    A reader sees either the old or the new content, never a part of it, even if this process dies. An appended text is
    written at once, so that lines of several writers do not mix. A symbolic link is followed, since a flow names its own
    files. Pipes and devices can be written; a pipe waits 5 seconds for its reader.

    Args:
        state: The flow's state; not used.
        path: The file; relative to the working directory. A leading ``file://`` is dropped.
        content: The text; it is written unchanged, including line ends.
        encoding: The encoding to write.
        append: Append to the file instead of replacing it.

    Returns:
        ``{"path": str, "bytes": written, "success": True}``. Soft failures have ``error_type`` ``permission_denied``,
        ``not_found``, ``write_error`` or ``encoding`` (the encoding lacks a character of the text).

    Raises:
        ActionError: The path is not a local path, the content is not a string, or the encoding is unknown.
    """
    path = _local_path("file.write", path)
    check_encoding("file.write", encoding)
    if not isinstance(content, str):
        problem = f"file.write: content is of type {type(content).__name__}; it must be a string: use | tojson or | string"
        raise ActionError(problem)
    try:
        raw = content.encode(encoding)
    except UnicodeError as error:
        return failure(f"the text for {path} cannot be written as {encoding}: {error}", "encoding", path=path)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        _append(path, raw) if append else _replace(path, raw)
    except OSError as error:
        return _os_failure(error, path, "write_error")
    return {"path": path, "bytes": len(raw), "success": True}


def _local_path(action: str, path: object) -> str:
    local = os.fspath(path) if isinstance(path, os.PathLike) else path
    local = text_of(action, "path", local).removeprefix("file://")
    if "://" in local or "\0" in local or not local:
        raise ActionError(f"{action}: path {path!r} is not a path on this machine; give one such as notes/today.txt")
    return local


def _os_failure(error: OSError, path: str, error_type: str) -> dict[str, Any]:
    if isinstance(error, FileNotFoundError):
        return failure(f"File not found: {path}", "not_found", path=path)
    if isinstance(error, PermissionError):
        return failure(f"Permission denied: {path}", "permission_denied", path=path)
    return failure(f"{path}: {error.strerror or error}", error_type, path=path)


def _append(path: str, raw: bytes) -> None:
    _write(path, os.O_APPEND | os.O_CREAT, raw)


def _write(path: str, flags: int, raw: bytes) -> None:
    """Write to a file, a pipe or a device; wait for the reader of a pipe, but not forever."""
    deadline = time.monotonic() + _PATIENCE
    descriptor = _opened(path, os.O_WRONLY | flags | _NEVER_WAIT, deadline)
    try:
        rest = memoryview(raw)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError as error:  # a pipe that is full
                if not select.select([], [descriptor], [], max(deadline - time.monotonic(), 0))[1]:
                    raise OSError(errno.EAGAIN, f"no reader took data for {_PATIENCE:.0f} seconds") from error
    finally:
        os.close(descriptor)


def _opened(path: str, flags: int, deadline: float) -> int:
    while True:
        try:
            return os.open(path, flags, 0o666)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() >= deadline:
                raise OSError(errno.ENXIO, f"it is a pipe without a reader for {_PATIENCE:.0f} seconds") from error
        time.sleep(_PAUSE)


def _replace(path: str, raw: bytes) -> None:
    target = os.path.realpath(path)  # a symbolic link stays one, its target is replaced
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        # A device or a pipe must be written to: replacing it would destroy it. A folder raises an error.
        _write(target, 0, raw)
        return
    with drafted(target, 0o666) as (file, draft):
        file.write(raw)
        file.close()
        if mode is not None:
            os.chmod(draft, stat.S_IMODE(mode))
        os.replace(draft, target)
