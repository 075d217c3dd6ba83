"""Redaction: which texts hold secrets, and how they are taken out.

A value under a secret key is dropped when it is captured (see ``secret_keys`` and ``snapshots``), and its texts become *taints*
of the flow. ``scrub`` runs when an event is read or written: it takes secrets out of texts by their shape, and the flow's taints
wherever they reappear. What counts as a secret beside the built-in keys and shapes is the ``Policy`` in force.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

from .context import FlowState

PLACEHOLDER: Final = "[REDACTED]"
MAX_STRING: Final = 8_192  # characters of one string
MAX_TAINTS: Final = 1_024  # spellings of secrets remembered of one flow
MAX_INT: Final = 2**63 - 1  # beyond it, integers are written as strings: other runtimes read 64 bits

# --- the policy in force ----------------------------------------------------------------------------------------------


class Policy(NamedTuple):
    """What counts as a secret beside what is built in.

    Attributes:
        keys: Further secret keys, as ``secret_keys.fold`` writes them.
        safe_keys: Keys that the built-in rules take for secret and that are none, as ``secret_keys.fold`` writes them.
        patterns: Further shapes of secrets.
        correlate: Whether equal secrets get equal placeholders, such as ``[REDACTED:1f3a9c0b77de]``.
    """

    keys: frozenset[str] = frozenset()
    safe_keys: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    correlate: bool = False


_piled: Final[list[Policy]] = []
_policy = Policy()
followers: Final[list[Callable[[Policy], None]]] = []
"""Called with each policy that comes into force."""


def put_in_force(policy: Policy) -> Callable[[], None]:
    """Put a policy in force beside those that are, for the whole process, and return its undo."""
    _piled.append(policy)
    _settle()

    def undo() -> None:
        # By identity: an equal policy may be somebody else's.
        _piled[:] = [one for one in _piled if one is not policy]
        _settle()

    return undo


def policy_in_force() -> Policy:
    """Return what all policies in force come to."""
    return _policy


def _settle() -> None:
    global _policy
    _policy = Policy(
        frozenset().union(*(one.keys for one in _piled)),
        frozenset().union(*(one.safe_keys for one in _piled)),
        tuple(dict.fromkeys(pattern for one in _piled for pattern in one.patterns)),
        any(one.correlate for one in _piled),
    )
    _known_by_shape.cache_clear()
    for follow in followers:
        follow(_policy)


_KEY: Final = os.urandom(32)
_origins: Final[dict[str, str]] = {}  # of a spelling's digest, that of the secret as it was


def mask(secret: str) -> str:
    """Return what stands for a secret: ``[REDACTED]``, or, where it was asked for, one that equal secrets share.

    The digest is keyed (BLAKE2b, RFC 7693) with random bytes that never leave the process: nobody can try out guesses on a log.
    """
    if not _policy.correlate:
        return PLACEHOLDER
    digest = _digest(secret)
    return f"[REDACTED:{_origins.get(digest, digest)}]"


_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|digest|apikey)\s+(\S+)\Z")


def _digest(secret: str) -> str:
    scheme = _SCHEME.match(secret)
    core = scheme[1] if scheme else secret
    return blake2b(core.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=6).hexdigest()


# --- taints -----------------------------------------------------------------------------------------------------------

_NO_TAINTS: Final = frozenset("true false none null bearer basic".split())
# What stands inside a connection string or a cookie is a secret by itself.
_INSIDE = re.compile(r"=([^;&\s]{8,})|://[^\s/:@]*:([^\s/]{4,})@")


def learn(flow: FlowState, texts: Iterable[str]) -> None:
    """Remember secret texts as taints of a flow. Those under 4 characters, and words like ``true``, say too little."""
    new: set[str] = set()
    for raw in texts:
        for part in _parts(raw):
            spelled = {text for text in _spellings(part) if len(text) >= 4 and text.lower() not in _NO_TAINTS}
            new |= {text for text in spelled if text not in PLACEHOLDER}
            if _policy.correlate:
                _note_origins(spelled, part)
    if not new <= flow.taints and len(flow.taints) < MAX_TAINTS:
        flow.taints |= new


def _parts(raw: str) -> Iterable[str]:
    if raw.isalnum() and len(raw) <= MAX_STRING:
        return (raw,)
    # No text shows more of a secret than a snapshot looks at: two pieces, each as long as a whole text may be.
    pieces = [raw[at : at + MAX_STRING] for at in (0, MAX_STRING)]
    # "Bearer abc": what follows the scheme reappears without it.
    inside = [text for found in _INSIDE.findall(pieces[0]) for text in found]
    return (*pieces, pieces[0].rpartition(" ")[2], *inside)


def _note_origins(spelled: Iterable[str], secret: str) -> None:
    if len(_origins) >= 4096:
        _origins.clear()
    origin = _digest(secret)
    _origins.update({digest: origin for digest in map(_digest, spelled) if digest != origin})


def _spellings(text: str) -> set[str]:
    """Return a text as it is, and as ``repr``, JSON and URLs write it where that differs."""
    if text.isalnum() and text.isascii():
        return {text}
    exact = "".join(map(_without_surrogate, text))
    quoted = {quote(exact), quote(exact, safe=""), quote_plus(exact)}
    double = text.replace("\\", "\\\\").replace('"', '\\"')
    # Beside both kinds of quotes, repr escapes the single ones.
    single = repr(text + "'\"")[1:-4]
    spelled = {text, exact, double, repr(text)[1:-1], single, ascii(text)[1:-1], repr(text.encode("utf-8", "replace"))[2:-1]}
    for one in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        # A text of JSON inside a repr, or inside JSON.
        spelled |= {one, repr(one)[1:-1], json.dumps(one)[1:-1]}
    return spelled | quoted


def _without_surrogate(char: str) -> str:
    return "\ufffd" if "\ud800" <= char <= "\udfff" else char


def without_taints(text: str, taints: Iterable[str]) -> str:
    """Return a text with the placeholder where a taint stood; the longest first, for one may be part of another.

    Where a text was cut before its flow knew the taint, the half before the cut is taken out too.
    """
    if "…[+" in text:
        text = _without_halves(text, taints)
    found = sorted((taint for taint in taints if taint in text), key=len, reverse=True)
    if not found:
        return text
    # In one pass: a taint may be part of what stands for another.
    return re.sub("|".join(map(re.escape, found)), lambda match: mask(match[0]), text)


def _without_halves(text: str, taints: Iterable[str]) -> str:
    head, mark, tail = text.rpartition("…[+")
    for taint in sorted(taints, key=len, reverse=True):
        for size in range(min(len(taint), len(head) + 1) - 1, 3, -1):
            if head.endswith(taint[:size]):
                return f"{head[:-size]}{mask(taint)}{mark}{tail}"
    return text


# --- secrets by value -------------------------------------------------------------------------------------------------

_VALUE = r"(?!\[REDACTED)[^\s\"'&,;(){}<>\[\]]{3,}"
_NAMES = (
    r"(?:(?:passw(?:or)?d|passphrase|secret|credential)(?:s|\d+|[_-]\w{0,20})?|pwd|(?:api|access|private|secret|auth|account)[_-]?key"
    r"|token|signature|(?<![a-z])sig|(?<=[?&])auth)"
)
_QUOTED = r"(?P<q>\\*[\"'])(?P<s>(?!\[REDACTED)(?:(?!(?P=q))(?:\\.|.)){3,})(?:(?P=q)|\Z)"
_ASSIGNED = rf"(?i){_NAMES}\\*[\"']?\s*[=:]\s*"


class _Pattern:
    """A shape that secrets have: where any of the hints is in a text, the expression is worth running; ``s`` is the secret."""

    __slots__ = ("hints", "regex")

    def __init__(self, hints: str, regex: str) -> None:
        self.hints = tuple(hints.split("|"))
        self.regex = re.compile(regex)


_PATTERNS: Final = [
    # PEM blocks, whole or cut off at the end
    _Pattern("PRIVATE KEY", r"(?s)(?P<s>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"),
    # passwords in URLs: scheme://user:password@host
    _Pattern("://", r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s/:@\"']*:(?P<s>(?!\[REDACTED)[^\s/\"']+)@"),
    # Authorization and Cookie headers (RFC 7235, RFC 6265), and the schemes by themselves (RFC 6750, RFC 7617)
    _Pattern(
        "uthorization|UTHORIZATION",
        r"(?i)\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?"
        r"(?P<s>(?!\[REDACTED)(?:(?:digest|aws4-hmac-sha256|hawk|oauth|signature) [^\r\n]+|(?:[a-z]+ +)?[^\s\"',;]+))",
    ),
    _Pattern("earer |EARER |asic |ASIC ", r"(?i)\b(?:bearer|basic) +(?P<s>[a-z0-9._~+/=-]{8,})"),
    _Pattern(
        "ookie|OOKIE",
        r"(?i)\b(?:set-)?cookie\\*[\"']?\s*:\s*\\*[\"']?(?P<s>(?!\[REDACTED)[^\s\"',;]+(?:; *[^\s\"',;=]+=[^\s\"',;]*)*)",
    ),
    # JSON Web Tokens (RFC 7519): a header that begins {" in base64url
    _Pattern("eyJ", r"\b(?P<s>eyJ[A-Za-z0-9_-]{5,1000}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*)"),
    # key formats that their makers publish for secret scanning
    _Pattern(
        "sk-|k_live_|k_test_|gsk_|AKIA|ASIA|AIza|ya29.|gho_|ghp_|ghs_|ghu_|ghr_|github_pat_|shpat_|glpat-|xox|hf_|npm_|pypi-|SG."
        "|xai-|pplx-|GOCSPX-|whsec_|r8_",
        r"\b(?P<s>sk-[A-Za-z0-9_-]{16,}|[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
        r"|ya29\.[A-Za-z0-9_-]{20,}|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
        r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{20,}|gsk_[A-Za-z0-9]{20,}"
        r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"
        r"|whsec_[A-Za-z0-9+/=]{20,}|r8_[A-Za-z0-9]{20,}|shpat_[A-Za-z0-9]{20,})",
    ),
    # secret query parameters and assignments: "password": "..." with all that is quoted, ?api_key=..., password=..., token: [...]
    _Pattern("=|:", rf"{_ASSIGNED}[bru]?{_QUOTED}"),
    _Pattern("=|:", rf"{_ASSIGNED}(?P<s>{_VALUE}|\[(?!REDACTED)[^\]\r\n]{{3,}}\]?)"),
    _Pattern("key=|KEY=", r"(?i)(?<=[?&])key=(?P<s>(?=[a-z_.~-]*\d)[\w.~-]{20,})"),  # short ones, and words, name things
    # headers as repr writes their pairs: ('Authorization', 'opaque')
    _Pattern("('|(b'", rf"(?i)\(b?'[\w-]{{0,40}}?(?:{_NAMES}|authorization|cookie)\w{{0,20}}'\s*,\s*b?{_QUOTED}"),
]
_SHORTEST: Final = 7  # characters of the shortest text that a pattern can match: pwd=abc
_SHORTEST_KEY: Final = 14  # the same without an assignment: Basic abcdefgh
_SURROGATE = re.compile("[\ud800-\udfff]")
# As the JSON mapping of protocol buffers writes them, since JSON numbers cannot.
_NOT_FINITE: Final = {float("inf"): "Infinity", float("-inf"): "-Infinity"}


def _masked(match: re.Match[str]) -> str:
    whole, base = match[0], match.start()
    start, end = match.span("s")
    return f"{whole[: start - base]}{mask(match['s'])}{whole[end - base :]}"


def by_own_patterns(text: str) -> str:
    """Return a text without what the patterns of the policy in force match."""
    for pattern in _policy.patterns:
        text = pattern.sub(lambda match: mask(match[0]) if match[0] else "", text)
    return text


def scrub_text(text: str, taints: Iterable[str] = ()) -> str:
    """Return a text without the secrets that its shape gives away and without the flow's taints.

    Lone surrogates, which no UTF-8 file can hold, become U+FFFD.
    """
    return _scrubbed_text(text, tuple(taints))


def _scrubbed_text(text: str, taints: tuple[str, ...]) -> str:
    if taints:
        cut = "…[+" in text
        for taint in taints:
            if cut or taint in text:
                text = without_taints(text, taints)
                break
    return _known_by_shape(text) if len(text) <= _REMEMBERED else _by_shape(text)


def _is_suspect(text: str) -> bool:
    """Tell whether a pattern can match at all: the few letters without which none does, in the order that is fastest.

    Written out in line, for this runs over every text that is read or written; the hints are those of the patterns.
    """
    if "=" in text or ":" in text or "('" in text or "(b'" in text:
        if "://" in text:
            return True
        folded = text.lower()
        if "key" in folded or "token" in folded or "passw" in folded or "secret" in folded or "auth" in folded:
            return True
        if "pwd" in folded or "sig" in folded or "cookie" in folded or "credential" in folded or "passphrase" in folded:
            return True
    if len(text) < _SHORTEST_KEY:
        return False
    if "_" in text and ("k_" in text or "gh" in text or "pat_" in text or "hf_" in text or "npm_" in text):
        return True
    if "_" in text and ("ec_" in text or "r8_" in text):
        return True
    if "-" in text:
        if "sk-" in text or "pat-" in text or "xox" in text or "pypi-" in text or "PRIVATE KEY" in text:
            return True
        if "xai-" in text or "pplx-" in text or "SPX-" in text:
            return True
    if "asic " in text or "earer " in text or "ASIC " in text or "EARER " in text:
        return True
    return "eyJ" in text or "IA" in text or "AIza" in text or "ya29." in text or "SG." in text


def _by_shape(text: str) -> str:
    if len(text) >= _SHORTEST and _is_suspect(text):
        for pattern in _PATTERNS:
            for hint in pattern.hints:
                if hint in text:
                    text = pattern.regex.sub(_masked, text)
                    break
    if _policy.patterns:
        text = by_own_patterns(text)
    if not text.isascii() and _SURROGATE.search(text):
        text = _SURROGATE.sub("\ufffd", text)
    return text


# Keys, names, states, system prompts, the history of a conversation: the same texts come again and again.
_REMEMBERED: Final = 512  # characters
_known_by_shape = lru_cache(maxsize=4096)(_by_shape)


def scrub(value: Any, taints: Iterable[str] = ()) -> Any:
    """Return a copy of a snapshot that is fit to leave: every text and key of it scrubbed, every number one of JSON.

    Numbers that JSON has not become strings: ``NaN``, ``Infinity``, ``-Infinity``, and integers beyond 64 bits.
    """
    return _scrubbed(value, tuple(taints))


def _scrubbed(value: Any, taints: tuple[str, ...]) -> Any:
    kind = type(value)
    if kind is str:
        return _scrubbed_text(value, taints)
    if kind is dict:
        clean = {
            _scrubbed_text(key, taints): _scrubbed_text(item, taints) if type(item) is str else _scrubbed(item, taints)
            for key, item in value.items()
        }
        return clean if len(clean) == len(value) else _kept_apart(value, taints)
    if kind is list:
        return [_scrubbed(item, taints) for item in value]
    if kind is int:
        if taints and not -100_000 < value < 100_000 and value.bit_length() <= 4096 and str(value) in taints:
            return mask(str(value))
        return value if -MAX_INT <= value <= MAX_INT else int_text(value)
    if kind is float:
        return value if value - value == 0 else _NOT_FINITE.get(value, "NaN")
    return value


def _kept_apart(source: dict[str, Any], taints: tuple[str, ...]) -> dict[str, Any]:
    """Return a scrubbed dict whose keys became equal: a ``'`` keeps them apart."""
    clean: dict[str, Any] = {}
    for key, item in source.items():
        name = _scrubbed_text(key, taints)
        while name in clean:
            name += "'"
        clean[name] = _scrubbed(item, taints)
    return clean


def int_text(value: int) -> str:
    """Return an integer as text; one of thousands of digits, which Python refuses to write out, as its size."""
    return str(value) if value.bit_length() <= 4096 else f"<int of {value.bit_length()} bits>"
