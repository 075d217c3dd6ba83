"""``tea-obs send``: send the spans of a log to a receiver of OpenTelemetry's protocol."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, ExportError, LogFileError
from ..event import Event, Seen
from ..files import leased, open_regular, reason_of
from ..jsonl import Skipped
from ..secrets.keys import classify
from ..store.paths import log_files, named, readable_events, unread
from ..store.sources import iter_query
from ..text import counted, printable
from ._following import SUFFIX, GrowingFile, check_growing, growing_files
from ._progress import Progress
from ._sources import Paths, add_log
from ._terminal import DONE, say, say_skipped

if TYPE_CHECKING:
    from ..integrations.otel_sending import Accepted, EventSender

DESCRIPTION: Final = """\
Send the spans of logs to a receiver of OpenTelemetry's protocol (OTLP over HTTP),
such as Phoenix, MLflow, Jaeger or the Collector. Needs the extra otel. Ids are those
of the log, whenever and however often it is sent.

What the receiver has accepted is not sent again: a small hidden file beside the log
(.sent-..., one per receiver) remembers it. Remove that file to send everything again.
A command that was stopped, even by kill -9, goes on where it was.

Spans that never ended, as in the log of a killed run, are sent and marked. With -f,
spans are sent as they end, also those of runs that begin later, until Ctrl-C; those of a
killed run follow once no program has its log open (where the system can tell)."""
EPILOG: Final = """\
examples:
  tea-obs send logs --to http://localhost:6006
  tea-obs send logs --to http://localhost:4318 -f
  tea-obs send logs/host-a logs/host-b --to http://localhost:6006
  tea-obs send run.jsonl --to http://localhost:5000 --header x-mlflow-experiment-id=1
  tea-obs send run.jsonl --to http://localhost:4318 --no-content
