"""The Edge Agent: every rule of the integration, on a stand-in of its engine, and on the engine itself where it is installed."""

from __future__ import annotations

import gc
import inspect
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.event import problems
from the_edge_obs.integrations import tea
from the_edge_obs.integrations.tea._engine import _clear_up

from . import tea_stand_in

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:ResourceWarning")

KEY = "_observability"
FLOW_FILE = "logs/flow-{flow_id}.jsonl"


def real_engine() -> ModuleType:
    """Return the engine's package, or skip: it is not on the package index, so most machines do not have it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("the_edge_agent", reason="the engine of The Edge Agent is not installed")


@pytest.fixture(params=["stand-in", "engine"])
def kit(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a maker of engines, in an empty working directory."""
    module: Any = tea_stand_in if request.param == "stand-in" else real_engine()
    monkeypatch.setitem(sys.modules, "the_edge_agent", module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEA_OBS_CONFIG", raising=False)
    made: list[Any] = []

    def engine(**actions: Callable[..., Any]) -> Any:
        named = {name.replace("__", "."): fn for name, fn in actions.items()}
        made.append(module.YAMLEngine(actions_registry=named))
        return made[-1]

    yield SimpleNamespace(module=module, engine=engine, is_real=request.param == "engine")
    for one in made:
        if (ours := vars(one).pop("_the_edge_obs", None)) is not None:
            ours.detach()
        one.close()
    made.clear()
    gc.collect()
    _clear_up()


def agent(*nodes: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "demo", "nodes": list(nodes), **keys}


def code(name: str, text: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "run": text, **keys}


def last(events: Any) -> dict[str, Any]:
    return list(events)[-1]


def id_of(event: dict[str, Any]) -> str:
    return str(event["state"][KEY]["flow_id"])


def told(flow_id: str) -> list[dict[str, Any]]:
    """Return the events of a flow, each of them valid."""
    events = obs.query(flow_id)
    assert [problem for event in events for problem in problems(event)] == []
    return events


def tree(flow_id: str) -> list[tuple[int, str, str | None, str]]:
    """Return the spans of a flow: depth, node, step and status."""
    return [(depth, span.node, span.step, span.status) for depth, span in obs.get_flow_log(flow_id).walk()]


def ran(config: dict[str, Any], kit: Any, state: dict[str, Any] | None = None, **actions: Callable[..., Any]) -> dict[str, Any]:
    """Run an observed agent, and return its last event."""
    engine = kit.engine(**actions)
    tea.attach(engine)
    return last(engine.load_from_dict(config).invoke(state or {}))


# An agent that stops before its second node.
HELD = agent(code("a", "return {'x': 1}"), code("b", "return {'y': state['x'] + 1}"), config={"interrupt_before": ["b"]})


# --- 1: names ---------------------------------------------------------------------------------------------------------


def test_actions_are_written_into_the_engine_so_that_a_namespace_does_not_double_their_names(kit: Any) -> None:
    engine = kit.engine()
    imports = [{"package": "the_edge_obs.integrations.tea", "namespace": "obs"}]
    engine.load_from_dict(agent(code("a", "return {}"), imports=imports))
    names = set(engine.actions_registry)
    assert {"obs.query", "obs.export", "obs.get_flow_log", "obs.query_events", "obs.log_event", "actions.obs_query"} <= names
    assert not [name for name in names if name.startswith("obs.obs")]


# --- 2: the configuration is read late --------------------------------------------------------------------------------


def test_an_agent_that_imports_the_module_is_observed_as_its_block_says(kit: Any) -> None:
    imports = [{"package": "the_edge_obs.integrations.tea"}]
    engine = kit.engine()
    graph = engine.load_from_dict(agent(code("a", "return {'x': 1}"), imports=imports, observability={"enabled": True}))
    final = last(graph.invoke({}))
    assert final["state"]["x"] == 1
    assert tree(id_of(final)) == [(0, "flow", None, "ok"), (1, "python.run", "a", "ok")]
    assert not Path("logs").exists()  # its block names no file


@pytest.mark.parametrize("where", ["block", "settings"])
def test_enabled_false_leaves_everything_bare(kit: Any, where: str) -> None:
    engine = kit.engine(mine=lambda state, **kwargs: {"seen": type(kwargs["config"]) is dict})
    mine = engine.actions_registry["mine"]
    off = {"enabled": False}
    block = {"observability": off} if where == "block" else {"settings": {"observability": off}}
    tea.attach(engine)
    graph = engine.load_from_dict(agent({"name": "a", "uses": "mine"}, **block))
    final = last(graph.invoke({}))
    assert final["state"] == {"seen": True}
    assert engine.actions_registry["mine"] is mine
    assert "invoke" not in vars(graph)
    assert not logging.getLogger("tea").handlers


def test_asking_for_the_log_of_an_agent_that_is_off_is_a_soft_failure(kit: Any) -> None:
    final = ran(agent({"name": "a", "uses": "obs.query", "output": "log"}, observability={"enabled": False}), kit)
    assert final["state"]["log"]["success"] is False
    assert "no flow is running" in final["state"]["log"]["error"]


# --- 3: which block ---------------------------------------------------------------------------------------------------


def files() -> list[str]:
    return sorted(str(path.parent) for path in Path().rglob("flow-*.jsonl"))


def test_blocks_are_asked_in_order(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's block, its settings, what ``install`` was given, the environment, and a file of its own."""
    Path("given.yaml").write_text("handlers: [{type: file, path: 'env/flow-{flow_id}.jsonl'}]\n", "utf-8")

    def block(folder: str) -> dict[str, Any]:
        return {"handlers": [{"type": "file", "path": folder + "/flow-{flow_id}.jsonl"}]}

    def run(given: Any = None, **keys: Any) -> None:
        undo = tea.install(given)
        last(kit.engine().load_from_dict(agent(code("a", "return {}"), **keys)).invoke({}))
        undo()

    run(observability=block("own"), settings={"observability": block("wrong")})
    run(block("wrong"), settings={"observability": block("settings")})
    run(block("given"))
    run()
    monkeypatch.setenv("TEA_OBS_CONFIG", "given.yaml")
    run()
    assert files() == ["env", "given", "logs", "own", "settings"]


def test_the_program_s_own_configuration_is_used_where_the_agent_has_none(kit: Any) -> None:
    undo = obs.configure({"level": "info"})
    final = ran(agent(code("a", "return {}")), kit)
    assert [step for _, _, step, _ in tree(id_of(final))] == [None, "a"]
    assert files() == []
    undo()


def test_another_engine_s_handlers_are_not_the_program_s_own_configuration(kit: Any) -> None:
    ran(agent(code("a", "return {}")), kit)
    ran(agent(code("a", "return {}")), kit)
    assert files() == ["logs", "logs"]


def test_what_a_model_costs(kit: Any) -> None:
    """By the prices in the agent's block, from what its action returns."""

    def ask(state: Any, model: str, **_: Any) -> dict[str, Any]:
        return {"content": "hi", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}}

    block = {"prices": {"gpt-*": {"input": 2, "output": 8}}}
    node = {"name": "ask", "uses": "ask.model", "with": {"model": "gpt-5"}, "output": "answer"}
    final = ran(agent(node, settings={"observability": block}), kit, **{"ask.model": ask})
    assert obs.get_flow_log(id_of(final)).metrics["cost_usd"] == 10


TOLERATED = [
    ({"level": "verbose"}, "observability.level"),
    ({"colour": "red"}, "observability.colour"),
    ({"buffer_size": 0}, "observability.buffer_size"),
    ({"handlers": [{"type": "socket"}]}, r"observability.handlers\[0\].type"),
    ({"handlers": [{"type": "file", "path": "x.log", "when": "midnight"}]}, r"observability.handlers\[0\].when"),
    ({"handlers": [{"type": "callback", "callback": "nowhere"}]}, r"observability.handlers\[0\].callback"),
    ({"handlers": [{"type": "file", "path": "taken/flow-{flow_id}.jsonl"}]}, r"observability.handlers\[0\].*taken"),
    ({"handlers": "file"}, "observability.handlers"),
    ({"prices": {"gpt-3.5-turbo": {"input": "cheap"}}}, "observability.prices is"),
]


@pytest.mark.parametrize(("block", "where"), TOLERATED)
def test_what_the_engine_tolerates_is_a_warning_that_names_the_key(kit: Any, block: dict[str, Any], where: str) -> None:
    before = json.dumps(block)
    Path("taken").write_text("a file, and no folder", "utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        final = ran(agent(code("a", "return {}"), settings={"observability": block}), kit)
    assert tree(id_of(final))[-1] == (1, "python.run", "a", "ok")
    ours = [str(warning.message) for warning in caught if "the_edge_obs: " in str(warning.message)]
    assert re.fullmatch("the_edge_obs: .*" + where + ".* left out", ours[0])
    assert json.dumps(block) == before


def test_settings_that_are_no_mapping_are_a_warning(kit: Any) -> None:
    with pytest.warns(UserWarning, match="observability is 'on', not a mapping"):
        ran(agent(code("a", "return {}"), settings={"observability": "on"}), kit)


def test_a_folder_that_cannot_be_made_leaves_the_ring(kit: Any) -> None:
    Path("logs").write_text("a file, and no folder", "utf-8")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        final = ran(agent(code("a", "return {}")), kit)
    assert tree(id_of(final))[-1] == (1, "python.run", "a", "ok")


def test_a_file_in_the_environment_that_cannot_be_read_is_a_warning(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEA_OBS_CONFIG", "missing.yaml")
    with pytest.warns(UserWarning, match="TEA_OBS_CONFIG: configuration 'missing.yaml' cannot be read"):
        ran(agent(code("a", "return {}")), kit)
    assert files() == ["logs"]


def test_a_configuration_that_cannot_be_used_is_refused_by_install(kit: Any) -> None:
    with pytest.raises(obs.ConfigurationError, match="unknown key 'handler'"):
        tea.install({"handler": []})


# --- 4: scope ---------------------------------------------------------------------------------------------------------


def test_handlers_are_those_of_one_engine(kit: Any) -> None:
    def block(folder: str) -> dict[str, Any]:
        return {"observability": {"enabled": True, "handlers": [{"type": "file", "path": folder + "/flow-{flow_id}.jsonl"}]}}

    engines = [kit.engine(), kit.engine()]
    graphs = []
    for engine, folder in zip(engines, ("one", "two"), strict=True):
        tea.attach(engine)
        graphs.append(engine.load_from_dict(agent(code("a", "return {}"), **block(folder))))
    ids = [id_of(last(graph.invoke({}))) for graph in graphs]
    assert [path.stem.removeprefix("flow-") for folder in ("one", "two") for path in Path(folder).iterdir()] == ids


def test_loading_again_undoes_the_configuration_before(kit: Any) -> None:
    engine = kit.engine()
    undo = tea.attach(engine)
    for _ in range(3):
        graph = engine.load_from_dict(agent(code("a", "return {}")))
        assert len(logging.getLogger("tea").handlers) == 2  # a ring and a file
    last(graph.invoke({}))
    assert files() == ["logs"]
    undo()
    assert not logging.getLogger("tea").handlers


def test_the_handlers_of_engines_that_are_gone_go_when_another_one_loads(kit: Any) -> None:
    for _ in range(3):
        engine = kit.module.YAMLEngine()
        tea.attach(engine)
        engine.load_from_dict(agent(code("a", "return {}")))
        engine.close()
        del engine
        gc.collect()
    _clear_up()
    assert not logging.getLogger("tea").handlers


# --- 5: the terminal --------------------------------------------------------------------------------------------------


def test_no_event_reaches_the_handlers_of_the_root_logger(kit: Any) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        ran(agent(code("a", "return {}"), code("b", "raise ValueError('broken')")), kit)
    finally:
        logging.getLogger().removeHandler(handler)
    assert "python.run" not in stream.getvalue()
    assert "[" not in stream.getvalue().partition("broken")[0]


# --- 6: one flow a run ------------------------------------------------------------------------------------------------


def test_a_run_is_current_only_while_it_computes(kit: Any) -> None:
    engine = kit.engine(where=lambda state, **kwargs: {"inside": obs.current().flow.id})  # type: ignore[union-attr]
    tea.attach(engine)
    graph = engine.load_from_dict(agent({"name": "a", "uses": "where"}, {"name": "b", "uses": "where"}))
    seen = []
    for event in graph.stream({}):
        assert obs.current() is None
        seen.append(event)
    assert seen[-1]["state"]["inside"] == id_of(seen[-1])
    assert len({id_of(last(graph.stream({}))), id_of(last(graph.invoke({})))}) == 2


def test_a_run_inside_a_flow_is_a_graph_span(kit: Any) -> None:
    inner = kit.engine()
    tea.attach(inner)
    graph = inner.load_from_dict(agent(code("deep", "return {'y': 2}"), name="inner"))
    final = ran(agent({"name": "call", "uses": "sub"}), kit, sub=lambda state, **kwargs: last(graph.invoke({}))["state"])
    assert tree(id_of(final)) == [
        (0, "flow", None, "ok"),
        (1, "sub", "call", "ok"),
        (2, "graph", None, "ok"),
        (3, "python.run", "deep", "ok"),
    ]
    assert files() == ["logs"]


def test_a_failed_run_inside_a_flow_fails_only_its_span(kit: Any) -> None:
    inner = kit.engine()
    tea.attach(inner)
    graph = inner.load_from_dict(agent(code("deep", "raise KeyError('gone')")))
    undo = obs.configure({"level": "info"})
    with obs.flow("outer") as run:
        assert last(graph.invoke({}))["type"] == "error"
    log = obs.get_flow_log(run.flow_id)
    statuses = [("flow", "ok"), ("graph", "error"), ("python.run", "error")]
    assert [(span.node, span.status) for span in log.spans] == statuses
    undo()


def test_an_interrupted_run_inside_a_flow_notes_it_in_its_span(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(HELD)
    undo = obs.configure({"level": "info"})
    with obs.flow("outer") as run:
        held = last(graph.invoke({}))
    log = obs.get_flow_log(run.flow_id)
    [note] = [event for event in log.events if event["event_type"] == "log"]
    assert (note["node"], note["data"]) == ("graph", {"node": "b", "checkpoint": held["checkpoint_path"]})
    assert [(span.node, span.status) for span in log.spans] == [("flow", "ok"), ("graph", "ok"), ("python.run", "ok")]
    undo()


# --- 7: how a run ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_run_has_ended_before_its_last_event_is_handed_on(kit: Any, way: str) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "return {}")))
    for event in getattr(graph, way)({}):
        if event["type"] == "final":
            assert obs.get_flow_log(id_of(event)).status == "ok"
            break


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_an_error_event_ends_the_flow_as_failed_with_the_error_itself(kit: Any, way: str) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "raise KeyError('gone')")))
    for event in getattr(graph, way)({}):
        assert event["type"] == "error"
        log = obs.get_flow_log(id_of(event))
        break
    assert (log.status, log.metrics["error_count"]) == ("error", 1)
    assert told(log.flow_id)[-1]["data"]["error"]["type"] == "KeyError"


def test_an_exception_ends_the_flow_as_failed(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "raise KeyError('gone')"), config={"raise_exceptions": True}))
    with pytest.raises(RuntimeError, match="Error in node 'a': 'gone'"):
        list(graph.invoke({"id": 7}))
    [log] = [obs.get_flow_log(path.stem.removeprefix("flow-")) for path in Path("logs").iterdir()]
    assert (log.status, [span.status for span in log.spans]) == ("error", ["error", "error"])


