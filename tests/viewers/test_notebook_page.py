"""The small page of a flow log, in a real browser, put into another page as a notebook does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from the_edge_obs.flow_log import FlowLog, build_flow_log

from ..strategies import event, whole

pytestmark = pytest.mark.slow

HOSTILE = "</pre></script></style><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


def show(watched: Any, log: FlowLog) -> Any:
    """Put the page of a log into a page, and return that."""
    watched.page.set_content(f"<!doctype html><main>{log._repr_html_()}</main>")
    return watched.page


def run() -> FlowLog:
    root = whole(1, 0, 4)
    root[0]["data"] = {"name": HOSTILE}
    error = {"error": {"type": "E", "message": HOSTILE, "traceback": HOSTILE}}
    return build_flow_log(
        [
            *root,
            event(2, "entry", 1, parent=1, step=HOSTILE, data={"input": {HOSTILE: HOSTILE}}),
            event(2, "error", 3, parent=1, step=HOSTILE, level="error", data=error),
        ]
    )


def test_data_stays_text(watched: Any) -> None:
    """What was logged is shown as it is: nothing of it runs, nothing is asked for, nothing complains."""
    page = show(watched, run())
    for summary in page.locator("summary").all():
        summary.click()
    assert page.locator(".tea-log script, .tea-log img").count() == 0
    assert page.locator(".tea-what").nth(1).inner_text().startswith(HOSTILE)
    assert HOSTILE in page.locator("dd").last.inner_text()
    assert (page.evaluate("window.hit"), watched.requests, watched.complaints) == (None, [], [])


def test_rows_open_by_keyboard(watched: Any) -> None:
    """Tab goes from row to row, Enter shows what a span was given and gave."""
    page = show(watched, run())
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    opened = page.locator("details[open]")
    assert (opened.count(), opened.locator("dt").all_inner_texts()) == (1, ["input", "error"])


def test_bars_lie_side_by_side_with_their_rows(watched: Any) -> None:
    """A span of the middle half of its flow has a bar half as long, which begins a quarter in."""
    outer, inner = (bar.bounding_box() for bar in show(watched, run()).locator(".tea-bar").all())
    assert inner["width"] == pytest.approx(outer["width"] / 2, abs=1)
    assert inner["x"] - outer["x"] == pytest.approx(outer["width"] / 4, abs=1)
    assert inner["y"] > outer["y"]


@pytest.mark.parametrize("colours", [("rgb(17, 17, 17)", "rgb(255, 255, 255)"), ("rgb(221, 221, 221)", "rgb(17, 17, 17)")])
def test_text_can_be_read_on_light_and_dark(watched: Any, colours: tuple[str, str]) -> None:
    """The colours of the page around it are taken over, and those of errors are mixed with them: 4.5 to 1 or more."""
    page = show(watched, run())
    page.evaluate("([text, back]) => { document.body.style.color = text; document.body.style.background = back }", list(colours))
    shown = page.locator(".tea-note.tea-bad").evaluate(
        """element => {
            const canvas = document.createElement("canvas").getContext("2d")
            const seen = colour => {
                canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]
            }
            return [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor].map(seen)
        }"""
    )
    assert contrast(*shown) >= 4.5


def contrast(one: list[int], other: list[int]) -> float:
    """Return the contrast ratio of two colours as WCAG 2.1 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[int]) -> float:
    parts = [part / 255 for part in colour[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_large_log_is_a_small_page(watched: Any) -> None:
    """Of 10,000 spans a page is made that a notebook can keep."""
    log = build_flow_log([*whole(1, 0, 9), *(one for n in range(2, 10_002) for one in whole(n, 1, 2, parent=1))])
    start = time.perf_counter()
    html = log._repr_html_()
    print(f"10,000 spans: {len(html):,} characters in {time.perf_counter() - start:.2f} s")
    assert len(html) < 100_000
    assert show(watched, log).locator(".tea-row").count() == 12
