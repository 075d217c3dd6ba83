"""The events of chosen runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main
from the_edge_obs.errors import QueryError
from the_edge_obs.store.run_events import filters_of

from .strategies import FLOW, OTHER_FLOW, T0, Event, event, span_id, whole

REMOTE = "99999999-9999-4999-8999-999999999999"


def request(number: int, host: str, start: float, *, fails: bool = False) -> list[Event]:
    """Return a run that continues a foreign trace, with one span in it."""
    entry, end = whole(number, start, start + 3, parent=REMOTE, node="flow")
    entry["data"] = {"name": f"GET /{number}", "resource": {"host": host, "pid": number, "service": "web"}}
    inner = whole(number + 1, start + 1, start + 2, parent=number)
    if fails:
        for one in (inner[1], end):
            one.update(event_type="error", level="error", data={"error": {"type": "E", "message": "no"}})
    return [entry, *inner, end]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return logs of three hosts: two have each a run of one trace, the third another run."""
    runs = (
        ("a", request(1, "a", 0)),
        ("b", request(5, "b", 10, fails=True)),
        ("c", whole(1, 20, 21, flow_id=OTHER_FLOW, node="flow")),
    )
    for host, events in runs:
        (tmp_path / host).mkdir()
        text = "".join(json.dumps(one) + "\n" for one in events)
        (tmp_path / host / f"flow-{events[0]['flow_id']}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def spans(*numbers: int) -> set[tuple[str, str]]:
    return {(FLOW, span_id(number)) for number in numbers}


def test_runs_of_a_trace_are_chosen_apart(log: Path) -> None:
    """By what was chosen; a whole flow needs its id alone."""
    assert filters_of(log, obs.runs(log, name="flow")) == {"flow_id": {OTHER_FLOW}}
    assert filters_of(log, obs.runs(log, host="b")) == {"flow_id": {FLOW}, "span_id": spans(5, 6)}
    assert filters_of(log, obs.runs(log, status="ok")) == {
        "flow_id": {FLOW, OTHER_FLOW},
        "span_id": spans(1, 2) | {(OTHER_FLOW, span_id(1, OTHER_FLOW))},
    }


def test_spans_below_no_root_are_of_the_first_run(log: Path) -> None:
    """As lists of runs count them: those whose parent is not in the log, and those of a broken log, in a circle of parents."""
    with (log / "a" / "more.jsonl").open("w", encoding="utf-8") as file:
        for number, parent in ((8, 9), (9, 8), (10, 99), (11, 10)):
            file.write(json.dumps(event(number, "entry", 1, parent=parent)) + "\n")
    for host, numbers in (("a", (1, 2, 8, 9, 10, 11)), ("b", (5, 6))):
        (run,) = chosen = obs.runs(log, host=host)
        filters = filters_of(log, chosen)
        assert filters["span_id"] == spans(*numbers)
        assert len(obs.query(log, **filters)) == run.events


def test_ids_with_slashes_name_their_runs(tmp_path: Path) -> None:
    """Those of flows, and those of spans."""
    made = [
        {**one, "flow_id": flow_id, "span_id": f"{flow_id}/{number}", "parent_id": None}
        for flow_id in ("/", "a/b", "a//b/c")
        for number in (1, 2)
        for one in whole(number, number, number + 1, node="flow")
    ]
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    for run in obs.runs(log):
        assert run.shares_flow
        assert obs.runs(log, flow_id=run.run_id) == obs.runs(log, flow_id=run.short_id) == [run]


def test_flows_of_other_writers_may_have_the_same_span_ids(tmp_path: Path) -> None:
    """A span is chosen in its own flow alone."""
    made = [
        {**one, "flow_id": flow_id, "span_id": one["span_id"][-1], "parent_id": None}
        for flow_id, numbers in (("a", (1, 2)), ("b", (1, 2, 3)))
        for number in numbers
        for one in whole(number, number, number + 1, node="flow" if number > 1 else "first")
    ]
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    assert [run.run_id for run in obs.runs(log, flow_id="b/3")] == ["b/3"]
    for chosen in (obs.runs(log, end_time=T0 + 2), obs.runs(log, flow_id=["a", "b/3"])):
        found = obs.query(log, **filters_of(log, chosen))
        assert {(one["flow_id"], one["span_id"]) for one in found} > {("a", "2")}
        assert len(found) == sum(run.events for run in chosen)


def shown(capsys: pytest.CaptureFixture[str], *args: Any) -> str:
    assert main(list(map(str, args))) == 0
    return capsys.readouterr().out


def test_each_run_of_a_trace_can_be_named(log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As ls names it, in a wide and in a narrow terminal; the id of the trace shows all of its roots, with their hosts."""
    for width in ("200", "60"):
        monkeypatch.setenv("COLUMNS", width)
        lines = shown(capsys, "ls", log, "--flow", FLOW[:4]).splitlines()[1:3]
        ids = [word for line in lines for word in line.split() if word.startswith(FLOW[:8])]
        assert [one.partition("/")[2] for one in ids] == ["000000000001", "000000000005"]
        tree = shown(capsys, "show", log, "--flow", ids[1])
        assert ("GET /5" in tree, "GET /1" in tree, "error, 3.00 s" in tree) == (True, False, True)
    monkeypatch.setenv("COLUMNS", "100")
    tree = shown(capsys, "show", log, "--flow", FLOW)
    assert [line.split("  ")[0] for line in tree.splitlines() if "GET" in line] == ["GET /1 a:1", "GET /5 b:5"]
    events = shown(capsys, "query", log, "--flow", f"{FLOW}/05", "--span-id", span_id(6), "--span-id", span_id(2))
    assert {json.loads(line)["span_id"] for line in events.splitlines()} == {span_id(6)}
    assert "2 nodes" not in shown(capsys, "stats", log, "--host", "b")
    assert "GET /1" not in shown(capsys, "show", log, "--status", "error", "--last")


def test_hosts_are_listed_if_there_are_several(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And always in JSON."""
    monkeypatch.setenv("COLUMNS", "200")
    head, *rows = shown(capsys, "ls", log).splitlines()[:4]
    at = head.index("host")
    assert [row[at : at + 4].strip() for row in rows] == ["a", "b", ""]
    assert "host" not in shown(capsys, "ls", log, "--host", "[bx]").splitlines()[0].split()
    (line,) = shown(capsys, "ls", log, "--host", "b", "--json").splitlines()
    assert json.loads(line)["resource"] == {"host": "b", "pid": 5, "service": "web"}


def test_errors_count_runs_of_a_trace_apart(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And name the one to look at."""
    out = shown(capsys, "errors", log)
    assert out.startswith("1 in 1 run  node6")
    assert f"--flow {FLOW[:8]}/000000000005" in out


def test_events_do_not_tell_runs_of_a_trace_apart(log: Path) -> None:
    """So the filter of events refuses what names one, instead of finding nothing."""
    with pytest.raises(QueryError, match=r"flow_id '1111/05' names one of several runs of a flow"):
        obs.query(log, flow_id="1111/05")


def test_ids_of_other_writers_mean_themselves(tmp_path: Path) -> None:
    """Not a run of a flow, and not other flows that begin with them."""
    made = [one for flow_id in ("a", "a/b", "AB") for one in whole(1, 0, 1, flow_id=flow_id, node="flow")]
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    for wanted, expected in (("a/b", ["a/b"]), ("ab", ["AB"]), ("a", ["a", "a/b", "AB"])):
        found = obs.runs(log, flow_id=wanted)
        assert [run.flow_id for run in found] == expected
        assert {one["flow_id"] for one in obs.query(log, **filters_of(log, found))} == set(expected)
    assert [one["flow_id"] for one in obs.query(log, **filters_of(log, obs.runs(log, sort="start", limit=1)))] == ["a", "a"]
