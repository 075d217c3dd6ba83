"""Redaction and snapshots: nothing leaks, nothing of the caller's changes, everything becomes strict JSON."""

from __future__ import annotations

import copy
import dataclasses
import enum
import io
import json
import logging
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.event import dumps
from the_edge_obs.redaction.snapshots import MAX_CHARS, MAX_DEPTH, MAX_ITEMS, MAX_VALUES, snapshot
from the_edge_obs.redaction.texts import MAX_STRING, PLACEHOLDER, scrub, scrub_text
from the_edge_obs.secrets.keys import classes_for


def a_flow() -> FlowState:
    return FlowState(new_flow_id(), "f")


def captured(value: Any) -> Any:
    """Return what leaves of a value: its snapshot, scrubbed."""
    flow = a_flow()
    taken = snapshot(value, flow)
    return scrub(taken, flow.taints)


# --- secrets by key ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    (
        "password PASSWORD Password passwd pwd db_password dbPassword DB-PASSWORD passphrase secret client_secret "
        "clientSecret SECRET_KEY api_key apiKey apikey APIKEY X-API-Key x_api_key API-KEY OPENAI_API_KEY openaiApiKey "
        "Authorization authorization proxy-authorization credentials credential cookie Set-Cookie cookies jwt "
        "private_key privateKey ssh_key access_key aws_access_key_id aws_secret_access_key AccessKey auth "
        "token access_token accessToken refresh-token authToken csrf_token X-Auth-Token id_token session_token "
        "access_tokens auth.password user[password]"
    ).split(),
)
def test_secret_keys_in_any_spelling(key: str) -> None:
    """Whatever the case and the separators, the value is gone at any depth."""
    assert snapshot({key: "abc123xyz"}) == {key: PLACEHOLDER}
    assert snapshot([{"a": [{key: {"deep": "abc123xyz"}}]}]) == [{"a": [{key: PLACEHOLDER}]}]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", 100),
        ("maxTokens", 100),
        ("tokens", 12),
        ("total_tokens", 12),
        ("prompt_tokens", 7),
        ("token_count", 9),
        ("tokenCount", 9),
        ("token_limit", 9),
        ("token_type", "bearer-like"),
        ("token", 17),
        ("tokens", ["the", "cat"]),
        ("usage", {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "details": {"cached_tokens": 2}}),
        ("completion_tokens_details", {"reasoning_tokens": 4}),
        ("key", "sort-by-name"),
        ("monkey", "banana"),
        ("author", "Ada"),
        ("authors", ["Ada"]),
        ("passenger", "Ada"),
        ("secretary", "Ada"),
        ("bypass", True),
        ("compass", "north"),
        ("primary_key", "id"),
        ("foreign_key", "id"),
    ],
)
def test_counts_and_lookalikes_survive(key: str, value: Any) -> None:
    """Token counts and words that only look like secrets are kept as they are."""
    assert snapshot({key: value}) == {key: value}


def test_no_value_is_no_secret() -> None:
    """None under a secret key stays None: that a password is missing is what one wants to see."""
    assert snapshot({"password": None}) == {"password": None}


def test_further_keys_can_be_named() -> None:
    """Extra keys match in any case and spelling, and only for who named them."""
    classes = classes_for(["cpf", "taxNumber"])
    value = {"CPF": "1", "tax_number": "2", "Tax-Number": "3", "cp": "4", "password": "5"}
    assert snapshot(value, None, classes) == {
        "CPF": PLACEHOLDER,
        "tax_number": PLACEHOLDER,
        "Tax-Number": PLACEHOLDER,
        "cp": "4",
        "password": PLACEHOLDER,
    }
    assert snapshot({"cpf": "1"}) == {"cpf": "1"}


# --- secrets by value ---

