"""``tea-obs diff``: compare two runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..comparison import FlowDiff, check_fail_on, diff, partly_logged, render, summary
from ..errors import LogFileError
from ..files import write_atomically
from ..flow_log import FlowLog, build_flow_log
from ..jsonl import Skipped
from ..store.run_events import filters_of
from ..text import View, counted, printable
from ._filters import add_choice, choice_of
from ._sources import LOG_HELP, chosen_flows, chosen_runs, flow_events
from ._terminal import DONE, FAILED, UNPROVED, add_ascii, prepare_json, say, view_for, write_json

DESCRIPTION: Final = """\
Compare two runs, span by span. Spans are aligned by step and node, from the root
down. The result shows spans that were added (+), removed (-), moved (>) or changed
(~) in status, error, input, output, metrics, tokens or cost, with the old and the
new value. Ids, times and the order of parallel spans are ignored. A duration is
shown if it changed by at least 20% and 10 ms. Without B, the two latest runs of A
that are chosen are compared, the older one as the old run."""
EPILOG: Final = """\
examples:
  tea-obs diff before.jsonl after.jsonl
  tea-obs diff logs logs --flow-a 0b5e --flow-b 7c1f    # two runs of one folder
  tea-obs diff logs --name triage                       # its two latest runs
  tea-obs diff before.jsonl after.jsonl -o diff.html    # a page for the browser
  tea-obs diff golden.json run.jsonl --fail-on status,output,duration=+20%

--fail-on takes one or more of these, separated by commas:
  status, error, input, output, metrics   it changed in any span
  nodes                                   a span was added, removed, moved, or has another node
  duration=+20%, duration=+50ms           the run took longer by more than this
  tokens=+10%, cost=+5%, cost=+0.01       the run used more by more than this

exit codes: 0 no difference that --fail-on names, 1 such a difference, 2 bad usage or
input, 3 no such difference, but an input, output or error that it names was cut when
it was logged, and the part that was cut may differ. Redacted values only cause a note.
"""

_FORMATS: Final = ("text", "json", "html")
_SUFFIXES: Final = {".json": "json", ".html": "html", ".htm": "html"}
_STDOUT: Final = "-"
_WIDTH: Final = 120  # of a text that goes to a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("a", metavar="A", type=Path, help=f"the old run: {LOG_HELP}")
    parser.add_argument("b", metavar="B", type=Path, nargs="?", help="the new run; as A")
    for name in "ab":
        parser.add_argument(
            f"--flow-{name}", metavar="ID", help=f"the run of {name.upper()}: its flow_id, or the beginning of it"
        )
    add_choice(parser, flow=False, last=False)
    parser.add_argument("--format", choices=_FORMATS, help="default: the suffix of PATH, otherwise text")
    parser.add_argument("-o", "--output", metavar="PATH", default=_STDOUT, help="the file to write; default: stdout")
    parser.add_argument(
        "--fail-on", metavar="LIST", help="exit with 1 on these differences: status,output,duration=+20%% (see below)"
    )
    parser.add_argument("--all", action="store_true", help="text: show every span and every change, not only differences")
    add_ascii(parser.add_argument)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.fail_on is not None:
        check_fail_on(args.fail_on)  # report a mistake before reading long logs
    result = diff(*_logs(args))
    format_name = args.format or _SUFFIXES.get(Path(args.output).suffix.lower(), "text")
    if args.output == _STDOUT:
        _print(result, format_name, args.all, args.ascii)
    else:
        size = write_atomically(args.output, _text(result, format_name, View(_WIDTH, unicode=not args.ascii, fold=not args.all)))
        print(f"{printable(args.output)}: {summary(result)}; as {format_name}, {counted(size, 'byte')}")
    return DONE if args.fail_on is None else _judged(result, args.fail_on)


def _judged(result: FlowDiff, fail_on: str) -> int:
    """Print the differences that fail the comparison, and return the exit code."""
    failures = result.failures(fail_on)
    unproved = [] if failures else result.unproved(fail_on)
    if not failures:
        for line in partly_logged(result):
            say(f"note: {line}")
    for failure in failures:
        say(f"failed: {failure}")
    for line in unproved:
        say(f"not proved: {line}")
    return FAILED if failures else UNPROVED if unproved else DONE


def _logs(args: argparse.Namespace) -> tuple[FlowLog, FlowLog]:
    """Return the old and the new run."""
    choice = choice_of(args)
    if args.b is None and not args.flow_a and not args.flow_b:
        latest = chosen_runs([args.a], {**choice, "last": 2})
        if len(latest) < 2:
            raise LogFileError(f"only one run of {str(args.a)!r} is chosen; a comparison without B needs two of them")
        old, new = (filters_of([args.a], [run]) for run in latest)
        return _log(args.a, old, "--flow-a"), _log(args.a, new, "--flow-b")
    logs = []
    for path, flow, option in ((args.a, args.flow_a, "--flow-a"), (args.b or args.a, args.flow_b, "--flow-b")):
        logs.append(_log(path, chosen_flows([path], {**choice, "flow_id": [flow]} if flow else choice), option))
    return logs[0], logs[1]


def _log(path: Path, wanted: Mapping[str, Any], option: str) -> FlowLog:
    skipped = Skipped()
    flows, events = flow_events([path], skipped, wanted)
    if flows.flow_count > 1:
        shown = (
            f"{flows.flow_count:,} runs of {str(path)!r} are chosen"
            if wanted
            else f"{str(path)!r} holds {flows.flow_count:,} flows"
        )
        raise LogFileError(f"{shown}; choose one with {option} ID; tea-obs ls {str(path)!r} lists them")
    return build_flow_log(events, dropped=skipped.dropped.get(events[0]["flow_id"], 0))


def _print(result: FlowDiff, format_name: str, everything: bool, ascii_only: bool) -> None:
    view = view_for(sys.stdout, fold=not everything, ascii_only=ascii_only)
    if format_name != "text":
        prepare_json()  # a page is UTF-8 as well
    for piece in _text(result, format_name, view):
        (write_json if format_name == "json" else sys.stdout.write)(piece)


def _text(result: FlowDiff, format_name: str, view: View) -> Iterator[str]:
    if format_name == "text":
        yield from (f"{line}\n" for line in render(result, view))
    elif format_name == "json":
        yield json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    else:
        from ..comparison.page import page  # imports jinja2, which only a page needs

        yield from page(result)
