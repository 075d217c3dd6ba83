"""The flow file handler: a file a flow, a write a line, and what happens when the disk or the process does not last."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import KEYS, problems
from the_edge_obs.handlers import appending
from the_edge_obs.handlers.appending import LogFile


@obs.observable("work")
def work(n: Any) -> Any:
    return n


def install(path: Any, **options: Any) -> obs.FlowFileHandler:
    handler = obs.FlowFileHandler(path, **options)
    tea = logging.getLogger("tea")
    tea.setLevel("DEBUG")
    tea.addHandler(handler)
    return handler


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the events of a file; every line must be one, strictly."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    events = [json.loads(line, parse_constant=refuse) for line in text.split("\n")[:-1]]
    assert [problem for event in events for problem in problems(event)] == []
    return events


def test_a_file_a_flow(tmp_path: Path) -> None:
    """The folder is made with the first event; each flow has its own file of valid events, keys in order."""
    install(tmp_path / "logs" / "flow-{flow_id}.jsonl")
    assert list(tmp_path.iterdir()) == []
    runs = []
    for n in (1, 2):
        with obs.flow() as run:
            work(n)
        runs.append(run.flow_id)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == sorted(f"flow-{name}.jsonl" for name in runs)
    for n, name in enumerate(runs, 1):
        events = lines(tmp_path / "logs" / f"flow-{name}.jsonl")
        assert [(event["node"], event["event_type"]) for event in events] == [
            ("flow", "entry"),
            ("work", "entry"),
            ("work", "exit"),
            ("flow", "exit"),
        ]
        assert events[1]["data"] == {"input": {"n": n}}
        assert [list(event) for event in events] == [list(KEYS[:-1])] * 4


def test_one_file_for_all_flows(tmp_path: Path) -> None:
    """Without the placeholder all flows share a file; a second handler appends to it."""
    for _ in range(2):
        handler = install(tmp_path / "all.jsonl")
        for _ in range(2):
            with obs.flow():
                pass
        logging.getLogger("tea").removeHandler(handler)
        handler.close()
    assert len(lines(tmp_path / "all.jsonl")) == 8


def test_one_write_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event reaches the operating system with one call, the newline included."""
    written: list[bytes] = []
    write = os.write

    def spy(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    install(tmp_path / "all.jsonl")
    monkeypatch.setattr(os, "write", spy)
    with obs.flow():
        work("é" * 3000)
    monkeypatch.undo()
    assert len(written) == 4
    assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in written)
    assert b"".join(written) == (tmp_path / "all.jsonl").read_bytes()


def test_files_are_closed_when_their_flow_ends(tmp_path: Path) -> None:
    """However many flows there were, no descriptor stays open; and not too many while they run."""
    handler = install(tmp_path / "{flow_id}.jsonl")
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir())) if folder.exists() else 0
    for _ in range(30):
        with obs.flow():
            work(1)
    running = [obs.flow() for _ in range(100)]
    for run in running:
        run.log("n")
    if folder.exists():
        assert len(list(folder.iterdir())) - before <= 64
    for run in running:
        run.close()
    if folder.exists():
        assert len(list(folder.iterdir())) <= before
    assert len(list(tmp_path.iterdir())) == 130
    assert {len(lines(path)) for path in tmp_path.iterdir()} == {4, 3}
    handler.close()


def test_anything_is_one_strict_line(tmp_path: Path) -> None:
    """NaN, huge integers, lone surrogates, cycles, odd keys, bytes, newlines and depth: the file stays strict JSON Lines."""
    circle: dict[Any, Any] = {}
    circle["self"] = circle
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    install(tmp_path / "all.jsonl")
    logging.getLogger("tea").propagate = False  # pytest would show the records, which xdist cannot send
    odd = {
        "nan": float("nan"),
        "huge": 10**400,
        "surrogate": "a\ud800b",
        "circle": circle,
        (1, None): b"\xff\x00",
        "newline": "a\nb\r\u2028\x85",
        "deep": deep,
        "big": "x" * 2_000_000,
        b"k": {1: 2, "1": 3},
        "\udfff": 1,
    }
    with obs.flow() as run, obs.span("s", step="st\ud800ep") as span:
        work(odd)
        span.output = odd
        span.log("m\ud800\n", odd=odd)
        span.metric(nan=float("nan"), huge=10**400, text="x", ok=1)  # type: ignore[arg-type]
        run.log("n\ud800", message="\ud800" * 20_000)
    events = lines(tmp_path / "all.jsonl")
    assert [(event["node"][0], event["event_type"]) for event in events] == [
        ("f", "entry"),
        ("s", "entry"),
        ("w", "entry"),
        ("w", "exit"),
        ("s", "log"),
        ("s", "metric"),
        ("n", "log"),
        ("s", "exit"),
        ("f", "exit"),
    ]
    assert max(len(line) for line in (tmp_path / "all.jsonl").read_bytes().splitlines()) <= 65_536
    metric = next(event for event in events if event["event_type"] == "metric")
    assert metric["metrics"] == {"nan": None, "huge": None, "text": None, "ok": 1}


