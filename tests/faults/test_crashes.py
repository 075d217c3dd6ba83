"""Processes that die, disks that fill and files that vanish: what was logged is there, and what is lost is told."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.event import problems
from the_edge_obs.handlers import appending
from the_edge_obs.handlers.appending import FlowFiles
from the_edge_obs.jsonl import Skipped, read_events

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills, forks and limits processes as POSIX has it"),
]

# Logs without end, and tells of each emit that has returned by its number, in 4 bytes, over stdout.
KILLED = """
import os, struct, sys
import the_edge_obs as obs
obs.configure({"level": "debug", "handlers": [{"type": "file", "path": sys.argv[1] + "/{flow_id}.jsonl"}]})

@obs.observable("work")
def work(n, text):
    with obs.span("inner") as span:
        for m in range(n, n + 5):
            span.log("step", n=m, text=text)
            os.write(1, struct.pack("<I", m))
    return text

with obs.flow("long"), obs.span("outer"):
    for n in range(0, 10**9, 5):
        work(n, "x" * (n % 3000))
"""


def kill_at(process: subprocess.Popen[bytes], events: int, seconds: float | None = None) -> int:
    """Kill a process once it has told of so many events, or so long after its first; return how many it told of in all."""
    assert process.stdout is not None
    if seconds is not None:
        killer = threading.Timer(seconds, process.kill)
        told = process.stdout.read(4)
        killer.start()
    else:
        told = process.stdout.read(4 * events)
        process.kill()
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    if process.stderr is not None:
        process.stderr.close()
    return len(told) // 4


def check_killed(folder: Path, told: int) -> tuple[int, bool]:
    """Check what a killed process left: all it told of, in order; return the number of events, and whether the last is torn."""
    (path,) = folder.glob("*.jsonl")
    skipped = Skipped()
    events = list(read_events(path, skipped))
    assert [problem for event in events for problem in problems(event)] == []
    assert skipped.lines == int(skipped.torn)
    numbers = [event["data"]["n"] for event in events if event["event_type"] == "log"]
    assert numbers == list(range(len(numbers)))
    assert told <= len(numbers) <= told + 1  # one may be written and not told of yet
    log = obs.get_flow_log(path)
    assert (log.status, log.metrics["event_count"]) == ("running", len(events))
    unfinished = [span.node for span in log.spans if span.status == "running"]
    assert unfinished[:2] == ["flow", "outer"]
    assert len(unfinished) <= 4
    assert {span.status for span in log.spans} <= {"running", "ok"}
    return len(events), skipped.torn


@pytest.mark.parametrize("turn", range(10))
def test_sigkill_at_a_random_moment_loses_no_event_whose_emit_returned(
    program: Callable[..., Any], tmp_path: Path, turn: int
) -> None:
    """All of them are in the file, the last line at most is torn, and open spans show as running."""
    told = kill_at(program(KILLED, tmp_path, wait=False), random.Random().randrange(1, 400))
    assert check_killed(tmp_path, told)[0] > told


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a small flow."""
    folder = tmp_path_factory.mktemp("whole")
    undo = obs.configure({"handlers": [{"type": "file", "path": str(folder / "{flow_id}.jsonl")}]})
    with obs.flow("whole"), obs.span("a", text="é\n"), obs.span("b") as span:
        span.log("hi")
    undo()
    (path,) = folder.iterdir()
    return path.read_bytes()


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_log_cut_anywhere_gives_its_whole_lines(whole_log: bytes, data: st.DataObject) -> None:
    """The readers note the torn line, the flow is running, and the next process's events do not hang on to it."""
    cut = data.draw(st.integers(1, len(whole_log) - 2))
    kept = whole_log[:cut]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cut.jsonl")
        path.write_bytes(kept)
        skipped = Skipped()
        events = list(read_events(path, skipped))
        whole = kept.count(b"\n") + (whole_log[cut : cut + 1] == b"\n")  # an event that lacks its newline alone is whole
        assert len(events) == whole
        assert skipped.torn == (whole == kept.count(b"\n") and not kept.endswith(b"\n"))
        if events:
            assert obs.get_flow_log(path).status == "running"
        files = FlowFiles(path)
        files.write(json.loads(whole_log.splitlines()[0])["flow_id"], b"{}\n", 0, is_end=False)
        files.close()
        assert path.read_bytes() == kept + (b"" if kept.endswith(b"\n") else b"\n") + b"{}\n"


