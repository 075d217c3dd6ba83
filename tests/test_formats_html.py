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
        ([], "there are no events to show, and a page shows one; "),
        ([*whole(1, 0, 1), *whole(1, 0, 1, flow_id=OTHER_FLOW)], "these events are of 2 flows, and a page shows one; "),
    ],
)
def test_a_page_shows_one_run(made: list[Event], problem: str) -> None:
    """The error says how to have pages of all."""
    with pytest.raises(ExportError) as caught:
        "".join(render(made, dropped={}))
    assert str(caught.value).startswith(problem)
    assert str(caught.value).endswith("tea-obs export LOG --format html -o FOLDER/")
