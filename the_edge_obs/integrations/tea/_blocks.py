"""Which configuration an agent has, and its activation for the runs of that agent alone."""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from ... import ConfigurationError, configure, is_configured

ENVIRONMENT: Final = "TEA_OBS_CONFIG"
OWN: Final = {"handlers": [{"type": "file", "path": "logs/flow-{flow_id}.jsonl"}]}
"""The block of an agent for which nobody has configured anything."""

_NEEDED: Final = ("type", "path", "callback")
_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def block_of(config: Mapping[str, Any]) -> Any:
    """Return the agent's own block, or None: ``observability``, otherwise ``settings.observability``."""
    block = config.get("observability")
    if block is None and isinstance(settings := config.get("settings"), Mapping):
        block = settings.get("observability")
    return block


def is_off(block: Any) -> bool:
    """Tell whether a block turns observability off."""
    return isinstance(block, Mapping) and block.get("enabled") is False


def activated(block: Any, given: Any, scope: object) -> Callable[[], None] | None:
    """Activate the configuration of an agent, and return its undo; None where the program's own configuration applies.

    Args:
        block: The agent's own block, or None.
        given: What ``install`` was given, or None.
        scope: The scope of the agent's runs.
    """
    if block is not None:
        return _tolerant(block, scope)
    if given is None and is_configured():
        return None
    path = os.environ.get(ENVIRONMENT)
    for config, name in ((given, "install"), (path, ENVIRONMENT)):
        if config:
            try:
                return configure(config, scope=scope)
            except ConfigurationError as error:
                _warn(f"{name}: {error}; the default is used")
    return _tolerant(OWN, scope)


def _tolerant(block: Any, scope: object) -> Callable[[], None]:
    """Activate a block as far as it can be used. The engine tolerates what is wrong in it, so each mistake is only a warning."""
    if not isinstance(block, Mapping):
        _warn(f"observability is {block!r}, not a mapping; the default is used")
        return _tolerant(OWN, scope)
    left: dict[str, Any] = {**copy.copy(dict(block)), "enabled": True}
    while True:
        try:
            return configure(left, scope=scope)
        except ConfigurationError as error:
            part = _without(left, error.where)
            _warn(f"{error}; {part or 'the whole block'} is left out")
            if part is None:
                left = {"enabled": True}


def _without(block: dict[str, Any], where: str) -> str | None:
    """Take the part that a mistake names out of a block, and return its name; None if it is not there."""
    keys = [name or int(number) for name, number in _PART.findall(where.removeprefix("observability"))]
    if keys[:1] == ["handlers"] and keys[2:] and keys[2] in _NEEDED:
        keys = keys[:2]  # a handler without it would be another one
    if keys[:1] == ["prices"]:
        keys = keys[:1]  # the names of models have dots
    holder: Any = block
    for depth, key in enumerate(keys):
        if not _has(holder, key):
            return None
        if depth == len(keys) - 1 or not isinstance(holder[key], (Mapping, list)):
            del holder[key]
            return "observability" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        holder[key] = copy.copy(holder[key])  # the agent's own block stays as it is
        holder = holder[key]
    return None


def _has(holder: Any, key: Any) -> bool:
    return key < len(holder) if isinstance(key, int) and isinstance(holder, list) else isinstance(holder, dict) and key in holder


def _warn(text: str) -> None:
    warnings.warn(f"the_edge_obs: {text}", stacklevel=2)
