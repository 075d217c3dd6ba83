"""Capture: which arguments are the input, where the code is, what a result says of itself."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.instrumentation.capture import Capture, is_soft_failure, location_of, metrics_of, model_in
from the_edge_obs.recording.records import NOWHERE
from the_edge_obs.redaction.marks import Mark, cut_paths
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub


def classic(params: Any, state: Any, ctx: Any) -> None: ...
def engine_action(state: Any, path: str = "", **params: Any) -> None: ...
def plain(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> None: ...
def positional_only(a: Any, /, b: Any) -> None: ...
def keyword_only(*, a: Any) -> None: ...
def nothing() -> None: ...
def with_engine(engine: Any, query: str, ctx: Any) -> None: ...


class Thing:
    def method(self, a: Any, state: Any) -> None: ...
    def classic(self, params: Any, state: Any, ctx: Any) -> None: ...
    def action(self, state: Any, **params: Any) -> None: ...
    @classmethod
    def build(cls, a: Any) -> None: ...
    def __call__(self, a: Any) -> None: ...


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "expected"),
    [
        (classic, ({"p": 1}, "S", "C"), {}, {"p": 1}),
        (classic, (), {"params": {"p": 1}, "state": "S", "ctx": "C"}, {"p": 1}),
        (classic, ("not a dict", "S", "C"), {}, "not a dict"),
        (engine_action, ("S",), {"path": "x", "deep": 1}, {"path": "x", "deep": 1}),
        (engine_action, (), {"state": "S", "path": "x", "config": 1, "node": "step", "graph": 2}, {"path": "x"}),
        (engine_action, ("S", "x"), {}, {"path": "x"}),
        (plain, (1,), {}, {"a": 1}),
        (plain, (1, 2, 3, 4), {"c": 5, "d": 6}, {"a": 1, "b": 2, "rest": (3, 4), "c": 5, "d": 6}),
        (plain, (), {"a": 1, "config": 7, "node": 8}, {"a": 1, "config": 7, "node": 8}),
        (positional_only, (1, 2), {}, {"a": 1, "b": 2}),
        (keyword_only, (), {"a": 1}, {"a": 1}),
        (nothing, (), {}, {}),
        (with_engine, ("E", "q"), {"ctx": "C"}, {"query": "q"}),
        (Thing.method, ("SELF", 1, "S"), {}, {"a": 1}),
        (Thing().method, (1, "S"), {}, {"a": 1}),
        (Thing.classic, ("SELF", {"p": 1}, "S", "C"), {}, {"p": 1}),
        (Thing.classic, ("SELF",), {"params": {"p": 1}, "state": "S", "ctx": "C"}, {"p": 1}),
        (Thing().classic, ({"p": 1}, "S", "C"), {}, {"p": 1}),
        (Thing.action, ("SELF", "S"), {"path": "x", "node": "step"}, {"path": "x"}),
        (Thing.build, (1,), {}, {"a": 1}),
        (Thing(), (1,), {}, {"a": 1}),
        (functools.partial(plain, 1), (2,), {}, {"b": 2}),
        (lambda x, **k: None, (1,), {"y": 2}, {"x": 1, "y": 2}),
        (min, (3, 1), {}, {"args": (3, 1)}),
    ],
)
def test_input_of_any_signature(fn: Callable[..., Any], args: Any, kwargs: Any, expected: Any) -> None:
    """The params, the parameters, or the arguments by name; never state, ctx, self, cls or an engine."""
    assert Capture(fn)(args, kwargs) == expected


def test_a_wrong_call_is_captured_as_far_as_it_goes() -> None:
    """Too many, too few or unknown arguments: the function itself will complain, not the capture."""
    assert Capture(keyword_only)((1, 2), {"b": 3}) == {"b": 3}
    assert Capture(classic)((), {}) is None


@pytest.mark.parametrize(("fn", "takes"), [(engine_action, True), (Thing.action, True), (plain, False), (classic, False)])
def test_only_engine_actions_take_the_step(fn: Any, takes: bool) -> None:
    """``node=`` is the engine's name of the step only for ``(state, **params)``."""
    assert Capture(fn).takes_node is takes


