"""The handlers: a ring buffer a flow, a JSONL file a flow, a callback. All of them ordinary ``logging.Handler``s."""

from .callback import CallbackHandler
from .flow_file import FlowFileHandler
from .ring import RingBufferHandler

__all__ = ["CallbackHandler", "FlowFileHandler", "RingBufferHandler"]
