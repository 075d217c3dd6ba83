"""The one grammar of durations: a number and a unit, such as ``250ms``, ``90s``, ``5m``, ``12h``, ``30d``, ``2w``.

Filters, ``--since``, ``--older-than`` and ``--fail-on`` all read it; what a sign means is for each of them to say.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import DurationError

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds of each unit; ``m`` and ``min`` are both minutes."""

_DURATION: Final = re.compile(rf"([+-]?)(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})")


def seconds_of(text: str, name: str = "duration") -> float:
    """Return a duration in seconds, below 0 after a minus; blanks around it and before the unit do no harm.

    Args:
        text: The duration.
        name: What it is for, in the message.

    Raises:
        DurationError: it is not a number with a unit.
    """
    if (seconds := signed_seconds(text)) is None:
        raise DurationError(
            f"{name} {text!r} is not a number with a unit; write something like 30d, 12h or 250ms (units: {', '.join(UNITS)})"
        )
    return seconds[1] if seconds[0] != "-" else -seconds[1]


def signed_seconds(text: str) -> tuple[str, float] | None:
    """Return the sign of a duration (``+``, ``-`` or empty) and its size in seconds, or None for what is not one."""
    match = _DURATION.fullmatch(text.strip())
    return None if match is None else (match[1], float(match[2]) * UNITS[match[3]])
