"""The index of a folder of runs: charts, filters, tables."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.pages.site import write_site
from the_edge_obs.store.run_stats import node_stats

from ..strategies import FLOW, Event, event
from .conftest import Watched

pytestmark = pytest.mark.slow


def flow_id(number: int) -> str:
    return f"{number:08x}{FLOW[8:]}"


def run(
    number: int, seconds: float, name: str = "triage", *, error: str = "", handled: bool = False, cost: float = 0
) -> list[Event]:
    """Return a run that starts ``number`` minutes in; its node ``llm.call`` takes half of its time, and fails with ``error``."""
    at, fields = number * 60.0, {"flow_id": flow_id(number)}
    failure = {"error": {"type": "E", "message": error}} if error else {}
    metrics = {"duration_ms": seconds * 500, "cost_usd": cost}
    made = [
        event(1, "entry", at, **fields, data={"name": name}),
        event(2, "entry", at, **fields, node="llm.call"),
        event(2, "error" if error else "exit", at + seconds / 2, **fields, node="llm.call", data=failure, metrics=metrics),
    ]
    if name == "report":
        made.append(event(3, "exit", at, **fields, parent=1, node="db.query", metrics={"duration_ms": 2.0}))
    ended = "error" if error and not handled else "exit"
    end = event(
        1, ended, at + seconds, **fields, data=failure if ended == "error" else {}, metrics={"duration_ms": seconds * 1000}
    )
    return [*made, end]


def open_index(watched: Watched, folder: Path, made: list[Event], width: int = 1280) -> Any:
    """Write the pages of some runs, and open their index."""
    log = folder / "all.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    write_site(log, folder / "site")
    watched.page.set_viewport_size({"width": width, "height": 800})
    watched.page.goto((folder / "site" / "index.html").as_uri())
    return watched.page


FEW = [
    *run(1, 2.0, cost=0.01),
    *run(2, 4.0, error="</script><img src=x>"),
    *run(3, 1.0, error="timed out", handled=True),
    *run(4, 3.0, "report", cost=0.02),
    event(1, "entry", 300, flow_id=flow_id(5), data={"name": "report"}),
]


def names(page: Any) -> list[str]:
    return page.locator("#runs tbody a").all_inner_texts()  # type: ignore[no-any-return]


def bars(page: Any) -> list[tuple[str, int]]:
    """Return the bars of the chart: what each is, and its height in pixels."""
    found = page.locator("#chart .bar:not(.cost)").all()
    return [(bar.get_attribute("class").removeprefix("bar "), round(float(bar.get_attribute("height")))) for bar in found]


def test_a_bar_is_a_run(watched: Watched, tmp_path: Path) -> None:
    """Its height is the duration, on an axis with round ticks; errors have their own shapes; the cost has a second row."""
    page = open_index(watched, tmp_path, FEW)
    assert page.locator("#chart text").all_text_contents()[:5] == ["0", "1 s", "2 s", "3 s", "4 s"]
    assert bars(page) == [("ok", 60), ("error", 120), ("ok", 30), ("ok", 90), ("running open", 5)]
    marks = page.evaluate("[...document.querySelectorAll('#chart .mark')].map((one) => one.getAttribute('class'))")
    assert marks == ["mark cross", "mark triangle"]
    heights = page.evaluate("[...document.querySelectorAll('#chart .cost')].map((one) => +one.getAttribute('height'))")
    assert [round(height / heights[0], 3) for height in heights] == [1, 2]
    assert page.inner_text("#about") == "a bar is a run, its height the duration · ✗ failed · △ errors that were handled"
    assert page.locator("#runs .why").all_inner_texts() == ["E: timed out", "E: </script><img src=x>"]
    assert (page.locator("img").count(), watched.requests, watched.complaints) == (0, [], [])


@pytest.mark.parametrize(
    ("field", "value", "chosen"),
    [
        ("#text", "TIMED", [3]),
        ("#text", "triage", [3, 2, 1]),
        ("#text", flow_id(4)[:8], [4]),
        ("#status", "error", [2]),
        ("#status", "errors", [3, 2]),
        ("#name", "report", [5, 4]),
        ("#text", "nothing", []),
    ],
)
def test_filters_change_table_chart_and_nodes(
    watched: Watched, tmp_path: Path, field: str, value: str, chosen: list[int]
) -> None:
    """All of them show the same runs; Escape shows all again."""
    page = open_index(watched, tmp_path, FEW)
    page.fill(field, value) if field == "#text" else page.select_option(field, label={"errors": "with errors"}.get(value, value))
    assert page.locator("#runs tbody code").all_inner_texts() == [flow_id(number) for number in chosen]
    assert (len(bars(page)), page.inner_text("#shown")) == (len(chosen), f"{len(chosen)} of 5 runs")
    page.click("#tab-nodes")
    counts = dict(zip(*[page.locator(f"#totals td:nth-child({n})").all_inner_texts() for n in (1, 2)], strict=True))
    calls = len([number for number in chosen if number != 5])
    assert counts == ({"llm.call": str(calls)} if calls else {}) | ({"db.query": "1"} if 4 in chosen else {})
    page.keyboard.press("Escape")
    page.click("#tab-runs")
    assert (len(names(page)), len(bars(page)), page.inner_text("#shown")) == (5, 5, "")
    assert (watched.requests, watched.complaints) == ([], [])


def test_nodes_are_those_of_stats(watched: Watched, tmp_path: Path) -> None:
    """Count, errors, percentiles and cost are what ``tea-obs stats`` says; a node leads to the runs in which it ran."""
    made = [
        one for number in range(1, 41) for one in run(number, number / 7, "report" if number % 9 == 0 else "triage", cost=0.001)
    ]
    page = open_index(watched, tmp_path, made)
    page.click("#tab-nodes")
    rows = [row.split("\t")[:9] for row in page.locator("#totals tbody tr").all_inner_texts()]
    stats = {one["node"]: one for one in node_stats(made).to_dicts()}["llm.call"]
    seconds = [f"{stats[key] / 1000:.2f} s" for key in ("total_ms", "p50_ms", "p95_ms", "max_ms")]
    assert rows[0] == ["llm.call", "40", "", *seconds, "", "$0.0400"]
    assert page.locator("#totals svg[role=img]").first.get_attribute("aria-label") == f"p50 {seconds[1]}, p95 {seconds[2]}"
    page.click("#totals button:has-text('db.query')")
    assert (names(page), page.inner_text("#ran")) == (["report"] * 4, "ran db.query \u00d7")
    page.click("#ran")
    assert len(names(page)) == 40


def test_the_keyboard_reads_the_chart(watched: Watched, tmp_path: Path) -> None:
    """Arrows go from run to run and say what it is, enter opens it."""
    page = open_index(watched, tmp_path, FEW)
    page.focus("#chart")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    said = page.inner_text("#about").split(" · ")
    assert [*said[:2], *said[3:]] == ["triage", "error", "4.00 s", "E: </script><img src=x>"]
    page.keyboard.press("End")
    assert page.inner_text("#about").endswith("no end")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows")
    assert page.inner_text("h1") == "report"


def test_many_runs_share_bars(watched: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 runs: a bar is a group of them, a click shows only these; long outliers make the axis logarithmic."""
    runs = [run(number, 600.0 if number == 5000 else 1.0, error="no" if number % 100 == 0 else "") for number in range(1, 10_001)]
    log = tmp_path / "all.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for made in runs for one in made), encoding="utf-8")
    write_site(log, tmp_path / "site")
    page = watched.page
    start = time.perf_counter()
    page.goto((tmp_path / "site" / "index.html").as_uri())
    loaded = time.perf_counter() - start
    filtered = page.evaluate(
        """() => {
            const field = document.getElementById("text"), start = performance.now();
            field.value = "triage";
            field.dispatchEvent(new Event("input"));
            document.body.offsetHeight;
            return performance.now() - start;
        }"""
    )
    with capsys.disabled():
        print(f"\n10,000 runs in an index: loaded in {loaded:.2f} s, filtered in {filtered:.0f} ms")
    assert 100 < len(bars(page)) < 500
    assert page.inner_text("#about").split(" · ") == [
        "a bar is up to 51 runs: dark their median duration, light the longest",
        "logarithmic axis",
        "red below: the share that failed",
    ]
    box = page.locator("#chart").bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 60)
    assert (page.inner_text("#shown"), len(bars(page))) == ("51 of 10,000 runs", 51)
    page.click("#range")
    assert page.inner_text("#shown") == ""
    assert (watched.requests, watched.complaints) == ([], [])


