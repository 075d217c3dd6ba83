"""Regular expressions from a flow's file, with bounded running time.

Python's ``re`` backtracks: nested repeats and rows of options take exponential time. Such expressions are refused, and a
search checks the time limit at each position where a match can begin.
"""

from __future__ import annotations

import re
import time
from typing import Final

_SECONDS: Final = 2.0
_LENGTH: Final = 500
_OPEN: Final = 2
_GROUPS: Final = 3
_OPTIONS: Final = 10
# From one position, a match with two open repeats takes the square of the text's length; this many steps take 1 to 2 seconds.
_STEPS: Final = 400_000_000

# Parts that are not operators: an escape, a class, the flags at the beginning.
_INERT: Final = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|\A\(\?[aiLmsux]+\)", re.DOTALL)
# The markers that set the kind of a group or a repeat.
_MEANING: Final = re.compile(r"\(\?(?:P<\w+>|<?[:=!]|[aiLmsux-]+:)?")
_LAZY: Final = re.compile(r"([*+?}])[?+]")
_REPEAT: Final = re.compile(r"[*+]|\{[0-9]*,?[0-9]*\}")
_REPEATED_GROUP: Final = re.compile(r"\)(?:[*+]|\{[0-9]*,?[0-9]*\})")


def checked_pattern(text: object) -> re.Pattern[str]:
    """Return a compiled regular expression.

    Raises:
        ValueError: It is not valid, or may take exponential time; the message says why.
    """
    if not isinstance(text, str):
        raise ValueError("it is not a string")
    if len(text) > _LENGTH:
        raise ValueError(f"it is longer than {_LENGTH} characters")
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not a valid regular expression: {error}") from error
    operators = _operators(text)
    if _REPEATED_GROUP.search(operators):
        raise ValueError("it repeats a group, which may take exponential time; repeat single characters or classes")
    if _open_repeats(text) > _OPEN or operators.count("(") > _GROUPS or operators.count("?") > _OPTIONS:
        limits = f"{_OPEN} repeats (* + {{}}), {_GROUPS} groups and {_OPTIONS} options (?)"
        raise ValueError(f"it may take exponential time; allowed: at most {limits}")
    return pattern


def is_found(pattern: re.Pattern[str], text: str) -> bool:
    """Tell whether an expression matches anywhere in a text.

    Raises:
        ValueError: The search takes too long.
    """
    repeats = _open_repeats(pattern.pattern)
    if len(text) ** repeats > _STEPS:
        raise ValueError(f"with {repeats} repeats it takes too long for {len(text):,} characters; use a simpler one")
    if repeats == 0:
        return pattern.search(text) is not None
    end = time.monotonic() + _SECONDS
    for position in range(len(text) + 1):
        if pattern.match(text, position):
            return True
        if time.monotonic() > end:
            raise ValueError(f"it takes longer than {_SECONDS:g} s; use a simpler one")
    return False


def _operators(text: str) -> str:
    return _LAZY.sub(r"\1", _MEANING.sub("(", _INERT.sub("x", text)))


def _open_repeats(text: str) -> int:
    return len(_REPEAT.findall(_operators(text)))
