"""The files that events are appended to: opened on demand, checked while in use, and closed when their flow ends."""

from __future__ import annotations

import os
import time
from typing import Final

from ..errors import ConfigurationError
from ..files import FILE_MODE, check_mode, open_for_appending, open_new, open_regular, writable
from ..recording.records import Item
from ._tally import UNSURE, Tally

MAX_OPEN_FILES: Final = 64
_MAX_FLOWS: Final = 1_024  # flows whose file is remembered
LOOK_EVERY: Final = 50_000_000
"""Nanoseconds for which a file is trusted to exist; a check takes half as long as writing a line."""
_A_WRITE: Final = 0.001  # seconds after which a write of another process is complete


class LogFile:
    """One open file.

    Args:
        path: The file; only a regular file is accepted, not a symbolic link.
        mode: The mode of a new file.
        is_own: Whether the file is that of one flow, so that most likely it does not exist yet.

    Attributes:
        descriptor: Its descriptor; -1 once it is closed.
        looked, until: The time span (wall clock in ns) in which lines may be written without a check; 0 and 0 for none.
        is_torn: Whether its last line was cut off by a full disk, or by the death of another process.
        size: Its size in bytes when it was opened.
        tally: What was written to it, for the totals of its run.

    Raises:
        OSError: it cannot be opened.
    """

    __slots__ = ("descriptor", "is_torn", "looked", "path", "size", "tally", "until")

    def __init__(self, path: str, mode: int = FILE_MODE, is_own: bool = False) -> None:
        self.path = path
        self.looked = self.until = self.size = 0
        self.is_torn, self.tally = False, UNSURE
        if is_own and (descriptor := open_new(path, mode)) is not None:
            self.descriptor = descriptor
            return
        self.descriptor, status = open_for_appending(path, mode)
        self.size = status.st_size
        self.is_torn = self.size > 0 and ends_torn(path)

    def is_gone(self) -> bool:
        """Tell whether the file was deleted, or moved away as ``tea-obs clean`` and logrotate do."""
        try:
            return not os.path.samestat(os.lstat(self.path), os.fstat(self.descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # the folder is not accessible any more, but the open file can still be written to
            return False

    def is_lost(self) -> bool:
        """Tell whether a file that is gone was deleted, and not moved: a file without a link cannot be read any more."""
        # Some file systems do not count links: there the answer is always False.
        return not os.fstat(self.descriptor).st_nlink

    def append(self, line: bytes) -> None:
        """Write a line at the end.

        Raises:
            OSError: it could not be written as a whole.
        """
        # The event must not be glued to a torn line; but another process may have ended that line by now.
        if self.is_torn and ends_torn(self.path):
            line = b"\n" + line
        written = os.write(self.descriptor, line)
        if written < len(line):
            self.check(written, line)
        self.is_torn = False

    def check(self, written: int, line: bytes) -> None:
        """Check that a line was written as a whole, and note a torn one.

        Raises:
            OSError: the line is torn.
        """
        if written < len(line):
            self.is_torn, self.until = True, 0
            self.tally.give_up()
            raise OSError(f"only {written} of {len(line)} bytes were written to {self.path!r}: the disk is full")

    def close(self) -> None:
        """Close it; code that still holds it sees that by ``until``."""
        descriptor, self.descriptor, self.until = self.descriptor, -1, 0
        os.close(descriptor)


class FlowFiles:
    """The open files of a path, with or without ``{flow_id}``. It is not thread-safe: the caller locks.

    Args:
        path: Path of the files.
        mode: The mode of new files, as ``files.check_mode`` takes it.

    Attributes:
        of_flow: The files of flows, by id, as far as they are remembered; they may be closed.

    Raises:
        ConfigurationError: the path holds another placeholder, or cannot be written to; or the mode is not valid.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int | str = FILE_MODE) -> None:
        self.path = checked_path(os.fspath(path))
        self._parts = self.path.split("{flow_id}")
        self._mode = check_mode("mode", mode)
        self.of_flow: dict[str, LogFile] = {}
        self._open: dict[str, LogFile] = {}
        self._tallies: dict[str, Tally] = {}  # of files that were closed while their flows run

    def __len__(self) -> int:
        return len(self._open)

    def path_of(self, flow_id: str) -> str:
        """Return the path of a flow's file."""
        return flow_id.join(self._parts)

    def write(self, flow_id: str, line: bytes, now: int, item: Item | None = None, *, is_end: bool) -> None:
        """Append a line, newline included, to a flow's file.

        Args:
            flow_id: The flow.
            line: UTF-8.
            now: Wall clock in ns.
            item: What the line says, for the totals of the run; None for a line that is not that event as JSON.
            is_end: Whether it is the flow's last line: then the file is checked and closed.

        Raises:
            OSError: the line could not be written as a whole, or the file was deleted; then the line is in a new file.
        """
        known = self.of_flow.get(flow_id)
        path = self.path_of(flow_id) if known is None else known.path
        file, lost = self._open.get(path), False
        if file is not None:
            if not file.looked <= now < file.until:
                is_gone = file.is_gone()
                lost = is_gone and file.is_lost()
            else:  # checked less than 50 ms ago: now only a deletion matters, and that check takes half the time
                is_gone = lost = is_end and file.is_lost()
            if is_gone:
                self.forget(path)
                file = None
        if file is None:
            file = self._opened(path)
        if file is not known:
            if len(self.of_flow) >= _MAX_FLOWS:
                self.of_flow.clear()
            self.of_flow[flow_id] = file
        tally = file.tally
        if item is None:
            tally.give_up()
        elif is_end:
            line = tally.ended(item, line)
        file.append(line)
        if item is not None and tally.spans is not None:
            tally.count(item, line)
        if is_end:
            if tally.spans is not None:  # not the end after all
                self._keep_tally(path, tally)
            del self.of_flow[flow_id]
            self.forget(path)
        else:
            file.looked, file.until = now, now + LOOK_EVERY
        if lost:
            raise FileNotFoundError(f"{path!r} was deleted while its flow ran: it was created again, without the earlier events")

    def _opened(self, path: str) -> LogFile:
        is_own = path != self.path
        file = self._open[path] = LogFile(path, self._mode, is_own)
        tally = self._tallies.pop(path, None) if self._tallies else None
        if tally is None and not file.size and is_own:
            tally = Tally()
        if tally is not None and tally.size == file.size:
            file.tally = tally
        if len(self._open) > MAX_OPEN_FILES:
            oldest = next(iter(self._open))
            if (tally := self._open[oldest].tally).spans is not None:
                self._keep_tally(oldest, tally)
            self.forget(oldest)
        return file

    def _keep_tally(self, path: str, tally: Tally) -> None:
        """Keep what was counted in a file that is closed, as its run goes on."""
        if len(self._tallies) >= _MAX_FLOWS:
            self._tallies.clear()
        self._tallies[path] = tally

    def end(self, flow_id: str) -> None:
        """Close the file of a flow that has ended."""
        self.of_flow.pop(flow_id, None)
        self.forget(self.path_of(flow_id))

    def forget(self, path: str) -> None:
        """Close a file if it is open."""
        file = self._open.pop(path, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close every file."""
        self.of_flow.clear()
        self._tallies.clear()
        for path in list(self._open):
            self.forget(path)


def ends_torn(path: str) -> bool:
    """Tell whether the last line of a file has no end, and no other process is writing it right now."""
    try:
        with open_regular(path, follow=False) as file:
            if _is_whole(file.fileno()):
                return False
            time.sleep(_A_WRITE)
            return not _is_whole(file.fileno())
    except OSError:
        return False  # it may be writable but not readable


def _is_whole(descriptor: int) -> bool:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if not size:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def checked_path(path: str) -> str:
    """Return the absolute path of flow files, after checking that files can be created there; nothing is created yet.

    Raises:
        ConfigurationError: the path cannot be used; the message says why.
    """
    bare = path.replace("{flow_id}", "")
    if not path or "{" in bare or "}" in bare:
        raise ConfigurationError(f"path {path!r} is not a path of flow files; the only placeholder is {{flow_id}}")
    return writable(path)
