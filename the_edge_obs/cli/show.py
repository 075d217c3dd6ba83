"""``tea-obs show``: show a run as a tree, or list the runs of a folder."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from ..flow_log import build_flow_log
from ..jsonl import Skipped
from ..text import clock_text, counted, printable
from ..tree.drawing import render
from ._listing import runs_table
from ._sources import add_log, flow_events
from ._terminal import DONE, add_ascii, view_for

NAME: Final = "show"
HELP: Final = "show a run as a tree, or list the runs of a folder"
DESCRIPTION: Final = """\
Show a run as a tree: each node with its step, duration, tokens and status, the
messages of errors, and totals. A log of several runs is shown as a list of runs;
choose one with --flow."""
EPILOG: Final = """\
examples:
  tea-obs show logs/flow-0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11.jsonl
  tea-obs show logs                    # the run, or a list of runs
  tea-obs show logs --flow 0b5e        # the beginning of an id is enough
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    parser.add_argument("--flow", metavar="ID", help="the run to show: its flow_id, or the beginning of it")
    parser.add_argument("--all", action="store_true", help="show every span; by default, long loops are folded")
    add_ascii(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    skipped = Skipped()
    flows, events = flow_events(args.log, skipped, args.flow)
    if flows.flow_count > 1:
        runs = sorted(flows, key=lambda run: run.start)
        print(f"{counted(len(runs), 'run')} in {printable(repr(str(args.log)))}; choose one with --flow ID\n")
        for line in runs_table(runs, view_for(sys.stdout, ascii_only=args.ascii)):
            print(line)
        return DONE
    log = build_flow_log(events, dropped=skipped.dropped.get(events[0]["flow_id"], 0))
    print(f"flow {printable(log.flow_id)}, started {clock_text(log.events[0]['timestamp'])}\n")
    for line in render(log, view_for(sys.stdout, fold=not args.all, ascii_only=args.ascii)):
        print(line)
    return DONE
