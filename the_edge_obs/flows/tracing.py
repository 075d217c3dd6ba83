"""The seam between running and logging: decided once when a run starts, observed or silent.

The runner talks to a tracer and never asks whether anybody listens. A flow that is not observed gets ``SILENT``, whose nodes
are one shared object that does nothing, and the bare actions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol

from ..actions.registry import Registry
from ..context import SpanContext, current
from ..instrumentation.registries import instrument
from ..instrumentation.span_events import log_event, node_logger
from ..instrumentation.spans import Span
from ..recording.faults import own_fault
from ..recording.records import NOTHING
from ..redaction.snapshots import snapshot


class Trace(Protocol):
    """One execution of a node, as a context manager; ``output`` and ``metrics`` go into the event of its end."""

    output: Any
    metrics: dict[str, Any] | None

    def __enter__(self) -> Trace:
        """Begin the execution."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> object:
        """End the execution; never swallows."""


class Tracer(Protocol):
    """What a run tells its log."""

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return the trace of one execution of a node.

        Args:
            node: What runs: ``file.read``, ``python.run``, ``loop``.
            step: The flow's name for it, or None.
            data: Its input.
            attempt: 1-based number of the attempt, where more than one is possible.
        """

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Take note of the values that a flow starts with: what stands under secret keys must not show up in the log."""

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log a warning of the enclosing span."""

    def actions(self, registry: Registry) -> Registry:
        """Return the actions as inline code is to see them."""


class _Silence:
    """A trace that keeps nothing, shared by all threads."""

    __slots__ = ()
    output: Any = None
    metrics: dict[str, Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


_SILENCE: Final = _Silence()


class Silent:
    """The tracer of a flow that nobody observes."""

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return the trace that does nothing."""
        return _SILENCE

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Remember nothing."""

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log nothing."""

    def actions(self, registry: Registry) -> Registry:
        """Return the bare actions."""
        return registry


class Observed:
    """The tracer of an observed flow: every node is a span. One serves all runs of a flow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instrumented: dict[int, tuple[Registry, Registry]] = {}

    def node(self, node: str, step: str | None, data: Any = NOTHING, attempt: int | None = None) -> Trace:
        """Return a span."""
        return Span(node, data, step=step, data=None if attempt is None else {"attempt": attempt})

    def starts_with(self, values: Mapping[str, Any]) -> None:
        """Remember what stands under secret keys as taints of the running flow; nothing is logged."""
        if (context := current()) is not None:
            learn_secrets(values, context)

    def note(self, message: str, data: Mapping[str, Any]) -> None:
        """Log a warning of the innermost open span."""
        context = current()
        if context is None:
            return
        logger = node_logger(context.node)
        if logger.isEnabledFor(logging.WARNING):
            try:
                log_event(logger, context, "log", logging.WARNING, message, dict(data), None)
            except Exception:  # noqa: BLE001 - observability never breaks what it observes
                own_fault("logging an event", context)

    def actions(self, registry: Registry) -> Registry:
        """Return an instrumented copy of the actions, made once a registry."""
        with self._lock:
            if id(registry) not in self._instrumented:
                copied = dict(registry)
                instrument(copied)
                # The original is kept beside its copy: its id stands for it only while it lives.
                self._instrumented[id(registry)] = (registry, copied)
            return self._instrumented[id(registry)][1]


def learn_secrets(values: Mapping[str, Any], context: SpanContext) -> None:
    """Remember what stands under secret keys as taints of a span's flow."""
    try:
        snapshot(dict(values), context.flow)
    except Exception:  # noqa: BLE001 - observability never breaks what it observes
        own_fault("remembering the secrets that a flow starts with", context)


SILENT: Final[Tracer] = Silent()
