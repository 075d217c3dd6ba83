"""Payloads as bytes: the same as snapshots, whatever is captured and whatever the flow learns before or after."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from the_edge_obs.context import FlowState, SpanContext
from the_edge_obs.event import dumps
from the_edge_obs.handlers import lines
from the_edge_obs.handlers.lines import encoded
from the_edge_obs.recording.records import ENTRY, EXIT, NOTHING, NOWHERE, PLAIN, Facts, Kind, event_of_facts, events_of, size_of
from the_edge_obs.redaction.marks import Mark
from the_edge_obs.redaction.payloads import CORE, PURE, PYTHON, captured, is_encoded, snapshot_of
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import learn, scrub
from the_edge_obs.redaction.verdicts import Remembered, remembered
from the_edge_obs.secrets.keys import classes_for
from the_edge_obs.secrets.policies import Policy, activate

from .strategies import FLOW
from .test_handlers_lines import METRICS, NUMBERS, SECRETS, TEXTS, WALLS

pytestmark = pytest.mark.skipif(
    CORE.startswith(PYTHON), reason="the native core is not installed (pip install ./rust/python), or left out"
)

KEYS = st.one_of(
    st.sampled_from(["model", "content", "role", "name", "value", "text", "password", "token", "tokens", "session", "auth", "…"]),
    st.sampled_from(["max_tokens", "x-api-key", "cut", "error", 'a"b', "\ud800", "k" * 232, "k" * 233, "k" * 257, 1, None, True]),
    st.text(max_size=6),
)
LEAVES = st.one_of(st.none(), NUMBERS, TEXTS, st.sampled_from(["--password", "opaque-4711", "x" * 8_192, "x" * 8_193, b"bytes"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.tuples(KEYS, inner), st.dictionaries(KEYS, inner, max_size=5)
    ),
    max_leaves=25,
)
# Most of these are taken as bytes.
PLAIN_KEYS = st.sampled_from(
    ["model", "content", "role", "name", "password", "token", "x-api-key", "session", "cut", "error", 'a"b']
)
PLAIN_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-200_000, 200_000),
    st.floats(1e-3, 1e9),
    st.integers(-(10**15), 10**15).map(lambda thousandths: thousandths / 1_000),
    TEXTS.filter(lambda text: len(text) <= 300),
)
PLAIN_VALUES = st.dictionaries(
    PLAIN_KEYS,
    st.recursive(
        PLAIN_LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(PLAIN_KEYS, inner, max_size=5)
        ),
        max_leaves=15,
    ),
    max_size=6,
)


def marked(value: Any) -> Any:
    """Return a snapshot in which marks and the types of numbers can be compared."""
    if type(value) is dict:
        return {key: marked(item) for key, item in value.items()}
    if type(value) is list:
        return [marked(item) for item in value]
    return (type(value), repr(value))


def fact(flow: FlowState, payload: Any, kind: Kind = ENTRY) -> Facts:
    duration = 12_345_678 if kind is EXIT else None
    return (SpanContext(flow, 2**63 + 1, 7, "n", None), kind, 20, 1_700_000_000_123_456_789, None, payload, duration, NOWHERE)


def both(value: Any, keys: list[str] | None = None) -> tuple[FlowState, Any, FlowState, Any]:
    """Return a flow and the payload that is captured natively where that is possible, and the same in pure Python."""
    one, other = FlowState(FLOW, "x"), FlowState(FLOW, "x")
    classes = classes_for(keys)
    return one, captured(value, one, classes), other, snapshot(value, other, classes)


@pytest.mark.slow
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@example({"a": {"password": "opaque-4711", "b": [{"token": "abcdefgh12345"}]}, "text": "opaque-4711"}, "hunter22", [])
@example([["Authorization", "opaque-4711"], ("x-api-key", "opaque-4711")], "hunter22", [])
@example({"name": "password", "value": "hunter22"}, "hunter22", [])
@example({"name": "x", "Parameter-Name": "password", "value": "hunter22"}, "hunter22", [])
@example([{"id": 7, "text": "hunter22"}, {"id": "password", "text": "hunter22"}], "hunter22", [])
@example({"note": "see 123456789", "n": 123456789, "f": 1e-4, "g": 1e16}, "123456789", [])
@example({"cut": 1, "a": 'quoted " \\ \n \x00 \x7f \u2028 é 😀'}, 'pa"ss\\wörd', ["note"])
@given(VALUES | PLAIN_VALUES, st.sampled_from(SECRETS), st.sampled_from([[], ["note"], ["role", "x"]]))
def test_both_ways_capture_the_same(value: Any, later: str, keys: list[str]) -> None:
    """The snapshot, the taints, the event and the line are the same, and stay so when the flow learns a secret afterwards."""
    one, payload, other, taken = both(value, keys)
    # Of a value that is a secret as a whole, only one of them may know so yet: both lose it when they are scrubbed.
    assert dumps(scrub(snapshot_of(payload), one.taints)) == dumps(scrub(taken, other.taints))
    assert one.taints == other.taints
    for kind in (ENTRY, EXIT):
        for _ in range(2):
            assert encoded(fact(one, payload, kind)) == encoded(fact(other, taken, kind))
            event = event_of_facts(fact(other, taken, kind))
            assert dumps(event_of_facts(fact(one, payload, kind))) == dumps(event)
            # The second is made by the core, with what it lacked for the first.
            assert [marked(made) for made in events_of([fact(one, payload, kind)] * 2)] == [marked(event)] * 2
        learn(one, [later])
        learn(other, [later])
    assert encoded(fact(one, payload)) == encoded(fact(other, taken))


PLACES = st.builds(
    SpanContext,
    st.just(FlowState(FLOW, "x")) | st.just(FlowState(FLOW, "x")),
    st.integers(0, 2**64 - 1),
    st.none() | st.integers(0, 2**64 - 1),
    st.sampled_from(["llm.call", "flow", 'a"b']),
    st.none() | st.sampled_from(["load"]),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(
            lambda place, kind, payload, *rest: (place, kind, *rest[:2], rest[2], payload, rest[3], NOWHERE),
            PLACES,
            st.sampled_from([ENTRY, EXIT, PLAIN["error"], Kind("metric", "output")]),
            PLAIN_VALUES.map(lambda value: captured(value)) | st.just(NOTHING) | LEAVES.map(snapshot) | VALUES.map(snapshot),
            st.sampled_from([5, 10, 20, 25, 30, 40, 50]),
            WALLS,
            st.none() | st.none() | TEXTS,
            METRICS,
        ).filter(lambda facts: facts[1].key is not None or type(snapshot_of(facts[5])) is dict),
        max_size=8,
    )
)
def test_the_events_of_both_ways_are_equal(facts: list[Facts]) -> None:
    """Those that the core makes, and those that it leaves to Python among them, in their order."""
    for _ in range(2):
        made = list(events_of(facts))
        assert [marked(event) for event in made] == [marked(event_of_facts(one)) for one in facts]
        assert [list(event) for event in made] == [list(event_of_facts(one)) for one in facts]


def test_the_core_makes_what_most_events_are() -> None:
    """Entries and exits with plain payloads, redacted ones too, after the first like them."""
    flow = FlowState(FLOW, "x")
    payload = captured({"model": "m", "api_key": "sk-live-4f9c2b7a1d8e6053b2aa", "text": 'é "x" 😀'}, flow)
    several = [fact(flow, payload), fact(flow, payload, EXIT), fact(flow, NOTHING, EXIT), fact(flow, None, EXIT)]
    wanted = list(map(event_of_facts, several))
    assert list(events_of(several)) == wanted
    known = remembered(flow)
    with patch.object(Remembered, "scrubbed", side_effect=AssertionError("made by Python")):
        assert list(events_of(several)) == wanted
    assert remembered(flow) is known


def test_events_that_were_made_share_nothing() -> None:
    """Whoever changes an event changes no other one."""
    flow = FlowState(FLOW, "x")
    payload = captured({"a": {"b": [1]}, "password": "opaque-4711"}, flow)
    several = [fact(flow, payload), fact(flow, payload), (*fact(flow, payload)[:6], {"tokens": 1}, NOWHERE)]
    list(events_of(several))
    first, second, third = events_of(several)
    wanted = dumps(second)
    for part in (first, first["data"], first["data"]["cut"], first["data"]["input"]["a"]["b"], third["metrics"]):
        part.clear()
    assert dumps(second) == wanted
    assert list(events_of(several)) == list(map(event_of_facts, several))


@pytest.mark.parametrize(
    "value",
    [
        {"model": "m", "api_key": "sk-live-4f9c2b7a1d8e6053b2aa", "messages": [{"role": "user", "content": "x" * 440}] * 10},
        {"a": [1, -2, 0.5, -0.0, True, None, "é", ("t", 1)], "b": {}, "c": []},
        [{"id": number, "text": "y" * 100} for number in range(200)],
    ],
)
def test_what_most_payloads_are_is_bytes(value: Any) -> None:
    """Chats, scalars, tuples and long lists do not fall back to Python."""
    payload = captured(value, FlowState(FLOW, "x"))
    assert is_encoded(payload)
    assert payload.json == dumps(snapshot_of(payload)).encode()


@pytest.mark.parametrize("char", ['"', "\\", "\n", "\x00", "\x1f", " ", "\x7f", "é", "😀"])
def test_texts_are_escaped_wherever_that_is_needed(char: str) -> None:
    """Bytes are looked at by the eight and by the thirty-two."""
    for length in (*range(20), 31, 32, 33, 40, 63, 64, 75):
        for at in range(length + 1):
            text = "a" * at + char + "b" * (length - at)
            payload = captured({"text": text})
            assert payload.json == dumps({"text": text}).encode()


_LAST = 8_589_934_592 * 10**9
PLACES = st.tuples(
    st.integers(2**63, 2**64 - 1) | st.integers(2, 2**64 - 1),
    st.none() | st.integers(2, 2**64 - 1),
    st.sampled_from(["llm.call", 'a"b', "\ud800", "é"]),
    st.sampled_from([None, None, "load", "st\ud800ep"]),
)
WALLS = st.one_of(
    st.integers(1_600_000_000_000_000, 1_900_000_000_000_000).map(lambda micros: micros * 1_000 + 999),
    st.integers(0, 2 * _LAST),
    st.sampled_from([0, 10**9 - 1, 10**9, 1_700_000_000 * 10**9, _LAST - 1, _LAST, 2**63, 10**25]),
)
EXITS = METRICS | st.sampled_from(
    [99, 100, 1_000_000, 10**15 - 1, 10**15, True, {}, {"duration_ms": 0.1, "tokens": 7}, {"hunter22": 1}, {"n": 123456789}]
)


@settings(deadline=None, max_examples=150)
@given(PLAIN_VALUES, PLACES, WALLS, EXITS, st.sampled_from([5, 20, 25, 40]), st.sampled_from(["", "", *SECRETS]))
def test_both_ways_write_the_same_lines(
    value: dict[str, Any], place: Any, wall: int, metrics: Any, level: int, learned: str
) -> None:
    """Whatever the ids, the names, the time and the metrics are, at their bounds as well."""
    one, payload, other, taken = both(value)
    number, parent, node, step = place
    if learned:
        learn(one, [learned])
        learn(other, [learned])
    for kind, figures in ((ENTRY, None), (EXIT, metrics), (ENTRY, metrics)):
        written = [
            encoded((SpanContext(flow, number, parent, node, step), kind, level, wall, None, what, figures, NOWHERE))
            for flow, what in ((one, payload), (other, taken))
        ]
        assert written[0] == written[1]


@pytest.mark.parametrize("metrics", [12_345_678, {"duration_ms": 12.5, "tokens": 7}])
def test_most_lines_are_joined_by_the_core(metrics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those with redacted keys, figures, and a step, in a flow that knows a secret; Python writes the rest."""
    flow = FlowState(FLOW, "x")
    slow: list[Facts] = []
    by_python = lines._by_python

    def noted(facts: Facts) -> bytes:
        slow.append(facts)
        return by_python(facts)

    monkeypatch.setattr(lines, "_by_python", noted)
    payload = captured({"text": "x" * 100, "api_key": "opaque-4711"}, flow)
    for step in (None, "load"):
        context = SpanContext(flow, 2**63 + 1, None, "n", step)
        for kind, figures in ((ENTRY, None), (EXIT, metrics)):
            encoded((context, kind, 20, 1_700_000_000_123_456_789, None, payload, figures, NOWHERE))
    assert slow == []
    odd = fact(flow, captured({"text": "password=opaque-4711"}, flow))
    assert b"opaque" not in encoded(odd)
    assert slow == [odd]


