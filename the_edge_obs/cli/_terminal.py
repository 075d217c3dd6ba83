"""What all commands share: exit codes, output streams, messages and the view of a terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO

from ..jsonl import Skipped
from ..text import View, counted, drawable, printable, printable_json, uses_colour

DONE: Final = 0
FAILED: Final = 1
BAD: Final = 2
UNPROVED: Final = 3

_DEFAULT_WIDTH: Final = 120  # columns, where the output is not a terminal


def prepare() -> None:
    """Make sure that neither a closed stream nor a character outside its encoding ends the program."""
    # A stream that was closed when Python started (`>&-`, pythonw) is None.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, errors="backslashreplace")


def prepare_json() -> None:
    """Make stdout UTF-8, as JSON is; a lone surrogate, which UTF-8 lacks, is written as a JSON escape."""
    _reconfigure(sys.stdout, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(text: str) -> None:
    """Write JSON to stdout; characters that control a terminal are written as JSON escapes, so the JSON stays equal."""
    sys.stdout.write(printable_json(text))


def add_json(add: Callable[..., object]) -> None:
    """Add the option --json, with the ``add_argument`` of a parser or a group."""
    add("--json", action="store_true", help="print one JSON object per line")


def write_objects(objects: Iterable[Mapping[str, Any]]) -> int:
    """Write objects to stdout, one JSON object per line, and return the exit code."""
    prepare_json()
    for one in objects:
        write_json(json.dumps(one, ensure_ascii=False) + "\n")
    return DONE


def _reconfigure(stream: TextIO, **settings: str) -> None:
    if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
        reconfigure(**settings)


def say(text: str) -> None:
    """Print a message on stderr, as one line."""
    print(f"tea-obs: {printable(text)}", file=sys.stderr)


def fail(text: str, code: int = BAD) -> int:
    """Print an error on stderr, as one line, and return the exit code."""
    say(f"error: {text}")
    return code


def say_skipped(source: str, skipped: Skipped) -> None:
    """Print on stderr which lines and paths were skipped, if any; ``source`` names what was read."""
    for failure in skipped.failures:
        say(f"error: {failure}")
    if not skipped.lines:
        return
    if skipped.torn and skipped.lines == 1:
        say(f"note: the last line of {source} is cut off: its process was killed or is still writing")
    else:
        lines = f"{counted(skipped.lines, 'line')} of {source} {'is not an event' if skipped.lines == 1 else 'are not events'}"
        say(f"note: {lines} ({skipped.first}); tea-obs validate lists what is wrong")


def add_ascii(add: Callable[..., object]) -> None:
    """Add the option --ascii, with the ``add_argument`` of a parser or a group."""
    add("--ascii", action="store_true", help="draw with ASCII characters only")


def view_for(stream: TextIO, *, fold: bool = True, ascii_only: bool = False) -> View:
    """Return the view for a stream: as wide as the terminal, with the characters of its encoding."""
    unicode = not ascii_only and drawable(stream.encoding or "ascii")
    width = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns
    return View(width, unicode, uses_colour(stream), fold)
