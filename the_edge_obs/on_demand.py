"""Names of a package whose modules are imported on first use (PEP 562), so that a program loads what it needs and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def module_in(package: dict[str, Any], path: str) -> Any:
    """Return a module of a package, importing it if needed.

    A loaded module is found without ``import``, which fails while the interpreter exits.

    Args:
        package: The ``globals()`` of the package.
        path: The module's name below that of the package.
    """
    module = None
    for part in path.split("."):
        module = (package if module is None else vars(module)).get(part)
        if module is None:
            return import_module(f"{package['__name__']}.{path}")
    return module


def on_demand(
    package: dict[str, Any], homes: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package.

    Args:
        package: The ``globals()`` of the package.
        homes: By module, the names that are taken from it.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = package[name] = getattr(module_in(package, home[name]), name)
        return value

    return get, lambda: sorted({*package, *home})
