"""``file.read`` and ``file.write``: text files on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from ..errors import ActionError
from ._support import count_of, failure, text_of

DEFAULT_MAX_BYTES: Final = 10 * 1024 * 1024


def file_read(
    state: Mapping[str, Any], *, path: str, encoding: str = "utf-8", max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, Any]:
    """Read a text file.

    Args:
        state: The flow's state; not used.
        path: The file; relative to the working directory. A ``file://`` in front is dropped.
        encoding: How its text is encoded.
        max_bytes: The largest file to accept, in bytes.

    Returns:
        ``{"content": str, "path": str, "bytes": int, "success": True}``; line ends become ``\\n``. Soft failures have
        ``error_type`` ``not_found``, ``permission_denied``, ``read_error``, ``too_large`` or ``encoding`` (the bytes are
        no text in this encoding).

    Raises:
        ActionError: the path is no local path, or the encoding is unknown.
    """
    import io

    place, limit = _local_path("file.read", path), count_of("file.read", "max_bytes", max_bytes)
    _check_encoding("file.read", encoding)
    try:
        with open(place, "rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        return _os_failure(error, place, "read_error")
    if len(raw) > limit:
        problem = f"{place} is larger than {limit} bytes; raise max_bytes to accept more"
        return failure(problem, "too_large", path=place)
    try:
        content = io.TextIOWrapper(io.BytesIO(raw), encoding=encoding).read()
    except UnicodeError as error:
        return failure(f"{place} is no {encoding} text: {error}", "encoding", path=place)
    return {"content": content, "path": place, "bytes": len(raw), "success": True}


def file_write(
    state: Mapping[str, Any], *, path: str, content: str, encoding: str = "utf-8", append: bool = False
) -> dict[str, Any]:
    """Write a text file; missing parent folders are made.

    A reader sees the old content or the new one, never a half of it, whatever happens to this process. An appended text goes
    out in one write, so that lines of several writers do not mix.

    Args:
        state: The flow's state; not used.
        path: The file; relative to the working directory. A ``file://`` in front is dropped.
        content: The text; it is written as it is, line ends included.
        encoding: How to encode it.
        append: Add to the end of the file in place of replacing it.

    Returns:
        ``{"path": str, "bytes": written, "success": True}``. Soft failures have ``error_type`` ``permission_denied``,
        ``not_found``, ``write_error`` or ``encoding`` (the encoding lacks a character of the text).

    Raises:
        ActionError: the path is no local path, the content is no text, or the encoding is unknown.
    """
    place = _local_path("file.write", path)
    _check_encoding("file.write", encoding)
    if not isinstance(content, str):
        problem = f"file.write: content is of type {type(content).__name__}; it must be text: use | tojson or | string"
        raise ActionError(problem)
    try:
        raw = content.encode(encoding)
    except UnicodeError as error:
        return failure(f"the text for {place} cannot be written as {encoding}: {error}", "encoding", path=place)
    try:
        os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
        _append(place, raw) if append else _replace(place, raw)
    except OSError as error:
        return _os_failure(error, place, "write_error")
    return {"path": place, "bytes": len(raw), "success": True}


def _local_path(action: str, path: object) -> str:
    place = os.fspath(path) if isinstance(path, os.PathLike) else path
    place = text_of(action, "path", place).removeprefix("file://")
    if "://" in place or "\0" in place or not place:
        raise ActionError(f"{action}: path {path!r} is no path on this machine; give one such as notes/today.txt")
    return place


def _check_encoding(action: str, encoding: object) -> None:
    try:
        " ".encode(text_of(action, "encoding", encoding))
    except LookupError as error:
        raise ActionError(f"{action}: unknown encoding {encoding!r}; Python's names are allowed, such as utf-8") from error


def _os_failure(error: OSError, place: str, error_type: str) -> dict[str, Any]:
    if isinstance(error, FileNotFoundError):
        return failure(f"File not found: {place}", "not_found", path=place)
    if isinstance(error, PermissionError):
        return failure(f"Permission denied: {place}", "permission_denied", path=place)
    return failure(f"{place}: {error.strerror or error}", error_type, path=place)


def _append(place: str, raw: bytes) -> None:
    with open(place, "ab", buffering=0) as file:
        file.write(raw)


def _replace(place: str, raw: bytes) -> None:
    import secrets
    import stat

    target = os.path.realpath(place)  # a symbolic link stays one, its target is replaced
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        # A device or a pipe is written to; replacing it would destroy it. A folder refuses.
        with open(target, "wb", buffering=0) as file:
            file.write(raw)
        return
    folder, name = os.path.split(target)
    draft = os.path.join(folder, f".{name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(raw)
        if mode is not None:
            os.chmod(draft, stat.S_IMODE(mode))
        os.replace(draft, target)
    except BaseException:
        if os.path.exists(draft):
            os.unlink(draft)
        raise
