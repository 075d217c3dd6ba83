"""Spans: entry, exit or error, and what happens in between."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import place
from the_edge_obs.errors import ConfigurationError, EventError
from the_edge_obs.event import problems
from the_edge_obs.instrumentation.spans import Span


def told(ring: obs.RingBufferHandler, run: obs.ObservabilityContext) -> list[dict[str, Any]]:
    """Return a flow's events but for the root's; all of the flow's must be valid."""
    events = ring.events(run.flow_id)
    assert [problem for event in events for problem in problems(event)] == []
    return [event for event in events if event["node"] != "flow"]


def brief(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(event["node"], event["event_type"], event["level"]) for event in events]


def test_a_block_logs_entry_and_exit(ring: obs.RingBufferHandler) -> None:
    """Input on entry, output and duration on exit; both carry the span's own id and its parent's."""
    with obs.flow() as run, obs.span("rank", top=3) as span:
        inside = obs.current()
        span.output = {"best": 1}
    root = ring.events(run.flow_id)[0]
    entry, leave = told(ring, run)
    assert inside is not None
    assert inside == span.context
    assert brief([entry, leave]) == [("rank", "entry", "info"), ("rank", "exit", "info")]
    assert (entry["data"], leave["data"]) == ({"input": {"top": 3}}, {"output": {"best": 1}})
    assert (entry["metrics"], list(leave["metrics"])) == ({}, ["duration_ms"])
    assert {entry["span_id"], leave["span_id"]} == {inside.span_id}
    assert {entry["parent_id"], leave["parent_id"]} == {root["span_id"]}
    assert leave["timestamp"] >= entry["timestamp"]


def test_a_block_without_input_and_output(ring: obs.RingBufferHandler) -> None:
    """Nothing given is nothing logged; None given is null."""
    with obs.flow() as run:
        with obs.span("a"):
            pass
        with Span("b", None, step="s", data={"attempt": 2}) as span:
            span.output = None
    events = told(ring, run)
    assert [event["data"] for event in events] == [{}, {}, {"input": None, "attempt": 2}, {"output": None}]
    assert [event.get("step") for event in events] == [None, None, "s", "s"]


def test_spans_nest(ring: obs.RingBufferHandler) -> None:
    """Each is the child of the one around it, and the context is given back."""
    with obs.flow() as run, obs.span("a") as a:
        with obs.span("b") as b:
            with obs.span("c") as c:
                pass
            assert obs.current() == b.context
        with obs.span("d") as d:
            pass
    assert all((a.context, b.context, c.context, d.context))
    parents = {event["node"]: event["parent_id"] for event in told(ring, run)}
    root = ring.events(run.flow_id)[0]["span_id"]
    assert parents == {
        "a": root,
        "b": a.context.span_id,  # type: ignore[union-attr]
        "c": b.context.span_id,  # type: ignore[union-attr]
        "d": a.context.span_id,  # type: ignore[union-attr]
    }


def test_an_exception_makes_an_error_and_goes_on(ring: obs.RingBufferHandler) -> None:
    """One error event in place of the exit, with type, message, traceback (at debug) and duration."""
    error = ValueError("no such item")
    with obs.flow() as run, pytest.raises(ValueError) as caught, obs.span("rank"):
        raise error
    assert caught.value is error
    _, failed = told(ring, run)
    assert brief([failed]) == [("rank", "error", "error")]
    assert list(failed["metrics"]) == ["duration_ms"]
    details = failed["data"]["error"]
    assert (details["type"], details["message"]) == ("ValueError", "no such item")
    assert details["traceback"].startswith("Traceback (most recent call last):")
    assert "raise error" in details["traceback"]
    assert details["traceback"].endswith("ValueError: no such item\n")
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow() as run, pytest.raises(ValueError), obs.span("rank"):
        raise ValueError("no such item")
    where = f"{__file__}:{sys._getframe().f_lineno - 1} in {sys._getframe().f_code.co_name}"
    assert told(ring, run)[-1]["data"] == {"error": {"type": "ValueError", "message": "no such item", "where": where}}
    assert told(ring, run)[-1]["message"] == "no such item"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_cancellation_is_no_failure(ring: obs.RingBufferHandler, kind: type[BaseException]) -> None:
    """It is a warning, marked as cancelled, and goes on."""
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow() as run, pytest.raises(kind), obs.span("rank"):
        raise kind
    failed = told(ring, run)[-1]
    assert brief([failed]) == [("rank", "error", "warn")]
    assert failed["data"]["error"].pop("where").startswith(f"{__file__}:")
    assert failed["data"] == {"error": {"type": kind.__name__, "message": ""}, "cancelled": True}
    assert [span.status for span in obs.get_flow_log(run.flow_id).spans] == ["ok", "cancelled"]


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ({"success": False, "error": "refused", "error_type": "quota"}, {"type": "quota", "message": "refused"}),
        ({"success": False, "error": "refused"}, {"type": "ActionError", "message": "refused"}),
        ({"success": False}, {"type": "ActionError", "message": "None"}),
    ],
)
def test_a_soft_failure_is_an_error(ring: obs.RingBufferHandler, output: dict[str, Any], error: dict[str, str]) -> None:
    """A result that says it failed is logged as an error, with the result."""
    with obs.flow() as run, obs.span("rank") as span:
        span.output = output
    failed = told(ring, run)[-1]
    assert brief([failed]) == [("rank", "error", "error")]
    assert failed["data"] == {"error": error, "output": output}