"""

_PAUSE: Final = 0.5  # seconds between two looks at the log
_LEFT: Final = 5.0  # seconds without a new line before a look whether the log's program is gone
_LONGEST: Final = 60.0  # seconds between two tries to send


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    parser.add_argument("--to", metavar="URL", required=True, help="the receiver, without /v1/traces")
    parser.add_argument(
        "--header", metavar="NAME=VALUE", action="append", default=[], help="a header of each request; may be repeated"
    )
    parser.add_argument(
        "--no-content", action="store_true", help="leave out inputs, outputs, messages of models and texts of log events"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="keep sending what is written, until Ctrl-C")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..integrations.otel_sending import EventSender

    headers = _headers(args.header)
    log = [path for path in dict.fromkeys(args.log) if _is_there(path, args.skipped)]
    if not log:
        raise unread(args.skipped)
    if args.follow:
        check_growing(log)
    memories = [_memory_of(path, args.to, headers) for path in log]
    senders = [EventSender(args.to, headers, _accepted(memory), content=not args.no_content) for memory in memories]
    try:
        (_follow if args.follow else _send_once)(log, senders, args.skipped)
    finally:
        sent, known = (sum(getattr(sender, name) for sender in senders) for name in ("sent", "known"))
        before = f"; {counted(known, 'span')} had been sent before" if known else ""
        print(f"{printable(args.to)}: {counted(sent, 'span')} sent{before}", flush=True)
        for memory, sender in zip(memories, senders, strict=True):
            if sender.forgotten is not None:
                say(f"note: {str(memory)!r} cannot be written, so they would be sent again: {reason_of(sender.forgotten)}")
    return DONE


def _memory_of(log: Path, endpoint: str, headers: Mapping[str, str] | None) -> Path:
    """Return the file beside a log that remembers what a receiver has accepted.

    Headers such as ``x-mlflow-experiment-id`` are part of the receiver; those with secrets, which are changed, are not.

    Args:
        log: A file or a folder.
        endpoint, headers: Those of the receiver.
    """
    told = [f"{name.lower()}={value}" for name, value in (headers or {}).items() if not classify(name)]
    digest = hashlib.sha256("\n".join([endpoint.rstrip("/"), *sorted(told)]).encode()).hexdigest()[:12]
    folder, name = (log, "") if log.is_dir() else (log.parent, f"{log.name}.")
    return folder / f".{name}sent-{digest}"


def _is_there(path: Path, skipped: Skipped) -> bool:
    if not path.exists():
        skipped.note_failure(f"{str(path)!r} cannot be read: no such file or directory")
    return path.exists()


def _accepted(memory: Path) -> Accepted:
    from ..integrations.otel_sending import Accepted

    try:
        return Accepted(memory)
    except OSError as error:
        raise LogFileError(f"{str(memory)!r}, which remembers what was sent, cannot be read: {reason_of(error)}") from error


def _send_once(log: Paths, senders: Sequence[EventSender], skipped: Skipped) -> None:
    with Progress("spans") as progress:
        for path, sender in zip(log, senders, strict=True):
            for event in iter_query(path, skipped):
                sender.add(event)
                if sender.is_full:
                    for _ in sender.send():
                        progress(sender.sent)
            sender.give_up()
            for _ in sender.send():
                progress(sender.sent)
    say_skipped(named(log), skipped)


def _follow(log: Paths, senders: Sequence[EventSender], skipped: Skipped) -> None:
    """Send what there is and what is written later; never return."""
    followed = [(_Following(path), sender) for path, sender in zip(log, senders, strict=True)]
    say_skipped(named(log), skipped)
    while True:
        for following, sender in followed:
            for event in following.events():
                sender.add(event)
                if sender.is_full:
                    _send_in_the_end(sender)
            following.say_skipped()
            if flows := following.left(sender.open_flows()):
                sender.give_up(flows)
            _send_in_the_end(sender)
        time.sleep(_PAUSE)


def _send_in_the_end(sender: EventSender) -> None:
    """Send what waits, however often it takes. Meanwhile nothing is read, so the memory does not grow."""
    wait = 1.0
    while True:
        try:
            for _ in sender.send():
                wait = 1.0
            return
        except ExportError as error:
            say(f"{error}; trying again in {wait:.0f} s")
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST)


class _Following:
    """A log that is read as it grows.

    Args:
        log: A file or a folder.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._growing: dict[Path, GrowingFile] = {}
        self._flows: dict[Path, set[str]] = {}  # those that a file has events of
        self._looked: dict[Path, float] = {}
        self._seen, self._skipped = Seen(), Skipped()
        self._has_begun = False

    def events(self) -> Iterator[Event]:
        """Yield the events that were not there at the last call."""
        if not self._has_begun:
            self._has_begun = True
            for path in log_files([self._log], self._skipped):
                if not path.name.endswith(SUFFIX):  # compressed, so it does not grow
                    yield from filter(self._seen.is_new, readable_events(path, self._skipped))
        for path in growing_files([self._log], Skipped()):
            if path not in self._growing:
                self._growing[path] = GrowingFile(path, self._skipped, keep_open=False)
        for path, file in self._growing.items():
            flows = self._flows.setdefault(path, set())
            with suppress(OSError):  # removed or replaced just now; the next round finds out
                for event in filter(self._seen.is_new, file.more()):
                    flows.add(event["flow_id"])
                    yield event

    def left(self, open_flows: set[str]) -> set[str]:
        """Return those of some flows whose files nobody has open any more."""
        left: set[str] = set()
        for path, flows in self._flows.items():
            if flows & open_flows and _is_left(path, self._looked):
                left |= flows & open_flows
            flows &= open_flows
        return left

    def say_skipped(self) -> None:
        """Tell once which lines were skipped."""
        say_skipped(repr(str(self._log)), self._skipped)
        self._skipped = Skipped()
        for file in self._growing.values():
            file.skipped = self._skipped


def _is_left(path: Path, looked: dict[Path, float]) -> bool:
    """Tell whether a log has rested, and no other program has it open. A look is rare: it may delay one that opens the log."""
    now = time.monotonic()
    try:
        if time.time() - path.stat().st_mtime < _LEFT or now - looked.get(path, -_LEFT) < _LEFT:
            return False
        looked[path] = now
        with open_regular(path) as file, leased(file) as is_leased:
            return is_leased is True
    except OSError:
        return False


def _headers(given: Sequence[str]) -> dict[str, str] | None:
    headers = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--header {name!r} has no value; write NAME=VALUE")
        headers[name] = value
    return headers or None
