"""Answers of limited size: what does not fit is cut, and says how much there was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

MAX_BYTES: Final = 12_000
"""The size of an answer in bytes: what fits into a model's context without crowding it."""
_STEPS: Final = ((4_000, 400), (1_500, 200), (600, 100), (300, 40), (150, 20), (80, 10), (40, 5), (20, 3))
"""Characters of a text and items of a container, tried one after the other."""
_DEPTH: Final = 20
_FAILURE, _FAILURES = 400, 5  # characters of a problem; problems


def fitted(answer: dict[str, Any], failures: Sequence[str] = ()) -> str:
    """Return an answer as JSON of at most ``MAX_BYTES`` bytes.

    The longest texts and containers are cut, all to the same length, as little as needed.

    Args:
        answer: The answer.
        failures: The problem of each file that could not be read. The first ones come in front, as ``not_read``.
    """
    failed = {"not_read": _cut(list(failures), _FAILURE, _FAILURES, _DEPTH)} if failures else {}
    text = _json(failed | answer)
    for chars, items in _STEPS:
        if len(text) <= MAX_BYTES:
            break
        text = _json(failed | _cut(answer, chars, items, _DEPTH))
    if len(text) > MAX_BYTES:
        text = _json(failed | {"error": f"the answer is too large ({len(text):,} bytes even when cut); ask for less"})
    return text.decode()


def _json(value: Any) -> bytes:
    # A lone surrogate, which UTF-8 lacks, becomes its JSON escape.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _cut(value: Any, chars: int, items: int, depth: int) -> Any:
    if isinstance(value, str):
        return clipped(value, chars)
    if not isinstance(value, (dict, list)):
        return value
    if depth == 0:
        return "… nested deeper"
    if isinstance(value, dict):
        kept = {clipped(str(key), chars): _cut(item, chars, items, depth - 1) for key, item in islice(value.items(), items)}
        return kept | ({"…": f"{len(value) - items:,} more keys"} if len(value) > items else {})
    kept_items = [_cut(item, chars, items, depth - 1) for item in value[:items]]
    return kept_items + ([f"… {len(value) - items:,} more"] if len(value) > items else [])


def clipped(text: str, chars: int) -> str:
    """Return a text, cut to a number of characters and with its length if it is longer."""
    return text if len(text) <= chars else f"{text[:chars]}… ({len(text):,} characters)"
