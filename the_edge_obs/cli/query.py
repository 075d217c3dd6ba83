"""``tea-obs query``: print the events of a log that match filters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from ..event import Event
from ..event_query import OwnSpans, matches
from ..handlers.formatters import ConsoleFormatter
from ..jsonl import lines_of
from ..recording.records import record_of_item
from ..store.paths import is_one_file
from ..text import uses_colour
from ._filters import add_choice, add_events, choice_of, events_of
from ._progress import Progress
from ._sources import add_log, chosen_flows, read, short_flow
from ._terminal import DONE, prepare_json, write_json

DESCRIPTION: Final = """\
Print the events of logs that match all filters, one JSON object per line. Those of
several files, or of a folder, are in the order of their times, whichever run they are
of. A filter marked * can be repeated; one of its values has to match."""
EPILOG: Final = """\
examples:
  tea-obs query logs --node 'llm.*' --level error
  tea-obs query logs/host-a logs/host-b --level error
  tea-obs query run.jsonl --event-type exit --step summarize | jq .metrics
  tea-obs query logs --since -5m --min-level warn --format console
  tea-obs query logs --level error --last 10 --format console   # the last ten errors
  tea-obs query logs --flow 0b5e --event-type exit
  tea-obs query logs --name triage --status error --node 'llm.*'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add = add_events(parser)
    add("--limit", metavar="N", type=int, help="print the first N matching events")
    add("--last", metavar="N", type=int, help="print the last N matching events; N is 1 if it is left out")
    add_choice(parser, period=False, last=False)
    parser.add_argument(
        "--format",
        choices=("jsonl", "console"),
        default="jsonl",
        help="jsonl: the events as they are (default); console: one readable line per event",
    )


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    filters = {**events_of(args), "limit": args.limit, "last": args.last}
    matches(filters)  # report a mistake before reading
    wanted = chosen_flows(args.log, choice_of(args, period=False))
    if args.span_id and "span_id" in wanted:
        wanted["span_id"] = OwnSpans(span for span in wanted["span_id"] if span[1] in args.span_id)
    with Progress("files") as progress:  # it is done before the first event comes
        _print(read(args.log, args.skipped, in_order=True, progress=progress, **{**filters, **wanted}), args)
    return DONE


def _print(events: Iterator[Event], args: argparse.Namespace) -> None:
    if args.format == "jsonl":
        prepare_json()
        for line in lines_of(events):
            write_json(line)
        return
    formatter = ConsoleFormatter(colour=uses_colour(sys.stdout), date=True)
    for event in events:
        flow = "" if is_one_file(args.log) else short_flow(event)
        print(flow + formatter.format(record_of_item(event)))
