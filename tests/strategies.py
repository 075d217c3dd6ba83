"""Hypothesis strategies for events and whole flows, and makers of single events."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from the_edge_obs.event import EVENT_TYPES, LEVELS

FLOW = "11111111-2222-4333-8444-555555555555"
OTHER_FLOW = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
T0 = 1_700_000_000.0

Event = dict[str, Any]


def span_id(number: int, flow_id: str = FLOW) -> str:
    """Return the id of a flow's n-th span."""
    return f"{flow_id[:19]}8000-{number:012x}"


def event(span: int = 1, kind: str = "log", at: float = 0.0, **fields: Any) -> Event:
    """Return an event of the n-th span, ``at`` seconds after T0; a span's parent is the one before it unless it is given."""
    flow_id = fields.pop("flow_id", FLOW)
    parent = fields.pop("parent", span - 1 or None)
    made = {
        "flow_id": flow_id,
        "span_id": span_id(span, flow_id),
        "parent_id": span_id(parent, flow_id) if isinstance(parent, int) else parent,
        "node": "flow" if parent is None else f"node{span}",
        "level": "info",
        "timestamp": T0 + at,
        "event_type": kind,
        "message": None,
        "data": {},
        "metrics": {},
    }
    return {**made, **fields}


def whole(span: int, start: float, end: float, **fields: Any) -> list[Event]:
    """Return the entry and exit of a span; ``metrics`` and ``data`` go to the exit."""
    out = {key: fields.pop(key) for key in ("metrics", "data") if key in fields}
    metrics = {"duration_ms": round((end - start) * 1000, 6), **out.get("metrics", {})}
    return [
        event(span, "entry", start, **fields),
        event(span, "exit", end, **fields, data=out.get("data", {}), metrics=metrics),
    ]


# Names that globs meet, one that needs escaping in a pattern, and one that is only a prefix of another.
NODES = ("llm", "llm.call", "llm.stream", "http.get", "a[b]", "flow")
# What a filter for text must look into: nested, in keys, numbers, no ASCII.
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.sampled_from(["", "needle", "Straße", "x" * 40]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["input", "needle", "k"]), inner, max_size=3),
    max_leaves=6,
)
METRICS = st.dictionaries(
    st.sampled_from(["tokens", "input_tokens", "output_tokens", "cost_usd", "items"]), st.integers(0, 500), max_size=3
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw any valid event; few spans and few moments, so that they meet often."""
    number = draw(st.integers(1, 5))
    made = event(
        number,
        draw(st.sampled_from(EVENT_TYPES)),
        draw(st.integers(0, 8)) / 4,
        node=draw(st.sampled_from(NODES)),
        level=draw(st.sampled_from(LEVELS)),
        message=draw(st.none() | st.sampled_from(["", "a Needle", "nothing"])),
        data=draw(st.dictionaries(st.sampled_from(["input", "output"]), DATA, max_size=2)),
        metrics=draw(METRICS),
    )
    if draw(st.booleans()):
        made["step"] = draw(st.sampled_from(["load", "ask", "ask again"]))
    return made


@st.composite
def flows(draw: st.DrawFn, max_spans: int = 12) -> list[Event]:
    """Draw a whole flow: a root and up to ``max_spans`` spans, nested or side by side, with log and metric events between.

    Every event has a moment of its own, as a clock of microseconds gives it: whatever is equal in time has no order to keep.
    """
    parents: list[int | None] = [None, *(draw(st.integers(1, n)) for n in range(1, draw(st.integers(0, max_spans)) + 1))]
    # Each span begins after its parent and ends in any order after its last child began: siblings overlap as threads do.
    moments = draw(st.permutations(range(len(parents))))
    made: list[Event] = []
    for number, parent in enumerate(parents, 1):
        node = "flow" if parent is None else draw(st.sampled_from(NODES[:-1]))
        start, end = number * 0.001, 10 + moments[number - 1] * 0.001
        end = 100.0 if parent is None else end
        failed = draw(st.booleans())
        data = {"error": {"type": "E", "message": "no"}} if failed else {}
        if failed and draw(st.booleans()):
            data["cancelled"] = True
        made.append(event(number, "entry", start, parent=parent, node=node, data={"name": "drawn"}))
        metrics = {"duration_ms": round((end - start) * 1000, 6), **draw(METRICS)}
        end_kind = "error" if failed else "exit"
        made.append(event(number, end_kind, end, parent=parent, node=node, data=data, metrics=metrics))
        for extra in range(draw(st.integers(0, 2))):
            kind, at = draw(st.sampled_from(["log", "metric"])), start + 1 + extra * 0.1
            made.append(event(number, kind, at, parent=parent, node=node, metrics={"items": extra}))
    return sorted(made, key=lambda one: one["timestamp"])
