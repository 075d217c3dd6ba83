"""Taints: the secrets of one flow, in every spelling, which must not reappear in it.

A flow remembers values directly under secret keys that look like secrets, the values that ``obs.taint`` names, and parts of both
that can appear alone (the password of a connection string, the text after a scheme). Ordinary words, paths, schemas and
placeholders are never remembered: they would blank the same words in the rest of the run.

Taints live as long as the flow. If there is no more room, secrets under a bare ``token`` are forgotten first, then the oldest;
each forgotten secret is counted in ``lost``.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

from .keys import KEY_CLASSES, describes
from .policies import Policy, process_policy
from .texts import find
from .values import SECRET_LIKE, is_random, look_of
from .words import COMPOUNDS, FILLERS, FUNCTION_WORDS

MAX_STRING: Final = 8_192  # characters of one string
MAX_SECRETS: Final = 4_096  # remembered per flow
MAX_CHARS: Final = 262_144  # characters of all their spellings
SHORTEST: Final = 4  # characters of a taint: fewer would erase half of every text
SHORTEST_NUMBER: Final = 10_000  # smaller numbers are never redacted
_MANY: Final = 256  # above this many spellings, candidates are preselected
_FEW_SPELLINGS: Final = 1_024  # a secret with more characters is remembered in fewer spellings

_MAX_PASSED: Final = 256  # remembered texts that are not secrets, each with
_MAX_ORDINARY: Final = 256  # at most this many characters, as the secrets whose spellings are remembered
_NONE_PASSED: Final[frozenset[str | bytes | int]] = frozenset()
_NO_NUMBERS: Final[frozenset[int]] = frozenset()
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LARGEST_NUMBER: Final = 10**40

Entry: TypeAlias = "tuple[str, tuple[str, ...]]"
"""A part of a secret, and its spellings."""

# The keys of a connection string that are not secret.
_PLACES: Final = frozenset(
    "server database data source initial catalog db dbname sslmode encrypt application name address protocol driver uid "
    "accountname endpointsuffix defaultendpointsprotocol theme lang locale".split()
) | {"data source", "initial catalog", "user id"}

_learning = threading.RLock()


def renew_lock() -> None:
    """Replace the lock with a free one: other threads are gone, in a forked child and when the interpreter exits."""
    global _learning
    _learning = threading.RLock()


class Taints(set[str]):
    """The spellings of a flow's secrets.

    Attributes:
        policy: The flow's own redaction policy, or None.
        version: Grows with every change, which invalidates cached verdicts on texts.
        lost: How many secrets are not remembered, because there is no room or they are too short.
        numbers: Secrets that are whole numbers.
        chars: Characters of all spellings.
    """

    __slots__ = ("_by_head", "_needles", "_passed", "_secrets", "_uses", "chars", "lost", "numbers", "policy", "version")

    def __init__(self, spellings: Iterable[str] = (), policy: Policy | None = None) -> None:
        # No super().__init__(), which would only empty the new set: each flow makes one of these.
        self.policy = policy
        self.version = self.lost = self.chars = 0
        self.numbers = _NO_NUMBERS
        self._secrets: dict[str, tuple[bool, tuple[str, ...]]] = {}
        self._uses: Counter[str] | None = None  # by spelling, how many secrets have it; from the first that is forgotten
        self._needles: tuple[str, ...] | None = ()
        self._passed: frozenset[str | bytes | int] = _NONE_PASSED  # checked, and not secrets
        self._by_head: dict[str, list[str]] | None = None
        if spellings:
            self.absorb(spellings)

    def learn(self, secret: str | bytes | int, *, is_token: bool = False, is_certain: bool = False) -> list[Entry]:
        """Remember a secret if it looks like one, and return its remembered parts with their spellings.

        Args:
            secret: A value under a secret key, or one that the program named.
            is_token: Whether it was under a bare ``token``, which also holds pieces of texts: words are not remembered.
            is_certain: Whether the program says that it is a secret, regardless of its look.
        """
        if secret in self._passed and not is_certain:
            return []
        if isinstance(secret, int):
            number = str(abs(secret))
            entries: Iterable[Entry] = ((number, (number,)),) if SHORTEST_NUMBER <= abs(secret) < _LARGEST_NUMBER else ()
        elif isinstance(secret, bytes) and not _is_utf8(secret):
            entries = ((secret[:MAX_STRING].decode("latin-1"), _long_enough(_spellings_of_bytes(secret[:MAX_STRING]))),)
        else:
            text = secret.decode("utf-8") if isinstance(secret, bytes) else secret
            entries_of = _remembered_entries if len(text) <= _MAX_ORDINARY else _entries
            entries = entries_of(text, is_token, is_certain, process_policy())
        learned = [entry for part, spelled in entries if (entry := self._remember(part, spelled, is_token)) is not None]
        if is_certain and not learned and secret:
            self.lost += 1
        elif not learned and len(self._passed) < _MAX_PASSED and len(str(secret)) <= _MAX_ORDINARY:
            self._passed |= {secret}
        return learned

    def absorb(self, spellings: Iterable[str]) -> None:
        """Remember the taints that another process has of the same flow."""
        for spelling in spellings:
            self._remember(spelling, (spelling,), False)

    def _remember(self, secret: str, spelled: tuple[str, ...], is_token: bool) -> Entry | None:
        """Remember a secret in its spellings; return None if it is too short, part of a placeholder, or has no room."""
        if len(secret) < SHORTEST or secret in "[REDACTED]":
            return None
        with _learning:
            known = self._secrets.get(secret)
            if known is not None:
                if known[0] and not is_token:  # it stays as long as one that is learned now
                    del self._secrets[secret]
                    self._secrets[secret] = False, known[1]
                return secret, known[1]
            size = sum(map(len, spelled))
            is_full = len(self._secrets) >= MAX_SECRETS or self.chars + size > MAX_CHARS
            if is_full and not self._make_room(size, is_token):
                self.lost += 1
                return None
            self._secrets[secret] = is_token, spelled
            self.chars += size
            self.update(spelled)
            if self._uses is not None:
                self._uses.update(spelled)
            self._changed(secret)
            return secret, spelled

    def _make_room(self, size: int, is_token: bool) -> bool:
        """Forget the oldest secrets, those under a bare ``token`` first, until there is room; return False if there is none."""
        while len(self._secrets) >= MAX_SECRETS or self.chars + size > MAX_CHARS:
            oldest = next((secret for secret, (token, _) in self._secrets.items() if token), None)
            if oldest is None and not is_token:
                oldest = next(iter(self._secrets), None)
            if oldest is None:
                return False
            self._forget(oldest)
        return True

    def _forget(self, secret: str) -> None:
        uses = self._uses
        if uses is None:
            uses = self._uses = Counter(text for _, spelled in self._secrets.values() for text in spelled)
        _, spelled = self._secrets.pop(secret)
        for text in spelled:
            uses[text] -= 1
            if uses[text] <= 0:  # no other secret is spelled so
                del uses[text]
                self.discard(text)
        self.chars -= sum(map(len, spelled))
        self.lost += 1
        self._changed(secret)

    def _changed(self, secret: str) -> None:
        self.version += 1
        self._needles = self._by_head = None
        if secret.isdecimal() and secret.isascii() and len(secret) <= 40:
            number = frozenset({int(secret)})
            self.numbers = self.numbers | number if secret in self._secrets else self.numbers - number

    def in_text(self, text: str) -> list[str]:
        """Return the spellings that a text contains, longest first, because one may be part of another."""
        needles = self._needles
        if needles is None:
            needles = self._needles = tuple(sorted(self.copied(), key=_longest_first))
        if len(needles) > _MANY and len(text) < 40 * len(needles):
            return self._picked(text, needles)
        return [needle for needle in needles if needle in text]

    def _picked(self, text: str, needles: tuple[str, ...]) -> list[str]:
        """Return the same if there are many spellings: only those whose first characters are in the text are searched."""
        by_head = self._by_head
        if by_head is None:
            by_head = {}
            for needle in needles:
                by_head.setdefault(needle[:SHORTEST], []).append(needle)
            self._by_head = by_head
        heads = {text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)} & by_head.keys()
        return sorted((needle for head in heads for needle in by_head[head] if needle in text), key=_longest_first)

    def copied(self) -> frozenset[str]:
        """Return a copy of the spellings; other threads may be learning."""
        with _learning:
            return frozenset(self)


def _entries(text: str, is_token: bool, is_certain: bool, policy: Policy) -> tuple[Entry, ...]:
    """Return the parts of a text that are remembered as secrets, with their spellings; ``policy`` is that of the process."""
    parts = (part for part in _parts(text, is_certain) if is_certain or _is_worth(part, is_token))
    return tuple((part, _long_enough(_spellings(part))) for part in parts)


# The same key goes with every call of each flow, and working out its spellings takes ten times as long as a flow.
_remembered_entries: Final = lru_cache(maxsize=256)(_entries)


def _long_enough(spellings: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in spellings if len(text) >= SHORTEST))


def _longest_first(text: str) -> tuple[int, str]:
    return -len(text), text


def _is_utf8(secret: bytes) -> bool:
    try:
        secret.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_worth(part: str, is_token: bool) -> bool:
    if is_token and part.strip().isalpha():
        return is_random(part.strip())
    if part.isdigit():
        return not is_token or len(part) > 5
    return look_of(part) == SECRET_LIKE or _is_phrase(part)


def _is_phrase(text: str) -> bool:
    """Tell whether ordinary words form a passphrase: at least four with blanks, or several with hyphens."""
    words = text.lower().split()
    if len(words) > 1:
        return 4 <= len(words) <= 12 and FUNCTION_WORDS.isdisjoint(words) and all(map(str.isalpha, words))
    parts = re.split("[-_]", text.strip().lower())
    is_name = "-".join(parts) in COMPOUNDS or not FUNCTION_WORDS.isdisjoint(parts) or not FILLERS.isdisjoint(parts)
    return len(text) >= 10 and len(parts) > 1 and all(map(str.isalpha, parts)) and not is_name


# --- parts ------------------------------------------------------------------------------------------------------------


def _parts(raw: str, is_certain: bool) -> Iterator[str]:
    """Yield a secret and its parts that can appear alone."""
    # No text shows more of a secret than a snapshot reads: two pieces, each as long as a whole text may be.
    first = raw[:MAX_STRING]
    if "://" not in first or is_certain:
        yield first
    if first.strip() != first:
        yield first.strip()
    if len(raw) > MAX_STRING:
        yield raw[MAX_STRING : 2 * MAX_STRING]
    if first.isalnum() or is_certain:
        return
    if first[:6].lower() == "basic ":
        yield _decoded(first[6:].strip())
    for start, end in find(first, KEY_CLASSES):
        yield first[start:end]
    yield from _inside(first.strip())


def _inside(text: str) -> Iterator[str]:
    if text[:1] in "{[":
        yield from _in_json(text)
    words = text.split()
    if 1 < len(words) <= 8:
        yield from (word for word in words if look_of(word) == SECRET_LIKE)
    if len(words) == 1 and "://" not in text:
        _, colon, rest = text.partition(":")
        if colon:
            yield rest  # user:password
    for name, value in re.findall(r"([\w. -]{0,40})=\"?([^;&\s\"]{4,})", text):
        if not describes(name) and name.strip().lower() not in _PLACES:
            yield value


def _decoded(credentials: str) -> str:
    """Return the password of Basic credentials (RFC 7617), or an empty text."""
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return ""


def _in_json(text: str) -> Iterator[str]:
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


# --- spellings --------------------------------------------------------------------------------------------------------


def _spellings(text: str) -> Iterable[str]:
    """Return a text as it is, and as ``repr``, JSON, URLs and HTML write it if that differs."""
    if text.isalnum() and text.isascii():
        return (text,)
    exact = text if text.isascii() else _SURROGATE.sub("\ufffd", text)
    dumped = [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    if len(text) > _FEW_SPELLINGS:
        return (text, exact, repr(text)[1:-1], *dumped)
    percent = [
        quote(exact),
        quote(exact, safe=""),
        quote_plus(exact),
        quote(exact, safe="!'()*"),
        quote(exact, safe="/:@!$&'()*+,;="),
    ]
    percent += [re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted) for quoted in percent]
    double = text.replace("\\", "\\\\").replace('"', '\\"')
    # If a text has both kinds of quotes, repr escapes the single ones.
    single = repr(text + "'\"")[1:-4]
    spelled = [text, exact, double, repr(text)[1:-1], single, ascii(text)[1:-1], repr(text.encode("utf-8", "replace"))[2:-1]]
    # A text of JSON inside a repr, or inside JSON.
    spelled += [again for form in dumped for again in (form, repr(form)[1:-1], json.dumps(form)[1:-1])]
    escaped = html.escape(exact)
    spelled += [html.escape(exact, quote=False), escaped, escaped.replace("&#x27;", "&#39;"), escaped.replace("&#x27;", "&apos;")]
    return spelled + percent


def _spellings_of_bytes(secret: bytes) -> Iterable[str]:
    """Return bytes that are not text, as base64, hex, ``repr`` and decoded characters."""
    plain, safe = base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()
    forms = [
        plain,
        plain.rstrip("="),
        safe,
        safe.rstrip("="),
        secret.hex(),
        secret.hex().upper(),
        secret.hex(":"),
        secret.hex(" "),
    ]
    texts = [secret.decode("latin-1"), secret.decode("utf-8", "replace"), secret.decode("utf-8", "backslashreplace")]
    percent = quote(secret, safe="")
    return [*forms, repr(secret)[2:-1], *texts, percent, percent.lower(), json.dumps(texts[0])[1:-1], repr(texts[0])[1:-1]]
