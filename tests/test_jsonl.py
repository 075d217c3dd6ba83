"""Event files: plain or gzipped, whole or torn, and writing them all or nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs import jsonl
from the_edge_obs.errors import LogFileError
from the_edge_obs.event import MAX_EVENT_BYTES, MAX_LINE_BYTES
from the_edge_obs.event_query import line_filter
from the_edge_obs.files import write_atomically
from the_edge_obs.jsonl import (
    MAX_DEPTH,
    MAX_INT,
    Flaw,
    LineFilter,
    Skipped,
    decoded,
    lines_of,
    numbered_lines,
    opened,
    parsed,
    read_events,
    strictly_decoded,
)  # fmt: skip
from the_edge_obs.store.paths import log_files

from .growth import assert_linear
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
    assert skipped.first.startswith("line 6: not valid JSON (")


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
        json.dumps(an_event(data={"error": 7})),
        json.dumps(an_event(metrics={"n": True})),
        json.dumps(an_event(metrics={"n": MAX_INT + 1})),
        json.dumps(an_event(metrics={"n": -MAX_INT - 1})),
    ],
)
def test_lines_that_are_no_events_say_why(line: str | bytes) -> None:
    """Whatever a line holds, the answer is a text, not an exception; NaN and Infinity are not JSON."""
    assert isinstance(parsed(line), str)
    assert parsed(line)


def test_what_is_wrong_with_an_event_is_said() -> None:
    """Every problem of a few; of many the first, and how many more there are; what only readers mind is said as well."""
    assert parsed(json.dumps(an_event(node=1, level="loud"))) == (
        "node is 1; it must be a string that is not empty; level is 'loud'; it must be one of debug, info, warn, error"
    )
    many = an_event(metrics={f"m{n}": "x" for n in range(20)})
    assert str(parsed(json.dumps(many))).endswith("metrics.m15 is 'x'; it must be a number or null; and 4 more")
    assert parsed(json.dumps(an_event(timestamp=1e300))) == "its timestamp or a metric is out of range"


def test_metrics_are_numbers_within_limits_or_null() -> None:
    """The limits themselves are within."""
    event = an_event(metrics={"most": MAX_INT, "least": -MAX_INT, "part": 0.5, "none": None})
    assert parsed(json.dumps(event)) == event


@pytest.mark.parametrize("count", [1, 2])
def test_what_an_export_has_lost_is_noted(count: int) -> None:
    """One event as well as several; of two exports of a flow, the larger number."""
    skipped = Skipped()
    for lost in (0, count, 0, None):
        skipped.note_dropped({"flow_id": FLOW, "metrics": {"dropped_count": lost}})
    assert skipped.dropped == {FLOW: count}


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_last_line_that_lies_in_two_pieces_of_a_file_is_whole(ending: bytes) -> None:
    """A file is read in pieces; what one ends with, the next goes on with."""
    long, last = b"x" * (MAX_LINE_BYTES - 5) + b"\n", b"0123456789" + ending
    file: Any = io.BufferedReader(io.BytesIO(long + last))  # type: ignore[arg-type]
    assert list(numbered_lines(file)) == [(1, long), (2, last)]


def test_a_parsed_line_is_its_event() -> None:
    """Bytes and text alike."""
    line = json.dumps(an_event())
    assert parsed(line) == parsed(line.encode()) == an_event()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "is not valid JSON"),
        ("a.json", b"[]", "is not an exported flow log: it has no list of events"),
        ("a.json", b'{"events": 7}', "is not an exported flow log: it has no list of events"),
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


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """A file that is not there is an error with its reason, raised from its cause."""
    with pytest.raises(LogFileError, match="cannot be read: no such file or directory") as caught:
        list(read_events(tmp_path / "gone"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_lone_surrogates_of_other_writers_do_not_break_an_export(tmp_path: Path) -> None:
    """A line with an escaped lone surrogate is read, and what is written of it can be read again."""
    event = parsed(json.dumps(an_event(message="a\ud800b")))
    assert isinstance(event, dict)
    write_atomically(tmp_path / "a.jsonl", lines_of([event]))
    assert list(read_events(tmp_path / "a.jsonl")) == [event]


# --- lines and files of any length ---

LINE = json.dumps(an_event()) + "\n"


def written(path: Path, *parts: str | bytes) -> Path:
    """Write a log, gzipped if its name says so."""
    content = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def of_length(length: int) -> str:
    """Return the line of an event with exactly so many bytes, and its newline."""
    bare = len(json.dumps(an_event(message="")))
    return json.dumps(an_event(message="x" * (length - bare))) + "\n"


def test_the_cap_of_a_line_leaves_room_for_other_writers() -> None:
    """Our own lines have a sixteenth of it."""
    assert MAX_LINE_BYTES == 16 * MAX_EVENT_BYTES == 1_048_576


NODE_FILTER = line_filter({"node": "flow"})


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [None, NODE_FILTER], ids=["all", "filtered"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_line_that_is_too_long_is_told_with_its_number_and_the_rest_is_read(tmp_path: Path, name: str, wanted: Any) -> None:
    """Just at the cap, over it by a byte, by far, and at the end without a newline."""
    path = written(
        tmp_path / name, LINE, of_length(MAX_LINE_BYTES), of_length(MAX_LINE_BYTES + 1), LINE, "y" * (5 * MAX_LINE_BYTES), "\n",
        "\n", LINE, of_length(3 * MAX_LINE_BYTES), LINE, "z" * (2 * MAX_LINE_BYTES),
    )  # fmt: skip
    skipped = Skipped()
    assert len(list(read_events(path, skipped, wanted))) == 5
    assert (skipped.lines, skipped.torn, skipped.first) == (4, False, "line 3: longer than 1,048,576 bytes")
    with opened(path) as file:
        told = [number for number, line in numbered_lines(file, wanted) if isinstance(line, Flaw)]
    assert told == [3, 5, 8, 10]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from([LINE.encode(), b"\n", b"no\n", b"\r\n", b'{"a":"\\u00e9"}\n', of_length(200_000).encode()]), max_size=14
    )
)
def test_lines_have_their_numbers_however_they_lie_in_blocks(parts: list[bytes]) -> None:
    """With a filter, which passes lines over in blocks, and without."""
    content = b"".join(parts)
    numbers = [number for number, line in enumerate(parts, 1) if line.strip()]
    assert [number for number, _ in numbered_lines(io.BufferedReader(io.BytesIO(content)))] == numbers  # type: ignore[arg-type]
    always = LineFilter(b"\n", lambda line: True)
    assert [number for number, _ in numbered_lines(io.BufferedReader(io.BytesIO(content)), always)] == numbers  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([b"wanted\n", b"wanted and wanted\n", b"other\n", b"\n", b"x" * 50_000 + b"\n"]), max_size=14))
def test_lines_that_a_filter_picks_have_their_numbers(parts: list[bytes]) -> None:
    """What lies between them is counted, though it is not looked at line by line."""
    file: Any = io.BufferedReader(io.BytesIO(b"".join(parts)))  # type: ignore[arg-type]
    expected = [(number, line) for number, line in enumerate(parts, 1) if b"wanted" in line]
    assert list(numbered_lines(file, LineFilter(b"wanted", lambda line: True))) == expected


MEASURED = """
import json, resource, sys
from the_edge_obs.cli import main
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
small, large = sys.argv[1:]
commands = [["show"], ["ls"], ["stats"], ["tail"], ["query", "--node", "x"], ["query"], ["validate"], ["export", "-o", "-"]]
codes = [[main([name, path, *options]) for name, *options in commands] for path in (small, small)]
before = peak()
codes.append([main([name, large, *options]) for name, *options in commands])
print(json.dumps([codes[-1], peak() - before]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell the memory of a process so")
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_no_command_takes_memory_for_an_endless_line(tmp_path: Path, name: str) -> None:
    """Of 128 MB or more without a newline, also as a gzip file of one: it is told, and the event before it is shown."""
    path = tmp_path / name
    zeros = zlib.compressobj(1, zlib.DEFLATED, 31)
    if name.endswith(".gz"):
        path.write_bytes(
            zeros.compress(LINE.encode()) + b"".join(zeros.compress(bytes(1 << 24)) for _ in range(8)) + zeros.flush()
        )
    else:
        path.write_text(LINE, encoding="utf-8")
        os.truncate(path, 1 << 28)
    small = written(tmp_path / f"small{name}", LINE * 100)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(small), str(path)], capture_output=True, text=True, check=True)
    codes, growth = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 0, 0, 0, 0, 0, 2, 0]
    assert growth < 32
    # Where a plain file is read from its end, a last line without a newline may still grow, and is not told.
    assert done.stderr.count(f"of {str(path)!r} is not an event (line 2: longer than 1,048,576 bytes)") == 6 + name.endswith(
        ".gz"
    )
    assert f"{path}:2: longer than 1,048,576 bytes\n" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [None, LineFilter(b'"x"', lambda line: True)], ids=["all", "filtered"])
