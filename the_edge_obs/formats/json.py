"""Format ``json``: the flow log as one object, as ``FlowLog.to_dict`` gives it; an array of them for several flows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from ..event import Event
from ..flow_log import build_flow_log


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield the flow log, indented; of no events an empty array."""
    flows: dict[str, list[Event]] = {}
    for event in events:
        flows.setdefault(event["flow_id"], []).append(event)
    logs = [build_flow_log(events, dropped=dropped.get(flow_id, 0)).to_dict() for flow_id, events in flows.items()]
    yield json.dumps(logs[0] if len(logs) == 1 else logs, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
