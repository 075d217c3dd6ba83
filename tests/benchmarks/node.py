"""The node that everybody observes: a model call with realistic parameters and a small result."""

from __future__ import annotations

import asyncio
from typing import Any

NODE = "llm.call"
SECRET = "sk-live-4f9c2b7a1d8e6053b2aa"
REDACTED = "[REDACTED]"


def parameters() -> dict[str, Any]:
    """Return fresh parameters; the strings in them are shared, as those of a program are."""
    return {"model": "gpt-4o-mini", "prompt": PROMPT, "api_key": SECRET, "max_tokens": 512, "temperature": 0.2}


def nested_parameters() -> dict[str, Any]:
    """Return parameters with containers in them."""
    return {**parameters(), "top_p": 1.0, "stop": ["END"], "metadata": {"tenant": "acme", "user_id": 42}}


PROMPT = (
    "Summarise the following support ticket in two sentences and name the product it is about: the export of the quarterly "
    "report hangs at 80 percent since the last update; restarting does not help."
)
RESULT: dict[str, Any] = {"text": "The quarterly report's export hangs. It is about Reports.", "finish_reason": "stop"}


def redacted(params: dict[str, Any]) -> dict[str, Any]:
    """Return what may be kept of parameters."""
    return {**params, "api_key": REDACTED}


def call(params: dict[str, Any], state: Any, ctx: Any) -> dict[str, Any]:
    """Do nothing, so that what is measured is the observation."""
    return RESULT


async def acall(params: dict[str, Any], state: Any, ctx: Any) -> dict[str, Any]:
    """Give way once, as a node that waits does."""
    await asyncio.sleep(0)
    return RESULT
