"""The events that decide where errors arose: the groups are those of all events, whatever a log holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.event import dumps
from the_edge_obs.jsonl import Skipped
from the_edge_obs.store import error_events, logs
from the_edge_obs.store.error_events import events_of_errors
from the_edge_obs.store.error_groups import ErrorGroup, error_groups
from the_edge_obs.store.sources import iter_query

from .strategies import FLOW, OTHER_FLOW, Event, event, events, flows, span_id, whole

ERROR = {"error": {"type": "E", "message": "no"}}
OTHER_ERROR = {"error": {"type": "F", "message": "no"}}


def lines_of(made: Sequence[Event]) -> bytes:
    """Return events as the lines of a log."""
    return "".join(dumps(one) + "\n" for one in made).encode("utf-8", "surrogatepass")


def narrowed(path: Path, **filters: Any) -> list[Event]:
    """Return the events that decide where the errors of a log arose."""
    errors = iter_query([path], Skipped(), **filters, event_type="error")
    return list(events_of_errors(errors, [path], filters))


def checked(path: Path, **filters: Any) -> list[ErrorGroup]:
    """Check that the groups are those of all events, and return them."""
    groups = error_groups(narrowed(path, **filters))
    assert groups == error_groups(iter_query([path], Skipped(), **filters))
    return groups


@st.composite
def broken(draw: st.DrawFn) -> list[Event]:
    """Draw events of any order, whose spans have any parents: none, themselves, each other, or one that is not in the log."""
    parents = {n: draw(st.sampled_from([n - 1 or None, n - 1 or None, None, 1, 2, 3, 4, 5, 99])) for n in range(1, 6)}
    made = draw(st.lists(events(), min_size=1, max_size=16)) + draw(st.just([]) | flows(4))
    for one in made:
        number = int(one["span_id"][-12:], 16)
        parent = parents.get(number, number - 1 if draw(st.booleans()) else number - 2)  # sometimes another one each time
        one["flow_id"] = draw(st.sampled_from([FLOW, FLOW, OTHER_FLOW]))
        one["parent_id"] = None if not parent else span_id(parent)
        if draw(st.booleans()) or one["event_type"] == "error":
            more = draw(st.sampled_from([{}, {}, {"cancelled": True}]))
            one.update(event_type="error", data={**draw(st.sampled_from([ERROR, OTHER_ERROR, {}])), **more})
    return made


@given(broken(), st.integers(1, 3))
@settings(deadline=None)
def test_groups_are_those_of_all_events(tmp_path_factory: pytest.TempPathFactory, made: list[Event], files: int) -> None:
    """However broken the log, in one file or with the events of each flow in several."""
    folder = tmp_path_factory.mktemp("logs")
    for number in range(files):
        (folder / f"{number}.jsonl").write_bytes(lines_of(made[number::files]))
    (folder / "good.jsonl").write_bytes(lines_of(whole(1, 0, 1, flow_id="bbbbbbbb-2222-4333-8444-555555555555")))
    checked(folder)
    checked(folder, flow_id=[FLOW[:5]], span_id=[span_id(1), span_id(2), span_id(5)])


GOOD = event(3, "error", 2, level="error", data=ERROR)
ODD = (
    json.dumps(GOOD).encode(),  # blanks
    dumps(dict(reversed(GOOD.items()))).encode(),  # another order
    dumps(GOOD).encode().replace(b'"node3"', b'"n\\u006fde3"'),
    dumps(GOOD).encode().replace(b'"error","timestamp"', b'"\\u0065rror","timestamp"'),
    dumps(GOOD).encode().replace(b'"E"', b"NaN"),
    dumps(GOOD).encode().replace(b'"metrics":{}', b'"metrics":{"tokens":"x"}'),
    dumps(event(2, "error", 1, parent=4, level="error", data=ERROR)).encode(),  # two parents
    dumps({**GOOD, "flow_id": FLOW.upper()}).encode(),
    dumps({**GOOD, "flow_id": f"{FLOW[:8]}/{FLOW[-4:]}"}).encode(),
    dumps({**GOOD, "node": "\ud800"}).encode("utf-8", "surrogatepass"),
    dumps({**GOOD, "parent_id": ""}).encode(),
    b"\xff" + dumps(GOOD).encode(),
    b'{"flow_id":"',
    b"[]",
    b"",
)
KNOWN = [dumps(one).encode() for number in (1, 2, 3, 4) for one in whole(number, 0, 9, data={"output": "error"})]


@given(st.lists(st.sampled_from([*ODD, *KNOWN]), min_size=1, max_size=12), st.sampled_from([b"\n", b""]))
@settings(deadline=None)
def test_odd_lines_count_as_everywhere_else(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes) -> None:
    """Lines that do not begin as this package writes them are parsed."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "a.jsonl").write_bytes(b"\n".join([*lines, dumps(GOOD).encode()]) + end)
    checked(folder)


ROOTS = [event(number, "entry", 0, parent=parent, node="flow") for number, parent in ((1, 90), (9, 91))]
CHAIN = [event(number, "entry", 0, parent=number - 1) for number in (2, 3, 4)]
FAILURE = event(4, "error", 1, level="error", data=ERROR)


