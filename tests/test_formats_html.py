from __future__ import annotations

import pytest

from the_edge_obs.errors import ExportError
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats.html import render
from the_edge_obs.pages import run_page

from .strategies import FLOW, OTHER_FLOW, Event, whole


def test_it_is_the_page_of_the_run() -> None:
    """With what the caller knows of lost events."""
    made = whole(1, 0, 1)
    assert "".join(render(made, dropped={FLOW: 2})) == "".join(run_page(build_flow_log(made, dropped=2)))


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ([], "no events to show; a page shows one flow: "),
        ([*whole(1, 0, 1), *whole(1, 0, 1, flow_id=OTHER_FLOW)], "these events belong to several flows; a page shows one flow: "),
    ],
)
def test_a_page_shows_one_run(made: list[Event], problem: str) -> None:
    """The error says how to have pages of all."""
    with pytest.raises(ExportError) as caught:
        "".join(render(made, dropped={}))
    assert str(caught.value).startswith(problem)
    assert str(caught.value).endswith("tea-obs export LOG --format html -o FOLDER/")


def test_a_second_run_is_refused_when_it_appears() -> None:
    """A folder of 10,000 runs is not read to its end, nor held in memory, only to say no."""
    made = iter([*whole(1, 0, 1), *whole(1, 0, 1, flow_id=OTHER_FLOW), *whole(2, 0, 1)])
    with pytest.raises(ExportError, match="belong to several flows"):
        next(render(made, dropped={}))
    assert len(list(made)) == 3
