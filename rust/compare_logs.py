"""Compare the flow logs, reports and faults of logs of the Rust crate with those of the Python package.

    python rust/compare_logs.py [--count N] [--seed S] [LOG.jsonl ...]

The logs are those of the parity fixtures, or the given ones: whole, shuffled, cut off, with events left out, doubled and changed.
It prints the first differences, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from the_edge_obs.event import problems
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.jsonl import read_events
from the_edge_obs.parity import report, run_to_file
from the_edge_obs.store.whole_logs import WholeLog

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "examples" / "observability" / "parity"
Log = list[dict[str, Any]]


def logs(paths: list[str]) -> Iterator[Log]:
    """Yield the given logs, or those of the fixtures."""
    for path in paths:
        yield list(read_events(path))
    for fixture in [] if paths else sorted(FIXTURES.glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            yield list(read_events(run_to_file(str(fixture), folder)[0]))


def traceparent(event: dict[str, Any]) -> str:
    """Return the W3C header that names the span of an event."""
    flow_id, span_id = (event[key].replace("-", "") for key in ("flow_id", "span_id"))
    return f"00-{flow_id}-{span_id[16:]}-01"


def changed(event: dict[str, Any], log: Log, rng: random.Random) -> dict[str, Any]:
    """Return an event that differs in one field, and is still valid."""
    other = rng.choice(log)
    fields: list[dict[str, Any]] = [
        {"timestamp": other["timestamp"]},
        {"timestamp": event["timestamp"] + rng.choice((-1e-3, -1e-6, 1e-6, 1e-3, 1.0))},
        {"parent_id": rng.choice((None, other["span_id"], other["flow_id"]))},
        {"node": other["node"]},
        {"event_type": rng.choice(("entry", "exit", "error", "metric", "log"))},
        {"metrics": {**event["metrics"], "tokens": rng.choice((0, 7, 0.1, 2**53 + 1)), "cost_usd": rng.random()}},
        {"metrics": {"duration_ms": rng.choice((0, 5, 12.25, 1e-7, 1e300))}},
        {"message": f"see {other['span_id']} and {traceparent(other)}"},
        {"data": {"input": {"index": rng.choice((0, 1.0, 2.5, True, "0", -1, 10**30))}, "answered": True}},
        {"data": {"output": [other], "error": {"type": rng.choice(("E", "FlowRunError")), "message": "m", "where": "f:1"}}},
        {"data": other["data"]},
        {"step": rng.choice(("a", other["span_id"]))},
    ]
    return {**event, **rng.choice(fields)}


def variants(log: Log, count: int, rng: random.Random) -> Iterator[Log]:
    """Yield a log, and others made of it."""
    yield log
    for _ in range(count):
        some = [event for event in log if rng.random() < rng.choice((0.5, 0.9, 1.0))] or log
        some = some[: rng.choice((len(some), rng.randint(1, len(some))))]
        some = [changed(event, log, rng) if rng.random() < 0.1 else event for event in some]
        if rng.random() < 0.3:
            some = some + some[: rng.randint(0, len(some))]
        if rng.random() < 0.5:
            rng.shuffle(some)
        yield [event for event in some if not problems(event)] or log


def is_circular(log: Log) -> bool:
    """Tell whether spans are in one another. Where a walk begins then, the rules do not say."""
    parents: dict[str, Any] = {}
    for event in sorted(log, key=lambda event: event["timestamp"]):
        parents.setdefault(event["span_id"], event["parent_id"])
    for span in parents:
        at, seen = span, set()
        while at in parents and at not in seen:
            seen.add(at)
            at = parents[at]
        if at in seen and parents[at] != at:
            return True
    return False


def answers(log: Log) -> dict[str, Any]:
    """Return what the Python package answers."""
    flow_log = build_flow_log(log, dropped=3, faults=1)
    whole = WholeLog()
    for number, event in enumerate(log, 1):
        whole.add(number, event)
    found = {"flow_log": flow_log.to_dict(), "faults": [list(fault) for fault in whole.faults()]}
    return found if is_circular(log) else {**found, "report": report(flow_log)}


def plain(value: Any) -> Any:
    """Return a value as both runtimes write it: large integers as texts."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    return value


def difference(one: Any, two: Any, path: str = "") -> str | None:
    """Return the first difference of two values; numbers are compared by value, and bools are not numbers."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return next(filter(None, (difference(one[key], two[key], f"{path}.{key}") for key in one)), None)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = enumerate(zip(one, two, strict=True))
        return next(filter(None, (difference(*pair, f"{path}[{at}]") for at, pair in pairs)), None)
    same = one == two and isinstance(one, bool) == isinstance(two, bool)
    return None if same else f"{path}: Python {str(one)[:300]}, Rust {str(two)[:300]}"


def told(faults: list[Any]) -> list[Any]:
    """Return faults without the marks of quotes, which each language writes in its own way."""
    return [[number, problem.replace("'", "").replace('"', "")] for number, problem in faults]


def asked_of_rust(cases: list[dict[str, Any]]) -> list[Any]:
    """Return what the crate answers."""
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    command = ["cargo", "run", "--quiet", "--bin", "tea-obs-rs", "--", "vectors"]
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, cwd=HERE, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def main() -> int:
    """Compare, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--count", type=int, default=30, help="variants of each log")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    asked = [
        (log, ask, answer)
        for one in logs(options.logs)
        for log in variants(one, options.count, rng)
        for ask, answer in answers(log).items()
    ]
    given = asked_of_rust([{"ask": ask, "events": log, "dropped": 3, "faults": 1} for log, ask, _ in asked])
    counts: dict[str, list[int]] = {}
    for (log, ask, answer), other in zip(asked, given, strict=True):
        one, two = (told(answer), told(other)) if ask == "faults" else (plain(answer), other)
        found = difference(one, two)
        total = counts.setdefault(ask, [0, 0])
        total[0] += 1
        total[1] += found is not None
        if found and total[1] <= 5:
            print(f"{ask} of {len(log)} events: {found}")
    for ask, (asked_for, different) in counts.items():
        print(f"{ask}: {asked_for:,} logs, {different:,} different")
    return 1 if any(different for _, different in counts.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
