"""Text for people and terminals: what is escaped, columns, cuts, durations, times and amounts."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.errors import DurationError
from the_edge_obs.event_query import parse_time
from the_edge_obs.text import (
    View,
    clock_text,
    columns,
    counted,
    dollars,
    drawable,
    duration_text,
    fitted,
    printable,
    printable_json,
    seconds_of,
)


def test_printable_keeps_what_is_printable() -> None:
    """Text of any script stays; only what steers is escaped."""
    assert printable("żółć 漢字 😀") == "żółć 漢字 😀"
    assert printable("a\tb\x1b\u202e") == "a\\tb\\x1b\\u202e"


HIDING = [
    "\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\x9b31m", "\xa0", "\xad", "\u034f", "\u061c", "\u115f", "\u180e",
    "\u200b", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\u3164", "\ud800", "\ufe00", "\ufe0f\ufe0f",
    "\ufeff", "\uffa0", "\U000e0041", "\U000e0100",
]  # fmt: skip


@pytest.mark.parametrize("text", HIDING, ids=ascii)
def test_what_steers_a_terminal_or_hides_a_text_is_escaped(text: str) -> None:
    """C0, C1, DEL, direction, separators, zero width, tags, selectors, fillers, surrogates; in JSON it is equal JSON."""
    shown, json_shown = printable(f"a{text}b"), printable_json(json.dumps({text: [text]}, ensure_ascii=False, indent=1))
    assert text not in shown
    assert json.loads(json_shown) == {text: [text]}
    for one in (shown, json_shown.replace("\n", "")):
        assert one.isprintable()
        assert not set(one) & set("\u034f\u115f\u3164\ufe00\uffa0\U000e0100")


@pytest.mark.parametrize("text", ["", "plain", "Grüße", "日本語", "❤️ ok", "x" * 10_000, "e\u0301"])
def test_what_shows_stays(text: str) -> None:
    """Letters of all scripts, accents, one selector that makes a sign an emoji."""
    assert (printable(text), printable_json(text)) == (text, text)


@given(st.text(max_size=30))
def test_escaped_json_is_equal_json(text: str) -> None:
    """Whatever the text, and nothing but line feeds is not printable."""
    shown = printable_json(json.dumps([text], ensure_ascii=False, indent=1))
    assert json.loads(shown) == [text]
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (0, "0.00 ms"),
        (9.99, "9.99 ms"),
        (9.996, "10.0 ms"),
        (999.94, "999.9 ms"),
        (999.96, "1.00 s"),
        (59_994, "59.99 s"),
        (59_996, "1 min 0 s"),
        (3_599_400, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
    ],
)
def test_durations(milliseconds: float | None, text: str) -> None:
    """A duration has the unit that people would give it, and no unit is overfull."""
    assert duration_text(milliseconds) == text


def test_cutting() -> None:
    """A cut text fills its columns at most, and shows the cut."""
    view = View()
    assert [fitted(text, 5, view) for text in ("12345", "123456", "要約要約", "e\u0301" * 5)] == [
        "12345",
        "1234…",
        "要約…",
        "e\u0301" * 5,
    ]


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("要約", 4), ("e\u0301", 1), ("a要", 3)])
def test_columns(text: str, width: int) -> None:
    """A wide character takes two columns, a combining one none."""
    assert columns(text) == width


@given(st.text(max_size=20) | st.text(alphabet="abcé…→─█▌要\u0301", max_size=20))
def test_columns_are_those_of_its_characters(text: str) -> None:
    """The short way for common characters counts as Unicode does."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text if not unicodedata.combining(char))
    assert columns(text) == sum(not unicodedata.combining(char) for char in text) + wide


def test_counts_and_amounts() -> None:
    """A noun has its plural, thousands are grouped, and small amounts keep their digits."""
    assert [counted(number, "event") for number in (0, 1, 2, 12_345)] == ["0 events", "1 event", "2 events", "12,345 events"]
    assert [dollars(cost) for cost in (1234.5, 1, 0.1234, 0.0001, 0.00002)] == [
        "$1,234.50",
        "$1.00",
        "$0.1234",
        "$0.0001",
        "$2e-05",
    ]


def test_a_time_that_no_calendar_has_is_the_number() -> None:
    """Logs of other writers may claim any time."""
    assert [clock_text(seconds) for seconds in (1e17, 2.0**62)] == ["1e+17", "4.611686018427388e+18"]


@pytest.mark.parametrize("seconds", [-62_135_000_000.0, -30_000_000_000.0, 0.0, 253_402_000_000.0])
def test_a_time_that_is_shown_can_be_read(seconds: float) -> None:
    """Also one of the first thousand years; ``--since`` takes what ``ls`` prints."""
    assert parse_time(clock_text(seconds, zone=False), 0.0) == seconds


@pytest.mark.parametrize(("encoding", "is_drawable"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("no such", False)])
def test_drawable(encoding: str, is_drawable: bool) -> None:
    """Box characters are used only where the encoding has them."""
    assert drawable(encoding) is is_drawable


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        (" 1.5 s ", 1.5),
        ("2m", 120),
        ("2min", 120),
        ("-5m", -300),
        ("+12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """A number with a unit; blanks do no harm."""
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 fortnights", "1.5.5s", "5s5m", "\u0665 fortnights"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    """The message names the value, what it is for, and the units."""
    with pytest.raises(DurationError, match=r"age '.*' is not a number with a unit; write something like 30d, .*units: ms, s"):
        seconds_of(text, "age")
