"""Logs of runs: read from memory and files, summarised over many runs, validated, and kept within limits."""

from .paths import log_files
from .run_events import filters_of
from .run_filters import ORDERS
from .run_lists import runs
from .sources import get_flow_log, iter_query, ordered_query, query
from .summaries import SHORT_SPAN, FlowSummary

__all__ = [
    "ORDERS",
    "SHORT_SPAN",
    "FlowSummary",
    "filters_of",
    "get_flow_log",
    "iter_query",
    "log_files",
    "ordered_query",
    "query",
    "runs",
]
