from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.text import View, columns
from the_edge_obs.tree.table import Cell, line_of, line_width, padded, room_beside, shared, widths_of

PLAIN = View()
CELLS = st.builds(
    Cell, st.text(alphabet="ab 漢\u0301", max_size=12), right=st.booleans(), stem=st.sampled_from(["", "│  ├─ ", "│  " * 9])
)


def test_cells_are_as_wide_as_their_columns() -> None:
    """Text is aligned left or right by terminal columns; a wide character takes two."""
    widths = (6, 5, 4)
    assert line_of([Cell("ab"), Cell("1", right=True), Cell("end")], widths, PLAIN) == "ab          1  end"
    assert line_of([Cell("漢字"), Cell("10", right=True), Cell("end")], widths, PLAIN) == "漢字       10  end"


def test_a_column_of_no_width_is_left_out() -> None:
    """Neither its text nor a gap is there."""
    assert line_of([Cell("a"), Cell("b"), Cell("c")], (1, 0, 1), PLAIN) == "a  c"


def test_long_text_is_cut_visibly() -> None:
    """A text ends with a mark at the width of its column; a stem gives way at half of it."""
    assert line_of([Cell("abcdef"), Cell("x")], (4, 1), PLAIN) == "abc…  x"
    assert line_of([Cell("abcdef"), Cell("x")], (4, 1), View(unicode=False)) == "a...  x"
    assert line_of([Cell("leaf", stem="│  " * 6)], (10,), PLAIN) == "│  │…leaf"


def test_the_text_alone_is_coloured() -> None:
    """Stem and blanks have no style, so that a background does not run across them."""
    cells = [Cell("ab", "ok", stem="└─ "), Cell("1", "error", right=True)]
    assert line_of(cells, (7, 3), View(colour=True)) == "└─ \x1b[32mab\x1b[0m      \x1b[31;1m1\x1b[0m"


def test_widths_are_those_of_the_widest_texts() -> None:
    """A column without text has width 0, and takes no gap."""
    widths = widths_of([("a", "", "漢"), ("abc", "", "x")])
    assert widths == [3, 0, 2]
    assert line_width(widths) == 7
    assert (room_beside(widths, 40), room_beside(widths, 20)) == (31, 16)
    assert room_beside([], 40) == 40


def test_a_label_and_a_node_share_the_room() -> None:
    """Both get what they want where there is room; otherwise the label keeps at least half of it."""
    assert shared(40, 10, 8) == (10, 8)
    assert shared(20, 30, 6) == (12, 6)
    assert shared(20, 30, 15) == (10, 8)
    assert shared(20, 30, 0) == (20, 0)


@given(st.lists(st.tuples(CELLS, st.integers(8, 20)), min_size=1, max_size=5))
def test_no_line_is_wider_than_its_columns(pairs: list[tuple[Cell, int]]) -> None:
    """Whatever the cells hold, columns stay aligned: each begins where the widths say."""
    cells, widths = [cell for cell, _ in pairs], [width for _, width in pairs]
    line = line_of([*cells, Cell("|")], [*widths, 1], PLAIN)
    assert columns(line) == line_width([*widths, 1])
    assert line.endswith("|")


def test_padding_counts_columns() -> None:
    """A text is as wide as asked for afterwards."""
    assert (padded("漢", 4), padded("abc", 2)) == ("漢  ", "abc")