# --- disks and files ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 KiB, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not mount or sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def faults_of(run: obs.ObservabilityContext) -> tuple[int, list[str]]:
    """Return how many faults a flow counted, and what its log tells of them."""
    log = obs.get_flow_log(run.flow_id)
    return log.metrics["fault_count"], [event["message"] for event in log.events if event["node"] == "obs"]


def test_a_full_disk_is_told_and_its_file_goes_on_when_there_is_room(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flow works on, every lost event is counted, and no later line hangs on to the torn one."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    undo = obs.configure({"handlers": [{"type": "file", "path": str(small_disk / "{flow_id}.jsonl")}]})
    with obs.flow() as run:
        for n in range(30):
            run.log("n", data={"n": n, "text": "x" * 1500})
        ballast.unlink()
        run.log("n", data={"n": 30})
    count, told = faults_of(run)
    skipped = Skipped()
    events = list(read_events(small_disk / f"{run.flow_id}.jsonl", skipped))
    undo()
    assert count > 5
    assert len(events) + count == 33
    assert [event["data"].get("n") for event in events[-2:]] == [30, None]
    assert (skipped.lines, skipped.torn) == (1, False)
    assert told[0].startswith("FlowFileHandler failed: OSError: ")
    assert capsys.readouterr().err.count("--- Logging error ---") == count


_LIMITED = """
import json, os, resource, sys
import the_edge_obs as obs
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1] + "/{flow_id}.jsonl"}]})

@obs.observable("work")
def work(n):
    return n + 1

def told(run, **more):
    log = obs.get_flow_log(run.flow_id)
    notes = [event["message"] for event in log.events if event["node"] == "obs"]
    print(json.dumps({"status": log.status, "faults": log.metrics["fault_count"], "notes": notes, **more}))
"""

_FILE_SIZE = """
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
with obs.flow() as run:
    done = [work(n) for n in range(20)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done.append(work(20))
told(run, done=done)
"""

_DESCRIPTORS = """
assert obs.flow  # what is imported when it is first asked for takes descriptors too
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
used = os.open(os.devnull, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
with obs.flow() as run:
    done = [work(n) for n in range(5)]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
with obs.flow() as second:
    done.append(work(5))
told(run, done=done)
told(second, done=done)
"""


def test_a_file_that_may_not_grow_breaks_nothing(program: Callable[..., Any], tmp_path: Path) -> None:
    """A limit of the file's size is a full disk for those who may not mount one."""
    (facts,) = map(json.loads, program(_LIMITED + _FILE_SIZE, tmp_path).stdout.splitlines())
    (path,) = tmp_path.glob("*.jsonl")
    skipped = Skipped()
    events = list(read_events(path, skipped))
    assert (facts["status"], facts["done"]) == ("ok", list(range(1, 22)))
    assert facts["faults"] == 44 - len(events) > 20
    assert len(facts["notes"]) == 1
    assert (skipped.lines, skipped.torn) == (1, False)
    assert [event["event_type"] for event in events[-3:]] == ["entry", "exit", "exit"]


def test_running_out_of_descriptors_breaks_nothing(program: Callable[..., Any], tmp_path: Path) -> None:
    """The first flow of a process, which reads its own version, and its file: the fault is told, the next flow is whole."""
    first, second = map(json.loads, program(_LIMITED + _DESCRIPTORS, tmp_path).stdout.splitlines())
    assert first["notes"][0].startswith("FlowFileHandler failed: OSError: [Errno 24]")
    assert (first["status"], first["faults"], len(first["notes"])) == ("ok", 12, 1)
    assert second == {"status": "ok", "faults": 0, "notes": [], "done": [1, 2, 3, 4, 5, 6]}
    (path,) = tmp_path.glob("*.jsonl")
    assert len(list(read_events(path))) == 4


_READ_ONLY = """
folder = sys.argv[1]
from the_edge_obs import flow, get_flow_log
from the_edge_obs.instrumentation.resources import runtime
runtime()  # where the package is installed, nobody else may be able to read
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # root may write anywhere
with obs.flow() as first:
    work(1)
    (name,) = os.listdir(folder)
    os.chmod(os.path.join(folder, name), 0o400)
    os.chmod(folder, 0o500)
    done = [work(2)]
    with obs.flow() as second:
        done.append(work(3))
told(first, done=done)
told(second, done=done)
os.chmod(folder, 0o700)
"""


def test_a_file_or_folder_made_read_only_is_told(program: Callable[..., Any]) -> None:
    """What is open goes on; what cannot be opened any more is a fault of its flow."""
    folder = Path(tempfile.mkdtemp())  # not below tmp_path, where nobody else may go
    try:
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
        first, second = map(json.loads, program(_LIMITED + _READ_ONLY, folder).stdout.splitlines())
    finally:
        shutil.rmtree(folder)
    assert (second["status"], second["faults"], second["done"]) == ("ok", 4, [3, 4])
    assert second["notes"][0].startswith("FlowFileHandler failed: PermissionError: ")
    assert (first["status"], first["faults"]) == ("ok", 0)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_log_deleted_while_its_flow_runs_is_made_anew_and_told(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can read a file without a name: what comes later is in a new one, and the loss is a fault."""
    monkeypatch.setattr(appending, "LOOK_EVERY", 0)  # as if 50 ms lay between events
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "logs" / "{flow_id}.jsonl")}]})
    with obs.flow() as run:
        run.log("before")
        if what == "file":
            (tmp_path / "logs" / f"{run.flow_id}.jsonl").unlink()
        else:
            shutil.rmtree(tmp_path / "logs")
        run.log("after")
    count, (told,) = faults_of(run)
    undo()
    events = read_events(tmp_path / "logs" / f"{run.flow_id}.jsonl")
    assert [(event["node"], event["event_type"]) for event in events] == [("after", "log"), ("flow", "exit")]
    assert count == 1
    assert "was deleted while its flow ran" in told
    assert "was deleted while its flow ran" in capsys.readouterr().err


def test_a_deletion_shortly_before_the_end_is_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is checked before it is closed, however recent the last check is."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]})
    with obs.flow() as run:
        run.log("before")
        (path,) = tmp_path.iterdir()
        path.unlink()
    count, (told,) = faults_of(run)
    undo()
    assert [(event["node"], event["event_type"]) for event in read_events(path)] == [("flow", "exit")]
    assert count == 1
    assert "was deleted while its flow ran" in told
    assert "was deleted while its flow ran" in capsys.readouterr().err


# --- processes ---


_MANY = """
import subprocess, sys
import the_edge_obs as obs
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1] + "/{flow_id}.jsonl"}]})
if len(sys.argv) == 2:
    with obs.flow("many") as run:
        header = obs.inject({})["traceparent"]
        children = [subprocess.Popen([sys.executable, __file__, sys.argv[1], header, str(n)]) for n in range(8)]
        assert [child.wait() for child in children] == [0] * 8
    log = obs.get_flow_log(run.flow_id)
    print(log.status, log.metrics["event_count"], log.metrics["fault_count"], log.metrics["dropped_count"])
