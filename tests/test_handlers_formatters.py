"""The formatters: strict JSON lines under a cap, and lines for people that nothing can forge."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import re
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.event import MAX_EVENT_BYTES, dumps, problems
from the_edge_obs.handlers.formatters import ConsoleFormatter, to_line
from the_edge_obs.recording.records import record_of_item
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub
from the_edge_obs.text import uses_colour

from .strategies import FLOW, event


def an_event(**changes: Any) -> dict[str, Any]:
    fields = {
        "node": "llm.call",
        "timestamp": 1_700_000_000.9996,
        "data": {"output": "é"},
        "metrics": {"duration_ms": 12.34, "tokens": 7},
    }
    return event(1, "exit", parent=None, **{**fields, **changes})


def formatted(formatter: logging.Formatter, **changes: Any) -> str:
    return formatter.format(record_of_item(an_event(**changes)))


def test_json_is_the_event() -> None:
    """One line, the event's keys in their order, text readable."""
    line = formatted(obs.JsonFormatter())
    assert line == dumps(an_event())
    assert list(json.loads(line)) == list(an_event())


def test_json_of_foreign_records() -> None:
    """Outside any flow a record has null ids; its extras are its data, cleaned; nothing in them breaks the line."""
    circle: list[Any] = []
    circle.append(circle)
    record = logging.makeLogRecord(
        {
            "name": "other",
            "levelno": 50,
            "levelname": "CRITICAL",
            "msg": "key=%s\n",
            "args": ("password=hunter2",),
            "created": 2.5,
            "colour": float("nan"),
            "circle": circle,
            "odd": {(1, 2): b"\xff"},
            "token": "abcdefgh",
        }
    )
    assert json.loads(obs.JsonFormatter().format(record)) == {
        "flow_id": None,
        "span_id": None,
        "parent_id": None,
        "node": "other",
        "level": "error",
        "timestamp": 2.5,
        "event_type": "log",
        "message": "key=password=[REDACTED]\n",
        "data": {
            "colour": "NaN",
            "circle": ["[circular]"],
            "odd": {"[1, 2]": "<1 bytes: /w==>"},
            "token": "[REDACTED]",
            "cut": ["circle[0]", "token", "message"],
        },
        "metrics": {},
    }


