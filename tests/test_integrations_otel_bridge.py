"""Spans of OpenTelemetry in flows, and spans of flows in OpenTelemetry: the trees on both sides, and what must not happen."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import itertools
import json
import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs

from .otlp_sink import Sink, assert_tree, attributes

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from the_edge_obs.integrations import _otel_bridge
from the_edge_obs.integrations._otel_context import FlowRuntime
from the_edge_obs.integrations._otel_sdk import receiver_of
from the_edge_obs.integrations.otel import OtlpHandler, bridge

OWN = "11111111-2222-4333-8444-555555555555"
SECRET = "sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C"


class Otel:
    """A provider, its tracer, and what it exports."""

    def __init__(self, **options: Any) -> None:
        self.provider = TracerProvider(**options)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[Any]:
        return self.tracer.start_as_current_span(name, attributes=attributes)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def otel(own_context: None) -> Iterator[Otel]:
    """Return a bridged provider; the bridge is undone."""
    made, before = Otel(), context_api._RUNTIME_CONTEXT
    undo = bridge(made.provider)
    yield made
    undo()
    assert context_api._RUNTIME_CONTEXT is before


@pytest.fixture(autouse=True)
def own_context() -> None:
    """Begin with OpenTelemetry's own runtime context: a library that never detaches what it attached keeps the bridge's."""
    while isinstance(runtime := context_api._RUNTIME_CONTEXT, FlowRuntime):
        context_api._RUNTIME_CONTEXT = runtime.inner


@pytest.fixture(autouse=True)
def ring(ring: obs.RingBufferHandler) -> obs.RingBufferHandler:
    """Keep what the tests log."""
    return ring


def tree(run: Any) -> list[tuple[int, str]]:
    return [(depth, span.node) for depth, span in run.get_flow_log().walk()]


def node() -> str | None:
    here = obs.current()
    return None if here is None else here.node


def statuses(run: Any) -> dict[str, str]:
    return {span.node: span.status for span in run.get_flow_log().spans}


def ids(span: Any) -> tuple[str, str]:
    """Return the trace id and the span id of a span of OpenTelemetry, or of its context."""
    made = span.get_span_context() if hasattr(span, "get_span_context") else span
    return f"{made.trace_id:032x}", f"{made.span_id:016x}"


def own_ids(flow_id: str, span_id: str | None) -> tuple[str, str] | None:
    """Return the same ids of a span of a flow."""
    return None if span_id is None else (flow_id.replace("-", ""), span_id.replace("-", "")[16:])


def parents(otel: Otel) -> dict[tuple[str, str], tuple[str, str] | None]:
    return {ids(span): None if span.parent is None else ids(span.parent) for span in otel.exporter.get_finished_spans()}


def assert_equal_trees(run: Any, otel: Otel) -> None:
    """Check that the log has each span of OpenTelemetry, under the parent and with the ids that it has there."""
    logged = {own_ids(run.flow_id, span.span_id): own_ids(run.flow_id, span.parent_id) for span in run.get_flow_log().spans}
    found = parents(otel)
    assert {own: above for own, above in logged.items() if own in found} == found


# --- trees ---


def test_both_are_one_tree(otel: Otel) -> None:
    """With OpenTelemetry's ids, which are those of its own exporters; whatever is innermost is the parent of what comes."""
    with obs.flow("both") as run, obs.span("outer"), otel.span("search"), obs.span("inner"), otel.span("deep"):
        with obs.span("deepest"):
            pass
        with otel.span("last"):
            pass
    assert tree(run) == [
        (0, "flow"), (1, "outer"), (2, "otel.search"), (3, "inner"), (4, "otel.deep"), (5, "deepest"), (5, "otel.last"),
    ]  # fmt: skip
    assert len(otel.spans()) == 3
    assert_equal_trees(run, otel)


def test_a_span_is_logged_with_what_it_was_given_and_returned(otel: Otel) -> None:
    """Its times are OpenTelemetry's, what is in no part of it is under attributes, and the end repeats nothing."""
    with obs.flow("call") as run, otel.span("chat small", **{"gen_ai.operation.name": "chat", "server.port": 443}) as span:
        span.set_attribute("gen_ai.usage.input_tokens", 7)
        span.set_attribute("gen_ai.request.model", "small")
        span.set_attribute("more", ["a", "b"])
        span.add_event("found", {"rows": 3})
    entry, end = obs.query(run.flow_id, node="llm.call")
    told = otel.spans()["chat small"]
    assert entry["data"] == {"otel": {"name": "chat small", "scope": "tests"}, "attributes": {"server.port": 443}}
    assert end["data"].pop("events")[0]["name"] == "found"
    assert end["data"] == {"input": {"model": "small"}, "attributes": {"more": ["a", "b"]}}
    assert told.start_time is not None
    assert told.end_time is not None
    assert end["metrics"] == {
        "duration_ms": pytest.approx((told.end_time - told.start_time) / 1e6, abs=0.01), "input_tokens": 7, "tokens": 7,
    }  # fmt: skip
    assert entry["timestamp"] == pytest.approx(told.start_time / 1e9, abs=1e-5)
    assert run.get_flow_log().metrics["tokens"] == 7