@pytest.mark.parametrize("number", [0.0, -0.0, 0.2, 0.001, 0.0011, 1.5, -2.75, 1e12, 999_999_999_999.999, 1e15, 0.1 + 0.2, 1e22])
def test_floats_are_written_as_python_writes_them(number: float) -> None:
    """Those with few digits have a way of their own."""
    for one in (number, -number):
        taken = captured({"n": one})
        assert (taken.json.decode() if is_encoded(taken) else dumps(taken)) == dumps({"n": one})


def test_a_secret_that_python_judged_is_not_asked_for_again() -> None:
    """A pass that needs an answer is repeated with it; what the flow knows needs none."""
    flow = FlowState(FLOW, "x")
    value = {
        "a": [{"password": "opaque-4711", "n": 1}],
        "token": "abcdefgh12345",
        "session": "kept",
        "max_tokens": 12,
        "tokens": 7,
    }
    for _ in range(2):
        payload = captured(value, flow)
        assert is_encoded(payload)
        assert snapshot_of(payload) == snapshot(value, FlowState(FLOW, "x"))
        assert payload.ways == (("a", 0, "password"), ("token",))
    assert {"opaque-4711", "abcdefgh12345"} <= flow.taints


def test_keys_are_known_by_their_text_and_not_by_their_object() -> None:
    """Keys that are made anew have the verdicts of those before, with an object of another key at their address as well."""
    for number in range(5_000):
        key = "".join(["pass", "word" if number % 2 else f"age{number}"])
        taken = snapshot_of(captured({key: "opaque-4711"}, FlowState(FLOW, "x")))
        assert taken == {key: "[REDACTED]" if number % 2 else "opaque-4711"}


