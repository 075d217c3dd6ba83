"""Spots: a part of a flow, its place and the name that messages give it."""

from __future__ import annotations

import pytest

from the_edge_obs.flows.spot import Spot
from the_edge_obs.flows.yaml_source import MAX_MISTAKES, EnoughError, Source

LINES = {("nodes",): 2, ("nodes", 0): 3, ("nodes", 0, "with"): 5, ("nodes", 0, "with", "path"): 6}
FLOW = Spot(Source({}, "flow.yaml", LINES))
NODE = FLOW.key("nodes").node(0, "load")


@pytest.mark.parametrize(
    ("spot", "place", "owner", "step"),
    [
        (FLOW, (), "", None),
        (FLOW.key("nodes"), ("nodes",), "nodes", None),
        (FLOW.key("nodes").item(0), ("nodes", 0), "nodes[0]", None),
        (NODE, ("nodes", 0), "step 'load'", "load"),
        (NODE.at("with", "path"), ("nodes", 0, "with", "path"), "step 'load'", "load"),
        (NODE.key("goto").item(1), ("nodes", 0, "goto", 1), "step 'load': goto[1]", "load"),
        (NODE.at("with").called("settings"), ("nodes", 0, "with"), "settings", "load"),
        (NODE.at("with", "path").with_path(), ("nodes", 0, "with", "path"), "step 'load', key 'with.path'", "load"),
        (
            NODE.key("steps").node(2, "inner").at("run").with_path(),
            ("nodes", 0, "steps", 2, "run"),
            "step 'inner', key 'run'",
            "inner",
        ),
    ],
)
def test_spots_lead_inside(spot: Spot, place: tuple[object, ...], owner: str, step: str | None) -> None:
    """A key, an item and a node have names of their own, ``at`` keeps the name; the step stays the same."""
    assert (spot.place, spot.owner, spot.step) == (place, owner, step)


@pytest.mark.parametrize(
    ("spot", "line", "message"),
    [
        (FLOW, None, "flow.yaml: mistake"),
        (FLOW.key("nodes"), 2, "flow.yaml:2: nodes: mistake"),
        (NODE.at("with", "path"), 6, "flow.yaml:6: step 'load': mistake"),
        (NODE.at("with", "other"), 5, "flow.yaml:5: step 'load': mistake"),
    ],
)
def test_an_error_has_the_line_of_its_spot(spot: Spot, line: int | None, message: str) -> None:
    """The error names file, line and owner, and carries them and the step; an unknown place has the line around it."""
    error = spot.error("mistake")
    assert (str(error), error.path, error.line, error.step) == (message, "flow.yaml", line, spot.step)


def test_an_error_can_have_another_line() -> None:
    """Python and Jinja2 know the line inside a string."""
    assert NODE.error("mistake", line=9).line == 9


def test_a_wrong_value_is_shown_with_what_is_expected() -> None:
    """The value is quoted as Python writes it."""
    assert NODE.key("output").wrong(3, "a string").problem == "step 'load': output is 3; it must be a string"


def test_noted_mistakes_are_kept_until_there_are_enough() -> None:
    """Reading continues after a mistake, up to the limit."""
    spot = Spot(Source({}))
    for number in range(1, MAX_MISTAKES):
        spot.note(f"mistake {number}")
    with pytest.raises(EnoughError):
        spot.note(f"mistake {MAX_MISTAKES}")
    assert [mistake.problem for mistake in spot.source.mistakes] == [f"mistake {number + 1}" for number in range(MAX_MISTAKES)]


def test_an_attempt_notes_what_cannot_be_read() -> None:
    """A part that is read is returned; the mistake of another one is noted."""
    spot = Spot(Source({}), (), "nodes")

    def read(value: int) -> int:
        if value < 0:
            raise spot.wrong(value, "a positive number")
        return value

    assert (spot.attempt(read, 3), spot.attempt(read, -3)) == (3, None)
    assert [mistake.problem for mistake in spot.source.mistakes] == ["nodes is -3; it must be a positive number"]
