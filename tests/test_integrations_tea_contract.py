"""The stand-in of The Edge Agent's engine has the names that the integration relies on, and the engine has them alike."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from . import tea_stand_in
from .test_integrations_tea import agent, code, real_engine

pytestmark = pytest.mark.filterwarnings("ignore")

METHODS = {
    "YAMLEngine": ["load_from_dict"],
    "NodeFactory": [
        "add_node_from_config",
        "create_run_function",
        "_create_while_loop_function",
        "_create_dynamic_parallel_function",
        "_create_dynamic_parallel_action_branch",
        "_create_dynamic_parallel_steps_branch",
        "_create_dynamic_parallel_subgraph_branch",
        "_create_matrix_strategy_function",
        "_create_parallel_each_function",
    ],
    "StateGraph": [
        "invoke",
        "stream",
        "resume_from_checkpoint",
        "_stream_from_checkpoint",
        "load_checkpoint",
        "execute_scoped",
        "_execute_flow",
        "_execute_flow_with_reliability",
        "_stream_parallel_flow",
        "_stream_parallel_flow_with_reliability",
    ],
}
ATTRIBUTES = ["actions_registry", "_node_factory", "_config", "secrets", "_enable_observability", "_observability_context"]


def kinds() -> dict[str, Any]:
    """Return the engine's classes; skip where it is not installed."""
    module = real_engine()
    from the_edge_agent.yaml_nodes import NodeFactory

    return {"YAMLEngine": module.YAMLEngine, "NodeFactory": NodeFactory, "StateGraph": module.StateGraph}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in METHODS.items() for name in names])
def test_methods_take_the_same_arguments(kind: str, name: str) -> None:
    theirs = inspect.signature(getattr(kinds()[kind], name)).parameters
    ours = inspect.signature(getattr(getattr(tea_stand_in, kind), name)).parameters
    assert list(ours) == list(theirs)


def test_an_engine_has_the_same_attributes() -> None:
    engine = kinds()["YAMLEngine"]()
    graph = engine.load_from_dict(agent(code("a", "return {}")))
    own = tea_stand_in.YAMLEngine().load_from_dict(agent(code("a", "return {}")))
    assert [name for name in ATTRIBUTES if not hasattr(engine, name)] == []
    assert [name for name in ("checkpointer", "interrupt_before", "interrupt_after") if not hasattr(graph, name)] == []
    assert vars(own).keys() & {"checkpointer", "interrupt_before", "interrupt_after"}
    assert {"http.respond", "actions.http_respond", "obs.get_flow_log"} <= engine.actions_registry.keys()
    engine.close()


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("text", ["return {'x': 1}", "raise KeyError('gone')"])
def test_a_run_yields_the_same_events(way: str, text: str) -> None:
    told = []
    for kind in (kinds()["YAMLEngine"], tea_stand_in.YAMLEngine):
        engine = kind()
        graph = engine.load_from_dict(agent(code("a", "return {}"), code("b", text)))
        told.append([{key: event.get(key) for key in ("type", "node", "error", "state")} for event in getattr(graph, way)({})])
        engine.close()
    assert told[0] == told[1]


def test_a_node_is_given_the_same_arguments() -> None:
    told = []
    for kind in (kinds()["YAMLEngine"], tea_stand_in.YAMLEngine):
        seen: list[Any] = []
        engine = kind(actions_registry={"see": lambda state, seen=seen, **kwargs: seen.append(kwargs) or {}})
        list(engine.load_from_dict(agent({"name": "a", "uses": "see"})).invoke({}, {"k": 1}))
        told.append([{key: type(value).__name__ for key, value in given.items()} for given in seen])
        engine.close()
    assert told[0] == told[1] == [{"config": "dict", "node": "str", "graph": "StateGraph"}]
