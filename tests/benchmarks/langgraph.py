"""``python -m tests.benchmarks.langgraph [--rounds N]``: what the integration costs on LangGraph's own engine.

A graph of ten trivial nodes, in one process and in turns: bare, with the integration installed and observability off, into a
ring, and into a ring and a file per run. It measures the processor time of all threads, because older versions run nodes in
threads, and a busy machine takes turns away from them. The ratio to the bare graph is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import operator
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any, TypedDict

import the_edge_obs as obs

NODES = 10
WARM_UP = 30  # runs


class State(TypedDict):
    """What the nodes work on."""

    seen: Annotated[list[int], operator.add]


def graph_of(count: int) -> Any:
    """Return a graph of nodes in a row, each of which adds its number."""
    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(State)
    names = [START, *(f"n{number}" for number in range(count)), END]
    for number in range(count):
        builder.add_node(f"n{number}", lambda state, number=number: {"seen": [number]})
    for before, after in zip(names, names[1:], strict=False):
        builder.add_edge(before, after)
    return builder.compile()


def once(graph: Any) -> float:
    """Return the processor time of one run, in seconds."""
    started = time.process_time()
    graph.invoke({"seen": []})
    return time.process_time() - started


def variants(folder: str) -> dict[str, Callable[[], list[Callable[[], None]]]]:
    """Return for each variant a function that sets it up and returns its undos."""
    from the_edge_obs.integrations.langchain import install

    ring: dict[str, Any] = {}
    file = {"handlers": [{"type": "file", "path": f"{folder}/flow-{{flow_id}}.jsonl"}]}
    return {
        "bare": list,
        "installed, off": lambda: [install()],
        "ring": lambda: [install(), obs.configure(ring)],
        "ring and file": lambda: [install(), obs.configure(file)],
    }


def measured(rounds: int, folder: str) -> dict[str, list[float]]:
    """Return the seconds of each round, by variant."""
    graph, found = graph_of(NODES), {}
    for _ in range(WARM_UP):
        once(graph)
    made = variants(folder)
    found = {name: [] for name in made}
    gc.collect()
    for _ in range(rounds):
        for name, set_up in made.items():
            undos = set_up()
            once(graph)  # the first one builds what the change of levels has dropped
            found[name].append(once(graph))
            for undo in reversed(undos):
                undo()
    return found


def main() -> int:
    """Measure, and print one line for each variant."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.langgraph", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(rounds, folder)
    except ImportError as error:
        print(f"{error}; python -m pip install '.[langchain]' langgraph", file=sys.stderr)
        return 2
    bare = found.pop("bare")
    print(f"{'bare':15} {median(bare) * 1e6:6.0f} us")
    for name, times in found.items():
        ratio = median(took / without for took, without in zip(times, bare, strict=True))
        print(f"{name:15} {median(times) * 1e6:6.0f} us, ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