def test_a_formatter_of_ones_own(tmp_path: Path) -> None:
    """With a formatter the lines are the formatter's."""
    handler = install(tmp_path / "a.log")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    with obs.flow() as run:
        run.log("n", "warn", message="careful")
    assert (tmp_path / "a.log").read_text().splitlines()[1] == "WARNING n careful"


def test_records_outside_any_flow_are_left_out(tmp_path: Path) -> None:
    """There is no flow whose file they could be in; inside a flow foreign records are written."""
    handler = obs.FlowFileHandler(tmp_path / "{flow_id}.jsonl")
    logging.getLogger().addHandler(handler)
    logging.getLogger("other").warning("outside")
    with obs.flow() as run:
        logging.getLogger("other").warning("inside")
    (path,) = tmp_path.iterdir()
    assert [event["message"] for event in lines(path)] == ["inside"]
    assert path.stem == run.flow_id


@pytest.mark.slow
def test_a_killed_process_keeps_every_line_it_wrote(tmp_path: Path) -> None:
    """SIGKILL in the middle of work: what was logged before is in the file, in whole lines."""
    code = """
import logging, os, sys
import the_edge_obs as obs
tea = logging.getLogger("tea"); tea.setLevel("INFO"); tea.addHandler(obs.FlowFileHandler(sys.argv[1]))
with obs.flow() as run:
    for n in range(10**9):
        run.log("n", data={"n": n})
        if n == 200:
            print("ready", flush=True)
"""
    path = tmp_path / "killed.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    if os.name == "posix":
        assert process.returncode == -signal.SIGKILL
    events = lines(path)
    seen = [event["data"]["n"] for event in events if event["node"] == "n"]
    assert seen == list(range(len(seen)))
    assert len(seen) > 200
    log = obs.get_flow_log(path)
    assert (log.status, log.metrics["event_count"]) == ("running", len(events))