else:
    with obs.flow("child", parent=obs.extract({"traceparent": sys.argv[2]})) as run:
        for n in range(500):
            run.log("n", data={"child": int(sys.argv[3]), "n": n, "text": "x" * (n % 1000)})
"""


def test_eight_processes_append_to_one_flows_file(program: Callable[..., Any], tmp_path: Path) -> None:
    """All lines are whole, each process's are in order, and together they are one tree."""
    done = program(_MANY, tmp_path, seconds=120)
    assert (done.stdout.split(), done.stderr) == (["ok", str(2 + 8 * 502), "0", "0"], "")
    (path,) = tmp_path.glob("*.jsonl")
    skipped = Skipped()
    events = list(read_events(path, skipped))
    assert (skipped.lines, len(events)) == (0, 2 + 8 * 502)
    for child in range(8):
        assert [event["data"]["n"] for event in events if event["data"].get("child") == child] == list(range(500))
    log = obs.get_flow_log(path)
    assert (log.status, log.name, len(log.spans)) == ("ok", "many", 9)
    assert {span.parent_id for span in log.spans[1:]} == {log.spans[0].span_id}


_FORKS = """
import os, signal, sys, threading, warnings
import the_edge_obs as obs
warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on Python itself warns of forks beside threads
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1] + "/{flow_id}.jsonl"}, {"type": "console"}], "buffer_size": 10})
stop = threading.Event()

def busy(n):
    while not stop.is_set():
        run.log(f"thread{n}", data={"text": "x" * 100})

with obs.flow() as run:
    threads = [threading.Thread(target=busy, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for n in range(20):
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that hangs dies; one that waits for its turn at a busy pipe does not
            for m in range(5):
                run.log("child", data={"n": n, "m": m})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
"""


