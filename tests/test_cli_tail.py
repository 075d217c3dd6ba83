"""``tea-obs tail``: the last events, and following what grows."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.cli import main
from the_edge_obs.cli import tail as command
from the_edge_obs.cli._following import GrowingFile
from the_edge_obs.jsonl import Skipped

from .strategies import FLOW, event


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def text_of(*numbers: int) -> str:
    """Return lines of events, told apart by their spans."""
    return "".join(json.dumps(event(number, "exit", number)) + "\n" for number in numbers)


def numbers(events: Any) -> list[int]:
    """Return which events these are."""
    return [int(one["span_id"].replace("-", "")[-8:], 16) for one in events]


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the nodes of the lines that were printed, and what stands before the time."""
    return [re.sub(r"\d\d:\S+ info  (\S+).*", r"\1", line) for line in capsys.readouterr().out.splitlines()]


def test_the_last_events(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file ten of them or -n; lines that are not events do not count, and a torn last line is passed over."""
    Path("a.jsonl").write_text("x\n" + text_of(*range(1, 13)) + "x\n" + text_of(13)[:-9], encoding="utf-8")
    assert (main(["tail", "a.jsonl"]), shown(capsys)) == (0, [f"node{number}" for number in range(3, 13)])
    assert (main(["tail", "a.jsonl", "-n", "2"]), shown(capsys)) == (0, ["node11", "node12"])
    assert (main(["tail", "a.jsonl", "-n", "0"]), shown(capsys)) == (0, [])


def test_the_last_events_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """They are ordered by time, whichever file they are in, and have their run before them."""
    Path("logs").mkdir()
    Path("logs/a.jsonl").write_text(text_of(1, 4), encoding="utf-8")
    Path("logs/b.jsonl.gz").write_bytes(gzip.compress(text_of(2, 5).encode()))
    Path("logs/c.jsonl").write_text(text_of(3), encoding="utf-8")
    main(["tail", "logs", "-n", "3"])
    assert shown(capsys) == [f"{FLOW[:8]}  node{number}" for number in (3, 4, 5)]


def test_a_large_file_is_read_from_its_end() -> None:
    """Lines that lie across the blocks in which it is read are whole; so is the first line."""
    line = {**event(1, "exit", 1), "message": "m" * 1_000}
    Path("a.jsonl").write_text("".join(json.dumps(line) + "\n" for _ in range(500)), encoding="utf-8")
    file = GrowingFile(Path("a.jsonl"), Skipped(), keep_open=False)
    assert (file.last(1_000), len(file.last(3)), list(file.more())) == ([line] * 500, 3, [])


@pytest.mark.parametrize("keep_open", [True, False])
def test_a_growing_file(keep_open: bool) -> None:
    """What was not whole before comes when it is; a file that got shorter is read from its beginning."""
    path = Path("a.jsonl")
    line = text_of(2)
    path.write_text(text_of(1) + line[:20], encoding="utf-8")
    file = GrowingFile(path, Skipped(), keep_open=keep_open)
    assert (numbers(file.last(9)), numbers(file.more())) == ([1], [])
    with path.open("a", encoding="utf-8") as more:
        more.write(line[20:] + text_of(3))
    assert (numbers(file.more()), numbers(file.more())) == ([2, 3], [])
    path.write_text(text_of(4), encoding="utf-8")
    assert numbers(file.more()) == [4]
    file.close()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved there")
def test_a_rotated_file() -> None:
    """The end of the old one is read, and then the new one, also where that comes later."""
    path = Path("a.jsonl")
    path.write_text(text_of(1), encoding="utf-8")
    file = GrowingFile(path, Skipped(), keep_open=True)
    assert numbers(file.last(9)) == [1]
    with path.open("a", encoding="utf-8") as more:
        more.write(text_of(2))
    path.rename("a.jsonl.1")
    assert numbers(file.more()) == [2]
    path.write_text(text_of(3, 4), encoding="utf-8")
    assert (numbers(file.more()), numbers(file.more())) == ([3, 4], [])
    file.close()


def test_new_files_in_a_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder may be empty at first; each look finds what is new, and Ctrl-C ends it."""
    Path("logs").mkdir()
    steps = iter([lambda: Path("logs/a.jsonl").write_text(text_of(2)), lambda: Path("logs/b.jsonl").write_text(text_of(3))])

    def pause(seconds: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(command.time, "sleep", pause)
    assert main(["tail", "-f", "logs"]) == 130
    assert shown(capsys) == [f"{FLOW[:8]}  node2", f"{FLOW[:8]}  node3"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_in_a_process() -> None:
    """It ends with one line and exit code 130."""
    Path("a.jsonl").write_text(text_of(1), encoding="utf-8")
    args = [sys.executable, "-m", "the_edge_obs", "tail", "-f", "a.jsonl"]
    process = subprocess.Popen(args, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert "flow exit" in process.stdout.readline()
        with Path("a.jsonl").open("a", encoding="utf-8") as more:
            more.write(text_of(2))
        assert "node2 exit" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.communicate(timeout=30)[1], process.returncode) == ("tea-obs: interrupted\n", 130)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["no.jsonl"], "'no.jsonl' cannot be read: no such file or directory"),
        (["-f", "no.jsonl"], "'no.jsonl' cannot be read: no such file or directory"),
        (["access.jsonl"], "'access.jsonl' holds no events; a log has one JSON object per line, see docs/event-schema.md"),
        (["-f", "a.jsonl.gz"], "'a.jsonl.gz' cannot be followed; only .jsonl files can. Leave out -f to read it as it is"),
        (["empty"], "folder 'empty' holds no logs; the name of a log ends in .jsonl or .jsonl.gz"),
        (["a", "-n", "-1"], "tail: argument -n/--lines: '-1' is not a whole number of at least 0; see tea-obs tail --help"),
    ],
)
def test_what_cannot_be_followed(args: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake is one line, exit code 2."""
    Path("empty").mkdir()
    Path("access.jsonl").write_text("GET /\n", encoding="utf-8")
    assert (main(["tail", *args]), capsys.readouterr().err) == (2, f"tea-obs: error: {error}\n")
