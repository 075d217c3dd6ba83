"""The tools: what a coding agent can ask of a folder of logs. Each returns JSON values; ids of runs and spans are short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ... import FlowLog, FlowNotFoundError, QueryError
from ... import diff as compared
from ...comparison import render as render_diff
from ...event import EVENT_TYPES, LEVELS, SPAN_EVENTS, STATUSES, Event
from ...event_query import WholeIds
from ...flow_log import SpanInfo, build_flow_log
from ...jsonl import Skipped
from ...store import ORDERS, SHORT_SPAN, FlowSummary, filters_of, iter_query, list_runs, ordered_query, short_flow_id
from ...store.error_events import events_of_errors
from ...store.error_groups import error_groups
from ...store.run_stats import node_stats
from ...text import View, clock_text, duration_text
from ...tree import DrawnSpan, drawn, origin

_KNOWN: Final = 5  # runs that an error names
_RUNS, _EVENTS, _GROUPS = 20, 30, 20
_WIDTH: Final = 120

Schema = dict[str, Any]


class Logs(NamedTuple):
    """The folders of logs that a call reads, and what of them could not be read."""

    folders: Sequence[Path]
    skipped: Skipped


class Tool(NamedTuple):
    """A tool: its name, what it says of itself, the JSON schema of each argument, those that are required, and what it calls."""

    name: str
    description: str
    arguments: Mapping[str, Schema]
    required: tuple[str, ...]
    call: Callable[[Logs, dict[str, Any]], dict[str, Any]]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(description: str) -> Schema:
    return {"type": "integer", "description": description}


_RUN: Final = _text("a run, as list_runs names it: the beginning of its id, last, or last-failed")
_TIME: Final = "ISO 8601 (local time without a zone), Unix seconds, or relative to now, such as -30m, -2h, -1d"
_SINCE: Final = {"since": _text(f"not before: {_TIME}"), "until": _text("not after; as since")}
_CHOICE: Final[dict[str, Schema]] = {
    "name": _text("the run's name; * stands for any text"),
    "host": _text("the host on which the run began; * works here too"),
    "status": _text(f"one of {', '.join(STATUSES)}"),
    "errors": {"type": "boolean", "description": "true: only runs with errors, also handled ones; false: only runs without"},
    "attributes": {"type": "object", "description": 'values that the run was given, such as {"topic": "cats"}; * works here too'},
    **_SINCE,
}


_FILTERS: Final = {"since": "start_time", "until": "end_time"}


def _filters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments under the names of the filters that they stand for."""
    return {_FILTERS.get(name, name): value for name, value in given.items()}


