"""Each target for a few seconds, with the same examples every time."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, Phase, settings

from .fuzz.guards import TookTooLongError, assert_linear, ends_within
from .fuzz.targets import TARGETS

pytestmark = pytest.mark.slow

EXAMPLES = {"texts": 60, "planted": 200, "values": 120, "logs": 80, "flows": 100, "templates": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds(name: str) -> None:
    """What must hold for any input holds for these; ``python -m tests.fuzz`` tries others."""
    # Not shrunk: with a call that hangs that takes minutes, and `python -m tests.fuzz` does it.
    profile = settings(
        max_examples=EXAMPLES[name],
        phases=[Phase.generate],
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    profile(TARGETS[name])()


def test_a_call_that_does_not_end_is_a_failure() -> None:
    """A hang inside one call, even of a regular expression, is reported and not waited for."""
    with pytest.raises(TookTooLongError, match="not done after"), ends_within(0.2):
        re.match(r"(a|a)*b", "a" * 64)


def test_quadratic_time_is_a_failure() -> None:
    """Growth is told by the ratio of two lengths, so the machine's speed does not matter."""
    with pytest.raises(TookTooLongError, match="times as long"):
        assert_linear(lambda text: [text[:at].count("x") for at in range(len(text))], "abc")
    assert_linear(lambda text: [ord(letter) for letter in text * 20], "abc")
