"""What OpenAI's API was asked and what it answered, in the words of ``llm.call``.

The APIs: https://platform.openai.com/docs/api-reference/chat, .../responses and .../embeddings. An answer is collected whole or
from the chunks of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from ..actions.answers import Completion, ModelError, TransportError

# Why a response is not complete, in the words of the older API.
_REASONS: Final = {"max_output_tokens": "length"}


class Answer(Protocol):
    """One answer, collected whole or chunk by chunk. Each is made with the model that was asked, or None."""

    def take(self, chunk: Any) -> None:
        """Add a chunk of a stream, an object of the SDK."""

    def whole(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the output for a whole answer."""

    def result(self) -> dict[str, Any]:
        """Return the output for the chunks received so far."""


class ChatAnswer:
    """The answer of ``/chat/completions``."""

    def __init__(self, model: Any) -> None:
        self._completion = Completion(model if isinstance(model, str) else None)
        self._model, self._id = model, None
        self._failure: dict[str, Any] | None = None

    def take(self, chunk: Any) -> None:
        """Add a chunk."""
        data = plain(chunk)
        self._id = self._id or data.get("id")
        try:
            self._completion.take_chunk(data)
        except ModelError as error:
            self._failure = _failed(error)

    def whole(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the output for a whole answer."""
        self._id = answer.get("id")
        try:
            self._completion.take_whole(answer)
        except ModelError as error:
            self._failure = _failed(error)
        except TransportError:  # no dialect that is known: what the endpoint said, as it is
            return dict(answer)
        return self.result()

    def result(self) -> dict[str, Any]:
        """Return the output for what was received so far."""
        if self._failure is not None:
            return self._failure
        about: dict[str, Any] = {"id": self._id} if self._id else {}
        if not self._completion.says_something():
            return {"success": True, "content": "", "model": self._model, **about}
        return {**self._completion.result(), **about}


class ResponseAnswer:
    """The answer of ``/responses``: a stream ends with an event that has the whole of it."""

    def __init__(self, model: Any) -> None:
        self._response: Mapping[str, Any] = {"model": model}
        self._texts: list[str] = []
        self._error: Any = None

    def take(self, chunk: Any) -> None:
        """Add an event."""
        kind = chunk.type
        if kind == "response.output_text.delta":
            self._texts.append(chunk.delta)
        elif kind == "error":
            self._error = plain(chunk)
        elif (response := getattr(chunk, "response", None)) is not None:
            self._response = plain(response)

    def whole(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the output for a whole answer."""
        self._response = answer
        return self.result()

    def result(self) -> dict[str, Any]:
        """Return the output for what was received so far."""
        response = self._response
        items = [item for item in response.get("output") or () if isinstance(item, Mapping)]
        facts: dict[str, Any] = {"success": True, "content": _content(items, "output_text") or "".join(self._texts)}
        if refusal := _content(items, "refusal"):
            facts["refusal"] = refusal
        if reasoning := "".join(
            _texts_of(item.get("summary"), "summary_text") for item in items if item.get("type") == "reasoning"
        ):
            facts["reasoning"] = reasoning
        if calls := [call for item in items if (call := _tool_call(item)) is not None]:
            facts["tool_calls"] = calls
        facts["finish_reason"] = _finish_reason(response, has_calls=bool(calls))
        facts.update({key: response[key] for key in ("model", "usage", "id") if response.get(key)})
        error = self._error or response.get("error")
        if error or response.get("status") == "failed":
            said = error if isinstance(error, Mapping) else {}
            message = said.get("message") or "the response failed"
            return {**facts, "success": False, "error": message, "error_type": said.get("code") or "api_error"}
        return facts


class EmbeddingAnswer:
    """The answer of ``/embeddings``: how many vectors of which size, instead of the vectors."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def take(self, chunk: Any) -> None:
        """Do nothing: embeddings are not streamed."""

    def whole(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the output for a whole answer."""
        rows = answer.get("data") or []
        first = rows[0].get("embedding") if rows and isinstance(rows[0], Mapping) else None
        facts: dict[str, Any] = {"success": True, "embeddings": len(rows)}
        if isinstance(first, list):
            facts["dimensions"] = len(first)
        return {**facts, **{key: answer[key] for key in ("model", "usage") if answer.get(key)}}

    def result(self) -> dict[str, Any]:
        """Return an output without vectors."""
        return {"success": True, "model": self._model}


def plain(value: Any) -> dict[str, Any]:
    """Return an object of the SDK as a dict."""
    if isinstance(value, dict):
        return value
    data: dict[str, Any] = value.model_dump(exclude_unset=True, warnings=False)
    return data


def _failed(error: ModelError) -> dict[str, Any]:
    """Return the soft failure for an error inside an answer, as ``llm.call`` has it."""
    facts = {} if error.status is None else {"status_code": error.status}
    return {"success": False, "error": str(error), "error_type": error.error_type, **facts}


def _content(items: list[Mapping[str, Any]], kind: str) -> str:
    return "".join(_texts_of(item.get("content"), kind) for item in items if item.get("type") == "message")


def _texts_of(parts: Any, kind: str) -> str:
    return "".join(_texts(parts, kind))


def _texts(parts: Any, kind: str) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping) and part.get("type") == kind:
            yield str(part.get("refusal" if kind == "refusal" else "text") or "")


def _tool_call(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an item that is a call of a tool in the words of the older API; a tool of OpenAI itself has only its type."""
    kind, call_id = str(item.get("type")), item.get("call_id") or item.get("id")
    if kind == "function_call":
        return {
            "id": call_id,
            "type": "function",
            "function": {"name": item.get("name"), "arguments": item.get("arguments")},
        }
    if kind == "custom_tool_call":
        return {"id": call_id, "type": "custom", "custom": {"name": item.get("name"), "input": item.get("input")}}
    return {"id": call_id, "type": kind} if kind.endswith("_call") else None


def _finish_reason(response: Mapping[str, Any], *, has_calls: bool) -> str | None:
    status, details = response.get("status"), response.get("incomplete_details")
    if status == "completed":
        return "tool_calls" if has_calls else "stop"
    reason = details.get("reason") if isinstance(details, Mapping) else status
    return None if reason is None else _REASONS.get(reason, str(reason))
