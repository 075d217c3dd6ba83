"""Import a flow's own actions: ``imports`` of packages and files with ``register_actions(registry, engine)``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..context import at_fork
from ..recording.tracebacks import error_text, type_name
from . import checks
from .spot import Spot

_KEYS = ("package", "path", "namespace")

# Imports change sys.path temporarily; two flows loaded at once must not undo each other's change.
_lock = threading.RLock()


def _after_fork() -> None:
    """Make a new lock in a forked child: the thread that held the old one does not exist there.

    Acquiring it before the fork instead could block for as long as an import takes.
    """
    global _lock
    _lock = threading.RLock()


at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that ``register_actions`` receives.

    Args:
        actions_registry: Every action of the flow; an action that calls others can keep it.
        variables: The flow's variables.
        settings: The flow's settings.
    """

    actions_registry: dict[str, Callable[..., Any]]
    variables: Mapping[str, Any]
    settings: Mapping[str, Any]


def import_actions(spot: Spot, entries: Any, engine: Engine) -> None:
    """Register the actions of every entry of ``imports`` in the engine's registry.

    Args:
        spot: The block; relative paths start at the folder of its file, or at the working directory for a dict.
        entries: What the block holds.
        engine: Receives the actions.

    Raises:
        FlowFileError: An entry is malformed, or its module is missing, fails, or registers something that is not callable.
    """
    for index, entry in enumerate(checks.listing(spot, entries)):
        item = spot.item(index)
        data = checks.mapping(item, entry)
        checks.refuse_unknown(item, data, _KEYS)
        kind = checks.one_of(item, data, ("package", "path"))
        if kind is None:
            raise item.error("no module is named; give package or path")
        name = checks.text(item.key(kind), data[kind])
        namespace = data.get("namespace") or ""
        if not isinstance(namespace, str):
            raise item.key("namespace").wrong(namespace, "a string")
        registered = _registered(item.at(kind), kind, name, engine)
        prefix = f"{namespace}." if namespace else ""
        engine.actions_registry.update({prefix + action: function for action, function in registered.items()})


def _registered(spot: Spot, kind: str, name: str, engine: Engine) -> dict[str, Callable[..., Any]]:
    folder = Path(spot.source.path).resolve().parent if spot.source.path else Path.cwd()
    registry: dict[str, Callable[..., Any]] = {}
    try:
        with _lock, _importable(folder):
            module = importlib.import_module(name) if kind == "package" else _module_of(folder / name)
            register = getattr(module, "register_actions", None)
            if callable(register):
                register(registry, engine)
    except Exception as error:
        raise spot.error(f"cannot import {kind} {name!r}: {type_name(error)}: {error_text(error)}") from error
    if not callable(register):
        raise spot.error(f"{kind} {name!r} has no function register_actions(registry, engine)")
    for action, function in registry.items():
        if not callable(function):
            raise spot.error(f"{kind} {name!r} registers {action!r} as {function!r}; it must be callable")
    return registry


def _module_of(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"_the_edge_obs_actions_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look up their module by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make modules beside the flow file importable for the block; last on the path, so that they shadow nothing."""
    entry = str(folder)
    sys.path.append(entry)
    try:
        yield
    finally:
        # Of equal entries, the last one was added here.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]
