"""What ``run`` shows on stderr while a flow runs: its events, one line per finished node, or a live view."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..handlers.formatters import ConsoleFormatter
from ..recording.records import record_of_item
from ..text import uses_colour
from ._terminal import view_for

if TYPE_CHECKING:
    from ._live import LiveView


class Display:
    """How a running flow is shown.

    Args:
        events: Show every event.
        ascii_only: Draw with ASCII characters only.
    """

    def __init__(self, *, events: bool, ascii_only: bool) -> None:
        self._live: LiveView | None = None if events else _live_view(ascii_only)
        self._events = events
        self._formatter = ConsoleFormatter(colour=uses_colour(sys.stderr))

    def handler(self) -> dict[str, Any]:
        """Return the handler that gets the flow's events, as the ``handlers`` of a block describe one."""
        if self._events:
            return {"type": "console"}
        return {"type": "callback", "callback": self._finished if self._live is None else self._live.take}

    def shown(self) -> AbstractContextManager[object]:
        """Return the context manager in which to run the flow."""
        return self._live or nullcontext()

    def _finished(self, event: Event) -> None:
        if event["event_type"] != "entry":
            print(self._formatter.format(record_of_item(event)), file=sys.stderr, flush=True)


def _live_view(ascii_only: bool) -> LiveView | None:
    """Return a live view, or None if stderr is not a suitable terminal or the extra ``live`` is not installed."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from ._live import LiveView
    except ImportError:
        return None
    return LiveView(view_for(sys.stderr, ascii_only=ascii_only))
