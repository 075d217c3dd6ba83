"""Opening and creating files: only regular ones, private to their owner, and written completely or not at all.

No open blocks: pipes, devices, sockets and folders are refused. New files have mode 0600 and new folders 0700 by default; files
that exist keep their mode. A folder may be a symbolic link that its owner has set up, such as ``logs -> /var/log/app``. A file
that is written to may not be one, because anyone who can write to its folder could point the link at another file.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress

# Not os.fdopen, which imports, nor open: at interpreter exit neither works.
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from typing import IO, Final, cast

from .errors import ConfigurationError, ExportError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open elsewhere can be neither renamed nor removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["open_for_appending", "open_regular", "write_atomically"]

FILE_MODE: Final = 0o600
"""The mode of a new file."""
FOLDER_MODE: Final = 0o700
"""The mode of a new folder."""
BROKEN_PIPE: Final = 141
"""The exit code of a program whose reader has gone, as in shells."""
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)  # conditions that may pass

# Some platforms lack some of these flags. There, a check for a link precedes the open.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_ANY: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_DRAFT: Final = re.compile(r"\..{0,40}\.[0-9a-f]{16}\.part", re.DOTALL)
_TRIES: Final = 5  # to open a file on which another process has a lease
_PAUSE: Final = 0.01  # seconds between the tries


def abandon_stdout() -> None:
    """Redirect stdout to the null device: otherwise the interpreter reports an error when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reason_of(error: BaseException) -> str:
    """Return the reason of a failure, in lower case, for the end of a message."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> IO[bytes]:
    """Open a regular file for reading. It never blocks: a pipe, a device or a folder is an error.

    Args:
        path: The file.
        follow: Whether the path may be a symbolic link. Default True.

    Raises:
        OSError: The file does not exist, cannot be read, or is not a regular file; ``strerror`` says which.
    """
    return BufferedReader(FileIO(open_for_reading(path, follow=follow), "r"))


def open_for_reading(path: str | os.PathLike[str], *, follow: bool = True) -> int:
    """Open a regular file as ``open_regular`` does, and return the descriptor."""
    return _opened(path, os.O_RDONLY, 0, follow=follow)[0]


def open_for_appending(path: str | os.PathLike[str], mode: int = FILE_MODE) -> tuple[int, os.stat_result]:
    """Open a regular file for appending, and return the descriptor and the file's status.

    The file and its folders are created if needed.

    A path whose last component is a symbolic link is refused. The mode applies to a new file, as far as the umask allows.

    Raises:
        OSError: The file cannot be written to, or is not a regular file; ``strerror`` says which.
    """
    try:
        return _opened(path, _APPENDING, mode, follow=False)
    except FileNotFoundError:  # asking for the folder each time would take a tenth of the time of creating a file
        make_folders(os.path.dirname(os.fspath(path)))
    return _opened(path, _APPENDING, mode, follow=False)


def open_new(path: str | os.PathLike[str], mode: int = FILE_MODE) -> int | None:
    """Create a file for appending and return its descriptor, or None if there is something with this path or no folder.

    A file that this call has created is empty and regular, which saves asking for its status.
    """
    try:
        return os.open(path, _APPENDING | os.O_EXCL | _ANY, mode)
    except (FileExistsError, FileNotFoundError):
        return None


def create(path: str | os.PathLike[str], mode: int = FILE_MODE) -> IO[bytes]:
    """Create a new file, and open it for writing.

    Raises:
        OSError: The path exists (a dangling link counts), or the file cannot be created.
    """
    return BufferedWriter(FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _ANY, mode), "w"))


def _opened(path: str | os.PathLike[str], flags: int, mode: int, *, follow: bool) -> tuple[int, os.stat_result]:
    if not follow and not _NO_LINK and os.path.islink(path):
        raise _refused(path, "a symbolic link")
    flags |= _ANY | (0 if follow else _NO_LINK)
    try:
        try:
            descriptor = os.open(path, flags, mode)
        except BlockingIOError:
            descriptor = _patiently(path, flags, mode)
    except OSError as error:
        # A link gives ELOOP, EMLINK or EFTYPE, by platform, and a FIFO without a reader ENXIO. The kind of file says more.
        kind = kind_of(path, follow=follow)
        if kind is None or kind == "a folder" or isinstance(error, PermissionError):
            raise
        raise _refused(path, kind) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status
    os.close(descriptor)
    raise _refused(path, _kind(status.st_mode) or "no file")


def _patiently(path: str | os.PathLike[str], flags: int, mode: int) -> int:
    """Open a file again, while another process has a lease on it, as ``tea-obs clean`` has for a moment."""
    for _ in range(_TRIES - 2):
        time.sleep(_PAUSE)
        with suppress(BlockingIOError):
            return os.open(path, flags, mode)
    time.sleep(_PAUSE)
    return os.open(path, flags, mode)


def _refused(path: str | os.PathLike[str], kind: str) -> OSError:
    code = {"a symbolic link": errno.ELOOP, "a folder": errno.EISDIR}.get(kind, errno.EINVAL)
    return OSError(code, f"it is {kind}, not a regular file", os.fspath(path))


def kind_of(path: str | os.PathLike[str], *, follow: bool = False) -> str | None:
    """Return the kind of a path, such as ``a symbolic link``; None for a regular file, and if nothing is there."""
    try:
        return _kind((os.stat(path) if follow else os.lstat(path)).st_mode)
    except (OSError, ValueError):
        return None


def _kind(mode: int) -> str | None:
    return None if stat.S_ISREG(mode) else next((name for holds, name in _KINDS if holds(mode)), "no file")


def make_folders(path: str | os.PathLike[str]) -> None:
    """Create a folder and its missing parents, with mode 0700.

    Raises:
        OSError: A folder cannot be created.
    """
    path, missing = os.fspath(path), []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, FOLDER_MODE)
        except FileExistsError:  # another process has created it, or the path ends in a slash
            if not os.path.isdir(folder):
                raise


def check_mode(where: str, mode: object) -> int:
    """Return a configured file mode as a number.

    Args:
        where: The name of the value in an error message.
        mode: An integer such as ``0o640``, or octal digits such as ``"0640"``.

    Raises:
        ConfigurationError: The value is not a mode, or the owner could not read and write the file.
    """
    number = mode
    if isinstance(mode, str):
        digits = mode.removeprefix("0o")
        number = int(digits, 8) if digits and len(digits) <= 4 and not digits.strip("01234567") else None
    is_mode = isinstance(number, int) and not isinstance(number, bool) and not number & ~0o666 and number & FILE_MODE == FILE_MODE
    if not is_mode:
        raise ConfigurationError(
            f"{where} is {mode!r}; it must be an octal file mode in which the owner reads and writes and nobody executes: "
            '"0600" (the default), "0640", "0644", "0660" or "0666", in quotes',
            where=where,
        )
    return cast("int", number)


@contextmanager
def leased(file: IO[bytes]) -> Iterator[bool | None]:
    """Hold a lease on a file for a ``with`` block.

    Yields True if no other process has the file open, False if one has, and None if the platform cannot tell.

    fcntl(2), Linux: a write lease can be placed on a file only if there are no other open file descriptors for it. A process that
    opens the file meanwhile waits, or gets ``EWOULDBLOCK`` with ``O_NONBLOCK``.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        yield None
        return
    descriptor = file.fileno()
    try:
        # An open by another process sends this process a signal. The default one ends the process; SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        yield False if isinstance(error, BlockingIOError) else None
        return
    try:
        yield True
    finally:
        if not file.closed:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def drafted(path: str | os.PathLike[str], mode: int = FILE_MODE) -> Iterator[tuple[IO[bytes], str]]:
    """Create a draft: a new file beside a path. Yields the file and its path; if it still exists after the block, it is removed.

    The name cannot be predicted, and an existing file is never opened, so no one can plant a link.

    Raises:
        OSError: The file cannot be created.
    """
    draft = draft_name(path)
    try:
        with create(draft, mode) as file:
            yield file, draft
    finally:
        with suppress(OSError):
            os.unlink(draft)


