"""One engine: its hooks, and the setup of the agent that it has loaded."""

from __future__ import annotations

import warnings
import weakref
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from ... import ConfigurationError, current, instrument
from ...event import ROOT_NODE
from ._actions import engine_actions, observe_actions, own_actions, put
from ._answers import Remembering
from ._blocks import activated, block_of, is_off
from ._facade import Facade
from ._factory import NEEDED, hook
from ._graphs import observe_graph, restore_graph
from ._runs import Run

_FACTORY: Final = "_node_factory"
_IS_OBSERVED: Final = "_enable_observability"  # by the engine itself
_CONTEXT: Final = "_observability_context"

_OURS: Final = "_the_edge_obs"


# What engines that are gone have left active. A finalizer runs anywhere, even while logging holds a lock, so it only says so.
_due: deque[Callable[[], None]] = deque()


def _clear_up() -> None:
    while _due:
        _due.popleft()()


class Default:
    """What ``install`` was given for agents without a block, and whether it was undone."""

    def __init__(self, config: Any) -> None:
        self.config, self.is_over = config, False


def attached(engine: Any, default: Default, answers: Remembering | None = None) -> Callable[[], None] | None:
    """Observe an engine, and return the undo; None where it is observed already, or not to be observed any more."""
    registry = getattr(engine, "actions_registry", None)
    if not isinstance(registry, MutableMapping):
        raise ConfigurationError(f"a {type(engine).__name__} has no actions_registry; give a YAMLEngine of The Edge Agent")
    if default.is_over or _OURS in vars(engine):
        return None
    factory = getattr(engine, _FACTORY, None)
    missing = [_FACTORY] if factory is None else [name for name in NEEDED if not hasattr(factory, name)]
    if missing:
        warnings.warn(
            f"the_edge_obs: this version of The Edge Agent has no {', '.join(missing)}; only its actions are observed",
            stacklevel=3,
        )
        return instrument(registry, answers=answers)
    vars(engine)[_OURS] = observer = Observer(engine, default, answers)
    reference, number = weakref.ref(engine), id(observer)  # an undo must not keep an engine alive

    def undo() -> None:
        ours = vars(owner).get(_OURS) if (owner := reference()) is not None else None
        if ours is not None and id(ours) == number:
            del vars(owner)[_OURS]
            ours.detach()

    return undo


class Observer:
    """What an engine builds and runs is observed, as the agent that it has loaded wants it.

    Attributes:
        is_on: Whether the agent is observed. False leaves everything as the engine made it.
        scope: The scope of the agent's runs, or None where the program's own configuration applies.
        answers: Asked in place of the actions, or None.
    """

    def __init__(self, engine: Any, default: Default, answers: Remembering | None = None) -> None:
        self._engine, self._default, self.answers = engine, default, answers
        self._undos: list[Callable[[], object]] = []
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._graph: Any = None
        self._facade: Facade | None = None
        self.is_on = False
        self.scope: object = None
        self._undo_names = put(engine.actions_registry, own_actions())
        self._undo_factory = hook(engine._node_factory, self)

    # --- what runs ask ---

    def begun(self, run: Run) -> None:
        """Take notice of a new run."""
        if self._facade is not None:
            self._facade.last = run.flow_id

    def secrets(self) -> Any:
        """Return the secrets that the engine knows."""
        return getattr(self._engine, "secrets", None) or {}

    # --- loading ---

    def see(self, graph: Any) -> None:
        """Take notice of a graph that is being built: only now the agent's configuration is known, and all imports are loaded."""
        if graph is self._graph:
            return
        config = getattr(self._engine, "_config", None) or {}
        # An agent that is loaded while another one runs on the same engine is a part of that run.
        if self._graph is None or current() is None:
            self._set_up(block_of(config))
        self._graph = graph
        if not self.is_on:
            return
        name = config.get("name")
        observe_graph(graph, name if isinstance(name, str) and name else ROOT_NODE, self)
        self._graphs.add(graph)
        if getattr(self._engine, _CONTEXT, None) is not None:
            last = self._facade.last if self._facade is not None else None
            self._facade = Facade(getattr(self._engine, _CONTEXT))
            self._facade.last = last
            setattr(self._engine, _CONTEXT, self._facade)

    def _set_up(self, block: Any) -> None:
        self._let_go()
        _clear_up()
        self.is_on = not is_off(block)
        if not self.is_on:
            if self.answers is not None:
                raise ConfigurationError("the agent turns observability off, and answers are found by the entries of calls")
            return
        scope = _Scope()
        undo = activated(block, self._default.config, scope)
        self.scope = None if undo is None else scope
        if undo is not None:
            gone = weakref.finalize(self._engine, _due.append, undo)
            gone.atexit = False
            self._undos += [undo, gone.detach]
        registry = self._engine.actions_registry
        if self.answers is not None:
            self._undos.append(self.answers.listening(self.scope))
        self._undos += [put(registry, engine_actions()), observe_actions(registry, self.answers)]

    def _let_go(self) -> None:
        """Undo what the agent that was loaded before has brought."""
        while self._undos:
            self._undos.pop()()

    def build(self, theirs: Callable[..., Any], graph: Any, config: Any) -> Any:
        """Add a node to a graph; the engine does not observe it as well."""
        self.see(graph)
        before = getattr(self._engine, _IS_OBSERVED, False)
        if self.is_on:
            setattr(self._engine, _IS_OBSERVED, False)
        try:
            return theirs(graph, config)
        finally:
            setattr(self._engine, _IS_OBSERVED, before)

    def detach(self) -> None:
        """Restore the engine. Graphs that it has loaded go on, and log nothing."""
        self._let_go()
        self._undo_names()
        self._undo_factory()
        for graph in self._graphs:
            restore_graph(graph)
        self.is_on = False


class _Scope:
    """The scope of the runs of an agent; only its identity matters."""
