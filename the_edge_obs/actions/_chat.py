"""One chat completion over HTTP, whole or as a stream, from any endpoint that speaks OpenAI's protocol.

The protocol: ``POST <base>/chat/completions``; a stream is server-sent events whose data are JSON chunks, ended by
``[DONE]`` (https://platform.openai.com/docs/api-reference/chat).
"""

from __future__ import annotations

import math
import os
import time
import urllib.parse
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ActionError, allowed
from ..redaction.texts import scrub_text
from ._sse import Event, EventStream, StreamTooLargeError
from ._support import failure, json_bytes, parsed_json
from .answers import Completion, ModelError, kind_of, shown
from .transport import Answer, Request, Response, TransportError, fetch, opened

PROVIDERS: Final = ("auto", "openai", "ollama", "scripted")
_OPENAI: Final = "https://api.openai.com/v1"
_OLLAMA: Final = "http://localhost:11434/v1"
_MAX_ANSWER: Final = 32 * 1024 * 1024
_PIECE: Final = 65_536
# A date has 29 characters; a longer header than this is not usable.
_RETRY_AFTER: Final = 100


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of completions: its base URL, and the key to send or None."""

    base: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Chat:
    """One call as the flow wrote it.

    Attributes:
        action: ``llm.call`` or ``llm.stream``; error messages begin with it.
        messages: The conversation, a list of ``{"role": ..., "content": ...}``.
        model: The model's name, or None.
        options: Further keys of the request's body; None leaves one out.
        provider: One of ``PROVIDERS``, or None.
        base_url: The endpoint's base URL, or None for the environment's.
        api_key: The key, or None for the environment's.
        timeout: Seconds for the whole call; of a stream, until it begins, and from one event to the next.
    """

    action: str
    messages: list[dict[str, Any]]
    model: str | None
    options: Mapping[str, Any]
    provider: str | None
    base_url: str | None
    api_key: str | None
    timeout: float


def find_endpoint(chat: Chat) -> Endpoint | None:
    """Return the endpoint that the parameters and the environment name, or None when they name none."""
    ollama = os.environ.get("OLLAMA_API_BASE")
    if chat.provider == "ollama" or (chat.provider != "openai" and ollama and not chat.base_url):
        return Endpoint(chat.base_url or ollama or _OLLAMA, chat.api_key)
    key = chat.api_key or os.environ.get("OPENAI_API_KEY")
    base = chat.base_url or os.environ.get("OPENAI_BASE_URL") or (_OPENAI if key else None)
    return Endpoint(base, key) if base else None


def check_provider(action: str, provider: object) -> None:
    """Refuse an unknown provider; None is allowed.

    Raises:
        ActionError: The provider is not one of ``PROVIDERS``.
    """
    if provider is not None and provider not in PROVIDERS:
        raise ActionError(
            f"{action}: unknown provider {provider!r}; {allowed(PROVIDERS)}; "
            "any endpoint that speaks OpenAI's protocol works with base_url"
        )


def complete(chat: Chat, endpoint: Endpoint) -> dict[str, Any]:
    """Ask for a completion and return it as a result, or as a soft failure."""
    try:
        response = fetch(_request(chat, endpoint, stream=False), _MAX_ANSWER)
        return _completed(response, Completion(chat.model)).result()
    except TransportError as error:
        return _failed(error, endpoint)


def stream(chat: Chat, endpoint: Endpoint) -> Generator[str, None, dict[str, Any]]:
    """Ask for a completion, yield its text as it arrives, and return the whole as a result, or as a soft failure.

    A soft failure has the text received before it as ``content``.
    """
    completion, count = Completion(chat.model), 0
    try:
        for text in _pieces(chat, endpoint, completion):
            count += 1
            yield text
    except TransportError as error:
        return {**_failed(error, endpoint), "content": completion.text(), "streamed": True, "chunk_count": count}
    return {**completion.result(), "streamed": True, "chunk_count": count}


def _request(chat: Chat, endpoint: Endpoint, *, stream: bool) -> Request:
    if not chat.model:
        raise ActionError(f"{chat.action}: model is {chat.model!r}; give the name of a model of {endpoint.base}")
    body: dict[str, Any] = {"model": chat.model, "messages": chat.messages}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body = {key: value for key, value in {**body, **chat.options}.items() if value is not None}
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream" if stream else "application/json"}
    query = urllib.parse.parse_qs(_split(endpoint.base).query)
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
        if "api-version" in query:
            # Azure reads the key here (https://learn.microsoft.com/azure/ai-services/openai/reference).
            headers["api-key"] = endpoint.key
    elif endpoint.base == _OPENAI:
        raise ActionError(f"{chat.action}: {_OPENAI} needs a key; set OPENAI_API_KEY or give api_key")
    return Request(
        chat.action, "POST", _url(endpoint.base), headers, {}, json_bytes(chat.action, "the request", body), chat.timeout
    )


def _split(base: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(base)
    except ValueError:
        return urllib.parse.SplitResult("", "", base, "", "")  # the request refuses it with the reason


def _url(base: str) -> str:
    """Return the URL for completions; a query, such as Azure's ``api-version``, stays behind the path."""
    parts = _split(base)
    return urllib.parse.urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/chat/completions"))


