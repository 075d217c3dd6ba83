"""Statistics of nodes by DuckDB: equal to those of the package's own reader, whatever a log holds."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.event import dumps
from the_edge_obs.jsonl import Skipped
from the_edge_obs.sql import figures
from the_edge_obs.sql.figures import large_stats
from the_edge_obs.store.paths import log_files
from the_edge_obs.store.run_stats import RunStats, node_stats
from the_edge_obs.store.sources import iter_query

from .strategies import FLOW, OTHER_FLOW, Event, event, events, flows, whole
from .test_sql_query import LINES, ODD, many_flows

pytest.importorskip("duckdb", reason="needs the extra sql")


def both(folder: Path, **filters: Any) -> RunStats:
    """Check that both ways give the same figures, of the same types, and skip the same lines; return them."""
    expected, own, here = RunStats(), Skipped(), Skipped()
    node_stats(iter_query(folder, own, **filters), expected)
    found = large_stats(log_files([folder], Skipped()), here, filters.get("flow_id"))
    assert found is not None
    assert repr((found.runs, found.events, found.to_dicts())) == repr((expected.runs, expected.events, expected.to_dicts()))
    if not filters:
        assert (here.lines, here.torn) == (own.lines, own.torn)
    return found


def written(folder: Path, made: Sequence[Event], name: str = "run.jsonl") -> None:
    """Write events to a log of a folder."""
    (folder / name).write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")


NUMBERS = st.integers(0, 2**60) | st.floats(0, 1e6) | st.sampled_from([0, 0.0, 5.0, 1e-7, 0.1, 2**53 + 1])


@st.composite
def changed(draw: st.DrawFn) -> list[Event]:
    """Draw flows with all kinds of numbers, and some events that are late, missing, there twice, or moved to another parent."""
    made = draw(many_flows())
    for one in made:
        for key in draw(st.lists(st.sampled_from(["tokens", "cost_usd", "input_tokens"]), max_size=2)):
            one["metrics"] = {**one["metrics"], key: draw(NUMBERS)}
        if draw(st.integers(0, 9)) == 0:
            one["data"] = {**one["data"], "answered": draw(st.sampled_from([True, False, 1, None]))}
    for _ in range(draw(st.integers(0, 2)) if made else 0):
        at, to = draw(st.integers(0, len(made) - 1)), draw(st.integers(0, len(made) - 1))
        change = draw(st.sampled_from(["move", "repeat", "drop", "parent", "node", "kind"]))
        if change == "move":
            made.insert(to, made.pop(at))
        elif change == "repeat":
            made.insert(to, dict(made[at]))
        elif change == "drop" and len(made) > 1:
            made.pop(at)
        elif change != "drop":
            key = {"parent": "parent_id", "node": "node", "kind": "event_type"}[change]
            made[at] = {**made[at], key: made[to][key]}
    return made


@pytest.mark.slow
@given(st.one_of(changed(), st.lists(events(), min_size=1, max_size=8)), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_figures_are_those_of_the_own_reader(tmp_path_factory: pytest.TempPathFactory, made: list[Event], files: int) -> None:
    """To the last digit, in one file or with the events of each flow in several."""
    folder = tmp_path_factory.mktemp("logs")
    for number in range(files):
        written(folder, made[number::files], f"{number}.jsonl")
    both(folder)


def test_a_line_that_only_begins_as_json(tmp_path: Path) -> None:
    """Its file is left to the own reader, where DuckDB 1 gives up on it; the others are not."""
    for number, line in enumerate([b'0"flow_id":1}', b"{}{}", b'{"flow_id":"x"} x']):
        made = [*whole(1, 0, 1), *whole(2, 1, 2, metrics={"tokens": 3})]
        (tmp_path / f"{number}.jsonl").write_bytes(line + b"\n" + "".join(dumps(one) + "\n" for one in made).encode())
        written(tmp_path, [{**one, "flow_id": OTHER_FLOW[:-1] + str(number)} for one in made], f"sure{number}.jsonl")
    assert both(tmp_path).runs == 4


@pytest.mark.slow
@given(st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=1, max_size=4), st.sampled_from([b"\n", b""]))
@settings(deadline=None, max_examples=60)
def test_odd_lines_count_as_everywhere_else(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], end: bytes
) -> None:
    """A line counts if it is an event for the other commands, beside lines that surely are."""
    folder = tmp_path_factory.mktemp("logs")
    for number, lines in enumerate(files):
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(lines) + end)
    written(folder, [*whole(1, 0, 1), *whole(2, 1, 2, node="llm.call", metrics={"tokens": 3})], "sure.jsonl")
    both(folder)


def test_each_odd_line_counts_as_everywhere_else(tmp_path: Path) -> None:
    """Alone in a file it is an event here if it is one for the other commands."""
    for number, line in enumerate([*ODD, *(line.replace(b", nan", b"") for line in ODD)]):
        (tmp_path / f"{number:03}.jsonl").write_bytes(line.replace(FLOW.encode(), f"{number:08x}{FLOW[8:]}".encode()) + b"\n")
    both(tmp_path)


@pytest.mark.slow
def test_every_order_of_a_parent_and_its_child(tmp_path: Path) -> None:
    """Whoever begins or ends first, and whatever is missing."""
    made = [
        *whole(1, 0, 5, metrics={"tokens": 7, "cost_usd": 0.1}),
        *whole(2, 1, 2, metrics={"tokens": 7, "cost_usd": 0.1}),
        event(2, "metric", 1.5, metrics={"tokens": 3}),
    ]
    number = 0
    for size in range(1, len(made) + 1):
        for order in itertools.permutations(made, size):
            flow_id = f"{number:08x}{FLOW[8:]}"
            written(tmp_path, [{**one, "flow_id": flow_id} for one in order], f"{number:04}.jsonl")
            number += 1
    assert both(tmp_path).runs == number


def test_only_uneven_flows_are_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of many flows keeps its speed if one of them is broken."""
    late = [*whole(1, 0, 1, metrics={"tokens": 3}), *whole(2, 0.5, 2, metrics={"tokens": 3})]
    good = [{**one, "flow_id": OTHER_FLOW} for one in whole(1, 0, 1)]
    written(tmp_path, [*late, *good])
    read: list[Event] = []
    monkeypatch.setattr("the_edge_obs.sql.figures.node_stats", lambda made, stats: node_stats(noted(made, read), stats))
    assert both(tmp_path).nodes["flow"].tokens.value() == 3
    assert {one["flow_id"] for one in read} == {FLOW}


