"""The pages of runs, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.pages.site import write_site

from ..strategies import FLOW, OTHER_FLOW, Event, event, span_id, whole

pytestmark = pytest.mark.slow

_HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!--\u2028\x1b[31m"


def run() -> list[Event]:
    """Return a run with two branches side by side, an error that passes through its parent, and hostile texts."""
    error = {"type": "E", "message": _HOSTILE}
    return [
        event(1, "entry", 0, data={"name": "triage"}),
        *whole(2, 0.1, 0.3, parent=1, node="file.read", step="load", data={"output": 'needle in it: say "ah"'}),
        event(3, "entry", 0.4, parent=1, node="parallel", step="judge"),
        *whole(4, 0.4, 0.8, parent=3, node="llm.call", step="left", metrics={"tokens": 42}),
        event(5, "entry", 0.45, parent=3, node="llm.call", step="right", data={"input": {"prompt": _HOSTILE}}),
        event(5, "log", 0.5, parent=3, node="my.lib", level="warn", message=_HOSTILE),
        event(5, "error", 0.9, parent=3, node="llm.call", step="right", level="error", data={"error": error}),
        event(3, "error", 0.9, parent=1, node="parallel", step="judge", level="error", data={"error": error}),
        *whole(1, 0, 1)[1:],
    ]  # fmt: skip


@pytest.fixture
def shown(watched: Any, tmp_path: Path) -> Any:
    """Return the page of that run, opened; at the end it must have asked for nothing and complained of nothing."""
    log = tmp_path / "run.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in run()), encoding="utf-8")
    obs.export(log, tmp_path / "run.html", format="html")
    watched.page.goto((tmp_path / "run.html").as_uri())
    yield watched.page
    assert (watched.requests, watched.complaints, watched.page.title()) == ([], [], "triage · ok")
    assert watched.page.locator("img").count() == 0


def labels(page: Any, rows: str = "#rows") -> list[str]:
    return page.locator(f"{rows} .row .label").all_inner_texts()


def chosen(page: Any) -> str:
    return page.locator("#details h2").inner_text()


def test_the_tree_and_its_time_line(shown: Any) -> None:
    """Each span has a row and a bar; children lie inside their parents' time, siblings that overlap have lanes of their own."""
    assert labels(shown) == ["triage", "load", "judge", "left", "right"]
    boxes = [piece.bounding_box() for piece in shown.locator("#rows .span").all()]
    flow, load, judge, left, right = [(box["x"], box["x"] + box["width"]) for box in boxes]
    for inner, outer in ((load, flow), (judge, flow), (left, judge), (right, judge)):
        assert outer[0] - 1 <= inner[0] <= inner[1] <= outer[1] + 1
    assert load[1] < judge[0]
    assert right[0] < left[1]
    texts = shown.locator("#rows .row").nth(3).locator("> *").all_inner_texts()
    assert [text.split("\n") for text in texts] == [["left", "llm.call"], [""], ["400.0 ms"], ["42"], ["ok"]]


@pytest.mark.parametrize(
    ("field", "value", "found", "count"),
    [
        ("#text", "needle", ["triage", "load"], "1 of 5 spans"),
        ("#node", "llm.*", ["triage", "judge", "left", "right"], "2 of 5 spans"),
        ("#node", "FILE.rea?", ["triage", "load"], "1 of 5 spans"),
        ("#text", "nowhere", [], "0 of 5 spans"),
        ("#text", 'say "ah"', ["triage", "load"], "1 of 5 spans"),
        ("#status", "error", ["triage", "judge", "right"], "2 of 5 spans"),
        ("#level", "error", ["triage", "judge", "right"], "2 of 5 spans"),
    ],
)
def test_filters(shown: Any, field: str, value: str, found: list[str], count: str) -> None:
    """What fits is shown, with what it lies in; Escape takes the filters away."""
    (shown.select_option if field in ("#status", "#level") else shown.fill)(field, value)
    assert (labels(shown), shown.inner_text("#shown")) == (found, count)
    shown.locator(field).press("Escape")
    assert (labels(shown), shown.inner_text("#shown")) == (["triage", "load", "judge", "left", "right"], "5 spans")


