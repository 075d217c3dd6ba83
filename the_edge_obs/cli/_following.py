"""Growing logs: read the last lines of a file, and then what is appended to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final

from ..errors import LogFileError
from ..event import MAX_LINE_BYTES, Event
from ..event_query import Predicate
from ..files import open_regular
from ..jsonl import TOO_LONG, Flaw, Skipped, parsed
from ..store.paths import log_files

_BLOCK: Final = 1 << 16  # bytes read at a time from the end
SUFFIX: Final = ".jsonl"


class GrowingFile:
    """One event file that is read again and again, each time from where the last reading stopped.

    An incomplete line is left for the next reading. A file that was truncated or replaced is read from its beginning; the rest of
    a replaced file is read first.

    Args:
        path: The file.
        skipped: Records each line that is too long or not an event, with the byte at which it begins.
        wanted: Tells which events to return. Default: all.
        keep_open: Whether to keep the file open, which is needed to read the rest of a file that was moved away.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """

    def __init__(self, path: Path, skipped: Skipped, wanted: Predicate = lambda event: True, *, keep_open: bool) -> None:
        self._path, self.skipped, self._wanted = path, skipped, wanted
        self._position = 0
        self._is_inside = False  # whether the position is inside a line that is too long
        self._seen: tuple[int, int] | None = None  # size and time of the last write, when it was last read
        self._file = open_regular(path) if keep_open else None

    def last(self, count: int) -> list[Event]:
        """Return the last events, and continue after them."""
        with open_regular(self._path) as file:
            self._position = _end_of_lines(file, os.fstat(file.fileno()).st_size)
            lines = _backwards(file, self._position)
            events = list(islice((event for at, line in lines if (event := self._event(at, line)) is not None), count))
        return events[::-1]

    def _event(self, at: int, line: bytes | Flaw) -> Event | None:
        event = line if isinstance(line, Flaw) else parsed(line)
        if isinstance(event, dict):
            return event if self._wanted(event) else None
        if isinstance(line, Flaw) or line.strip():
            self.skipped.note(at, event, of="byte")
        return None

    def more(self) -> Iterator[Event]:
        """Yield the events that were written since the last call."""
        try:
            now = os.stat(self._path)
        except OSError:
            now = None  # moved away or removed; a new file may appear
        if self._file is not None:
            yield from self._read(self._file.fileno())
            if now is not None and not os.path.samestat(os.fstat(self._file.fileno()), now):
                self._file.close()
                self._file, self._position = open_regular(self._path), 0
                yield from self._read(self._file.fileno())
        elif now is not None and self._seen != (now.st_size, now.st_mtime_ns):
            self._seen = (now.st_size, now.st_mtime_ns)
            with open_regular(self._path) as file:
                yield from self._read(file.fileno())

    def _read(self, descriptor: int) -> Iterator[Event]:
        if os.fstat(descriptor).st_size < self._position:
            self._position, self._is_inside = 0, False
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(self._position)
            while (line := file.readline(MAX_LINE_BYTES + 1)).endswith(b"\n") or len(line) > MAX_LINE_BYTES:
                is_whole, was_inside = line.endswith(b"\n"), self._is_inside
                if not was_inside and (event := self._event(self._position, line if is_whole else Flaw(TOO_LONG))) is not None:
                    yield event
                self._position += len(line)
                self._is_inside = not is_whole

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _end_of_lines(file: IO[bytes], end: int) -> int:
    """Return where the last complete line before ``end`` ends."""
    while end > 0:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        if (newline := file.read(end - start).rfind(b"\n")) >= 0:
            return start + newline + 1
        end = start
    return 0


def _backwards(file: IO[bytes], end: int) -> Iterator[tuple[int, bytes | Flaw]]:
    """Yield the lines before ``end``, last line first, each with the byte at which it begins."""
    pieces: list[bytes] = []  # of a line whose beginning was not read yet, last piece first
    length, at = 0, end
    while end > 0:
        end, stop = max(end - _BLOCK, 0), end
        file.seek(end)
        first, *lines = file.read(stop - end).split(b"\n")
        for line in reversed(lines):
            at -= length + len(line)
            yield at, Flaw(TOO_LONG) if length + len(line) > MAX_LINE_BYTES else b"".join([line, *reversed(pieces)])
            at, pieces, length = at - 1, [], 0
        length += len(first)
        pieces = [*pieces, first] if length <= MAX_LINE_BYTES else []
    yield 0, Flaw(TOO_LONG) if length > MAX_LINE_BYTES else b"".join(reversed(pieces))


def growing_files(log: Sequence[Path], skipped: Skipped) -> list[Path]:
    """Return the files of some paths that flows may be writing to.

    Args:
        log: Files and folders.
        skipped: Records the paths that cannot be read.
    """
    return [path for path in log_files(log, skipped, (SUFFIX,)) if path.name.endswith(SUFFIX)]


def check_growing(log: Sequence[Path]) -> None:
    """Check that each path can be followed.

    Raises:
        LogFileError: one of them is neither a folder nor a file that may grow.
    """
    for path in log:
        if not path.is_dir() and not path.name.endswith(SUFFIX):
            raise LogFileError(f"{str(path)!r} cannot be followed; only {SUFFIX} files can. Leave out -f to read it as it is")
