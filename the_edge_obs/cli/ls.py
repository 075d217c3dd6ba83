"""``tea-obs ls``: list the runs of a folder or file."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import Final

from ..text import counted
from ._filters import add_choice, choice_of
from ._listing import runs_table
from ._progress import Progress
from ._sources import add_log, listed_runs
from ._terminal import DONE, add_json, view_for, write_objects

DESCRIPTION: Final = """\
List the runs of logs and folders of logs, oldest first: name, status, start,
duration, errors, tokens, cost, attributes and the first error; and the host, if
there are several. Requests that continue the same trace are separate runs with the
same flow id; the end of their root's span id, after a slash, tells them apart, and
--flow accepts it. Of a file whose last line has totals, only the first and the last
line are read. --last and --limit keep only so many runs in memory. Times are local;
--since accepts them. Where DuckDB is installed (extra sql), LOG may also be Parquet of
`tea-obs export`: files, or folders without other logs."""
EPILOG: Final = """\
examples:
  tea-obs ls logs
  tea-obs ls logs/host-a logs/host-b
  tea-obs ls logs --last 20
  tea-obs ls logs --status error --since -1d
  tea-obs ls logs --errors --name 'triage*' --sort -duration --limit 10
  tea-obs ls logs --attribute topic=cats
  tea-obs ls logs --host 'web-*'
  tea-obs ls logs --json | jq -r .flow_id
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add_choice(parser, order=True)
    add_json(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    with Progress("runs") as progress:
        runs = listed_runs(args.log, args.skipped, choice_of(args), progress)
    if args.json:
        return write_objects(map(dataclasses.asdict, runs))
    for line in runs_table(runs, view_for(sys.stdout)):
        print(line)
    failed, alone = sum(run.status == "error" for run in runs), sum(run.alone for run in runs)
    if runs:
        print()
    print(counted(len(runs), "run") + (f", {failed:,} failed" if failed else ""))
    if alone:
        print(f"{counted(alone, 'run')} started outside any flow, as when the context of a node was lost")
    return DONE
