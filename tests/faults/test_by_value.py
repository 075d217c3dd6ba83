"""Observed functions of programs and notebooks travel by value: cloudpickle, and what is built on it, in real processes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs

pytestmark = pytest.mark.slow

FUNCTIONS = '''
import asyncio, functools, json, os, sys, time
import the_edge_obs as obs

@obs.observable("work", sanitize_keys=["cpf"])
def work(n, cpf=None):
    """Return where it ran and what it was."""
    with obs.span("inner"):
        time.sleep(0.05)  # so that no worker takes all of the work
    return os.getpid(), obs.current().span_id, obs.current().flow.id

@obs.observable
async def later(n): return n

@obs.observable
def stream(n): yield from range(n)

@obs.observable
async def async_stream(n):
    for i in range(n): yield i

class Tool:
    def __call__(self, n): return n + 1
    @obs.observable
    def method(self, n): return n
    @obs.observable
    @staticmethod
    def static(n): return n
    @classmethod
    @obs.observable
    def of_class(cls, n): return cls.__name__, n

@obs.observable("fails")
def fails(): raise ValueError("no")

tool = obs.observable(Tool())
part = obs.observable(functools.partial(stream.__wrapped__, 2))
def plain(n): return obs.current() and obs.current().node
registry = {"plain": plain, "later": later.__wrapped__}
obs.instrument(registry)

def configured():
    """Observe in a worker, where nothing is configured but what this does."""
    path = os.environ["LOGS"] + "/{flow_id}-" + str(os.getpid()) + ".jsonl"
    obs.configure({"level": "info", "handlers": [{"type": "file", "path": path}]})
'''


def needs(package: str) -> None:
    """Skip a test where the package is not there. It is not imported here: Dask looks at every exception class there is."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install {package}")


def run_program(tmp_path: Path, code: str, **kwargs: Any) -> Any:
    """Run a program whose functions are those of ``__main__``, and return what it prints last, as JSON."""
    program = tmp_path / "program.py"
    program.write_text(FUNCTIONS + code, encoding="utf-8")
    logs = tmp_path / "logs"
    logs.mkdir()
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "LOGS": str(logs), "RAY_USAGE_STATS_ENABLED": "0"}, **kwargs,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_kind_travels_and_is_observed_there(tmp_path: Path) -> None:
    """Functions, methods, classes, objects and registries: in a process that does not have the program, each logs its calls."""
    needs("cloudpickle")
    code = """
import cloudpickle, subprocess
everything = [work, later, stream, async_stream, fails, tool, part, Tool().method, Tool, registry["plain"], registry["later"]]
child = '''
import asyncio, json, pickle, sys
work, later, stream, async_stream, fails, tool, part, method, Tool, plain, registered = pickle.loads(sys.stdin.buffer.read())
import the_edge_obs as obs
obs.configure()
async def drain(): return [item async for item in async_stream(2)]
with obs.flow() as run:
    work(1, cpf="11122233344")
    got = [asyncio.run(later(3)), list(stream(2)), asyncio.run(drain()), tool(1), list(part()), method(3), Tool.static(4),
           Tool.of_class(5), plain(6), asyncio.run(registered(7))]
    try: fails()
    except ValueError as error: got.append(str(error))
events = obs.query(run.flow_id)
assert {"n": 1, "cpf": "[REDACTED]"} in [event["data"].get("input") for event in events]
print(json.dumps([got, [event["node"] for event in events if event["event_type"] in ("exit", "error")]]))
'''
done = subprocess.run([sys.executable, "-c", child], input=cloudpickle.dumps(everything), capture_output=True, check=True)
print(done.stdout.decode().strip())
"""
    got, nodes = run_program(tmp_path, code)
    assert got == [3, [0, 1], [0, 1], 2, [0, 1], 3, 4, ["Tool", 5], "plain", 7, "no"]
    assert nodes == [
        "inner", "work", "later", "stream", "async_stream", "Tool", "stream", "method", "static", "of_class", "plain", "later",
        "fails", "flow",
    ]  # fmt: skip


def test_what_travels_holds_no_state_of_this_process(tmp_path: Path) -> None:
    """No random state, no verdicts on levels: a worker makes its own ids, and goes by its own levels, at once and later."""
    needs("cloudpickle")
    code = """
import cloudpickle, logging, subprocess
obs.configure()  # so that verdicts on levels are there to be carried off
with obs.flow(): work(1)
data = cloudpickle.dumps(work)
assert cloudpickle.dumps(work) == data  # the same at any time: it has no counter and no clock in it
child = '''
import json, logging, pickle, sys
work = pickle.loads(sys.stdin.buffer.read())
import the_edge_obs as obs
counts, ids = [], []
def count():
    with obs.flow() as run: ids.append(work(1)[1])
    counts.append(len([1 for event in ring.events(run.flow_id) if event["node"] == "work"]))
ring = obs.RingBufferHandler()
tea = logging.getLogger("tea")
tea.addHandler(ring)
for level in ("WARNING", "INFO", "WARNING"):
    tea.setLevel(level)
    count()
print(json.dumps([counts, ids]))
'''
runs = [subprocess.run([sys.executable, "-c", child], input=data, capture_output=True, check=True).stdout for _ in range(3)]
print(json.dumps([json.loads(run) for run in runs]))
"""
    found = run_program(tmp_path, code)
    assert [counts for counts, _ in found] == [[0, 2, 0]] * 3
    assert len({span for _, ids in found for span in ids}) == 9


