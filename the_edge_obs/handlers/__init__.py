"""The handlers: a ring buffer per flow, a JSONL file per flow, a callback, and a base for those that send spans.

All are ordinary ``logging.Handler``s.
"""

from .batching import BatchHandler
from .callback import CallbackHandler
from .flow_file import FlowFileHandler
from .ring import RingBufferHandler
from .span_records import SpanRecord

__all__ = ["BatchHandler", "CallbackHandler", "FlowFileHandler", "RingBufferHandler", "SpanRecord"]
