"""HTTP requests as flows: their names, what is logged of them, and how they end. For the middleware of every framework."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from fnmatch import translate
from typing import Any, Final
from urllib.parse import parse_qsl

from .. import ConfigurationError

# A segment of a path that names one thing of many: a number, a UUID, a digest, a token, an address of mail.
_ID: Final = re.compile(r"\d+|(?=[^\d]*\d)[0-9A-Fa-f-]{8,}|(?=[^\d]*\d)[\w.~%=+-]{16,}|.{41,}|.*@.*")
_MAX_PATH: Final = 1_024
_MAX_QUERY: Final = 8_192
_NEVER: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_GONE: Final = frozenset({"ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"})  # of Starlette and uvicorn


class ClientDisconnectError(CancelledError):
    """The type of the error of a request whose client left before the response was complete."""

    def __init__(self) -> None:
        super().__init__("the client disconnected before the response was complete")


def general(path: str) -> str:
    """Return a path without what names one thing of many: ``/users/42/photos`` becomes ``/users/{id}/photos``."""
    kept = path if len(path) <= _MAX_PATH else path[:_MAX_PATH].rpartition("/")[0] + "/…"
    return "/".join("{id}" if _ID.fullmatch(segment) else segment for segment in kept.split("/"))


def about(method: str | None, path: str, query: bytes | str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what is logged of a request. Values under secret keys of the query are redacted like those of any input."""
    logged: dict[str, Any] = {"path": path} if method is None else {"method": method, "path": path}
    text = query.decode("latin-1") if isinstance(query, bytes) else query
    if text:
        logged["query"] = _parameters(text)
    if headers:
        logged["headers"] = dict(headers)
    return logged


def _parameters(query: str) -> dict[str, Any]:
    """Return the parameters of a query. Of a long one, the first that fit; ``…`` is the number of characters left out."""
    kept = query if len(query) <= _MAX_QUERY else query[:_MAX_QUERY].rpartition("&")[0]  # never a part of a value
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(kept, keep_blank_values=True):
        lists.setdefault(name, []).append(value)
    values: dict[str, Any] = {name: found[0] if len(found) == 1 else found for name, found in lists.items()}
    if len(kept) < len(query):
        values["…"] = len(query) - len(kept)
    return values


def answer(status: int | None) -> dict[str, Any]:
    """Return the output of a request: a status of 500 or more, or none at all, is a failure."""
    if status is not None and status < 500:
        return {"status": status}
    failure = "no response" if status is None else f"HTTP {status}"
    return {"success": False, "error": failure, "error_type": "http_error", **({} if status is None else {"status": status})}


def says_gone(error: BaseException) -> bool:
    """Tell whether a framework raised an exception because the client has left."""
    return not _GONE.isdisjoint(kind.__name__ for kind in type(error).__mro__)


class Paths:
    """Paths that are not observed, as globs: ``/health``, ``/static/*``. A ``*`` stands for any characters, slashes too.

    Raises:
        ConfigurationError: they are not a list of texts.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = _texts("exclude", patterns, "/health")
        self._pattern = re.compile("|".join(map(translate, texts))) if texts else None

    def __contains__(self, path: str) -> bool:
        return self._pattern is not None and self._pattern.match(path) is not None


def header_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the headers to log, in lower case.

    Raises:
        ConfigurationError: they are not a list of texts, or one of them holds credentials.
    """
    lowered = tuple(name.lower() for name in _texts("headers", names, "user-agent"))
    if secret := sorted(_NEVER.intersection(lowered)):
        raise ConfigurationError(f"the header {secret[0]!r} cannot be logged, because it holds credentials; leave it out")
    return lowered


def _texts(option: str, values: Iterable[str], example: str) -> tuple[str, ...]:
    listed = None if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if listed is None or not all(isinstance(value, str) for value in listed):
        raise ConfigurationError(f"{option} is {values!r}; it must be a list such as [{example!r}]")
    return listed