@pytest.mark.parametrize(
    "lines",
    [
        lines_of([*CHAIN, FAILURE]),
        lines_of([*CHAIN[::-1], FAILURE]),
        lines_of(CHAIN[:1]) + json.dumps(CHAIN[1]).encode() + b"\n" + lines_of([*CHAIN[2:], FAILURE]),
        lines_of([*CHAIN[:2], event(4, "log", 0, parent=7), FAILURE]),
    ],
    ids=["usual", "youngest first", "with blanks", "two parents"],
)
def test_roots_of_a_trace_are_told_apart(tmp_path: Path, lines: bytes) -> None:
    """Also by roots without errors, and if the error was handled far below its own."""
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROOTS) + lines)
    (group,) = checked(tmp_path)
    assert group.root == (span_id(1) if lines.startswith(lines_of(CHAIN[:1])) else None)


def failing(flow_id: str) -> list[Event]:
    """Return a run of many spans, one of which fails, and is tried again."""
    made = [event(1, "entry", 0, flow_id=flow_id), event(2, "entry", 1, flow_id=flow_id)]
    made += [event(3, "entry", 2, flow_id=flow_id), event(3, "error", 3, flow_id=flow_id, data=ERROR)]
    made += [one for number in range(4, 40) for one in whole(number, 4, 5, flow_id=flow_id, parent=2)]
    return [*made, event(2, "exit", 6, flow_id=flow_id), event(1, "exit", 7, flow_id=flow_id)]


@pytest.mark.parametrize("flow_id", ["a/b", "ABC", FLOW.upper(), "é", ""])
def test_ids_of_other_writers(tmp_path: Path, flow_id: str) -> None:
    """An error is found whatever the id of its flow."""
    (tmp_path / "a.jsonl").write_bytes(lines_of(failing(flow_id)))
    (group,) = checked(tmp_path)
    assert group.count == 1


def test_other_spans_are_not_read(tmp_path: Path) -> None:
    """Of a run with many spans only those around an error are, and its root."""
    (tmp_path / "a.jsonl").write_bytes(lines_of([*failing(FLOW), *failing(OTHER_FLOW)]))
    assert len(narrowed(tmp_path)) == 2 * 6
    assert [group.runs for group in checked(tmp_path)] == [2]


def test_few_runs_with_errors_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find their spans would take longer."""
    good = [one for number in range(1, 40) for one in whole(number, 0, 1, flow_id=f"{'c' * 8}{FLOW[8:]}")]
    failed = [*failing(FLOW), *failing(OTHER_FLOW)]
    (tmp_path / "a.jsonl").write_bytes(lines_of([*good, *failed]))
    monkeypatch.setattr(error_events, "_SAMPLE", 60)
    monkeypatch.setattr(error_events, "_LEAST", 6)
    assert narrowed(tmp_path) == failed
    checked(tmp_path)


def test_files_named_after_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with totals of a run without errors are read once; the names alone do not tell where errors are."""
    for flow_id in (FLOW, OTHER_FLOW):
        (tmp_path / f"flow-{flow_id}.jsonl").write_bytes(lines_of(failing(flow_id)))
    good = f"{'c' * 8}{FLOW[8:]}"
    (tmp_path / f"flow-{good}.jsonl").write_bytes(ended(whole(1, 0, 1, flow_id=good)))
    more = event(99, "error", 9, parent=1, node="late", level="error", data=ERROR)
    (tmp_path / f"job-{'d' * 8}{FLOW[8:]}.jsonl").write_bytes(lines_of([more]))
    read: list[str] = []

    def noted(paths: Any, log: logs.Log, *rest: Any) -> Any:
        read.append(log.name[1])
        return logs_read(paths, log, *rest)

    logs_read = logs.read_log
    monkeypatch.setattr(logs, "read_log", noted)
    assert len(narrowed(tmp_path)) == 2 * 6 + 1
    assert [read.count(name) for name in sorted(set(read))] == [3, 3, 1, 3]
    assert {group.node: group.runs for group in checked(tmp_path)} == {"node3": 2, "late": 1}
    assert {group.node: group.runs for group in checked(tmp_path, flow_id=FLOW)} == {"node3": 1, "late": 1}


def ended(made: Sequence[Event]) -> bytes:
    """Return the file of a whole run, whose last line has totals."""
    before, end = lines_of(made[:-1]), dict(made[-1])
    start, last = made[0]["timestamp"], end["timestamp"]
    totals = {"bytes": len(before), "events": len(made), "start": start, "end": last, "errors": 0, "error": None}
    end["data"] = {**end["data"], "totals": {**totals, "tokens": 0, "cost_usd": 0}}
    return before + lines_of([end])


def test_exports_and_copies(tmp_path: Path) -> None:
    """An export is read as a whole, and a copy counts once."""
    (tmp_path / "a.jsonl").write_bytes(lines_of(failing(FLOW)))
    (tmp_path / "a.closed-00000001.jsonl").write_bytes(lines_of(failing(FLOW)[:9]))
    (tmp_path / "b.json").write_text(json.dumps({"flow_id": FLOW, "events": failing(FLOW)}))
    assert [group.count for group in checked(tmp_path)] == [1]
    assert [group.count for group in checked(tmp_path / "b.json")] == [1]
