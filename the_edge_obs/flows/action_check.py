"""Look a node's action up, and check its parameters against the action's signature, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from ..actions.registry import Registry
from ..errors import allowed, did_you_mean
from .calling import INJECTED, Calling, calling
from .yaml_source import Place, Source


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
