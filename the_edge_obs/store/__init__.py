"""Where the events of runs are kept, and what is known of many runs: sources, summaries, figures, checks and retention."""

from .sources import get_flow_log, iter_query, query, runs

__all__ = ["get_flow_log", "iter_query", "query", "runs"]
