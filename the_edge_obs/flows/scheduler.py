"""Decide which node runs next: ``goto`` first, then the edges, then the next node in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import FlowRunError
from .executor import Executor, Outcome, Run
from .model import END, START, FanOutBody, Plan
from .parallel import RESULTS, Branch, BranchResult, branch_state, run_branches
from .yaml_source import copied


@dataclass(frozen=True, slots=True)
class _Fork:
    """Parallel edges to follow at the same time."""

    targets: tuple[str, ...]
    fan_in: str


@dataclass(frozen=True, slots=True)
class _Borders:
    """Where a walk ends.

    Args:
        ends: Nodes before which it stops: the end, and the fan-ins of the branches it is in.
        siblings: First nodes of the other branches; none of them is the next node merely because it comes next in the file.
        fan_in: Where the branch joins the others, or None outside a branch.
    """

    ends: frozenset[str] = frozenset({END})
    siblings: frozenset[str] = frozenset()
    fan_in: str | None = None


def run_plan(plan: Plan, state: dict[str, Any], run: Run) -> dict[str, Any]:
    """Run a plan from its start to its end.

    Args:
        plan: The flow.
        state: The state that the run is given; it wins over the plan's initial state.
        run: Shared by the run and its sub-flows.

    Returns:
        The final state.
    """
    # Copied: nodes may change values in the state, and many runs share the plan.
    state = {**copied(plan.initial_state), **state}
    run.tracer.starts_with({**state, "variables": plan.variables, "settings": plan.settings})
    _Scheduler(plan, run).walk(START, state, _Borders())
    return state


class _Scheduler:
    """Walks through one plan; branches walk in threads and share the executor, which counts the steps."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan = plan
        self._run = run
        self._executor = Executor(plan, run)

    def walk(self, start: str, state: dict[str, Any], borders: _Borders) -> None:
        """Execute nodes from ``start`` to a border; START itself is not a node."""
        here, outcome, joining = start, Outcome({}, None), None
        while here not in borders.ends:
            if here != START:
                outcome = self._visit(here, state)
                if here == joining:
                    state.pop(RESULTS, None)
                state.update(outcome.updates)
            route = outcome.jump or self._route(here, state, outcome, borders)
            if isinstance(route, _Fork):
                state[RESULTS] = self._forked(route, here, state, borders)
                route = joining = route.fan_in
            else:
                joining = self._fan_in_of(here) or (None if here == joining else joining)
            here = route

    def _visit(self, name: str, state: dict[str, Any]) -> Outcome:
        self._run.check()
        self._executor.count_step(name, "goto")
        return self._executor.execute(self._plan.nodes[name], state, {})

    def _fan_in_of(self, name: str) -> str | None:
        body = self._plan.nodes[name].body if name != START else None
        return body.fan_in if isinstance(body, FanOutBody) else None

    def _route(self, name: str, state: dict[str, Any], outcome: Outcome, borders: _Borders) -> str | _Fork:
        names = self._executor.names(state, {"result": outcome.result})
        goto = self._plan.nodes[name].goto if name != START else None
        if goto is not None:
            for jump in goto:
                if jump.condition.holds(names):
                    return jump.target
            raise _stuck(name, f"no rule of its goto holds ({len(goto)} tried); add a final rule without if")
        if name in self._plan.edges:
            return self._edge(name, names)
        if (fan_in := self._fan_in_of(name)) is not None:
            return fan_in
        following = self._plan.following(name)
        return borders.fan_in if borders.fan_in and following in borders.siblings else following

    def _edge(self, name: str, names: Mapping[str, Any]) -> str | _Fork:
        edges = self._plan.edges[name]
        if edges[0].fan_in is not None:
            targets = tuple(edge.target for edge in edges if edge.condition.holds(names))
            return _Fork(targets, edges[0].fan_in)
        for edge in edges:
            if edge.condition.holds(names):
                return edge.target
        raise _stuck(name, f"no edge that leaves it holds ({len(edges)} tried); add one without a condition")

    def _forked(self, fork: _Fork, name: str, state: dict[str, Any], borders: _Borders) -> list[BranchResult]:
        inner = _Borders(borders.ends | {fork.fan_in}, frozenset(fork.targets), fork.fan_in)
        with self._run.tracer.node("parallel", fork.fan_in, {"branches": list(fork.targets)}):
            branches = [self._branch(index, target, state, inner) for index, target in enumerate(fork.targets)]
            return run_branches(self._run.tracer, self._run.stop, branches)

    def _branch(self, index: int, target: str, state: dict[str, Any], borders: _Borders) -> Branch:
        own = branch_state(state, target)

        def work() -> None:
            self.walk(target, own, borders)

        return Branch(target, {"index": index, "branch": target}, own, work)


def _stuck(name: str, problem: str) -> FlowRunError:
    where = "the start" if name == START else f"step {name!r}"
    return FlowRunError(f"{where}: {problem}, or one that leads to {END}", step=None if name == START else name)