def test_times_that_a_library_gives_are_those_of_the_log(otel: Otel) -> None:
    """A span may be told after it was."""
    with obs.flow("told") as run:
        otel.tracer.start_span("late", start_time=1_000_250_000_000).end(1_002_750_000_000)
    entry, end = obs.query(run.flow_id, node="otel.late")
    assert (entry["timestamp"], end["timestamp"], end["metrics"]["duration_ms"]) == (1_000.25, 1_002.75, 2_500.0)


def test_what_is_started_is_not_current(otel: Otel) -> None:
    """Only what OpenTelemetry makes current is, and only as long as it does: streams end elsewhere."""
    with obs.flow("stream") as run:
        stream = otel.tracer.start_span("stream")
        with obs.span("beside"):
            pass
        with trace.use_span(stream, end_on_exit=False), obs.span("within"):
            pass
        assert node() == "flow"
        with obs.span("between"):
            stream.end()
            with obs.span("after"):
                pass
    assert tree(run) == [(0, "flow"), (1, "otel.stream"), (2, "within"), (1, "beside"), (1, "between"), (2, "after")]


def test_a_span_that_ends_while_it_is_current(otel: Otel) -> None:
    """What follows is in the flow, and at the same place on both sides."""
    with obs.flow("early") as run, obs.span("outer"), trace.use_span(otel.tracer.start_span("call"), end_on_exit=False) as call:
        call.end()
        with obs.span("after"), otel.span("last"):
            pass
    assert [node for _, node in tree(run)] == ["flow", "outer", "otel.call", "after", "otel.last"]
    assert {name: depth for depth, name in tree(run)}["after"] > 1
    assert_equal_trees(run, otel)


def test_a_child_of_an_ended_span_is_its_child(otel: Otel) -> None:
    """As OpenTelemetry has it."""
    with obs.flow("late") as run:
        with otel.span("done") as done:
            pass
        otel.tracer.start_span("child", context=trace.set_span_in_context(done)).end()
    assert tree(run) == [(0, "flow"), (1, "otel.done"), (2, "otel.child")]
    assert_equal_trees(run, otel)


def test_an_explicit_context_is_followed(otel: Otel) -> None:
    """Of a span of either kind that is not the innermost one; a context without a span is none, and its trace is another."""
    with obs.flow("explicit") as run, obs.span("outer"):
        outer = context_api.get_current()
        with otel.span("middle"), obs.span("inner"):
            otel.tracer.start_span("low", context=outer).end()
            otel.tracer.start_span("alone", context=context_api.Context()).end()
    assert tree(run) == [(0, "flow"), (1, "outer"), (2, "otel.middle"), (3, "inner"), (4, "otel.alone"), (2, "otel.low")]
    assert otel.spans()["alone"].parent is None


def test_the_kind_may_come_at_the_end(otel: Otel) -> None:
    """Earlier instrumentations of OpenInference set it last."""
    with obs.flow("kinds") as run, otel.span("ChatCompletion", **{"llm.system": "openai"}) as span:
        span.set_attribute("output.value", "hello")
        span.set_attribute("openinference.span.kind", "LLM")
    assert obs.query(run.flow_id, node="llm.call", event_type="exit")[0]["data"] == {"output": "hello"}


