"""The extent of a secret value in a text (inside quotes, a word, a header's line, a block), and whether it is a secret.

Every function reads a bounded number of characters, or returns everything that it has read: the time is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .keys import TOKEN, WEAK, is_path, looks_secret
from .shapes import Span
from .values import ORDINARY_TEXT, SECRET_LIKE, WORD, is_blank, look_of
from .words import SCHEMES

MAX_VALUE: Final = 8_192  # characters within which a quote is expected to close
MAX_ORDINARY: Final = 256  # characters of a value that can be ordinary

DELIMITER: Final = re.compile(r"(?:\\{0,8}[\"'`])|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27]")
"""Quotes, with the backslashes before them, and as HTML, URLs and JSON write them."""
_PREFIX: Final = re.compile(r"(?:[bBrRuUfFNE@$]{0,2}|(?:string|object)\(\d{1,6}\) )(?=\\{0,8}[\"'`])")
_LINE: Final = re.compile(r"[^\r\n]{3,2048}")
_SCHEME: Final = re.compile(r"[A-Za-z][\w-]{0,40}")
_PARAMETRISED: Final = frozenset("digest aws4-hmac-sha256 hawk oauth signature".split())
_COOKIE: Final = re.compile(r"[^\s\"',;]{3,4096}(?:; ?[^\s\"',;=]{1,128}=[^\s\"',;]{0,4096}){0,64}")


class Name(NamedTuple):
    """A name in a text: its start, end and text, and the verdict on the value beside it."""

    start: int
    end: int
    text: str
    verdict: int


def judged(text: str, name: Name, start: int, end: int, least: int) -> Span | None:
    """Return the span of a value without surrounding whitespace if its name and its look make it a secret, otherwise None."""
    while start < end and text[start] in " \t\r\n":
        start += 1
    while end > start and text[end - 1] in " \t\r\n":
        end -= 1
    if end - start < 3:
        return None
    if end - start > MAX_ORDINARY:
        return start, end
    value = text[start:end]
    if name.verdict == WEAK:
        return (start, end) if looks_secret(value, name.text) and not value.startswith("[REDACTED") else None
    if name.verdict == TOKEN:
        least = WORD if len(value) >= 8 and least == WORD else SECRET_LIKE
        if value.isdigit() and len(value) < 6:
            return None
    if is_path(name.text, value):
        return None
    return (start, end) if look_of(value) >= least else None


def starts_quoted(text: str, at: int) -> bool:
    """Tell whether a quote opens at a position, with a prefix of some language: ``b"``, ``N'``, ``string(4) "``."""
    return _PREFIX.match(text, at) is not None or DELIMITER.match(text, at) is not None


def quoted(text: str, name: Name, at: int, least: int) -> Span | None:
    """Return the span inside the quotes at a position, or up to the end of the line if they do not close."""
    prefix = _PREFIX.match(text, at)
    at = prefix.end() if prefix else at
    mark = DELIMITER.match(text, at)
    if mark is None:
        return None
    if text.startswith(mark[0] * 3, at) and len(mark[0]) == 1:
        stop = text.find(mark[0] * 3, at + 3, at + 3 + MAX_VALUE)
        return judged(text, name, at + 3, len(text) if stop < 0 else stop, least)
    start = mark.end()
    stop = _closing(text, mark[0], start)
    if stop < 0:
        line = text.find("\n", start)
        stop = len(text) if line < 0 else line
        return (start, stop) if stop - start >= 3 and not text.startswith("[REDACTED", start) else None
    return judged(text, name, start, stop, least)


def _closing(text: str, mark: str, start: int) -> int:
    """Return where a quote closes, or -1: at the same mark, with at most as many backslashes as the opening one."""
    sign, slashes = mark[-1], len(mark) - 1 if mark[-1] in "\"'`" and mark[:1] in ("\\", mark[-1]) else -1
    limit = min(len(text), start + MAX_VALUE)
    if sign != "`":
        line = text.find("\n", start, limit)
        limit = limit if line < 0 else line
    if slashes < 0:
        return text.find(mark, start, limit)
    at = text.find(sign, start, limit)
    while at >= 0:
        before = at
        while before > start and text[before - 1] == "\\":
            before -= 1
        count = at - before
        if (slashes and count <= slashes) or (not slashes and count % 2 == 0):
            return before if slashes else at
        at = text.find(sign, at + 1, limit)
    return -1


def authorization(text: str, start: int, before: int) -> Span | None:
    """Return the span of credentials in an Authorization header (RFC 9110, section 11.6.2), including the scheme.

    ``before`` is the start of the header's name: a quote before it closes after the value.
    """
    mark = DELIMITER.match(text, start)
    if mark is not None:
        stop = _closing(text, mark[0], mark.end())
        start, end = mark.end(), stop if stop >= 0 else len(text)
        return (start, end) if _is_credentials(text[start:end]) else None
    line = _LINE.match(text, start)
    if line is None:
        return None
    quote = text[before - 1 : before]
    stop = text.find(quote, start, line.end()) if quote in ("'", '"') else -1
    stop = stop if stop >= 0 else line.end()
    if not _is_credentials(text[start:stop]):
        return None
    words = text[start:stop].split(" ", 2)
    end = start + len(words[0])
    if len(words) > 1 and _SCHEME.fullmatch(words[0]):
        end += 1 + len(words[1])
        if words[0].lower() in _PARAMETRISED or "=" in words[1].rstrip("="):
            return start, stop
    return start, without_closers(text, start, len(text[:end].rstrip("\"',;")))


def _is_credentials(value: str) -> bool:
    if value.lstrip().startswith("[REDACTED"):
        return False
    words = [word.strip("\"',;") for word in value.split(" ", 3)[:3]]
    has_scheme = _SCHEME.fullmatch(words[0]) is not None and len(words) > 1
    if has_scheme and words[0].lower() in SCHEMES and look_of(words[1]) != ORDINARY_TEXT and not is_blank(words[1]):
        return True
    return any(look_of(word) == SECRET_LIKE for word in words[: 2 if has_scheme else 1])


def cookie(text: str, start: int) -> Span | None:
    """Return the span of a Cookie or Set-Cookie header (RFC 6265): its pairs, including attributes."""
    mark = DELIMITER.match(text, start)
    pairs = _COOKIE.match(text, mark.end() if mark else start)
    if pairs is None or pairs[0].startswith("[REDACTED"):
        return None
    return pairs.span() if "=" in pairs[0] or look_of(pairs[0]) == SECRET_LIKE else None


def indented(text: str, name: Name, start: int) -> Span | None:
    """Return the span of a block scalar of YAML: the lines that are indented further than the line of the name."""
    line = text.rfind("\n", max(0, name.start - 256), name.start) + 1
    indent = len(text[line : name.start]) - len(text[line : name.start].lstrip(" "))
    at = end = start
    while at < len(text):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        row = text[at : min(stop, at + 256)]
        if row.strip() and len(row) - len(row.lstrip(" ")) <= indent:
            break
        end, at = (stop if row.strip() else end), stop + 1
    return (start + len(text[start:end]) - len(text[start:end].lstrip()), end) if text[start:end].strip() else None


def without_closers(text: str, start: int, end: int) -> int:
    """Return the end of a word without punctuation, and without closing brackets that it does not open."""
    word = text[start:end]
    while word and (word[-1] in ".!?:" or (word[-1] in ")]}" and word.count(word[-1]) > word.count(_OPENERS[word[-1]]))):
        word = word[:-1] if word[-1] not in ".!?:" else word.rstrip(".!?:")
    return start + len(word)


_OPENERS: Final = {")": "(", "]": "[", "}": "{"}