def test_a_hostile_error_of_a_soft_failure(ring: obs.RingBufferHandler) -> None:
    """What stands under ``error`` may be anything."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with obs.flow() as run, obs.span("rank") as span:
        span.output = {"success": False, "error": Hostile(), "error_type": Hostile()}
    assert brief(told(ring, run))[-1] == ("rank", "error", "error")


def test_exceptions_whose_text_raises(ring: obs.RingBufferHandler) -> None:
    """The error event comes all the same."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with obs.flow() as run, pytest.raises(MuteError), obs.span("rank"):
        raise MuteError
    details = told(ring, run)[-1]["data"]["error"]
    assert (details["type"], details["message"]) == ("MuteError", "<MuteError: RuntimeError in its __str__>")


def test_metrics_and_logs_belong_to_the_span(ring: obs.RingBufferHandler) -> None:
    """Each carries the span's own ids; numbers that are none become null, and the schema's own figures are left out then."""
    with obs.flow() as run, obs.span("rank", step="first") as span:
        span.metric(candidates=12, score=float("nan"), name="x", tokens=-1, cost_usd=float("inf"), huge=2**70, big=1e300)  # type: ignore[arg-type]
        span.log("careful", "warn", why="thin", error="thin ice")
        span.log("detail", "debug")
    entry, metric, warning, detail, _ = told(ring, run)
    assert brief([metric, warning, detail]) == [
        ("rank", "metric", "info"),
        ("rank", "log", "warn"),
        ("rank", "log", "debug"),
    ]
    assert metric["metrics"] == {"candidates": 12, "score": None, "name": None, "huge": None, "big": 1e300}
    assert (warning["message"], warning["data"]) == (
        "careful",
        {"why": "thin", "error": {"type": "Error", "message": "thin ice"}},
    )
    assert {event["span_id"] for event in (metric, warning, detail)} == {entry["span_id"]}
    assert {event["step"] for event in (metric, warning, detail)} == {"first"}


def test_usage_and_cost_become_metrics(ring: obs.RingBufferHandler) -> None:
    """Of an output with ``usage`` and ``cost_usd``."""
    with obs.flow() as run, obs.span("llm.call") as span:
        span.output = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "cost_usd": 0.5}
    metrics = told(ring, run)[-1]["metrics"]
    metrics.pop("duration_ms")
    assert metrics == {"input_tokens": 3, "output_tokens": 4, "tokens": 7, "cost_usd": 0.5}


def test_later_mutation_is_not_seen(ring: obs.RingBufferHandler) -> None:
    """Input, output and data are as they were when they were logged."""
    items, data, output = [1], {"k": [1]}, {"o": [1]}
    with obs.flow() as run, Span("a", {"items": items}, data=data) as span:
        items.append(2)
        data["k"].append(2)
        span.log("m", items=items)
        span.output = output
        items.append(3)
    output["o"].append(2)
    entry, log, leave = told(ring, run)
    assert entry["data"] == {"input": {"items": [1]}, "k": [1]}
    assert (log["data"], leave["data"]) == ({"items": [1, 2]}, {"output": {"o": [1]}})


