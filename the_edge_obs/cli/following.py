"""Logs that grow: the last lines of a file, and what is written to files after that."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Final

from ..event import Event
from ..jsonl import parsed

_BLOCK: Final = 1 << 16  # bytes read at a time from the end
_LONGEST: Final = 1 << 24  # bytes of a line; what is longer is no event of ours
SUFFIX: Final = ".jsonl"


class GrowingFile:
    """One event file that is read from a position on, again and again.

    A line that is not whole yet waits. A file that got shorter, or that another one has taken the place of, is read from its
    beginning; what was written to the old one until then is read first.

    Args:
        path: The file.
        keep_open: Whether to hold the file open, as it takes to read the end of one that was moved away.
    """

    def __init__(self, path: Path, *, keep_open: bool) -> None:
        self._path = path
        self._position = 0
        self._seen: tuple[int, int] | None = None  # size and time of the last write, when it was last read
        self._file = path.open("rb") if keep_open else None

    def last(self, count: int) -> list[Event]:
        """Return the last events, and read on behind them."""
        with self._path.open("rb") as file:
            self._position = _end_of_lines(file, os.fstat(file.fileno()).st_size)
            events = (event for line in _backwards(file, self._position) if isinstance(event := parsed(line), dict))
            found = list(islice(events, count))
        return found[::-1]

    def more(self) -> Iterator[Event]:
        """Yield the events that were written since the last time."""
        try:
            now = os.stat(self._path)
        except OSError:
            now = None  # moved away or removed; another one may come
        if self._file is not None:
            yield from self._read(self._file.fileno())
            if now is not None and not os.path.samestat(os.fstat(self._file.fileno()), now):
                self._file.close()
                self._file, self._position = self._path.open("rb"), 0
                yield from self._read(self._file.fileno())
        elif now is not None and self._seen != (now.st_size, now.st_mtime_ns):
            self._seen = (now.st_size, now.st_mtime_ns)
            with self._path.open("rb") as file:
                yield from self._read(file.fileno())

    def _read(self, descriptor: int) -> Iterator[Event]:
        if os.fstat(descriptor).st_size < self._position:
            self._position = 0
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(self._position)
            while (line := file.readline(_LONGEST)).endswith(b"\n") or len(line) == _LONGEST:
                self._position += len(line)
                if isinstance(event := parsed(line), dict):
                    yield event

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def _end_of_lines(file: IO[bytes], end: int) -> int:
    """Return where the last whole line before ``end`` ends."""
    while end > 0:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0


def _backwards(file: IO[bytes], end: int) -> Iterator[bytes]:
    """Yield the lines before ``end``, the last one first."""
    rest = b""
    while end > 0 and len(rest) < _LONGEST:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        rest, *lines = (file.read(end - start) + rest).split(b"\n")
        yield from reversed(lines)
        end = start
    yield rest


def growing_files(folder: Path) -> Iterator[Path]:
    """Yield the regular files of a folder that flows may be writing to."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and stat.S_ISREG(entry.stat().st_mode):
                yield Path(entry.path)
