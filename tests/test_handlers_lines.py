"""Lines straight from facts: the same bytes as by way of the event, whatever is in them and whatever the flow has learned."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import FlowState, SpanContext
from the_edge_obs.event import EVENT_TYPES, dumps
from the_edge_obs.handlers import lines
from the_edge_obs.handlers.formatters import to_line
from the_edge_obs.handlers.lines import encoded, encoded_event, encoded_item
from the_edge_obs.instrumentation.resources import shared_root_data
from the_edge_obs.recording.records import BEGUN, ENTRY, EXIT, NOTHING, NOWHERE, PLAIN, Facts, Kind, event_of_facts
from the_edge_obs.redaction import verdicts
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import learn
from the_edge_obs.redaction.verdicts import FLOWS, Remembered
from the_edge_obs.secrets.policies import Policy, activate

from .strategies import FLOW, OTHER_FLOW, event

SECRETS = ("hunter22", 'pa"ss\\wörd', "line\nbreak\x00", "123456789", "sürrogate\ud800", "1e16")
TEXTS = st.one_of(
    st.sampled_from(
        [
            *SECRETS, *(f"before {secret} after" for secret in SECRETS),
            "", "plain", "key", "a:b=c", "password=abcdef", "Bearer abcdefgh12345", "sk-abcdefghijklmnop1234", "https://u:pw1234@h/",
            "[REDACTED]", "x" * 300, "y" * 9_000, "hunt…[+12 chars]", "Straße", "\x7f\u2028\ud800", "api_key", "error", "…",
        ]
    ),
    st.text(max_size=12),
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from(
        [
            0.0,
            -0.0,
            1e16,
            9999999999999998.0,
            1e-4,
            9.9e-5,
            1e-7,
            -1e16,
            5e-324,
            1.7e308,
            float("nan"),
            float("inf"),
            float("-inf"),
        ]
    ),
    st.floats(),
    st.sampled_from([0, 123456789, -123456789, 2**63 - 1, 2**63, -(2**63), 10**400, True, False]),
    st.integers(-1000, 1000),
)
VALUES = st.recursive(
    st.none() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.integers(0, 3), inner, max_size=4),
    max_leaves=10,
)
NUMBER = st.integers(2, 2**64 - 1)
NOW = 1_700_000_000_123_456_789
WALLS = st.integers(0, 10**27) | st.sampled_from([0, 999, NOW, 1_700_000_000_000_000_000, 10**25, 10**25 - 1])
METRICS = st.one_of(
    st.none(),
    st.integers(0, 200),
    st.integers(0, 10**24),
    st.dictionaries(TEXTS | st.just("tokens"), st.none() | st.integers(0, 2**63 - 1) | st.floats(-1e20, 1e20), max_size=3),
)


def long_way(facts: Facts) -> bytes:
    """Return the line of the event, scrubbed without anything that is remembered."""
    with patch.multiple(Remembered, marks_in=lambda self, value: None, _known_copy=lambda *given: verdicts._UNKNOWN):
        return (to_line(event_of_facts(facts)) + "\n").encode("utf-8", "replace")


@pytest.fixture(params=["orjson", "json"], autouse=True)
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with orjson, where it is installed, and with json."""
    if request.param == "json":
        monkeypatch.setattr(lines, "_dump", lines._by_json)
    else:
        pytest.importorskip("orjson")


def fact(
    flow: FlowState,
    kind: Kind,
    payload: Any,
    *,
    number: int = 2**63 + 1,
    parent: int | None = 7,
    node: str = "n",
    step: str | None = None,
    level: int = 20,
    wall: int = NOW,
    message: str | None = None,
    metrics: Any = None,
) -> Facts:
    return (SpanContext(flow, number, parent, node, step), kind, level, wall, message, payload, metrics, NOWHERE)