@pytest.mark.slow
def test_several_processes_append_to_one_file(tmp_path: Path) -> None:
    """No line of one is torn by another."""
    code = """
import logging, sys
import the_edge_obs as obs
tea = logging.getLogger("tea"); tea.setLevel("INFO"); tea.addHandler(obs.FlowFileHandler(sys.argv[1]))
with obs.flow() as run:
    for n in range(300):
        run.log("n", data={"n": n, "text": "x" * 3000})
"""
    path = tmp_path / "shared.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    # Who opens the file while another is in the middle of its write takes it for torn: an empty line, which readers pass over.
    path.write_bytes(path.read_bytes().replace(b"\n\n", b"\n"))
    events = lines(path)
    assert len(events) == 3 * 302
    for flow_id in {event["flow_id"] for event in events}:
        mine = [event["data"]["n"] for event in events if event["flow_id"] == flow_id and event["node"] == "n"]
        assert mine == list(range(300))


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """A file as a folder, a folder as the file: when the handler is made, not when the first event is lost."""
    (tmp_path / "file").write_text("x")
    for path, message in (
        (tmp_path / "file" / "x.jsonl", "is not a folder"),
        (tmp_path / "file" / "deeper" / "x.jsonl", "is not a folder"),
        (tmp_path, "is a folder; name a file in it"),
        ("", "is not a path of flow files"),
        ("{flow_id", r"the only placeholder is \{flow_id\}"),
        ("logs/{name}.jsonl", r"the only placeholder is \{flow_id\}"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            obs.FlowFileHandler(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    """The error says that it is a matter of permission."""
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="cannot be written: no permission"):
        obs.FlowFileHandler(tmp_path / "a" / "x.jsonl")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can make a file")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    """Also where permissions say nothing of it."""
    with pytest.raises(ConfigurationError, match=r"path '/proc/a/x.jsonl' cannot be written: .*; choose another path"):
        obs.FlowFileHandler("/proc/a/x.jsonl")


def test_a_disk_that_fails_later_breaks_nothing(
    tmp_path: Path, ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function goes on; stderr and the flow log tell."""
    handler = install(tmp_path / "logs" / "x.jsonl")
    (tmp_path / "logs").write_text("in the way")
    with obs.flow() as run:
        assert work(1) == 1
    assert "Logging error" in capsys.readouterr().err
    faults = [event["message"] for event in ring.events(run.flow_id) if event["node"] == "obs"]
    assert len(faults) == 1
    assert faults[0].startswith("FlowFileHandler failed: ")
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 4
    handler.close()


def test_a_torn_line_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that takes half a line: the next event does not hang on to it."""
    install(tmp_path / "x.jsonl")
    write, calls = os.write, iter(range(100))

    def short(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:10] if next(calls) == 1 else data)

    monkeypatch.setattr(os, "write", short)
    with obs.flow():
        work(1)
    monkeypatch.undo()
    assert "bytes were written" in capsys.readouterr().err
    from the_edge_obs.jsonl import Skipped, read_events

    skipped = Skipped()
    assert len(list(read_events(tmp_path / "x.jsonl", skipped))) == 3
    assert (skipped.lines, skipped.torn) == (1, False)


def test_two_handlers_of_one_file_write_an_event_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path is written, and also of other loggers' records; the handler that stays goes on alone."""
    monkeypatch.chdir(tmp_path)
    undo = obs.configure({"handlers": [{"type": "file", "path": "x.jsonl"}]})
    undo_too = obs.configure({"handlers": [{"type": "file", "path": tmp_path / "x.jsonl"}, {"type": "file", "path": "y.jsonl"}]})
    with obs.flow():
        work(1)
        logging.getLogger("tea.db").info("slow")
    for path in ("x.jsonl", "y.jsonl"):
        assert [(event["node"], event["event_type"]) for event in lines(tmp_path / path)] == [
            ("flow", "entry"),
            ("work", "entry"),
            ("work", "exit"),
            ("tea.db", "log"),
            ("flow", "exit"),
        ]
    undo()
    with obs.flow():
        pass
    assert len(lines(tmp_path / "x.jsonl")) == 7
    undo_too()


def test_two_handlers_of_one_file_with_levels_of_their_own(tmp_path: Path) -> None:
    """Each event that one of them takes is in the file, once; at the flow's end both have closed it."""
    path = tmp_path / "flow-{flow_id}.jsonl"
    handlers = [install(path, level="WARNING"), install(path), install(path, level="ERROR")]
    with obs.flow() as run:
        run.log("a", "debug", message="low")
        run.log("a", "error", message="high")
    assert [event["message"] for event in lines(tmp_path / f"flow-{run.flow_id}.jsonl")] == [None, "low", "high", None]
    assert [len(handler._files) for handler in handlers] == [1, 0, 0]


def test_two_handlers_of_one_file_and_threads(tmp_path: Path) -> None:
    """Threads that log at once do not lose or double one another's events."""
    install(tmp_path / "x.jsonl")
    install(tmp_path / "x.jsonl")
    with obs.flow():
        threads = [threading.Thread(target=obs.wrap(lambda: [work(n) for n in range(25)])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = lines(tmp_path / "x.jsonl")
    assert len(events) == len({(event["span_id"], event["event_type"]) for event in events}) == 8 * 25 * 2 + 2


def test_two_handlers_of_one_file_one_of_them_with_a_filter(tmp_path: Path) -> None:
    """One gets events as facts and one, for its filter's sake, as records: still once each."""
    install(tmp_path / "x.jsonl").addFilter(lambda record: True)
    install(tmp_path / "x.jsonl")
    install(tmp_path / "x.jsonl").addFilter(obs.FlowContextFilter())
    with obs.flow():
        work(1)
    assert [event["event_type"] for event in lines(tmp_path / "x.jsonl")] == ["entry", "entry", "exit", "exit"]


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_span_that_ends_after_its_handler_was_closed(tmp_path: Path, is_removed: bool) -> None:
    """Where the handler is gone the end goes nowhere, and no file is opened again; where it is still there, it is written."""
    handler = install(tmp_path / "x.jsonl")

    @obs.observable
    def closes() -> None:
        if is_removed:
            logging.getLogger("tea").removeHandler(handler)
        handler.close()

    with obs.flow():
        closes()
        assert len(handler._files) == (0 if is_removed else 1)
    kinds = ["entry", "entry"] if is_removed else ["entry", "entry", "exit", "exit"]
    assert [event["event_type"] for event in lines(tmp_path / "x.jsonl")] == kinds


def test_where_one_of_two_handlers_fails_the_other_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An event counts as written when it is."""
    broken = install(tmp_path / "x.jsonl")
    broken.setFormatter(logging.Formatter("%(nothing_of_that_name)s"))
    install(tmp_path / "x.jsonl")
    with obs.flow():
        pass
    assert "Logging error" in capsys.readouterr().err
    assert len(lines(tmp_path / "x.jsonl")) == 2


def test_it_comes_from_a_dict_config(tmp_path: Path) -> None:
    """By its public name, with path and level; a relative path is fixed when the handler is made."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "f": {"class": "the_edge_obs.FlowFileHandler", "path": str(tmp_path / "{flow_id}.jsonl"), "level": "ERROR"}
            },
            "loggers": {"tea": {"level": "INFO", "handlers": ["f"]}},
        }
    )
    with obs.flow() as run:
        run.log("n", "error", message="bad")
    assert [event["message"] for event in lines(tmp_path / f"{run.flow_id}.jsonl")] == ["bad"]


def test_a_relative_path_does_not_move_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chdir between events does not split a log."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    install("x.jsonl")
    monkeypatch.chdir(tmp_path / "b")
    with obs.flow():
        pass
    assert len(lines(tmp_path / "a" / "x.jsonl")) == 2


# --- what is written to, and who may read it ---

NOT_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and files")


@NOT_WINDOWS
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_logs_are_their_owners_unless_a_mode_is_given(tmp_path: Path, umask: int) -> None:
    """Folders and spill files too; a block and a handler take a mode; a file that is there keeps its own."""
    before = os.umask(umask)
    (tmp_path / "old.jsonl").touch(mode=0o644)
    specs = [
        {"type": "file", "path": str(tmp_path / "new" / f"{name}.jsonl"), "mode": mode}
        for name, mode in (("a", "0640"), ("b", 0o660))
    ]
    specs += [{"type": "file", "path": str(tmp_path / name)} for name in ("new/c.jsonl", "old.jsonl")]
    ring = obs.RingBufferHandler(capacity=1, spill=tmp_path / "spill" / "{flow_id}.jsonl")
    undo = obs.configure({"handlers": specs})
    logging.getLogger("tea").addHandler(ring)
    try:
        with obs.flow() as run:
            work(1)
    finally:
        os.umask(before)
        undo()
    found = {
        str(path.relative_to(tmp_path)).replace(run.flow_id, "ID"): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")
    }
    assert found == {
        "new": 0o700, "new/a.jsonl": 0o640, "new/b.jsonl": 0o660 & ~umask, "new/c.jsonl": 0o600, "old.jsonl": 0o644 & ~umask,
        "spill": 0o700, "spill/ID.jsonl": 0o600,
    }  # fmt: skip


def test_a_mode_that_is_none_is_refused(tmp_path: Path) -> None:
    """In code and in a block, where the error names the key; logging does not keep a handler that was refused."""
    with pytest.raises(ConfigurationError, match=r"^mode is '0755'; it must be an octal file mode") as caught:
        obs.FlowFileHandler(tmp_path / "a.jsonl", mode="0755")
    assert caught.traceback  # what it holds on to lives on
    logging.shutdown([reference for reference in logging._handlerList if isinstance(reference(), obs.FlowFileHandler)])
    with pytest.raises(ConfigurationError, match=r"^observability.handlers\[0\].mode is 640; it must be an octal file mode"):
        obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "a.jsonl"), "mode": 640}]})