KINDS = st.recursive(
    st.tuples(st.sampled_from("ox"), st.just(())),
    lambda inner: st.tuples(st.sampled_from("ox"), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=12,
)


@given(program=KINDS)
def test_any_nesting_gives_the_same_tree_on_both_sides(program: Any) -> None:
    """``o`` is a span of a flow, ``x`` one of OpenTelemetry."""
    otel = Otel()
    undo, expected = bridge(otel.provider), [(0, "flow")]

    def run_part(part: Any, depth: int) -> None:
        kind, inner = part
        name = f"n{len(expected)}"
        expected.append((depth, name if kind == "o" else f"otel.{name}"))
        with obs.span(name) if kind == "o" else otel.span(name):
            for one in inner:
                run_part(one, depth + 1)
            here = obs.current()
            assert here is not None
            assert ids(trace.get_current_span()) == own_ids(here.flow.id, here.span_id)

    with obs.flow("any") as run:
        run_part(program, 1)
    undo()
    assert tree(run) == expected
    assert_equal_trees(run, otel)


# --- our spans as OpenTelemetry's ---


def test_a_span_of_a_flow_is_opentelemetrys_current_one(otel: Otel) -> None:
    """Also for propagators; what is set on it is logged there."""
    with obs.flow("ours") as run, obs.span("work"):
        here, span = obs.current(), trace.get_current_span()
        assert here is not None
        assert ids(span) == own_ids(run.flow_id, here.span_id)
        assert (span.is_recording(), span.get_span_context().is_remote) == (True, False)
        span.set_attribute("api_key", SECRET)
        span.set_attributes({"rows": 3})
        span.add_event("found", {"rows": 4})
        span.add_event("seen")
        span.set_status(trace.StatusCode.OK)
        span.set_status(trace.StatusCode.ERROR, "no rows")
        span.record_exception(ValueError(f"for {SECRET}"), {"tries": 2})
        span.update_name("other")
        span.add_link(span.get_span_context())
        span.end()
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        assert headers == obs.inject({})
    logged = [(one["level"], one["message"], one["data"]) for one in obs.query(run.flow_id, event_type="log")]
    assert [message for _, message, _ in logged] == ["attributes", "attributes", "found", "seen", "no rows", None]
    assert [level for level, *_ in logged] == ["info"] * 4 + ["error"] * 2
    assert logged[1][2] == {"attributes": {"rows": 3}}
    assert logged[5][2]["error"]["type"] == "ValueError"
    assert SECRET not in json.dumps(logged)
    assert statuses(run) == {"flow": "ok", "work": "ok"}


def test_what_is_beside_the_span_in_a_context_stays(otel: Otel) -> None:
    """Baggage, and the wish to be left alone."""
    with obs.flow("baggage"):
        token = context_api.attach(context_api.set_value("wish", 7))
        with obs.span("work"), otel.span("call"):
            assert context_api.get_value("wish") == 7
        context_api.detach(token)
        assert context_api.get_value("wish") is None


def test_a_flow_in_a_span_is_its_child(otel: Otel) -> None:
    """With the id of its trace; two flows of one trace are two roots, and outside the flow nothing is logged."""
    with otel.span("request") as request:
        with obs.flow("first") as first, otel.span("call"):
            pass
        with obs.flow("second") as second:
            pass
        with otel.span("not in a flow"):
            pass
    trace_id, span_id = ids(request)
    assert first.flow_id == second.flow_id
    log = first.get_flow_log()
    roots = [span for span in log.spans if span.node == "flow"]
    assert {own_ids(first.flow_id, root.parent_id) for root in roots} == {(trace_id, span_id)}
    assert sorted(str(root.name) for root in roots) == ["first", "second"]
    assert sorted(span.node for span in log.spans) == ["flow", "flow", "otel.call"]
    assert ids(otel.spans()["call"].parent) == own_ids(first.flow_id, roots[0].span_id)


def test_a_flow_of_a_request_that_opentelemetry_has_a_span_of(otel: Otel) -> None:
    """The headers name the caller's span; the span of the request, which is below it, is nearer. Other headers win."""
    for trace_id, is_below in ("0" * 31 + "a", True), ("0" * 31 + "b", False):
        caller = trace.SpanContext(0xA, 0xB, True, trace.TraceFlags(1))
        headers = {"traceparent": f"00-{trace_id}-{'0' * 15}b-01"}
        with trace.use_span(trace.NonRecordingSpan(caller)), otel.span("request") as request:
            with obs.flow("server", parent=obs.extract(headers)) as run:
                pass
            assert trace_id == run.flow_id.replace("-", "")
        (root,) = (span for span in run.get_flow_log().spans if span.node == "flow")
        assert own_ids(run.flow_id, root.parent_id) == (ids(request) if is_below else (trace_id, "0" * 15 + "b"))


def test_a_flow_with_an_id_of_its_own_is_linked(otel: Otel) -> None:
    """It cannot be in the other's trace. A flow in a flow has an id of its own as well."""
    with otel.span("request") as request, obs.flow("own", flow_id=OWN) as run, obs.flow("nested") as nested:
        pass
    entry = obs.query(run.flow_id, node="flow", event_type="entry")[0]
    outer = entry["data"]["outer"]
    assert own_ids(outer["flow_id"], outer["span_id"]) == ids(request)
    assert entry["parent_id"] is None
    assert nested.flow_id not in (run.flow_id, outer["flow_id"])


def test_an_unsampled_span_is_in_no_log(ring: obs.RingBufferHandler) -> None:
    """Spans of the flow that begin in it are below what is in the log. A flow below one is not sampled either."""
    off, on = Otel(sampler=ALWAYS_OFF), Otel(sampler=ParentBased(ALWAYS_ON))
    undos = [bridge(off.provider), bridge(on.provider)]
    with obs.flow("partly") as run, obs.span("outer"), off.span("lost"), obs.span("inner"), on.span("call"):
        pass
    with off.span("lost"), obs.flow("below") as below, on.span("call"):
        pass
    for undo in undos:
        undo()
    assert tree(run) == [(0, "flow"), (1, "outer"), (2, "inner"), (3, "otel.call")]
    assert tree(below) == [(0, "flow")]
    assert len(on.exporter.get_finished_spans()) == 1


def test_a_remote_parent_that_is_attached_in_a_flow_is_followed(otel: Otel) -> None:
    """What OpenTelemetry makes current later is innermost, also if no log has it; spans of the flow keep their own parents."""
    remote = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, True, trace.TraceFlags(1)))
    with obs.flow("server") as run, obs.span("outer"):
        with trace.use_span(remote):
            with otel.span("call"):
                pass
            with obs.span("inner"), otel.span("deep"):
                pass
            with otel.span("again"):
                pass
        with otel.span("back"):
            pass
    assert tree(run) == [
        (0, "flow"), (1, "outer"), (2, "otel.call"), (2, "inner"), (3, "otel.deep"), (2, "otel.again"), (2, "otel.back"),
    ]  # fmt: skip
    above = {name: ids(span.parent)[1] for name, span in otel.spans().items()}
    assert (above["call"], above["again"]) == ("0000000000000def", "0000000000000def")
    assert above["back"] == own_ids(run.flow_id, next(s.span_id for s in run.get_flow_log().spans if s.node == "outer"))[1]  # type: ignore[index]


# --- exporters beside it ---


@obs.observable("work")
def work(otel: Otel) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small", "team": "a"}
    with otel.span("chat small", **told), obs.span("inner"):
        pass


