"""Values: whether a text looks like a secret, an ordinary word, or neither.

The look of a text decides whether it is redacted if its name alone is not certain enough, and whether the flow remembers it as
a taint. Every function takes time linear in the text.
"""

from __future__ import annotations

import re
from typing import Final

from .words import FILLERS, FUNCTION_WORDS, ORDINARY

ORDINARY_TEXT, WORD, SECRET_LIKE = 0, 1, 2
"""What a text looks like: not a secret; a word that may be one; a secret."""

_LONGEST: Final = 256  # characters of a text that can be ordinary; a longer one under a secret name is a secret
_PLACEHOLDER = re.compile(
    r"\[REDACTED|\[FILTERED|\[REMOVED|\[MASKED|\[HIDDEN|\[(?:object|Object|Function|circular|depth|Circular)"
    r"|\$\{|\$\(|\$[A-Za-z_]+\Z|\{\{|\{%|\{[\w.]*\}\Z|<[A-Za-z][\w .:-]*>\Z|%\(?[\w.]*\)?[sdr]?%?\Z|%[A-Z_]+%\Z|#\{"
    r"|(?:your|insert|enter|replace)[-_ .](?:[a-z]+[-_ .]){0,7}[a-z]+\Z",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/]|~[/\\]|\.{1,2}[/\\]|file:|\$HOME|%[A-Za-z]+%\\")
_URL = re.compile(
    r"#[0-9A-Fa-f]{3,8}\Z|(?:[a-z][a-z0-9-]*\.){2,5}[a-z]{2,20}/|[A-Za-z][A-Za-z0-9+.-]{1,20}://|www\.|mailto:|urn:|arn:"
)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.Z+-]*)?\Z|\d{1,2}:\d\d(?::\d\d)?\Z|\d+(?:\.\d+){1,3}\Z"
    r"|\d+(?:ms|s|m|h|d|px|em|%|k|kb|mb|gb)\Z",
    re.I,
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\Z")
_HOST = re.compile(r"(?:[a-z][a-z0-9-]*\.){1,5}[a-z]{2,12}(?::\d{1,5})?\Z")
_CODE = re.compile(
    r"[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+\Z|[A-Za-z_$][\w$.]*[({]|[A-Za-z_][\w.]*\[(?:['\"\w]|\Z)"
    r"|&?[A-Za-z_][\w.]*[!?]?\(\)|(?:new|await|self|this|cls|lambda|func|function|def) "
)
_REFERENCE = re.compile(r"0x[0-9A-Fa-f]{1,16}\Z|(?:[a-z_]\w*\.)+\w+@[0-9a-f]{4,16}\Z|<[\w.]+ (?:object )?at 0x")
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SIGNATURE = re.compile(r"[A-Za-z_][\w.]*\([A-Za-z_]\w*[:,]\Z")
_SYMBOLS = re.compile(r"[!@#$%^&*?~+=|]")


def look_of(text: str, *, is_bare: bool = False) -> int:
    """Return what a text looks like: ``ORDINARY_TEXT``, ``WORD`` or ``SECRET_LIKE``.

    Args:
        text: The value of a secret name.
        is_bare: Whether it is without quotes in a longer text, where it may be code.
    """
    if len(text) > _LONGEST:
        return SECRET_LIKE
    text = text.strip()
    if text.isdigit():
        return SECRET_LIKE if len(text) >= 5 else WORD
    if len(text) < 3 or text.lower() in ORDINARY or _PLACEHOLDER.match(text) or len(set(text)) < 3:
        return ORDINARY_TEXT
    if "://" in text and "@" in text:
        return SECRET_LIKE  # it may have a password in it
    if _DATE.match(text) or _EMAIL.match(text) or _URL.match(text) or _REFERENCE.match(text):
        return ORDINARY_TEXT
    if " " in text or "\n" in text or "\t" in text:
        return _look_of_words(text.split(), len(text))
    if _PATH.match(text):
        return max(map(_look_of_segment, re.split(r"[\\/]", text)), default=ORDINARY_TEXT)
    return ORDINARY_TEXT if is_bare and _is_code(text) else _look_of_word(text)


def _is_code(text: str) -> bool:
    """Tell whether a word is an expression: a call, a subscript, an attribute."""
    code = _CODE.match(text)
    if code is None or (len(text) >= 16 and sum(map(str.isdigit, text)) >= 3 and not code[0].endswith(("(", "["))):
        return False
    called = code[0].rstrip("({['\"")
    return called == text or not _has_digit(called) or "." in called or _look_of_word(called) != SECRET_LIKE


def _look_of_segment(segment: str) -> int:
    # A base64 text may begin like a path.
    return SECRET_LIKE if is_random(segment) else ORDINARY_TEXT


