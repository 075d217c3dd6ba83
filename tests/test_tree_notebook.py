"""A flow log as a small page: what is in it, what is left out of it, and that data stays data."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from the_edge_obs.flow_log import FlowLog, build_flow_log

from .strategies import event, whole

HOSTILE = "</pre></div><script>alert(1)</script><img src=x onerror=alert(1)>\"' onclick=\u202e\x00"


def page(log: FlowLog) -> str:
    return log._repr_html_()


def body(log: FlowLog) -> str:
    """Return the page without its style."""
    return re.sub(r"<style>.*?</style>", "", page(log), flags=re.DOTALL)


def text(log: FlowLog) -> list[str]:
    """Return the lines of the page as people read them."""
    return [line for line in (unescape(re.sub(r"<[^>]+>", " ", line)).strip() for line in body(log).splitlines()) if line]


def run() -> list[dict[str, Any]]:
    root = whole(1, 0, 1)
    root[0]["data"] = {"name": "triage"}
    call = whole(2, 0.25, 0.75, node="llm.call", step="ask", data={"output": {"content": "hi"}}, metrics={"tokens": 7})
    call[0]["data"] = {"input": {"prompt": "say hi"}}
    return [*root, *call]


def test_a_run() -> None:
    """Totals, then a row a span: step, node, duration, tokens, status; and what it was given and gave."""
    assert text(build_flow_log(run())) == [
        "triage  ok, 1.00 s, 1 node, 4 events, 7 tokens  flow 11111111-2222-4333-8444-555555555555",
        "triage flow",
        "1.00 s",
        "ok",
        "name   triage",
        "ask llm.call",
        "500.0 ms",
        "7 tok",
        "ok",
        "input   {",
        '"prompt": "say hi"',
        "}",
        "output   {",
        '"content": "hi"',
        "}",
        "metrics   {",
        '"tokens": 7',
        "}",
    ]


def test_bars_lie_on_the_time_of_the_flow() -> None:
    """They begin and end where the span did, in percent; what has no end yet goes on to the last event."""
    made = [*run()[:3], event(3, "entry", 0.5, parent=1), event(3, "log", 1.5, parent=1)]
    bars = re.findall(r'class="tea-bar[^"]*" style="([^"]+)"', page(build_flow_log(made)))
    assert bars == ["left:0.0%;width:66.67%", "left:16.67%;width:83.33%", "left:33.33%;width:66.67%"]


def test_a_span_that_began_before_its_flow_stays_on_the_page() -> None:
    """A duration that nobody can believe, or one of the clock's jumps, makes no bar that leaves its column."""
    made = [*run(), event(3, "exit", 0.5, parent=1, metrics={"duration_ms": 1e12})]
    for left, width in re.findall(r"left:([\d.e+-]+)%;width:([\d.e+-]+)%", page(build_flow_log(made))):
        assert 0 <= float(left) <= 100
        assert 0 <= float(width) <= 100


def test_errors_and_warnings_are_told_below_their_row() -> None:
    """An error's traceback is among the details; warnings are below as well; what is lost is said at the end."""
    error = {"type": "OSError", "message": "gone", "traceback": "Traceback\n  line"}
    made = [
        *run()[:2],
        event(2, "entry", 0.1, node="file.read"),
        event(2, "log", 0.2, level="warn", message="slow disk", node="file.read"),
        event(2, "error", 0.3, level="error", data={"error": error}, metrics={"duration_ms": 200}, node="file.read"),
    ]
    shown = text(build_flow_log(made, dropped=3))
    assert shown[shown.index("file.read") :] == [
        "file.read",
        "200.0 ms",
        "error",
        "error   Traceback",
        "line",
        "OSError: gone",
        "warn: slow disk",
        "3 events dropped by the ring buffer: the tree is not complete",
    ]


def test_data_stays_data() -> None:
    """Whatever names, steps, values, errors and messages hold is text: no tag, no attribute, nothing unseen."""
    root = whole(1, 0, 1)
    root[0]["data"] = {"name": HOSTILE, HOSTILE: HOSTILE}
    made = [
        *root,
        event(2, "entry", 0.1, node=HOSTILE, step=HOSTILE, data={"input": {HOSTILE: [HOSTILE]}}),
        event(2, "log", 0.2, level="warn", message=HOSTILE),
        event(
            2,
            "error",
            0.3,
            node=HOSTILE,
            step=HOSTILE,
            data={"error": {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}},
        ),
    ]
    found = page(build_flow_log(made))
    assert set(re.findall(r"<(\w+)", found)) == {*"b br dd details div dl dt p pre small span style summary".split()}
    tags = re.findall(r"<\w[^>]*>", found)
    assert {name for tag in tags for name in re.findall(r"([\w-]+)=", tag)} == {"class", "style"}
    assert not re.search("[\u202e\x00]", found)
    assert found.count("&lt;script&gt;") > 10


def test_it_asks_for_nothing() -> None:
    """No script, no link, no address: the page is whole by itself."""
    assert not re.search(r"<script|javascript:|https?:|url\(|@import|\bsrc=|\bhref=", page(build_flow_log(run())))


def test_long_values_are_cut() -> None:
    """A notebook keeps its pages: a value is shown up to 2,000 characters, and the cut is visible."""
    made = run()
    made[3]["data"] = {"output": "x" * 2500}
    shown = text(build_flow_log(made))
    assert f"output   {'x' * 2000}" in shown
    assert "... 500 more characters" in shown


@pytest.mark.slow
def test_deep_values_are_shown() -> None:
    """What a file can nest, the page can show."""
    made = run()
    made[3]["data"] = {"output": json.loads("[" * 900 + "]" * 900)}
    assert any(line.startswith("output   [") for line in text(build_flow_log(made)))


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False])
def test_long_runs_are_cut(nested: bool) -> None:
    """Long loops are folded as in the terminal, and after 250 rows the rest is left out; both are said."""
    children = [one for n in range(2, 402) for one in whole(n, n, 500 - n, parent=n - 1 if nested else 1)]
    log = build_flow_log([*whole(1, 0, 500), *children])
    assert page(log).count('class="tea-bar') == (250 if nested else 11)
    assert text(log)[-1] == ("the first 250 rows are shown; export() writes all of them" if nested else "ok")
    assert nested or "⋮ 390 more, all ok" in text(log)


def test_a_log_without_spans() -> None:
    """Lines alone make a page, too."""
    log = build_flow_log([event(1, "log", parent=None)])
    assert text(log)[0].startswith("flow  unknown, 0 nodes, 1 event")
