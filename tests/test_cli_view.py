"""``tea-obs view``: pages in a temporary folder, opened in the browser."""

from __future__ import annotations

import json
import tempfile
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from the_edge_obs.cli import main

from .strategies import FLOW, OTHER_FLOW, whole


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the pages that the browser was asked for; it opens none."""
    pages: list[Path] = []

    def take(url: str) -> bool:
        pages.append(Path(unquote(urlsplit(url).path)))
        return False

    monkeypatch.setattr(webbrowser, "open", take)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for number, flow_id in enumerate((FLOW, OTHER_FLOW)):
        made = [{**one, "flow_id": flow_id} for one in whole(1, number, number + 1, node="flow")]
        (tmp_path / "logs" / f"flow-{flow_id}.jsonl").write_text(
            "".join(json.dumps(one) + "\n" for one in made), encoding="utf-8"
        )
    return pages


@pytest.mark.parametrize("arguments", [[], ["logs", "--last"], ["logs", "--flow", OTHER_FLOW[:8]]])
def test_one_run_is_a_page(opened: list[Path], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The latest without an argument; the path is printed, also where no browser can be opened."""
    assert main(["view", *arguments]) == 0
    out, err = capsys.readouterr()
    (page,) = opened
    assert (out, err) == (f"{page}\n", "tea-obs: no browser could be opened; open the page yourself\n")
    assert (page.name, OTHER_FLOW in page.read_text(encoding="utf-8")) == ("run.html", True)


def test_several_runs_are_an_index(opened: list[Path]) -> None:
    """With a page for each run that is chosen."""
    assert main(["view", "logs", "--name", "x*"]) == 2
    assert main(["view", "logs"]) == 0
    assert sorted(path.name for path in opened[0].parent.iterdir()) == [
        "index.html",
        *sorted(f"run-{flow_id}.html" for flow_id in (FLOW, OTHER_FLOW)),
    ]
