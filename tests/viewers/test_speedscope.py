"""The format ``speedscope`` is taken by speedscope itself, as npm has it built."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.speedscope import render
from the_edge_obs.tree.lanes import micros, place

from ..strategies import event, whole

pytestmark = pytest.mark.slow

HOW = "needs speedscope: npm install --prefix DIR speedscope, and SPEEDSCOPE_HOME=DIR/node_modules/speedscope in the environment"


@pytest.fixture
def release() -> Path:
    """Return the folder of speedscope's page, or skip."""
    if not (home := os.environ.get("SPEEDSCOPE_HOME")):
        pytest.skip(HOW)
    folder = Path(home) / "dist" / "release"
    assert (folder / "index.html").is_file(), HOW
    return folder


@pytest.fixture
def speedscope(watched: Any, serve: Any, release: Path) -> Callable[[bytes], Any]:
    """Return a function that opens profiles in speedscope, and returns its page."""

    def opened(profiles: bytes) -> Any:
        url = serve(release, {"/run.json": profiles})
        watched.page.goto(f"{url}/index.html#profileURL=/run.json")
        watched.page.get_by_text("Left Heavy").or_(watched.page.get_by_text("Something went wrong")).wait_for()
        return watched.page

    return opened


def schema_of(release: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((release / "file-format-schema.json").read_text(encoding="utf-8"))
    return schema


def totals(page: Any) -> dict[str, float]:
    """Return, by frame, the milliseconds that the view "Sandwich" shows in all."""
    page.keyboard.press("3")
    page.get_by_text("Symbol Name").wait_for()
    text = page.evaluate("() => document.body.innerText").partition("Symbol Name")[2]
    units = {"s": 1000.0, "ms": 1.0, "µs": 0.001}
    found = re.findall(r"^([\d.]+)(s|ms|µs) \(.*\n\s*[\d.]+\S+ \(.*\n\s*(.+)$", text, flags=re.MULTILINE)
    return {name: float(number) * units[unit] for number, unit, name in found}


def test_speedscope_sees_what_a_real_run_took(speedscope: Callable[[bytes], Any], release: Path, quickstart: Path) -> None:
    """The file is as its schema has it; the first lane's frames add up to what its spans took; there is a profile a lane."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema: pip install jsonschema")
    obs.export(quickstart, "run.speedscope.json", format="speedscope")
    content = Path("run.speedscope.json").read_bytes()
    jsonschema.Draft7Validator(schema_of(release)).validate(json.loads(content))
    page = speedscope(content)
    log = obs.get_flow_log(quickstart)
    spans = place(log)
    lanes = 1 + max(one.lane for one in spans)
    assert f"quickstart {log.flow_id[:8]}" + (f" (1/{lanes})" if lanes > 1 else "") in page.evaluate("document.body.innerText")
    took = {one.span.step: (micros(one.end) - micros(one.start)) / 1000 for one in spans if one.lane == 0 and one.span.step}
    found = totals(page)
    assert {name for name in took if took[name] >= 0.01} <= found.keys() | {"check", "blocklist", "verdict"}
    for name in ("read", "parse", "judge", "report"):
        assert found[name] == pytest.approx(took[name], abs=0.01, rel=0.01)
    assert {"✗ check", "✗ blocklist"} <= found.keys()


def test_speedscope_takes_what_a_killed_run_has_left(speedscope: Callable[[bytes], Any]) -> None:
    """What has no end, no length or no parent is shown."""
    made = [event(1, "entry", 0), *whole(2, 1, 1, parent=1), *whole(3, 1, 3, parent=1), event(4, "entry", 2, parent=1)]
    page = speedscope("".join(render(made, dropped={})).encode())
    assert "Something went wrong" not in page.evaluate("document.body.innerText")
    assert totals(page).keys() == {"flow (running)", "node3"}
    assert len(place(build_flow_log(made))) == 4


def test_speedscope_takes_a_file_without_spans(speedscope: Callable[[bytes], Any]) -> None:
    """Nothing to show is not a mistake."""
    text = speedscope("".join(render([], dropped={})).encode()).evaluate("document.body.innerText")
    assert "no spans" in text
    assert "Something went wrong" not in text
