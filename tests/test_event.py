"""The event: its keys, levels and types, and that the validator and the schema say the same."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.errors import EventError, LevelError
from the_edge_obs.event import (
    ALONE,
    CONTINUED,
    EVENT_TYPES,
    KEYS,
    LEVELS,
    dumps,
    headline,
    in_order,
    is_uuid,
    level_name,
    level_number,
    may_be_root,
    problems,
    root_rank,
    schema,
    validate,
    without_repeats,
    without_totals,
)

from .strategies import events

FLOW = "0b7e7d4c-6f4e-4f0e-9d0a-111111111111"
SPAN = "0b7e7d4c-6f4e-4f0e-9d0a-222222222222"


def an_event(**changes: Any) -> dict[str, Any]:
    """Return a valid event with some keys changed."""
    return {
        "flow_id": FLOW,
        "span_id": SPAN,
        "parent_id": None,
        "node": "llm.call",
        "level": "info",
        "timestamp": 1_700_000_000.25,
        "event_type": "exit",
        "message": None,
        "data": {"output": {"text": "hi"}},
        "metrics": {"duration_ms": 1.5, "tokens": 3, "items": 42, "score": None},
        **changes,
    }


def test_a_valid_event_has_no_problems() -> None:
    """All keys in their order, the optional step included or not."""
    assert problems(an_event()) == []
    assert problems(an_event(step="summarize")) == []
    assert tuple(an_event(step="x")) == KEYS
    validate(an_event())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"flow_id": FLOW.upper()}, f"flow_id is '{FLOW.upper()}'; it must be a UUID string"),
        ({"span_id": 7}, "span_id is 7; it must be a UUID string"),
        ({"parent_id": "none"}, "parent_id is 'none'; it must be a UUID string or null"),
        ({"node": ""}, "node is ''; it must be a string that is not empty"),
        ({"level": "warning"}, "level is 'warning'; it must be one of debug, info, warn, error"),
        ({"timestamp": True}, "timestamp is True; it must be Unix seconds"),
        ({"timestamp": float("nan")}, "timestamp is nan; it must be Unix seconds"),
        ({"event_type": "start"}, "event_type is 'start'; it must be one of entry, exit, error, metric, log"),
        ({"message": 1}, "message is 1; it must be a string or null"),
        ({"data": []}, "data is []; it must be an object"),
        ({"metrics": None}, "metrics is None; it must be an object"),
        ({"metrics": {"duration_ms": -1}}, "metrics.duration_ms is -1; it must be a number of at least 0"),
        ({"metrics": {"tokens": None}}, "metrics.tokens is None; it must be a number of at least 0"),
        ({"metrics": {"items": "42"}}, "metrics.items is '42'; it must be a number or null"),
        ({"step": None}, "step is None; it must be a string"),
        ({"data": {"error": "boom"}}, "data.error is 'boom'; it must be null or {type, message} of strings"),
        (
            {"colour": 1},
            f"unknown key 'colour'; allowed: {', '.join(KEYS)}",
        ),
    ],
)
def test_a_broken_rule_is_named(change: dict[str, Any], problem: str) -> None:
    """The problem names the key, its value and what is allowed; validate raises with it."""
    event = an_event(**change)
    assert problems(event) == [problem]
    with pytest.raises(EventError) as caught:
        validate(event)
    assert str(caught.value) == problem


def test_missing_keys_are_named() -> None:
    """Every missing key is reported, but for the optional step."""
    assert problems({}) == [f"key {key!r} is missing" for key in KEYS[:-1]]
    assert problems([1]) == ["an event is an object, not list"]


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "debug"),
        (10, "debug"),
        (19, "debug"),
        (20, "info"),
        (25, "info"),
        (30, "warn"),
        (39, "warn"),
        (40, "error"),
        (50, "error"),
        (99, "error"),
    ],
)
def test_logging_levels_become_event_levels(number: int, name: str) -> None:
    """CRITICAL is an error; a number in between rounds down."""
    assert level_name(number) == name


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("debug", 10),
        ("INFO", 20),
        ("warn", 30),
        ("Warning", 30),
        ("error", 40),
        (15, 15),
        (logging.ERROR, 40),
    ],
)
def test_event_levels_become_logging_levels(level: str | int, number: int) -> None:
    """Any case, warn and warning alike, and numbers as they are."""
    assert level_number(level) == number


@pytest.mark.parametrize("level", ["loud", "critical", "", None, True, 1.5, []])
def test_unknown_levels_are_refused(level: Any) -> None:
    """The error names the value and the levels there are."""
    with pytest.raises(LevelError) as caught:
        level_number(level)
    assert str(caught.value) == f"unknown level {level!r}; allowed: debug, info, warn, error"


def test_uuids_are_canonical() -> None:
    """Only the lowercase, hyphenated form counts."""
    assert is_uuid(FLOW)
    assert [is_uuid(bad) for bad in (FLOW.upper(), FLOW.replace("-", ""), f"{{{FLOW}}}", FLOW + "\n", "", None, 1)] == [False] * 7


def test_lines_are_strict_json() -> None:
    """Bare NaN raises instead of being written; text stays readable; no space is wasted."""
    assert dumps({"a": "é", "b": [1, None]}) == '{"a":"é","b":[1,null]}'
    with pytest.raises(ValueError, match="Out of range"):
        dumps({"a": float("nan")})


def test_the_schema_names_the_same_things() -> None:
    """The shipped schema and the module agree on keys, levels and types."""
    shipped = schema()
    assert tuple(shipped["properties"]) == KEYS
    assert tuple(shipped["required"]) == KEYS[:-1]
    assert tuple(shipped["properties"]["level"]["enum"]) == LEVELS
    assert tuple(shipped["properties"]["event_type"]["enum"]) == EVENT_TYPES
    assert shipped["$id"] == "urn:the_edge_obs:event:1"


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet="abc-é0", max_size=5),
    st.sampled_from([FLOW, FLOW.upper(), *LEVELS, *EVENT_TYPES, "warning"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["type", "message", "traceback", "x"]), st.sampled_from(["t", 1, None]), max_size=3),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    changes=st.dictionaries(st.sampled_from([*KEYS, "other"]), ODD, max_size=3),
    missing=st.sets(st.sampled_from(KEYS), max_size=1),
    metrics=st.dictionaries(st.sampled_from(["duration_ms", "tokens", "cost_usd", "items"]), ODD, max_size=2),
    error=ODD,
)
def test_the_validator_agrees_with_the_schema(
    changes: dict[str, Any], missing: set[str], metrics: dict[str, Any], error: Any
) -> None:
    """On events with random mistakes, ``problems`` finds one exactly where JSON Schema does."""
    jsonschema = pytest.importorskip("jsonschema")
    event = {**an_event(metrics=metrics, data={"error": error}), **changes}
    event = {key: value for key, value in event.items() if key not in missing}
    before = copy.deepcopy(event)
    valid = jsonschema.Draft202012Validator(schema()).is_valid(json.loads(json.dumps(event)))
    assert (problems(event) == []) is valid
    assert event == before


@pytest.mark.parametrize("kind", EVENT_TYPES)
@pytest.mark.parametrize("node", ["flow", "survey"])
@pytest.mark.parametrize(
    ("data", "of_root"),
    [
        ({"answered": "yes"}, False),
        ({"answered": None}, False),
        ({"resource": 7}, True),
        ({"resource": {"host": "h", "pid": 1.5, "service": "s"}}, True),
        ({"flow": 1}, True),
        ({"outer": 2}, True),
        ({"replay_of": ""}, True),
    ],
)
def test_what_only_a_span_says_is_elsewhere_a_key_like_any_other(kind: str, node: str, data: Any, of_root: bool) -> None:
    """What programs log under such a key is theirs; the schema says the same."""
    jsonschema = pytest.importorskip("jsonschema")
    made = an_event(event_type=kind, node=node, data=data)
    is_bad = (kind, node) == ("entry", "flow") if of_root else kind in ("entry", "exit")
    assert bool(problems(made)) is is_bad
    assert jsonschema.Draft202012Validator(schema()).is_valid(made) is not is_bad


def test_a_number_without_a_fraction_is_an_integer() -> None:
    """As JSON Schema has it: other runtimes may write 7.0."""
    assert problems(an_event(event_type="entry", node="flow", data={"resource": {"host": "h", "pid": 7.0, "service": "s"}})) == []


def test_an_error_without_a_text_is_its_type_in_a_headline() -> None:
    """As most cancellations are."""
    data = {"error": {"type": "CancelledError", "message": ""}, "cancelled": True}
    assert headline(an_event(event_type="error", message="", data=data, metrics={"duration_ms": 1.5})) == (
        "llm.call CancelledError (1.5 ms)"
    )


@pytest.mark.parametrize("node", ["flow", "llm.call"])
@pytest.mark.parametrize("parent", [None, "6f1d0a4e-0000-4000-8000-000000000001"])
def test_what_may_be_a_root_has_a_rank(node: str, parent: str | None) -> None:
    """The short rule, for what is written event by event, agrees with the ranks."""
    assert may_be_root(node, parent) == (root_rank(node, parent) > 0)


def test_ranks_of_roots_are_ordered() -> None:
    """First a flow of its own, then a span that opened by itself, then a flow that continues another, then the rest."""
    ranks = [root_rank("flow", None), root_rank("llm.call", None), root_rank("flow", "other"), root_rank("llm.call", "other")]
    assert ranks == [3, ALONE, CONTINUED, 0]
    assert ranks == sorted(ranks, reverse=True)


TOTALS = {"bytes": 9, "events": 2, "start": 1.5, "end": 2.5, "errors": 0, "error": None, "tokens": 7, "cost_usd": 0.5}


@pytest.mark.parametrize("kind", EVENT_TYPES)
@pytest.mark.parametrize("node", ["flow", "survey"])
@pytest.mark.parametrize(
    ("totals", "is_valid"),
    [
        (TOTALS, True),
        ({**TOTALS, "events": 2.0, "error": {"type": "E", "message": "m"}}, True),
        ("[cut: 300 characters of JSON]", True),
        ({key: value for key, value in TOTALS.items() if key != "bytes"}, False),
        ({**TOTALS, "more": 1}, False),
        ({**TOTALS, "events": 2.5}, False),
        ({**TOTALS, "errors": True}, False),
        ({**TOTALS, "bytes": -1}, False),
        ({**TOTALS, "cost_usd": "0.5"}, False),
        ({**TOTALS, "tokens": 1e300}, False),
        ({**TOTALS, "error": {"type": "E"}}, False),
        (None, False),
    ],
)
def test_totals_are_checked_at_the_end_of_a_root(kind: str, node: str, totals: Any, is_valid: bool) -> None:
    """Elsewhere it is a key like any other; the schema says the same."""
    jsonschema = pytest.importorskip("jsonschema")
    made = an_event(event_type=kind, node=node, data={"totals": totals})
    is_valid = is_valid or node != "flow" or kind not in ("exit", "error")
    assert (problems(made) == []) is is_valid
    assert jsonschema.Draft202012Validator(schema()).is_valid(made) is is_valid


def test_readers_leave_totals_out() -> None:
    """Of the end of a root, and nothing else."""
    ended = an_event(event_type="exit", node="flow", parent_id=None, data={"output": 1, "totals": TOTALS})
    others = [
        {**ended, "event_type": "log"},
        {**ended, "node": "survey", "parent_id": ended["flow_id"]},
        {**ended, "data": {"totals": {**TOTALS, "more": 1}}},
    ]
    before = copy.deepcopy(ended)
    assert without_totals(ended) == {**ended, "data": {"output": 1}}
    assert [without_totals(event) for event in others] == others
    assert ended == before


@given(st.lists(events(), max_size=12), st.randoms())
def test_in_order_is_sorted_without_repeats(made: list[dict[str, Any]], shuffled: Any) -> None:
    """Copies are left out wherever they stand; events of the same time keep their order."""
    several = made + copy.deepcopy(made[::2])
    shuffled.shuffle(several)
    assert in_order(several) == sorted(without_repeats(several), key=lambda event: event["timestamp"])
