"""Secrets in texts, found in one pass over names, URLs, long words and key blocks.

``find`` returns spans of a text, and nothing is replaced during the search. So no placeholder hides the text after it, and a
narrow shape (a known key format) does not prevent the wider rule for the name before it.

Linear by construction: every expression reads a bounded number of characters, or repeats one class of characters; longer parts
are found with ``str.find``; and a text that was taken for a value is not searched again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .keys import KEY, MAX_NAME, PLAIN, SECRET, WEAK, KeyClasses, classify
from .policies import effective
from .shapes import (
    PROGRAMS,
    SHORTEST_FORMAT,
    Span,
    by_format,
    commands,
    in_encoded_urls,
    in_urls,
    key_blocks,
    key_parameters,
    schemes,
)
from .spans import (
    DELIMITER,
    MAX_ORDINARY,
    MAX_VALUE,
    Name,
    authorization,
    cookie,
    indented,
    judged,
    quoted,
    starts_quoted,
    without_closers,
)
from .values import ORDINARY_TEXT, SECRET_LIKE, WORD, is_identifier, is_mixed, is_random, look_of
from .words import NAME_KEYS, SCHEMES, STRICT_WORDS

SHORTEST: Final = 7  # characters of the shortest text that holds a secret: pwd=abc
RUN: Final = re.compile(r"[\w$.-]{2,}")
"""A candidate for a name, with the characters attached before and after it."""
_ASCII_RUN: Final = re.compile(r"[A-Za-z0-9_$.-]{2,}")  # twice as fast


def find(text: str, classes: KeyClasses) -> list[Span]:
    """Return the spans of secrets in a text, in order; they neither touch nor overlap.

    Most texts have none, and need no search if their words are known: ``classes`` keeps short words that are not secret names,
    and what stood between blanks and had only such words in it, because a text is split in a third of the time.

    Args:
        text: Any text.
        classes: The classifier of names, under the policy that applies.
    """
    spans: list[Span] = [*in_urls(text)] if "://" in text else []
    unknown: set[str] = set()
    if parts := set(text.split()) - classes.plain_parts:
        policy, joined = effective(classes.own), " ".join(parts)
        unknown = set((_ASCII_RUN if joined.isascii() else RUN).findall(joined)) - classes.plain
        if not unknown:
            classes.note_parts(parts, policy)
    return _merged([*spans, *_in_words(text, classes, unknown)]) if spans or unknown else spans


def is_surely_clean(text: str, classes: KeyClasses) -> bool:
    """Tell whether no word of a text can have to do with a secret, so that ``find`` finds none in any of its lines.

    Several texts can be searched at once, joined by lines: a text is split into words once, and most words are known.
    """
    if "://" in text:
        return False
    parts = set(text.split()) - classes.plain_parts
    if not parts:
        return True
    policy, joined = effective(classes.own), " ".join(parts)
    if unknown := set((_ASCII_RUN if joined.isascii() else RUN).findall(joined)) - classes.plain:
        verdicts, longest = classes.verdicts(unknown)
        folded = text.lower()
        return not verdicts and longest < SHORTEST_FORMAT and not any(hint in folded for hint in _HINTS)
    classes.note_parts(parts, policy)
    return True


_HINTS: Final = ("-----begin ", "bearer", "basic", "%2f%2f", "key=", "code=", *PROGRAMS)


def _in_words(text: str, classes: KeyClasses, unknown: set[str]) -> Iterator[Span]:
    """Yield secrets in a text in which some words are unknown: long words, secret names, or words before a secret."""
    verdicts, longest = classes.verdicts(unknown)
    if longest >= SHORTEST_FORMAT:
        yield from by_format(text)
    if verdicts:
        yield from _by_name(text, verdicts)
    if "-----BEGIN " in text:
        yield from key_blocks(text)
    folded = text.lower()
    if "bearer" in folded or "basic" in folded:
        yield from schemes(text)
    if "%2f%2f" in folded:
        yield from in_encoded_urls(text)
    if "key=" in folded or "code=" in folded:
        yield from key_parameters(text)
    yield from commands(text, folded)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


# --- names ------------------------------------------------------------------------------------------------------------

_BEFORE_KEY: Final = re.compile(r"(?:[^\W\d_]{1,16} ){1,2}\Z")


def _names(text: str, verdicts: dict[str, int]) -> Iterator[Name]:
    for match in RUN.finditer(text):
        if verdict := verdicts.get(match[0]):
            name = match[0].strip("-.")
            start = match.start() + len(match[0]) - len(match[0].lstrip("-."))
            end = start + len(name)
            if verdict == KEY:
                start, verdict = _with_words_before(text, start, end)
            if verdict:
                yield Name(start, end, name[-MAX_NAME:], verdict)


def _with_words_before(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the start of a name of several words, such as ``API key``, and its verdict."""
    before = _BEFORE_KEY.search(text, max(0, start - 34), start)
    words = before[0].split() if before else []
    for count in range(1, len(words) + 1):
        first = start - sum(len(word) + 1 for word in words[-count:])
        if verdict := classify(text[first:end]):
            return first, verdict
    return start, PLAIN


