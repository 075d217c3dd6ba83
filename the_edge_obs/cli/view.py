"""``tea-obs view``: open a run, or all runs of a folder, in the browser."""

from __future__ import annotations

import argparse
import tempfile
import webbrowser
from pathlib import Path
from typing import Final

from ..files import write_atomically
from ..flow_log import build_flow_log
from ..jsonl import Skipped
from ..text import printable
from ._filters import add_choice, choice_of
from ._progress import Progress
from ._sources import add_log, chosen_flows, flow_events, log_or_latest
from ._terminal import DONE, say

DESCRIPTION: Final = """\
Open a run in the browser, as the page that `tea-obs export -o run.html` writes. If
several runs are chosen, open an index of them. The pages are in a temporary folder,
whose path is printed. They need no server and no network. Without LOG, the latest run
in the folder logs is opened."""
EPILOG: Final = """\
examples:
  tea-obs view                         # the latest run in the folder logs
  tea-obs view logs --last
  tea-obs view logs/host-a logs/host-b
  tea-obs view logs --status error     # an index of the failed runs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser, optional=True)
    add_choice(parser)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..pages import run_page
    from ..pages.site import INDEX, write_site

    args.log, choice = log_or_latest(args.log, choice_of(args))
    wanted = chosen_flows(args.log, choice)
    flows, events = flow_events(args.log, args.skipped, wanted)
    folder = Path(tempfile.mkdtemp(prefix="tea-obs-"))
    if flows.flow_count == 1:
        page = folder / "run.html"
        write_atomically(page, run_page(build_flow_log(events, dropped=args.skipped.dropped.get(events[0]["flow_id"], 0))))
    else:
        page = folder / INDEX
        with Progress("pages") as progress:
            write_site(args.log, folder, Skipped(), progress, **wanted)
    print(printable(str(page)))
    if not webbrowser.open(page.as_uri()):
        say("no browser could be opened; open the page yourself")
    return DONE