def test_a_filtered_span_is_none_and_still_reports_its_errors(ring: obs.RingBufferHandler) -> None:
    """With its level filtered a block opens no span: what runs inside is the child of what is around; errors come."""
    logging.getLogger("tea.quiet").setLevel("WARNING")
    with obs.flow() as run:
        with obs.span("quiet", step="q") as quiet:
            outside = obs.current()
            quiet.metric(n=1)
            quiet.log("unheard", "error")
            with obs.span("loud"):
                pass
        with pytest.raises(KeyError), obs.span("quiet"):
            raise KeyError("k")
        with obs.span("quiet") as soft:
            soft.output = {"success": False, "error": "refused"}
    assert quiet.context is None
    assert outside is not None
    assert outside.node == "flow"
    events = told(ring, run)
    assert brief(events) == [
        ("loud", "entry", "info"),
        ("loud", "exit", "info"),
        ("quiet", "error", "error"),
        ("quiet", "error", "error"),
    ]
    assert {event["parent_id"] for event in events} == {ring.events(run.flow_id)[0]["span_id"]}
    assert [event["data"]["error"]["message"] for event in events[2:]] == ["'k'", "refused"]


def test_levels_change_while_running(ring: obs.RingBufferHandler) -> None:
    """By category or action, with nothing but setLevel."""

    def entries() -> list[str]:
        with obs.flow() as run:
            for node in ("llm.call", "llm.embed", "http.get"):
                with obs.span(node):
                    pass
        return [event["node"] for event in told(ring, run) if event["event_type"] == "entry"]

    assert entries() == ["llm.call", "llm.embed", "http.get"]
    logging.getLogger("tea.llm").setLevel("WARNING")
    assert entries() == ["http.get"]
    logging.getLogger("tea.llm.call").setLevel("DEBUG")
    assert entries() == ["llm.call", "http.get"]
    logging.getLogger("tea.llm").setLevel("NOTSET")
    logging.getLogger("tea").setLevel("ERROR")
    assert entries() == ["llm.call"]
    logging.disable(logging.CRITICAL)
    with obs.flow() as run, obs.span("llm.call"):
        pass
    assert ring.events(run.flow_id) == []


def test_the_level_of_a_block(ring: obs.RingBufferHandler) -> None:
    """Entry and exit have the level given; an error is an error."""
    with obs.flow() as run:
        with obs.span("a", level="debug"):
            pass
        with pytest.raises(ValueError), obs.span("b", level="warn"):
            raise ValueError
    assert brief(told(ring, run)) == [
        ("a", "entry", "debug"),
        ("a", "exit", "debug"),
        ("b", "entry", "warn"),
        ("b", "error", "error"),
    ]


def test_a_block_outside_any_flow_is_a_flow_of_its_own(ring: obs.RingBufferHandler) -> None:
    """Its events are found under a flow id of their own."""
    with obs.span("alone") as span:
        pass
    assert span.context is not None
    (flow_id,) = ring.flow_ids()
    events = ring.events(flow_id)
    assert [(event["parent_id"], event["event_type"]) for event in events] == [(None, "entry"), (None, "exit")]
    assert obs.current() is None


def test_the_record_says_where_the_block_is(caplog: pytest.LogCaptureFixture) -> None:
    """File, line and function of the with statement."""
    caplog.set_level("INFO", "tea")
    with obs.span("here"):
        line = sys._getframe().f_lineno - 1
    record = caplog.records[0]
    assert (record.pathname, record.lineno, record.funcName) == (__file__, line, "test_the_record_says_where_the_block_is")


@pytest.mark.parametrize("node", ["", ".", None, 7])
def test_a_node_without_a_name_is_refused(node: Any) -> None:
    """The error names the value and what a name looks like."""
    with pytest.raises(ConfigurationError, match=r"is not a name; give a string such as 'rank' or 'llm.call'"):
        obs.span(node)


def test_an_unknown_level_is_refused(ring: obs.RingBufferHandler) -> None:
    """At once, whether the span is on or off."""
    with pytest.raises(EventError, match="unknown level 'loud'"):
        obs.span("a", level="loud")
    with obs.flow(), obs.span("a") as span, pytest.raises(EventError, match="unknown level 'loud'"):
        span.log("m", "loud")


