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
from ..jsonl import Skipped, log_name, read_events
from ..recording.records import record_of_item
from ..text import uses_colour
from ._filters import add_events, events_of
from ._following import SUFFIX, GrowingFile, growing_files
from ._progress import Progress
from ._sources import add_log, files_of, short_flow
from ._terminal import DONE, say_skipped

NAME: Final = "tail"
HELP: Final = "show the last events of a log, and follow it"
DESCRIPTION: Final = """\
Print the last events of a log or a folder of logs, one per line. For a folder,
each line begins with the first characters of the run's id. With -f, keep printing
what running flows write, to existing files and to new ones, until Ctrl-C."""
EPILOG: Final = """\
examples:
  tea-obs tail logs
  tea-obs tail -f logs
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
    log: Path = args.log
    if args.follow and not log.is_dir() and not log.name.endswith(SUFFIX):
        raise LogFileError(f"{str(log)!r} cannot be followed; only {SUFFIX} files can. Leave out -f to see its last events")
    filters = {**events_of(args), "flow_id": args.flow_id}
    reading = _Reading(log, args.follow, matches(filters))
    events = reading.last(args.lines)
    if not events and args.lines and not args.follow and not any(filters.values()):
        raise LogFileError(f"{str(log)!r} holds no events; a log has one JSON object per line, see docs/event-schema.md")
    _show(events, log.is_dir())
    say_skipped(str(log), reading.skipped)
    if args.follow:
        try:
            for more in reading.coming():
                _show(more, log.is_dir())
        finally:
            reading.close()
    return DONE


class _Reading:
    """A log that is read from its end.

    Args:
        log: A file or a folder.
        follow: Whether to read what is written later.
        wanted: Tells which events to show.

    Attributes:
        skipped: The lines that were skipped.
    """

    def __init__(self, log: Path, follow: bool, wanted: Predicate) -> None:
        self._log, self._follow, self._wanted = log, follow, wanted
        self._growing: dict[Path, GrowingFile] = {}
        self.skipped = Skipped()
        self._seen = Seen()

    def last(self, count: int) -> list[Event]:
        """Return the last events of the log, ordered by time."""
        if self._follow and self._log.is_dir():  # a folder without logs may get one later
            files = list(growing_files(self._log))
        else:
            files = _without_copies(files_of(self._log)) if self._log.is_dir() else [self._log]
        kept: list[Event] = []
        with Progress("files") as progress:
            for done, path in enumerate(files, 1):
                progress(done, len(files))
                kept = heapq.nlargest(count, without_repeats([*kept, *self._last_of(path, count)]), key=_time)
        return list(filter(self._seen.is_new, kept[::-1]))

    def _last_of(self, path: Path, count: int) -> list[Event]:
        if not path.name.endswith(SUFFIX):
            return list(deque(filter(self._wanted, read_events(path, self.skipped)), count))[::-1]
        try:
            # A single file that is followed is kept open; a folder may hold more files than there are descriptors.
            file = self._growing[path] = GrowingFile(
                path, self.skipped, self._wanted, keep_open=self._follow and not self._log.is_dir()
            )
            return file.last(count)[::-1]
        except OSError as error:
            raise LogFileError(f"{str(path)!r} cannot be read: {reason_of(error)}") from error

    def coming(self) -> Iterator[Iterable[Event]]:
        """Yield what is written as it is found; never end."""
        while True:
            started = time.monotonic()
            if self._log.is_dir():
                for path in growing_files(self._log):
                    if path not in self._growing:
                        self._growing[path] = GrowingFile(path, self.skipped, self._wanted, keep_open=False)
            for file in list(self._growing.values()):
                yield filter(self._seen.is_new, _readable(file))
            time.sleep(max(_PAUSE, (time.monotonic() - started) * _SHARE))

    def close(self) -> None:
        """Close the files."""
        for file in self._growing.values():
            file.close()


def _without_copies(files: list[Path]) -> list[Path]:
    """Leave out the copies that exist for a moment while ``clean`` compresses a log: they have its name and its time."""
    unique: dict[tuple[str, int], Path] = {}
    for path in files:
        with suppress(OSError):  # removed since it was listed
            unique.setdefault((log_name(path.name), path.stat().st_mtime_ns), path)
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
