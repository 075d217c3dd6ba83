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
        quiet: Show nothing.
        ascii_only: Draw with ASCII characters only.
    """

    def __init__(self, *, events: bool, quiet: bool = False, ascii_only: bool) -> None:
        self._live: LiveView | None = None if events or quiet else _live_view(ascii_only)
        self._events, self._quiet = events, quiet
        self._formatter = ConsoleFormatter(colour=uses_colour(sys.stderr))

    def handlers(self) -> list[dict[str, Any]]:
        """Return the handlers that get the flow's events, as those of a block."""
        if self._quiet:
            return []
        if self._events:
            return [{"type": "console"}]
        return [{"type": "callback", "callback": self._finished if self._live is None else self._live.take}]

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
