"""Lists that come again: their snapshot is that of a list that came for the first time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.context import FlowState
from the_edge_obs.redaction.marks import Mark
from the_edge_obs.redaction.repeats import REPEATS
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.secrets.policies import Policy, activate

from .strategies import FLOW

KEYS = st.sampled_from(["role", "content", "name", "value", "password", "token", "type"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.floats(0, 1), st.sampled_from(["user", "hunter22", "y" * 70]))
VALUES = st.recursive(LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)))
DICTS = st.dictionaries(KEYS, VALUES, max_size=4)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    REPEATS.clear()
    yield
    REPEATS.clear()


def flow() -> FlowState:
    return FlowState(FLOW, "x")


def marked(value: Any) -> Any:
    if type(value) is dict:
        return {key: marked(item) for key, item in value.items()}
    return [marked(item) for item in value] if type(value) is list else (type(value), repr(value))


def tools() -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{at}", "required": ["words"]}} for at in range(3)]


def shared(value: Any) -> bool:
    """Tell whether two captures of a list have one snapshot."""
    first = snapshot({"tools": value}, flow())["tools"]
    return snapshot({"tools": value}, flow())["tools"] is first


@settings(deadline=None, max_examples=60)
@given(st.lists(DICTS, min_size=2, max_size=4), st.integers(0, 3), KEYS, VALUES)
def test_a_list_is_captured_as_if_for_the_first_time(source: list[dict[str, Any]], at: int, key: str, later: Any) -> None:
    """Again, after it has changed, and in a flow that knows one of its texts as a secret."""
    REPEATS.clear()
    for change in range(3):
        for before in ({}, {"password": "hunter22"}, {"note": "z" * 32_000}):
            one, other = flow(), flow()
            value = {**before, "messages": source}
            assert marked(snapshot(value, one)) == marked(snapshot(copy.deepcopy(value), other))
            assert one.taints == other.taints
        if change == 0:
            source[at % len(source)][key] = later
        else:
            source.pop()


def test_a_list_that_comes_again_shares_its_snapshot() -> None:
    """It is the same object, until anything in the list changes."""
    value = tools()
    assert shared(value)
    before = snapshot({"tools": value}, flow())["tools"]
    value[1]["function"]["required"][0] = "report"
    after = snapshot({"tools": value}, flow())["tools"]
    assert before[1]["function"]["required"] == ["words"]
    assert after[1]["function"]["required"] == ["report"]


def test_a_key_that_moves_to_the_next_dict_is_a_change() -> None:
    """All values are still there, in the same order."""
    value: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"c": 3}]
    assert shared(value)
    value[:] = [{"a": 1}, {"b": 2, "c": 3}]
    assert snapshot({"tools": value}, flow())["tools"] == [{"a": 1}, {"b": 2, "c": 3}]
    value[0]["b"] = value[1].pop("b")
    assert snapshot({"tools": value}, flow())["tools"] == [{"a": 1, "b": 2}, {"c": 3}]


def test_no_code_of_a_value_runs() -> None:
    """A value that took the place of another is not compared."""

    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = __len__ = __iter__ = __eq__  # type: ignore[assignment]

    value: list[dict[str, Any]] = tools()
    assert shared(value)
    value[0]["type"] = Hostile()
    assert snapshot({"tools": value}, flow())["tools"][0]["type"].endswith("Hostile>")


@pytest.mark.parametrize(
    "item",
    [{"password": "hunter22"}, {"text": "x" * 9_000}, {"a": {1, 2}}, {"a": ("t",)}, {"token": 12}, {1: 2}],
    ids=repr,
)
def test_a_list_with_anything_unusual_is_not_shared(item: dict[Any, Any]) -> None:
    """Secrets, cuts, other types, and keys that have to be judged with their values; a tuple becomes a list each time."""
    value = [{"role": "user"}, item]
    assert shared(value) == (item == {"a": ("t",)})


def test_a_secret_is_learned_by_each_flow() -> None:
    """A list that has one is read again for each."""
    value = [{"role": "user"}, {"password": "opaque-4711"}]
    for _ in range(3):
        own = flow()
        assert type(snapshot({"messages": value}, own)["messages"][1]["password"]) is Mark
        assert "opaque-4711" in own.taints


def test_a_policy_forgets_what_was_shared() -> None:
    """Its keys are secret in lists that came before, too."""
    value = [{"note": "opaque-4711"}, {"note": "b"}]
    assert shared(value)
    undo = activate(Policy(frozenset({"note"})))
    try:
        assert snapshot({"tools": value}, flow())["tools"][0]["note"] == "[REDACTED]"
    finally:
        undo()
    assert snapshot({"tools": value}, flow())["tools"][0]["note"] == "opaque-4711"


def test_lists_that_never_come_again_are_not_kept() -> None:
    """A few are, in case that they do; a list that came again is among them afterwards."""
    kept = tools()
    assert shared(kept)
    others = [tools() for _ in range(1_000)]
    for other in others:
        snapshot({"tools": other}, flow())
    assert sum(map(shared, others[:100])) < 20