def _by_name(text: str, verdicts: dict[str, int]) -> Iterator[Span]:
    """Yield the values of secret names: assignments, headers, flags, elements, pairs."""
    done = 0
    for name in _names(text, verdicts):
        if name.start < done:
            continue
        span = _value_of(text, name)
        if span is not None and span[1] > span[0]:
            yield span
            done = span[1]


_CLOSE: Final = re.compile(r"(?:\\{0,8}[\"'`]|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27]|\*\*)?(?:[\])}]|%5[dD])?")
_SEPARATOR: Final = re.compile(
    r"[ \t]{0,16}(?P<s>:{1,4}=|[-=]>|<-|\|\||[?.+|&]?={1,3}(?!>)|:(?![:/])|\uff1a|%3[dDaA]|&#61;|\\u003[dD])"
    r"(?:%20|\+(?=%22)|\*\*)?[ \t]{0,16}"
)
_TYPED: Final = re.compile(
    r"[ \t]{1,4}(?:As )?\*?[A-Za-z_][\w.\[\]<>*]{0,40}(?:\(\d{1,5}\))?[ \t]{0,4}=[ \t]{0,8}(?=[\"'`bruN@$])"  # Go, SQL, Basic
    r"|[ \t]{0,4}:[ \t]{0,4}&?[A-Za-z_][\w.\[\]<>|?']{0,40}[ \t]{0,4}=[ \t]{0,8}(?=[\"'`bru@$])"  # TypeScript, Rust, Python
)


def _value_of(text: str, name: Name) -> Span | None:
    """Return the span of the value of a name if it must be redacted, otherwise None."""
    close = _CLOSE.match(text, name.end)
    after = close.end() if close else name.end
    is_quoted = after > name.end
    if (element := _element(text, name)) is not None:
        return element
    separator = _SEPARATOR.match(text, after)
    if separator is None and name.text.lower() == "bearer":
        return None  # the text after a scheme is judged on its own
    typed = _TYPED.match(text, after)
    if typed is not None and not (is_quoted and typed[0][0] != ":") and not (separator is not None and _is_header(name)):
        return quoted(text, name, typed.end(), WORD)
    if separator is not None:
        return _assigned(text, name, separator, is_quoted)
    return _beside(text, name, after) if is_quoted else _called(text, name) or _spoken(text, name)


# --- elements ---------------------------------------------------------------------------------------------------------

_ELEMENT: Final = re.compile(r"(?:[ \t]{1,4}[^<>]{0,200})?>[ \t\r\n]{0,64}(?:<!\[CDATA\[)?")
_ENTITY: Final = "&gt;"
_PLIST: Final = re.compile(r"</key>[ \t\r\n]{0,64}<string>")


def _element(text: str, name: Name) -> Span | None:
    """Return the span of the text in an element with a name, or of the text after a name in a property list."""
    before = text[max(0, name.start - 32) : name.start]
    if before.endswith("&lt;") and text.startswith(_ENTITY, name.end):
        return _until(text, name, name.end + len(_ENTITY), "&lt;", WORD)
    if before.endswith("<key>") and (match := _PLIST.match(text, name.end)) is not None:
        return _until(text, name, match.end(), "<", WORD)
    if before[-1:] in ("<", ":") and "<" in before and (match := _ELEMENT.match(text, name.end)) is not None:
        return _until(text, name, match.end(), "]]>" if match[0].endswith("[") else "<", WORD)
    return None


def _until(text: str, name: Name, start: int, mark: str, least: int) -> Span | None:
    stop = text.find(mark, start, start + MAX_VALUE)
    return judged(text, name, start, len(text) if stop < 0 else stop, least)


# --- assignments ------------------------------------------------------------------------------------------------------

