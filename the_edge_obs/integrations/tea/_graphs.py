"""The entries of a graph, wrapped on the instance: each run through one of them is a flow, or a span of the flow around it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Protocol

from ... import start_span, use_span
from ._answers import Remembering
from ._runs import KEY, Run, RunConfig, is_running

Events = Generator[Any, Any, Any]

# Per branch of parallel edges: with retries and circuit breakers, and after a resume without them.
_BRANCHES: Final = (
    "_execute_flow_with_reliability",
    "_stream_parallel_flow_with_reliability",
    "_execute_flow",
    "_stream_parallel_flow",
)


_MARK: Final = "__tea_obs__"


class Setup(Protocol):
    """What a run needs to know of its engine."""

    is_on: bool
    scope: object
    answers: Remembering | None

    def begun(self, run: Run) -> None:
        """Take notice of a new run."""

    def secrets(self) -> Any:
        """Return the secrets that the engine knows."""


def observe_graph(graph: Any, name: str, setup: Setup) -> None:
    """Wrap the entries of a graph."""
    wrappers = {
        "invoke": _started,
        "stream": _started,
        "resume_from_checkpoint": _resumed,
        "_stream_from_checkpoint": _resumed,
        "execute_scoped": _scoped,
        **dict.fromkeys(_BRANCHES, _branch),
    }
    for entry, wrapper in wrappers.items():
        if (inner := getattr(graph, entry, None)) is not None and not hasattr(inner, _MARK):
            ours = wrapper(graph, inner, name, setup)
            setattr(ours, _MARK, True)
            setattr(graph, entry, ours)


def restore_graph(graph: Any) -> None:
    """Take the wrappers off the entries of a graph."""
    for entry, value in list(vars(graph).items()):
        if hasattr(value, _MARK):
            delattr(graph, entry)


def _started(graph: Any, inner: Callable[..., Events], name: str, setup: Setup) -> Callable[..., Events]:
    @functools.wraps(inner)
    def observed(input_state: Any = None, config: Any = None, checkpoint: Any = None) -> Events:
        if not setup.is_on or is_running(graph) or not (input_state is None or isinstance(input_state, dict)):
            return (yield from inner(input_state, config, checkpoint))
        run = _run(graph, name, setup, input_state, None if checkpoint is None else _saved(graph, checkpoint))
        if input_state is not None or checkpoint is not None:  # otherwise the engine says what is missing
            input_state = run.state(input_state or {})
        return (yield from _steps(run, inner(input_state, run.config(config), checkpoint)))

    return observed


def _resumed(graph: Any, inner: Callable[..., Events], name: str, setup: Setup) -> Callable[..., Events]:
    @functools.wraps(inner)
    def observed(checkpoint_id: Any, config: Any = None, state_update: Any = None) -> Events:
        if not setup.is_on or is_running(graph):
            return (yield from inner(checkpoint_id, config, state_update))
        run = _run(graph, name, setup, state_update, _saved(graph, checkpoint_id))
        return (yield from _steps(run, inner(checkpoint_id, run.config(config), run.state(state_update or {}))))

    return observed


def _scoped(graph: Any, inner: Callable[..., Any], name: str, setup: Setup) -> Callable[..., Any]:
    """Wrap the run of a part of a graph: a branch that another machine was sent goes on in the flow that its state names."""

    @functools.wraps(inner)
    def observed(initial_state: Any, *args: Any, **kwargs: Any) -> Any:
        if not setup.is_on or not isinstance(initial_state, dict):
            return inner(initial_state, *args, **kwargs)
        run = _run(graph, name, setup, initial_state, initial_state.get(KEY))
        try:
            with use_span(run.place):
                result = inner(run.state(initial_state), *args, **kwargs)
        except BaseException as error:
            run.end(error)
            raise
        run.check()
        problem = result.get("_scoped_error") if isinstance(result, Mapping) else None
        run.end(None if problem is None else run.error_of(problem.get("error") if isinstance(problem, Mapping) else problem))
        return result

    return observed


def _run(graph: Any, name: str, setup: Setup, state: Any, meta: Any) -> Run:
    run = Run(graph, name, setup.scope, state, meta, setup.secrets(), setup.answers)
    setup.begun(run)
    return run


def _saved(graph: Any, checkpoint: Any) -> Any:
    """Return what a checkpoint knows of its run: a resume goes on in the same flow, below its root."""
    try:
        load = graph.load_checkpoint if graph.checkpointer is None else graph.checkpointer.load
        return load(checkpoint)["state"].get(KEY)
    except Exception:  # noqa: BLE001 - the engine itself reports a checkpoint that cannot be read
        return None


_DONE: Final = object()


def _steps(run: Run, events: Events) -> Events:
    """Hand on the events of a run; it is the current span only while it computes, not in the code that consumes the events."""
    advance: Callable[[], Any] = functools.partial(next, events, _DONE)
    try:
        while True:
            with use_span(run.place):
                event = advance()
            if event is _DONE:
                run.check()
                return run.end()
            run.see(event)
            try:
                advance = functools.partial(_sent, events, (yield event))
            except GeneratorExit:
                with use_span(run.place):
                    events.close()
                raise
            except BaseException as error:  # noqa: BLE001 - the engine gets it, and raises it again
                advance = functools.partial(events.throw, error)
    except BaseException as error:
        run.end(error)
        raise


def _sent(events: Events, answer: Any) -> Any:
    try:
        return events.send(answer)
    except StopIteration:
        return _DONE


def _branch(graph: Any, inner: Callable[..., Any], name: str, setup: Setup) -> Callable[..., Any]:
    """Wrap the walk along one of several parallel edges, which runs in a thread of its own."""

    @functools.wraps(inner)
    def observed(start: Any, state: Any, config: Any, fan_in: Any, *rest: Any) -> Any:
        if not setup.is_on or type(config) is not RunConfig or config.branch == start:
            return inner(start, state, config, fan_in, *rest)
        run, place = config.run, config.place
        queue = _Watched(rest[0]) if rest and hasattr(rest[0], "put") else None
        span = start_span("parallel.branch", {"branch": start}, place)
        config = RunConfig(config, run, span.context or place, start)
        try:
            with use_span(config.place):
                result = inner(start, state, config, fan_in, *([queue, *rest[1:]] if queue else rest))
        except BaseException as error:
            span.end(error=error)
            raise
        problem = queue.problem if queue else _problem_of(result)
        span.end(error=None if problem is None else run.error_of(problem))
        return result

    return observed


class _Watched:
    """The queue of a streamed branch, which alone hears of the branch's failure."""

    def __init__(self, queue: Any) -> None:
        self._queue, self.problem = queue, None

    def put(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """Put an event into the queue."""
        if isinstance(event, Mapping) and event.get("type") in ("parallel_error", "branch_complete") and event.get("error"):
            self.problem = self.problem or event["error"]
        self._queue.put(event, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def _problem_of(result: Any) -> Any:
    """Return the error in the result of a branch, or None: the engine returns it instead of raising it."""
    if isinstance(result, Mapping):
        return result.get("error") if result.get("type") == "error" else None
    return getattr(result, "error", None) if getattr(result, "success", True) is False else None
