"""Which recorded answer a call gets: that of the same place and input, or of the same input elsewhere; otherwise none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

from ...comparison import Change
from ...context import SpanContext, current
from ...event import ENDS, Event, status_of
from ...instrumentation.answers import Answer, Real
from ...redaction.texts import learn
from ...redaction.typed import digest_of
from ...secrets.keys import KEY_CLASSES, KeyClasses
from .folding import Folder, differing, plain
from .places import CODE, STRUCTURE, Place, Places
from .recording import OURS, Call, Recording, holds_placeholder
from .stopping import BEYOND, UNFIT, Stop

KINDS: Final = ("same", "moved", "live", "pretended")
_RECORD: Final = "record it whole with `record: {full: [%s]}`, or make the call with live %r"


class Asked(NamedTuple):
    """A call of a replay, and how it was answered.

    Attributes:
        place: The steps that lead to it.
        node: The node.
        kind: ``same``, ``moved``, ``live`` or ``pretended``.
        why: What was different, or why it was made for real; empty for the same call.
        changes: Where its input differs from the recorded one.
    """

    place: str
    node: str
    kind: str
    why: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be called for real, and what else may be answered.

    Attributes:
        live: Globs of the actions or nodes that may be called for real if they are not recorded as they are asked.
        again: Whether they are called for real in any case.
        pretend: Globs of the actions or nodes that get the answer of their place, whatever their input.
        frozen: Steps with inline code that is answered rather than run.
        from_step: The step from which on calls may be real, or None: from the beginning.
    """

    live: Sequence[str] = ()
    again: bool = False
    pretend: Sequence[str] = ()
    frozen: Sequence[str] = ()
    from_step: str | None = None


