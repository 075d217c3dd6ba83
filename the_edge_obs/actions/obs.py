"""``obs.*``: a flow reads, exports and adds to its own log while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..context import checked_flow_id, current
from ..errors import ActionError, ExportError, allowed
from ..recording.tracebacks import error_text
from ..redaction.summaries import Listing, Record
from ._support import add_event, count_of, failure, mapping_of, text_of

# Entries and exits come from spans alone: a lone one would leave a hole in the tree.
_EVENT_TYPES: Final = ("log", "metric", "error")


def obs_get_flow_log(state: Mapping[str, Any], *, flow_id: str | None = None) -> dict[str, Any]:
    """Return everything known about a flow. What is logged of the result is a summary: the log need not hold itself.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        flow_id: The flow; None is the running one.

    Returns:
        ``{"flow_id", "name", "status", "events", "spans", "metrics", "timeline"}``, as ``FlowLog.to_dict`` gives it; of the
        running flow what has happened until now.

    Raises:
        ActionError: no flow_id is given, and no flow is running.
        ConfigurationError: the flow_id is not a UUID.
        FlowNotFoundError: nothing keeps this flow's events.
    """
    from ..store.sources import get_flow_log

    log = get_flow_log(_flow_id("obs.get_flow_log", state, flow_id)).to_dict()
    told = {key: log[key] for key in ("flow_id", "name", "status")}
    return Record(log, {**told, "events": len(log["events"]), "spans": len(log["spans"])})


def obs_query(
    state: Mapping[str, Any],
    *,
    flow_id: str | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return the events of a flow that pass the filters, in order. What is logged of the result is how many there are.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        flow_id: The flow; None is the running one.
        filters: Any of node (glob or list), level, min_level, event_type, start_time, end_time, span_id, step (glob or list),
            text, limit; None values do not count.
        limit: At most so many events, the first ones; None returns all.

    Returns:
        A list of events; an empty one when none passes, or when the running flow has logged nothing yet.

    Raises:
        ActionError: no flow_id is given, and no flow is running.
        ConfigurationError: the flow_id is not a UUID.
        QueryError: an unknown filter, or a value it does not take.
        FlowNotFoundError: nothing keeps this flow's events.
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
    """Write a flow's events to a file that appears whole or not at all.

    Args:
        state: The flow's state; its ``flow_id`` is used where no span is open.
        path: The file to write; folders are made.
        flow_id: The flow; None is the running one.
        format: ``jsonl`` (one event per line), ``json`` (the flow log), or another of ``the_edge_obs.formats.FORMATS``;
            None: what the path ends in, otherwise ``jsonl``.
        filters: Which events; as in ``obs.query``.

    Returns:
        ``{"path": str, "format": str, "events": how many, "bytes": int}``. The soft failure has ``error_type``
        ``write_error``: the path cannot be written.

    Raises:
        ActionError: no path; or no flow_id is given, and no flow is running.
        ExportError: unknown format.
        ConfigurationError, QueryError, FlowNotFoundError: as in ``obs.query``.
    """
    from ..formats.exporting import export

    place = text_of("obs.export", "path", path)
    chosen = mapping_of("obs.export", "filters", filters)
    try:
        return export(_flow_id("obs.export", state, flow_id), place, format, **chosen)
    except ExportError as error:
        if isinstance(error.__cause__, OSError):
            return failure(str(error), "write_error", path=place)
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
        node: What it is about; its logger is ``tea.`` + node. None is ``custom``; a YAML flow gives its step's name.
        level: debug, info, warn or error; the logger's own level decides whether the event is kept.
        event_type: ``log``, ``metric`` or ``error``.
        message: For people, or None.
        data: Further facts, or None. An ``error`` in it that is not ``{type, message}`` becomes the message of one.
        metrics: Numbers, or None.

    Returns:
        ``{"success": True, "flow_id": str}``. In a flow that is not observed, the soft failure with ``error_type``
        ``not_observed``.

    Raises:
        ActionError: no flow is running, or an event type that is not taken here.
        EventError: unknown level.
        ConfigurationError: the node has no name.
    """
    from ..event import level_number

    if event_type not in _EVENT_TYPES:
        raise ActionError(f"obs.log_event: unknown event_type {event_type!r}; {allowed(_EVENT_TYPES)}")
    facts = _facts(mapping_of("obs.log_event", "data", data))
    numbers = dict(mapping_of("obs.log_event", "metrics", metrics))
    add_event("custom" if node is None else node, level_number(level), event_type, message, facts, numbers)
    span = current()
    if span is None:
        flow_id = _flow_id("obs.log_event", state, None)
        problem = "the flow is not observed, so it has no log to add to; turn its observability block on"
        return failure(problem, "not_observed", flow_id=flow_id)
    return {"success": True, "flow_id": span.flow.id}


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data whose ``error``, if it has one, has the form that the event schema asks for."""
    error = data.get("error")
    if error is None or (isinstance(error, Mapping) and {"type", "message"} <= error.keys()):
        return dict(data)
    return {**data, "error": {"type": "Error", "message": error_text(error)}}


def _flow_id(action: str, state: Mapping[str, Any], flow_id: str | None) -> str:
    """Return the flow that is meant: the one given, else the running one, else the one that the state names."""
    span = current()
    if flow_id is not None:
        return checked_flow_id(flow_id)
    if span is not None:
        return span.flow.id
    if isinstance(state, Mapping) and state.get("flow_id") is not None:
        return checked_flow_id(state["flow_id"])
    raise ActionError(f"{action}: no flow is running here; give flow_id, or call it inside the_edge_obs.flow(...)")
