"""Checking a log, line by line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from the_edge_obs.errors import LogFileError
from the_edge_obs.handlers.formatters import JsonFormatter
from the_edge_obs.store.validation import Finding, Tally, check_log

from .strategies import FLOW, event


def check(path: Path) -> tuple[list[Finding], int, int, set[str]]:
    tally = Tally()
    return list(check_log(path, tally)), tally.events, tally.invalid, tally.flows


def test_every_line_counts(tmp_path: Path) -> None:
    """Valid ones, and what is wrong with the others."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(
        b"".join(
            [
                json.dumps(event()).encode() + b"\n",
                b"\xef\xbb\xbf" + json.dumps(event()).encode() + b"\n",
                '"é"'.encode("utf-16") + b"\n",
                json.dumps({**event(), "level": 3}).encode() + b"\n",
                json.dumps(event()).encode(),
            ]
        )
    )
    findings, events, invalid, flows = check(path)
    assert ([finding.number for finding in findings], events, invalid, flows) == ([2, 3, 4], 2, 3, {FLOW})
    assert [finding.problem.split(":")[0] for finding in findings] == [
        "not valid JSON (RFC 8259)",
        "not valid JSON (RFC 8259)",
        "level is 3; it must be one of debug, info, warn, error",
    ]


def test_an_export(tmp_path: Path) -> None:
    """The events of one flow log, or of an array of them."""
    path = tmp_path / "run.json"
    good, bad = event(), {**event(), "node": ""}
    for content in ({"events": [good, bad]}, [{"events": [good, bad]}]):
        path.write_text(json.dumps(content), encoding="utf-8")
        assert check(path) == ([Finding(2, "node is ''; it must be a string that is not empty")], 1, 1, {FLOW})


@pytest.mark.parametrize("content", ["{}", "[1]", '{"events": 3}', "[NaN]", "nope"])
def test_no_export(content: str, tmp_path: Path) -> None:
    """A JSON file of another kind is refused."""
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LogFileError, match="is no"):
        check(path)


def test_it_streams(tmp_path: Path) -> None:
    """Findings come while the file is being read."""
    path = tmp_path / "run.jsonl"
    path.write_text("x\n" * 1000, encoding="utf-8")
    tally = Tally()
    next(check_log(path, tally))
    assert tally.invalid == 1


def test_records_from_outside_any_run_are_told_apart(tmp_path: Path) -> None:
    """A line of JsonFormatter with null ids is a record outside any run: counted as that, and checked like others."""
    path, tally = tmp_path / "app.jsonl", Tally()
    record = logging.makeLogRecord({"name": "shop", "msg": "paid", "levelno": 20, "flow_id": "order-17"})
    line = JsonFormatter().format(record)
    lines = [line, json.dumps(event()), json.dumps({**json.loads(line), "level": 3}), json.dumps({**event(), "flow_id": None})]
    path.write_text("\n".join(lines))
    findings = list(check_log(path, tally))
    assert [finding.number for finding in findings] == [3, 4]
    assert (tally.loose, tally.events, tally.invalid, tally.flows) == (1, 1, 2, {FLOW})
