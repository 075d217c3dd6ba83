"""Replay: run a flow again with the answers that a log recorded, and compare the two runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ...comparison import FlowDiff, diff
from ...errors import ConfigurationError, FlowNotFoundError, LogFileError, allowed
from ...event import Event
from ...flow_log import FlowLog, SpanInfo, build_flow_log
from ...jsonl import Skipped
from ...redaction.marks import MORE
from ...store.full_record import FullRecords, full_records
from ...store.paths import log_files
from ...store.sources import get_flow_log, query
from ..executor import RUN_KEYS
from ..model import CodeBody, FanOutBody, LoopBody, Node, Plan, StepsBody, SubflowBody
from ..runner import Flow, load
from .deciding import KINDS, Asked, RecordedAnswers, Rules
from .folding import Ignored
from .places import STRUCTURE
from .recording import Call, Recording
from .stopping import BEYOND, Stop

_FILE: Final = "flow-{flow_id}.jsonl"
_OUTWARD: Final = ("enabled", "handlers", "propagate", "record")  # keys of a block that say where events go
_IN_TURN: Final = STRUCTURE - {"parallel"}  # nodes that run their steps one after the other


@dataclass(frozen=True)
class Report:
    """What a replay did.

    Attributes:
        old, new: The recorded run and the replay, as flow logs.
        state: The final state, or None if the flow did not come to its end.
        error: What the flow raised, or None.
        stopped: Where and why the replay stopped, or None.
        beyond: The call that the recording, of a run that failed, ends before; or None. It ends the replay, and is not a failure.
        asked: Every call of an action that was answered or made, in order.
        unused: The places of recorded calls that were not asked for.
    """

    old: FlowLog
    new: FlowLog
    state: dict[str, Any] | None
    error: BaseException | None
    stopped: Stop | None
    beyond: Stop | None
    asked: tuple[Asked, ...]
    unused: tuple[str, ...]

    @cached_property
    def calls(self) -> dict[str, list[Asked]]:
        """The calls by how they were answered: ``same``, ``moved``, ``live`` and ``pretended``."""
        return {kind: [one for one in self.asked if one.kind == kind] for kind in KINDS}

    @cached_property
    def diff(self) -> FlowDiff:
        """The recorded run and the replay side by side."""
        return diff(self.old, self.new)

    @property
    def is_as_before(self) -> bool:
        """Whether the replay came to the end of the flow, or failed as the recorded run had: in that step, with that class."""
        return self.stopped is None and (self.error is None or _failure_of(self.old) == _failure_of(self.new))


def replay(
    log: FlowLog | str | os.PathLike[str],
    flow: Flow | str | Path | Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    from_step: str | None = None,
    live: Sequence[str] = (),
    again: bool = False,
    pretend: Sequence[str] = (),
    frozen: Sequence[str] = (),
    ignore: Sequence[str] = (),
    secrets: Mapping[str, Any] | None = None,
    *,
    flow_id: str | None = None,
    actions: Mapping[str, Callable[..., Any]] | None = None,
    log_dir: str | os.PathLike[str] | None = None,
) -> Report:
    """Run a flow again with the recorded answers of its actions. Nothing is called for real unless ``live`` names it.

    A call is answered if the log has one at the same place with the same input, or one with the same input elsewhere. Otherwise
    the replay stops. Inline code and ``json.*`` run, and ``obs.*`` reads the log of the replay. The handlers of the flow's own
    block get nothing.

    Args:
        log: The recorded run: a flow log, a flow id, a log file, or a folder of logs.
        flow: The flow, or its file or content, as for ``load``.
        state: Merged over the recorded initial state. Default None.
        from_step: The step from which on ``live`` applies. Default None: from the beginning.
        live: Globs of actions that may be called for real where the recording does not have the call as it is asked.
        again: Call these in any case. Default False.
        pretend: Globs of actions that get the answer of their place whatever their input, such as ``file.write``.
        frozen: Steps with inline code that returns what was recorded, such as the time.
        ignore: Paths that may differ, such as ``input.requested_at``; ``*`` stands for any characters.
        secrets: Secrets by the places at which they were redacted: ``{"login.output.access_token": key}``, or
            ``{"flow.input.api_key": key}`` for the initial state.
        flow_id: The run, if the log has several: its flow_id, or the beginning of it. Default None.
        actions: As for ``load``.
        log_dir: A folder for the log of the replay, ``flow-<flow_id>.jsonl``. Default None: it is only in the report.

    Raises:
        ConfigurationError: An argument names something that is not there, or the recording has no initial state.
        FlowNotFoundError, LogFileError: As in ``get_flow_log``.
        FlowFileError: As in ``load``.
    """
    loaded = flow if isinstance(flow, Flow) else load(flow, actions)
    answers = recorded_answers(
        log,
        live=live,
        again=again,
        pretend=pretend,
        frozen=frozen,
        from_step=from_step,
        ignore=ignore,
        secrets=secrets,
        flow_id=flow_id,
        file=loaded.file,
    )
    check_steps(answers.rules, loaded)
    given = _initial_state(answers.recording, state)
    final, error, stopped = None, None, None
    try:
        final = _observed(loaded, answers, log_dir).run(given, answers=answers)
    except Stop as stop:
        stopped = stop
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - a flow may raise anything
        error = failure
    return _report(answers, final, error, stopped)


def recorded_answers(
    log: FlowLog | str | os.PathLike[str],
    *,
    live: Sequence[str] = (),
    again: bool = False,
    pretend: Sequence[str] = (),
    frozen: Sequence[str] = (),
    from_step: str | None = None,
    ignore: Sequence[str] = (),
    secrets: Mapping[str, Any] | None = None,
    flow_id: str | None = None,
    file: str | None = None,
) -> RecordedAnswers:
    """Return the answers of a recorded run, for ``Flow.run(answers=...)`` or ``instrument(registry, answers=...)``.

    Args:
        log: As for ``replay``. Whole answers are read from the file beside each log file.
        live, again, pretend, frozen, from_step, ignore, secrets, flow_id: As for ``replay``.
        file: The absolute path of the flow file that is to run. Default None: folders are not translated.

    Raises:
        ConfigurationError: An argument names something that is not in the recording.
        FlowNotFoundError, LogFileError: As in ``get_flow_log``.
    """
    rules = Rules(_globs("live", live), again, _globs("pretend", pretend), _globs("frozen", frozen), from_step)
    if from_step is not None and not live:
        raise ConfigurationError("from_step says from where on calls are made for real; name these with live")
    if again and not live:
        raise ConfigurationError("again makes the calls of live for real in any case; name them with live")
    full: FullRecords = {}
    if not isinstance(log, FlowLog):
        if Path(log).exists():
            full = {key: one for file_ in log_files([Path(log)], Skipped()) for key, one in full_records(file_).items()}
        log = _log_of(log, flow_id)
    return RecordedAnswers(Recording(log, full, file, Ignored(_globs("ignore", ignore)), secrets), rules)


def _log_of(log: str | os.PathLike[str], flow_id: str | None) -> FlowLog:
    if flow_id is None and not Path(log).exists():
        return get_flow_log(log)
    events = query(log, **({} if flow_id is None else {"flow_id": flow_id}))
    found = list(dict.fromkeys(event["flow_id"] for event in events))
    if len(found) > 1:
        known = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        if flow_id is None:
            raise LogFileError(f"{str(log)!r} holds {len(found)} flows: {known}; choose one with flow_id (--flow ID)")
        raise LogFileError(f"{flow_id!r} is the beginning of {len(found)} flows of {str(log)!r}: {known}; give more of the id")
    if flow_id is None:
        return get_flow_log(log)
    if not found:
        raise FlowNotFoundError(f"no flow of {str(log)!r} begins with {flow_id!r}; tea-obs ls {str(log)!r} lists them")
    return build_flow_log(events)


def check_steps(rules: Rules, flow: Flow) -> None:
    """Check that the rules name steps of the flow.

    Raises:
        ConfigurationError: They do not.
    """
    steps = dict(_steps(flow._plan))
    if rules.from_step is not None and rules.from_step not in steps:
        raise ConfigurationError(
            f"from_step {rules.from_step!r} is not a step of {flow.name!r}; {allowed(steps, rules.from_step)}"
        )
    code = [name for name, node in steps.items() if isinstance(node.body, CodeBody)]
    for name in rules.frozen:
        if name not in code:
            raise ConfigurationError(f"frozen {name!r} is not a step with inline code (run:); {allowed(code, name)}")


def _globs(name: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigurationError(f"{name} {given!r} is a string; give a list such as [{given!r}]")
    return tuple(given)


def _steps(plan: Plan) -> Iterator[tuple[str, Node]]:
    waiting = list(plan.nodes.values())
    while waiting:
        node = waiting.pop()
        yield node.name, node
        if isinstance(node.body, (StepsBody, LoopBody, FanOutBody)):
            waiting += node.body.steps
        elif isinstance(node.body, SubflowBody):
            waiting += node.body.plan.nodes.values()


def _initial_state(recording: Recording, state: Mapping[str, Any] | None) -> dict[str, Any]:
    given, own = recording.state(), dict(state or {})
    if given is None and state is None:
        raise ConfigurationError(
            "the recording does not have the initial state of its run (data.input of its first entry); give it with state"
        )
    check_state(recording, [*own])
    return {key: value for key, value in {**(given or {}), **own}.items() if key not in (*RUN_KEYS, MORE)}


def check_state(recording: Recording, given: Sequence[str]) -> None:
    """Check that the log has the whole initial state, apart from values that the caller gives.

    Raises:
        ConfigurationError: It does not.
    """
    for path in recording.cut_state(given):
        if path == "input":
            raise ConfigurationError("the recorded initial state was cut as a whole; give all of it with state (--set)")
        raise ConfigurationError(f"the recorded initial state was cut at {path}; give that key with state (--set)")


def _failure_of(log: FlowLog) -> tuple[Any, ...]:
    """Return the class of a run's error, and the steps that lead to where it failed.

    What runs one step after the other failed in the last one, or after it, as where no rule of a ``goto`` holds. Failures before
    that were handled.
    """
    spans, (top, *_) = {span.span_id: span for span in log.spans}, log.roots
    labels: list[str] = []
    at: SpanInfo = top
    while children := [child for child in map(spans.get, at.children) if child is not None]:
        if at.node not in _IN_TURN:
            children = [child for child in children if child.status == "error"]
        if not children:
            break
        at = children[-1]
        labels.append(at.step or at.node)
        if at.status != "error":
            break
    return (top.status, (top.error or {}).get("type"), at.status, *labels)


def _observed(flow: Flow, answers: RecordedAnswers, log_dir: str | os.PathLike[str] | None) -> Flow:
    """Return a flow with the levels, secrets and prices of its block, whose events go to the answers and not to its handlers."""
    handlers: list[dict[str, Any]] = [{"type": "callback", "callback": lambda event: answers.take(event)}]
    if log_dir is not None:
        handlers.append({"type": "file", "path": os.path.join(log_dir, _FILE)})
    block = {key: value for key, value in (flow.observability or {}).items() if key not in _OUTWARD}
    return Flow(replace(flow._plan, observability={**block, "handlers": handlers}))


def _report(answers: RecordedAnswers, final: dict[str, Any] | None, error: BaseException | None, stop: Stop | None) -> Report:
    recording = answers.recording
    if not answers.events:
        raise error or stop or ConfigurationError("the replay has logged nothing; log the flow at level info")
    flow_id = answers.events[0]["flow_id"]
    own = (event for event in answers.events if event["flow_id"] == flow_id)
    new_events = [_as_recorded(event, answers.given.get(event["span_id"])) for event in own]
    hidden = recording.below()
    # What an answered call did inside was not done again, and is not compared.
    old_events = [event for event in recording.log.events if event["span_id"] not in hidden]
    old, new = (build_flow_log(map(recording.ignored.from_event, events)) for events in (old_events, new_events))
    is_beyond = stop is not None and stop.kind == BEYOND
    return Report(
        old,
        new,
        final,
        error,
        None if is_beyond else stop,
        stop if is_beyond else None,
        tuple(answers.asked),
        tuple(answers.unused()),
    )


def _as_recorded(event: Event, call: Call | None) -> Event:
    """Return an event; the end of a call that got a whole answer with the output of the recorded call.

    A secret was taken out of the answer, so it is cut after another number of characters.
    """
    if call is None or call.full is None or call.end is None or "output" not in event["data"] or "output" not in call.end["data"]:
        return event
    recorded = {key: call.end["data"][key] for key in ("output", "cut") if key in call.end["data"]}
    return {**event, "data": {**{key: value for key, value in event["data"].items() if key != "cut"}, **recorded}}


def problems(answers: RecordedAnswers, given: Sequence[str] = ()) -> Iterator[str]:
    """Yield why a recording cannot be used as a whole, one line each; nothing is run. What may be called for real is left out.

    Args:
        answers: Its answers.
        given: Which values of the initial state the caller gives.
    """
    recording = answers.recording
    if recording.state() is None and not given:
        yield "the initial state is not recorded"
    for path in recording.cut_state(given):
        yield f"the initial state was cut at {path}"
    if not recording.calls:
        yield "no call is recorded; were the levels of all actions filtered?"
    for call, problem in answers.unanswerable():
        yield f"{call.place} ({call.node}): {problem}"


__all__ = ["Report", "check_state", "check_steps", "problems", "recorded_answers", "replay"]