def _completed(response: Response, completion: Completion) -> Completion:
    """Return the completion with a whole answer added.

    Raises:
        TransportError: The answer reports a failed call, or is not a completion; the error has the response.
    """
    try:
        completion.take_whole(parsed_json(response.body))
    except ValueError as error:
        text = response.text().strip()
        beginning = f"; it begins with {shown(text)!r}" if text else ""
        raise TransportError(f"{response.url} sent invalid JSON: {error}{beginning}", "parse", response) from error
    except TransportError as error:
        error.response = response
        raise
    return completion


def _failed(error: TransportError, endpoint: Endpoint) -> dict[str, Any]:
    """Return the soft failure for an error, with its HTTP status or the one that the answer itself names."""
    response, secrets = error.response, [endpoint.key] if endpoint.key else []
    status = error.status if isinstance(error, ModelError) else None
    if status is None and response is not None and response.status >= 400:
        status = response.status
    facts: dict[str, Any] = {} if status is None else {"status_code": status}
    wait = None if response is None else _retry_after(response.headers.get("retry-after"))
    if wait is not None:
        facts["retry_after"] = wait
    detail = _detail(response, secrets) if response is not None and response.status >= 400 else ""
    text = scrub_text(str(error), secrets)
    return failure(f"{text}: {detail}" if detail else text, kind_of(status, error.error_type), **facts)


def _detail(response: Response, secrets: list[str]) -> str:
    """Return the message in the body of an error, or else the beginning of the body."""
    try:
        body = parsed_json(response.body)
    except ValueError:
        return shown(response.text().strip(), secrets)
    return shown(body, secrets) if body else ""


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number, or a date (RFC 9110, section 10.2.3).

    None without a header, or for one that is not usable.
    """
    from email.utils import parsedate_to_datetime

    if value is None or len(value) > _RETRY_AFTER:
        return None
    with suppress(ValueError):
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _pieces(chat: Chat, endpoint: Endpoint, completion: Completion) -> Iterator[str]:
    """Yield the text of a stream as it arrives, and collect the whole in ``completion``."""
    with opened(_request(chat, endpoint, stream=True)) as answer:
        if answer.http.headers.get_content_type() == "application/json":
            # A gateway that cannot stream sends the whole answer.
            text = _completed(answer.read(_MAX_ANSWER), completion).text()
            yield from (text,) if text else ()
            return
        events, is_done = EventStream(_bytes(answer)), False
        try:
            for event in events:
                is_done = event.data.strip() == "[DONE]"
                if is_done:
                    break
                if event.data.strip():
                    text = completion.take_chunk(_chunk(event), event.name)
                    yield from (text,) if text else ()
                    # Only events extend the deadline, not comments; and the time that the consumer took does not count.
                    answer.deadline.renew()
        except StreamTooLargeError as error:
            raise TransportError(str(error), "connection") from error
        if completion.says_something():
            if not (is_done or completion.is_finished()):
                raise TransportError(f"the stream from {answer.url} broke off", "connection")
        elif text := _without_events(completion, answer.url, events.stray):
            yield text


def _without_events(completion: Completion, url: str, stray: str) -> str:
    """Read a whole answer of another content type that came instead of events; return its text.

    Raises:
        TransportError: It is an error, something else, or empty.
    """
    if not stray:
        raise TransportError(f"the stream from {url} ended without an answer", "api_error")
    try:
        completion.take_whole(parsed_json(stray))
    except ValueError as error:
        raise TransportError(f"{url} did not send a stream of events; it begins with {shown(stray)!r}", "parse") from error
    return completion.text()


def _bytes(answer: Answer) -> Iterator[bytes]:
    answer.deadline.renew()
    try:
        while piece := answer.http.read1(_PIECE):
            yield piece
    except TimeoutError as error:
        raise TransportError(f"no event from {answer.url} within {answer.deadline.seconds} s", "timeout") from error


def _chunk(event: Event) -> Any:
    try:
        return parsed_json(event.data)
    except ValueError as error:
        if event.name == "error":
            return event.data
        raise TransportError(f"the stream holds an invalid chunk: {shown(event.data)[:200]!r}", "parse") from error