@pytest.mark.parametrize("numbers", [{"wall": 10**25 - 1}, {"metrics": 10**22 - 1}, {"wall": 10**25 - 10**9, "metrics": 100}])
def test_numbers_that_round_to_an_exponent_take_the_long_way(numbers: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """orjson before 3.12 writes 1e16 where json writes 1e+16."""
    seen: list[Any] = []
    monkeypatch.setattr(lines, "_dump", lambda value: seen.append(value) or dumps(value).encode())
    facts = fact(INNOCENT, EXIT, {"a": 1}, **numbers)
    assert encoded(facts) == long_way(facts)
    assert [value for value in seen if isinstance(value, float) and "e" in repr(value)] == []


# Over all examples, so that what is remembered of a flow is met again.
LEARNING = FlowState(FLOW, "learning")
INNOCENT = FlowState(OTHER_FLOW, "innocent")


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_the_same_bytes_as_by_way_of_the_event(data: st.DataObject) -> None:
    """Whatever is captured, under every kind of event, for a flow that learns secrets and one that does not."""
    draw = data.draw
    flow = draw(st.sampled_from([LEARNING, INNOCENT]))
    if flow is LEARNING and draw(st.booleans()):
        learn(flow, [draw(st.sampled_from(SECRETS))])
    number = draw(NUMBER)
    kind = draw(st.sampled_from([ENTRY, EXIT, *PLAIN.values()]))
    values = VALUES if kind.key else st.dictionaries(TEXTS, VALUES, max_size=4)
    facts = fact(
        flow,
        kind,
        draw(st.just(NOTHING) | values.map(lambda value: snapshot(value, INNOCENT))) if kind.key else snapshot(draw(values)),
        number=number,
        parent=number // 2 if number % 3 else None,  # a span has one parent
        node=draw(st.sampled_from(["llm.call", 'a"b', "\ud800"])),
        step=draw(st.none() | st.sampled_from(["load", "st\ud800ep"])),
        wall=draw(WALLS),
        level=draw(st.sampled_from([5, 10, 20, 25, 30, 40, 50])),
        message=draw(st.none() | TEXTS),
        metrics=draw(METRICS),
    )
    assert encoded(facts) == long_way(facts)
    assert encoded(facts) == long_way(facts)  # with what the first time has left
    assert encoded_event(event_of_facts(facts)) == long_way(facts)


def test_a_secret_learned_later_is_not_in_the_lines_after() -> None:
    """What was found clean before is looked at again."""
    flow = FlowState(FLOW, "x")
    facts = fact(flow, ENTRY, {"note": "hunter22", "n": 123456789})
    assert b"hunter22" in encoded(facts)
    learn(flow, ["hunter22", "123456789"])
    assert encoded(facts) == long_way(facts)
    assert b"hunter22" not in encoded(facts)
    assert b"123456789" not in encoded(facts)


def test_roots_of_one_name_share_the_data_of_their_entries() -> None:
    """A flow that knows a secret in it does not, nor does any while a policy is active: there, each line is searched."""
    begun = [fact(FlowState(f"{number:08x}{FLOW[8:]}", "x"), BEGUN, None) for number in range(3)]
    begun = [(*facts[:5], shared_root_data(facts[0][0]), *facts[6:]) for facts in begun]
    first, second, owning = begun
    assert first[5] is second[5]
    runtime = first[5]["runtime"].encode()
    owning[0][0].taints.absorb([runtime.decode()])
    lines = [encoded(facts) for facts in begun]
    assert lines == [long_way(facts) for facts in begun]
    assert [runtime in line for line in lines] == [True, True, False]
    undo = activate(Policy(patterns=(re.compile("the_edge"),)))
    assert shared_root_data(first[0][0]) is None
    assert encoded(first) == long_way(first)
    assert runtime not in encoded(first)
    undo()
    assert encoded(first) == lines[0]


def test_what_is_clean_in_a_flow_is_looked_at_where_a_flow_knows_a_secret() -> None:
    """Flows without secrets share what they have found clean; one that has learned a secret, or has a policy, does not."""
    clean, owning, strict = (FlowState(f"{number:08x}{FLOW[8:]}", "x") for number in range(3))
    strict.taints.policy = Policy(patterns=(re.compile("[0-9]{4}"),))
    learn(owning, ["hunter22"])
    lines = [encoded(fact(flow, ENTRY, {"note": "hunter22", "order": "4711"})) for flow in (clean, owning, strict, clean)]
    assert [b"hunter22" in line for line in lines] == [True, False, True, True]
    assert [b"4711" in line for line in lines] == [True, True, False, True]


def test_a_policy_counts_from_when_it_is_in_force_until_it_is_not() -> None:
    """What was found clean under another one is looked at again."""
    flow = FlowState(FLOW, "x")
    facts = fact(flow, EXIT, "order 4711")
    before = encoded(facts)
    undo = activate(Policy(patterns=(re.compile("[0-9]{4}"),)))
    assert b'"order [REDACTED]"' in encoded(facts)
    undo()
    assert encoded(facts) == before


@pytest.mark.slow
def test_what_is_remembered_is_bounded() -> None:
    """By flow, by text and by span, however many there are."""
    for number in range(200):
        encoded(fact(FlowState(f"{number:08x}{FLOW[8:]}", "x"), ENTRY, {"a": "b"}))
    flow = FlowState(FLOW, "x")
    for number in range(5_000):
        encoded(fact(flow, ENTRY, {f"key {number}": f"text {number}", "long": "x" * (number % 1000)}, number=number + 1))
    assert len(FLOWS) <= 64
    known = FLOWS[FLOW]
    assert max(len(known.clean), len(known.clean_keys), len(known.heads)) <= 1_024
    assert sum(len(text) for text in known.clean if isinstance(text, str)) <= 262_144


def test_a_line_over_the_cap_is_cut_as_ever() -> None:
    """Data first; the metrics stay."""
    facts = fact(FlowState(FLOW, "x"), EXIT, ["ü" * 8_000] * 6, metrics=12_345)
    assert encoded(facts) == long_way(facts)
    assert b"[cut:" in encoded(facts)
    assert b'"duration_ms":0.012345' in encoded(facts)


def test_an_event_that_came_from_elsewhere_is_written_as_it_is() -> None:
    """A ring may have it from another process."""
    assert encoded_item(event(1)) == f"{dumps(event(1))}\n".encode()


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_most_events_go_the_short_way(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every type, nested or not, with a message, metrics and a secret that is hidden already."""
    monkeypatch.setattr(lines, "_long_way", lambda facts: b"")
    flow = FlowState(FLOW, "x")
    payload = snapshot({"api_key": "sk-abcdefghijklmnop1234", "n": 1, "x": [0.5, {"deep": "text"}], "token": None}, INNOCENT)
    line = encoded(fact(flow, PLAIN[kind], payload, message="done", metrics={"tokens": 5, "cost_usd": 0.25}, step="s"))
    assert line.endswith(b',"metrics":{"tokens":5,"cost_usd":0.25},"step":"s"}\n')
    for own in (ENTRY, EXIT):
        assert encoded(fact(flow, own, payload, metrics=1_500_000)).endswith(
            b'"token":null},"cut":["%b.api_key"]},"metrics":{"duration_ms":1.5}}\n' % str(own.key).encode()
        )


def test_files_and_rings_say_the_same(tmp_path: Any, read_lines: Callable[[Any], list[Any]], ring: obs.RingBufferHandler) -> None:
    """A run with soft failures, errors, spans and other libraries' records, in memory and in its file."""
    handler = obs.FlowFileHandler(tmp_path / "x.jsonl")
    logging.getLogger("tea").addHandler(handler)

    @obs.observable("work")
    def work(n: int, password: str = "hunter22") -> Any:
        if n == 1:
            raise ValueError(f"no: {password}")
        return {"success": n != 2, "error": "soft", "n": n, "usage": {"input_tokens": 3, "output_tokens": 4}}

    with obs.flow() as run, obs.span("outer", step="first") as span:
        for n in range(3):
            try:
                work(n, password="hunter22")
            except ValueError:
                span.log("failed", level="warn", n=n)
        span.metric(items=2, share=1e-7)
        logging.getLogger("tea.db").warning("slow: %s", "hunter22")
    assert read_lines(tmp_path / "x.jsonl") == ring.events(run.flow_id)


@pytest.fixture
def read_lines() -> Callable[[Any], list[Any]]:
    """Return a reader of event files."""
    from the_edge_obs.jsonl import read_events

    return lambda path: list(read_events(path))
