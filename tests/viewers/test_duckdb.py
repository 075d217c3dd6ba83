"""The recipe for DuckDB in ``docs/viewers.md`` gives what the flow log gives."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.jsonl import lines_of

from ..strategies import OTHER_FLOW, T0, event, whole

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "viewers.md"
SQL = re.findall(r"^```sql\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)

# A run whose engine repeats the tokens of the call on its parent, which has not ended; its process was killed while it wrote.
OTHER = [
    event(1, "entry", 0),
    *whole(2, 1, 2, node="agent", metrics={"tokens": 7}),
    *whole(3, 1, 2, node="llm.call", metrics={"tokens": 7, "cost_usd": 0.5}),
    event(3, "log", 1.5, node="llm.call", message="slow"),
]

Rows = list[tuple[Any, ...]]


@pytest.fixture
def answers(quickstart: Path, tmp_path: Path) -> Callable[[], list[Rows]]:
    """Return a function that runs the recipe over a folder with two runs, one of them compressed, and returns what it answers."""
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb: pip install duckdb")
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(quickstart, folder)
    with gzip.open(folder / "other.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(lines_of([{**one, "flow_id": OTHER_FLOW} for one in OTHER]))
        file.write('{"flow_id": "aaaaaaaa-bbbb')

    def run() -> list[Rows]:
        with duckdb.connect() as connection:
            return [connection.sql(f"FROM ({sql.rstrip().rstrip(';')})").fetchall() for sql in views_then_queries(connection)]

    return run


def views_then_queries(connection: Any) -> list[str]:
    """Make the views of the recipe, and return its queries."""
    for sql in SQL:
        if sql.startswith("CREATE"):
            connection.execute(sql)
    return ["SELECT * FROM events", "SELECT * FROM spans", *(sql for sql in SQL if sql.startswith("SELECT"))]


def test_the_recipe_gives_what_the_flow_log_gives(answers: Callable[[], list[Rows]], quickstart: Path) -> None:
    """Events, spans, figures by node, errors and tokens are those of the flow log."""
    events, spans, nodes, errors, tokens = answers()
    log = obs.get_flow_log(quickstart)
    assert len(events) == len(log.events) + len(OTHER)
    statuses = {str(span[1]): span[6] for span in spans}
    assert statuses == {
        **{span.span_id: span.status for span in log.spans},
        **{one["span_id"]: "running" if one["node"] == "flow" else "ok" for one in OTHER},
    }
    figures = log.metrics["nodes"]
    assert {row[0]: row[1:] for row in nodes if row[0] in figures} == {
        node: (
            figures[node]["count"],
            figures[node]["errors"],
            *(round(figures[node][key], 3) for key in ("p50_ms", "p95_ms", "max_ms")),
        )
        for node in {row[0] for row in nodes} & figures.keys()
    }
    assert [row[5] for row in nodes] == sorted((row[5] for row in nodes), reverse=True)
    assert [(row[1], row[2]) for row in errors] == [
        (span.step, (span.error or {}).get("message")) for span in log.spans if span.status == "error"
    ]
    assert [(str(row[0]), *row[1:]) for row in tokens] == [(OTHER_FLOW, 7, 0.5)]
    starts = {str(span[1]): span[5].timestamp() for span in spans if str(span[0]) == OTHER_FLOW}
    assert min(starts.values()) == pytest.approx(T0, abs=86_400)