def test_further_keys_belong_to_one_classifier() -> None:
    """The same key is secret for one function and not for another."""
    for _ in range(2):
        assert snapshot_of(captured({"badge": "opaque-4711"}, None, classes_for(["badge"]))) == {"badge": "[REDACTED]"}
        assert snapshot_of(captured({"badge": "opaque-4711"})) == {"badge": "opaque-4711"}


@pytest.mark.parametrize(
    "value",
    [
        "a text",
        {"a": {1, 2}},
        {"a": 2**63},
        {"a": float("nan")},
        {"a": 1e16},
        {"a": "\ud800"},
        {1: 2},
        {"a": "x" * 8_193},
        {"a": ["x" * 8_192] * 5},
        {"a": [0] * 201},
        [[0] * 190] * 11,
        ["--password", "x"],
    ],
    ids=repr,
)
def test_everything_else_is_a_snapshot(value: Any) -> None:
    """Other types, numbers that JSON cannot hold, what is cut, and what needs more than its key to be judged."""
    assert marked(captured(value)) == marked(snapshot(value))


def test_a_value_inside_itself_is_a_snapshot() -> None:
    """The walk ends at the cap on depth."""
    value: dict[str, Any] = {}
    value["self"] = value
    assert marked(captured(value)) == marked(snapshot(value))