def test_the_location_is_the_code() -> None:
    """The file, line and name of the function itself, through partials, decorators, methods and callable objects."""

    @functools.wraps(plain)
    def wrapped(*args: Any) -> None: ...

    expected = (__file__, plain.__code__.co_firstlineno, "plain")
    for fn in (plain, wrapped, functools.partial(functools.partial(plain, 1), 2), functools.partial(wrapped)):
        assert location_of(fn) == expected
    assert location_of(Thing().method).function == "method"
    assert location_of(Thing()).function == "__call__"
    assert location_of(len) == NOWHERE


def test_soft_failures() -> None:
    """Only ``success`` that is False says so: 0 and None do not."""
    values = [{"success": False}, {"success": False, "error": "x"}, {"success": True}, {"success": None}, {"success": 0}, {}]
    assert [is_soft_failure(value) for value in values] == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, None),
        ({"usage": None}, None),
        ({"usage": "much"}, None),
        ({"usage": {}}, None),
        (
            {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 8}},
            {"input_tokens": 3, "output_tokens": 4, "tokens": 8},
        ),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, {"input_tokens": 3, "output_tokens": 4, "tokens": 7}),
        ({"usage": {"input_tokens": 3, "output_tokens": True}}, {"input_tokens": 3, "tokens": 3}),
        ({"usage": {"tokens": -1}, "cost_usd": 0.25}, {"cost_usd": 0.25}),
        ({"cost_usd": "free"}, None),
        ({"cost_usd": float("nan")}, None),
        ({"cost_usd": float("inf")}, None),
        ({"cost_usd": 0}, {"cost_usd": 0}),
        # Anthropic: what went through the cache belongs to the input, and stands beside it.
        (
            {"usage": {"input_tokens": 200, "cache_read_input_tokens": 1000, "output_tokens": 30}},
            {"input_tokens": 1200, "output_tokens": 30, "tokens": 1230, "cached_tokens": 1000},
        ),
        (
            {
                "usage": {
                    "input_tokens": 5,
                    "cache_creation_input_tokens": 70,
                    "cache_read_input_tokens": None,
                    "output_tokens": 1,
                }
            },
            {"input_tokens": 75, "output_tokens": 1, "tokens": 76, "cache_write_tokens": 70},
        ),
        # A gateway that speaks so, and counts as OpenAI does.
        (
            {"usage": {"input_tokens": 1200, "cache_read_input_tokens": 1000, "output_tokens": 30, "total_tokens": 1230}},
            {"input_tokens": 1200, "output_tokens": 30, "tokens": 1230, "cached_tokens": 1000},
        ),
        # litellm: the details of prompt_tokens, in Anthropic's words.
        (
            {"usage": {"prompt_tokens": 1200, "cache_read_input_tokens": 1000, "completion_tokens": 30, "total_tokens": 1230}},
            {"input_tokens": 1200, "output_tokens": 30, "tokens": 1230, "cached_tokens": 1000},
        ),
        # OpenAI: cached and reasoning tokens are in the counts.
        (
            {
                "usage": {
                    "prompt_tokens": 1200,
                    "prompt_tokens_details": {"cached_tokens": 1000},
                    "completion_tokens": 50,
                    "completion_tokens_details": {"reasoning_tokens": 40},
                    "total_tokens": 1250,
                }
            },
            {"input_tokens": 1200, "output_tokens": 50, "tokens": 1250, "cached_tokens": 1000, "reasoning_tokens": 40},
        ),
        # Gemini: the thoughts stand beside the candidates, the cached content is in the prompt.
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 80,
                    "candidatesTokenCount": 10,
                    "thoughtsTokenCount": 5,
                    "totalTokenCount": 115,
                }
            },
            {"input_tokens": 100, "output_tokens": 15, "tokens": 115, "cached_tokens": 80, "reasoning_tokens": 5},
        ),
        # Bedrock's Converse.
        (
            {"usage": {"inputTokens": 4, "cacheReadInputTokens": 96, "outputTokens": 10, "totalTokens": 110}},
            {"input_tokens": 100, "output_tokens": 10, "tokens": 110, "cached_tokens": 96},
        ),
        # LangChain.
        (
            {
                "usage_metadata": {
                    "input_tokens": 100,
                    "output_tokens": 10,
                    "total_tokens": 110,
                    "input_token_details": {"cache_read": 40, "cache_creation": 0, "audio": None},
                    "output_token_details": {"reasoning": 4},
                }
            },
            {"input_tokens": 100, "output_tokens": 10, "tokens": 110, "cached_tokens": 40, "reasoning_tokens": 4},
        ),
        # Parts of a total that the span reports itself; and values that are not counts.
        ({"usage": {"prompt_tokens_details": {"cached_tokens": 5}}}, {"cached_tokens": 5}),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": [{"cached_tokens": 5}]}}, {"input_tokens": 5, "tokens": 5}),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": True}}}, {"input_tokens": 5, "tokens": 5}),
    ],
)
def test_metrics_of_results(result: dict[str, Any], expected: Any) -> None:
    """Tokens in OpenAI's or Anthropic's words, a missing total added up; what is not a count is left out."""
    assert metrics_of(result) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"model": "gpt-4o"}, "gpt-4o"),
        ({"model": None, "model_name": "claude"}, "claude"),
        ({"modelVersion": "gemini-2.0-flash"}, "gemini-2.0-flash"),
        (SimpleNamespace(model="gpt-4o"), "gpt-4o"),
        (SimpleNamespace(response_metadata={"model_name": "gpt-4o-mini"}), "gpt-4o-mini"),
        ({"model": ""}, None),
        ({"model": {"name": "gpt-4o"}}, None),
        (SimpleNamespace(response_metadata="gpt-4o"), None),
        ("gpt-4o", None),
        (None, None),
    ],
)
def test_the_model_that_a_value_names(value: Any, expected: str | None) -> None:
    """In the words of several SDKs; a model is a text."""
    assert model_in(value) == expected


