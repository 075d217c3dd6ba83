"""Whether a contender has done the whole job. Who has not is not measured."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from .contenders import Contender, Seen
from .node import CHAT, NESTED, NODE, SECRET, SMALL, Payload, redacted

OUTER = "plan"


class NotHonestError(AssertionError):
    """A contender that leaves out a part of the job."""


def require(holds: bool, contender: Contender, what: str) -> None:
    """Raise unless it holds.

    Raises:
        NotHonestError: it does not.
    """
    if not holds:
        raise NotHonestError(f"{type(contender).__name__}: {what}")


def check(contender: Contender) -> None:
    """Check that a node inside a node, inside a flow, is read back as it was: from memory, and from the file if there is one.

    Raises:
        NotHonestError: an event, an id or a value is missing or wrong, the secret is there, or a later mutation shows.
    """
    for payload in (NESTED, CHAT):
        _check_payload(contender, payload)


def _check_payload(contender: Contender, payload: Payload) -> None:
    inner = contender.observe(payload.call, NODE)
    outer = contender.observe(lambda params, state, ctx: inner(params, state, ctx), OUTER)
    params = payload.parameters()
    with contender.flow() as (flow_id, root):
        outer(params, {}, None)
    _mutate(params)
    contender.finish()
    _check_nest(contender, contender.events(flow_id), flow_id, root, payload)
    if contender.folder is not None:
        written = [event for event in contender.written() if event.flow_id == flow_id]
        _check_nest(contender, written, flow_id, root, payload)
        text = "".join(path.read_text("utf-8") for path in contender.folder.iterdir())
        require(SECRET not in text, contender, "the secret is in the file")
    contender.clear()


def _mutate(value: Any) -> None:
    """Change every container in a value."""
    for item in list(value.values() if isinstance(value, dict) else value):
        if isinstance(item, (dict, list)):
            _mutate(item)
    if isinstance(value, dict):
        value["mutated"] = True
    else:
        value.append("mutated")


def _check_nest(contender: Contender, events: list[Seen], flow_id: Any, root: Any, payload: Payload) -> None:
    require(SECRET not in repr(events), contender, "the secret is there")
    found = {(event.node, event.kind): event for event in events if event.node in (NODE, OUTER)}
    kinds = [(node, kind) for node in (OUTER, NODE) for kind in ("entry", "exit")]
    require(sorted(found) == sorted(kinds), contender, f"events are {sorted(found)}")
    for node, kind in kinds:
        expected = redacted(payload.parameters()) if kind == "entry" else payload.result
        require(found[node, kind].data == expected, contender, f"{kind} of {node} is {found[node, kind].data!r}")
    if not contender.keeps_ids:
        return
    for event in found.values():
        require(event.flow_id == flow_id, contender, f"flow_id is {event.flow_id!r}")
        require(event.span_id not in (None, root), contender, f"span_id is {event.span_id!r}")
        require(event.span_id == found[event.node, "entry"].span_id, contender, "entry and exit are of different spans")
        parent = root if event.node == OUTER else found[OUTER, "entry"].span_id
        require(event.parent_id == parent, contender, f"parent_id is {event.parent_id!r}, not {parent!r}")
    require(found[NODE, "entry"].span_id != found[OUTER, "entry"].span_id, contender, "two spans share an id")


def check_threads(contender: Contender, threads: int = 8, calls: int = 200) -> None:
    """Check that flows in threads at once are neither mixed nor lost.

    Raises:
        NotHonestError: a flow has other events than its own.
    """
    observed = contender.observe(SMALL.call, NODE)
    flows: dict[int, tuple[Any, Any]] = {}

    def run(index: int) -> None:
        with contender.flow() as flows[index]:
            for number in range(calls):
                observed({"index": index, "number": number}, {}, None)

    workers = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    contender.finish()
    for index, (flow_id, root) in flows.items():
        _check_calls(contender, flow_id, root, [{"index": index, "number": number} for number in range(calls)])
    contender.clear()


def check_tasks(contender: Contender, tasks: int = 100) -> None:
    """Check that asyncio tasks of one flow all have spans of their own below the root.

    Raises:
        NotHonestError: a task's events are not its own.
    """
    observed = contender.observe_async(SMALL.acall, NODE)

    async def run() -> None:
        await asyncio.gather(*(observed({"number": number}, {}, None) for number in range(tasks)))

    with contender.flow() as (flow_id, root):
        asyncio.run(run())
    contender.finish()
    _check_calls(contender, flow_id, root, [{"number": number} for number in range(tasks)])
    contender.clear()


def _check_calls(contender: Contender, flow_id: Any, root: Any, inputs: list[dict[str, Any]]) -> None:
    events = [event for event in contender.events(flow_id) if event.node == NODE]
    entries = [event for event in events if event.kind == "entry"]
    exits = [event for event in events if event.kind == "exit"]
    key = lambda data: data["number"]  # noqa: E731
    if not contender.keeps_ids:
        require(len(entries) == len(exits), contender, f"{len(entries)} entries and {len(exits)} exits")
        return
    require(sorted((event.data for event in entries), key=key) == inputs, contender, "entries are mixed or lost")
    spans = {event.span_id for event in entries}
    require(len(spans) == len(inputs) and spans == {event.span_id for event in exits}, contender, "spans are mixed or lost")
    require(all(event.parent_id == root for event in events), contender, "a parent is not the flow's root")


def check_flows(contender: Contender) -> None:
    """Check that an empty flow is two events, its beginning and its end: in memory, and in the file if there is one.

    Raises:
        NotHonestError: they are missing, or not alone.
    """
    with contender.flow() as (flow_id, _):
        pass
    contender.finish()
    sources = [contender.events(flow_id)]
    if contender.folder is not None:
        sources.append([event for event in contender.written() if event.flow_id == flow_id])
    for events in sources:
        kinds = [(event.node, event.kind) for event in events]
        require(kinds == [("flow", "entry"), ("flow", "exit")], contender, f"events of an empty flow are {kinds}")
    contender.clear()
