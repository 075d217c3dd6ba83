from __future__ import annotations

import fnmatch
import json
import math
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.errors import QueryError
from the_edge_obs.event import EVENT_TYPES, LEVELS
from the_edge_obs.event_query import FILTERS, WholeIds, line_filter, matches, parse_time, select
from the_edge_obs.jsonl import LineFilter
from the_edge_obs.store.sources import query

from .strategies import NODES, T0, event, events, span_id

SAMPLE = [
    event(1, "entry", 0, node="flow"),
    event(2, "entry", 1, node="llm.call", step="ask", data={"input": {"prompt": "Where is the Needle?"}}),
    event(2, "metric", 2, node="llm.call", step="ask", level="debug", metrics={"chunks": 1}),
    event(2, "error", 3, node="llm.call", step="ask", level="error", data={"error": {"type": "E", "message": "429"}}),
    event(3, "log", 4, node="httpx", level="warn", message="retrying", parent=1),
    event(1, "exit", 5, node="flow", data={"output": [1, True, None]}),
]


def found(**filters: Any) -> list[int]:
    """Return the places in the sample of the events that pass."""
    return [SAMPLE.index(one) for one in select(SAMPLE, filters, now=T0 + 5)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"node": None, "level": None, "limit": None}, [0, 1, 2, 3, 4, 5]),
        ({"node": "llm.*"}, [1, 2, 3]),
        ({"node": "llm"}, []),
        ({"node": "LLM.*"}, []),
        ({"node": ["flow", "http?"]}, [0, 4, 5]),
        ({"node": []}, []),
        ({"step": "a*"}, [1, 2, 3]),
        ({"step": "*"}, [1, 2, 3]),
        ({"level": "error"}, [3]),
        ({"level": "INFO"}, [0, 1, 5]),
        ({"level": "warning"}, [4]),
        ({"level": 10}, [2]),
        ({"min_level": "debug"}, [0, 1, 2, 3, 4, 5]),
        ({"min_level": "warn"}, [3, 4]),
        ({"event_type": "entry"}, [0, 1]),
        ({"event_type": ("entry", "exit")}, [0, 1, 5]),
        ({"start_time": T0 + 4}, [4, 5]),
        ({"end_time": T0 + 1}, [0, 1]),
        ({"start_time": T0 + 1, "end_time": T0 + 1}, [1]),
        ({"start_time": "-2s"}, [3, 4, 5]),
        ({"start_time": T0 + 2, "end_time": T0}, []),
        ({"span_id": span_id(3)}, [4]),
        ({"span_id": [span_id(1), span_id(3)]}, [0, 4, 5]),
        ({"text": "needle"}, [1]),
        ({"text": "RETRY"}, [4]),
        ({"text": "prompt"}, [1]),
        ({"text": 429}, [3]),
        ({"text": "true"}, [5]),
        ({"text": "null"}, [5]),
        ({"text": ""}, [0, 1, 2, 3, 4, 5]),
        ({"limit": 2}, [0, 1]),
        ({"limit": 0}, []),
        ({"limit": 99}, [0, 1, 2, 3, 4, 5]),
        ({"node": "llm.*", "min_level": "info", "event_type": "error"}, [3]),
        ({"node": "llm.*", "limit": 1, "start_time": T0 + 2}, [2]),
    ],
)
def test_filters(filters: dict[str, Any], expected: list[int]):
    """Each filter alone, and several together: an event passes when it passes all."""
    assert found(**filters) == expected


