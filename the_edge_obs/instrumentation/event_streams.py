"""Event streams: a bounded buffer that passes events on, and the events of one flow in the same form."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ConfigurationError, FlowNotFoundError
from ..event import Event, level_number
from ..event_query import select
from ..recording.buffers import listeners
from ..recording.callables import check_runs
from ..recording.faults import own_fault
from ..recording.records import record_of_item
from ..recording.tracebacks import apart
from ..store.sources import query


class Events(ABC):
    """Events that can be added, read and queried."""

    @abstractmethod
    def append(self, event: Event) -> None:
        """Add an event."""

    @abstractmethod
    def get_all(self) -> list[Event]:
        """Return the events, oldest first."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all events."""

    def query(self, filters: Mapping[str, Any] | None = None) -> list[Event]:
        """Return the events that pass the filters, oldest first.

        Args:
            filters: The filters of ``event_query.matches``, or None for all events.

        Raises:
            QueryError: A filter is unknown, or its value is not valid.
        """
        return list(select(self.get_all(), filters or {}))


class EventStream(Events):
    """A bounded buffer of events, oldest first, that passes each event on to handlers.

    Args:
        max_size: How many events are kept. Default 1,000.
        handlers: Handlers that get each event. A ``logging.Handler`` gets a record, if the event has its level; any other object
            gets ``handle(event)``. An exception of one handler is reported, and the others still get the event.

    Raises:
        ConfigurationError: max_size is not a whole number of at least 1, or a handler's ``handle`` is async.

    Example:
        >>> stream = obs.EventStream(max_size=2)
        >>> for event in events:
        ...     stream.append(event)
        >>> stream.query({"level": "error"})
    """

    def __init__(self, max_size: int = 1000, handlers: Iterable[Any] | None = None) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
            raise ConfigurationError(f"max_size {max_size!r} is not a whole number of at least 1")
        self._events: deque[Event] = deque(maxlen=max_size)
        self._handlers = list(handlers or ())
        for handler in self._handlers:
            if not isinstance(handler, logging.Handler) and hasattr(handler, "handle"):
                check_runs("handle", handler.handle)

    def append(self, event: Event) -> None:
        """Add an event, and pass it on to the handlers."""
        self._events.append(event)
        for handler in self._handlers:
            try:
                self._hand_on(handler, event)
            except Exception:  # noqa: BLE001 - observability never breaks the observed code
                own_fault(f"{type(handler).__name__}.handle")

    @staticmethod
    def _hand_on(handler: Any, event: Event) -> None:
        if not isinstance(handler, logging.Handler):
            handler.handle(event)
        elif level_number(event["level"]) >= handler.level:  # as Logger.callHandlers does
            apart(handler.handle, record_of_item(event))

    def get_all(self) -> list[Event]:
        """Return the events, oldest first."""
        return list(self._events)

    def clear(self) -> None:
        """Remove all events."""
        self._events.clear()


class FlowEvents(Events):
    """The events of one flow in the ring buffers."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def append(self, event: Event) -> None:
        """Log an event into the flow, with its node, level, event_type, message, data and metrics."""
        fields = ("node", "level", "event_type", "message", "data", "metrics")
        self._run.log(**{key: event[key] for key in fields if key in event})

    def get_all(self) -> list[Event]:
        """Return the flow's events, oldest first."""
        try:
            return query(self._run.flow_id)
        except FlowNotFoundError:
            return []

    def clear(self) -> None:
        """Remove the flow's events from the ring buffers."""
        for ring in list(listeners):
            ring.clear(self._run.flow_id)


EventStream.register(FlowEvents)  # a flow's own stream has all that an EventStream has, and counts as one
