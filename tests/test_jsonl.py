"""Event files: plain or gzipped, whole or torn, and writing them all or nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.errors import ExportError, LogFileError
from the_edge_obs.files import write_atomically
from the_edge_obs.jsonl import Skipped, lines_of, log_files, parsed, read_events

from .strategies import FLOW, event


def an_event(**changes: Any) -> dict[str, Any]:
    fields = {"message": "é", "data": {"a": [1, None, {"b": "\u2028"}]}, "metrics": {"n": 1}}
    return event(1, "log", 1.5, parent=None, **{**fields, **changes})


EVENTS = [an_event(), an_event(timestamp=2, step="s"), an_event(message=None, parent_id=FLOW)]
TEXT = "".join(lines_of(EVENTS))


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Plain, gzipped and exported files give the same events in the same order."""
    plain, packed, exported = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "a.json"
    plain.write_text(TEXT, encoding="utf-8")
    with gzip.open(packed, "wt", encoding="utf-8") as file:
        file.write(TEXT)
    exported.write_text(json.dumps({"events": EVENTS}), encoding="utf-8")
    for path in (plain, packed, exported, str(plain)):
        assert list(read_events(path)) == EVENTS


def test_what_is_no_event_is_passed_over_and_counted(tmp_path: Path) -> None:
    """Blank lines do not count; other lines are counted, and the first is named with its number."""
    path = tmp_path / "a.jsonl"
    path.write_text(f'{TEXT}\n  \nnot json\n[1]\n{{"flow_id": 1}}\n{TEXT}', encoding="utf-8")
    skipped = Skipped()
    assert list(read_events(path, skipped)) == EVENTS * 2
    assert (skipped.lines, skipped.torn) == (3, False)
    assert skipped.first is not None
    assert skipped.first.startswith("line 6: no JSON (")


def test_a_torn_last_line_is_told_apart(tmp_path: Path) -> None:
    """The log of a killed process loses its last, half line and no other."""
    path = tmp_path / "a.jsonl"
    path.write_text(TEXT + TEXT[:40], encoding="utf-8")
    skipped = Skipped()
    assert list(read_events(path, skipped)) == EVENTS
    assert (skipped.lines, skipped.torn) == (1, True)


def test_a_last_line_without_newline_counts(tmp_path: Path) -> None:
    """A whole line at the end needs no newline."""
    path = tmp_path / "a.jsonl"
    path.write_text(TEXT.rstrip("\n"), encoding="utf-8")
    skipped = Skipped()
    assert list(read_events(path, skipped)) == EVENTS
    assert skipped.lines == 0


def test_a_gzip_file_that_ends_too_early(tmp_path: Path) -> None:
    """What can be unpacked is read; the rest is noted as torn."""
    path = tmp_path / "a.jsonl.gz"
    many = "".join(lines_of([an_event(data={"i": i, "noise": str(hash(str(i)))}) for i in range(2_000)]))
    packed = gzip.compress(many.encode())
    path.write_bytes(packed[: len(packed) // 2])
    skipped = Skipped()
    events = list(read_events(path, skipped))
    assert 0 < len(events) < 2_000
    assert [event["data"]["i"] for event in events] == list(range(len(events)))
    assert skipped.torn


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "1",
        "[" * 100_000,
        b"\xff\xfe\x00bad",
        '{"flow_id":"a","span_id":"b","event_type":"log","timestamp":1}',
        json.dumps(an_event(node=1)),
        json.dumps(an_event(data=[])),
        json.dumps(an_event(parent_id=7)),
        json.dumps(an_event(timestamp="now")),
        json.dumps(an_event(timestamp=float("nan"))),
        json.dumps(an_event(data={"x": float("inf")})),
    ],
)
def test_lines_that_are_no_events_say_why(line: str | bytes) -> None:
    """Whatever a line holds, the answer is a text, not an exception; NaN and Infinity are no JSON."""
    assert isinstance(parsed(line), str)
    assert parsed(line)


def test_a_parsed_line_is_its_event() -> None:
    """Bytes and text alike."""
    line = json.dumps(an_event())
    assert parsed(line) == parsed(line.encode()) == an_event()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"[]", "is no exported flow log: it has no list of events"),
        ("a.jsonl.gz", b"not gzip at all", "cannot be read: not a gzipped file"),
    ],
)
def test_unreadable_files_say_so(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """The error names the file and what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LogFileError, match=message) as caught:
        list(read_events(path))
    assert repr(str(path)) in str(caught.value)


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    """A file or folder that is not there is an error with its reason, raised from its cause."""
    for read in (lambda path: list(read_events(path)), log_files):
        with pytest.raises(LogFileError, match="cannot be read: no such file or directory") as caught:
            read(tmp_path / "gone")
        assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_log_files_are_those_of_a_folder(tmp_path: Path) -> None:
    """By name; other files and sub-folders are left out."""
    for name in ("b.jsonl", "a.jsonl.gz", "c.json", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub.jsonl").mkdir()
    assert [path.name for path in log_files(tmp_path)] == ["a.jsonl.gz", "b.jsonl"]


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    """A file appears whole, folders included, or the old one stays and nothing is left behind."""
    path = tmp_path / "deep" / "a.jsonl"
    assert write_atomically(path, ["é\n", "b\n"]) == 5
    assert path.read_text(encoding="utf-8") == "é\nb\n"

    def failing() -> Any:
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, failing())
    assert path.read_text(encoding="utf-8") == "é\nb\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.jsonl"]


def test_an_unwritable_path_is_an_export_error(tmp_path: Path) -> None:
    """A file as a folder, or a folder as the file: the error names the path."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.jsonl", tmp_path / "folder"):
        with pytest.raises(ExportError) as caught:
            write_atomically(path, ["x"])
        assert str(caught.value).startswith(f"path {str(path)!r} cannot be written: ")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_lone_surrogates_of_other_writers_do_not_break_an_export(tmp_path: Path) -> None:
    """A line with an escaped lone surrogate is read, and what is written of it can be read again."""
    event = parsed(json.dumps(an_event(message="a\ud800b")))
    assert isinstance(event, dict)
    write_atomically(tmp_path / "a.jsonl", lines_of([event]))
    assert list(read_events(tmp_path / "a.jsonl")) == [event]
