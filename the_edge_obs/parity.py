"""Normalise logs to compare runs and runtimes: without ids and times, and in an order that does not depend on threads.

The numbered rules are those of ``docs/parity.md``, the specification for other runtimes.

``python -m the_edge_obs.parity FLOW.yaml`` runs a flow and prints its normalised log as JSON. Given a log
file (``.jsonl``, of any runtime) instead of a flow, it reads that file. With ``--strict`` it first checks the log as it
was written: every line, and what only the whole log shows.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from . import errors
from .errors import LogFileError, ObservabilityError
from .event import ENDS, KEYS, ROOT_NODE, SCHEMA_VERSION, Event, is_number, status_of, without_circles
from .files import BROKEN_PIPE, abandon_stdout
from .flow_log import FlowLog
from .jsonl import Skipped, read_events
from .redaction.conversions import exception_text
from .redaction.texts import scrub_text
from .store.paths import log_files
from .store.sources import get_flow_log
from .store.validation import check_whole
from .text import counted, printable

_PLACES: Final = ("traceback", "where")  # places in the code that ran, which differ between runtimes
_OF_LANGUAGES: Final = ("cause", "errors", "notes")  # what an error of this package has from exceptions of the language
_OWN_ERRORS: Final = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ObservabilityError)
)
_TIMES: Final = ("duration_ms", "time_to_first_chunk_ms")
_REQUIRED: Final = frozenset(KEYS) - {"step"}
_BARE: Final = {"flow_id": slice(None), "parent_id": slice(16, None), "span_id": slice(16, None)}  # an id without hyphens
_ID: Final = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])"  # a flow's and a span's id in W3C and OTLP form
)

_OF_ONE_RUN: Final = ("runtime", "resource", "flow", "outer", "replay_of")  # keys of the root's entry

_ENTRY, _BETWEEN, _END = range(3)
_RANKS: Final = {"entry": _ENTRY, **dict.fromkeys(ENDS, _END)}
_FLOW_SUFFIXES: Final = (".yaml", ".yml")

_Place = tuple[float, ...]


def normalise(events: Iterable[Event]) -> list[Event]:
    """Return the events of one flow in the order of its span tree, without ids, times and other values of a single run.

    The result is the same for any two runs that did the same, whatever the order of the events; events with the same time keep
    their order. Normalising the result again changes nothing. Its events are not valid by the event schema any more: ids are
    ordinals, and times are null.

    Args:
        events: Events of one flow, of any runtime; they are not changed.
    """
    ordered = _walked(list(events))
    names = _Names()
    for event in ordered:
        names.learn(event)
    return [_normalised(event, names) for event in ordered]


def report(log: FlowLog) -> dict[str, Any]:
    """Return the content of a file of expected events: ``{"flow": name, "schema_version": int, "events": [...]}``."""
    return {"flow": log.name, "schema_version": SCHEMA_VERSION, "events": normalise(log.events)}


# --- order (rules 1 to 4) ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Span:
    """The facts that decide where a span stands among its siblings.

    Args:
        parent: The id of its parent, or None.
        node: Its node: that of its entry, else of its exit, else of its last error.
        told: How well the node is known: 3 by an entry, 2 by an exit, 1 by an error, 0 by another event.
        index: ``input.index`` of its entry, or -1.
        start, end: The times of its first and its last event.
        position: The position of its first event in the input.
    """

    parent: str | None
    node: str
    told: int
    index: float
    start: float
    end: float
    position: int


def _walked(events: Sequence[Event]) -> list[Event]:
    """Return the events in the order of a walk through the span tree."""
    timed = sorted(enumerate(events), key=lambda pair: _time(pair[1]))
    spans: dict[str, _Span] = {}
    for position, event in timed:
        _note(spans, position, event)
    parents = {span_id: span.parent for span_id, span in spans.items() if span.parent in spans and span.parent is not None}
    parents = without_circles(parents, lambda span_id: (spans[span_id].start, spans[span_id].end, spans[span_id].position))
    places = {span_id: _place(spans, parents, span_id) for span_id in spans}

    def key(pair: tuple[int, Event]) -> tuple[_Place, ...]:
        position, event = pair
        rank = _RANKS.get(event["event_type"], _BETWEEN)
        if rank == _END and event["node"] != spans[event["span_id"]].node:
            rank = _BETWEEN  # an error that was logged by hand does not end the span
        return (*places[event["span_id"]], (rank, -1, _time(event), _time(event), position))

    return [event for _, event in sorted(timed, key=key)]


def _note(spans: dict[str, _Span], position: int, event: Event) -> None:
    time = _time(event)
    span = spans.setdefault(event["span_id"], _Span(event["parent_id"], event["node"], 0, -1, time, time, position))
    span.end = time
    is_entry = event["event_type"] == "entry"
    told = 3 if is_entry else 0 if event["event_type"] not in ENDS else 2 if status_of(event) == "ok" else 1
    if told >= span.told:  # of two that tell as much, the later one
        span.node, span.told = event["node"], told
    if is_entry:
        given = event["data"].get("input")
        index = given.get("index") if isinstance(given, Mapping) else None
        span.index = -1
        if isinstance(index, (int, float)) and is_number(index) and index % 1 == 0:
            span.index = index


def _place(spans: Mapping[str, _Span], parents: Mapping[str, str], span_id: str) -> tuple[_Place, ...]:
    """Return the sort key of a span: one tuple per level, from the root to the span."""
    steps: list[_Place] = []
    at: str | None = span_id
    while at is not None:
        span, above = spans[at], parents.get(at)
        index = span.index if above is not None and spans[above].node == "parallel" else -1
        steps.append((_BETWEEN, index, span.start, span.end, span.position))
        at = above
    return tuple(reversed(steps))


def _time(event: Event) -> float:
    return event["timestamp"] or 0.0


# --- content (rules 5 to 10) ---------------------------------------------------------------------------------------------


class _Names:
    """Gives ids ordinal names, such as ``span-2``, by first appearance."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._bare: dict[str, str] = {}
        self._counts = {"flow": 0, "span": 0}

    def learn(self, event: Event) -> None:
        """Name each id of an event that has no name yet. Its form without hyphens gets the same name."""
        for kind, key in (("flow", "flow_id"), ("span", "parent_id"), ("span", "span_id")):
            value = event[key]
            if value is not None and value not in self._known:
                self._counts[kind] += 1
                self._known[value] = f"{kind}-{self._counts[kind]}"
                bare = value.replace("-", "")
                self._bare[bare[_BARE[key]]] = self._known[value]

    def of(self, value: str) -> str:
        """Return the name of an id; in any other text, replace the ids with their names."""
        if value in self._known:
            return self._known[value]
        return _ID.sub(lambda match: self._known.get(match[0]) or self._bare.get(match[0], match[0]), value)


