"""Scrubbing of the messages of this package's own errors."""

from __future__ import annotations

from ..context import current
from .snapshots import snapshot
from .texts import scrub_text


def shown(text: str) -> str:
    """Return a message without secrets, including those of the running flow; a long one is cut to 8,192 characters."""
    span = current()
    flow = None if span is None else span.flow
    return scrub_text(snapshot(text, flow), () if flow is None else flow.taints)