_BLOCK: Final = re.compile(r"[ \t]{0,8}[|>][+-]?\d?[+-]?[ \t]{0,8}(?:#[^\n]{0,80})?\r?\n")
_LIST: Final = re.compile(r"\[(?!REDACTED)[^\]\r\n]{3,4096}\]?")
_OBJECT: Final = re.compile(r"\{\s{0,16}[\"'](?:value|val|text|data|content|secret|token|default)[\"']\s{0,8}:\s{0,8}(?=[\"'])")
_NEXT_LINE: Final = re.compile(r"[ \t]{0,8}\r?\n[ \t]{0,64}(?=[\"'])")
_INDENTED: Final = re.compile(r"[ \t]{0,8}\r?\n[ \t]{2,64}(?=[^\s:]{6,256}[ \t]*(?:\r?\n|\Z))")
_CALL: Final = re.compile(r"(?:new )?[A-Za-z_$\[][\w.:$\[\]]{0,63}\((?=[bru]?[\"'])")
_GETTER: Final = re.compile(
    r"(?i)get|env|read|load|find|fetch|input|prompt|config|lookup|secret_?manager|vault|path|file|log|print|_\("
)
_TWO: Final = re.compile(r"[ \t]{0,4}=?[ \t]{0,4}\w{0,40}\([ \t]{0,4}[\"'][^\"'\r\n]{1,128}[\"'][ \t]{0,4},[ \t]{0,4}(?=[\"'])")
_HASHED: Final = re.compile(r"\{[A-Za-z0-9-]{3,12}\}[A-Za-z0-9+/=$.]{16,512}")
_PAIR: Final = re.compile(r"[A-Za-z]\w{0,30}:\d{1,6}\}?\Z")
_WORD: Final = re.compile(r"[^\s\"'`,;&<>\\|]{1,4096}")
_LINE_WORD: Final = re.compile(r"[^\s\"'`]{1,4096}")
_ESCAPED_WORD: Final = re.compile(r"(?:[^\s\"'`,;&<>%]|%(?!2[26cC7]|0[aAdD])){1,4096}")


def _is_header(name: Name) -> bool:
    return name.verdict == SECRET and name.text.lower().endswith(("authorization", "cookie"))


def _assigned(text: str, name: Name, separator: re.Match[str], is_quoted: bool) -> Span | None:
    """Return the span of the value after a sign such as ``=`` or ``:``."""
    start, sign = separator.end(), separator["s"]
    if _is_header(name) and not (is_quoted and name.text.lower().endswith("cookie")):
        return cookie(text, start) if name.text.lower().endswith("cookie") else authorization(text, start, name.start)
    if sign == ":" and (match := _BLOCK.match(text, separator.start("s") + 1)) is not None:
        return indented(text, name, match.end())
    if is_quoted and (match := _NEXT_LINE.match(text, start)) is not None:
        start = match.end()
    if starts_quoted(text, start):
        return None if _closes(text, name, start, is_quoted) else quoted(text, name, start, WORD)
    if (match := _CALL.match(text, start)) is not None and not _GETTER.search(match[0]):
        return quoted(text, name, match.end(), SECRET_LIKE)
    if (match := _TWO.match(text, separator.start("s"))) is not None and name.text.lower().endswith("auth"):
        return quoted(text, name, match.end(), SECRET_LIKE)
    if sign == ":" and (match := _INDENTED.match(text, start)) is not None:
        return _word(text, name, match.end(), SECRET_LIKE, _LINE_WORD)
    if (match := _OBJECT.match(text, start)) is not None:
        return quoted(text, name, match.end(), WORD)
    if (match := _HASHED.match(text, start)) is not None:
        return match.span()
    if name.verdict == SECRET and (match := _LIST.match(text, start)):
        return match.span() if _is_list_of_secrets(match[0]) else None
    if text[start : start + 1] in ("{", "[", "(", ""):
        return None
    return _unquoted(text, name, start, sign, is_quoted)


_AFTER_A_QUOTE: Final = ("", *" \t\r\n,;)]}+|:>")


def _closes(text: str, name: Name, at: int, is_quoted: bool) -> bool:
    """Tell whether a quote after a name closes the text that contains the name: ``"Password: "``."""
    if is_quoted or text[at] not in "\"'" or text[at + 1 : at + 2] not in _AFTER_A_QUOTE:
        return False
    line = text.rfind("\n", max(0, name.start - 512), name.start) + 1
    return (line > 0 or name.start <= 512) and text.count(text[at], line, name.start) % 2 == 1


def _is_list_of_secrets(text: str) -> bool:
    if text[1:8] in ("object ", "Object]", "Functio"):
        return False
    items = [item.strip(" \"'") for item in text[1:].rstrip("]").split(",")[:64]]
    return any(look_of(item) != ORDINARY_TEXT for item in items)


