"""The context: ids, traceparent, and that it gets where it should and nowhere else."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import FlowState, RemoteParent, SpanContext, checked_flow_id, child_context, new_flow_id, new_number
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import is_uuid


def where() -> str | None:
    """Return the id of the running flow, or None."""
    span = obs.current()
    return None if span is None else span.flow.id


def test_outside_any_flow_there_is_nothing() -> None:
    """No flow, no context, and no header."""
    assert obs.current() is None
    assert obs.inject({"a": "b"}) == {"a": "b"}


def test_inside_a_flow_the_context_names_it() -> None:
    """The context has the flow's id and name, and gives it back at the end."""
    with obs.flow("triage") as run:
        span = obs.current()
        assert span is not None
        assert (span.flow.id, span.flow.name, span.node, span.parent_id) == (run.flow_id, "triage", "flow", None)
    assert obs.current() is None


def test_ids_are_uuids_and_unique() -> None:
    """100,000 span ids and 10,000 flow ids: all canonical UUIDs of RFC 9562's variant, all different."""
    flow = FlowState(new_flow_id(), "f")
    spans = {flow.span_id(new_number()) for _ in range(100_000)}
    flows = {new_flow_id() for _ in range(10_000)}
    assert (len(spans), len(flows)) == (100_000, 10_000)
    for text in [*list(spans)[:500], *list(flows)[:500]]:
        assert is_uuid(text)
        assert uuid.UUID(text).variant == uuid.RFC_4122
    assert {uuid.UUID(text).version for text in flows} == {4}


def test_a_span_id_carries_its_flow_and_its_number() -> None:
    """The first 8 bytes are the flow's, the last 8 the span's number: what an OTLP span id needs."""
    flow = FlowState("0b7e7d4c-6f4e-4f0e-9d0a-111111111111", "f")
    span = SpanContext(flow, 0x8000000000000001, None, "n", None)
    assert span.span_id == "0b7e7d4c-6f4e-4f0e-8000-000000000001"
    assert span._replace(parent=0x9000000000000002).parent_id == "0b7e7d4c-6f4e-4f0e-9000-000000000002"


def test_a_child_belongs_to_its_parent() -> None:
    """Below a span, a child; outside any flow, the root of a new one."""
    root = child_context("alone")
    assert root.parent_id is None
    with obs.flow():
        parent = obs.current()
        assert parent is not None
        child = child_context("n", "step")
        assert (child.flow, child.parent_id, child.step) == (parent.flow, parent.span_id, "step")


@pytest.mark.parametrize(
    "given_id",
    [
        "0B7E7D4C-6F4E-4F0E-9D0A-111111111111",
        "{0b7e7d4c-6f4e-4f0e-9d0a-111111111111}",
        "0b7e7d4c6f4e4f0e9d0a111111111111",
        uuid.UUID("0b7e7d4c-6f4e-4f0e-9d0a-111111111111"),
    ],
)
def test_a_given_flow_id_becomes_canonical(given_id: object) -> None:
    """Every usual spelling of a UUID names the same flow."""
    assert checked_flow_id(given_id) == "0b7e7d4c-6f4e-4f0e-9d0a-111111111111"


def test_a_flow_id_that_is_no_uuid_is_refused() -> None:
    """The error names the value and the way out."""
    with pytest.raises(ConfigurationError, match=r"flow_id 'run-7' is not a UUID; leave it out .* uuid\.uuid5") as caught:
        obs.flow(flow_id="run-7")
    assert isinstance(caught.value.__cause__, ValueError)


@settings(deadline=None, max_examples=100)
@given(st.uuids(), st.integers(1, 2**64 - 1))
def test_traceparent_goes_round(flow: uuid.UUID, number: int) -> None:
    """What inject writes, extract reads, in any case of the header's name."""
    parent = RemoteParent(str(flow), number)
    if not flow.int:
        return
    text = f"00-{flow.hex}-{number:016x}-01"
    assert obs.extract({"TraceParent": text}) == parent
    with obs.flow(parent=parent) as run:
        assert run.flow_id == str(flow)
        headers: dict[str, str] = {}
        assert obs.inject(headers) is headers
        sent = obs.extract(headers)
        span = obs.current()
        assert span is not None
        assert sent == RemoteParent(str(flow), span.number)
        assert span.parent_id == SpanContext(span.flow, number, None, "", None).span_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
        "00-" + "1" * 31 + "-" + "1" * 16 + "-01",
        None,
        7,
    ],
)
def test_an_invalid_traceparent_is_none(text: Any) -> None:
    """W3C Trace Context, section 3.2.2: what is invalid is ignored, not raised."""
    assert obs.extract({"traceparent": text}) is None
    assert obs.extract({}) is None