def test_a_fork_while_other_threads_log(program: Callable[..., Any], tmp_path: Path) -> None:
    """No child hangs on a lock that a thread of its parent held, and all lines are whole."""
    program(_FORKS, tmp_path, seconds=100)
    (path,) = tmp_path.glob("*.jsonl")
    skipped = Skipped()
    found = [(event["data"]["n"], event["data"]["m"]) for event in read_events(path, skipped) if event["node"] == "child"]
    assert (skipped.lines, found) == (0, [(n, m) for n in range(20) for m in range(5)])


_FORKS_AND_CONFIGURES = """
import os, signal, sys, threading, warnings
import the_edge_obs as obs
warnings.simplefilter("ignore", DeprecationWarning)
ring = {"class": "the_edge_obs.RingBufferHandler"}
config = {"version": 1, "handlers": {"ring": ring}, "loggers": {"tea": {"handlers": ["ring"], "level": "INFO"}}}
obs.configure(config)()
stop = threading.Event()

def busy():
    while not stop.is_set():
        obs.configure(config)()

threads = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for n in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        undo = obs.configure(config)
        with obs.flow() as run:
            run.log("child")
        assert len(obs.query(run.flow_id)) == 3
        undo()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""


def test_a_fork_while_other_threads_configure(program: Callable[..., Any], tmp_path: Path) -> None:
    """A child does not wait for a thread of its parent that was putting a configuration in force: it does so itself."""
    program(_FORKS_AND_CONFIGURES, tmp_path, seconds=100)


_FORKS_AND_IMPORTS = """
import builtins, os, signal, sys, threading, warnings
from pathlib import Path
from the_edge_obs import flows
warnings.simplefilter("ignore", DeprecationWarning)
folder = Path(sys.argv[1])
builtins.started, builtins.go = threading.Event(), threading.Event()

def written(name, code):
    (folder / f"{name}.py").write_text(code + "def register_actions(registry, engine): registry['act'] = lambda state: {}\\n")
    path = folder / f"{name}.yaml"
    path.write_text(f"imports: [{{path: {name}.py}}]\\nnodes: [{{name: one, uses: act}}]\\n")
    return path

slow, fast = written("slow", "started.set(); go.wait()\\n"), written("fast", "")
thread = threading.Thread(target=flows.load, args=(slow,), daemon=True)
thread.start()
started.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    flows.load(fast)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go.set()
thread.join()
"""


def test_a_fork_while_another_thread_imports(program: Callable[..., Any], tmp_path: Path) -> None:
    """A child does not wait for a thread of its parent that was importing a flow's actions."""
    program(_FORKS_AND_IMPORTS, tmp_path)


