from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.cli import _progress as progress
from the_edge_obs.cli import main
from the_edge_obs.cli._progress import Progress
from the_edge_obs.event import dumps
from the_edge_obs.store import logs

from .strategies import FLOW, whole


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


def test_reading_a_folder_for_one_run(clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says how many files have been read, and is gone before the events are printed."""
    for number in range(4):
        made = whole(1, number, number + 1, node="flow", flow_id=f"{number:08x}{FLOW[8:]}")
        (tmp_path / f"{number}.jsonl").write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")

    def later(*given: Any) -> Any:
        clock[0] += 0.6  # each file takes so long
        return read_log(*given)

    read_log = logs.read_log
    monkeypatch.setattr(logs, "read_log", later)
    for command in ("show", "query"):
        monkeypatch.setattr("sys.stderr", stderr := Terminal())
        monkeypatch.setattr("sys.stdout", stderr)
        assert main([command, str(tmp_path), "--flow", "00000001"]) == 0
        shown, _, printed = stderr.getvalue().rpartition("\r\x1b[K")
        assert shown == "\r2 of 4 files ...\x1b[K\r3 of 4 files ...\x1b[K"
        assert "00000001" in printed
