"""Where a value ends: quotes of all kinds, headers, cookies and blocks."""

from __future__ import annotations

import pytest

from the_edge_obs.secrets.keys import SECRET, WEAK
from the_edge_obs.secrets.spans import Name, authorization, cookie, indented, judged, quoted, starts_quoted, without_closers
from the_edge_obs.secrets.values import SECRET_LIKE, WORD

NAME = Name(0, 8, "password", SECRET)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("'hunter2' x", "hunter2"),
        ('"hun\\"ter2" x', 'hun\\"ter2'),
        ('\\"hunter2\\" x', "hunter2"),
        ('\\\\\\"hunter2\\\\\\" x', "hunter2"),
        ('"""hun"ter2""" x', 'hun"ter2'),
        ("b'hunter2'", "hunter2"),
        ("&quot;hunter2&quot; x", "hunter2"),
        ("%22hunter2%22", "hunter2"),
        ("`hun\nter2`", "hun\nter2"),
        ("'hunter2", "hunter2"),
        ("'hunter2\nnext'", "hunter2"),
        ('"hunter2\\\\" x', "hunter2\\\\"),
        ('string(7) "hunter2"', "hunter2"),
    ],
)
def test_quotes(text: str, inside: str) -> None:
    """A value ends at the quote that opened it, with its backslashes; without one, at the end of the line."""
    span = quoted(text, NAME, 0, WORD)
    assert span is not None
    assert text[span[0] : span[1]] == inside
    assert starts_quoted(text, 0)


def test_what_is_not_a_value() -> None:
    """No quote, an empty text, an ordinary word, a placeholder."""
    assert [quoted(text, NAME, 0, WORD) for text in ("hunter2", "''", "'string'", "'[REDACTED]'", "'[REDACTED", "")] == [None] * 6
    assert judged("  hunter2 ", NAME, 0, 10, SECRET_LIKE) == (2, 9)
    assert judged("morning", Name(0, 7, "session", WEAK), 0, 7, WORD) is None


@pytest.mark.parametrize(
    ("word", "kept"),
    [("abc)", "abc"), ("a(b)c", "a(b)c"), ("abc).", "abc"), ("abc]}!", "abc"), ("a[0]", "a[0]"), ("", ""), ("...", "")],
)
def test_closers(word: str, kept: str) -> None:
    """Brackets that a word opens are its own; sentence marks are not."""
    assert word[: without_closers(word, 0, len(word))] == kept


def test_headers_cookies_and_blocks() -> None:
    """Credentials with their scheme, cookies with their attributes, lines that are indented further than their name."""
    header = "Authorization: Token abc123def, and more"
    span = authorization(header, 15, 0)
    assert span is not None
    assert header[span[0] : span[1]] == "Token abc123def"
    text = "Set-Cookie: sid=abc; Path=/; HttpOnly and"
    span = cookie(text, 12)
    assert span is not None
    assert text[span[0] : span[1]] == "sid=abc; Path=/"
    text = "  key: |\n    one\n\n    two\n  next: 1"
    span = indented(text, Name(2, 5, "key", SECRET), 9)
    assert span is not None
    assert text[span[0] : span[1]] == "one\n\n    two"
