"""Strategies for texts, values and events in which secrets may be."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from the_edge_obs.secrets import words

from .asking import ROOT

_SIGNS = [
    *"=:=:= \n\"'`\\,;&|<>()[]{}@/.-_%#$!?*+~\t",
    *(": ", " = ", '="', '": "', "://", '\\"', "\\n", "%3D", "&quot;", " is ", "==", "=>", "--", "</", "Bearer ", "Basic "),
    *("curl -u ", "mysql -p", "?key=", "-----BEGIN ", "PRIVATE KEY-----", "…", "é", "密码", "İ", "ß", "\x1c", "\u2028", "²", "٣"),
]
_SECRETS = sorted({*words.SECRET_WORDS, *words.WEAK_WORDS, "token", "api_key", "apiKey", "X-API-Key", "user_token"})
_CLOSES = ["", '"', "'", '\\"', '"]', "**", "%22", "&quot;"]
_ASSIGNS = [
    *("=", ":", ": ", " = ", "=>", " -> ", ":=", "==", "%3D", "&#61;", " is ", " ", ", ", ">", " | ", "\t", "("),
    *(': "', '="', "='", ":\n  ", ": |\n  ", ' string = "', ", value: '", '" value="', ": Bearer ", ": Basic ", ": [", ": {x}"),
]


@cache
def _same_unicode() -> bool:
    tables = json.loads((ROOT / "rust" / "the-edge-obs" / "data" / "tables.json").read_text(encoding="utf-8"))
    return bool(tables["unicode"] == unicodedata.unidata_version)


def known_to_both(char: str) -> bool:
    """Return whether this Python and the Rust runtime's tables agree on what a character is.

    Each Python has its own version of Unicode. Where it is not that of the tables, only characters of Unicode 3.2 are sure.
    """
    return _same_unicode() or unicodedata.ucd_3_2_0.category(char) != "Cn"


@cache
def literals() -> list[str]:
    """Return the texts that stand in the tests of the package, without lone surrogates."""
    found: dict[str, None] = {}
    for path in sorted((ROOT / "tests").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= 5_000:
                found[node.value] = None
    return [text for text in found if not re.search("[\ud800-\udfff]", text)]


@cache
def names() -> list[str]:
    """Return all words of the tables."""
    return sorted({word for value in vars(words).values() if isinstance(value, frozenset) for word in value})


_NAMES = st.sampled_from(names())
_LITERALS = st.deferred(lambda: st.sampled_from(literals()))
_PARTS = st.tuples(_LITERALS, st.integers(0, 200), st.integers(1, 60)).map(lambda one: one[0][one[1] % len(one[0]) :][: one[2]])
_CASES: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str, str.upper, str.title])
_PIECES = st.one_of(
    st.sampled_from(_SIGNS),
    st.tuples(_NAMES, _CASES).map(lambda one: one[1](one[0])),
    st.tuples(_NAMES, _NAMES).map("_".join),
    st.text("abcdefghXYZ0123456789-_.", min_size=1, max_size=40),
    _PARTS,
    st.text(st.characters(exclude_categories=["Cs"]).filter(known_to_both), max_size=5),
)
MIXED = st.lists(_PIECES, min_size=1, max_size=9).map("".join)
"""Texts of names, signs and parts of other texts."""

_RANDOM = st.sampled_from(["abcdefgh", "abcXYZ012", "0123456789", "aB3$-_./+=", "abcdef0123456789"]).flatmap(
    lambda chars: st.one_of(
        st.text(chars, min_size=2, max_size=40),
        st.tuples(st.text(chars, min_size=1, max_size=20), st.integers(2, 16)).map(lambda one: one[0] * one[1]),
    )
)
_KEYS = [(beginnings.split(), "") for beginnings, _ in words.FORMATS + words.LOOSE_FORMATS]
_FORMATS = st.tuples(
    st.sampled_from([one for beginnings, _ in _KEYS for one in beginnings]),
    st.text("abcdefXYZ0123456789-_", min_size=16, max_size=16),
    st.integers(1, 6),
).map(lambda one: one[0] + one[1] * one[2])
_GIVEN = st.one_of(_RANDOM, _RANDOM, _NAMES, st.lists(_NAMES | _RANDOM, min_size=2, max_size=5).map(" ".join), _FORMATS)
_SECRET_NAMES = st.tuples(
    st.sampled_from(_SECRETS),
    st.sampled_from(["{}", "{}", "{}", "db_{}", "{}_id", "my{}", "API key {}", "API key"]),
    _CASES,
).map(lambda one: one[1].format(one[2](one[0])))
_BEFORE = st.sampled_from(["", "\n", "the ", "{", "<", "--", "?", '"', "- name: ", "curl -u me:", "https://me:"]) | MIXED
_ENDS = st.sampled_from(["", " ", ",", ";", ")", "\n", "&x=1", "</a>", " and so on", "."])
_QUOTES = st.sampled_from(["", '"', "'", '\\"'])


@st.composite
def told(draw: st.DrawFn) -> str:
    """Draw a text in which a name has a value."""
    name = draw(_SECRET_NAMES) + draw(st.sampled_from(_CLOSES)) + draw(st.sampled_from(_ASSIGNS))
    mark = draw(_QUOTES)
    return draw(_BEFORE) + name + mark + draw(_GIVEN) + mark + draw(_ENDS) + draw(st.just("") | MIXED)


TOLD = told()
TEXTS = st.one_of(TOLD, TOLD, MIXED, _LITERALS)

_REUSED = ["hunter2xyz", "corr/ect ho'rse", "123456", "me:pa55word", "Basic bWU6cGE1NXdvcmQ=", "S3cr3t & more"]
_NUMBERS = st.one_of(
    st.sampled_from([123456, -123456, 12, 0.5, -0.0, 1e16, 1e-7, 5e-324, 1.7e308, 2**63 - 1, 2**63, -(2**63), 10**30]),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.booleans(),
)
_LENGTHS = st.tuples(st.sampled_from([10, 100, 4_000, 9_000]), st.sampled_from([0, 3_000, 9_000]))
_LEAVES: list[st.SearchStrategy[Any]] = [
    st.sampled_from(_REUSED),
    st.sampled_from(_REUSED).map("again {}!".format),
    st.sampled_from(_REUSED).map(quote),
    _NUMBERS,
    _NAMES,
    _PARTS,
    TOLD,
    TOLD,
    st.tuples(_LENGTHS, TOLD).map(lambda one: "x " * one[0][0] + one[1] + " y" * one[0][1]),
]
_SHORT_KEYS = st.sampled_from([*_SECRETS, "name", "value", "key", "text", "type", "logprob", "a", "b", "c", "user"])
_KEYS_OF_VALUES = [_SHORT_KEYS, _SHORT_KEYS, _NAMES, st.sampled_from([230, 255, 257, 300]).map("k".__mul__), TOLD]
_FLAGS = st.sampled_from(["--password", "-token", "--verbose", "Authorization"])


@st.composite
def values(draw: st.DrawFn, depth: int = 3) -> Any:
    """Draw a value of JSON, with secrets in it that may come again."""
    kind = draw(st.integers(0, 9)) if depth else 0
    if kind < 3:
        return draw(draw(st.sampled_from(_LEAVES)))
    inner = values(depth - 1)
    if kind < 6:
        return [draw(_FLAGS if draw(st.integers(0, 4)) == 0 else inner) for _ in range(draw(st.integers(0, 5)))]
    if kind < 9:
        return {draw(draw(st.sampled_from(_KEYS_OF_VALUES))): draw(inner) for _ in range(draw(st.integers(0, 6)))}
    some, count = (
        draw(st.lists(inner, min_size=1, max_size=3)),
        draw(st.sampled_from([40, 199, 200, 201, 230])),
    )  # more than is kept
    many = [some[at % len(some)] for at in range(count)]
    return many if draw(st.booleans()) else {f"k{at}": item for at, item in enumerate(many)}


VALUES = values()

_LONG = st.sampled_from(["", "é" * 40_000, "\x01" * 20_000, ["x"] * 20_000])
_ERRORS = st.none() | _PARTS.map(lambda text: {"type": "E" * 300, "message": text * 90, "where": "f"})
_EVENT_KEYS = st.sampled_from(["error", "cut", "input", "output", "a b", "é", "k" * 70]) | _NAMES


@st.composite
def long_events(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an event that may be too long for a line."""
    flow_id = "9f0df4a5-a646-4772-b822-7adce460ed24"
    keys, count = draw(st.lists(_EVENT_KEYS, min_size=1, max_size=5)), draw(st.sampled_from([1, 3, 10, 60, 400]))
    items = draw(st.lists(values(2) if count <= 3 else _NUMBERS | _PARTS, min_size=1, max_size=3))
    data = {f"{keys[at % len(keys)]}{at or ''}": items[at % len(items)] for at in range(count)}
    data |= {"large": draw(_LONG), "error": draw(_ERRORS)}
    if draw(st.booleans()):
        data["cut"] = ["large", "message", *(f"{key}.x" for key in data)]
    metrics = {f"{keys[at % len(keys)]}{at}": at for at in range(draw(st.sampled_from([0, 5, 70, 3_000])))} | {"tokens": 5}
    if draw(st.booleans()):
        metrics["…"] = 7
    return {
        "flow_id": flow_id,
        "span_id": flow_id,
        "parent_id": None,
        "node": draw(st.sampled_from(["n", "node" * 300])),
        "level": "info",
        "timestamp": 1.5,
        "event_type": "log",
        "message": draw(st.none() | _PARTS | st.just("é" * 3_000)),
        "data": data,
        "metrics": metrics,
    }


def _edited(one: tuple[str, int, str]) -> str:
    text, at, sign = one
    at %= len(text) + 1
    return text[:at] + sign + text[at + (not sign) :]


_DIGITS = st.text("0123456789", min_size=1, max_size=25)
_LITERAL_NUMBERS = st.tuples(
    st.sampled_from(["", "-", "+"]),
    _DIGITS,
    st.one_of(
        st.just(""), _DIGITS.map(".{}".format), st.integers(-330, 330).map("e{}".format), st.sampled_from([".", "e", "E+5"])
    ),
).map("".join)
_OF_JSON = st.sampled_from(
    ["", "", ",", "]", "}", '"', "\\", "\\u", "\\ud800", "\t", "\x00", "\u2028", "0", "-", ".", "e", " ", "\ufeff"]
)
JSON_TEXTS = st.one_of(
    VALUES.map(json.dumps),
    VALUES.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1)),
    _LITERAL_NUMBERS,
    st.tuples(st.lists(MIXED, max_size=2).map(json.dumps), st.integers(0, 500), _OF_JSON).map(_edited),
    st.text('[]{}",:0123456789.eE+-\\utrfalsn ', max_size=12),
)
"""Texts that are JSON, or nearly."""
