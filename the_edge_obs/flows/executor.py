"""Execute one node: its body, its attempts, and its updates of the state.

The scheduler decides which node runs next, the tracer what is logged.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from ..actions.retrying import Retrying
from ..errors import FlowRunError
from ..instrumentation.answers import Answer, Asking, Real
from ..instrumentation.capture import is_soft_failure
from ..instrumentation.decorator import answering
from ..recording.records import NOTHING
from ..recording.tracebacks import class_names, error_text, type_name
from ..redaction.summaries import whole
from .calling import finished
from .model import (
    ActionBody,
    CodeBody,
    FanOutBody,
    LoopBody,
    Node,
    OnError,
    Output,
    Plan,
    StepsBody,
    SubflowBody,
)
from .parallel import RESULTS, Branch, branch_state, run_branches
from .sandbox import Variables
from .templates import Renderer
from .tracing import SILENT, Trace, Tracer

RUN_KEYS: Final = ("flow_id", "_observability")
"""Keys of the state that hold the run's id."""

# The cap of a growing delay in seconds, unless the first delay is longer.
_LONGEST_DELAY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """The parts that a run shares with its sub-flows.

    Args:
        tracer: Logs the nodes.
        graph: The running flow, as actions and inline code see it.
        run_plan: Runs a sub-flow with the given state, and returns its final state.
        stop: Set when branches must stop before their next node.
        asked: Answers calls in place of the actions, or None.
    """

    tracer: Tracer
    graph: object
    run_plan: Callable[[Plan, dict[str, Any], Run], dict[str, Any]]
    stop: threading.Event = field(default_factory=threading.Event)
    asked: Asking | None = None

    def check(self) -> None:
        """Raise CancelledError when the run was interrupted."""
        if self.stop.is_set():
            raise CancelledError("the run was interrupted")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a node.

    Args:
        updates: Changes of the state.
        result: The node's result, before ``output`` was applied to it.
        jump: The node to continue with instead of the usual one, or None.
    """

    updates: dict[str, Any]
    result: Any
    jump: str | None = None


_Tried: TypeAlias = tuple[Outcome, Exception | None]
"""How an attempt ended: with an outcome, or with an empty one and what it raised."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt to execute a node.

    Args:
        node: The node.
        state: The state; the caller updates it.
        extras: Further names for templates and code.
        number: The number of the attempt, from 1; None where ``on_error`` allows only one.
    """

    node: Node
    state: dict[str, Any]
    extras: Mapping[str, Any]
    number: int | None = None


class Executor:
    """Executes the nodes of one plan within one run."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan = plan
        self._run = run
        self._tracer = run.tracer
        self._asked = run.asked
        self._bodies: Mapping[type, Callable[[_Attempt, Any], Outcome]] = {
            ActionBody: self._action,
            CodeBody: self._code,
            StepsBody: self._steps,
            SubflowBody: self._subflow,
            LoopBody: self._loop,
            FanOutBody: self._fan_out,
        }
        # next() on it is atomic, so branches can count together.
        self._count = itertools.count(1)
        shared = {"variables": plan.variables, "flow_dir": plan.folder}
        self._template_names: Mapping[str, Any] = {**shared, "settings": plan.settings, "env": Variables()}
        self._code_names: Mapping[str, Any] = {
            **shared,
            "actions": run.tracer.actions(plan.registry, run.asked),
            "json": json,
            "config": plan.settings,
            "graph": run.graph,
        }

    def count_step(self, name: str, kind: str) -> None:
        """Count a node, or an iteration of a loop, before it runs.

        Args:
            name: The node.
            kind: What may repeat it endlessly: ``goto`` or ``loop``.

        Raises:
            FlowRunError: The count exceeds ``settings.max_steps``.
        """
        if next(self._count) > self._plan.max_steps:
            raise FlowRunError(
                f"step {name!r}: more than {self._plan.max_steps} steps in one run, which looks like an endless {kind}; "
                "add a way out of the loop, or raise settings.max_steps",
                step=name,
            )

    def names(self, state: dict[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
        """Return the names that templates and conditions see.

        Args:
            state: The current state.
            extras: Further names: a fan-out's item and index, a node's result.
        """
        return {**self._template_names, "state": state, RESULTS: state.get(RESULTS, []), **extras}

    def execute(self, node: Node, state: dict[str, Any], extras: Mapping[str, Any]) -> Outcome:
        """Execute a node, as often as its ``on_error`` allows.

        Args:
            node: The node.
            state: The state; the caller updates it.
            extras: Further names for templates and code.

        Raises:
            Exception: The node's own exception, when ``on_error`` does not handle it.
        """
        rule = node.on_error
        if rule.mode == "raise":
            return self._once(_Attempt(node, state, extras))

        asked, calls = self._asked, 0

        def attempt(number: int) -> _Tried:
            nonlocal calls
            calls = 0 if asked is None else asked.real_calls
            return self._tried(_Attempt(node, state, extras, number if rule.max_retries else None))

        def pause(number: int, tried: _Tried, seconds: float) -> None:
            if asked is None or asked.real_calls > calls:  # an answer is there at once
                self._run.stop.wait(seconds)
            self._run.check()

        retrying = Retrying(rule.max_retries, rule.delay, rule.backoff, max(_LONGEST_DELAY, rule.delay))
        tried, attempts = retrying.run(attempt, partial(_may_retry, rule), pause)
        return self._after_failure(node, attempts, *tried) if _has_failed(tried) else tried[0]

    def _once(self, at: _Attempt) -> Outcome:
        return self._bodies[type(at.node.body)](at, at.node.body)

    def _tried(self, at: _Attempt) -> _Tried:
        try:
            return self._once(at), None
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - on_error decides what happens next
            return Outcome({}, None), error

    def _after_failure(self, node: Node, attempts: int, outcome: Outcome, error: Exception | None) -> Outcome:
        rule = node.on_error
        if rule.mode == "retry" and rule.fallback is None and error is not None:
            raise error
        failure = _failure_of(outcome.result, error)
        # Names as they are, between quotes: how a language would quote them is not part of the contract.
        continuing = f"continuing with '{rule.fallback}'" if rule.fallback else "continuing"
        tries = "" if attempts == 1 else f" after {attempts} attempts"
        self._tracer.note(
            f"step '{node.name}' failed{tries}, {continuing}",
            {"step": node.name, "mode": rule.mode, "attempts": attempts, "error": failure, "fallback": rule.fallback},
        )
        if rule.fallback is None and error is None:
            return outcome  # a soft failure is a result, which the state already has
        action = node.body.name if isinstance(node.body, ActionBody) else None
        info = {**failure, "node": node.name, "action": action, "retry_count": attempts - 1}
        return Outcome({**outcome.updates, "__error__": info}, outcome.result, rule.fallback)

    def _span(self, kind: str, at: _Attempt, data: Any = NOTHING) -> Trace:
        return self._tracer.node(kind, at.node.name, data, at.number)

    def _action(self, at: _Attempt, body: ActionBody) -> Outcome:
        names = self.names(at.state, at.extras)
        params = self._rendered(body.params, names, body.name, at)
        given = {"state": at.state, "config": self._plan.settings, "node": at.node.name, "graph": self._run.graph}
        # An action that is decorated logs itself, with its own redaction; a second span would count it twice.
        tracer = SILENT if body.calling.logs_itself else self._tracer
        with tracer.node(body.name, at.node.name, params, at.number, at.state) as trace:
            if (asked := self._asked) is None:
                result = finished(body.calling(given, params), trace)
            elif body.calling.logs_itself:
                answered = replace(body.calling, function=answering(body.calling.function, body.name, logging.INFO, asked))
                result = finished(answered(given, params), trace)
            else:
                made = partial(body.calling, given, params)
                result = self._answered(asked, trace, body.name, params, at, body.calling.function, made)
            return self._stored(body.output, result, names, trace)

    def _code(self, at: _Attempt, body: CodeBody) -> Outcome:
        scope = {**self._code_names, "state": at.state, "node": at.node.name, RESULTS: at.state.get(RESULTS, []), **at.extras}
        with self._tracer.node("python.run", at.node.name, NOTHING, at.number, at.state) as trace:
            if (asked := self._asked) is None:
                value = finished(body.code.run(scope), trace)
            else:
                value = self._answered(asked, trace, "python.run", {}, at, None, partial(body.code.run, scope))
            if body.output_key is not None:
                value = {body.output_key: value}
            return self._stored(Output(), value, {}, trace)

    def _answered(
        self,
        asked: Asking,
        trace: Trace,
        name: str,
        params: Mapping[str, Any],
        at: _Attempt,
        function: Any,
        call: Callable[[], Any],
    ) -> Any:
        """Return the answer to a call, or the finished result of the real one."""
        got = asked.ask(name, params, at.state, Real(function, call))
        if type(got) is not Answer:
            return finished(got, trace)
        trace.answered, trace.metrics = True, dict(got.metrics or {})
        return got.given()

    def _steps(self, at: _Attempt, body: StepsBody) -> Outcome:
        inner = dict(at.state)
        with self._span("steps", at):
            self._sequence(body.steps, inner, at.extras)
        return _changed(at.state, inner)

    def _subflow(self, at: _Attempt, body: SubflowBody) -> Outcome:
        names = self.names(at.state, at.extras)
        params = self._rendered(body.params, names, "subflow", at)
        with self._span("subflow", at, params) as trace:
            given = {**params, **{key: at.state[key] for key in RUN_KEYS if key in at.state}}
            final = self._run.run_plan(body.plan, given, self._run)
            result = {key: value for key, value in final.items() if key not in RUN_KEYS}
            return self._stored(body.output, result, names, trace)

    def _loop(self, at: _Attempt, body: LoopBody) -> Outcome:
        inner, limit_reached = dict(at.state), dict[str, Any]()
        with self._span("loop", at) as trace:
            for index in range(body.max_iterations):
                if not body.condition.holds(self.names(inner, at.extras)):
                    break
                self.count_step(at.node.name, "loop")
                with self._tracer.node("loop.iteration", None, {"index": index}):
                    self._sequence(body.steps, inner, at.extras)
            else:
                if self._would_continue(body, inner, at):
                    trace.output = limit_reached = {"stopped_by": "max_iterations", "rounds": body.max_iterations}
                    problem = f"stopped after {body.max_iterations} rounds (max_iterations); its condition still holds"
                    self._tracer.note(f"step '{at.node.name}' {problem}", {"step": at.node.name, **limit_reached})
        outcome = _changed(at.state, inner)
        return replace(outcome, result={**outcome.updates, **limit_reached})

    def _would_continue(self, body: LoopBody, state: dict[str, Any], at: _Attempt) -> bool:
        """Tell whether a loop would continue after its last allowed iteration; a condition that fails counts as yes."""
        try:
            return body.condition.holds(self.names(state, at.extras))
        except FlowRunError:
            return True

    def _fan_out(self, at: _Attempt, body: FanOutBody) -> Outcome:
        names = self.names(at.state, at.extras)
        items = self._rendered(body.items, names, "parallel", at, _items)
        limit = self._rendered(body.max_concurrency, names, "parallel", at, _limit)
        with self._span("parallel", at, {"items": len(items)}):
            branches = [self._branch(at, body, index, item) for index, item in enumerate(items)]
            results = run_branches(self._tracer, self._run.stop, branches, limit, fail_fast=body.fail_fast)
        updates: dict[str, Any] = {RESULTS: results}
        if body.output is not None:
            updates[body.output] = results
        return Outcome(updates, results)

    def _branch(self, at: _Attempt, body: FanOutBody, index: int, item: Any) -> Branch:
        own = branch_state({**at.state, body.item_var: item, body.index_var: index}, at.node.name)
        seen = {**at.extras, body.item_var: own[body.item_var], body.index_var: index}

        def work() -> None:
            self._sequence(body.steps, own, seen)

        return Branch(f"{at.node.name}[{index}]", {"index": index, "item": item}, own, work)

    def _sequence(self, steps: Sequence[Node], state: dict[str, Any], extras: Mapping[str, Any]) -> None:
        """Execute nested steps one after the other on their own state, which they change."""
        for step in steps:
            self._run.check()
            state.update(self.execute(step, state, extras).updates)

    def _rendered(
        self,
        renderer: Renderer,
        names: Mapping[str, Any],
        kind: str,
        at: _Attempt,
        convert: Callable[[Any, str], Any] = lambda value, step: value,
    ) -> Any:
        """Render a node's input; when that fails, the failure is logged as this node's."""
        try:
            return convert(renderer.render(names), at.node.name)
        except FlowRunError:
            with self._span(kind, at):
                raise

    def _stored(self, output: Output, result: Any, names: Mapping[str, Any], trace: Trace) -> Outcome:
        trace.output, result = result, whole(result)  # a summary is for the log only; the state gets the full result
        if output.key is not None:
            return Outcome({output.key: result}, result)
        if output.mapping is not None:
            return Outcome(output.mapping.render({**names, "result": result}), result)
        if result is None:
            return Outcome({}, None)
        return Outcome(dict(result) if isinstance(result, Mapping) else {"result": result}, result)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Outcome:
    """Return the changes of nested steps, whether they returned them or wrote them into their state."""
    changes = {key: value for key, value in after.items() if key not in before or before[key] is not value}
    return Outcome(changes, changes)


def _items(value: Any, step: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        problem = f"items rendered to {value!r:.80}, a {type(value).__name__}; it must be a list"
        raise FlowRunError(f"step {step!r}: {problem}", step=step)
    return list(value)


def _limit(value: Any, step: str) -> int | None:
    if value is None:
        return None
    try:
        limit = int(value)
    except (TypeError, ValueError):
        limit = 0
    if limit < 1:
        problem = f"max_concurrency rendered to {value!r}; it must be a whole number of 1 or more"
        raise FlowRunError(f"step {step!r}: {problem}", step=step)
    return limit


def _has_failed(tried: _Tried) -> bool:
    outcome, error = tried
    return error is not None or _is_soft_failure(outcome.result)


def _may_retry(rule: OnError, tried: _Tried) -> bool:
    error = tried[1]
    if error is None or rule.retryable is None:
        return _has_failed(tried)
    return not rule.retryable.isdisjoint(class_names(error))


def _is_soft_failure(result: Any) -> bool:
    return isinstance(result, dict) and is_soft_failure(result)


def _failure_of(result: Any, error: Exception | None) -> dict[str, str]:
    if error is not None:
        return {"type": type_name(error), "message": error_text(error)}
    return {"type": error_text(result.get("error_type") or "ActionError"), "message": error_text(result.get("error"))}
