"""Bring in a flow's own actions: ``imports`` of packages and files with ``register_actions(registry, engine)``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..configuration.yaml_reader import Place
from ..errors import allowed
from ..recording.tracebacks import error_text, type_name
from . import checks
from .yaml_source import Source

_KEYS = ("package", "path", "namespace")

# Imports change sys.path for a moment; two flows loaded at once must not undo each other's change.
_lock = threading.RLock()


def _after_fork() -> None:
    """In a forked child no thread is importing any more; waiting for it before the fork could take for ever."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class Engine:
    """What ``register_actions`` gets as its engine.

    Args:
        actions_registry: Every action of the flow; an action that calls others may keep it.
        variables: The flow's variables.
        settings: The flow's settings.
    """

    actions_registry: dict[str, Callable[..., Any]]
    variables: Mapping[str, Any]
    settings: Mapping[str, Any]


def import_actions(source: Source, entries: Any, engine: Engine) -> None:
    """Register the actions of every entry of ``imports`` in the engine's registry.

    Args:
        source: The flow; a relative path starts at its folder, or at the working directory for a dict.
        entries: The ``imports`` block.
        engine: Receives the actions.

    Raises:
        FlowFileError: An entry is malformed, or its module is missing, fails, or registers something uncallable.
    """
    for index, entry in enumerate(checks.listing(source, entries, ("imports",), "imports")):
        place: Place = ("imports", index)
        owner = f"imports[{index}]"
        data = checks.mapping(source, entry, place, owner)
        checks.refuse_unknown(source, data, _KEYS, place, owner)
        kind = checks.one_of(source, data, ("package", "path"), place, owner)
        if kind is None:
            raise source.error(f"{owner} names no module; it needs one of package, path", place)
        name = checks.text(source, data[kind], (*place, kind), f"{owner}: {kind}")
        namespace = data.get("namespace") or ""
        if not isinstance(namespace, str):
            raise source.error(f"{owner}: namespace is {namespace!r}; it has to be a text", (*place, "namespace"))
        registered = _registered(source, kind, name, engine, (*place, kind))
        prefix = f"{namespace}." if namespace else ""
        engine.actions_registry.update({prefix + action: function for action, function in registered.items()})


def _registered(source: Source, kind: str, name: str, engine: Engine, place: Place) -> dict[str, Callable[..., Any]]:
    folder = Path(source.path).resolve().parent if source.path else Path.cwd()
    registry: dict[str, Callable[..., Any]] = {}
    try:
        with _lock, _importable(folder):
            module = importlib.import_module(name) if kind == "package" else _module_of(folder / name)
            register = getattr(module, "register_actions", None)
            if callable(register):
                register(registry, engine)
    except Exception as error:
        problem = f"cannot import {kind} {name!r}: {type_name(error)}: {error_text(error)}"
        raise source.error(problem, place) from error
    if not callable(register):
        raise source.error(f"{kind} {name!r} has no function register_actions(registry, engine)", place)
    for action, function in registry.items():
        if not callable(function):
            problem = f"{kind} {name!r} registers {action!r} as {function!r}; {allowed(['callables'])}"
            raise source.error(problem, place)
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
    # Dataclasses and pickle look their module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules beside the flow file be imported for a moment; last in line, so that they hide nothing."""
    entry = str(folder)
    sys.path.append(entry)
    try:
        yield
    finally:
        # The last of equal entries is ours.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]
