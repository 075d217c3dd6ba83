"""Registries: all callables of a dict of actions, as engines have one, log their calls."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError
from ..event import level_number
from .decorator import MARK, Observed, node_of, standing


def instrument(registry: MutableMapping[str, Any], level: str | int = "info") -> Callable[[], None]:
    """Wrap every callable of a registry in place, and return the undo.

    Args:
        registry: Names to callables, as an engine's action registry. A name becomes the node's name; of several names of one
            function (``llm.call`` and ``actions.llm_call``) the one without ``actions.`` does. What is observed already stays;
            what another ``instrument`` wrapped stays until both are undone.
        level: Level of the entry and exit events. Default ``info``.

    Raises:
        ConfigurationError: the registry is not a mapping that can be changed.
        EventError: unknown level.
    """
    if not isinstance(registry, MutableMapping):
        raise ConfigurationError(f"registry is a {type(registry).__name__}; give a dict of names to callables")
    number = level_number(level)
    wrapped: dict[int, Any] = {}
    # All of them are made before the first is put in: a name that cannot be one leaves the registry as it was.
    replaced: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for name in sorted(registry, key=lambda name: (str(name).startswith("actions."), str(name))):
        fn = registry[name]
        if not callable(fn) or isinstance(fn, type):
            continue
        if _entry(fn, registry, name) is not None:
            shared[name] = fn
        elif not hasattr(fn, MARK):
            if id(fn) not in wrapped:
                wrapped[id(fn)] = standing(fn, node_of(fn, str(name), number))
            replaced[name] = wrapped[id(fn)]
    originals = {name: registry[name] for name in replaced}
    registry.update(replaced)
    return _owned(registry, originals, replaced | shared)


# Of a wrapper: by registry and name, what it stands for there, and who wants it there.
_owners: Final[WeakKeyDictionary[Any, dict[tuple[int, str], tuple[Any, set[object]]]]] = WeakKeyDictionary()


def _entry(ours: Any, registry: MutableMapping[str, Any], name: str) -> tuple[Any, set[object]] | None:
    """Return what the wrapper at a name of a registry stands for, and who wants it there; None for any other function."""
    return _owners.get(ours, {}).get((id(registry), name)) if type(ours) is Observed else None


def _owned(registry: MutableMapping[str, Any], originals: dict[str, Any], wrappers: dict[str, Any]) -> Callable[[], None]:
    """Note one more owner of each wrapper in a registry, and return the undo: the last one puts back what was there."""
    owner = object()
    for name, ours in wrappers.items():
        _, owners = _owners.setdefault(ours, {}).setdefault((id(registry), name), (originals.get(name), set()))
        owners.add(owner)

    def undo() -> None:
        for name, ours in wrappers.items():
            entry = _entry(ours, registry, name)
            if entry is None or owner not in entry[1]:
                continue
            entry[1].remove(owner)
            if not entry[1]:
                del _owners[ours][id(registry), name]
                if registry.get(name) is ours:
                    registry[name] = entry[0]

    return undo
