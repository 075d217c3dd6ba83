"""The interface between running and logging: a run is observed or silent, decided once when it starts.

The runner talks to a tracer and never asks whether the flow is observed. A flow that is not observed gets ``SILENT``, whose
traces are one shared object that does nothing, and the bare actions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol

from ..actions.registry import Registry
from ..context import current
from ..instrumentation.answers import Asking
from ..instrumentation.registries import instrument
from ..instrumentation.span_events import learn_secrets, log_event, node_logger
from ..instrumentation.spans import Span
from ..recording.faults import Guard, own_fault
from ..recording.records import NOTHING


class Trace(Protocol):
    """One execution of a node, as a context manager; what is set goes into the event of its end, as for a ``Span``."""

    output: Any
    metrics: dict[str, Any] | None
    answered: bool

    def __enter__(self) -> Trace:
        """Begin the execution."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> object:
        """End the execution; exceptions are never suppressed."""


class Tracer(Protocol):
    """Receives what happens in a run."""

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return the trace of one execution of a node.

        Args:
            node: The node that runs: ``file.read``, ``python.run``, ``loop``.
            step: The name that the flow gives it, or None.
            data: Its input.
            attempt: 1-based number of the attempt, where more than one is possible.
        """

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Register the values that a flow starts with: those under secret keys must not appear in the log."""

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log a warning of the enclosing span."""

    def actions(self, registry: Registry, asked: Asking | None = None) -> Registry:
        """Return the actions as inline code sees them; ``asked`` answers their calls."""


class _Silence:
    """A trace that records nothing, shared by all threads."""

    __slots__ = ()
    output: Any = None
    metrics: dict[str, Any] | None = None
    answered: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


_SILENCE: Final = _Silence()


class Silent:
    """The tracer of a flow that is not observed."""

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return the trace that does nothing."""
        return _SILENCE

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Remember nothing."""

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log nothing."""

    def actions(self, registry: Registry, asked: Asking | None = None) -> Registry:
        """Return the bare actions; a run with answers is never silent."""
        return registry


class Observed:
    """The tracer of an observed flow: every node is a span. All runs of a flow share one tracer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instrumented: dict[int, tuple[Registry, Registry]] = {}

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return a span."""
        return Span(node, data, step=step, data=None if attempt is None else {"attempt": attempt})

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Remember the values under secret keys as taints of the running flow; nothing is logged."""
        if (context := current()) is not None:
            learn_secrets(values, context)

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log a warning of the innermost open span."""
        context = current()
        if context is None:
            return
        logger = node_logger(context.node)
        if logger.isEnabledFor(logging.WARNING):
            with Guard(own_fault, "logging an event", context):
                log_event(logger, context, "log", logging.WARNING, message, dict(data), None)

    def actions(self, registry: Registry, asked: Asking | None = None) -> Registry:
        """Return an instrumented copy of the actions, made once per registry, or for each run that has answers."""
        if asked is not None:
            answered = dict(registry)
            instrument(answered, answers=asked)
            return answered
        with self._lock:
            if id(registry) not in self._instrumented:
                copied = dict(registry)
                instrument(copied)
                # The original is kept beside its copy: its id identifies it only while it lives.
                self._instrumented[id(registry)] = (registry, copied)
            return self._instrumented[id(registry)][1]


SILENT: Final[Tracer] = Silent()
