"""Read server-sent events by the standard.

The standard: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. Lines end with LF, CR
or CRLF, a byte order mark can come first, ``data`` without a colon is an empty line of data. There are two differences: an event
that is cut off by the end of the stream is kept, and ``error:`` is read as the data of an event of that name, as llama.cpp's
server sent its errors until September 2025 (https://github.com/ggml-org/llama.cpp/pull/16109).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_MAX_STREAM: Final = 32 * 1024 * 1024
_MAX_LINE: Final = 4 * 1024 * 1024
# How many characters outside of events are kept, so that an error can show them.
_STRAY: Final = 65_536


class StreamTooLargeError(Exception):
    """A stream, or one of its lines, is larger than the limit."""


class Event(NamedTuple):
    """One event: its type (an empty string without one) and its data."""

    name: str
    data: str


class EventStream:
    """The events of a stream.

    Args:
        pieces: The bytes as they arrive.

    Attributes:
        stray: The beginning of the lines that belong to no event: an HTML page, or an error that came as plain JSON.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._stray: list[str] = []
        self._room = _STRAY

    @property
    def stray(self) -> str:
        return "\n".join(self._stray).strip()

    def __iter__(self) -> Iterator[Event]:
        """Yield the events.

        Raises:
            StreamTooLargeError: The stream is larger than 32 MiB, or a line is longer than 4 Mi characters.
        """
        name, data = "", list[str]()
        for line in _lines(self._pieces):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield Event(name, "\n".join(data))
                name, data = "", []
            elif field in ("data", "error"):
                name = field if field == "error" else name
                data.append(value)
            elif field == "event":
                name = value
            elif field not in ("", "id", "retry"):
                self._keep(line)
        if data:
            yield Event(name, "\n".join(data))

    def _keep(self, line: str) -> None:
        if self._room > 0:
            self._stray.append(line[: self._room])
            self._room -= len(line) + 1


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    held: list[str] = []
    size, total, after_cr = 0, 0, False
    for piece in pieces:
        total += len(piece)
        text = decoder.decode(piece)
        if after_cr:
            text = text.removeprefix("\n")  # a CRLF that is split over two pieces ends one line
            after_cr = not text
        after_cr = text.endswith("\r") if text else after_cr
        *ended, rest = _LINE_END.split(text)
        for line in ended:
            yield "".join((*held, line))
            held, size = [], 0
        held.append(rest)
        size += len(rest)
        if size > _MAX_LINE or total > _MAX_STREAM:
            raise StreamTooLargeError(
                f"the stream is larger than {_MAX_STREAM} bytes, or has a line of more than {_MAX_LINE} characters"
            )
    if last := "".join((*held, decoder.decode(b"", final=True))):
        yield last
