from __future__ import annotations

from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError, QueryError
from the_edge_obs.handlers import RingBufferHandler

from .strategies import event


def story(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["node"], item["event_type"]) for item in events]


def test_the_event_stream_of_a_flow_is_live(ring: RingBufferHandler):
    """It shows what the flow has logged until now, takes events, answers queries and can be emptied."""
    with obs.flow() as run:
        stream = run.event_stream
        assert story(stream.get_all()) == [("flow", "entry")]
        stream.append({"node": "scoring", "level": "warn", "event_type": "metric", "metrics": {"n": 1}})
        stream.append({"node": "plain"})
        assert story(stream.query({"min_level": "warn"})) == [("scoring", "metric")]
        assert stream.query({"node": "scoring"})[0]["metrics"] == {"n": 1}
        assert len(stream.query()) == 3
        with pytest.raises(QueryError, match="unknown filter 'nod'"):
            stream.query({"nod": "x"})
        stream.clear()
        assert stream.get_all() == []


def test_an_event_stream_keeps_the_last_events():
    """A bounded buffer on its own, oldest first."""
    stream = obs.EventStream(max_size=2)
    first, second, third = (event(1, "log", n, level=level) for n, level in enumerate(["info", "warn", "info"]))
    for one in (first, second, third):
        stream.append(one)
    assert stream.get_all() == [second, third]
    assert stream.query({"level": "warn"}) == [second]
    assert stream.query({"limit": 1}) == [second]
    assert stream.query() == [second, third]
    stream.clear()
    assert stream.get_all() == []


def test_an_event_stream_hands_events_on(capsys: pytest.CaptureFixture[str]):
    """To logging handlers as records, to others as they are; one that raises keeps nothing from the rest."""

    class Broken:
        def handle(self, event: dict[str, Any]) -> None:
            raise RuntimeError("no")

    class Taking:
        def __init__(self) -> None:
            self.seen: list[dict[str, Any]] = []

        def handle(self, event: dict[str, Any]) -> None:
            self.seen.append(event)

    seen: list[dict[str, Any]] = []
    taking = Taking()
    stream = obs.EventStream(handlers=[Broken(), taking, obs.CallbackHandler(seen.append, level="WARNING")])
    quiet, loud = event(1, "log", 0, level="info"), event(1, "log", 1, level="error")
    stream.append(quiet)
    stream.append(loud)
    assert taking.seen == stream.get_all() == [quiet, loud]
    assert seen == [loud]
    assert "Broken.handle failed: RuntimeError: no" in capsys.readouterr().err


@pytest.mark.parametrize("max_size", [0, -1, "9", 1.5, True, None])
def test_a_bad_size_is_named(max_size: Any):
    """A stream of nothing is a mistake."""
    with pytest.raises(ConfigurationError, match=r"max_size .* is not a whole number of at least 1") as caught:
        obs.EventStream(max_size)
    assert repr(max_size) in str(caught.value)


def test_a_stream_refuses_a_handler_that_is_async() -> None:
    """Nothing would await what its ``handle`` returns."""

    class Sender:
        async def handle(self, event: dict[str, Any]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"handle <bound method .*Sender\.handle .* is an async function"):
        obs.EventStream(handlers=[Sender()])