def _word(text: str, name: Name, start: int, least: int, kind: re.Pattern[str] = _WORD) -> Span | None:
    match = kind.match(text, start)
    return judged(text, name, start, without_closers(text, start, match.end()), least) if match else None


def _unquoted(text: str, name: Name, start: int, sign: str, is_quoted: bool) -> Span | None:
    """Return the span of a value without quotes: a word, or the rest of a line that is a setting."""
    match = _ESCAPED_WORD.match(text, start) if sign.startswith("%") else _WORD.match(text, start)
    if match is None:
        return None
    end = without_closers(text, start, match.end())
    is_code = end - start <= MAX_ORDINARY and (
        is_identifier(text[start:end]) or look_of(text[start:end], is_bare=True) == ORDINARY_TEXT
    )
    is_setting = not is_quoted and sign in (":", "=", "\uff1a") and _stands_at_line_start(text, name.start)
    if is_setting and (line := _rest_of_line(text, name, start, sign, is_code)) is not None:
        return line
    if is_code or _PAIR.match(text, start, end):
        return None
    is_strict = name.verdict == WEAK and sign == ":" and not is_quoted and name.text.lower().endswith(STRICT_WORDS)
    if is_strict and not is_random(text[start:end]):
        return None
    is_sure = "=" in sign or sign[0] in "%\uff1a\\<" or is_quoted or _stands_alone(text, start, end, is_setting)
    return judged(text, name, start, end, WORD if is_sure else SECRET_LIKE)


_LINE_START: Final = re.compile(
    r"[\s>#+*-]*(?:(?:export|set|setx|declare|local|env|ENV|ARG|SET|let|var|const)[ \t]+(?:-x[ \t]+)?|[\"'])?\Z"
)


def _stands_at_line_start(text: str, at: int) -> bool:
    line = max(text.rfind("\n", max(0, at - 64), at), text.rfind("\\n", max(0, at - 64), at) + 1)
    if line < 0 and at > 64:
        return False
    return _LINE_START.match(text[max(0, line + 1) : at]) is not None


def _stands_alone(text: str, start: int, end: int, is_setting: bool) -> bool:
    stop = text.find("\n", start, end + 64)
    rest = text[end : end + 64 if stop < 0 else stop]
    return is_setting and not rest.strip(" \t\r,;") and not text[start].isupper()


_QUERY: Final = re.compile(r"[^&\s]*&\w{1,64}=")


def _rest_of_line(text: str, name: Name, start: int, sign: str, is_code: bool) -> Span | None:
    """Return the span of the rest of a line ``NAME: value`` if its words are a secret; None if only the first word can be."""
    stop = text.find("\n", start, start + 1024)
    line = text[start : stop if stop >= 0 else start + 1024].rstrip()
    if name.verdict != SECRET or _QUERY.match(line):
        return None
    words = line.split(" ", 4)
    if len(words) == 1:
        word = _LINE_WORD.match(text, start)
        is_all = word is not None and word.end() >= start + len(line) and not is_code
        return judged(text, name, start, start + len(line), WORD) if is_all else None
    if "=" in words[1] or ":" in words[1] or words[1][:1] in ("#", "/", ";"):
        return None
    is_scheme = words[0].lower() in SCHEMES and any(look_of(word) == SECRET_LIKE for word in words[1:3])
    is_pair = sign == ":" and len(words) == 2 and words[0].isalnum() and look_of(words[1]) == SECRET_LIKE
    is_key = sign == ":" and len(words) <= 4 and name.text.lower().endswith(("key", "secret", "token"))
    return (start, start + len(line)) if is_scheme or is_pair or (is_key and look_of(line) == SECRET_LIKE) else None


# --- beside and after a name ------------------------------------------------------------------------------------------

_ATTRIBUTE: Final = re.compile(
    r"[ \t\r\n]{1,32}(?:[\w:.-]{1,40}=\"[^\"<>]{0,80}\"[ \t\r\n]{1,32}){0,3}"
    r"(?:value|val|content|default|data)[ \t]{0,4}=[ \t]{0,4}(?=[\"'])"
)
_PAIRED: Final = re.compile(r"[ \t\r\n]{0,32}[,;][ \t\r\n]{0,64}(?=[bBrRuU]?\\{0,8}[\"'`])")
_VALUE: Final = r"[\"']?(?:parameter|option)?(?:value|val|text|default|content|data)[\"']?[ \t]{0,8}[:=][ \t]{0,8}"
_PAIRED_VALUE: Final = re.compile(rf"[ \t\r\n]{{0,64}}[,{{]?[ \t\r\n]{{0,64}}{_VALUE}(?=[bBrRuU]?\\{{0,8}}[\"'])", re.I)
_NEXT_VALUE: Final = re.compile(r"[ \t]{0,8}\r?\n[ \t]{0,64}(?:value|val|default|data)[ \t]{0,4}:[ \t]{0,8}")
_NAME_BEFORE: Final = re.compile(r"(\w{1,24})[\"']?[ \t]{0,8}(?:[:=][ \t]{0,8}|[ \t])[bBrRuU]?\\{0,8}[\"']?\Z")


