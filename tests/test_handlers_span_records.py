from __future__ import annotations

from hypothesis import given

from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.handlers.span_records import SpanRecord, records_of, span_record

from .strategies import FLOW, Event, event, flows, span_id, whole


@given(flows())
def test_a_log_has_a_record_for_each_span_with_its_events(made: list[Event]) -> None:
    """No span is left out, none is there twice, and a record says what the flow log says of its span."""
    log = build_flow_log(made)
    records = list(records_of(log))
    assert [(one.span_id, one.parent_id, one.node, one.status, one.start, one.end) for one in records] == [
        (one.span_id, one.parent_id, one.node, one.status, one.start, one.end) for one in log.spans
    ]
    for record in records:
        assert record.events == [one for one in log.events if one["span_id"] == record.span_id]


def test_a_record_has_what_its_events_have() -> None:
    """Input, output, metrics and inner events are read from the events."""
    entry, end = whole(1, 0, 2)
    entry["data"], end["data"] = {"input": {"a": 1}}, {"output": [2]}
    end["metrics"] = {"duration_ms": 2000.0, "tokens": 5}
    said = event(1, "log", 1, node="agent")
    record = span_record([entry, said, end])
    assert isinstance(record, SpanRecord)
    assert (record.flow_id, record.span_id, record.status, record.partial) == (FLOW, span_id(1), "ok", False)
    assert (record.input, record.output, record.metrics) == ({"a": 1}, [2], {"duration_ms": 2000.0, "tokens": 5})
    assert (record.entry, record.inner) == ({"input": {"a": 1}}, [said])


def test_an_input_that_is_known_only_at_the_end() -> None:
    """As adapters to other tracers learn it, or the rest of it."""
    entry, end = whole(1, 0, 2)
    end["data"] = {"input": "late"}
    assert (record := span_record([entry, end])) is not None
    assert record.input == "late"
    entry["data"] = {"input": "a part"}
    assert (record := span_record([entry, end])) is not None
    assert record.input == "late"


def test_log_events_alone_are_not_a_span() -> None:
    """A span is opened, measured or ended; what another logger says inside it is not one."""
    assert span_record([event(1, "log", 1, node="agent")]) is None
