"""Logs of runs: read from memory and files, summarised over many runs, validated, and kept within limits."""

from typing import TYPE_CHECKING

from ..on_demand import on_demand

if TYPE_CHECKING:
    from .paths import log_files
    from .run_events import filters_of
    from .run_filters import ORDERS
    from .run_lists import list_runs, runs
    from .sources import get_flow_log, iter_query, ordered_query, query
    from .summaries import SHORT_SPAN, FlowSummary, short_flow_id

__all__ = [
    "ORDERS",
    "SHORT_SPAN",
    "FlowSummary",
    "filters_of",
    "get_flow_log",
    "iter_query",
    "list_runs",
    "log_files",
    "ordered_query",
    "query",
    "runs",
    "short_flow_id",
]

if not TYPE_CHECKING:  # a type checker that saw this would accept every name
    __getattr__, __dir__ = on_demand(
        globals(),
        {
            "paths": ("log_files",),
            "run_events": ("filters_of",),
            "run_filters": ("ORDERS",),
            "run_lists": ("list_runs", "runs"),
            "sources": ("get_flow_log", "iter_query", "ordered_query", "query"),
            "summaries": ("SHORT_SPAN", "FlowSummary", "short_flow_id"),
        },
    )
