"""Compare runs and runtimes: a log without what no two runs share, in an order that threads do not change.

The rules are numbered in ``docs/parity.md``, which is what another runtime is written against; the numbers here are the same.

``python -m the_edge_obs.parity FLOW.yaml`` runs a flow and prints its normalised log as JSON; given a log file
(``.jsonl``, of whatever runtime) in place of a flow it reads that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import ObservabilityError
from .event import ENDS, KEYS, ROOT_NODE, SCHEMA_VERSION, Event
from .flow_log import FlowLog
from .store import get_flow_log

_PLACES: Final = ("traceback", "where")  # of the code that ran, which runtimes do not share
_CUT_PLACES: Final = tuple(f"error.{place}" for place in _PLACES)
_TIMES: Final = ("duration_ms", "time_to_first_chunk_ms")
_REQUIRED: Final = frozenset(KEYS) - {"step"}
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_OF_ONE_RUN: Final = ("runtime", "resource", "flow", "outer", "replay_of")  # keys of the root's entry

_ENTRY, _BETWEEN, _END = range(3)
_RANKS: Final = {"entry": _ENTRY, **dict.fromkeys(ENDS, _END)}
_FLOW_SUFFIXES: Final = (".yaml", ".yml")

_Place = tuple[float, ...]


def normalise(events: Iterable[Event]) -> list[Event]:
    """Return the events of one flow in the order of its span tree, without ids, times and what else belongs to one run.

    The result is the same for any two runs that did the same, in whatever order the events are given; events of one time
    stay as they were given. Normalising it again changes nothing. Its events are no longer valid by the event
    schema: ids are ordinals, times null.

    Args:
        events: Events of one flow, of any runtime; they are not changed.
    """
    ordered = _walked(list(events))
    names = _Names()
    for event in ordered:
        names.learn(event)
    return [_normalised(event, names) for event in ordered]


def report(log: FlowLog) -> dict[str, Any]:
    """Return what a file of expected events holds: ``{"flow": name, "schema_version": int, "events": [...]}``."""
    return {"flow": log.name, "schema_version": SCHEMA_VERSION, "events": normalise(log.events)}


# --- order (rules 1 to 4) ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Span:
    """A span as far as its place among its siblings needs it.

    Args:
        parent: Its parent's id, or None.
        node: What ran.
        index: ``input.index`` of its entry, or -1.
        start, end: Time of its first and of its last event.
        position: Where its first event was given.
    """

    parent: str | None
    node: str
    index: float
    start: float
    end: float
    position: int


def _walked(events: Sequence[Event]) -> list[Event]:
    """Return the events as a walk of the span tree meets them."""
    timed = sorted(enumerate(events), key=lambda pair: _time(pair[1]))
    spans: dict[str, _Span] = {}
    for position, event in timed:
        _note(spans, position, event)
    places = {span_id: _place(spans, span_id) for span_id in spans}

    def key(pair: tuple[int, Event]) -> tuple[_Place, ...]:
        position, event = pair
        rank = _RANKS.get(event["event_type"], _BETWEEN)
        if rank == _END and event["node"] != spans[event["span_id"]].node:
            rank = _BETWEEN  # an error that was logged by hand ends nothing
        return (*places[event["span_id"]], (rank, -1, _time(event), _time(event), position))

    return [event for _, event in sorted(timed, key=key)]


def _note(spans: dict[str, _Span], position: int, event: Event) -> None:
    time = _time(event)
    span = spans.setdefault(event["span_id"], _Span(event["parent_id"], event["node"], -1, time, time, position))
    span.end = time
    if event["event_type"] == "entry":
        given = event["data"].get("input")
        index = given.get("index") if isinstance(given, Mapping) else None
        span.node, span.index = event["node"], index if isinstance(index, int) else -1


def _place(spans: Mapping[str, _Span], span_id: str) -> tuple[_Place, ...]:
    """Return the way from the root to a span, one step a level; what compares less comes first."""
    steps: list[_Place] = []
    seen: set[str] = set()
    at: str | None = span_id
    while at is not None and at in spans and at not in seen:
        seen.add(at)
        span = spans[at]
        above = spans.get(span.parent or "")
        index = span.index if above is not None and above.node == "parallel" else -1
        steps.append((_BETWEEN, index, span.start, span.end, span.position))
        at = span.parent
    return tuple(reversed(steps))


def _time(event: Event) -> float:
    return event["timestamp"] or 0.0


# --- content (rules 5 to 10) ---------------------------------------------------------------------------------------------


class _Names:
    """The ordinals of ids, by first appearance."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts = {"flow": 0, "span": 0}

    def learn(self, event: Event) -> None:
        """Give a name to each id of an event that has none yet."""
        for kind, key in (("flow", "flow_id"), ("span", "parent_id"), ("span", "span_id")):
            value = event[key]
            if value is not None and value not in self._known:
                self._counts[kind] += 1
                self._known[value] = f"{kind}-{self._counts[kind]}"

    def of(self, value: str) -> str:
        """Return an id's name; another text is returned with the ids in it replaced."""
        if value in self._known:
            return self._known[value]
        return _UUID.sub(lambda match: self._known.get(match[0], match[0]), value)


def _normalised(event: Mapping[str, Any], names: _Names) -> Event:
    found = {key: _replaced(value, names) for key, value in event.items()}
    found["timestamp"] = None
    found["metrics"] = {key: None if key in _TIMES else value for key, value in found["metrics"].items()}
    data = found["data"]
    if event["event_type"] == "entry" and event["node"] == ROOT_NODE:
        data.update(dict.fromkeys(key for key in _OF_ONE_RUN if key in data))
    if event["event_type"] == "log" and event["node"] == ROOT_NODE and isinstance(data.get("inner"), dict):
        data["inner"].update(dict.fromkeys(key for key in ("flow_id", "span_id") if key in data["inner"]))
    if isinstance(data.get("error"), dict):
        for key in _PLACES:
            data["error"].pop(key, None)
        _forget_places(data)
    return found


def _forget_places(data: dict[str, Any]) -> None:
    """Take out of ``cut`` what is told of the places that are taken out of an error."""
    if isinstance(data.get("cut"), list):
        data["cut"] = [path for path in data["cut"] if path not in _CUT_PLACES]
        if not data["cut"]:
            del data["cut"]


def _replaced(value: Any, names: _Names) -> Any:
    if isinstance(value, str):
        return names.of(value)
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    if _is_event(value):
        return _normalised(value, names)
    return {key: _replaced(item, names) for key, item in value.items()}


def _is_event(value: Mapping[str, Any]) -> bool:
    return value.keys() >= _REQUIRED and isinstance(value["data"], Mapping) and isinstance(value["metrics"], Mapping)


# --- python -m the_edge_obs.parity ---------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Print the normalised log of a flow, which is run, or of a log file; return the exit code, 2 for bad usage or input."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m the_edge_obs.parity FLOW.yaml | LOG.jsonl", file=sys.stderr)
        return 2
    source = arguments[0]
    try:
        log = get_flow_log(_run(source) if source.endswith(_FLOW_SUFFIXES) else source)
    except ObservabilityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report(log), indent=2))
    return 0


def _run(path: str) -> str:
    from .flows import load  # yaml and jinja2 are not needed to read a log

    return str(load(path).run()["flow_id"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