def _look_of_words(words: list[str], length: int) -> int:
    looks = [look_of(word) for word in words]
    bare = [word.strip(".,:;!?'\"()").lower() for word in words]
    if "->" in words or _SIGNATURE.match(words[0]):
        return ORDINARY_TEXT
    if length >= 8 and any(_has_digit(word) and not word.isdigit() and word not in ORDINARY for word in bare):
        return SECRET_LIKE
    if len(words) >= 3 and not FUNCTION_WORDS.isdisjoint(bare):
        return WORD if SECRET_LIKE in looks else ORDINARY_TEXT
    if SECRET_LIKE in looks:
        return SECRET_LIKE
    if words[0][:1].isupper() and not any(map(_has_digit, words)):
        return ORDINARY_TEXT if WORD not in looks else WORD
    unknown = sum(word not in ORDINARY for word in bare)
    return SECRET_LIKE if unknown and length >= 10 else WORD if unknown else ORDINARY_TEXT


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _look_of_word(text: str) -> int:
    parts = _PARTS.findall(text)
    letters = [part for part in parts if not part.isdigit()]
    has_digits = len(letters) < len(parts)
    if _HOST.match(text) and not has_digits:
        return ORDINARY_TEXT
    unknown = [part for part in letters if part.lower() not in ORDINARY and not _is_camel(part)]
    if has_digits and letters:
        if len(parts) == 2 and not unknown and len(parts[-1]) <= 3:
            return ORDINARY_TEXT  # page2, step-10
        return SECRET_LIKE if len(text) >= 6 and (unknown or len(text) >= 8) else WORD
    if has_digits:
        return SECRET_LIKE if len(text) >= 8 else WORD
    if not letters:
        return SECRET_LIKE if len(text) >= 8 else ORDINARY_TEXT
    if len(text) >= 6 and _SYMBOLS.search(text.rstrip("!?=")) and unknown:
        return SECRET_LIKE
    if not unknown:
        return WORD if len(letters) > 1 or letters[0].lower() not in ORDINARY else ORDINARY_TEXT
    if len(letters) >= 3 and not FILLERS.isdisjoint(map(str.lower, letters)):
        return WORD
    return SECRET_LIKE if len(text) >= 10 else WORD


def _is_camel(part: str) -> bool:
    """Tell whether a part consists of ordinary words: ``clientCredentials``."""
    humps = _CAMEL.findall(part)
    return len(humps) > 1 and "".join(humps) == part and all(hump.lower() in ORDINARY for hump in humps)


def is_random(text: str) -> bool:
    """Tell whether a text looks generated: a mixture of characters that is not written by hand."""
    if not len(text) >= 16 or " " in text or not any(map(str.isalpha, text)):
        return False
    pieces = re.split("[-_.:/@~+=]", text)
    if sum(map(str.isdigit, text)) >= 3 and len(text) > 3 * len(pieces):
        return look_of(text) == SECRET_LIKE
    changes = sum(left.isupper() != right.isupper() for left, right in zip(text, text[1:], strict=False))
    return changes >= 6 and len(text) < 3 * changes and look_of(text) == SECRET_LIKE


def is_mixed(text: str) -> bool:
    """Tell whether a word in a sentence can only be a secret: letters and digits together, and not a name with a number."""
    text = text.rstrip(".,:;!?)")
    digits = sum(map(str.isdigit, text))
    is_long = len(text) >= 8 and digits >= 2 and digits < len(text) and not text.isupper()
    return (is_long and look_of(text, is_bare=True) == SECRET_LIKE) or is_random(text) or _is_jumbled(text)


def _is_jumbled(text: str) -> bool:
    """Tell whether a short word changes its case as no name does: ``RfteetLOYE58``."""
    humps = _CAMEL.findall(text)
    is_plain = text.isalnum() and 8 <= len(text) <= 64 and _has_digit(text) and text.lower() != text != text.upper()
    return is_plain and (len(humps) >= 3 or any(hump.isupper() and len(hump) > 2 for hump in humps))


def is_identifier(text: str) -> bool:
    """Tell whether a text consists only of ordinary words, like names in code: ``self.password``, ``authToken``."""
    return all(part.lower() in ORDINARY or _is_camel(part) for part in _PARTS.findall(text))


def is_key_like(text: str) -> bool:
    """Tell whether a part of a text is long and has digits, like a generated key, or the text is random."""
    return any(len(part) >= 8 and _has_digit(part) for part in re.split("[-_.]", text)) or is_random(text)


def is_blank(text: str) -> bool:
    """Tell whether a text is a placeholder for a key in an example: ``xxxxxxxx``, ``XXXX-XXXX``."""
    return len(set(text.lower()) - set("-_.=")) <= 1
