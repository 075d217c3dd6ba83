"""Files as this package opens and makes them: regular ones alone, private, and whole or not at all.

No open blocks: a pipe without a peer is refused, as are devices, sockets and folders. What is written belongs to its owner: files
are 0600 and new folders 0700 unless somebody asks for more, and files that exist keep their mode. Folders may be links that their
owner has set up, such as ``logs -> /var/log/app``. A file that is written to may not be one: whoever can write to its folder
could aim it at any other file.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import stat
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

FILE_MODE: Final = 0o600
"""The mode of a new file."""
FOLDER_MODE: Final = 0o700
"""The mode of a new folder."""
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)  # what may pass by itself

# Some platforms lack some of these flags; there, a link is looked for before the file is opened.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_ANY: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_DRAFT: Final = re.compile(r"\..{0,40}\.[0-9a-f]{16}\.part", re.DOTALL)
_TRIES: Final = 5  # of an open that another process holds up
_PAUSE: Final = 0.01  # seconds between them


def reason_of(error: BaseException) -> str:
    """Return why something failed, for the end of a message."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> IO[bytes]:
    """Open a regular file for reading. It never waits: a pipe, a device or a folder is an error.

    Args:
        path: The file.
        follow: Whether it may be a symbolic link to one. Default True.

    Raises:
        OSError: it is not there, cannot be read, or is not a regular file; ``strerror`` says which.
    """
    return BufferedReader(FileIO(_opened(path, os.O_RDONLY, 0, follow=follow), "r"))


def open_for_appending(path: str | os.PathLike[str], mode: int = FILE_MODE) -> int:
    """Open a regular file for appending, made with its folders where it is not there, and return the descriptor.

    A last component that is a symbolic link is refused. The mode applies to a new file, less what the umask takes away.

    Raises:
        OSError: it cannot be written to, or is not a regular file; ``strerror`` says which.
    """
    make_folders(os.path.dirname(os.fspath(path)))
    return _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode, follow=False)


def create(path: str | os.PathLike[str], mode: int = FILE_MODE) -> IO[bytes]:
    """Make a file that is not there yet, and open it for writing.

    Raises:
        OSError: it exists, be it as a dangling link, or cannot be made.
    """
    return BufferedWriter(FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _ANY, mode), "w"))


def _opened(path: str | os.PathLike[str], flags: int, mode: int, *, follow: bool) -> int:
    if not follow and not _NO_LINK and os.path.islink(path):
        raise _refused(path, "a symbolic link")
    try:
        descriptor = _patiently(path, flags | _ANY | (0 if follow else _NO_LINK), mode)
    except OSError as error:
        # A link is ELOOP, EMLINK or EFTYPE by platform, a FIFO without a reader ENXIO: what it is says more.
        kind = kind_of(path, follow=follow)
        if kind is None or kind == "a folder" or isinstance(error, PermissionError):
            raise
        raise _refused(path, kind) from error
    if (kind := _kind(os.fstat(descriptor).st_mode)) is None:
        return descriptor
    os.close(descriptor)
    raise _refused(path, kind)


def _patiently(path: str | os.PathLike[str], flags: int, mode: int) -> int:
    """Open a file; one on which another process has a lease for a moment, as ``tea-obs clean`` may have, is asked for again."""
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            return os.open(path, flags, mode)
        time.sleep(_PAUSE)
    return os.open(path, flags, mode)


def _refused(path: str | os.PathLike[str], kind: str) -> OSError:
    code = {"a symbolic link": errno.ELOOP, "a folder": errno.EISDIR}.get(kind, errno.EINVAL)
    return OSError(code, f"it is {kind}, not a regular file", os.fspath(path))


def kind_of(path: str | os.PathLike[str], *, follow: bool = False) -> str | None:
    """Return what a path is, such as ``a symbolic link``; None for a regular file, and where there is nothing."""
    try:
        return _kind((os.stat(path) if follow else os.lstat(path)).st_mode)
    except (OSError, ValueError):
        return None


def _kind(mode: int) -> str | None:
    return None if stat.S_ISREG(mode) else next((name for holds, name in _KINDS if holds(mode)), "no file")


def make_folders(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, as far as they are not there; new ones are 0700.

    Raises:
        OSError: one cannot be made.
    """
    path, missing = os.fspath(path), []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, FOLDER_MODE)
        except FileExistsError:  # another process has made it, or it ends in a slash
            if not os.path.isdir(folder):
                raise


def check_mode(where: str, mode: object) -> int:
    """Return the mode of files that somebody asks for: a whole number such as ``0o640``, or its octal digits such as ``"0640"``.

    Args:
        where: What to call it in the error.
        mode: The value.

    Raises:
        ConfigurationError: it is not a mode, or one with which the owner could not read and write.
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
    """Hold a lease on a file. Gives True when nobody else has it open, False when somebody has, None where nobody can tell.

    fcntl(2), Linux: a write lease can be placed on a file only if there are no other open file descriptors for it. Who opens it
    meanwhile waits, or with ``O_NONBLOCK`` is told to try again.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        yield None
        return
    descriptor = file.fileno()
    try:
        # Who waits for it makes the system send a signal, by default one that ends the process; this one is ignored by default.
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
    """Give a new file beside a path, and its own path; what is left of it when the block ends is removed.

    Its name cannot be foreseen, and it is only ever made, never opened: no link can be planted for it.

    Raises:
        OSError: it cannot be made.
    """
    draft = draft_name(path)
    try:
        with create(draft, mode) as file:
            yield file, draft
    finally:
        with suppress(OSError):
            os.unlink(draft)


def draft_name(path: str | os.PathLike[str]) -> str:
    """Return a new name for what is to become a file; ``is_draft`` knows it."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name[:40]}.{secrets.token_hex(8)}.part")


def is_draft(name: str) -> bool:
    """Tell whether a file's name is one that ``draft_name`` gives: where its process was killed, it is left behind."""
    return _DRAFT.fullmatch(name) is not None


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[str]) -> int:
    """Write text to a file that appears whole or not at all, and return its size in bytes.

    A path that ends in ``.gz`` gets a gzip file, as readers expect of it. A new file is 0600; one that is there is replaced, and
    its mode stays.

    Raises:
        ExportError: it cannot be written; nothing is left behind.
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
    """Return what packs into a file, and leaves it open."""
    import gzip  # few write such files

    return cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=file))


def _replace(path: Path, chunks: Iterable[str]) -> int:
    """Write a draft, and put it in the place of what is there, unless that is or leads to a pipe or a device."""
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
    """Return a path, absolute, once it is known that a file can be made there; nothing is made yet.

    Raises:
        ConfigurationError: it cannot be; the message says why.
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
    """Return why no file can be made in a folder, or the path not be written; what may pass, as a full disk, does not count."""
    from tempfile import TemporaryFile

    try:
        # Asking is not enough: to root, permissions allow everything, in /proc and on what is mounted read-only too.
        TemporaryFile(dir=folder).close()
    except PermissionError:
        return "no permission"
    except OSError as error:
        return None if error.errno in _PASSING else (error.strerror or str(error)).lower()
    return "no permission" if os.path.exists(path) and not os.access(path, os.W_OK) else None
