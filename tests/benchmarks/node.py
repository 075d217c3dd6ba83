"""The nodes that everybody observes: model calls with realistic parameters and results, a small one and a chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, NamedTuple

NODE = "llm.call"
SECRET = "sk-live-4f9c2b7a1d8e6053b2aa"
REDACTED = "[REDACTED]"


class Payload(NamedTuple):
    """What a node takes and returns.

    Attributes:
        name: What is added to the name of a variant; empty for the small node.
        parameters: Returns fresh parameters; the strings in them are shared, as those of a program are.
        result: What the node returns.
        call: The node. It does nothing, so that what is measured is the observation.
        acall: The same, which gives way once, as a node that waits does.
        share: A sample has this part of a plan's calls.
        is_new: Whether each call gets parameters of its own, with texts that did not exist before.
    """

    name: str
    parameters: Callable[[], dict[str, Any]]
    result: dict[str, Any]
    call: Callable[..., dict[str, Any]]
    acall: Callable[..., Coroutine[Any, Any, dict[str, Any]]]
    share: int = 1
    is_new: bool = False

    def variant(self, name: str) -> str:
        """Return the name of a variant with this payload."""
        return f"{name}, {self.name}" if self.name else name


def payload(
    name: str, parameters: Callable[[], dict[str, Any]], result: dict[str, Any], *, share: int = 1, is_new: bool = False
) -> Payload:
    """Return what a node takes and returns. Its functions are plain ones, as those of a program are."""

    def call(params: dict[str, Any], state: Any, ctx: Any) -> dict[str, Any]:
        return result

    async def acall(params: dict[str, Any], state: Any, ctx: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return result

    return Payload(name, parameters, result, call, acall, share, is_new)


def parameters() -> dict[str, Any]:
    """Return the parameters of the small node."""
    return {"model": "gpt-4o-mini", "prompt": PROMPT, "api_key": SECRET, "max_tokens": 512, "temperature": 0.2}


def nested_parameters() -> dict[str, Any]:
    """Return parameters with containers in them."""
    return {**parameters(), "top_p": 1.0, "stop": ["END"], "metadata": {"tenant": "acme", "user_id": 42}}


def chat_parameters() -> dict[str, Any]:
    """Return the parameters of a chat: ten messages of 440 characters, and the schemas of four tools."""
    messages = [{"role": role, "content": text} for role, text in MESSAGES]
    return {**parameters(), "prompt": None, "messages": messages, "tools": [_tool(*tool) for tool in TOOLS]}


def new_chat_parameters() -> dict[str, Any]:
    """Return the parameters of a chat whose messages are new texts."""
    number = next(_NUMBERS)
    messages = [{"role": role, "content": f"{number} {text}"} for role, text in MESSAGES]
    return {**chat_parameters(), "messages": messages}


def _tool(name: str, description: str, key: str, explained: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": explained}, "limit": {"type": "integer", "minimum": 1}}
    schema = {"type": "object", "properties": properties, "required": [key]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


PROMPT = (
    "Summarise the following support ticket in two sentences and name the product it is about: the export of the quarterly "
    "report hangs at 80 percent since the last update; restarting does not help."
)
RESULT: dict[str, Any] = {"text": "The quarterly report's export hangs. It is about Reports.", "finish_reason": "stop"}

_QUESTION = (
    "Yesterday I moved the quarterly report to the new workspace, and since then its export stops at 80 percent without any "
    "message. I have tried another browser and a smaller period, and both behave in the same way. "
)
_ANSWER = (
    "Thank you for the details. Two other customers have told us about exports that stop, and in both cases a table with more "
    "than forty columns was part of the report. Could you tell me whether yours has such a table? "
)
MESSAGES = [(role, f"{at}. {said * 3}"[:440]) for at in range(5) for role, said in (("user", _QUESTION), ("assistant", _ANSWER))]
TOOLS = (
    ("find_tickets", "Find support tickets by words in their text.", "words", "Words that the text must have."),
    ("read_report", "Read the settings of a report.", "report", "The name of the report."),
    ("list_exports", "List the last exports of a workspace.", "workspace", "The name of the workspace."),
    ("send_answer", "Send an answer to the customer.", "answer", "The text of the answer."),
)
CHAT_RESULT: dict[str, Any] = {
    "message": {"role": "assistant", "content": MESSAGES[1][1]},
    "finish_reason": "stop",
    "usage": {"prompt_tokens": 1214, "completion_tokens": 96, "total_tokens": 1310},
}

_NUMBERS = count()

SMALL = payload("", parameters, RESULT)
NESTED = payload("nested", nested_parameters, RESULT)
CHAT = payload("chat", chat_parameters, CHAT_RESULT, share=4)
NEW_CHAT = payload("chat of new texts", new_chat_parameters, CHAT_RESULT, share=4, is_new=True)


def redacted(params: dict[str, Any]) -> dict[str, Any]:
    """Return what may be kept of parameters."""
    return {**params, "api_key": REDACTED}
