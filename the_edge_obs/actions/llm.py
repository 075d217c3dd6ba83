"""``llm.call`` and ``llm.stream``: a chat completion from any OpenAI-compatible endpoint, or from a script."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors import ActionError
from ._scripted import choose, load_answers, pieces_of, result_of
from ._support import add_event, count_of, mapping_of, not_negative, text_of
from .retrying import Retrying

if TYPE_CHECKING:
    from ._chat import Chat, Endpoint

# _chat is imported by the first call: its transport imports urllib.request, which takes time.

# Slow local models need minutes for a long answer.
DEFAULT_TIMEOUT: Final = 300.0
_TRANSIENT: Final = ("rate_limit", "timeout", "connection")
# A ``Retry-After`` below this, in seconds, means "at once", which has just failed.
_AT_ONCE: Final = 0.1


def llm_call(
    state: MutableMapping[str, Any],
    *,
    model: str | None = None,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    max_retries: int = 0,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    answers: Sequence[Any] | None = None,
    script: str | None = None,
) -> dict[str, Any]:
    """Ask a language model and return its answer.

    The endpoint is ``base_url``, else the environment's: ``OLLAMA_API_BASE``, ``OPENAI_BASE_URL``, or OpenAI itself where
    only ``OPENAI_API_KEY`` is set. ``answers`` or ``script`` replace it; see below.

    Args:
        state: The flow's state; a script keeps its position in it, under ``_observability.llm_script`` (``llm_script`` where
            the state has no ``_observability``).
        model: The model's name; required for an endpoint.
        prompt: The user's message; or give ``messages``.
        system: The system's message, before all others.
        messages: A whole conversation, ``[{"role": ..., "content": ...}]``; wins over ``prompt``.
        temperature: Sampling temperature; None leaves it to the endpoint.
        max_tokens: The longest answer, in tokens; None leaves it to the endpoint.
        stop: Where the answer ends; a string or a list.
        response_format: The form of the answer, such as ``{"type": "json_object"}``.
        extra_body: Further keys of the request's body; None takes a key out.
        provider: ``openai``, ``ollama`` (no key, http://localhost:11434/v1 by default), ``scripted``, or
            ``auto``: the configured endpoint, else the script. None means ``scripted`` where answers or a script
            are given, else ``auto``.
        base_url: The endpoint without ``/chat/completions``; a query (Azure's ``?api-version=``) is kept.
        api_base: Another name for ``base_url``.
        api_key: The key; None takes ``OPENAI_API_KEY``.
        timeout: Seconds for the whole call, from the name lookup to the last byte; each retry has the same time again.
        max_retries: How often a rate limit, a timeout, a broken connection or a status of 408, or 500 and above, is retried;
            the status can also be in the error of an answer with status 200.
        base_delay: Seconds before the first retry; doubled each time. Each delay is shortened by up to a quarter at random. A
            ``Retry-After`` of the endpoint wins, unless it is 0 or a time in the past.
        max_delay: The longest wait between two tries, in seconds.
        answers: Scripted answers: strings, or dicts with ``content`` or ``error`` (a soft failure, with ``error_type``,
            ``status_code``, ``retry_after``), ``match``, ``model``, ``usage``, ``finish_reason``, ``cost_usd``, and ``seconds``,
            how long the answer takes (default 0).
            If a ``match`` (a regular expression) is found in the messages, those answers are used, else those without one; in
            order, and the last one is repeated.
        script: A YAML or JSON file of such answers.

    Returns:
        ``{"success": True, "content": str, "model": str, "usage": {"prompt_tokens", "completion_tokens", "total_tokens"}
        (empty when the endpoint counts nothing), "finish_reason": str or None}``, with ``cost_usd`` where the endpoint gives
        a cost, with ``tool_calls`` (as in the protocol, arguments as text), ``refusal`` and ``reasoning`` where the
        model gave some, with ``choices`` (all of them, with their ``index``) where there are several (``n``), and with
        ``attempts`` and ``total_delay`` (seconds) where ``max_retries`` is above 0. Soft failures have ``error_type``
        ``authentication``, ``rate_limit``, ``http_error`` (these with ``status_code``), ``api_error``, ``timeout``,
        ``connection`` or ``parse``; an error inside an answer with status 200 has the ``status_code`` that it names.

    Raises:
        ActionError: There is no endpoint and no script, neither prompt nor messages, no model, or a parameter has the wrong type.
    """
    from ._chat import Chat

    said = _messages("llm.call", messages, prompt, system)
    options = _options("llm.call", extra_body, temperature, max_tokens, stop, response_format)
    chat = Chat("llm.call", said, model, options, provider, base_url or api_base, api_key, timeout)
    once = partial(_complete, chat, _find_source(chat, answers, script), state)
    return _with_retries(once, max_retries, base_delay, max_delay) if max_retries else once()


def llm_stream(
    state: MutableMapping[str, Any],
    *,
    model: str | None = None,
    prompt: str | None = None,
    system: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    answers: Sequence[Any] | None = None,
    script: str | None = None,
) -> Generator[str, None, dict[str, Any]]:
    """Ask a language model, yield its answer piece by piece as it arrives, and return the whole.

    Args:
        state: As in ``llm.call``, like every other parameter; ``timeout`` applies until the answer
            begins, and then from each event of the stream to the next.
        model: See ``llm.call``.
        prompt: See ``llm.call``.
        system: See ``llm.call``.
        messages: See ``llm.call``.
        temperature: See ``llm.call``.
        max_tokens: See ``llm.call``.
        stop: See ``llm.call``.
        response_format: See ``llm.call``.
        extra_body: See ``llm.call``; ``stream_options: null`` suits endpoints that do not know this key.
        provider: See ``llm.call``.
        base_url: See ``llm.call``.
        api_base: See ``llm.call``.
        api_key: See ``llm.call``.
        timeout: See ``llm.call``.
        answers: See ``llm.call``; a scripted answer comes word by word.
        script: See ``llm.call``.

    Yields:
        Pieces of the answer; joined they are its ``content``.

    Returns:
        As in ``llm.call``, with ``streamed`` (True) and ``chunk_count``. A soft failure also has the text received so far
        as ``content``.

    Raises:
        ActionError: As in ``llm.call``, when the first piece is asked for.
    """
    from ._chat import Chat, stream

    said = _messages("llm.stream", messages, prompt, system)
    options = _options("llm.stream", extra_body, temperature, max_tokens, stop, response_format)
    chat = Chat("llm.stream", said, model, options, provider, base_url or api_base, api_key, timeout)
    source = _find_source(chat, answers, script)
    if isinstance(source, list):
        return (yield from _scripted_stream(chat, source, state))
    return (yield from stream(chat, source))


def _messages(
    action: str, messages: Sequence[Mapping[str, Any]] | None, prompt: str | None, system: str | None
) -> list[dict[str, Any]]:
    if messages is None:
        if prompt is None:
            raise ActionError(f"{action}: neither prompt nor messages is given; give one of them")
        messages = [{"role": "user", "content": text_of(action, "prompt", prompt)}]
    if not isinstance(messages, Sequence) or not messages or not all(_is_message(message) for message in messages):
        raise ActionError(f"{action}: messages is {messages!r}; it must be a list of {{role: ..., content: ...}}")
    said = [dict(message) for message in messages]
    return said if system is None else [{"role": "system", "content": text_of(action, "system", system)}, *said]


def _is_message(message: object) -> bool:
    return isinstance(message, Mapping) and isinstance(message.get("role"), str)


def _options(
    action: str,
    extra_body: Mapping[str, Any] | None,
    temperature: float | None,
    max_tokens: int | None,
    stop: str | Sequence[str] | None,
    response_format: Mapping[str, Any] | None,
) -> dict[str, Any]:
    named = {"temperature": temperature, "max_tokens": max_tokens, "stop": stop, "response_format": response_format}
    given = {key: value for key, value in named.items() if value is not None}
    return {**given, **mapping_of(action, "extra_body", extra_body)}


def _find_source(chat: Chat, answers: Sequence[Any] | None, script: str | None) -> Endpoint | list[dict[str, Any]]:
    """Return the source of the answer: an endpoint, or the answers of a script."""
    from ._chat import check_provider, find_endpoint

    has_script = answers is not None or script is not None
    check_provider(chat.action, chat.provider)
    if chat.provider == "scripted" or (chat.provider is None and has_script):
        return load_answers(chat.action, answers, script)
    endpoint = find_endpoint(chat)
    if endpoint is None and has_script and chat.provider == "auto":
        return load_answers(chat.action, answers, script)
    if endpoint is None:
        raise ActionError(
            f"{chat.action}: no endpoint is configured; set OPENAI_API_KEY (and OPENAI_BASE_URL for an endpoint other than "
            "OpenAI's) or OLLAMA_API_BASE, or give base_url, answers or script"
        )
    return endpoint


def _complete(chat: Chat, source: Endpoint | list[dict[str, Any]], state: MutableMapping[str, Any]) -> dict[str, Any]:
    from ._chat import complete

    if isinstance(source, list):
        answer = choose(chat.action, state, source, chat.messages)
        _pause(answer, 1)
        return result_of(answer, chat.messages, chat.model)
    return complete(chat, source)


def _scripted_stream(
    chat: Chat, answers: list[dict[str, Any]], state: MutableMapping[str, Any]
) -> Generator[str, None, dict[str, Any]]:
    answer = choose(chat.action, state, answers, chat.messages)
    result = result_of(answer, chat.messages, chat.model)
    pieces = list(pieces_of(result.get("content", "")))
    pauses = max(len(pieces), 1)  # one before each piece; a failure takes time too
    for number in range(pauses):
        _pause(answer, pauses)
        yield from pieces[number : number + 1]
    return {**result, "content": result.get("content", ""), "streamed": True, "chunk_count": len(pieces)}


def _pause(answer: Mapping[str, Any], pauses: int) -> None:
    """Wait for one of several equal parts of the time that a scripted answer takes."""
    if seconds := answer.get("seconds"):
        time.sleep(seconds / pauses)


def _with_retries(attempt: Callable[[], dict[str, Any]], max_retries: int, base_delay: float, max_delay: float) -> dict[str, Any]:
    """Call until it succeeds, fails for good, or was retried ``max_retries`` times."""
    retries, total_delay = count_of("llm.call", "max_retries", max_retries), 0.0
    first, longest = (not_negative("llm.call", *pair) for pair in (("base_delay", base_delay), ("max_delay", max_delay)))

    def pause(number: int, result: Mapping[str, Any], delay: float) -> None:
        nonlocal total_delay
        asked = result.get("retry_after")
        if isinstance(asked, (int, float)) and asked >= _AT_ONCE:
            delay = min(asked, longest)
        # Every failed attempt is logged: where a flow is observed, as a `log` event of the running span.
        facts = {"attempt": number, "delay_seconds": delay, "failure": result}
        add_event("llm.call", logging.WARNING, "log", f"attempt {number} of {retries + 1} failed", facts, {})
        total_delay += delay
        time.sleep(delay)

    result, attempts = Retrying(retries, first, 2.0, longest).run(lambda _: attempt(), _is_transient, pause)
    return {**result, "attempts": attempts, "total_delay": total_delay}


def _is_transient(result: Mapping[str, Any]) -> bool:
    """Tell whether a result is a transient failure."""
    if result["success"]:
        return False
    status = result.get("status_code", 0)
    return result["error_type"] in _TRANSIENT or status == 408 or status >= 500
