"""``tea-obs lnav``: teach lnav to read flow logs."""

from __future__ import annotations

import argparse
import shutil
from typing import Final

from ..integrations.lnav_format import install
from ..text import printable
from .terminal import DONE, say

NAME: Final = "lnav"
HELP: Final = "teach lnav (https://lnav.org) to read logs"
DESCRIPTION: Final = """\
Copy a log format to where lnav looks for formats (~/.lnav, or lnav in the
folder of configurations), once. lnav then shows the events of a log by time
and level, with node, step, duration and message, and knows which belong to
one flow. To take it away again, remove the file that is printed."""
EPILOG: Final = """\
examples:
  tea-obs lnav && lnav logs/
  lnav -n -c ';SELECT node, count(*) FROM tea_obs_log GROUP BY node' logs/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: it has none."""


def call(args: argparse.Namespace) -> int:
    """Carry the command out."""
    path, deed = install()
    print(f"{printable(str(path))}: {deed}")
    if shutil.which("lnav") is None:
        say("note: lnav itself is not on PATH; https://lnav.org/downloads tells how to get it")
    return DONE
