"""The handlers: a ring buffer per flow, a JSONL file per flow, a callback, and a base for those that send spans.

All are ordinary ``logging.Handler``s.
"""

from typing import TYPE_CHECKING

from ..on_demand import on_demand

if TYPE_CHECKING:
    from .batching import BatchHandler
    from .callback import CallbackHandler
    from .flow_file import FlowFileHandler
    from .ring import RingBufferHandler
    from .span_records import SpanRecord

__all__ = ["BatchHandler", "CallbackHandler", "FlowFileHandler", "RingBufferHandler", "SpanRecord"]

if not TYPE_CHECKING:  # a type checker that saw this would accept every name
    __getattr__, __dir__ = on_demand(
        globals(),
        {
            "batching": ("BatchHandler",),
            "callback": ("CallbackHandler",),
            "flow_file": ("FlowFileHandler",),
            "ring": ("RingBufferHandler",),
            "span_records": ("SpanRecord",),
        },
    )
