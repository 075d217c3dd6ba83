"""What ``run`` shows while a flow runs: a live view on a terminal, a line for each finished node elsewhere."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("rich")

import the_edge_obs as obs
from the_edge_obs.cli._live import LiveView
from the_edge_obs.text import View

from .strategies import event

pty = pytest.importorskip("pty")  # Windows has none

# Each node goes on when its file is there: nothing depends on how long anything takes.
FLOW = """
name: patient
nodes:
  - name: outer
    steps:
      - name: inner
        run: |
          import os, time
          print("flow says hello")
          while not os.path.exists("go"):
              time.sleep(0.01)
"""
FAN = """
name: fan
nodes:
  - name: each
    type: dynamic_parallel
    items: [ann, {id: 2}]
    steps:
      - name: work
        run: |
          import os, time
          while not os.path.exists("go"):
              time.sleep(0.01)
    fan_in: done
  - {name: done, run: "return {}"}
"""
SHOWN, HIDDEN = "\x1b[?25h", "\x1b[?25l"


class Terminal:
    """A run of ``tea-obs`` in a terminal of its own."""

    def __init__(self, *args: str, **env: str) -> None:
        import fcntl
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "the_edge_obs", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**kept, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **env},
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, wanted: Callable[[str], object]) -> str:
        """Read until what was printed is as wanted, or the program has ended; return all of it."""
        while not wanted(self.text):
            assert select.select([self._ours], [], [], 60)[0], f"nothing more is printed after {self.text!r}"
            try:
                chunk = os.read(self._ours, 65_536)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            self.text += chunk.decode("utf-8", "replace")
        return self.text

    def rest(self) -> tuple[int, str]:
        """Return the exit code, and all that was printed."""
        self.read_until(lambda text: False)
        return self.process.wait(30), self.text

    def close(self) -> None:
        """End what still runs."""
        self.process.kill()
        self.process.wait(30)
        os.close(self._ours)


@contextmanager
def terminal(*args: str, **env: str) -> Iterator[Terminal]:
    """Run a program in a terminal, and leave nothing behind."""
    made = Terminal(*args, **env)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a flow."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, encoding="utf-8")
    return path


def clocks(text: str) -> list[str]:
    """Return the running times that were shown of the inner node."""
    return re.findall(r"\n    inner +([\d.]+ s)\r", text)


@pytest.mark.slow
def test_a_running_flow_is_seen() -> None:
    """What runs is shown with a clock that goes on; then the view is gone, and the tree stands alone."""
    with terminal("run", "flow.yaml") as shown:
        shown.read_until(lambda text: len(set(clocks(text))) > 1)
        Path("go").touch()
        code, text = shown.rest()
    assert (code, len(set(clocks(text))) > 1, text.count("flow says hello")) == (0, True, 1)
    last = text[text.rindex("\x1b[2K") :]
    assert [re.sub(r"\x1b\[[\d;]*m|(?<=\w)  .*", "", line) for line in last.split("\r\n")[1:4]] == [
        "patient",
        "└─ outer",
        "   └─ inner",
    ]


@pytest.mark.slow
def test_ctrl_c_leaves_the_terminal_whole() -> None:
    """The cursor is there, the tree of what ran comes, and no traceback."""
    with terminal("run", "flow.yaml") as shown:
        shown.read_until(clocks)
        os.killpg(shown.process.pid, signal.SIGINT)
        code, text = shown.rest()
    assert (code, text.splitlines()[-1], "Traceback" in text) == (130, "tea-obs: interrupted", False)
    assert text.rfind(SHOWN) > text.rfind(HIDDEN)


@pytest.mark.slow
def test_ctrl_c_says_what_the_run_waits_for() -> None:
    """A branch in another thread ends by itself; until then the view says so, and then the log is whole."""
    Path("flow.yaml").write_text(FAN, encoding="utf-8")
    with terminal("run", "flow.yaml", "--log-dir", "logs") as shown:
        shown.read_until(lambda text: 'parallel.branch [1] {"id": 2}' in text and "parallel.branch [0] ann" in text)
        os.killpg(shown.process.pid, signal.SIGINT)
        shown.read_until(lambda text: "interrupted: waiting for what is running" in text)
        Path("go").touch()
        code, text = shown.rest()
    assert (code, text.splitlines()[-1]) == (130, "tea-obs: interrupted")
    (log,) = Path("logs").iterdir()
    flow = obs.get_flow_log(log)
    statuses = [(span.node, span.status) for _, span in flow.walk()]
    branch = [("parallel.branch", "ok"), ("python.run", "ok")]
    assert statuses == [("flow", "cancelled"), ("parallel", "cancelled"), *branch, *branch]


@pytest.mark.slow
def test_a_killed_run_leaves_the_cursor() -> None:
    """The view never hides it for longer than a moment."""
    with terminal("run", "flow.yaml") as shown:
        shown.read_until(clocks)
        shown.process.kill()
        text = shown.rest()[1]
    assert text.rfind(SHOWN) > text.rfind(HIDDEN)


@pytest.mark.slow
def test_level_asks_for_events() -> None:
    """With --level, and on a terminal that can do nothing, no view is drawn."""
    Path("go").touch()
    for args, env, entries in (("--level", "info"), {}, 3), ((), {"TERM": "dumb"}, 0):
        with terminal("run", "flow.yaml", *args, **env) as shown:
            code, text = shown.rest()
        assert (code, len(re.findall(r" entry", text)), len(re.findall(r" exit", text)), "\x1b[2K" in text) == (
            0,
            entries,
            3,
            False,
        )


@pytest.mark.slow
def test_without_the_extra_each_finished_node_has_a_line() -> None:
    """A rich that cannot be imported is as good as none."""
    Path("go").touch()
    Path("rich.py").write_text("raise ImportError('none')", encoding="utf-8")
    with terminal("run", "flow.yaml", PYTHONPATH=".") as shown:
        code, text = shown.rest()
    lines = re.findall(r"(\S+) exit \([\d.]+ ms\)(?: \[(\w+)\])?", re.sub(r"\x1b\[[\d;]*m", "", text))
    assert (code, lines) == (0, [("python.run", "inner"), ("steps", "outer"), ("flow", "")])


@pytest.mark.slow
def test_what_the_flow_prints_goes_where_stdout_goes(tmp_path: Path) -> None:
    """A file gets it, and nothing of the view."""
    Path("go").touch()
    command = [sys.executable, "-m", "the_edge_obs", "run", "flow.yaml"]
    ours, theirs = pty.openpty()
    with (tmp_path / "out.txt").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        code = process.wait(30)
    os.close(ours)
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert (code, text.splitlines()[0], "\x1b" in text) == (0, "flow says hello", False)


# --- the picture ---


def picture(view: LiveView, width: int = 40, height: int = 10) -> list[str]:
    """Return the lines of the view as they stand, the clocks as 0."""
    view._live.console.size = (width, height)  # type: ignore[assignment]
    return [re.sub(r" +[\d.]+ s$", "  0 s", line) for line in view._picture().plain.split("\n")]


def test_branches_stand_below_their_parents() -> None:
    """The order is the tree's, whatever the order in which they began; what ended is counted."""
    view = LiveView(View())
    for one in (
        {**event(1, "entry", 0, parent=None), "data": {"name": "triage"}},
        event(2, "entry", 1, parent=1, step="left"),
        event(3, "entry", 1, parent=1, step="right"),
        event(4, "entry", 1, parent=2, step="below\x1b[2J"),
        event(5, "entry", 1, parent=3),
        event(5, "error", 2, parent=3, data={"error": {"type": "E", "message": "x"}}),
    ):
        view.take(one)
    assert picture(view) == [
        "triage  0 s",
        "  left  0 s",
        "    below\\x1b[2J  0 s",
        "  right  0 s",
        "1 node done, 1 error",
    ]


@pytest.mark.parametrize("width", [1, 20, 60, 160])
@pytest.mark.parametrize("height", [1, 5, 100])
def test_the_picture_fits(width: int, height: int) -> None:
    """Of many running nodes the first are shown, and how many more there are; names are cut."""
    view = LiveView(View())
    view.take(event(1, "entry", 0, parent=None))
    for span in range(2, 60):
        view.take(event(span, "entry", 1, parent=1, step="要約" * 20))
    lines = picture(view, width, height)
    assert len(lines) <= max(height - 2, 2)
    assert all(len(line) < max(width, 15) for line in lines)


def test_a_view_that_fails_shows_nothing() -> None:
    """What fails while a picture is made does not reach the thread that draws."""
    view = LiveView(View())
    view.take({**event(1, "entry", 0, parent=None), "step": 3, "node": "n"})
    view._running["x"] = None  # type: ignore[assignment]
    assert view._picture().plain == ""