def _beside(text: str, name: Name, after: int) -> Span | None:
    """Return the span of the value beside a quoted name: the second of a pair, an argument, an attribute, an element."""
    if (match := _ATTRIBUTE.match(text, after)) is not None:
        return quoted(text, name, match.end(), WORD)
    if text[after : after + 1] == ">" and "<" in text[max(0, name.start - 64) : name.start]:
        return _until(text, name, after + 1, "<", SECRET_LIKE)
    if (match := _PAIRED_VALUE.match(text, after)) is not None and _is_named(text, name.start):
        return quoted(text, name, match.end(), WORD)
    if (match := _PAIRED.match(text, after)) is not None:
        is_flag = text[max(0, name.start - 1) : name.start] == "-"
        return quoted(text, name, match.end(), WORD if is_flag else SECRET_LIKE)
    return None


def _is_named(text: str, at: int) -> bool:
    """Tell whether the word before a name is a key such as ``name``: ``{"name": "password", ...``, ``variable "password"``."""
    match = _NAME_BEFORE.search(text[max(0, at - 48) : at])
    return match is not None and match[1].lower() in (*NAME_KEYS, "variable")


def _called(text: str, name: Name) -> Span | None:
    """Return the span of a value that a call sets: ``setPassword("x")``, ``BasicAuth("user", "x")``."""
    if not text.startswith("(", name.end):
        return None
    if (match := _TWO.match(text, name.end)) is not None and name.text.lower().endswith("auth"):
        return quoted(text, name, match.end(), SECRET_LIKE)
    is_getter = _GETTER.search(name.text) is not None or not starts_quoted(text, name.end + 1)
    return None if is_getter else quoted(text, name, name.end + 1, SECRET_LIKE)


_FLAG_VALUE: Final = re.compile(r"[ \t]{1,8}(?![-|&;<>])")
_SAYS: Final = re.compile(
    r":?[ \t]{1,4}(?:is|was|are|=|to|will be|provided|given|used|supplied|received|entered|for [\w ]{1,32} is):?"
    r"[ \t]{1,4}(?:<\w{1,8}>)?(?!not\b)",
    re.I,
)
_QUOTED_NEXT: Final = re.compile(r"[ \t]{1,8}(?:N|E|BY[ \t]+|FOR[ \t]+[^\s=]{1,80}[ \t]*=[ \t]*)?(?=[\"'])", re.I)
_CELL: Final = re.compile(r"[ \t]{1,64}\|[ \t]{1,64}|\t")


def _spoken(text: str, name: Name) -> Span | None:
    """Return the span of a value after a blank: of a flag, in SQL, in a table, or in a sentence."""
    if text[max(0, name.start - 1) : name.start] == "-" and (match := _FLAG_VALUE.match(text, name.end)) is not None:
        if DELIMITER.match(text, match.end()):
            return quoted(text, name, match.end(), WORD)
        return _word(text, name, match.end(), WORD if name.verdict == SECRET else SECRET_LIKE, _LINE_WORD)
    if (match := _NEXT_VALUE.match(text, name.end)) is not None and _is_named(text, name.start):
        is_text = DELIMITER.match(text, match.end()) is not None
        return quoted(text, name, match.end(), WORD) if is_text else _word(text, name, match.end(), WORD, _LINE_WORD)
    if name.verdict == WEAK:
        return None
    if (match := _CELL.match(text, name.end)) is not None:
        return _word(text, name, match.end(), SECRET_LIKE)
    if (match := _QUOTED_NEXT.match(text, name.end)) is not None:
        return quoted(text, name, match.end(), WORD if name.text.isupper() or match[0].strip() else SECRET_LIKE)
    if (match := _SAYS.match(text, name.end)) is not None:
        is_text = DELIMITER.match(text, match.end()) is not None
        return quoted(text, name, match.end(), SECRET_LIKE) if is_text else _word(text, name, match.end(), SECRET_LIKE)
    word = _WORD.match(text, name.end + 1) if text.startswith(" ", name.end) else None
    return _word(text, name, name.end + 1, SECRET_LIKE) if word and is_mixed(word[0]) else None