def _normalised(event: Mapping[str, Any], names: _Names) -> Event:
    result = {key: _replaced(value, names) for key, value in event.items()}
    result["timestamp"] = None
    result["metrics"] = {key: None if key in _TIMES else value for key, value in result["metrics"].items()}
    data = result["data"]
    if event["event_type"] == "entry" and event["node"] == ROOT_NODE:
        data.update(dict.fromkeys(key for key in _OF_ONE_RUN if key in data))
    if event["event_type"] == "log" and event["node"] == ROOT_NODE and isinstance(data.get("inner"), dict):
        data["inner"].update(dict.fromkeys(key for key in ("flow_id", "span_id") if key in data["inner"]))
    if isinstance(error := data.get("error"), dict):
        forgotten = [f"error.{key}" for key in _PLACES]
        if error.get("type") in _OWN_ERRORS:
            forgotten += _without_words(result, error)
        for key in _PLACES:
            error.pop(key, None)
        _forget_paths(data, forgotten)
    return result


def _without_words(event: Event, error: dict[str, Any]) -> list[str]:
    """Remove the words of an error that this package made, which each runtime phrases itself; return the paths of them."""
    forgotten = ["error.message", *(f"error.{key}" for key in _OF_LANGUAGES)]
    if event["event_type"] == "error" and event["message"] == error.get("message"):
        event["message"] = None
        forgotten.append("message")
    error["message"] = None
    for key in _OF_LANGUAGES:
        error.pop(key, None)
    return forgotten


