"""Whatever looks at foreign text takes time linear in it: shown on texts made of the pieces of every table of redaction."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub_text
from the_edge_obs.secrets import words as secret_words
from the_edge_obs.secrets.card_numbers import card_numbers
from the_edge_obs.secrets.keys import classify
from the_edge_obs.secrets.taints import Taints
from the_edge_obs.secrets.values import is_mixed, is_random, look_of

from .growth import assert_linear

pytestmark = pytest.mark.slow

SIZE = 5_000

FORMATS = [
    beginning
    for formats in (secret_words.FORMATS, secret_words.LOOSE_FORMATS)
    for beginnings, _ in formats
    for beginning in beginnings.split()
]
INNER = [inner for inner, *_ in secret_words.INNER_FORMATS]
NAMES = ["password", "pass", "token", "api_key", "session", "Authorization", "Cookie", "auth", "setPassword", "API key", "PWD"]
SIGNS = [
    *":: := ::= => -> <- = == ?= || | : > < </ /> @ :// % %3D %22 &quot; &gt; &lt; ** \\u003d".split(),
    *"' \" ` ''' \\' \\\" \\\\\" [ ] { } ( ) , ; & ? - -- $ # . _ ~ + / \\ é \uff1a".split(),
    " ",
    "\n",
    "\r\n",
    "\t",
    "|\n",
    ">-\n",
    "a",
    "A",
    "0",
    "x=",
    "[REDACTED]",
    "…[+",
    " is ",
    " string = ",
    "N'",
    'b"',
]
WORDS = [
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "-----END ",
    "bearer ",
    "basic ",
    "curl ",
    " -u a:",
    "mysql ",
    " -p",
    "identified by ",
    "key=",
    'name="password" ',
    'value="',
    "<![CDATA[",
    "<key>",
    "<string>",
    "name: ",
    "value: ",
    "eyJ",
    "AKIA",
    "0x",
    "user:",
    "host",
]
PIECES = [*FORMATS, *INNER, *NAMES, *SIGNS, *WORDS]


def repeated(unit: str, size: int) -> str:
    return (unit * (size // len(unit) + 1))[:size]


@pytest.mark.parametrize("group", ["inner", "names", "signs", "words"])
def test_a_piece_repeated(group: str) -> None:
    """A name, a sign: however often it comes, and after a name whose quote does not close."""
    for piece in {"inner": INNER, "names": NAMES, "signs": SIGNS, "words": WORDS}[group]:
        for before in ("", 'pwd="', "token: ", "<password>"):
            text = before + repeated(piece, 4 * SIZE)
            assert_linear(lambda size, text=text: text[:size], scrub_text, SIZE)


def test_the_beginning_of_a_format_repeated() -> None:
    """Each place in the text may be the beginning of a secret, and none of them is one."""
    for piece in FORMATS:
        text = repeated(piece, 12_000)
        assert_linear(lambda size, text=text: text[:size], scrub_text, 3_000)


@pytest.mark.parametrize("seed", range(40))
def test_pieces_together(seed: int) -> None:
    """Some pieces in turn, and all of them at random."""
    chance = random.Random(seed)
    unit = "".join(chance.choice(PIECES) for _ in range(chance.randint(2, 6)))
    assert_linear(lambda size: repeated(unit, size), scrub_text, SIZE)
    mixture = "".join(chance.choice(PIECES) for _ in range(4 * SIZE // 3))
    assert_linear(lambda size: mixture[:size], scrub_text, SIZE)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.lists(st.sampled_from(PIECES), max_size=3))
def test_any_pieces(unit: list[str], before: list[str]) -> None:
    """Whatever Hypothesis thinks of."""
    text = "".join(before) + repeated("".join(unit), 4 * SIZE)
    assert_linear(lambda size: text[:size], scrub_text, SIZE)


def mixtures() -> list[str]:
    """Return long texts of quotes, backslashes, brackets, spaces and letters at random."""
    chance = random.Random(7)
    alphabets = ("\"'\\`", "[]{}()<>", " \t\n=:", "pwd=\"'\\ \n", "a\\\"=:,'", "key: |>\n -")
    return ["".join(chance.choice(alphabet) for _ in range(4 * SIZE)) for alphabet in alphabets]


@pytest.mark.parametrize("text", mixtures())
def test_mixtures_of_signs(text: str) -> None:
    """Quotes, backslashes, brackets and spaces in any order, after a secret name or alone."""
    for before in ("", "pwd=", 'password: "'):
        assert_linear(lambda size, before=before: before + text[:size], scrub_text, SIZE)


def test_an_unclosed_quote_of_backslashes() -> None:
    """Fifty-four characters froze the process once: a quote that its line does not close, and backslashes."""
    assert scrub_text('pwd="' + "\\" * 32 + "\nrest of text") == 'pwd="[REDACTED]\nrest of text'
    assert_linear(lambda size: 'pwd="' + "\\" * size + "\nrest of text", scrub_text, SIZE)


@pytest.mark.parametrize("judge", [look_of, is_mixed, is_random, classify, card_numbers])
def test_judges(judge: object) -> None:
    """What judges a value or a key, whatever it is made of."""
    for unit in (
        "a",
        "aB",
        "A",
        "a1",
        "1",
        "a.",
        "a-",
        "a_b",
        "a(",
        "a b ",
        "/a",
        "x@y.",
        "[",
        "4111 ",
        "DE12 ",
        "password",
        "é",
    ):
        assert_linear(lambda size, unit=unit: repeated(unit, size), judge, SIZE)  # type: ignore[arg-type]


def test_judges_of_short_texts() -> None:
    """What is ordinary has at most 256 characters, in which a bad expression can already take for ever."""
    beginnings = (
        "",
        "your-",
        "<a",
        "${",
        "{{",
        "%(",
        "http://",
        "a@b.",
        "x.y.",
        "f(",
        "0x",
        "2026-01-02T",
        "new ",
        "a->b",
        "[REDACTED",
    )
    for beginning in beginnings:
        for unit in ("a", "a-", "a.", "A", "1", "aB", "_", ".", "-", " ", "a ", "->", "1a", "/", "@", "(", "é"):
            for end in ("", "!", "\n", ">"):

                def make(size: int, beginning: str = beginning, unit: str = unit, end: str = end) -> str:
                    return beginning + repeated(unit, size) + end

                assert_linear(make, look_of, 60)
                assert_linear(make, is_mixed, 60)


def test_learning_and_finding_taints() -> None:
    """Secrets of any length, and texts with beginnings of them at a cut."""
    for unit in ("ab-1", "a=b;", "Zq7 ", '{"a":"b"}', "\\", "é1", "%&<"):

        def learn(secret: str) -> None:
            Taints().learn(secret)

        assert_linear(lambda size, unit=unit: repeated(unit, size), learn, 2_000)
    taints = Taints()
    for number in range(1_000):
        taints.learn(f"{number:04d}-secret-" + "x" * 60)
    assert_linear(
        lambda size: repeated("0001-secret-" + "x" * 59 + " ", size) + "…[+5 chars]", lambda t: scrub_text(t, taints), SIZE
    )


def test_capturing_a_text() -> None:
    """A snapshot looks at a bounded part of a text: its time does not grow with it at all."""
    flow = FlowState(new_flow_id(), "f")
    assert_linear(lambda size: {"text": 'pwd="\\' * size}, lambda value: snapshot(value, flow), 20_000)
