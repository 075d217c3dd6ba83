from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError, EventError, FlowNotFoundError
from the_edge_obs.event import SCHEMA_VERSION, problems
from the_edge_obs.handlers import RingBufferHandler
from the_edge_obs.instrumentation.resources import resource, runtime

from .strategies import FLOW, OTHER_FLOW

tea = logging.getLogger("tea")


def story(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["node"], one["event_type"]) for one in events]


def shape(log: obs.FlowLog) -> list[tuple[int, str, str]]:
    return [(depth, span.node, span.status) for depth, span in log.walk()]


class Trace:
    """What The Edge Agent's TraceContext takes; it records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start_span(self, name: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
        self.calls.append(("start", name, metadata))
        return {"span_id": "theirs"}

    def end_span(self, status: str = "ok", error: str | None = None) -> dict[str, Any]:
        self.calls.append(("end", status, error))
        return {"span_id": "theirs", "status": status, "duration_ms": 12.5}

    def log_event(self, *, message: str | None = None, metrics: dict[str, Any] | None = None) -> None:
        self.calls.append(("log", message, metrics))


# --- flow ---


def test_a_flow_is_a_root_span(ring: RingBufferHandler):
    """The block is one span, which says what wrote it, and everything inside belongs to it."""
    with obs.flow("triage") as run:
        assert (run.name, run.context) == ("triage", obs.current())
        with obs.span("rank", top=3) as one:
            one.metric(candidates=12)
    entry, *inner, end = ring.events(run.flow_id)
    assert story(inner) == [("rank", "entry"), ("rank", "metric"), ("rank", "exit")]
    assert [one["parent_id"] for one in inner] == [run.context.span_id] * 3
    assert entry["data"] == {"name": "triage", "schema_version": SCHEMA_VERSION, "runtime": runtime(), "resource": resource()}
    assert (entry["span_id"], entry["parent_id"], end["event_type"]) == (run.context.span_id, None, "exit")
    assert [problems(one) for one in ring.events(run.flow_id)] == [[]] * 5
    assert obs.current() is None
    log = run.get_flow_log()
    assert (log.name, log.status, log.metrics["node_count"]) == ("triage", "ok", 1)


def test_a_flow_that_fails(ring: RingBufferHandler):
    """What the block raises goes on unchanged, and is the root's error."""
    error = ValueError("no luck")
    run = obs.flow("bad")
    with pytest.raises(ValueError, match="no luck") as caught, run:
        raise error
    assert caught.value is error
    log = run.get_flow_log()
    assert (log.status, log.metrics["error_count"]) == ("error", 1)
    assert log.spans[0].error is not None
    assert log.spans[0].error["message"] == "no luck"


def test_a_flow_whose_entry_is_filtered_still_reports_its_error(ring: RingBufferHandler):
    """At level error a flow logs nothing but what went wrong."""
    tea.setLevel(logging.ERROR)
    run = obs.flow("quiet")
    with pytest.raises(KeyError), run:
        raise KeyError("gone")
    assert story(ring.events(run.flow_id)) == [("flow", "error")]
    log = run.get_flow_log()
    assert (log.status, log.metrics["total_duration_ms"], log.name) == ("error", None, "quiet")


def test_a_flow_has_an_output_and_metrics(ring: RingBufferHandler):
    """What a program sets on the run while it runs, is in the event that ends it."""
    with obs.flow("request") as run:
        run.output, run.metrics = {"status": 200, "token": "open-sesame"}, {"response_ms": 1.5}
    _, exit_ = ring.events(run.flow_id)
    assert exit_["data"]["output"] == {"status": 200, "token": "[REDACTED]"}
    assert exit_["metrics"]["response_ms"] == 1.5


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_an_output_that_says_failure_fails_the_flow(ring: RingBufferHandler, level: int):
    """As with spans; also where the entry of the root is filtered."""
    logging.getLogger("tea.flow").setLevel(level)
    with obs.flow("request") as run:
        run.output = {"success": False, "error": "HTTP 503", "error_type": "http_error", "status": 503}
    error = ring.events(run.flow_id)[-1]
    assert (error["event_type"], error["data"]["error"]) == ("error", {"type": "http_error", "message": "HTTP 503"})
    assert error["data"]["output"]["status"] == 503
    assert run.get_flow_log().status == "error"


