"""Strategies for logs: those of the fixtures and drawn ones, whole, cut off, shuffled, doubled and changed."""

from __future__ import annotations

import tempfile
from functools import cache
from typing import Any

from hypothesis import strategies as st

from the_edge_obs.event import EVENT_TYPES, LEVELS, problems
from the_edge_obs.jsonl import read_events
from the_edge_obs.parity import run_to_file

from ..strategies import flows
from .asking import FIXTURES

Log = list[dict[str, Any]]


@cache
def fixtures() -> list[Log]:
    """Return the logs of the parity fixtures, as files have them."""
    made = []
    for path in sorted(FIXTURES.glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            made.append(list(read_events(run_to_file(str(path), folder)[0])))
    return made


def traceparent(event: dict[str, Any]) -> str:
    """Return the W3C header that names the span of an event."""
    flow_id, span_id = (event[key].replace("-", "") for key in ("flow_id", "span_id"))
    return f"00-{flow_id}-{span_id[16:]}-01"


def _changes(event: dict[str, Any], other: dict[str, Any]) -> list[st.SearchStrategy[dict[str, Any]]]:
    """Return what one field of an event may become; the event stays valid."""
    errors: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(["E", "FlowRunError", "QueryError"]),
        "message": st.just(other["message"] or "m"),
    }
    metrics = {"tokens": st.sampled_from([0, 7, 0.1, 2**53 + 1]), "cost_usd": st.floats(0, 10)}
    cut = st.lists(st.sampled_from(["error", "error.where", "error.message", "error.cause.x", "message", "x"]), max_size=3)
    failed: dict[str, st.SearchStrategy[Any]] = {
        "output": st.just([other]),
        "error": st.fixed_dictionaries(errors | {"where": st.just("f:1")}),
        "cut": cut,
    }
    index = st.sampled_from([0, 1.0, 2.5, True, "0", -1, 10**30])
    return [
        st.sampled_from([other["timestamp"], *(event["timestamp"] + by for by in (-1e-3, -1e-6, 1e-6, 1e-3, 1.0))]).map(
            lambda time: {"timestamp": time}
        ),
        st.sampled_from([None, other["span_id"], other["flow_id"]]).map(lambda parent: {"parent_id": parent}),
        st.sampled_from([other["node"], "parallel", "flow"]).map(lambda node: {"node": node}),
        st.sampled_from(EVENT_TYPES).map(lambda kind: {"event_type": kind}),
        st.sampled_from(LEVELS).map(lambda level: {"level": level}),
        st.fixed_dictionaries(metrics).map(lambda more: {"metrics": {**event["metrics"], **more}}),
        st.sampled_from([0, 5, 12.25, 1e-7, 1e300]).map(lambda time: {"metrics": {"duration_ms": time}}),
        st.just({"message": f"see {other['span_id']} and {traceparent(other)}"}),
        index.map(lambda at: {"data": {"input": {"index": at}, "answered": True}}),
        st.fixed_dictionaries(failed).map(lambda data: {"data": data, "message": data["error"]["message"]}),
        st.just({"data": other["data"]}),
        st.sampled_from(["a", other["span_id"]]).map(lambda step: {"step": step}),
    ]


@st.composite
def changed(draw: st.DrawFn, log: Log) -> dict[str, Any]:
    """Draw an event of a log that differs in one field."""
    event, other = draw(st.sampled_from(log)), draw(st.sampled_from(log))
    return {**event, **draw(st.one_of(_changes(event, other)))}


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Draw a log of which events are missing, doubled, changed or in another order."""
    whole = draw(st.deferred(lambda: st.sampled_from(fixtures())) | flows())
    first, last = draw(st.integers(0, 3)), draw(st.integers(0, len(whole)))
    log = (whole[first:] if draw(st.booleans()) else whole[: len(whole) - last]) or whole
    lost = draw(st.sets(st.integers(0, len(log) - 1), max_size=4))
    log = [event for at, event in enumerate(log) if at not in lost] or whole
    for event in draw(st.lists(changed(whole), max_size=4)):
        at = draw(st.integers(0, len(log) - 1))
        log[at : at + draw(st.integers(0, 1))] = [event]
    if draw(st.booleans()):
        log = log + log[: draw(st.integers(0, 5))]
    if draw(st.booleans()):
        log = draw(st.permutations(log))
    return [event for event in log if not problems(event)] or whole


def is_circular(log: Log) -> bool:
    """Tell whether spans are in one another. Where a walk begins then, N4 does not say."""
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
