"""Secret keys: what a key tells of the value that stands under it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from .redaction import Policy, followers, policy_in_force

MAX_KEY: Final = 256  # characters of a key
_MAX_COUNTS: Final = 200  # items that are looked at to tell whether all are counts

# TOKEN: a secret unless its value counts something; ODD: no key of JSON as it is; VALUE: what a name beside it tells.
PLAIN, SECRET, TOKEN, ODD, VALUE = 0, 1, 2, 3, 4

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS: Final = frozenset(
    "password passwords passwd pwd passphrase secret secrets authorization credential credentials cookie cookies "
    "apikey apikeys accesskey privatekey secretkey authkey jwt bearer htpasswd connectionstring dsn".split()
)
_KEY_OWNERS: Final = frozenset("api access private secret auth signing encryption ssh account master subscription".split())
_TOKEN_COUNTS: Final = frozenset("count counts limit limits budget type types usage details max min total per id ids".split())
_LIST_OF_TOKENS: Final = frozenset("access refresh auth bearer session csrf xsrf api secret".split())


def classify(key: str, extra: frozenset[str] = frozenset()) -> int:
    """Tell what a key says of its value: ``PLAIN``, ``SECRET``, ``TOKEN`` (secret unless it counts something) or ``VALUE``.

    Any case and spelling: ``api_key``, ``apiKey``, ``X-API-Key`` and ``APIKEY`` are one. ``extra`` holds further keys as
    ``fold`` writes them; they, and those of the policy in force, come before its safe keys, and these before the built-in rules.
    """
    policy = policy_in_force()
    if extra or policy.keys or policy.safe_keys:
        folded = fold(key)
        if folded in extra or folded in policy.keys:
            return SECRET
        if folded in policy.safe_keys:
            return PLAIN
    words = [word.lower() for word in _WORDS.findall(key[:256])]
    if not _SECRET_WORDS.isdisjoint(words):
        return SECRET
    for first, second in zip(words, words[1:], strict=False):
        if second in ("key", "keys") and first in _KEY_OWNERS:
            return SECRET
    if "token" in words:
        after = words[words.index("token") + 1 :]
        return PLAIN if after and after[0] in _TOKEN_COUNTS else TOKEN
    if "tokens" in words and not _LIST_OF_TOKENS.isdisjoint(words):
        return TOKEN
    if words == ["auth"]:
        return SECRET
    return VALUE if words in (["value"], ["values"]) else PLAIN


def fold(key: str) -> str:
    """Return a key without case and separators, as extra keys are compared."""
    return re.sub(r"[\W_]", "", key.lower())


class KeyClasses:
    """``classify`` with a memo that cannot grow without bound.

    Attributes:
        extra: Further secret keys, as ``fold`` writes them.
        known: Verdicts by key, a plain dict, which is looked up twice as fast as this.
    """

    __slots__ = ("extra", "known")

    def __init__(self, extra: frozenset[str] = frozenset()) -> None:
        self.extra = extra
        self.known: dict[str, int] = {}

    def __getitem__(self, key: Any) -> int:
        if type(key) is not str or len(key) > MAX_KEY:
            return ODD
        found = self.known.get(key)
        if found is None:
            found = self.classify(key)
        return found

    def classify(self, key: str) -> int:
        """Return the verdict on a key that is not known yet, and remember it."""
        if len(self.known) >= 4096:
            self.known.clear()
        policy = policy_in_force()
        found = classify(key, self.extra)
        if policy is policy_in_force():  # another one may have come into force meanwhile
            self.known[key] = found
        return found


KEY_CLASSES: Final = KeyClasses()
_extra_classes: dict[frozenset[str], KeyClasses] = {frozenset(): KEY_CLASSES}


def classes_for(keys: Iterable[str] | None) -> KeyClasses:
    """Return the key classifier that also takes the given keys for secret; one for equal keys."""
    extra = frozenset(fold(key) for key in keys or ())
    return _extra_classes.setdefault(extra, KeyClasses(extra))


def _follow(policy: Policy) -> None:
    for classes in tuple(_extra_classes.values()):
        classes.known.clear()


followers.append(_follow)


class _Open(KeyClasses):
    """The classifier that takes no key for secret: all of a secret is."""

    def classify(self, key: str) -> int:
        return PLAIN


OPEN: Final = _Open()


def counts(value: Any) -> bool:
    """Tell whether the value under a key with ``token`` in it is a count, or a set of counts, and so no secret."""
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        kind = type(item)
        if issubclass(kind, dict) and dict.__len__(item):
            waiting.extend(islice(dict.values(item), _MAX_COUNTS))
        elif not (item is None or issubclass(kind, (int, float))):
            return False
        if seen > _MAX_COUNTS:
            return False
    return True
