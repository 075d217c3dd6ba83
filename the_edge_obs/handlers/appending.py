"""The files that events are appended to: opened when they are needed, closed when their flow ends, looked after in between."""

from __future__ import annotations

import os
import time
from typing import Final

from ..errors import ConfigurationError
from ..files import FILE_MODE, check_mode, open_for_appending, open_regular, writable

MAX_OPEN_FILES: Final = 64
_MAX_FLOWS: Final = 1_024  # of which the file is remembered
LOOK_EVERY: Final = 50_000_000
"""Nanoseconds for which a file is trusted to be there still; asking takes half as long as writing a line."""
_A_WRITE: Final = 0.001  # seconds; what other processes are just writing is whole by then


class LogFile:
    """One open file.

    Args:
        path: The file; a symbolic link is refused, and so is what is not a regular file.
        mode: Of a new file.

    Attributes:
        descriptor: Its descriptor; -1 when it was closed.
        looked, until: From when until when (wall clock in ns) lines may be written without looking after it first; none, 0.
        is_torn: Whether its last line was cut off by a full disk, or by the death of another process.

    Raises:
        OSError: it cannot be opened.
    """

    __slots__ = ("descriptor", "is_torn", "looked", "path", "until")

    def __init__(self, path: str, mode: int = FILE_MODE) -> None:
        self.path = path
        self.descriptor = open_for_appending(path, mode)
        self.is_torn = ends_torn(path)
        self.looked = self.until = 0

    def is_gone(self) -> bool:
        """Tell whether the file was deleted, or moved away as ``tea-obs clean`` and logrotate do."""
        try:
            return not os.path.samestat(os.fstat(self.descriptor), os.lstat(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # the folder may not be entered any more: what is open can still be written to
            return False

    def is_lost(self) -> bool:
        """Tell of a file that is gone whether it was deleted: nobody can read one without a name."""
        # Some file systems know no links: there, nobody can tell.
        return not os.fstat(self.descriptor).st_nlink

    def append(self, line: bytes) -> None:
        """Write a line at the end.

        Raises:
            OSError: it could not be written as a whole.
        """
        # The event must not hang on to a line that ends too early; but another process may have mended it by now.
        if self.is_torn and ends_torn(self.path):
            line = b"\n" + line
        self.check(os.write(self.descriptor, line), line)
        self.is_torn = False

    def check(self, written: int, line: bytes) -> None:
        """Note it where a line was not written as a whole.

        Raises:
            OSError: it was not.
        """
        if written < len(line):
            self.is_torn, self.until = True, 0
            raise OSError(f"only {written} of {len(line)} bytes were written to {self.path!r}: the disk is full")

    def trust(self, now: int) -> None:
        """Let lines be written for a while without looking after the file."""
        if not self.is_torn:
            self.looked, self.until = now, now + LOOK_EVERY

    def close(self) -> None:
        """Close it; who still holds it sees that by ``until``."""
        descriptor, self.descriptor, self.until = self.descriptor, -1, 0
        os.close(descriptor)


class FlowFiles:
    """The open files of a path with ``{flow_id}`` in it, or not. It has no lock.

    Args:
        path: Path of the files.
        mode: Of new files, as ``files.check_mode`` takes it.

    Attributes:
        of_flow: The file of a flow, where it is known; what is in there may be closed.

    Raises:
        ConfigurationError: the path holds another placeholder, or cannot be written to; or the mode is not valid.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int | str = FILE_MODE) -> None:
        self.path = checked_path(os.fspath(path))
        self._mode = check_mode("mode", mode)
        self.of_flow: dict[str, LogFile] = {}
        self._open: dict[str, LogFile] = {}

    def __len__(self) -> int:
        return len(self._open)

    def path_of(self, flow_id: str) -> str:
        """Return the path of a flow's file."""
        return self.path.replace("{flow_id}", flow_id)

    def write(self, flow_id: str, line: bytes, now: int, *, is_end: bool) -> None:
        """Append a line, newline included, to a flow's file.

        Args:
            flow_id: The flow.
            line: UTF-8.
            now: Wall clock in ns.
            is_end: Whether it is the flow's last: then the file is looked after, and closed.

        Raises:
            OSError: it could not be written as a whole, or the file had been deleted; in that case it stands in a new one.
        """
        path = self.path_of(flow_id)
        file = self._open.get(path)
        is_gone = file is not None and (is_end or not file.looked <= now < file.until) and file.is_gone()
        lost = is_gone and file is not None and file.is_lost()
        if file is None or is_gone:
            self.forget(path)
            file = self._opened(path)
        if len(self.of_flow) >= _MAX_FLOWS:
            self.of_flow.clear()
        self.of_flow[flow_id] = file
        file.append(line)
        file.trust(now)
        if is_end:
            self.end(flow_id)
        if lost:
            raise FileNotFoundError(f"{path!r} was deleted while its flow ran: it was made anew, without the events before")

    def _opened(self, path: str) -> LogFile:
        file = self._open[path] = LogFile(path, self._mode)
        if len(self._open) > MAX_OPEN_FILES:
            self.forget(next(iter(self._open)))
        return file

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
        for path in list(self._open):
            self.forget(path)


def ends_torn(path: str) -> bool:
    """Tell whether a file has a last line without an end, and no other process is just writing it."""
    try:
        with open_regular(path, follow=False) as file:
            if _is_whole(file.fileno()):
                return False
            time.sleep(_A_WRITE)
            return not _is_whole(file.fileno())
    except OSError:
        return False  # it may be written and not read


def _is_whole(descriptor: int) -> bool:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if not size:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def checked_path(path: str) -> str:
    """Return the path of flow files, absolute, once it is known that files can be made there; nothing is made yet.

    Raises:
        ConfigurationError: it cannot be used; the message says why.
    """
    bare = path.replace("{flow_id}", "")
    if not path or "{" in bare or "}" in bare:
        raise ConfigurationError(f"path {path!r} is not a path of flow files; the only placeholder is {{flow_id}}")
    return writable(path)
