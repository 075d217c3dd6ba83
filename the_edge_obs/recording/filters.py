"""The filters: they stamp records with the running flow, pass one owner's flows only, or keep redaction and prices active."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable
from typing import Any

from ..context import FlowState, SpanContext, current
from ..secrets.policies import activate, policy_of
from .dispatch import FACT_FILTERS
from .foreign import scrub_record
from .pricing import activate as activate_prices
from .pricing import prices_of
from .records import IDS, STAMP, Facts, NodeRecord, node_of, stamp_of


class FlowContextFilter(logging.Filter):
    """Stamp each record with ``flow_id``, ``span_id`` and ``parent_id``, so that format strings can name them.

    Outside a flow they are None. The filter also removes secrets from records of other libraries (message, arguments, extras,
    traceback), for this handler and later ones. A record without secrets is not changed.

    If a program sets one of these names itself with ``extra=``, its value stays on the record and goes into the event's data.

    Put it on handlers: a filter of the logger ``tea`` does not run for records of ``tea.llm.call``. With a queue, put it on
    the ``QueueHandler``, which runs in the thread that logs. The record then carries its flow, so the flow's secrets are
    also removed where the queue is read in the same process. ``name`` works as in ``logging.Filter``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp the record, and let it pass if ``name`` allows it."""
        # A node's record, and one that is already stamped, knows its flow: after a queue the context is another one.
        if type(record) is not NodeRecord:
            span = current()
            if stamp_of(record) is None:
                _stamp(record, span)
            stamped = record.__dict__.get("_flow")
            scrub_record(record, stamped if isinstance(stamped, FlowState) else span and span.flow)
        return bool(super().filter(record))


def _stamp(record: logging.LogRecord, span: SpanContext | None) -> None:
    ids = (None, None, None) if span is None else (span.flow.id, span.span_id, span.parent_id)
    attributes = record.__dict__
    if not attributes.keys().isdisjoint(IDS):
        attributes[STAMP] = ids
    for name, value in zip(IDS, ids, strict=True):
        attributes.setdefault(name, value)
    record._flow = span and span.flow


class ScopeFilter(logging.Filter):
    """Pass only records of flows with a given scope: it keeps the handlers of one flow free of the events of others.

    Args:
        scope: The object that was passed to ``flow(..., scope=)``.
    """

    def __init__(self, scope: object) -> None:
        super().__init__()
        self.scope = scope

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record belongs to the scope."""
        if type(record) is NodeRecord:
            return _is_in_scope(self, record.facts)
        span = current()
        return span is not None and span.flow.scope is self.scope


class RedactionFilter(logging.Filter):
    """Keep a redaction policy active in the whole process while this filter exists; every record passes.

    It is a filter so that a dictConfig can name it: put it on any logger or handler. On the logger ``tea`` it costs nothing,
    because filters of a logger do not run for the loggers below it. Policies add up.

    Args:
        keys: Further keys whose values are secrets, in any case and spelling.
        safe_keys: Keys that the built-in rules wrongly consider secret. ``keys`` of another policy take precedence.
        patterns: Further shapes of secrets: regular expressions; everything that matches is redacted.
        correlate: Whether equal secrets get equal placeholders, such as ``[REDACTED:1f3a9c0b77de]``. Default False.
        preset: Further keys and shapes for a field: ``payment`` (card numbers, IBANs, CVVs, PINs ...). Default None.

    Raises:
        ConfigurationError: a key or pattern is not valid; the message names the value and what is allowed.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        safe_keys: Iterable[str] = (),
        patterns: Iterable[str] = (),
        correlate: bool = False,
        preset: str | None = None,
    ) -> None:
        super().__init__()
        lists = {"keys": keys, "safe_keys": safe_keys, "patterns": patterns}
        policy = policy_of({**lists, "preset": preset, "correlate": correlate}, "redact")
        self._undo = weakref.finalize(self, activate(policy))
        self._undo.atexit = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass."""
        return True

    def close(self) -> None:
        """Deactivate the policy."""
        self._undo()


class PriceFilter(logging.Filter):
    """Keep prices of models active in the whole process while this filter exists; every record passes.

    It is a filter so that a dictConfig can name it, like ``RedactionFilter``. If there are several, the latest counts.

    Args:
        prices: As ``prices:`` of a block: a table ``{model: {input: 2.5, output: 10, cached_input: 1.25, cache_write: 3.75}}``
            in US dollars per million tokens, whose models may have wildcards; ``genai-prices``; or a function, or its path
            ``package.module:function``, which gets the model and its tokens and returns US dollars, or None.

    Raises:
        ConfigurationError: the prices are not valid; the message names the key, the value and what is allowed.
    """

    def __init__(self, prices: Any) -> None:
        super().__init__()
        checked = prices_of(prices, "prices")
        self._undo = weakref.finalize(self, (lambda: None) if checked is None else activate_prices(checked))
        self._undo.atexit = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass."""
        return True

    def close(self) -> None:
        """Deactivate the prices."""
        self._undo()


def _passes(flow_filter: FlowContextFilter, facts: Facts) -> bool:
    # A node's event has its ids already: only the name is left to check, as logging.Filter does.
    if not (name := flow_filter.name):
        return True
    logger = f"tea.{node_of(facts)}"
    return logger == name or logger.startswith(f"{name}.")


def _is_in_scope(scope_filter: ScopeFilter, facts: Facts) -> bool:
    return facts[0][0].scope is scope_filter.scope  # by index: each event of a block's flows passes here


FACT_FILTERS[FlowContextFilter] = _passes
FACT_FILTERS[ScopeFilter] = _is_in_scope
FACT_FILTERS[RedactionFilter] = FACT_FILTERS[PriceFilter] = lambda every_record, facts: True
