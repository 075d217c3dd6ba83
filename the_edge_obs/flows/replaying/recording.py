"""A log as a recording: what each call was given and what it answered, by its place, and what of that is whole."""

from __future__ import annotations

import copy
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from types import ModuleType
from typing import Any, Final

from ...comparison.cuts import cut_of
from ...errors import ConfigurationError, NotRecordedError, allowed
from ...event import ENDS, ROOT_NODE, Event, is_failure, status_of
from ...flow_log import FlowLog, SpanInfo, build_flow_log
from ...instrumentation.answers import Answer
from ...redaction.marks import MORE, inside
from ...store.full_record import FullRecord, FullRecords
from .folding import Folder, Ignored, key_of, plain
from .places import CODE, STRUCTURE, Place, Places
from .raising import raised

OURS: Final = frozenset({"json.parse", "json.transform", "obs.get_flow_log", "obs.log_event", "obs.query"})
"""Builtin actions that are called for real: they are functions of their input, or read the run's own log."""
# An object, or bytes, of which a log has only the type, or a text in place of the value.
_OPAQUE: Final = re.compile(r"<[A-Za-z_]\w*(?:\.(?:\w+|<locals>|<lambda>))+>|<[A-Za-z_]\w*: [A-Za-z_]\w* while reading it>")
_BYTES: Final = re.compile(r"<\d+ bytes: [^>]*>")
_PLACEHOLDER: Final = re.compile(r"\[REDACTED(?::[0-9a-f]{12})?\]")
_MOST_SEARCHED: Final = 100_000  # objects of the parameters of one call
_TIMES: Final = ("duration_ms", "time_to_first_chunk_ms")


