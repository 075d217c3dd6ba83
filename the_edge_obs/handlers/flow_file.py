"""A handler that writes one JSONL file per flow."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..event import ROOT_NODE, may_be_root
from ..recording.dispatch import KEEPERS, Take, handed
from ..recording.faults import Guard, handler_failed
from ..recording.full import activate, deactivate
from ..recording.records import ENTRY, EXIT, Facts, Item, NodeRecord, event_of, flow_id_of, is_last, node_of, wall_of
from .appending import FlowFiles
from .formatters import to_line
from .full_files import FullFiles, checked_globs
from .lines import encoded


class _Latest(threading.local):
    """What this thread wrote last, facts or a record, and the files that have it.

    An event passes its handlers one after the other in one thread, so only the last one has to be remembered.
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
# The existing handlers, by identity: a single one need not check what others have written.
_existing: Final[set[int]] = set()


class FlowFileHandler(logging.Handler):
    """Append each event to its flow's file, with one ``write`` per line.

    A written line survives the death of the process: the operating system has it when ``emit`` returns. Files are opened for
    appending, so several processes can share one. Records outside any flow are left out. Lines are events as JSON unless a
    formatter is set. If several handlers of a process have the same path, a record is written once, by the first handler
    that lets it pass.

    A file that is deleted while its flow runs is created again, and counts as a fault of the flow. The handler notices it
    with the first event that comes 50 ms or more after the last check, and at the latest with the flow's last event; lines
    written before that are lost. A file that is moved away, as by ``logrotate`` or ``tea-obs clean``, is noticed in the same
    way; then nothing is lost, and later lines go into a new file.

    Only regular files are written: a path that is a symbolic link, a pipe or a device is refused. Its folders may be links.

    Args:
        path: Path of the files; ``{flow_id}`` stands for the flow's id. Without it, all flows share one file. Folders are
            created with the first event, with mode 0700.
        level: As in ``logging.Handler``.
        mode: The mode of new files: a number such as ``0o640``, or its octal digits such as ``"0640"``. Default 0600: only the
            owner can read logs. The umask can restrict it further.
        full: Nodes, or globs such as ``llm.*``, whose calls are recorded in full beside the log, in a file with its name and
            ``.full``, mode 0600. Default: none.

    Raises:
        ConfigurationError: the path holds another placeholder, or cannot be written to; or the mode or ``full`` is not valid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        level: int | str = logging.NOTSET,
        *,
        mode: int | str = "0600",
        full: Iterable[str] = (),
    ) -> None:
        # Before super().__init__(): logging closes every handler that it knows, even one whose path was refused.
        self._files = FlowFiles(path, mode)
        nodes = checked_globs("full", full if isinstance(full, str) else list(full))
        super().__init__(level)
        self._of_flow = self._files.of_flow
        self.path = self._files.path
        self._is_closed = False
        _existing.add(id(self))
        weakref.finalize(self, _existing.discard, id(self)).atexit = False
        self._full = FullFiles(self, self.path, nodes) if nodes else None
        if self._full is not None:
            activate(self._full)
            weakref.finalize(self, deactivate, self._full).atexit = False

    def path_of(self, flow_id: str) -> str:
        """Return the path of a flow's file."""
        return self._files.path_of(flow_id)

    def keep(self, facts: Facts) -> Take | None:
        """Write the event of facts, as ``handle`` does with a record, and return this method for the end of the same span.

        The common case is inline: the flow's file is open, was checked recently, and no other handler writes to it.
        """
        lock: Any = self.lock
        try:
            if self.formatter is not None or len(_existing) > 1:
                self._keep_with_care(facts)
                return None
            line = encoded(facts)
            lock.acquire()
            try:
                # Facts and their place are read by index: each event passes here.
                place, wall = facts[0], facts[3]
                file = self._of_flow.get(place[0].id)
                is_plain = False
                if file is not None and file.looked <= wall < file.until:
                    tally = file.tally
                    spans, number = tally.spans, place[1]
                    # A possible end of a flow takes the slow path, and so does what the tally cannot count here.
                    if spans is None:
                        is_plain = not may_be_root(place[3], place[2])
                    elif facts[1] is ENTRY:
                        is_plain = place[2] in spans and place[3] != ROOT_NODE and spans.setdefault(number, place) is place
                    elif (
                        facts[1] is EXIT
                        and (known := spans.get(number))
                        and known[3] == place[3]
                        and (type(facts[6]) is int or tally.sums(place[2], facts[6]))
                    ):
                        del spans[number]
                        tally.lines += 2  # with its entry
                        if wall > tally.last:
                            tally.last = wall
                        is_plain = True
                if is_plain and file is not None:
                    written = os.write(file.descriptor, line)
                    if written != len(line):
                        file.check(written, line)
                    tally.size += written
                elif self._is_closed:
                    self._keep_with_care(facts)
                    return None
                else:
                    is_end = is_last(facts)
                    self._files.write(place[0].id, line, wall, facts, is_end=is_end)
                    if is_end and self._full is not None:
                        self._full.end(place[0].id)
            finally:
                lock.release()
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(NodeRecord(facts))
            return None
        return self.keep

    def _keep_with_care(self, facts: Facts) -> None:
        """Write the event of facts if there is a formatter or another handler, or if this one was closed."""
        if self._is_closed and not self._is_attached(facts):
            return  # the end of a span whose entry came here
        self._is_closed = False
        if self._full is not None:
            activate(self._full)
        if self.formatter is None:
            self._write_once(facts, facts, lambda: encoded(facts))
        elif failure := handed(self, NodeRecord(facts)):
            raise failure

    def _is_attached(self, facts: Facts) -> bool:
        """Tell whether events of a node reach this handler: ``dictConfig`` closes every handler, attached or not."""
        at: logging.Logger | None = logging.getLogger(f"tea.{node_of(facts)}")
        while at is not None:
            if self in at.handlers:
                return True
            at = at.parent if at.propagate else None
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's event, unless another handler has written it to the same file."""
        with Guard(self.handleError, record):
            event = event_of(record)
            if event is None:
                return
            # The facts of a node's record: another handler may have received them without a record.
            what = record.facts if type(record) is NodeRecord else record

            def line() -> bytes:
                text = self.format(record) if self.formatter else to_line(event)
                return f"{text}\n".encode("utf-8", "replace")

            self._write_once(what, what if isinstance(what, tuple) else event, line)

    def _write_once(self, what: Facts | logging.LogRecord, item: Item, line: Callable[[], bytes]) -> None:
        flow_id, is_end = flow_id_of(item), is_last(item)
        path = self.path_of(flow_id)
        self.acquire()
        try:
            if not _latest.has(what, path):
                counted = None if self.formatter else item
                self._files.write(flow_id, line(), wall_of(item), counted, is_end=is_end)
                _latest.add(what, path)
            elif is_end:
                self._files.end(flow_id)
            if is_end and self._full is not None:
                self._full.end(flow_id)
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report the failure on stderr as ``logging`` does, without secrets, and count it in the flow."""
        handler_failed(self, record)

    def close(self) -> None:
        """Close every file."""
        self.acquire()
        try:
            self._files.close()
            self._is_closed = True
            if self._full is not None:
                deactivate(self._full)
                self._full.close()
        finally:
            self.release()
        super().close()


KEEPERS.add(FlowFileHandler)
