"""Checking a log, line by line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from the_edge_obs.errors import LogFileError
from the_edge_obs.handlers.formatters import JsonFormatter
from the_edge_obs.store.validation import Finding, Tally, check_log, check_whole

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


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"data": {}', b'"data": {"a": 1, "a": 2}', "key 'a' occurs twice in an object; keys are unique"),
        (b'"message": null', b'"message": "m", "message": null', "key 'message' occurs twice in an object; keys are unique"),
        (
            b'"data": {}',
            b'"data": {"n": 18446744073709551616}',
            "integer 18446744073709551616 is out of range; write it as a string, ",
        ),
        (
            b'"data": {}',
            b'"data": {"n": -9223372036854775808}',
            "integer -9223372036854775808 is out of range; write it as a string, ",
        ),
        (
            b'"data": {}',
            b'"data": {"n": 1' + b"0" * 5000 + b"}",
            "integer 1" + "0" * 56 + "... is out of range; write it as a string, ",
        ),
        (b'"data": {}', b'"data": {"n": 1e999}', "1e999 is out of range"),
        (
            b'"message": null',
            rb'"message": "\\\ud800"',
            r"\ud800 is a lone surrogate; write the character itself, or a pair of surrogates",
        ),
        (b'"message": null', rb'"message": "\uDBFF \udc00"', r"\uDBFF is a lone surrogate; "),
        (b'"data": {}', rb'"data": {"\ud83d\ude00\ude00": 1}', r"\ude00 is a lone surrogate; "),
    ],
)
def test_what_other_readers_would_refuse(old: bytes, new: bytes, problem: str, tmp_path: Path) -> None:
    """JSON that Python's own decoder accepts, and that another runtime reads differently, or not at all."""
    line = json.dumps(event()).encode()
    assert line.count(old) == 1
    path = tmp_path / "run.jsonl"
    path.write_bytes(line.replace(old, new) + b"\n")
    found, _, invalid, _ = check(path)
    assert (invalid, found[0].problem[: len(problem) + 27]) == (1, f"not valid JSON (RFC 8259): {problem}")


def test_the_limits_themselves_are_fine(tmp_path: Path) -> None:
    """The largest integers, large floats, pairs of surrogates, and what only looks like an escape."""
    data = {"n": 2**63 - 1, "m": -(2**63 - 1), "f": 1e300, "pair": "\U0001f600", "text": "\\ud800"}
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps({**event(), "data": data}) + "\n", encoding="utf-8")
    assert check(path) == ([], 1, 0, {FLOW})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "n"}, "data.schema_version is missing; the entry of a run's root names the schema version, 1"),
        ({"schema_version": 2}, "data.schema_version is 2; it must be 1"),
        ({"schema_version": True}, "data.schema_version is True; it must be 1"),
        ({"schema_version": 1}, None),
        ({"schema_version": 1.0}, None),
    ],
)
def test_a_root_names_the_schema_version(data: dict[str, object], problem: str | None, tmp_path: Path) -> None:
    """So that a reader knows what it reads; entries of other spans do not."""
    path = tmp_path / "run.jsonl"
    lines = [event(1, "entry", data=data), event(2, "entry"), event(2, "exit"), event(1, "exit")]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    assert check(path)[0] == ([] if problem is None else [Finding(1, problem)])


def test_a_whole_log_is_checked_beside_its_lines(tmp_path: Path) -> None:
    """Both kinds of problems, in the order of the lines."""
    path = tmp_path / "run.jsonl"
    root = {"name": "n", "schema_version": 1, "runtime": "r", "resource": {"host": "h", "pid": 1, "service": "s"}}
    lines = [event(1, "entry", data=root), event(2, "entry", 1), {**event(2, "exit", 2), "level": "loud"}, event(1, "exit", 3)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    assert [finding.number for finding in check_whole(path)] == [2, 3, 4]
