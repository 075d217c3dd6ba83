"""The flows that a test ran: which nodes ran, how often, in what order, and which errors occurred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, overload

from .configuration.logging_tree import install
from .errors import FlowNotFoundError
from .event import ROOT_NODE, Event, is_failure
from .flow_log import FlowLog, SpanInfo
from .handlers import RingBufferHandler
from .store.sources import get_flow_log
from .text import View, counted, printable
from .tree.drawing import error_text, render

__all__ = ["FlowLogs"]

# Large enough that the ring drops nothing: otherwise the answers to a test would be wrong.
_CAPACITY: Final = 100_000
_RING: Final = {"class": "the_edge_obs.RingBufferHandler", "capacity": _CAPACITY, "max_flows": 10_000}
_CONFIG: Final = {
    "version": 1,
    "handlers": {"flow_logs": _RING},
    "loggers": {"tea": {"level": "DEBUG", "handlers": ["flow_logs"]}},
}
_NAMED: Final = 8  # nodes that ``repr`` names
_DRAWN: Final = 20  # flows that a report shows


class FlowLogs(Sequence[FlowLog]):
    """The flows that ran since it was created, as flow logs ordered by start. Each flow log is read when it is accessed.

    Its methods return plain values for plain ``assert`` statements. They identify spans by step or by node, and ignore the root
    spans of flows (node ``flow``).

    Until ``close`` it keeps what is logged in its own ring buffer on the logger ``tea``, at level debug.
    """

    def __init__(self) -> None:
        self._installed = install(_CONFIG)

    def close(self) -> None:
        """Stop collecting, and restore the logging tree."""
        self._installed.undo()

    @overload
    def __getitem__(self, index: int) -> FlowLog: ...
    @overload
    def __getitem__(self, index: slice) -> list[FlowLog]: ...
    def __getitem__(self, index: int | slice) -> FlowLog | list[FlowLog]:
        return self._logs()[index]

    def __len__(self) -> int:
        return len(self._logs())

    def __repr__(self) -> str:
        """Return what ran, as one line, for the message of a failed ``assert``."""
        names = [name for name, _ in self._spans()]
        more = [f"... {len(names) - _NAMED:,} more"] if len(names) > _NAMED else []
        return f"<{counted(len(self), 'flow')}{': ' if names else ''}{', '.join([*names[:_NAMED], *more])}>"

    def __str__(self) -> str:
        return "\n".join(self.draw(View()))

    @property
    def only(self) -> FlowLog:
        """The only flow that ran.

        Raises:
            AssertionError: no flow ran, or more than one.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        logs = self._logs()
        if not logs:
            raise AssertionError("no flow was logged; did the code run in observable, span, flow or a YAML flow?")
        if len(logs) > 1:
            raise AssertionError(f"{len(logs)} flows ran, not one: {', '.join(map(repr, logs[:5]))}")
        return logs[0]

    @property
    def errors(self) -> list[str]:
        """The errors, handled or not, in order: ``ask (llm.call): TimeoutError: no answer``.

        An error that passed through outer spans is listed once, where it arose. Cancellations are not errors.
        """
        failed = [event for log in self._logs() for event in log.events if is_failure(event)]
        echoes = {(event["parent_id"], _error(event)) for event in failed}
        return [f"{_place(event)}: {_error(event)}" for event in failed if (event["span_id"], _error(event)) not in echoes]

    def ran(self, name: str) -> int:
        """Return how often something ran.

        Args:
            name: A step or a node, or a glob such as ``llm.*``.
        """
        return len(self.order(name))

    def order(self, *names: str) -> list[str]:
        """Return what ran, in all flows, ordered by start; what ran several times is listed several times.

        Args:
            names: Steps and nodes, or globs; each match is listed by the step or node that matches. Without names, everything is
                listed by its step, or by its node if it has no step.
        """
        if not names:
            return [name for name, _ in self._spans()]
        return [match for _, span in self._spans() if (match := _match(span, names)) is not None]

    def draw(self, view: View) -> Iterator[str]:
        """Yield the lines of the trees of all flows, or of the last 20 if there are more."""
        logs = self._logs()
        if len(logs) > _DRAWN:
            yield f"{counted(len(logs) - _DRAWN, 'earlier flow')} not shown"
            yield ""
        for number, log in enumerate(logs[-_DRAWN:]):
            if number:
                yield ""
            yield from render(log, view)

    def _logs(self) -> list[FlowLog]:
        ring = self._installed.handlers["flow_logs"]
        assert isinstance(ring, RingBufferHandler)
        return sorted(filter(None, map(_log_of, ring.flow_ids())), key=lambda log: log.events[0]["timestamp"])

    def _spans(self) -> Iterator[tuple[str, SpanInfo]]:
        """Yield every span except the roots of flows, with its step or node, ordered by start."""
        spans = [span for log in self._logs() for span in _inner(log)]
        for span in sorted(spans, key=lambda span: span.start):
            yield span.step or span.node, span


def _log_of(flow_id: str) -> FlowLog | None:
    try:
        return get_flow_log(flow_id)
    except FlowNotFoundError:  # the ring has dropped it in the meantime
        return None


def _inner(log: FlowLog) -> list[SpanInfo]:
    roots = {span.span_id for span in log.roots if span.node == ROOT_NODE}
    return [span for span in log.spans if span.span_id not in roots]


def _match(span: SpanInfo, patterns: Sequence[str]) -> str | None:
    """Return the step of a span if it matches one of the patterns, otherwise its node if that does, otherwise None."""
    names = [name for name in (span.step, span.node) if name]
    return next((name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)), None)


def _error(event: Event) -> str:
    error = event["data"].get("error")
    return error_text(error) if isinstance(error, dict) else printable(event["message"] or "error")


def _place(event: Event) -> str:
    step, node = event.get("step"), event["node"]
    return printable(f"{step} ({node})" if step and step != node else node)
