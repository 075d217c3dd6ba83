"""``tea-obs stats``: statistics of each node over many runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from ..store.run_stats import node_stats
from ..text import counted, dollars, duration_text, printable
from ._filters import add_choice, choice_of
from ._listing import table
from ._progress import Progress, followed
from ._sources import add_log, chosen_flows, read
from ._terminal import DONE, add_json, view_for, write_objects

NAME: Final = "stats"
HELP: Final = "show statistics of each node over many runs"
DESCRIPTION: Final = """\
Add up the runs of logs and folders of logs, node by node: how often each node
ran and failed, its total, median, 95th percentile and longest duration, tokens
and cost. Tokens and costs count once, where they arose. The node `flow` stands
for whole runs. The log is read once; each span takes 8 bytes of memory."""
EPILOG: Final = """\
examples:
  tea-obs stats logs
  tea-obs stats logs/host-a logs/host-b
  tea-obs stats logs --name triage --since -7d
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
    with Progress("events") as progress:
        flows, nodes = node_stats(followed(read(args.log, args.skipped, **flows_wanted), progress))
    nodes_by_time = sorted((node.to_dict() for node in nodes), key=lambda figures: -float(figures["total_ms"]))
    if args.json:
        return write_objects(nodes_by_time)
    head = ("node", "count", "errors", "total", "p50", "p95", "max", "tokens", "cost")
    for line in table(head, [_row(figures) for figures in nodes_by_time], _RIGHT, view_for(sys.stdout)):
        print(line)
    runs = list(flows)
    print(f"\n{counted(len(runs), 'run')}, {counted(sum(run.events for run in runs), 'event')}")
    return DONE


def _row(figures: Mapping[str, Any]) -> list[str]:
    return [
        printable(figures["node"]),
        f"{figures['count']:,}",
        f"{figures['errors']:,}" if figures["errors"] else "",
        *(duration_text(figures[key]) for key in ("total_ms", "p50_ms", "p95_ms", "max_ms")),
        f"{figures['tokens']:,}" if figures["tokens"] else "",
        dollars(figures["cost_usd"]) if figures["cost_usd"] else "",
    ]