def test_a_generator_that_is_abandoned_is_cancelled(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    events = engine.load_from_dict(agent(code("a", "return {}"), code("b", "return {}"))).stream({})
    flow_id = id_of(next(events))
    assert obs.get_flow_log(flow_id).status == "running"
    events.close()
    assert obs.get_flow_log(flow_id).status == "cancelled"


def test_what_is_thrown_into_a_run_reaches_the_engine(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    events = engine.load_from_dict(agent(code("a", "return {}"), code("b", "return {}"))).stream({})
    flow_id = id_of(next(events))
    try:
        assert events.throw(LookupError("from outside"))["error"] == "from outside"
    except LookupError:
        assert not kit.is_real  # the engine makes an event of it
    assert obs.get_flow_log(flow_id).status == "error"


def test_a_state_of_another_type_keeps_it(kit: Any) -> None:
    class State(dict[str, Any]):
        def copy(self) -> State:
            return State(self)

    given = State(x=1)
    final = ran(agent({"name": "a", "uses": "kind"}), kit, given, kind=lambda state, **kwargs: {"kind": type(state).__name__})
    assert final["state"]["kind"] == "State"
    assert given == {"x": 1}


def test_a_state_that_the_engine_refuses_is_its_own_error(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "return {}")))
    with pytest.raises(ValueError, match="checkpoint parameter required"):
        list(graph.invoke(None))