@NOT_WINDOWS
def test_a_path_that_is_no_regular_file_is_refused_when_it_is_configured(tmp_path: Path) -> None:
    """The error says what to use in its place."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "victim").touch()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    instead = (
        "for a terminal use a console handler, for stdout or a device a logging.StreamHandler with the_edge_obs.JsonFormatter"
    )
    for path, kind, advice in (
        (str(tmp_path / "pipe"), "a pipe (FIFO)", instead),
        (str(tmp_path / "link"), "a symbolic link", f"name {str(tmp_path / 'victim')!r}, which it leads to"),
        ("/dev/null", "a device", instead),
    ):
        with pytest.raises(ConfigurationError) as caught:
            obs.FlowFileHandler(path)
        assert str(caught.value) == f"path {path!r} is {kind}, and only regular files are written to; {advice}"


@NOT_WINDOWS
def test_what_is_planted_later_is_a_fault_and_is_neither_followed_nor_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flow goes on; its log says that logging failed."""
    victim = tmp_path / "victim"
    victim.write_text("keep")
    install(tmp_path / "{flow_id}.jsonl")
    logging.getLogger("tea").addHandler(obs.RingBufferHandler())
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2)]
    (tmp_path / f"{ids[0]}.jsonl").symlink_to(victim)
    os.mkfifo(tmp_path / f"{ids[1]}.jsonl")
    for flow_id in ids:
        with obs.flow(flow_id=flow_id):
            assert work(1) == 1
        assert obs.get_flow_log(flow_id).metrics["fault_count"] > 0
    assert victim.read_text() == "keep"
    err = capsys.readouterr().err
    assert "it is a symbolic link, not a regular file" in err
    assert "it is a pipe (FIFO), not a regular file" in err


