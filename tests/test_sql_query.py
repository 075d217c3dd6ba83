from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.event import dumps
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.jsonl import Skipped
from the_edge_obs.store.run_stats import node_stats
from the_edge_obs.store.summaries import summarise

from .strategies import FLOW, Event, flows

pytest.importorskip("duckdb", reason="needs the extra sql")

from the_edge_obs.sql import opened, write_parquet
from the_edge_obs.sql.query import SqlLog

NODES = """
SELECT node, count(*), count(*) FILTER (status = 'error'), coalesce(round(fsum(duration_ms), 6), 0),
    quantile_disc(duration_ms, 0.5), quantile_disc(duration_ms, 0.95), max(duration_ms),
    coalesce(fsum(tokens), 0), coalesce(round(fsum(cost_usd), 12), 0)
FROM spans GROUP BY node ORDER BY node"""
RUNS = """
SELECT flow_id, name, status, epoch(started), epoch(ended), duration_ms, events, errors, tokens, cost_usd, alone, attributes,
    error_type, error_message
FROM runs ORDER BY started, flow_id"""


def written(folder: Path, made: Sequence[Event], name: str = "run.jsonl") -> Path:
    """Write events to a log of a folder, and return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(dumps(one) + "\n" for one in made), encoding="utf-8")
    return path


@contextmanager
def log_of(path: Path) -> Iterator[SqlLog]:
    """Open a log that has no line to skip."""
    skipped = Skipped()
    with opened(path, skipped) as log:
        yield log
    assert skipped.lines == 0


def rows(log: SqlLog, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return list(log.query(query).rows)


def own_nodes(made: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Return what the package itself says of each node."""
    return [tuple(one.to_dict().values()) for one in node_stats(made)[1]]


def own_runs(made: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Return what the package itself says of each run."""
    return [
        (
            *(run.flow_id, run.name, run.status, run.start, run.end, run.duration_ms, run.events, run.errors, run.tokens),
            *(run.cost_usd, run.alone, dumps(run.attributes)),
            *((run.error or {}).get("type"), (run.error or {}).get("message")),
        )
        for run in sorted(summarise(made), key=lambda run: (run.start, run.flow_id))
    ]


@st.composite
def many_flows(draw: st.DrawFn) -> list[Event]:
    """Draw some flows whose children end before their parents, with costs, groups of errors, and spans without an end."""
    made: list[Event] = []
    for number in range(draw(st.integers(1, 3))):
        flow_id = f"{number:08x}{FLOW[8:]}"
        own = draw(flows())
        ends = [one for one in own if one["event_type"] in ("exit", "error")]
        for one in ends:
            # The number of a span is higher than that of its parent, so that it ends first.
            at = 100 - int(one["span_id"][-12:], 16) / 8
            one["timestamp"] = 1_700_000_000 + at
            if draw(st.booleans()):
                one["metrics"]["cost_usd"] = draw(st.floats(0, 10, allow_nan=False))
            if "error" in one["data"]:
                one["data"]["error"] = draw(ERRORS)
        if draw(st.booleans()):
            own = [one for one in own if one not in draw(st.permutations(ends))[:2]]
        own[0]["data"]["input"] = draw(INPUTS)
        own = [{**one, "flow_id": flow_id} for one in own]
        made += sorted(own, key=lambda one: one["timestamp"])
    return made


NAMES = st.sampled_from(["E", "F"])
ERROR = st.fixed_dictionaries({"type": NAMES, "message": st.sampled_from(["no", "it's \x1b[31m \U0001f600 \u2028", ""])})
ERRORS = st.one_of(
    ERROR,
    st.builds(lambda own, inner: {**own, "errors": inner}, ERROR, st.lists(ERROR, max_size=3)),
    st.builds(lambda own: {**own, "where": "a.py:1 in f", "notes": ["n"], "cause": {"type": "E", "message": "no"}}, ERROR),
)
VALUES = (
    st.none() | st.booleans() | st.integers(-5, 2**60) | st.floats(0, 1) | st.sampled_from(["", "cats", "x" * 201, "[REDACTED]"])
)
INPUTS = st.none() | st.dictionaries(st.sampled_from("abc"), VALUES | st.lists(VALUES, max_size=1), max_size=3)


@pytest.mark.slow
@given(many_flows())
@settings(deadline=None, max_examples=60)
def test_figures_are_those_of_the_package(tmp_path_factory: pytest.TempPathFactory, made: list[Event]) -> None:
    """Spans and runs have the figures of ``stats`` and ``ls`` to the last digit, over JSONL and over Parquet."""
    folder = tmp_path_factory.mktemp("logs")
    path = written(folder, made)
    write_parquet([path], str(folder / "tables" / "run.parquet"), Skipped())
    for log_path in (path, folder / "tables", folder):  # the last one has every event twice
        with log_of(log_path) as log:
            assert rows(log, NODES) == own_nodes(made)
            assert [(*row[:11], *row[11:]) for row in rows(log, RUNS)] == own_runs(made)


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_order_does_not_matter(tmp_path_factory: pytest.TempPathFactory, made: list[Event], order: random.Random) -> None:
    """As in a flow log, files of several processes may come in any order: tokens count at the leaves, errors where they arose."""
    shuffled = order.sample(made, len(made))
    metrics = build_flow_log(made).metrics
    with log_of(written(tmp_path_factory.mktemp("logs"), shuffled)) as log:
        assert rows(log, "SELECT sum(events), sum(errors), sum(tokens) FROM runs") == [
            (metrics["event_count"], metrics["error_count"], metrics["tokens"])
        ]
        assert rows(
            log, "SELECT node, count(*), coalesce(sum(tokens), 0) FROM spans WHERE parent_id IS NOT NULL GROUP BY 1 ORDER BY 1"
        ) == [(node, figures["count"], figures["tokens"]) for node, figures in metrics["nodes"].items()]
