"""The interpreter survives finalizers that set the context variable while CPython works on a context (below 3.12: gh-148891)."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from contextvars import ContextVar

import pytest

pytestmark = pytest.mark.slow

# Each round leaves something in a reference cycle, and lets the collection that finds it begin a chosen number of allocations
# later: one of the rounds hits each allocation of the victim.
SWEEP = """
import contextvars, gc, sys, weakref
import the_edge_obs as obs

mine = contextvars.ContextVar("mine")
for number in range(40):  # so many that the mapping has inner nodes
    contextvars.ContextVar(f"other {number}").set(number)

@obs.observable("llm.stream")
def stream():
    yield "a"
    yield "b"

@obs.observable("work")
def work(x):
    return [x]

def by_hand():
    with obs.span("by_hand"):
        yield 1

def abandoned(make):
    parts = make()
    try:
        for part in parts:
            raise ValueError
    except ValueError as error:
        kept = error  # holds this frame, which holds the generator

class Dies:
    def __del__(self):
        work(1)

def with_finalizer():
    dies = Dies()
    dies.me = dies

class Plain:
    pass

references = []

def with_callback():
    plain = Plain()
    plain.me = plain
    references[:] = [weakref.ref(plain, lambda _: work(2))]

def spans():
    with obs.span("victim"):
        pass

finalizers = [lambda: abandoned(stream), lambda: abandoned(by_hand), with_finalizer, with_callback]
victims = [
    lambda: work(1),
    spans,
    lambda: list(stream()),
    lambda: mine.reset(mine.set([1])),
    lambda: [contextvars.copy_context() for _ in range(9)],
]
obs.configure({"level": "info"})
held = [contextvars.copy_context() for _ in range(300)]  # CPython has no spare one left: each copy allocates
with obs.flow("chat"):
    for leave in finalizers:
        for victim in victims:
            for allocations in range(100):
                gc.disable()
                gc.collect(0)
                leave()
                gc.enable()
                gc.set_threshold(gc.get_count()[0] + allocations)
                victim()
                gc.set_threshold(700)
print("alive")
"""


def run(program: str, **environment: str) -> tuple[int, str, str]:
    """Run a program in a process of its own; return exit status and output."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_collection_inside_a_context_operation_does_not_end_the_process() -> None:
    """Observed generators, spans, ``__del__`` and callbacks of weak references are finalized inside every allocation of our
    own calls, of a variable of somebody else, and of ``copy_context``. Memory that was given back is overwritten, so that whoever
    still reads it crashes every time."""
    assert run(SWEEP, PYTHONMALLOC="debug") == (0, "alive\n", "")


ABANDONED = """
import the_edge_obs as obs

@obs.observable("llm.stream")
def stream():
    yield "a"
    yield "b"

@obs.observable("work")
def work(x):
    return [x]

def consume():
    parts = stream()
    try:
        for part in parts:
            raise ValueError
    except ValueError as error:
        kept = error

obs.configure({"level": "info", "buffer_size": 5000})
with obs.flow("chat") as run:
    for number in range(500):
        consume()
        work(number)
        assert obs.current().flow.id == run.flow_id
import gc; gc.collect()
log = obs.get_flow_log(run.flow_id)
print(len(obs.query(run.flow_id, node="work", event_type="exit")), log.metrics["fault_count"])
"""


def test_generators_abandoned_in_cycles_do_not_end_the_process() -> None:
    """As a program meets it: whenever the collector likes to run, each call is in its flow."""
    code, out, err = run(ABANDONED)
    assert (code, out, err) == (0, "500 0\n", "")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="nothing is kept there")
def test_what_is_kept_for_a_collection_goes_with_the_next() -> None:
    """The context of a collection, with all that its variables hold, is not kept longer than until the next one."""

    class Held:
        pass

    variable: ContextVar[Held | None] = ContextVar("variable", default=None)
    held = Held()
    known = weakref.ref(held)
    token = variable.set(held)
    gc.collect()
    variable.reset(token)
    del held, token
    gc.collect()
    assert known() is None


def test_from_python_3_12_on_nothing_is_installed() -> None:
    """There, a collection never begins inside an operation on a context, and nobody pays for it."""
    program = "import gc; before = len(gc.callbacks); import the_edge_obs.context; print(len(gc.callbacks) - before)"
    assert run(program) == (0, f"{int(sys.version_info < (3, 12))}\n", "")
