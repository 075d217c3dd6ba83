"""What ``engine.observability_context`` was: the log of the last run, in the engine's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import FlowNotFoundError, get_flow_log
from ...event import ROOT_NODE
from ...event_query import select


class Facade:
    """The engine's context of observability, which speaks of the last run that was observed.

    A node is called as the YAML calls it, and the events of the run itself are left out, as the engine has none. Everything
    else is the engine's own context.
    """

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs
        self.last: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)

    @property
    def flow_id(self) -> str:
        """The last run; before the first one, the engine's own id."""
        return self.last or str(self._theirs.flow_id)

    @property
    def event_stream(self) -> Any:
        """The events of the last run, with ``get_all`` and ``query``."""
        return self._theirs.event_stream if self.last is None else Events(self)

    def get_flow_log(self) -> dict[str, Any]:
        """Return the log of the last run as a dict with flow_id, events, spans, metrics and timeline."""
        if self.last is None:
            return dict(self._theirs.get_flow_log())
        try:
            log = get_flow_log(self.last).to_dict()
        except FlowNotFoundError:
            return dict(self._theirs.get_flow_log())
        events = [{**event, "node": event.get("step") or event["node"]} for event in log["events"] if event["node"] != ROOT_NODE]
        names = {event["node"] for event in events}
        return {**log, "events": events, "metrics": {**log["metrics"], "node_count": len(names), "event_count": len(events)}}


class Events:
    """The events of the last run, as the engine's stream gives them."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facade._theirs.event_stream, name)

    def get_all(self) -> list[dict[str, Any]]:
        """Return the events, oldest first."""
        return list(self._facade.get_flow_log()["events"])

    def query(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the events that pass the filters, oldest first."""
        return list(select(self.get_all(), filters or {}))
