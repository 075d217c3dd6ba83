"""What a test asks of the flows it ran: which nodes, how often, in what order, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, overload

from .errors import FlowNotFoundError
from .event import ROOT_NODE, Event, is_failure
from .flow_log import FlowLog, SpanInfo
from .formatters import printable
from .handlers import RingBufferHandler
from .logging_tree import install
from .store import get_flow_log
from .tree import View, counted, error_text, render

# A test asks how often something ran: what the ring had to drop would make a wrong answer of it.
_CAPACITY: Final = 100_000
_RING: Final = {"class": "the_edge_obs.RingBufferHandler", "capacity": _CAPACITY, "max_flows": 10_000}
_CONFIG: Final = {
    "version": 1,
    "handlers": {"flow_logs": _RING},
    "loggers": {"tea": {"level": "DEBUG", "handlers": ["flow_logs"]}},
}
_NAMED: Final = 8  # nodes that the text for a failed assert names
_DRAWN: Final = 20  # flows that a report draws


class FlowLogs(Sequence[FlowLog]):
    """The flows that ran since it was made, as flow logs in the order of their start; each is read when it is asked for.

    It answers with plain values, made for plain ``assert``. Spans are known by step or by node. The root spans of flows, node
    ``flow``, do not count.

    It keeps what is logged in a ring buffer of its own on the logger ``tea``, at level debug, until ``close``.
    """

    def __init__(self) -> None:
        self._installed = install(_CONFIG)

    def close(self) -> None:
        """Stop listening, and leave the logging tree as it was."""
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
        """Return what ran in one line, for the message of a failed assert."""
        names = [name for name, _ in self._spans()]
        more = [f"... {len(names) - _NAMED:,} more"] if len(names) > _NAMED else []
        return f"<{counted(len(self), 'flow')}{': ' if names else ''}{', '.join([*names[:_NAMED], *more])}>"

    def __str__(self) -> str:
        return "\n".join(self.draw(View()))

    @property
    def only(self) -> FlowLog:
        """The one flow that ran.

        Raises:
            AssertionError: none ran, or more than one.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        logs = self._logs()
        if not logs:
            raise AssertionError("no flow was logged; is what ran observed: by observable, span, flow or a YAML flow?")
        if len(logs) > 1:
            raise AssertionError(f"{len(logs)} flows ran, not one: {', '.join(map(repr, logs[:5]))}")
        return logs[0]

    @property
    def errors(self) -> list[str]:
        """What went wrong, handled or not, in order: ``ask (llm.call): TimeoutError: no answer``.

        An error that went on through outer spans is told once, where it arose; cancellations are none.
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
        """Return what ran in the order of its start, over all flows, each as often as it ran.

        Args:
            names: Only these steps and nodes, or globs; each is in the list as the step or the node that fits. Without names,
                all of them: the step, or the node where there is none.
        """
        if not names:
            return [name for name, _ in self._spans()]
        return [fit for _, span in self._spans() if (fit := _fitting(span, names)) is not None]

    def draw(self, view: View) -> Iterator[str]:
        """Yield the lines of the trees of all flows, of the last 20 where there are more."""
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
        """Yield every span but the root of its flow, with its step or node, in the order of their start."""
        spans = [span for log in self._logs() for span in _inner(log)]
        for span in sorted(spans, key=lambda span: span.start):
            yield span.step or span.node, span


def _log_of(flow_id: str) -> FlowLog | None:
    try:
        return get_flow_log(flow_id)
    except FlowNotFoundError:  # it has left the ring meanwhile
        return None


def _inner(log: FlowLog) -> list[SpanInfo]:
    roots = {span.span_id for span in log.roots if span.node == ROOT_NODE}
    return [span for span in log.spans if span.span_id not in roots]


def _fitting(span: SpanInfo, names: Sequence[str]) -> str | None:
    """Return the step, or else the node, of a span, whichever one of the names fits; None where none does."""
    known = [name for name in (span.step, span.node) if name]
    return next((name for name in known if any(fnmatchcase(name, pattern) for pattern in names)), None)


def _error(event: Event) -> str:
    error = event["data"].get("error")
    return error_text(error) if isinstance(error, dict) else printable(event["message"] or "error")


def _place(event: Event) -> str:
    step, node = event.get("step"), event["node"]
    return printable(f"{step} ({node})" if step and step != node else node)
