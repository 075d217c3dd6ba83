"""``tea-obs stats``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from the_edge_obs.cli import main

from .strategies import OTHER_FLOW, event, whole


@pytest.fixture
def logs(tmp_path: Path) -> str:
    made = [
        event(1, "entry", 0),
        *whole(2, 1, 2, node="llm.call", metrics={"tokens": 1200, "cost_usd": 0.5}),
        *whole(1, 0, 2)[1:],
    ]
    died = [event(1, "entry", 5, flow_id=OTHER_FLOW), event(2, "error", 6, flow_id=OTHER_FLOW, node="http\n.get")]
    for name, events in (("a", made), ("b", died)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
    return str(tmp_path)


def test_figures_of_each_node(logs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where most time went comes first; what says nothing is left empty, and control characters are inert."""
    assert main(["stats", logs]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "node        count  errors    total     p50     p95     max  tokens     cost",
        "flow            2           2.00 s  2.00 s  2.00 s  2.00 s",
        "llm.call        1           1.00 s  1.00 s  1.00 s  1.00 s   1,200  $0.5000",
        "http\\n.get      1       1  0.00 ms",
        "",
        "2 runs, 6 events",
    ]


def test_json(logs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, for scripts."""
    assert main(["stats", logs, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["node"], one["count"], one["errors"], one["p95_ms"], one["tokens"]) for one in found] == [
        ("flow", 2, 0, 2000.0, 0),
        ("llm.call", 1, 0, 1000.0, 1200),
        ("http\n.get", 1, 1, None, 0),
    ]