def test_tasks_and_blocks_do_not_mix(ring: obs.RingBufferHandler) -> None:
    """A block in one task is not the parent of a block in another."""

    async def one(name: str) -> None:
        with obs.span(name) as outer:
            await asyncio.sleep(0)
            with obs.span(f"{name}.inner") as inner:
                await asyncio.sleep(0)
            assert outer.context is not None
            assert inner.context is not None
            assert inner.context.parent == outer.context.number

    async def main() -> None:
        with obs.flow():
            await asyncio.gather(*(one(f"n{i}") for i in range(10)))

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "with obs.flow() as run, obs.span('a') as s: s.output = {'success': False, 'error': 'x'}",
        "with obs.flow() as run, obs.span('a', level='error') as s: s.log('m', 'error')",
        "with obs.flow() as run: run.log('a', 'error', message='m')",
        "with obs.flow() as run: run.start_node_span('b'); run.end_node_span('b', 'error', 'x')",
        "obs.observable('a', level='warn')(lambda: None)()",
        "obs.observable('a', level='warn')(lambda: {'success': False})()",
        """
try:
    with obs.flow(), obs.span('a'):
        obs.observable('b')(lambda: 1 / 0)()
except ZeroDivisionError:
    pass
""",
    ],
)
def test_off_by_default(body: str) -> None:
    """With nothing configured nothing is printed, not even of errors, and no handler or level appears."""
    code = f"""
import logging
import the_edge_obs as obs
{body}
names = [name for name in logging.root.manager.loggerDict if name.startswith("tea")]
loggers = [logging.root, *(logging.getLogger(name) for name in names)]
assert not any(logger.handlers for logger in loggers)
assert logging.root.level == logging.WARNING and not any(logger.level for logger in loggers[1:])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_too_many_metrics_are_cut_and_counted(ring: obs.RingBufferHandler) -> None:
    """The schema's own figures stay wherever they stand; of the others the first 200, with short names."""
    with obs.flow() as run, obs.span("many") as span:
        span.metric(**{f"m{n}": n for n in range(250)}, tokens=7, **{"k" * 10_000: 1})
    (metrics,) = [event["metrics"] for event in told(ring, run) if "tokens" in event["metrics"]]
    own = {key: value for key, value in metrics.items() if key != "duration_ms"}
    assert own == {**{f"m{n}": n for n in range(200)}, "tokens": 7, "…": 51}


def test_a_traceback_keeps_its_last_frames(ring: obs.RingBufferHandler) -> None:
    """A recursion that fails ends a thousand spans, each with a traceback: none of them is a thousand frames long."""

    def deeper(level: int) -> None:
        if level == 0:
            raise ValueError("at the bottom")
        deeper(level - 1)

    with obs.flow() as run, pytest.raises(ValueError, match="bottom"), obs.span("deep"):
        deeper(300)
    (error,) = [event["data"]["error"] for event in told(ring, run) if event["event_type"] == "error"]
    assert ("at the bottom" in error["traceback"], error["traceback"].count("\n") < 400) == (True, True)


ACTIONS = {
    "enter": lambda span: span.__enter__(),
    "exit": lambda span: span.__exit__(None, None, None),
    "exit with an error": lambda span: span.__exit__(ValueError, ValueError("x"), None),
    "close": lambda span: span.close(),
    "log": lambda span: span.log("hi"),
    "metric": lambda span: span.metric(n=1),
}


