"""One chat completion over HTTP, whole or as a stream, from any endpoint that speaks OpenAI's protocol.

The protocol: ``POST <base>/chat/completions``; a stream is server-sent events whose data are JSON chunks, ended by
``[DONE]`` (https://platform.openai.com/docs/api-reference/chat).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ActionError, allowed
from ._support import failure, json_bytes, parsed_json
from ._transport import Answer, Request, Response, TransportError, fetch, opened

PROVIDERS: Final = ("auto", "openai", "ollama", "scripted")
_OPENAI: Final = "https://api.openai.com/v1"
_OLLAMA: Final = "http://localhost:11434/v1"
_MAX_ANSWER: Final = 32 * 1024 * 1024
_MAX_LINE: Final = 4 * 1024 * 1024
# A date takes 29 characters; a header that is longer than this says nothing usable.
_RETRY_AFTER: Final = 100


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where completions come from: the base URL, and the key to send or None."""

    base: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Chat:
    """One call as the flow wrote it.

    Attributes:
        action: ``llm.call`` or ``llm.stream``; it begins error messages.
        messages: What is said, a list of ``{"role": ..., "content": ...}``.
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


def check_provider(chat: Chat) -> None:
    """Refuse a provider that is not known.

    Raises:
        ActionError: the provider is not one of ``PROVIDERS``.
    """
    if chat.provider is not None and chat.provider not in PROVIDERS:
        raise ActionError(
            f"{chat.action}: unknown provider {chat.provider!r}; {allowed(PROVIDERS)}; "
            "any endpoint that speaks OpenAI's protocol works with base_url"
        )


def complete(chat: Chat, endpoint: Endpoint) -> dict[str, Any]:
    """Ask for a completion and return it as a result, or as a soft failure."""
    try:
        return _result(_json(fetch(_request(chat, endpoint, stream=False), _MAX_ANSWER)), chat)
    except TransportError as error:
        return _failed(error)


def stream(chat: Chat, endpoint: Endpoint) -> Generator[str, None, dict[str, Any]]:
    """Ask for a completion, yield its text as it arrives, and return the whole as a result, or as a soft failure.

    A soft failure has the text that came before it as ``content``.
    """
    parts: list[str] = []
    facts: dict[str, Any] = {"model": chat.model, "usage": {}, "finish_reason": None}
    try:
        for text in _pieces(chat, endpoint, facts):
            parts.append(text)
            yield text
    except TransportError as error:
        return {**_failed(error), "content": "".join(parts), "streamed": True, "chunk_count": len(parts)}
    return {
        "success": True,
        "content": "".join(parts),
        **_with_cost(facts),
        "streamed": True,
        "chunk_count": len(parts),
    }


def _request(chat: Chat, endpoint: Endpoint, *, stream: bool) -> Request:
    if not chat.model:
        raise ActionError(f"{chat.action}: model is {chat.model!r}; name the model that {endpoint.base} is to use")
    body: dict[str, Any] = {"model": chat.model, "messages": chat.messages}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body = {key: value for key, value in {**body, **chat.options}.items() if value is not None}
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream" if stream else "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    elif endpoint.base == _OPENAI:
        raise ActionError(f"{chat.action}: {_OPENAI} needs a key; set OPENAI_API_KEY or give api_key")
    url = endpoint.base.rstrip("/") + "/chat/completions"
    return Request(chat.action, "POST", url, headers, {}, json_bytes(chat.action, "the request", body), chat.timeout)


def _json(response: Response) -> Any:
    try:
        return parsed_json(response.body)
    except ValueError as error:
        raise TransportError(f"{response.url} sent no valid JSON: {error}", "parse", response) from error


def _result(answer: Any, chat: Chat) -> dict[str, Any]:
    _check_error(answer)
    try:
        choice = answer["choices"][0]
        content = choice["message"].get("content")
    except (LookupError, TypeError, AttributeError) as error:
        raise TransportError(f"the answer is no chat completion: {str(answer)[:200]!r}", "parse") from error
    facts = {
        "model": answer.get("model") or chat.model,
        "usage": answer.get("usage") or {},
        "finish_reason": choice.get("finish_reason"),
    }
    return {"success": True, "content": "" if content is None else content, **_with_cost(facts)}


def _with_cost(facts: dict[str, Any]) -> dict[str, Any]:
    # OpenRouter and LiteLLM's proxy put the price of the call, in US dollars, beside the token counts.
    usage = facts["usage"]
    cost = usage.get("cost") if isinstance(usage, Mapping) else None
    return {**facts, "cost_usd": cost} if isinstance(cost, (int, float)) and not isinstance(cost, bool) else facts


def _check_error(answer: Any) -> None:
    if isinstance(answer, Mapping) and answer.get("error"):
        raise TransportError(f"the endpoint answered with an error: {_message(answer)}", "api_error")


def _message(answer: Any) -> str | None:
    error = answer.get("error") if isinstance(answer, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    return None if message is None else str(message)


def _failed(error: TransportError) -> dict[str, Any]:
    response = error.response
    if response is None or response.status < 400:
        return error.as_result()
    kind = {401: "authentication", 403: "authentication", 429: "rate_limit"}.get(response.status, error.error_type)
    try:
        detail = _message(parsed_json(response.body))
    except ValueError:
        detail = response.text().strip()[:500]
    facts: dict[str, Any] = {"status_code": response.status}
    if (wait := _retry_after(response.headers.get("retry-after"))) is not None:
        facts["retry_after"] = wait
    return failure(f"{error}: {detail}" if detail else str(error), kind, **facts)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number, or a date (RFC 9110, section 10.2.3).

    None for a header that says nothing usable: it is as good as none.
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


def _pieces(chat: Chat, endpoint: Endpoint, facts: dict[str, Any]) -> Iterator[str]:
    with opened(_request(chat, endpoint, stream=True)) as answer:
        if answer.http.headers.get_content_type() == "application/json":
            # A gateway that cannot stream answers as a whole.
            whole = _result(_json(answer.read(_MAX_ANSWER)), chat)
            facts.update({key: whole[key] for key in facts})
            yield from (whole["content"],) if whole["content"] else ()
            return
        for data in _events(answer):
            if data == "[DONE]":
                return
            yield from _absorb(data, facts)
    if facts["finish_reason"] is None:
        raise TransportError(f"the stream from {answer.url} broke off", "connection")


def _events(answer: Answer) -> Iterator[str]:
    """Yield the data of each server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Each event has the whole timeout, counted from when it is asked for: comments alone do not keep a stream alive, and a
    consumer may take its time.
    """
    lines: list[str] = []
    for line in _lines(answer):
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            yield "\n".join(lines)
            lines = []
            answer.deadline.renew()
    if lines:
        yield "\n".join(lines)


def _lines(answer: Answer) -> Iterator[str]:
    left = _MAX_ANSWER
    answer.deadline.renew()
    try:
        while raw := answer.http.readline(_MAX_LINE):
            left -= len(raw)
            if left < 0 or not raw.endswith(b"\n"):
                problem = f"the stream broke off, or is larger than {_MAX_ANSWER} bytes, or has a line above {_MAX_LINE} bytes"
                raise TransportError(problem, "connection")
            yield raw.decode("utf-8", errors="replace").rstrip("\r\n")
    except TimeoutError as error:
        raise TransportError(f"no event from {answer.url} within {answer.deadline.seconds} s", "timeout") from error


def _absorb(data: str, facts: dict[str, Any]) -> Iterator[str]:
    """Take what a chunk says about the whole into ``facts``, and yield its text."""
    try:
        chunk = parsed_json(data)
        _check_error(chunk)
        choice = (chunk.get("choices") or [{}])[0]
        text = (choice.get("delta") or {}).get("content") or ""
        facts["finish_reason"] = choice.get("finish_reason") or facts["finish_reason"]
        if not isinstance(text, str):
            raise TypeError(f"content is of type {type(text).__name__}")
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise TransportError(f"the stream holds no valid chunk: {data[:200]!r}", "parse") from error
    facts["model"] = chunk.get("model") or facts["model"]
    facts["usage"] = chunk.get("usage") or facts["usage"]
    if text:
        yield text
