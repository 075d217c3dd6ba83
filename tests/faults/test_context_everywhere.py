"""The context gets wherever the code goes: tasks, generators, threads, pools, callbacks, processes and other machines."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.context import SpanContext, current
from the_edge_obs.event import problems


@obs.observable("work")
def work(n: int) -> int:
    return n + 1


@obs.observable("chunks")
async def chunks() -> AsyncIterator[int]:
    for n in range(100):
        work(n)
        yield n


def here() -> SpanContext | None:
    """Return the span that what is logged here stands below: it may have ended, as ``obs.current()`` never has."""
    return current()


def place() -> str | None:
    """Return the id of that span, or None."""
    span = current()
    return None if span is None else span.span_id


def tree(log: obs.FlowLog) -> list[tuple[str, str | None, str]]:
    """Return (node, parent's node, status) of each span of a log, whose events must be valid."""
    assert [problem for event in log.events for problem in problems(event)] == []
    names = {span.span_id: span.node for span in log.spans}
    return [(span.node, names.get(span.parent_id or ""), span.status) for span in log.spans]


# --- asyncio ---


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup is new in 3.11")
def test_a_task_group_that_fails_cancels_its_tasks(ring: obs.RingBufferHandler) -> None:
    """Each task's spans lie below the span that opened the group; the failed one is an error, its siblings are cancelled."""

    async def one(name: str, *, fails: bool) -> None:
        with obs.span(name):
            if fails:
                raise ValueError(name)
            await asyncio.Event().wait()

    async def main() -> None:
        with obs.span("group"):
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
                group.create_task(one("a", fails=False))
                group.create_task(one("b", fails=False))
                await asyncio.sleep(0)
                group.create_task(one("c", fails=True))

    with obs.flow() as run, pytest.raises(BaseException, match="unhandled errors"):
        asyncio.run(main())
    assert tree(obs.get_flow_log(run.flow_id)) == [
        ("flow", None, "ok"),
        ("group", "flow", "error"),
        ("a", "group", "cancelled"),
        ("b", "group", "cancelled"),
        ("c", "group", "error"),
    ]


def test_a_cancellation_of_trio_cancels_the_span(ring: obs.RingBufferHandler) -> None:
    """Its exception has another name than asyncio's."""
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with trio.move_on_after(0), obs.span("never"):
            await trio.sleep_forever()

    with obs.flow("trio") as run:
        trio.run(main)
    assert [(span.node, span.status) for _, span in run.get_flow_log().walk()] == [("flow", "ok"), ("never", "cancelled")]


def test_a_timeout_cancels_the_span_and_gives_the_place_back(ring: obs.RingBufferHandler) -> None:
    """What timed out is cancelled, what goes on stands where it stood before."""

    async def main() -> tuple[str | None, str | None]:
        before = place()
        with pytest.raises(asyncio.TimeoutError), obs.span("caller"):
            await asyncio.wait_for(never(), 0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(never(), 0.001)
        return before, place()

    @obs.observable("never")
    async def never() -> None:
        with obs.span("inner"):
            await asyncio.Event().wait()

    with obs.flow() as run:
        before, after = asyncio.run(main())
    assert before == after == run.context.span_id
    found = tree(obs.get_flow_log(run.flow_id))
    assert found[:2] == [("flow", None, "ok"), ("caller", "flow", "error")]
    assert found[-2:] == [("never", "flow", "cancelled"), ("inner", "never", "cancelled")]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["aclose", "other task", "collected", "left to the loop"])
def test_an_async_generator_left_early_harms_nobody(ring: obs.RingBufferHandler, way: str) -> None:
    """However it ends, its span ends, its children stay below it, and who consumed it keeps its place."""

    kept = []

    async def main() -> list[str | None]:
        items = chunks()
        if way == "left to the loop":
            kept.append(items)
        places = [place()]
        await items.__anext__()
        await items.__anext__()
        places.append(place())
        if way == "aclose":
            await items.aclose()  # type: ignore[attr-defined]
        elif way == "other task":
            await asyncio.create_task(items.aclose())  # type: ignore[attr-defined]
        elif way == "collected":
            del items
            gc.collect()
            for _ in range(5):  # the loop makes a task that closes it
                await asyncio.sleep(0)
        places.append(place())
        with obs.span("after"):
            return places

    with obs.flow() as run:
        assert asyncio.run(main()) == [run.context.span_id] * 3
        assert place() == run.context.span_id
    log = obs.get_flow_log(run.flow_id)
    assert sorted(tree(log)) == sorted(
        [
            ("flow", None, "ok"),
            ("chunks", "flow", "ok"),
            ("work", "chunks", "ok"),
            ("work", "chunks", "ok"),
            ("after", "flow", "ok"),
        ]
    )
    (ended,) = (event for event in log.events if event["node"] == "chunks" and event["event_type"] == "exit")
    assert (ended["metrics"]["chunks"], ended["metrics"]["closed_early"]) == (2, 1)


@pytest.mark.slow
def test_a_generator_that_the_collector_closes_in_another_thread(ring: obs.RingBufferHandler) -> None:
    """Its span ends in its own flow, not in the one that runs where the collector ran."""

    @obs.observable("items")
    def items() -> Any:
        yield from range(10)

    with obs.flow() as first:
        left = [items()]
        next(left[0])

    def drop() -> None:
        with obs.flow():
            left.clear()
            gc.collect()

    thread = threading.Thread(target=drop)
    thread.start()
    thread.join()
    assert tree(obs.get_flow_log(first.flow_id)) == [("flow", None, "ok"), ("items", "flow", "ok")]


def test_callbacks_of_a_loop_carry_the_place_of_who_asked_for_them(ring: obs.RingBufferHandler) -> None:
    """call_soon, call_later, call_soon_threadsafe, add_done_callback and run_coroutine_threadsafe, as Python has it."""
    seen: dict[str, str | None] = {}

    async def told(name: str) -> None:
        seen[name] = place()

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def note(name: str) -> Callable[..., None]:
            return lambda *_: seen.setdefault(name, place()) and None

        def from_thread() -> None:
            loop.call_soon_threadsafe(note("threadsafe"))
            asyncio.run_coroutine_threadsafe(told("coroutine"), loop).result()

        with obs.span("asks") as span:
            loop.call_soon(note("soon"))
            loop.call_later(0, note("later"))
            future = loop.create_future()
            future.add_done_callback(note("done"))
            future.add_done_callback(lambda _: done.set())
            assert span.context is not None
            seen["asks"] = span.context.span_id
            carried = obs.wrap(from_thread)
            await asyncio.to_thread(from_thread)
        await loop.run_in_executor(None, carried)
        future.set_result(None)
        await done.wait()

    with obs.flow():
        asyncio.run(main())
    asks = seen.pop("asks")
    assert seen == dict.fromkeys(("soon", "later", "done", "threadsafe", "coroutine"), asks)


# --- threads ---


@pytest.mark.parametrize("how", ["wrap", "propagate"])
def test_threads_of_every_kind_stand_below_who_started_them(ring: obs.RingBufferHandler, how: str) -> None:
    """Plain threads, timers, pools and executors of a loop."""

    async def in_executor(fn: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, fn, 1)

    undo = obs.propagate() if how == "propagate" else lambda: None
    carry = obs.wrap if how == "wrap" else lambda fn: fn
    try:
        with ThreadPoolExecutor(2) as pool, obs.flow() as run:
            with obs.span("starts"):
                threads = [threading.Thread(target=carry(work), args=(1,)), threading.Timer(0, carry(work), (1,))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert list(pool.map(carry(work), range(3))) == [1, 2, 3]
                assert pool.submit(carry(work), 1).result() == 2
                assert asyncio.run(in_executor(carry(work))) == 2
            pool.submit(carry(work), 1).result()
    finally:
        undo()
    assert tree(obs.get_flow_log(run.flow_id)) == [
        ("flow", None, "ok"),
        ("starts", "flow", "ok"),
        *[("work", "starts", "ok")] * 7,
        ("work", "flow", "ok"),
    ]


# --- processes ---


@pytest.mark.slow
def test_a_wrapped_function_can_be_pickled(ring: obs.RingBufferHandler) -> None:
    """It comes back in the same span of the same flow, with the flow's secrets; made outside any flow it runs outside any."""
    with obs.flow("triage") as run, obs.span("outer", password="hunter2hunter2") as span:
        text = pickle.dumps(obs.wrap(here))
    outside = pickle.dumps(obs.wrap(here))
    with obs.flow():
        found, nothing = pickle.loads(text)(), pickle.loads(outside)()
    assert isinstance(found, SpanContext)
    assert span.context is not None
    assert (found, nothing) == (span.context, None)
    assert (found.flow.name, found.flow.taints) == ("triage", {"hunter2hunter2"})
    del run, span, found
    ring.clear()
    gc.collect()
    anew = pickle.loads(text)()  # as in a process that does not have the flow
    assert (anew.node, anew.flow.name, anew.flow.taints) == ("outer", "triage", {"hunter2hunter2"})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(obs.wrap(lambda: None))


_POOLS = """
import concurrent.futures, multiprocessing, os, sys
import the_edge_obs as obs

method, folder = sys.argv[1:]
obs.configure({"handlers": [{"type": "file", "path": folder + "/{flow_id}.jsonl"}]})

@obs.observable("work")
def work(n, key="hunter2hunter2"):
    obs.span("inner", pid=os.getpid()).__enter__().__exit__(None, None, None)
    return n + 1

def where():
    span = obs.current()
    return span and (span.flow.id, span.node)

def main():
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool, context.Pool(1) as old:
        with obs.flow("first") as first:
            with obs.span("login", password="hunter2hunter2"):
                carried = obs.wrap(work)
                assert list(pool.map(carried, range(4))) == [1, 2, 3, 4]
                assert pool.submit(carried, 1).result() == 2
                assert old.map(carried, range(2)) == [1, 2]
                process = context.Process(target=carried, args=(1,))
                process.start()
                process.join()
                assert process.exitcode == 0
        undo = obs.propagate()
        with obs.flow("second") as second:
            assert pool.submit(where).result() == (second.flow_id, "flow")
            assert list(pool.map(work, range(2), chunksize=2)) == [1, 2]
        # The workers were started inside the first flow, and a fork has its context: it must not stick to other tasks.
        assert pool.submit(where).result() is None
        undo()
    for run in (first, second):
        log = obs.get_flow_log(run.flow_id)
        names = {span.span_id: span.node for span in log.spans}
        shown = [(span.node, names.get(span.parent_id), span.status) for span in log.spans]
        print(log.status, sorted((line, shown.count(line)) for line in set(shown) if line[1]))
        entries = [event for event in log.events if event["event_type"] == "entry"]
        pids = {event["data"]["input"]["pid"] for event in entries if event["node"] == "inner"}
        assert os.getpid() not in pids and pids
    assert "hunter2" not in "".join(open(os.path.join(folder, name)).read() for name in os.listdir(folder))

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pools_and_processes_work_below_who_asked(program: Callable[..., Any], tmp_path: Path, method: str) -> None:
    """With wrap or propagate: one flow, one tree, no secret of the parent in the children's lines, whoever reads it back."""
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"the platform has no {method}")
    (tmp_path / "logs").mkdir()
    done = program(_POOLS, method, tmp_path / "logs")
    assert done.stdout.splitlines() == [
        "ok [(('inner', 'work', 'ok'), 8), (('login', 'flow', 'ok'), 1), (('work', 'login', 'ok'), 8)]",
        "ok [(('inner', 'work', 'ok'), 2), (('work', 'flow', 'ok'), 2)]",
    ]


_SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import the_edge_obs as obs

obs.configure({"handlers": [{"type": "file", "path": sys.argv[1] + "/server-{flow_id}.jsonl"}]})

@obs.observable("answer")
def answer(path):
    return {"path": path}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with obs.flow("server", parent=obs.extract(self.headers)):
            answer(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.handle_request()
server.server_close()
"""


@pytest.mark.slow
def test_a_call_over_http_joins_two_processes_logs_into_one_tree(program: Callable[..., Any], tmp_path: Path) -> None:
    """The client's and the server's files, read as one folder, are one flow: the server's work lies below the call."""
    import http.client

    server = program(_SERVER, tmp_path, wait=False)
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "client-{flow_id}.jsonl")}]})
    try:
        with obs.flow("client") as run, obs.span("call"):
            connection = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()), timeout=20)
            connection.request("GET", "/triage", headers=obs.inject({}))
            assert connection.getresponse().status == 204
            connection.close()
        assert (server.wait(20), server.stderr.read()) == (0, b"")
    finally:
        server.kill()
        server.communicate()
        undo()
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        f"{side}-{run.flow_id}.jsonl" for side in ("client", "server")
    ]
    log = obs.get_flow_log(tmp_path)
    assert (log.flow_id, log.name, log.status) == (run.flow_id, "client", "ok")
    assert tree(log) == [("flow", None, "ok"), ("call", "flow", "ok"), ("flow", "call", "ok"), ("answer", "flow", "ok")]
    assert [span.parent_id for span in log.spans[1:]] == [span.span_id for span in log.spans[:3]]
