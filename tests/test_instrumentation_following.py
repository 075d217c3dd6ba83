"""Spans that end with a stream: ``StartedSpan.follow``."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError


def pieces(*items: str, error: Exception | None = None) -> Generator[str, None, str]:
    """Yield some pieces, then fail or return them joined."""
    for item in items:
        assert (found := obs.current()) is not None
        assert found.node in ("llm.stream", "outer")
        yield item
    if error is not None:
        raise error
    return "".join(items)


async def later(*items: str, error: Exception | None = None) -> AsyncGenerator[str, None]:
    """Do the same, async."""
    for item in items:
        await asyncio.sleep(0)
        assert obs.current() is not None
        yield item
    if error is not None:
        raise error


def ends(run: obs.ObservabilityContext) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return kind, data and metrics without times of the ends of the spans that were followed."""
    found = [event for event in obs.query(run.flow_id, node="llm.stream") if event["event_type"] != "entry"]
    return [
        (
            event["event_type"],
            event["data"].get("output", event["data"].get("error", {}).get("message")),
            {name: value for name, value in event["metrics"].items() if not name.endswith("_ms")},
        )
        for event in found
    ]


def test_a_generator_ends_the_span(ring: obs.RingBufferHandler) -> None:
    """With what it returns, or with what the caller has collected; in between, the consumer is not in the span."""
    with obs.flow() as run:
        for output in (None, lambda: {"model": "m"}):
            call = obs.start_span("llm.stream")
            with obs.span("outer") as outer:
                for _ in call.follow(pieces("a", "b"), output):
                    assert obs.current() == outer.context
            assert call.end() is False
    assert ends(run) == [("exit", "ab", {"chunks": 2}), ("exit", {"model": "m"}, {"chunks": 2})]
    event = obs.query(run.flow_id, node="llm.stream", event_type="exit")[0]
    assert 0 < event["metrics"]["time_to_first_chunk_ms"] <= event["metrics"]["duration_ms"]


def test_a_generator_that_is_left_dropped_or_fails(ring: obs.RingBufferHandler) -> None:
    """The output is what was collected until then; an error has none."""
    with obs.flow() as run:
        stream = obs.start_span("llm.stream").follow(pieces("a", "b"), lambda: "so far")
        next(stream)
        stream.close()
        stream = obs.start_span("llm.stream").follow(pieces("a"), lambda: "nothing")
        del stream
        gc.collect()
        with pytest.raises(ValueError, match="broken"):
            list(obs.start_span("llm.stream").follow(pieces("a", error=ValueError("broken")), lambda: "so far"))
    assert ends(run) == [
        ("exit", "so far", {"chunks": 1, "closed_early": 1}),
        ("exit", "nothing", {"chunks": 0, "closed_early": 1}),
        ("error", "broken", {"chunks": 1}),
    ]


def test_an_async_generator(ring: obs.RingBufferHandler) -> None:
    """It returns nothing, so the output is what was collected."""

    async def run_all() -> None:
        assert [piece async for piece in obs.start_span("llm.stream").follow(later("a", "b"), lambda: "ab")] == ["a", "b"]
        stream = obs.start_span("llm.stream").follow(later("a", "b"), lambda: "a")
        await stream.__anext__()
        await stream.aclose()
        with pytest.raises(ValueError, match="broken"):
            [piece async for piece in obs.start_span("llm.stream").follow(later("a", error=ValueError("broken")))]

    with obs.flow() as run:
        asyncio.run(run_all())
    assert ends(run) == [
        ("exit", "ab", {"chunks": 2}),
        ("exit", "a", {"chunks": 1, "closed_early": 1}),
        ("error", "broken", {"chunks": 1}),
    ]


def test_a_filtered_span_still_reports_errors() -> None:
    """And nothing else."""
    undo = obs.configure({"level": "warn"})
    with obs.flow("outer") as run, obs.span("outer", level="warn"):
        assert list(obs.start_span("llm.stream").follow(pieces("a"))) == ["a"]
        stream = obs.start_span("llm.stream").follow(pieces("a"))
        next(stream)
        stream.close()
        with pytest.raises(ValueError, match="broken"):
            list(obs.start_span("llm.stream").follow(pieces(error=ValueError("broken"))))
    assert ends(run) == [("error", "broken", {})]
    undo()


def test_an_output_that_cannot_be_read(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a counted fault, and the span ends without one."""
    with obs.flow() as run:
        assert list(obs.start_span("llm.stream").follow(pieces("a"), lambda: 1 / 0)) == ["a"]
    assert ends(run) == [("exit", None, {"chunks": 1})]
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 1
    assert "reading the output of a stream failed: ZeroDivisionError" in capsys.readouterr().err


def test_what_cannot_be_followed() -> None:
    """A generator that has started would hide its first items; a list is none."""
    begun = (piece for piece in ["a", "b"])
    next(begun)
    for wrong in (begun, ["a"], iter(["a"]), pieces):
        with pytest.raises(ConfigurationError, match="cannot be followed; give a generator or an async generator"):
            obs.start_span("llm.stream").follow(wrong)  # type: ignore[type-var]
