"""Secrets in texts: where they stand, found in one pass over names, URLs, long words and key blocks.

``find`` returns spans of a text, and nothing is replaced while it is searched: so no placeholder hides what stands behind it, and
a narrow shape (a known key format) cannot disarm the wider rule of the name before it.

Linear by construction: every expression looks at a bounded number of characters, or repeats one class of characters alone; what
may be longer is found with ``str.find``; and what was taken for a value is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .secret_keys import MAX_NAME, SECRET, TOKEN, WEAK, KeyClasses, looks_secret
from .secret_shapes import SHORTEST_FORMAT, Span, by_format, commands, in_urls, key_blocks, key_parameters, schemes
from .secret_values import ORDINARY_TEXT, SECRET_LIKE, WORD, is_blank, is_identifier, is_random, look_of
from .secret_words import NAME_KEYS, SCHEMES

SHORTEST: Final = 7  # characters of the shortest text that holds a secret: pwd=abc
_MAX_VALUE: Final = 8_192  # characters within which a quote is expected to close
_MAX_ORDINARY: Final = 256  # characters of a quoted value that can be ordinary


# --- names and their values -------------------------------------------------------------------------------------------

_DELIMITER: Final = re.compile(r"(?:\\{0,8}[\"'`])|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27]")
_CLOSE: Final = re.compile(r"(?:\\{0,8}[\"'`]|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27])?(?:[\])}]|%5[dD])?")
_SEPARATOR: Final = re.compile(
    r"[ \t]{0,16}(?P<s>:{1,4}=|[-=]>|\|\||[?.+|&]?={1,3}(?!>)|:(?!:)|%3[dDaA]|&#61;)(?:%20|\+(?=%22))?[ \t]{0,16}"
)
_TYPED: Final = re.compile(
    r"[ \t]{1,4}\*?[A-Za-z_][\w.\[\]<>*]{0,40}[ \t]{0,4}=[ \t]{0,8}(?=[\"'`bru@$])"  # Go: name string = "x"
    r"|[ \t]{0,4}:[ \t]{0,4}&?[A-Za-z_][\w.\[\]<>|?']{0,40}[ \t]{0,4}=[ \t]{0,8}(?=[\"'`bru@$])"  # TypeScript, Rust, Python
)
_PREFIX: Final = re.compile(r"[bBrRuUfF@$]{0,2}(?=\\{0,8}[\"'`])")
_BLOCK: Final = re.compile(r"[ \t]{0,8}[|>][+-]?\d?[+-]?[ \t]{0,8}(?:#[^\n]{0,80})?\r?\n")
_LIST: Final = re.compile(r"\[(?!REDACTED)[^\]\r\n]{3,4096}\]?")
_NEXT_LINE: Final = re.compile(r"[ \t]{0,8}\r?\n[ \t]{0,64}(?=[\"'])")
_INDENTED: Final = re.compile(r"[ \t]{0,8}\r?\n[ \t]{2,64}(?=[^\s:]{6,256}[ \t]*(?:\r?\n|\Z))")
_CALL: Final = re.compile(r"(?:new )?[A-Za-z_$][\w.:$]{0,63}\((?=[bru]?[\"'])")
_GETTER: Final = re.compile(
    r"(?i)get|env|read|load|find|fetch|input|prompt|config|lookup|secret_?manager|vault|path|file|log|print|_\("
)
_WORD: Final = re.compile(r"[^\s\"'`,;&<>\\|]{1,4096}")
_LINE_WORD: Final = re.compile(r"[^\s\"'`]{1,4096}")
_ESCAPED_WORD: Final = re.compile(r"(?:[^\s\"'`,;&<>%]|%(?!2[26cC7]|0[aAdD])){1,4096}")
_ELEMENT: Final = re.compile(r"(?:[ \t]{1,4}[^<>]{0,200})?>[ \t\r\n]{0,64}")
_ATTRIBUTE: Final = re.compile(
    r"[ \t\r\n]{1,32}(?:[\w:.-]{1,40}=\"[^\"<>]{0,80}\"[ \t\r\n]{1,32}){0,3}"
    r"(?:value|val|content|default|data)[ \t]{0,4}=[ \t]{0,4}(?=[\"'])"
)
_PAIRED: Final = re.compile(r"[ \t\r\n]{0,32}[,;][ \t\r\n]{0,64}(?=[bBrRuU]?\\{0,8}[\"'`])")
_PAIRED_VALUE: Final = re.compile(
    r"[ \t\r\n]{0,64},?[ \t\r\n]{0,64}[\"']?(?:value|val|text|default|content|data)[\"']?"
    r"[ \t]{0,8}[:=][ \t]{0,8}(?=[bBrRuU]?\\{0,8}[\"'])",
    re.I,
)
_FLAG_VALUE: Final = re.compile(r"[ \t]{1,8}(?![-|&;<>])")
_SAYS: Final = re.compile(r"[ \t]{1,4}(?:is|was|are|=|to|will be)[ \t]{1,4}(?!not\b)", re.I)
_QUOTED_NEXT: Final = re.compile(r"[ \t]{1,8}(?:N|E|BY[ \t]+)?(?=[\"'])", re.I)
_LINE_START: Final = re.compile(
    r"[\s>#+*-]*(?:(?:export|set|setx|declare|local|env|ENV|ARG|SET|let|var|const)[ \t]+(?:-x[ \t]+)?|[\"'])?\Z"
)
_COOKIE: Final = re.compile(r"[^\s\"',;]{3,4096}(?:; ?[^\s\"',;=]{1,128}=[^\s\"',;]{0,4096}){0,64}")


class Name(NamedTuple):
    """A name in a text: where it begins and ends, what it is called, and what that says of the value beside it."""

    start: int
    end: int
    text: str
    verdict: int


def _names(text: str, verdicts: dict[str, int]) -> Iterator[Name]:
    for found in RUN.finditer(text):
        if verdict := verdicts.get(found[0]):
            name = found[0].strip("-.")
            start = found.start() + len(found[0]) - len(found[0].lstrip("-."))
            yield Name(start, start + len(name), name[-MAX_NAME:], verdict)


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


def _value_of(text: str, name: Name) -> Span | None:
    """Return where the value of a name is that has to be taken out, or None."""
    end = name.end
    close = _CLOSE.match(text, end)
    after = close.end() if close else end
    is_quoted = after > end
    if name.text.lower() == "key":
        return None
    if text[name.start - 1 : name.start] == "<" or text[name.start - 1 : name.start] == ":":
        found = _ELEMENT.match(text, end)
        if found is not None and "<" in text[max(0, name.start - 32) : name.start]:
            stop = text.find("<", found.end(), found.end() + _MAX_VALUE)
            return _judged(text, name, found.end(), len(text) if stop < 0 else stop, WORD)
    separator = _SEPARATOR.match(text, after)
    typed = _TYPED.match(text, after)
    if typed is not None and not (separator is not None and _is_header(name)):
        return _quoted(text, name, typed.end(), WORD)
    if separator is not None:
        return _assigned(text, name, separator, is_quoted)
    if is_quoted:
        return _beside(text, name, after)
    return _spoken(text, name)


def _is_header(name: Name) -> bool:
    return name.verdict == SECRET and name.text.lower().endswith(("authorization", "cookie"))


def _assigned(text: str, name: Name, separator: re.Match[str], is_quoted: bool) -> Span | None:
    start, sign = separator.end(), separator["s"]
    if _is_header(name) and not (is_quoted and name.text.lower().endswith("cookie")):
        return _cookie(text, start) if name.text.lower().endswith("cookie") else _authorization(text, start, name.start)
    block = _BLOCK.match(text, separator.start("s") + 1) if sign == ":" else None
    if block is not None:
        return _indented(text, name, block.end())
    if is_quoted and (found := _NEXT_LINE.match(text, start)) is not None:
        start = found.end()
    if _PREFIX.match(text, start) or _DELIMITER.match(text, start):
        return _quoted(text, name, start, WORD)
    if (found := _CALL.match(text, start)) is not None and not _GETTER.search(found[0]):
        return _quoted(text, name, found.end(), SECRET_LIKE)
    if sign == ":" and (found := _INDENTED.match(text, start)) is not None:
        word = _LINE_WORD.match(text, found.end())
        return _judged(text, name, found.end(), word.end(), SECRET_LIKE) if word else None
    if name.verdict == SECRET and (found := _LIST.match(text, start)):
        return found.span() if _is_list_of_secrets(found[0]) else None
    if text[start : start + 1] in ("{", "[", ""):
        return None
    return _unquoted(text, name, start, sign, is_quoted)


def _is_list_of_secrets(text: str) -> bool:
    if text[1:8] in ("object ", "Object]", "Functio"):
        return False
    items = [item.strip(" \"'") for item in text[1:].rstrip("]").split(",")[:64]]
    return any(look_of(item) != ORDINARY_TEXT for item in items)


def _unquoted(text: str, name: Name, start: int, sign: str, is_quoted: bool) -> Span | None:
    """Return the span of a value without quotes: a word, or the rest of a line that is a setting of its own."""
    found = _ESCAPED_WORD.match(text, start) if sign.startswith("%") else _WORD.match(text, start)
    if found is None:
        return None
    is_setting = not is_quoted and sign in (":", "=") and _stands_at_line_start(text, name.start)
    if is_setting and (line := _rest_of_line(text, name, start, sign)) is not None:
        return line
    end = _without_closers(text, start, found.end())
    if end - start <= _MAX_ORDINARY and is_identifier(text[start:end]):
        return None
    is_loose = name.verdict == WEAK and sign == ":" and not is_quoted and not name.text.lower().endswith(("pass", "pw"))
    if is_loose and not is_random(text[start:end]):
        return None
    least = WORD if "=" in sign or sign[0] == "%" or is_quoted or _stands_alone(text, start, end, is_setting) else SECRET_LIKE
    return _judged(text, name, start, end, least)


def _stands_at_line_start(text: str, at: int) -> bool:
    line = max(text.rfind("\n", max(0, at - 64), at), text.rfind("\\n", max(0, at - 64), at) + 1)
    if line < 0 and at > 64:
        return False
    return _LINE_START.match(text[max(0, line + 1) : at]) is not None


def _stands_alone(text: str, start: int, end: int, is_setting: bool) -> bool:
    stop = text.find("\n", start, end + 64)
    rest = text[end : end + 64 if stop < 0 else stop]
    return is_setting and not rest.strip(" \t\r,;") and not text[start].isupper()


def _rest_of_line(text: str, name: Name, start: int, sign: str) -> Span | None:
    """Return the span of the rest of a line ``NAME: value`` whose words are a secret, or None where the first word is all."""
    if name.verdict != SECRET:
        return None
    stop = text.find("\n", start, start + 1024)
    stop = min(stop if stop >= 0 else len(text), start + 1024)
    line = text[start:stop].rstrip()
    if "&" in line and re.match(r"[^&\s]*&\w{1,64}=", line):
        return None
    words = line.split(" ", 4)
    if len(words) == 1:
        word = _LINE_WORD.match(text, start)
        return _judged(text, name, start, word.end(), WORD) if word and word.end() >= start + len(line) else None
    if "=" in words[1] or ":" in words[1] or words[1][:1] in ("#", "/", ";"):
        return None
    if words[0].lower() in SCHEMES or (sign == ":" and len(words) == 2 and look_of(words[1]) == SECRET_LIKE):
        return (start, start + len(line)) if any(is_random(word) or look_of(word) == SECRET_LIKE for word in words[1:3]) else None
    if (
        sign == ":"
        and len(words) <= 4
        and name.text.lower().endswith(("key", "secret", "token"))
        and look_of(line) == SECRET_LIKE
    ):
        return start, start + len(line)
    return None


def _without_closers(text: str, start: int, end: int) -> int:
    """Return the end of a word without sentence marks and without brackets that it does not open."""
    word = text[start:end]
    while word and (word[-1] in ".!?:" or (word[-1] in ")]}" and word.count(word[-1]) > word.count(_OPENERS[word[-1]]))):
        word = word[:-1] if word[-1] not in ".!?:" else word.rstrip(".!?:")
    return start + len(word)


_OPENERS: Final = {")": "(", "]": "[", "}": "{"}


def _quoted(text: str, name: Name, at: int, least: int) -> Span | None:
    """Return the span inside the quotes at a place, whole, or down to the end of the line where they do not close."""
    prefix = _PREFIX.match(text, at)
    at = prefix.end() if prefix else at
    mark = _DELIMITER.match(text, at)
    if mark is None:
        return None
    if text.startswith(mark[0] * 3, at) and len(mark[0]) == 1:
        stop = text.find(mark[0] * 3, at + 3, at + 3 + _MAX_VALUE)
        return _judged(text, name, at + 3, len(text) if stop < 0 else stop, least)
    start = mark.end()
    stop = _closing(text, mark[0], start)
    if stop < 0:
        line = text.find("\n", start)
        stop = len(text) if line < 0 else line
        return (start, stop) if stop - start >= 3 and not text.startswith("[REDACTED", start) else None
    return _judged(text, name, start, stop, least)


def _closing(text: str, mark: str, start: int) -> int:
    """Return where a quote closes: at the same mark with no more backslashes before it than the opening one has; or -1."""
    sign, slashes = mark[-1], len(mark) - 1 if mark[-1] in "\"'`" and mark[:1] in ("\\", mark[-1]) else -1
    limit = min(len(text), start + _MAX_VALUE)
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


def _judged(text: str, name: Name, start: int, end: int, least: int) -> Span | None:
    """Return the span of a value without the blanks around it, if the name and what it looks like make it a secret."""
    while start < end and text[start] in " \t\r\n":
        start += 1
    while end > start and text[end - 1] in " \t\r\n":
        end -= 1
    if end - start < 3:
        return None
    if end - start > _MAX_ORDINARY:
        return start, end
    value = text[start:end]
    if name.verdict == WEAK:
        return (start, end) if looks_secret(value, name.text) and not value.startswith("[REDACTED") else None
    if name.verdict == TOKEN:
        least = WORD if len(value) >= 8 and least == WORD else SECRET_LIKE
        if value.isdigit() and len(value) < 6:
            return None
    if name.text[-3:].lower() == "pwd" and value[:1] in "/~" and look_of(value) != SECRET_LIKE:
        return None
    return (start, end) if look_of(value) >= least else None


def _authorization(text: str, start: int, before: int) -> Span | None:
    """Return the span of credentials in an Authorization header (RFC 9110, section 11.6.2), the scheme included.

    ``before`` is where the header's name begins: a quote before it closes behind the value.
    """
    mark = _DELIMITER.match(text, start)
    if mark is not None:
        stop = _closing(text, mark[0], mark.end())
        start, end = mark.end(), stop if stop >= 0 else len(text)
        return (start, end) if _is_credentials(text[start:end]) else None
    line = _LINE.match(text, start)
    if line is None or not _is_credentials(line[0]):
        return None
    quote = text[before - 1 : before]
    stop = text.find(quote, start, line.end()) if quote in ("'", '"') else -1
    stop = stop if stop >= 0 else line.end()
    words = text[start:stop].split(" ", 2)
    end = start + len(words[0])
    if len(words) > 1 and _SCHEME.fullmatch(words[0]):
        end += 1 + len(words[1])
        if words[0].lower() in _PARAMETRISED or "=" in words[1].rstrip("="):
            return start, stop
    return start, _without_closers(text, start, len(text[:end].rstrip("\"',;")))


_LINE: Final = re.compile(r"[^\r\n]{3,2048}")
_SCHEME: Final = re.compile(r"[A-Za-z][\w-]{0,40}")
_PARAMETRISED: Final = frozenset("digest aws4-hmac-sha256 hawk oauth signature".split())


def _is_credentials(value: str) -> bool:
    if value.lstrip().startswith("[REDACTED"):
        return False
    words = [word.strip("\"',;") for word in value.split(" ", 3)[:3]]
    has_scheme = _SCHEME.fullmatch(words[0]) is not None and len(words) > 1
    if has_scheme and words[0].lower() in SCHEMES and look_of(words[1]) != ORDINARY_TEXT and not is_blank(words[1]):
        return True
    return any(look_of(word) == SECRET_LIKE for word in words[: 2 if has_scheme else 1])


def _cookie(text: str, start: int) -> Span | None:
    mark = _DELIMITER.match(text, start)
    found = _COOKIE.match(text, mark.end() if mark else start)
    if found is None or found[0].startswith("[REDACTED"):
        return None
    return found.span() if "=" in found[0] or look_of(found[0]) == SECRET_LIKE else None


def _indented(text: str, name: Name, start: int) -> Span | None:
    """Return the span of a block scalar of YAML: the lines that are indented further than the name's."""
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