def test_a_future_version_of_traceparent_is_read() -> None:
    """A higher version may have further fields; the first four are read."""
    text = "01-" + "1" * 32 + "-" + "2" * 16 + "-00-extra"
    assert obs.extract({"traceparent": text}) == RemoteParent("11111111-1111-1111-1111-111111111111", 0x2222222222222222)


def test_wrap_carries_the_context_into_threads_and_pools() -> None:
    """A plain thread and a pool know no flow; a wrapped function does, and the result may be called many times at once."""
    seen: list[str | None] = []
    with ThreadPoolExecutor(4) as pool, obs.flow() as run:
        plain = pool.submit(where).result()
        carried = obs.wrap(where)
        results = list(pool.map(lambda _: carried(), range(50)))
        thread = threading.Thread(target=obs.wrap(lambda: seen.append(where())))
        thread.start()
        thread.join()
    assert (plain, set(results), seen) == (None, {run.flow_id}, [run.flow_id])


def test_wrap_keeps_what_runs_inside_to_itself() -> None:
    """A wrapped function runs in a copy: a span that it leaves open does not reach its caller or the next call."""
    with obs.flow() as run:
        carried = obs.wrap(lambda: obs.flow().__enter__().flow_id)
        inner = {carried(), carried()}
        assert where() == run.flow_id
    assert len(inner) == 2


def test_wrap_passes_arguments_and_results() -> None:
    """Arguments, results and exceptions go through."""
    assert obs.wrap(lambda a, *, b: (a, b))(1, b=2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        obs.wrap(lambda: 1 / 0)()


def test_asyncio_carries_the_context_and_keeps_flows_apart() -> None:
    """Tasks, gather and to_thread keep their own flow however they interleave."""

    async def one() -> list[bool]:
        with obs.flow() as run:
            found = []
            for _ in range(5):
                await asyncio.sleep(0)
                found += [where() == run.flow_id, await asyncio.to_thread(where) == run.flow_id]
                found.append(await asyncio.create_task(asyncio.to_thread(where)) == run.flow_id)
            return found

    async def main() -> list[list[bool]]:
        return await asyncio.gather(*(one() for _ in range(10)))

    assert asyncio.run(main()) == [[True] * 15] * 10
    assert obs.current() is None


def test_propagate_makes_threads_and_pools_inherit() -> None:
    """A thread gets the context of its start, a pool's task that of its submit; after the undo neither does."""
    started: list[str | None] = []

    def run_thread() -> None:
        thread = threading.Thread(target=lambda: started.append(where()))
        thread.start()
        thread.join()

    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    undo = obs.propagate()
    try:
        with ThreadPoolExecutor(1) as pool:
            with obs.flow() as first:
                run_thread()
                in_first = pool.submit(where).result()
            with obs.flow() as second:
                in_second = list(pool.map(lambda _: where(), range(2)))
            outside = pool.submit(where).result()
    finally:
        undo()
    with obs.flow(), ThreadPoolExecutor(1) as pool:
        run_thread()
        after = pool.submit(where).result()
    assert (started, in_first, in_second) == ([first.flow_id, None], first.flow_id, [second.flow_id] * 2)
    assert (outside, after) == (None, None)
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)
    undo()
    assert threading.Thread.start is start


def test_propagate_twice_is_undone_in_any_order() -> None:
    """Two libraries opt in and out independently: after both undos nothing is inherited any more."""
    with ThreadPoolExecutor(1) as pool:
        start, submit = threading.Thread.start, ThreadPoolExecutor.submit
        first, second = obs.propagate(), obs.propagate()
        try:
            first()
            with obs.flow() as run:
                between = pool.submit(where).result()
            second()
            with obs.flow():
                after = pool.submit(where).result()
        finally:
            threading.Thread.start, ThreadPoolExecutor.submit = start, submit  # type: ignore[method-assign]
    assert (between, after) == (run.flow_id, None)


def patched() -> tuple[Any, ...]:
    """Return what ``propagate`` patches."""
    return threading.Thread.start, ThreadPoolExecutor.submit, ProcessPoolExecutor.submit


def in_a_thread() -> str | None:
    """Return the flow that a new thread is in."""
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(where()))
    thread.start()
    thread.join()
    return found[0]


