"""Typed values: everything comes back as it was, no secret stays, and what cannot be kept is said."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import sys
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs import NotRecordedError
from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.summaries import Listing
from the_edge_obs.redaction.texts import scrub
from the_edge_obs.redaction.typed import MAX_CHARS, MAX_DEPTH, digest_of, typed, untagged, value_of
from the_edge_obs.secrets.policies import Policy, activate

SECRET = "sk-proj-9fQ2xVb7Lm4TzR8wKc1YpD6s"


@dataclasses.dataclass(frozen=True)
class Order:
    """A class with code of its own, which reading a recording must not run."""

    number: int
    lines: tuple[str, ...]
    password: str | None = None

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("a recording runs no code")


ZONE = datetime.timezone(datetime.timedelta(hours=-3))
KEPT: list[Any] = [
    *(None, True, 0, -1.5, 1e300, "", "ä\n\u2028", [], {}, (), (1, (2,)), [(1, [2])], {"a": (1,)}, float("inf"), float("-inf")),
    *({1: "a", (2, 3): "b", None: "c", "d": "e"}, {"$": "tuple", "v": [1]}, {"1": "text", 1: "number"}, {"k" * 5_000: 1}),
    *({3, 1, 2}, frozenset({"b", "a"}), set(), b"\x00\xff", b"", bytearray(b"abc"), 2**63, -(2**200), decimal.Decimal("1.10")),
    *(
        datetime.datetime(2026, 5, 4, 3, 2, 1, 7, ZONE),
        datetime.date(2026, 5, 4),
        datetime.time(3, 2),
        datetime.timedelta(9, 8, 7),
    ),
    *(uuid.UUID(int=5), "x" * 40_000, [0.25] * 3_000, [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]], Order(1, ("a", "b"))),
]


@pytest.mark.parametrize("value", KEPT, ids=[f"{number} {type(value).__name__}" for number, value in enumerate(KEPT)])
def test_value_comes_back_with_its_types(value: Any) -> None:
    """Whatever the caps of the log: the value that comes back is equal, and so are its types."""
    taken = typed(value, "output")
    back = value_of(json.loads(json.dumps(taken.tree)))
    assert (back, repr(back)) == (value, repr(value) if not isinstance(value, (set, frozenset)) else repr(back))
    assert (type(back), taken.redacted, taken.lost) == (type(value), [], {})


def test_number_that_is_none_comes_back() -> None:
    """NaN is not equal to itself, so it has a test of its own."""
    back = value_of(typed([float("nan"), {"v": float("nan")}], "output").tree)
    assert repr(back) == "[nan, {'v': nan}]"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["token", "api_key"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(PLAIN)
def test_plain_values_are_redacted_as_in_the_log(value: Any) -> None:
    """Within the caps, JSON values become what the log shows: the same code decides what is a secret."""
    flow, other = FlowState(new_flow_id(), "a"), FlowState(new_flow_id(), "b")
    tree, taken = typed(value, "output", flow).tree, snapshot(value, other)
    if '"$":' not in json.dumps(tree):
        assert tree == scrub(taken, other.taints)
    assert set(flow.taints) == set(other.taints)


HIDDEN: list[Any] = [
    *({"access_token": SECRET}, {"apiKey": SECRET, "n": 1}, [f"Bearer {SECRET}"], {"headers": [("Authorization", SECRET)]}),
    *(["--password", SECRET], {"name": "password", "value": SECRET}, Order(1, (), SECRET), (SECRET,), {SECRET: 1}),
    *({1: {"password": SECRET}}, SECRET.encode(), {"raw": b"\xff" + SECRET.encode()}, {"x": {"password": {"inner": [SECRET]}}}),
]


@pytest.mark.parametrize("value", HIDDEN, ids=lambda value: type(value).__name__)
def test_secret_is_neither_in_the_value_nor_in_the_digest(value: Any) -> None:
    """A secret leaves no trace: with another one of another length, the JSON and the digest are the same."""
    text = repr(value)
    flow = FlowState(new_flow_id(), "f")
    first = typed(value, "output", flow)
    assert SECRET not in json.dumps(first.tree)
    assert first.redacted
    other = eval(text.replace(SECRET, "sk-proj-" + "Zq7" * 17), {"Order": Order})
    assert typed(other, "output", FlowState(new_flow_id(), "f")).tree == first.tree
    assert digest_of(other, FlowState(new_flow_id(), "f")).sha256 == digest_of(value, FlowState(new_flow_id(), "f")).sha256


PLANTED = "Vq7TzR8wKc1YpD6s9fQ2"
KEYS = st.sampled_from(["password", "api_key", "token", "text", "value", "name", "headers", "x", 7, (1, 2), None])
LEAVES = st.sampled_from(
    [PLANTED, f"Bearer {PLANTED}", f"password={PLANTED}", PLANTED.encode(), "word", 1, 2.5, b"\xff", "password"]
)
TYPED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(lambda password: Order(1, (), password), inner)
        | st.sets(LEAVES, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(TYPED)
def test_what_the_log_hides_is_not_recorded(value: Any) -> None:
    """A secret that capture takes out of a value, wherever and in whatever it stands, is in no typed value either."""
    flow, other = FlowState(new_flow_id(), "a"), FlowState(new_flow_id(), "b")
    logged = json.dumps(scrub(snapshot(value, other), other.taints))
    recorded = json.dumps(untagged(typed(value, "output", flow).tree), default=lambda raw: raw.decode("latin-1"))
    assert PLANTED in logged or PLANTED not in recorded


def test_learned_secret_is_removed_from_bytes_texts_and_numbers() -> None:
    """What the flow knows is a secret is gone in every shape, and the paths say where."""
    flow = FlowState(new_flow_id(), "f")
    flow.taints.learn("tomato-7-grüße", is_certain=True)
    flow.taints.learn(8_675_309, is_certain=True)
    taken = typed({"a": ["say tomato-7-grüße"], "b": "tomato-7-grüße".encode(), 7: 8_675_309}, "output", flow)
    assert value_of(taken.tree) == {"a": ["say [REDACTED]"], "b": "[REDACTED]", 7: "[REDACTED]"}
    assert taken.redacted == ["output.a[0]", "output.b", 'output["7"]']


def test_digest_is_the_sha256_of_canonical_json() -> None:
    """The documented form: compact JSON, sorted keys, UTF-8. Another runtime can compute it."""
    assert digest_of({"b": [1, 2.5, None], "a": "ä"}).sha256 == "324d0f98e8e7b390bd24bc556eff388b74bd640e9df12c341becba7b8658c628"
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of((1,)) != digest_of([1])
    assert digest_of({1: 2}) != digest_of({"1": 2})


@settings(max_examples=50)
@given(st.text("ab", min_size=1, max_size=3), st.integers(0, 60_000))
def test_digest_sees_what_lies_beyond_every_cap(change: str, at: int) -> None:
    """Two prompts that the log shows alike have digests of their own."""
    prompt = "x" * 60_000
    assert digest_of({"prompt": prompt}) != digest_of({"prompt": prompt[:at] + change + prompt[at:]})


def test_placeholders_that_correlate_count_as_plain_ones() -> None:
    """A policy with ``correlate`` writes digests that differ between processes; they are not part of ours."""
    plain = digest_of({"password": SECRET, "text": "a"}).sha256
    undo = activate(Policy(correlate=True))
    try:
        assert digest_of({"password": SECRET, "text": "a"}).sha256 == plain
    finally:
        undo()


class Client:
    """An object whose content nobody knows."""

    def __repr__(self) -> str:
        raise AssertionError("no code of the value runs")


def test_what_cannot_be_recorded_is_named() -> None:
    """An opaque object, a cycle, and what lies too deep are lost where they stand; the rest stays."""
    ring: list[Any] = []
    ring.append(ring)
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    taken = typed({"client": Client(), "ring": ring, "ok": 1, "bad": "\ud800"}, "output")
    module = Client.__module__
    assert taken.lost == {
        "output.client": f"{module}.Client: it is not plain data",
        "output.ring[0]": "list: it contains itself",
        "output.bad": "str: it is not valid Unicode",
    }
    assert [*typed(deep, "output").lost.values()] == ["list: nested more than 64 deep"]
    with pytest.raises(NotRecordedError, match=r"output\.client was not recorded: it is not plain data"):
        value_of(taken.tree)


def test_too_large_a_value_is_lost_as_a_whole() -> None:
    """The time and the size of a recording are bounded."""
    taken = typed(["x" * (MAX_CHARS + 1)], "output")
    assert taken.lost == {"output": "list: more than 500,000 values or 16,777,216 characters"}
    assert [*typed([0] * 500_001, "output").lost] == ["output"]
    assert not typed([0] * 400_000, "output").lost


def test_object_can_be_compared_but_not_made_again() -> None:
    """A subclass is known by its type and its content."""

    class Tagged(dict):  # type: ignore[type-arg]
        pass

    assert digest_of(Tagged(a=1)) != digest_of({"a": 1})
    assert digest_of(Tagged(a=1)) != digest_of(Tagged(a=2))
    with pytest.raises(NotRecordedError, match="cannot be made again"):
        value_of(typed(Tagged(a=1), "output").tree)


def test_result_that_is_logged_as_a_summary_is_recorded_whole() -> None:
    """Actions that return parts of the log are summarised there."""
    assert value_of(typed(Listing([1, 2], {"count": 2}), "output").tree) == [1, 2]


def test_dataclass_is_made_without_its_code_and_only_if_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording imports nothing: a class that is gone, or has changed, is named."""
    tree = typed(Order(1, ("a",)), "output").tree
    tree["v"]["number"] = -1
    assert value_of(tree).number == -1
    tree["v"]["new"] = 1
    with pytest.raises(NotRecordedError, match=r"not loaded, or has other fields now"):
        value_of(tree)
    monkeypatch.delitem(sys.modules, Order.__module__)
    with pytest.raises(NotRecordedError, match="import its module first"):
        value_of(typed(Order(1, ()), "output").tree)


@pytest.mark.parametrize(
    "tree",
    [
        *(
            {"$": "bytes", "v": "!"},
            {"$": "int", "v": []},
            {"$": "dict", "v": [[[], 1]]},
            {"$": "set", "v": [[1]]},
            {"$": "pickle"},
        ),
        *({"$": "tuple"}, {"$": "dataclass", "type": "os.system", "v": {}}, {"$": "decimal", "v": "x"}, {"$": "date", "v": 5}),
    ],
)
def test_recording_that_is_not_valid_is_an_error(tree: Any) -> None:
    """Whatever stands in a file: a value or one kind of error."""
    with pytest.raises(NotRecordedError, match=r"^output"):
        value_of(tree)


def test_value_that_is_nested_too_deep_is_an_error_when_it_is_made_again() -> None:
    """No recording has it; somebody wrote it by hand."""
    tree: Any = []
    for _ in range(sys.getrecursionlimit()):
        tree = [tree]
    with pytest.raises(NotRecordedError, match="output is not a valid recording: it is nested more than 64 deep"):
        value_of(tree, "output")