def test_nothing_is_logged_where_nobody_listens(capsys: pytest.CaptureFixture[str]):
    """Without any configuration a flow runs, prints nothing and keeps nothing."""
    run = obs.flow()
    run.log("a", "info", message="x")
    with pytest.raises(ValueError, match="no luck"), run:
        raise ValueError("no luck")
    assert capsys.readouterr() == ("", "")
    with pytest.raises(FlowNotFoundError):
        run.get_flow_log()
    assert run.event_stream.get_all() == []
    assert isinstance(run.event_stream, obs.EventStream)


def test_nested_flows_are_flows_of_their_own(ring: RingBufferHandler):
    """A flow inside another has an id and a log of its own, and gives the outer one its place back."""
    with obs.flow("outer") as outer:
        with obs.flow("inner") as inner, obs.span("a"):
            pass
        assert obs.current() == outer.context
        with obs.span("b"):
            pass
    assert shape(outer.get_flow_log()) == [(0, "flow", "ok"), (1, "b", "ok")]
    assert shape(inner.get_flow_log()) == [(0, "flow", "ok"), (1, "a", "ok")]
    assert outer.flow_id != inner.flow_id


def test_a_flow_id_can_be_given(ring: RingBufferHandler):
    """A UUID in any common form names the run, in its canonical one."""
    with obs.flow(flow_id=FLOW.upper()) as run:
        pass
    assert run.flow_id == FLOW
    assert len(ring.events(FLOW)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("flow_id", ["", "run-7", "11111111", 7, b"1"])
def test_a_bad_flow_id_is_named(flow_id: Any):
    """What is not a UUID is refused, with what is allowed."""
    with pytest.raises(ConfigurationError, match=r"flow_id .*UUID") as caught:
        obs.flow(flow_id=flow_id)
    assert repr(flow_id) in str(caught.value)


def test_a_flow_goes_on_from_another_process(ring: RingBufferHandler):
    """With the caller's headers the callee's root span is a child of the caller's span, in one tree."""
    with obs.flow("caller") as caller, obs.span("http.get") as call:
        headers = obs.inject({})
    with obs.flow("callee", parent=obs.extract(headers)) as callee, obs.span("work"):
        pass
    assert call.context is not None
    assert (callee.flow_id, callee.context.parent_id) == (caller.flow_id, call.context.span_id)
    log = caller.get_flow_log()
    assert shape(log) == [(0, "flow", "ok"), (1, "http.get", "ok"), (2, "flow", "ok"), (3, "work", "ok")]
    assert log.name == "caller"


def test_headers_without_a_parent_begin_a_new_flow():
    """What extract does not find leaves the flow on its own; a flow_id that is not the parent's is an error."""
    assert obs.flow(parent=obs.extract({})).context.parent_id is None
    parent = obs.extract({"traceparent": f"00-{FLOW.replace('-', '')}-00000000000000ff-01"})
    assert obs.flow(parent=parent, flow_id=FLOW).flow_id == FLOW
    with pytest.raises(ConfigurationError, match=f"flow_id '{OTHER_FLOW}' is not its parent's, '{FLOW}'; leave one of them out"):
        obs.flow(parent=parent, flow_id=OTHER_FLOW)


# --- ObservabilityContext ---


def test_log_takes_what_the_engine_s_context_takes(ring: RingBufferHandler):
    """Node, level, event type, message, data and metrics come back as they were given, in the running span."""
    with obs.ObservabilityContext(name="x") as run, obs.span("outer") as outer:
        run.log("scoring", "warn", "metric", "scored", {"api_key": "k", "n": 1}, {"items": 42})
        run.log("plain")
    scored, plain = (one for one in ring.events(run.flow_id) if one["node"] in ("scoring", "plain"))
    assert outer.context is not None
    assert scored == {
        "flow_id": run.flow_id, "span_id": outer.context.span_id, "parent_id": run.context.span_id, "node": "scoring",
        "level": "warn", "timestamp": scored["timestamp"], "event_type": "metric", "message": "scored",
        "data": {"api_key": "[REDACTED]", "n": 1, "cut": ["api_key"]}, "metrics": {"items": 42},
    }  # fmt: skip
    assert (plain["level"], plain["event_type"], plain["message"], plain["data"]) == ("info", "log", None, {})


def test_log_checks_what_it_is_given(ring: RingBufferHandler):
    """A bad level, event type or node is an error that names it, and logs nothing."""
    run = obs.ObservabilityContext()
    with pytest.raises(EventError, match="unknown level 'loud'; allowed: debug"):
        run.log("a", "loud")
    with pytest.raises(EventError, match="unknown event_type 'start'; allowed: entry"):
        run.log("a", "info", "start")
    with pytest.raises(ConfigurationError, match="node '' is not a name"):
        run.log("")
    with pytest.raises(ConfigurationError, match="node '' is not a name"):
        run.start_node_span("")
    assert ring.flow_ids() == []


def test_log_belongs_to_its_own_flow_wherever_it_is_called(ring: RingBufferHandler):
    """Inside another flow's block, or in a plain thread, an event goes to the flow whose method was called."""
    with obs.flow("mine") as mine, obs.flow("other") as other:
        mine.log("a")
        thread = threading.Thread(target=mine.log, args=("b",))
        thread.start()
        thread.join()
    assert [(one["node"], one["span_id"]) for one in mine.event_stream.query({"event_type": "log"})] == [
        ("flow", mine.context.span_id), ("a", mine.context.span_id), ("b", mine.context.span_id),
    ]  # fmt: skip # the first tells of the other flow, which begins in here
    assert other.event_stream.query({"event_type": "log"}) == []


def test_without_with_it_begins_with_its_first_event(ring: RingBufferHandler):
    """An engine that has no block to open uses the methods alone, and closes it."""
    run = obs.ObservabilityContext()
    assert ring.flow_ids() == []
    run.log("a", message="hello")
    run.start_node_span("step")
    with obs.span("inside"):
        pass
    run.end_node_span("step")
    assert run.get_flow_log().status == "running"
    run.close()
    run.close()
    log = run.get_flow_log()
    assert shape(log) == [(0, "flow", "ok"), (1, "step", "ok"), (2, "inside", "ok")]
    assert obs.current() is None


def test_what_comes_after_the_end_opens_no_second_root(ring: RingBufferHandler):
    """A late event is kept, and the flow stays what it was."""
    with obs.flow() as run:
        pass
    run.log("late")
    run.close()
    assert story(ring.events(run.flow_id)) == [("flow", "entry"), ("flow", "exit"), ("late", "log")]
    assert run.get_flow_log().status == "ok"


def test_node_spans_nest(ring: RingBufferHandler):
    """Spans begun by name are below the one that is running, and end by name, innermost first."""
    with obs.flow() as run:
        outer = run.start_node_span("step", {"attempt": 1, "password": "hunter2"})
        inner = run.start_node_span("step")
        assert run.end_node_span("step") == {"span_id": inner, "node": "step", "status": "ok", "error": None}
        assert obs.current() is not None
        assert obs.current().span_id == outer  # type: ignore[union-attr]
        assert run.end_node_span("step", "error", "boom") == {
            "span_id": outer, "node": "step", "status": "error", "error": "boom",
        }  # fmt: skip
        assert run.end_node_span("step") is None
    log = run.get_flow_log()
    assert shape(log) == [(0, "flow", "ok"), (1, "step", "error"), (2, "step", "ok")]
    assert log.spans[1].error is not None
    assert (log.spans[1].error["type"], log.spans[1].error["message"]) == ("NodeError", "boom")
    assert ring.events(run.flow_id)[1]["data"] == {"attempt": 1, "password": "[REDACTED]", "cut": ["password"]}


def test_node_spans_may_end_in_any_order(ring: RingBufferHandler):
    """An outer span that ends first leaves the inner one running, and nothing ended is ever current again."""
    with obs.flow() as run:
        run.start_node_span("a")
        run.start_node_span("b")
        run.start_node_span("c")
        run.end_node_span("b")
        run.log("still", message="in c")
        run.end_node_span("c")
        run.log("still", message="in a")
        run.end_node_span("a")
        assert obs.current() == run.context
    spans = {span.span_id: span.node for span in run.get_flow_log().spans}
    assert [spans[one["span_id"]] for one in run.event_stream.query({"node": "still"})] == ["c", "a"]


def test_a_node_span_that_never_ends_is_running(ring: RingBufferHandler):
    """What an engine forgot is shown as it is, and does not leak out of the block."""
    with obs.flow() as run:
        run.start_node_span("forgotten")
    assert obs.current() is None
    assert shape(run.get_flow_log()) == [(0, "flow", "ok"), (1, "forgotten", "running")]


def test_node_spans_in_threads_and_tasks_stay_apart(ring: RingBufferHandler):
    """Spans of one name in parallel are each other's siblings, never each other's children."""
    with obs.flow() as run:
        ready = threading.Barrier(3)

        def work() -> None:
            run.start_node_span("branch")
            ready.wait(10)
            with obs.span("inner"):
                pass
            ready.wait(10)
            run.end_node_span("branch")

        threads = [threading.Thread(target=obs.wrap(work)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        async def task() -> None:
            run.start_node_span("task")
            await asyncio.sleep(0)
            run.end_node_span("task")

        async def both() -> None:
            await asyncio.gather(task(), task())

        asyncio.run(both())
    assert shape(run.get_flow_log()) == [
        (0, "flow", "ok"), *[(1, "branch", "ok"), (2, "inner", "ok")] * 3, *[(1, "task", "ok")] * 2,
    ]  # fmt: skip


def test_a_node_whose_level_is_filtered_opens_no_span(ring: RingBufferHandler):
    """Its error is reported all the same."""
    logging.getLogger("tea.step").setLevel(logging.ERROR)
    with obs.flow() as run:
        run.start_node_span("step")
        assert obs.current() == run.context
        run.end_node_span("step")
        run.start_node_span("step")
        run.end_node_span("step", "error", "boom")
    assert story(ring.events(run.flow_id)) == [("flow", "entry"), ("step", "error"), ("flow", "exit")]


def test_a_bad_status_is_named():
    """Only ok and error end a span."""
    with pytest.raises(EventError, match="unknown status 'fine'; allowed: ok, error"):
        obs.ObservabilityContext().end_node_span("a", "fine")


def test_an_existing_trace_context_goes_on_receiving(ring: RingBufferHandler):
    """The engine's own tracing is told what it was told before, and its answer is handed back."""
    trace = Trace()
    with obs.ObservabilityContext(trace_context=trace) as run:
        assert run.trace_context is trace
        run.start_node_span("step", {"k": 1})
        run.log("step", "info", "metric", "scored", metrics={"n": 1})
        run.log("step", "debug", message="kept")
        assert run.end_node_span("step") == {"span_id": "theirs", "status": "ok", "duration_ms": 12.5}
        run.start_node_span("bad")
        assert run.end_node_span("bad", "error", "boom") == {"span_id": "theirs", "status": "error", "duration_ms": 12.5}
        tea.setLevel(logging.INFO)
        run.log("step", "debug", message="filtered")
        assert run.end_node_span("unknown") is None
    assert trace.calls == [
        ("start", "step", {"k": 1}),
        ("log", "Starting step", None),
        ("log", "scored", {"n": 1}),
        ("log", "kept", None),
        ("end", "ok", None),
        ("log", "Completed step", {"duration_ms": 12.5}),
        ("start", "bad", None),
        ("log", "Starting bad", None),
        ("end", "error", "boom"),
        ("log", "Error in bad: boom", None),
    ]
    assert shape(run.get_flow_log()) == [(0, "flow", "ok"), (1, "step", "ok"), (1, "bad", "error")]


def test_a_broken_trace_context_breaks_nothing(ring: RingBufferHandler, capsys: pytest.CaptureFixture[str]):
    """What it raises is reported, counted and shown in the flow's log."""

    class Broken(Trace):
        def start_span(self, name: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
            raise RuntimeError("exporter is down")

    with obs.ObservabilityContext(trace_context=Broken()) as run:
        run.start_node_span("step")
        run.end_node_span("step")
    log = run.get_flow_log()
    assert (log.status, log.metrics["fault_count"]) == ("ok", 1)
    assert [one["message"] for one in log.events if one["node"] == "obs"] == ["Broken failed: RuntimeError: exporter is down"]
    assert "Broken failed" in capsys.readouterr().err


def test_a_config_of_its_own_is_in_force_for_this_flow_alone():
    """The block's handlers get this flow's events, end with it, and its log can still be read."""
    seen: list[str] = []
    config = {"level": "debug", "handlers": [{"type": "callback", "callback": lambda one: seen.append(one["node"])}]}
    with obs.ObservabilityContext(config=config) as run:
        run.log("mine", "debug")
        with obs.flow("somebody else's"), obs.span("theirs"):
            pass
    assert run.config == config
    assert seen == ["flow", "mine", "flow", "flow"]  # the third tells of somebody else's
    assert (tea.handlers, tea.level) == ([], logging.NOTSET)
    assert run.get_flow_log().metrics["event_count"] == 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"levle": "info"}, "unknown key 'levle'"),
        (5, "configuration is 5"),
        ({"version": 1}, "a dictConfig applies to all flows"),
    ],
)
def test_a_bad_config_is_refused(config: Any, message: str):
    """Nothing is in force after it."""
    with pytest.raises(ConfigurationError, match=message):
        obs.ObservabilityContext(config=config)
    assert tea.handlers == []
