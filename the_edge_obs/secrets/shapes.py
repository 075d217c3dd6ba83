"""Secrets in texts without a name before them: known formats, key blocks, URLs, schemes, flags of programs.

Every search is bounded, or starts where the previous one ended: the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from .values import ORDINARY_TEXT, SECRET_LIKE, is_blank, is_key_like, is_random, look_of
from .words import DOTTED, FORMATS, INNER_FORMATS, LOOSE_FORMATS

Span: TypeAlias = "tuple[int, int]"
"""Where a secret begins and ends in a text."""


# --- self-describing formats ------------------------------------------------------------------------------------------


_LONGEST: Final = 255  # a maximum of at least this many characters is not meant as an exact length


def _formats() -> dict[str, list[tuple[str, str, bool, bool]]]:
    table: dict[str, list[tuple[str, str, bool, bool]]] = {}
    for formats, is_loose in ((FORMATS, False), (LOOSE_FORMATS, True)):
        for beginnings, rest in formats:
            most = re.search(r",(\d+)\}\Z", rest)
            is_open = most is not None and int(most[1]) >= _LONGEST
            for beginning in beginnings.split():
                expression = rest if is_open else rf"{rest}(?![A-Za-z0-9])"
                table.setdefault(beginning[:2], []).append((beginning, expression, is_loose, is_open))
    return table


_FORMATS: Final = _formats()
_compiled: Final = lru_cache(maxsize=None)(re.compile)  # on first use: compiling all of them takes 50 ms
_DOTTED: Final = re.compile(rf"{DOTTED}(?![A-Za-z0-9_-])")
SHORTEST_FORMAT: Final = 14  # characters of the shortest secret of a known format
_LONG: Final = re.compile(r"[A-Za-z0-9_.~$-]{5,}|1//0")
_MORE: Final = re.compile(r"[A-Za-z0-9]*")
_INSIDE_LONG: Final = re.compile(r"[-_.]+")


def by_format(text: str) -> Iterator[Span]:
    """Yield secrets of a known format: the beginnings of long words, and of their parts, are looked up in a table."""
    for word in _LONG.finditer(text):
        start, end = word.span()
        at = start
        while at < end:
            if (stop := _format_end(text, at, at == start)) > 0:
                yield at, stop
                at = stop
            inside = _INSIDE_LONG.search(text, at, end)
            if inside is None:
                break
            at = max(at + 1, inside.end())
    for inner, before, behind, whole in INNER_FORMATS:
        at = text.find(inner)
        while at >= 0:
            match = _compiled(whole).search(text, max(0, at - before), at + behind)
            if match:
                yield match.span()
            at = text.find(inner, max(at + len(inner), match.end() if match else 0))


def _format_end(text: str, at: int, is_start: bool) -> int:
    """Return the end of a secret of a known format that begins at a position, or 0."""
    for beginning, rest, is_loose, is_open in _FORMATS.get(text[at : at + 2], ()):
        if not text.startswith(beginning, at) or (is_loose and not is_start):
            continue
        match = _compiled(rest).match(text, at + len(beginning))
        if match and not is_blank(match[0]) and (not is_loose or is_key_like(match[0])):
            # A secret that is longer than the known maximum is taken as a whole.
            return _MORE.match(text, match.end()).end() if is_open else match.end()  # type: ignore[union-attr]
    if text[at : at + 1] in ("M", "N", "O") and (match := _DOTTED.match(text, at)):
        return match.end()
    return 0


def key_blocks(text: str) -> Iterator[Span]:
    """Yield private keys in PEM (RFC 7468) and PGP armour (RFC 9580), whole or cut off at the end."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        if "PRIVATE KEY" not in text[at : text.find("-----", at + 11, at + 90)]:
            at = text.find("-----BEGIN ", at + 11)
            continue
        end = text.find("-----END ", at)
        closing = text.find("-----", end + 9, end + 90) if end >= 0 else -1
        stop = closing + 5 if closing >= 0 else len(text)
        yield at, stop
        at = text.find("-----BEGIN ", stop)


# --- URLs -------------------------------------------------------------------------------------------------------------

_AUTHORITY: Final = re.compile(r"[^\s\"<>`\\]{1,8192}")
_PORT: Final = re.compile(r"\d{1,5}(?:[/?#]|\Z)")
_HOSTLIKE: Final = re.compile(r"[A-Za-z0-9\[$%{<]")
_NOT_PASSWORD: Final = re.compile(r"\[REDACTED|\*+\Z|\$\{?\w+\}?\Z|<[\w -]+>\Z|\{[\w.]*\}\Z|%s\Z|\.{3}\Z")


def in_urls(text: str) -> Iterator[Span]:
    """Yield passwords of URLs, and tokens that take the place of the user (RFC 3986, section 3.2.1)."""
    at = text.find("://")
    while at >= 0:
        start = at + 3
        at = text.find("://", start)
        rest = _AUTHORITY.match(text, start, len(text) if at < 0 else at)
        if rest is not None:
            yield from _user_info(rest[0], start)


_ENCODED: Final = re.compile(r"(?i)%3a%2f%2f[^%\s\"'<>]{0,256}%3a((?:[^\s%\"'<>]|%(?!40|2f)){1,1024})%40")


