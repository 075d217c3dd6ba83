"""Handler types of a block beyond the builtin ones: of this package's extras, of other packages, and classes by their path.

A package adds a type with an entry point of the group ``the_edge_obs.handlers``: its name is the type, and its value a class of
handlers (``package.module:Name``). Looking a type up imports nothing; using it does.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from ..errors import ConfigurationError, MissingExtraError, allowed

GROUP: Final = "the_edge_obs.handlers"

BUNDLED: Final[Mapping[str, str]] = {"otlp": "the_edge_obs.integrations.otel.OtlpHandler"}
"""The types whose classes are in this package and need an extra, with the path of the class."""

_CLASS: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
# What dictConfig reads from a handler's entry itself, besides its class and level.
_OF_DICTCONFIG: Final = ("()", ".", "filters", "formatter")


def added_types() -> dict[str, str]:
    """Return the types that can be used beyond the builtin ones, and the path of each class: ``package.module.Name``."""
    found = {point.name: point.value.partition("[")[0].strip().replace(":", ".") for point in metadata.entry_points(group=GROUP)}
    return {**found, **BUNDLED}


def class_path(spec: Mapping[str, Any]) -> str:
    """Return the path of the class of a checked handler that is not of a builtin type."""
    return str(spec["class"] if "class" in spec else added_types()[spec["type"]])


def options_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the class of a handler."""
    return {key: value for key, value in spec.items() if key not in ("type", "class", "level")}


def check_added(where: str, spec: Mapping[str, Any], *, import_it: bool) -> None:
    """Check a handler that names its class, or an added type.

    Args:
        where: Where the handler stands in the configuration.
        spec: The handler.
        import_it: Whether to import the class and check the options with it; otherwise only the syntax is checked.

    Raises:
        ConfigurationError: The class is not found, is not a handler, or does not take an option.
    """
    key = "class" if "class" in spec else "type"
    path = spec["class"] if "class" in spec else added_types()[spec["type"]]
    if not isinstance(path, str) or not _CLASS.fullmatch(path):
        raise ConfigurationError(f"{where}.{key} is {path!r}; write 'package.module.Name'", where=f"{where}.{key}")
    for option in spec:
        if not isinstance(option, str) or option in _OF_DICTCONFIG or (option == "type" and key == "class"):
            problem = f"{where} has the key {option!r}; a handler has {key}, level and the arguments of its class"
            raise ConfigurationError(f"{problem}; a dictConfig can do more", where=f"{where}.{option}")
    if import_it:
        _check_options(where, _handler_class(f"{where}.{key}", spec[key], path), options_of(spec))


def _handler_class(where: str, given: object, path: str) -> type[logging.Handler]:
    """Import the class of a handler."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except MissingExtraError as error:
        raise ConfigurationError(f"{where} is {given!r}: {error}", where=where) from error
    except Exception as error:  # a module may raise anything while it is imported
        problem = f"{where} is {given!r}; {path!r} is not found ({error}); write 'package.module.Name' of an installed package"
        raise ConfigurationError(problem, where=where) from error
    if not (isinstance(found, type) and issubclass(found, logging.Handler)):
        problem = f"{where} is {given!r}, which is not a class of handlers; derive it from logging.Handler"
        raise ConfigurationError(problem, where=where)
    return found


def _check_options(where: str, kind: type[logging.Handler], options: Mapping[str, Any]) -> None:
    """Check that a class takes the options of a handler, and gets those that it needs."""
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):  # a class that does not tell
        return
    taken = [one for one in signature.parameters.values() if one.kind not in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL)]
    if any(one.kind is one.VAR_KEYWORD for one in taken):
        return
    names = [one.name for one in taken]
    for option in options:
        if option not in names:
            known = ["level", *(name for name in names if name != "level")]
            problem = f"unknown key {option!r} in {where}; {allowed(known, option)}"
            raise ConfigurationError(problem, where=f"{where}.{option}")
    missing = [one.name for one in taken if one.default is one.empty and one.name not in options]
    if missing:
        raise ConfigurationError(f"{where} has no {missing[0]!r}, which {kind.__name__} needs", where=where)
