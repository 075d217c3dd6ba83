"""``python -m tests.benchmarks.tea [--rounds N]``: what the integration costs on The Edge Agent's own engine.

Ten trivial nodes, in the same process and in turns: the bare engine, the engine observed in memory and then with a file per
run, and the same with the engine's own observability, which logs neither input nor output. It measures the processor time of
the running thread, because a busy machine takes turns away from all of them. The ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
import warnings
from statistics import median
from typing import Any

from the_edge_obs.integrations import tea

NODES = {
    "run": [{"name": f"n{number}", "run": f"return {{'x{number}': {number}}}"} for number in range(10)],
    "uses": [{"name": f"n{number}", "uses": "trivial", "output": f"x{number}"} for number in range(10)],
}
FILE: dict[str, Any] = {"type": "file"}
BLOCKS: dict[str, dict[str, Any]] = {"ring": {}, "file": {"handlers": [FILE]}}
OWN: dict[str, dict[str, Any]] = {
    "ring": {"enabled": True, "handlers": []},
    "file": {"enabled": True, "handlers": [FILE | {"path": "own/{flow_id}.jsonl"}]},
}


def graph_of(engine: Any, kind: str, **settings: Any) -> Any:
    """Return the graph of ten nodes."""
    return engine.load_from_dict({"name": "ten", "nodes": NODES[kind], **settings})


def once(graph: Any) -> float:
    """Return the processor time of one run, in seconds."""
    started = time.thread_time()
    for _ in graph.invoke({}):
        pass
    return time.thread_time() - started


def engine() -> Any:
    """Return an engine of its own, with the action of ``uses``."""
    from the_edge_agent import YAMLEngine

    return YAMLEngine(actions_registry={"trivial": lambda state, **kwargs: 1})


def measured(kind: str, handler: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return the microseconds of a run, bare, observed and with the engine's own observability, and the ratios of those."""
    observed = engine()
    undo = tea.attach(observed)
    graphs = (
        graph_of(engine(), kind),
        graph_of(observed, kind, settings={"observability": BLOCKS[handler]}),
        graph_of(engine(), kind, observability=OWN[handler]),
    )
    for graph in graphs * 30:
        once(graph)
    gc.collect()
    times = [[once(graph) for graph in graphs] for _ in range(rounds)]
    undo()
    microseconds = [median(run[at] for run in times) * 1e6 for at in range(3)]
    return microseconds, [median(run[at] / run[0] for run in times) for at in (1, 2)]


def main() -> int:
    """Measure, and print one line for each kind of node and each handler."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tea", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    try:
        engine()
    except ImportError:
        print("the engine the_edge_agent is not installed; docs/tea.md says how", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for kind in NODES:
            for handler in BLOCKS:
                (bare, ours, own), (ratio, own_ratio) = measured(kind, handler, rounds)
                print(
                    f"{kind:5} {handler:5} bare {bare:5.0f} us, observed {ours:5.0f} us, ratio {ratio:.2f}; "
                    f"the engine's own {own:5.0f} us, ratio {own_ratio:.2f}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
