"""``load`` a flow and run it: the public interface of the YAML runner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..context import FlowState, flows_known, new_flow_id
from ..errors import ConfigurationError
from ..instrumentation.answers import Answers, Asking
from ..redaction.texts import learn
from .executor import RUN_KEYS, Run
from .loader import Loading, load_plan
from .model import Plan
from .reach import unreached
from .scheduler import run_plan
from .tracing import SILENT, Observed, Tracer


class Flow:
    """A loaded flow. It can run many times, and in many threads at once.

    It is observed when its ``observability`` block is on, or when it has no block and the logger ``tea`` is configured.
    Otherwise a run calls the bare actions: no span, no flow context.

    Attributes:
        name: The flow's name.
        path: Its file, or None for a flow given as a dict.
        observability: Its block as written, or None.
    """

    def __init__(self, plan: Plan) -> None:
        self.name = plan.name
        self.path = plan.path
        self.observability = plan.observability
        self._plan = plan
        self._tracer = Observed()
        self._lock = threading.Lock()
        self._running = 0
        self._undo: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}: {', '.join(self._plan.nodes)}>"

    @property
    def file(self) -> str | None:
        """The absolute path of its file, or None for a flow given as a dict."""
        return None if self.path is None else str(Path(self.path).resolve())

    @property
    def sha256(self) -> str | None:
        """The digest of its file, or of the content that it was given as."""
        return self._plan.sha256

    @property
    def nodes(self) -> list[str]:
        """The names of the top-level nodes, in file order."""
        return list(self._plan.nodes)

    def unreached(self) -> list[str]:
        """Return the top-level nodes that nothing leads to, in file order; ``run`` ignores them."""
        return unreached(self._plan)

    def run(self, state: Mapping[str, Any] | None = None, *, answers: Answers | None = None) -> dict[str, Any]:
        """Run the flow.

        Args:
            state: The initial state, merged over the flow's ``initial_state``; the mapping itself is not changed.
            answers: Asked for the result of each action and ``run`` node, in place of calling it. Default None: all are called.

        Returns:
            The final state, with the run's id under ``flow_id`` and ``_observability.flow_id``.

        Raises:
            FlowRunError: A template, a condition or the route through the flow failed; the message names the step.
            Exception: A node's own exception, unchanged, unless its ``on_error`` handled it.
            ReplayStopped: The answers stopped the run.
            ConfigurationError: A run with answers is not observed.
        """
        if state is not None and not isinstance(state, Mapping):
            raise TypeError(f"state is {state!r}; it must be a mapping (key: value)")
        with self._observation(state or {}, answers) as (tracer, flow_id):
            ids = {"flow_id": flow_id, "_observability": {"flow_id": flow_id, "enabled": tracer is not SILENT}}
            if answers is None:
                return run_plan(self._plan, {**(state or {}), **ids}, Run(tracer, self, run_plan))
            if tracer is SILENT:
                problem = "is not observed, and answers are found by the entries of calls"
                raise ConfigurationError(f"the flow {self.name!r} {problem}; call configure(), or give it an observability block")
            asked = Asking(answers)
            try:
                return run_plan(self._plan, {**(state or {}), **ids}, Run(tracer, self, run_plan, asked=asked))
            finally:
                asked.check()  # code of the flow may have swallowed what stopped it

    @contextmanager
    def _observation(self, state: Mapping[str, Any], answers: Answers | None) -> Iterator[tuple[Tracer, str]]:
        """Yield the tracer of one run and its flow id."""
        from ..configuration.config import is_configured

        block = self.observability
        if block is None and is_configured():
            with self._observed(state, answers) as flow_id:
                yield self._tracer, flow_id
        elif block is not None and block.get("enabled", True):
            with self._configured(block), self._observed(state, answers, scope=self) as flow_id:
                yield self._tracer, flow_id
        else:
            # The flow is not observed, but known: while it runs, its log is empty.
            known = FlowState(new_flow_id(), self.name)
            flows_known.add(known)
            try:
                yield SILENT, known.id
            finally:
                known.ended = True

    @contextmanager
    def _observed(self, state: Mapping[str, Any], answers: Answers | None, scope: object = None) -> Iterator[str]:
        """Open an observed run, whose log begins with its input and the identity of the flow; yield its id."""
        from ..instrumentation.flow_context import flow

        context = flow(self.name, scope=scope)
        plan = self._plan
        given = {key: value for key, value in {**plan.initial_state, **state}.items() if key not in RUN_KEYS}
        context.learn_secrets({**given, "variables": plan.variables, "settings": plan.settings})
        context.about = {"input": given, "flow": {"path": self.file, "sha256": plan.sha256}}
        if answers is not None:
            learn(context.context.flow, answers.secrets, is_certain=True)
            context.about |= {} if answers.replay_of is None else {"replay_of": answers.replay_of}
        with context:
            yield context.flow_id

    @contextmanager
    def _configured(self, block: Mapping[str, Any]) -> Iterator[None]:
        """Keep the block's handlers installed while at least one run of this flow lasts."""
        from ..configuration.config import configure

        with self._lock:
            if self._running == 0:
                self._undo = configure(dict(block), scope=self)
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0 and self._undo is not None:
                    self._undo()
                    self._undo = None


def load(
    path_or_dict: str | Path | Mapping[str, Any],
    actions: Mapping[str, Callable[..., Any]] | None = None,
    *,
    allow_code: bool = True,
) -> Flow:
    """Load a flow and check all of it.

    Args:
        path_or_dict: A YAML file, or the content of such a file.
        actions: Actions by name, ``fn(state, **params)``; they replace or extend the builtin and imported ones.
        allow_code: False refuses flows that bring their own code (``run`` nodes, ``imports``, callbacks of the
            ``observability`` block) or read environment variables (``env``), so that nothing they name is imported or run.

    Raises:
        FlowFileError: There is a mistake in it; the message has file and line, what is wrong and what is allowed.
    """
    # Imported here: importing this module alone does not need the actions.
    from ..actions import builtin_registry

    return Flow(load_plan(path_or_dict, Loading(builtin_registry(), dict(actions or {}), allow_code)))
