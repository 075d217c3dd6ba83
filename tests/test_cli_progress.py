from __future__ import annotations

import io

import pytest

from the_edge_obs.cli import _progress as progress
from the_edge_obs.cli._progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_long_work_says_how_far_it_is(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the first second, then a line that is overwritten ten times a second at most, and is gone at the end."""
    monkeypatch.setattr("sys.stderr", stderr := Terminal())
    with Progress("pages") as told:
        for second in (0.0, 0.9, 1.0, 1.05, 1.2):
            clock[0] = 100 + second
            told(int(second * 1000), 2000)
    assert stderr.getvalue() == "\r1,000 of 2,000 pages ...\x1b[K\r1,200 of 2,000 pages ...\x1b[K\r\x1b[K"


def test_what_is_no_terminal_gets_nothing(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a build is no place for it."""
    monkeypatch.setattr("sys.stderr", stderr := io.StringIO())
    with Progress("events") as told:
        clock[0] += 5
        told(7)
    assert stderr.getvalue() == ""
