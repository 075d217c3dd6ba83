from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.actions import memory
from the_edge_obs.actions.memory import memory_retrieve, memory_store
from the_edge_obs.errors import ActionError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "deep" / "memory.db")


class Clock:
    """A wall clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(memory, "time", standing)
    return standing


@pytest.mark.parametrize("value", [{"theme": ["dark", 1, 2.5, None, True]}, None, "é", 0, []])
def test_stored_value_comes_back(path: str, value: Any) -> None:
    """Any JSON value survives, None included: it is found, not missing."""
    stored = memory_store({}, key="k", value=value, path=path)
    assert stored == {"stored": True, "key": "k", "namespace": "default", "success": True}
    assert memory_retrieve({}, key="k", default="other", path=path) == {
        "value": value,
        "found": True,
        "key": "k",
        "namespace": "default",
        "success": True,
    }


def test_storing_again_replaces(path: str) -> None:
    """The last value of a key stays."""
    for value in (1, 2):
        memory_store({}, key="k", value=value, path=path)
    assert memory_retrieve({}, key="k", path=path)["value"] == 2


def test_namespaces_keep_equal_keys_apart(path: str) -> None:
    """A key belongs to its namespace; ids may be numbers."""
    memory_store({}, key=7, value="a", namespace=1, path=path)  # type: ignore[arg-type]
    memory_store({}, key="7", value="b", namespace="2", path=path)
    values = [memory_retrieve({}, key="7", namespace=space, path=path)["value"] for space in ("1", "2", "3")]
    assert values == ["a", "b", None]


def test_missing_key_gives_the_default_and_no_file(path: str) -> None:
    """Looking for something is not a failure, and leaves no trace on the disk."""
    assert memory_retrieve({}, key="k", default=[1], path=path) == {
        "value": [1],
        "found": False,
        "key": "k",
        "namespace": "default",
        "success": True,
    }
    assert not os.path.exists(os.path.dirname(path))


def test_default_file_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path, values live in .tea-obs/memory.db."""
    monkeypatch.chdir(tmp_path)
    memory_store({}, key="k", value=1)
    assert memory_retrieve({}, key="k")["value"] == 1
    assert (tmp_path / ".tea-obs" / "memory.db").is_file()


def test_value_is_forgotten_after_its_ttl(path: str, clock: Clock) -> None:
    """A value lives for ttl seconds; storing it again without one keeps it."""
    memory_store({}, key="k", value=1, ttl=10, path=path)
    clock.now += 9.5
    assert memory_retrieve({}, key="k", path=path)["found"] is True
    clock.now += 0.5
    assert memory_retrieve({}, key="k", default="gone", path=path)["value"] == "gone"
    memory_store({}, key="k", value=2, path=path)
    clock.now += 1e9
    assert memory_retrieve({}, key="k", path=path)["value"] == 2


def test_forgotten_values_leave_the_file(path: str, clock: Clock) -> None:
    """The next store removes what has expired, so the file does not grow for ever."""
    import sqlite3
    from contextlib import closing

    memory_store({}, key="old", value=1, ttl=1, path=path)
    clock.now += 2
    memory_store({}, key="new", value=1, path=path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT key FROM memory").fetchall() == [("new",)]


@pytest.mark.slow
def test_threads_share_a_file(path: str) -> None:
    """Parallel branches store and retrieve at the same time; nothing is lost, nobody is locked out."""

    def work(number: int) -> Any:
        stored = memory_store({}, key=f"k{number}", value=number, path=path)
        return stored["stored"], memory_retrieve({}, key=f"k{number}", path=path)["value"]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(60)))
    assert results == [(True, number) for number in range(60)]


