"""Secret keys: whether a key, or a name in a text, makes the value beside it a secret."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from .policies import BUILT_IN, Policy, effective, fold, followers, process_policy
from .values import SECRET_LIKE, is_random, look_of
from .words import (
    FILE_ENDINGS,
    FUSED_ENDINGS,
    FUSED_OWNERS,
    KEY_OWNERS,
    LATER_WORDS,
    SAFE_AFTER,
    SAFE_BEFORE,
    SAFE_WORDS,
    SECRET_PHRASES,
    SECRET_WORDS,
    STEMS,
    STILL_SECRET_AFTER,
    TELLING,
    TOKEN_BEFORE,
    TOKEN_NEIGHBOURS,
    TOKEN_OWNERS,
    TOKEN_WORDS,
    UNSAFE_AFTER,
    VALUE_KEYS,
    WEAK_KEY_OWNERS,
    WEAK_WORDS,
)

MAX_KEY: Final = 256  # characters of a key
_MAX_COUNTS: Final = 200  # items that are checked to tell whether all are counts
MAX_COUNT: Final = 99_999  # a larger number under a bare "token" is not a count
_LARGEST: Final = 10**40  # larger numbers are not secrets

# TOKEN: a secret unless its value is a count or a piece of a text; WEAK: a secret if its value looks like one; ODD: not a key
# that JSON can have as it is; VALUE: the name beside it decides; KEY: a word in a text, where the words before it decide.
PLAIN, SECRET, TOKEN, WEAK, ODD, VALUE, KEY = 0, 1, 2, 3, 4, 5, 6

MAX_NAME: Final = 96  # characters of a name in a text that are classified: its end, next to the value
_MAX_WORDS: Final = 32_768  # plain words of texts, and parts of texts,
_MAX_PART: Final = 64  # each with at most this many characters
_SHORT: Final = 14  # a word with at least this many characters may be a secret itself
_STEM: Final = re.compile("|".join(map(re.escape, STEMS)))
_WORDS = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|[0-9]+")


def classify(key: str, policy: Policy = BUILT_IN, extra: frozenset[str] = frozenset()) -> int:
    """Return the verdict on a key: ``PLAIN``, ``SECRET``, ``TOKEN``, ``WEAK`` or ``VALUE``.

    Case and spelling do not matter: ``api_key``, ``apiKey``, ``X-API-Key``, ``APIKEY`` and ``openaiapikey`` are the same.
    ``extra`` holds further keys as ``fold`` writes them. Those and the policy's keys take precedence over its safe keys, and
    these over the built-in rules.
    """
    if extra or policy is not BUILT_IN:
        folded = fold(key)
        if folded in extra or folded in policy.keys:
            return SECRET
        if folded in policy.safe_keys:
            return PLAIN
    words = [word.lower() for word in _WORDS.findall(key[-MAX_KEY:])]
    if not words or len(words) > 24 or key.rpartition(".")[2].lower() in FILE_ENDINGS:
        return PLAIN
    if (words[0] if len(words) == 1 else fold(key)) in VALUE_KEYS:
        return VALUE
    if words == ["auth"]:
        return SECRET
    if len(words) > 1 and any(phrase in " ".join(words) for phrase in SECRET_PHRASES):
        return PLAIN if words[0] in SAFE_BEFORE else SECRET
    verdict, at = _strongest(words)
    if verdict == PLAIN or _is_described(words, at, verdict):
        return PLAIN
    # An unknown word after the secret one may describe it: then the value decides.
    is_last = _is_half_of_a_pair(words) or all(
        word.isdigit() or word in STILL_SECRET_AFTER or word in SECRET_WORDS for word in words[at + 1 :]
    )
    return verdict if is_last or verdict == TOKEN else WEAK


def _strongest(words: list[str]) -> tuple[int, int]:
    """Return the strongest verdict of the words, and the position of its word; the last position of equal verdicts."""
    strongest, position = PLAIN, 0
    for at, word in enumerate(words):
        verdict = _verdict(words, at, word)
        if verdict and (strongest in (PLAIN, WEAK) or verdict == SECRET or (verdict == TOKEN and strongest != SECRET)):
            strongest, position = verdict, at
    return strongest, position


def _verdict(words: list[str], at: int, word: str) -> int:
    before = words[at - 1] if at else ""
    if word in ("key", "keys"):
        if before in KEY_OWNERS and not (at > 1 and words[at - 2] == "public"):
            return WEAK if before in WEAK_KEY_OWNERS else SECRET
        return PLAIN
    if word in TOKEN_WORDS:
        return _token(words, at, word)
    if word in SECRET_WORDS:
        return SECRET
    if word in WEAK_WORDS and words[at + 1 :] == ["id"]:
        return WEAK if word == "session" else PLAIN
    if word in WEAK_WORDS:
        return WEAK if all(after.isdigit() or after in STILL_SECRET_AFTER for after in words[at + 1 :]) else PLAIN
    return _fused(word)


def _token(words: list[str], at: int, word: str) -> int:
    before = words[at - 1] if at else ""
    if before in TOKEN_BEFORE:
        return PLAIN
    if word == "tokens":
        return TOKEN if before in TOKEN_OWNERS and before != "user" else PLAIN
    return SECRET if before in TOKEN_OWNERS else TOKEN


@lru_cache(maxsize=1024)
def _fused(word: str) -> int:
    """Return the verdict on a compound written without separators."""
    if word in SAFE_WORDS or len(word) < 5:
        return PLAIN
    stem = word.rstrip("0123456789")
    for ending in FUSED_ENDINGS:
        if stem.endswith(ending):
            return SECRET
    for ending, verdict in (
        ("tokens", TOKEN),
        ("token", SECRET),
        ("keys", SECRET),
        ("key", SECRET),
        ("pass", SECRET),
        ("pwd", SECRET),
        ("pw", SECRET),
    ):
        if stem.endswith(ending):
            owner = stem[: -len(ending)]
            known = owner in KEY_OWNERS if ending.startswith("key") else owner in FUSED_OWNERS
            if known:
                return WEAK if ending.startswith("key") and owner in WEAK_KEY_OWNERS else verdict
            return TOKEN if ending == "token" and owner not in TOKEN_BEFORE else PLAIN
    for beginning in ("password", "passwd", "apikey", "passphrase"):
        if stem.startswith(beginning):
            rest = stem[len(beginning) :]
            return PLAIN if rest in SAFE_AFTER or rest in ("s", "less", "ed") else SECRET
    return PLAIN


def _is_half_of_a_pair(words: list[str]) -> bool:
    return " ".join(words).endswith(UNSAFE_AFTER)


def _is_described(words: list[str], at: int, verdict: int) -> bool:
    """Tell whether the words around the secret word say that the value only describes the secret."""
    after = words[at + 1 :]
    if after and _is_half_of_a_pair(words):
        return False
    if after and after[-1] in SAFE_AFTER and not (words[at] in ("cookie", "cookies") and after[-1] == "header"):
        return True
    if len(after) > 1 and after[0] in SAFE_AFTER and after[0] != "id":
        return True
    if words[0] in SAFE_BEFORE:
        return True
    return verdict == TOKEN and not _TOKEN_COUNT.isdisjoint(words[:at])


_TOKEN_COUNT: Final = frozenset("max min num total count n avg mean".split())


def reveals(verdict: int, value: Any, key: str = "", siblings: Iterable[Any] = ()) -> bool:
    """Tell whether a value is a secret, given a verdict other than ``PLAIN`` on its key.

    Args:
        verdict: The verdict of ``classify`` on the key.
        value: The value under the key.
        key: The key, if it is known.
        siblings: The keys beside it.
    """
    kind = type(value)
    if value is None or kind is bool:
        return False
    if verdict == SECRET:
        if kind is str:
            return not is_path(key, value)
        return not only_describes(value)
    if verdict == TOKEN:
        if kind is str and len(value) < 24 and not TOKEN_NEIGHBOURS.isdisjoint(siblings) and not is_random(value):
            return False
        return not counts(value)
    if kind is int:
        return abs(value) < _LARGEST and len(str(abs(value))) >= _least_digits(key)
    if kind is bytes:
        return len(value) >= 8
    if kind is list or kind is tuple:
        return any(type(item) is str and looks_secret(item, key) for item in islice(value, _MAX_COUNTS))
    return issubclass(kind, str) and looks_secret(str.__str__(value), key)


def looks_secret(value: str, key: str) -> bool:
    """Tell whether a text under a weak key, such as ``session`` or ``auth``, is a secret."""
    if len(value) > MAX_KEY:
        return True
    value = value.strip()
    if value.isdigit():
        return len(value) >= _least_digits(key)
    return look_of(value) == SECRET_LIKE


@lru_cache(maxsize=512)
def _least_digits(key: str) -> int:
    words = [word.lower() for word in _WORDS.findall(key[-MAX_KEY:])]
    if not _SHORT_CODES.isdisjoint(words):
        return 4
    return max((WEAK_WORDS[word] for word in words if word in WEAK_WORDS), default=12)


_SHORT_CODES: Final = frozenset("pin otp totp mfa passcode".split())


class KeyClasses:
    """``classify`` with a bounded cache.

    Attributes:
        extra: Further secret keys, as ``fold`` writes them.
        own: The policy of one flow, or None for only the process's.
        known: Verdicts by key: a plain dict, where a lookup takes half the time of one here.
        plain: Words of texts that are short and not secret names.
        plain_parts: Parts of texts, as ``str.split`` returns them, in which every word is plain.
    """

    __slots__ = ("__weakref__", "extra", "known", "own", "plain", "plain_parts")

    def __init__(self, extra: frozenset[str] = frozenset(), own: Policy | None = None) -> None:
        self.extra, self.own = extra, own
        self.known: dict[str, int] = {}
        self.plain: set[str] = set()
        self.plain_parts: set[str] = set()

    def __getitem__(self, key: Any) -> int:
        if type(key) is not str or len(key) > MAX_KEY:
            return ODD
        verdict = self.known.get(key)
        return self.classify(key) if verdict is None else verdict

    def classify(self, key: str) -> int:
        """Return the verdict on a key that is not cached yet, and cache it."""
        if len(self.known) >= 4096:
            self.known.clear()
        process = process_policy()
        verdict = classify(key, effective(self.own), self.extra)
        if process is process_policy():  # another one may have become active in the meantime
            self.known[key] = verdict
        return verdict

    def verdicts(self, words: Iterable[str]) -> tuple[dict[str, int], int]:
        """Return the words of a text that are secret names, with their verdicts, and the length of the longest word."""
        names: dict[str, int] = {}
        longest = 0
        policy = effective(self.own)
        for word in words:
            longest = max(longest, len(word))
            name = word.strip("-.")[-MAX_NAME:]
            verdict = PLAIN if policy is BUILT_IN and not self.extra and not _STEM.search(name.lower()) else self[name]
            if verdict in (SECRET, TOKEN, WEAK):
                names[word] = verdict
            elif name.lower() in LATER_WORDS:
                names[word] = KEY
            elif len(word) < _SHORT and not word.lower().startswith(TELLING):
                self._note(word, policy)
        return names, longest

    def _note(self, word: str, policy: Policy) -> None:
        if len(self.plain) >= _MAX_WORDS:
            self.plain.clear()
        if policy is effective(self.own):
            self.plain.add(word)

    def note_parts(self, parts: Iterable[str], policy: Policy) -> None:
        """Cache parts of a text in which every word is plain under a policy."""
        if len(self.plain_parts) >= _MAX_WORDS:
            self.plain_parts.clear()
        if policy is effective(self.own):  # another one may have become active in the meantime
            self.plain_parts.update(part for part in parts if len(part) <= _MAX_PART)

    def under(self, own: Policy | None) -> KeyClasses:
        """Return the classifier of the same keys for a flow with a policy of its own."""
        return self if own is None else _classes(self.extra, own)

    def under_policy(self, policy: Policy) -> KeyClasses:
        """Return the classifier of the same keys under a policy that already combines the process's and a flow's own."""
        return self if policy is process_policy() else _classes(self.extra, policy)


KEY_CLASSES: Final = KeyClasses()


@lru_cache(maxsize=256)
def _classes(extra: frozenset[str], own: Policy | None) -> KeyClasses:
    classes = KEY_CLASSES if not extra and own is None else KeyClasses(extra, own)
    _all_classes.add(classes)
    return classes


_all_classes: Final[weakref.WeakSet[KeyClasses]] = weakref.WeakSet([KEY_CLASSES])


def classes_for(keys: Iterable[str] | None) -> KeyClasses:
    """Return the key classifier for which the given keys are secret too; the same object for equal keys."""
    return _classes(frozenset(fold(key) for key in keys or ()), None)


def _follow(policy: Policy) -> None:
    for classes in tuple(_all_classes):
        classes.known.clear()
        classes.plain.clear()
        classes.plain_parts.clear()


followers.append(_follow)


class _Open(KeyClasses):
    """The classifier without secret keys, for what is inside a secret and is secret as a whole."""

    def classify(self, key: str) -> int:
        return PLAIN


OPEN: Final = _Open()


def counts(value: Any) -> bool:
    """Tell whether the value under a key with ``token`` in it is a count, or a mapping of counts, and not a secret."""
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        kind = type(item)
        if issubclass(kind, dict) and dict.__len__(item):
            waiting.extend(islice(dict.values(item), _MAX_COUNTS))
        elif (issubclass(kind, int) and not -MAX_COUNT <= int.__int__(item) <= MAX_COUNT) or not (
            item is None or issubclass(kind, (int, float))
        ):
            return False
        if seen > _MAX_COUNTS:
            return False
    return True


_SCHEMA_KEYS: Final = frozenset("properties $ref anyOf oneOf allOf enum pattern minLength maxLength".split())
_SCHEMA_TYPES: Final = frozenset(
    "string str integer int number float boolean bool array object null any secret password text".split()
)


def only_describes(value: Any) -> bool:
    """Tell whether the value under a secret key only describes the secret: its schema, status or name."""
    if type(value) is list and 0 < len(value) <= 32:
        return all(issubclass(type(item), dict) and only_describes(item) for item in value)
    if not issubclass(type(value), dict) or not 0 < dict.__len__(value) <= 32:
        return False
    return all(type(key) is str and (key in _SCHEMA_KEYS or describes(key)) for key in dict.__iter__(value))


def is_path(key: str, value: str) -> bool:
    """Tell whether the value under a secret key is the path of a file: ``PWD``, ``GOOGLE_APPLICATION_CREDENTIALS``."""
    if len(value) > MAX_KEY or value[:1] not in ("/", "~", "."):
        return False
    is_file = key[-3:].lower() == "pwd" or (value.count("/") >= 2 and "pass" not in key.lower())
    return is_file and " " not in value and look_of(value) != SECRET_LIKE


def is_schema(pairs: Iterable[tuple[Any, Any]]) -> bool:
    """Tell whether the items of a dict describe a field, as in JSON Schema, without a value."""
    return any(
        type(key) is str and (key in _SCHEMA_KEYS or (key == "type" and type(value) is str and value.lower() in _SCHEMA_TYPES))
        for key, value in pairs
    )


@lru_cache(maxsize=1024)
def _describes(key: str) -> bool:
    words = _WORDS.findall(key)
    return bool(words) and words[-1].lower() in SAFE_AFTER and classify(key) == PLAIN


def describes(key: Any) -> bool:
    """Tell whether a key of a dict under a secret key describes the secret, as ``type`` and ``user`` do."""
    return type(key) is str and len(key) <= MAX_KEY and _describes(key)
