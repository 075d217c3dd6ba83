"""A real browser for tests of pages: Debian's Chromium, headless, driven by Playwright; without them a test skips and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs import flows

from ..local_server import LocalServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
_QUIET += ["--disable-background-networking", "--disable-component-update"]


class Watched:
    """A page, and what it did that a page of ours must not do.

    Attributes:
        page: Playwright's page.
        requests: URLs it asked for, beside its own file and what it holds itself.
        complaints: Messages of its console, and exceptions that nobody caught.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._note(request))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, request: Any) -> None:
        if not (request.is_navigation_request() and request.url.startswith("file:")) and not request.url.startswith("data:"):
            self.requests.append(request.url)


# Not of the whole session: while Playwright's loop runs in a thread, asyncio.run() in it is refused.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a Chromium on PATH: apt-get install chromium")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=_QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    """Return a fresh page of 1280 by 800 pixels, in light mode, with everything watched that it must not do."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    yield Watched(context.new_page())
    context.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Return a function that serves a folder on this machine, with further answers by path, and returns its address."""
    servers = []

    def started(folder: Path, answers: dict[str, bytes]) -> str:
        class Files(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def do_GET(self) -> None:
                if (content := answers.get(self.path.partition("?")[0])) is None:
                    super().do_GET()
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

        servers.append(LocalServer(Files))
        return servers[-1].url

    yield started
    for server in servers:
        server.close()


@pytest.fixture
def quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the log of a real run of the quickstart."""
    shutil.copytree(EXAMPLES / "quickstart", tmp_path / "quickstart", ignore=shutil.ignore_patterns("logs", "*.db"))
    monkeypatch.chdir(tmp_path)
    flows.load("quickstart/flow.yaml").run()
    (log,) = tmp_path.rglob("flow-*.jsonl")
    return log
