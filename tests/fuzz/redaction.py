"""Redaction under fuzz: texts, texts with planted secrets, and values of any kind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub, scrub_text

from .guards import assert_linear, ends_within

# What the patterns look for, and what brings them out of step: quotes, backslashes, halves of shapes.
_PIECES = (
    "password passwd pwd secret token api_key apikey Authorization Bearer Basic Digest Cookie Set-Cookie credential signature "
    "sig auth session key PRIVATE sk- ghp_ AKIA eyJ xoxb- glpat- hvs. SG. ya29. AIza -----BEGIN -----END KEY----- "
    ":// http://u: @h https:// = : := => ' \" ` \\ \\\" \\' \\n \\u0022 %3D %22 &quot; "
    "( ) [ ] { } < > </ /> , ; & ? # | - -- _ . … …[+ [REDACTED] b' u\" ('"
).split()
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_JUNK = st.one_of(
    st.sampled_from([*_PIECES, " ", "\n", "\r\n", "\t", "  ", "\x00", "\x1b[2J", "\u2028", "\ud800", "é", "密码", "🦊"]),
    st.text(max_size=8),
    st.text(st.sampled_from(_LETTERS + "+/=_-."), min_size=8, max_size=60),
    st.builds(lambda piece, times: piece * times, st.sampled_from(_PIECES), st.integers(2, 60)),
)
# A shape that begins as a secret does, and then goes on and on with one of the pieces: what makes a pattern go back.
_OPEN = st.builds(
    lambda name, mark, quote, piece, times, end: f"{name}{mark}{quote}{piece * times}{end}",
    st.sampled_from(["password", "pwd", "token", "api_key", "Authorization", "Cookie", "secret", "<password>", "https://u"]),
    st.sampled_from(["=", ": ", ":", " = ", " := ", " => ", "%3D", " "]),
    st.sampled_from(["", "'", '"', "`", "[", '\\"', "Bearer ", "Basic "]),
    st.sampled_from(_PIECES),
    st.integers(2, 200),
    st.sampled_from(["", "\n", " ", '"', "@", "\nrest of text"]),
)
_TEXTS = st.one_of(st.lists(_JUNK, max_size=14).map("".join), _OPEN, st.lists(_OPEN, max_size=3).map(" ".join))

# None of these words means anything to a rule, alone or beside another.
_WORDS = st.sampled_from("the quick brown fox jumps over seven lazy dogs near harbour gravel onion 42 1,207 0.5 12:30".split())
_LINES = st.lists(_WORDS, min_size=1, max_size=9).map(" ".join)


@st.composite
def _strong(draw: st.DrawFn) -> str:
    """Draw a secret that looks like one: 16 characters or more, now and then hundreds, of small and large letters and digits."""
    body = draw(st.text(st.sampled_from(_LETTERS), min_size=13, max_size=40))
    return f"q7{body * draw(st.sampled_from([1, 1, 1, 8, 40]))}Z"


_NAMES = st.sampled_from(
    "password PASSWORD db_password dbPassword DB_PASSWORD client_secret clientSecret api_key apiKey X-API-Key OPENAI_API_KEY "
    "access_token accessToken refresh-token passphrase secret_key private_key".split()
)
_CARRIERS = st.sampled_from(
    [
        "{name}={secret}",
        "{name}: {secret}",
        "{name} = {secret}",
        '{name}="{secret}"',
        "{name} = '{secret}'",
        '"{name}": "{secret}"',
        "'{name}': '{secret}'",
        '{{"a": 1, "{name}": "{secret}", "b": [2]}}',
        '{{\\"{name}\\": \\"{secret}\\"}}',
        "Settings(host='h', {name}='{secret}', retries=3)",
        "export {name}={secret}",
        "https://api.example.org/v1?{name}={secret}&page=2",
        "https://kestrel:{secret}@git.example.org/app",
        "Authorization: Bearer {secret}",
        "{{'Authorization': 'Bearer {secret}'}}",
        "[('{name}', '{secret}')]",
        "--{name}={secret}",
        '{name} := "{secret}"',
        "'{name}' => '{secret}',",
        'var {name} string = "{secret}"',
        "{name}: `{secret}`",
        "<{name}>{secret}</{name}>",
        '<add key="{name}" value="{secret}" />',
        '{{"name": "{name}", "value": "{secret}"}}',
        'setProperty("{name}", "{secret}");',
        "{name}%3D{secret}",
        "curl -u kestrel:{secret} https://ci.example.org",
        "ALTER USER app PASSWORD '{secret}';",
    ]
)


@given(text=_TEXTS)
def texts(text: str) -> None:
    """Any text gives a text that UTF-8 can hold, in linear time; what is scrubbed stays as it is when it is scrubbed again."""
    with ends_within(10):
        clean = scrub_text(text)
        clean.encode("utf-8")
        again = scrub_text(clean)
        assert scrub_text(again) == again
        assert_linear(scrub_text, text)


_PLANTS = st.lists(st.tuples(_NAMES, _CARRIERS, _strong()), min_size=1, max_size=3)
_BESIDE = st.lists(_LINES, max_size=4)


@given(before=_BESIDE, plants=_PLANTS, between=st.sampled_from(["\n", " ", ", "]), after=_BESIDE)
def planted(before: list[str], plants: list[tuple[str, str, str]], between: str, after: list[str]) -> None:
    """Secrets among lines of words, on one line or on several, are gone, and every line of words is as it was."""
    inside = between.join(carrier.format(name=name, secret=secret) for name, carrier, secret in plants)
    with ends_within(10):
        clean = scrub_text("\n".join([*before, inside, *after]))
    assert [secret for *_, secret in plants if secret in clean] == []
    lines = clean.split("\n")
    assert (lines[: len(before)], lines[len(lines) - len(after) :]) == (before, after)


class _Hostile:
    """An object each of whose methods fails."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def _fail(self, *args: object) -> Any:
        raise RuntimeError("asked")

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = _fail  # type: ignore[assignment]


_ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _TEXTS,
    st.binary(max_size=40),
    st.dates(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.builds(_Hostile),
    st.builds(object),
)
_KEYS = st.one_of(
    st.text(max_size=12), st.integers(), st.booleans(), st.none(), st.sampled_from(["name", "value", "key", "tokens"])
)
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def _around(draw: st.DrawFn, core: Any) -> Any:
    """Draw containers around a value, at most six deep."""
    value = core
    for _ in range(draw(st.integers(0, 6))):
        beside = draw(_VALUES)
        value = draw(st.sampled_from([[beside, value], (value, beside), {"inner": value, "beside": beside}, {7: value}]))
    return value


@given(data=st.data(), name=_NAMES, secret=_strong())
def values(data: st.DataObject, name: str, secret: str) -> None:
    """Any value becomes strict JSON and stays as it is; a secret under its key is gone, and gone from what comes later."""
    value = data.draw(_around({name: secret}))
    flow, before = FlowState(new_flow_id(), "fuzz"), _shape(value)
    with ends_within(10):
        taken = snapshot(value, flow)
        line = json.dumps(scrub(taken, flow.taints), ensure_ascii=False, allow_nan=False)
        later = scrub_text(f"the server said {secret!r} and {secret}", flow.taints)
    line.encode("utf-8")
    assert secret not in line
    assert secret not in later
    assert _shape(value) == before


def _shape(value: Any) -> Any:
    """Return what tells whether a value was changed, without asking it anything."""
    if type(value) is dict:
        return [(id(key), _shape(item)) for key, item in value.items()]
    return [_shape(item) for item in value] if type(value) in (list, tuple) else id(value)
