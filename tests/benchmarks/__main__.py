"""``python -m tests.benchmarks [--quick] [--only NAME ...] [--json PATH]``: measure, and print one table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from . import lists, reading, short, tables, variants
from .contenders import LEDGER, available, missing
from .rounds import FULL, QUICK, Plan, Row
from .table import bars, document, render

VARIANTS: dict[str, Callable[[Plan, list[str]], list[Row]]] = {
    "capture": variants.capture,
    "memory": variants.in_memory,
    "nested": variants.nested_in_memory,
    "ring": variants.full_ring,
    "file": variants.with_file,
    "filtered": variants.filtered,
    "off": variants.off,
    "threads": variants.threads,
    "tasks": variants.tasks,
    "flows": short.flows,
    "flow_tasks": short.tasks_with_flows,
    "cap": short.at_the_cap,
    "bytes": variants.kept_bytes,
    "read": reading.one_of_many,
    "flow_log": reading.flow_logs,
    "query": reading.queries,
    "sql": tables.tables,
    "lists": lists.lists,
    "import": reading.imports,
}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; a contender that does not do the whole job ends the run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that everything works; its numbers say little")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="the variants to run")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    asked = parser.parse_args(arguments)
    names = available()
    left_out = {name: packages for name in LEDGER if (packages := missing(name))}
    rows: list[Row] = []
    for variant in VARIANTS:
        if variant in asked.only:
            print(f"measuring: {variant}", file=sys.stderr)
            rows += VARIANTS[variant](QUICK if asked.quick else FULL, names)
    checked = bars(rows)
    print(render(rows, checked))
    for name, packages in left_out.items():
        print(f"left out: {name}, without {', '.join(packages)}; pip install 'the_edge_obs[bench]'")
    if asked.json:
        asked.json.write_text(json.dumps(document(rows, checked, left_out), indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
