from __future__ import annotations

import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.actions import file as actions_file
from the_edge_obs.actions.file import file_read, file_write
from the_edge_obs.errors import ActionError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A text survives the way through a file; missing folders are made; nothing else is left behind."""
    path = str(tmp_path / "a" / "b" / "note.txt")
    assert file_write({}, path=path, content="Grüße\n") == {"path": path, "bytes": 8, "success": True}
    assert file_read({}, path=path) == {"content": "Grüße\n", "path": path, "bytes": 8, "success": True}
    assert os.listdir(tmp_path / "a" / "b") == ["note.txt"]


def test_encoding_is_used_both_ways(tmp_path: Path) -> None:
    """An encoding other than UTF-8 is kept."""
    path = str(tmp_path / "note.txt")
    file_write({}, path=path, content="é", encoding="latin-1")
    assert Path(path).read_bytes() == b"\xe9"
    assert file_read({}, path=path, encoding="latin-1")["content"] == "é"


def test_file_uri_and_relative_path_are_local_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``file://`` in front is dropped, a relative path starts at the working directory."""
    monkeypatch.chdir(tmp_path)
    file_write({}, path=f"file://{tmp_path}/one.txt", content="1")
    assert file_read({}, path="one.txt") == {"content": "1", "path": "one.txt", "bytes": 1, "success": True}


def test_line_ends_become_newlines_on_reading(tmp_path: Path) -> None:
    """Reading folds line ends as Python's text mode does; writing leaves them alone."""
    path = tmp_path / "dos.txt"
    file_write({}, path=str(path), content="a\r\nb\n")
    assert path.read_bytes() == b"a\r\nb\n"
    assert file_read({}, path=str(path))["content"] == "a\nb\n"


def test_append_adds_to_the_end(tmp_path: Path) -> None:
    """append keeps what is there, and makes the file when it is not."""
    path = str(tmp_path / "log.txt")
    file_write({}, path=path, content="a\n", append=True)
    file_write({}, path=path, content="b\n", append=True)
    assert file_read({}, path=path)["content"] == "a\nb\n"


def test_overwriting_keeps_mode_and_symbolic_link(tmp_path: Path) -> None:
    """The replaced file keeps its permissions, and a link to it stays a link."""
    real, link = tmp_path / "real.sh", tmp_path / "link.sh"
    real.write_text("old")
    real.chmod(0o750)
    link.symlink_to(real)
    file_write({}, path=str(link), content="new")
    assert (link.is_symlink(), real.read_text(), stat.S_IMODE(real.stat().st_mode)) == (True, "new", 0o750)