@pytest.mark.parametrize("width", [400, 760, 1280])
def test_it_fits(watched: Watched, tmp_path: Path, width: int) -> None:
    """Nothing is wider than the window; on a phone, run, status, duration and errors stay."""
    page = open_index(watched, tmp_path, FEW, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = [text.removesuffix(" ↓") for text in page.locator("#runs th:visible").all_inner_texts()]
    assert shown[:2] == ["run", "status"]
    assert {"duration", "errors"} <= set(shown)
    errors = page.locator("#runs td.errors").nth(3).bounding_box()
    assert errors["x"] + errors["width"] <= width
    page.click("#tab-nodes")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (watched.requests, watched.complaints) == ([], [])


def test_one_run(watched: Watched, tmp_path: Path) -> None:
    """Its bar, and no choice of names; without durations, there is still a chart."""
    page = open_index(watched, tmp_path, [event(1, "entry", 0, data={"name": "only"})])
    assert (bars(page), page.locator("#name").count(), names(page)) == ([("running open", 5)], 0, ["only"])
    page.click("#tab-nodes")
    assert page.locator("#totals tbody tr").count() == 0
    assert (watched.requests, watched.complaints) == ([], [])


def test_it_prints(watched: Watched, tmp_path: Path) -> None:
    """On paper both tables stand below the chart, without what only a screen can use."""
    page = open_index(watched, tmp_path, FEW)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown = [place for place in ("#runs", "#totals", "#filters", "#theme") if page.locator(place).is_visible()]
    assert shown == ["#runs", "#totals"]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert [page.locator(place).is_visible() for place in ("#runs", "#totals")] == [True, False]