# --- 8: resume, remote branches, bare threads -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_an_interrupted_run_goes_on_in_the_same_flow(kit: Any, way: str) -> None:
    def graph() -> Any:
        engine = kit.engine()
        tea.attach(engine)
        return engine.load_from_dict(HELD)

    held = last(getattr(graph(), way)({}))
    flow_id = id_of(held)
    log = obs.get_flow_log(flow_id)
    assert log.status == "ok"
    [note] = [event for event in log.events if event["event_type"] == "log"]
    assert note["message"] == "interrupted at 'b'"
    assert note["data"] == {"node": "b", "checkpoint": held["checkpoint_path"]}
    final = last(getattr(graph(), way)({"z": 3}, checkpoint=held["checkpoint_path"]))
    assert final["type"] == "final"
    assert (final["state"]["y"], final["state"]["z"], id_of(final)) == (2, 3, flow_id)
    [path] = Path("logs").iterdir()
    assert [(depth, span.step) for depth, span in obs.get_flow_log(str(path)).walk()] == [
        (0, None),
        (1, "a"),
        (1, None),
        (2, "b"),
    ]


def test_a_resume_by_its_own_entry_is_observed_as_well(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(HELD)
    held = last(graph.invoke({}))
    final = last(graph.resume_from_checkpoint(held["checkpoint_path"]))
    assert (final["state"]["y"], id_of(final)) == (2, id_of(held))
    assert [step for _, _, step, _ in tree(id_of(final))] == [None, "a", None, "b"]


def test_a_checkpoint_of_a_bare_run_starts_a_flow(kit: Any) -> None:
    held = last(kit.engine().load_from_dict(HELD).invoke({}))
    assert KEY not in held["state"]
    engine = kit.engine()
    tea.attach(engine)
    final = last(engine.load_from_dict(HELD).invoke(None, checkpoint=held["checkpoint_path"]))
    assert [step for _, _, step, _ in tree(id_of(final))] == [None, "b"]


def test_a_checkpoint_that_is_missing_is_the_engine_s_own_error(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    with pytest.raises(FileNotFoundError):
        list(engine.load_from_dict(HELD).invoke(None, checkpoint="nowhere.pkl"))


def test_a_branch_on_another_machine_goes_on_in_the_flow_that_its_state_names(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "return {'x': 1}"), code("b", "return {}")))
    with obs.flow("elsewhere") as run:
        meta = {"flow_id": run.flow_id, **obs.inject({})}
        root = obs.current()
    result = graph.execute_scoped({KEY: meta}, entry_point="a", exit_point="b")
    assert (result["x"], result[KEY]["flow_id"]) == (1, run.flow_id)
    spans = obs.get_flow_log(run.flow_id).spans
    assert [(span.node, span.status) for span in spans] == [("flow", "ok"), ("python.run", "ok")]
    assert root is not None
    assert spans[0].parent_id == root.span_id