def test_an_unknown_filter_lists_the_known_ones():
    """The error names the filter, the one that was meant, and all there are."""
    with pytest.raises(QueryError) as caught:
        matches({"nod": "x"})
    assert str(caught.value) == f"unknown filter 'nod'; did you mean 'node'? allowed: {', '.join(FILTERS)}"
    with pytest.raises(QueryError, match=r"unknown filter 7; allowed: node, level"):
        matches({7: "x"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"node": 5}, "node 5 is not a string"),
        ({"node": ["a", None]}, "node None is not a string"),
        ({"step": {"a": 1}}, r"step \{'a': 1\} is not a string"),
        ({"level": "loud"}, "level: unknown level 'loud'; allowed: debug, info, warn, error"),
        ({"level": ["info"]}, r"level: unknown level \['info'\]"),
        ({"level": True}, "level: unknown level True"),
        ({"min_level": "x"}, "min_level: unknown level 'x'"),
        ({"event_type": "start"}, "unknown event_type 'start'; allowed: entry, exit, error, metric, log"),
        ({"event_type": ["entry", "end"]}, "unknown event_type 'end'"),
        ({"start_time": "yesterday"}, "start_time 'yesterday' is not a valid time; allowed: Unix seconds, ISO 8601"),
        ({"end_time": True}, "end_time True is not a valid time"),
        ({"end_time": math.nan}, "end_time nan is not a valid time"),
        ({"end_time": "inf"}, "end_time 'inf' is not a valid time"),
        ({"start_time": "-5 weeks"}, "is not a valid time"),
        ({"span_id": 3}, "span_id 3 is not a string"),
        ({"text": ["a"]}, r"text \['a'\] is not a string"),
        ({"text": True}, "text True is not a string"),
        ({"limit": -1}, "limit -1 is not a whole number of at least 0"),
        ({"limit": "3"}, "limit '3'"),
        ({"limit": 2.0}, "limit 2.0"),
        ({"limit": True}, "limit True"),
    ],
)
def test_a_bad_value_is_named(filters: dict[str, Any], message: str):
    """A value that a filter does not take is an error, at once, not when the first event is asked for."""
    with pytest.raises(QueryError, match=message):
        select([], filters)


def test_filters_are_a_mapping():
    """A list of filters, as YAML may give it, is named as what it is."""
    with pytest.raises(QueryError, match=r"filters are \['error'\]; they must be a mapping"):
        matches(["error"])  # type: ignore[arg-type]


NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("1769860800", 1769860800.0),
        (" 12.25 ", 12.25),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00z", NOON),
        ("2026-01-31T12:00:00", NOON),
        ("2026-01-31 12:00", NOON),
        ("2026-01-31T13:30:00+01:30", NOON),
        ("2026-01-31T12:00:00.250Z", NOON + 0.25),
        ("2026-01-31", NOON - 12 * 3600),
        (datetime(2026, 1, 31, 12), NOON),
        (datetime(2026, 1, 31, 5, tzinfo=timezone(timedelta(hours=-7))), NOON),
        ("-5m", 700.0),
        ("-1.5h", -4400.0),
        ("-250ms", 999.75),
        ("-2d", 1000.0 - 172_800),
        ("\t+5 m\n", 1300.0),
        ("1e3", 1000.0),
        ("-12.5E+1", -125.0),
        ("2026-01-31T12:00Z", NOON),
        ("2026-01-31T12:00:00.5Z", NOON + 0.5),
        ("2026-01-31T12:00:00.123456789Z", NOON + 0.123456),
    ],
)
def test_times_as_people_write_them(value: Any, expected: float):
    """Unix seconds, ISO 8601 with and without a zone, and times relative to now."""
    assert parse_time(value, now=1000.0) == expected


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let a zone be that of local time."""
    if not hasattr(time, "tzset"):
        pytest.skip("a process cannot change its zone here")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_the_first_and_last_days_of_the_calendar_have_a_local_time(zone: str) -> None:
    """They follow and precede the days beside them, in every zone."""
    day = 86_400.0
    assert parse_time("0001-01-01T12:30:15.25", 0.0) == parse_time("0001-01-02T12:30:15.25", 0.0) - day
    assert parse_time(datetime.min, 0.0) == parse_time("0001-01-02", 0.0) - day
    assert parse_time("9999-12-31 23:59:59", 0.0) == parse_time("9999-12-30 23:59:59", 0.0) + day
    assert parse_time(datetime.max, 0.0) == parse_time("9999-12-30T23:59:59.999999", 0.0) + day
    if zone == "UTC":
        assert parse_time("0001-01-01", 0.0) == -62_135_596_800.0


@pytest.mark.parametrize(
    "text",
    [
        "20260131T120000",
        "2026-W05-6",
        "2026-01-31T12:00:00,5",
        "2026-01-31T12",
        "2026-01-31T24:00:00",
        "2026-01-31T12:00:00+0130",
        "2026-01-31T12:00:00+01:30:15",
        "2026-01-31t12:00:00",
        "2026-01-31T12:00:60",
        "2026-02-30",
        "2026-01-31Z",
        "1_000",
        "1.",
        ".5",
        "1e999",
        "nan",
        "infinity",
        "\uff11\uff12",
        "-\uff15m",
        "-5\u00a0m",
        "\u20071",
        "2026-01-31T12:00:00.Z",
        "",
    ],
)
def test_times_have_one_grammar(text: str):
    """What only some versions of Python read, or other digits than those of ASCII, is not a time."""
    with pytest.raises(QueryError, match="is not a valid time"):
        parse_time(text, now=1000.0)


def test_text_is_compared_in_lower_case():
    """By the Unicode mapping that every runtime has, which folds no letter into two."""
    one = event(1, message="Die Stra\u00dfe \u00c4RGER \u039f\u0394\u039f\u03a3 \u0130")
    for text in ("STRA\u00dfE", "\u00e4rger", "\u03bf\u03b4\u03bf\u03c2", "i\u0307"):
        assert list(select([one], {"text": text})) == [one], text
    assert list(select([one], {"text": "STRASSE"})) == []


def test_relative_times_refer_to_now():
    """Without ``now`` the clock says what is now."""
    import time

    just = event(1, "log", 0) | {"timestamp": time.time() - 30}
    assert list(select([just], {"start_time": "-5m"})) == [just]
    assert list(select([just], {"end_time": "-5m"})) == []


@pytest.mark.slow
def test_text_is_found_at_any_depth():
    """Data of other programs may nest deeper than Python calls can."""
    data: Any = "needle"
    for _ in range(3000):
        data = [data]
    assert list(select([event(1, data={"d": data})], {"text": "NEEDLE"})) != []


def test_odd_values_in_files_match_no_glob():
    """A step that is not a string is passed over, not an error."""
    assert list(select([event(1, step=["a"]), event(1, step=None)], {"step": "*"})) == []


def test_selecting_is_lazy():
    """Nothing is read beyond the last event that is wanted."""

    def source() -> Any:
        yield from SAMPLE[:2]
        raise AssertionError("read on")

    assert list(select(source(), {"limit": 2})) == SAMPLE[:2]
    assert list(select(source(), {"limit": 0})) == []


def naive(one: dict[str, Any], name: str, value: Any) -> bool:
    """Say by the letter of the documentation whether an event passes one filter."""
    if name in ("node", "step"):
        globs = [value] if isinstance(value, str) else value
        return name in one and any(fnmatch.fnmatchcase(one[name], glob) for glob in globs)
    if name == "text":
        said = [one["message"] or "", *leaves(one["data"])]
        return any(value.lower() in text.lower() for text in said)
    if name in ("event_type", "span_id"):
        return one[name] in ([value] if isinstance(value, str) else value)
    return {
        "level": lambda: one["level"] == value,
        "min_level": lambda: LEVELS.index(one["level"]) >= LEVELS.index(value),
        "start_time": lambda: one["timestamp"] >= value,
        "end_time": lambda: one["timestamp"] <= value,
    }[name]()


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in [key, *leaves(item)]]
    if isinstance(value, list):
        return [text for item in value for text in leaves(item)]
    return [value if isinstance(value, str) else json.dumps(value)]


GLOBS = st.sampled_from([*NODES, "*", "llm*", "?lm.call", "a[[]b]", "[!l]*", "ask*"])
MOMENTS = st.integers(-1, 9).map(lambda quarter: T0 + quarter / 4)
FILTER_SETS = st.fixed_dictionaries(
    {},
    optional={
        "node": GLOBS | st.lists(GLOBS, max_size=2),
        "step": GLOBS,
        "level": st.sampled_from(LEVELS),
        "min_level": st.sampled_from(LEVELS),
        "event_type": st.sampled_from(EVENT_TYPES) | st.lists(st.sampled_from(EVENT_TYPES), max_size=3),
        "start_time": MOMENTS,
        "end_time": MOMENTS,
        "span_id": st.integers(1, 5).map(span_id),
        "text": st.sampled_from(["needle", "NEEDLE", "strasse", "1", "xx", "tru"]),
        "limit": st.integers(0, 5),
    },
)


@pytest.mark.slow
@given(st.lists(events(), max_size=12), FILTER_SETS)
def test_select_is_what_the_documentation_says(made: list[dict[str, Any]], filters: dict[str, Any]):
    """Any filters on any events give what a naive reading of their description gives."""
    limit = filters.get("limit", len(made))
    wanted = {name: value for name, value in filters.items() if name != "limit"}
    expected = [one for one in made if all(naive(one, name, value) for name, value in wanted.items())][:limit]
    assert list(select(made, filters)) == expected


# --- lines that need not be parsed ---

WRITERS = [
    lambda event: json.dumps(event, separators=(",", ":"), ensure_ascii=False),
    json.dumps,
    lambda event: json.dumps(dict(sorted(event.items(), reverse=True)), indent=None),
    lambda event: json.dumps(event).replace("l", "\\u006c"),
]


@pytest.mark.slow
@given(st.lists(events(), max_size=12), FILTER_SETS, st.sampled_from(WRITERS))
def test_a_line_is_passed_over_only_when_it_cannot_match(found: list[Any], filters: dict[str, Any], write: Any) -> None:
    """Whoever wrote the line, and however it spells its strings."""
    test, wanted = matches(filters, now=T0), line_filter(filters, now=T0)
    lines = {write(one).encode(): one for one in found if wanted is not None and test(one)}
    wrong = [line for line in lines if not wanted.test(line) or not (has_needle(line + b"\n", wanted) or b"\\u" in line)]
    assert wrong == []


def has_needle(line: bytes, wanted: LineFilter) -> bool:
    return wanted.needle in (line.lower() if wanted.any_case else line)


@pytest.mark.parametrize("given", ["abc-1", "ABC-1", "Abc-", ["ABC-1", "x"]])
@pytest.mark.parametrize("write", WRITERS[:3])
def test_flow_ids_have_letters_of_any_case(tmp_path: Path, given: Any, write: Any) -> None:
    """In the filter and in the log, whose writer may have capitals."""
    made = [event(1, "entry", 0, flow_id=flow_id) for flow_id in ("ABC-1", "abc-1", "aBc-1", "b", "B")]
    (tmp_path / "a.jsonl").write_text("".join(write(one) + "\n" for one in made), encoding="utf-8")
    assert [one["flow_id"] for one in query(tmp_path, flow_id=given)] == ["ABC-1", "abc-1", "aBc-1"]


def test_whole_ids_mean_themselves_alone() -> None:
    """Not ids that begin with them, nor those with other capitals, and not a run of a flow."""
    made = [event(1, "entry", 0, flow_id=flow_id) for flow_id in ("a", "a/b", "A/B", "ab", "a/bc")]
    found = select(made, {"flow_id": WholeIds(["a/b", "a"])})
    assert [one["flow_id"] for one in found] == ["a", "a/b"]
    with pytest.raises(QueryError, match="give 'a'"):
        select(made, {"flow_id": "a/b"})


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"node": "llm.call"}, [True, False]),
        ({"node": "llm.*"}, [True, False]),
        ({"node": "*.call"}, [True, False]),
        ({"node": ["llm.*", "x"]}, [True, False]),
        ({"level": "error"}, [False, True]),
        ({"min_level": "warn"}, [False, True]),
        ({"min_level": "debug"}, None),
        ({"event_type": "entry"}, [True, False]),
        ({"start_time": T0 + 1}, [False, True]),
        ({"end_time": T0}, [True, False]),
        ({"text": "x"}, None),
        ({"node": "*"}, None),
    ],
)
def test_what_a_line_is_passed_over_for(filters: dict[str, Any], passes: list[bool] | None) -> None:
    """Names, levels, types and times rule a line out before it is parsed; a text does not."""
    lines = [
        WRITERS[0](event(1, "entry", 0.0, node="llm.call")).encode(),
        WRITERS[0](event(2, "log", 2.0, node="http.get", level="error")).encode(),
    ]
    wanted = line_filter(filters, now=T0)
    assert passes == (None if wanted is None else [wanted.test(line) for line in lines])