def test_no_code_of_the_value_runs() -> None:
    """Types that only look like those of JSON are left to Python, which does not run their methods either."""

    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            return hash("password")

        __repr__ = __len__ = __iter__ = __eq__  # type: ignore[assignment]

    class Text(str):
        __slots__ = ()
        __str__ = __len__ = __iter__ = __hash__ = Hostile.__eq__  # type: ignore[assignment]

    for value in ({"a": Hostile()}, [Hostile()], {"a": Text("x")}, [(Text("x"), 1)]):
        assert not is_encoded(captured(value))


def test_a_later_change_is_not_visible() -> None:
    """The payload is a copy, and so is each snapshot of it."""
    value = {"a": [1], "password": "opaque-4711"}
    payload = captured(value, FlowState(FLOW, "x"))
    value["a"].append(2)
    first = snapshot_of(payload)
    first["a"].append(3)
    assert snapshot_of(payload) == {"a": [1], "password": "[REDACTED]"}
    assert type(snapshot_of(payload)["password"]) is Mark


def test_a_policy_is_the_business_of_python() -> None:
    """While one is active, nothing is captured as bytes, and bytes that were captured before are read again before they leave."""
    flow = FlowState(FLOW, "x")
    payload = captured({"note": "badge: 4711-ab"}, flow)
    assert is_encoded(payload)
    undo = activate(Policy(frozenset({"badge"})))
    try:
        assert not is_encoded(captured({"note": "badge: 4711-ab"}, flow))
        assert b'"badge: [REDACTED]"' in encoded(fact(flow, payload))
    finally:
        undo()
    assert b'"badge: 4711-ab"' in encoded(fact(flow, payload))


