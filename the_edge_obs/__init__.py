"""Flow-level observability on stdlib logging: every run of an agent or workflow can be read back, offline.

Importing the package changes no logger. Each public name is imported when it is first used, so the import is cheap, and what is
not used is not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .errors import show_with
from .on_demand import module_in, on_demand

if TYPE_CHECKING:
    from .comparison import diff
    from .configuration.config import configure, is_configured
    from .context import RemoteParent, SpanContext
    from .errors import (
        ActionError,
        ConfigurationError,
        DurationError,
        EventError,
        ExportError,
        FlowFileError,
        FlowNotFoundError,
        FlowRunError,
        LevelError,
        LogFileError,
        MissingExtraError,
        NotRecordedError,
        ObservabilityError,
        QueryError,
    )
    from .flow_log import FlowLog
    from .formats.exporting import export
    from .handlers import BatchHandler, CallbackHandler, FlowFileHandler, RingBufferHandler, SpanRecord
    from .handlers.formatters import ConsoleFormatter, JsonFormatter
    from .instrumentation.carriers import propagate, wrap
    from .instrumentation.decorator import observable
    from .instrumentation.event_streams import EventStream
    from .instrumentation.flow_context import ObservabilityContext, flow
    from .instrumentation.guarding import guard
    from .instrumentation.registries import instrument
    from .instrumentation.running import current
    from .instrumentation.spans import StartedSpan, log_event, span, start_span
    from .instrumentation.trace_headers import continue_traces, extract, inject
    from .instrumentation.using import use_span
    from .recording.filters import FlowContextFilter, PriceFilter, RedactionFilter
    from .redaction.tainting import taint
    from .store.run_lists import runs
    from .store.sources import get_flow_log, query

__all__ = [
    "ActionError",
    "BatchHandler",
    "CallbackHandler",
    "ConfigurationError",
    "ConsoleFormatter",
    "DurationError",
    "EventError",
    "EventStream",
    "ExportError",
    "FlowContextFilter",
    "FlowFileError",
    "FlowFileHandler",
    "FlowLog",
    "FlowNotFoundError",
    "FlowRunError",
    "JsonFormatter",
    "LevelError",
    "LogFileError",
    "MissingExtraError",
    "NotRecordedError",
    "ObservabilityContext",
    "ObservabilityError",
    "PriceFilter",
    "QueryError",
    "RedactionFilter",
    "RemoteParent",
    "RingBufferHandler",
    "SpanContext",
    "SpanRecord",
    "StartedSpan",
    "configure",
    "continue_traces",
    "current",
    "diff",
    "export",
    "extract",
    "flow",
    "get_flow_log",
    "guard",
    "inject",
    "instrument",
    "is_configured",
    "log_event",
    "observable",
    "propagate",
    "query",
    "runs",
    "span",
    "start_span",
    "taint",
    "use_span",
    "wrap",
]

_HOMES = {
    "instrumentation.carriers": ("propagate", "wrap"),
    "comparison": ("diff",),
    "configuration.config": ("configure", "is_configured"),
    "context": ("RemoteParent", "SpanContext"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "recording.filters": ("FlowContextFilter", "PriceFilter", "RedactionFilter"),
    "flow_log": ("FlowLog",),
    "handlers.formatters": ("ConsoleFormatter", "JsonFormatter"),
    "handlers": ("BatchHandler", "CallbackHandler", "FlowFileHandler", "RingBufferHandler", "SpanRecord"),
    "instrumentation.decorator": ("observable",),
    "instrumentation.event_streams": ("EventStream",),
    "instrumentation.flow_context": ("ObservabilityContext", "flow"),
    "instrumentation.guarding": ("guard",),
    "redaction.tainting": ("taint",),
    "instrumentation.registries": ("instrument",),
    "instrumentation.running": ("current",),
    "instrumentation.spans": ("StartedSpan", "log_event", "span", "start_span"),
    "formats.exporting": ("export",),
    "store.run_lists": ("runs",),
    "store.sources": ("get_flow_log", "query"),
    "instrumentation.trace_headers": ("continue_traces", "extract", "inject"),
    "instrumentation.using": ("use_span",),
}


def _import_for_exit() -> None:
    """Import what a ``__del__`` may use first while the interpreter exits, when nothing can be imported any more.

    ``recording.exits`` calls this: it lies below what has to be imported, and only the package may import anything.
    """
    module_in(globals(), "instrumentation.flow_context")


show_with(lambda text: cast("str", module_in(globals(), "redaction.messages").shown(text)))


if not TYPE_CHECKING:  # a type checker that saw this would accept every name, misspelt ones too
    __getattr__, __dir__ = on_demand(globals(), _HOMES)
