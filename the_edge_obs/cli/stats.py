"""``tea-obs stats``: statistics of each node over many runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from ..jsonl import Skipped
from ..store.paths import named
from ..store.run_stats import RunStats, node_stats
from ..text import counted, dollars, duration_text, printable
from ._filters import add_choice, choice_of
from ._listing import table
from ._progress import Progress, followed
from ._sources import Paths, add_log, chosen_flows, files_of, has_only_tables, read
from ._terminal import DONE, add_json, say_skipped, view_for, write_objects

DESCRIPTION: Final = """\
Add up the runs of logs and folders of logs, node by node: how often each node
ran and failed, its total, median, 95th percentile and longest duration, tokens
and cost. Tokens and costs count once, where they arose. The node `flow` stands
for whole runs. The log is read once; each span takes 8 bytes of memory. Where DuckDB
is installed (extra sql), it counts large logs, with the same figures; then LOG may also
be Parquet of `tea-obs export`: files, or folders without other logs."""
EPILOG: Final = """\
examples:
  tea-obs stats logs
  tea-obs stats logs/host-a logs/host-b
  tea-obs stats logs --name triage --since -7d
  tea-obs stats shared/
  tea-obs stats logs --json | jq -r 'select(.errors > 0) | .node'
"""

_RIGHT: Final = frozenset({"count", "errors", "total", "p50", "p95", "max", "tokens", "cost"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add_choice(parser)
    add_json(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    flows_wanted = chosen_flows(args.log, choice_of(args))
    stats = _stats(args.log, args.skipped, flows_wanted)
    nodes_by_time = sorted(stats.to_dicts(), key=lambda figures: -float(figures["total_ms"]))
    if args.json:
        return write_objects(nodes_by_time)
    head = ("node", "count", "errors", "total", "p50", "p95", "max", "tokens", "cost")
    for line in table(head, [_row(figures) for figures in nodes_by_time], _RIGHT, view_for(sys.stdout)):
        print(line)
    print(f"\n{counted(stats.runs, 'run')}, {counted(stats.events, 'event')}")
    return DONE


def _stats(log: Paths, skipped: Skipped, wanted: Mapping[str, Any]) -> RunStats:
    """Return the statistics of a log; DuckDB counts those of a large log and of Parquet, with the same figures."""
    if has_only_tables(log):
        from ..sql.folders import table_stats

        return table_stats(log, wanted)
    from ..sql.figures import large_stats, pays

    noted = Skipped()
    if wanted.keys() <= {"flow_id"} and pays(files := files_of(log, noted)):
        stats = large_stats(files, noted, wanted.get("flow_id"))
        if stats is not None:
            skipped.lines, skipped.torn, skipped.first = noted.lines, noted.torn, noted.first
            skipped.failures += noted.failures
            say_skipped(named(log), skipped)
            return stats
    with Progress("events") as progress:
        return node_stats(followed(read(log, skipped, **wanted), progress))


def _row(figures: Mapping[str, Any]) -> list[str]:
    return [
        printable(figures["node"]),
        f"{figures['count']:,}",
        f"{figures['errors']:,}" if figures["errors"] else "",
        *(duration_text(figures[key]) for key in ("total_ms", "p50_ms", "p95_ms", "max_ms")),
        f"{figures['tokens']:,}" if figures["tokens"] else "",
        dollars(figures["cost_usd"]) if figures["cost_usd"] else "",
    ]
