"""``tea-obs errors``: the errors of many runs, grouped by their cause."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..event import Event
from ..jsonl import Skipped
from ..store.error_events import events_of_errors
from ..store.error_groups import ErrorGroup, error_groups
from ..store.summaries import SHORT_SPAN, short_flow_id
from ..text import View, clock_text, counted, fitted, printable
from ..tree.drawing import error_text
from ._filters import add_choice, choice_of
from ._progress import Progress, followed
from ._sources import Paths, add_log, chosen_flows, has_only_tables, read
from ._terminal import DONE, add_json, view_for, write_objects

DESCRIPTION: Final = """\
Group the errors of logs and folders of logs by node, type and message; numbers, ids
and quoted texts in messages make no difference. For each group: how many errors in
how many runs, the first and the last time, and of the last one the message, the place
in the code, and the run to look at. An error counts once, where it arose. Handled
errors count too. Where DuckDB is installed (extra sql), LOG may also be Parquet of
`tea-obs export`: files, or folders without other logs."""
EPILOG: Final = """\
examples:
  tea-obs errors logs
  tea-obs errors logs/host-a logs/host-b
  tea-obs errors logs --since -1d --name triage
  tea-obs errors logs --json | jq -r .flow_id
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add_choice(parser)
    add_json(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    wanted = chosen_flows(args.log, choice_of(args))
    with Progress("events") as progress:
        groups = error_groups(followed(_events(args.log, args.skipped, wanted), progress))
    if args.json:
        return write_objects(group.to_dict() for group in groups)
    for group in groups:
        for line in _lines(group, shlex.join(map(str, args.log)), view_for(sys.stdout)):
            print(line)
        print()
    print(f"{counted(sum(group.count for group in groups), 'error')}, {counted(len(groups), 'cause')}")
    return DONE


def _events(log: Paths, skipped: Skipped, wanted: Mapping[str, Any]) -> Iterator[Event]:
    if has_only_tables(log):
        from ..sql.folders import table_error_events

        return table_error_events(log, wanted)
    return events_of_errors(read(log, skipped, **wanted, event_type="error"), log, wanted)


def _run_of(group: ErrorGroup) -> str:
    root = f"/{group.root[-SHORT_SPAN:]}" if group.root else ""
    return short_flow_id(group.flow_id) + root


def _lines(group: ErrorGroup, log: str, view: View) -> Iterator[str]:
    node = printable(group.node) + (f" [{printable(group.step)}]" if group.step else "")
    number = view.paint("error", f"{group.count:,}")
    yield f"{number} in {counted(group.runs, 'run')}  {node}"
    yield fitted(f"  {error_text({'type': group.type, 'message': group.message})}", view.width, view)
    if group.where:
        yield f"  at {printable(group.where)}"
    span = f"tea-obs show {printable(log)} --flow {printable(shlex.quote(_run_of(group)))}"
    since = "" if group.first == group.last else f"{clock_text(group.first)} to "
    yield view.paint("dim", f"  {since}{clock_text(group.last)}; {span}")
