"""The engine's factory of nodes: hooked on the instance, so that what it builds is observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ._nodes import Given, around, combination_of, item_of, observed_node

NEEDED: Final = ("add_node_from_config", "create_run_function")
"""Without these methods of the factory, nodes cannot be observed."""

_Function = Callable[..., Any]


class Loading(Protocol):
    """What the factory needs to know of its engine."""

    is_on: bool

    def build(self, theirs: _Function, graph: Any, config: Any) -> Any:
        """Add a node to a graph."""


def hook(factory: Any, engine: Loading) -> Callable[[], None]:
    """Hook a factory, and return the undo."""
    ours = {name: made for name, made in _Hooks(factory, engine).by_name().items() if hasattr(factory, name)}
    vars(factory).update(ours)

    def undo() -> None:
        for name, made in ours.items():
            if vars(factory).get(name) is made:
                delattr(factory, name)

    return undo


class _Hooks:
    """The methods that take the place of the factory's own, which they call."""

    def __init__(self, factory: Any, engine: Loading) -> None:
        self._engine = engine
        self._factory = factory
        self._theirs: dict[str, _Function] = {}
        # The node whose branches are being built: its own function is that of a branch.
        self._branching: tuple[object, Given] | None = None

    def by_name(self) -> dict[str, _Function]:
        """Return the hooks."""
        hooks: dict[str, _Function] = {
            "add_node_from_config": self._add_node,
            "create_run_function": self._create,
            "_create_while_loop_function": self._container("_create_while_loop_function", "loop"),
            "_create_dynamic_parallel_function": self._container("_create_dynamic_parallel_function", "parallel"),
            "_create_matrix_strategy_function": self._fanned("_create_matrix_strategy_function", combination_of),
            "_create_parallel_each_function": self._fanned("_create_parallel_each_function", item_of("item", "item_index")),
            **{name: self._branch(name) for kind in ("action", "steps", "subgraph") if (name := _branch_name(kind))},
        }
        self._theirs = {name: getattr(self._factory, name) for name in hooks if hasattr(self._factory, name)}
        return hooks

    def _add_node(self, graph: Any, node_config: Any) -> Any:
        return self._engine.build(self._theirs["add_node_from_config"], graph, node_config)

    def _create(self, node_config: Mapping[str, Any]) -> Any:
        run = self._theirs["create_run_function"](node_config)
        if run is None or not self._engine.is_on:
            return run
        branching, self._branching = self._branching, None
        if branching is None or branching[0] is not node_config:
            return observed_node(run, node_config, self._engine)
        return around("parallel.branch", observed_node(run, node_config, self._engine), None, self._engine, branching[1])

    def _container(self, name: str, kind: str) -> _Function:
        def create(node_config: Mapping[str, Any]) -> Any:
            run = self._theirs[name](node_config)
            return around(kind, run, node_config.get("name"), self._engine) if run and self._engine.is_on else run

        return create

    def _fanned(self, name: str, given: Given) -> _Function:
        container = self._container(name, "parallel")

        def create(node_config: Mapping[str, Any]) -> Any:
            self._branching = (node_config, given)
            try:
                return container(node_config)
            finally:
                self._branching = None

        return create

    def _branch(self, name: str) -> _Function:
        def create(*args: Any) -> Any:
            run = self._theirs[name](*args)
            item, index = args[-2:]
            return around("parallel.branch", run, None, self._engine, item_of(item, index)) if self._engine.is_on else run

        return create


def _branch_name(kind: str) -> str:
    return f"_create_dynamic_parallel_{kind}_branch"
