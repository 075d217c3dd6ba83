"""Format ``json``: the flow log as one object, as ``FlowLog.to_dict`` gives it; an array of them for several flows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from ..event import Event
from ._flow_logs import flow_logs


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield the flow log, indented; an empty array if there are no events."""
    logs = [log.to_dict() for log in flow_logs(events, dropped)]
    yield json.dumps(logs[0] if len(logs) == 1 else logs, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
