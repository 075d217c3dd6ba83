"""The events of chosen runs, by filters of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..event_query import WholeIds
from ..jsonl import Skipped
from .logs import log_events
from .paths import LogPaths, paths_of
from .summaries import FlowSummary


def filters_of(log: LogPaths, runs: Sequence[FlowSummary]) -> dict[str, Any]:
    """Return the filters of ``query`` that leave the events of some runs.

    Flow ids tell runs apart, unless several share one, as requests that continue one foreign trace do. Then the log is read for
    the spans of the chosen ones.

    Args:
        log: The log in which the runs are.
        runs: The chosen runs.
    """
    filters: dict[str, Any] = {"flow_id": WholeIds(run.flow_id for run in runs)}
    if any(run.shares_flow for run in runs):
        filters["span_id"] = _spans(log, runs, filters["flow_id"])
    return filters


def _spans(log: LogPaths, runs: Sequence[FlowSummary], flow_ids: WholeIds) -> list[str]:
    """Return the ids of all spans of the runs."""
    parents: dict[tuple[str, str], str | None] = {}
    for event in log_events(paths_of(log), Skipped(), {"flow_id": flow_ids}):
        parents.setdefault((event["flow_id"], event["span_id"]), event["parent_id"])
    is_chosen = {(run.flow_id, run.root if run.shares_flow else None) for run in runs}
    verdicts: dict[tuple[str, str], bool] = {}
    for key in parents:
        flow_id, at = key
        path = []
        while (flow_id, at) not in verdicts:
            path.append(at)
            verdicts[flow_id, at] = (flow_id, None) in is_chosen or (flow_id, at) in is_chosen
            above = parents.get((flow_id, at))
            if verdicts[flow_id, at] or above is None:
                break
            at = above
        for span_id in path:
            verdicts[flow_id, span_id] = verdicts[flow_id, at]
    return [span_id for flow_id, span_id in parents if verdicts[flow_id, span_id]]