def configured(sink: Sink, **options: Any) -> OtlpHandler:
    obs.configure({"handlers": [{"type": "otlp", "endpoint": sink.url, **options}]})
    (handler,) = (one for one in logging.getLogger("tea").handlers if isinstance(one, OtlpHandler))
    return handler


@pytest.mark.parametrize("processor", [BatchSpanProcessor, SimpleSpanProcessor])
def test_one_receiver_gets_each_span_once(otel: Otel, processor: Any) -> None:
    """OpenTelemetry's exporter sends its own; the handler the rest. What arrives is one tree."""
    with Sink() as sink:
        handler = configured(sink)
        otel.provider.add_span_processor(processor(OTLPSpanExporter(endpoint=f"{sink.url}/v1/traces")))
        with obs.flow("once") as run:
            work(otel)
        assert handler.drain(10)
        assert otel.provider.force_flush()
        assert_tree(sink.spans)
        assert sorted(span.name for span in sink.spans) == ["chat small", "inner", "once", "work"]
        logged = {own_ids(run.flow_id, span.span_id) for span in run.get_flow_log().spans}
        assert {(span.trace_id.hex(), span.span_id.hex()) for span in sink.spans} == logged


def test_two_receivers_get_the_whole_tree_each(otel: Otel) -> None:
    """The handler's receiver would lack what is only sent to another."""
    with Sink() as sink, Sink() as other:
        handler = configured(sink)
        otel.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{other.url}/v1/traces")))
        otel.provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=io.StringIO())))
        with obs.flow("twice"):
            work(otel)
        assert handler.drain(10)
        assert otel.provider.force_flush()
        assert_tree(sink.spans)
        assert len(sink.spans) == 4
        assert [span.name for span in other.spans] == ["chat small"]
        otel.provider.shutdown()


def test_without_an_exporter_the_handler_sends_all_that_there_was(otel: Otel) -> None:
    """With the name and the attributes that the span had; without content, only figures."""
    for options, team in ({}, "a"), ({"content": False}, None):
        with Sink() as sink:
            handler = configured(sink, **options)
            with obs.flow("alone"):
                work(otel)
            assert handler.drain(10)
            assert_tree(sink.spans)
            (call,) = (span for span in sink.spans if span.name == "chat small")
            found = attributes(call)
            assert (call.kind, found["gen_ai.request.model"], found.get("team")) == (3, "small", team)
            logging.getLogger("tea").removeHandler(handler)


def test_a_span_with_another_trace_than_its_flow_is_sent_by_the_handler(otel: Otel) -> None:
    """Its exporter sends it in that trace; the flow's tree would lack it."""
    with Sink() as sink:
        handler = configured(sink)
        otel.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink.url}/v1/traces")))
        with obs.flow("own") as run:
            otel.tracer.start_span("alone", context=context_api.Context()).end()
        assert handler.drain(10)
        assert otel.provider.force_flush()
        traces = [span.trace_id.hex() for span in sink.spans if span.name == "alone"]
        assert len(set(traces)) == 2
        assert run.flow_id.replace("-", "") in traces


