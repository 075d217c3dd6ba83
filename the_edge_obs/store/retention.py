"""Keep a folder of logs within limits: remove old logs and compress finished ones, each with its full recording.

Nothing else is touched. Only regular files in the folder itself count, with a name that ends in ``.jsonl`` or ``.jsonl.gz`` and
an event as their first line. No link is followed. A log is in use, and is left alone, for a minute after its last write; for a
day after its last write if a flow in it has no end; and while another program has it open.

No line that is appended meanwhile is lost. First the log is renamed, so that a program that opens it from now on creates a
new file. Then, on systems with leases (Linux), a lease shows that no other program has the file open; if one has, the log
gets its name back. Readers find the log under each of its names, and recognise copies. ``clean`` may be killed at any
moment; the next run continues.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from ..errors import ConfigurationError, DurationError, LogFileError
from ..event import MAX_LINE_BYTES
from ..files import drafted, is_draft, leased, open_regular, reason_of
from ..jsonl import SUFFIXES, log_name, parsed, read_events, set_aside_name
from ..text import seconds_of
from .file_ends import summary_of_file
from .full_record import full_files
from .summaries import summarise

RESTING: Final = 60.0
"""Seconds after its last write during which a log is in use."""
ABANDONED: Final = 86_400.0
"""Seconds after its last write during which a log is in use if a flow in it has no end; then its process is presumed dead."""

_TAIL: Final = 1 << 17  # bytes
_BYTES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a folder of logs.

    Attributes:
        older_than: Remove a log this many seconds after its last write; None for no limit.
        max_size: Remove the oldest logs while all logs together have more bytes than this; None for no limit.
        compress: Whether to gzip logs whose flows have all ended.
    """

    older_than: float | None = None
    max_size: int | None = None
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done with one log, or what a dry run would do.

    Attributes:
        path: The log.
        action: ``removed``, ``compressed``, ``kept`` or ``failed``.
        reason: The reason, for people; empty if no limit applies to the log.
        before, after: The size of the log and its full recording in bytes.
    """

    path: Path
    action: str
    reason: str
    before: int
    after: int


@dataclass(slots=True)
class _Log:
    path: Path  # where it is now
    status: os.stat_result
    in_use: str = ""
    full: list[Path] = field(default_factory=list)  # its full recordings

    @property
    def size(self) -> int:
        return self.status.st_size + sum(os.lstat(path).st_size for path in self.full if path.exists())


def age_of(text: str) -> float:
    """Return an age such as ``30d`` in seconds.

    Raises:
        DurationError: The text is not a duration, or has a sign.
    """
    if text.lstrip()[:1] in ("+", "-"):
        raise DurationError(f"age {text!r} is not a number with a unit; write something like 30d, without a sign")
    return seconds_of(text, "age")


def bytes_of(size: str) -> int:
    """Return a size such as ``1GB`` in bytes: KB, MB, GB and TB are powers of 1,000, KiB, MiB and GiB of 1,024.

    Raises:
        ConfigurationError: The text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", size.strip(), re.IGNORECASE)
    if match is None or (factor := _BYTES.get(match[2].upper())) is None:
        raise ConfigurationError(f"size {size!r} is not a number of bytes; write something like 500MB, 1GB or 64MiB")
    return int(float(match[1]) * factor)


