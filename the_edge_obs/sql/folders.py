"""Runs, statistics and errors of Parquet files, by the views of ``views.sql``. Events are in the order of time there."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..event import Event, Total
from ..event_query import flow_ids
from ..jsonl import Skipped
from ..store.paths import LogPaths
from ..store.run_stats import RunStats
from ..store.summaries import FlowSummary
from .duck import listed
from .query import SqlLog, opened

_RUNS: Final = """
SELECT flow_id, name, status, first_seen, last_seen, duration_ms, events, errors, tokens, cost_usd, alone, attributes,
    error_type, error_message, host, root, count(*) OVER (PARTITION BY flow_id) > 1
FROM all_runs ORDER BY first_seen, flow_id, root"""
_COUNTS: Final = "SELECT count(*), coalesce(sum(events), 0)::BIGINT FROM runs WHERE {}"
_IDS: Final = "SELECT DISTINCT flow_id FROM stored"
_NODES: Final = """
SELECT node, count(*), count(*) FILTER (status = 'error'), list(duration_ms) FILTER (duration_ms IS NOT NULL),
    list(tokens) FILTER (tokens IS NOT NULL), list(cost_usd) FILTER (cost_usd IS NOT NULL)
FROM spans WHERE {} GROUP BY node"""
_OF_ERRORS: Final = """
SELECT flow_id, span_id, parent_id, node, level, "timestamp", event_type, message, data, metrics, step
FROM stored SEMI JOIN (SELECT flow_id, span_id FROM stored WHERE event_type = 'error' AND {}) USING (flow_id, span_id)
ORDER BY "timestamp", seq"""


def table_runs(path: LogPaths) -> list[FlowSummary]:
    """Return the runs of Parquet files, and of those in folders and sub-folders, ordered by start.

    Raises:
        MissingExtraError: DuckDB is not installed.
        LogFileError: The files cannot be read, or are not exports of events.
    """
    with opened(path, Skipped()) as log:
        return [_run(row) for row in log.query(_RUNS).rows]


def _run(row: Sequence[Any]) -> FlowSummary:
    *known, attributes, error_type, error_message, host, root, shares_flow = row
    flow_id, name, status, start, end, duration, events, errors, tokens, cost, alone = known
    error = None if error_type is None else {"type": error_type, "message": error_message or ""}
    given = json.loads(attributes)
    return FlowSummary(
        *(flow_id, name, status, start, end, duration, events, errors, _whole(tokens), cost, alone, given, error),
        root=root,
        shares_flow=shares_flow,
        resource=None if host is None else {"host": host},
    )


def table_stats(path: LogPaths, filters: Mapping[str, Any]) -> RunStats:
    """Return the statistics of nodes of Parquet files.

    Args:
        path: As in ``table_runs``.
        filters: ``flow_id``, the beginnings of the ids of flows, or nothing for all.

    Raises:
        MissingExtraError, LogFileError: As ``table_runs``.
    """
    stats = RunStats()
    with opened(path, Skipped()) as log:
        ((stats.runs, stats.events),) = log.query(_COUNTS.format(_of(log, filters))).rows
        for name, count, errors, durations, tokens, costs in log.query(_NODES.format(_of(log, filters))).rows:
            node = stats.of(name)
            node.count, node.errors, node.durations = count, errors, array("d", durations or ())
            _add(node.tokens, map(_whole, tokens or ()))
            _add(node.cost_usd, costs or ())
    return stats


def _add(total: Total, values: Any) -> None:
    for value in values:
        total.add(value)


def _whole(number: float) -> float:
    """Return a number without a fraction as an integer: the tables have floats alone."""
    return int(number) if number.is_integer() else number


def table_error_events(path: LogPaths, filters: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of spans with errors, ordered by time; see ``store.error_events.events_of_errors``.

    Args:
        path, filters: As in ``table_stats``.

    Raises:
        MissingExtraError, LogFileError: As ``table_runs``.
    """
    with opened(path, Skipped()) as log:
        found = log.query(_OF_ERRORS.format(_of(log, filters)))
        for row in found.rows:
            event = dict(zip(found.columns, row, strict=True))
            event["data"], event["metrics"] = json.loads(event["data"]), json.loads(event["metrics"])
            if event["step"] is None:
                del event["step"]
            yield event


def _of(log: SqlLog, filters: Mapping[str, Any]) -> str:
    """Return the condition that a flow id is one of those that the filters choose."""
    wanted = filters.get("flow_id")
    if wanted is None:
        return "true"
    # DuckDB makes other small letters of some than Python.
    is_wanted = flow_ids("flow_id", wanted)
    return f"list_contains({listed([flow_id for (flow_id,) in log.query(_IDS).rows if is_wanted(flow_id)])}, flow_id)"
