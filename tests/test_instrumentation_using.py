"""``use_span``: a span that is current in a block which neither starts nor ends it."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator

import pytest

import the_edge_obs as obs


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


def test_a_started_span_that_has_ended_gives_way_to_its_parent(ring: obs.RingBufferHandler) -> None:
    """A block that is left in another context leaves the span where it was entered: there, its parent is current once it ends."""
    with obs.flow() as run:
        outer = obs.start_span("outer")
        inner = obs.start_span("inner", parent=outer)
        block = obs.use_span(inner)
        block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)
        assert node() == "inner"
        contextvars.copy_context().run(inner.end)
        assert node() == "outer"
        with obs.span("block"):
            obs.observable("call")(lambda: None)()
        obs.observable("call")(lambda: None)()
        contextvars.copy_context().run(outer.end)
        assert node() == "flow"
        obs.observable("last")(lambda: None)()
    assert node() is None
    assert [(depth, span.node) for depth, span in run.get_flow_log().walk()] == [
        (0, "flow"), (1, "outer"), (2, "inner"), (2, "block"), (3, "call"), (2, "call"), (1, "last"),
    ]  # fmt: skip


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
