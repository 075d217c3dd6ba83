"""The context: ids, traceparent, and that it gets where it should and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import uuid

import pytest

import the_edge_obs as obs
from the_edge_obs.context import (
    FlowState,
    SpanContext,
    at_fork,
    checked_flow_id,
    child_context,
    flows_known,
    new_flow_id,
    new_number,
)
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_hooks_run_on_their_side_of_a_fork() -> None:
    """Each hook runs once: before the fork, in the parent and in the child."""
    code = """
import os
from the_edge_obs.context import at_fork
seen = []
at_fork(before=lambda: seen.append("before"), after_in_parent=lambda: seen.append("parent"))
at_fork(after_in_child=lambda: seen.append("child"))
if (child := os.fork()) == 0:
    os._exit(seen != ["before", "child"])
_, status = os.waitpid(child, 0)
assert status == 0 and seen == ["before", "parent"], (status, seen)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_system_without_forks_has_no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is nothing to register, and nothing fails."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    at_fork(after_in_child=lambda: None)


def test_flows_are_known_as_long_as_they_are_referenced() -> None:
    """Of two with the same id the later one counts; references to flows that are gone are swept, and those in use stay."""
    flow_id = new_flow_id()
    first, second = FlowState(flow_id, "first"), FlowState(flow_id, "second")
    flows_known.add(first)
    flows_known.add(second)
    gone = [new_flow_id() for _ in range(10_000)]
    for name in gone:
        flows_known.add(FlowState(name, "gone"))
    gc.collect()
    assert (flows_known.get(flow_id), {flows_known.get(name) for name in gone}) == (second, {None})
    assert len(flows_known) < 5_000