def test_new_file_follows_the_umask(tmp_path: Path) -> None:
    """A new file has the mode that open() would give it, not that of a private temporary file."""
    (tmp_path / "usual").write_text("")
    file_write({}, path=str(tmp_path / "ours"), content="")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """While a writer replaces the file again and again, each reader gets one whole version of it."""
    path = str(tmp_path / "state.txt")
    versions = {letter * 50_000 for letter in "ab"}
    file_write({}, path=path, content=min(versions))
    done = threading.Event()

    def write() -> None:
        for _ in range(30):
            for content in versions:
                file_write({}, path=path, content=content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(file_read({}, path=path)["content"])
    writer.join()
    assert seen <= versions


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A named pipe stays one: replacing it would take it from its reader."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    file_write({}, path=str(pipe), content="through")
    reader.join()
    assert (got, stat.S_ISFIFO(pipe.stat().st_mode)) == (["through"], True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_that_nobody_reads_is_a_soft_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side waits for ever: without a reader, with one that takes nothing, and when it is read without a writer."""
    monkeypatch.setattr(actions_file, "_PATIENCE", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = [file_write({}, path=str(pipe), content="x", append=append) for append in (False, True)]
    found.append(file_read({}, path=str(pipe)))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    found.append(file_write({}, path=str(pipe), content="x" * 2_000_000))
    os.close(reader)
    assert [(one["error_type"], one["error"].removeprefix(f"{pipe}: ")) for one in found] == [
        ("write_error", "it is a pipe without a reader for 0 seconds"),
        ("write_error", "it is a pipe without a reader for 0 seconds"),
        ("read_error", "it is a pipe (FIFO), not a regular file"),
        ("write_error", "no reader took data for 0 seconds"),
    ]


def test_missing_file_is_a_soft_failure(tmp_path: Path) -> None:
    """A file that is not there lets the flow go on."""
    path = str(tmp_path / "no.txt")
    assert file_read({}, path=path) == {
        "success": False,
        "error": f"File not found: {path}",
        "error_type": "not_found",
        "path": path,
    }


def test_folder_is_a_soft_failure(tmp_path: Path) -> None:
    """A folder can neither be read nor written, and stays."""
    folder = str(tmp_path)
    read, write = file_read({}, path=folder), file_write({}, path=folder, content="x")
    assert (read["error_type"], write["error_type"], read["error"]) == (
        "read_error",
        "write_error",
        f"{folder}: it is a folder, not a regular file",
    )


def test_unwritable_place_is_a_soft_failure_and_leaves_nothing(tmp_path: Path) -> None:
    """A path below a file cannot be made."""
    (tmp_path / "file").write_text("")
    result = file_write({}, path=str(tmp_path / "file" / "below.txt"), content="x")
    assert (result["success"], result["error_type"], os.listdir(tmp_path)) == (False, "write_error", ["file"])


def test_failed_replacement_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old content stays and the draft is removed."""
    path = tmp_path / "note.txt"
    path.write_text("old")

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    result = file_write({}, path=str(path), content="new")
    assert result == {
        "success": False,
        "error": f"Permission denied: {path}",
        "error_type": "permission_denied",
        "path": str(path),
    }
    assert (os.listdir(tmp_path), path.read_text()) == (["note.txt"], "old")


def test_cap_is_exact(tmp_path: Path) -> None:
    """A file of exactly max_bytes is read, one byte more is refused."""
    path = tmp_path / "big.txt"
    path.write_text("x" * 11)
    assert file_read({}, path=str(path), max_bytes=11)["content"] == "x" * 11
    result = file_read({}, path=str(path), max_bytes=10)
    assert (result["error_type"], result["error"]) == (
        "too_large",
        f"{path} is larger than 10 bytes; raise max_bytes to accept more",
    )


def test_text_that_does_not_fit_its_encoding_is_a_soft_failure(tmp_path: Path) -> None:
    """Neither reading nor writing replaces characters silently."""
    path = tmp_path / "note.txt"
    path.write_bytes(b"\xff")
    read = file_read({}, path=str(path))
    write = file_write({}, path=str(path), content="é", encoding="ascii")
    assert (read["error_type"], write["error_type"], path.read_bytes()) == ("encoding", "encoding", b"\xff")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"path": "s3://bucket/key"}, "path 's3://bucket/key' is not a path on this machine"),
        ({"path": None}, "path is None; it must be a string that is not empty"),
        ({"path": "a\0b"}, r"path 'a\x00b' is not a path on this machine"),
        ({"path": "a", "encoding": "klingon"}, "unknown encoding 'klingon'"),
        ({"path": "a", "max_bytes": -1}, "max_bytes is -1; it must be a whole number above 0"),
    ],
)
def test_bad_use_of_read_raises(params: dict[str, Any], message: str) -> None:
    """What the flow's author has to mend raises, and names the value."""
    with pytest.raises(ActionError, match=re.escape(message)):
        file_read({}, **params)


def test_content_that_is_no_text_raises(tmp_path: Path) -> None:
    """A dict is not written in Python's spelling; the error says how to make it text."""
    with pytest.raises(ActionError, match=r"content is of type dict; it must be a string: use \| tojson or \| string"):
        file_write({}, path=str(tmp_path / "a"), content={"a": 1})  # type: ignore[arg-type]
