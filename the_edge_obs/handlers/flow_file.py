"""A handler that writes one JSONL file per flow."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from ..event import may_be_root
from ..recording.dispatch import KEEPERS, Take, handed
from ..recording.faults import handler_failed
from ..recording.records import Facts, NodeRecord, event_of, is_last, wall_of
from .appending import FlowFiles
from .formatters import to_line
from .lines import encoded


class _Latest(threading.local):
    """What this thread wrote last, facts or a record, and the files that have it.

    An event passes its handlers one after the other in one thread, so that the last one is all there is to remember.
    """

    what: Any = None
    paths: tuple[str, ...] = ()

    def has(self, what: Facts | logging.LogRecord, path: str) -> bool:
        return path in self.paths and self._is(what)

    def add(self, what: Facts | logging.LogRecord, path: str) -> None:
        self.paths = (*self.paths, path) if self._is(what) else (path,)
        # Facts cannot be held weakly; a record, with its traceback, must be.
        self.what = what if isinstance(what, tuple) else weakref.ref(what)

    def _is(self, what: Facts | logging.LogRecord) -> bool:
        known = self.what
        return (known() if type(known) is weakref.ref else known) is what


_latest: Final = _Latest()
# The handlers there are, by identity: where there is one, it need not ask what others have written.
_existing: Final[set[int]] = set()


class FlowFileHandler(logging.Handler):
    """Append each event to its flow's file, one ``write`` a line.

    A line that was written survives the death of the process: it is with the operating system when ``emit`` returns. Files are
    opened for appending, so several processes can share one. Records outside any flow are left out. Lines are events as JSON
    unless a formatter is set. Where several handlers of a process have the same path, a record is written once, by the first
    of them that lets it pass.

    A file that is deleted while its flow runs is made anew, and that is a fault of the flow. It is noticed with the first event
    that comes 50 ms or more after the file was last looked after, and with the flow's last in any case; what is written
    before goes with the deleted file. A file that is moved away, as by ``logrotate`` or ``tea-obs clean``, is noticed likewise;
    nothing is lost then, and what follows goes into a new one.

    Only regular files are written to: a path that is a symbolic link, a pipe or a device is refused. Its folders may be links.

    Args:
        path: Path of the files; ``{flow_id}`` stands for the flow's id. Without it, all flows share one file. Folders are
            made when the first event comes, with mode 0700.
        level: As in ``logging.Handler``.
        mode: Of new files: a number such as ``0o640``, or its octal digits such as ``"0640"``. Default 0600: logs are their
            owner's. The umask can take away more.

    Raises:
        ConfigurationError: the path holds another placeholder, or cannot be written to; or the mode is not valid.
    """

    def __init__(self, path: str | os.PathLike[str], level: int | str = logging.NOTSET, *, mode: int | str = "0600") -> None:
        # First, for logging closes every handler that it knows of, one whose path was refused too.
        self._files = FlowFiles(path, mode)
        super().__init__(level)
        self._of_flow = self._files.of_flow
        self.path = self._files.path
        self._is_closed = False
        _existing.add(id(self))
        weakref.finalize(self, _existing.discard, id(self)).atexit = False

    def path_of(self, flow_id: str) -> str:
        """Return the path of a flow's file."""
        return self._files.path_of(flow_id)

    def keep(self, facts: Facts) -> Take | None:
        """Write the event of facts, as ``handle`` does with a record of them, and return itself for the end of the same span.

        The common case is written out in line: the flow's file is open, was looked after lately, and nobody else writes to it.
        """
        lock: Any = self.lock
        try:
            if self.formatter is not None or len(_existing) > 1:
                self._keep_with_care(facts)
                return None
            line = encoded(facts)
            lock.acquire()
            try:
                file = self._of_flow.get(facts[0][0].id)
                place = facts[0]
                # What may be the end of a flow is looked at.
                if not may_be_root(place[3], place[2]) and file is not None and file.looked <= facts[3] < file.until:
                    written = os.write(file.descriptor, line)
                    if written != len(line):
                        file.check(written, line)
                elif self._is_closed:
                    self._keep_with_care(facts)
                    return None
                else:
                    self._files.write(facts[0][0].id, line, facts[3], is_end=is_last(facts))
            finally:
                lock.release()
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(NodeRecord(facts))
            return None
        return self.keep

    def _keep_with_care(self, facts: Facts) -> None:
        """Write the event of facts where there is a formatter or another handler, or this one was closed."""
        if self._is_closed and not self._is_attached(facts):
            return  # a span ends whose entry came here
        self._is_closed = False
        if self.formatter is None:
            self._write_once(facts, facts[0][0].id, facts[3], lambda: encoded(facts), is_end=is_last(facts))
        elif failure := handed(self, NodeRecord(facts)):
            raise failure

    def _is_attached(self, facts: Facts) -> bool:
        """Tell whether events of a node come here: ``dictConfig`` closes every handler, attached or not."""
        at: logging.Logger | None = logging.getLogger(f"tea.{facts[0][3]}")
        while at is not None:
            if self in at.handlers:
                return True
            at = at.parent if at.propagate else None
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's event, unless another handler has written it to the same file."""
        try:
            event = event_of(record)
            if event is None:
                return
            # Its facts, where it is a node's: another handler may have got them without a record.
            what = record.facts if type(record) is NodeRecord else record

            def line() -> bytes:
                text = self.format(record) if self.formatter else to_line(event)
                return f"{text}\n".encode("utf-8", "replace")

            self._write_once(what, event["flow_id"], wall_of(event), line, is_end=is_last(event))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record)

    def _write_once(
        self, what: Facts | logging.LogRecord, flow_id: str, now: int, line: Callable[[], bytes], *, is_end: bool
    ) -> None:
        path = self.path_of(flow_id)
        self.acquire()
        try:
            if not _latest.has(what, path):
                self._files.write(flow_id, line(), now, is_end=is_end)
                _latest.add(what, path)
            elif is_end:
                self._files.end(flow_id)
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell of the failure on stderr as logging does, without secrets, and count it in the flow."""
        handler_failed(self, record)

    def close(self) -> None:
        """Close every file."""
        self.acquire()
        try:
            self._files.close()
            self._is_closed = True
        finally:
            self.release()
        super().close()


KEEPERS.add(FlowFileHandler)
