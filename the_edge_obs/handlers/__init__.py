"""The handlers: a ring buffer per flow, a JSONL file per flow, a callback. All are ordinary ``logging.Handler``s."""

from .callback import CallbackHandler
from .flow_file import FlowFileHandler
from .ring import RingBufferHandler

__all__ = ["CallbackHandler", "FlowFileHandler", "RingBufferHandler"]
