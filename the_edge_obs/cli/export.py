"""``tea-obs export``: write a log in another format."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..event import Event
from ..files import write_atomically
from ..formats import FORMATS, format_of, renderer
from ..jsonl import Skipped
from ..text import counted, printable
from ._filters import add_choice, choice_of
from ._progress import Progress
from ._sources import add_log, chosen_flows, read
from ._terminal import DONE, prepare_json, say_skipped, write_json

NAME: Final = "export"
HELP: Final = "write a log in another format"
DESCRIPTION: Final = """\
Write a log in another format. The file is written completely or not at all.
  json        the flow log as one object: events, spans, metrics, timeline;
              an array of objects for several flows
  jsonl       one event per line
  csv         one span per line, for spreadsheets
  html        a page that shows one run. If PATH is a folder, ends in /, or has no
              suffix while LOG is a folder: one page per run, and an index
  chrome      a trace for https://ui.perfetto.dev and chrome://tracing
  speedscope  profiles for https://www.speedscope.app
  otlp-json   OpenTelemetry's spans, a line per run, for the Collector's otlpjsonfile receiver"""
EPILOG: Final = """\
examples:
  tea-obs export logs/flow-0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11.jsonl -o run.json
  tea-obs export logs --format jsonl -o all.jsonl
  tea-obs export run.jsonl --format json -o - | jq .metrics
  tea-obs export run.jsonl --format chrome -o run.trace.json
  tea-obs export logs -o spans.csv
  tea-obs export logs --status error --since -1d -o failed.jsonl
  tea-obs export logs --last -o run.html
  tea-obs export logs --format otlp-json -o spans.jsonl
  tea-obs export run.jsonl -o run.html
  tea-obs export logs --format html -o pages/
"""

_STDOUT: Final = "-"
_SLASHES: Final = tuple(filter(None, (os.sep, os.altsep)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add_choice(parser)
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the file to write; - is stdout")
    parser.add_argument("--format", choices=FORMATS, help="default: the suffix of PATH, otherwise jsonl")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    format_name = args.format or format_of(args.output)
    wanted = chosen_flows(args.log, choice_of(args))
    if format_name == "html" and _is_folder(args.log, args.output):
        return _pages(args.log, args.output, wanted)
    count, skipped = 0, Skipped()

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


def _is_folder(log: Path, output: str) -> bool:
    if output == _STDOUT or os.path.isfile(output):
        return False
    return output.endswith(_SLASHES) or os.path.isdir(output) or (log.is_dir() and not Path(output).suffix)


def _pages(log: Path, folder: str, wanted: Mapping[str, Any]) -> int:
    from ..pages.site import INDEX, write_site

    skipped = Skipped()
    with Progress("pages") as progress:
        runs = write_site(log, folder, skipped, progress, **wanted)
    say_skipped(str(log), skipped)
    print(f"{printable(os.path.join(folder, INDEX))}: {counted(runs, 'run')} as pages")
    return DONE