def test_dask_workers_log_into_the_flow_with_ids_of_their_own(tmp_path: Path) -> None:
    """A LocalCluster of two processes: what ``wrap`` carries is one flow, and no two spans have one id."""
    needs("distributed")
    code = """
if __name__ == "__main__":
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        workers = [[address] for address in client.run(configured)]
        with obs.flow("dask") as run:
            carried = obs.wrap(work)
            got = client.gather([client.submit(carried, n, pure=False, workers=workers[n % 2]) for n in range(12)])
        alone = client.gather([client.submit(work, n, pure=False, workers=workers[n % 2]) for n in range(12)])
    events = [event for path in os.scandir(os.environ["LOGS"]) for event in map(json.loads, open(path))]
    entries = [event["span_id"] for event in events if event["event_type"] == "entry"]
    flows, others = {flow for *_, flow in got}, {flow for *_, flow in alone}
    print(json.dumps([len({pid for pid, *_ in got}), flows == {run.flow_id}, len(others), len(entries), len(set(entries))]))
"""
    assert run_program(tmp_path, code) == [2, True, 12, 48, 48]


def test_joblib_workers_observe_functions_of_the_program(tmp_path: Path) -> None:
    """loky pickles functions of ``__main__`` by value: two processes, no span id twice."""
    needs("joblib")
    code = """
if __name__ == "__main__":
    from joblib import Parallel, delayed
    with obs.flow("joblib") as run:
        carried = obs.wrap(work)
        got = Parallel(n_jobs=2, backend="loky", batch_size=1)(delayed(carried)(n) for n in range(12))
    alone = Parallel(n_jobs=2, backend="loky", batch_size=1)(delayed(observed_alone)(n) for n in range(12))
    print(json.dumps([{flow for *_, flow in got} == {run.flow_id}, len({pid for pid, *_ in alone}),
                      len({span for _, span, _ in alone}), len({flow for *_, flow in alone})]))
"""
    before = '''
def observed_alone(n):
    """Observe in the worker once both are there, and call what came with it."""
    import pathlib, time
    configured()
    here = pathlib.Path("workers")
    here.mkdir(exist_ok=True)
    (here / str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(os.listdir(here)) < 2 and time.monotonic() < until: time.sleep(0.01)
    return work(n)
'''
    assert run_program(tmp_path, before + code) == [True, 2, 12, 12]


TASK = """
SECRET = "open-sesame-4711"
def task(n):
    if not obs.is_configured(): configured()
    return work(n), work(f"again {SECRET}")[0]

def in_a_flow(distribute):
    configured()
    with obs.flow("spread") as run:
        with obs.span("login", password=SECRET): pass
        with obs.span("spread"): pids = {pid for (pid, *_), _ in distribute(obs.wrap(task), range(8))}
    print(json.dumps([run.flow_id, sorted(pids - {os.getpid()})]))
"""
DASK = """
if __name__ == "__main__":
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        workers = list(client.scheduler_info()["workers"])
        def distribute(fn, items):
            return client.gather([client.submit(fn, n, pure=False, workers=[workers[n % 2]]) for n in items])
        in_a_flow(distribute)
"""
JOBLIB = """
if __name__ == "__main__":
    from joblib import Parallel, delayed
    in_a_flow(lambda fn, items: Parallel(n_jobs=2, backend="loky", batch_size=1)(delayed(fn)(n) for n in items))
"""
RAY = """
if __name__ == "__main__":
    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    @ray.remote
    def call(fn, n): return fn(n)  # ray.remote takes functions and classes, and not what stands for one
    in_a_flow(lambda fn, items: ray.get([call.remote(fn, n) for n in items]))
    ray.shutdown()
"""


@pytest.mark.parametrize(("package", "code"), [("distributed", DASK), ("joblib", JOBLIB), ("ray", RAY)])
def test_a_flow_that_spans_workers_is_one_tree(tmp_path: Path, package: str, code: str) -> None:
    """Each process writes a file of its own; read together, they are one tree below the span that distributed the work.

    A secret that the program knew is in none of them.
    """
    needs(package)
    flow_id, pids = run_program(tmp_path, TASK + code)
    logs = tmp_path / "logs"
    names = {path.name for path in logs.iterdir()}
    assert len(pids) >= 1
    assert {f"{flow_id}-{pid}.jsonl" for pid in pids} < names
    log = obs.get_flow_log(logs)
    assert (log.flow_id, log.name, log.status) == (flow_id, "spread", "ok")
    tree = [(depth, span.node, span.status) for depth, span in log.walk()]
    work = [(2, "work", "ok"), (3, "inner", "ok")]
    assert tree == [(0, "flow", "ok"), (1, "login", "ok"), (1, "spread", "ok"), *work * 16]
    assert not [path for path in logs.iterdir() if "open-sesame" in path.read_text(encoding="utf-8")]
    [summary] = obs.runs(logs)
    assert (summary.name, summary.status, summary.events) == ("spread", "ok", len(log.events))
