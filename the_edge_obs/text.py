"""Text for people and terminals: safe characters, columns, counts, times, amounts, charsets, and the grammar of durations.

A duration is a number and a unit: ``250ms``, ``90s``, ``5m``, ``12h``, ``30d``, ``2w``. Filters, ``--since``, ``--older-than``
and ``--fail-on`` share this grammar; each defines what a sign means.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from .errors import DurationError

__all__ = ["View", "clock_text", "duration_text"]

# Characters that str.isprintable accepts although they are invisible or can carry hidden text: fillers and variation selectors
# (https://www.unicode.org/reports/tr44/, Default_Ignorable_Code_Point). A single U+FE0F turns a sign into an emoji, and is kept.
_HIDDEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]|(?<=\ufe0f)\ufe0f"
)
_UNUSUAL: Final = re.compile("[^ -~]")
_ASTRAL: Final = 0x10000  # JSON escapes characters from here on as two surrogates
# Python's own codecs that are not charsets of texts, and raise or take quadratic time on foreign bytes
# (https://docs.python.org/3/library/codecs.html#python-specific-encodings).
_NO_CHARSETS: Final = frozenset(
    {"idna", "mbcs", "oem", "palmos", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
)


def printable(text: str) -> str:
    """Return a text that is safe on one line of a terminal: invisible and control characters become Python escapes.

    These are the characters that ``str.isprintable`` rejects (control characters, C1 and DEL, line ends, direction marks,
    zero-width and tag characters, lone surrogates, all spaces except U+0020), and fillers and variation selectors.
    """
    return _escaped(text, lambda char: char.encode("unicode_escape").decode("ascii"))


def printable_json(text: str) -> str:
    """Return a JSON text that is safe on a terminal: the characters that ``printable`` escapes become JSON escapes.

    The JSON value stays the same. Line feeds are kept: outside of strings they are white space, and strings contain none.
    """
    return _escaped(text, _json_escape)


def _json_escape(char: str) -> str:
    code = ord(char)
    if code < _ASTRAL:
        return char if char == "\n" else f"\\u{code:04x}"
    return f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable() and (text.isascii() or _HIDDEN.search(text) is None):
        return text
    text = _HIDDEN.sub(lambda match: escape(match[0]), text)
    return _UNUSUAL.sub(lambda match: match[0] if match[0].isprintable() else escape(match[0]), text)


# --- terminals ---


def uses_colour(stream: TextIO | None) -> bool:
    """Tell whether to write colours to a stream: a terminal with colours, without ``NO_COLOR`` (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # a replacement of stderr may only have write; or the stream is closed
        return False


_COLOURS: Final = {
    "ok": "32",
    "error": "31;1",
    "bar": "34",
    "around": "2",
    "running": "33",
    "cancelled": "33",
    "unknown": "33",
    "warn": "33",
    "dim": "2",
    "bold": "1",
}


@dataclass(frozen=True, slots=True)
class View:
    """How a tree is drawn.

    Args:
        width: Number of columns. Default 100, at least 60.
        unicode: Draw with box characters; otherwise with ASCII. Default True.
        colour: Use ANSI colours. Default False.
        fold: Leave out the middle of long loops and fan-outs. Default True.
    """

    width: int = 100
    unicode: bool = True
    colour: bool = False
    fold: bool = True

    def paint(self, style: str, text: str) -> str:
        """Return the text in the colour of a style, if colours are used."""
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if self.colour and text and style in _COLOURS else text


def drawable(encoding: str) -> bool:
    """Tell whether an encoding has the characters that trees are drawn with (``View.unicode``)."""
    try:
        "├─└│…⋮█▌▐".encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


# Characters of one column each: Latin, the ellipsis, arrows, and the lines and bars that trees are drawn with.
_ONE_COLUMN: Final = re.compile("[\0-\u02ff\u2026\u2190-\u21ff\u2500-\u259f]*")


def columns(text: str) -> int:
    """Return the number of terminal columns of a text: two for a wide character, none for a combining one."""
    if text.isascii() or _ONE_COLUMN.fullmatch(text):
        return len(text)
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def fitted(text: str, width: int, view: View) -> str:
    """Return a text cut to a number of columns; an ellipsis marks the cut."""
    if columns(text) <= width:
        return text
    mark = "…" if view.unicode else "..."
    kept, room = "", width - len(mark)
    for char in text:
        room -= columns(char)
        if room < 0:
            break
        kept += char
    return kept + mark


# --- durations, times, counts and amounts ---


def duration_text(milliseconds: float | None) -> str:
    """Return a duration for people, with its unit; empty for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.95:
        return f"{milliseconds:.2f} ms" if milliseconds < 9.995 else f"{milliseconds:.1f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clock_text(seconds: float, *, zone: bool = True) -> str:
    """Return a time as local date and time, in a form that ``--since`` reads.

    Args:
        seconds: The time, Unix seconds. One that no calendar has is returned as the number.
        zone: Whether to append the offset from UTC. Default True.
    """
    try:
        moment = time.localtime(seconds)
        # %Y writes the year 99 as it is, without zeros, on some systems.
        text = f"{moment.tm_year:04d}-{time.strftime('%m-%d %H:%M:%S%z', moment)}"
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    return f"{text[:-2]}:{text[-2:]}" if zone else text[:-5]  # Python 3.10 only reads zones with a colon


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless the count is 1."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def dollars(cost: float) -> str:
    """Return an amount of US dollars for people; a small amount gets more digits."""
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}" if cost >= 0.0001 else f"${cost:.1g}"


UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds of each unit; ``m`` and ``min`` are both minutes."""

BLANKS: Final = " \t\n\r\f\v"
"""The white space of ASCII."""

_DURATION: Final = re.compile(rf"([+-]?)(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", re.ASCII)


def seconds_of(text: str, name: str = "duration") -> float:
    """Return a duration in seconds. It is negative after a minus. Blanks around it and before the unit are ignored.

    Args:
        text: The duration.
        name: The name of the value in an error message. Default ``duration``.

    Raises:
        DurationError: The text is not a number with a unit.
    """
    if (seconds := signed_seconds(text)) is None:
        raise DurationError(
            f"{name} {text!r} is not a number with a unit; write something like 30d, 12h or 250ms (units: {', '.join(UNITS)})"
        )
    return seconds[1] if seconds[0] != "-" else -seconds[1]


def signed_seconds(text: str) -> tuple[str, float] | None:
    """Return the sign of a duration (``+``, ``-`` or empty) and its size in seconds, or None if the text is not a duration."""
    match = _DURATION.fullmatch(text.strip(BLANKS))
    return None if match is None else (match[1], float(match[2]) * UNITS[match[3]])


# --- charsets ---


def known_charset(name: str | None) -> str | None:
    """Return the name of a charset if Python knows it and can decode any bytes with it, otherwise None."""
    import codecs

    try:
        codec = codecs.lookup(name) if name and name.isascii() and name.isprintable() else None
    except (LookupError, ValueError):
        return None
    is_charset = codec is not None and codec._is_text_encoding and codec.name.replace("_", "-") not in _NO_CHARSETS
    return name if is_charset else None
