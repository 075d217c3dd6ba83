"""The Edge Agent: runs of its own engine are observed from outside, and no agent has to change for that.

The engine loads this module by its name, ``tea run agent.yaml --actions-module the_edge_obs.integrations.tea``, or because an
agent imports it: ``imports: [{package: the_edge_obs.integrations.tea}]``. A program calls ``install`` or ``attach``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ... import ConfigurationError, configure
from ._answers import Remembering
from ._engine import Default, attached

if TYPE_CHECKING:
    from ...flows import Answers

__all__ = ["attach", "install", "register_actions"]

_MARK = "__tea_obs__"


def register_actions(registry: MutableMapping[str, Any], engine: Any = None) -> None:
    """Observe an engine: what The Edge Agent calls in a module that it is told to load.

    Args:
        registry: Where a module puts its actions. It stays empty: the engine would put the agent's namespace before their names,
            so ``obs.query`` and the others are written into the engine's own registry.
        engine: The engine whose agent imports this module. None stands for every engine loaded from now on: that is how
            ``--actions-module`` calls it, before there is an engine.
    """
    if type(engine).__module__.startswith(__name__.partition(".")[0] + "."):
        return  # our own runner, which observes its runs itself
    if engine is not None:
        attach(engine)
    elif not hasattr(getattr(import_module("the_edge_agent").YAMLEngine, "load_from_dict", None), _MARK):
        install()


def install(config: Mapping[str, Any] | str | os.PathLike[str] | None = None) -> Callable[[], None]:
    """Observe every engine that loads an agent from now on, and return the undo.

    Args:
        config: The block for agents that have none, or the path of a file with it. Default None: the program's own logging
            configuration, otherwise the file that ``TEA_OBS_CONFIG`` names, otherwise a ring buffer and one file per run,
            ``logs/flow-{flow_id}.jsonl``.

    Returns:
        A function that restores the engine's class and every engine that was observed because of this call.

    Raises:
        ConfigurationError: The Edge Agent is not installed, or the configuration cannot be used.

    Example:
        >>> undo = tea.install({"level": "info", "handlers": [{"type": "file"}]})
        >>> undo()
    """
    try:
        kind = import_module("the_edge_agent").YAMLEngine
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "the engine the_edge_agent cannot be imported; install it beside the_edge_obs (docs/tea.md says how)"
        ) from error
    if config is not None:
        configure(config, scope=object())()  # a mistake is reported here, and not when an agent runs
    theirs, default, undos = kind.load_from_dict, Default(config), list[Callable[[], None]]()

    @functools.wraps(theirs)
    def load_from_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (undo := attached(self, default)) is not None:
            undos.append(undo)
        return theirs(self, *args, **kwargs)

    setattr(load_from_dict, _MARK, True)
    kind.load_from_dict = load_from_dict

    def undo() -> None:
        default.is_over = True  # another wrapper may lie over ours and still call it
        if kind.load_from_dict is load_from_dict:
            kind.load_from_dict = theirs
        while undos:
            undos.pop()()

    return undo


def attach(engine: Any, answers: Answers | None = None) -> Callable[[], None]:
    """Observe one engine, before its agent is loaded, and return the undo.

    Args:
        engine: A ``YAMLEngine``.
        answers: Asked for the result of each action, in place of calling it, as ``flows.Answers`` says. Inline code runs, and so
            do ``obs.*`` and ``http.respond``. They are the answers of one run. Default None: all actions are called.

    Returns:
        A function that restores the engine. Where the engine was observed already, it does nothing.

    Raises:
        ConfigurationError: The object has no registry of actions; or there are answers, and the engine is observed already. With
            answers, an agent that turns observability off is refused when it is loaded.
        ReplayStopped: A run whose answers stopped it raises this, even if something in the agent swallowed it.

    Example:
        >>> undo = tea.attach(engine)
        >>> graph = engine.load_from_file("agent.yaml")
    """
    if answers is None:
        return attached(engine, Default(None)) or (lambda: None)
    if (undo := attached(engine, Default(None), Remembering(answers))) is None:
        raise ConfigurationError("the engine is observed already, without these answers; undo that first, or make a new engine")
    return undo
