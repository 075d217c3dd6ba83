"""Naming secrets that the program knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..context import current
from ..errors import ConfigurationError
from .snapshots import snapshot
from .texts import learn


def taint(values: Iterable[str | bytes | int | None] | Mapping[str, Any]) -> None:
    """Name secrets that the program knows: they are removed from everything that the running flow logs, in every spelling.

    Outside a flow this does nothing. A secret of fewer than 4 characters cannot be removed from texts, and a flow has room for
    a limited number: a secret that cannot be remembered is a fault that the flow's log counts and shows.

    Args:
        values: Texts, bytes or whole numbers; None and empty values are skipped, so ``os.environ.get(...)`` can be passed as is.
            Or a dict, such as the headers of a request: the values under secret keys, at any depth, that look like secrets.

    Raises:
        ConfigurationError: ``values`` is a text by itself, or holds something else.

    Example:
        >>> obs.taint([os.environ.get("SHOP_KEY")])
        >>> obs.taint({"api_key": client.api_key, "headers": client.headers})
    """
    if isinstance(values, Mapping):
        if (span := current()) is not None:
            snapshot(dict(values), span.flow)
        return
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"taint takes a list of secrets, not {type(values).__name__}; write taint([secret])")
    secrets = [value for value in values if value is not None and value != "" and value != b""]
    for value in secrets:
        if isinstance(value, bool) or not isinstance(value, (str, bytes, int)):
            raise ConfigurationError(f"taint cannot remember a value of type {type(value).__name__}; allowed: str, bytes, int")
    if (span := current()) is not None:
        learn(span.flow, secrets, is_certain=True)
