"""Regular expressions that a flow's file brings, kept from taking for ever.

Python's ``re`` tries one way after the other: repeats inside repeats, and rows of options, have exponentially many. Such
expressions are refused, and a search looks at the clock at each place where a match may begin.
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
# From one place, a match with two open repeats takes the square of the text's length; this many steps take a second or two.
_STEPS: Final = 400_000_000

# What is not an operator: an escape, a class, the flags at the beginning.
_INERT: Final = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|\A\(\?[aiLmsux]+\)", re.DOTALL)
# What only says how a group or a repeat is meant.
_MEANING: Final = re.compile(r"\(\?(?:P<\w+>|<?[:=!]|[aiLmsux-]+:)?")
_LAZY: Final = re.compile(r"([*+?}])[?+]")
_REPEAT: Final = re.compile(r"[*+]|\{[0-9]*,?[0-9]*\}")
_REPEATED_GROUP: Final = re.compile(r"\)(?:[*+]|\{[0-9]*,?[0-9]*\})")


def checked_pattern(text: object) -> re.Pattern[str]:
    """Return a regular expression, compiled.

    Raises:
        ValueError: it is not one, or one that may take exponential time; the message says why.
    """
    if not isinstance(text, str):
        raise ValueError("it is not a text")
    if len(text) > _LENGTH:
        raise ValueError(f"it is longer than {_LENGTH} characters")
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not a regular expression: {error}") from error
    operators = _operators(text)
    if _REPEATED_GROUP.search(operators):
        raise ValueError("it repeats a group, which may take exponential time; repeat single characters or classes")
    if _open_repeats(text) > _OPEN or operators.count("(") > _GROUPS or operators.count("?") > _OPTIONS:
        limits = f"{_OPEN} repeats (* + {{}}), {_GROUPS} groups and {_OPTIONS} options (?)"
        raise ValueError(f"it may take exponential time; allowed: at most {limits}")
    return pattern


def is_found(pattern: re.Pattern[str], text: str) -> bool:
    """Tell whether an expression matches somewhere in a text.

    Raises:
        ValueError: that takes too long to find out.
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
