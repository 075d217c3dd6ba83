"""Make the pictures of README.md and docs/viewing.md from real runs of the examples: ``python docs/images/make.py [NAME ...]``.

Needs the extras dev and live, pyte, and a Chromium on PATH. Commands run in a pseudo-terminal, and an emulator reads their
screen. Some pictures need a third-party program (lnav; Jupyter's nbconvert with ipykernel; speedscope in SPEEDSCOPE_HOME, as
for the tests): where it is missing, the script says so and keeps the old picture.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

IMAGES = Path(__file__).resolve().parent
EXAMPLES = IMAGES.parent.parent / "examples"
FLOW = "examples/viewing/flow.yaml"
NORMAL = [(60, 64, 72), (240, 113, 120), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194)]
BRIGHT = [(139, 147, 161), (255, 130, 135), (170, 215, 140), (240, 205, 140), (120, 190, 250), (210, 140, 230), (110, 200, 210)]
THEME = TerminalTheme((27, 30, 36), (216, 220, 228), [*NORMAL, (216, 220, 228)], [*BRIGHT, (255, 255, 255)])
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace }}
{styles}
</style>
<rect y="26" width="100%" height="100%" rx="8" fill="#1b1e24"/>
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
TITLE = 26  # the room that rich reserves for a title
NOTEBOOK = """\
import the_edge_obs as obs
from the_edge_obs import flows

state = flows.load("examples/viewing/flow.yaml").run()
obs.get_flow_log(state["flow_id"])"""


# --- terminals ---


class Screen(pyte.Screen):
    """A terminal that also keeps which text is dim; pyte does not."""

    def select_graphic_rendition(self, *attributes: int) -> None:
        super().select_graphic_rendition(*[90 if one == 2 else one for one in attributes])


def screen(command: str, columns: int, lines: int = 90, *, seconds: float | None = None) -> Text:
    """Return what a terminal shows when a command has ended, or when it is stopped after ``seconds``."""
    shown = Screen(columns, lines)
    shown.set_mode(pyte.modes.LNM)
    stream, (ours, theirs) = pyte.ByteStream(shown), pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    env |= {"TERM": "xterm-256color", "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    until = time.monotonic() + (60 if seconds is None else seconds)
    while time.monotonic() < until and not (process.poll() is not None and not select.select([ours], [], [], 0)[0]):
        if select.select([ours], [], [], 0.02)[0]:
            try:
                stream.feed(os.read(ours, 65536))
            except OSError:  # Linux: all writers have exited
                break
    process.kill()
    process.wait()
    os.close(ours)
    return text_of(shown)


def text_of(shown: pyte.Screen) -> Text:
    """Return the text on a screen, in its colours, without the empty lines below it."""
    text = Text()
    for number in range(shown.lines):
        chars = [shown.buffer[number][column] for column in range(shown.columns)]
        for style, group in groupby(chars, style_of):
            text.append("".join(char.data for char in group), style)
        text.append("\n")
    text.rstrip()
    return text


def style_of(char: Any) -> Style:
    """Return the style of a character on a screen."""
    colours = [None if one == "default" else colour_of(one) for one in (char.fg, char.bg)]
    return Style(color=colours[0], bgcolor=colours[1], bold=char.bold, reverse=char.reverse)


def colour_of(name: str) -> str:
    """Translate pyte's name of a colour to rich's."""
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return {"brown": "yellow", "brightbrown": "bright_yellow"}.get(name, name.replace("bright", "bright_"))


def terminal(name: str, *parts: tuple[str, Text]) -> None:
    """Save a picture of commands, each with its output."""
    whole = Text("\n\n").join(Text.assemble(("$ ", "bright_black"), (command, "bold"), "\n", text) for command, text in parts)
    columns = max(len(line.plain.rstrip()) for line in whole.split("\n"))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=columns + 1, file=nowhere, force_terminal=True, color_system="truecolor")
        for line in whole.split("\n"):
            line.rstrip()
            console.print(line)
    svg = console.export_svg(title="", theme=THEME, unique_id="t", code_format=SVG)
    svg = re.sub(r' clip-path="url\([^"]+\)"', "", svg)  # no line is wider than the picture
    svg = re.sub(r'viewBox="0 0 (\S+) (\S+)"', lambda found: f'viewBox="0 {TITLE} {found[1]} {float(found[2]) - TITLE:.1f}"', svg)
    save(f"{name}.svg", svg.encode())


def save(name: str, content: bytes) -> None:
    """Write a picture."""
    (IMAGES / name).write_bytes(content)
    print(f"{name}: {len(content) / 1024:.0f} KB")


# --- pages ---


def shoot(browser: Any, name: str, url: str, take: Callable[[Any], Any], size: tuple[int, int], scheme: str = "light") -> None:
    """Save what a page shows after ``take`` has operated it."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    take(page)
    page.wait_for_timeout(300)
    save(f"{name}.png", page.screenshot())
    context.close()


