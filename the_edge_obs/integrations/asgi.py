"""ASGI: each HTTP request and each websocket of an application is a flow. For Starlette, FastAPI, and every other framework.

``FlowMiddleware`` is plain ASGI 3 (https://asgi.readthedocs.io/en/latest/specs/main.html) and needs no package. It reads no body,
and logs no header that it is not asked for.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

from .. import ConfigurationError, extract, flow
from ..event import ROOT_NODE
from ._asgi_routes import route_of
from ._gate import is_observing
from ._requests import ClientDisconnectError, Paths, about, answer, general, header_names, says_gone

__all__ = ["FlowMiddleware"]

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"
Name: TypeAlias = "str | Callable[[Scope], str | None] | None"

FLOW_KEY: Final = "the_edge_obs.flow_id"
"""The key of the scope that says that a request is observed already, and in which flow."""
_LOST: Final = 1006  # RFC 6455, section 7.4.1: the connection ended without a close frame
_NO_CODE: Final = 1005


class FlowMiddleware:
    """Run each request of an ASGI application in a flow of its own.

    The flow has the name of the request's route (``GET /users/{name}``) if the application is one of Starlette or FastAPI,
    otherwise that of its path without ids (``GET /users/{id}``). Its input is the method, the path and the query; its output is
    the status. It continues the flow that a ``traceparent`` header names, and lasts until the application is done: a stream has
    been sent, background tasks have ended. A status of 500 or more is a failure; an exception is one, and is raised unchanged. A
    request whose client leaves early is cancelled. Lifespan events pass through, and so does everything while observability is
    off.

    Args:
        app: The application.
        name: The name of every flow, or a function of the ASGI scope that returns it, or None for the default name.
        exclude: Paths that are not observed, as globs, such as ``["/health", "/static/*"]``. Default: none.
        headers: The names of request headers to log, such as ``["user-agent"]``. Default: none.

    Raises:
        ConfigurationError: an argument is not valid, or a header holds credentials.

    Example:
        >>> app.add_middleware(FlowMiddleware, exclude=["/health"])
        >>> app = FlowMiddleware(app)
    """

    def __init__(self, app: App, *, name: Name = None, exclude: Iterable[str] = (), headers: Iterable[str] = ()) -> None:
        if not (name is None or callable(name) or (isinstance(name, str) and name)):
            raise ConfigurationError(f"name is {name!r}; it must be a text, a function of the scope, or None")
        self.app, self._name = app, name
        self._exclude, self._headers = Paths(exclude), frozenset(header_names(headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in _KINDS or FLOW_KEY in scope or not is_observing() or (path := _path_of(scope)) in self._exclude:
            await self.app(scope, receive, send)
            return
        problem = None
        try:
            name = self._own_name(scope)
        except Exception as error:  # noqa: BLE001 - a function of the program: its failure must not cost the request
            name, problem = None, error
        run = flow(name or self._default_name(scope, path), parent=extract(scope.get("headers")))
        run.about = {"input": about(scope.get("method"), path, scope.get("query_string", b""), self._logged_headers(scope))}
        inner = {**scope, FLOW_KEY: run.flow_id}
        async with run:
            exchange = _KINDS[scope["type"]](receive, send)
            if problem is not None:
                run.log(ROOT_NODE, "warn", message=f"the function that names flows raised {type(problem).__name__}")
            try:
                await self.app(inner, exchange.receive, exchange.send)
            except BaseException as error:
                run.close(ClientDisconnectError() if exchange.explains(error) else error)
                raise
            run.output, run.metrics = exchange.output(_found_route(inner, run.name)), exchange.metrics()
            run.close(ClientDisconnectError() if exchange.is_gone else None)

    def _own_name(self, scope: Scope) -> str | None:
        return self._name(scope) if callable(self._name) else self._name

    def _default_name(self, scope: Scope, path: str) -> str:
        return f"{scope.get('method', 'WS')} {route_of(scope, self.app) or general(path)}"

    def _logged_headers(self, scope: Scope) -> dict[str, str]:
        if not self._headers:
            return {}
        pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope.get("headers", ()))
        return {name: value for name, value in pairs if name in self._headers}


def _path_of(scope: Scope) -> str:
    """Return the whole path: where an application is mounted, older servers and frameworks leave the path before it out."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path if path.startswith(root) else root + path


def _found_route(scope: Scope, name: str) -> dict[str, str]:
    """Return the route that the framework found, if the flow's name does not show it."""
    path = getattr(scope.get("route"), "path", None)
    return {"route": path} if isinstance(path, str) and not name.endswith(path) else {}


class _Exchange:
    """The messages of one request or websocket, passed on unchanged.

    Attributes:
        is_gone: Whether the client left before everything was sent.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._lost: OSError | None = None
        self.is_gone = False

    async def send(self, message: Message) -> None:
        """Send a message."""
        self.sent(message)
        try:
            await self._send(message)
        except OSError as error:
            self.is_gone, self._lost = True, error
            raise

    async def receive(self) -> Message:
        """Receive a message."""
        message = await self._receive()
        self.received(message)
        return message

    def explains(self, error: BaseException) -> bool:
        """Tell whether the application raised an exception because the client has left."""
        lost = self._lost
        if says_gone(error) or (lost is not None and (error is lost or error.__context__ is lost)):
            return True
        members = getattr(error, "exceptions", None)  # of a group: the application sends from a task group
        return isinstance(members, tuple) and bool(members) and all(map(self.explains, members))

    def sent(self, message: Message) -> None:
        """Take note of a message to the client."""
        raise NotImplementedError

    def received(self, message: Message) -> None:
        """Take note of a message from the client."""
        raise NotImplementedError

    def output(self, route: dict[str, str]) -> dict[str, Any]:
        """Return the output of the flow."""
        raise NotImplementedError

    def metrics(self) -> dict[str, Any] | None:
        """Return the metrics of the flow, or None."""
        return None


class _Request(_Exchange):
    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._status: int | None = None
        self._started, self._took = time.perf_counter(), 0.0

    def sent(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
        elif kind == "http.response.pathsend" or (kind == "http.response.body" and not message.get("more_body", False)):
            # Before it is sent: as soon as the server has it, the other side may be told that the request is over.
            self._took = time.perf_counter() - self._started

    def received(self, message: Message) -> None:
        if message["type"] == "http.disconnect" and not self._took:
            self.is_gone = True

    def output(self, route: dict[str, str]) -> dict[str, Any]:
        return {**answer(self._status), **route}

    def metrics(self) -> dict[str, Any] | None:
        return {"response_ms": round(self._took * 1000, 3)} if self._took else None


class _WebSocket(_Exchange):
    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._code: int | None = None
        self._status: int | None = 403  # the answer to a websocket that is closed before it is accepted

    def sent(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._status = None
        elif kind == "websocket.close":
            self._close(message.get("code", 1000))
        elif kind == "websocket.http.response.start":
            self._status = message["status"]

    def received(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            code = message.get("code", _NO_CODE)
            self.is_gone = self.is_gone or (self._code is None and code == _LOST)
            self._close(code)

    def _close(self, code: int) -> None:
        self._code = code if self._code is None else self._code

    def output(self, route: dict[str, str]) -> dict[str, Any]:
        if self._status is not None:
            return {**answer(self._status), **route}
        return {"code": self._code, **route}


_KINDS: Final[dict[str, type[_Exchange]]] = {"http": _Request, "websocket": _WebSocket}
