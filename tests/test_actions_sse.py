from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.actions import _sse
from the_edge_obs.actions._sse import Event, EventStream, StreamTooLargeError

from .growth import assert_linear


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        ("data: a\n\n", [("", "a")]),
        ("data: a", [("", "a")]),
        ("data: a\n", [("", "a")]),
        ("data:a\r\n\r\n", [("", "a")]),
        ("data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        ("data: a\n\r\ndata: b\r\n\n", [("", "a"), ("", "b")]),
        ("\ufeffdata: a\n\n", [("", "a")]),
        ("data\n\ndata:\n\ndata\ndata\n\n", [("", ""), ("", ""), ("", "\n")]),
        ("data: a\ndata:b\ndata:  c\n\n", [("", "a\nb\n c")]),
        (": comment\n:\ndata: a\n: in between\n\n", [("", "a")]),
        ("event: error\ndata: a\n\ndata: b\n\n", [("error", "a"), ("", "b")]),
        ("event: lonely\n\ndata: b\n\n", [("", "b")]),
        ('error: {"code": 400}\n\ndata: [DONE]\n\n', [("error", '{"code": 400}'), ("", "[DONE]")]),
        ("id: 1\nretry: 10\nid\ndata: a\n\n", [("", "a")]),
        ("data: a\u2028b\x0bc\x85d\n\n", [("", "a\u2028b\x0bc\x85d")]),
        ("", []),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_events_are_what_the_standard_says(sent: str, events: list[tuple[str, str]], size: int) -> None:
    """Every line end, comments, several lines, no last line end, a byte order mark; wherever the bytes are cut."""
    raw = sent.encode()
    stream = EventStream(raw[at : at + size] for at in range(0, len(raw), size))
    assert ([tuple(event) for event in stream], stream.stray) == (events, "")


@pytest.mark.slow
@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",))).map(lambda text: "x" + text)),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    cuts=st.lists(st.integers(0, 500)),
)
def test_where_the_bytes_are_cut_changes_nothing(texts: list[str], end: str, cuts: list[int]) -> None:
    """What arrives in one piece and what arrives in many are the same events."""
    raw = "".join(f"data: {text}{end}{end}" for text in texts).encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[start:stop] for start, stop in zip(places, places[1:], strict=False)]
    assert list(EventStream(pieces)) == [Event("", text) for text in texts]


def test_what_is_not_an_event_is_kept_in_part() -> None:
    """A page in place of a stream can be shown, and does not fill the memory."""
    stream = EventStream([b"<html>\n", b"<b>down</b>\n"] + [b"x" * 1_000 + b"\n"] * 1_000)
    assert list(stream) == []
    assert (stream.stray[:20], 64_000 < len(stream.stray) <= 65_536) == ("<html>\n<b>down</b>\nx", True)


def test_a_stream_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a line without an end nor a stream without one is read for ever."""
    monkeypatch.setattr(_sse, "_MAX_LINE", 100)
    monkeypatch.setattr(_sse, "_MAX_STREAM", 1_000)
    for pieces in ([b"data: ", b"x" * 101], [b"data: x\n\n"] * 200):
        with pytest.raises(StreamTooLargeError, match="larger than 1000 bytes, or has a line of more than 100 characters"):
            list(EventStream(pieces))


@pytest.mark.slow
def test_one_byte_at_a_time_takes_linear_time() -> None:
    """A long line in single bytes, a CR and LF between them or not, is not copied once per byte."""
    for raw in (b"x", b"x\r"):
        assert_linear(lambda size, raw=raw: [raw] * size, lambda pieces: list(EventStream(pieces)), 20_000)
