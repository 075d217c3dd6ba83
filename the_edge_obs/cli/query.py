"""``tea-obs query``: print the events of a log that match filters."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from ..event import EVENT_TYPES, LEVELS
from ..handlers.formatters import ConsoleFormatter
from ..jsonl import lines_of
from ..recording.records import record_of_item
from ..text import uses_colour
from ._sources import add_log, read
from ._terminal import DONE, prepare_json, write_json

NAME: Final = "query"
HELP: Final = "print the events of a log that match filters"
DESCRIPTION: Final = """\
Print the events of a log that match all filters, in the order of the log, one
JSON object per line. A filter marked * can be repeated; one of its values has to
match."""
EPILOG: Final = """\
examples:
  tea-obs query logs --node 'llm.*' --level error
  tea-obs query run.jsonl --event-type exit --step summarize | jq .metrics
  tea-obs query logs --since -5m --min-level warn --format console
"""

_FILTERS: Final = ("node", "step", "level", "min_level", "event_type", "start_time", "end_time", "span_id", "text", "limit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    levels = ", ".join(LEVELS)
    add = parser.add_argument_group("filters").add_argument
    add("--node", metavar="GLOB", action="append", help="* the node, such as llm.call or 'llm.*'")
    add("--step", metavar="GLOB", action="append", help="* the step: the name that a YAML flow gives a node")
    add("--level", metavar="LEVEL", help=f"exactly this level: {levels}")
    add("--min-level", metavar="LEVEL", help="this level or a more severe one")
    add("--event-type", metavar="TYPE", action="append", help=f"* {', '.join(EVENT_TYPES)}")
    when = "Unix seconds, ISO 8601 (local time without a zone), or relative to now: -30s, -5m, -2h, -1d, -2w"
    add("--since", "--start-time", dest="start_time", metavar="TIME", help=f"not before: {when}")
    add("--until", "--end-time", dest="end_time", metavar="TIME", help="not after; as --since")
    add("--span-id", metavar="ID", action="append", help="* the span")
    add("--text", metavar="TEXT", help="text anywhere in the message or data; case is ignored")
    add("--limit", metavar="N", type=int, help="print the first N matching events")
    parser.add_argument(
        "--format",
        choices=("jsonl", "console"),
        default="jsonl",
        help="jsonl: the events as they are (default); console: one readable line per event",
    )


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    events = read(args.log, **{name: getattr(args, name) for name in _FILTERS})
    if args.format == "jsonl":
        prepare_json()
        for line in lines_of(events):
            write_json(line)
        return DONE
    formatter = ConsoleFormatter(colour=uses_colour(sys.stdout))
    for event in events:
        print(formatter.format(record_of_item(event)))
    return DONE