def _choice(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of ``obs.runs`` for arguments."""
    return _filters({name: value for name, value in given.items() if name in _CHOICE})


def _runs(logs: Logs, **filters: Any) -> list[FlowSummary]:
    return list_runs(logs.folders, logs.skipped, filters)


# --- what the answers have of runs and spans ---


def _run_facts(run: FlowSummary) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "run": run.short_id,
        "host": run.resource["host"] if run.resource else None,
        "name": run.name,
        "status": run.status,
        "started": clock_text(run.start),
        "duration": duration_text(run.duration_ms) or None,
        "errors": run.errors,
        "first_error": run.error,
        "tokens": run.tokens,
        "cost_usd": round(run.cost_usd, 6),
        "attributes": run.attributes,
    }
    return {name: value for name, value in facts.items() if value not in (None, 0, {})}


def _chosen(logs: Logs, wanted: str) -> dict[str, Any]:
    """Return the filters of the events of the run that an argument names; the id of a trace names all of its runs.

    Raises:
        FlowNotFoundError: No run is named so, or more than one.
    """
    if wanted in ("last", "last-failed"):
        found = _runs(logs, status="error" if wanted == "last-failed" else None, last=1)
        if not found:
            raise FlowNotFoundError(f"no run of this folder has failed; {_latest(logs)}")
        return filters_of(logs.folders, found)
    found = _runs(logs, flow_id=wanted)
    exact = [run for run in found if wanted in (run.flow_id, run.run_id)]  # ids of other writers may begin with others
    found = exact or found
    ids = {run.flow_id for run in found}
    if len(ids) == 1 and (wanted or exact):
        return filters_of(logs.folders, found) if "/" in wanted else {"flow_id": WholeIds(ids)}
    problem = f"{len(ids)} runs begin with {wanted[:40]!r}" if ids else f"no run begins with {wanted[:40]!r}"
    raise FlowNotFoundError(f"{problem}; {_latest(logs)}")


def _latest(logs: Logs) -> str:
    known = [f"{run.short_id} ({run.name}, {run.status})" for run in _runs(logs, last=_KNOWN, sort="-start")]
    return f"give last, last-failed or an id; the latest runs: {', '.join(known)}"


def _log(logs: Logs, wanted: str) -> FlowLog:
    events = list(iter_query(logs.folders, logs.skipped, **_chosen(logs, wanted)))
    return build_flow_log(events, dropped=logs.skipped.dropped.get(events[0]["flow_id"], 0))


def _short_span(span_id: str) -> str:
    return span_id[-SHORT_SPAN:]


def _line(span: SpanInfo, depth: int) -> str:
    """Return a line of a run's tree; it is one JSON string, whatever the log has put into it."""
    name = f"{span.step} ({span.node})" if span.step and span.step != span.node else span.name or span.node
    mark = span.mark if isinstance(span, DrawnSpan) else ""
    parts = [f"{'  ' * depth}{name}", mark, span.status, duration_text(span.duration_ms), _short_span(span.span_id)]
    if span.error is not None:
        parts.append(f"{span.error.get('type')}: {span.error.get('message')}")
    return "  ".join(part for part in parts if part)


def _span_facts(log: FlowLog, span: SpanInfo) -> dict[str, Any]:
    """Return everything that was logged of a span."""
    own = [event for event in log.events if event["span_id"] == span.span_id]
    data: dict[str, Any] = {}
    for event in own:
        if event["event_type"] in SPAN_EVENTS:
            data |= {key: value for key, value in event["data"].items() if key in ("input", "output", "error", "cut")}
    path = [parent.step or parent.name or parent.node for parent in reversed(_above(log, span))]
    facts = {
        "span": _short_span(span.span_id),
        "node": span.node,
        "step": span.step,
        "below": path,
        "status": span.status,
        "started": clock_text(span.start),
        "duration": duration_text(span.duration_ms) or None,
        "metrics": {name: value for name, value in span.metrics.items() if name != "duration_ms"},
        **data,
        "logged": [_event_facts(event) for event in own if event["event_type"] == "log"],
        "children": [_short_span(child) for child in span.children],
    }
    return {name: value for name, value in facts.items() if value not in (None, {}, [])}


def _above(log: FlowLog, span: SpanInfo) -> list[SpanInfo]:
    """Return the spans around a span, the innermost first. A foreign log may have a circle."""
    spans, found, seen = {one.span_id: one for one in log.spans}, list[SpanInfo](), {span.span_id}
    parent = spans.get(span.parent_id or "")
    while parent is not None and parent.span_id not in seen:
        seen.add(parent.span_id)
        found.append(parent)
        parent = spans.get(parent.parent_id or "")
    return found


def _event_facts(event: Event, *, with_run: bool = False) -> dict[str, Any]:
    facts = {
        "run": short_flow_id(event["flow_id"]) if with_run else None,
        "time": clock_text(event["timestamp"]),
        "level": event["level"],
        "node": event["node"],
        "step": event.get("step"),
        "event": event["event_type"],
        "span": _short_span(event["span_id"]),
        "message": event["message"],
        "data": event["data"],
        "metrics": event["metrics"],
    }
    return {name: value for name, value in facts.items() if value not in (None, {}, [])}


# --- the tools ---


def _list_runs(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    found = _runs(logs, **_choice(given), sort=given.get("sort", "-start"))
    limit = given.get("limit", _RUNS)
    if limit < 0:
        raise QueryError(f"limit {limit} is not a whole number of at least 0")
    return {"runs": [_run_facts(run) for run in found[:limit]], "shown": min(limit, len(found)), "of": len(found)}


def _show_run(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    log = _log(logs, given["run"])
    failed = origin(log)
    if failed is None:
        failed = next((span for span in log.spans if span.status == "error"), None)
    metrics = {name: value for name, value in log.metrics.items() if value and name != "nodes"}
    answer = {"run": short_flow_id(log.flow_id), "name": log.name, "status": log.status, "totals": metrics}
    if failed is not None:
        answer["error_arose_in"] = _span_facts(log, failed)
    return {**answer, "spans": [_line(span, depth) for depth, span in drawn(log).walk()]}


def _get_span(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    log, wanted = _log(logs, given["run"]), given["span"].lower()
    found = [span for span in log.spans if wanted and span.span_id.lower().endswith(wanted)]
    found = [span for span in found if span.span_id == given["span"]] or found
    if len(found) == 1:
        return _span_facts(log, found[0])
    known = ", ".join(f"{_short_span(span.span_id)} ({span.step or span.node}, {span.status})" for span in log.spans[:20])
    problem = f"{len(found)} spans end" if found else "no span ends"
    raise FlowNotFoundError(f"{problem} with {wanted[:40]!r}; the first spans of this run: {known}")


def _query(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    filters = _filters({name: value for name, value in given.items() if name not in ("run", "limit")})
    if "run" in given:
        filters |= _chosen(logs, given["run"])
    events = list(ordered_query(logs.folders, logs.skipped, **filters, last=given.get("limit", _EVENTS)))
    return {"events": [_event_facts(event, with_run=True) for event in events], "shown": len(events)}


def _errors(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    wanted = _flows(logs, given)
    errors = iter_query(logs.folders, logs.skipped, **wanted, event_type="error")
    groups = error_groups(events_of_errors(errors, logs.folders, wanted))
    facts = [
        {
            "node": group.node,
            "step": group.step,
            "error": f"{group.type}: {group.message}",
            "where": group.where,
            "count": group.count,
            "runs": group.runs,
            "first": clock_text(group.first),
            "last": clock_text(group.last),
            "run": short_flow_id(group.flow_id) + (f"/{group.root[-SHORT_SPAN:]}" if group.root else ""),
            "span": _short_span(group.span_id),
        }
        for group in groups[:_GROUPS]
    ]
    return {"causes": facts, "shown": len(facts), "of": len(groups), "errors": sum(group.count for group in groups)}


def _flows(logs: Logs, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter of events that leaves those of the chosen runs."""
    choice = _choice(given)
    return filters_of(logs.folders, _runs(logs, **choice)) if choice else {}


def _diff(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    result = compared(_log(logs, given["old"]), _log(logs, given["new"]))
    return {"differences": list(render_diff(result, View(_WIDTH, unicode=False)))}


def _stats(logs: Logs, given: dict[str, Any]) -> dict[str, Any]:
    stats = node_stats(iter_query(logs.folders, logs.skipped, **_flows(logs, given)))
    figures = sorted(stats.to_dicts(), key=lambda one: -float(one["total_ms"]))
    return {"nodes": [{name: value for name, value in one.items() if value not in (None, 0)} for one in figures]}


_ALL: Final = (
    Tool(
        "list_runs",
        "List runs, the latest first: id, name, status, start, duration, errors, the first error, tokens, cost, attributes.",
        {**_CHOICE, "sort": _text(f"{', '.join(ORDERS)}; with - in front, the largest first"), "limit": _number("default 20")},
        (),
        _list_runs,
    ),
    Tool(
        "show_run",
        "Show a run as a tree of spans, a line each (name, status, duration, id of the span, error), and everything that was "
        "logged of the span in which its error arose.",
        {"run": _RUN},
        ("run",),
        _show_run,
    ),
    Tool(
        "get_span",
        "Get everything that was logged of one span: input, output, error, metrics, log lines.",
        {"run": _RUN, "span": _text("the end of the span's id, as the other tools name it")},
        ("run", "span"),
        _get_span,
    ),
    Tool(
        "query",
        "Get the last events that match all filters, in the order of time.",
        {
            "run": _RUN,
            "node": _text("the node, such as llm.call or llm.*"),
            "step": _text("the step; * works here too"),
            "level": _text(f"exactly this level: {', '.join(LEVELS)}"),
            "min_level": _text("this level or a more severe one"),
            "event_type": _text(f"one of {', '.join(EVENT_TYPES)}"),
            "text": _text("a text anywhere in the message or data; case is ignored"),
            **_SINCE,
            "limit": _number("default 30"),
        },
        (),
        _query,
    ),
    Tool("errors", "Group the errors of runs by their cause, with a run and a span to look at for each.", _CHOICE, (), _errors),
    Tool(
        "diff",
        "Compare two runs span by span: what was added, removed, moved or changed.",
        {"old": _RUN, "new": _RUN},
        ("old", "new"),
        _diff,
    ),
    Tool("stats", "Statistics of each node over runs: count, errors, durations, tokens, cost.", _CHOICE, (), _stats),
)
TOOLS: Final = {tool.name: tool for tool in _ALL}
"""The tools by their names."""
