"""What questions over many runs cost: statistics of nodes and errors by cause, by our own reader and by DuckDB."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from the_edge_obs.jsonl import Skipped
from the_edge_obs.sql import opened, write_parquet
from the_edge_obs.sql.figures import large_stats
from the_edge_obs.sql.folders import table_error_events, table_stats
from the_edge_obs.store.error_events import events_of_errors
from the_edge_obs.store.error_groups import error_groups
from the_edge_obs.store.run_stats import node_stats
from the_edge_obs.store.sources import iter_query

from .reading import LOADS, write_log
from .rounds import Plan, Row, interleaved, rows_of

SQL = "statistics of nodes"
OWN, LARGE, TABLE = "own reader", "DuckDB over JSONL", "DuckDB over Parquet"
LINES, PARQUET, EXPORT = "tea-obs sql over JSONL", "tea-obs sql over Parquet", "export to Parquet"
ERRORS = "errors by cause"
_QUERY = "SELECT node, count(*), count(*) FILTER (status = 'error'), max(duration_ms) FROM spans GROUP BY node ORDER BY node"


def tables(plan: Plan, names: list[str]) -> list[Row]:
    """Measure statistics of each node over a file of many lines, in seconds. Without DuckDB, its rows are left out."""
    if find_spec("duckdb") is None:
        return []
    with TemporaryDirectory() as folder:
        path, table = Path(folder, "large.jsonl"), Path(folder, "large.parquet")
        write_log(path, plan.lines)
        write_parquet([path], str(table), Skipped())
        answers: dict[str, Any] = {}
        samplers: dict[str, Callable[[], float]] = {
            OWN: partial(_timed, answers, OWN, lambda: node_stats(iter_query(path)).to_dicts()),
            LARGE: partial(_timed, answers, LARGE, partial(_large, path)),
            TABLE: partial(_timed, answers, TABLE, lambda: table_stats(table, {}).to_dicts()),
            LINES: partial(_timed, answers, LINES, partial(_sql, path)),
            PARQUET: partial(_timed, answers, PARQUET, partial(_sql, table)),
            EXPORT: partial(_timed, answers, EXPORT, lambda: write_parquet([path], str(table), Skipped()).events),
            LOADS: partial(_timed, answers, LOADS, partial(_loads, path)),
        }
        samples = interleaved(3, samplers, warm=False)
        assert answers[OWN] == answers[LARGE] == answers[TABLE], "the statistics differ"
        shown = [(one["node"], one["count"], one["errors"], one["max_ms"]) for one in answers[OWN]]
        assert shown == answers[LINES] == answers[PARQUET], "the statistics in SQL differ"
        assert answers[EXPORT] == answers[LOADS] == plan.lines, "events are missing"
        return [*rows_of(SQL, samples, "s"), *_errors(path, table)]


def _errors(path: Path, table: Path) -> list[Row]:
    """Measure errors by cause, beside reading every line."""
    answers: dict[str, Any] = {}
    errors = partial(iter_query, path, event_type="error")
    samplers: dict[str, Callable[[], float]] = {
        OWN: partial(_timed, answers, OWN, lambda: error_groups(events_of_errors(errors(), [path], {}))),
        TABLE: partial(_timed, answers, TABLE, lambda: error_groups(table_error_events(table, {}))),
        LOADS: partial(_timed, answers, LOADS, partial(_loads, path)),
    }
    samples = interleaved(3, samplers, warm=False)
    assert answers[OWN] == answers[TABLE] != [], "the errors differ"
    return rows_of(ERRORS, samples, "s")


def _timed(answers: dict[str, Any], name: str, run: Callable[[], Any]) -> float:
    start = time.perf_counter_ns()
    answers[name] = run()
    return (time.perf_counter_ns() - start) / 1e9


def _large(path: Path) -> list[dict[str, Any]]:
    stats = large_stats([path], Skipped())
    assert stats is not None, "DuckDB cannot read the log"
    return stats.to_dicts()


def _sql(path: Path) -> list[tuple[Any, ...]]:
    with opened(path, Skipped()) as log:
        return list(log.query(_QUERY).rows)


def _loads(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in map(json.loads, file))
