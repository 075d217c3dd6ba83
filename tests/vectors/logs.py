"""Logs and their lines, and headers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.instrumentation.trace_headers import extract
from the_edge_obs.jsonl import decoded
from the_edge_obs.parity import normalise
from the_edge_obs.store.validation import Tally, check_log, check_whole

from ..strategies import FLOW, OTHER_FLOW, event, span_id, whole
from .registry import Cases, about


def _logs() -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield logs as runtimes write them, and how many of their events were dropped."""
    about_root = {"name": "n", "schema_version": 1, "runtime": "r", "resource": {"host": "h", "pid": 1, "service": "s"}}
    root = whole(1, 0.0, 3.0)
    root[0]["data"] = about_root
    call = whole(3, 1.0, 2.0, node="llm.call", metrics={"tokens": 5, "input_tokens": 3, "output_tokens": 2, "cost_usd": 0.1})
    failed = event(
        4, "error", 2.2, parent=2, node="http.get", level="error", data={"error": {"type": "E", "message": "m"}}, message="m"
    )
    note = event(2, "log", 2.1, message=f"see {span_id(3)} and 00-{FLOW.replace('-', '')}-{span_id(3).replace('-', '')[16:]}-01")
    outer = whole(2, 0.5, 2.5, node="steps", step="a")
    log = [root[0], outer[0], *call, note, failed, outer[1], root[1]]
    yield log, 0
    yield log[1:-1], 2
    yield log[:4], 0
    yield log[3:], 1
    yield [one for one in log if one["event_type"] != "exit"], 0
    yield [*log, *log[:3]], 0  # lines that stand there twice
    spread = whole(2, 0.5, 2.5, node="parallel", step="join")
    branches = [
        one
        for index, number, start in ((1.0, 3, 0.6), (0, 5, 0.7))
        for one in [
            *whole(number, start, 2.0, parent=2, node="parallel.branch"),
            *whole(number + 1, start + 0.1, 1.5, parent=number),
        ]
    ]
    for one, index in ((branches[0], 1.0), (branches[4], 0)):
        one["data"] = {"input": {"index": index}}
    yield [root[0], spread[0], *sorted(branches, key=lambda one: one["timestamp"]), spread[1], root[1]], 0
    ended = {"error": {"type": "C", "message": ""}, "cancelled": True}
    cancelled = event(2, "error", 2.0, level="warn", data=ended, metrics={"duration_ms": 1500.0})
    words = {"error": {"type": "FlowRunError", "message": "words", "where": "f:1"}, "cut": ["error.message"]}
    stopped = event(1, "error", 3.0, level="error", data=words, message="words", metrics={"duration_ms": 3000.0})
    yield [root[0], event(2, "entry", 0.5), cancelled, stopped], 0
    yield [event(2, "log", 0.0, message="no root is here"), event(2, "metric", 0.0, metrics={"items": 1})], 3
    for circle in ((2,), (3, 4), (4, 2, 3)):  # parents of a broken log
        parents = zip(circle, [*circle[1:], circle[0]], strict=True)
        inside = [one for span, parent in parents for one in whole(span, span / 4, 2.0, parent=parent, metrics={"tokens": span})]
        inside[-1].update(event_type="error", level="error", data={"error": {"type": "E", "message": "m"}})
        yield [root[0], *inside, root[1]], 0


@about("Logs, normalised (N1 to N11), and as flow logs; some lack events, and some of them were dropped.")
def flow_logs() -> Cases:
    return [
        {
            "events": log,
            "dropped": dropped,
            "normalised": normalise(log),
            "flow_log": build_flow_log(log, dropped=dropped).to_dict(),
        }
        for log, dropped in _logs()
    ]


