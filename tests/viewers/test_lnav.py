"""lnav reads a folder of logs by the format that ``tea-obs lnav`` installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main
from the_edge_obs.jsonl import lines_of

from ..strategies import OTHER_FLOW, T0, event, whole

pytestmark = pytest.mark.slow

Lnav = Callable[..., str]


@pytest.fixture
def lnav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lnav:
    """Return a function that runs lnav headless, for a user who has just installed the format; or skip."""
    if shutil.which("lnav") is None:
        pytest.skip("needs lnav on PATH: apt-get install lnav")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert main(["lnav"]) == 0

    def run(*args: str) -> str:
        env = {**os.environ, "TZ": "UTC", "TERM": "dumb"}
        done = subprocess.run(["lnav", *args], env=env, capture_output=True, encoding="utf-8", timeout=60, check=True)
        assert done.stderr == ""
        return done.stdout

    return run


def rows(lnav: Lnav, sql: str, *logs: Path) -> list[dict[str, Any]]:
    """Return what a query of lnav finds."""
    found: list[dict[str, Any]] = json.loads(lnav("-n", "-c", f";{sql}", "-c", ":write-json-to -", *map(str, logs)))
    return found


def test_a_real_run(lnav: Lnav, quickstart: Path) -> None:
    """Each event is a line, in the order of time, with its level, its flow as operation, and its message as body."""
    columns = "log_time_msecs AS at, log_level AS level, log_opid AS flow, log_body AS body, node, data, metrics"
    levels = {"warn": "warning"}
    expected = [
        {
            "level": levels.get(one["level"], one["level"]),
            "flow": one["flow_id"][:13],
            "body": one["message"] or "null",
            **{key: one[key] for key in ("node", "data", "metrics")},
        }
        for one in map(json.loads, quickstart.read_text(encoding="utf-8").splitlines())
    ]
    found = rows(lnav, f"SELECT {columns} FROM tea_obs_log", quickstart.parent)
    times = [one.pop("at") for one in found]
    told = [json.dumps(one, sort_keys=True) for one in found]
    assert sorted(told) == sorted(json.dumps(one, sort_keys=True) for one in expected)
    assert times == sorted(times)
    # A float of whole microseconds may lie just below a millisecond: lnav takes either.
    real = sorted(one["timestamp"] * 1000 for one in obs.query(quickstart))
    assert [at for at, exact in zip(times, real, strict=True) if not -1.01 < at - exact < 1.01] == []
    assert {"warning", "error", "info"} == {one["level"] for one in found}


def test_what_a_line_shows(lnav: Lnav, tmp_path: Path) -> None:
    """Time, level, flow, node, kind, step, duration, error and message."""
    made = [
        *whole(1, 0, 1, node="llm.call", step="ask")[:1],
        event(1, "log", 0.25, level="warn", node="llm.call", step="ask", message="slow answer"),
        event(
            1,
            "error",
            0.5,
            level="error",
            node="llm.call",
            step="ask",
            data={"error": {"type": "E", "message": "no"}},
            metrics={"duration_ms": 500.25},
        ),
    ]
    log = tmp_path / "run.jsonl"
    log.write_text("".join(lines_of(made)), encoding="utf-8")
    assert [line.split() for line in lnav("-n", str(log)).splitlines()] == [
        ["2023-11-14T22:13:20.000", "info", "11111111-2222", "llm.call", "entry", "ask", "null"],
        ["2023-11-14T22:13:20.250", "warning", "11111111-2222", "llm.call", "log", "ask", "slow", "answer"],
        ["2023-11-14T22:13:20.500", "error", "11111111-2222", "llm.call", "error", "ask", "500.250000", "E", "no", "null"],
    ]


def test_flows_are_told_apart(lnav: Lnav, tmp_path: Path) -> None:
    """Events of flows that ran at once stand by time, and are counted and added up by flow."""
    both = [*whole(1, 0, 5, metrics={"tokens": 3}), *[{**one, "flow_id": OTHER_FLOW} for one in whole(1, 1, 2)]]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "both.jsonl").write_text("".join(lines_of(both)), encoding="utf-8")
    log = tmp_path / "logs"
    sql = 'SELECT flow_id, count(*) AS events, sum("metrics/tokens") AS tokens FROM tea_obs_log GROUP BY log_opid ORDER BY 1'
    assert rows(lnav, sql, log) == [
        {"flow_id": both[0]["flow_id"], "events": 2, "tokens": 3},
        {"flow_id": OTHER_FLOW, "events": 2, "tokens": None},
    ]
    times = [one["at"] for one in rows(lnav, "SELECT log_time_msecs AS at FROM tea_obs_log", log)]
    assert times == [int((T0 + at) * 1000) for at in (0, 1, 2, 5)]


def test_the_format_has_no_mistake(lnav: Lnav, quickstart: Path) -> None:
    """lnav's own check of formats and logs finds nothing."""
    assert lnav("-C", str(quickstart)) == ""
