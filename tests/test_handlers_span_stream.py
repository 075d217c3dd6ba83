from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.flow_log import COUNTED, build_flow_log
from the_edge_obs.handlers.span_stream import EndedSpan, SpanStream

from .strategies import Event, event, flows, span_id, whole


def ended(made: list[Event]) -> list[EndedSpan]:
    stream = SpanStream()
    found = [span for one in made if (span := stream.add(one)) is not None]
    return [*found, *stream.rest()]


def test_spans_come_as_they_end() -> None:
    """Children before their parents; a figure that the parent repeats is not its own; what has no end comes last."""
    made = [
        event(1, "entry", 0),
        event(2, "entry", 1, parent=1),
        *whole(3, 1.1, 1.2, parent=2, metrics={"tokens": 7, "cost_usd": None}),
        event(2, "error", 2, parent=1, metrics={"duration_ms": 1000.0, "tokens": 7, "input_tokens": 3}, data={"cancelled": True}),
        event(4, "entry", 3, parent=1),
        event(4, "metric", 3.5, parent=1, metrics={"tokens": 5}),
        event(5, "exit", 4, parent=1, metrics={"duration_ms": True}),
    ]
    top = span_id(1)
    assert ended(made) == [
        EndedSpan("node3", "ok", 100.0, {"tokens": 7}, 0, top),
        EndedSpan("node2", "cancelled", 1000.0, {"input_tokens": 3}, 0, top),
        EndedSpan("node5", "ok", None, {}, 0, top),
        EndedSpan("node4", "running", None, {"tokens": 5}, 0, top),
        EndedSpan("flow", "running", None, {}, 0, top),
    ]


def _in_order_of_ends(made: list[Event]) -> bool:
    """Tell whether every span ends after all of its children, as runtimes log them."""
    ends = {one["span_id"]: one["timestamp"] for one in made if one["event_type"] in ("exit", "error")}
    return all(one["parent_id"] is None or ends[one["span_id"]] <= ends[one["parent_id"]] for one in made)


@pytest.mark.slow
@given(flows().filter(_in_order_of_ends))
def test_it_agrees_with_the_flow_log(made: list[Event]) -> None:
    """Nodes, statuses, durations and totals are those of the whole log, although nothing of it is kept."""
    log, found = build_flow_log(made), ended(made)

    def facts(node: str, status: str, duration_ms: Any) -> tuple[Any, ...]:
        return node, status, duration_ms

    expected = Counter(facts(span.node, span.status, span.duration_ms) for span in log.spans)
    assert Counter(facts(span.node, span.status, span.duration_ms) for span in found) == expected
    totals = {key: sum(span.figures.get(key, 0) for span in found) for key in COUNTED}
    assert totals == {key: log.metrics[key] for key in COUNTED}
    assert sum(span.errors for span in found) == log.metrics["error_count"]


@pytest.mark.slow
@given(flows().filter(_in_order_of_ends), st.sets(st.integers(0, 60)))
def test_spans_that_never_end_hand_on_what_is_below_them(made: list[Event], lost: set[int]) -> None:
    """Their parents, which repeat the figures, may end without them, as those of a thread that was left running."""
    ends = [one for one in made if one["event_type"] in ("exit", "error")]
    missing = [one for number, one in enumerate(ends) if number in lost]
    made = [one for one in made if one not in missing]
    totals = {key: sum(span.figures.get(key, 0) for span in ended(made)) for key in COUNTED}
    assert totals == {key: build_flow_log(made).metrics[key] for key in COUNTED}


def test_a_figure_counts_once_though_a_span_between_has_not_ended() -> None:
    """Neither what is below the open span nor what it has reported itself counts again in its parent."""
    inner = whole(3, 2, 3, parent=2, metrics={"tokens": 7})
    own = event(2, "metric", 2, parent=1, metrics={"tokens": 7})
    for below in (inner, [own], [*inner, own]):
        made = [event(1, "entry", 0), event(2, "entry", 1, parent=1), *below, event(1, "exit", 4, metrics={"tokens": 7})]
        assert sum(span.figures.get("tokens", 0) for span in ended(made)) == build_flow_log(made).metrics["tokens"] == 7


def test_an_error_counts_where_it_arose() -> None:
    """Neither the spans that it leaves nor a span that is cancelled with it have one of their own; another error does count."""
    boom, other = ({"error": {"type": "E", "message": text}} for text in ("boom", "other"))
    made = [
        *(event(number, "entry", number) for number in (1, 2, 3)),
        event(3, "error", 4, data=boom),
        event(2, "error", 5, data=boom),
        event(2, "error", 5.5, data=boom, node="by hand"),
        event(1, "error", 6, data=other),
    ]
    assert [(span.node, span.errors) for span in ended(made)] == [("node3", 1), ("node2", 0), ("by hand", 1), ("flow", 1)]


def test_a_group_of_errors_that_came_out_of_children_is_no_further_one() -> None:
    """Of a group with another error in it, and of what a child's group is taken apart into, each counts as what it is."""
    one, two, new = ({"type": "E", "message": text} for text in ("one", "two", "new"))
    group = {"type": "ExceptionGroup", "message": "2 sub-exceptions", "errors": [one, two]}
    cut = {"type": "…", "message": "[+3 errors]"}
    for top, count in (
        ({**group, "errors": [one, two, cut]}, 2),
        ({**group, "errors": [one, new]}, 3),
        ({**new, "errors": []}, 3),
    ):
        made = [
            event(1, "entry", 0),
            *(event(number, "entry", 1, parent=1) for number in (2, 3)),
            *(event(number, "error", 2, parent=1, data={"error": error}) for number, error in ((2, one), (3, two))),
            event(1, "error", 6, data={"error": top}),
        ]
        assert sum(span.errors for span in ended(made)) == build_flow_log(made).metrics["error_count"] == count
    made = [
        event(1, "entry", 0),
        event(2, "entry", 1),
        event(2, "error", 2, data={"error": group}),
        event(1, "error", 3, data={"error": two}),
    ]
    assert sum(span.errors for span in ended(made)) == build_flow_log(made).metrics["error_count"] == 1


def test_what_was_answered_from_a_recording_is_not_summed() -> None:
    """Its figures were spent before, also where its parent repeats them; only an entry or its end can say so."""
    boom = {"error": {"type": "E", "message": "boom"}}
    made = [
        event(1, "entry", 0),
        *whole(2, 1, 2, metrics={"tokens": 7}, data={"answered": True}),
        event(1, "exit", 3, metrics={"tokens": 7}),
    ]
    assert [span.figures for span in ended(made)] == [{}, {}]
    assert build_flow_log(made).metrics["tokens"] == 0
    own = [
        event(2, "metric", 1.5, metrics={"tokens": 7}, data={"answered": True}),
        event(2, "error", 1.6, node="survey", data={**boom, "answered": True}),
        event(2, "log", 1.7, data={"answered": True}),
    ]
    made = [event(1, "entry", 0), event(2, "entry", 1), *own, event(2, "exit", 2), event(1, "exit", 3)]
    assert sum(span.figures.get("tokens", 0) for span in ended(made)) == build_flow_log(made).metrics["tokens"] == 7
