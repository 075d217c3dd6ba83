"""Look a node's action up, and check its parameters against the action's signature, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..actions.obs import obs_export, obs_log_event, obs_query
from ..actions.registry import Registry
from ..errors import ObservabilityError, allowed, did_you_mean
from ..event import level_number
from ..event_query import matches
from ..formats import renderer
from ..yaml_reader import Place
from .calling import INJECTED, Calling, calling
from .templates import Constant, Listing, Renderer, Table
from .yaml_source import Source

# What is written in the file, and not made by a template, is known before the run: a typo need not wait for it.
_CHECKS: Final[tuple[tuple[Callable[..., Any], Mapping[str, Callable[[Any], object]]], ...]] = (
    (obs_query, {"filters": matches}),
    (obs_export, {"filters": matches, "format": renderer}),
    (obs_log_event, {"level": level_number}),
)


def find_action(source: Source, registry: Registry, name: str, place: Place, owner: str) -> Calling:
    """Return how to call a registered action.

    Raises:
        FlowFileError: There is no such action; the message has the closest name and the categories.
    """
    if name in registry:
        return calling(registry[name])
    categories = sorted({action.split(".")[0] for action in registry})
    siblings = sorted(action for action in registry if action.split(".")[0] == name.split(".")[0])
    known = allowed(siblings) if siblings else "categories: " + ", ".join(categories)
    raise source.error(f"{owner}: unknown action {name!r}; {did_you_mean(name, registry)}{known}", place)


def check_parameters(source: Source, action: Calling, name: str, given: Mapping[str, Place], place: Place, owner: str) -> None:
    """Refuse parameters that the action does not take, and a call without the ones it needs.

    Args:
        source: The flow.
        action: How the action is called.
        name: The action's name.
        given: The parameters' names, and where each is written.
        place: The node.
        owner: The node, for messages.

    Raises:
        FlowFileError: With the line of the parameter, and the names that are allowed.
    """
    takes = [param for param in action.accepted or () if param not in INJECTED]
    for param, where in given.items():
        if param == "state":
            raise source.error(f"{owner}: parameter 'state' is given by the flow itself; rename it", where)
        if action.accepted is not None and param not in action.accepted:
            problem = f"{owner}: action {name!r} takes no parameter {param!r}"
            raise source.error(f"{problem}; {allowed(takes or ['none'], param)}", where)
    missing = [param for param in action.required if param not in given]
    if missing:
        problem = f"{owner}: action {name!r} needs parameter {missing[0]!r}; {allowed(takes or action.required)}"
        raise source.error(problem, place)


def check_values(source: Source, action: Calling, given: Mapping[str, tuple[Renderer, Place]], owner: str) -> None:
    """Refuse a filter, format or level that is written in the file and that no ``obs.*`` action takes.

    Args:
        source: The flow.
        action: How the action is called.
        given: By parameter, its value and where it is written.
        owner: The node, for messages.

    Raises:
        FlowFileError: With the line of the parameter, and what is allowed.
    """
    checks = next((checks for function, checks in _CHECKS if function is inspect.unwrap(action.function)), {})
    for param, check in checks.items():
        value, place = given.get(param, (Constant(None), ()))
        written = _written(value)
        if written is None:
            continue
        try:
            check(written)
        except ObservabilityError as error:
            raise source.error(f"{owner}: {error}", place) from error


def _written(value: Renderer) -> Any:
    """Return a value as far as it is known before the run; None stands for what templates make."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Table):
        return {key: _written(item) for key, item in value.items}
    if isinstance(value, Listing):
        items = [_written(item) for item in value.items]
        return None if None in items else items
    return None
