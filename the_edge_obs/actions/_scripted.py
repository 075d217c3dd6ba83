"""Answers from a script instead of a model: for tests, demonstrations and work without a network.

The answer depends on the prompt, and on how often this run already used the same candidates. The count is kept in the
run's state, beside the run's id, under ``STATE_KEY``. So it belongs to one run, survives retries, needs no global, and is
copied into parallel branches with the state: each branch counts on its own, whatever order the branches run in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

from ..errors import ActionError, FlowFileError, allowed
from ._matching import checked_pattern, is_found
from ._support import failure, not_negative

STATE_KEY: Final = "llm_script"
_KEYS: Final = (
    "content",
    "error",
    "match",
    "model",
    "usage",
    "finish_reason",
    "cost_usd",
    "error_type",
    "status_code",
    "retry_after",
    "seconds",
)
# Characters per token, for answers without a usage.
_CHARACTERS: Final = 4


def load_answers(action: str, answers: object, script: object) -> list[dict[str, Any]]:
    """Return the answers given as a list or in a file, checked, each as a dict.

    Args:
        action: The action; error messages begin with it.
        answers: A list of strings and dicts, or None.
        script: The path of a YAML or JSON file that holds such a list, bare or under ``answers``; or None.

    Raises:
        ActionError: Both or neither are given, the file cannot be read, or an answer has a mistake.
    """
    if (answers is None) == (script is None):
        raise ActionError(f"{action}: a scripted answer comes from answers (a list) or script (a file); give one of them")
    where = "answers" if script is None else f"script {script!r}"
    listed = answers if script is None else _file_answers(action, str(script))
    if isinstance(listed, str) or not isinstance(listed, Sequence) or not listed:
        raise ActionError(f"{action}: {where} is {listed!r}; it must be a list of one or more answers")
    return [_checked(action, f"{where}[{index}]", answer) for index, answer in enumerate(listed)]


def choose(
    action: str, state: MutableMapping[str, Any], answers: list[dict[str, Any]], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the next answer for these messages, and count it in the state.

    The candidates are the answers whose ``match`` is found in the messages; without any, those without ``match``. They
    are used in order, and the last one is repeated.

    Raises:
        ActionError: No answer fits.
    """
    said = text_of_messages(messages)
    candidates = [answer for answer in answers if "match" in answer and _matches(action, answer["match"], said)]
    candidates = candidates or [answer for answer in answers if "match" not in answer]
    if not candidates:
        matches = ", ".join(repr(answer["match"]) for answer in answers)
        raise ActionError(f"{action}: no scripted answer matches {said[-200:]!r}; tried: {matches}; add one without match")
    counts = _counts(state)
    key = hashlib.sha256(json.dumps(candidates, default=str).encode()).hexdigest()[:16]
    given = counts.get(key, 0)
    counts[key] = given + 1
    chosen: dict[str, Any] = candidates[min(given, len(candidates) - 1)]
    return chosen


def _matches(action: str, match: str, said: str) -> bool:
    try:
        return is_found(checked_pattern(match), said)
    except ValueError as error:
        raise ActionError(f"{action}: match {match!r}: {error}") from error


def _counts(state: MutableMapping[str, Any]) -> dict[str, int]:
    # Nested steps work on shallow copies of the state, which share the dict with the run's id; branches copy that dict too.
    run = state.get("_observability")
    holder: MutableMapping[str, Any] = run if isinstance(run, dict) else state
    counts: dict[str, int] = holder.setdefault(STATE_KEY, {})
    return counts


def result_of(answer: Mapping[str, Any], messages: list[dict[str, Any]], model: str | None) -> dict[str, Any]:
    """Return a scripted answer as the result of a call, or as a soft failure.

    A missing usage is estimated at 4 characters per token.
    """
    if "error" in answer:
        facts = {key: answer[key] for key in ("status_code", "retry_after") if key in answer}
        return failure(str(answer["error"]), str(answer.get("error_type", "api_error")), **facts)
    content = answer["content"]
    result = {
        "success": True,
        "content": content,
        "model": answer.get("model", model or "scripted"),
        "usage": answer.get("usage", _estimate(text_of_messages(messages), content)),
        "finish_reason": answer.get("finish_reason", "stop"),
    }
    return {**result, "cost_usd": answer["cost_usd"]} if "cost_usd" in answer else result


def pieces_of(content: str) -> Iterator[str]:
    """Split a text into words, each with the whitespace after it; joined, they give the text again."""
    return (match.group() for match in re.finditer(r"\s*\S+\s*|\s+", content))


def text_of_messages(messages: list[dict[str, Any]]) -> str:
    """Return the texts of all messages, joined by line breaks; of a list of parts, only the text parts."""
    return "\n".join(_text(message.get("content")) for message in messages)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    return "" if content is None else str(content)


def _file_answers(action: str, path: str) -> Any:
    from ..configuration.yaml_reader import read_yaml

    try:
        document = read_yaml(path)  # JSON is YAML
    except FlowFileError as error:
        raise ActionError(f"{action}: script {path!r} cannot be read ({error}); give a YAML or JSON file") from error
    content = None if document is None else document.data
    return content.get("answers") if isinstance(content, Mapping) else content


def _checked(action: str, where: str, answer: object) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"content": answer}
    if not isinstance(answer, Mapping):
        raise ActionError(f"{action}: {where} is {answer!r}; an answer is a string, or a dict with content or error")
    if unknown := [key for key in answer if key not in _KEYS]:
        raise ActionError(f"{action}: {where} has an unknown key {unknown[0]!r}; {allowed(_KEYS)}")
    if ("content" in answer) == ("error" in answer):
        raise ActionError(f"{action}: {where} needs either content or error")
    if not isinstance(answer.get("content", ""), str):
        raise ActionError(f"{action}: {where} has content {answer['content']!r}; it must be a string")
    not_negative(action, f"{where} seconds", answer.get("seconds", 0))
    if "match" in answer:
        try:
            checked_pattern(answer["match"])
        except ValueError as error:
            raise ActionError(f"{action}: {where} has match {answer['match']!r}: {error}") from error
    return dict(answer)


def _estimate(prompt: str, content: str) -> dict[str, int]:
    asked, answered = (-(-len(text) // _CHARACTERS) for text in (prompt, content))
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
