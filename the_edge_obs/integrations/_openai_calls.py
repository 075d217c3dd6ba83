"""One observed call of OpenAI's SDK: its span, what is asked beside the caller's request, and what ends the span.

A failure in here is reported and counted. It never reaches the observed code.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from .. import SpanContext, StartedSpan, current, guard, start_span, taint, use_span
from ._openai_answers import Answer, ChatAnswer, EmbeddingAnswer, ResponseAnswer, plain

_CHAT: Final = "/chat/completions"
NODES: Final = {_CHAT: "llm.call", "/responses": "llm.call", "/embeddings": "embedding.call"}
"""The node for each path of the API."""

_LOGGERS: Final = {path: logging.getLogger(f"tea.{node}") for path, node in NODES.items()}
_DEPLOYMENTS: Final = "/deployments/"
_LLM, _EMBEDDING = _LOGGERS[_CHAT], _LOGGERS["/embeddings"]
_ANSWERS: Final[Mapping[str, Callable[[Any], Answer]]] = {
    _CHAT: ChatAnswer,
    "/responses": ResponseAnswer,
    "/embeddings": EmbeddingAnswer,
}

# Addresses that refuse a request for usage in a stream, as some older gateways do: they are not asked again.
_refusing: Final[set[str]] = set()
_MOST_REFUSING: Final = 1_000


class Call:
    """One call of a model.

    Args:
        client: The client.
        args: The arguments of its method ``request``.
        kwargs: The keyword arguments.
        options: The request among them.

    Attributes:
        span: The span of the call.
        options: The request to send: the caller's, or a copy that asks for usage as well.
    """

    __slots__ = ("_answer", "_args", "_asks_usage", "_client", "_is_readable", "_is_stream", "_key", "_kwargs", "options", "span")

    def __init__(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> None:
        stream = bool(kwargs.get("stream"))
        self._client, self._is_stream, self.options = client, stream, options
        self._args, self._kwargs = args, kwargs
        self._key, self._is_readable, path = client.api_key, True, options.url
        body = {**(options.json_data or {}), **(options.extra_json or {})}
        self._answer: Answer = _ANSWERS[path](body.get("model"))
        self._asks_usage = (
            stream
            and path == _CHAT
            and not _is_raw(options)  # the caller may read the bytes, from which nothing can be left out
            and "include_usage" not in (body.get("stream_options") or {})
            and str(client.base_url) not in _refusing
        )
        if self._asks_usage:
            asked = {**(options.json_data.get("stream_options") or {}), "include_usage": True}
            self.options = copy.copy(options)
            self.options.json_data = {**options.json_data, "stream_options": asked}
        given = {**_provider(client), "base_url": str(client.base_url), **body}
        around = current()
        _learn(client, options, around)
        self.span: StartedSpan = start_span(NODES[path], input=given)
        if around is None:  # the call is a flow of its own
            _learn(client, options, self.span.context)

    def attempts(self) -> Iterator[Attempt]:
        """Yield the attempt to send the request, and a second one if the endpoint refuses the request for usage."""
        first = Attempt(self, *_with(self.options, self._args, self._kwargs))
        yield first
        if first.is_refused:
            self._asks_usage = False
            yield Attempt(self, self._args, self._kwargs)
            if len(_refusing) < _MOST_REFUSING:  # the endpoint takes the request as the caller made it
                _refusing.add(str(self._client.base_url))

    def takes_back(self, error: BaseException) -> bool:
        """Tell whether the request is to be sent again, as the caller made it; otherwise end the span with the error."""
        if self._asks_usage and getattr(error, "status_code", None) in (400, 422):
            return True
        self._learn_again()
        self.span.end(error=error)
        return False

    def finish(self, result: Any) -> Any:
        """End the span of a call, or see to it that it ends with the stream; return the result."""
        self._learn_again()
        with guard("reading the answer of a model", self.span):
            self._finish(result)
            return result
        self.span.end()
        return result

    def _finish(self, result: Any) -> None:
        response = getattr(result, "http_response", None)
        if response is not None and hasattr(result, "parse"):
            if self._is_stream or not response.is_closed:
                _Live(self, response).follow_parsed(result)
            else:
                self.span.end(self.output_of(_body(response)))
        elif self._is_stream and hasattr(result, "_iterator"):
            _Live(self, result.response).follow(result)
        else:
            self.span.end(self.output_of(result))

    def output_of(self, answer: Any) -> Any:
        """Return the output for a whole answer: an object of the SDK or a dict; anything else is the output itself."""
        is_object = isinstance(answer, dict) or hasattr(answer, "model_dump")
        return self._answer.whole(plain(answer)) if is_object else answer

    def so_far(self) -> Any:
        """Return the output for what came of a stream so far."""
        return self._answer.result()

    def chunks(self, source: Any) -> Generator[Any, Any, Any]:
        """Yield the chunks of a stream, but for the one that only this call asked for."""
        try:
            for chunk in source:
                if not self._took(chunk):
                    yield chunk
        finally:
            if not source.gi_running:  # as when both are garbage, and it is closed first
                source.close()

    async def async_chunks(self, source: Any) -> AsyncGenerator[Any, Any]:
        """Yield the chunks of an async stream, but for the one that only this call asked for."""
        try:
            async for chunk in source:
                if not self._took(chunk):
                    yield chunk
        finally:
            if not source.ag_running:
                await source.aclose()

    def _took(self, chunk: Any) -> bool:
        """Collect a chunk, and tell whether the caller did not ask for it."""
        if self._is_readable:
            self._is_readable = False
            with guard("reading a chunk of a stream", self.span):
                self._answer.take(chunk)
                self._is_readable = True
        return self._asks_usage and not getattr(chunk, "choices", True) and getattr(chunk, "usage", None) is not None

    def _learn_again(self) -> None:
        """Remember a key that the SDK has fetched for this call."""
        if (key := self._client.api_key) != self._key and (context := self.span.context) is not None:
            with guard("remembering the key of a client", context), use_span(context):
                taint({"api_key": key})


class Attempt:
    """One attempt to send a request: a block in which its span is current, and whose error ends the span.

    Attributes:
        args, kwargs: The arguments of the client's method.
        result: What it returned.
        is_refused: Whether it failed, and the request is to be sent as the caller made it.
    """

    __slots__ = ("_call", "_using", "args", "is_refused", "kwargs", "result")

    def __init__(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call, self._using = call, use_span(call.span)
        self.args, self.kwargs = args, kwargs
        self.result: Any = None
        self.is_refused = False

    def __enter__(self) -> None:
        self._using.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._using.__exit__(kind, error, trace)
        self.is_refused = error is not None and self._call.takes_back(error)
        return self.is_refused


class _Live:
    """An answer that is read after the call: the span ends with its last chunk, when it has been read, or when it is closed."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call, self._response, self._is_reading = call, response, False
        self._chunks: Any = None
        hooks = {"read": self._reading, "aread": self._areading, "close": self._closing, "aclose": self._aclosing}
        for name, hook in hooks.items():
            setattr(response, name, hook(getattr(response, name)))

    def follow(self, stream: Any) -> None:
        """End the span with a stream of the SDK."""
        source, call = stream._iterator, self._call
        chunks = call.async_chunks(source) if inspect.isasyncgen(source) else call.chunks(source)
        self._chunks = stream._iterator = call.span.follow(chunks, call.so_far)

    def follow_parsed(self, raw: Any) -> None:
        """End the span with the stream that a raw response may be parsed to."""
        parse = raw.parse

        def parsed(result: Any) -> Any:
            if self._chunks is None and hasattr(result, "_iterator"):
                with guard("following a stream", self._call.span):
                    self.follow(result)
            return result

        if inspect.iscoroutinefunction(parse):

            @functools.wraps(parse)
            async def parsing(*args: Any, **kwargs: Any) -> Any:
                return parsed(await parse(*args, **kwargs))

        else:

            @functools.wraps(parse)
            def parsing(*args: Any, **kwargs: Any) -> Any:
                return parsed(parse(*args, **kwargs))

        raw.parse = parsing

    def _reading(self, read: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(read)
        def reading() -> Any:
            self._is_reading = True  # the response closes itself before it has its content
            try:
                return read()
            finally:
                self._is_reading = False
                self._closed()

        return reading

    def _areading(self, read: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(read)
        async def reading() -> Any:
            self._is_reading = True
            try:
                return await read()
            finally:
                self._is_reading = False
                await self._aclosed()

        return reading

    def _closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(close)
        def closing() -> None:
            try:
                close()
            finally:
                self._closed()

        return closing

    def _aclosing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(close)
        async def closing() -> None:
            try:
                await close()
            finally:
                await self._aclosed()

        return closing

    def _closed(self) -> None:
        if self._chunks is None:
            self._end_unread()
        elif not self._chunks.gi_running:  # otherwise it has closed the response itself; and CPython 3.11 may crash
            self._chunks.close()
            self._end_unstarted()

    async def _aclosed(self) -> None:
        if self._chunks is None:
            self._end_unread()
        elif not self._chunks.ag_running:
            await self._chunks.aclose()
            self._end_unstarted()

    def _end_unstarted(self) -> None:
        """End the span if its generator had not started: from Python 3.13 on, its close alone does not."""
        with guard("ending a stream", self._call.span):
            self._call.span.end(self._call.so_far(), metrics={"chunks": 0, "closed_early": 1})

    def _end_unread(self) -> None:
        """End the span of an answer that was read without the SDK's streams, or not at all."""
        if not self._is_reading:
            with suppress(Exception):  # it was read as bytes or in part, or is not JSON
                self._call.span.end(self._call.output_of(self._response.json()))
            self._call.span.end()

    def __del__(self) -> None:
        if self._chunks is None:
            self._call.span.end()


def _is_raw(options: Any) -> bool:
    headers = options.headers
    return isinstance(headers, Mapping) and any(str(name).lower() == "x-stainless-raw-response" for name in headers)


def _body(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _provider(client: Any) -> dict[str, str]:
    """Return who is asked, as OpenTelemetry names it, where the client tells."""
    if "Azure" in type(client).__name__:
        return {"provider": "azure.ai.openai"}
    host = str(client.base_url.host)
    return {"provider": "openai"} if host == "api.openai.com" or host.endswith(".api.openai.com") else {}


def _learn(client: Any, options: Any, context: SpanContext | None) -> None:
    """Remember the secrets of a client and of a request as taints of the flow, if there is one."""
    if context is None:
        return
    with guard("remembering the keys of a client", context), use_span(context):
        secrets: dict[str, Any] = {"api_key": client.api_key}
        for name, headers in (("client", client.default_headers), ("request", options.headers)):
            if isinstance(headers, Mapping):
                secrets[name] = {key: value for key, value in headers.items() if isinstance(value, str)}
        taint(secrets)


# --- requests, before it is known whether they are calls of models ---


def is_observed() -> bool:
    """Tell whether any call of a model is logged."""
    return _LLM.isEnabledFor(logging.INFO) or _EMBEDDING.isEnabledFor(logging.INFO)


def begun(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Return an observed call, or None if the level of its node is filtered, or if it is another request."""
    options = _options_of(args, kwargs)
    if options is not None and _LOGGERS[options.url].isEnabledFor(logging.INFO):
        with guard("observing a call of openai"):
            return Call(client, args, kwargs, options)
    return None


def report(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], error: BaseException) -> None:
    """Log the error of a call whose level is filtered."""
    if (path := _filtered(args, kwargs)) is not None:
        with guard("logging an error"):
            _learn(client, _given(args, kwargs), current())
            start_span(NODES[path]).end(error=error)


def report_later(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """Log the error of a stream of a call whose level is filtered, if it fails in the middle; return the result."""
    path, source = _filtered(args, kwargs), getattr(result, "_iterator", None)
    if path is not None and source is not None and _LOGGERS[path].hasHandlers():
        with guard("following a stream"):
            result._iterator = start_span(NODES[path]).follow(source)
    return result


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the options of a request."""
    return args[1] if len(args) > 1 else kwargs.get("options")


def _options_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the options of a request to a model, or None for another request."""
    options = _given(args, kwargs)
    url = getattr(options, "url", None)
    return options if type(url) is str and url in NODES and _is_post(options) else None


def _filtered(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the path of a request to a model that was sent, if the level of its node is filtered; otherwise None.

    Older clients of Azure have put the deployment in front of the path by now.
    """
    options = _given(args, kwargs)
    url = str(getattr(options, "url", ""))
    path = next((path for path in NODES if url == path or (url.startswith(_DEPLOYMENTS) and url.endswith(path))), None)
    return None if path is None or not _is_post(options) or _LOGGERS[path].isEnabledFor(logging.INFO) else path


def _is_post(options: Any) -> bool:
    return str(getattr(options, "method", None)).lower() == "post"


def _with(options: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of ``request`` with other options."""
    return ((args[0], options, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "options": options})
