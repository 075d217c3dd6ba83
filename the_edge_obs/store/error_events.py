"""The few events of a log that decide where its errors arose, and in how many runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..event import Event, is_failure, may_be_root
from ..event_query import HEAD, WholeIds
from ..jsonl import Skipped
from .logs import log_events

__all__ = ["events_of_errors"]

_SAMPLE: Final = 5_000
"""The number of lines at the beginning of a log that decide whether finding the spans pays."""
_LEAST: Final = 500
"""The number of these lines that must be of flows with errors for it to pay."""


def events_of_errors(errors: Iterable[Event], paths: Sequence[Path], filters: Mapping[str, Any]) -> Iterator[Event]:
    """Return an iterator of events of a log for which ``error_groups`` returns the same groups as for all of them.

    These are the events of the spans with errors, of those around them, and of the roots of their flows. Other lines are not
    parsed. If few lines are of flows with errors, all events of these flows are returned: finding the spans would take longer.

    Args:
        errors: The events of the log that pass the filters and are errors.
        paths: The files and folders of the log.
        filters: As in ``event_query.matches``.
    """
    spans = _Spans(event for event in errors if is_failure(event))
    if not spans.flows:
        return iter(())
    filters = {**filters, "flow_id": WholeIds(flow_id.decode("utf-8", "surrogatepass") for flow_id in spans.flows)}
    return log_events(paths, Skipped(), filters, spans.has if _found(spans, paths, filters) else None)


def _found(spans: _Spans, paths: Sequence[Path], filters: Mapping[str, Any]) -> bool:
    """Find the spans around those with errors; return False if that does not pay, or cannot be done."""
    try:
        for event in log_events(paths, Skipped(), filters, spans.note):
            spans.add(*(_bytes(event[key]) for key in ("flow_id", "span_id", "parent_id", "node")))
    except _NotFoundError:
        return False
    spans.complete()
    return True


class _NotFoundError(Exception):
    """Few lines are of flows with errors, or a span has two parents."""


class _Spans:
    """Spans of flows with errors, by the hashes of their ids; first those that have an error of their own.

    Attributes:
        flows: The ids of the flows.
    """

    def __init__(self, failures: Iterable[Event]) -> None:
        self.flows: set[bytes] = set()
        self._chosen: set[int] = set()
        self._parents: dict[int, int] = {}
        self._lines = self._own = 0
        for event in failures:
            flow_id = _bytes(event["flow_id"])
            self.flows.add(flow_id)
            self._chosen.add(hash((flow_id, _bytes(event["span_id"]))))

    def note(self, line: bytes) -> bool:
        """Note the span of a line, and its parent; return whether that needs the line to be parsed.

        Raises:
            _NotFoundError: Of the first lines few are of flows with errors, or the span has another parent.
        """
        head = HEAD.match(line)
        if head is None:
            return True
        self._lines += 1
        if self._lines == _SAMPLE and self._own < _LEAST:
            raise _NotFoundError
        flow_id, span_id, parent_id, node, _ = head.groups()
        if flow_id in self.flows:
            self._own += 1
            self.add(flow_id, span_id, parent_id, node)
        return False

    def add(self, flow_id: bytes, span_id: bytes, parent_id: bytes | None, node: bytes) -> None:
        """Add a span; one that may be a root is chosen.

        Raises:
            _NotFoundError: The span has another parent.
        """
        span = hash((flow_id, span_id))
        if may_be_root(node.decode("utf-8", "replace"), parent_id):
            self._chosen.add(span)
        if parent_id is not None:
            parent = hash((flow_id, parent_id))
            if self._parents.setdefault(span, parent) != parent:
                raise _NotFoundError

    def complete(self) -> None:
        """Choose the spans around those that are chosen, out to the outermost ones."""
        waiting = list(self._chosen)
        while waiting:
            parent = self._parents.get(waiting.pop())
            if parent is not None and parent not in self._chosen:
                self._chosen.add(parent)
                waiting.append(parent)
        self._parents.clear()

    def has(self, line: bytes) -> bool:
        """Tell whether a line may be of a chosen span."""
        head = HEAD.match(line)
        return head is None or hash((head[1], head[2])) in self._chosen


def _bytes(text: Any) -> Any:
    """Return a text as it is in a line, or None."""
    return None if text is None else text.encode("utf-8", "surrogatepass")
