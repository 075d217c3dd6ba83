"""``tea-obs tail``: the last events of a log, and those that come."""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import LogFileError
from ..event import Event
from ..formatters import ConsoleFormatter, printable, uses_colour
from ..jsonl import read_events
from ..records import record_of_item
from .following import SUFFIX, GrowingFile, growing_files
from .progress import Progress
from .sources import add_log, files_of
from .terminal import DONE

NAME: Final = "tail"
HELP: Final = "show the last events of a log, and follow it"
DESCRIPTION: Final = """\
Print the last events of a log or a folder of logs, a line each; in a folder, the
beginning of the run's id stands before them. With -f go on with what running
flows write, in files that are there and in new ones, until Ctrl-C."""
EPILOG: Final = """\
examples:
  tea-obs tail logs
  tea-obs tail -f logs
  tea-obs tail -n 100 logs/flow-<id>.jsonl
"""

_PAUSE: Final = 0.2  # seconds
_SHARE: Final = 5  # looking through a large folder takes at most one part in so many of the time
_SHORT_ID: Final = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written, until Ctrl-C")
    parser.add_argument("-n", "--lines", metavar="N", type=_count, default=10, help="how many of the last events; default 10")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def call(args: argparse.Namespace) -> int:
    """Carry the command out."""
    log: Path = args.log
    if args.follow and not log.is_dir() and not log.name.endswith(SUFFIX):
        raise LogFileError(f"{str(log)!r} cannot be followed: flows write {SUFFIX} files; without -f its last events are shown")
    growing: dict[Path, GrowingFile] = {}
    _show(_last(log, args.lines, growing, args.follow), log.is_dir())
    if args.follow:
        try:
            for events in _coming(log, growing):
                _show(events, log.is_dir())
        finally:
            for file in growing.values():
                file.close()
    return DONE


def _last(log: Path, count: int, growing: dict[Path, GrowingFile], follow: bool) -> list[Event]:
    """Return the last events of a log, ordered by time, and note the files that may grow."""
    # A folder without logs may get one.
    files = [*growing_files(log)] if follow and log.is_dir() else files_of(log)
    kept: list[Event] = []
    with Progress("files") as progress:
        for done, path in enumerate(files, 1):
            progress(done, len(files))
            kept = heapq.nlargest(count, [*kept, *_last_of(path, count, growing, follow and not log.is_dir())], key=_time)
    if not kept and count and not follow:
        raise LogFileError(f"{str(log)!r} holds no events; a log has one JSON object a line, see docs/event-schema.md")
    return kept[::-1]


def _last_of(path: Path, count: int, growing: dict[Path, GrowingFile], keep_open: bool) -> list[Event]:
    if not path.name.endswith(SUFFIX):
        return list(deque(read_events(path), count))[::-1]
    try:
        growing[path] = GrowingFile(path, keep_open=keep_open)
        return growing[path].last(count)[::-1]
    except OSError as error:
        raise LogFileError(f"{str(path)!r} cannot be read: {(error.strerror or str(error)).lower()}") from error


def _time(event: Event) -> float:
    return event["timestamp"]  # type: ignore[no-any-return]


def _coming(log: Path, growing: dict[Path, GrowingFile]) -> Iterator[Iterable[Event]]:
    """Yield what is written, as it is found, for ever."""
    while True:
        started = time.monotonic()
        if log.is_dir():
            for path in growing_files(log):
                if path not in growing:
                    growing[path] = GrowingFile(path, keep_open=False)
        for file in list(growing.values()):
            yield _readable(file)
        time.sleep(max(_PAUSE, (time.monotonic() - started) * _SHARE))


def _readable(file: GrowingFile) -> Iterator[Event]:
    with suppress(OSError):  # removed or replaced at this moment: the next look tells
        yield from file.more()


def _show(events: Iterable[Event], with_flow: bool) -> None:
    formatter = ConsoleFormatter(colour=uses_colour(sys.stdout))
    for event in events:
        flow = printable(event["flow_id"][:_SHORT_ID]) + "  " if with_flow else ""
        print(flow + formatter.format(record_of_item(event)), flush=True)
