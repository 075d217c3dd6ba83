"""Logs of runs: read from memory and files, summarised over many runs, validated, and kept within limits."""

from .run_filters import ORDERS
from .sources import get_flow_log, iter_query, ordered_query, query, runs
from .summaries import FlowSummary

__all__ = ["ORDERS", "FlowSummary", "get_flow_log", "iter_query", "ordered_query", "query", "runs"]