def test_the_time_grows_with_the_length_of_a_line(wanted: Any) -> None:
    """Not with its square, as where each block is joined to all before it."""

    def read(content: bytes) -> int:
        return sum(1 for _ in numbered_lines(io.BufferedReader(io.BytesIO(content)), wanted))  # type: ignore[arg-type]

    assert_linear(lambda size: b"y" * size, read, 1 << 24)
    assert_linear(lambda size: b"\n" * size, read, 1 << 22)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 5_000, 100_000])
def test_what_nests_too_deep_is_no_event(depth: int) -> None:
    """On every version of Python alike; what is read can be walked through by every view."""
    text = json.dumps(an_event(data={"a": 0})).replace('{"a": 0}', '{"a":' + "[" * (depth - 2) + "]" * (depth - 2) + "}")
    found = parsed(text)
    assert isinstance(found, dict) if depth <= MAX_DEPTH else found == "not valid JSON (it nests deeper than 200 containers)"


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_objects_and_arrays_count_alike(opening: str) -> None:
    """Containers of either kind may lie inside one another as deep, and no deeper."""
    closing = {"[": "]"}.get(opening, "}")
    for depth in (MAX_DEPTH - 2, MAX_DEPTH - 1):
        inner = opening * depth + "1" + closing * depth
        found = parsed(json.dumps(an_event(data={"a": 0})).replace('{"a": 0}', f'{{"a":{inner}}}'))
        assert isinstance(found, dict) == (depth + 2 <= MAX_DEPTH)