def test_owners_of_propagate_that_overlap_share_one_patch() -> None:
    """Two thousand owners, each there before the one before it goes: threads start as ever, and in the end nothing is left."""
    before = patched()
    undo = obs.propagate()
    first = patched()
    for _ in range(2_000):
        following = obs.propagate()
        undo()
        undo()  # twice is once: it takes nothing from the other owner
        undo = following
    assert patched() == first
    with obs.flow() as run:
        assert in_a_thread() == run.flow_id
    undo()
    with obs.flow():
        assert in_a_thread() is None
    assert patched() == before


def test_propagate_below_the_patch_of_somebody_else() -> None:
    """Who patches on top meanwhile keeps their patch. Where they take it away after our undo, ours is back on top and does
    nothing; the next one takes its place, so that a thousand rounds leave one layer."""
    before = threading.Thread.start
    try:
        for _ in range(1_500):
            undo = obs.propagate()
            ours = threading.Thread.start

            @functools.wraps(ours)
            def theirs(thread: threading.Thread, start: Any = ours) -> None:
                start(thread)

            threading.Thread.start = theirs  # type: ignore[method-assign]
            undo()
            assert threading.Thread.start is theirs
            threading.Thread.start = ours  # type: ignore[method-assign]
        with obs.flow() as run:
            assert in_a_thread() is None
            undo = obs.propagate()
            assert in_a_thread() == run.flow_id
            undo()
            assert in_a_thread() is None
        assert threading.Thread.start is before
    finally:
        threading.Thread.start = before  # type: ignore[method-assign]


def test_propagate_above_a_patch_that_stays() -> None:
    """Somebody's patch that holds an old one of ours stays: the new one stands above it, the old one passes through."""
    before = threading.Thread.start
    try:
        undo = obs.propagate()
        ours, calls = threading.Thread.start, []

        def theirs(thread: threading.Thread) -> None:
            calls.append(thread)
            ours(thread)

        threading.Thread.start = theirs  # type: ignore[method-assign]
        undo()
        for _ in range(1_500):
            obs.propagate()()
        with obs.flow() as run:
            assert in_a_thread() is None
            undo = obs.propagate()
            assert in_a_thread() == run.flow_id
            undo()
        assert (threading.Thread.start, len(calls)) == (theirs, 2)
    finally:
        threading.Thread.start = before  # type: ignore[method-assign]


def test_a_thread_that_is_started_twice_still_says_so() -> None:
    """With propagate, misuse of a thread is reported as without it."""
    undo = obs.propagate()
    try:
        thread = threading.Thread(target=where)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
    finally:
        undo()


def test_timers_and_thread_subclasses_inherit_too() -> None:
    """A subclass with its own run is carried as well."""
    seen: list[str | None] = []

    class Worker(threading.Thread):
        def run(self) -> None:
            seen.append(where())

    undo = obs.propagate()
    try:
        with obs.flow() as run:
            for thread in (Worker(), threading.Timer(0, lambda: seen.append(where()))):
                thread.start()
                thread.join()
    finally:
        undo()
    assert seen == [run.flow_id] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_keeps_the_flow_and_makes_new_ids() -> None:
    """After a real fork the child is in its parent's flow, and their ids never meet."""
    code = """
import json, os
import the_edge_obs as obs
from the_edge_obs.context import new_flow_id, new_number
with obs.flow() as run:
    read, write = os.pipe()
    child = os.fork()
    mine = [obs.current().flow.id, [new_number() for _ in range(200)], [new_flow_id() for _ in range(20)]]
    if child == 0:
        with os.fdopen(write, "w") as pipe:
            json.dump(mine, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        theirs = json.load(pipe)
    os.waitpid(child, 0)
print(json.dumps([mine, theirs]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mine, theirs = json.loads(done.stdout)
    assert mine[0] == theirs[0]
    assert not set(mine[1]) & set(theirs[1])
    assert not set(mine[2]) & set(theirs[2])


def test_a_spawned_process_joins_by_traceparent() -> None:
    """A header handed to another process makes its flow the same flow, below the span that called."""
    code = """
import sys
import the_edge_obs as obs
with obs.flow("remote", parent=obs.extract({"traceparent": sys.argv[1]})) as run:
    print(run.flow_id, obs.current().parent_id)
"""
    with obs.flow() as run:
        span = obs.current()
        assert span is not None
        header = obs.inject({})["traceparent"]
        done = subprocess.run([sys.executable, "-c", code, header], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [run.flow_id, span.span_id]
