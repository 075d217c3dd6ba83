"""Actions: the engine's registry, observed in place, and the ``obs.*`` actions in the shapes that its agents expect."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from ... import ObservabilityError, current, instrument, observable, use_span
from ...actions import obs
from ._runs import KEY, run_of

if TYPE_CHECKING:
    from ...flows import Answers

_MARK: Final = "__observed__"
_ENGINE_ARGUMENTS: Final = ("config", "graph", "parallel_results")


class Step(str):
    """The name of a step that its node hands to the action, and what happened there.

    Attributes:
        outer: What the engine hands over as ``node``, and the action sees.
        error: What came out of the action, or None.
    """

    __slots__ = ("error", "outer")

    outer: Any
    error: BaseException | None


class Ended(dict[str, Any]):
    """The output of an action that ended the run by raising: ``http.respond`` has no other way to return."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        super().__init__(status=getattr(error, "status", None), body=getattr(error, "body", None))
        self.error = error


def is_response(error: BaseException) -> bool:
    """Tell whether an exception is the engine's HTTPResponse, which ends a run and does not fail it."""
    return type(error).__name__ == "HTTPResponse" and hasattr(error, "status")


def observe_actions(registry: MutableMapping[str, Any], answers: Answers | None = None) -> Callable[[], None]:
    """Observe every action of a registry in place, and return the undo.

    Args:
        registry: The engine's.
        answers: Asked in place of the actions, or None.
    """
    # Of several names of an action, its node has the one without "actions.".
    names = sorted(
        (name for name, fn in registry.items() if _can_be_observed(name, fn)), key=lambda name: (_is_alias(name), name)
    )
    made: dict[int, Any] = {}
    theirs = {name: registry[name] for name in names}
    for name, fn in theirs.items():
        if id(fn) not in made:
            made[id(fn)] = _observed(name, fn, None if _has_no_answer(name) else answers)
    ours = {name: made[id(fn)] for name, fn in theirs.items()}
    registry.update(ours)

    def undo() -> None:
        for name, wrapper in ours.items():
            if registry.get(name) is wrapper:
                registry[name] = theirs[name]

    return undo


def _can_be_observed(name: Any, fn: Any) -> bool:
    """Tell whether an action can have a span: a function whose name can be a logger's, and that is not one of ours."""
    is_name = isinstance(name, str) and name.split() == [name] and bool(name.strip(".")) and len(name) <= 256
    return is_name and callable(fn) and not isinstance(fn, type) and not hasattr(fn, "__in_its_place__")


def _has_no_answer(name: str) -> bool:
    """Tell whether an action is always called: it reads the log of the run itself, or ends it."""
    name = name.removeprefix("actions.").replace("_", ".", 1)
    return name.startswith("obs.") or name == "http.respond"


def _is_alias(name: str) -> bool:
    return name.startswith("actions.")


def _observed(name: str, fn: Callable[..., Any], answers: Answers | None) -> Callable[..., Any]:
    """Return what the registry holds in place of an action; one that is observed already gets no second span."""
    inner = _inner(fn)
    if answers is not None:
        answered = {name: inner}
        instrument(answered, answers=answers)
        return _outer(answered[name], fn)
    return _outer(inner if hasattr(inner, _MARK) else observable(name)(inner), fn)


def _inner(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is observed: the action, which sees the node that the engine named, and returns where it would end the run."""

    @functools.wraps(fn)
    def action(*args: Any, **kwargs: Any) -> Any:
        if type(step := kwargs.get("node")) is Step:
            kwargs["node"] = step.outer
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            if is_response(error):
                return Ended(error)
            raise

    return action


def _outer(observed: Callable[..., Any], fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return what the registry holds: the observed action, in the run that its state names where a thread was started bare."""

    @functools.wraps(fn)
    def action(*args: Any, **kwargs: Any) -> Any:
        step = kwargs.get("node")
        try:
            if type(step) is Step or current() is not None:
                result = observed(*args, **kwargs)
            else:
                state = kwargs.get("state", args[0] if args else None)
                with use_span(run_of(kwargs.get("config"), state)[1]):
                    result = observed(*args, **kwargs)
            if type(result) is Ended:
                raise result.error
        except BaseException as error:
            if type(step) is Step:
                step.error = error
            raise
        return result

    setattr(action, _MARK, fn)
    action.__in_its_place__ = True  # type: ignore[attr-defined]
    return action


# --- obs.* ------------------------------------------------------------------------------------------------------------


def put(registry: MutableMapping[str, Any], actions: Mapping[str, Any]) -> Callable[[], None]:
    """Put actions into a registry, and return the undo."""
    before = {name: registry[name] for name in actions if name in registry}
    registry.update(actions)

    def undo() -> None:
        for name, fn in actions.items():
            if registry.get(name) is fn:
                del registry[name]
                registry.update({name: before[name]} if name in before else {})

    return undo


def engine_actions() -> dict[str, Callable[..., Any]]:
    """Return the ``obs.*`` actions that the engine has as well."""
    return _named(
        {
            "obs.get_flow_log": _adapted(obs.obs_get_flow_log, lambda log: {"success": True, "flow_log": log}),
            "obs.query_events": _adapted(obs.obs_query, lambda events: {"success": True, "events": events, "count": len(events)}),
            "obs.log_event": _adapted(_log_event),
        }
    )


def own_actions() -> dict[str, Callable[..., Any]]:
    """Return the ``obs.*`` actions that the engine does not have."""
    return _named({"obs.query": _adapted(obs.obs_query), "obs.export": _adapted(obs.obs_export)})


def _named(actions: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {**actions, **{"actions." + name.replace(".", "_"): fn for name, fn in actions.items()}}


def _adapted(fn: Callable[..., Any], shape: Callable[[Any], Any] = lambda result: result) -> Callable[..., Any]:
    """Return an action without the engine's own arguments, whose errors are soft failures as the engine's are."""

    @functools.wraps(fn)
    def action(state: Any = None, **params: Any) -> Any:
        for key in _ENGINE_ARGUMENTS if fn is _log_event else (*_ENGINE_ARGUMENTS, "node"):
            params.pop(key, None)
        meta = state.get(KEY) if isinstance(state, Mapping) else None
        known = {"flow_id": meta["flow_id"]} if isinstance(meta, Mapping) and meta.get("flow_id") else {}
        try:
            return shape(fn(known, **params))
        except (ObservabilityError, TypeError) as error:
            return {"success": False, "error": str(error), "error_type": type(error).__name__}

    return action


def _log_event(state: Any, *, node: str | None = None, event_type: str = "metric", **params: Any) -> Any:
    """Add an event to the running flow's log, by default a metric as in the engine; blanks in the node's name become ``_``."""
    name = None if node is None else "_".join(str(node).split()) or None
    return obs.obs_log_event(state, node=name, event_type=event_type, **params)
