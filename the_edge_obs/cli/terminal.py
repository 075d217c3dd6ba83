"""What all commands share: where they print, and how they say what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Final, TextIO

from ..jsonl import Skipped
from ..text import View, counted, drawable, printable, printable_json, uses_colour

DONE: Final = 0
FAILED: Final = 1
BAD: Final = 2
UNPROVED: Final = 3

_WIDTH_OF_NO_TERMINAL: Final = 120


def prepare() -> None:
    """Keep a closed output, or a character that its encoding lacks, from ending the program."""
    # Python has None for what was closed when it started (`>&-`, pythonw).
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, errors="backslashreplace")


def prepare_json() -> None:
    """Make stdout UTF-8, as JSON is; what no UTF-8 has (a lone surrogate) comes out as JSON's own escape."""
    _reconfigure(sys.stdout, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(text: str) -> None:
    """Write JSON to stdout, with what would steer a terminal in JSON's own escapes: it is equal JSON wherever it goes."""
    sys.stdout.write(printable_json(text))


def _reconfigure(stream: TextIO, **settings: str) -> None:
    if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
        reconfigure(**settings)


def say(text: str) -> None:
    """Print one line for people on stderr."""
    print(f"tea-obs: {printable(text)}", file=sys.stderr)


def fail(text: str, code: int = BAD) -> int:
    """Print an error on stderr, in one line, and return the exit code."""
    say(f"error: {text}")
    return code


def say_skipped(source: str, skipped: Skipped) -> None:
    """Say on stderr which lines of a log were passed over, if any."""
    if not skipped.lines:
        return
    if skipped.torn and skipped.lines == 1:
        say(f"note: the last line of {source!r} is cut off: its process was killed, or is writing it")
    else:
        lines = f"{counted(skipped.lines, 'line')} of {source!r} {'is not an event' if skipped.lines == 1 else 'are not events'}"
        say(f"note: {lines} ({skipped.first}); tea-obs validate lists what is wrong")


def add_ascii(add: Callable[..., object]) -> None:
    """Add the option --ascii, with the ``add_argument`` of a parser or a group."""
    add("--ascii", action="store_true", help="draw with ASCII alone")


def view_for(stream: TextIO, *, fold: bool = True, ascii_only: bool = False) -> View:
    """Return how a tree is shown on a stream: as wide as the terminal, with what its encoding can write."""
    unicode = not ascii_only and drawable(stream.encoding or "ascii")
    width = shutil.get_terminal_size((_WIDTH_OF_NO_TERMINAL, 24)).columns
    return View(width, unicode, uses_colour(stream), fold)