def clean(folder: str | os.PathLike[str], limits: Limits, *, dry_run: bool = False) -> Iterator[Deed]:
    """Bring a folder of logs within limits, and report what was done with each log.

    Logs that are too old are removed first. Then finished logs are compressed, each completely or not at all; the time of the
    last write is kept. Then the oldest logs are removed until the rest is small enough.

    Args:
        folder: The folder. Sub-folders are not entered, unlike by readers: what is in them may be kept on purpose.
        limits: The limits.
        dry_run: Change nothing, and report what would be done. Default False.

    Yields:
        One deed per log: first those removed for their age, then the others, the oldest log first.

    Raises:
        LogFileError: The folder does not exist, is a link, or cannot be read.
    """
    now = time.time()
    remaining: list[_Log] = []
    if limits.compress and not dry_run:
        _sweep(Path(folder), now)
    for log in _logs(Path(folder), now):
        age = now - log.status.st_mtime
        if limits.older_than is None or age <= limits.older_than or log.in_use:
            remaining.append(log)
        else:
            yield _removed(log, f"last written {_ago(age)} ago", dry_run)
    deeds = [_compressed(log, dry_run) if limits.compress else _kept(log, log.in_use) for log in remaining]
    excess = sum(deed.after for deed in deeds) - (math.inf if limits.max_size is None else limits.max_size)
    for log, deed in zip(remaining, deeds, strict=True):
        if excess > 0 and not log.in_use and deed.action in ("kept", "compressed"):
            excess -= deed.after
            yield _shed(log, deed, dry_run)
        else:
            yield deed


def _kept(log: _Log, reason: str) -> Deed:
    return Deed(log.path, "kept", reason, log.size, log.size)


def _shed(log: _Log, deed: Deed, dry_run: bool) -> Deed:
    """Remove a log, which may be compressed by now, because of the size limit."""
    if deed.action == "compressed" and not dry_run:
        log = _Log(log.path, os.lstat(log.path), full=_full_of(log.path))
    removed = _removed(log, "the oldest beyond the size limit", dry_run)
    return Deed(deed.path, removed.action, removed.reason, deed.before, removed.after)


def _zipped(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _logs(folder: Path, now: float) -> list[_Log]:
    """Return the logs of a folder, the oldest first."""
    if folder.is_symlink():
        raise LogFileError(f"folder {str(folder)!r} is a link, and links are not followed; give {os.path.realpath(folder)!r}")
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(SUFFIXES) and entry.is_file(follow_symlinks=False)]
    except OSError as error:
        raise LogFileError(f"folder {str(folder)!r} cannot be read: {reason_of(error)}") from error
    logs = [log for name in names if (log := _log(folder / name, now)) is not None]
    return sorted(logs, key=lambda log: (log.status.st_mtime_ns, log.path.name))


def _log(path: Path, now: float) -> _Log | None:
    """Return a file as a log, or None if it is not one of ours or cannot be read."""
    try:
        with _opened(path) as raw, _plain(path, raw) as file:
            status = os.fstat(raw.fileno())
            line = file.readline(MAX_LINE_BYTES + 1)
        if not isinstance(parsed(line), dict):
            return None
        return _Log(path, status, _use_of(path, status, now), _full_of(path))
    except (OSError, EOFError, zlib.error, LogFileError):
        return None  # a file that cannot be read may not be ours


def _full_of(path: Path) -> list[Path]:
    return [file for file in full_files(path) if not file.is_symlink()]


def _opened(path: Path) -> IO[bytes]:
    return open_regular(path, follow=False)