def in_encoded_urls(text: str) -> Iterator[Span]:
    """Yield passwords of percent-encoded URLs inside another URL (RFC 3986, section 2.1)."""
    yield from (match.span(1) for match in _ENCODED.finditer(text))


def _user_info(rest: str, start: int) -> Iterator[Span]:
    host = re.search(r"[/?#]", rest)
    sign = rest.rfind("@", 0, host.start() if host else len(rest))
    colon = rest.find(":")
    if sign < 0 and colon >= 0 and (host is None or colon < host.start()) and not _PORT.match(rest, colon + 1):
        sign = rest.rfind("@")  # a password with a slash in it
    if sign <= 0 or not _HOSTLIKE.match(rest, sign + 1):
        return
    if 0 <= colon < sign:
        if colon + 1 < sign and not _NOT_PASSWORD.match(rest[colon + 1 : sign]):
            yield start + colon + 1, start + sign
        if colon and is_random(rest[:colon]):
            yield start, start + colon
    elif "%40" not in rest[:sign] and is_random(rest[:sign]):
        yield start, start + sign


# --- schemes, parameters and flags ------------------------------------------------------------------------------------

_BEARER: Final = re.compile(r"(?i)\b(?:bearer|basic)[ \t]{1,8}([a-z0-9._~+/=-]{8,4096})")
_KEY_PARAMETER: Final = re.compile(r"(?i)(?<=[?&])(?:key|code)=([\w.~-]{20,512})")
_COMMANDS: Final = (
    # the program, the flag, and whether the value has a user before it
    (
        "curl",
        re.compile(
            r"(?:^|\s)(?:-[A-Za-z]{0,6}u|--user|--proxy-user|-U)[ =]{0,4}[\"']?(?P<u>[^\s:\"']{1,128}):(?P<s>[^\s\"']{1,512})"
        ),
    ),
    ("wget", re.compile(r"(?:^|\s)--(?:http-|ftp-|proxy-)?password[ =]{1,4}(?P<u>)[\"']?(?P<s>[^\s\"']{1,512})")),
    ("sshpass", re.compile(r"\s-p[ ]{0,4}(?P<u>)[\"']?(?P<s>[^\s\"']{1,512})")),
    (
        "mysql",
        re.compile(
            r"mysql(?:dump|admin|import|sh)?[ ][^\n|;&]{0,200}?[ ]-p(?!ort|rot|rint|lug|ath)(?P<u>)"
            r"[\"']?(?P<s>[^\s\"'-][^\s\"']{2,512})"
        ),
    ),
    ("redis-cli", re.compile(r"\s-a[ ]{1,4}(?P<u>)[\"']?(?P<s>[^\s\"']{3,512})")),
    ("docker login", re.compile(r"\s-p[ ]{1,4}(?P<u>)[\"']?(?P<s>[^\s\"']{3,512})")),
    ("securestring", re.compile(r"(?i)securestring[ ]{1,4}(?:-string[ ]{1,4})?(?P<u>)[\"'](?P<s>[^\"'\r\n]{1,512})")),
    ("htpasswd", re.compile(r"\s-[A-Za-z]{0,4}b[A-Za-z]{0,4}\s{1,4}\S{1,200}\s{1,4}(?P<u>\S{1,64})\s{1,4}(?P<s>\S{3,200})")),
    ("smbclient", re.compile(r"\s-U[ ]{0,4}[\"']?(?P<u>[^\s%\"']{1,64})%(?P<s>[^\s\"']{3,200})")),
    ("http", re.compile(r"\s(?:-a|--auth)[ =]{1,4}[\"']?(?P<u>[^\s:\"']{1,128}):(?P<s>[^\s\"']{1,512})")),
    ("identified by", re.compile(r"(?i)identified[ ]{1,4}by[ ]{1,4}(?:password[ ]{1,4})?(?P<u>)[\"'](?P<s>[^\"'\r\n]{1,512})")),
)


def schemes(text: str) -> Iterator[Span]:
    """Yield texts after ``Bearer`` and ``Basic`` (RFC 6750, RFC 7617) that look like credentials."""
    for match in _BEARER.finditer(text):
        value = match[1].rstrip(".=")
        look = look_of(value)
        is_sure = look == SECRET_LIKE and any(map(str.isdigit, value))
        is_opaque = match[0].startswith("Bearer") and look != ORDINARY_TEXT and len(value) >= (20 if value.isalpha() else 10)
        is_padded = match[1].endswith("=") and "=" not in value and len(value) >= 12
        if is_sure or is_opaque or is_random(value) or is_padded:
            yield match.span(1)


def key_parameters(text: str) -> Iterator[Span]:
    """Yield values of the query parameters ``key`` and ``code`` that look generated; short values and words are names."""
    yield from (match.span(1) for match in _KEY_PARAMETER.finditer(text) if is_random(match[1]))


PROGRAMS: Final = tuple(program for program, _ in _COMMANDS)


def commands(text: str, folded: str) -> Iterator[Span]:
    """Yield passwords in the flags of programs."""
    for program, flag in _COMMANDS:
        if program not in folded:
            continue
        for match in flag.finditer(text):
            if (
                not (match["u"].isdigit() and match["s"].isdigit())
                and not _NOT_PASSWORD.match(match["s"])
                and match["u"][:1] != "<"
            ):
                yield match.span("s")