def elsewhere(where: str, act: Any) -> None:
    """Call a function here, in a copy of the context, or in a thread; what it raises is raised here."""
    if where == "thread":
        with ThreadPoolExecutor(1) as pool:
            pool.submit(act).result()
    else:
        contextvars.copy_context().run(act) if where == "context" else act()


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(sorted(ACTIONS)), st.sampled_from(["here", "context", "thread"])),
        max_size=12,
    ),
    st.sampled_from(["debug", "critical"]),
)
def test_a_span_used_by_hand_ends_once(actions: list[tuple[int, str, str]], level: str) -> None:
    """Whatever is called, in whatever order, context and thread: nothing raises, and each entry has at most one end after it."""
    ring, tea = obs.RingBufferHandler(), logging.getLogger("tea")
    tea.setLevel(level.upper())
    tea.addHandler(ring)
    try:
        with obs.flow() as run:
            spans = [Span(f"s{number}") for number in range(3)]
            for number, action, where in actions:
                elsewhere(where, functools.partial(ACTIONS[action], spans[number]))
        events = ring.events(run.flow_id)
    finally:
        tea.removeHandler(ring)
    open_spans: set[str] = set()
    for event in events:
        if event["event_type"] == "entry":
            assert event["span_id"] not in open_spans
            open_spans.add(event["span_id"])
        elif event["event_type"] in ("exit", "error"):
            assert event["span_id"] in open_spans or level == "critical"
            open_spans.discard(event["span_id"])
    assert obs.current() is None


@pytest.mark.slow
@given(st.permutations(range(6)))
def test_spans_that_interleave_leave_no_context_behind(order: list[int]) -> None:
    """Three spans entered in turn and left in any order: then what was there before is current, never a span that has ended."""
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow():
        root = obs.current()
        spans = [Span(f"s{number}") for number in range(3)]
        entered: set[int] = set()
        for number in order:
            if number % 3 in entered:
                spans[number % 3].__exit__(None, None, None)
            else:
                entered.add(number % 3)
                spans[number % 3].__enter__()
        assert obs.current() == root


OVERLAPPING: dict[str, Any] = {
    "span": lambda name: obs.span(name),
    "flow": lambda name: obs.flow(name),
}


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("kinds", list(itertools.product(OVERLAPPING, repeat=2)))
def test_what_overlaps_leaves_nothing_dead_behind(kinds: tuple[str, str]) -> None:
    """Enter a, enter b, exit a, exit b: b is current until it or its flow ends, then nothing, and the next node is a run."""
    first, second = (OVERLAPPING[kind](kind) for kind in kinds)
    first.__enter__()
    second.__enter__()
    inner = obs.current()
    first.__exit__(None, None, None)
    assert obs.current() == (None if kinds == ("flow", "span") else inner)
    second.__exit__(None, None, None)
    assert (obs.current(), place()) == (None, None)


def test_a_span_that_another_thread_ends_is_not_current_any_more(ring: obs.RingBufferHandler) -> None:
    """Neither in the thread that entered it, nor in tasks and threads that began inside: the one around it is."""
    carried: list[Any] = []
    with obs.flow() as run:
        outer = obs.span("outer").__enter__()
        inner = obs.span("inner").__enter__()
        carried.append(obs.wrap(obs.current))
        thread = threading.Thread(target=inner.close)
        thread.start()
        thread.join()
        assert (obs.current(), carried[0]()) == (outer.context, outer.context)
        outer.close()
        assert (obs.current(), carried[0]()) == (run.context, run.context)
    assert (obs.current(), carried[0]()) == (None, None)


@pytest.mark.usefixtures("ring")
def test_a_task_that_outlives_its_span_stays_in_its_flow() -> None:
    """What it logs stands below the span that started it, before and after a span of its own; current is the flow."""

    async def main() -> tuple[str, list[Any]]:
        async def outlives() -> list[Any]:
            await gate.wait()
            seen = [obs.current()]
            with obs.span("own"):
                pass
            with obs.span("own"):
                pass
            return [*seen, obs.current()]

        gate = asyncio.Event()
        with obs.flow() as run:
            with obs.span("starts"):
                task = asyncio.get_running_loop().create_task(outlives())
                await asyncio.sleep(0)
            gate.set()
            seen = await task
            assert seen == [run.context] * 2
        return run.flow_id, seen

    flow_id, _ = asyncio.run(main())
    nodes = {span.span_id: span.node for span in obs.get_flow_log(flow_id).spans}
    assert [(span.node, nodes.get(span.parent_id or "")) for span in obs.get_flow_log(flow_id).spans] == [
        ("flow", None),
        ("starts", "flow"),
        ("own", "starts"),
        ("own", "starts"),
    ]


