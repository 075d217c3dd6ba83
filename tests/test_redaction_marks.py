"""What was cut is told alike, whether it is found while a snapshot is looked through or by what scrubbing made of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from the_edge_obs.context import FlowState
from the_edge_obs.redaction.marks import MAX_PATHS, Mark, cut_paths, paths_of
from the_edge_obs.redaction.verdicts import Remembered

SECRET = Mark("[REDACTED]")
REST = Mark("[+3 items]")


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ({"a": "x", "b": [1, None]}, []),
        (Mark("x…[+5 chars]"), ["input"]),
        ({"key": SECRET, "a b": SECRET, "text": "[REDACTED]"}, ["input.key", 'input["a b"]']),
        ({"a": [{"b": "x"}, {"b": SECRET}], "c": {"d": [SECRET, "y"]}}, ["input.a[1].b", "input.c.d[0]"]),
        ({"a": [1, REST], "b": {"c": 1, "…": REST}, "…": REST}, ["input.a", "input.b", "input"]),
        ([SECRET, REST, "x"], ["input[0]", "input[1]"]),
        ({"a": [{"b": SECRET}] * 3}, ["input.a[0].b", "input.a[1].b", "input.a[2].b"]),
        ([[SECRET] * 40] * 2, [f"input[{at // 40}][{at % 40}]" for at in range(MAX_PATHS)] + ["…"]),
        ({"k" * 200: {"k" * 200: SECRET}}, [f"input.{'k' * 200}.{'k' * 49}"]),
    ],
)
def test_both_ways_tell_the_same(taken: Any, told: list[str]) -> None:
    known = Remembered(FlowState("6e4ab8e3-9c8b-4ab9-a1a1-5a2f3b4c5d6e", "x"))
    ways = known.marks_in(taken)
    assert ways is not None
    assert paths_of("input", ways) == told
    assert cut_paths("input", taken, deepcopy(taken)) == told


def test_a_mark_is_never_taken_for_the_text_that_it_is() -> None:
    assert SECRET == "[REDACTED]"
    assert SECRET not in {"[REDACTED]"}
