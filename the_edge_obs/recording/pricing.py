"""Prices of models: what the tokens of a call cost, in US dollars.

Prices are active for the whole process, or for the flows of one scope. The cost is computed when a span ends, so a log stays
true when prices change.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from ..errors import ConfigurationError, MissingExtraError, check_keys
from .callables import check_runs, function_at, is_function_path

PRICE_KEYS: Final = ("input", "output", "cached_input", "cache_write")
GENAI_PRICES: Final = "genai-prices"
COUNTS: Final = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
"""The counts of tokens that a price is found for. The last three are part of the first two."""

_MOST_NOTED: Final = 1_000  # models

Tokens: TypeAlias = Mapping[str, float]

_Source: TypeAlias = "Callable[[str, Tokens, Mapping[str, Any]], Any]"


class Prices:
    """Prices of models, from a checked ``prices:`` entry.

    Attributes:
        source: Returns the cost of a call in US dollars, or None, from the model, its tokens and the call's input.
    """

    __slots__ = ("_noted", "source")

    def __init__(self, source: _Source) -> None:
        self.source = source
        self._noted: set[str] = set()

    def is_first(self, model: str) -> bool:
        """Tell whether this is the first call without a cost of a model: it is noted, and later ones are not."""
        if model in self._noted or len(self._noted) >= _MOST_NOTED:
            return False
        self._noted.add(model)
        return True


# --- which prices are active ---

active: Final[list[tuple[Prices, object]]] = []
"""The active prices, each with the scope of its flows; None for all flows."""


def activate(prices: Prices, scope: object = None) -> Callable[[], None]:
    """Activate prices for the whole process or for the flows of a scope, and return the undo."""
    entry = prices, scope
    active.append(entry)

    def undo() -> None:
        with suppress(ValueError):  # it was undone before
            active.remove(entry)

    return undo


def prices_for(scope: object) -> Prices | None:
    """Return the prices for the flows of a scope: its own, otherwise the latest of the process, or None."""
    for wanted in (scope, None) if scope is not None else (None,):
        for prices, owner in reversed(active):
            if owner is wanted:
                return prices
    return None


# --- entries ---


def prices_of(entry: Any, where: str, *, import_it: bool = True) -> Prices | None:
    """Return the prices of a ``prices:`` entry.

    Args:
        entry: A table ``{model: {input: 2.5, output: 10, cached_input: 1.25, cache_write: 3.75}}`` in US dollars per million
            tokens, whose models may have wildcards; ``genai-prices``, for the package of that name; a function, or its path
            ``package.module:function``; or None.
        where: The location of the entry, for messages.
        import_it: Whether to import what the entry names. Default True; otherwise only its syntax is checked.

    Raises:
        ConfigurationError: The entry is not valid; the message names the key, the value and what is allowed.
    """
    if entry is None:
        return None
    if isinstance(entry, Mapping):
        return Prices(_by_table({_model(where, model): _row(f"{where}.{model}", row) for model, row in entry.items()}))
    if entry == GENAI_PRICES:
        return Prices(_by_genai_prices(where) if import_it else _nothing)
    if isinstance(entry, str) and is_function_path(entry):
        if not import_it:
            return Prices(_nothing)
        try:
            entry = function_at(where, entry)
        except ConfigurationError as error:
            raise ConfigurationError(str(error), where=where) from error
    if not callable(entry):
        problem = f"{where} is {entry!r}; it must be a table such as {{gpt-4o: {{input: 2.5, output: 10}}}}, {GENAI_PRICES}"
        raise ConfigurationError(f"{problem} or a function: 'package.module:function'", where=where)
    check_runs("prices", entry)
    function = entry
    return Prices(lambda model, tokens, given: function(model, tokens))


def names_code(entry: Any) -> bool:
    """Tell whether an entry names a function, which is code of the configuration's author."""
    return callable(entry) or (isinstance(entry, str) and entry != GENAI_PRICES)


def _nothing(model: str, tokens: Tokens, given: Mapping[str, Any]) -> None:
    return None


def _model(where: str, model: Any) -> str:
    if not isinstance(model, str) or not model:
        raise ConfigurationError(f"{where} has a price for {model!r}; name a model such as gpt-4o or gpt-4o*", where=where)
    return model


def _row(where: str, row: Any) -> Mapping[str, float]:
    if not isinstance(row, Mapping) or not row:
        problem = f"{where} is {row!r}; it must be a mapping such as {{input: 2.5, output: 10}}, in US dollars per million tokens"
        raise ConfigurationError(problem, where=where)
    check_keys(where, row, PRICE_KEYS)
    for key, price in row.items():
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not 0 <= price < math.inf:
            problem = f"{where}.{key} is {price!r}; it must be a number of at least 0, in US dollars per million tokens"
            raise ConfigurationError(problem, where=f"{where}.{key}")
    return dict(row)


def _by_table(table: Mapping[str, Mapping[str, float]]) -> _Source:
    """Return the source for a table. The exact name of a model wins, then the first pattern that matches."""

    def cost(model: str, tokens: Tokens, given: Mapping[str, Any]) -> float | None:
        row = table.get(model) or next((row for pattern, row in table.items() if fnmatchcase(model, pattern)), None)
        if row is None:
            return None
        cached, written = tokens.get("cached_tokens", 0), tokens.get("cache_write_tokens", 0)
        plain, total = row.get("input"), 0.0
        for count, price in (
            (max(0, tokens.get("input_tokens", 0) - cached - written), plain),
            (cached, row.get("cached_input", plain)),
            (written, row.get("cache_write", plain)),
            (tokens.get("output_tokens", 0), row.get("output")),
        ):
            if count and price is None:
                return None  # a part would be missing
            total += count * (price or 0) / 1e6
        return total

    return cost


def _by_genai_prices(where: str) -> _Source:
    """Return the source that asks genai-prices: for the provider at the call's ``base_url`` if it is known, else by the model."""
    try:
        library: Any = importlib.import_module("genai_prices")
    except ImportError as error:
        raise ConfigurationError(f"{where} is {GENAI_PRICES!r}: {MissingExtraError('it', 'prices')}", where=where) from error
    names = {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0}

    def cost(model: str, tokens: Tokens, given: Mapping[str, Any]) -> float | None:
        counts = {name: int(tokens.get(name, 0)) for name in names}
        cached, written = counts.pop("cached_tokens"), counts.pop("cache_write_tokens")
        usage = library.Usage(**counts, cache_read_tokens=cached, cache_write_tokens=written)
        url = given.get("base_url")
        for about in ({"provider_api_url": url}, {}) if type(url) is str else ({},):
            try:
                return float(library.calc_price(usage, model, **about).total_price)
            except (LookupError, ValueError):  # it does not know the provider or the model, or has no price for such tokens
                continue
        return None

    return cost