def test_a_span_ends_once_though_two_threads_end_it(ring: obs.RingBufferHandler) -> None:
    """Both get there at the same time; one of them logs the end."""
    with obs.flow() as run:
        spans = [Span("raced").__enter__() for _ in range(200)]
        start = threading.Barrier(2)

        def end_all() -> None:
            start.wait()
            for span in spans:
                span.close()

        threads = [threading.Thread(target=end_all) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(obs.query(run.flow_id, node="raced", event_type="exit")) == 200


@pytest.mark.parametrize(
    "calls", [["close"], ["exit"], ["exit", "exit"], ["enter", "enter", "exit", "exit", "close"], ["enter", "close", "exit"]]
)
def test_a_flow_used_by_hand_ends_once(ring: obs.RingBufferHandler, calls: list[str]) -> None:
    """Entered twice, never, left twice: one end, and no context stays behind."""
    run = obs.flow("by hand")
    run.log("n", message="begins it")
    for call in calls:
        ACTIONS[call](run)
    ends = [event for event in ring.events(run.flow_id) if event["node"] == "flow" and event["event_type"] != "entry"]
    assert (len(ends), obs.current()) == (1, None)


def test_a_span_may_be_used_again(ring: obs.RingBufferHandler) -> None:
    """After its end it may be entered anew: that is a span of its own."""
    with obs.flow() as run:
        again = Span("again")
        for _ in range(2):
            with again:
                pass
    assert [event["event_type"] for event in told(ring, run)] == ["entry", "exit"] * 2
    assert len({event["span_id"] for event in told(ring, run)}) == 2


def test_an_interrupt_while_an_entry_is_logged_leaves_no_context_behind(ring: obs.RingBufferHandler) -> None:
    """Ctrl-C goes on, and what was current before is current."""

    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    with obs.flow():
        root = obs.current()
        logging.getLogger("tea").addHandler(handler := Interrupted())
        for enter in (Span("x").__enter__, obs.flow("y").__enter__, obs.observable("z")(lambda: None)):
            with pytest.raises(KeyboardInterrupt):
                enter()
            assert obs.current() == root
        logging.getLogger("tea").removeHandler(handler)


def test_flows_and_spans_are_async_context_managers_too(ring: obs.RingBufferHandler) -> None:
    """``async with`` does what ``with`` does: the context, the events, and an error that goes on."""

    async def main() -> str:
        async with obs.flow("asynchronous") as run:
            async with obs.span("rank", top=3) as span:
                assert obs.current() == span.context
            with pytest.raises(KeyError):
                async with obs.span("fail"):
                    raise KeyError("x")
        assert obs.current() is None
        return run.flow_id

    events = ring.events(asyncio.run(main()))
    assert [(event["node"], event["event_type"]) for event in events] == [
        ("flow", "entry"), ("rank", "entry"), ("rank", "exit"), ("fail", "entry"), ("fail", "error"), ("flow", "exit"),
    ]  # fmt: skip


# --- log_event ---


def test_log_event_logs_into_the_running_span(ring: obs.RingBufferHandler) -> None:
    """Whoever started it; an exception is described, and secrets are removed."""
    secret = "sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C"
    logging.getLogger("tea.work").setLevel(logging.INFO)
    with obs.flow() as run, obs.span("work") as span:
        obs.log_event("found", rows=3, api_key=secret)
        obs.log_event(None, "error", error=ValueError(f"for {secret}"))
        obs.log_event("said", "warn", error="only a text")
        obs.log_event("hidden", "debug")
    events = obs.query(run.flow_id, event_type="log")
    assert {(event["span_id"], event["node"]) for event in events} == {(span.context.span_id, "work")}
    assert [(event["level"], event["message"], event["data"]) for event in events] == [
        ("info", "found", {"rows": 3, "api_key": "[REDACTED]", "cut": ["api_key"]}),
        ("error", None, {"error": {"type": "ValueError", "message": "for [REDACTED]"}, "cut": ["error.message"]}),
        ("warn", "said", {"error": {"type": "Error", "message": "only a text"}}),
    ]


def test_log_event_outside_a_flow_does_nothing_and_checks_its_level(ring: obs.RingBufferHandler) -> None:
    obs.log_event("nobody hears it")
    with pytest.raises(obs.EventError, match="'loud'"):
        obs.log_event("x", "loud")
    assert ring.flow_ids() == []
