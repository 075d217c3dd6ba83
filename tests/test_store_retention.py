"""Log folders within limits: what goes, what is compressed, and what is never touched."""

from __future__ import annotations

import fcntl
import gzip
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main
from the_edge_obs.errors import ConfigurationError, LogFileError
from the_edge_obs.jsonl import Skipped, parsed, read_events
from the_edge_obs.store import retention
from the_edge_obs.store.full_record import full_records
from the_edge_obs.store.paths import log_files
from the_edge_obs.store.retention import Limits, age_of, bytes_of, clean

from .strategies import event

HOUR, DAY = 3_600, 86_400
NO_FLOW = b'{"flow_id": 1}\n'

# Where the system has no leases, nobody can tell.
HAS_LEASES = hasattr(fcntl, "F_SETLEASE")
OPEN_ELSEWHERE = "another program has it open"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the log of a flow, last written so many seconds ago."""

    def written(name: str, age: float, *, ended: bool = True, notes: int = 20) -> Path:
        target = tmp_path / "made.jsonl"
        undo = obs.configure({"handlers": [{"type": "file", "path": str(target)}]})
        run = obs.flow(name)
        run.__enter__()
        for n in range(notes):
            run.log("n", message=f"note {n}")
        if ended:
            run.__exit__(None, None, None)
        lines = target.read_bytes()
        if not ended:
            run.__exit__(None, None, None)
        undo()
        target.unlink()
        path = tmp_path / "logs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
        return aged(path, age)

    return written


def aged(path: Path, age: float) -> Path:
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def deeds(folder: Path, *, dry_run: bool = False, **limits: Any) -> list[tuple[str, str, str]]:
    """Return what was done with each log: its name, the action and the reason."""
    return [(deed.path.name, deed.action, deed.reason) for deed in clean(folder, Limits(**limits), dry_run=dry_run)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_old_logs_go(write: Write) -> None:
    """Those last written longer ago than the limit, compressed or not; the oldest are told of first."""
    old, new = write("a.jsonl", 40 * DAY), write("b.jsonl", 20 * DAY)
    write("c.jsonl.gz", 31 * DAY)
    assert deeds(old.parent, older_than=30 * DAY) == [
        ("a.jsonl", "removed", "last written 40 d ago"),
        ("c.jsonl.gz", "removed", "last written 31 d ago"),
        ("b.jsonl", "kept", ""),
    ]
    assert names(new.parent) == ["b.jsonl"]


def test_a_finished_log_is_compressed_and_reads_the_same(write: Write) -> None:
    """The same events, permissions and time of the last write; nothing else is left."""
    path = write("a.jsonl", 2 * HOUR)
    path.chmod(0o640)
    before, events = path.stat(), list(read_events(path))
    (deed,) = clean(path.parent, Limits(compress=True))
    after = (path.parent / "a.jsonl.gz").stat()
    assert (deed.action, deed.before, deed.after) == ("compressed", before.st_size, after.st_size)
    assert after.st_size < before.st_size / 2
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert list(read_events(path.parent / "a.jsonl.gz")) == events
    assert names(path.parent) == ["a.jsonl.gz"]
    assert deeds(path.parent, compress=True) == [("a.jsonl.gz", "kept", "")]


def test_a_name_does_not_tell_that_all_flows_have_ended(write: Write) -> None:
    """The run in it may have ended last, after another one began."""
    ended = write("x.jsonl", HOUR)
    lines = write("y.jsonl", HOUR, ended=False).read_bytes() + ended.read_bytes()
    path = ended.with_name(f"flow-{json.loads(lines.splitlines()[-1])['flow_id']}.jsonl")
    path.write_bytes(lines)
    aged(path, HOUR)
    for name in ("x.jsonl", "y.jsonl"):
        (path.parent / name).unlink()
    assert deeds(path.parent, compress=True) == [(path.name, "kept", "a flow in it has not ended")]


def test_the_oldest_go_until_the_rest_is_small_enough(write: Write) -> None:
    """All logs count, those in use too, but these stay; what is compressed counts as such."""
    old, middle, new = (write(f"{n}.jsonl", age * HOUR, notes=100) for n, age in enumerate((9, 5, 1)))
    busy = write("busy.jsonl", 10 * HOUR, ended=False)
    keep = new.stat().st_size + busy.stat().st_size
    assert deeds(old.parent, max_size=keep) == [
        ("busy.jsonl", "kept", "a flow in it has not ended"),
        ("0.jsonl", "removed", "the oldest beyond the size limit"),
        ("1.jsonl", "removed", "the oldest beyond the size limit"),
        ("2.jsonl", "kept", ""),
    ]
    middle = write("1.jsonl", 5 * HOUR, notes=100)
    done = list(clean(old.parent, Limits(max_size=busy.stat().st_size + 1, compress=True)))
    assert [(deed.path.name, deed.action, deed.after) for deed in done] == [
        ("busy.jsonl", "kept", busy.stat().st_size),
        ("1.jsonl", "removed", 0),
        ("2.jsonl", "removed", 0),
    ]
    assert names(middle.parent) == ["busy.jsonl"]


def test_what_is_in_use_is_left_alone(write: Write) -> None:
    """For a minute after its last write, and for a day while a flow in it has no end; then its process is taken for dead."""
    fresh, running = write("fresh.jsonl", 5), write("running.jsonl", DAY - HOUR, ended=False)
    dead = write("dead.jsonl", DAY + HOUR, ended=False)
    write("shared.jsonl", HOUR).write_bytes(write("x.jsonl", 0).read_bytes() + write("y.jsonl", 0, ended=False).read_bytes())
    for name in ("x.jsonl", "y.jsonl"):
        (fresh.parent / name).unlink()
    aged(fresh.parent / "shared.jsonl", HOUR)
    kept = [
        ("running.jsonl", "kept", "a flow in it has not ended"),
        ("shared.jsonl", "kept", "a flow in it has not ended"),
        ("fresh.jsonl", "kept", "it is being written"),
    ]
    assert deeds(dead.parent, compress=True) == [("dead.jsonl", "kept", "a flow in it has no end"), *kept]
    assert deeds(dead.parent, older_than=0.0, max_size=1) == [("dead.jsonl", "removed", "last written 1 d ago"), *kept]
    assert running.exists()


def test_what_is_not_ours_is_not_touched(write: Write, tmp_path: Path) -> None:
    """Other names, other contents, links, folders, pipes and what is in sub-folders."""
    ours = write("a.jsonl", 40 * DAY)
    folder = ours.parent
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(ours.read_bytes())
    (folder / "sub.jsonl").mkdir()
    for name, content in {
        "notes.txt": ours.read_bytes(), "data.jsonl": b'{"a": 1}\n', "odd.jsonl": NO_FLOW, "empty.jsonl": b"",
        "no.jsonl.gz": b"x", "bytes.jsonl": bytes(range(256)), "sub.jsonl/b.jsonl": ours.read_bytes(), ".a.jsonl.gz.1.part": b"",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
        aged(folder / name, 40 * DAY)
    (folder / "link.jsonl").symlink_to(outside)
    os.mkfifo(folder / "pipe.jsonl")
    before = names(folder)
    assert deeds(folder, older_than=DAY, max_size=1, compress=True) == [("a.jsonl", "removed", "last written 40 d ago")]
    assert names(folder) == [name for name in before if name != "a.jsonl"]
    assert outside.exists()
    assert names(folder / "sub.jsonl") == ["b.jsonl"]


def test_a_folder_that_is_a_link_or_none_is_refused(write: Write, tmp_path: Path) -> None:
    """The message names the folder, and what to give in its place."""
    folder = write("a.jsonl", 0).parent
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(LogFileError, match=rf"link' is a link, and links are not followed; give '{folder}'"):
        deeds(tmp_path / "link", compress=True)
    with pytest.raises(LogFileError, match="'gone' cannot be read: no such file or directory"):
        deeds(Path("gone"), compress=True)
    with pytest.raises(LogFileError, match="cannot be read: not a directory"):
        deeds(folder / "a.jsonl", compress=True)


def test_a_dry_run_tells_the_same_and_does_nothing(write: Write) -> None:
    """Sizes after compression included."""
    write("old.jsonl", 40 * DAY)
    write("a.jsonl", 3 * HOUR)
    folder = write("b.jsonl", 2 * HOUR).parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    limits = Limits(older_than=30 * DAY, max_size=1, compress=True)
    told = list(clean(folder, limits, dry_run=True))
    (compressed,) = (deed for deed in clean(folder, Limits(compress=True), dry_run=True) if deed.path.name == "a.jsonl")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert compressed.after == len(gzip.compress(before["a.jsonl"])) + len("a.jsonl\0")
    assert told == list(clean(folder, limits))
    assert names(folder) == []


def test_a_log_that_grows_meanwhile_stays(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who held it open all the while and wrote to it has written to the log; it gets its name back."""
    path = write("a.jsonl", HOUR)
    before, compress, looked = path.read_bytes(), retention._compress, retention._check_unused
    file = path.open("ab")

    def slowly(source: Any, log: Any, raw: Any) -> None:
        compress(source, log, raw)
        file.write(b"more\n")
        file.flush()

    monkeypatch.setattr(retention, "_compress", slowly)
    monkeypatch.setattr(retention, "_check_unused", lambda log: None)
    with file:
        assert deeds(path.parent, compress=True)[0][:2] == ("a.jsonl", "kept")
    assert (names(path.parent), path.read_bytes()) == (["a.jsonl"], before + b"more\n")
    monkeypatch.setattr(retention, "_check_unused", looked)
    with path.open("ab"):
        aged(path, HOUR)
        assert deeds(path.parent, compress=True) == [("a.jsonl", "kept", OPEN_ELSEWHERE)]


