"""Find a node's action, and check its parameters before anything runs: their names, and the values in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..actions.checks import checks_of
from ..actions.registry import Registry
from ..errors import ObservabilityError, allowed, did_you_mean
from . import tea
from .calling import INJECTED, Calling, calling
from .spot import Spot
from .templates import Constant, Listing, Renderer, Table


def find_action(spot: Spot, registry: Registry, name: str) -> Calling:
    """Return how to call a registered action.

    Raises:
        FlowFileError: The action does not exist; the message has the closest name and the categories.
    """
    if name in registry:
        return calling(registry[name])
    categories = sorted({action.split(".")[0] for action in registry})
    siblings = sorted(action for action in registry if action.split(".")[0] == name.split(".")[0])
    known = allowed(siblings) if siblings else "categories: " + ", ".join(categories)
    way = tea.way_for(name.removeprefix("actions.").split(".")[0], tea.CATEGORIES)
    raise spot.error(f"unknown action {name!r}; {did_you_mean(name, registry)}{known}{way}")


def check_parameters(spot: Spot, action: Calling, name: str, given: Mapping[str, Spot]) -> None:
    """Note parameters that the action does not have, and required ones that are missing.

    Args:
        spot: The node.
        action: How the action is called.
        name: The action's name.
        given: The parameters by name, and where each is written.
    """
    takes = [param for param in action.accepted or () if param not in INJECTED]
    for param, where in given.items():
        if param == "state":
            where.note("parameter 'state' is set by the flow itself; rename it")
        elif action.accepted is not None and param not in action.accepted:
            where.note(f"action {name!r} has no parameter {param!r}; {allowed(takes or ['none'], param)}")
    for param in action.required:
        if param not in given:
            spot.note(f"action {name!r} needs parameter {param!r}; {allowed(takes or action.required)}")


def check_values(action: Calling, name: str, given: Mapping[str, tuple[Renderer, Spot]]) -> None:
    """Note each value in the file that a builtin action would refuse: a provider, a timeout, a filter.

    Args:
        action: How the action is called.
        name: The action's name.
        given: By parameter, its value and where it is written.
    """
    for param, check in checks_of(action.function, name).items():
        if param not in given:
            continue
        value, spot = given[param]
        constant = _constant(value)
        if constant is None:
            continue
        try:
            check(constant)
        except ObservabilityError as error:
            spot.note(f"{error}{tea.way_for(constant, tea.PROVIDERS) if param == 'provider' else ''}")


def _constant(value: Renderer) -> Any:
    """Return a value as far as it is known before the run; None stands for the result of a template."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Table):
        return {key: _constant(item) for key, item in value.items}
    if isinstance(value, Listing):
        items = [_constant(item) for item in value.items]
        return None if None in items else items
    return None