SK = "sk-proj-" + "a1B2" * 6
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXZhbHVl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc+/=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("authorization=Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("sent bearer AbC123.def-456_ghi to the host", "AbC123.def-456_ghi"),
        ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        (f"key {SK} refused", SK),
        (f"got {JWT}!", JWT),
        (PEM, "MIIEow"),
        (PEM[:50], "MIIEow"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
        ("ghp_" + "x1" * 18, "x1x1x1"),
        ("github_pat_" + "Ab9_" * 8, "Ab9_Ab9_"),
        ("glpat-" + "Ab9-" * 6, "Ab9-Ab9-"),
        ("xoxb-1234567890-abcdef", "1234567890-abcdef"),
        ("AIza" + "Sy4" * 12, "Sy4Sy4"),
        ("hf_" + "Q7" * 15, "Q7Q7Q7"),
        ("sk_live_" + "4eC39" * 4, "4eC394eC39"),
        ("npm_" + "aB3" * 12, "aB3aB3"),
        ("postgres://ada:s3cr3t-pw@db.example/app", "s3cr3t-pw"),
        ("redis://:hunter2pw@localhost:6379/0", "hunter2pw"),
        ("GET https://api.example/v1?api_key=abc123def&x=1", "abc123def"),
        ("https://h/p?a=1&access_token=tok98765", "tok98765"),
        ("https://b.example/o?X-Amz-Signature=fe5f80f77d5fa3be", "fe5f80f77d5fa3be"),
        ("?sig=Zm9vYmFy%3D&se=2026", "Zm9vYmFy"),
        ('{"password": "hunter2"}', "hunter2"),
        ("{'api_key': 'hunter2hunter2'}", "hunter2hunter2"),
        ("login with password=hunter2 failed", "hunter2"),
        ("DB_PASSWORD=hunter2", "hunter2"),
        ("Cookie: sid=31d4d96e407aad42", "31d4d96e407aad42"),
        ("sent [('Accept', '*/*'), ('Authorization', 'opaque-4711')]", "opaque-4711"),
        ("sent [(b'X-Api-Key', b'opaque-4711')]", "opaque-4711"),
        ("got ('Set-Cookie', \"sid='opaque-4711'\")", "opaque-4711"),
        ("https://maps.example/v1?q=a&key=Zq9h4711abcDEF_0123-xyz", "4711abcDEF"),
    ],
)
def test_secrets_in_texts(text: str, secret: str) -> None:
    """A secret that its own shape or its surroundings give away is gone, wherever the text stands; twice changes nothing."""
    cleaned = scrub_text(text)
    assert secret not in cleaned
    assert PLACEHOLDER in cleaned
    assert scrub_text(cleaned) == cleaned
    for value in ([text], {"a": {"b": text}}, {text: 1}):
        assert secret not in json.dumps(scrub(snapshot(value)))


