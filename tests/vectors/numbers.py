"""Metrics, percentiles and times."""

from __future__ import annotations

import json
from typing import Any, Final

from the_edge_obs.errors import QueryError
from the_edge_obs.event import MAX_INT
from the_edge_obs.event_query import parse_time
from the_edge_obs.flow_log import percentile
from the_edge_obs.instrumentation.capture import metrics_of
from the_edge_obs.instrumentation.ends import numbers

from .redaction import new_flow
from .registry import Cases, about


@about("Metrics as JSON texts, and what an event has of them.")
def metrics() -> Cases:
    given: list[dict[str, Any]] = [
        {"items": 3, "ratio": 0.5, "negative": -2, "none": None, "text": "3", "bool": True, "list": [1]},
        {"duration_ms": 1.5, "tokens": 0, "input_tokens": -1, "output_tokens": None, "cost_usd": "1"},
        {"tokens": True, "cost_usd": 0.25},
        {"max": MAX_INT, "over": MAX_INT + 1, "min": -MAX_INT, "under": -MAX_INT - 1},
        {f"m{number}": number for number in range(202)},
        {"k" * 300: 1},
    ]
    return [{"json": json.dumps(one), "metrics": numbers(one, new_flow())} for one in given]


@about("Results of actions, and the metrics of the end of their span; null if there are none.")
def usage() -> Cases:
    given: list[Any] = [
        {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9}},
        {"usage": {"input_tokens": 1, "output_tokens": 2}},
        {"usage": {"input_tokens": 1}},
        {"usage": {"total_tokens": 4}},
        {"usage": {"prompt_tokens": True, "completion_tokens": -1}},
        {"usage": {"prompt_tokens": 1.5}},
        {"usage": "x", "cost_usd": 0.1},
        {"cost_usd": -1},
        {"cost_usd": 0},
        {"usage": {}},
        {"usage": {"tokens": 3}},
        {"usage": None},
        {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 0},
            }
        },
        {"usage": {"input_tokens": 1, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 3, "output_tokens": 2}},
        {"usage_metadata": {"prompt_token_count": 5, "cached_content_token_count": 4, "thoughts_token_count": 3}},
        {"usage": {"inputTokens": 4, "cacheReadInputTokens": 96, "cacheWriteInputTokens": 2.5, "outputTokens": 10}},
        {
            "usage_metadata": {
                "input_tokens": 9,
                "output_tokens": 5,
                "input_token_details": {"cache_read": 3, "cache_creation": 1},
                "output_token_details": {"reasoning": 2},
            }
        },
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": "4"}, "cache_read_input_tokens": 4}},
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": [4], "input_tokens_details": None}},
        {"usage": {"prompt_tokens_details": {"cached_tokens": 4}}},
        [],
        "text",
    ]
    return [{"result": one, "metrics": metrics_of(one)} for one in given]


@about("Percentiles of ascending values; null if there are none.")
def percentiles() -> Cases:
    lists: list[list[float]] = [[], [1.0], [1.0, 2.0], [1.0, 2.0, 4.0]]
    lists += [[float(number) for number in range(1, top)] for top in (20, 21, 101, 102)]
    return [{"values": one, "percent": percent, "result": percentile(one, percent)} for one in lists for percent in (50, 95)]


_TIMES: Final = (
    "2026-01-31T12:00:00Z|2026-01-31T12:00:00z|2026-01-31 12:00:00+01:00|2026-01-31T12:00-05:30|2026-01-31T12:00:00.25Z|"
    "2024-02-29T23:59:59.999999Z|2026-01-31T12:00:00.123456789Z|-5m|5m|+5m|-1.5h|-30s|-2d|-250ms|-1w|- 5m|-5 m|-5min| 12 |12|"
    "12.5|+12|-12|1e3|1.5E-2|0|x||-5M|-5weeks|1_000|1.|.5|nan|inf|1e999|20260131T120000Z|2026-W05-6|2026-01-31T12:00:00,5Z|"
    "2026-01-31T24:00:00Z|2026-01-31T12:00:60Z|2026-02-30T00:00:00Z|2026-01-31T12Z|2026-01-31T12:00:00+0100|2026-01-31Z|"
    "\uff11\uff12|-\uff15m|-5\u00a0m|5m5s|--5m|2026-1-31T12:00:00Z|2026-01-31t12:00:00Z|-0m|0x10"
)


@about(
    "Times of filters at now, and their Unix seconds; null for what is refused. Times without a zone, which are local, are left "
    "out."
)
def times() -> Cases:
    now = 1_000_000.0
    return [
        {"given": one, "now": now, "seconds": _time_or_none(one, now)}
        for one in [*_TIMES.split("|"), 12, 12.5, -1, 0, None, True, []]
    ]


def _time_or_none(value: Any, now: float) -> float | None:
    try:
        return parse_time(value, now)
    except QueryError:
        return None