def _forget_paths(data: dict[str, Any], paths: Sequence[str]) -> None:
    """Remove from ``cut`` the paths of what is removed, and those of its parts."""
    if isinstance(data.get("cut"), list):
        data["cut"] = [path for path in data["cut"] if not (isinstance(path, str) and _is_of(path, paths))]
        if not data["cut"]:
            del data["cut"]


def _is_of(path: str, paths: Sequence[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in paths)


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

_USAGE: Final = "usage: python -m the_edge_obs.parity [--strict] FLOW.yaml | LOG.jsonl"
_STRICT: Final = "--strict"


def main(arguments: Sequence[str]) -> int:
    """Run a flow, or read a log file, and print the normalised log.

    Returns:
        The exit code: 0 done; 1 the flow failed, whose log is printed all the same; 2 bad usage or input, or a log with problems,
        which are printed on stderr; 141 after a broken pipe, as in shells.
    """
    sources = [argument for argument in arguments if argument != _STRICT]
    if len(sources) != 1 or sources[0].startswith("-") or len(arguments) > 1 + len(sources):
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        with TemporaryDirectory() as folder:
            code = _compare(sources[0], folder, is_strict=_STRICT in arguments)
        sys.stdout.flush()
    except ObservabilityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        abandon_stdout()
        return BROKEN_PIPE
    return code


def _compare(source: str, folder: str, *, is_strict: bool) -> int:
    is_flow = source.endswith(_FLOW_SUFFIXES)
    path, failure = run_to_file(source, folder) if is_flow else (Path(source), None)
    findings = check_whole(path) if is_strict else []
    for number, problem in findings:
        place = f"{source}: line {number} of its log" if is_flow else f"{source}:{number}"
        print(f"{printable(place)}: {printable(problem)}", file=sys.stderr)
    if findings:
        print(f"error: {counted(len(findings), 'problem')} in the log of {source!r}", file=sys.stderr)
        return 2
    print(json.dumps(report(get_flow_log(path)), indent=2))
    if failure is not None:
        reason = scrub_text(f"{type(failure).__name__}: {exception_text(failure)}")
        print(f"note: the flow failed: {printable(reason)}", file=sys.stderr)
        return 1
    return 0


def run_to_file(source: str, folder: str) -> tuple[Path, Exception | None]:
    """Run a flow; return the file of its log, and what it failed with.

    The log is the file: what is read back from memory, later steps may have redacted further.

    Args:
        source: The flow file.
        folder: The folder in which to write the log.

    Raises:
        ObservabilityError: The flow file has a mistake, or the run cannot begin, or logs nothing.
    """
    from .flows import load  # imports yaml and jinja2, which reading a log does not need

    flow = load(source)
    block = flow.observability or {}
    if not block.get("enabled", True):
        raise LogFileError(f"{source!r} logs nothing: its observability block says enabled: false; remove that")
    file = {"type": "file", "path": str(Path(folder, "flow-{flow_id}.jsonl"))}
    flow.observability = {**block, "handlers": [*(block.get("handlers") or []), file]}
    failure: Exception | None = None
    try:
        flow.run()
    except Exception as error:  # noqa: BLE001 - a node may raise anything
        failure = error
    logs = log_files([Path(folder)], Skipped())
    if not logs and isinstance(failure, ObservabilityError):  # the run did not begin
        raise failure
    if not logs:
        raise LogFileError(f"{source!r} logs nothing: its levels filter every event") from failure
    # Inline code may open flows of its own, which begin later.
    return min(logs, key=lambda path: next(read_events(path))["timestamp"]), failure


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
