"""Two flows at once in one event loop, each with tasks, a stream and a thread: ``python examples/asyncio/main.py``."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import the_edge_obs as obs


@obs.observable("web.fetch")
async def fetch(page: str) -> str:
    await asyncio.sleep(0.01)  # a real one would wait for the network
    return f"<h1>{page}</h1>"


@obs.observable("llm.stream")  # the span of a generator lasts until its last item, and counts its chunks
async def summarize(pages: list[str]) -> AsyncIterator[str]:
    for page in pages:
        await asyncio.sleep(0.005)
        yield page.removeprefix("<h1>").removesuffix("</h1>")


@obs.observable("hash")
def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def research(topic: str) -> str:
    """Run one flow and return its id."""
    with obs.flow(topic) as run:
        pages = await asyncio.gather(*(fetch(f"{topic} {number}") for number in (1, 2, 3)))
        summary = ", ".join([word async for word in summarize(pages)])
        await asyncio.to_thread(fingerprint, summary)  # asyncio carries the context into its threads
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, obs.wrap(fingerprint), summary)  # but not into executors: use wrap
    return run.flow_id


async def main() -> None:
    undo = obs.configure()  # a ring buffer in memory, at level info
    for flow_id in await asyncio.gather(research("tides"), research("moons")):
        log = obs.get_flow_log(flow_id)
        print(f"{log.name}: {log.status}, {log.metrics['total_duration_ms']:.0f} ms")
        for depth, span in log.walk():
            chunks = f"  {span.metrics['chunks']} chunks" if "chunks" in span.metrics else ""
            print(f"{'  ' * depth + span.node:<14}{span.duration_ms:6.1f} ms{chunks}")
        asked = [event["data"]["input"]["page"] for event in obs.query(flow_id, node="web.fetch", event_type="entry")]
        together = log.metrics["nodes"]["web.fetch"]["total_ms"]
        print(f"{', '.join(asked)}: {together:.0f} ms of fetching, side by side\n")
    undo()


if __name__ == "__main__":
    asyncio.run(main())