@contextmanager
def served(folder: Path, answers: dict[str, bytes]) -> Iterator[str]:
    """Serve a folder locally, with extra answers by path."""

    class Files(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if (content := answers.get(self.path.partition("?")[0])) is None:
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return None

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def call(command: str) -> None:
    """Run a command and discard its output."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(shlex.split(command), check=True, capture_output=True, env=env)


def two_runs() -> None:
    """Write the logs of two runs to folders: ``before``, with the carrier down, and ``after``."""
    for name, more in (("before", ""), ("after", "--set carrier=up")):
        call(f"tea-obs run {FLOW} --log-dir {name} {more}")


# --- the pictures ---


def quickstart(browser: Any) -> None:
    """The run that the README starts with, up to the final state. A clone's folder stands for the temporary one."""
    shown = screen(command := "tea-obs run examples/quickstart/flow.yaml", 112)
    folder, clone = str(Path.cwd()), "/home/ada/the_edge_obs"
    lines = []
    for line in shown.split("\n"):
        if line.plain.startswith("final state"):
            break
        if (start := line.plain.find(folder)) >= 0:
            path = Text(clone, line.get_style_at_offset(Console(), start))
            line = line[:start] + path + line[start + len(folder) :]
        lines.append(line)
    while not lines[0].plain.strip():
        del lines[0]
    while not lines[-1].plain.strip():
        del lines[-1]
    terminal("quickstart", (command, Text("\n").join(lines)))


def show(browser: Any) -> None:
    terminal("show", (command := "tea-obs show before", screen(command, 110)))


def live(browser: Any) -> None:
    """A run in progress."""
    terminal("live", (command := f"tea-obs run {FLOW}", screen(command, 100, 26, seconds=1.6)))


def runs(browser: Any) -> None:
    commands = ("tea-obs ls logs", "tea-obs stats logs")
    terminal("runs", *[(command, screen(command, 110)) for command in commands])


def diff(browser: Any) -> None:
    terminal("diff", (command := "tea-obs diff before after", screen(command, 110)))


def diff_page(browser: Any) -> None:
    call("tea-obs diff before after -o diff.html")
    shoot(browser, "diff-page", Path("diff.html").resolve().as_uri(), _draft, (1200, 760))


def _draft(page: Any) -> None:
    page.get_by_text("draft (attempt 1)").first.click()


def page(browser: Any) -> None:
    call("tea-obs export before -o run.html")
    url = Path("run.html").resolve().as_uri()

    shoot(browser, "page-light", url, lambda page: page.get_by_text("parcels (attempt 1)").first.click(), (1200, 860))
    shoot(browser, "page-dark", url, _draft, (1200, 860), "dark")


def index(browser: Any) -> None:
    call("tea-obs export logs --format html -o pages/")
    shoot(browser, "index", Path("pages/index.html").resolve().as_uri(), lambda page: None, (1100, 660))


def speedscope(browser: Any) -> None:
    if not (home := os.environ.get("SPEEDSCOPE_HOME")):
        print("speedscope.png is left as it is: set SPEEDSCOPE_HOME")
        return
    call("tea-obs export before --format speedscope -o run.speedscope.json")
    with served(Path(home) / "dist" / "release", {"/run.json": Path("run.speedscope.json").read_bytes()}) as url:
        look = f"{url}/index.html#profileURL=/run.json"
        shoot(browser, "speedscope", look, lambda page: page.get_by_text("Left Heavy").wait_for(), (1200, 290))


def lnav(browser: Any) -> None:
    if shutil.which("lnav") is None:
        print("lnav.svg is left as it is: install lnav")
        return
    home = f"HOME={Path.cwd()} XDG_CONFIG_HOME="
    call(f"env {home} tea-obs lnav")
    terminal(
        "lnav", ("lnav before", screen(f"{home} TZ=UTC NCURSES_NO_UTF8_ACS=1 lnav -c ':goto 12' before", 120, 26, seconds=4))
    )


def tests(browser: Any) -> None:
    document = (IMAGES.parent / "testing.md").read_text(encoding="utf-8")
    code = document.partition("```python\n")[2].partition("```")[0]
    Path("test_triage.py").write_text(code, encoding="utf-8")
    command = "pytest --no-header --show-capture=all -p no:logging --color=yes"
    terminal("tests", ("pytest -p no:logging", screen(f"{command} --rootdir=. -p no:cacheprovider", 90)))


def notebook(browser: Any) -> None:
    if shutil.which("jupyter-nbconvert") is None:
        print("notebook.png is left as it is: install nbconvert and ipykernel")
        return
    cell = {"cell_type": "code", "id": "run", "metadata": {}, "execution_count": None, "outputs": [], "source": NOTEBOOK}
    made = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    Path("run.ipynb").write_text(json.dumps(made), encoding="utf-8")
    call("jupyter-nbconvert --execute --to html run.ipynb")
    url = Path("run.html").resolve().as_uri()
    shoot(browser, "notebook", url, lambda page: page.get_by_text("parcels (attempt 1)").click(), (1000, 640))


PICTURES = (quickstart, show, live, runs, diff, diff_page, page, index, speedscope, lnav, tests, notebook)


def main(*names: str) -> None:
    """Make the pictures of these names, or all of them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(folder)
        shutil.copytree(EXAMPLES, "examples", ignore=shutil.ignore_patterns("logs", "__pycache__"))
        two_runs()
        for number in range(3):
            call(f"tea-obs run {FLOW} --log-dir logs" + " --set carrier=up" * (number % 2))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for picture in PICTURES:
            if not names or picture.__name__ in names:
                picture(browser)
        browser.close()
        os.chdir("/")


if __name__ == "__main__":
    main(*sys.argv[1:])
