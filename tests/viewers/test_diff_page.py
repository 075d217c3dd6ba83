"""The page of a comparison, in a real browser: rows, what is shown, details, keys, hostile logs, many rows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.comparison import FlowDiff, diff
from the_edge_obs.comparison.page import page
from the_edge_obs.flow_log import FlowLog, build_flow_log

from ..strategies import FLOW, OTHER_FLOW, event, whole
from .conftest import Watched

pytestmark = pytest.mark.slow

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!--\u2028\x00'\"&"


def run(flow_id: str = FLOW, *nodes: tuple[str, Any, Any, float], name: str = "triage") -> FlowLog:
    """Return a log of nodes that ran one after another: step, input, output, milliseconds."""
    events, clock = [event(1, "entry", 0, parent=None, flow_id=flow_id, data={"name": name})], 1.0
    for number, (step, given, result, ms) in enumerate(nodes, 2):
        end = clock + ms / 1000
        span = whole(number, clock, end, parent=1, flow_id=flow_id, node="llm.call", step=step, data={"output": result})
        span[0]["data"] = {"input": given}
        events += span
        clock = end + 0.001
    ms = round(clock * 1000, 3)
    return build_flow_log([*events, event(1, "exit", clock, parent=None, flow_id=flow_id, metrics={"duration_ms": ms})])


def sample() -> FlowDiff:
    """Return a comparison with a row of each kind."""
    load, question = ("load", "a", 1, 5), {"prompt": "Is it?"}
    old = run(FLOW, load, ("ask", question, {"topic": "billing"}, 100), ("gone", 1, 1, 5), ("save", 1, 1, 5))
    new = run(OTHER_FLOW, load, ("ask", question, {"topic": "sales"}, 100), ("save", 1, 1, 500), ("extra", "x", "y", 5))
    return diff(old, new)


@pytest.fixture
def opened(watched: Watched, tmp_path: Path) -> Any:
    """Return a function that opens the page of a comparison from disk."""

    def open_page(found: FlowDiff) -> Any:
        path = tmp_path / "diff.html"
        path.write_text("".join(page(found)), encoding="utf-8")
        watched.page.goto(path.as_uri())
        return watched.page

    yield open_page
    assert (watched.requests, watched.complaints) == ([], [])


def rows(browser_page: Any) -> list[str]:
    """Return mark and label of the rows that are shown."""
    return [
        f"{row.query_selector('.mark').inner_text()}|{row.query_selector('.name').inner_text()}"
        for row in browser_page.query_selector_all(".row")
    ]


def test_rows_and_only_changes(opened: Any) -> None:
    """What differs is shown at first, with what it lies in; everything on demand; a text narrows it down."""
    shown = opened(sample())
    assert rows(shown) == ["time|triage", "~ changed|ask", "- removed|gone", "time|save", "+ added|extra"]
    assert shown.locator(".row.removed .cell.none").get_attribute("aria-label") == "not in the new run"
    assert shown.locator(".counts").inner_text().split("\n") == ["1 added", "1 removed", "1 changed", "3 same"]
    shown.get_by_label("only changes").uncheck()
    assert rows(shown) == ["time|triage", "|load", "~ changed|ask", "- removed|gone", "time|save", "+ added|extra"]
    shown.get_by_label("step or node").fill("EXT")
    assert rows(shown) == ["time|triage", "+ added|extra"]
    assert shown.locator("#shown").inner_text() == "2 of 6 rows"


def test_details(opened: Any) -> None:
    """A row tells what differs, old above new; of what was added, what it was given and what it gave."""
    shown = opened(sample())
    shown.get_by_text("ask").first.click()
    details = shown.locator("#details")
    assert details.locator("h2").inner_text() == "ask"
    assert [one.inner_text() for one in details.locator("> p").all()] == ["triage / ask", "changed: output"]
    assert [one.inner_text() for one in details.locator("tr").all()] == ["\told\tnew\t", "duration\t100.0 ms\t100.0 ms\t"]
    assert [one.inner_text() for one in details.locator("h3, .value").all()] == ["output.topic", "billing", "sales"]
    shown.get_by_text("extra").first.click()
    assert [one.inner_text() for one in details.locator("h3, .value").all()] == ["input", "x", "output", "y"]


def test_keyboard(opened: Any) -> None:
    """The first difference is open; arrows go from row to row, n and p from change to change, enter to the details and back."""
    shown = opened(sample())
    chosen = shown.locator(".row[aria-selected=true] .name")
    assert chosen.first.inner_text() == "ask"
    shown.get_by_label("only changes").uncheck()
    shown.locator("#list").focus()
    moves = (("ArrowUp", "load"), ("ArrowUp", "triage"), ("n", "ask"), ("End", "extra"), ("p", "save"), ("Home", "triage"))
    for key, label in moves:
        shown.keyboard.press(key)
        assert chosen.first.inner_text() == label
    assert shown.locator("#list").get_attribute("aria-activedescendant") == "row-0"
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "details"
    shown.keyboard.press("Escape")
    assert shown.evaluate("document.activeElement.id") == "list"


def test_hostile_logs_stay_text(opened: Any) -> None:
    """Whatever a log holds, in names, values, errors: no element is made of it, nothing runs, nothing is loaded."""
    old = run(FLOW, (HOSTILE, {HOSTILE: HOSTILE}, "a", 5), name=HOSTILE)
    new = run(OTHER_FLOW, (HOSTILE, {HOSTILE: "x"}, HOSTILE, 5), (f"{HOSTILE}2", HOSTILE, HOSTILE, 5), name=HOSTILE)
    shown = opened(diff(old, new))
    for key in "nn":
        shown.keyboard.press(key)
        assert "onerror" in shown.locator("#details").inner_text()
    assert shown.locator("img").count() == 0
    assert shown.title().startswith("</script><img")
    assert shown.evaluate("document.scripts.length") == 2


def test_no_script_but_its_own_may_run(opened: Any, watched: Watched) -> None:
    """The policy of the page refuses a script that somebody got into it, and a request."""
    shown = opened(sample())
    code = "const one = document.createElement('script'); one.textContent = 'document.title = 1'; document.body.append(one);"
    shown.evaluate(f"() => {{ {code} }}")
    shown.evaluate("() => fetch('https://example.com/').catch(() => 0)")
    assert shown.title() == "triage: two runs"
    assert len(watched.complaints) >= 2
    assert all("Content Security Policy" in complaint for complaint in watched.complaints)
    watched.complaints.clear()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (420, 800)])
def test_it_fits(opened: Any, width: int, height: int) -> None:
    """Nothing runs over the side of a wide window, nor of a phone."""
    shown = opened(sample())
    shown.set_viewport_size({"width": width, "height": height})
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.locator("#list").bounding_box()["height"] > 100


def test_runs_that_do_not_differ(opened: Any) -> None:
    """All rows are shown: a page that says only that there is nothing would look broken."""
    log = run(FLOW, ("load", "a", 1, 5))
    shown = opened(diff(log, log))
    assert rows(shown) == ["|triage", "|load"]
    shown.get_by_text("load").first.click()
    assert "no differences" in shown.locator("#details").inner_text()


def test_many_rows(opened: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """50,000 spans: rows are made as they are needed, so that opening and filtering take no time that people notice."""
    nodes = [(f"step {n}", n, n, 1) for n in range(50_000)]
    found = diff(run(FLOW, *nodes), run(OTHER_FLOW, *[(step, n, n + n % 2, ms) for step, n, _, ms in nodes]))
    start = time.perf_counter()
    shown = opened(found)
    loaded = time.perf_counter() - start
    assert shown.locator("#shown").inner_text() == "25,001 of 50,001 rows"
    assert 10 < len(rows(shown)) < 80
    filtered = shown.evaluate(
        """() => {
            const filter = document.getElementById("filter"), start = performance.now();
            filter.value = "step 49";
            filter.dispatchEvent(new Event("input"));
            document.body.offsetHeight;
            return performance.now() - start;
        }"""
    )
    assert shown.locator("#shown").inner_text() == "557 of 50,001 rows"
    figures = {"written_and_loaded_s": round(loaded, 2), "filter_ms": round(filtered, 1)}
    with capsys.disabled():
        print(f"\n50,000 spans in a diff page: {json.dumps(figures)}")
    assert filtered < 1000
