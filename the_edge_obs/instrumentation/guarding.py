"""Guarding the observed code against the failures of what observes it."""

from __future__ import annotations

from ..context import SpanContext
from ..recording.faults import Guard, own_fault
from .flow_context import ObservabilityContext
from .spans import Span, StartedSpan


def guard(what: str, span: ObservabilityContext | StartedSpan | Span | SpanContext | None = None) -> Guard:
    """Return a context manager that reports an exception in place of raising it: an adapter never breaks what it observes.

    The report goes to stderr, where logging reports its own failures. It counts in the ``fault_count`` of the flow, and the first
    of its kind is an event of the node ``obs`` there. Secrets are removed. Interrupts such as Ctrl-C are raised. The block must
    not contain the observed code: its exceptions belong to its caller.

    The result has no state, so it may be kept, and used by several threads at once.

    Args:
        what: What the block does, such as ``reading an answer``; the report says that this failed.
        span: A flow, a span, or the result of ``current()``: the failure belongs to its flow. Default: the running flow.

    Example:
        >>> with obs.guard("reading an answer", call):
        ...     tokens = answer.usage.total_tokens
    """
    return Guard(own_fault, what, span if span is None or isinstance(span, SpanContext) else span.context)