@pytest.mark.parametrize(
    ("endpoint", "receiver"),
    [
        ("http://localhost:4318/v1/traces", "localhost:4318"),
        ("http://127.0.0.1:4318", "localhost:4318"),
        ("localhost:4317", "localhost:4318"),
        ("http://[::1]:4317", "localhost:4318"),
        ("https://api.example.com/otlp", "api.example.com:443"),
        ("http://example.com", "example.com:80"),
        ("http://example.com:port", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_receivers_are_compared_by_host_and_port(endpoint: Any, receiver: str | None) -> None:
    """The ports for HTTP and for gRPC are of one receiver."""
    assert receiver_of(endpoint) == receiver


# --- errors, secrets, levels ---


def test_errors(otel: Otel) -> None:
    """With the type and text of the exception; a cancellation is not an error; an exception that was handled is an event."""
    with obs.flow("errors") as run:
        with pytest.raises(ValueError), otel.span("failed"):
            raise ValueError("broken")
        with otel.span("left") as span:
            span.record_exception(asyncio.CancelledError())
            span.set_status(trace.StatusCode.ERROR)
        with otel.span("told") as span:
            span.set_status(trace.StatusCode.ERROR, "no rows")
        with otel.span("GET", **{"http.method": "GET", "http.status_code": 500}) as span:
            span.set_status(trace.StatusCode.ERROR)
        with otel.span("typed", **{"error.type": "timeout"}) as span:
            span.set_status(trace.StatusCode.ERROR)
        with otel.span("handled") as span:
            span.record_exception(ValueError("no matter"))
    found = {span.node: (span.status, span.error) for span in run.get_flow_log().spans}
    errors = {
        node: (status, error and (error["type"], error["message"])) for node, (status, error) in found.items() if node != "flow"
    }
    assert errors == {
        "otel.failed": ("error", ("ValueError", "broken")),
        "otel.left": ("cancelled", ("CancelledError", "")),
        "otel.told": ("error", ("Error", "no rows")),
        "http.client": ("error", ("Error", "status 500")),
        "otel.typed": ("error", ("timeout", "")),
        "otel.handled": ("ok", None),
    }
    assert 'raise ValueError("broken")' in obs.query(run.flow_id, node="otel.failed", event_type="error")[0]["data"]["stacktrace"]
    assert obs.query(run.flow_id, node="otel.handled", event_type="exit")[0]["data"]["events"][0]["name"] == "exception"


def test_no_secret_is_logged(otel: Otel, capsys: pytest.CaptureFixture[str]) -> None:
    """By key, in JSON, by its form, and wherever a value that was once redacted appears again."""
    given = json.dumps({"api_key": "x7Yq2LmPw9Rk4", "messages": [{"content": f"use {SECRET}"}]})
    told = {"input.value": given, "http.request.header.authorization": f"Bearer {SECRET}"}

    def call() -> None:
        with otel.span("chat", **{"openinference.span.kind": "LLM", **told}) as span:
            span.add_event("said", {"text": "x7Yq2LmPw9Rk4"})
            span.set_attribute("output.value", f"it was {SECRET}")
            raise ValueError(f"refused for x7Yq2LmPw9Rk4 and {SECRET}")

    with obs.flow("secrets") as run, pytest.raises(ValueError):
        call()
    text = json.dumps(obs.query(run.flow_id))
    assert (SECRET in text, "x7Yq2LmPw9Rk4" in text) == (False, False)
    assert SECRET not in capsys.readouterr().err
    assert obs.query(run.flow_id, node="llm.call", event_type="entry")[0]["data"]["input"]["api_key"] == "[REDACTED]"


def test_counts_of_tokens_are_no_secrets(otel: Otel) -> None:
    """Neither in metrics nor among the attributes."""
    with (
        obs.flow("tokens") as run,
        otel.span("chat", **{"gen_ai.operation.name": "chat", "llm.token_count.prompt_details.audio": 3}),
    ):
        pass
    entry = obs.query(run.flow_id, node="llm.call")[0]
    assert entry["data"]["attributes"] == {"llm.token_count.prompt_details.audio": 3}


def test_a_filtered_span_reports_its_error(otel: Otel) -> None:
    """And what is in it hangs below its parent."""
    logging.getLogger("tea.llm").setLevel("WARNING")
    with obs.flow("levels") as run, obs.span("outer"):
        for name in ("chat", "embeddings"):
            with otel.span(name, **{"gen_ai.operation.name": name}), obs.span("inner"), otel.span("deep"):
                pass
        with pytest.raises(ValueError), otel.span("chat", **{"gen_ai.operation.name": "chat"}):
            raise ValueError("broken")
    inner = [(2, "inner"), (3, "otel.deep")]
    below = [(depth + 1, name) for depth, name in inner]
    assert tree(run) == [(0, "flow"), (1, "outer"), *inner, (2, "embedding"), *below, (2, "llm.call")]
    assert statuses(run)["llm.call"] == "error"


# --- nothing breaks ---


def test_outside_a_flow_opentelemetry_is_unchanged(otel: Otel, ring: obs.RingBufferHandler) -> None:
    """Spans are roots of traces of their own, nothing is current, nothing is logged."""
    assert trace.get_current_span() is trace.INVALID_SPAN
    with otel.span("outer"), otel.span("inner"):
        assert context_api.get_current() is context_api._RUNTIME_CONTEXT.inner.get_current()  # type: ignore[attr-defined]
        assert obs.current() is None
    assert (otel.spans()["outer"].parent, ids(otel.spans()["inner"].parent)) == (None, ids(otel.spans()["outer"].context))
    assert ring.flow_ids() == []


def test_in_a_flow_that_nobody_logs_opentelemetry_is_unchanged(otel: Otel, ring: obs.RingBufferHandler) -> None:
    """A span would have a parent that is nowhere."""
    logging.getLogger("tea").removeHandler(ring)
    logging.getLogger("tea").setLevel(logging.WARNING)
    with obs.flow("off"), obs.span("work"), otel.span("outer"), obs.span("more"), otel.span("inner"):
        assert ids(trace.get_current_span()) == ids(trace.get_current_span())
    spans = otel.spans()
    assert (spans["outer"].parent, ids(spans["inner"].parent)) == (None, ids(spans["outer"].context))


def test_spans_without_a_flow_are_a_flow(otel: Otel) -> None:
    """An observed function outside any flow is the root of one."""
    with obs.span("root"), otel.span("call"):
        here = obs.current()
        assert here is not None
    assert [(span.node, span.parent_id is None) for span in obs.get_flow_log(here.flow.id).spans] == [
        ("root", True), ("otel.call", False),
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["Reading", "start_span"])
def test_a_failure_stays_inside(
    otel: Otel, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported, and counted in the flow."""

    def fail(*_: Any, **__: Any) -> Any:
        raise LookupError("broken inside")

    with obs.flow("fault") as run:
        monkeypatch.setattr(f"the_edge_obs.integrations._otel_bridge.{place}", fail)
        with otel.span("call"):
            pass
    assert "broken inside" in capsys.readouterr().err
    assert run.get_flow_log().metrics["fault_count"] == 1
    assert list(otel.spans()) == ["call"]


@pytest.mark.parametrize("method", ["_follow", "_answered"])
def test_a_failure_in_the_context_stays_inside(
    otel: Otel, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenTelemetry's spans are what they were."""

    def fail(*_: Any) -> Any:
        raise LookupError("broken inside")

    with obs.flow("fault"):
        monkeypatch.setattr(f"the_edge_obs.integrations._otel_context.FlowRuntime.{method}", fail)
        with otel.span("call"):
            trace.get_current_span()
    assert list(otel.spans()) == ["call"]
    assert "broken inside" in capsys.readouterr().err


def test_a_span_that_nobody_ends(otel: Otel) -> None:
    """As long as it lives it runs; when it is gone it is cancelled, and its memory with it."""
    with obs.flow("open") as run:
        forgotten = otel.tracer.start_span("forgotten")
        with trace.use_span(forgotten, end_on_exit=False), obs.span("inner"):
            pass
        assert statuses(run)["otel.forgotten"] == "running"
        span_id = forgotten.get_span_context().span_id
        assert span_id in _otel_bridge._joined
        del forgotten
        gc.collect()
        assert (statuses(run)["otel.forgotten"], span_id in _otel_bridge._joined) == ("cancelled", False)
    kept = []
    with obs.flow("kept") as run:
        kept.append(otel.tracer.start_span("kept"))
    assert statuses(run) == {"flow": "ok", "otel.kept": "running"}
    kept.pop().end()
    assert statuses(run) == {"flow": "ok", "otel.kept": "ok"}


def test_many_spans_leave_nothing_behind(otel: Otel) -> None:
    """The bridge remembers a span only as long as OpenTelemetry does."""
    before = set(_otel_bridge._joined)
    with obs.flow("many"):
        for _ in range(200):
            with otel.span("call"), obs.span("inner"):
                pass
    gc.collect()
    assert set(_otel_bridge._joined) <= before
    runtime = context_api._RUNTIME_CONTEXT
    assert runtime._attached.get() is None  # type: ignore[attr-defined]


def test_ids_may_repeat(otel: Otel) -> None:
    """A program that seeds its random numbers gives them to OpenTelemetry's ids as well; each flow has its spans."""
    kept = []
    for _ in range(3):
        random.seed(7)
        with obs.flow("seeded") as run, otel.span("call") as span, obs.span("inner"):
            kept.append(span)
        assert tree(run) == [(0, "flow"), (1, "otel.call"), (2, "inner")]
    kept.clear()
    gc.collect()
    assert statuses(run) == {"flow": "ok", "otel.call": "ok", "inner": "ok"}


def test_a_span_ends_twice(otel: Otel, caplog: pytest.LogCaptureFixture) -> None:
    """The second end is none."""
    with obs.flow("twice") as run:
        span = otel.tracer.start_span("call")
        span.end()
        span.end()
    assert [one["event_type"] for one in obs.query(run.flow_id, node="otel.call")] == ["entry", "exit"]


# --- threads, tasks ---


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_what_carries_a_context_into_a_thread_carries_the_flow(otel: Otel) -> None:
    """As OpenTelemetry's instrumentation of threads does. A thread without one is in no flow, and its spans are not either."""
    with obs.flow("threads") as run, obs.span("outer"), otel.span("call"), obs.span("inner"):
        carried = context_api.get_current()

        def attached() -> None:
            token = context_api.attach(carried)
            with obs.span("there"), otel.span("deep"):
                pass
            context_api.detach(token)
            assert obs.current() is None

        def bare() -> None:
            with otel.span("outside"):
                assert obs.current() is None

        in_thread(attached)
        in_thread(bare)
    assert tree(run) == [(0, "flow"), (1, "outer"), (2, "otel.call"), (3, "inner"), (4, "there"), (5, "otel.deep")]
    assert otel.spans()["outside"].parent is None


def test_processors_that_run_in_threads() -> None:
    """The SDK has a way to call all processors of a provider at once, in threads that are in no flow."""
    otel = Otel(active_span_processor=ConcurrentMultiSpanProcessor(2))
    undo = bridge(otel.provider)
    with obs.flow("concurrent") as run, obs.span("outer"), otel.span("call"), obs.span("inner"), otel.span("deep"):
        pass
    assert tree(run) == [(0, "flow"), (1, "outer"), (2, "otel.call"), (3, "inner"), (4, "otel.deep")]
    assert_equal_trees(run, otel)
    with otel.span("outside"):
        pass
    undo()
    assert (otel.spans()["outside"].parent, len(run.get_flow_log().spans)) == (None, 5)
    otel.provider.shutdown()


AT_EXIT = """
import sys
import the_edge_obs as obs
from the_edge_obs.integrations.otel import bridge
from opentelemetry import trace
bridge()
obs.configure({"handlers": [{"type": "file", "path": sys.argv[1]}]})
tracer, run = trace.get_tracer("x"), obs.flow("exit")
run.__enter__()
current = tracer.start_as_current_span("current")
current.__enter__()
kept = [tracer.start_span("kept"), obs.start_span("own")]
"""


def test_spans_that_are_open_when_the_program_ends(tmp_path: Path) -> None:
    """They end, as those of flows do, and nothing is said. A block that is left as garbage ends by itself."""
    path = tmp_path / "run.jsonl"
    command = [sys.executable, "-W", "error", "-c", AT_EXIT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = {span.node: span.status for span in obs.get_flow_log(path).spans}
    assert found.pop("otel.current") in ("ok", "cancelled")
    assert found == {"flow": "cancelled", "otel.kept": "cancelled", "own": "cancelled"}


def test_a_span_that_another_thread_ends(otel: Otel) -> None:
    """It is where it began."""
    with obs.flow("threads") as run, obs.span("outer"):
        span = otel.tracer.start_span("call")
        in_thread(span.end)
    assert (tree(run), statuses(run)["otel.call"]) == ([(0, "flow"), (1, "outer"), (2, "otel.call")], "ok")


def test_flows_side_by_side_do_not_mix(otel: Otel) -> None:
    """Tasks, each with a flow, with spans of both kinds in turns."""

    async def one(number: int) -> Any:
        with obs.flow(f"flow {number}") as run:
            for _ in range(3):
                with otel.span(f"call{number}"):
                    await asyncio.sleep(0)
                    with obs.span(f"work{number}"):
                        await asyncio.gather(deep(number), deep(number))
        return run

    async def deep(number: int) -> None:
        with otel.span(f"deep{number}"):
            await asyncio.sleep(0)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(one, range(8)))

    for number, run in enumerate(asyncio.run(all_of_them())):
        part = [(1, f"otel.call{number}"), (2, f"work{number}"), (3, f"otel.deep{number}"), (3, f"otel.deep{number}")]
        assert tree(run) == [(0, "flow"), *part * 3]


def test_a_context_that_is_detached_elsewhere(otel: Otel, caplog: pytest.LogCaptureFixture) -> None:
    """OpenTelemetry reports that it cannot; the flow there is not touched."""
    with obs.flow("elsewhere"):
        token = contextvars.copy_context().run(lambda: context_api.attach(context_api.set_value("x", 1)))
        with obs.span("work"):
            context_api.detach(token)
            assert node() == "work"
    assert "Failed to detach context" in caplog.text


def test_contexts_that_are_detached_out_of_order(otel: Otel) -> None:
    """What is current is again a span that is open."""

    def overlapping() -> Any:
        with obs.flow("order") as run:
            first, second = otel.tracer.start_span("first"), otel.tracer.start_span("second")
            tokens = [context_api.attach(trace.set_span_in_context(span)) for span in (first, second)]
            first.end()
            context_api.detach(tokens[0])
            second.end()
            context_api.detach(tokens[1])
            with obs.span("after"), otel.span("last"):
                pass
        assert obs.current() is None
        return run

    run = contextvars.copy_context().run(overlapping)  # OpenTelemetry's own context keeps the first span
    assert tree(run) == [(0, "flow"), (1, "otel.first"), (1, "otel.second"), (1, "after"), (2, "otel.last")]
    assert set(statuses(run).values()) == {"ok"}


# --- undo ---


def test_undo_while_spans_are_open() -> None:
    """They still end; later ones are in no log; OpenTelemetry's context is what it was."""
    otel, before = Otel(), context_api._RUNTIME_CONTEXT
    undo = bridge(otel.provider)
    with obs.flow("undone") as run, obs.span("outer"):
        with otel.span("call"), obs.span("inner"):
            undo()
            undo()
            with otel.span("later"):
                pass
        assert context_api._RUNTIME_CONTEXT is before
        assert node() == "outer"
        with obs.span("after"):
            pass
    assert tree(run) == [(0, "flow"), (1, "outer"), (2, "otel.call"), (3, "inner"), (2, "after")]
    assert statuses(run)["otel.call"] == "ok"
    assert obs.current() is None
    with otel.span("request"), obs.flow("alone") as alone:
        pass
    assert [span.parent_id for span in alone.get_flow_log().spans] == [None]


def test_several_bridges_log_each_span_once() -> None:
    """Each has its undo, in any order; a provider that is bridged again is bridged once."""
    otel, before = Otel(), context_api._RUNTIME_CONTEXT
    for order in itertools.permutations(range(3)):
        undos = [bridge(otel.provider) for _ in range(3)]
        for count, number in enumerate(order):
            with obs.flow("several") as run, otel.span("call"):
                pass
            assert tree(run) == [(0, "flow"), (1, "otel.call")], count
            undos[number]()
        with obs.flow("none") as run, otel.span("call"):
            pass
        assert tree(run) == [(0, "flow")]
        assert context_api._RUNTIME_CONTEXT is before
    assert len(otel.provider._active_span_processor._span_processors) == 2


def test_two_providers_are_one_tree() -> None:
    """A span of one may be the parent of another's; one that is not bridged stays outside."""
    one, two, other = Otel(), Otel(), Otel()
    undos = [bridge(one.provider), bridge(two.provider)]
    with obs.flow("two") as run, one.span("a"), other.span("b"), two.span("c"), obs.span("d"):
        pass
    undos[0]()
    with obs.flow("one") as rest, one.span("a"), two.span("c"):
        pass
    undos[1]()
    assert tree(run) == [(0, "flow"), (1, "otel.a"), (2, "otel.c"), (3, "d")]
    assert tree(rest) == [(0, "flow"), (1, "otel.c")]


def test_another_ones_runtime_context_in_front_stays(ring: obs.RingBufferHandler) -> None:
    """Then the bridge's is passed through when it is undone, and used again by the next bridge."""
    otel, before = Otel(), context_api._RUNTIME_CONTEXT
    undo = bridge(otel.provider)

    class Front:
        def __init__(self, inner: Any) -> None:
            self.attach, self.detach, self.get_current = inner.attach, inner.detach, inner.get_current

    context_api._RUNTIME_CONTEXT = front = Front(context_api._RUNTIME_CONTEXT)  # type: ignore[assignment]
    try:
        undo()
        assert context_api._RUNTIME_CONTEXT is front
        with obs.flow("off") as run, obs.span("work"), otel.span("call"):
            pass
        assert (tree(run), otel.spans()["call"].parent) == ([(0, "flow"), (1, "work")], None)
        undo = bridge(otel.provider)
        with obs.flow("on") as run, obs.span("work"), otel.span("call"), obs.span("inner"):
            pass
        assert tree(run) == [(0, "flow"), (1, "work"), (2, "otel.call"), (3, "inner")]
        undo()
    finally:
        context_api._RUNTIME_CONTEXT = before


# --- which provider ---

GLOBAL = """
import sys
import the_edge_obs as obs
from the_edge_obs.integrations.otel import bridge
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
early = trace.get_tracer("early")
if sys.argv[1] == "own":
    trace.set_tracer_provider(TracerProvider())
undo = bridge()
obs.configure({})
with obs.flow("global") as run, early.start_as_current_span("early"), trace.get_tracer("late").start_as_current_span("late"):
    pass
undo()
with obs.flow("undone") as undone, early.start_as_current_span("early"):
    pass
print([span.node for span in run.get_flow_log().spans], [span.node for span in undone.get_flow_log().spans])
"""


@pytest.mark.parametrize("which", ["own", "none"])
def test_the_global_provider(which: str) -> None:
    """Without one, a new one becomes it, also for tracers that are there already."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL, which], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("['flow', 'otel.early', 'otel.late'] ['flow']\n", "")


def test_a_provider_that_takes_no_processors_is_refused() -> None:
    """The message says what to give; nothing is installed."""
    before = context_api._RUNTIME_CONTEXT
    with pytest.raises(obs.ConfigurationError, match="a provider of type NoOpTracerProvider has no add_span_processor; give"):
        bridge(trace.NoOpTracerProvider())
    assert context_api._RUNTIME_CONTEXT is before


def test_without_the_packages_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses it learns how to install it."""
    monkeypatch.delitem(sys.modules, "the_edge_obs.integrations._otel_bridge")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(obs.MissingExtraError, match=r"the_edge_obs\[otel\]"):
        bridge()


def test_a_version_that_keeps_its_context_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than being followed by half."""
    monkeypatch.delattr(context_api, "_RUNTIME_CONTEXT")
    with pytest.raises(obs.ConfigurationError, match="this version of opentelemetry-api has no runtime context"):
        bridge(Otel().provider)


def test_the_speed_outside_flows_is_that_of_opentelemetry(otel: Otel) -> None:
    """A span there costs a few checks: far less than twice the time, which is what a processor that reads it would cost."""
    other = Otel()

    def seconds(one: Otel) -> float:
        begin = time.process_time()
        for _ in range(300):
            with one.span("call", **{"gen_ai.operation.name": "chat"}):
                pass
        one.exporter.clear()
        return time.process_time() - begin

    rounds = [(seconds(other), seconds(otel)) for _ in range(9)]
    assert min(bridged for _, bridged in rounds) < 1.5 * min(bare for bare, _ in rounds)


@pytest.mark.parametrize("order", list(itertools.permutations(["bridge", "logging", "configure"])))
def test_the_instrumentation_of_logging_in_any_order(order: tuple[str, ...], ring: obs.RingBufferHandler) -> None:
    """Records have the ids of the innermost span of either kind; all of it is undone in any order."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.logging")
    otel, factory, before = Otel(), logging.getLogRecordFactory(), context_api._RUNTIME_CONTEXT
    instrumentor = instrumentation.LoggingInstrumentor()
    options = {"tracer_provider": otel.provider, "set_logging_format": True, "enable_log_auto_instrumentation": False}
    installs: dict[str, Callable[[], Any]] = {
        "bridge": lambda: bridge(otel.provider),
        "logging": lambda: (instrumentor.instrument(**options), instrumentor.uninstrument)[1],
        "configure": lambda: obs.configure({"level": "info"}),
    }
    records: list[logging.LogRecord] = []
    handler = obs.CallbackHandler(lambda _: None)
    handler.emit = records.append  # type: ignore[method-assign]
    undos = [installs[name]() for name in order]
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("shop").addHandler(handler)
    try:
        with obs.flow("logged") as run, obs.span("work"), otel.span("call"):
            logging.getLogger("shop").warning("in the call")
            with obs.span("inner"):
                logging.getLogger("shop").warning("in the span")
    finally:
        for undo in undos:
            undo()
        logging.getLogger("shop").removeHandler(handler)
    assert tree(run) == [(0, "flow"), (1, "work"), (2, "otel.call"), (3, "inner")]
    said = {record.getMessage(): record for record in records if record.name == "shop"}
    spans = {span.node: own_ids(run.flow_id, span.span_id) for span in run.get_flow_log().spans}
    for message, node in (("in the call", "otel.call"), ("in the span", "inner")):
        found = said[message].__dict__
        assert (found["otelTraceID"], found["otelSpanID"]) == spans[node]
    assert (logging.getLogRecordFactory(), context_api._RUNTIME_CONTEXT) == (factory, before)
