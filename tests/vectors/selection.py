"""Filters, and blocks of configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from the_edge_obs.configuration.config import check_block
from the_edge_obs.errors import ConfigurationError, QueryError
from the_edge_obs.event_query import matches, select

from ..strategies import FLOW, T0, event, span_id
from .registry import Cases, about


@about("Globs of the filters node and step.")
def globs() -> Cases:
    patterns = ["llm.*", "*", "llm.call", "llm.?all", "[lm]lm.*", "[!l]*", "llm.[", "[]a]*", "LLM.*", "*.call", "a[!b]"]
    patterns += ["", "?", "[a-c]x", "[[]", "l*m*l"]
    names = ["llm.call", "mlm.x", "llm.[", "LLM.call", "]x", "a[!b]", "\u00e9", "\U0001f600", "bx", "[", "a\nb"]
    return [
        {"pattern": one, "text": name, "matches": matches({"node": one})({"node": name})} for one in patterns for name in names
    ]


_EVENTS: Final = [
    event(1, "entry", 0, node="flow"),
    event(2, "entry", 1, node="llm.call", step="ask", data={"input": {"prompt": "Where is the Needle?"}}),
    event(2, "metric", 2, node="llm.call", step="ask", level="debug", metrics={"chunks": 1}),
    event(2, "error", 3, node="llm.call", step="ask", level="error", data={"error": {"type": "E", "message": "429"}}),
    event(3, "log", 4, node="httpx", level="warn", message="Die Stra\u00dfe \u00c4RGER", parent=1),
    event(1, "exit", 5, node="flow", data={"output": [1, True, None, 0.5, "1e3"]}),
]


@about(
    "Filters. The first case holds the events; the others, with now, the positions of those that pass, or null if the filters "
    "are refused."
)
def filters() -> Cases:
    given: list[dict[str, Any]] = [
        {},
        {"node": None, "level": None, "limit": None},
        {"node": "llm.*"},
        {"node": ["flow", "http?"]},
        {"node": []},
        {"step": "a*"},
        {"level": "INFO"},
        {"level": "warning"},
        {"level": "fatal"},
        {"min_level": "warn"},
        {"event_type": "entry"},
        {"event_type": ["entry", "exit"]},
        {"event_type": "start"},
        {"start_time": T0 + 4},
        {"end_time": T0 + 1},
        {"start_time": "-2s"},
        {"start_time": "soon"},
        {"span_id": [span_id(1), span_id(3)]},
        {"span_id": 3},
        {"text": "needle"},
        {"text": "stra\u00dfe \u00e4rger"},
        {"text": "STRASSE"},
        {"text": "prompt"},
        {"text": 429},
        {"text": "true"},
        {"text": "null"},
        {"text": 0.5},
        {"text": ""},
        {"text": True},
        {"limit": 2},
        {"limit": 0},
        {"limit": -1},
        {"limit": 2.0},
        {"last": 2},
        {"last": 0},
        {"last": True},
        {"last": 1, "limit": 1},
        {"last": 1, "limit": None},
        {"last": 1, "node": "llm.*"},
        {"flow_id": FLOW[:6].upper()},
        {"flow_id": ["x", FLOW]},
        {"flow_id": "1111/05"},
        {"flow_id": ""},
        {"flow_id": []},
        {"flow_id": 3},
        {"node": "llm.*", "min_level": "info", "limit": 1},
        {"colour": "red"},
    ]
    return [{"events": _EVENTS}, *({"filters": one, "now": T0 + 5, "found": _found(one)} for one in given)]


def _found(given: Mapping[str, Any]) -> list[int] | None:
    try:
        return [_EVENTS.index(one) for one in select(_EVENTS, given, now=T0 + 5)]
    except QueryError:
        return None


@about(
    "Observability blocks, and the place that an error names; null for a block without a mistake. The words of the error are a "
    "runtime's own."
)
def blocks() -> Cases:
    given: list[dict[str, Any]] = [
        {},
        {"enabled": False},
        {"level": "info", "levels": {"llm": "debug", "http.get": "WARN"}, "buffer_size": 10},
        {"level": "loud"},
        {"levels": {"llm": "loud"}},
        {"levels": ["llm"]},
        {"buffer_size": 0},
        {"buffer_size": "many"},
        {"colour": "red"},
        {"handlers": [{"type": "console"}, {"type": "radio"}]},
        {"handlers": [{"path": "x"}]},
        {"handlers": {"type": "console"}},
        {"handlers": [{"type": "console", "path": "x"}]},
        {"redact": {"keys": "cpf"}},
        {"enabled": "maybe"},
    ]
    return [{"block": one, "wrong": _wrong_place(one)} for one in given]


def _wrong_place(block: Mapping[str, Any]) -> str | None:
    try:
        check_block(block)
    except ConfigurationError as error:
        return error.where
    return None
