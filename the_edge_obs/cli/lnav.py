"""``tea-obs lnav``: install the log format for lnav."""

from __future__ import annotations

import argparse
import shutil
from typing import Final

from ..integrations.lnav_format import install
from ..text import printable
from ._terminal import DONE, say

DESCRIPTION: Final = """\
Copy the log format to the folder where lnav looks for formats: ~/.lnav, or lnav
in the configuration folder. Once is enough. lnav then shows the events of a log
with time, level, node, step, duration and message, and groups them by flow. To
uninstall, remove the file that is printed."""
EPILOG: Final = """\
examples:
  tea-obs lnav && lnav logs/
  lnav -n -c ';SELECT node, count(*) FROM tea_obs_log GROUP BY node' logs/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: the command takes none."""


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    path, result = install()
    print(f"{printable(str(path))}: {result}")
    if shutil.which("lnav") is None:
        say("note: lnav itself is not on PATH; see https://lnav.org/downloads")
    return DONE