@pytest.mark.parametrize(
    "text",
    [
        "the max_tokens=100 and prompt_tokens: 7",
        "https://example.com/path?page=2&sort=asc",
        "a bearer of good news",
        "skip-this-one, task-force",
        "author: Ada",
        "basic maths",
        "mailto:ada@example.com",
        "time 12:30@noon",
        "tokens: 15",
        "https://example.com/sort?key=name&page=2",
        "https://example.com/page?key=the-longest-name-of-them-all",
        "('Accept', 'text/html')",
        "f('secretary', 3)",
        "no secrets here: the cat sat on the mat",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    """What is not a secret is not touched."""
    assert scrub_text(text) == text


# --- taints ---


def test_a_secret_seen_once_never_reappears() -> None:
    """What stood under a secret key is taken out of every other text of the flow; keys stay as they are."""
    flow = a_flow()
    snapshot({"password": "tr0ub4dor", "nested": [{"token": ["first-token", "second-token"]}]}, flow)
    value = {"m": "x tr0ub4dor y", "tr0ub4dor": 1, "l": ["first-token/second-token"]}
    assert scrub(value, flow.taints) == {
        "m": f"x {PLACEHOLDER} y",
        "tr0ub4dor": 1,
        "l": [f"{PLACEHOLDER}/{PLACEHOLDER}"],
    }


def test_the_value_of_a_scheme_is_remembered_without_it() -> None:
    """``Authorization: Bearer x``: x alone does not reappear either."""
    flow = a_flow()
    snapshot({"headers": {"Authorization": "Custom opaque-value-9"}}, flow)
    assert scrub_text("echo opaque-value-9", flow.taints) == f"echo {PLACEHOLDER}"


def test_a_numeric_secret_does_not_reappear_as_a_number() -> None:
    """A secret that is a number is gone as a number, too; other numbers stay."""
    flow = a_flow()
    taken = snapshot({"password": 123456789, "n": 5}, flow)
    assert taken == {"password": PLACEHOLDER, "n": 5}
    assert scrub({"a": 123456789, "b": "is 123456789", "c": 5}, flow.taints) == {
        "a": PLACEHOLDER,
        "b": f"is {PLACEHOLDER}",
        "c": 5,
    }


def test_short_and_common_values_are_no_taints() -> None:
    """``true`` or a two-letter password would erase half of every text."""
    flow = a_flow()
    snapshot({"secret": "ab", "password": "true", "token": "None", "cookie": "bearer"}, flow)
    assert scrub_text("ab true None bearer", flow.taints) == "ab true None bearer"


@pytest.mark.parametrize("secret", ['it\'s \\ "quoted"', "line one\nline two", "p@ss w0rd/ü?&", "tab\there-it-is"])
def test_a_secret_is_known_in_its_escaped_spellings(secret: str) -> None:
    """``repr``, JSON and URL quoting spell a secret differently; none of them leaks."""
    from urllib.parse import quote, quote_plus

    flow = a_flow()
    snapshot({"password": secret}, flow)
    for spelled in (
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    ):
        assert scrub_text(f"failed with {spelled} today", flow.taints) == f"failed with {PLACEHOLDER} today"


def test_secrets_inside_objects_are_remembered() -> None:
    """An object under a secret key is gone as a whole, and so is what was in it."""

    @dataclasses.dataclass
    class Login:
        user: str
        phrase: str

    flow = a_flow()
    taken = snapshot({"credentials": Login("ada", "open-sesame"), "password": bytearray(b"byte-secret")}, flow)
    assert taken == {"credentials": PLACEHOLDER, "password": PLACEHOLDER}
    assert scrub_text("open-sesame and byte-secret", flow.taints) == f"{PLACEHOLDER} and {PLACEHOLDER}"


def test_taints_are_learned_by_many_threads_at_once() -> None:
    """No secret is forgotten because another thread learned one at the same moment."""
    import sys
    import threading

    flow = a_flow()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda n=n: [snapshot({"password": f"secret-{n}-{i}"}, flow) for i in range(25)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert {f"secret-{n}-{i}" for n in range(8) for i in range(25)} <= set(flow.taints)


# --- snapshots ---


def test_the_exact_json_types_stay() -> None:
    """What JSON has is taken over as it is, in fresh containers."""
    value = {"s": "é", "i": 1, "f": 1.5, "t": True, "n": None, "l": [1, [2]], "d": {"x": {}}}
    taken = captured(value)
    assert taken == value
    assert taken["l"] is not value["l"]
    assert taken["d"] is not value["d"]


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("never asked")

    __repr__ = __str__


@dataclasses.dataclass
class Point:
    x: int
    password: str


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    __hash__ = object.__hash__

    def __len__(self) -> int:
        raise RuntimeError("no len")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**63), "-9223372036854775808"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (frozenset(), []),
        (deque([1]), [1]),
        (UserList([1]), [1]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (UserDict(a=1), {"a": 1}),
        (b"plain", "plain"),
        (b"\xff\x00", "<2 bytes: /wA=>"),
        (bytearray(b"plain"), "plain"),
        (memoryview(b"plain"), "plain"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(seconds=1.5), 1.5),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Decimal("1.10"), "1.10"),
        (Fraction(1, 3), "1/3"),
        (range(3), "range(0, 3)"),
        (1 + 2j, "(1+2j)"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (Name("x"), "x"),
        (ValueError("bad"), {"type": "ValueError", "message": "bad"}),
        (Point(1, "hunter2"), {"x": 1, "password": PLACEHOLDER}),
        (
            {1: "a", None: "b", False: "c", 1.5: "d", (1, 2): "e"},
            {"1": "a", "null": "b", "false": "c", "1.5": "d", "[1, 2]": "e"},
        ),
    ],
)
def test_everything_serialises(value: Any, expected: Any) -> None:
    """What JSON does not have becomes what people would write for it."""
    assert captured(value) == expected
    assert captured([value]) == [expected]
    dumps(captured(value))


def test_objects_show_their_type_alone() -> None:
    """No foreign ``__repr__``, ``__eq__`` or ``__len__`` runs, so nothing can raise, be slow or leak an address."""
    taken = captured({"o": Hostile(), "n": SimpleNamespace(a=1), "f": len, "g": Hostile, "l": [Hostile()]})
    name = f"<{__name__}.Hostile>"
    assert taken == {"o": name, "n": "<types.SimpleNamespace>", "f": "<builtins.len>", "g": name, "l": [name]}


def test_keys_that_meet_both_stay() -> None:
    """1 and "1" are two keys in Python; in either order both values are kept."""
    assert captured({"1": "a", 1: "b"}) == {"1": "a", "1'": "b"}
    assert sorted(captured({1: "a", "1": "b"}).values()) == ["a", "b"]


def test_circular_references_end() -> None:
    """A value that contains itself shows where; a value that stands twice side by side is not a circle."""
    inner: dict[str, Any] = {}
    inner["again"] = [inner]
    assert captured(inner) == {"again": ["[circular]"]}
    twice = [1]
    assert captured([twice, twice]) == [[1], [1]]
    items: list[Any] = []
    items.append(items)
    assert captured(items) == ["[circular]"]


def test_a_circle_below_a_token_key_ends() -> None:
    """To find out whether a token key counts something, a circle is not walked for ever."""
    inner: dict[str, Any] = {}
    inner["token"] = inner
    assert captured(inner) == {"token": PLACEHOLDER}


def test_a_hostile_mapping_below_a_token_key() -> None:
    """A foreign mapping is not asked for its length or items."""

    class Map(dict[str, int]):
        def __len__(self) -> int:
            raise RuntimeError("no len")

        def values(self) -> Any:
            raise RuntimeError("no values")

    assert captured({"token": Map(), "a": 1}) == {"token": PLACEHOLDER, "a": 1}


def test_a_container_that_changes_meanwhile() -> None:
    """What another thread, or a property, changes while it is read costs no event."""
    outer: dict[str, Any] = {"first": None, "second": 2}

    class Meddling:
        def __get__(self, instance: object, owner: type) -> int:
            outer[f"new{len(outer)}"] = 1
            return 1

    @dataclasses.dataclass
    class Field:
        x: int

    Field.x = Meddling()  # type: ignore[assignment]
    value = object.__new__(Field)
    outer["first"] = value
    taken = snapshot(outer)
    assert (taken["first"], taken["second"]) == ({"x": 1}, 2)


# --- caps ---


def test_long_strings_are_cut_and_say_so() -> None:
    """A string keeps its first 8,192 characters and tells how many are missing."""
    assert captured("x" * MAX_STRING) == "x" * MAX_STRING
    assert captured("x" * (MAX_STRING + 5)) == "x" * MAX_STRING + "…[+5 chars]"


def test_many_items_are_cut_and_say_so() -> None:
    """A container keeps its first 200 items."""
    assert captured(list(range(MAX_ITEMS + 3))) == [*range(MAX_ITEMS), "[+3 items]"]
    taken = captured({f"k{i}": i for i in range(MAX_ITEMS + 3)})
    assert (len(taken), taken["…"]) == (MAX_ITEMS + 1, "[+3 items]")


def test_depth_is_cut_and_says_so() -> None:
    """Containers end at 16 levels, however deep they go."""
    deep: Any = "bottom"
    for _ in range(10_000):
        deep = [deep]
    taken = captured(deep)
    for _ in range(MAX_DEPTH):
        assert len(taken) == 1
        taken = taken[0]
    assert taken == "[depth]"
    for _ in range(100):
        deep = {"k": deep}
    assert dumps(captured(deep)) == '{"k":' * MAX_DEPTH + '"[depth]"' + "}" * MAX_DEPTH


def test_a_snapshot_is_bounded_as_a_whole() -> None:
    """Many middling values do not add up to a huge one: all caps together."""
    tree: Any = "y" * 60
    for _ in range(6):
        tree = {f"k{i}": tree for i in range(20)}
    for many in ([["y" * 100] * 190] * 190, [{"text": "y" * 1000, "role": {"n": i}} for i in range(190)], tree):
        taken = captured(many)
        text = dumps(taken)
        assert len(text) < MAX_CHARS * 4 + MAX_VALUES * 80
        assert text.count('"y') + text.count("{") <= MAX_VALUES + MAX_ITEMS
        assert "items]" in text or "chars]" in text


def test_large_values_are_not_walked() -> None:
    """A huge dict costs what its first items cost; a huge byte string is not decoded."""
    taken = snapshot({"d": dict.fromkeys(range(100_000)), "b": b"\xff" * 10_000_000})
    assert taken["d"]["…"] == "[+99800 items]"
    assert taken["b"].startswith("<10000000 bytes: ")
    assert len(taken["b"]) < 100


def test_a_secret_across_the_cut_leaves_no_half() -> None:
    """Secrets are taken out before a string is cut."""
    for start in range(MAX_STRING - len(SK) - 2, MAX_STRING + 2):
        text = "x" * (start - 1) + " " + SK + " tail" * 5
        taken = captured(text)
        assert "sk-proj" not in taken, start


def test_a_known_secret_across_the_cut_leaves_no_half() -> None:
    """A value known by its key is gone at the cut, too, whichever of the two the event held first."""
    secret = "correct-horse-battery"
    for late in (False, True):
        for cut in range(4, len(secret)):
            flow = a_flow()
            text = "x" * (MAX_STRING - cut) + secret + "y" * 40
            value = {"text": text, "password": secret} if late else {"password": secret, "text": text}
            taken = dumps(scrub(snapshot(value, flow), flow.taints))
            assert secret[:cut] + "…" not in taken, (late, cut)


# --- the caller's objects ---


def test_the_callers_objects_are_unchanged_and_unshared() -> None:
    """Redaction works on a copy; what the caller changes later is not seen."""
    value: dict[str, Any] = {"password": "hunter2", "list": [{"api_key": "k"}], "text": "x" * 9_000, "set": {1}}
    before = copy.deepcopy(value)
    taken = captured(value)
    seen = copy.deepcopy(taken)
    assert value == before
    value["list"][0]["more"] = 1
    value["list"].append(2)
    value["set"].add(2)
    assert taken == seen


# --- laws ---

JSON_TEXT = st.text(max_size=40)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**80),
    st.floats(),
    JSON_TEXT,
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Lu"]), max_size=8),
    st.binary(max_size=60),
    st.decimals(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
)
KEYS = st.one_of(
    JSON_TEXT,
    st.integers(),
    st.none(),
    st.booleans(),
    st.floats(),
    st.tuples(st.integers()),
    st.binary(max_size=5),
    st.sampled_from(["password", "token", "max_tokens", "usage", "api_key", "text", "…"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(inner, max_size=3).map(deque),
    ),
    max_leaves=15,
)


def strict(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(ANYTHING)
def test_a_snapshot_is_strict_json_and_settles(value: Any) -> None:
    """Whatever comes in, strict JSON in UTF-8 comes out, and taking it over and over changes nothing more."""
    flow = a_flow()
    taken = scrub(snapshot(value, flow), flow.taints)
    assert strict(dumps(taken).encode("utf-8").decode("utf-8")) == taken
    again = captured(taken)
    assert captured(again) == again


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(ANYTHING)
def test_a_snapshot_changes_nothing(value: Any) -> None:
    """The value is as it was, and no container in the snapshot is one of the caller's."""
    before = repr(value)
    taken = captured(value)
    assert repr(value) == before

    def containers(node: Any) -> list[int]:
        if isinstance(node, dict):
            return [id(node)] + [found for item in node.values() for found in containers(item)]
        return [id(node)] + [found for item in node for found in containers(item)] if isinstance(node, (list, tuple)) else []

    if not isinstance(value, (str, bytes)):
        assert not set(containers(value)) & set(containers(taken)) or value == ()


TELLING = st.sampled_from(["password", "token", "max_tokens", "value", "name", "text", "role"])


def in_order(value: Any) -> Any:
    """Return a copy whose dicts are of a subclass, which no short way takes."""
    if type(value) is dict:
        return OrderedDict((key, in_order(item)) for key, item in value.items())
    return type(value)(map(in_order, value)) if type(value) in (list, tuple) else value


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@example([{"name": "password", "value": "hunter2 hunter2"}, {"name": "colour", "value": "blue"}] * 2)
@example([{"text": "x" * 8_000, "value": 1}] * 4)
@example([{"token": "opaque", "tokens": [3, {"n": 4}], "usage": {"total_tokens": 7}}] * 2)
@example([{"password": {"name": None}}] * 2)
@given(
    st.recursive(
        SCALARS | st.sampled_from(["hunter2 hunter2", "x" * 65, "y" * 1025, "z" * 9_000]),
        lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(TELLING | KEYS, inner, max_size=40),
        max_leaves=30,
    )
)
def test_small_dicts_are_taken_as_others_are(value: Any) -> None:
    """What small dicts are spared changes neither what is captured of them nor what the flow learns."""
    one, other = a_flow(), a_flow()
    assert dumps(scrub(snapshot(value, one))) == dumps(scrub(snapshot(in_order(value), other)))
    assert one.taints == other.taints


SECRET = st.text(alphabet="abcdefghjkmnpqrstuvwxyzABCDEFGH23456789", min_size=12, max_size=20).map(lambda text: f"Zq{text}")
PLACES = st.sampled_from(["password", "apiKey", "X-API-Key", "Authorization", "client_secret", "accessToken", "cookie"])


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRET, key=PLACES, noise=ANYTHING, deep=st.integers(0, 5), wrapped=st.booleans())
def test_a_planted_secret_is_in_no_output(secret: str, key: str, noise: Any, deep: int, wrapped: bool) -> None:
    """However deep it is planted, and wherever it reappears, no handler and no formatter gives it away."""
    assume(secret not in repr(noise))
    planted: Any = {key: [secret] if wrapped else secret, "noise": noise}
    for level in range(deep):
        planted = {"k": planted} if level % 2 else [planted]

    @obs.observable("leaky")
    def leaky(params: Any, state: Any) -> Any:
        logging.getLogger("other").warning("other library says %s", secret)
        obs.current()
        with obs.span("inner", text=f"again {secret}", number=1) as span:
            span.log(f"saying {secret}", extra=[secret])
            span.output = {"echo": [secret, {"secretly": secret}]}
        if deep % 2:
            raise ValueError(f"failed for {secret} and {secret!r}")
        return {"result": f"<{secret}>", "success": deep % 3 != 0, "error": secret}

    texts, ring = everything_written(lambda: leaky(planted, {"state": secret}))
    assert ring
    for text in texts:
        assert secret not in text
    assert any(PLACEHOLDER in text for text in texts)


def everything_written(act: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Run something in a flow, and return every text that comes out anywhere, and the ring's events."""
    ring, records = obs.RingBufferHandler(), []
    handlers: list[logging.Handler] = [ring]
    formats = [
        obs.JsonFormatter(),
        obs.ConsoleFormatter(verbose=True),
        logging.Formatter("%(asctime)s %(threadName)s %(name)s %(message)s %(event)s"),
    ]
    streams = [io.StringIO() for _ in formats]
    for stream, formatter in zip(streams, formats, strict=True):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handlers.append(handler)

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handlers.append(Keep())
    tea = logging.getLogger("tea")
    logger = logging.getLogger("other")
    tea.setLevel("DEBUG")
    logger.addHandler(ring)
    for handler in handlers:
        tea.addHandler(handler)
    try:
        with obs.flow() as run, suppress(ValueError):
            act()
        events = ring.events(run.flow_id)
        texts = [dumps(events), json.dumps(run.get_flow_log().to_dict()), *(stream.getvalue() for stream in streams)]
        texts += [repr(record) + repr(vars(record)) for record in records]
    finally:
        logger.removeHandler(ring)
        for handler in handlers:
            tea.removeHandler(handler)
            handler.close()
    return texts, events
