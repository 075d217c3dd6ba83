"""Spans that are still open when the interpreter exits are ended then, while logging still works.

Generators and objects with a ``__del__`` are finalized while modules are torn down. Those that only garbage refers to go first:
every module is still whole then, although nothing can be imported any more and ``open`` is gone. Then the remaining modules are
emptied, the last imported first; an object that is finalized after that finds ``None`` under every name. So open spans are
ended just before the first module is emptied.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, Protocol

from ..context import HELD, at_fork
from ..secrets import policies, taints
from .records import NOTHING

_ROOT: Final = __name__.partition(".")[0]
MAX_OPEN: Final = 10_000  # spans that are remembered; beyond that, the oldest are dropped


class _Open(Protocol):
    def close(self, output: Any, error: BaseException | None = None) -> None:
        """Log the end."""


_open: Final[dict[int, _Open]] = {}


def opened(number: int, span: _Open) -> None:
    """Remember an open span."""
    _open[number] = span
    if len(_open) > MAX_OPEN:
        with suppress(RuntimeError, StopIteration):  # another thread is changing it
            del _open[next(iter(_open))]


forget: Final[Callable[..., Any]] = _open.pop
"""Forget the span of a number; with None as second argument, it need not be known."""


def end_all() -> None:
    """End every open span, the youngest first."""
    while _open:
        try:
            _, span = _open.popitem()
        except KeyError:  # another thread took it
            return
        span.close(NOTHING, GeneratorExit("Python is shutting down"))


def _stop() -> None:
    """End open spans, and turn logging off for what is finalized later: observed functions still run.

    Loggers are disabled directly, because their functions find no names any more. A module that nothing refers to is not
    emptied. So the package drops the references to its modules, and the functions here keep what they need.
    """
    end_all()
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith("tea."):
            logger.disabled = True
            logger._cache.clear()  # type: ignore[attr-defined]
    _let_go(_package, _ROOT)


def _let_go(package: dict[str, Any], path: str) -> None:
    """Remove the modules from a package, and from its subpackages."""
    for name, module in list(package.items()):
        if isinstance(module, ModuleType) and module.__name__ == f"{path}.{name}":
            del package[name]
            _let_go(vars(module), module.__name__)


RENEWALS: Final[list[Callable[[], None]]] = [taints.renew_lock, policies.renew_lock]
"""Functions that replace the locks of the write path."""


def _renew_locks() -> None:
    """Replace every lock that logging an event takes.

    Daemon threads are frozen from now on, and never release the locks that they hold.
    """
    logging._lock = threading.RLock()  # type: ignore[attr-defined]
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.createLock()
    for renew in RENEWALS:
        renew()


class _Frozen:
    """Replaces the locks when the list of modules is emptied, before anything is finalized."""

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
    """Put the objects that react to the exit among the modules: non-modules go first, then the last module.

    The module of ``flow`` is imported now: a flow may begin in a ``__del__``, when nothing can be imported any more.
    """
    with suppress(Exception):  # a module that cannot be imported is reported to the code that needs it
        _package["_import_for_exit"]()
    sys.modules[f"{_ROOT}._frozen"] = _Frozen()  # type: ignore[assignment]
    module = ModuleType(f"{_ROOT}._exit")
    vars(module)["_first"] = _First()
    sys.modules[module.__name__] = module
    HELD.append(module)


_package: Final = vars(sys.modules[_ROOT])  # at exit, sys.modules no longer has it
atexit.register(_arm)
at_fork(after_in_child=_open.clear)  # the parent ends them