def test_who_opens_a_log_while_it_is_compressed_makes_a_new_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are kept, and read as one log."""
    path = write("a.jsonl", HOUR)
    lines, compress = path.read_bytes().splitlines(keepends=True), retention._compress
    later = lines[-1].replace(b'"timestamp":1', b'"timestamp":2')

    def slowly(source: Any, log: Any, raw: Any) -> None:
        compress(source, log, raw)
        with path.open("ab") as file:
            file.write(later)

    monkeypatch.setattr(retention, "_compress", slowly)
    assert deeds(path.parent, compress=True) == [("a.jsonl", "compressed", "")]
    assert names(path.parent) == ["a.jsonl", "a.jsonl.gz"]
    assert list(obs.query(path.parent)) == [parsed(line) for line in [*lines, later]]


def test_a_disk_that_is_full_leaves_the_log(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is told, the other logs are done, and no half of a file stays."""
    path = write("a.jsonl", HOUR)
    write("b.jsonl", 40 * DAY)

    def full(source: Any, log: Any, raw: Any) -> None:
        raw.write(b"x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retention, "_compress", full)
    assert deeds(path.parent, older_than=30 * DAY, compress=True) == [
        ("b.jsonl", "removed", "last written 40 d ago"),
        ("a.jsonl", "failed", "cannot be compressed: no space left on device"),
    ]
    assert names(path.parent) == ["a.jsonl"]


def test_a_compressed_copy_that_is_there(write: Write) -> None:
    """What an interrupted run left is finished; another file of that name is not overwritten."""
    same, other = write("same.jsonl", HOUR), write("other.jsonl", 2 * HOUR)
    (same.parent / "same.jsonl.gz").write_bytes(gzip.compress(same.read_bytes()))
    (same.parent / "other.jsonl.gz").write_bytes(gzip.compress(same.read_bytes()))
    found = [deed for deed in deeds(same.parent, compress=True) if deed[0].endswith("l")]
    assert found == [
        ("other.jsonl", "kept", "other.jsonl.gz exists already and differs"),
        ("same.jsonl", "removed", "same.jsonl.gz has all of it"),
    ]
    assert other.exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5_400), ("1.5h", 5_400), ("30d", 30 * DAY), ("2 w", 14 * DAY)]
)
def test_ages(text: str, seconds: float) -> None:
    """A number with a unit."""
    assert age_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("17", 17), ("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("64MiB", 64 << 20), ("1kB", 1_000)]
)
def test_sizes(text: str, size: int) -> None:
    """Powers of 1,000, with an i of 1,024, in any case."""
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1d2h", "٣d²"])
def test_what_is_no_age(text: str) -> None:
    """The message names it and what to write."""
    with pytest.raises(ConfigurationError, match="is not a number with a unit; write something like 30d"):
        age_of(text)