def draft_name(path: str | os.PathLike[str]) -> str:
    """Return a new name for a draft of a file; ``is_draft`` recognises it."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name[:40]}.{secrets.token_hex(8)}.part")


def is_draft(name: str) -> bool:
    """Tell whether a file's name comes from ``draft_name``. Such a file is left behind if its process was killed."""
    return _DRAFT.fullmatch(name) is not None


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[str]) -> int:
    """Write text to a file completely or not at all, and return the file's size in bytes.

    A path that ends in ``.gz`` gets a gzip file. A new file has mode 0600. An existing file is replaced, and its mode is kept.

    Raises:
        ExportError: The file cannot be written; nothing is left behind.
    """
    path = Path(path)
    new_folders = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        make_folders(path.parent)
        return _replace(path, chunks)
    except BaseException as error:
        for folder in new_folders:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise ExportError(f"path {str(path)!r} cannot be written: {reason_of(error)}") from error
        raise


def _packed(file: IO[bytes]) -> IO[bytes]:
    """Return a gzip writer on a file; closing the writer leaves the file open."""
    import gzip  # here, because few programs need it

    return cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=file))


def _replace(path: Path, chunks: Iterable[str]) -> int:
    """Write a draft and move it to the path, unless the path is a pipe or a device, or a link to one."""
    if (kind := kind_of(path, follow=True)) is not None:
        raise _refused(path, kind)
    with drafted(path) as (file, draft):
        with _packed(file) if path.name.endswith(".gz") else nullcontext(file) as written:
            for chunk in chunks:
                written.write(chunk.encode("utf-8", "backslashreplace"))
        size = file.tell()
        file.close()
        if os.path.lexists(path) and not os.path.islink(path):
            os.chmod(draft, stat.S_IMODE(os.lstat(path).st_mode))
        os.replace(draft, path)
    return size


def writable(path: str) -> str:
    """Return the absolute path, after checking that a file can be created there. No file is created yet.

    Raises:
        ConfigurationError: No file can be created there; the message says why.
    """
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise ConfigurationError(f"path {path!r} is a folder; name a file in it")
    if (kind := kind_of(path)) is not None:
        raise ConfigurationError(f"path {path!r} is {kind}, and only regular files are written to; {_instead_of(path, kind)}")
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise ConfigurationError(f"path {path!r} cannot be written: {folder!r} is not a folder")
    if problem := _refusal(folder, path):
        raise ConfigurationError(f"path {path!r} cannot be written: {problem}; choose another path")
    return path


def _instead_of(path: str, kind: str) -> str:
    if kind == "a symbolic link" and not kind_of(path, follow=True):
        return f"name {os.path.realpath(path)!r}, which it leads to"
    return "for a terminal use a console handler, for stdout or a device a logging.StreamHandler with the_edge_obs.JsonFormatter"


def _refusal(folder: str, path: str) -> str | None:
    """Return why a path cannot be written in a folder, or None. A full disk is no reason: it may pass."""
    from tempfile import TemporaryFile

    try:
        # os.access is not enough: for root it allows everything, also in /proc and on read-only mounts.
        TemporaryFile(dir=folder).close()
    except PermissionError:
        return "no permission"
    except OSError as error:
        return None if error.errno in _PASSING else (error.strerror or str(error)).lower()
    return "no permission" if os.path.exists(path) and not os.access(path, os.W_OK) else None
