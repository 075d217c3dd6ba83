"""Full recordings read back: by span, from whole, torn, compressed and wrong files."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import LogFileError, NotRecordedError
from the_edge_obs.cli import main
from the_edge_obs.recording.full import VERSION
from the_edge_obs.store.full_record import FullError, full_problems, full_records

IDS = {"flow_id": "f", "span_id": "s", "node": "llm.call"}


def written(folder: Path, *lines: Any, end: str = "\n") -> Path:
    """Write a recording beside a log, and return the log."""
    texts = [line if isinstance(line, str) else json.dumps({"full": VERSION, **IDS, **line}) for line in lines]
    (folder / "run.jsonl.full").write_text("\n".join(texts) + end)
    return folder / "run.jsonl"


def test_a_log_without_a_recording_has_none(tmp_path: Path) -> None:
    """Nothing was chosen: no file, and no record."""
    assert full_records(tmp_path / "run.jsonl") == {}


def test_line_is_found_by_its_span(tmp_path: Path) -> None:
    """Flow and span name it; a call without output says so."""
    records = full_records(written(tmp_path, {"output": None, "input": {"sha256": "ab"}}, {"span_id": "other"}))
    assert [*records] == [("f", "s"), ("f", "other")]
    first, other = records.values()
    assert (first.has_output, first.output, first.input_sha256, first.state, first.removed) == (True, None, "ab", {}, ())
    assert (other.has_output, other.output, other.input_sha256) == (False, None, None)


def test_last_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    """A process that was killed while it wrote."""
    assert [*full_records(written(tmp_path, {}, '{"full": 1, "flo', end=""))] == [("f", "s")]


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"full": 2}', '{"full": 1, "flow_id": 1}', json.dumps({"full": 1, **IDS, "state": []})]
)
def test_file_that_is_not_a_recording_is_an_error(tmp_path: Path, line: str) -> None:
    """A wrong line in the middle is not passed over: an answer would be missing."""
    with pytest.raises(LogFileError, match=r"run\.jsonl\.full', line 2: not "):
        full_records(written(tmp_path, {}, line, {}))


def test_compressed_recording_is_read(tmp_path: Path) -> None:
    """As ``clean`` leaves it, and under each name of the log."""
    log = written(tmp_path, {"output": {"$": "tuple", "v": [1]}})
    plain = tmp_path / "run.jsonl.full"
    Path(f"{plain}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert [record.output for record in full_records(f"{log}.gz").values()] == [(1,)]
    Path(f"{plain}.gz").write_bytes(b"no gzip")
    with pytest.raises(LogFileError, match="cannot be read"):
        full_records(log)


def test_value_that_was_lost_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    """Never a wrong value: reading it says what is missing."""
    lost = {"output": {"a": {"$": "lost", "type": "shop.Client", "why": "it is not plain data"}}, "lost": {"output.a": "…"}}
    (record,) = full_records(written(tmp_path, lost)).values()
    with pytest.raises(NotRecordedError, match=r"output\.a was not recorded: it is not plain data \(shop\.Client\)"):
        _ = record.output


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "bytes", "v": 5},
        {"$": "bytearray", "v": [1]},
        {"$": "uuid", "v": 5},
        {"$": "dataclass", "type": 5, "v": {}},
        {"$": "dataclass", "type": "x", "v": 5},
        {"$": "timedelta", "v": [1e308, 1]},
        {"$": None, "v": 1},
        {"$": ["tuple"], "v": 1},
    ],
)
@pytest.mark.parametrize("key", ["output", "state", "error"])
def test_value_that_somebody_has_changed_is_an_error_when_it_is_read(tmp_path: Path, key: str, tree: Any) -> None:
    """It is one that a replay reports, with its place."""
    line = {key: {"mro": ["ValueError"], "args": tree} if key == "error" else {"a": tree}}
    (record,) = full_records(written(tmp_path, line)).values()
    with pytest.raises(NotRecordedError, match=key):
        _ = record.output, record.state, record.error and record.error.exception()


@pytest.mark.parametrize(
    "line",
    [
        {"error": {"mro": 5}},
        {"error": {"mro": [5]}},
        {"removed": [1]},
        {"redacted": [None]},
        {"lost": {"output": 1}},
        {"input": {"sha256": 1}},
    ],
)
def test_line_whose_parts_are_not_texts_is_an_error(tmp_path: Path, line: dict[str, Any]) -> None:
    """A replay would look for them in texts."""
    with pytest.raises(LogFileError, match="hold texts"):
        full_records(written(tmp_path, line))


@pytest.mark.parametrize(
    "error",
    [
        {"mro": ["ValueError"], "args": 5},
        {"mro": ["\0"], "args": {"$": "tuple", "v": []}},
    ],
)
def test_error_that_cannot_be_made_is_an_error(tmp_path: Path, error: dict[str, Any]) -> None:
    (record,) = full_records(written(tmp_path, {"error": error})).values()
    assert record.error is not None
    with pytest.raises(NotRecordedError, match="error"):
        record.error.exception()


class LoadedError(ValueError):
    """A class that is loaded; making it again runs none of its code."""

    def __init__(self, *args: object) -> None:
        raise AssertionError("no code of the class runs")


def error_of(*bases: str, args: Any = ("a", 1)) -> BaseException:
    """Return the exception that is made again from the names of its classes."""
    return FullError(bases, "text", {"$": "tuple", "v": list(args)}).exception()


def test_exception_has_its_classes_and_arguments() -> None:
    """A class that is loaded is used, one that is not is made with its name and its bases."""
    loaded = error_of(f"{__name__}.LoadedError", "ValueError", "Exception", "BaseException")
    assert (type(loaded), loaded.args) == (LoadedError, ("a", 1))
    made = error_of("gone.Late", "gone.Base", f"{__name__}.LoadedError", "ValueError", "LookupError", "Exception")
    assert isinstance(made, LoadedError)
    assert [kind.__name__ for kind in type(made).__mro__[:3]] == ["Late", "Base", "LoadedError"]
    assert (made.args, str(made)) == (("a", 1), "('a', 1)")


@pytest.mark.parametrize(
    ("name", "args", "attribute", "value"),
    [
        ("FileNotFoundError", (2, "No such file"), "errno", 2),
        ("UnicodeDecodeError", ("utf-8", {"$": "bytes", "v": "/w=="}, 0, 1, "bad"), "reason", "bad"),
        ("KeyError", ("k",), "args", ("k",)),
        ("StopIteration", (5,), "value", 5),
    ],
)
def test_builtin_exception_has_its_attributes(name: str, args: Any, attribute: str, value: Any) -> None:
    """The attributes of builtin exceptions follow from their arguments."""
    error = error_of(name, "Exception", "BaseException", args=args)
    assert (type(error).__name__, getattr(error, attribute)) == (name, value)


def test_names_that_are_not_exceptions_are_not_used() -> None:
    """A recording cannot name any class of the program."""
    assert type(error_of("subprocess.Popen", "Exception", "BaseException")).__mro__[1] is Exception


HIDDEN = [
    *({"output": {"access_token": "s3cr3t-9fQ2xVb7"}}, {"output": ["Bearer sk-proj-9fQ2xVb7Lm4TzR8wKc1YpD6s"]}),
    *(
        {"state": {"a": {"$": "dict", "v": [["password", "s3cr3t-9fQ2xVb7"]]}}},
        {"error": {"message": "password=s3cr3t-9fQ2xVb7"}},
    ),
    {"output": {"$": "bytes", "v": base64.b64encode(b"sk-proj-9fQ2xVb7Lm4TzR8wKc1YpD6s").decode()}},
]


@pytest.mark.parametrize("line", HIDDEN)
def test_secret_in_a_recording_is_found(tmp_path: Path, line: dict[str, Any]) -> None:
    """Whatever its shape and its tag: another program may have written the file."""
    written(tmp_path, {"output": {"password": "[REDACTED]", "n": [1, {"$": "tuple", "v": ["a"]}]}}, line)
    ((number, problem),) = full_problems(tmp_path / "run.jsonl.full")
    assert number == 2
    assert "holds what looks like a secret" in problem


def test_validate_looks_into_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Together with their log, with line and place."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "run.jsonl")}], "record": {"full": ["n"]}})
    with obs.flow("f"), obs.span("n", password="s3cr3t-9fQ2xVb7") as span:
        span.output = {"password": "s3cr3t-9fQ2xVb7"}
    undo()
    assert main(["validate", str(tmp_path)]) == 0
    assert "run.jsonl.full: OK, full recording without secrets" in capsys.readouterr().out
    recording = tmp_path / "run.jsonl.full"
    recording.write_text(recording.read_text().replace("[REDACTED]", "s3cr3t-9fQ2xVb7"))
    assert main(["validate", str(tmp_path / "run.jsonl")]) == 2
    out, err = capsys.readouterr()
    assert "run.jsonl.full:1: output.password holds what looks like a secret" in out
    assert err == f"tea-obs: error: 1 problem in the full recording {str(recording)!r}\n"
