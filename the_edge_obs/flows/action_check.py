"""Look a node's action up, and check its parameters before anything runs: their names, and the values that are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..actions.checks import checks_of
from ..actions.registry import Registry
from ..configuration.yaml_reader import Place
from ..errors import ObservabilityError, allowed, did_you_mean
from .calling import INJECTED, Calling, calling
from .templates import Constant, Listing, Renderer, Table
from .yaml_source import Source


def find_action(source: Source, registry: Registry, name: str, place: Place, owner: str) -> Calling:
    """Return how to call a registered action.

    Raises:
        FlowFileError: The action does not exist; the message has the closest name and the categories.
    """
    if name in registry:
        return calling(registry[name])
    categories = sorted({action.split(".")[0] for action in registry})
    siblings = sorted(action for action in registry if action.split(".")[0] == name.split(".")[0])
    known = allowed(siblings) if siblings else "categories: " + ", ".join(categories)
    raise source.error(f"{owner}: unknown action {name!r}; {did_you_mean(name, registry)}{known}", place)


def check_parameters(source: Source, action: Calling, name: str, given: Mapping[str, Place], place: Place, owner: str) -> None:
    """Note parameters that the action does not take, and those that it needs and does not get.

    Args:
        source: The flow.
        action: How the action is called.
        name: The action's name.
        given: The parameters' names, and where each is written.
        place: The node.
        owner: The node, for messages.
    """
    takes = [param for param in action.accepted or () if param not in INJECTED]
    for param, where in given.items():
        if param == "state":
            source.note(f"{owner}: parameter 'state' is given by the flow itself; rename it", where)
        elif action.accepted is not None and param not in action.accepted:
            problem = f"{owner}: action {name!r} takes no parameter {param!r}"
            source.note(f"{problem}; {allowed(takes or ['none'], param)}", where)
    for param in action.required:
        if param not in given:
            source.note(f"{owner}: action {name!r} needs parameter {param!r}; {allowed(takes or action.required)}", place)


def check_values(source: Source, action: Calling, name: str, given: Mapping[str, tuple[Renderer, Place]], owner: str) -> None:
    """Note each value that is written in the file and that a builtin action would refuse: a provider, a timeout, a filter.

    Args:
        source: The flow.
        action: How the action is called.
        name: The action's name.
        given: By parameter, its value and where it is written.
        owner: The node, for messages.
    """
    for param, check in checks_of(action.function, name).items():
        value, place = given.get(param, (Constant(None), ()))
        written = _written(value)
        if written is None:
            continue
        try:
            check(written)
        except ObservabilityError as error:
            source.note(f"{owner}: {error}", place)


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