def test_a_branch_that_fails_elsewhere_fails_its_flow(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "raise KeyError('gone')"), code("b", "return {}")))
    try:
        graph.execute_scoped({}, entry_point="a", exit_point="b")
    except RuntimeError:
        assert kit.is_real  # the engine raises here or returns, by its version
    [path] = Path("logs").iterdir()
    assert obs.get_flow_log(str(path)).status == "error"


def test_an_action_in_a_bare_thread_finds_its_run_by_the_state(kit: Any) -> None:
    def spread(state: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen: list[Any] = []
        work = threading.Thread(target=lambda: seen.append(engine.actions_registry["small"](state=state)))
        work.start()
        work.join()
        return dict(seen[0])

    engine = kit.engine(spread=spread, small=lambda state, **kwargs: {"small": 1})
    tea.attach(engine)
    final = last(engine.load_from_dict(agent({"name": "a", "uses": "spread"})).invoke({}))
    assert final["state"]["small"] == 1
    assert sorted(tree(id_of(final))) == [(0, "flow", None, "ok"), (1, "small", None, "ok"), (1, "spread", "a", "ok")]


@pytest.mark.parametrize(
    "node",
    [code("in", "return {'y': 1}"), {"name": "in", "uses": "small"}, {"name": "s", "steps": [code("in", "return {'y': 1}")]}],
)
def test_a_node_in_a_bare_thread_finds_its_run_by_the_state(kit: Any, node: dict[str, Any]) -> None:
    def spread(state: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        run = engine._node_factory.create_run_function(node)
        done = tea_stand_in.bare_thread(lambda: run(state))
        return {"y": done["y"]}

    engine = kit.engine(spread=spread, small=lambda state, **kwargs: {"y": 1})
    tea.attach(engine)
    final = last(engine.load_from_dict(agent({"name": "a", "uses": "spread"})).invoke({}))
    assert final["state"]["y"] == 1
    assert len([row for row in tree(id_of(final)) if row[2] == "in"]) == 1
    assert files() == ["logs"]


def test_an_action_outside_a_run_runs(kit: Any) -> None:
    engine = kit.engine(small=lambda state, **kwargs: {"small": 1})
    tea.attach(engine)
    engine.load_from_dict(agent(code("a", "return {}")))
    assert engine.actions_registry["small"](state={}) == {"small": 1}
    assert engine._node_factory.create_run_function(code("b", "return {'y': 1}"))({}) == {"y": 1}


# --- 9 and 10: pools and names ----------------------------------------------------------------------------------------

EACH = "return {'double': state['item'] * 2}"


def test_nodes_have_the_names_of_our_own_runner(kit: Any) -> None:
    final = ran(
        agent(
            {"name": "s", "steps": [code("s1", "return {'k': 0}"), {"name": "s2", "uses": "small", "output": "got"}]},
            {
                "name": "w",
                "type": "while_loop",
                "condition": "state.k < 2",
                "max_iterations": 5,
                "body": [code("inc", "return {'k': state['k'] + 1}")],
            },
            {"name": "d", "type": "dynamic_parallel", "items": "{{ state.list }}", "action": {"uses": "small"}, "fan_in": "j1"},
            code("j1", "return {}", fan_in=True),
            {"name": "p", "parallel_each": "{{ state.list }}", "run": EACH, "fan_in": "j2"},
            code("j2", "return {'all': [r.state for r in state['parallel_results']]}", fan_in=True),
            {"name": "m", "strategy": {"matrix": {"size": [1]}}, "run": "return {}", "fan_in": "j3"},
            code("j3", "return {}", fan_in=True),
            {"name": "e", "uses": "small"},
        ),
        kit,
        {"list": [5]},
        small=lambda state, **kwargs: {"small": 1},
    )
    assert final["type"] == "final", final
    assert (final["state"]["k"], final["state"]["got"]) == (2, {"small": 1})
    assert [row[:3] for row in tree(id_of(final))] == [
        (0, "flow", None),
        (1, "steps", "s"),
        (2, "python.run", "s1"),
        (2, "small", "s2"),
        (1, "loop", "w"),
        (2, "python.run", "inc"),
        (2, "python.run", "inc"),
        (1, "parallel", "d"),
        (2, "parallel.branch", None),
        (3, "small", "d"),
        (1, "python.run", "j1"),
        (1, "parallel", "p"),
        (2, "parallel.branch", None),
        (3, "python.run", "p"),
        (1, "python.run", "j2"),
        (1, "parallel", "m"),
        (2, "parallel.branch", None),
        (3, "python.run", "m"),
        (1, "python.run", "j3"),
        (1, "small", "e"),
    ]
    assert files() == ["logs"]
    events = told(id_of(final))
    inputs = [event["data"] for event in events if event["node"] == "parallel.branch" and event["event_type"] == "entry"]
    assert inputs[0] == {"input": {"index": 0, "item": 5}}
    [steps] = [event for event in events if event["node"] == "steps" and event["event_type"] == "exit"]
    assert steps["data"]["output"] == {"k": 0, "got": {"small": 1}}  # what changed, not the whole state


FORK = {
    "edges": [
        {"from": "__start__", "to": "a"},
        {"from": "a", "to": "b", "type": "parallel", "fan_in": "j"},
        {"from": "a", "to": "c", "type": "parallel", "fan_in": "j"},
        {"from": "b", "to": "j"},
        {"from": "c", "to": "j"},
        {"from": "j", "to": "__end__"},
    ]
}


def forked(c: str) -> dict[str, Any]:
    return agent(code("a", "return {}"), code("b", "return {'b': 1}"), code("c", c), code("j", "return {}", fan_in=True), **FORK)


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_branches_of_parallel_edges_are_spans_of_the_run(kit: Any, way: str) -> None:
    engine = kit.engine()
    tea.attach(engine)
    final = last(getattr(engine.load_from_dict(forked("return {'c': 2}")), way)({}))
    assert final["type"] == "final"
    branch = (1, "parallel.branch", None, "ok")
    rows = tree(id_of(final))
    assert rows.count(branch) == 2
    assert {(2, "python.run", "b", "ok"), (2, "python.run", "c", "ok"), (1, "python.run", "j", "ok")} < set(rows)


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_branch_of_parallel_edges_that_fails_is_marked(kit: Any, way: str) -> None:
    engine = kit.engine()
    tea.attach(engine)
    events = list(getattr(engine.load_from_dict(forked("raise KeyError('gone')")), way)({}))
    rows = tree(obs.runs("logs")[0].flow_id)
    assert (1, "parallel.branch", None, "error") in rows
    assert (2, "python.run", "c", "error") in rows
    assert rows[0][3] == ("error" if events[-1]["type"] == "error" else "ok")


def test_a_branch_of_parallel_edges_that_raises_fails_the_run(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    config = {**forked("raise KeyError('gone')"), "config": {"raise_exceptions": True}}
    with pytest.raises(RuntimeError, match="gone"):
        list(engine.load_from_dict(config).invoke({}))
    rows = tree(obs.runs("logs")[0].flow_id)
    assert rows[0][3] == "error"
    assert (1, "parallel.branch", None, "error") in rows


def test_a_branch_that_fails_is_marked_and_the_run_is_not(kit: Any) -> None:
    each = {"name": "p", "parallel_each": "{{ state.list }}", "run": "return {'y': 1 / state['item']}", "fan_in": "j"}
    final = ran(agent(each, code("j", "return {'n': len(state['parallel_results'])}", fan_in=True)), kit, {"list": [0, 1]})
    assert final["state"]["n"] == 2
    rows = [row for row in tree(id_of(final)) if row[1] == "parallel.branch"]
    assert sorted(status for *_, status in rows) == ["error", "ok"]
    [entry] = [e for e in told(id_of(final)) if e["node"] == "parallel" and e["event_type"] == "exit"]
    assert entry["data"]["output"] == {"branches": 2, "failed": 1}


def test_an_action_sees_the_node_that_the_engine_names(kit: Any) -> None:
    steps = {"name": "outer", "steps": [{"name": "inner", "uses": "who", "output": "seen"}]}
    final = ran(agent(steps), kit, who=lambda state, node=None, **kwargs: [node, type(node) is str])
    assert final["state"]["seen"] == ["outer", True]
    assert tree(id_of(final))[-1] == (2, "who", "inner", "ok")


FAILING = [
    ({"uses": "no.such_action"}, "no.such_action"),
    ({"uses": "an action"}, "action"),
    ({"uses": "small", "with": {"a": "{{ state.x | nofilter }}"}}, "small"),
]


@pytest.mark.parametrize(("body", "node"), FAILING)
def test_a_failure_outside_the_action_is_reported_by_its_node(kit: Any, body: dict[str, Any], node: str) -> None:
    final = ran(agent({"name": "a", **body}), kit, small=lambda state, **kwargs: {})
    assert final["type"] == "error"
    log = obs.get_flow_log(id_of(final))
    assert [(span.node, span.step, span.status) for span in log.spans[1:]] == [(node, "a", "error")]
    assert (log.status, log.metrics["error_count"]) == ("error", 1)


def test_a_failing_action_is_reported_once(kit: Any) -> None:
    def fail(state: Any, **kwargs: Any) -> Any:
        raise TimeoutError("too slow")

    final = ran(agent({"name": "a", "uses": "fail"}), kit, fail=fail)
    log = obs.get_flow_log(id_of(final))
    assert [(span.node, span.status) for span in log.spans] == [("flow", "error"), ("fail", "error")]
    assert log.metrics["error_count"] == 1


# --- 11: attempts -----------------------------------------------------------------------------------------------------


def test_every_attempt_of_on_error_is_a_span(kit: Any) -> None:
    tries: list[int] = []

    def flaky(state: Any, **kwargs: Any) -> dict[str, Any]:
        tries.append(1)
        if len(tries) < 3:
            raise TimeoutError("too slow")
        return {"tries": len(tries)}

    rule = {"mode": "retry", "max_retries": 2, "retry_delay": 0, "backoff_multiplier": 1.0, "jitter": False}
    if kit.is_real:
        rule["retry_delay"] = 0.01
    final = ran(agent({"name": "a", "uses": "flaky", "on_error": rule}), kit, flaky=flaky)
    assert final["state"]["tries"] == 3
    assert [row[1:] for row in tree(id_of(final))[1:]] == [("flaky", "a", "error")] * 2 + [("flaky", "a", "ok")]
    assert obs.get_flow_log(id_of(final)).status == "ok"


def test_nodes_bring_the_signature_that_the_engine_asks_for_at_each_run(kit: Any) -> None:
    """It is that of the engine's own nodes, and neither worked out each time nor that of a wrapped function."""
    engine, bare = kit.engine(), kit.engine()
    tea.attach(engine)
    for each in (engine, bare):
        each.load_from_dict(agent(code("a", "return {}")))
    for config in (code("a", "return {}"), {"name": "b", "uses": "x"}, {"name": "c", "steps": []}):
        node, theirs = (each._node_factory.create_run_function(config) for each in (engine, bare))
        assert not hasattr(node, "__wrapped__")
        assert inspect.signature(node) is node.__signature__
        assert [(each.name, each.kind) for each in inspect.signature(node).parameters.values()] == [
            (each.name, each.kind) for each in inspect.signature(theirs).parameters.values()
        ]


# --- 12: obs.* --------------------------------------------------------------------------------------------------------


def test_the_engine_s_own_names_keep_their_shapes_and_ours_are_ours(kit: Any) -> None:
    final = ran(
        agent(
            {"name": "note", "uses": "obs.log_event", "with": {"message": "hi", "metrics": {"n": 1}}, "output": "noted"},
            {"name": "log", "uses": "obs.get_flow_log", "output": "log"},
            {"name": "old", "uses": "obs.query_events", "with": {"filters": {"event_type": "metric"}}, "output": "old"},
            {"name": "new", "uses": "obs.query", "with": {"filters": {"event_type": "metric"}}, "output": "new"},
            {"name": "out", "uses": "obs.export", "with": {"path": "out.jsonl"}, "output": "out"},
            {"name": "bad", "uses": "obs.query", "with": {"filters": {"colour": "red"}}, "output": "bad"},
            {"name": "odd", "uses": "obs.query", "with": {"nonsense": 1}, "output": "odd"},
        ),
        kit,
    )
    state = final["state"]
    assert state["noted"] == {"success": True, "flow_id": id_of(final)}
    assert (state["log"]["success"], state["log"]["flow_log"]["flow_id"]) == (True, id_of(final))
    assert {"events", "spans", "metrics", "timeline"} <= state["log"]["flow_log"].keys()
    assert (state["old"]["success"], state["old"]["count"], len(state["old"]["events"])) == (True, 1, 1)
    assert [event["message"] for event in state["new"]] == ["hi"]
    assert state["new"][0]["node"] == "note"
    assert state["out"]["events"] == len(Path("out.jsonl").read_text("utf-8").splitlines())
    assert (state["bad"]["success"], state["bad"]["error_type"]) == (False, "QueryError")
    assert state["odd"]["success"] is False
    [entry] = [e for e in told(id_of(final)) if e["node"] == "obs.get_flow_log" and e["event_type"] == "exit"]
    assert len(json.dumps(entry)) < 1000  # a log does not contain itself


# --- 13: the facade ---------------------------------------------------------------------------------------------------


def test_the_engine_s_context_speaks_of_the_last_run(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    graph = engine.load_from_dict(agent(code("a", "return {}"), observability={"enabled": True}))
    context = engine.observability_context
    assert context.get_flow_log()["flow_id"] == context.flow_id
    final = last(graph.invoke({}))
    log = context.get_flow_log()
    assert (context.flow_id, log["flow_id"]) == (id_of(final), id_of(final))
    assert [(event["node"], event["event_type"]) for event in log["events"]] == [("a", "entry"), ("a", "exit")]
    assert (log["metrics"]["node_count"], log["metrics"]["event_count"]) == (1, 2)
    assert [event["event_type"] for event in context.event_stream.query({"node": "a", "event_type": "exit"})] == ["exit"]
    assert len(context.event_stream.get_all()) == 2


def test_before_the_first_run_the_context_is_the_engine_s_own(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    engine.load_from_dict(agent(code("a", "return {}"), observability={"enabled": True}))
    theirs = engine.observability_context._theirs
    assert engine.observability_context.event_stream is theirs.event_stream
    assert engine.observability_context.get_flow_log()["events"] == []
    engine.observability_context.last = "6f1c9ad2-0b8f-4ade-8135-832e76089b4a"  # a run whose log is gone
    assert engine.observability_context.get_flow_log()["flow_id"] == theirs.flow_id


def test_an_agent_without_a_block_has_no_context(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    engine.load_from_dict(agent(code("a", "return {}")))
    assert engine.observability_context is None


# --- 14: secrets ------------------------------------------------------------------------------------------------------

SECRETS = ("9f4c2e71b8d05a36e1", "correct horse battery")


def test_secrets_of_the_engine_and_of_the_state_are_in_no_log(kit: Any) -> None:
    engine = kit.engine()
    engine.secrets = {"ONE": SECRETS[1], "nested": {"list": [SECRETS[1], 7]}}
    tea.attach(engine)
    text = "return {'said': 'it is ' + state['api_key'] + ' and " + SECRETS[1] + "'}"
    final = last(engine.load_from_dict(agent(code("a", text))).invoke({"api_key": SECRETS[0]}))
    assert all(secret in final["state"]["said"] for secret in SECRETS)
    [path] = Path("logs").iterdir()
    written = path.read_text("utf-8") + json.dumps(told(id_of(final)))
    assert not any(secret in written for secret in SECRETS)
    assert written.count("[REDACTED]") >= 4


# --- 15: http.respond -------------------------------------------------------------------------------------------------

ANSWER = {"name": "answer", "uses": "http.respond", "with": {"status": 401, "body": {"error": "who are you"}}}


def test_http_respond_ends_a_run_and_is_no_error(kit: Any) -> None:
    engine = kit.engine()
    tea.attach(engine)
    event = last(engine.load_from_dict(agent(ANSWER, code("b", "return {}"))).invoke({}))
    assert (event["type"], event["status"]) == ("http_response", 401)
    log = obs.get_flow_log(id_of(event))
    assert (log.status, log.metrics["error_count"]) == ("ok", 0)
    [leave] = [e for e in log.events if e["node"] == "http.respond" and e["event_type"] == "exit"]
    assert leave["data"]["output"] == {"status": 401, "body": {"error": "who are you"}}


@pytest.mark.parametrize("inner", ["code", "steps"])
def test_http_respond_passes_through_other_nodes(kit: Any, inner: str) -> None:
    call = code("a", "actions['http.respond'](state=state, status=403)")
    call["run"] += "\nreturn {}"
    event = last_of(kit, call if inner == "code" else {"name": "s", "steps": [ANSWER]})
    assert event["type"] == "http_response"
    assert obs.get_flow_log(id_of(event)).metrics["error_count"] == 0


def last_of(kit: Any, node: dict[str, Any]) -> dict[str, Any]:
    return ran(agent(node), kit)


# --- the example, and our own runner ----------------------------------------------------------------------------------

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "tea" / "agent.yaml"
REPORT = "1 of 2 failed: integer division or modulo by zero"


def test_the_example_runs_on_the_engine(kit: Any) -> None:
    final = ran(yaml.safe_load(EXAMPLE.read_text("utf-8")), kit)
    assert final["state"]["report"] == REPORT
    [path] = Path("logs").iterdir()
    assert path.stem == "flow-" + id_of(final)
    log = obs.get_flow_log(str(path))
    assert (log.name, log.status, log.metrics["error_count"]) == ("restock", "ok", 1)
    steps = [span.step for span in log.spans if span.step is not None]
    assert steps == ["orders", "check", "days", "days", "join", "problems", "report"]


def test_the_example_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert flows.load(EXAMPLE).run()["report"] == REPORT


@pytest.mark.slow
def test_the_engine_s_command_line_needs_no_change_of_the_agent(tmp_path: Path) -> None:
    """``tea run`` with ``--actions-module``: the same states as without, one valid log, and nothing more on the terminal."""
    real_engine()
    command = [sys.executable, "-W", "ignore", "-m", "the_edge_agent.cli", "run", "agent.yaml", "--quiet", "--stream"]
    text = EXAMPLE.read_text("utf-8").replace("uses: obs.query\n", "uses: obs.query_events\n").partition("  - name: report")[0]
    done = []
    for name, more in (("bare", []), ("observed", ["--actions-module", "the_edge_obs.integrations.tea"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "agent.yaml").write_text(text, "utf-8")
        run = subprocess.run([*command, *more], cwd=tmp_path / name, capture_output=True, encoding="utf-8", timeout=300)
        assert run.returncode == 0, run.stderr
        done.append([json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")])
    assert "python.run" not in run.stderr
    assert [(event["type"], event.get("node")) for event in done[0]] == [(event["type"], event.get("node")) for event in done[1]]
    assert [events[-1]["state"]["checked"] for events in done] == [2, 2]
    [path] = (tmp_path / "observed" / "logs").iterdir()
    assert [(run.name, run.status, run.errors) for run in obs.runs(path)] == [("restock", "ok", 1)]
    assert [problem for event in obs.query(path) for problem in problems(event)] == []


def test_an_agent_that_imports_the_module_runs_in_our_own_runner(recwarn: pytest.WarningsRecorder) -> None:
    flow = {"imports": [{"package": "the_edge_obs.integrations.tea"}], "nodes": [code("a", "return {'x': 1}")]}
    assert flows.load(flow).run()["x"] == 1
    assert [str(warning.message) for warning in recwarn if "the_edge_obs" in str(warning.message)] == []


# --- undo, and other engines ------------------------------------------------------------------------------------------


def test_undo_restores_the_engine(kit: Any) -> None:
    engine = kit.engine(mine=lambda state, **kwargs: {"x": 1})
    registry, factory = dict(engine.actions_registry), dict(vars(engine._node_factory))
    undo = tea.attach(engine)
    assert tea.attach(engine)() is None  # a second time changes nothing, and neither does its undo
    graph = engine.load_from_dict(agent({"name": "a", "uses": "mine"}))
    assert KEY in last(graph.invoke({}))["state"]
    undo()
    undo()
    assert engine.actions_registry == registry
    assert vars(engine._node_factory) == factory
    assert last(graph.invoke({}))["state"] == {"x": 1}
    assert last(engine.load_from_dict(agent({"name": "a", "uses": "mine"})).invoke({}))["state"] == {"x": 1}


def test_install_observes_every_engine_until_its_undo(kit: Any) -> None:
    theirs = kit.module.YAMLEngine.load_from_dict
    registry: dict[str, Any] = {}
    before = kit.engine()
    undo = tea.install()
    tea.register_actions(registry, engine=None)  # once is enough
    assert registry == {}
    graphs = [engine.load_from_dict(agent(code("a", "return {}"))) for engine in (before, kit.engine())]
    assert all(KEY in last(graph.invoke({}))["state"] for graph in graphs)
    undo()
    assert kit.module.YAMLEngine.load_from_dict is theirs
    assert all(KEY not in last(graph.invoke({}))["state"] for graph in graphs)


def test_undos_of_install_work_in_any_order(kit: Any) -> None:
    theirs = kit.module.YAMLEngine.load_from_dict
    one, two = tea.install(), tea.install()
    one()
    assert KEY in last(kit.engine().load_from_dict(agent(code("a", "return {}"))).invoke({}))["state"]
    two()
    assert KEY not in last(kit.engine().load_from_dict(agent(code("a", "return {}"))).invoke({}))["state"]
    kit.module.YAMLEngine.load_from_dict = theirs


def test_an_engine_without_the_private_names_has_only_its_actions_observed() -> None:
    engine = SimpleNamespace(actions_registry={"mine": lambda state, **kwargs: {}}, _node_factory=SimpleNamespace())
    mine = engine.actions_registry["mine"]

    class Other:
        actions_registry = engine.actions_registry
        _node_factory = engine._node_factory

    with pytest.warns(UserWarning, match="has no add_node_from_config, create_run_function; only its actions are observed"):
        undo = tea.attach(Other())
    assert engine.actions_registry["mine"] is not mine
    undo()
    assert engine.actions_registry["mine"] is mine


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(obs.ConfigurationError, match="a dict has no actions_registry; give a YAMLEngine"):
        tea.attach({})


def test_without_the_engine_install_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "the_edge_agent", None)
    with pytest.raises(obs.ConfigurationError, match="the_edge_agent cannot be imported; install it"):
        tea.install()


# --- answers ----------------------------------------------------------------------------------------------------------


class Scripted:
    """Answers by node, which notes what was asked; without an answer it stops the run."""

    replay_of = "5f0c4a2e-0000-4000-8000-000000000001"
    secrets = ()

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("__", "."): answer for name, answer in answers.items()}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, name: str, params: Any, state: Any, real: flows.Real) -> Any:
        """Answer a call."""
        self.asked.append((name, dict(params)))
        if name not in self.answers:
            raise flows.ReplayStopped(f"{name} is not recorded")
        answer = self.answers[name]
        return real() if answer is flows.Real else answer


def uses(name: str, action: str, output: str | None = None, **params: Any) -> dict[str, Any]:
    return {"name": name, "uses": action, "with": params, **({} if output is None else {"output": output})}


def never(state: Any, **kwargs: Any) -> Any:
    raise AssertionError("the action is called for real")


def test_answers_stand_in_for_actions_and_inline_code_runs(kit: Any) -> None:
    engine = kit.engine(shop__price=never)
    answers = Scripted(shop__price=flows.Answer({"price": 3}, metrics={"tokens": 7, "input_tokens": 4}))
    tea.attach(engine, answers=answers)
    config = agent(uses("ask", "shop.price", "found", item="mug"), code("b", "return {'double': 2 * state['found']['price']}"))
    end = last(engine.load_from_dict(config).invoke({"x": 1}))
    assert end["state"]["double"] == 6
    assert answers.asked == [("shop.price", {"item": "mug"})]
    events = told(id_of(end))
    assert events[0]["data"]["replay_of"] == Scripted.replay_of
    (answered,) = (event for event in events if event["node"] == "shop.price" and event["event_type"] == "exit")
    assert (answered["data"]["answered"], answered["data"]["output"], answered["step"]) == (True, {"price": 3}, "ask")


def test_answer_that_raises_fails_as_the_action_did(kit: Any) -> None:
    engine = kit.engine(shop__price=never)
    tea.attach(engine, answers=Scripted(shop__price=flows.Answer(error=ValueError("sold out"))))
    end = last(engine.load_from_dict(agent(uses("ask", "shop.price"))).invoke({}))
    assert (end["type"], end["error"]) == ("error", "sold out")


def test_stop_ends_the_run_even_where_the_engine_swallows_it(kit: Any) -> None:
    """A stop does not count as a failure of a node: neither an error handler nor a branch turns it into a result."""

    def swallows(state: Any, **kwargs: Any) -> Any:
        try:
            return engine.actions_registry["shop.price"](state=state, item="cup")
        except BaseException:  # noqa: BLE001 - what a program should not do
            return {"price": 0}

    engine = kit.engine(shop__price=never, shop__swallow=swallows)
    tea.attach(engine, answers=Scripted(shop__swallow=flows.Real))
    graph = engine.load_from_dict(agent(uses("ask", "shop.swallow"), uses("more", "shop.price")))
    with pytest.raises(flows.ReplayStopped, match=r"shop.price is not recorded"):
        list(graph.invoke({}))


def test_own_actions_and_the_end_of_a_run_are_always_real(kit: Any) -> None:
    """They read the log of the run itself, or end it."""
    engine = kit.engine()
    answers = Scripted()
    tea.attach(engine, answers=answers)
    graph = engine.load_from_dict(agent(uses("log", "obs.query", "events"), uses("done", "http.respond", status=201)))
    assert last(graph.invoke({}))["type"] == "http_response"
    assert answers.asked == []


def test_answers_that_listen_get_the_events_of_the_run(kit: Any) -> None:
    class Listening(Scripted):
        def __init__(self, **answers: Any) -> None:
            super().__init__(**answers)
            self.entries: list[str] = []

        def take(self, event: dict[str, Any]) -> None:
            if event["event_type"] == "entry":
                self.entries.append(event["node"])

        def call(self, name: str, params: Any, state: Any, real: flows.Real) -> Any:
            assert self.entries[-1] == name
            return super().call(name, params, state, real)

    engine = kit.engine(shop__price=never)
    answers = Listening(shop__price=flows.Answer(1))
    tea.attach(engine, answers=answers)
    list(engine.load_from_dict(agent(uses("ask", "shop.price", "found"))).invoke({}))
    assert answers.entries == ["flow", "shop.price"]


def test_answers_need_an_engine_that_is_observed_by_them(kit: Any) -> None:
    """Otherwise actions would be called for real, and nobody would know."""
    engine = kit.engine()
    tea.attach(engine)
    with pytest.raises(obs.ConfigurationError, match="observed already, without these answers"):
        tea.attach(engine, answers=Scripted())
    silent = kit.engine()
    tea.attach(silent, answers=Scripted())
    with pytest.raises(obs.ConfigurationError, match="turns observability off"):
        silent.load_from_dict(agent(code("a", "return {}"), observability={"enabled": False}))


def test_recorded_run_of_an_agent_is_run_again_offline(kit: Any, tmp_path: Path) -> None:
    """Branches with equal questions too, three times; a changed question stops the run, and nothing is called."""
    config = agent(
        uses("ask", "shop.price", "first", item="{{ state.item }}"),
        {
            "name": "each",
            "type": "dynamic_parallel",
            "items": "{{ state.rows }}",
            "item_var": "row",
            "steps": [uses("more", "shop.price", "price", item="{{ state.row }}")],
            "fan_in": "sum",
        },
        code("sum", "return {'n': len(state['parallel_results'])}"),
        code("last", "return {'end': state['first']['price']}"),
    )
    log, calls = tmp_path / "run.jsonl", 0

    def price(state: Any, item: str, **kwargs: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"price": f"{item}: {calls}"}

    undo = obs.configure({"handlers": [{"type": "file", "path": str(log)}]})
    end = ran(config, kit, {"item": "mug", "rows": ["cup", "cup", "pot"]}, shop__price=price)
    undo()
    assert (end["type"], calls) == ("final", 4)
    for _ in range(3):
        answers = flows.recorded_answers(log)
        engine = kit.engine(shop__price=price)
        tea.attach(engine, answers=answers)
        again = last(engine.load_from_dict(config).invoke({"item": "mug", "rows": ["cup", "cup", "pot"]}))
        assert (again["state"]["end"], again["state"]["n"], calls) == ("mug: 1", 3, 4)
        assert (answers.unused(), len(answers.asked)) == ([], 4)
    engine = kit.engine(shop__price=price)
    tea.attach(engine, answers=flows.recorded_answers(log))
    graph = engine.load_from_dict(config)
    with pytest.raises(flows.ReplayStopped, match=r"ask \(shop\.price\): .*'mug' -> 'jar'"):
        list(graph.invoke({"item": "jar", "rows": []}))
    assert calls == 4