class RecordedAnswers:
    """The answers of a recorded run, as ``Flow.run(answers=...)`` takes them.

    ``recorded_answers`` makes them. They find a call by the entry that it has just logged: ``take`` must get the events of the
    run, and is the callback of a handler.

    Attributes:
        asked: The calls so far, in order, as ``Asked`` tuples.
        stopped: What stopped the run, or None.
        recording: The recorded run.
        rules: What may be called for real.
        events: The events of the run so far.
        given: The recorded calls that have answered, by the id of the span that got their answer.
    """

    def __init__(self, recording: Recording, rules: Rules = Rules()) -> None:
        self.recording, self.rules = recording, rules
        self.asked: list[Asked] = []
        self.stopped: Stop | None = None
        self.events: list[Event] = []
        self.given: dict[str, Call] = {}
        self._has_begun = rules.from_step is None
        self._hands_out_placeholders = any(path not in recording.state_secrets for path in recording.redacted_state())
        self._lock = threading.RLock()
        self._places = Places()
        self._entries: dict[str, tuple[Place, Event]] = {}
        self._made: set[tuple[str, ...]] = set()
        self._ids: set[str] = set()

    @property
    def replay_of(self) -> str | None:
        """The recorded run."""
        return self.recording.log.flow_id

    @property
    def secrets(self) -> tuple[str | bytes | int, ...]:
        """The secrets that were given back: the log of the run never shows them."""
        return self.recording.given_secrets

    def take(self, event: Event) -> None:
        """Take an event of the run."""
        with self._lock:
            self.events.append(event)
            if event["event_type"] == "entry":
                self._ids |= {event["flow_id"], event["span_id"]}
                place = self._places.add(event)
                self._made.add(place.path)
                if event["node"] not in STRUCTURE:
                    self._entries[event["span_id"]] = (place, event)

    def unanswerable(self) -> Iterator[tuple[Call, str]]:
        """Yield the recorded calls that will have no answer, and why. What may be called for real is left out."""
        has_begun, answered = self.rules.from_step is None, list[Call]()
        found = list[tuple[Call, str]]()
        for call in self.recording.calls.values():
            has_begun = has_begun or self.rules.from_step in call.place.steps
            if call.node == CODE:
                problem = call.problem() if call.step in self.rules.frozen else None
            elif call.node in OURS or (has_begun and _is_named(self.rules.live, call.node)):
                continue
            else:
                answered.append(call)
                is_pretended = _is_named(self.rules.pretend, call.node)
                problem = call.problem() or (None if is_pretended else call.doubt(self.recording.ignored))
            if problem is not None:
                found.append((call, problem))
        hidden = self.recording.inside_of(answered)
        yield from ((call, problem) for call, problem in found if call.span.span_id not in hidden)

    def unused(self) -> list[str]:
        """Return the places of recorded calls that were not asked for so far."""
        with self._lock:
            return [str(call.place) for call in self.recording.unused() if call.place.path not in self._made]

    def call(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Any:
        """Return the recorded answer to a call, or make it if that is allowed.

        Raises:
            Stop: Neither is possible.
        """
        if real.function is not None and _is_ours(name, real.function):
            return real()
        with self._lock:
            if self.stopped is not None:
                raise self.stopped
            try:
                answer = self._decided(name, params, state, real)
            except Stop as stop:
                self.stopped = stop
                raise
        return real() if answer is None else answer

    def _decided(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Answer | None:
        """Return the answer, or None to make the call."""
        me = current()
        own = None if me is None or not real.is_logged else self._entries.pop(me.span_id, None)
        if me is None or own is None:
            if name == CODE and not self.rules.frozen:
                return None
            self._without_place(name, real.is_logged)
        place, entry = own
        self._has_begun = self._has_begun or self.rules.from_step in place.steps
        here = self.recording.calls.get(place.path)
        if name == CODE:
            return self._code(me, place, here, state)
        asking = _Asking(name, me.node, place, plain(entry["data"], self._ids, self.recording.ignored), params, me, real.classes)
        if here is not None and here.node != me.node:
            return self._other(asking, None, (Change("node", "changed", here.node, me.node),), state)
        changes = tuple(differing(here.given, asking.given)) if here is not None else ()
        is_recorded = here is not None and not changes
        if here is not None and is_recorded and here.given_to is None:
            return self._known(asking, "same", here, state)
        if elsewhere := [one for one in self.recording.with_input(me.node, asking.given) if one.given_to is None]:
            # Of several, that of the same branch, iteration and attempt: a step may have got another name.
            elsewhere.sort(key=lambda one: one.place.numbers != place.numbers)
            certain = (one for one in elsewhere if self._problem(one, asking) is None)
            return self._known(asking, "moved", next(certain, elsewhere[0]), state)
        if here is not None and is_recorded and not self._may_be_live(asking):
            hint = f"it is asked once more than it was recorded; make the call with live {asking.name!r}"
            raise Stop(str(place), asking.node, f"its recorded answer was given to {here.given_to}", hint=hint)
        return self._other(asking, here, changes, state)

    def _code(self, me: SpanContext, place: Place, here: Call | None, state: Any) -> Answer | None:
        """Return the recorded result of inline code that is frozen; other inline code runs."""
        if me.step not in self.rules.frozen:
            return None
        if here is None or here.node != CODE:
            raise Stop(str(place), CODE, "it is frozen, and nothing was recorded at this place", hint="leave out frozen")
        if (problem := here.problem()) is not None:
            raise Stop(str(place), CODE, problem, hint=_RECORD.split(",")[0] % CODE + ", or leave out frozen", kind=UNFIT)
        return self._given(_Asking(CODE, CODE, place, {}, {}, me), "same", here, state, "frozen")

    def _known(self, asking: _Asking, kind: str, call: Call, state: Any) -> Answer | None:
        """Return the answer that was recorded for this input, if all of both is known."""
        if self.rules.again and self._may_be_live(asking):
            return self._live(asking, "it is called again")
        problem = self._problem(call, asking)
        if problem is None:
            return self._given(asking, kind, call, state, f"recorded at {call.place}" if kind == "moved" else "")
        if kind == "same" and call.problem() is None and _matches(asking, self.rules.pretend):
            return self._given(asking, "pretended", call, state, problem)
        if self._may_be_live(asking):
            return self._live(asking, problem)
        is_whole = call.full is not None and call.full.input_sha256 is not None  # as far as it can be
        hint = f"make the call with live {asking.name!r}, or record the flow again" if is_whole else None
        raise Stop(str(asking.place), asking.node, problem, hint=hint or _RECORD % (asking.node, asking.name), kind=UNFIT)

    def _other(self, asking: _Asking, here: Call | None, changes: tuple[Change, ...], state: Any) -> Answer | None:
        """Answer a call that was not recorded: its input is another one, or there was none at its place."""
        why = "it is not asked as it was recorded" if changes else "nothing like it was recorded"
        if here is not None and _matches(asking, self.rules.pretend):
            if (problem := here.problem()) is not None:
                raise Stop(str(asking.place), asking.node, problem, changes, _RECORD % (asking.node, asking.name), kind=UNFIT)
            return self._given(asking, "pretended", here, state, why, changes)
        if self._may_be_live(asking):
            return self._live(asking, why, changes)
        raise self._unknown(asking, why, changes)

    def _given(
        self, asking: _Asking, kind: str, call: Call, state: Any, why: str = "", changes: tuple[Change, ...] = ()
    ) -> Answer:
        call.given_to = asking.place
        self._hands_out_placeholders = self._hands_out_placeholders or call.is_held_back()
        self.given[asking.me.span_id] = call
        learn(asking.me.flow, self.secrets, is_certain=True)
        self.asked.append(Asked(str(asking.place), asking.node, kind, why, changes))
        return call.answer(state)

    def _live(self, asking: _Asking, why: str, changes: tuple[Change, ...] = ()) -> Answer | None:
        """Return None, so that a call is made for real; refuse it if it would send the placeholder of a secret."""
        if self._hands_out_placeholders and holds_placeholder(asking.params):
            problem = "it would be called with [REDACTED] in place of a secret, which a log does not have"
            hint = ""
            if places := self.recording.missing_secrets():
                hint = f"give the secret: secrets={{{places[0]!r}: ...}} (--secret {places[0]}=VARIABLE)"
                hint += f", or that of {' or '.join(places[1:3])}" if places[1:] else ""
            raise Stop(str(asking.place), asking.node, problem, hint=hint, kind=UNFIT)
        self.asked.append(Asked(str(asking.place), asking.node, "live", why, changes))
        return None

    def _may_be_live(self, asking: _Asking) -> bool:
        return self._has_begun and _matches(asking, self.rules.live)

    def _problem(self, call: Call, asking: _Asking) -> str | None:
        """Return why a recorded call with this input, as far as the log shows it, cannot answer; None if it can."""
        translations = self.recording.folder, asking.me.flow.id, self.recording.log.flow_id
        return call.problem() or _doubt(call, asking, self.recording.ignored, translations)

    def _unknown(self, asking: _Asking, why: str, changes: tuple[Change, ...]) -> Stop:
        recording, place = self.recording, str(asking.place)
        if not changes and recording.has_failed() and not any(recording.unused()):
            hint = f"to go on, make the call with live {asking.name!r}"
            return Stop(place, asking.node, "the recording, of a run that failed, ends before this call", hint=hint, kind=BEYOND)
        if not changes and all(call.node != asking.node for call in recording.calls.values()):
            category = asking.node.partition(".")[0]
            hint = f"if it was called then, its level was filtered: record {category} at level info; or make the call with live"
            return Stop(place, asking.node, f"no call of {asking.node} is in the recording", changes, f"{hint} {asking.name!r}")
        hint = f"make the call with live {asking.name!r}, or record the flow again"
        if (suspect := self._changing_code()) is not None and self._is_unchanged():
            hint = f"the code of {suspect!r} returned something else; if it was not edited, try frozen {suspect!r}; or {hint}"
        return Stop(place, asking.node, why, changes, hint)

    def _is_unchanged(self) -> bool:
        """Tell whether the initial state is as recorded, and everything so far was answered from the recording."""
        pairs = ((self.recording.root, self.recording.ids), (self.events[0]["data"], self._ids))
        old, new = (plain(data, ids, self.recording.ignored) for data, ids in pairs)
        return next(differing(old, new), None) is None and all(one.kind in ("same", "moved") for one in self.asked)

    def _changing_code(self) -> str | None:
        """Return the first step with inline code whose result differs from the recorded one, or None."""
        places = Places()
        begun: dict[str, Place] = {}
        for event in self.events:
            if event["event_type"] == "entry":
                begun[event["span_id"]] = places.add(event)
            elif event["node"] == CODE and event["event_type"] in ENDS and status_of(event) == "ok":
                call = self.recording.calls.get(begun[event["span_id"]].path)
                if call is None or call.node != CODE or call.end is None or status_of(call.end) != "ok":
                    continue
                old, new = (
                    plain({"input": end["data"].get("output")}, ids, self.recording.ignored)
                    for end, ids in ((call.end, self.recording.ids), (event, self._ids))
                )
                if call.step is not None and next(differing(old, new), None) is not None:
                    return call.step
        return None

    def _without_place(self, name: str, is_logged: bool) -> NoReturn:
        me = current()
        if not self.events:
            hint = "give them these with a handler: {type: callback, callback: answers.take}"
            raise Stop(name, name, "the answers have got no events of the run, so its place is not known", hint=hint, kind=UNFIT)
        if is_logged and (me is None or self.events[0]["flow_id"] != me.flow.id):
            hint = "pass the_edge_obs.wrap(function) to the thread or the pool, and record the flow again"
            raise Stop(name, name, "it is made in a thread that does not know the run", hint=hint, kind=UNFIT)
        hint = f"log {name.partition('.')[0]} at level info, in the block of the flow and in TEA_LOG"
        raise Stop(name, name, "its level is filtered, so its place is not known", hint=hint, kind=UNFIT)


class _Asking(NamedTuple):
    """A call that is asked for.

    Attributes:
        name: Its name in the registry.
        node: Its node.
        place: Where it is.
        given: ``{"input": ...}``, as ``folding.plain`` returns it.
        params: What it is given, as it is.
        me: Its span.
        classes: Which keys of its input are secret.
    """

    name: str
    node: str
    place: Place
    given: dict[str, Any]
    params: Mapping[str, Any]
    me: SpanContext
    classes: KeyClasses = KEY_CLASSES


def _matches(asking: _Asking, globs: Sequence[str]) -> bool:
    return _is_named(globs, asking.name, asking.node)


def _is_named(globs: Sequence[str], *names: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs for name in names)


def _is_ours(name: str, function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None)
    return name.removeprefix("actions.") in OURS and isinstance(module, str) and module.startswith("the_edge_obs.actions.")


def _doubt(call: Call, asking: _Asking, ignored: Any, translations: tuple[Folder, str, str]) -> str | None:
    """Return why it is not certain that a recorded call had this input, although the log shows no difference; else None."""
    if (doubt := call.doubt(ignored)) is not None:
        return doubt
    cuts = call.cuts(ignored)
    if not cuts or call.full is None:
        return None
    folder, new_id, old_id = translations
    for params in (asking.params, _translated(asking.params, folder, new_id, old_id)):
        if digest_of(params, asking.me.flow, asking.classes).sha256 == call.full.input_sha256:
            return None
    return f"its input differs from the recorded one beyond what the log shows, at {', '.join(cuts[:3])} or elsewhere"


def _translated(value: Any, folder: Folder, new_id: str, old_id: str) -> Any:
    """Return parameters as the recorded run would have had them: with its id, and with paths in its folder."""
    if isinstance(value, str):
        return folder.back(value.replace(new_id, old_id))
    if isinstance(value, dict):
        return {key: _translated(item, folder, new_id, old_id) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_translated(item, folder, new_id, old_id) for item in value) if type(value) in (list, tuple) else value
    return value
