"""``tea-obs show``: show a run as a tree, or list the runs of logs."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from ..flow_log import build_flow_log
from ..store.paths import named
from ..store.run_filters import choose
from ..text import clock_text, counted, printable
from ..tree.clocks import drawn
from ..tree.drawing import render
from ._filters import add_choice, choice_of
from ._listing import runs_table
from ._sources import add_log, chosen_flows, flow_events, log_or_latest
from ._terminal import DONE, add_ascii, view_for

DESCRIPTION: Final = """\
Show a run as a tree: each node with its step, duration, tokens and status, the
messages of errors, and totals. If several runs are chosen, they are listed.
Without LOG, the latest run in the folder logs is shown."""
EPILOG: Final = """\
examples:
  tea-obs show logs/flow-0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11.jsonl
  tea-obs show logs                    # the run, or a list of runs
  tea-obs show                         # the latest run in the folder logs
  tea-obs show logs --flow 0b5e        # the beginning of an id is enough
  tea-obs show logs/host-a logs/host-b --flow 0b5e
  tea-obs show logs --flow 0b5e7a52/c21f3e9a7d04   # one of several runs of a trace, as ls names it
  tea-obs show logs --last             # the latest run
  tea-obs show logs --status error --name triage --last
  tea-obs show logs --last --input --traceback
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser, optional=True)
    add_choice(parser)
    parser.add_argument("--input", action="store_true", help="show the input and the output of each span, as JSON")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of each error, if the log has it")
    parser.add_argument("--all", action="store_true", help="show every span; by default, long loops are folded")
    add_ascii(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    args.log, choice = log_or_latest(args.log, choice_of(args))
    flows, events = flow_events(args.log, args.skipped, chosen_flows(args.log, choice))
    if flows.flow_count > 1:
        runs = choose(flows, choice)
        print(f"{counted(len(runs), 'run')} in {printable(named(args.log))}; choose one with --flow ID or --last\n")
        for line in runs_table(runs, view_for(sys.stdout, ascii_only=args.ascii)):
            print(line)
        return DONE
    log = drawn(build_flow_log(events, dropped=args.skipped.dropped.get(events[0]["flow_id"], 0)))
    print(f"flow {printable(log.flow_id)}, started {clock_text(log.events[0]['timestamp'])}\n")
    view = view_for(sys.stdout, fold=not args.all, ascii_only=args.ascii)
    for line in render(log, view, payloads=args.input, tracebacks=args.traceback):
        print(line)
    return DONE
