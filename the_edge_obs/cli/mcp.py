"""``tea-obs mcp``: let a coding agent read a folder of logs."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from ..errors import LogFileError
from ._terminal import DONE

DESCRIPTION: Final = """\
Serve the Model Context Protocol on stdin and stdout, so that a coding agent can read
the logs of a folder: list runs, show one, look at a span, query events, group errors,
compare runs, statistics. Nothing is written, and nothing outside the folder is read.
A client starts this command itself; its configuration has, for example:
  {"mcpServers": {"runs": {"command": "tea-obs", "args": ["mcp", "logs"]}}}"""
EPILOG: Final = """\
examples:
  tea-obs mcp logs
  tea-obs mcp logs/host-a logs/host-b
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "folders", metavar="LOGDIR", type=Path, nargs="+", help="a folder of logs with its sub-folders; it need not have any yet"
    )


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..integrations.mcp import serve

    for folder in args.folders:
        if not folder.is_dir():
            raise LogFileError(f"{str(folder)!r} is not a folder; give the folder that runs write their logs to")
    out = sys.stdout
    with redirect_stdout(sys.stderr):  # stdout belongs to the protocol
        serve(args.folders, sys.stdin, out)
    return DONE
