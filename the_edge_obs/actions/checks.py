"""Checks of the builtin actions' parameters that can be made before a flow runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from ..event import level_number
from ..event_query import matches
from ..formats import renderer
from ._support import check_encoding, count_of, mapping_of, not_negative, positive, text_of
from .registry import builtin_registry

Check: TypeAlias = Callable[[Any], object]
"""Raises an ``ObservabilityError`` for a value that the action would refuse."""


def checks_of(function: Callable[..., Any], name: str) -> Mapping[str, Check]:
    """Return the checks of an action's parameters by name; none for an action that is not builtin.

    Args:
        function: The action.
        name: Its name; an action of the flow can have the name of a builtin one.
    """
    if builtin_registry().get(name) is not function:
        return {}
    checks: dict[str, Check] = {param: partial(check, name, param) for param, check in _BY_PARAMETER.items()}
    checks |= {param: partial(check, name) for param, check in _BY_ACTION.items()}
    return checks | _OWN.get(name, {})


def _provider(action: str, provider: Any) -> None:
    from ._chat import check_provider

    check_provider(action, provider)


def _answers(action: str, answers: Any) -> None:
    from ._scripted import load_answers

    load_answers(action, answers, None)


def _url(action: str, url: Any) -> None:
    from .transport import checked_url

    checked_url(action, url)


def _retries(action: str, retries: Any) -> None:
    if retries != 0 or isinstance(retries, bool):
        count_of(action, "max_retries", retries)


_BY_PARAMETER: Final[Mapping[str, Callable[[str, str, Any], object]]] = {
    "base_delay": not_negative,
    "extra_body": mapping_of,
    "headers": mapping_of,
    "max_bytes": count_of,
    "max_chars": count_of,
    "max_delay": not_negative,
    "params": mapping_of,
    "path": text_of,
    "system": text_of,
    "timeout": positive,
    "ttl": positive,
}
_BY_ACTION: Final[Mapping[str, Callable[[str, Any], object]]] = {
    "answers": _answers,
    "encoding": check_encoding,
    "max_retries": _retries,
    "provider": _provider,
    "url": _url,
}
_OWN: Final[Mapping[str, dict[str, Check]]] = {
    "obs.export": {"filters": matches, "format": renderer},
    "obs.log_event": {"level": level_number},
    "obs.query": {"filters": matches},
}