def test_bytes_have_a_size() -> None:
    """The cap of a ring counts them."""
    payload = captured({"text": "x" * 1_000})
    assert size_of(fact(FlowState(FLOW, "x"), payload)) == 584 + len(payload.json)


def test_pure_python_can_be_asked_for() -> None:
    """The environment variable leaves the core out."""
    code = "from the_edge_obs.redaction.payloads import CORE, captured, is_encoded; print(CORE, is_encoded(captured({'a': [1]})))"
    for value, said in (("1", "pure Python False\n"), ("", f"{CORE} True\n")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"THE_EDGE_OBS_PURE": value}, capture_output=True, text=True, check=True
        )
        assert done.stdout == said


def test_other_threads_run_while_a_large_payload_is_searched() -> None:
    """The search needs no Python object. In this test no thread is made to pass the lock of the interpreter on."""
    waiting, ran = threading.Event(), threading.Event()

    def other() -> None:
        waiting.wait()
        ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    try:
        waiting.set()
        for number in range(20_000):
            payload = captured([f"a text that is new {number} {at} " * 20 for at in range(40)])
            assert payload.is_clean(())
            if ran.is_set():
                break
        assert ran.is_set()
    finally:
        sys.setswitchinterval(before)
        thread.join()


@pytest.mark.parametrize("pure", ["1", ""], ids=["pure", "native"])
def test_a_capture_that_travels_uses_what_is_there(pure: str) -> None:
    """An observed function that is pickled by value refers to it; the other process may lack the core."""
    code, env = "import pickle, sys; print(pickle.load(sys.stdin.buffer))", {**os.environ, PURE: pure}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=pickle.dumps(captured), capture_output=True, check=True, env=env)
    assert done.stdout.decode().startswith("<function snapshot " if pure else "<built-in method capture ")


def test_a_large_payload_is_searched_by_python_first() -> None:
    """Other threads run meanwhile, and may let the flow learn a secret. After that, the core makes its events."""
    flow = FlowState(FLOW, "x")
    several = [fact(flow, captured({"texts": [f"{number} " + "x" * 8_000 for number in range(3)]}, flow))]
    wanted = list(map(event_of_facts, [fact(flow, snapshot_of(several[0][5]))]))
    with patch.object(Remembered, "scrubbed", autospec=True, side_effect=Remembered.scrubbed) as by_python:
        assert [list(events_of(several)) for _ in range(2)] == [wanted, wanted]
    assert by_python.call_count == 1