@pytest.mark.slow
def test_processes_share_a_file(path: str) -> None:
    """Two other processes and this one write to one new file at the same time."""
    script = (
        "import sys\n"
        "from the_edge_obs.actions.memory import memory_store\n"
        "sys.stdin.readline()\n"
        "for number in range(40):\n"
        "    result = memory_store({}, key=f'{sys.argv[2]}{number}', value=number, path=sys.argv[1])\n"
        "    assert result['success'], result\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path, name], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for number in range(40):
        assert memory_store({}, key=f"c{number}", value=number, path=path)["success"]
    assert [(worker.communicate()[1], worker.returncode) for worker in workers] == [(b"", 0), (b"", 0)]
    found = [memory_retrieve({}, key=f"{name}{number}", path=path)["value"] for name in "abc" for number in range(40)]
    assert found == [*range(40)] * 3


def test_broken_file_is_a_soft_failure(tmp_path: Path) -> None:
    """A file that is not an SQLite file stays as it is, and the flow goes on."""
    path = tmp_path / "memory.db"
    path.write_text("no database at all, but some text that is long enough" * 20)
    assert memory_store({}, key="k", value=1, path=str(path)) == {
        "success": False,
        "error": f"{path}: file is not a database",
        "error_type": "storage",
        "stored": False,
        "key": "k",
        "namespace": "default",
    }
    assert memory_retrieve({}, key="k", default=3, path=str(path)) == {
        "success": False,
        "error": f"{path}: file is not a database",
        "error_type": "storage",
        "value": 3,
        "found": False,
        "key": "k",
        "namespace": "default",
    }


def test_unwritable_place_is_a_soft_failure(tmp_path: Path) -> None:
    """A folder that cannot be made lets the flow go on."""
    (tmp_path / "file").write_text("")
    result = memory_store({}, key="k", value=1, path=str(tmp_path / "file" / "memory.db"))
    assert (result["success"], result["error_type"], result["stored"]) == (False, "storage", False)


def test_foreign_database_without_the_table_has_nothing(tmp_path: Path) -> None:
    """An empty or foreign SQLite file holds no memories."""
    path = tmp_path / "memory.db"
    path.write_bytes(b"")
    assert memory_retrieve({}, key="k", path=str(path))["found"] is False


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"key": None, "value": 1}, "key is None; it must be a string that is not empty, or a number"),
        ({"key": "", "value": 1}, "key is ''"),
        ({"key": "k", "value": 1, "namespace": []}, "namespace is []"),
        ({"key": "k", "value": {1, 2}}, "value cannot be written as JSON"),
        ({"key": "k", "value": float("inf")}, "value cannot be written as JSON"),
        ({"key": "k", "value": 1, "ttl": 0}, "ttl is 0; it must be a number above 0"),
        ({"key": "k", "value": 1, "path": ""}, "path is ''"),
    ],
)
def test_bad_use_raises(path: str, params: dict[str, Any], message: str) -> None:
    """What the flow's author has to mend raises, and names the value."""
    with pytest.raises(ActionError, match=re.escape(message)):
        memory_store({}, **{"path": path, **params})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and files")
def test_the_file_is_its_owners_and_only_a_regular_one_will_do(tmp_path: Path) -> None:
    """So are its folders and the journal of a write under way; a link or a pipe in its place is a soft failure, soon."""
    place = tmp_path / "new" / "memory.db"
    before = os.umask(0)
    try:
        memory_store({}, key="k", value=1, path=str(place))
        with sqlite3.connect(place) as connection:
            connection.execute("INSERT INTO memory VALUES ('n', 'k', '1', NULL)")
            modes = {path.name: path.stat().st_mode & 0o777 for path in [place.parent, *place.parent.iterdir()]}
            connection.rollback()
        connection.close()
    finally:
        os.umask(before)
    assert modes == {"new": 0o700, "memory.db": 0o600, "memory.db-journal": 0o600}
    (tmp_path / "link.db").symlink_to(place)
    os.mkfifo(tmp_path / "pipe.db")
    for name, kind in (("link.db", "a symbolic link"), ("pipe.db", "a pipe (FIFO)")):
        path = str(tmp_path / name)
        for found in (memory_store({}, key="k", value=2, path=path), memory_retrieve({}, key="k", path=path)):
            assert (found["success"], found["error_type"]) == (False, "storage")
            assert found["error"] == f"{path}: it is {kind}, not a regular file"
    assert memory_retrieve({}, key="k", path=str(place))["value"] == 1


def test_making_the_file_takes_no_locks_away(tmp_path: Path) -> None:
    """Threads that begin at the same moment: one makes it, all values are there, and nothing else is left."""
    place = str(tmp_path / "memory.db")
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait()
        return bool(memory_store({}, key=str(number), value=number, path=place)["success"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8
    assert [memory_retrieve({}, key=str(number), path=place)["value"] for number in range(8)] == list(range(8))
    assert os.listdir(tmp_path) == ["memory.db"]
