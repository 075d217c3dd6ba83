"""Celery: each attempt of a task is a flow that continues the flow of whoever sent it, so that a run is one tree.

Call ``install()`` where the application is made, so that the programs that send tasks do it as well as the workers. A message
carries the place of its sender in a ``traceparent`` header. Each process writes its own log; ``get_flow_log`` and ``tea-obs
show`` join them. Needs Celery 5.3 or newer, with messages of protocol 2, which is its default.
"""

from __future__ import annotations

import inspect
import logging
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from .. import BatchHandler, ConfigurationError, ObservabilityContext, current, extract, flow, inject, span
from ._gate import is_observing

__all__ = ["install"]

EAGER_NODE: Final = "celery.task"
"""The node of a task that runs eagerly: a span in the flow of its caller."""
_EXIT_S: Final = 2.0


class TaskRevokedError(CancelledError):
    """The type of the error of a task that was revoked, or had expired, before a worker began it."""


def install(app: Any = None) -> Callable[[], None]:
    """Observe the tasks of an application, where they are sent and where they run.

    An attempt of a task is a flow with the task's name. It continues the flow that sent the task, if there was one; an eager task
    is a span of its caller's flow. The input is the arguments by name, and secret ones are redacted. A failure, and an attempt
    that is retried because of one, is an error; a task that is revoked before it begins is cancelled. Of an attempt whose worker
    was killed, the log has no end, so it is shown as running.

    Args:
        app: The application, or None (the default) for all applications of the process.

    Returns:
        The undo. Attempts that are running then are still logged to their end.

    Raises:
        ConfigurationError: Celery is not installed.

    Example:
        >>> app = Celery("shop", broker="redis://localhost")
        >>> undo = install()
    """
    try:
        signals = import_module("celery.signals")
    except ImportError as error:
        raise ConfigurationError("celery cannot be imported; install it beside the_edge_obs") from error
    observer = _Observer(app)
    begins = {
        signals.before_task_publish: observer.publishing,
        signals.task_prerun: observer.beginning,
        signals.task_revoked: observer.revoked,
    }
    for signal, receiver in begins.items():
        signal.connect(receiver, weak=False)
    _ends.connect(observer, signals)

    def undo() -> None:
        observer.is_over = True
        for signal, receiver in begins.items():
            signal.disconnect(receiver)
        _ends.disconnect(observer)

    return undo


class _Attempt:
    """One attempt of a task that is running in this process."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.error: BaseException | None = None

    def end(self, output: Any, error: BaseException | None) -> None:
        self._frame.output = output
        self._frame.__exit__(None, error, None)


# By the request of the attempt, which Celery makes for it alone. So a second observer sees that it is observed.
_attempts: Final[weakref.WeakKeyDictionary[Any, _Attempt]] = weakref.WeakKeyDictionary()


class _Observer:
    """The receivers of signals that begin something. Celery catches and logs what receivers raise."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.is_over = False

    def publishing(self, sender: str | None = None, headers: Any = None, **_: Any) -> None:
        """Put the place of the sender into a message. The sender of the signal is the name of the task."""
        if isinstance(headers, dict) and (self._app is None or (self._app.finalized and sender in self._app.tasks)):
            inject(headers)

    def beginning(self, task: Any = None, args: Any = (), kwargs: Any = None, **_: Any) -> None:
        """Begin the flow or span of an attempt."""
        request = task.request_stack.top
        if request is None or request in _attempts or not self._observes(task):
            return
        given = _input(request, _named(task, args, kwargs))
        if request.is_eager and current() is not None:
            frame: Any = span(EAGER_NODE, step=task.name, **given)
        else:
            frame = _flow(task, request, given)
        frame.__enter__()
        _attempts[request] = _Attempt(frame)

    def revoked(self, sender: Any = None, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any) -> None:
        """Log a task that will not begin. One that was terminated has begun, in another process."""
        if terminated or not self._observes(sender):
            return
        run = _flow(sender, request, _input(request, _named(sender, request.args, request.kwargs)))
        run.begin()
        run.close(TaskRevokedError("the task expired before it began" if expired else "the task was revoked before it began"))

    def _observes(self, task: Any) -> bool:
        return not self.is_over and (self._app is None or task.app is self._app) and is_observing()


class _Ends:
    """The receivers of signals that end an attempt. All observers share them, until the attempts that they began have ended."""

    def __init__(self) -> None:
        self._observers: set[_Observer] = set()
        self._receivers: dict[Any, Callable[..., None]] = {}

    def connect(self, observer: _Observer, signals: Any) -> None:
        self._observers.add(observer)
        self._receivers = {
            signals.task_failure: self.failed,
            signals.task_retry: self.retried,
            signals.task_postrun: self.ended,
            signals.worker_process_shutdown: self.stopping,
        }
        for signal, receiver in self._receivers.items():
            signal.connect(receiver, weak=False)  # a receiver that is connected already stays connected once

    def disconnect(self, observer: _Observer) -> None:
        self._observers.discard(observer)
        self._let_go()

    def _let_go(self) -> None:
        if not self._observers and not _attempts:
            for signal, receiver in self._receivers.items():
                signal.disconnect(receiver)

    def failed(self, sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
        """Remember why an attempt fails."""
        if (attempt := _attempt_of(sender)) is not None:
            attempt.error = exception

    def retried(self, sender: Any = None, reason: Any = None, **_: Any) -> None:
        """Remember why an attempt is to be repeated: an exception, or None if the task just wants it."""
        if (attempt := _attempt_of(sender)) is not None:
            cause = getattr(reason, "exc", None)
            attempt.error = cause if isinstance(cause, BaseException) else None

    def ended(self, task: Any = None, retval: Any = None, state: str | None = None, **_: Any) -> None:
        """End the flow or span of an attempt."""
        attempt = _attempt_of(task)
        if attempt is None:
            return
        del _attempts[task.request_stack.top]
        if state is None:  # neither done nor failed: the process is told to stop
            attempt.end({"state": state}, attempt.error or sys.exc_info()[1])
        else:
            attempt.end(retval if state == "SUCCESS" else {"state": state}, attempt.error)
        self._let_go()

    def stopping(self, **_: Any) -> None:
        """Send what waits in handlers: a worker's process ends without what Python does at its exit."""
        until = time.monotonic() + _EXIT_S
        for handler in _batching():
            handler.drain(max(0.0, until - time.monotonic()))


_ends: Final = _Ends()


def _attempt_of(task: Any) -> _Attempt | None:
    request = task.request_stack.top
    return None if request is None else _attempts.get(request)


def _flow(task: Any, request: Any, given: dict[str, Any]) -> ObservabilityContext:
    traced = {name: value for name in ("traceparent", "tracestate") if isinstance(value := getattr(request, name, None), str)}
    run = flow(task.name, parent=extract(traced))
    run.about = {"input": given}
    return run


def _input(request: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = {"id": request.id, "args": arguments}
    return {**given, "retries": request.retries} if request.retries else given


def _named(task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments by the names of the parameters, because redaction goes by names."""
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    try:
        bound = _signature(task).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):  # the call will fail
        return {"args": args, "kwargs": kwargs}
    return dict(bound.arguments)


@lru_cache(maxsize=1024)
def _signature(task: Any) -> inspect.Signature:
    return inspect.signature(task.run)


def _batching() -> Iterator[BatchHandler]:
    """Yield each handler that sends spans in batches."""
    loggers = [logging.getLogger(), *list(logging.Logger.manager.loggerDict.values())]
    handlers = {id(handler): handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    yield from (handler for handler in handlers.values() if isinstance(handler, BatchHandler))