def test_the_keyboard_does_it_all(shown: Any) -> None:
    """Move, close and open, filter, jump to the error where it arose, zoom, turn to the other views, and back."""
    shown.keyboard.press("ArrowDown")
    assert chosen(shown) == "triage"
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        shown.keyboard.press(key)
    assert (chosen(shown), labels(shown)) == ("judge", ["triage", "load", "judge"])
    assert shown.locator("#rows [aria-selected=true]").get_attribute("aria-expanded") == "false"
    shown.keyboard.press("e")
    assert (chosen(shown), labels(shown)) == ("right", ["triage", "load", "judge", "left", "right"])
    width = shown.locator("#rows .span").nth(4).bounding_box()["width"]
    shown.keyboard.press("z")
    assert shown.locator("#rows .row", has_text="right").locator(".span").bounding_box()["width"] > 1.5 * width
    shown.keyboard.press("z")
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.id") == "text"
    shown.keyboard.type("needle")
    assert labels(shown) == ["triage", "load"]
    shown.keyboard.press("Escape")
    shown.keyboard.press("Escape")
    assert shown.locator("#details").is_hidden()
    shown.keyboard.press("2")
    assert shown.locator("#event-rows .row").count() == len(run())
    shown.keyboard.press("3")
    assert shown.locator("#totals tbody td:first-child").all_inner_texts() == ["llm.call", "parallel", "file.read"]
    assert shown.evaluate("document.querySelector('[role=tab][aria-selected=true]').id") == "tab-nodes"


def test_details_of_a_span(shown: Any) -> None:
    """Input, error and log lines stand there as text, to the letter; the address is a link to it."""
    shown.click("#jump")
    text = shown.inner_text("#details")
    for part in ("triage / judge", "ERROR", "E: </script><img", "CONVERSATION", "user\n</script><img", "LOGGED", "warn"):
        assert part in text
    assert shown.url.endswith(f"#span={span_id(5)}")
    assert shown.locator("#details a").get_attribute("href") == f"#span={span_id(5)}"


def test_a_link_opens_its_span(shown: Any, tmp_path: Path) -> None:
    """Also where it lies in a closed one, or a filter hides it."""
    shown.fill("#node", "nothing")
    shown.evaluate(f"location.hash = '#span={span_id(4)}'")
    shown.wait_for_selector("#details:not([hidden])")
    assert (chosen(shown), labels(shown)) == ("left", ["triage", "load", "judge", "left", "right"])


def test_events_are_filtered_and_lead_to_their_spans(shown: Any) -> None:
    """The same filters; a click shows the span's details."""
    shown.click("#tab-events")
    shown.select_option("#level", "warn")
    assert [row.split("\n")[1] for row in shown.locator("#event-rows .row").all_inner_texts()] == ["warn", "error", "error"]
    shown.locator("#event-rows .row").first.click()
    assert chosen(shown) == "right"


def test_a_node_of_the_totals_leads_to_its_spans(shown: Any) -> None:
    """And the columns can be ordered."""
    shown.click("#tab-nodes")
    shown.click("#totals th:has-text('count')")
    assert shown.locator("#totals tbody td:first-child").first.inner_text() == "llm.call"
    shown.click("#totals button:has-text('file.read')")
    assert (labels(shown), shown.input_value("#node")) == (["triage", "load"], "file.read")


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 22, 29)")])
def test_light_and_dark(browser: Any, tmp_path: Path, scheme: str, colour: str) -> None:
    """As the system has it, until one asks for the other."""
    log = tmp_path / "run.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in run()), encoding="utf-8")
    obs.export(log, tmp_path / "run.html", format="html")
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "run.html").as_uri())
    back = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(back) == colour
    page.click("#theme")
    assert page.evaluate(back) != colour
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(shown: Any, width: int) -> None:
    """On a phone the columns give way, and details come up from below."""
    shown.set_viewport_size({"width": width, "height": 800})
    # Without the column of statuses, an error is still told by more than its colour.
    mark = shown.evaluate("getComputedStyle(document.querySelector('.row.failed .label'), '::before').content")
    assert (mark == '"✗ "', shown.locator("#rows .status").first.is_visible()) == (width == 390, width != 390)
    shown.click("#rows .row >> nth=4")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.locator("#details").bounding_box()["width"] <= width


def test_a_run_that_was_killed(watched: Any, tmp_path: Path) -> None:
    """What is open is running to the end of what is known, and the page says that there is no end."""
    made = [event(1, "entry", 0, data={"name": "died"}), event(2, "entry", 1, node="llm.call"), event(2, "log", 3, message="hm")]
    log = tmp_path / "run.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    obs.export(log, tmp_path / "run.html", format="html")
    watched.page.goto((tmp_path / "run.html").as_uri())
    assert watched.page.locator("#rows .status").all_inner_texts() == ["running", "running"]
    assert "its process was killed" in watched.page.inner_text("header")
    assert (watched.requests, watched.complaints) == ([], [])


