"""The live view of ``run``: which nodes are running, and for how long. It needs rich, the extra ``live``."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..event import ENDS, Event, is_failure
from ..text import View, columns, counted, duration_text, fitted, printable
from ..tree.drawing import numbered
from ..tree.table import Cell, line_of

_REFRESHES: Final = 8  # per second
_KEPT_FREE: Final = 2  # lines of the terminal
_CLOCK: Final = 11  # columns of a time such as 59 min 59 s


@dataclasses.dataclass(frozen=True, slots=True)
class _Running:
    """A span that is running.

    Attributes:
        path: The numbers of its ancestors and its own number; spans sorted by it make a tree.
        name: Its step, or its node, and the item of a branch or the number of an iteration.
        since: When it began, in monotonic seconds.
    """

    path: tuple[int, ...]
    name: str
    since: float


class LiveView:
    """A context manager that shows on a terminal, stderr, what is running, and restores the terminal afterwards.

    A failure in it ends the view, never the run. After Ctrl-C it says for what the run still waits: nodes in other threads.

    Args:
        view: How to draw; the width is read from the terminal for each refresh.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._begun_count = self._done = self._errors = 0
        self._is_interrupted = False
        console = Console(stderr=True)
        # What the flow prints appears above the view, unless stdout is not the terminal.
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> LiveView:
        with suppress(Exception):
            self._live.start()
            # rich hides the cursor, and it would stay hidden after a process that was killed.
            self._live.console.show_cursor(True)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise the program handles it
                signal.signal(signal.SIGINT, self._interrupt)  # raises outside the main thread
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(Exception):
            self._live.stop()
        with suppress(Exception):
            if signal.getsignal(signal.SIGINT) == self._interrupt:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._is_interrupted = True  # no lock: the thread that is interrupted may hold it
        signal.default_int_handler(number, frame)

    def take(self, event: Event) -> None:
        """Take note of an event."""
        kind, span_id = event["event_type"], event["span_id"]
        with self._lock:
            if kind == "entry":
                self._running[span_id] = self._begun(event)
            elif kind in ENDS:
                self._end(event, self._running.pop(span_id, None))

    def _begun(self, event: Event) -> _Running:
        above = self._running.get(event["parent_id"] or "")
        given = event.get("step") if above else event["data"].get("name")
        name = printable((given if isinstance(given, str) else event["node"]) + numbered(event["node"], event))
        self._begun_count += 1
        return _Running((*(above.path if above else ()), self._begun_count), name, time.monotonic())

    def _end(self, event: Event, span: _Running | None) -> None:
        if span is None or len(span.path) > 1:  # the flow itself is not one of its nodes
            self._done += 1
            self._errors += is_failure(event)

    def _picture(self) -> Text:
        # Called in a thread of rich: an error would print a traceback across the terminal.
        try:
            width, height = self._live.console.size
            with self._lock:
                spans = sorted(self._running.values(), key=lambda span: span.path)
            return Text("\n").join(self._lines(spans, width - 1, max(height - _KEPT_FREE, 2)))
        except Exception:  # noqa: BLE001 - the view never breaks the run
            return Text("")

    def _lines(self, spans: Sequence[_Running], width: int, height: int) -> Iterator[Text]:
        now = time.monotonic()
        shown = spans if len(spans) < height else spans[: height - 2]
        names = ["  " * (len(span.path) - 1) + span.name for span in shown]
        room = max(min(max(map(columns, names), default=0), width - _CLOCK - 2), 1)
        for span, name in zip(shown, names, strict=True):
            cells = [Cell(name), Cell(_clock(now - span.since), right=True)]
            yield Text(line_of(cells, (room, _CLOCK), self._view), style="bold" if len(span.path) == 1 else "")
        if left := len(spans) - len(shown):
            yield Text(fitted(f"and {left:,} more", width, self._view), style="dim")
        if self._is_interrupted and spans:
            yield Text(fitted("interrupted: waiting for what is running", width, self._view), style="bold red")
            return
        failed = f", {counted(self._errors, 'error')}" if self._errors else ""
        yield Text(fitted(f"{counted(self._done, 'node')} done{failed}", width, self._view), style="red" if failed else "dim")


def _clock(seconds: float) -> str:
    """Return a running time in tenths of a second: more digits would flicker."""
    return f"{seconds:.1f} s" if seconds < 59.95 else duration_text(seconds * 1000)
