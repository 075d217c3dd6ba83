"""The events of chosen runs, by filters of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..event_query import OwnSpans, WholeIds
from ..jsonl import Skipped
from .logs import log_events
from .paths import LogPaths, paths_of
from .summaries import FlowSummaries, FlowSummary


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


def _spans(log: LogPaths, runs: Sequence[FlowSummary], flow_ids: WholeIds) -> OwnSpans:
    """Return all spans of the runs. As in lists of runs, spans below no root are of the first run of their flow."""
    parents: dict[tuple[str, str], str | None] = {}
    flows = FlowSummaries()
    for event in log_events(paths_of(log), Skipped(), {"flow_id": flow_ids}):
        parents.setdefault((event["flow_id"], event["span_id"]), event["parent_id"])
        flows.add(event)
    roots: dict[str, list[str | None]] = {}  # by flow, those of its runs, the first run first
    for run in flows:
        roots.setdefault(run.flow_id, []).append(run.root)
    is_chosen = {(run.flow_id, run.root) for run in runs}
    verdicts = {(flow_id, root): (flow_id, root) in is_chosen for flow_id, own in roots.items() for root in own if len(own) > 1}
    for key in parents:
        flow_id, at = key
        path: dict[str, None] = {}
        while (flow_id, at) not in verdicts:
            path[at] = None
            above = parents.get((flow_id, at))
            if above is None or above in path:
                first = roots[flow_id][0]
                verdicts[flow_id, at] = len(roots[flow_id]) == 1 or (flow_id, first) in is_chosen
                break
            at = above
        for span_id in path:
            verdicts[flow_id, span_id] = verdicts[flow_id, at]
    return OwnSpans(key for key in parents if verdicts[key])