def _raw_logs() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield logs that break one rule each, with the rule."""
    good = next(_logs())[0]
    yield "", good

    def changed(position: int, **fields: Any) -> list[dict[str, Any]]:
        return [{**one, **fields} if number == position else one for number, one in enumerate(good)]

    yield "S1", [{**one, "span_id": span_id(4, OTHER_FLOW)} if one["span_id"] == span_id(4) else one for one in good]
    yield "S2", [good[1], good[0], *good[2:]]
    yield "S3", changed(0, data={key: value for key, value in good[0]["data"].items() if key != "resource"})
    yield "S3", changed(0, data={**good[0]["data"], "colour": "red"})
    yield "S3", changed(0, data={**good[0]["data"], "runtime": 7})
    yield "S4", [*good[:3], good[2], *good[3:]]
    yield "S4", [*good[:4], good[3], *good[4:]]
    yield "S4", [*good[:3], *good[4:]]
    yield "S5", [*good[:2], *good[3:]]
    yield "S5", changed(5, metrics={"duration_ms": 1.0})
    yield "S6", changed(2, parent_id=None)
    yield "S6", changed(2, parent_id=span_id(77))
    yield "S7", changed(3, timestamp=good[3]["timestamp"] + 1e-5)
    yield "S7", changed(3, timestamp=1.0)
    yield "S7", changed(3, metrics={})
    yield "S8", [good[0], good[1], *whole(3, 0.4, 2.0, node="llm.call"), *good[4:]]
    yield "S8", [good[0], good[1], *whole(3, 1.0, 2.6, node="llm.call"), *good[4:]]
    yield "", [good[0], good[1], *whole(3, 0.4995, 2.5005, node="llm.call"), *good[4:]]


@about("Logs whose lines are valid, the rule (S1 to S8) that each breaks, empty for none, and the lines with problems.")
def whole_logs() -> Cases:
    return [{"rule": rule, "events": log, "problems": _problem_lines(log)} for rule, log in _raw_logs()]


def _problem_lines(log: list[dict[str, Any]]) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        path.write_text("".join(json.dumps(one) + "\n" for one in log), encoding="utf-8")
        return sorted({finding.number for finding in check_whole(path)})


@about("Lines of a log, readable by readers, and valid for tea-obs validate.")
def lines() -> Cases:
    line = json.dumps(event(2, "log"))
    data, message = '"data": {}', '"message": null'
    changes = [
        (data, '"data": {"a": 1, "a": 2}'),
        (data, '"data": {"n": 9223372036854775807, "m": -9223372036854775807}'),
        (data, '"data": {"n": 9223372036854775808}'),
        (data, '"data": {"n": -9223372036854775808}'),
        (data, '"data": {"n": 1e999}'),
        (data, '"data": {"n": 1e300}'),
        (data, '"data": {"n": NaN}'),
        (data, '"data": {"n": 01}'),
        (data, '"data": {"n": 1,}'),
        (data, '"data": []'),
        (data, '"data": {"error": "text"}'),
        (message, r'"message": "\ud800"'),
        (message, r'"message": "\\ud800"'),
        (message, r'"message": "\ud83d\ude00"'),
        (message, r'"message": "\ude00\ud83d"'),
        (message, '"message": "a\tb"'),
        (message, '"message": 5'),
        ('"level": "info"', '"level": "WARN"'),
        (FLOW, FLOW.upper().replace("1", "A")),
        (data, f'"data": {"[" * 201}{"]" * 201}'),
        (data, f'"data": {{"a": {"[" * 198}{"]" * 198}}}'),
        (data, f'"data": {{"a": {"[" * 199}{"]" * 199}}}'),
        ('"event_type": "log"', '"event_type": "start"'),
        ('"metrics": {}', '"metrics": {"tokens": -1}'),
        ('"metrics": {}', '"metrics": {"x": "1"}'),
        ('"metrics": {}', '"metrics": {}, "step": "s"'),
        ('"metrics": {}', '"metrics": {}, "colour": 1'),
        (', "metrics": {}', ""),
    ]
    texts_of = [line, *(line.replace(old, new, 1) for old, new in changes), "[]", "", json.dumps(event(1, "entry"))]
    return [{"line": one, "is_json": _is_json(one), "is_valid": _is_valid(one)} for one in texts_of]


def _is_json(line: str) -> bool:
    try:
        decoded(line)
    except ValueError:
        return False
    return True


def _is_valid(line: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path, tally = Path(folder, "log.jsonl"), Tally()
        path.write_text(line + "\n", encoding="utf-8")
        return not list(check_log(path, tally)) and tally.events == 1


@about("Headers, and the trace (as flow_id), the parent's last 8 bytes and the flags; null where there is no valid traceparent.")
def traceparent() -> Cases:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    given = [
        f"00-{trace}-{span}-01",
        f" 00-{trace}-{span}-00\t",
        f"00-{trace}-{span}-03",
        f"01-{trace}-{span}-01-more",
        f"00-{trace}-{span}-01-more",
        f"ff-{trace}-{span}-01",
        f"00-{'0' * 32}-{span}-01",
        f"00-{trace}-{'0' * 16}-01",
        f"00-{trace.upper()}-{span}-01",
        f"00-{trace}-{span}-1",
        f"00-{trace}-{span}",
        f"00-{trace}{span}-01",
        "",
    ]
    headers = [{"traceparent": one} for one in given]
    headers += [
        {"TraceParent": given[0], "tracestate": "a=1,b=2"},
        {"tracestate": "a=1"},
        {"traceparent": given[0], "tracestate": "=,"},
    ]
    return [{"headers": one, "parent": _parent(one)} for one in headers]


def _parent(headers: Mapping[str, str]) -> dict[str, Any] | None:
    parent = extract(headers)
    if parent is None:
        return None
    flow_id, number, flags, state = parent
    return {"flow_id": flow_id, "span": f"{number:016x}", "flags": flags, "tracestate": state}
