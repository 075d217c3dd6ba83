"""Registries: make all callables in an engine's dict of actions log their calls."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

from ..errors import ConfigurationError
from ..event import level_number
from .answers import Answers, Asking
from .decorator import MARK, Observed, answering, node_of, standing


def instrument(
    registry: MutableMapping[str, Any], level: str | int = "info", *, answers: Answers | Asking | None = None
) -> Callable[[], None]:
    """Wrap every callable of a registry in place, and return the undo.

    A callable that is observed already is left as it is. One that another ``instrument`` wrapped stays wrapped until both are
    undone.

    Args:
        registry: A dict of names to callables, such as an engine's action registry. The name becomes the node's name. If a
            function has several names (``llm.call`` and ``actions.llm_call``), its node has the one without ``actions.``.
        level: Level of the entry and exit events. Default ``info``.
        answers: Asked inside the span of each call, in place of the callable, as ``flows.Answers`` says. Default None.

    Returns:
        A function that restores the registry.

    Raises:
        ConfigurationError: The registry is not a mutable mapping, or one of its names is not valid.
        EventError: The level is unknown.

    Example:
        >>> undo = obs.instrument({"llm.call": call_model})
    """
    if not isinstance(registry, MutableMapping):
        raise ConfigurationError(f"registry is a {type(registry).__name__}; give a dict of names to callables")
    number = level_number(level)
    asked = answers if answers is None or isinstance(answers, Asking) else Asking(answers)
    wrapped: dict[int, Any] = {}
    # Create all wrappers before installing the first one: a name that is not valid leaves the registry unchanged.
    replaced: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for name in sorted(registry, key=lambda name: (str(name).startswith("actions."), str(name))):
        fn = registry[name]
        if not callable(fn) or isinstance(fn, type):
            continue
        if asked is not None:
            if id(fn) not in wrapped:
                wrapped[id(fn)] = answering(fn, str(name), number, asked)
            replaced[name] = wrapped[id(fn)]
        elif _entry(fn, registry, name) is not None:
            shared[name] = fn
        elif not hasattr(fn, MARK):
            if id(fn) not in wrapped:
                wrapped[id(fn)] = standing(fn, node_of(fn, str(name), number))
            replaced[name] = wrapped[id(fn)]
    originals = {name: registry[name] for name in replaced}
    registry.update(replaced)
    return _owned(registry, originals, replaced | shared)


# Each wrapper keeps, by registry and name, what it stands for there and who asked for it. A table beside them would keep a
# registry's engine alive for ever: its callables refer to the engine, and the engine to the wrappers.
_OWNERS: Final = "_owners"


def _entry(ours: Any, registry: MutableMapping[str, Any], name: str) -> tuple[Any, set[object]] | None:
    """Return the original of the wrapper at a name of a registry, and its owners; None for any other function."""
    return ours.__dict__.get(_OWNERS, {}).get((id(registry), name)) if type(ours) is Observed else None


def _owned(registry: MutableMapping[str, Any], originals: dict[str, Any], wrappers: dict[str, Any]) -> Callable[[], None]:
    """Add an owner to each wrapper in a registry, and return the undo. The last owner's undo restores the original."""
    owner = object()
    for name, ours in wrappers.items():
        _, owners = ours.__dict__.setdefault(_OWNERS, {}).setdefault((id(registry), name), (originals.get(name), set()))
        owners.add(owner)

    def undo() -> None:
        for name, ours in wrappers.items():
            entry = _entry(ours, registry, name)
            if entry is None or owner not in entry[1]:
                continue
            entry[1].remove(owner)
            if not entry[1]:
                del ours.__dict__[_OWNERS][id(registry), name]
                if registry.get(name) is ours:
                    registry[name] = entry[0]

    return undo
