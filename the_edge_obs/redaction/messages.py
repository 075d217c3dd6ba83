"""What the messages of this package's own errors may show."""

from __future__ import annotations

from ..context import current
from .snapshots import snapshot
from .texts import scrub_text


def shown(text: str) -> str:
    """Return a message without secrets, those of the running flow included; of a long one 8,192 characters stay."""
    span = current()
    flow = None if span is None else span.flow
    return scrub_text(snapshot(text, flow), () if flow is None else flow.taints)
