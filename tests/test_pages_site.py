from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.cli import main
from the_edge_obs.errors import ExportError, LogFileError
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.jsonl import Skipped
from the_edge_obs.pages import run_page
from the_edge_obs.pages.site import write_site
from the_edge_obs.text import clock_text

from .strategies import FLOW, OTHER_FLOW, T0, Event, event, whole


def log_file(path: Path, made: list[Event]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    return path


def data_of(index: str) -> dict[str, Any]:
    """Return what the script of the index is given."""
    return json.loads(re.search(r'id="data">(.*?)</script>', index, re.S)[1])  # type: ignore[index, no-any-return]


OK = [event(1, "entry", 0, data={"name": "<b>first</b>"}), *whole(2, 0.1, 0.2, metrics={"tokens": 7}), *whole(1, 0, 1)[1:]]
DIED = [event(1, "entry", 5, flow_id=OTHER_FLOW, data={"name": "second"})]


@pytest.mark.parametrize("layout", ["a file each", "one file, interleaved", "two files of one run"])
def test_each_run_has_its_page_and_the_index_links_to_it(tmp_path: Path, layout: str) -> None:
    """However the runs lie in the files, the pages are those of the whole runs; the youngest run comes first."""
    logs = tmp_path / "logs"
    if layout == "a file each":
        log_file(logs / "a.jsonl", OK)
        log_file(logs / "b.jsonl", DIED)
    elif layout == "one file, interleaved":
        log_file(logs / "all.jsonl", [*OK[:2], *DIED, *OK[2:]])
    else:
        log_file(logs / "a.jsonl", OK[:2])
        log_file(logs / "b.jsonl", [*OK[2:], *DIED])
    calls: list[tuple[int, int]] = []
    assert write_site(logs, tmp_path / "new" / "site", Skipped(), lambda done, of: calls.append((done, of))) == 2
    site = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "site").iterdir()}
    index = site.pop("index.html")
    assert site == {
        f"run-{FLOW}.html": "".join(run_page(build_flow_log(OK), "index.html")),
        f"run-{OTHER_FLOW}.html": "".join(run_page(build_flow_log(DIED), "index.html")),
    }
    runs = [(run[11], run[0]) for run in data_of(index)["runs"]]
    assert sorted(runs) == [(f"run-{FLOW}.html", "<b>first</b>"), (f"run-{OTHER_FLOW}.html", "second")]
    assert ("2 runs, 1 ok, 1 running" in index, calls) == (True, [(1, 2), (2, 2)])


