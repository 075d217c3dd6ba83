"""``tea-obs clean``: keep folders of logs within limits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from ..errors import ConfigurationError, LogFileError
from ..store.retention import Deed, Limits, age_of, bytes_of, clean
from ..text import counted, printable
from ._terminal import BAD, DONE, say, say_skipped

DESCRIPTION: Final = """\
Keep folders of logs within limits, each for itself: remove old logs, compress
finished ones, and remove the oldest until the rest is small enough. Only .jsonl and
.jsonl.gz files whose first line is an event are touched, directly in a folder that is
named: unlike other commands, clean does not enter sub-folders, which may hold what is
to be kept. Name each of them. Links are not followed. A log that may be in use is left alone: for a minute after its last
write, or for a day if a flow in it has not ended."""
EPILOG: Final = """\
examples:
  tea-obs clean logs --older-than 30d --gzip
  tea-obs clean logs --max-size 1GB --dry-run
  tea-obs clean logs/host-a logs/host-b --older-than 30d   # each sub-folder by its name
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a folder of logs, without its sub-folders")
    parser.add_argument(
        "--older-than", metavar="AGE", help="remove logs that were last written longer ago than this: 90m, 12h, 30d, 4w"
    )
    parser.add_argument(
        "--max-size", metavar="SIZE", help="remove the oldest logs until the rest is at most this large: 500MB, 1GB, 64MiB"
    )
    parser.add_argument("--gzip", action="store_true", help="compress logs whose flows have all ended")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")


def _outcomes(args: argparse.Namespace, limits: Limits) -> Iterator[Deed]:
    """Yield what was done in each folder. A folder that cannot be read is recorded, so that the others are cleaned."""
    for folder in dict.fromkeys(args.folders):
        try:
            yield from clean(folder, limits, dry_run=args.dry_run)
        except LogFileError as error:
            if len(args.folders) == 1:
                raise
            args.skipped.note_failure(str(error))


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.older_than is None and args.max_size is None and not args.gzip:
        raise ConfigurationError("clean: there is nothing to do; give --older-than, --max-size or --gzip")
    limits = Limits(
        None if args.older_than is None else age_of(args.older_than),
        None if args.max_size is None else bytes_of(args.max_size),
        args.gzip,
    )
    counts = dict.fromkeys(("removed", "compressed", "kept", "failed"), 0)
    before = after = 0
    for outcome in _outcomes(args, limits):
        counts[outcome.action] += 1
        before, after = before + outcome.before, after + outcome.after
        path, reason = printable(str(outcome.path)), f" ({outcome.reason})" if outcome.reason else ""
        if outcome.action == "failed":
            say(f"error: {path}: {outcome.reason}")
        elif outcome.action != "kept" or outcome.reason:
            verb = f"would be {outcome.action}" if args.dry_run and outcome.action != "kept" else outcome.action
            sizes = f"{outcome.before:,} bytes"
            if outcome.action == "compressed":
                sizes = f"{outcome.before:,} -> {outcome.after:,} bytes"
            print(f"{path}: {verb}, {sizes}{reason}")
    summary = ", ".join(f"{counts[name]} {name}" for name in counts if counts[name] or name != "failed")
    would = "would be: " if args.dry_run else ""
    print(f"{would}{summary}; {counted(sum(counts.values()), 'log')}, {before:,} -> {after:,} bytes")
    say_skipped(", ".join(args.folders), args.skipped)
    return BAD if counts["failed"] else DONE
