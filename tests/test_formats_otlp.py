from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

import the_edge_obs as obs
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.otlp import OtlpSpan, Translator, runs_of
from the_edge_obs.handlers.span_records import SpanRecord, records_of

from .strategies import FLOW, T0, Event, event, flows, span_id, whole

NS = 1_000_000_000
START = int(T0) * NS


def records(*made: Event) -> list[SpanRecord]:
    return list(records_of(build_flow_log(made)))


def translated(*made: Event, **options: Any) -> list[OtlpSpan]:
    return [Translator(**options).translate(record) for record in records(*made)]


@given(flows())
def test_every_span_has_its_ids_and_does_not_end_before_it_starts(made: list[Event]) -> None:
    """Any log can be translated, and its values are such as Protobuf has."""
    spans = translated(*made)
    log = build_flow_log(made)
    assert [span.span_id for span in spans] == [one.span_id.replace("-", "")[16:] for one in log.spans]
    for span in spans:
        assert (span.trace_id, len(span.span_id)) == (log.flow_id.replace("-", ""), 16)
        assert 0 < span.start_ns <= span.end_ns < 2**64
        for part in (span, *span.events):
            assert all(isinstance(value, (str, bool, int, float, list)) for value in part.attributes.values())


def test_a_root_and_its_child() -> None:
    """A flow id is a trace id, the last 8 bytes of a span id are a span id, and a step names its span."""
    entry, end = whole(1, 0, 2)
    entry["data"] = {"name": "triage", "resource": {"host": "h", "pid": 7, "service": "shop"}}
    root, child = translated(entry, end, *whole(2, 0.5, 1.5, parent=1, step="ask", metrics={"items": 3}))
    assert (root.trace_id, root.span_id, root.parent_id) == (FLOW.replace("-", ""), "8000000000000001", None)
    assert (root.name, root.status, root.start_ns, root.end_ns) == ("triage", "ok", START, START + 2 * NS)
    assert (child.name, child.parent_id, child.start_ns) == ("ask", root.span_id, START + NS // 2)
    assert child.attributes == {
        "tea.node": "node2", "tea.step": "ask", "tea.metrics.items": 3, "openinference.span.kind": "CHAIN",
    }  # fmt: skip
    ((resource, _),) = runs_of([entry, end], {}, Translator())
    assert resource == {"service.name": "shop", "host.name": "h", "process.pid": 7}


def test_ids_of_other_writers_that_are_not_uuids() -> None:
    """Each span has an id of its own, its parent's is that of the parent, and none consists of zeros alone."""
    ids = ["a", "b", "A", "", "é", "\ud800", "0" * 32, "0" * 16, "c" * 16, "c" * 32]
    made = [
        {**one, "flow_id": flow_id, "span_id": span_id, "parent_id": None if span_id == "a" else "a"}
        for flow_id in ids
        for span_id in ids
        for one in whole(1, 0, 1)
    ]
    runs = [spans for _, spans in runs_of(made, {}, Translator())]
    assert [len({span.span_id for span in spans}) for spans in runs] == [len(ids)] * len(ids)
    assert len({span.trace_id for spans in runs for span in spans}) == len(ids)
    for spans in runs:
        (root,) = (span for span in spans if span.parent_id is None)
        assert {span.parent_id for span in spans} == {None, root.span_id}
        for span in spans:
            assert (len(span.trace_id), len(span.span_id)) == (32, 16)
            assert int(span.trace_id, 16) > 0 < int(span.span_id, 16)


def test_each_process_of_a_flow_is_a_resource() -> None:
    """With the spans that it logged; spans without a parent in the log go with the first."""
    root, remote = whole(1, 0, 9), whole(2, 1, 2, parent=1, node="flow")
    for made, host in ((root, "a"), (remote, "b")):
        made[0]["data"] = {"resource": {"host": host, "pid": 7, "service": "shop"}}
    lost = whole(4, 1, 2, parent="99999999-9999-4999-8999-999999999999")
    found = runs_of([*root, *remote, *whole(3, 1, 2, parent=2), *lost], {}, Translator())
    assert [(resource["host.name"], [span.span_id[-1] for span in spans]) for resource, spans in found] == [
        ("a", ["1", "4"]),
        ("b", ["2", "3"]),
    ]


def test_an_error_is_a_status_an_event_and_a_type() -> None:
    """A failed span has the message; a cancelled one is not failed; one that has not ended is marked."""
    error = {"error": {"type": "ValueError", "message": "bad", "traceback": "Traceback ..."}}
    failed = [event(1, "entry"), event(1, "error", 1, data=error, metrics={"duration_ms": 1000})]
    cancelled = [event(2, "entry", parent=1), event(2, "error", 1, parent=1, data={**error, "cancelled": True})]
    one, other, running = translated(*failed, *cancelled, event(3, "entry", 0, parent=1), event(3, "log", 4, parent=1))
    assert (one.status, one.message, one.attributes["error.type"]) == ("error", "bad", "ValueError")
    (exception,) = one.events
    assert (exception.name, exception.time_ns) == ("exception", START + NS)
    assert exception.attributes == {
        "exception.type": "ValueError", "exception.message": "bad", "exception.stacktrace": "Traceback ...",
    }  # fmt: skip
    assert (other.status, other.attributes["tea.status"], other.events) == ("unset", "cancelled", [])
    assert (running.status, running.attributes["tea.unfinished"], running.end_ns) == ("unset", True, START + 4 * NS)


def test_log_events_become_events_of_their_span() -> None:
    """With their logger, level and text; without content, the text and the data are left out."""
    said = event(1, "log", 1, node="agent", level="warn", message="hm", data={"a": 1}, metrics={"n": 2})
    whole_event = {
        "log.logger": "agent", "log.severity": "WARN", "log.severity_number": 30, "tea.metrics.n": 2, "log.message": "hm",
        "log.data": '{"a":1}',
    }  # fmt: skip
    (span,) = translated(*whole(1, 0, 2), said)
    assert [(one.name, one.time_ns, one.attributes) for one in span.events] == [("log", START + NS, whole_event)]
    (span,) = translated(*whole(1, 0, 2), said, content=False)
    assert set(span.events[0].attributes) == set(whole_event) - {"log.message", "log.data"}


def test_a_flow_is_linked_to_the_span_that_it_was_opened_in() -> None:
    """A nested flow is a trace of its own."""
    outer = {"flow_id": FLOW, "span_id": span_id(9)}
    (span,) = translated(event(1, "entry", data={"outer": outer}), event(1, "exit", 1))
    assert span.links == [(FLOW.replace("-", ""), "8000000000000009")]
    (span,) = translated(event(1, "entry", data={"outer": {"flow_id": "x"}}), event(1, "exit", 1))
    assert span.links == []


def test_what_protobuf_cannot_have_is_changed() -> None:
    """One span must not cost its batch: integers of more than 64 bits, and surrogates."""
    end = whole(1, 0, 1, metrics={"huge": 2**70, "\ud800": 1}, data={"output": "a\udc80"})
    (span,) = translated(*end, event(1, "log", 1, message="b\ud800"))
    assert span.attributes["tea.metrics.huge"] == 2.0**70
    assert (span.attributes["tea.metrics.?"], span.attributes["output.value"]) == (1, "a?")
    assert span.events[0].attributes["log.message"] == "b?"


def test_an_unknown_convention_is_refused() -> None:
    """The message has the known ones."""
    with pytest.raises(obs.ConfigurationError, match="names has 'genai'; did you mean 'gen_ai'"):
        Translator(names=["genai"])
    assert translated(*whole(1, 0, 1), names="gen_ai")[0].attributes == {"tea.node": "flow"}