def test_the_index_of_a_folder(watched: Any, tmp_path: Path) -> None:
    """Filtered, ordered, and each run a click away, and back."""
    log = tmp_path / "all.jsonl"
    other = [event(1, "entry", 5, flow_id=OTHER_FLOW, data={"name": "second"})]
    log.write_text("".join(json.dumps(one) + "\n" for one in [*run(), *other]), encoding="utf-8")
    write_site(log, tmp_path / "site")
    page, names = watched.page, "tbody tr:visible td:first-child a"
    page.goto((tmp_path / "site" / "index.html").as_uri())
    assert page.locator(names).all_inner_texts() == ["second", "triage"]
    assert page.locator(".why").all_inner_texts() == [
        "E: </script><img src=x onerror=\"document.title='owned'\"><!--\\u2028\\x1b[31m"
    ]
    page.click("th:has-text('duration')")
    assert page.locator(names).all_inner_texts() == ["triage", "second"]
    page.select_option("#status", "running")
    assert (page.locator(names).all_inner_texts(), page.inner_text("#shown")) == (["second"], "1 of 2 runs")
    page.select_option("#status", "")
    page.fill("#text", FLOW[:8])
    page.click("tbody tr:visible td a")
    assert page.inner_text("h1") == "triage"
    page.click("a.up")
    assert page.inner_text("h1") == "Runs in all.jsonl"
    assert (watched.requests, watched.complaints) == ([], [])


def test_an_index_of_many_runs(watched: Any, tmp_path: Path) -> None:
    """As many rows as one reads; the button brings more; order and filters are over all."""
    made = [event(1, "entry", n, flow_id=f"{n:08x}{FLOW[8:]}", data={"name": f"run {n}"}) for n in range(700)]
    log = tmp_path / "all.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    write_site(log, tmp_path / "site")
    page = watched.page
    page.goto((tmp_path / "site" / "index.html").as_uri())
    names = page.locator("tbody td:first-child")
    assert (names.count(), page.inner_text("#more")) == (300, "show more (400 left)")
    page.click("#more")
    assert (names.count(), page.locator(":focus").inner_text()) == (600, "run 399")
    page.click("#more")
    assert (names.count(), page.locator("#more").is_visible()) == (700, False)
    page.click("th:has-text('started')")
    assert (names.count(), names.first.inner_text()) == (300, "run 0")
    page.fill("#text", "run 69")
    assert (names.count(), page.inner_text("#shown")) == (11, "11 of 700 runs")
    page.fill("#text", "nothing like it")
    assert (names.count(), page.locator("#none").is_visible()) == (0, True)
    assert (watched.requests, watched.complaints) == ([], [])


@pytest.mark.parametrize("name", ["x" * 300, "two words " * 30, "__proto__"])
def test_odd_names_leave_the_details_readable(watched: Any, tmp_path: Path, name: str) -> None:
    """What has a long name, or one that means something to JavaScript, is there with its value beside it."""
    text = json.dumps({**event(1, "entry", 0, data={"name": "odd"}), "data": {name: "needle"}, "metrics": {name: 7}})
    log = tmp_path / "run.jsonl"
    log.write_text(text + "\n" + json.dumps(event(1, "exit", 1, metrics={name: 7})) + "\n", encoding="utf-8")
    obs.export(log, tmp_path / "run.html", format="html")
    page = watched.page
    page.goto((tmp_path / "run.html").as_uri())
    page.click("#rows .row")
    assert page.locator("#details .leaf").all_text_contents() == [f"{name}: needle"]
    values = page.locator("#details dd")
    assert "7" in values.all_inner_texts()
    assert min(value.bounding_box()["width"] for value in values.all()) > 100
    assert (watched.requests, watched.complaints) == ([], [])


def test_fifty_thousand_spans(watched: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the rows in sight are made; the figures are printed, for they are those of one machine."""
    made = [event(1, "entry", 0, data={"name": "big"})]
    for number in range(2, 50_001):
        at = number / 1000
        text = {"input": {"prompt": f"Summarise ticket {number}, please, with all that matters in it"}}
        made.append(event(number, "entry", at, parent=1, node="llm.call", step=f"s{number}", data=text))
        made.append(event(number, "exit", at + 0.001, parent=1, node="llm.call", step=f"s{number}", metrics={"duration_ms": 1.0}))
    made.append(event(1, "exit", 60))
    log = tmp_path / "run.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    obs.export(log, tmp_path / "run.html", format="html")
    page = watched.page
    page.goto((tmp_path / "run.html").as_uri())
    page.wait_for_selector("#rows .row")
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    filtering = """() => {
        const field = document.getElementById("text"), start = performance.now();
        field.value = "ticket 4999";
        field.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
        return performance.now() - start;
    }"""
    took = [page.evaluate(filtering) for _ in range(3)]
    with capsys.disabled():
        print(f"\n50,000 spans: loaded in {loaded:.0f} ms, filtered in {took[0]:.0f} ms, then in {min(took[1:]):.0f} ms")
    assert page.inner_text("#shown") == "11 of 50,000 spans"
    assert 0 < page.locator("#rows .row").count() < 100
    assert (watched.requests, watched.complaints) == ([], [])
