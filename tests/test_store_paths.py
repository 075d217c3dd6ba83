"""Paths of logs, and the files that they stand for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main
from the_edge_obs.errors import LogFileError
from the_edge_obs.jsonl import Skipped
from the_edge_obs.store import iter_query
from the_edge_obs.store.paths import log_files, named, paths_of

from .strategies import FLOW, OTHER_FLOW, Event, whole


def write(path: Path, events: Iterable[Event]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def run(start: float, end: float, flow_id: str = FLOW) -> list[Event]:
    """Return the events of a valid run."""
    events = whole(1, start, end, flow_id=flow_id)
    events[0]["data"] = {"name": "run", "schema_version": 1}
    return events


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return a folder with a log of each of two hosts, and with what is not a log."""
    write(tmp_path / "logs" / "host-a" / "run.jsonl", run(0, 2))
    write(tmp_path / "logs" / "host-b" / "deep" / "er" / "run.jsonl", run(5, 6, OTHER_FLOW))
    write(tmp_path / "logs" / ".hidden" / "run.jsonl", whole(9, 0, 1))
    write(tmp_path / "logs" / "run.json", [])
    write(tmp_path / "logs" / "day=2026-11-29" / "events-1.parquet", [])
    return tmp_path / "logs"


def test_sub_folders_are_walked(logs: Path) -> None:
    """Exports, Parquet and hidden folders are passed over; a hidden folder can still be named."""
    found = log_files([logs], Skipped())
    assert [path.relative_to(logs).as_posix() for path in found] == ["host-a/run.jsonl", "host-b/deep/er/run.jsonl"]
    assert [path.name for path in log_files([logs / ".hidden", logs / "run.json"], Skipped())] == ["run.jsonl", "run.json"]


def test_each_file_counts_once(logs: Path) -> None:
    """However it is reached, in any order: twice, through its folder, through links to it or to a folder; circles end."""
    (logs / "host-a" / "circle").symlink_to(logs)
    (logs / "link").symlink_to(logs / "host-b")
    (logs / "same.jsonl").symlink_to(logs / "host-a" / "run.jsonl")
    os.link(logs / "host-a" / "run.jsonl", logs / "host-a" / "z.jsonl")
    (logs / "gone.jsonl").symlink_to(logs / "nowhere")
    given = [logs, logs / "host-a", logs / "host-a" / "run.jsonl", logs / "host-b"]
    skipped = Skipped()
    found = {tuple(log_files(order, skipped)) for order in permutations(given)}
    (files,) = found
    assert [path.relative_to(logs).as_posix() for path in files] == ["host-a/run.jsonl", "host-b/deep/er/run.jsonl"]
    assert skipped.failures == []


def test_what_cannot_be_read_is_named_and_the_rest_is_read(logs: Path) -> None:
    """A missing path, and a file that is not what its name says."""
    gone = logs.parent / "gone"
    (logs / "bad.jsonl.gz").write_bytes(b"not packed")
    problems = [f"{str(gone)!r} cannot be read: no such file or directory", f"{str(logs / 'bad.jsonl.gz')!r} cannot be read: "]
    for read in (obs.runs, obs.query, lambda paths: obs.export(paths, logs.parent / "out.jsonl")):
        with pytest.raises(LogFileError) as caught:
            read([gone, logs])  # type: ignore[operator]
        assert all(problem in str(caught.value) for problem in problems)
    assert len((logs.parent / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    seen: list[str] = []
    with pytest.raises(LogFileError):
        seen.extend(event["flow_id"] for event in iter_query([gone, logs]))
    assert seen == [FLOW, FLOW, OTHER_FLOW, OTHER_FLOW]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(logs: Path) -> None:
    """The others are read."""
    (logs / "host-a").chmod(0)
    skipped = Skipped()
    assert len(log_files([logs], skipped)) == 1
    assert skipped.failures == [f"folder {str(logs / 'host-a')!r} cannot be read: permission denied"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_names_for_messages(count: int) -> None:
    """All of a few, the first ones of many."""
    paths = paths_of(f"{number}" for number in range(count))
    assert named(paths) == {1: "'0'", 2: "'0' and '1'", 3: "'0', '1' and '2'", 5: "'0', '1', '2' and 2 more"}[count]


def test_python_takes_one_or_several_paths(logs: Path) -> None:
    """A text, a path, a list or any other iterable of them."""
    one, both = run(0, 2), [*run(0, 2), *run(5, 6, OTHER_FLOW)]
    a, b = logs / "host-a", logs / "host-b"
    assert obs.query(str(a)) == obs.query(a) == obs.query([a]) == obs.query(path for path in [a, str(a)]) == one
    assert obs.query([b, a]) == obs.query((a, str(b), logs)) == obs.query(logs) == both
    assert [run.flow_id for run in obs.runs([b, a])] == [FLOW, OTHER_FLOW]
    assert obs.get_flow_log([a, a / "run.jsonl"]).events == one


READERS: list[tuple[str, Callable[[str], Any]]] = [
    ("ls", lambda out: "2 runs" in out),
    ("stats", lambda out: "2 runs, 4 events" in out),
    ("errors", lambda out: "0 errors" in out),
    ("query", lambda out: out.count("\n") == 4),
    ("tail", lambda out: out.count("\n") == 4),
    ("show", lambda out: out.startswith("2 runs in ")),
    ("validate", lambda out: out.count(": OK, 2 events, 1 flow") == 2),
    ("export -o -", lambda out: out.count("\n") == 4),
]


@pytest.mark.parametrize(("command", "is_whole"), READERS, ids=[command for command, _ in READERS])
def test_commands_take_several_paths(
    command: str, is_whole: Callable[[str], bool], logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And walk sub-folders; a path that cannot be read is named at the end, with exit code 2."""
    name, *options = command.split()
    a, b, gone = str(logs / "host-a"), str(logs / "host-b"), str(logs / "gone")
    for given in ([str(logs)], [a, b], [b, a, a, str(logs / "host-a" / "run.jsonl")]):
        assert main([name, *given, *options]) == 0
        assert is_whole(capsys.readouterr().out)
    assert main([name, a, gone, b, *options]) == 2
    shown = capsys.readouterr()
    assert is_whole(shown.out)
    assert shown.err == f"tea-obs: error: {gone!r} cannot be read: no such file or directory\n"
    assert main([name, gone, *options]) == 2
    assert capsys.readouterr().err == f"tea-obs: error: {gone!r} cannot be read: no such file or directory\n"


def test_clean_takes_the_folders_that_are_named(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that deletes does not look for more: what lies in a sub-folder stays."""
    for path in logs.rglob("*.jsonl"):
        os.utime(path, (1, 1))
    assert main(["clean", str(logs), "--older-than", "1d"]) == 0
    assert capsys.readouterr().out == "0 removed, 0 compressed, 0 kept; 0 logs, 0 -> 0 bytes\n"
    assert main(["clean", str(logs / "gone"), str(logs / "host-a"), "--older-than", "1d"]) == 2
    assert "1 removed" in capsys.readouterr().out
    assert [path.parent.name for path in log_files([logs], Skipped())] == ["er"]