@dataclasses.dataclass
class Usage:
    """As many SDKs have it."""

    input_tokens: int = 3
    output_tokens: int = 4


@dataclasses.dataclass
class Slotted:
    """An answer without a __dict__."""

    __slots__ = ("cost_usd", "usage")
    usage: Any
    cost_usd: float


class Answer:
    """An answer that stores what it is given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Mapped(dict):  # type: ignore[type-arg]
    """A dict of somebody's own, whose methods lie."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("asked")


class Lazy:
    """An object that goes to the network for what it does not have."""

    @property
    def usage(self) -> Any:
        raise RuntimeError("asked")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pytest asks for some
            raise AttributeError(name)
        raise RuntimeError("asked")


COUNTED = {"input_tokens": 3, "output_tokens": 4, "tokens": 7}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Answer(usage=Usage()), COUNTED),
        (Answer(usage={"prompt_tokens": 3, "completion_tokens": 4}), COUNTED),
        (Answer(usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}), COUNTED),
        ({"text": "hi", "usage": Usage()}, COUNTED),
        (Slotted(Usage(), 0.5), {**COUNTED, "cost_usd": 0.5}),
        (Mapped(usage=Mapped(input_tokens=3, output_tokens=4)), COUNTED),
        (Answer(usage=Answer(prompt_tokens=3, completion_tokens=4, total_tokens=None)), COUNTED),
        (SimpleNamespace(usage=Usage(), cost_usd=float("nan")), COUNTED),
        (Answer(usage=len), None),
        (Answer(usage="3 tokens"), None),
        pytest.param(Lazy(), None, id="lazy"),
        (MagicMock(), None),
        (Answer, None),
        (sys, None),
        (object.__new__(Slotted), None),
        ("usage", None),
        (None, None),
    ],
)
def test_metrics_of_objects(result: Any, expected: Any) -> None:
    """An SDK's answers bring tokens as dicts do; what they store is read, and nothing of theirs is run."""
    assert metrics_of(result) == expected


