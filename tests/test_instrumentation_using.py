"""``use_span``: a span that is current in a block which neither starts nor ends it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Iterator

import pytest

import the_edge_obs as obs
from the_edge_obs.context import CURRENT, Lent


def node() -> str | None:
    here = obs.current()
    return None if here is None else here.node


def test_a_flow_is_current_in_the_block_and_begins_there(ring: obs.RingBufferHandler) -> None:
    run = obs.flow("turns")
    with obs.use_span(run):
        assert node() == "flow"
        with obs.span("one"):
            assert node() == "one"
    assert node() is None
    with obs.use_span(run), obs.span("two"):
        pass
    assert run.get_flow_log().status == "running"
    run.close(ValueError("broken"))
    log = run.get_flow_log()
    assert (log.status, [(depth, span.node) for depth, span in log.walk()]) == ("error", [(0, "flow"), (1, "one"), (1, "two")])


def test_a_started_span_is_current_and_does_not_end(ring: obs.RingBufferHandler) -> None:
    with obs.flow() as run:
        call = obs.start_span("outer")
        with obs.use_span(call), obs.span("inner"):
            pass
        assert node() == "flow"
        assert [span.status for span in run.get_flow_log().spans if span.node == "outer"] == ["running"]
        call.end()
    assert [(depth, span.node) for depth, span in run.get_flow_log().walk()] == [(0, "flow"), (1, "outer"), (2, "inner")]


def test_a_span_that_ends_in_the_block_leaves_the_flow_current(ring: obs.RingBufferHandler) -> None:
    """Otherwise what follows in the block would be outside the flow."""
    with obs.flow() as run:
        call = obs.start_span("outer")
        with obs.use_span(call):
            call.end()
            assert node() == "flow"
            with obs.span("after"):
                pass
        assert node() == "flow"
    assert {span.node: span.status for span in run.get_flow_log().spans} == {"flow": "ok", "outer": "ok", "after": "ok"}


def test_a_started_span_has_the_times_the_id_and_the_data_that_an_adapter_gives(ring: obs.RingBufferHandler) -> None:
    """Also when it fails, and whether or not it has an output."""
    for output, error in (({"content": "hello"}, None), (None, ValueError("broken"))):
        with obs.flow() as run:
            call = obs.start_span("told", {"prompt": "hi"}, data={"by": "a library"}, start=1_000.25, number=0x1234)
            assert call.context is not None
            assert call.context.span_id.replace("-", "")[16:] == "0000000000001234"
            assert call.end(output, error, {"tokens": 3}, data={"input": "late", "api_key": "x7Yq2LmPw9"}, end=1_002.75)
        entry, end = obs.query(run.flow_id, node="told")
        assert (entry["timestamp"], entry["data"]) == (1_000.25, {"input": {"prompt": "hi"}, "by": "a library"})
        assert (end["timestamp"], end["metrics"]) == (1_002.75, {"duration_ms": 2_500.0, "tokens": 3})
        assert (end["data"]["input"], end["data"]["api_key"]) == ("late", "[REDACTED]")
        assert (end["data"].get("output"), end["data"].get("error", {}).get("type")) == (output, error and "ValueError")


def test_a_started_span_that_began_earlier_lasts_until_it_ends(ring: obs.RingBufferHandler) -> None:
    """A start in the past, and no end given: the duration is what has passed since."""
    with obs.flow() as run:
        call = obs.start_span("told", start=time.time() - 60)
        call.end(data={"rows": 3})
    assert obs.query(run.flow_id, node="told")[1]["metrics"]["duration_ms"] > 59_000
    assert obs.query(run.flow_id, node="told")[1]["data"] == {"rows": 3}


def test_a_context_is_carried_into_a_thread(ring: obs.RingBufferHandler) -> None:
    seen: list[str | None] = []
    with obs.flow():
        place = obs.current()

        def work() -> None:
            seen.append(node())
            with obs.use_span(place):
                seen.append(node())
            seen.append(node())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [None, "flow", None]


def test_none_and_a_filtered_span_leave_the_current_one(ring: obs.RingBufferHandler) -> None:
    with obs.flow():
        logging.getLogger("tea.quiet").setLevel("WARNING")
        filtered = obs.start_span("quiet")
        for span in (None, filtered):
            with obs.use_span(span):
                assert node() == "flow"


def test_an_error_passes_and_the_span_before_is_current_again(ring: obs.RingBufferHandler) -> None:
    run = obs.flow()
    with pytest.raises(LookupError), obs.use_span(run):
        raise LookupError
    assert node() is None
    run.close()
    assert run.get_flow_log().status == "ok"


def test_a_block_that_is_left_in_another_context_changes_nothing_there(ring: obs.RingBufferHandler) -> None:
    run = obs.flow()

    def turns() -> Iterator[str | None]:
        with obs.use_span(run):
            yield node()

    steps = turns()
    assert contextvars.copy_context().run(next, steps) == "flow"
    assert next(steps, "done") == "done"
    assert node() is None
    run.close()


def test_a_block_of_a_started_span_that_is_left_elsewhere(ring: obs.RingBufferHandler) -> None:
    """A library leaves the block and ends the span in another context: in the first one, what was before is current again."""
    call = obs.observable("call")(lambda: None)
    elsewhere = contextvars.copy_context
    with obs.flow() as run:
        outer = obs.start_span("outer")
        inner = obs.start_span("inner", parent=outer)
        first, second = obs.use_span(outer), obs.use_span(inner)
        first.__enter__()
        second.__enter__()
        elsewhere().run(second.__exit__, None, None, None)
        call()
        assert node() == "inner"
        elsewhere().run(inner.end)
        assert node() == "outer"
        with obs.span("block"):
            call()
        call()
        elsewhere().run(first.__exit__, None, None, None)
        elsewhere().run(outer.end)
        assert node() == "flow"
        call()
    assert node() is None
    assert [(depth, span.node) for depth, span in run.get_flow_log().walk()] == [
        (0, "flow"), (1, "outer"), (2, "inner"), (3, "call"), (2, "block"), (3, "call"), (2, "call"), (1, "call"),
    ]  # fmt: skip


def test_blocks_of_started_spans_keep_no_ended_ones(ring: obs.RingBufferHandler) -> None:
    """Thousands in one context, each left and ended in another one."""
    for number in range(3):
        span = obs.start_span(f"s{number}")
        block = obs.use_span(span)
        block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)
        span.end()
    here = CURRENT.get()
    assert isinstance(here, Lent)
    assert (here.node, here.before) == ("s2", None)


def test_what_runs_in_a_block_of_a_started_span_stays_there(ring: obs.RingBufferHandler) -> None:
    """Until the block is left, what is observed in it is below the span, as in a task that outlives its span."""
    with obs.flow() as run:
        span = obs.start_span("early")
        with obs.use_span(span):
            span.end()
            assert node() == "flow"
            obs.observable("call")(lambda: None)()
        assert node() == "flow"
    assert [(depth, span.node) for depth, span in run.get_flow_log().walk()] == [(0, "flow"), (1, "early"), (2, "call")]


def test_an_ended_flow_is_not_current(ring: obs.RingBufferHandler) -> None:
    run = obs.flow()
    run.close()
    with obs.use_span(run):
        assert node() is None


SECRET = "9f4c2e71b8d05a36e1"


def test_learned_secrets_are_in_no_event(ring: obs.RingBufferHandler) -> None:
    run = obs.flow()
    run.learn_secrets({"settings": {"api_key": SECRET, "mode": "fast"}})
    run.about = {"input": {"said": f"it is {SECRET}", "mode": "fast"}}
    run.begin()
    run.begin()  # once is enough
    run.close()
    events = ring.events(run.flow_id)
    assert [event["event_type"] for event in events] == ["entry", "exit"]
    assert events[0]["data"]["input"] == {"said": "it is [REDACTED]", "mode": "fast"}


def test_blocks_that_are_left_out_of_order_end_in_the_nearest_open_span(ring: obs.RingBufferHandler) -> None:
    """As with callbacks that a library calls in any order: what follows is not below a span that has ended."""
    with obs.flow() as run:
        first, second = obs.start_span("first"), obs.start_span("second")
        outer, inner = obs.use_span(first), obs.use_span(second)
        outer.__enter__()
        inner.__enter__()
        first.end()
        second.end()
        inner.__exit__(None, None, None)
        with obs.span("after"):
            pass
        outer.__exit__(None, None, None)
        assert node() == "flow"
    assert {(depth, span.node) for depth, span in run.get_flow_log().walk()} == {
        (0, "flow"), (1, "first"), (1, "second"), (1, "after"),
    }  # fmt: skip


def test_a_block_in_a_task_that_outlives_its_span_gives_that_back(ring: obs.RingBufferHandler) -> None:
    """A span that had ended when the block began stays current after it: the task belongs below it."""
    with obs.flow() as run:
        call = obs.start_span("call")
        with obs.span("parent"):
            context = contextvars.copy_context()

        def late() -> None:
            with obs.use_span(call):
                pass
            with obs.span("late"):
                pass

        context.run(late)
        call.end()
    assert [(depth, span.node) for depth, span in run.get_flow_log().walk() if span.node == "late"] == [(2, "late")]
