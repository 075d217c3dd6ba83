"""Registries: whole dicts of actions are observed in place, and given back."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import pickle
import subprocess
import sys
import weakref
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError, EventError


class Worker:
    """A class, which no registry wraps."""


def where() -> str | None:
    """Return the running node, or None."""
    span = obs.current()
    return span and span.node


def double(n: int = 1) -> tuple[int, str | None]:
    """Return twice the number, and where."""
    return 2 * n, where()


async def later(n: int) -> int:
    """Return the number."""
    return n


def told(ring: obs.RingBufferHandler, run: obs.ObservabilityContext) -> list[dict[str, Any]]:
    """Return a flow's events but for the root's."""
    return [event for event in ring.events(run.flow_id) if event["node"] != "flow"]


def brief(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["node"], event["event_type"]) for event in events]


def test_a_registry_is_wrapped_in_place_and_given_back(ring: obs.RingBufferHandler) -> None:
    """Names become nodes, an alias keeps its function's node, nested calls through the registry are seen; the undo is whole."""

    def call(state: Any, **params: Any) -> Any:
        return registry["http.get"](state=state, url="u")

    def get(state: Any, url: str = "") -> Any:
        return url

    observed = obs.observable("own")(get)
    originals = {"actions.llm_call": call, "llm.call": call, "http.get": get, "own": observed, "value": 7, "Kind": Worker}
    registry: dict[str, Any] = dict(originals)
    undo = obs.instrument(registry)
    assert registry is not originals
    assert registry["llm.call"] is registry["actions.llm_call"]
    assert {name for name in registry if registry[name] is originals[name]} == {"own", "value", "Kind"}
    again = obs.instrument(registry)
    with obs.flow() as run:
        assert registry["actions.llm_call"](state={}, prompt="p", node="ask") == "u"
    again()
    events = told(ring, run)
    assert brief(events) == [("llm.call", "entry"), ("http.get", "entry"), ("http.get", "exit"), ("llm.call", "exit")]
    assert [event.get("step") for event in events] == ["ask", None, None, "ask"]
    registry["http.get"] = "replaced by somebody else"
    undo()
    undo()
    assert registry == {**originals, "http.get": "replaced by somebody else"}


def test_owners_of_a_registry_share_what_is_wrapped(ring: obs.RingBufferHandler) -> None:
    """Two thousand owners, each there before the one before it goes: one wrapper, observed until the last has gone."""
    registry: dict[str, Any] = {"a": where, "b": staticmethod(where)}
    originals = dict(registry)
    undo = obs.instrument(registry)
    wrapped = dict(registry)
    for _ in range(2_000):
        following = obs.instrument(registry)
        undo()
        undo()
        undo = following
    assert registry == wrapped
    with obs.flow() as run:
        registry["a"]()
    assert brief(told(ring, run)) == [("a", "entry"), ("a", "exit")]
    undo()
    assert registry == originals
    again = obs.instrument(registry)
    assert registry["a"] is not where
    again()
    assert registry == originals


class Engine:
    """Its actions refer to it, and it to its actions."""

    def __init__(self) -> None:
        self.actions: dict[str, Any] = {"a": lambda: self, "b": self.b}
        self.undo = obs.instrument(self.actions)

    def b(self) -> Engine:
        return self


@pytest.mark.parametrize("is_undone", [False, True])
def test_an_engine_goes_when_nobody_has_it(ring: obs.RingBufferHandler, is_undone: bool) -> None:
    """Nothing of ours keeps a registry, nor what its callables refer to, alive."""
    engine = Engine()
    with obs.flow():
        assert engine.actions["a"]() is engine.actions["b"]() is engine
    if is_undone:
        engine.undo()
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


def test_what_somebody_else_wrapped_meanwhile_stays(ring: obs.RingBufferHandler) -> None:
    """``functools.wraps`` copies our marks: that makes the wrapper theirs none of ours."""
    registry: dict[str, Any] = {"a": where, "b": where}
    first = obs.instrument(registry)
    ours = registry["a"]
    registry["a"] = theirs = functools.wraps(ours)(lambda: ours())
    second = obs.instrument(registry)
    first()
    assert (registry["a"], registry["b"] is where) == (theirs, False)
    second()
    assert registry == {"a": theirs, "b": where}


def test_a_registry_with_a_bad_name_stays_as_it_was() -> None:
    """All or nothing."""
    registry: dict[str, Any] = {"a": where, "...": double}
    before = dict(registry)
    with pytest.raises(ConfigurationError, match=r"node '\.\.\.' is not a name"):
        obs.instrument(registry)
    assert registry == before


@pytest.mark.parametrize("registry", [None, [], (("a", where),), "actions"])
def test_what_is_no_registry_is_refused(registry: Any) -> None:
    """The error says what it got and what it takes."""
    with pytest.raises(ConfigurationError, match="give a dict of names to callables"):
        obs.instrument(registry)


def test_levels_of_a_registry(ring: obs.RingBufferHandler) -> None:
    """Entry and exit have the level given; an unknown one is refused."""
    registry: dict[str, Any] = {"a": lambda: 1}
    undo = obs.instrument(registry, level="debug")
    with obs.flow() as run:
        registry["a"]()
    undo()
    assert {event["level"] for event in told(ring, run)} == {"debug"}
    with pytest.raises(EventError):
        obs.instrument({}, level="loud")


@pytest.mark.slow
def test_functions_of_a_registry_go_to_other_processes(ring: obs.RingBufferHandler) -> None:
    """A module's function that a registry wraps is pickled by its name, and observed over there; the module has its own."""
    registry: dict[str, Any] = {"math.double": double, "json.dumps": json.dumps, "len": len, "later": later}
    undo = obs.instrument(registry)
    assert pickle.loads(pickle.dumps(double)) is double
    copies = pickle.loads(pickle.dumps(registry))
    assert (copies["math.double"](4), copies["json.dumps"]([1]), copies["len"]("ab")) == ((8, "math.double"), "[1]", 2)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(registry["json.dumps"], [4]).result() == "[4]"
    undo()
    assert registry["math.double"] is double


def test_functions_of_a_registry_keep_their_face() -> None:
    """Name, signature, kind and attributes are those of the function."""
    registry: dict[str, Any] = {"math.double": double, "later": later, "part": functools.partial(double, 3)}
    obs.instrument(registry)
    assert (registry["math.double"].__name__, registry["math.double"].__doc__) == ("double", double.__doc__)
    assert [inspect.signature(fn) for fn in registry.values()] == [
        inspect.signature(fn) for fn in (double, later, functools.partial(double, 3))
    ]
    assert [inspect.iscoroutinefunction(fn) for fn in registry.values()] == [False, True, False]


@pytest.mark.slow
def test_a_worker_that_unpickles_a_registry_logs_with_its_own_configuration() -> None:
    """What travels is the name and the level: the logger, with its levels and handlers, is the other process's."""
    registry: dict[str, Any] = {"math.dumps": json.dumps}
    obs.instrument(registry)
    data = pickle.dumps(registry["math.dumps"])
    code = """
import pickle, sys
import the_edge_obs as obs
dumps = pickle.loads(sys.stdin.buffer.read())
obs.configure()
with obs.flow() as run:
    dumps([1])
print([(event["node"], event["event_type"]) for event in obs.query(run.flow_id)])
"""
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    expected = [("flow", "entry"), ("math.dumps", "entry"), ("math.dumps", "exit"), ("flow", "exit")]
    assert done.stdout.decode().strip() == str(expected)
