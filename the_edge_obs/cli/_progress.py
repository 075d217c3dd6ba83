"""The progress of a long operation: one line on stderr that is overwritten, if stderr is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, TypeVar

_DELAY: Final = 1.0  # seconds before the line appears
_PAUSE: Final = 0.1  # seconds between updates
_STRIDE: Final = 1_000  # items between updates
_Item = TypeVar("_Item")


class Progress:
    """A context manager that shows after a second how much is done, and removes its line at the end.

    Args:
        noun: What is counted, in the plural.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._next = time.monotonic() + _DELAY if sys.stderr.isatty() else float("inf")
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, of: int | None = None) -> None:
        """Show how much is done, and of how much if that is known; when all is done, remove the line."""
        now = time.monotonic()
        if done == of:
            self._clear()
        elif now >= self._next:
            self._next, self._shown = now + _PAUSE, True
            total = "" if of is None else f" of {of:,}"
            sys.stderr.write(f"\r{done:,}{total} {self._noun} ...\x1b[K")
            sys.stderr.flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def followed(items: Iterable[_Item], progress: Progress) -> Iterator[_Item]:
    """Yield the items, and report their number to the progress now and then, so that it costs next to nothing."""
    for done, item in enumerate(items, 1):
        if not done % _STRIDE:
            progress(done)
        yield item
