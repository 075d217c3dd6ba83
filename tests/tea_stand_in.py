"""A stand-in for the engine of The Edge Agent: the few names that the integration relies on, as the engine has them.

It runs small agents, so that the rules of the integration are tested where the engine is not installed. Where it is, every test
runs on both, and ``test_integrations_tea_contract`` compares their names and signatures.
"""

from __future__ import annotations

import copy
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

from jinja2.nativetypes import NativeEnvironment

Events = Iterator[dict[str, Any]]


class HTTPResponse(Exception):  # noqa: N818 - the engine's name
    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.status, self.body, self.headers = status, body, {}
        super().__init__(f"HTTP Response: {status}")


@dataclass
class ParallelFlowResult:
    branch: str
    success: bool
    state: dict[str, Any] | None
    error: str | None = None


class ObservabilityContext:
    """The engine's own log of a run, which stays empty when the integration takes its place."""

    flow_id = "their-own-id"

    def get_flow_log(self) -> dict[str, Any]:
        return {"flow_id": self.flow_id, "events": [], "spans": [], "metrics": {}, "timeline": []}

    @property
    def event_stream(self) -> Any:
        return None


class YAMLEngine:
    def __init__(self, actions_registry: dict[str, Callable[..., Any]] | None = None) -> None:
        self.secrets: dict[str, Any] = {}
        self._config: dict[str, Any] = {}
        self._enable_observability = False
        self._observability_context: Any = None
        self._node_factory = NodeFactory(self)
        self._templates = NativeEnvironment()
        builtin = {"http.respond": _respond, "actions.http_respond": _respond, "obs.get_flow_log": _not_enabled}
        self.actions_registry: dict[str, Callable[..., Any]] = {**builtin, **(actions_registry or {})}

    @property
    def observability_context(self) -> Any:
        return self._observability_context

    def close(self) -> None:
        """Release what the engine holds: nothing."""

    def load_from_dict(
        self, config: dict[str, Any], checkpoint: Any = None, checkpointer: Any = None, yaml_dir: Any = None
    ) -> StateGraph:
        for item in config.get("imports", []):
            module = __import__(item["package"], fromlist=["register_actions"])
            local: dict[str, Any] = {}
            module.register_actions(local, self)
            self.actions_registry.update({f"{item.get('namespace', '')}.{name}".strip("."): fn for name, fn in local.items()})
        self._config = config
        self._enable_observability = bool((config.get("observability") or {}).get("enabled"))
        self._observability_context = ObservabilityContext() if self._enable_observability else None
        more = config.get("config", {})
        graph = StateGraph(raise_exceptions=more.get("raise_exceptions", False))
        nodes = config.get("nodes", [])
        for node in nodes:
            self._node_factory.add_node_from_config(graph, node)
        graph.connect(nodes, config.get("edges", []))
        graph.interrupt_before = list(more.get("interrupt_before", []))
        graph.interrupt_after = list(more.get("interrupt_after", []))
        graph.checkpoint_dir = tempfile.mkdtemp() if graph.interrupt_before or graph.interrupt_after else None
        return graph

    def _process_template(self, text: Any, state: dict[str, Any]) -> Any:
        if isinstance(text, dict):
            return {key: self._process_template(value, state) for key, value in text.items()}
        if not isinstance(text, str) or "{{" not in text:
            return text
        return self._templates.from_string(text).render(state=state)