def test_what_the_index_is_given(tmp_path: Path) -> None:
    """A row of each run, with its first error, and the figures of its nodes: their durations for percentiles."""
    error = {"type": "E", "message": "no\nway"}
    failed = [
        event(1, "entry", 5, flow_id=OTHER_FLOW, data={"name": "second"}),
        event(2, "error", 6, flow_id=OTHER_FLOW, node="llm.call", data={"error": error}, metrics={"duration_ms": 123.456}),
        event(1, "error", 7, flow_id=OTHER_FLOW, data={"error": error}, metrics={"duration_ms": 2000.0}),
    ]
    write_site(log_file(tmp_path / "log.jsonl", [*OK, *failed]), tmp_path / "site")
    data = data_of((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    start = [clock_text(T0), clock_text(T0 + 5)]
    assert (data["nodes"], data["names"]) == (["node2", "llm.call"], ["<b>first</b>", "second"])
    first = ["<b>first</b>", 0, T0, start[0], 1000.0, 0, "", 1, 7, 0, FLOW, f"run-{FLOW}.html"]
    second = ["second", 1, T0 + 5, start[1], 2000.0, 1, "E: no\\nway", 1, 0, 0, OTHER_FLOW, f"run-{OTHER_FLOW}.html"]
    assert data["runs"] == [
        [*first, [[0, 1, 0, 100.0, 100.0, 7, 0, 1, 100.0]]],
        [*second, [[1, 1, 1, 123.456, 123.456, 0, 0, 1, 123.5]]],
    ]


def test_many_durations_of_a_node_are_a_sample(tmp_path: Path) -> None:
    """50 of them stand for all, so that the index stays small however long a run is."""
    made = [event(1, "entry", 0, data={"name": "long"})]
    for number in range(2, 1002):
        made.append(event(number, "exit", 1, parent=1, node="tick", metrics={"duration_ms": float(number)}))
    write_site(log_file(tmp_path / "log.jsonl", made), tmp_path / "site")
    (run,) = data_of((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))["runs"]
    assert (run[12][0][:3], run[12][0][7], run[12][0][8:]) == ([0, 1000, 0], 1000, [12.0 + 20 * part for part in range(50)])


def test_what_cannot_be_done(tmp_path: Path) -> None:
    """A file in the folder's place, and a log without events: nothing is written."""
    log = log_file(tmp_path / "a.jsonl", OK)
    with pytest.raises(ExportError, match="is a file; the pages of several runs need a folder"):
        write_site(log, log)
    empty = log_file(tmp_path / "empty.jsonl", [])
    with pytest.raises(LogFileError, match="holds no events"):
        write_site(empty, tmp_path / "site")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "empty.jsonl"]


@pytest.mark.parametrize("flow_id", ["../../evil", "..", "a/b", "x" * 300, "\ud800", "C:evil", ""])
def test_no_flow_id_leads_out_of_the_folder(tmp_path: Path, flow_id: str) -> None:
    """A log may be anybody's; a page's name is made of what is a UUID alone."""
    log = log_file(tmp_path / "log.jsonl", [{**one, "flow_id": flow_id} for one in OK] + DIED)
    assert write_site(log, tmp_path / "deep" / "er" / "site") == 2
    index = (tmp_path / "deep" / "er" / "site" / "index.html").read_text(encoding="utf-8")
    pages = [run[11] for run in data_of(index)["runs"]]
    assert all(re.fullmatch(r"run-[-0-9a-f]*\.html", page) for page in pages)
    written = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(written) == sorted(["log.jsonl", *(f"deep/er/site/{name}" for name in ("index.html", *pages))])
    assert len(set(pages)) == 2


@pytest.mark.parametrize("old", [True, False])
def test_what_fails_half_way_leaves_nothing_new(tmp_path: Path, old: bool) -> None:
    """Neither pages without an index nor folders; what was there before is still there, and whole."""
    log, site = log_file(tmp_path / "log.jsonl", [*OK, *DIED]), tmp_path / "new" / "site"
    if old:
        write_site(log_file(tmp_path / "old.jsonl", OK), site)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(log, site, progress=stop)
    left = {"index.html", f"run-{FLOW}.html"} if old else set()
    assert {path.name for path in (tmp_path / "new").rglob("*.html")} == left
    assert (tmp_path / "new").exists() is old


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a folder, named as one or there already; several runs in one file's name are refused, in one line."""
    logs = tmp_path / "logs"
    log_file(logs / "a.jsonl", OK)
    log_file(logs / "b.jsonl", DIED)
    site = tmp_path / "site"
    assert main(["export", str(logs), "--format", "html", "-o", f"{site}/"]) == 0
    assert capsys.readouterr().out == f"{site}/index.html: 2 runs as pages\n"
    (site / "index.html").unlink()
    assert main(["export", str(logs), "--format", "html", "-o", str(site)]) == 0
    assert (site / "index.html").is_file()
    assert main(["export", str(logs), "--format", "html", "-o", str(tmp_path / "fresh")]) == 0
    assert (tmp_path / "fresh" / "index.html").is_file()
    assert main(["export", str(logs / "a.jsonl"), "--format", "html", "-o", str(tmp_path / "single")]) == 0
    assert (tmp_path / "single").is_file()
    capsys.readouterr()
    assert main(["export", str(logs), "-o", str(tmp_path / "one.html")]) == 2
    assert capsys.readouterr().err == (
        "tea-obs: error: these events belong to several flows; a page shows one flow: give the log of one, "
        "or write a folder of pages: tea-obs export LOG --format html -o FOLDER/\n"
    )
    assert not (tmp_path / "one.html").exists()