def test_formatters_from_a_dict_config() -> None:
    """Both are usable by their name in logging.config."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "j": {"()": "the_edge_obs.JsonFormatter"},
                "c": {"()": "the_edge_obs.ConsoleFormatter", "verbose": True},
            },
            "handlers": {
                "a": {"class": "logging.StreamHandler", "formatter": "j"},
                "b": {"class": "logging.StreamHandler", "formatter": "c"},
            },
            "loggers": {"tea": {"level": "INFO", "handlers": ["a", "b"]}},
        }
    )
    first, second = logging.getLogger("tea").handlers
    assert isinstance(first.formatter, obs.JsonFormatter)
    assert isinstance(second.formatter, obs.ConsoleFormatter)
    assert second.formatter.verbose is True


def test_a_long_line_loses_its_data_first() -> None:
    """Over 64 KiB of UTF-8 the data is cut and says so; ids, metrics and the error stay."""
    big = an_event(
        data={"output": "ü" * 40_000, "error": {"type": "E" * 500, "message": "m" * 5_000, "traceback": "t" * 9_000}},
        message="x" * 5_000,
    )
    line = to_line(big)
    cut = json.loads(line)
    assert len(line.encode()) <= MAX_EVENT_BYTES
    assert problems(cut) == []
    assert cut == {
        **big,
        "message": "x" * 2048,
        "data": {
            "output": "[cut: 40002 characters of JSON]",
            "error": {"type": "E" * 256, "message": "m" * 2048},
            "cut": ["output", "error", "message"],
        },
    }


def test_short_data_stay_in_a_long_line() -> None:
    """A root keeps what it is called, and a replay what it is one of; what was cut before is told as ever."""
    about = {"name": "triage", "schema_version": 1, "resource": {"host": "h", "pid": 1, "service": "s"}, "replay_of": FLOW}
    data = {**about, "password": "[REDACTED]", "input": {"text": "ü" * 40_000}, "error": None, "own key": "y" * 300}
    cut = ["input.text", "password", "message"]
    made = an_event(node="flow", event_type="entry", data={**data, "cut": cut}, message="said [REDACTED]")
    short = json.loads(to_line(made))
    assert problems(short) == []
    assert short["data"] == {
        **data,
        "input": "[cut: 40011 characters of JSON]",
        "own key": "[cut: 302 characters of JSON]",
        "cut": ["password", "input", '["own key"]', "message"],
    }
    many = json.loads(to_line(an_event(data={f"key{number}": "x" * 2_000 for number in range(60)})))
    assert many["data"]["…"] == "[+10 items]"
    assert many["data"]["cut"][-2:] == ["key49", "…"]


def test_the_cap_is_exact() -> None:
    """A line of exactly 64 KiB stays; one byte more is cut."""
    room = MAX_EVENT_BYTES - len(dumps(an_event(data={"output": ""})).encode())
    assert json.loads(to_line(an_event(data={"output": "x" * room})))["data"]["output"] == "x" * room
    assert "cut" in to_line(an_event(data={"output": "x" * (room + 1)}))


def test_very_many_metrics_do_not_break_the_cap() -> None:
    """Whatever is long, the line is not."""
    line = to_line(an_event(metrics={"duration_ms": 1.5, **{f"custom_{i}": i for i in range(9_000)}}))
    assert len(line.encode()) <= MAX_EVENT_BYTES
    assert json.loads(line)["metrics"]["duration_ms"] == 1.5


def test_the_console_line() -> None:
    """Time, level, node, what happened, how long it took, step and tokens."""
    line = formatted(obs.ConsoleFormatter(), step="summarize")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.999 info  llm\.call exit \(12\.3 ms\) \[summarize\] 7 tokens", line)


def test_the_console_line_verbose() -> None:
    """With verbose, the data and a traceback follow, indented."""
    line = formatted(
        obs.ConsoleFormatter(verbose=True),
        level="error",
        event_type="error",
        data={"input": {"a": "é"}, "error": {"type": "E", "message": "m", "traceback": "Traceback:\n  File x\nE: m\n"}},
        metrics={},
    )
    assert line.splitlines()[0].endswith("error llm.call E: m")
    assert line.splitlines()[1:] == ['    input: {"a": "é"}', "    Traceback:", "      File x", "    E: m"]


@pytest.mark.parametrize(("level", "code"), [("debug", "2"), ("info", "36"), ("warn", "33"), ("error", "31;1")])
def test_colours(level: str, code: str) -> None:
    """Only the level is coloured, and only when asked or on a terminal."""
    assert f" \x1b[{code}m{level:<5}\x1b[0m llm.call" in formatted(obs.ConsoleFormatter(colour=True), level=level)
    assert "\x1b" not in formatted(obs.ConsoleFormatter(), level=level)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _WriteOnly:
    def write(self, text: str) -> int:
        return len(text)


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stream", "variables", "colour"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (_Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.TextIOWrapper(io.BytesIO()), {}, False),
        (_WriteOnly(), {}, False),
        (_closed(), {}, False),
        (None, {}, False),
    ],
)
def test_the_console_formatter_looks_at_stderr(
    stream: Any, variables: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With None it has colours on a terminal that can, where NO_COLOR is not set; whatever stands in for stderr."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    assert uses_colour(stream) is colour
    assert obs.ConsoleFormatter(colour=None).colour is colour
    assert obs.ConsoleFormatter().colour is False
    assert obs.ConsoleFormatter(colour=False).colour is False
    assert obs.ConsoleFormatter(colour=True).colour is True


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\r", "\n12:00:00 info  fake", "\x00", "\x9b31m", "\u202e", "\u2028", "\x7f", "\b", "\ud800"]
)
def test_no_text_can_forge_a_line_or_steer_a_terminal(hostile: str) -> None:
    """Control characters are escaped wherever they stand: message, node, step, data and traceback."""
    for verbose in (False, True):
        text = formatted(
            obs.ConsoleFormatter(verbose=verbose),
            node=f"n{hostile}",
            step=f"s{hostile}",
            message=f"m{hostile}",
            data={"d": hostile, hostile: 1, "error": {"type": hostile, "message": hostile, "traceback": f"t{hostile}"}},
        )
        assert hostile not in text
        assert all(char.isprintable() or char == "\n" for char in text)
        if not verbose:
            assert "\n" not in text


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    data=st.dictionaries(st.text(max_size=10), JSON_VALUE, max_size=4),
    message=st.none() | st.text(max_size=50),
    metrics=st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.none(), max_size=3),
)
def test_a_line_goes_round(data: Any, message: Any, metrics: Any) -> None:
    """Whatever an event holds, its line is one line of strict UTF-8 JSON that reads back as the event."""
    event = scrub(snapshot(an_event(data=data, message=message, metrics=metrics)))
    line = to_line(event)
    assert "\n" not in line
    assert "\r" not in line

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    assert json.loads(line.encode("utf-8"), parse_constant=refuse) == event


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(max_size=4), st.floats() | st.integers() | st.text(max_size=8) | st.none() | st.booleans(), max_size=8
    ),
)
def test_orjson_writes_the_same_bytes(data: dict[str, Any]) -> None:
    """Whether the extra is installed cannot be told from a log."""
    pytest.importorskip("orjson")
    event = {"data": scrub(snapshot(data)), "timestamp": 1e-5}
    assert dumps(event) == to_line(event)
    del event["timestamp"]
    assert dumps(event) == to_line(event)


@pytest.mark.parametrize("timestamp", [1e17, 2.0**62])
def test_a_time_that_no_calendar_has_is_shown_as_it_is(timestamp: float) -> None:
    """A log may be anybody's."""
    record = record_of_item(event(1, "log", message="m", timestamp=timestamp))
    assert ConsoleFormatter().format(record) == f"{timestamp} info  flow m"
