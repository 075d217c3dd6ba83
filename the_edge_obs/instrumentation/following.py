"""Spans that end with a stream: the generators that ``StartedSpan.follow`` returns.

The wrappers of decorated generators do the work: they make the span current while the generator runs, count its items, and end
the span with the last item, an error or an early close, or when a generator that never started is garbage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..recording.callables import STREAMS, way_of
from ..recording.faults import Guard, own_fault
from ..recording.records import NOTHING
from .later import Pending
from .span_events import OpenSpan
from .wrappers import WRAPPERS

End = Callable[[Any, BaseException | None, dict[str, Any] | None], object]
"""Ends a span: its output, error and metrics."""


def followed(stream: Any, opened: OpenSpan | None, end: End, output: Callable[[], Any] | None) -> Any:
    """Return a generator that yields what another yields, and ends a span with it.

    Args:
        stream: The generator or async generator, which has not started.
        opened: The span, or None if its level is filtered: then only an error is logged.
        end: Ends the span.
        output: Returns the output of the span, also after an early close; None for what the generator returns.

    Raises:
        ConfigurationError: It is not a generator, or has started.
    """
    way = way_of(stream)
    if way not in STREAMS:
        raise ConfigurationError(f"{stream!r} cannot be followed; give a generator or an async generator that has not started")
    node = _Filtered(end) if opened is None else Pending(_Filtered(end), _Ending(opened, end, output), stream, way)  # type: ignore[arg-type]
    return WRAPPERS[way](lambda: stream, node)()


class _Ending:
    """Stands for the open span that a wrapper ends: the end is that of the started span."""

    __slots__ = ("_end", "_output", "context", "started")

    def __init__(self, opened: OpenSpan, end: End, output: Callable[[], Any] | None) -> None:
        self.context, self.started = opened.context, opened.started
        self._end, self._output = end, output

    def close(self, output: Any, error: BaseException | None = None, metrics: dict[str, Any] | None = None) -> None:
        """End the span."""
        if self._output is not None:
            output = NOTHING
            with Guard(own_fault, "reading the output of a stream", self.context):
                output = self._output()
        self._end(output, error, metrics)


class _Filtered:
    """Stands for a node whose level is filtered."""

    level = 0

    def __init__(self, end: End) -> None:
        self._end = end

    @property
    def logger(self) -> Any:
        """The logger for the level check."""
        return self

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Return False: no span is open."""
        return False

    def report(self, kwargs: dict[str, Any], error: BaseException | None, output: Any = None) -> None:
        """Log an error."""
        self._end(NOTHING, error, None)
