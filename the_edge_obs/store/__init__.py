"""Logs of runs: read from memory and files, summarised over many runs, validated, and kept within limits."""

from .run_lists import runs
from .sources import get_flow_log, iter_query, query

__all__ = ["get_flow_log", "iter_query", "query", "runs"]
