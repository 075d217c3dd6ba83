"""The filters: one stamps records with the running flow and span, one lets only one owner's flows through."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable

from ..context import FlowState, SpanContext, current
from ..secrets.policies import activate, policy_of
from .dispatch import FACT_FILTERS
from .foreign import scrub_record
from .records import IDS, STAMP, Facts, NodeRecord, stamp_of


class FlowContextFilter(logging.Filter):
    """Stamp each record with ``flow_id``, ``span_id`` and ``parent_id``, None outside any flow, so that formats can name them.

    It also takes secrets out of records of other libraries (message, arguments, extras, traceback), for this handler and those
    that come after it. A record without any stays as it is.

    What a program itself has put under one of these names with ``extra=`` stays there, and is in the data of the event.

    Put it on handlers: a filter of the logger ``tea`` does not run for records of ``tea.llm.call``. With a queue, put it on
    the ``QueueHandler``, which runs in the thread that logs; the record takes its flow along, so that what is secret in the flow
    stays so where the queue is read in the same process. ``name`` works as in ``logging.Filter``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp the record, and let it pass unless ``name`` says otherwise."""
        # A node's record, and what is stamped already, knows its flow: behind a queue the context is another one.
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
    """Let only records pass of flows opened with a given scope: flows with handlers of their own stay out of one another's.

    Args:
        scope: The object that was given to ``flow(..., scope=)``.
    """

    def __init__(self, scope: object) -> None:
        super().__init__()
        self.scope = scope

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record belongs to the scope."""
        span = record.facts[0] if type(record) is NodeRecord else current()
        return span is not None and span[0].scope is self.scope


class RedactionFilter(logging.Filter):
    """Keep a redaction policy active, in the whole process, as long as this filter exists; it lets every record pass.

    A filter, so that a dictConfig can name it: put it on any logger or handler. On the logger ``tea`` it costs nothing, for its
    filters do not run for the loggers below it. Policies add up.

    Args:
        keys: Further keys whose values are secrets, in any case and spelling.
        safe_keys: Keys that the built-in rules take for secret and that are not. Another policy's ``keys`` come before them.
        patterns: Further shapes of secrets: regular expressions, of which all that matches is taken out.
        correlate: Whether equal secrets get equal placeholders, such as ``[REDACTED:1f3a9c0b77de]``. Default False.
        preset: Further keys and shapes of an area: ``payment`` (card numbers, IBANs, CVVs, PINs ...). Default None.

    Raises:
        ConfigurationError: a key or pattern that cannot be used; it names the value and what is allowed.
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


def _passes(flow_filter: FlowContextFilter, facts: Facts) -> bool:
    # A node's event bears its ids already: what is left is the name, as logging.Filter compares it.
    name, logger = flow_filter.name, f"tea.{facts[0][3]}"
    return not name or logger == name or logger.startswith(f"{name}.")


FACT_FILTERS[FlowContextFilter] = _passes
FACT_FILTERS[ScopeFilter] = lambda scope_filter, facts: facts[0][0].scope is scope_filter.scope
FACT_FILTERS[RedactionFilter] = lambda redaction_filter, facts: True
