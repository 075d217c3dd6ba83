"""The flow logs of an export, for formats that show whole flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..event import ROOT_NODE, Event
from ..flow_log import FlowLog, build_flow_log, known_outcome


def flow_logs(events: Iterable[Event], dropped: Mapping[str, int]) -> list[FlowLog]:
    """Return the flow log of each flow among the events, in the order in which the flows first appear."""
    flows: dict[str, list[Event]] = {}
    for event in events:
        flows.setdefault(event["flow_id"], []).append(event)
    return [build_flow_log(own, dropped=dropped.get(flow_id, 0), known=known_outcome(flow_id)) for flow_id, own in flows.items()]


def by_start(events: Iterable[Event], dropped: Mapping[str, int]) -> list[FlowLog]:
    """Return the flow logs in the order of their earliest events."""
    return sorted(flow_logs(events, dropped), key=lambda log: log.events[0]["timestamp"])


def title(log: FlowLog) -> str:
    """Return a title that tells a flow from others: its name, and the beginning of its id."""
    return f"{log.name or ROOT_NODE} {log.flow_id[:8]}"


def marked(status: str, label: str) -> str:
    """Return the label of a span, with its status if that is not ok; the mark of an error comes first, as labels may be cut."""
    if status == "error":
        return f"✗ {label}"
    return label if status == "ok" else f"{label} ({status})"
