"""``python -m tests.benchmarks [--quick] [--only NAME ...] [--json PATH]``: measure, and print one table.

With the native core, a second table has the same in pure Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from the_edge_obs.redaction.payloads import CORE, PURE, PYTHON

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


# What the native core changes: these are measured in pure Python as well.
OF_THE_CORE = (
    *("capture", "memory", "nested", "ring", "file", "threads", "tasks", "flows", "flow_tasks", "cap", "bytes", "read"),
    "flow_log",
)
BESIDE = ("floor", "the_edge_obs", "eliot")


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; a contender that does not do the whole job ends the run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that everything works; its numbers say little")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="the variants to run")
    parser.add_argument("--contenders", nargs="+", choices=LEDGER, help="the contenders to measure; all by default")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    asked = parser.parse_args(arguments)
    names = available(asked.contenders)
    left_out = {name: packages for name in asked.contenders or LEDGER if (packages := missing(name))}
    is_native = not CORE.startswith(PYTHON)
    rows: list[Row] = []
    pure: list[Row] = []
    for variant in VARIANTS:
        if variant in asked.only:
            print(f"measuring: {variant}", file=sys.stderr)
            rows += VARIANTS[variant](QUICK if asked.quick else FULL, names)
            if is_native and variant in OF_THE_CORE:
                pure += in_pure_python(variant, [name for name in names if name in BESIDE], quick=asked.quick)
    checked = bars(rows, is_native=is_native)
    print(f"{CORE}\n{render(rows, checked)}")
    if pure:
        print(f"\n{PYTHON}, each variant right after the one above, in a process of its own\n{render(pure, bars(pure))}")
    for name, packages in left_out.items():
        print(f"left out: {name}, without {', '.join(packages)}; pip install 'the_edge_obs[bench]'")
    if asked.json:
        found = document(rows, checked, left_out) | ({"pure": document(pure, bars(pure), left_out)} if pure else {})
        asked.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return 0


def in_pure_python(variant: str, names: list[str], *, quick: bool) -> list[Row]:
    """Return the rows of a variant, measured by a process that leaves the native core out."""
    with TemporaryDirectory() as folder:
        found = Path(folder, "rows.json")
        command = [sys.executable, "-m", __spec__.name.removesuffix(".__main__"), "--only", variant, "--json", str(found)]
        command += ["--contenders", *names, *(["--quick"] if quick else [])]
        subprocess.run(command, env={**os.environ, PURE: "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return [Row(**row) for row in json.loads(found.read_text("utf-8"))["rows"]]


if __name__ == "__main__":
    sys.exit(main())
