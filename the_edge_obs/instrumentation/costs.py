"""The cost of a span: where it has tokens and a model and no cost of its own, the active prices give one.

Every span ends in ``span_events.OpenSpan``, which asks here, so the cost is the same whoever made the span: ``llm.call``, a
decorated function, an SDK's client or another engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..context import SpanContext
from ..recording.faults import own_fault
from ..recording.pricing import COUNTS, prices_for
from .capture import is_count, model_in

_SHOWN: Final = 100  # characters of a model's name


class Costs(NamedTuple):
    """The result of looking for a cost.

    Attributes:
        metrics: The metrics of the span, with ``cost_usd`` if a price is known.
        note: What to log about a model without a price, the first time; otherwise None.
    """

    metrics: dict[str, Any]
    note: str | None


def with_cost(metrics: dict[str, Any], output: Any, given: Any, context: SpanContext) -> Costs:
    """Add the cost of a span to its metrics, if it has tokens and no cost of its own.

    Args:
        metrics: The metrics of the span.
        output: The result, which names the model.
        given: The captured input, which names the model if the result does not.
        context: The span.
    """
    unchanged = Costs(metrics, None)
    tokens: dict[str, Any] = {name: count for name in COUNTS if is_count(count := metrics.get(name))}
    if "cost_usd" in metrics or not ("input_tokens" in tokens or "output_tokens" in tokens):
        return unchanged
    prices, model = prices_for(context.flow.scope), model_in(output) or model_in(given)
    if prices is None or model is None:
        return unchanged
    try:
        cost = prices.source(model, tokens, given if isinstance(given, Mapping) else {})
    except Exception:  # noqa: BLE001 - observability never breaks the observed code
        if prices.is_first(model):
            own_fault("finding the price of a model", context)
        else:
            context.flow.faults += 1
        return unchanged
    if is_count(cost):
        return Costs({**metrics, "cost_usd": round(float(cost), 12)}, None)
    if not prices.is_first(model):
        return unchanged
    return Costs(metrics, f"no price is known for the tokens of model {model[:_SHOWN]!r}: its calls have no cost_usd")