@pytest.mark.parametrize("text", ["", "GB", "1PB", "-5", "1e3"])
def test_what_is_no_size(text: str) -> None:
    """The message names it and what to write."""
    with pytest.raises(ConfigurationError, match="is not a number of bytes; write something like 500MB"):
        bytes_of(text)


# --- the command ---


def test_the_command_prints_what_it_did(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each log that something was done with, or is in use, and totals; nothing of the others."""
    old, fresh = write("old.jsonl", 40 * DAY), write("fresh.jsonl", 5)
    plain = write("plain.jsonl.gz", HOUR)
    sizes = [path.stat().st_size for path in (old, fresh, plain)]
    total, kept = sum(sizes), sum(sizes[1:])
    assert main(["clean", str(old.parent), "--older-than", "30d", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        f"{old}: would be removed, {sizes[0]:,} bytes (last written 40 d ago)\n"
        f"{fresh}: kept, {sizes[1]:,} bytes (it is being written)\n"
        f"would be: 1 removed, 0 compressed, 2 kept; 3 logs, {total:,} -> {kept:,} bytes\n"
    )
    assert main(["clean", str(old.parent), "--older-than", "30d", "--gzip"]) == 0
    assert capsys.readouterr().out == (
        f"{old}: removed, {sizes[0]:,} bytes (last written 40 d ago)\n"
        f"{fresh}: kept, {sizes[1]:,} bytes (it is being written)\n"
        f"1 removed, 0 compressed, 2 kept; 3 logs, {total:,} -> {kept:,} bytes\n"
    )


def test_the_command_says_what_it_could_not_do(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, and with exit code 2."""
    path = write("a.jsonl", 40 * DAY)

    def refused(path: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refused)
    assert main(["clean", str(path.parent), "--older-than", "1d"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tea-obs: error: {path}: cannot be removed: operation not permitted\n"
    assert printed.out.startswith("0 removed, 0 compressed, 0 kept, 1 failed; 1 log, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "clean: there is nothing to do; give --older-than, --max-size or --gzip"),
        ([".", "--older-than", "30"], "age '30' is not a number with a unit"),
        ([".", "--max-size", "much"], "size 'much' is not a number of bytes"),
        (["gone", "--gzip"], "folder 'gone' cannot be read: no such file or directory"),
        ([], "clean: the following arguments are required: DIR"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, exit code 2."""
    assert main(["clean", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"tea-obs: error: {message}")


# --- writers and kills beside it ---

WRITER = """
import json, os, sys, time, uuid
import the_edge_obs as obs
path, way, line = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
number = 0
held = open(path, "ab", buffering=0) if way == "held" else None
undo = obs.configure({"handlers": [{"type": "file", "path": path}]}) if way == "handler" else None
while not os.path.exists(path + ".stop"):
    number += 1
    if number > 400 or not number % 25:  # slower from then on: where the reader is slow, the log does not outgrow it
        time.sleep(0.05)  # a log that never rests is never compressed
    flow_id = str(uuid.uuid4())
    event = {**line, "flow_id": flow_id, "span_id": flow_id, "data": {"number": number}}
    raw = (json.dumps(event) + "\\n").encode()
    if way == "held":
        held.write(raw)
    elif way == "by name":
        with open(path, "ab", buffering=0) as file:
            file.write(raw)
    else:
        with obs.flow(str(number)):
            pass
print(number)
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LEASES, reason="nobody can tell here whether a file is open")
@pytest.mark.parametrize(("way", "lines_each"), [("by name", 1), ("held", 1), ("handler", 2)])
def test_no_line_is_lost_that_is_appended_while_logs_are_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, lines_each: int
) -> None:
    """By a process that opens the file for each line, by one that holds it open, and by a handler; each line is there once."""
    monkeypatch.setattr(retention, "RESTING", -math.inf)
    monkeypatch.setattr(retention, "ABANDONED", -math.inf)
    path = tmp_path / "logs" / "shared.jsonl"
    path.parent.mkdir()
    end = json.dumps(event(1, "exit", 1, metrics={"duration_ms": 1.0}))
    command = [sys.executable, "-c", WRITER, str(path), way, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        compressed = rounds = 0
        while writer.poll() is None and compressed < 3 and rounds < 50:
            rounds += any(log.stat().st_size for log in log_files([path.parent], Skipped()))
            compressed += sum(deed.action == "compressed" for deed in clean(path.parent, Limits(compress=True)))
        path.with_name(f"{path.name}.stop").touch()
        written = int(writer.communicate(timeout=60)[0])
    assert compressed or way == "held"
    assert {deed.action for deed in clean(path.parent, Limits(compress=True))} <= {"kept", "compressed"}
    found = Counter(
        (one["flow_id"], one["event_type"]) for log in log_files([path.parent], Skipped()) for one in read_events(log)
    )
    assert (len(found), set(found.values())) == (written * lines_each, {1})
    assert len(obs.query(path.parent)) == written * lines_each


KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
import the_edge_obs as obs
from the_edge_obs.store.retention import Limits, clean
source, work = Path(sys.argv[1]), Path(sys.argv[2])
STEPS = ("rename", "replace", "unlink", "link", "open", "fsync", "utime", "fchmod", "close")
wanted = [event["timestamp"] for event in obs.query(source)]

def killed(folder, step, limits):
    calls = 0
    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls > step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call
    child = os.fork()
    if not child:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        list(clean(folder, limits))
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0

found, step, alive = [], 0, True
while alive:
    folder = work / str(step)
    shutil.copytree(source, folder)
    alive = killed(folder, step, Limits(compress=True))
    seen = [event["timestamp"] for event in obs.query(folder)] == wanted
    list(clean(folder, Limits(compress=True)))
    again = [event["timestamp"] for event in obs.query(folder)] == wanted
    found.append((step, seen, again, sorted(os.listdir(folder))))
    step += 1
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LEASES, reason="half files are left for a minute where nobody can tell whether they are open")
def test_a_run_that_is_killed_at_any_step_loses_and_doubles_nothing(write: Write, tmp_path: Path) -> None:
    """Readers find each event once, and the next run finishes what was begun: no half file and no odd name is left."""
    path = write("a.jsonl", 2 * HOUR)
    write("b.jsonl", HOUR)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-c", KILLED, str(path.parent), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert len(found) > 20
    assert [one for one in found if one[1:] != [True, True, ["a.jsonl.gz", "b.jsonl.gz"]]] == []


def test_what_is_compressed_keeps_its_owner_and_mode(write: Write) -> None:
    """It is private from its beginning, whatever the umask."""
    path = write("a.jsonl", 2 * HOUR)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    before = path.stat()
    list(clean(path.parent, Limits(compress=True)))
    after = (path.parent / "a.jsonl.gz").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.fixture
def recorded(write: Write) -> Path:
    """Return a log of an hour ago that has a full recording beside it."""
    path = write("a.jsonl", HOUR)
    recording = path.with_name("a.jsonl.full")
    line = {"full": 1, "flow_id": "f", "span_id": "s", "node": "n", "output": "x" * 9_000}
    recording.write_text(json.dumps(line) + "\n")
    recording.chmod(0o600)
    return aged(path, HOUR)


def test_recording_goes_with_its_log(recorded: Path) -> None:
    """It is as old as its log, and counts towards its size."""
    size = sum(path.stat().st_size for path in recorded.parent.iterdir())
    assert [deed.before for deed in clean(recorded.parent, Limits(older_than=DAY))] == [size]
    assert deeds(recorded.parent, max_size=size) == [("a.jsonl", "kept", "")]
    assert deeds(recorded.parent, max_size=size - 1)[0][:2] == ("a.jsonl", "removed")
    assert names(recorded.parent) == []


def test_recording_is_compressed_with_its_log(recorded: Path) -> None:
    """Both are, a dry run says the same sizes, and the recording is read and removed from there too."""
    (planned,) = clean(recorded.parent, Limits(compress=True), dry_run=True)
    (done,) = clean(recorded.parent, Limits(compress=True))
    assert (done.action, done.before, done.after) == (planned.action, planned.before, planned.after)
    assert names(recorded.parent) == ["a.jsonl.full.gz", "a.jsonl.gz"]
    assert {path.stat().st_mode & 0o777 for path in recorded.parent.iterdir()} == {
        0o600,
        *[(recorded.parent / "a.jsonl.gz").stat().st_mode & 0o777],
    }
    assert [record.output for record in full_records(recorded).values()] == ["x" * 9_000]
    assert sum(path.stat().st_size for path in recorded.parent.iterdir()) == done.after
    assert deeds(recorded.parent, older_than=60)[0][:2] == ("a.jsonl.gz", "removed")
    assert names(recorded.parent) == []


def test_recording_of_a_log_in_use_stays(recorded: Path) -> None:
    """What is left alone is left alone with its recording."""
    os.utime(recorded)
    assert deeds(recorded.parent, older_than=1, compress=True) == [("a.jsonl", "kept", "it is being written")]
    assert names(recorded.parent) == ["a.jsonl", "a.jsonl.full"]


def test_recording_that_two_files_share_stays_with_the_second(recorded: Path) -> None:
    """The compressed part of a log and the one that was begun later have one recording."""
    later = recorded.with_name("a.jsonl.gz")
    later.write_bytes(gzip.compress(recorded.read_bytes()))
    aged(later, 2 * DAY)
    assert ("a.jsonl.gz", "removed") in [deed[:2] for deed in deeds(recorded.parent, older_than=DAY)]
    assert names(recorded.parent) == ["a.jsonl", "a.jsonl.full"]


def test_recording_that_is_a_link_is_not_followed(recorded: Path, tmp_path: Path) -> None:
    """Nothing that a link points to is removed."""
    target = recorded.with_name("a.jsonl.full").rename(tmp_path / "elsewhere")
    recorded.with_name("a.jsonl.full").symlink_to(target)
    assert deeds(recorded.parent, older_than=60)[0][:2] == ("a.jsonl", "removed")
    assert target.exists()
