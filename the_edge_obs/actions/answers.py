"""Interpret what an endpoint of OpenAI's protocol sends: a whole answer, the chunks of a stream, the body of an error.

A ``Completion`` collects one answer, whether it comes whole or in chunks. It reads these dialects: OpenAI, Azure
(chunks without choices, content filters), Anthropic's compatible endpoint (``{"type": "error"}``, content blocks), vLLM
(``{"object": "error"}`` inside a stream, ``reasoning_content``), Ollama (every tool call with index 0,
https://github.com/ollama/ollama/issues/15457), OpenRouter (``choice.error`` under HTTP 200,
https://openrouter.ai/docs/api-reference/errors) and Mistral (content as a list of parts, ``detail``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..redaction.texts import scrub_text
from .transport import Response, TransportError

__all__ = ["Completion", "ModelError", "TransportError"]

# How many characters of an endpoint's message an error shows.
_SHOWN: Final = 500
# How many characters of it are searched for secrets.
_READ: Final = 65_536
_ERROR_KEYS: Final = ("error", "message", "detail", "msg", "errors")
# The error type that a status means, both as the status of an HTTP answer and as the code inside its error.
_KINDS: Final = {401: "authentication", 403: "authentication", 429: "rate_limit"}
# Errors with a name but no number, and the status that each stands for: OpenAI's and Anthropic's
# (https://docs.anthropic.com/en/api/errors).
_NAMED: Final = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
_INPUT_TOKENS: Final = ("input_tokens", "prompt_eval_count")
_CACHED_TOKENS: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
_OUTPUT_TOKENS: Final = ("output_tokens", "eval_count")


class ModelError(TransportError):
    """An answer that reports a failed call, whatever its HTTP status.

    Attributes:
        status: The HTTP status that the error stands for, or None where it names none.
    """

    def __init__(self, message: str, status: int | None, response: Response | None = None) -> None:
        super().__init__(message, kind_of(status, "api_error"), response)
        self.status = status


def kind_of(status: int | None, otherwise: str) -> str:
    """Return the error type that a status stands for, or ``otherwise`` for a status without one."""
    return otherwise if status is None else _KINDS.get(status, otherwise)


def shown(said: Any, secrets: Sequence[str] = ()) -> str:
    """Return an endpoint's message for an error text: its first 500 characters, without secrets.

    Args:
        said: A string, or parsed JSON; for an error object, its message is shown.
        secrets: Strings that must not be shown, such as the key that was sent.
    """
    return scrub_text(_message(said)[:_READ], secrets).strip()[:_SHOWN]


def error_in(answer: Any) -> tuple[Any, int | None] | None:
    """Return the error in an answer, a chunk or an error's body, with the status that it stands for; None without an error."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]  # Gemini's endpoint wraps its error in a list
    if not isinstance(answer, Mapping):
        return None
    says_error = answer.get("object") == "error" or answer.get("type") == "error"
    if answer.get("error") or says_error:
        return answer, _status(answer.get("error"), answer)
    for choice in _choices(answer):
        if choice.get("error") or choice.get("finish_reason") == "error":
            said = choice.get("error") or "its finish_reason is 'error'"
            return said, _status(said)
    if not answer.get("choices") and any(
        isinstance(answer.get(key), (str, list)) for key in ("detail", "message", "msg", "errors")
    ):
        return answer, _status(answer)
    return None


def _choices(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    choices = answer.get("choices")
    return (choice for choice in choices if isinstance(choice, Mapping)) if isinstance(choices, list) else iter(())


def _status(*objects: Any) -> int | None:
    keys = ("code", "status", "type")
    codes = [item[key] for item in objects if isinstance(item, Mapping) for key in keys if item.get(key)]
    for value in codes:
        if isinstance(value, (int, str)) and str(value).isascii() and str(value).isdigit() and 400 <= int(str(value)[:9]) < 600:
            return int(value)
    return next((_NAMED[value] for value in codes if isinstance(value, str) and value in _NAMED), None)


def _message(said: Any) -> str:
    while isinstance(said, (Mapping, list)):
        if isinstance(said, list):
            inner = said[0] if len(said) == 1 and isinstance(said[0], Mapping) and said[0].get("error") else None
        else:
            inner = next((said[key] for key in _ERROR_KEYS if said.get(key)), None)
        if inner is None:
            return _compact(said)
        said = inner
    return str(said)


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "a value that is nested too deeply to be shown"


@dataclass(slots=True)
class _Call:
    """A tool call as received so far; ``kind`` is function, or custom for a tool that takes free text."""

    kind: str = "function"
    id: str | None = None
    name: str | None = None
    arguments: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, Any]:
        argument = "input" if self.kind == "custom" else "arguments"
        return {"id": self.id, "type": self.kind, self.kind: {"name": self.name, argument: "".join(self.arguments)}}


