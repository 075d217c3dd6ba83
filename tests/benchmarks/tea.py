"""``python -m tests.benchmarks.tea [--rounds N]``: what the integration costs on The Edge Agent's own engine.

Ten trivial nodes, in the same process and in turns: the bare engine, then the engine with a ring, then with a ring and a file per
run. It measures the processor time of the running thread, because a busy machine takes turns away from all of them. The ratio is
the median of the rounds' ratios.
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
BLOCKS: dict[str, dict[str, Any]] = {"ring": {}, "file": {"handlers": [{"type": "file"}]}}


def graph_of(engine: Any, kind: str, block: dict[str, Any] | None) -> Any:
    """Return the graph of ten nodes, observed if there is a block."""
    settings = {} if block is None else {"settings": {"observability": block}}
    return engine.load_from_dict({"name": "ten", "nodes": NODES[kind], **settings})


def once(graph: Any) -> float:
    """Return the processor time of one run, in seconds."""
    started = time.thread_time()
    for _ in graph.invoke({}):
        pass
    return time.thread_time() - started


def measured(make: Any, kind: str, block: dict[str, Any], rounds: int) -> tuple[float, float, float]:
    """Return the microseconds of a bare and of an observed run, and the ratio."""
    bare, observed = make(), make()
    undo = tea.attach(observed)
    graphs = graph_of(bare, kind, None), graph_of(observed, kind, block)
    for graph in graphs * 30:
        once(graph)
    gc.collect()
    times = [(once(graphs[0]), once(graphs[1])) for _ in range(rounds)]
    undo()
    return median(b for b, _ in times) * 1e6, median(o for _, o in times) * 1e6, median(o / b for b, o in times)


def main() -> int:
    """Measure, and print one line for each kind of node and each handler."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tea", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    try:
        from the_edge_agent import YAMLEngine
    except ImportError:
        print("the engine the_edge_agent is not installed; docs/tea.md says how", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for kind in NODES:
            for handler, block in BLOCKS.items():
                bare, observed, ratio = measured(
                    lambda: YAMLEngine(actions_registry={"trivial": lambda state, **kwargs: 1}), kind, block, rounds
                )
                print(f"{kind:5} {handler:5} bare {bare:6.0f} us, observed {observed:6.0f} us, ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
