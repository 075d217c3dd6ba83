"""Paths of logs: one or several files and folders, and the log files that they stand for.

Folders are walked with their sub-folders, as programs on several machines write to ``logs/host-a`` and ``logs/host-b``. Hidden
sub-folders are passed over, links are followed, and each folder and each file counts once, however many paths lead to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import LogFileError
from ..event import Event
from ..files import reason_of
from ..jsonl import SUFFIXES, LineFilter, Skipped, read_events

LogPath = str | os.PathLike[str]
"""A log file, or a folder of log files."""
LogPaths = LogPath | Iterable[LogPath]
"""One or several paths of logs."""

_NOTHING: Final = "source {!r} cannot be read; give a flow_id, a .jsonl flow log or a folder of them"
_NAMED: Final = 3

_FileId = tuple[int, int]


def paths_of(source: LogPaths | None) -> tuple[Path, ...]:
    """Return one or several paths as a tuple.

    Raises:
        LogFileError: One of them is not a path, or there are none.
    """
    given = (source,) if source is None or isinstance(source, (str, os.PathLike)) else _items(source)
    for path in given or (source,):
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise LogFileError(_NOTHING.format(path))
    return tuple(Path(path) for path in given if isinstance(path, (str, os.PathLike)))


def _items(source: object) -> tuple[object, ...]:
    if isinstance(source, (bytes, bytearray)) or not isinstance(source, Iterable):
        raise LogFileError(_NOTHING.format(source))
    return tuple(source)


def is_one_file(paths: Sequence[Path]) -> bool:
    """Tell whether paths are a single one that is not a folder."""
    return len(paths) == 1 and not paths[0].is_dir()


def named(paths: Sequence[Path]) -> str:
    """Return the names of paths for a message, of many the first ones."""
    names = [repr(str(path)) for path in paths[:_NAMED]]
    if len(paths) > _NAMED:
        names.append(f"{len(paths) - _NAMED:,} more")
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def no_logs(paths: Sequence[Path], skipped: Skipped, suffixes: tuple[str, ...] = SUFFIXES) -> LogFileError:
    """Return the error of paths that stand for no file; it names what could not be read, if that is why."""
    if skipped.failures:
        return unread(skipped)
    what = f"folder {named(paths)} holds" if len(paths) == 1 else f"{named(paths)} hold"
    return LogFileError(f"{what} no logs; the name of a log ends in {', '.join(suffixes[:-1])} or {suffixes[-1]}")


def unread(skipped: Skipped) -> LogFileError:
    """Return the error that names what could not be read; of many paths the first ones."""
    more = f"; and {len(skipped.failures) - _NAMED:,} more" if len(skipped.failures) > _NAMED else ""
    return LogFileError("; ".join(skipped.failures[:_NAMED]) + more)


def log_files(paths: Iterable[Path], skipped: Skipped, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return the files of some paths, ordered by their names: files as they are given, and those in folders and sub-folders.

    Args:
        paths: Files and folders, in any order.
        skipped: Records the paths that do not exist or cannot be read.
        suffixes: How the names of the files in folders end.
    """
    return list(map(Path, file_names(paths, skipped, suffixes)))


def file_names(paths: Iterable[Path], skipped: Skipped, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """Return what ``log_files`` returns, as texts: of a folder of many files, making paths of them takes a third of the time."""
    files: dict[_FileId, str] = {}
    entered: set[_FileId] = set()
    for path in sorted(map(str, paths)):
        try:
            status = os.stat(path)
        except OSError as error:
            skipped.note_failure(f"{path!r} cannot be read: {reason_of(error)}")
            continue
        own = (status.st_dev, status.st_ino)
        for file, identity in _walked(path, own, entered, suffixes, skipped) if os.path.isdir(path) else ((path, own),):
            files[identity] = min(file, files.get(identity, file))
    return sorted(files.values())


def _walked(
    folder: str, identity: _FileId, entered: set[_FileId], suffixes: tuple[str, ...], skipped: Skipped
) -> Iterator[tuple[str, _FileId]]:
    """Yield the files of a folder and its sub-folders; folders that were entered before are passed over."""
    waiting = [(folder, identity)]
    while waiting:
        path, identity = waiting.pop()
        if identity in entered:
            continue
        entered.add(identity)
        below: list[tuple[bool, str, _FileId]] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.endswith(suffixes) and entry.is_file():
                        yield entry.path, _id_of(entry, identity[0])
                    elif not entry.name.startswith(".") and entry.is_dir():
                        status = os.stat(entry.path)
                        below.append((entry.is_symlink(), entry.path, (status.st_dev, status.st_ino)))
        except OSError as error:
            skipped.note_failure(f"folder {path!r} cannot be read: {reason_of(error)}")
        # In the order of names, links last: which of several paths a file has does not depend on the file system.
        waiting.extend((path, identity) for _, path, identity in sorted(below, reverse=True))


def _id_of(entry: os.DirEntry[str], device: int) -> _FileId:
    """Return what identifies a file; only a link has to be looked up."""
    if not entry.is_symlink():
        return device, entry.inode()
    status = os.stat(entry.path)
    return status.st_dev, status.st_ino


def readable_events(file: LogPath, skipped: Skipped, wanted: LineFilter | None = None) -> Iterator[Event]:
    """Yield the events of a file; a file that cannot be read is recorded, so that the others are read."""
    try:
        yield from read_events(file, skipped, wanted)
    except LogFileError as error:
        skipped.note_failure(str(error))
