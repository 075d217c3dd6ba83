"""``tea-obs clean``: a folder of logs within limits."""

from __future__ import annotations

import argparse
from typing import Final

from ..errors import ConfigurationError
from ..store.retention import Limits, age_of, bytes_of, clean
from ..text import counted, printable
from .terminal import BAD, DONE, say

NAME: Final = "clean"
HELP: Final = "remove or compress old logs of a folder"
DESCRIPTION: Final = """\
Bring a folder of logs within limits: remove old ones, compress finished ones,
remove the oldest until the rest is small enough. Only .jsonl and .jsonl.gz
files right in the folder are touched whose first line is an event; links are
not followed. A log is left alone while it is in use: for a minute after its
last write, and for a day while a flow in it has not ended."""
EPILOG: Final = """\
examples:
  tea-obs clean logs --older-than 30d --gzip
  tea-obs clean logs --max-size 1GB --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", metavar="DIR", help="a folder of logs; sub-folders are not entered")
    parser.add_argument("--older-than", metavar="AGE", help="remove logs last written longer ago: 90m, 12h, 30d, 4w")
    parser.add_argument("--max-size", metavar="SIZE", help="remove the oldest until the rest has at most: 500MB, 1GB, 64MiB")
    parser.add_argument("--gzip", action="store_true", help="compress logs whose flows have all ended")
    parser.add_argument("--dry-run", action="store_true", help="do nothing, and print what would be done")


def call(args: argparse.Namespace) -> int:
    """Carry the command out."""
    if args.older_than is None and args.max_size is None and not args.gzip:
        raise ConfigurationError("clean: there is nothing to do; give --older-than, --max-size or --gzip")
    limits = Limits(
        None if args.older_than is None else age_of(args.older_than),
        None if args.max_size is None else bytes_of(args.max_size),
        args.gzip,
    )
    counts = dict.fromkeys(("removed", "compressed", "kept", "failed"), 0)
    before = after = 0
    for deed in clean(args.folder, limits, dry_run=args.dry_run):
        counts[deed.action] += 1
        before, after = before + deed.before, after + deed.after
        path, reason = printable(str(deed.path)), f" ({deed.reason})" if deed.reason else ""
        if deed.action == "failed":
            say(f"error: {path}: {deed.reason}")
        elif deed.action != "kept" or deed.reason:
            verb = f"would be {deed.action}" if args.dry_run and deed.action != "kept" else deed.action
            sizes = f"{deed.before:,} -> {deed.after:,} bytes" if deed.action == "compressed" else f"{deed.before:,} bytes"
            print(f"{path}: {verb}, {sizes}{reason}")
    summary = ", ".join(f"{counts[name]} {name}" for name in counts if counts[name] or name != "failed")
    would = "would be: " if args.dry_run else ""
    print(f"{would}{summary}; {counted(sum(counts.values()), 'log')}, {before:,} -> {after:,} bytes")
    return BAD if counts["failed"] else DONE
