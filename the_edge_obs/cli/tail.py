"""``tea-obs tail``: show the last events of a log, and follow it."""

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
from ..event import Event, Seen, without_repeats
from ..event_query import Predicate, matches
from ..files import reason_of
from ..handlers.formatters import ConsoleFormatter
from ..jsonl import Skipped, log_name
from ..recording.records import record_of_item
from ..store.paths import is_one_file, named, readable_events
from ..text import uses_colour
from ._filters import add_events, events_of
from ._following import SUFFIX, GrowingFile, check_growing, growing_files
from ._progress import Progress
from ._sources import Paths, add_log, files_of, short_flow
from ._terminal import DONE, say_skipped

DESCRIPTION: Final = """\
Print the last events of logs, one per line. Unless LOG is one file, each line begins
with the first characters of the run's id. With -f, keep printing what running flows
write, to existing files and to new ones, in sub-folders too, until Ctrl-C."""
EPILOG: Final = """\
examples:
  tea-obs tail logs
  tea-obs tail -f logs
  tea-obs tail -f logs/host-a logs/host-b
  tea-obs tail -f logs --min-level warn
  tea-obs tail logs --flow 0b5e --node 'llm.*'
  tea-obs tail -n 100 logs/flow-<id>.jsonl
"""

_PAUSE: Final = 0.2  # seconds
_SHARE: Final = 5  # listing a large folder takes at most a fifth of the time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    add = add_events(parser)
    add("--flow", dest="flow_id", metavar="ID", action="append", help="* the run's flow_id, or the beginning of it")
    parser.add_argument("-f", "--follow", action="store_true", help="keep printing what is written, until Ctrl-C")
    parser.add_argument("-n", "--lines", metavar="N", type=_count, default=10, help="how many events to show first; default 10")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    log: Paths = args.log
    if args.follow:
        check_growing(log)
    filters = {**events_of(args), "flow_id": args.flow_id}
    reading = _Reading(log, args.follow, matches(filters), args.skipped)
    events = reading.last(args.lines)
    if not events and args.lines and not args.follow and not any(filters.values()):
        raise LogFileError(f"{named(log)} holds no events; a log has one JSON object per line, see docs/event-schema.md")
    with_flow = not is_one_file(log)
    _show(events, with_flow)
    say_skipped(named(log), args.skipped)
    if args.follow:
        try:
            for more in reading.coming():
                _show(more, with_flow)
        finally:
            reading.close()
    return DONE


class _Reading:
    """A log that is read from its end.

    Args:
        log: Files and folders.
        follow: Whether to read what is written later.
        wanted: Tells which events to show.
        skipped: Records the lines and paths that were skipped.
    """

    def __init__(self, log: Paths, follow: bool, wanted: Predicate, skipped: Skipped) -> None:
        self._log, self._follow, self._wanted = log, follow, wanted
        self._growing: dict[Path, GrowingFile] = {}
        self._skipped = skipped
        self._seen = Seen()

    def last(self, count: int) -> list[Event]:
        """Return the last events of the log, ordered by time."""
        if self._follow and not is_one_file(self._log):  # a folder without logs may get one later
            files = growing_files(self._log, self._skipped)
        else:
            files = _without_copies(files_of(self._log, self._skipped))
        kept: list[Event] = []
        with Progress("files") as progress:
            for done, path in enumerate(files, 1):
                progress(done, len(files))
                kept = heapq.nlargest(count, without_repeats([*kept, *self._last_of(path, count)]), key=_time)
        return list(filter(self._seen.is_new, kept[::-1]))

    def _last_of(self, path: Path, count: int) -> list[Event]:
        if not path.name.endswith(SUFFIX):
            return list(deque(filter(self._wanted, readable_events(path, self._skipped)), count))[::-1]
        try:
            # A single file that is followed is kept open; a folder may hold more files than there are descriptors.
            file = self._growing[path] = GrowingFile(
                path, self._skipped, self._wanted, keep_open=self._follow and is_one_file(self._log)
            )
            return file.last(count)[::-1]
        except OSError as error:
            problem = f"{str(path)!r} cannot be read: {reason_of(error)}"
            if is_one_file(self._log):
                raise LogFileError(problem) from error
            self._skipped.note_failure(problem)
            return []

    def coming(self) -> Iterator[Iterable[Event]]:
        """Yield what is written as it is found; never end."""
        while True:
            started = time.monotonic()
            if not is_one_file(self._log):
                for path in growing_files(self._log, Skipped()):
                    if path not in self._growing:
                        self._growing[path] = GrowingFile(path, self._skipped, self._wanted, keep_open=False)
            for file in list(self._growing.values()):
                yield filter(self._seen.is_new, _readable(file))
            time.sleep(max(_PAUSE, (time.monotonic() - started) * _SHARE))

    def close(self) -> None:
        """Close the files."""
        for file in self._growing.values():
            file.close()


def _without_copies(files: list[Path]) -> list[Path]:
    """Leave out the copies that exist for a moment while ``clean`` compresses a log: they have its name and its time."""
    unique: dict[tuple[Path, str, int], Path] = {}
    for path in files:
        with suppress(OSError):  # removed since it was listed
            unique.setdefault((path.parent, log_name(path.name), path.stat().st_mtime_ns), path)
    return list(unique.values())


def _time(event: Event) -> float:
    return event["timestamp"]  # type: ignore[no-any-return]


def _readable(file: GrowingFile) -> Iterator[Event]:
    with suppress(OSError):  # removed or replaced just now; the next round finds out
        yield from file.more()


def _show(events: Iterable[Event], with_flow: bool) -> None:
    formatter = ConsoleFormatter(colour=uses_colour(sys.stdout))
    for event in events:
        flow = short_flow(event) if with_flow else ""
        print(flow + formatter.format(record_of_item(event)), flush=True)