def test_an_export_that_is_too_large_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read as a whole, so that it has a cap; a .jsonl file has none."""
    monkeypatch.setattr(jsonl, "MAX_EXPORT_BYTES", 100)
    path = written(tmp_path / "a.json", json.dumps({"events": EVENTS}))
    with pytest.raises(
        LogFileError, match=r"is larger than 100 bytes, and a \.json export is read as a whole; export the log as \.jsonl"
    ):
        list(read_events(path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
def test_a_mark_of_utf_8_and_other_line_ends_are_taken(tmp_path: Path, name: str) -> None:
    """As editors on Windows write them; UTF-16, as PowerShell writes it, is told."""
    content = json.dumps({"events": EVENTS}) if name.endswith(".json") else TEXT.replace("\n", "\r\n")
    assert list(read_events(written(tmp_path / name, b"\xef\xbb\xbf", content))) == EVENTS
    if not name.endswith(".json"):
        with pytest.raises(LogFileError, match="cannot be read: it is utf-16; a log is utf-8: convert it first"):
            list(read_events(written(tmp_path / name, content.encode("utf-16"))))
        skipped = Skipped()
        assert list(read_events(written(tmp_path / name, b"\xfe\xff", content), skipped)) == EVENTS[1:]
        assert skipped.lines == 1  # two bytes of damage, and not UTF-16


def test_gzip_members_are_one_log_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    """As ``cat a.gz b.gz`` makes them; of a damaged file, what comes before the damage is read."""
    path = tmp_path / "a.jsonl.gz"
    member = gzip.compress(TEXT.encode())
    path.write_bytes(member + member + b"rubbish")
    skipped = Skipped()
    assert list(read_events(path, skipped)) == EVENTS * 2
    assert (skipped.lines, skipped.first) == (
        1,
        f"line 7: the compressed file is damaged from here on: Not a gzipped file ({b'ru'!r})",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """A pipe without a writer, an endless device, a folder, a dangling link."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "a.jsonl").write_text(TEXT, encoding="utf-8")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    reasons = {
        "pipe": "it is a pipe (fifo), not a regular file", "zero": "it is a device, not a regular file",
        "folder": "it is a folder, not a regular file", "gone": "no such file or directory",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(LogFileError) as caught:
            list(read_events(tmp_path / f"{name}.jsonl"))
        assert str(caught.value).endswith(f"{name}.jsonl' cannot be read: {reason}")
    assert list(read_events(tmp_path / "link.jsonl")) == EVENTS
    # the link and the file that it leads to are one file; what is not a file is passed over
    assert [path.name for path in log_files([tmp_path], Skipped())] == ["a.jsonl"]


@pytest.mark.parametrize("text", ['["\\ud83d\\ude00 \\ue000"]', '["\\ud83d\\ude00 \\ud7ff"]'])
def test_strict_reading_takes_pairs_and_what_lies_around_surrogates(text: str) -> None:
    """A pair is one character, and so are the code points just outside the range; text and bytes read alike."""
    assert strictly_decoded(text) == strictly_decoded(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", ["[" * 3 + "]" * 3, '{"a":{"b":{}}}', '[{"a":[]}]'])
def test_the_limit_of_nesting_counts_arrays_and_objects(text: str) -> None:
    """Three containers are two too many for a limit of one, whatever they are."""
    assert strictly_decoded(text, 3) == json.loads(text)
    with pytest.raises(ValueError, match="nests deeper"):
        strictly_decoded(text, 2)


_ODD_JSON = st.sampled_from(
    [
        *("-0", "-0.0", "1e999", "NaN", "18446744073709551615", "18446744073709551616", "-9223372036854775809", "5e-324"),
        *(r'"\ud800"', '"\x7f"', "[1,]", '{"a":1,"a":2}', "\ufeff1"),
        *("1" * 400 + ".5", "1" * 5000, "[" * 300 + "]" * 300, '"' + "9" * 30 + '"'),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_ODD_JSON | st.builds(json.dumps, _JSON, ensure_ascii=st.booleans()) | st.text())
def test_bytes_are_read_as_text_is(text: str) -> None:
    """With orjson or without, a line has the same value, of the same types, or is refused for the same reason."""
    results = []
    for content in (text, text.encode("utf-8", "surrogatepass")):
        try:
            results.append(repr(decoded(content)))
        except UnicodeDecodeError:
            return  # a text that has no bytes
        except ValueError as error:
            results.append(str(error))
    assert results[0] == results[1]