@dataclass(slots=True)
class _Choice:
    """One of the answers to a question, as received so far."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    by_index: dict[Any, _Call] = field(default_factory=dict)
    finish_reason: Any = None

    def says_something(self) -> bool:
        """Tell whether anything was received."""
        return bool(self.finish_reason or self.calls or any(self.content) or any(self.reasoning) or any(self.refusal))

    def as_result(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"content": "".join(self.content), "finish_reason": self.finish_reason}
        if self.calls:
            facts["tool_calls"] = [call.as_result() for call in self.calls]
        further = {"refusal": "".join(self.refusal), "reasoning": "".join(self.reasoning)}
        return facts | {key: text for key, text in further.items() if text}

    def take(self, message: Mapping[str, Any]) -> str:
        """Add a message, or the delta of a chunk, and return its text."""
        text = "".join(self._part(part) for part in _parts(message.get("content")))
        self.content.append(text)
        self.reasoning.append(next((thought for key in _REASONING if (thought := _plain(message.get(key)))), ""))
        self.refusal.append(_plain(message.get("refusal")))
        for call in message.get("tool_calls") or ():
            self._take_call(call)
        if message.get("function_call"):  # the name of tool calls before November 2023
            self._take_call({"index": "function_call", "function": message["function_call"]})
        return text

    def _part(self, part: Any) -> str:
        """Return the text of a part of the content; thoughts, refusals and tool calls are stored separately."""
        if isinstance(part, str):
            return part
        kind = part.get("type")
        if kind == "tool_use":
            self._take_call({"id": part.get("id"), "function": {"name": part.get("name"), "arguments": part.get("input")}})
        elif kind == "refusal":
            self.refusal.append(_plain(part.get("refusal")))
        elif kind in _REASONING:
            self.reasoning.append(_plain(part))
        elif isinstance(part.get("text"), str):
            return str(part["text"])
        return ""

    def _take_call(self, given: Mapping[str, Any]) -> None:
        kind = "custom" if given.get("custom") else "function"
        body, call = given.get(kind) or {}, self._call(given)
        call.id, call.name, call.kind = call.id or given.get("id"), call.name or body.get("name"), kind if body else call.kind
        arguments = body.get("input" if kind == "custom" else "arguments")
        if arguments is not None:
            call.arguments.append(arguments if isinstance(arguments, str) else _compact(arguments))

    def _call(self, given: Mapping[str, Any]) -> _Call:
        """Return the call that a delta belongs to: the one with its index, unless that one has another id."""
        index = given.get("index", given.get("id"))
        known = self.by_index.get(index) if index is not None or not self.calls else self.calls[-1]
        if known is None or (given.get("id") and known.id and given["id"] != known.id):
            known = self.by_index[index] = _Call()
            self.calls.append(known)
        return known


class Completion:
    """One answer of a model, collected from a whole answer or from the chunks of a stream.

    Args:
        model: The requested model; the model that the answer names wins.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._usage: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def take_whole(self, answer: Any) -> None:
        """Add a whole answer.

        Raises:
            ModelError: It reports a failed call.
            TransportError: It is not a chat completion.
        """
        _check(answer)
        try:
            self._take_facts(answer)
            for position, choice in enumerate(answer["choices"]):
                calls = choice["message"].get("tool_calls") or ()
                numbered = [{**call, "index": index} for index, call in enumerate(calls)]
                self._choice(choice, position).take({**choice["message"], "tool_calls": numbered})
            if not self._choices:
                raise LookupError("no choices")
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise TransportError(f"the answer is not a chat completion: {shown(str(answer))!r}", "parse") from error

    def take_chunk(self, chunk: Any, event: str = "") -> str:
        """Add a chunk of a stream, and return the text that it adds to the choice with index 0.

        Args:
            chunk: The data of the event.
            event: The type of the event; ``error`` makes any chunk an error.

        Raises:
            ModelError: It reports a failed call.
            TransportError: It is not a chunk.
        """
        _check(chunk, is_error=event == "error")
        try:
            self._take_facts(chunk)
            text = ""
            for position, choice in enumerate(chunk.get("choices") or ()):
                into, delta = self._choice(choice, position), choice.get("delta")
                if delta is None and not any(into.content):
                    delta = choice.get("message")  # some gateways repeat the whole message at the end, which is skipped
                added = into.take(delta or {})
                text += added if into is self._choices.get(0) else ""
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise TransportError(f"the stream holds an invalid chunk: {shown(str(chunk))!r}", "parse") from error
        return text

    def says_something(self) -> bool:
        """Tell whether any answer was received."""
        return any(choice.says_something() for choice in self._choices.values())

    def is_finished(self) -> bool:
        """Tell whether every choice has a finish reason."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def text(self) -> str:
        """Return the text that the first choice has so far."""
        first = min(self._choices, default=None)
        return "" if first is None else "".join(self._choices[first].content)

    def result(self) -> dict[str, Any]:
        """Return the answer as a result of ``llm.call``; with several choices, all are listed under ``choices``."""
        each = [{"index": index, **choice.as_result()} for index, choice in sorted(self._choices.items())]
        first = {key: value for key, value in each[0].items() if key != "index"}
        facts = {"success": True, **first, "model": self._model, "usage": self._counted()}
        if len(each) > 1:
            facts["choices"] = each
        # OpenRouter and LiteLLM's proxy give the price of the call, in US dollars, beside the token counts.
        cost = self._usage.get("cost")
        return {**facts, "cost_usd": cost} if isinstance(cost, (int, float)) and not isinstance(cost, bool) else facts

    def _choice(self, data: Mapping[str, Any], position: int) -> _Choice:
        index = data.get("index")
        choice = self._choices.setdefault(index if type(index) is int else position, _Choice())
        choice.finish_reason = data.get("finish_reason") or choice.finish_reason
        return choice

    def _take_facts(self, piece: Mapping[str, Any]) -> None:
        model = piece.get("model")
        self._model = model if isinstance(model, str) and model else self._model
        beside = piece.get("x_groq")
        counts = [beside.get("usage") if isinstance(beside, Mapping) else None, piece.get("usage")]
        counts += [choice.get("usage") for choice in _choices(piece)]
        for usage in counts:
            if isinstance(usage, Mapping):
                self._usage |= usage

    def _counted(self) -> dict[str, Any]:
        """Return the usage under OpenAI's names, whatever names the endpoint uses."""
        usage = self._usage
        asked = [usage[key] for key in (*_INPUT_TOKENS, *_CACHED_TOKENS) if _is_count(usage.get(key))]
        answered = [usage[key] for key in _OUTPUT_TOKENS if _is_count(usage.get(key))]
        if "prompt_tokens" in usage or "completion_tokens" in usage or not (asked or answered):
            return usage
        counts = {"prompt_tokens": sum(asked), "completion_tokens": sum(answered[:1])}
        return {**counts, "total_tokens": sum(counts.values()), **usage}


def _check(answer: Any, *, is_error: bool = False) -> None:
    failure = error_in(answer) or ((answer, None) if is_error else None)
    if failure is not None:
        said, status = failure
        raise ModelError(f"the endpoint answered with an error: {shown(said)}", status)


def _parts(content: Any) -> list[Any]:
    """Return the parts of a content, each a string or a mapping.

    Raises:
        TypeError: A part is something else.
    """
    parts = [part for part in (content if isinstance(content, list) else [content]) if part is not None]
    for part in parts:
        if not isinstance(part, (str, Mapping)):
            raise TypeError(f"content is of type {type(part).__name__}")
    return parts


def _plain(value: Any) -> str:
    """Return the text in a value: a string, the text of a part, or the joined texts of a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, Mapping):
        return next((text for key in ("text", *_REASONING, "content") if (text := _plain(value.get(key)))), "")
    return ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