@pytest.mark.parametrize("result", [{"usage": Usage()}, Answer(usage=Usage())])
def test_every_kind_of_function_brings_them(ring: obs.RingBufferHandler, result: Any) -> None:
    """In a flow and as a flow of its own, nested or not, sync, async and at the end of a generator."""

    @obs.observable
    def answer() -> Any:
        return result

    @obs.observable
    async def later() -> Any:
        return answer()

    @obs.observable
    def stream() -> Any:
        yield 1
        return result

    with obs.flow() as run:
        asyncio.run(later())
        list(stream())
    metrics = [event["metrics"] for event in ring.events(run.flow_id) if event["event_type"] == "exit"][:3]
    assert [{name: found[name] for name in COUNTED} for found in metrics] == [COUNTED] * 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\xff" * 49, ["input.value"]),
        (b"\xff" * 48, []),
        (b"x" * 9_000, ["input.value"]),
        (b"password=hunter2-hunter2\xff", ["input.value"]),
        (type("Text", (str,), {})("x" * 20_000), ["input.value"]),
        (10**2_000, ["input.value"]),
        (10**30, []),
        (Decimal("1" * 9_000), ["input.value"]),
        ({"k" * 232: 1}, []),
        ({"k" * 300: 1}, ['input.value["' + "k" * 232 + '…[+68 chars]"]']),
        ({"password=hunter2-hunter2": 1}, ['input.value["password=[REDACTED]"]']),
        (["<2,000 bytes: AAAA…>", "[+3 items]", "<int of 9 bits>"], []),
    ],
)
def test_what_is_cut_is_told_whatever_it_is_made_of(value: Any, expected: list[str]) -> None:
    """Bytes, numbers of thousands of digits and long keys as well; a text that looks like a cut one is whole."""
    obs.configure()
    with obs.flow("cuts") as run, obs.span("work", value=value):
        pass
    (entry,) = obs.query(run.flow_id, node="work", event_type="entry")
    assert entry["data"].get("cut", []) == [path[:256] for path in expected]


def test_errors_and_notes_that_are_left_out_are_told() -> None:
    """By the path of the list that they are missing in."""
    obs.configure()

    class ManyError(Exception):
        pass

    error = ManyError("many")
    error.__notes__ = [f"note {number}" for number in range(20)]
    with obs.flow("cuts") as run, pytest.raises(ManyError), obs.span("work"):
        raise error
    (end,) = obs.query(run.flow_id, node="work", event_type="error")
    assert end["data"]["cut"] == ["error.notes"]
    described = {"type": "Group", "message": "m", "errors": [{"type": "…", "message": Mark("[+4 errors]")}]}
    taken = snapshot({"error": described})
    assert cut_paths("", taken, scrub(taken)) == ["error.errors"]


SPELLED = ["input_tokens", "prompt_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "thoughts_token_count"]
NESTED = ["prompt_tokens_details", "output_token_details", "cached_tokens", "reasoning", "unknown"]


@given(
    st.dictionaries(
        st.sampled_from(SPELLED + NESTED),
        st.one_of(st.integers(-1, 9), st.none(), st.dictionaries(st.sampled_from(NESTED), st.integers(0, 3), max_size=3)),
        max_size=6,
    )
)
def test_a_usage_is_read_alike_whatever_else_it_holds(usage: dict[str, Any]) -> None:
    """Of a small dict only its own keys are looked up; what else it holds changes nothing."""
    more = {f"x{number}": None for number in range(40)}
    assert metrics_of({"usage": usage}) == metrics_of({"usage": {**usage, **more}})
