"""A handler that hands each event to a function."""

from __future__ import annotations

import importlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..event import Event
from ..recording.callables import HAND_ON, check_runs
from ..recording.faults import handler_failed
from ..recording.records import event_of


class CallbackHandler(logging.Handler):
    """Call a function with the event of each record. Records outside any flow are left out.

    Args:
        callback: The function, or where it is: ``"package.module:function"``. It runs in the thread that logs; what it
            raises goes the way of ``logging.Handler.handleError``. What it logs or observes itself is not handed to it.
        level: As in ``logging.Handler``.

    Raises:
        ConfigurationError: the callback is not callable, is async, or is not found.
    """

    def __init__(self, callback: Callable[[Event], Any] | str, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._running = threading.local()
        self.callback = _found(callback) if isinstance(callback, str) else callback
        if not callable(self.callback):
            raise ConfigurationError(f"callback {callback!r} is not callable; give a function or 'package.module:function'")
        check_runs("callback", self.callback)

    def emit(self, record: logging.LogRecord) -> None:
        """Call the callback with the record's event."""
        if getattr(self._running, "yes", False):
            return  # an event that the callback caused: handing it over would never end
        self._running.yes = True
        try:
            event = event_of(record)
            if event is not None and inspect.iscoroutine(waiting := self.callback(event)):
                waiting.close()  # or Python warns that it was never awaited, where nobody looks
                raise TypeError(f"the callback returned a coroutine, and nothing awaits it; {HAND_ON}")
        except Exception:  # noqa: BLE001 - observability never breaks what it observes
            self.handleError(record)
        finally:
            self._running.yes = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell of the failure on stderr as logging does, without secrets, and count it in the flow."""
        handler_failed(self, record)


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"callback {path!r} is not found ({error}); write 'package.module:function'") from error
