"""Django: each request is a flow. Works under WSGI and ASGI, with Django 4.2 and newer.

Add the middleware to the settings, as near to the top as possible, because it observes what stands below it::

    MIDDLEWARE = ["the_edge_obs.integrations.django.FlowMiddleware", ...]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar, Final, cast

from .. import ObservabilityContext, extract, flow, use_span
from ._gate import is_observing
from ._requests import ClientDisconnectError, Paths, about, answer, general, header_names
from .asgi import FLOW_KEY

__all__ = ["FlowMiddleware"]

_RAISED: Final = "_the_edge_obs_raised"


class FlowMiddleware:
    """Run each request in a flow of its own.

    The flow has the name of the request's route (``GET /articles/<int:year>/``), otherwise that of its path without ids. Its
    input is the method, the path and the query; its output is the status. It continues the flow that a ``traceparent`` header
    names, and lasts until a streaming response has been sent. A status of 500 or more is a failure: the exception of the view,
    if there was one. A stream whose client leaves early is cancelled. While observability is off, requests pass through.

    Django makes the middleware; to change the attributes, put a subclass into the settings.

    Attributes:
        exclude: Paths that are not observed, as globs, such as ``["/health", "/static/*"]``. Default: none.
        headers: The names of request headers to log, such as ``["user-agent"]``. Default: none.

    Raises:
        ConfigurationError: an attribute is not valid, or a header holds credentials.

    Example:
        >>> class Flows(FlowMiddleware):
        ...     exclude = ["/health"]
    """

    sync_capable = True
    async_capable = True
    exclude: ClassVar[Iterable[str]] = ()
    headers: ClassVar[Iterable[str]] = ()

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._exclude, self._headers = Paths(self.exclude), header_names(self.headers)
        self._resolve = import_module("django.urls").resolve
        sync = import_module("asgiref.sync")
        self._is_async = sync.iscoroutinefunction(get_response)
        if self._is_async:
            sync.markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Serve a request; under ASGI, return an awaitable."""
        if not is_observing() or request.path in self._exclude or FLOW_KEY in getattr(request, "scope", ()):
            return self.get_response(request)
        run = self._flow_of(request)
        setattr(request, _RAISED, None)
        return self._served_async(request, run) if self._is_async else self._served(request, run)

    def process_exception(self, request: Any, exception: Exception) -> None:
        """Remember the exception of a view: Django makes a response of it before it gets here."""
        if _RAISED in vars(request):  # it is observed; otherwise nobody would let go of it
            setattr(request, _RAISED, exception)

    def _served(self, request: Any, run: ObservabilityContext) -> Any:
        with use_span(run):
            try:
                response = self.get_response(request)
            except BaseException as error:  # Django lets some through
                run.close(error)
                raise
            return _finished(request, response, run)

    async def _served_async(self, request: Any, run: ObservabilityContext) -> Any:
        with use_span(run):
            try:
                response = await cast("Awaitable[Any]", self.get_response(request))
            except BaseException as error:  # the client has left, or the server stops
                run.close(error)
                raise
            return _finished(request, response, run)

    def _flow_of(self, request: Any) -> ObservabilityContext:
        meta = request.META
        traced = {name: meta[f"HTTP_{name.upper()}"] for name in ("traceparent", "tracestate") if f"HTTP_{name.upper()}" in meta}
        keys = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in self._headers}
        headers = {name: meta[key] for name, key in keys.items() if key in meta}
        run = flow(f"{request.method} {self._route_of(request)}", parent=extract(traced))
        run.about = {"input": about(request.method, request.path, meta.get("QUERY_STRING", ""), headers)}
        return run

    def _route_of(self, request: Any) -> str:
        try:
            route = self._resolve(request.path_info, getattr(request, "urlconf", None)).route
        except Exception:  # noqa: BLE001 - there is none, or a converter of the program raises: Django will come to it
            return general(request.path)
        return f"/{route}"


def _finished(request: Any, response: Any, run: ObservabilityContext) -> Any:
    """End the flow with the response, or let it end with the response's stream."""
    raised = vars(request).pop(_RAISED, None)
    run.output = answer(response.status_code)
    # Files are sent by the server. It would not do that with a stream that is wrapped.
    if not getattr(response, "streaming", False) or getattr(response, "file_to_stream", None):
        run.close(raised if response.status_code >= 500 else None)
    else:
        stream, turn = (_AsyncStream, aiter) if response.is_async else (_Stream, iter)
        response.streaming_content = stream(turn(response.streaming_content), run, may_be_left=request.method == "HEAD")
    return response


class _Followed:
    """The stream of a response. Each step of it runs in the flow, which ends with the last one."""

    def __init__(self, items: Any, run: ObservabilityContext, *, may_be_left: bool) -> None:
        self._items, self._run, self._may_be_left = items, run, may_be_left

    def close(self) -> None:
        """End the flow: Django closes every response, also one that was not sent to its end."""
        self._run.close(None if self._may_be_left else ClientDisconnectError())


class _Stream(_Followed):
    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with use_span(self._run):
            try:
                return cast("bytes", next(self._items))
            except StopIteration:
                self._run.close()
                raise
            except BaseException as error:
                self._run.close(error)
                raise


class _AsyncStream(_Followed):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with use_span(self._run):
            try:
                return cast("bytes", await anext(self._items))
            except StopAsyncIteration:
                self._run.close()
                raise
            except BaseException as error:
                self._run.close(error)
                raise
