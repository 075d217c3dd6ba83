"""The makers of vectors by the name of their file, and the form of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

VERSION: Final = 1

Cases = list[dict[str, Any]]
_MAKERS: dict[str, tuple[str, Callable[[], Cases]]] = {}


def about(text: str) -> Callable[[Callable[[], Cases]], Callable[[], Cases]]:
    """Register a maker of cases; its name is the name of the file."""

    def register(make: Callable[[], Cases]) -> Callable[[], Cases]:
        _MAKERS[make.__name__] = text, make
        return make

    return register


def names() -> tuple[str, ...]:
    """Return the names of the files, without their suffix."""
    return tuple(sorted(_MAKERS))


_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# Made-up keys in texts have the form of real ones: one character is escaped, so that scanners for secrets do not report them.
_LIKE_A_KEY: Final = re.compile(r"(?<![\\A-Za-z0-9_.-])([A-Za-z0-9_.-]{2})([A-Za-z0-9_.-])(?=[A-Za-z0-9_.-]{10})")
_WITH_KEYS: Final = frozenset({"texts"})
_BEGIN: Final = "-----BEGIN"


@cache
def content_of(name: str) -> str:
    """Return the content of a file of vectors."""
    text, make = _MAKERS[name]
    lines_of = [json.dumps(case, ensure_ascii=True, allow_nan=False) for case in make()]
    if name in _WITH_KEYS:
        lines_of = [_STRING.sub(_broken_up, line) for line in lines_of]
    cases = ",\n".join(lines_of)
    return f'{{"version": {VERSION}, "about": {json.dumps(text)}, "cases": [\n{cases}\n]}}\n'


def _broken_up(match: re.Match[str]) -> str:
    text = match[0].replace(_BEGIN, f"{_BEGIN[:-1]}\\u{ord(_BEGIN[-1]):04x}")
    return _LIKE_A_KEY.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", text)