def _beside(text: str, name: Name, after: int) -> Span | None:
    """Return the span of what stands beside a quoted name: the second of a pair, an argument, an attribute, an element."""
    if (found := _ATTRIBUTE.match(text, after)) is not None:
        return _quoted(text, name, found.end(), WORD)
    if text[after : after + 1] == ">" and "<" in text[max(0, name.start - 64) : name.start]:
        stop = text.find("<", after, after + _MAX_VALUE)
        return _judged(text, name, after + 1, len(text) if stop < 0 else stop, SECRET_LIKE)
    if (found := _PAIRED_VALUE.match(text, after)) is not None and _names_before(text, name.start):
        return _quoted(text, name, found.end(), WORD)
    if (found := _PAIRED.match(text, after)) is not None:
        is_flag = text[max(0, name.start - 1) : name.start] == "-"
        return _quoted(text, name, found.end(), WORD if is_flag else SECRET_LIKE)
    return None


def _names_before(text: str, at: int) -> bool:
    """Tell whether what stands before a quoted name is a key such as ``name``: ``{"name": "password", ...``."""
    found = re.search(r"(\w{1,12})[\"']?[ \t]{0,8}[:=][ \t]{0,8}[bBrRuU]?\\{0,8}[\"']\Z", text[max(0, at - 40) : at])
    return found is not None and found[1].lower() in NAME_KEYS