@dataclass(slots=True)
class Call:
    """One recorded call.

    Attributes:
        node, step: As in its events.
        place: Where it is in the run.
        given: ``{"input": ...}``, as ``folding.plain`` returns it.
        entry: The data of its entry.
        end: The event that ends it, or None.
        span: The span.
        full: Its full recording, or None.
        given_to: The place of the call that got its answer, or None.
        secrets: Secrets that its answer gets back, by path.
    """

    node: str
    step: str | None
    place: Place
    given: dict[str, Any]
    entry: dict[str, Any]
    end: Event | None
    span: SpanInfo
    full: FullRecord | None
    given_to: Place | None = None
    secrets: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What a place in ``secrets`` can begin with: the step or the node, or the whole place."""
        return (self.step or self.node, str(self.place))

    def cuts(self, ignored: Ignored) -> list[str]:
        """Return the paths at which the log does not have the whole input."""
        paths = [path for path, is_cut in cut_of(self.entry, "input").items() if is_cut and path.startswith("input")]
        paths += [path for path, text in _texts("input", self.entry.get("input")) if _OPAQUE.fullmatch(text)]
        return sorted({path for path in paths if not ignored.has(path)})

    def doubt(self, ignored: Ignored) -> str | None:
        """Return why it can never be certain that a call with the logged input had its whole input, or None."""
        if not (cuts := self.cuts(ignored)):
            return None
        if self.full is None or self.full.input_sha256 is None:
            return f"its recorded input was cut at {', '.join(cuts[:3])}, and may differ beyond that"
        lost = [path for path in self.full.lost if path.startswith("input") and not ignored.has(path)]
        return f"its input at {lost[0]} was not recorded: {self.full.lost[lost[0]]}" if lost else None

    def redacted(self) -> list[str]:
        """Return the paths at which a secret was taken out of its answer, and of what it wrote into the state."""
        return [path for path in self._withheld() if path.startswith(("output", "state"))]

    def is_held_back(self) -> bool:
        """Tell whether its answer, or its error, has a placeholder in place of a secret that nobody has named."""
        return any(path not in self.secrets for path in self._withheld())

    def _withheld(self) -> list[str]:
        if self.full is not None:
            return [path for path in self.full.redacted if not path.startswith("input")]
        data = {} if self.end is None else self.end["data"]
        return [path for path, is_cut in cut_of(data, "output").items() if not is_cut and not path.startswith("input")]

    def problem(self) -> str | None:
        """Return why its answer cannot be used, or None."""
        if self.end is None:
            return "the recording has no end of it"
        if status_of(self.end) == "cancelled":
            return "it was cancelled when it was recorded"
        if "chunks" in self.span.metrics and (self.place.is_in_code or not self._has_result()):
            return "the items of a stream are not recorded"
        if self.full is not None:
            return self._misfit(self.full) or _problem_of(self.full)
        data = self.end["data"]
        cut = sorted(path for path, is_cut in cut_of(data, "output").items() if is_cut and path.startswith(("output", "error")))
        if cut:
            return f"its recorded answer was cut at {_listed(cut)}"
        opaque = [
            path for path, text in _texts("output", data.get("output")) if _OPAQUE.fullmatch(text) or _BYTES.fullmatch(text)
        ]
        if opaque:
            return f"the log has only a description of what it answered at {_listed(opaque)}"
        return None

    def _misfit(self, full: FullRecord) -> str | None:
        """Return why a full recording is not that of this call, although it has its ids; or None."""
        data = {} if self.end is None else self.end["data"]
        has_raised = "error" in data and "output" not in data
        error = data.get("error") if has_raised else None
        name = str(error.get("type")) if isinstance(error, dict) else ""
        base = "" if full.error is None else "".join(full.error.bases[:1])
        if full.node == self.node and has_raised == (full.error is not None) and (base == name or base.endswith(f".{name}")):
            return None
        return "its whole answer is that of another call: the file beside the log was changed, or belongs to another log"

    def _has_result(self) -> bool:
        return self.end is not None and not {"output", "error"}.isdisjoint(self.end["data"])

    def answer(self, state: Any) -> Answer:
        """Return its answer; write into the state what the call wrote there, if that was recorded."""
        assert self.end is not None
        metrics = {key: value for key, value in self.span.metrics.items() if key not in _TIMES}
        if (full := self.full) is not None:
            if isinstance(state, dict):
                state.update(filled("state", copy.deepcopy(full.state), self.secrets))
                for key in full.removed:
                    state.pop(key, None)
            if full.error is not None:
                details = self.end["data"]["error"]
                text = details.get("message")
                is_cut = text is None or cut_of(self.end["data"], "output").get("error.message", False)
                return Answer(error=raised(details, full.error.exception(None if is_cut else str(text))), metrics=metrics)
            return Answer(filled("output", copy.deepcopy(full.output), self.secrets), metrics=metrics)
        data = self.end["data"]
        if is_failure(self.end) and "output" not in data:
            return Answer(error=raised(data.get("error") or {}), metrics=metrics)
        return Answer(filled("output", copy.deepcopy(data.get("output")), self.secrets), metrics=metrics)


def _problem_of(full: FullRecord) -> str | None:
    try:
        _ = full.output, full.state
        if full.error is not None:
            full.error.exception()
    except NotRecordedError as error:
        return str(error)
    return None


class Recording:
    """A run that can be replayed.

    Args:
        log: The run.
        full: Its full recordings.
        file: The flow file that is to run now, or None.
        ignored: The paths that may differ.
        secrets: Secrets by the places at which they were redacted: ``login.output.access_token``, ``flow.input.api_key``.

    Attributes:
        log: The run, with paths below the folder of its flow translated into those of the flow that is to run.
        root: The data of its first entry.
        flow: The file and the digest of its flow, as far as they are known.
        ids: The ids of the run.
        calls: Its calls, and its inline code, by place.
        given_secrets: The texts, bytes and whole numbers of the secrets.

    Raises:
        ConfigurationError: Nothing was redacted at the place of a secret.
    """

    def __init__(
        self, log: FlowLog, full: FullRecords, file: str | None, ignored: Ignored, secrets: Mapping[str, Any] | None = None
    ) -> None:
        self.ignored = ignored
        root: dict[str, Any] = next((e["data"] for e in log.events if e["event_type"] == "entry" and e["node"] == ROOT_NODE), {})
        identity = root.get("flow")
        self.flow: Mapping[str, Any] = identity if isinstance(identity, Mapping) else {}
        path = self.flow.get("path")
        self.folder = Folder(path if isinstance(path, str) else None, file)
        self.log = build_flow_log(
            [{**event, "data": self.folder.translated(event["data"])} for event in log.events],
            dropped=log.metrics["dropped_count"],
        )
        self.root: dict[str, Any] = next(
            (e["data"] for e in self.log.events if e["event_type"] == "entry" and e["node"] == ROOT_NODE), {}
        )
        self.ids = {log.flow_id, *(span.span_id for span in log.spans)}
        self.calls = {call.place.path: call for call in self._calls(full)}
        self._by_input: dict[str | None, list[Call]] = defaultdict(list)
        for call in self.calls.values():
            self._by_input[key_of(call.node, call.given)].append(call)
        self.given_secrets = tuple(_leaves([*(secrets or {}).values()]))
        self.state_secrets: dict[str, Any] = {}
        for where, value in (secrets or {}).items():
            self._learn(where, value)

    def _calls(self, full: FullRecords) -> Iterator[Call]:
        places, spans = Places(), {span.span_id: span for span in self.log.spans}
        ends = {(e["span_id"], e["node"]): e for e in self.log.events if e["event_type"] in ENDS}
        for event in self.log.events:
            if event["event_type"] != "entry":
                continue
            place = places.add(event)
            if event["node"] in STRUCTURE:
                continue
            end = ends.get((event["span_id"], event["node"]))
            # Adapters may learn only at the end what a span was given.
            data = end["data"] if end is not None and "input" in end["data"] else event["data"]
            yield Call(
                event["node"],
                event.get("step"),
                place,
                plain(data, self.ids, self.ignored),
                data,
                end,
                spans[event["span_id"]],
                self._whole(full.get((self.log.flow_id, event["span_id"]))),
            )

    def _whole(self, full: FullRecord | None) -> FullRecord | None:
        return full if full is None or not self.folder.is_needed else full.translated(self.folder.translated)

    def with_input(self, node: str, given: dict[str, Any]) -> list[Call]:
        """Return the calls of a node with an input, as ``folding.plain`` returns it."""
        key = key_of(node, given)
        return [] if key is None else self._by_input.get(key, [])

    def _learn(self, where: str, value: Any) -> None:
        """Note the secret at a place."""
        known: list[str] = []
        for call in self.calls.values():
            for name in call.names:
                known += [f"{name}.{path}" for path in call.redacted()]
                if where in known:
                    call.secrets[where[len(name) + 1 :]] = value
                    return
        known += [f"flow.{path}" for path in self.redacted_state()]
        if where not in known:
            places = allowed(dict.fromkeys(known), where) if known else "nothing was redacted in this recording"
            raise ConfigurationError(f"no secret was redacted at {where!r}; {places}")
        self.state_secrets[where.removeprefix("flow.")] = value

    def redacted_state(self) -> list[str]:
        """Return the paths at which a secret was taken out of the initial state."""
        return [path for path, is_cut in cut_of(self.root, "input").items() if not is_cut and path.startswith("input")]

    def redacted_places(self) -> list[str]:
        """Return the places at which secrets were taken out of answers and of the initial state, as ``secrets`` takes them."""
        places = [f"{call.names[0]}.{path}" for call in self.calls.values() for path in call.redacted()]
        return list(dict.fromkeys([*(f"flow.{path}" for path in self.redacted_state()), *places]))

    def missing_secrets(self) -> list[str]:
        """Return the places at which secrets were taken out of what was handed out, and not given back: the latest first."""
        given = [call for call in self.calls.values() if call.given_to is not None]
        places = [f"{call.names[0]}.{path}" for call in given for path in call.redacted() if path not in call.secrets]
        state = [f"flow.{path}" for path in self.redacted_state() if path not in self.state_secrets]
        return list(dict.fromkeys([*reversed(places), *state]))

    def cut_state(self, given: Sequence[str]) -> list[str]:
        """Return the paths at which the log does not have the whole initial state.

        Args:
            given: Which values of it the caller gives, such as ``doc`` or ``doc.body``: what was cut in them does not matter.
        """
        state = self.root.get("input")
        paths = [path for path, is_cut in cut_of(self.root, "input").items() if is_cut and path.startswith("input")]
        paths += [path for path, text in _texts("input", state) if _OPAQUE.fullmatch(text)]
        keys = state if isinstance(state, dict) else ()
        if given and set(given).issuperset(key for key in keys if key != MORE):
            paths = [path for path in paths if path != "input"]
        own = [reduce(inside, name.split("."), "input") for name in given] + [inside("input", name) for name in given]
        return [path for path in paths if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in own)]

    def state(self) -> dict[str, Any] | None:
        """Return the initial state of the run, or None if the log does not have it."""
        given = self.root.get("input")
        return copy.deepcopy(filled("input", given, self.state_secrets)) if isinstance(given, dict) else None

    def has_failed(self) -> bool:
        """Tell whether the run did not come to its end."""
        return self.log.status != "ok"

    def below(self) -> set[str]:
        """Return the ids of the spans inside calls that have answered: those calls were not made again."""
        return self.inside_of(call for call in self.calls.values() if call.given_to is not None)

    def inside_of(self, calls: Iterable[Call]) -> set[str]:
        """Return the ids of the spans inside some calls."""
        by_id, found = {span.span_id: span for span in self.log.spans}, set[str]()
        waiting = [child for call in calls for child in call.span.children]
        while waiting:
            if (span_id := waiting.pop()) not in found:
                found.add(span_id)
                waiting += by_id[span_id].children
        return found

    def unused(self) -> Iterator[Call]:
        """Yield the calls that have not answered, and are not inside one that has."""
        below = self.below()
        for call in self.calls.values():
            if not (call.given_to is not None or call.node == CODE or call.node in OURS or call.span.span_id in below):
                yield call


def _leaves(value: Any) -> Iterator[str | bytes | int]:
    if isinstance(value, (str, bytes, int)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)


def filled(path: str, value: Any, secrets: Mapping[str, Any]) -> Any:
    """Return a value with secrets in place of the placeholders at some paths."""
    if path in secrets:
        secret = secrets[path]
        is_part = isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is None
        return _PLACEHOLDER.sub(lambda _: str(secret), value) if is_part else secret
    if isinstance(value, dict):
        return {key: filled(inside(path, str(key)), item, secrets) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(filled(f"{path}[{place}]", item, secrets) for place, item in enumerate(value))
    return value


def holds_placeholder(value: Any) -> bool:
    """Tell whether a value holds the placeholder of a secret; of very many objects, the nearest are searched."""
    waiting, seen = deque([value]), dict[int, Any]()
    while waiting and len(seen) < _MOST_SEARCHED:
        item = waiting.popleft()
        if isinstance(item, str):
            if _PLACEHOLDER.search(item):
                return True
        elif isinstance(item, (bytes, bytearray)):
            if b"[REDACTED" in item:
                return True
        elif id(item) not in seen and not isinstance(item, (type, ModuleType, int, float)):
            seen[id(item)] = item  # which keeps it, or another object could get its id
            with suppress(Exception):  # its methods are a user's
                waiting.extend(_parts(item))
    return False


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, Mapping):
        yield from item
        yield from item.values()
    elif isinstance(item, (list, tuple, set, frozenset, deque)):
        yield from item
    else:
        yield from (getattr(item, "__dict__", None) or {}).values()
        for kind in type(item).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names = [slots] if isinstance(slots, str) else slots
            yield from (getattr(item, name, None) for name in names if name[:2] != "__")


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text in a JSON value with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(inside(path, key), item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts(f"{path}[{place}]", item)


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
