"""Capture: which arguments are the input, where the code is, what a result says of itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from the_edge_obs.capture import Capture, is_soft_failure, location_of, metrics_of
from the_edge_obs.records import NOWHERE


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
    ],
)
def test_metrics_of_results(result: dict[str, Any], expected: Any) -> None:
    """Tokens in OpenAI's or Anthropic's words, a missing total added up; what is no count is left out."""
    assert metrics_of(result) == expected
