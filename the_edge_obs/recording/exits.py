"""What is still open when the interpreter exits: it ends then, as long as there is something to log it with.

Generators and objects with a ``__del__`` are finalized while modules are taken down. First go those that only garbage refers to:
there every module is whole, though nothing can be imported any more, and ``open`` is gone. Then the modules that are left are
emptied, the last imported first; what is finalized after that finds ``None`` under every name. So what is open when
the first module is about to be emptied is ended there.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, Protocol

from ..context import HELD
from ..secrets import policies, taints
from .records import NOTHING

_ROOT: Final = __name__.partition(".")[0]
MAX_OPEN: Final = 10_000  # spans that are remembered; of more, those that were opened first are left out


class _Open(Protocol):
    def close(self, output: Any, error: BaseException | None = None) -> None:
        """Log the end."""


_open: Final[dict[int, _Open]] = {}


def opened(number: int, span: _Open) -> None:
    """Remember an open span."""
    _open[number] = span
    if len(_open) > MAX_OPEN:
        with suppress(RuntimeError, StopIteration):  # another thread has changed it just now
            del _open[next(iter(_open))]


forget: Final[Callable[..., Any]] = _open.pop
"""Forget the span of a number, given None as well where it may not be remembered."""


def end_all() -> None:
    """End every open span, the youngest first."""
    while _open:
        try:
            _, span = _open.popitem()
        except KeyError:  # another thread took it
            return
        span.close(NOTHING, GeneratorExit("Python is shutting down"))


def _stop() -> None:
    """End what is open, and let what is finalized later pass unlogged: observed functions still run.

    The loggers are asked without any name. What the functions here need themselves stays: a module that nobody has any more is
    not emptied, so the package lets go of its own.
    """
    end_all()
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith("tea."):
            logger.disabled = True
            logger._cache.clear()  # type: ignore[attr-defined]
    _let_go(_package, _ROOT)


def _let_go(package: dict[str, Any], path: str) -> None:
    """Take the modules out of a package, and out of the packages in it."""
    for name, module in list(package.items()):
        if isinstance(module, ModuleType) and module.__name__ == f"{path}.{name}":
            del package[name]
            _let_go(vars(module), module.__name__)


RENEWALS: Final[list[Callable[[], None]]] = [taints.renew_lock, policies.renew_lock]
"""What gives each lock of the write path anew."""


def _renew_locks() -> None:
    """Give every lock anew that logging an event takes.

    Daemon threads stand still from now on, wherever they are, and what they hold they hold for ever.
    """
    logging._lock = threading.RLock()  # type: ignore[attr-defined]
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.createLock()
    for renew in RENEWALS:
        renew()


class _Frozen:
    """Renews the locks when the list of modules is emptied, before anything is finalized."""

    def __init__(self) -> None:
        self._renew_locks = _renew_locks

    def __del__(self) -> None:
        self._renew_locks()


class _First:
    """Stops everything when the module that holds it is emptied."""

    def __init__(self) -> None:
        self._stop = _stop

    def __del__(self) -> None:
        self._stop()


def _arm() -> None:
    """Put what has to be told among the modules: what is not a module goes first, a module that comes last is emptied first.

    A flow may begin in a ``__del__`` as well, where it cannot be imported any more.
    """
    with suppress(Exception):  # a module that cannot be imported is reported to the code that needs it
        _package["_import_for_exit"]()
    sys.modules[f"{_ROOT}._frozen"] = _Frozen()  # type: ignore[assignment]
    module = ModuleType(f"{_ROOT}._exit")
    vars(module)["_first"] = _First()
    sys.modules[module.__name__] = module
    HELD.append(module)


_package: Final = vars(sys.modules[_ROOT])  # which is in no list any more when it is needed
atexit.register(_arm)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # they are the parent's to end