_EXITS = """
import atexit, sys, threading
import the_edge_obs as obs
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1] + "/{flow_id}.jsonl"}]})

@obs.observable("items")
def items():
    yield from range(10)

run = obs.flow("open").__enter__()
run.start_node_span("started")
left = items()
next(left)
started = threading.Event()

def busy():
    while True:
        run.log("daemon")
        started.set()

threading.Thread(target=busy, daemon=True).start()
started.wait()
atexit.register(run.log, "late")
obs.span("entered").__enter__()
if sys.argv[2] == "exit":
    sys.exit(0)
"""


@pytest.mark.parametrize("how", ["end", "exit"])
def test_an_interpreter_that_exits_with_open_flows(program: Callable[..., Any], tmp_path: Path, how: str) -> None:
    """Nothing is printed, nothing hangs on what the daemon holds; the file is whole, and what was open ends as cancelled."""
    assert program(_EXITS, tmp_path, how).stderr == ""
    (path,) = tmp_path.glob("*.jsonl")
    skipped = Skipped()
    nodes = Counter(event["node"] for event in read_events(path, skipped))
    log = obs.get_flow_log(path)
    assert (skipped.lines, nodes["late"], log.status) == (0, 1, "cancelled")
    assert {span.node: span.status for span in log.spans if span.node != "items"} == {
        "flow": "cancelled",
        "started": "cancelled",
        "entered": "cancelled",
    }


_SIGNALS = """
import io, signal, sys
import the_edge_obs as obs
folder = sys.argv[1]
# Python's own buffer refuses a write that comes in the middle of another (RuntimeError: reentrant call): go without, as -u does.
sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
obs.configure({
    "version": 1, "disable_existing_loggers": False,
    "formatters": {"line": {"()": "the_edge_obs.ConsoleFormatter"}},
    "handlers": {
        "ring": {"class": "the_edge_obs.RingBufferHandler", "capacity": 7, "spill": folder + "/spill-{flow_id}"},
        "small": {"class": "the_edge_obs.RingBufferHandler", "capacity": 1, "max_bytes": 5000},
        "file": {"class": "the_edge_obs.FlowFileHandler", "path": folder + "/{flow_id}.jsonl"},
        "console": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
    },
    "loggers": {"tea": {"level": "INFO", "handlers": ["ring", "small", "file", "console"]}},
})
count = 0

def on_alarm(*_):
    global count
    count += 1
    with obs.span("alarm"):
        pass
    if ticking:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)  # only now: on a busy machine alarms would pile up

assert obs.span  # an import that is interrupted by itself is beyond help
signal.signal(signal.SIGALRM, on_alarm)
with obs.flow() as run:
    ticking = True
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    for n in range(3000):
        run.log("n", data={"n": n})
    ticking = False
    signal.setitimer(signal.ITIMER_REAL, 0)
log = obs.get_flow_log(run.flow_id)
print(count, log.metrics["event_count"], log.metrics["fault_count"], log.metrics["dropped_count"], file=sys.stderr)
"""


def test_signal_handlers_may_log_at_any_moment(program: Callable[..., Any], tmp_path: Path) -> None:
    """In the middle of another event's way through every handler: no event is lost, doubled or torn, nothing hangs."""
    done = program(_SIGNALS, tmp_path)
    count, *figures = map(int, done.stderr.split())
    (path,) = tmp_path.glob("*.jsonl")
    skipped = Skipped()
    events = list(read_events(path, skipped))
    nodes = Counter(event["node"] for event in events)
    assert count > 50
    assert (skipped.lines, nodes) == (0, {"flow": 2, "n": 3000, "alarm": 2 * count})
    assert figures == [3002 + 2 * count, 0, 0]