def _spoken(text: str, name: Name) -> Span | None:
    """Return the span of a value after a blank: of a flag, in SQL, or in a sentence."""
    if text[max(0, name.start - 1) : name.start] == "-":
        found = _FLAG_VALUE.match(text, name.end)
        if found is None:
            return None
        if _DELIMITER.match(text, found.end()):
            return _quoted(text, name, found.end(), WORD)
        word = _LINE_WORD.match(text, found.end())
        return _judged(text, name, found.end(), word.end(), SECRET_LIKE if name.verdict != SECRET else WORD) if word else None
    if name.verdict != SECRET:
        return None
    if text.startswith("\t", name.end):
        word = _WORD.match(text, name.end + 1)
        return _judged(text, name, name.end + 1, word.end(), SECRET_LIKE) if word else None
    if (found := _QUOTED_NEXT.match(text, name.end)) is not None:
        return _quoted(text, name, found.end(), WORD if name.text.isupper() or found[0].strip() else SECRET_LIKE)
    if (found := _SAYS.match(text, name.end)) is not None:
        if _DELIMITER.match(text, found.end()):
            return _quoted(text, name, found.end(), SECRET_LIKE)
        word = _WORD.match(text, found.end())
        return _judged(text, name, found.end(), _without_closers(text, found.end(), word.end()), SECRET_LIKE) if word else None
    return None


# --- all of it --------------------------------------------------------------------------------------------------------


RUN: Final = re.compile(r"[\w$.-]{2,}")
"""What a name can be: whole, with what stands before and behind it."""
_ASCII_RUN: Final = re.compile(r"[A-Za-z0-9_$.-]{2,}")  # twice as fast


def find(text: str, classes: KeyClasses) -> list[Span]:
    """Return where secrets stand in a text: spans in order, which neither touch nor overlap.

    Most texts have none, and are done once their words are known: ``classes`` keeps those that are neither secret names nor long.

    Args:
        text: Any text.
        classes: What judges names, under the policy that counts.
    """
    spans: list[Span] = [*in_urls(text)] if "://" in text else []
    unknown = set((_ASCII_RUN if text.isascii() else RUN).findall(text)) - classes.plain
    return _merged([*spans, *_in_words(text, classes, unknown)]) if spans or unknown else spans


def _in_words(text: str, classes: KeyClasses, unknown: set[str]) -> Iterator[Span]:
    """Yield secrets in a text some of whose words are long, or names of secrets, or say that one follows."""
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
    if "key=" in folded:
        yield from key_parameters(text)
    if " -" in folded or "identified" in folded:
        yield from commands(text, folded)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
