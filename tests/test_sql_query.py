from __future__ import annotations

import gzip
import json
import random
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.errors import LogFileError, QueryError
from the_edge_obs.event import dumps
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.jsonl import Skipped, read_events
from the_edge_obs.sql import opened, write_parquet
from the_edge_obs.sql.query import SqlLog
from the_edge_obs.store.paths import LogPaths
from the_edge_obs.store.run_stats import node_stats
from the_edge_obs.store.summaries import summarise

from .strategies import FLOW, OTHER_FLOW, Event, event, flows, span_id, whole

duckdb = pytest.importorskip("duckdb", reason="needs the extra sql")

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
def log_of(path: LogPaths) -> Iterator[SqlLog]:
    """Open a log that has no line to skip."""
    skipped = Skipped()
    with opened(path, skipped) as log:
        yield log
    assert skipped.lines == 0


def rows(log: SqlLog, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return list(log.query(query).rows)


def rounded(figures: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows with 9 decimals: DuckDB's ``fsum`` may be wrong in the last digit of a sum, and Python's is not."""
    return [tuple(round(value, 9) if isinstance(value, float) else value for value in row) for row in figures]


def run_rows(log: Any) -> list[tuple[Any, ...]]:
    """Return the rows of runs with their attributes as values: DuckDB writes the number 1e-05 as 0.00001."""
    return [(*row[:11], json.loads(row[11]), *row[12:]) for row in rows(log, RUNS)]


def own_nodes(made: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Return what the package itself says of each node."""
    return [tuple(one.values()) for one in node_stats(made).to_dicts()]


def own_runs(made: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Return what the package itself says of each run."""
    return [
        (
            *(run.flow_id, run.name, run.status, run.start, run.end, run.duration_ms, run.events, run.errors, run.tokens),
            *(run.cost_usd, run.alone, run.attributes),
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
        own[0]["data"]["input"] = draw(INPUTS)
        own = [{**one, "flow_id": flow_id} for one in sorted(own, key=lambda one: one["timestamp"])]
        made += own[: draw(st.integers(1, len(own)))] if draw(st.booleans()) else own  # the process may have been killed
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
@settings(deadline=None, max_examples=20)
def test_figures_are_those_of_the_package(tmp_path_factory: pytest.TempPathFactory, made: list[Event]) -> None:
    """Spans and runs have the figures of ``stats`` and ``ls``, over JSONL and over Parquet."""
    folder = tmp_path_factory.mktemp("logs")
    path = written(folder, made)
    write_parquet([path], str(folder / "tables" / "run.parquet"), Skipped())
    for log_path in (path, folder / "tables", folder):  # the last one has every event twice
        with log_of(log_path) as log:
            assert rounded(rows(log, NODES)) == rounded(own_nodes(made))
            assert rounded(run_rows(log)) == rounded(own_runs(made))


@pytest.mark.slow
@given(flows(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
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


REMOTE = "99999999-2222-4333-8000-000000000001"
BOOM = {"error": {"type": "E", "message": "no"}}
SHAPES = {
    "requests of one trace": [
        *whole(1, 0, 1, parent=REMOTE, node="flow"),
        *whole(2, 0.1, 0.5, parent=1, node="llm.call", metrics={"tokens": 3, "cost_usd": 0.1}),
        *whole(3, 2, 3, parent=REMOTE, node="flow", metrics={"tokens": 5}),
        *whole(4, 2.1, 2.2, parent=3, node="llm.call", metrics={"tokens": 5, "cost_usd": 0.2}),
        event(3, "log", 2.5, parent=REMOTE, node="other"),
    ],
    "a root that continues a span of the log": [
        *whole(1, 0, 9, node="work", parent=REMOTE),
        *whole(2, 1, 8, node="flow", parent=1),
        *whole(3, 2, 3, node="flow", parent=REMOTE),
    ],
    "a node without a flow": [
        *whole(1, 0, 1, node="llm.call", parent=None, metrics={"tokens": 2}),
        *whole(2, 3, 4, node="llm.call", parent=None),
    ],
    "answered from a recording": [
        event(1, "entry", 0),
        *whole(2, 1, 2, node="llm.call", data={"answered": True}, metrics={"tokens": 8}),
        event(1, "exit", 3, metrics={"duration_ms": 3000, "tokens": 8}),
    ],
    "errors by hand, passed on and cancelled": [
        event(1, "entry", 0),
        event(2, "entry", 1),
        event(2, "error", 2, node="scoring", data=BOOM),
        event(3, "entry", 3),
        event(3, "error", 4, data=BOOM, metrics={"duration_ms": 1.5}),
        event(2, "error", 5, data=BOOM, metrics={"duration_ms": 2.5}),
        event(4, "entry", 6, parent=1),
        event(4, "error", 7, parent=1, data={**BOOM, "cancelled": True}),
        event(1, "exit", 8),
    ],
    "no entries": [
        event(2, "exit", 2, node="llm.call", metrics={"duration_ms": 4, "tokens": 1}),
        event(1, "error", 3, data=BOOM, metrics={"duration_ms": 9}),
    ],
    "figures of metric events": [
        event(1, "entry", 0),
        event(2, "entry", 1, node="llm.call"),
        event(2, "metric", 1.5, node="llm.call", metrics={"tokens": 4}),
        event(2, "exit", 2, node="llm.call", metrics={"tokens": 7.5, "duration_ms": 0.1}),
        event(1, "exit", 3),
    ],
    "no span at all": [event(1, "log", 0), event(1, "log", 0, message="again"), event(1, "log", 0, message="again")],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_figures_of_unusual_logs(tmp_path: Path, shape: str) -> None:
    """Roots, errors and figures are found as ``ls`` and ``stats`` find them; a copy in another file changes nothing."""
    made = sorted(SHAPES[shape], key=lambda one: one["timestamp"])
    made += [{**one, "flow_id": OTHER_FLOW} for one in whole(1, 20, 21)]
    written(tmp_path, made)
    written(tmp_path, made[: len(made) // 2], "copy.jsonl")
    with log_of(tmp_path) as log:
        assert rows(log, NODES) == own_nodes(made)
        assert run_rows(log) == own_runs(made)
        assert rows(log, "SELECT count(*) FROM events") == [(sum(run.events for run in summarise(made)),)]


def test_parents_in_a_circle_end(tmp_path: Path) -> None:
    """A broken log does not keep a query busy forever."""
    made = [*whole(1, 0, 1, parent=2, metrics={"tokens": 1}), *whole(2, 0, 1, parent=1, metrics={"tokens": 1})]
    with log_of(written(tmp_path, made)) as log:
        assert rows(log, "SELECT count(*), count(tokens) FROM spans") == [(2, 0)]
        assert rows(log, "SELECT status, events FROM runs") == [("unknown", 4)]


def test_each_host_is_named_where_it_wrote(tmp_path: Path) -> None:
    """A flow of two hosts, in a sub-folder each: one run, on the host of its root; spans have the host that logged them."""
    root, remote = whole(1, 0, 9, node="flow"), [*whole(2, 1, 3, parent=1, node="flow"), *whole(3, 1, 2, parent=2)]
    for events, host in ((root, "a"), (remote, "b")):
        events[0]["data"] = {"resource": {"host": host, "pid": 1, "service": "s"}}
        (tmp_path / host).mkdir()
        written(tmp_path / host, events)
    with log_of([tmp_path / "b", tmp_path / "a"]) as log:
        assert rows(log, "SELECT right(span_id, 1), host FROM spans ORDER BY 1") == [("1", "a"), ("2", "b"), ("3", "b")]
        assert rows(log, "SELECT host, events FROM runs") == [("a", 6)]


def test_columns_hold_what_the_events_hold(tmp_path: Path) -> None:
    """Every key has its column; the host is that of the run's root; JSON can be looked into."""
    made = [
        event(1, "entry", 0, data={"name": "n", "resource": {"host": "h1", "pid": 1, "service": "s"}, "input": {"a": [1]}}),
        event(
            1, "error", 0.25, step="ask", level="error", message="m", metrics={"duration_ms": 250, "cost_usd": 1e-7}, data=BOOM
        ),
    ]
    with log_of(written(tmp_path, made)) as log:
        found = log.query("SELECT * EXCLUDE (data), data->>'$.error.type' AS kind FROM events WHERE event_type = 'error'")
        assert found.columns[-1] == "kind"
        assert dict(zip(found.columns, *found.rows, strict=True)) == {
            "flow_id": FLOW,
            "span_id": span_id(1),
            "parent_id": None,
            "node": "flow",
            "step": "ask",
            "level": "error",
            "event_type": "error",
            "ts": "2023-11-14 22:13:20.25+00",
            "message": "m",
            "duration_ms": 250.0,
            "tokens": None,
            "input_tokens": None,
            "output_tokens": None,
            "cost_usd": 1e-7,
            "error_type": "E",
            "error_message": "no",
            "host": "h1",
            "metrics": '{"duration_ms":250,"cost_usd":1e-7}',
            "timestamp": 1_700_000_000.25,
            "kind": "E",
        }


GOOD = dumps(event(1, "exit", 1, metrics={"tokens": 5}, data={"text": "a, [1], nan", "k": {"error": None}})).encode()
ERROR_TEXTS = (
    b"null,",
    b"3,",
    b'{"type":"E"},',
    b'{"type":"E","message":"m"},',
    b'{"type":"E","message":"m","where":3},',
    b'{"type":"E","message":"m","cause":{"type":"E","message":"m"},"notes":["n"],"traceback":"t"},',
    b'{"type":"E","message":"m","cause":null},',
    b'{"type":"E","message":"m","notes":[3]},',
    b'{"type":"E","message":"m","errors":[{"type":"E","message":"m"}]},',
    b'{"type":"E","message":"m","errors":[{"type":"E"}]},',
    b'{"type":"E","message":"m","errors":{}},',
)
METRICS_TEXTS = (  # with what stands after them
    b'"metrics":[]',
    b'"m":{}',
    b'"metrics":{"tokens":5},"step":"s"',
    b'"metrics":{"tokens":5},"step":"a},\\"step\\":\\"b"',
    b'"metrics":{"tokens":5},"step":3',
    b'"metrics":{"tokens":5}, "step" :null',
    b'"metrics":{"tokens":"x"},"step":"s"',
    b'"step":null,"metrics":{}',
    b'"metrics":{"tokens":5},"x":{"metrics":{"a":1}}',
    b'"metrics":{"tokens":5,"t":"x"},"x":{"metrics":{"a":1}}',
    b'"metrics":{"tokens":5,"t":"x"},"x":{"y":2,"metrics":{"a":1}}',
    b'"metrics":{"t":"x"},"x":{"y":2,"metrics":{"a":1}},"step":"s"',
    b'"metrics":{"t":"x"},"x":{"y":2,"metrics":{}}',
    b'"x":{"y":2,"metrics":{"a":1}},"metrics" :{"t":"x"}',
    b'"x":{"y":2,"metrics":{"a":1}}, "metrics":{"t":"x"},"step":"s"',
    b'"metrics":{"t":{"tokens":5}}',
    b'"metrics":{"t": [5] }',
    b'"metrics":{"}":5,"\xc3\xa9":null}',
    b'"metrics":{"tokens":5} ',
)
ODD = (
    [
        GOOD.replace(b'"tokens":5', value)
        for value in (b'"tokens":NaN', b'"tokens":-Infinity', b'"tokens":"5"', b'"tokens":true', b'"tokens":null', b'"t":[]')
    ]
    + [
        GOOD.replace(b'"tokens":5', b'"tokens":' + number)
        for number in (
            b"1e999",
            b"1e-7",
            b"-0.0",
            b"123456789012345678901",
            b"9223372036854775807",
            b" 9223372036854775808",
            b"0.1",
            b"5,",
        )
    ]
    + [
        GOOD.replace(b'"a, [1], nan"', text)
        for text in (rb'"\ud800"', b'"\xff"', b"NaN", b"[1,]", b"1e999", rb'"\u0000\n"', b"{")
    ]
    + [GOOD.replace(b"null}}", text) for text in (b"{}}}", b"3}}", b'{"type":"E","message":"m"}}}')]
    + [GOOD.replace(b'"data":{', b'"data":{"error":' + text) for text in ERROR_TEXTS]
    + [GOOD.replace(b'"level":"info"', text) for text in (b'"level":"fatal"', b'"level":3', b'"x":1')]
    + [GOOD.replace(b'"message":null', text) for text in (b'"message":3', b'"m":null', b'"message":"m"')]
    + [GOOD.replace(b'"parent_id":null', text) for text in (b'"parent_id":"p"', b'"parent_id":3', b'"p":null')]
    + [GOOD.replace(b"1700000001.0", text) for text in (b"1700000001", b"-1", b"true", b"1e300", b'"1"', b"9223372036854775807")]
    + [b"", b" ", b"{}", b"[]", b"null", b"3", b"not json", GOOD[:50], b"\xef\xbb\xbf" + GOOD, GOOD + b"\r", b" " + GOOD]
    + [GOOD.replace(b'"metrics":{"tokens":5}', text) for text in METRICS_TEXTS]
    + [
        GOOD.replace(b'"data":', text + b',"data":')
        for text in (b'"step":"s"', b'"step":3', b'"step":null', b'"metrics":{"t":"x"}')
    ]
    + [b'{"step":null,' + GOOD[1:], GOOD.replace(b'"data":{', b'"data":{"metrics":{"a":1},"step":"s","answered":1,')]
)
LINES = st.one_of(
    st.sampled_from([GOOD, *ODD]),
    st.builds(lambda at, byte: GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], st.integers(0, len(GOOD) - 1), st.integers(0, 255)),
)


def test_odd_lines_are_read_as_everywhere_else(tmp_path: Path) -> None:
    """Each odd line alone in a file is an event, or none, as for the other commands."""
    for number, line in enumerate(ODD):
        (tmp_path / f"{number:03}.jsonl").write_bytes(line + b"\n")
    assert_read_alike(tmp_path)


@pytest.mark.slow
@given(st.lists(st.lists(LINES, min_size=1, max_size=3), min_size=1, max_size=8), st.sampled_from([b"\n", b""]))
@settings(deadline=None, max_examples=20)
def test_lines_are_read_as_everywhere_else(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], end: bytes
) -> None:
    """Whatever a line is, it is an event here if it is one for the other commands, with the same values, and told if not."""
    folder = tmp_path_factory.mktemp("logs")
    for number, lines in enumerate(files):
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(lines) + end)
    assert_read_alike(folder)


