"""A handler that passes each event to a function."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..event import Event
from ..recording.callables import HAND_ON, check_runs, function_at
from ..recording.faults import Guard, handler_failed
from ..recording.records import event_of


class CallbackHandler(logging.Handler):
    """Call a function with the event of each record. Records outside any flow are left out.

    Args:
        callback: The function, or its location: ``"package.module:function"``. It runs in the thread that logs. Its
            exceptions go to ``logging.Handler.handleError``. Events that it causes itself are not passed to it.
        level: As in ``logging.Handler``.

    Raises:
        ConfigurationError: the callback is not callable, is async, or is not found.
    """

    def __init__(self, callback: Callable[[Event], Any] | str, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._running = threading.local()
        self.callback = function_at("callback", callback) if isinstance(callback, str) else callback
        if not callable(self.callback):
            raise ConfigurationError(f"callback {callback!r} is not callable; give a function or 'package.module:function'")
        check_runs("callback", self.callback)

    def emit(self, record: logging.LogRecord) -> None:
        """Call the callback with the record's event."""
        if getattr(self._running, "yes", False):
            return  # the callback caused this event: passing it on would never end
        self._running.yes = True
        try:
            with Guard(self.handleError, record):
                self._call(record)
        finally:
            self._running.yes = False

    def _call(self, record: logging.LogRecord) -> None:
        event = event_of(record)
        if event is not None and inspect.iscoroutine(waiting := self.callback(event)):
            waiting.close()  # otherwise Python warns, in an unrelated place, that it was never awaited
            raise TypeError(f"the callback returned a coroutine, and nothing awaits it; {HAND_ON}")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report the failure on stderr as ``logging`` does, without secrets, and count it in the flow."""
        handler_failed(self, record)