def test_long_fractions_are_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost such as 3e-06 * 41 has more digits than a large integer, and still DuckDB counts it."""
    cost = 0.00012299999999999998
    written(tmp_path, whole(1, 0, 1, metrics={"cost_usd": cost}))
    read: list[Event] = []
    monkeypatch.setattr("the_edge_obs.sql.figures.node_stats", lambda made, stats: node_stats(noted(made, read), stats))
    assert both(tmp_path).nodes["flow"].cost_usd.value() == cost
    assert read == []


def noted(made: Any, read: list[Event]) -> Any:
    """Yield events, and remember them."""
    for one in made:
        read.append(one)
        yield one


def test_copies_compressed_logs_and_chosen_flows(tmp_path: Path) -> None:
    """Copies count once, a line that is cut off does not count, and flows are chosen by the beginnings of their ids."""
    made = [*whole(1, 0, 1, metrics={"tokens": 3}), *whole(2, 0.5, 0.9, metrics={"tokens": 3})]
    other = [{**one, "flow_id": OTHER_FLOW} for one in made]
    written(tmp_path, made, "a.jsonl")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    written(tmp_path, other, "b.jsonl")
    written(tmp_path, other, "c.jsonl")
    with (tmp_path / "c.jsonl").open("ab") as file:
        file.write(b'{"flow_id":"')
    assert both(tmp_path).events == 8
    assert both(tmp_path, flow_id=[OTHER_FLOW[:6].upper()]).events == 4
    assert both(tmp_path, flow_id=["00"]).events == 0


def test_files_are_read_in_their_order_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of small files are held together, a few files at a time, between large files that are not."""
    monkeypatch.setattr(figures, "_SMALL", 2_000)
    monkeypatch.setattr(figures, "_HELD", 3_000)
    made = [*whole(1, 0, 9, metrics={"tokens": 3}), *whole(2, 1, 2, metrics={"tokens": 3})]
    for number in range(12):
        flow_id = f"{number // 2:08x}{FLOW[8:]}"  # the parent's end comes in the next file
        parts = (made[:1], made[1:]) if number < 6 else (made[:3], made[3:])
        part = [{**one, "flow_id": flow_id} for one in parts[number % 2]]
        written(tmp_path, part * (20 if number in (2, 7) else 1), f"{number:02}.jsonl")
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    batches = list(figures._batches(names))
    assert [name for _, files in batches for name in files] == names
    assert {is_held for is_held, _ in batches} == {True, False}
    assert max(len(files) for _, files in batches) > 1
    assert both(tmp_path).runs == 6


def test_a_broken_archive_is_left_to_the_own_reader(tmp_path: Path) -> None:
    """It says what is wrong with it."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(dumps(event()).encode() + b"\n")[:50])
    assert large_stats(log_files([tmp_path], Skipped()), Skipped()) is None


@given(flows())
@settings(deadline=None, max_examples=5)
def test_a_usual_log_is_even(tmp_path_factory: pytest.TempPathFactory, made: list[Event]) -> None:
    """Without figures, the order in which spans end makes no difference."""
    folder = tmp_path_factory.mktemp("logs")
    written(folder, [{**one, "metrics": {}} for one in made])
    assert both(folder).events == len(made)
