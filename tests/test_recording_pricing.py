"""Prices of models: tables, functions and genai-prices; which of them are active."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.recording import pricing
from the_edge_obs.recording.pricing import Prices, activate, names_code, prices_for, prices_of

TABLE = {
    "gpt-4o": {"input": 2.5, "output": 10, "cached_input": 1.25},
    "gpt-4o*": {"input": 1, "output": 2},
    "claude-*": {"input": 3, "output": 15, "cached_input": 0.3, "cache_write": 3.75},
    "*embed*": {"input": 0.02},
    "free": {"input": 0, "output": 0},
}


@pytest.fixture(autouse=True)
def no_prices() -> Iterator[None]:
    """Leave no prices behind."""
    yield
    pricing.active.clear()


def cost(entry: Any, model: str, **tokens: float) -> Any:
    """Return the cost of a call by an entry."""
    prices = prices_of(entry, "prices")
    assert prices is not None
    return prices.source(model, tokens, {})


@pytest.mark.parametrize(
    ("model", "tokens", "expected"),
    [
        ("gpt-4o", {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, 12.5),
        ("gpt-4o", {"input_tokens": 1_000_000, "cached_tokens": 400_000, "output_tokens": 0}, 2.0),
        ("gpt-4o-mini", {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, 3),
        ("gpt-4o-mini", {"input_tokens": 1_000_000, "cached_tokens": 1_000_000}, 1),
        ("claude-x", {"input_tokens": 1_000_000, "cached_tokens": 500_000, "cache_write_tokens": 400_000}, 0.3 + 0.15 + 1.5),
        # Reasoning is part of the output.
        ("gpt-4o", {"output_tokens": 1_000_000, "reasoning_tokens": 900_000}, 10),
        # A count that says more parts than the whole.
        ("gpt-4o", {"input_tokens": 10, "cached_tokens": 1_000_000}, 1.25),
        ("text-embedding-3-small", {"input_tokens": 1_000_000}, 0.02),
        ("text-embedding-3-small", {"input_tokens": 1_000_000, "output_tokens": 1}, None),
        ("free", {"input_tokens": 7}, 0),
        ("GPT-4o", {"input_tokens": 7}, None),
        ("llama", {"input_tokens": 7}, None),
    ],
)
def test_the_cost_by_a_table(model: str, tokens: dict[str, float], expected: float | None) -> None:
    """The exact name, then the first pattern; what has no price of its own costs as input; no price for a part, no cost."""
    assert cost(TABLE, model, **tokens) == (expected if expected is None else pytest.approx(expected))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1000), st.floats(0, 1000))
def test_costs_add_up(sent: int, got: int, price: float, other: float) -> None:
    """The cost of input and output is the sum of the cost of each."""
    table = {"m": {"input": price, "output": other}}
    parts = cost(table, "m", input_tokens=sent) + cost(table, "m", output_tokens=got)
    assert cost(table, "m", input_tokens=sent, output_tokens=got) == pytest.approx(parts)


def test_a_function_gets_model_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Itself, or by its path."""
    (tmp_path / "own_prices.py").write_text("def cost(model, tokens): return len(model) + tokens['input_tokens']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cost("own_prices:cost", "abc", input_tokens=4) == 7
    assert cost(lambda model, tokens: (model, dict(tokens)), "m", output_tokens=1) == ("m", {"output_tokens": 1})
    monkeypatch.delitem(sys.modules, "own_prices")
    prices_of("own_prices:cost", "prices", import_it=False)
    assert "own_prices" not in sys.modules


async def _later(model: str, tokens: Any) -> float:
    return 1


@pytest.mark.parametrize(
    ("entry", "where", "message"),
    [
        (3, "prices", "prices is 3; it must be a table such as {gpt-4o: {input: 2.5, output: 10}}, genai-prices or a function:"),
        ("genai prices", "prices", "prices is 'genai prices'; it must be a table such as"),
        ([], "prices", "prices is []; it must be a table"),
        ("no_such_module:cost", "prices", "prices 'no_such_module:cost' is not found (No module named 'no_such_module')"),
        ("builtins:nothing", "prices", "prices 'builtins:nothing' is not found"),
        (_later, "prices", "is an async function: a call alone does not run it"),
        ({"m": 3}, "prices.m", "prices.m is 3; it must be a mapping such as {input: 2.5, output: 10}, in US dollars per million"),
        ({"m": {}}, "prices.m", "prices.m is {}; it must be a mapping"),
        ({"": {"input": 1}}, "prices", "prices has a price for ''; name a model such as gpt-4o or gpt-4o*"),
        ({4: {"input": 1}}, "prices", "prices has a price for 4; name a model"),
        (
            {"m": {"imput": 1}},
            "prices.m.imput",
            "unknown key 'imput' in prices.m; did you mean 'input'? allowed: input, output, cached_input, cache_write",
        ),
        ({"m": {"input": -1}}, "prices.m.input", "prices.m.input is -1; it must be a number of at least 0, in US dollars per"),
        ({"m": {"input": True}}, "prices.m.input", "prices.m.input is True; it must be a number"),
        ({"m": {"input": float("nan")}}, "prices.m.input", "prices.m.input is nan; it must be a number"),
        ({"m": {"output": float("inf")}}, "prices.m.output", "prices.m.output is inf; it must be a number"),
        ({"m": {"output": "10"}}, "prices.m.output", "prices.m.output is '10'; it must be a number"),
    ],
)
def test_bad_entries_are_refused(entry: Any, where: str, message: str) -> None:
    """Key, value and what is allowed."""
    with pytest.raises(ConfigurationError, match=re.escape(message)) as raised:
        prices_of(entry, "prices")
    assert raised.value.where in (where, "")


def test_nothing_is_no_prices() -> None:
    """An empty entry says nothing."""
    assert prices_of(None, "prices") is None
    assert prices_for(None) is None


def test_the_prices_of_a_scope_win_then_the_latest() -> None:
    """Undos come in any order, and twice."""
    first, second, own = (Prices(lambda *_: 1.0) for _ in range(3))
    scope = object()
    undos = [activate(first), activate(own, scope), activate(second)]
    assert (prices_for(None), prices_for(scope), prices_for(object())) == (second, own, second)
    undos[2]()
    undos[2]()
    assert (prices_for(None), prices_for(scope)) == (first, own)
    undos[0]()
    assert (prices_for(None), prices_for(scope)) == (None, own)
    undos[1]()
    assert pricing.active == []


def test_a_model_is_new_once() -> None:
    """And no model is, once a thousand were."""
    prices = Prices(lambda *_: None)
    assert [prices.is_first(f"m{number}") for number in (1, 1, 2)] == [True, False, True]
    assert sum(prices.is_first(f"m{number}") for number in range(2_000)) == 998


@pytest.mark.parametrize(
    ("entry", "expected"), [({}, False), (None, False), ("genai-prices", False), ("own:cost", True), (print, True), (3, False)]
)
def test_which_entries_bring_code(entry: Any, expected: bool) -> None:
    """A function is code of the configuration's author; the package is trusted by who installed it."""
    assert names_code(entry) is expected


def test_a_filter_in_a_dict_config() -> None:
    """With the standard library's own dictConfig, and with configure and its undo."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"prices": {"()": "the_edge_obs.PriceFilter", "prices": TABLE}},
        "loggers": {"tea.priced": {"filters": ["prices"]}},
    }
    logging.config.dictConfig(config)
    [installed] = logging.getLogger("tea.priced").filters
    assert isinstance(installed, obs.PriceFilter)
    assert prices_for(None) is not None
    assert installed.filter(logging.makeLogRecord({}))
    installed.close()
    assert prices_for(None) is None
    undo = obs.configure(config)
    (prices,) = [prices for prices, _ in pricing.active]
    assert prices.source("gpt-4o", {"input_tokens": 1_000_000}, {}) == 2.5
    undo()
    assert pricing.active == []
    with pytest.raises(ConfigurationError, match=r"filter 'prices': .*prices\.m is 3"):
        obs.configure({**config, "filters": {"prices": {"()": "the_edge_obs.PriceFilter", "prices": {"m": 3}}}})
    assert pricing.active == []


# --- the package genai-prices ---


def test_genai_prices_prices_known_models() -> None:
    """As the package itself does, with cached tokens; by the provider of the address, or by the model's name."""
    library = pytest.importorskip("genai_prices")
    prices = prices_of("genai-prices", "prices")
    assert prices is not None
    tokens = {"input_tokens": 1000, "output_tokens": 100, "cached_tokens": 400}
    usage = library.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400)
    own = float(library.calc_price(usage, "gpt-4o", provider_id="openai").total_price)
    for about in ({}, {"base_url": "https://api.openai.com/v1/"}, {"base_url": "http://127.0.0.1:9/v1"}, {"base_url": 3}):
        assert prices.source("gpt-4o", tokens, about) == own > 0
    assert prices.source("no-such-model", tokens, {}) is None


def test_genai_prices_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra; a check of the syntax alone needs no package."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ConfigurationError, match=re.escape("python -m pip install 'the_edge_obs[prices]'")):
        obs.configure({"prices": "genai-prices"})
    assert prices_of("genai-prices", "prices", import_it=False) is not None
    assert pricing.active == []
