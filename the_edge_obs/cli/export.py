"""``tea-obs export``: write a log in another format."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import ExportError
from ..event import Event
from ..files import write_atomically
from ..formats import FORMATS, PARQUET, format_of, renderer
from ..jsonl import Skipped
from ..store.paths import is_one_file, named
from ..text import counted, printable
from ._filters import add_choice, choice_of
from ._progress import Progress
from ._sources import Paths, add_log, chosen_flows, files_of, read
from ._terminal import DONE, prepare_json, say_skipped, write_json

DESCRIPTION: Final = """\
Write logs in another format. The file is written completely or not at all.
  json        the flow log as one object: events, spans, metrics, timeline;
              an array of objects for several flows
  jsonl       one event per line
  csv         one span per line, for spreadsheets
  html        a page that shows one run. If PATH is a folder, ends in /, or has no
              suffix while LOG is not one file: one page per run, and an index
  chrome      a trace for https://ui.perfetto.dev and chrome://tracing
  speedscope  profiles for https://www.speedscope.app
  otlp-json   OpenTelemetry's spans, a line per run and process, for the Collector's
              otlpjsonfile receiver
  parquet     one event per row, for DuckDB and others; needs the extra sql. If PATH is a
              folder or ends in /: new files in it, one per day (UTC), beside those of others"""
EPILOG: Final = """\
examples:
  tea-obs export logs/flow-0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11.jsonl -o run.json
  tea-obs export logs --format jsonl -o all.jsonl
  tea-obs export run.jsonl --format json -o - | jq .metrics
  tea-obs export run.jsonl --format chrome -o run.trace.json
  tea-obs export logs -o spans.csv
  tea-obs export logs/host-a logs/host-b -o all.jsonl
  tea-obs export logs --status error --since -1d -o failed.jsonl
  tea-obs export logs --last -o run.html
  tea-obs export logs --format otlp-json -o spans.jsonl
  tea-obs export run.jsonl -o run.html
  tea-obs export logs --format html -o pages/
  tea-obs export logs -o spans.parquet
  tea-obs export logs --since -1d --format parquet -o shared/
"""

_STDOUT: Final = "-"
_SLASHES: Final = tuple(filter(None, (os.sep, os.altsep)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add_choice(parser)
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the file to write; - is stdout")
    parser.add_argument("--format", choices=(*FORMATS, PARQUET), help="default: the suffix of PATH, otherwise jsonl")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    format_name, skipped = args.format or format_of(args.output), args.skipped
    wanted = chosen_flows(args.log, choice_of(args))
    if format_name == "html" and _is_folder(args.log, args.output):
        return _pages(args.log, args.output, wanted, skipped)
    if format_name == PARQUET:
        return _parquet(args.log, args.output, wanted.get("flow_id"), skipped)
    count = 0

    def events() -> Iterator[Event]:
        nonlocal count
        for event in read(args.log, skipped, in_order=format_name == "jsonl", **wanted):
            count += 1
            yield event

    text = renderer(format_name)(events(), dropped=skipped.dropped)
    if args.output == _STDOUT:
        prepare_json()
        for piece in text:
            (sys.stdout.write if format_name in ("csv", "html") else write_json)(piece)
        return DONE
    size = write_atomically(args.output, text)
    print(f"{printable(args.output)}: {counted(count, 'event')} as {format_name}, {counted(size, 'byte')}")
    return DONE


def _parquet(log: Paths, output: str, flow_ids: Sequence[str] | None, skipped: Skipped) -> int:
    from ..sql import write_days, write_parquet

    if output == _STDOUT:
        raise ExportError("a Parquet file cannot be written to stdout; give a path")
    by_day = output.endswith(_SLASHES) or os.path.isdir(output)
    written = (write_days if by_day else write_parquet)(files_of(log, skipped), output, skipped, flow_ids)
    say_skipped(named(log), skipped)
    where = output if by_day else written.files[0]
    of = f" in {counted(len(written.files), 'file')}" if by_day else ""
    print(f"{printable(where)}: {counted(written.events, 'event')} as {PARQUET}{of}, {counted(written.size, 'byte')}")
    return DONE


def _is_folder(log: Paths, output: str) -> bool:
    if output == _STDOUT or os.path.isfile(output):
        return False
    return output.endswith(_SLASHES) or os.path.isdir(output) or not (is_one_file(log) or Path(output).suffix)


def _pages(log: Paths, folder: str, wanted: Mapping[str, Any], skipped: Skipped) -> int:
    from ..pages.site import INDEX, write_site

    with Progress("pages") as progress:
        runs = write_site(log, folder, skipped, progress, **wanted)
    say_skipped(named(log), skipped)
    print(f"{printable(os.path.join(folder, INDEX))}: {counted(runs, 'run')} as pages")
    return DONE
