"""A handler that writes one JSONL file a flow."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import OrderedDict
from typing import Final

from ..errors import ConfigurationError
from ..event import Event
from ..faults import counted_fault
from ..formatters import to_line
from ..records import event_of

MAX_OPEN_FILES: Final = 64


class _Latest(threading.local):
    """The record that this thread wrote last, and the files that have it.

    A record passes its handlers one after the other in one thread, so that the last one is all there is to remember.
    """

    record: weakref.ref[logging.LogRecord] | None = None
    paths: tuple[str, ...] = ()

    def has(self, record: logging.LogRecord, path: str) -> bool:
        return path in self.paths and self.record is not None and self.record() is record

    def add(self, record: logging.LogRecord, path: str) -> None:
        is_same = self.record is not None and self.record() is record
        self.paths = (*self.paths, path) if is_same else (path,)
        self.record = weakref.ref(record)


_latest: Final = _Latest()


class FlowFileHandler(logging.Handler):
    """Append each event to its flow's file, one ``write`` a line.

    A line that was written survives the death of the process: it is with the operating system when ``emit`` returns. Files are
    opened for appending, so several processes can share one. Records outside any flow are left out. Lines are events as JSON
    unless a formatter is set. Where several handlers of a process have the same path, a record is written once, by the first
    of them that lets it pass.

    Args:
        path: Path of the files; ``{flow_id}`` stands for the flow's id. Without it, all flows share one file. Folders are
            made when the first event comes.
        level: As in ``logging.Handler``.

    Raises:
        ConfigurationError: the path holds another placeholder, or cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.path = checked_path(os.fspath(path))
        self._files: OrderedDict[str, int] = OrderedDict()
        # Those of them whose last line a full disk, or the death of another process, cut off.
        self._torn: set[str] = set()

    def path_of(self, flow_id: str) -> str:
        """Return the path of a flow's file."""
        return self.path.replace("{flow_id}", flow_id)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's event, unless another handler has written it to the same file."""
        try:
            event = event_of(record)
            if event is None:
                return
            path = self.path_of(event["flow_id"])
            if not _latest.has(record, path):
                self.write(event, self.format(record) if self.formatter else to_line(event))
                _latest.add(record, path)
            elif is_end(event):
                self.forget(path)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report the failure as logging does, and count it in the flow."""
        super().handleError(record)
        counted_fault(self, record)

    def close(self) -> None:
        """Close every file."""
        self.acquire()
        try:
            for path in list(self._files):
                self.forget(path)
        finally:
            self.release()
        super().close()

    def write(self, event: Event, line: str) -> None:
        """Append a line to the file of the event's flow, and close it after the flow's last event.

        Raises:
            OSError: the line could not be written as a whole.
        """
        path = self.path_of(event["flow_id"])
        descriptor, lost = self._file(path)
        encoded = f"{line}\n".encode("utf-8", "replace")
        if path in self._torn:
            # The event must not hang on to a line that ends too early.
            encoded = b"\n" + encoded
        written = os.write(descriptor, encoded)
        if written < len(encoded):
            self._torn.add(path)
            raise OSError(f"only {written} of {len(encoded)} bytes were written to {path!r}: the disk is full")
        self._torn.discard(path)
        if is_end(event):
            self.forget(path)
        if lost:
            raise FileNotFoundError(f"{path!r} was deleted while its flow ran: it was made anew, without the events before")

    def _file(self, path: str) -> tuple[int, bool]:
        """Return the descriptor of a file, and whether the one before it was deleted."""
        descriptor = self._files.get(path)
        # Nobody can read a file without a name. Some file systems know no links: there, the path decides.
        lost = descriptor is not None and not os.fstat(descriptor).st_nlink and not os.path.exists(path)
        if lost:
            self.forget(path)
        if descriptor is None or lost:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            self._files[path] = descriptor
            if ends_torn(path):
                self._torn.add(path)
            if len(self._files) > MAX_OPEN_FILES:
                self.forget(next(iter(self._files)))
        return descriptor, lost

    def forget(self, path: str) -> None:
        """Close a file if it is open."""
        self._torn.discard(path)
        descriptor = self._files.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)


def ends_torn(path: str) -> bool:
    """Tell whether a file has a last line without an end."""
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False  # it is empty, or may be written and not read


def is_end(event: Event) -> bool:
    """Tell whether an event is the last of its flow: the exit or error of a span without a parent."""
    return event["parent_id"] is None and event["event_type"] in ("exit", "error")


def checked_path(path: str) -> str:
    """Return the path of flow files, absolute, once it is known that files can be made there; nothing is made yet.

    Raises:
        ConfigurationError: it cannot be used; the message says why.
    """
    bare = path.replace("{flow_id}", "")
    if not path or "{" in bare or "}" in bare:
        raise ConfigurationError(f"path {path!r} is not a path of flow files; the only placeholder is {{flow_id}}")
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise ConfigurationError(f"path {path!r} is a folder; name a file in it, such as flow-{{flow_id}}.jsonl")
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise ConfigurationError(f"path {path!r} cannot be written: {folder!r} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK) or (os.path.exists(path) and not os.access(path, os.W_OK)):
        raise ConfigurationError(f"path {path!r} cannot be written: no permission; choose another path")
    return path
