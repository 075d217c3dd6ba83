"""Values on the page of a run: JSON as a tree that folds, long texts, what is searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..strategies import event
from .conftest import Watched
from .run_pages import open_run, span_of

pytestmark = pytest.mark.slow


def leaves(page: Any) -> list[str]:
    return page.locator("#details .leaf:visible").all_inner_texts()  # type: ignore[no-any-return]


def test_a_tree_folds_with_the_keyboard(watched: Watched, tmp_path: Path) -> None:
    """What is small is open; each part opens and closes with the mouse, with space and with enter, and tells what is in it."""
    value = {"a": {"b": {"c": 1, "text": "two\nlines"}}, "empty": [], "list": [True, None, "x"], "": "no name"}
    page = open_run(watched, tmp_path, span_of("rank", value, None))
    assert leaves(page) == ["c: 1", "text:\ntwo\nlines", "empty: []", "0: true", "1: null", "2: x", ": no name"]
    first = page.locator("#details .node > summary").first
    first.focus()
    page.keyboard.press("Enter")
    assert (leaves(page), first.inner_text()) == (["empty: []", "0: true", "1: null", "2: x", ": no name"], "a: {1}b: {…}")
    page.keyboard.press("Space")
    assert leaves(page)[0] == "c: 1"
    assert (watched.requests, watched.complaints) == ([], [])


def test_large_values_are_made_as_they_are_opened(watched: Watched, tmp_path: Path) -> None:
    """5,000 spans, one with a list of 20,000 items: in hundreds, of which only the first is there at first."""
    made = [event(1, "entry", 0, data={"name": "big"})]
    for number in range(2, 5001):
        made.append(event(number, "entry", number / 1000, parent=1, node="rank", data={"input": {"rows": [1, 2, 3]}}))
        made.append(event(number, "exit", number / 1000 + 0.001, parent=1, node="rank"))
    made[1]["data"]["input"] = [{"id": number, "name": f"row {number}"} for number in range(20_000)]
    page = open_run(watched, tmp_path, made, row=None)
    took = page.evaluate("""() => {
        const start = performance.now();
        document.querySelectorAll("#rows .row")[1].click();
        document.body.offsetHeight;
        return performance.now() - start;
    }""")
    assert page.locator("#details .chunk").count() == 200
    assert page.locator("#details .value *").count() < 3000
    page.locator("#details .chunk > summary").last.click()
    page.locator("#details .chunk").last.locator("summary", has_text="19999").click()
    page.wait_for_selector("#details .leaf:has-text('row 19999')")
    assert leaves(page)[-2:] == ["id: 19999", "name: row 19999"]
    assert took < 1000
    assert (watched.requests, watched.complaints) == ([], [])


def test_what_is_searched_for_is_opened_and_marked(watched: Watched, tmp_path: Path) -> None:
    """Also deep inside, in a key, in a later hundred, and beyond the end of what a long text shows."""
    rows: list[Any] = [{"id": number} for number in range(500)]
    rows[333] = {"deep": {"er": {"and": {"deeper": {"still": {"there": "the Needle"}}}}}}
    value = {"rows": rows, "long": "x" * 5000 + "needle" + "y" * 5000, "needles": 1}
    page = open_run(watched, tmp_path, span_of("rank", value, None))
    assert page.locator("#details mark").count() == 0
    page.fill("#text", "needle")
    assert page.locator("#details mark:visible").all_inner_texts() == ["Needle", "needle", "needle"]
    assert page.locator("#details .chunk[open]").count() == 1
    page.fill("#text", "")
    assert page.locator("#details mark").count() == 0


def test_a_failed_span_says_why_first(watched: Watched, tmp_path: Path) -> None:
    """The error with its place, cause and traceback; its type stands in the label on the time line."""
    error = {
        "type": "ValueError",
        "message": "no price",
        "where": "shop.py:7 in price",
        "cause": {"type": "KeyError", "message": "'lamp'"},
        "errors": [{"type": "E", "message": "inner"}],
        "notes": ["try again"],
        "traceback": "Traceback:\n  shop.py",
    }
    made = [
        event(1, "entry", 0, data={"name": "shop"}),
        event(2, "entry", 0.1, parent=1, node="price", data={"input": {"article": "lamp"}}),
        event(2, "error", 0.2, parent=1, node="price", data={"error": error}, metrics={"duration_ms": 100.0}),
        event(1, "exit", 1),
    ]
    page = open_run(watched, tmp_path, made)
    assert page.locator("#rows .said").all_inner_texts() == ["ValueError: no price"]
    assert page.locator("#details h3").all_inner_texts() == ["ERROR", "INPUT\ncopy"]
    assert page.inner_text("#details .error-box").split("\n") == [
        "ValueError: no price",
        "raised at shop.py:7 in price",
        "caused by KeyError: 'lamp'",
        "with E: inner",
        "note: try again",
        "Traceback:",
        "  shop.py",
    ]


@pytest.mark.parametrize(
    ("end", "ticks"),
    [
        (0.00035, ["0", "50 µs", "100 µs", "150 µs", "200 µs", "250 µs", "300 µs"]),
        (0.9, ["0", "200 ms", "400 ms", "600 ms", "800 ms"]),
        (2.35, ["0", "500 ms", "1 s", "1.5 s", "2 s"]),
        (97, ["0", "20 s", "40 s", "1 min", "1 min 20 s"]),
        (3000, ["0", "10 min", "20 min", "30 min", "40 min"]),
        (9000, ["0", "30 min", "1 h", "1 h 30 min", "2 h"]),
    ],
)
def test_ticks_are_round(watched: Watched, tmp_path: Path, end: float, ticks: list[str]) -> None:
    """Steps of 1, 2 and 5, and above those of clocks; the lines behind the bars stand where the ticks do."""
    made = [event(1, "entry", 0, data={"name": "timed"}), event(1, "exit", end, metrics={"duration_ms": end * 1000})]
    page = open_run(watched, tmp_path, made, row=None)
    assert page.locator("#axis span").all_inner_texts() == ticks
    step = page.evaluate("document.querySelectorAll('#axis span')[1].offsetLeft")
    assert abs(float(page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--tick')")[:-2]) - step) < 1
