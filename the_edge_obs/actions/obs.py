"""``obs.*``: a flow reads, exports and adds to its own log while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..context import checked_flow_id, current
from ..errors import ActionError, ExportError, allowed
from ..recording.names import named_after
from ..recording.tracebacks import error_text
from ..redaction.summaries import Listing, Record
from ._support import add_event, count_of, failure, mapping_of, text_of

__all__ = ["obs_export", "obs_get_flow_log", "obs_log_event", "obs_query"]

# Only spans log entries and exits: a single one would break the tree.
_EVENT_TYPES: Final = ("log", "metric", "error")


def obs_get_flow_log(state: Mapping[str, Any], *, flow_id: str | None = None) -> dict[str, Any]:
    """Return everything known about a flow. Only a summary of the result is logged, so that the log does not contain itself.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        flow_id: The flow; None for the running one.

    Returns:
        ``{"flow_id", "name", "status", "events", "spans", "metrics", "timeline"}``, as ``FlowLog.to_dict`` returns it; for
        the running flow, everything so far.

    Raises:
        ActionError: No flow_id is given, and no flow is running.
        ConfigurationError: The flow_id is not a UUID.
        FlowNotFoundError: No ring and no file has this flow's events.
    """
    from ..store.sources import get_flow_log

    log = get_flow_log(_flow_id("obs.get_flow_log", state, flow_id)).to_dict()
    facts = {key: log[key] for key in ("flow_id", "name", "status")}
    return Record(log, {**facts, "events": len(log["events"]), "spans": len(log["spans"])})


def obs_query(
    state: Mapping[str, Any],
    *,
    flow_id: str | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return the events of a flow that pass the filters, in order. Only the number of events is logged.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        flow_id: The flow; None for the running one.
        filters: Any of node (glob or list), level, min_level, event_type, start_time, end_time, span_id, step (glob or list),
            text, limit; a value of None is ignored.
        limit: The largest number of events, counted from the first; None returns all.

    Returns:
        A list of events; empty when none passes, or when the running flow has logged nothing yet.

    Raises:
        ActionError: No flow_id is given, and no flow is running.
        ConfigurationError: The flow_id is not a UUID.
        QueryError: A filter is unknown, or its value is not allowed.
        FlowNotFoundError: No ring and no file has this flow's events.
    """
    from ..store.sources import query

    chosen = dict(mapping_of("obs.query", "filters", filters))
    if limit is not None:
        chosen["limit"] = count_of("obs.query", "limit", limit)
    events = query(_flow_id("obs.query", state, flow_id), **chosen)
    return Listing(events, {"events": len(events)})


def obs_export(
    state: Mapping[str, Any],
    *,
    path: str,
    flow_id: str | None = None,
    format: str | None = None,  # noqa: A002 - the name that flows use
    filters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a flow's events to a file, completely or not at all.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        path: The file to write; missing folders are created.
        flow_id: The flow; None for the running one.
        format: ``jsonl`` (one event per line), ``json`` (the flow log), or another of ``the_edge_obs.formats.FORMATS``;
            None: by the extension of the path, otherwise ``jsonl``.
        filters: The events to write; as in ``obs.query``.

    Returns:
        ``{"path": str, "format": str, "events": how many, "bytes": int}``. The soft failure has ``error_type``
        ``write_error``: the path cannot be written.

    Raises:
        ActionError: There is no path; or no flow_id is given, and no flow is running.
        ExportError: The format is unknown.
        ConfigurationError, QueryError, FlowNotFoundError: As in ``obs.query``.
    """
    from ..formats.exporting import export

    path = text_of("obs.export", "path", path)
    chosen = mapping_of("obs.export", "filters", filters)
    try:
        return export(_flow_id("obs.export", state, flow_id), path, format, **chosen)
    except ExportError as error:
        if isinstance(error.__cause__, OSError):
            return failure(str(error), "write_error", path=path)
        raise


def obs_log_event(
    state: Mapping[str, Any],
    *,
    node: str | None = None,
    level: str = "info",
    event_type: str = "log",
    message: str | None = None,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Add an event to the running flow's log.

    Args:
        state: The flow's state.
        node: The node of the event; its logger is ``tea.`` + node. None is ``custom``; a YAML flow gives its step's name. Blanks,
            which a node cannot have, become ``_``.
        level: debug, info, warn or error; the logger's own level decides whether the event is kept.
        event_type: ``log``, ``metric`` or ``error``.
        message: A text for people, or None.
        data: Further facts, or None. An ``error`` in it that is not ``{type, message}`` becomes the message of such an error.
        metrics: Numbers, or None.

    Returns:
        ``{"success": True, "flow_id": str}``. In a flow that is not observed, the soft failure with ``error_type``
        ``not_observed``.

    Raises:
        ActionError: No flow is running, the event type is not allowed here, or the node is not a text.
        EventError: The level is unknown.
    """
    from ..event import level_number

    if event_type not in _EVENT_TYPES:
        raise ActionError(f"obs.log_event: unknown event_type {event_type!r}; {allowed(_EVENT_TYPES)}")
    facts = _facts(mapping_of("obs.log_event", "data", data))
    numbers = dict(mapping_of("obs.log_event", "metrics", metrics))
    # Not refused for its blanks: what a flow calls a step must not decide whether it runs.
    name = None if node is None else named_after(text_of("obs.log_event", "node", node))
    add_event(name or "custom", level_number(level), event_type, message, facts, numbers)
    span = current()
    if span is None:
        flow_id = _flow_id("obs.log_event", state, None)
        problem = "the flow is not observed, so it has no log to add to; turn its observability block on"
        return failure(problem, "not_observed", flow_id=flow_id)
    return {"success": True, "flow_id": span.flow.id}


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with its ``error``, if any, in the form that the event schema requires."""
    error = data.get("error")
    if error is None or (isinstance(error, Mapping) and {"type", "message"} <= error.keys()):
        return dict(data)
    return {**data, "error": {"type": "Error", "message": error_text(error)}}


def _flow_id(action: str, state: Mapping[str, Any], flow_id: str | None) -> str:
    """Return the flow to use: the given one, else the running one, else the one in the state."""
    span = current()
    if flow_id is not None:
        return checked_flow_id(flow_id)
    if span is not None:
        return span.flow.id
    if isinstance(state, Mapping) and state.get("flow_id") is not None:
        return checked_flow_id(state["flow_id"])
    raise ActionError(f"{action}: no flow is running here; give flow_id, or call it inside the_edge_obs.flow(...)")