def assert_read_alike(folder: Path) -> None:
    """Check that the logs of a folder have the same events, and skip the same lines, as for the reader of all other commands."""
    expected, skipped, here = [], Skipped(), Skipped()
    for path in sorted(folder.iterdir()):
        expected += list(read_events(path, skipped))
    if not expected:
        with pytest.raises(LogFileError, match="holds no events"), opened(folder, here):
            pass
        return
    with opened(folder, here) as log:
        found = rows(log, 'SELECT node, level, "timestamp", message, parent_id, tokens, error_type FROM stored')
    assert sorted(found, key=repr) == sorted(map(values_of, expected), key=repr)
    assert (here.lines, here.torn) == (skipped.lines, skipped.torn)


def values_of(one: Event) -> tuple[Any, ...]:
    """Return the values of an event as columns have them."""
    tokens, error = one["metrics"].get("tokens"), one["data"].get("error") or {}
    message = None if one["message"] is None else one["message"].encode("utf-8", "replace").decode()
    return (
        *(one["node"], one["level"], float(one["timestamp"]), message, one["parent_id"]),
        *(None if tokens is None else float(tokens), error.get("type")),
    )


def test_other_files_are_read_too(tmp_path: Path) -> None:
    """Compressed logs, cut off or not, exports as JSON, and names that look like patterns."""
    lines = (GOOD + b"\n") * 3 + "".join(dumps(event(n, "log", n)) + "\n" for n in range(2, 500)).encode()
    packed = gzip.compress(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    (tmp_path / "b[1]*.jsonl").write_bytes(lines)
    with log_of(tmp_path) as log:
        assert rows(log, "SELECT count(*) FROM events") == [(499,)]
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    skipped = Skipped()
    with opened(tmp_path / "a.jsonl.gz", skipped) as log:
        assert 0 < rows(log, "SELECT count(*) FROM events")[0][0] < 499
    assert skipped.lines > 0
    export([event(1, "log", 0)], tmp_path / "c.json")
    with log_of(tmp_path / "c.json") as log:
        assert rows(log, "SELECT count(*) FROM events") == [(1,)]


def export(events: list[Event], path: Path) -> None:
    """Write a flow log as an export."""
    path.write_text(dumps(build_flow_log(events).to_dict()), encoding="utf-8")


SECRET = "the-secret-of-another-file"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_csv('{folder}/*')",
        "SELECT * FROM glob('{folder}/*')",
        "COPY (SELECT 1) TO '{folder}/new.csv'",
        "COPY events TO '{log}'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "SELECT 1; COPY (SELECT 1) TO '{folder}/new.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/new.csv'",
        "CREATE TABLE x AS SELECT 1",
        "PRAGMA enable_external_access",
        "EXPORT DATABASE '{folder}/new'",
        "SELECT * FROM read_text('http://127.0.0.1:1/x')",
        "SELECT * FROM SECRET",
        "FROM query('COPY (SELECT 1) TO ''{folder}/new.csv''')",
        "SELECT getenv('HOME')",
        "WITH x AS (COPY (SELECT 1) TO '{folder}/new.csv') SELECT 1",
        "DROP VIEW events",
        "",
        "SELECT 1) TO '{folder}/new.csv' --",
    ],
)
def test_a_query_reads_the_log_alone(tmp_path: Path, query: str) -> None:
    """No file beside the log is read, nothing is written, no setting is changed, and the reason is one line."""
    path = written(tmp_path / "log", [event(1, "log", 0)])
    other = tmp_path / "other.txt"
    other.write_text(SECRET, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with opened(path, Skipped()) as log:
        with pytest.raises(QueryError) as caught:
            list(log.query(query.format(other=other, folder=tmp_path, log=path)).rows)
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert rows(log, "SELECT count(*) FROM events") == [(1,)]
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a query needs on disk is in a folder of its own, which is removed, also after an error."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(scratch)
    path = written(tmp_path / "log", [event(1, "log", 0)])
    with opened(path, Skipped()) as log:
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in scratch.iterdir()] == [0o700]
        with pytest.raises(QueryError):
            log.query("SELECT nothing FROM events")
    assert list(scratch.iterdir()) == []


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """The message says what it is not."""
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{tmp_path}/x.parquet'")
    with pytest.raises(LogFileError, match="not exports of events"), opened(tmp_path, Skipped()):
        pass
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(LogFileError, match="not exports of events"), opened(tmp_path / "x.parquet", Skipped()):
        pass
    (tmp_path / "x.parquet").unlink()
    with pytest.raises(LogFileError, match="holds no logs"), opened(tmp_path, Skipped()):
        pass


def test_nothing_but_the_answer_is_printed(tmp_path: Path) -> None:
    """DuckDB shows the progress of long queries on stdout, unless it is told not to."""
    with opened(written(tmp_path / "log", [event(1, "log", 0)]), Skipped()) as log:
        assert rows(log, "SELECT current_setting('enable_progress_bar')") == [(False,)]