class NodeFactory:
    def __init__(self, engine: YAMLEngine) -> None:
        self._engine = engine

    def add_node_from_config(self, graph: StateGraph, node_config: dict[str, Any]) -> None:
        if node_config.get("type") == "while_loop":
            run = self._create_while_loop_function(node_config)
        elif node_config.get("type") == "dynamic_parallel":
            run = self._create_dynamic_parallel_function(node_config)
        elif "strategy" in node_config:
            run = self._create_matrix_strategy_function(node_config)
        elif "parallel_each" in node_config:
            run = self._create_parallel_each_function(node_config)
        else:
            run = self.create_run_function(node_config)
            if "on_error" in node_config:
                run = _retried(run, node_config["on_error"]["max_retries"])
        graph.nodes[node_config["name"]] = run

    def create_run_function(self, node_config: dict[str, Any]) -> Callable[..., Any] | None:
        if "run" in node_config:
            return self._create_inline_function(node_config["run"])
        if "uses" in node_config:
            return self._create_action_function(node_config["uses"], node_config.get("with", {}), node_config.get("output"))
        return self._create_steps_function(node_config["steps"]) if "steps" in node_config else None

    def _create_inline_function(self, code: str, language: str | None = None) -> Callable[..., Any]:
        engine = self._engine

        def run_inline(state: dict[str, Any], **kwargs: Any) -> Any:
            names = {"state": state, **kwargs, "actions": engine.actions_registry}
            indented = "\n".join("    " + line for line in str(engine._process_template(code, state)).split("\n"))
            local: dict[str, Any] = {}
            exec(f"def __run_func__():\n{indented}\n__result__ = __run_func__()", names, local)
            return local["__result__"] or {}

        return run_inline

    def _create_action_function(self, name: str, params: dict[str, Any], output: Any = None) -> Callable[..., Any]:
        engine = self._engine

        def run_action(state: dict[str, Any], **kwargs: Any) -> Any:
            if name not in engine.actions_registry:
                raise ValueError(f"Unknown action: {name}")
            action = engine.actions_registry[name]
            result = action(state=state, **engine._process_template(params, state), **kwargs)
            if output is not None:
                return {output: result}
            return result if isinstance(result, dict) else {"result": result}

        return run_action

    def _create_steps_function(self, steps: list[dict[str, Any]]) -> Callable[..., Any]:
        def run_steps(state: dict[str, Any], **kwargs: Any) -> Any:
            current = state.copy()
            for step in steps:
                run = self.create_run_function(step)
                if run is not None:
                    current.update(run(current, **kwargs))
            return current

        return run_steps

    def _create_while_loop_function(self, node_config: dict[str, Any]) -> Callable[..., Any]:
        body = [(node["name"], self.create_run_function(node)) for node in node_config["body"]]

        def run_while_loop(state: dict[str, Any], **kwargs: Any) -> Any:
            current = state.copy()
            for _ in range(node_config["max_iterations"]):
                if not self._engine._process_template("{{ " + node_config["condition"] + " }}", current):
                    break
                for _name, run in body:
                    current.update(run(current, **kwargs))  # type: ignore[misc]
            return current

        return run_while_loop

    def _create_dynamic_parallel_function(self, node_config: dict[str, Any]) -> Callable[..., Any]:
        item, index = node_config.get("item_var", "item"), node_config.get("index_var", "index")
        if "action" in node_config:
            branch = self._create_dynamic_parallel_action_branch(node_config["name"], node_config["action"], item, index)
        else:
            branch = self._create_dynamic_parallel_steps_branch(node_config["name"], node_config["steps"], item, index)
        return self._fanned(node_config["name"], lambda state: self._items(node_config["items"], state), branch, item, index)

    def _create_dynamic_parallel_action_branch(
        self, node_name: str, action_config: dict[str, Any], item_var: str, index_var: str
    ) -> Callable[..., Any]:
        return self._create_action_function(action_config["uses"], action_config.get("with", {}), action_config.get("output"))

    def _create_dynamic_parallel_steps_branch(
        self, node_name: str, steps_config: list[dict[str, Any]], item_var: str, index_var: str
    ) -> Callable[..., Any]:
        return self._create_steps_function(steps_config)

    def _create_dynamic_parallel_subgraph_branch(
        self, node_name: str, subgraph_path: str, input_mapping: dict[str, Any], item_var: str, index_var: str
    ) -> Callable[..., Any]:
        raise NotImplementedError("the stand-in loads no files")

    def _create_parallel_each_function(self, node_config: dict[str, Any]) -> Callable[..., Any]:
        run = self.create_run_function(node_config)
        assert run is not None
        return self._fanned(
            node_config["name"], lambda state: self._items(node_config["parallel_each"], state), run, "item", "item_index"
        )

    def _create_matrix_strategy_function(self, node_config: dict[str, Any]) -> Callable[..., Any]:
        run = self.create_run_function(node_config)
        assert run is not None
        [(name, values)] = node_config["strategy"]["matrix"].items()
        return self._fanned(node_config["name"], lambda state: [{name: value} for value in values], run, "matrix", "matrix_index")

    def _items(self, expression: Any, state: dict[str, Any]) -> list[Any]:
        return list(self._engine._process_template(expression, state))

    def _fanned(
        self, name: str, items: Callable[[Any], list[Any]], run: Callable[..., Any], item: str, index: str
    ) -> Callable[..., Any]:
        def run_fanned(state: dict[str, Any], **kwargs: Any) -> Any:
            def execute(number: int, value: Any) -> ParallelFlowResult:
                own = {**copy.deepcopy(state), item: value, index: number}
                try:
                    return ParallelFlowResult(f"{name}[{number}]", True, run(own, **kwargs))
                except Exception as error:  # noqa: BLE001
                    return ParallelFlowResult(f"{name}[{number}]", False, own, str(error))

            with ThreadPoolExecutor() as pool:  # bare: no context variables
                return {"parallel_results": list(pool.map(execute, *zip(*enumerate(items(state)), strict=True)))}

        return run_fanned


