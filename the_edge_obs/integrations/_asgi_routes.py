"""The route of a request, before the framework has looked for it: the flow needs a name when it begins.

Starlette's routes, and those of FastAPI, have ``matches(scope)``, which says whether a request is theirs (2: it is, 1: with
another method) and what a mounted application sees of it. This asks them in the same order as the router does.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Final

_FULL: Final = 2
_MOST_MOUNTS: Final = 16


def route_of(scope: MutableMapping[str, Any], app: object) -> str | None:
    """Return the path of the route that will serve a request, such as ``/users/{name}``, or None if it is not known.

    Args:
        scope: The ASGI scope; it is not changed.
        app: What is behind the middleware: a whole application, or the rest of one, which the scope then names.
    """
    if (template := scope.get("path_template")) and isinstance(template, str):  # Litestar finds the route first
        return template
    home = app if hasattr(app, "routes") else scope.get("app")
    try:
        return _path_in(getattr(home, "routes", None) or (), {**scope}, 0)
    except Exception:  # noqa: BLE001 - a route of the program; the router will come to it, and report it
        return None


def _path_in(routes: Iterable[Any], scope: dict[str, Any], depth: int) -> str | None:
    """Return the path of the first route that serves a request, otherwise of the first one that would with another method."""
    other = None
    for route in routes:
        if not hasattr(route, "matches"):
            continue
        match, seen = route.matches(scope)
        if value := match.value:
            path = _path_of(route, {**scope, **seen}, depth)
            if value == _FULL:
                return path
            other = path if other is None else other
    return other


def _path_of(route: Any, scope: dict[str, Any], depth: int) -> str | None:
    if depth > _MOST_MOUNTS:
        return None
    if hasattr(route, "effective_route_contexts"):  # a router that FastAPI includes: its routes have their whole paths
        contexts = (getattr(context, "starlette_route", None) or context for context in route.effective_route_contexts())
        return _path_in(contexts, scope, depth + 1)
    own = getattr(route, "path", "")
    inner = _path_in(getattr(route, "routes", None) or (), scope, depth + 1)
    path = own + (inner or "") if isinstance(own, str) else inner
    return path or None