def test_a_file_that_is_moved_away_is_no_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As logrotate does it: what follows goes into a new file, at once if the file was last checked 50 ms ago or more."""
    path = tmp_path / "a.jsonl"
    handler = install(path)
    with obs.flow() as run:
        work(1)
        path.rename(tmp_path / "a.1.jsonl")
        for file in handler._files._open.values():
            file.until = 0
        work(2)
    assert [len(lines(tmp_path / name)) for name in ("a.1.jsonl", "a.jsonl")] == [3, 3]
    assert ({event["flow_id"] for event in lines(path)}, capsys.readouterr().err) == ({run.flow_id}, "")


def test_a_file_that_is_moved_away_just_before_its_flow_ends_gets_the_end_too(tmp_path: Path) -> None:
    """The file was checked a moment ago, and only a deletion loses lines: the run stays whole, with its totals."""
    path = tmp_path / "a-{flow_id}.jsonl"
    install(path)
    with obs.flow() as run:
        work(1)
        (made,) = tmp_path.iterdir()
        made.rename(tmp_path / "moved.jsonl")
    assert [event["event_type"] for event in lines(tmp_path / "moved.jsonl")] == ["entry", "entry", "exit", "exit"]
    assert lines(tmp_path / "moved.jsonl")[-1]["data"]["totals"]["events"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["moved.jsonl"]
    assert obs.get_flow_log(str(tmp_path / "moved.jsonl")).flow_id == run.flow_id


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_flow_goes_on_in_the_file_that_it_has(tmp_path: Path, end: bytes) -> None:
    """A file that exists is not created: it keeps its lines, a torn one is ended, and no totals are given."""
    flow_id = "00000000-0000-4000-8000-000000000001"
    path = tmp_path / f"{flow_id}.jsonl"
    path.write_bytes(b"{}" + end)
    install(tmp_path / "{flow_id}.jsonl")
    with obs.flow(flow_id=flow_id):
        work(1)
    first, *rest = path.read_bytes().splitlines()
    assert (first, len(rest)) == (b"{}", 4)
    assert "totals" not in json.loads(rest[-1])["data"]


SHARING = """
import sys
import the_edge_obs as obs
undo = obs.configure({"handlers": [{"type": "file", "path": sys.argv[1]}]})
sys.stdin.readline()
for number in range(150):
    with obs.flow(str(number)) as run:
        run.log("n", message="x" * 9_000)
undo()
"""


@pytest.mark.slow
def test_processes_that_share_a_file_with_a_torn_line_leave_no_empty_lines(tmp_path: Path) -> None:
    """Each opens it again for every flow, while others are writing lines of several pages; the torn line is ended once."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"flow_id":"torn')
    started = [subprocess.Popen([sys.executable, "-c", SHARING, str(path)], stdin=subprocess.PIPE) for _ in range(4)]
    for process in started:
        process.communicate(b"go\n", timeout=60)
    raw = path.read_bytes()
    assert [process.returncode for process in started] == [0] * 4
    assert (raw.count(b"\n"), raw.count(b"\n\n")) == (1 + 4 * 150 * 3, 0)


def test_a_torn_line_is_ended_once(tmp_path: Path) -> None:
    """Of two who have seen it, the second finds that the first has ended it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"torn')
    first, second = LogFile(str(path)), LogFile(str(path))
    assert (first.is_torn, second.is_torn) == (True, True)
    for file in (first, second):
        file.append(b"{}\n")
        file.close()
    assert path.read_bytes() == b'{"torn\n{}\n{}\n'


def test_a_line_that_another_process_is_just_writing_is_not_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a file grows page by page while a long line is written: it is looked at again."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{" + b" " * 4_095)

    def rest_comes(seconds: float) -> None:
        with path.open("ab") as other:
            other.write(b"}\n")

    monkeypatch.setattr(appending.time, "sleep", rest_comes)
    file = LogFile(str(path))
    file.append(b"{}\n")
    file.close()
    assert path.read_bytes() == b"{" + b" " * 4_095 + b"}\n{}\n"