def _plain(path: Path, raw: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.name.endswith(".gz") else raw


def _use_of(path: Path, status: os.stat_result, now: float) -> str:
    """Return why a log is in use, or an empty string."""
    age = now - status.st_mtime
    if age < RESTING:
        return "it is being written"
    # A compressed log is not written to any more.
    if age < ABANDONED and not path.name.endswith(".gz") and not _is_finished(path):
        return "a flow in it has not ended"
    return ""


def _is_finished(path: Path) -> bool:
    """Tell whether every flow in a log has ended."""
    # If the totals in its last line say that the file holds a single run, which has ended, it need not be read completely.
    if summary_of_file(path) is not None:
        return True
    return all(flow.status not in ("running", "unknown") for flow in summarise(read_events(path)))


class _InUseError(Exception):
    """A log is in use after all; the text says why."""


def _removed(log: _Log, reason: str, dry_run: bool) -> Deed:
    path, size = log.path, log.size
    try:
        if dry_run:
            _check_unused(log)
        else:
            with _taken(log) as file, _alone(log, file):
                # First the recording: after it alone, the next run would remove the rest.
                for recording in log.full if _is_only_one(path) else ():
                    os.unlink(recording)
                _unlink(log, file)
    except _InUseError as error:
        return _kept(log, str(error))
    except OSError as error:
        return Deed(path, "failed", f"cannot be removed: {reason_of(error)}", size, size)
    return Deed(path, "removed", reason, size, 0)


def _is_only_one(path: Path) -> bool:
    """Tell whether no other file has the rest of the same log, which would share the recording."""
    name = log_name(path.name)
    return not any(other != path and other.exists() for other in (path.with_name(name), path.with_name(f"{name}.gz")))


def _compressed(log: _Log, dry_run: bool) -> Deed:
    """Gzip a log if it is not compressed, not in use, and finished."""
    path, size = log.path, log.size
    if log.in_use or path.name.endswith(".gz"):
        return _kept(log, log.in_use)
    try:
        if not _is_finished(path):
            return _kept(log, "a flow in it has no end")
        if os.path.lexists(_zipped(path)):
            return _tidied(log, dry_run)
        after = _size_compressed(log) if dry_run else _replaced(log)
        return Deed(path, "compressed", "", size, after)
    except _InUseError as error:
        return _kept(log, str(error))
    except (OSError, EOFError, zlib.error, LogFileError) as error:
        return Deed(path, "failed", f"cannot be compressed: {reason_of(error)}", size, size)


def _final_name(path: Path) -> str:
    return log_name(path.name) + (".gz" if path.name.endswith(".gz") else "")


def _rename(log: _Log, target: Path) -> None:
    """Rename a log if nothing has the new name. ``os.rename`` would overwrite a file that another process has just created."""
    if log.path != target:
        with suppress(OSError):
            if not (target.exists() and target.samefile(log.path)):  # a run may have been killed between the next two lines
                os.link(log.path, target, follow_symlinks=False)
            os.unlink(log.path)
            log.path = target


def _tidied(log: _Log, dry_run: bool) -> Deed:
    """Finish the work of an earlier run: remove a log whose compressed copy exists."""
    target = _zipped(log.path)
    with _opened(log.path) as plain, _opened(target) as raw, _plain(target, raw) as copy:
        is_same = all(plain.read(len(piece)) == piece for piece in iter(lambda: copy.read(_TAIL), b"")) and not plain.read(1)
    if not is_same:
        return _kept(log, f"{target.name} exists already and differs")
    return _removed(log, f"{target.name} has all of it", dry_run)


def _replaced(log: _Log) -> int:
    """Replace a log by a compressed copy, and return the size of the copy.

    Raises:
        _InUseError: The log is in use; then it keeps its name, and nothing is changed.
    """
    with _taken(log) as file, drafted(_zipped(log.path)) as (raw, draft):
        size = _write_compressed(file, log.path, log.status, raw, draft)
        with _alone(log, file):
            size += sum(map(_replaced_full, log.full))
            copy = _zipped(log.path)
            os.replace(draft, copy)
            _unlink(log, file)
        log.path = copy
    return size


def _replaced_full(path: Path) -> int:
    """Replace a recording by a compressed copy, unless it is one or there is one, and return its size."""
    if path.name.endswith(".gz") or os.path.lexists(_zipped(path)):
        return os.lstat(path).st_size
    with _opened(path) as file, drafted(_zipped(path)) as (raw, draft):
        size = _write_compressed(file, path, os.fstat(file.fileno()), raw, draft)
        os.replace(draft, _zipped(path))
    os.unlink(path)
    return size


def _write_compressed(source: IO[bytes], path: Path, status: os.stat_result, raw: IO[bytes], draft: str) -> int:
    """Write the compressed copy of a file with its owner, mode and times, and return its size."""
    _compress(source, path, raw)
    raw.flush()
    _adopt(raw, status)
    os.fsync(raw.fileno())
    size = raw.tell()
    raw.close()
    os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
    return size


def _adopt(raw: IO[bytes], status: os.stat_result) -> None:
    """Give a file the owner and the mode of another, as far as permissions allow."""
    with suppress(OSError, AttributeError):  # only root can change the owner, and Windows has no fchown
        os.fchown(raw.fileno(), status.st_uid, status.st_gid)
    with suppress(AttributeError):
        os.fchmod(raw.fileno(), stat.S_IMODE(status.st_mode))


@contextmanager
def _taken(log: _Log) -> Iterator[IO[bytes]]:
    """Set a log aside under another name, and open it. After the block it gets its name back, unless that name is taken by then.

    Raises:
        _InUseError: The log is in use.
        OSError: The log cannot be renamed or read.
    """
    _check_unused(log)
    name, aside = log.path.with_name(_final_name(log.path)), log.path.with_name(set_aside_name(log.path.name))
    if log.path == name:  # otherwise an earlier run has set it aside
        os.rename(log.path, aside)
        log.path = aside
    try:
        with _opened(log.path) as file:
            yield file
    finally:
        _rename(log, log.path.with_name(_final_name(log.path)))


def _check_unused(log: _Log) -> None:
    with _opened(log.path) as file, _alone(log, file):
        pass


@contextmanager
def _alone(log: _Log, file: IO[bytes]) -> Iterator[None]:
    """Make sure that a log is unchanged, and that no other program has it open, while the block runs.

    Raises:
        _InUseError: The log has changed, or is open.
    """
    with leased(file) as is_leased:
        if is_leased is False:
            raise _InUseError("another program has it open")
        now = os.fstat(file.fileno())
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (log.status.st_ino, log.status.st_size, log.status.st_mtime_ns):
            raise _InUseError("it was written to meanwhile")
        yield


def _unlink(log: _Log, file: IO[bytes]) -> None:
    if os.name == "nt":
        file.close()  # Windows does not remove open files
    os.unlink(log.path)


def _sweep(folder: Path, now: float) -> None:
    """Clean up after runs that were killed: remove their unfinished files, and give logs that were set aside their names back."""
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]:
            is_draft_of_log = is_draft(path.name) and ".jsonl" in path.name
            if is_draft_of_log or (path.name.endswith(SUFFIXES) and path.name != _final_name(path)):
                with suppress(OSError), _opened(path) as file, leased(file) as is_leased:
                    is_left = now - os.fstat(file.fileno()).st_mtime > RESTING if is_leased is None else is_leased
                    if is_left and is_draft_of_log:
                        os.unlink(path)
                    elif is_left:
                        _rename(_Log(path, os.fstat(file.fileno())), path.with_name(_final_name(path)))


class _Counter:
    """A file that only counts the bytes written to it."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: bytes) -> int:
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing."""


def _size_compressed(log: _Log) -> int:
    counter = _Counter()
    _check_unused(log)
    for path in (log.path, *(path for path in log.full if not path.name.endswith(".gz"))):
        with _opened(path) as source:
            _compress(source, path, cast("IO[bytes]", counter))
    return counter.count


def _compress(source: IO[bytes], path: Path, raw: IO[bytes]) -> None:
    written = os.fstat(source.fileno()).st_mtime
    with gzip.GzipFile(filename=log_name(path.name), mode="wb", fileobj=raw, mtime=written) as file:
        shutil.copyfileobj(source, file, _TAIL)


def _ago(seconds: float) -> str:
    units: list[tuple[int, Callable[[float], str]]] = [
        (86_400, lambda value: f"{value:.0f} d"),
        (3_600, lambda value: f"{value:.0f} h"),
        (60, lambda value: f"{value:.0f} min"),
    ]
    return next((text(seconds / size) for size, text in units if seconds >= size), f"{seconds:.0f} s")