class StateGraph:
    def __init__(self, raise_exceptions: bool = False) -> None:
        self.nodes: dict[str, Callable[..., Any] | None] = {}
        self.next: dict[str, Any] = {}
        self.raise_exceptions = raise_exceptions
        self.interrupt_before: list[str] = []
        self.interrupt_after: list[str] = []
        self.checkpoint_dir: str | None = None
        self.checkpointer: Any = None

    def connect(self, nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> None:
        names = ["__start__", *(node["name"] for node in nodes), "__end__"]
        self.next = dict(zip(names, names[1:], strict=False))
        for edge in edges:
            if edge.get("type") == "parallel":
                fork = self.next.get(edge["from"])
                branches = fork[0] if isinstance(fork, tuple) else []
                self.next[edge["from"]] = ([*branches, edge["to"]], edge["fan_in"])
            else:
                self.next[edge["from"]] = edge["to"]

    def invoke(self, input_state: Any = None, config: Any = None, checkpoint: Any = None) -> Events:
        if input_state is None or checkpoint is not None:
            if checkpoint is None:
                raise ValueError("checkpoint parameter required when input_state is None")
            yield from self.resume_from_checkpoint(checkpoint, config, input_state)
            return
        yield from self._walk(self.next["__start__"], input_state.copy(), ({} if config is None else config).copy(), "invoke")

    def stream(self, input_state: Any = None, config: Any = None, checkpoint: Any = None) -> Events:
        if input_state is None or checkpoint is not None:
            yield from self._stream_from_checkpoint(checkpoint, config, input_state)
            return
        yield from self._walk(self.next["__start__"], input_state.copy(), ({} if config is None else config).copy(), "stream")

    def resume_from_checkpoint(self, checkpoint_id: str, config: Any = None, state_update: Any = None) -> Events:
        yield from self._resume(checkpoint_id, config, state_update, "invoke")

    def _stream_from_checkpoint(self, checkpoint_id: str, config: Any = None, state_update: Any = None) -> Events:
        yield from self._resume(checkpoint_id, config, state_update, "stream")

    def _resume(self, checkpoint_id: str, config: Any, update: Any, way: str) -> Events:
        saved = self.load_checkpoint(checkpoint_id)
        merged = {**saved["config"], **(config or {})}
        yield from self._walk(saved["node"], {**saved["state"], **(update or {})}, merged, way, is_resumed=True)

    @classmethod
    def load_checkpoint(cls, file_path: str) -> dict[str, Any]:
        loaded: dict[str, Any] = pickle.loads(Path(file_path).read_bytes())
        return loaded

    def execute_scoped(self, initial_state: Any, entry_point: str, exit_point: str, config: Any = None) -> dict[str, Any]:
        state = initial_state.copy()
        here = entry_point
        while here != exit_point:
            try:
                self._run(here, state, config or {})
            except Exception as error:  # noqa: BLE001
                return {**state, "_scoped_error": {"node": here, "error": str(error)}}
            here = self.next[here]
        return state

    def _run(self, name: str, state: dict[str, Any], config: Any) -> None:
        run = self.nodes[name]
        if run is not None:
            state.update(run(state=state, config=config, node=name, graph=self))

    def _interrupted(self, kind: str, way: str, name: str, state: Any, config: Any) -> dict[str, Any]:
        path = Path(str(self.checkpoint_dir)) / f"{name}_{time.time_ns()}.pkl"
        path.write_bytes(pickle.dumps({"state": state, "node": name, "config": config}))
        return {
            "type": "interrupt" if way == "invoke" else kind,
            "node": name,
            "state": state.copy(),
            "checkpoint_path": str(path),
        }

    def _walk(self, here: str, state: dict[str, Any], config: Any, way: str, is_resumed: bool = False) -> Events:
        while here != "__end__":
            if here in self.interrupt_before and not is_resumed:
                yield self._interrupted("interrupt_before", way, here, state, config)
                return
            if not (is_resumed and here in self.interrupt_after):
                try:
                    self._run(here, state, config)
                except HTTPResponse as response:
                    if way == "stream":
                        yield {"type": "error", "node": here, "error": str(response), "state": state.copy()}
                    else:
                        yield {"type": "http_response", "node": here, "status": response.status, "state": state.copy()}
                    return
                except Exception as error:
                    if self.raise_exceptions:
                        raise RuntimeError(f"Error in node '{here}': {error}") from error
                    yield {"type": "error", "node": here, "error": str(error), "state": state.copy()}
                    return
                if way == "stream":
                    yield {"type": "state", "node": here, "state": state.copy()}
                if here in self.interrupt_after:
                    yield self._interrupted("interrupt_after", way, here, state, config)
                    return
            is_resumed = False
            following = self.next[here]
            if isinstance(following, tuple):
                failure = yield from self._forked(*following, state, config, way)
                if failure is not None:
                    yield failure
                    return
                following = following[1]
            here = following
        yield {"type": "final", "state": state.copy()}

    def _forked(self, branches: list[str], fan_in: str, state: dict[str, Any], config: Any, way: str) -> Any:
        queue: Queue[Any] = Queue()
        with ThreadPoolExecutor() as pool:
            futures = []
            for branch in branches:
                own = copy.deepcopy(state)
                if way == "stream":
                    walk = self._stream_parallel_flow_with_reliability
                    futures.append(pool.submit(walk, branch, own, config.copy(), fan_in, queue, None, time.time()))
                else:
                    more = self._execute_flow_with_reliability
                    futures.append(pool.submit(more, branch, own, config.copy(), fan_in, None, time.time()))
        if way == "stream":
            events = [queue.get_nowait() for _ in range(queue.qsize())]
            yield from (event for event in events if event["type"] != "branch_complete")
            state["parallel_results"] = [event["state"] for event in events if event["type"] == "branch_complete"]
            return None
        results = [future.result() for future in futures]
        for result in results:
            if not result.success:
                return {"type": "error", "node": result.branch, "error": result.error, "state": state.copy()}
        state["parallel_results"] = results
        return None

    def _execute_flow_with_reliability(
        self, start_node: str, state: Any, config: Any, fan_in_node: str, parallel_config: Any, start_time: float
    ) -> ParallelFlowResult:
        result = self._execute_flow(start_node, state, config, fan_in_node)
        if result.get("type") == "error":
            return ParallelFlowResult(start_node, False, result["state"], result["error"])
        return ParallelFlowResult(start_node, True, result)

    def _execute_flow(self, current_node: str, state: Any, config: Any, fan_in_node: str) -> dict[str, Any]:
        here = current_node
        while here != fan_in_node:
            try:
                self._run(here, state, config)
            except Exception as error:
                if self.raise_exceptions:
                    raise RuntimeError(f"Error in node '{here}': {error}") from error
                return {"type": "error", "node": here, "error": str(error), "state": state.copy()}
            here = self.next[here]
        copied: dict[str, Any] = state
        return copied

    def _stream_parallel_flow_with_reliability(
        self,
        start_node: str,
        state: Any,
        config: Any,
        fan_in_node: str,
        result_queue: Queue[Any],
        parallel_config: Any,
        start_time: float,
    ) -> None:
        self._stream_parallel_flow(start_node, state, config, fan_in_node, result_queue)

    def _stream_parallel_flow(self, start_node: str, state: Any, config: Any, fan_in_node: str, result_queue: Queue[Any]) -> None:
        result = self._execute_flow(start_node, state, config, fan_in_node)
        if result.get("type") == "error":
            result_queue.put({"type": "parallel_error", "branch": start_node, "error": result["error"], "state": state})
        result_queue.put({"type": "branch_complete", "branch": start_node, "error": result.get("error"), "state": state})


def _respond(state: Any, status: int = 200, body: Any = None, **kwargs: Any) -> None:
    raise HTTPResponse(status, body)


def _not_enabled(state: Any, **kwargs: Any) -> dict[str, Any]:
    return {"success": False, "error": "Observability is not enabled."}


def _retried(run: Any, times: int) -> Callable[..., Any]:
    def error_handled_func(state: Any, **kwargs: Any) -> Any:
        for attempt in range(times + 1):
            try:
                return run(state, **kwargs)
            except Exception:
                if attempt == times:
                    raise
        return None

    return error_handled_func


def bare_thread(fn: Callable[[], Any]) -> Any:
    """Run a function in a thread that starts without context variables, and return its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(fn()))
    thread.start()
    thread.join()
    return results[0]
