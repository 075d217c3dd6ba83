"""Nodes: what the engine builds from a node of the YAML, with a span around it.

The engine asks for the signature of a node at each run. Nothing here uses ``functools.wraps``, because following ``__wrapped__``
takes longer than logging the node. A node brings its signature with it, because working it out takes longer too: about 5 µs of
the engine's own time, which an observed node saves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from ... import ConfigurationError, current, observable, span, start_span, use_span
from ._actions import Ended, Step, is_response
from ._runs import KEY, RunConfig, run_of

Function: TypeAlias = Callable[..., Any]
Given: TypeAlias = Callable[[Any], dict[str, Any]]

# The engine chooses the language of inline code itself, partly by looking at the code; its function bears the choice in its name.
_LANGUAGES: Final = {"run_lua": "lua.run", "run_prolog": "prolog.run"}


class Setup(Protocol):
    """What a node needs to know of its engine."""

    is_on: bool


def _with_signature(node: Function) -> Function:
    """Return the function of a node with its signature, where ``inspect.signature`` looks first."""
    node.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return node


_SIGNATURE: Final = inspect.signature(lambda state, **kwargs: None)


def observed_node(run: Function, config: Mapping[str, Any], setup: Setup) -> Function:
    """Return the function of a node with a body: ``uses`` is one span, that of the action; any other body has its own."""
    step = config.get("name")
    if "steps" in config and not ({"run", "script", "uses"} & config.keys()):
        return around("steps", run, step, setup)
    if "uses" in config and not ({"run", "script"} & config.keys()):
        return _uses(run, str(config["uses"]), step, setup)
    return _code(run, step, setup)


def _code(run: Function, step: Any, setup: Setup) -> Function:
    call = _call_of(_LANGUAGES.get(getattr(run, "__name__", ""), "python.run"))

    @_with_signature
    def node(state: Any, **kwargs: Any) -> Any:
        own, place = run_of(kwargs.get("config"), state)
        if own is None or not setup.is_on:
            return run(state, **kwargs)
        if current() is None:
            with use_span(place):
                return node(state, **kwargs)
        try:
            result = call(state, (run, kwargs), node=step or kwargs.get("node"))
        except Exception as error:
            own.failed(error)
            raise
        if type(result) is Ended:
            raise result.error
        return result

    return node


@functools.lru_cache(maxsize=8)
def _call_of(kind: str) -> Function:
    @observable(kind)
    def call(state: Any, ctx: Any, node: Any = None) -> Any:
        run, kwargs = ctx  # arguments of this name are not captured
        try:
            return run(state, **kwargs)
        except Exception as error:
            if is_response(error):
                return Ended(error)
            raise

    return call


def _uses(run: Function, uses: str, step: Any, setup: Setup) -> Function:
    @_with_signature
    def node(state: Any, **kwargs: Any) -> Any:
        own, place = run_of(kwargs.get("config"), state)
        if own is None or not setup.is_on:
            return run(state, **kwargs)
        if current() is None:
            with use_span(place):
                return node(state, **kwargs)
        name = kwargs.get("node")
        call = kwargs["node"] = Step(step if isinstance(step, str) else name or "")
        call.outer, call.error = name, None
        try:
            return run(state, **kwargs)
        except Exception as error:
            own.failed(error)
            if error is not call.error:
                _report(uses, step, error)
            raise

    return node


def _report(uses: str, step: Any, error: Exception) -> None:
    """Log an error that the action has not seen: a template, an unknown name, the output."""
    try:
        failed = start_span(uses, step=step)
    except ConfigurationError:  # the name cannot be a logger's
        failed = start_span("action", {"uses": uses}, step=step)
    failed.end(error=error)


def around(kind: str, run: Function, step: Any, setup: Setup, given: Given = lambda state: {}) -> Function:
    """Return a function of the engine with a span around what runs in it.

    Args:
        kind: The node's name: ``steps``, ``loop``, ``parallel``, ``parallel.branch``.
        run: The engine's function.
        step: The YAML's name for the node, or None.
        setup: The engine.
        given: Returns the input of the span, from the state.
    """

    @_with_signature
    def node(state: Any, **kwargs: Any) -> Any:
        own, place = run_of(kwargs.get("config"), state)
        if own is None or not setup.is_on:
            return run(state, **kwargs)
        if current() is None:
            with use_span(place):
                return node(state, **kwargs)
        ended: Exception | None = None
        with span(kind, step=step, **given(state)) as frame:
            if kind == "parallel":
                kwargs["config"] = RunConfig(kwargs.get("config") or {}, own, current())
            try:
                result = run(state, **kwargs)
            except Exception as error:
                own.failed(error)
                if not is_response(error):
                    raise
                ended, result = error, Ended(error)
            frame.output = result if ended is not None else _summary(state, result)
        if ended is not None:
            raise ended
        return result

    return node


def _summary(state: Any, result: Any) -> Any:
    """Return what is logged of the result of nested nodes: what they changed, and of branches how many there were."""
    if not isinstance(result, dict) or not isinstance(state, Mapping):
        return result
    changed = {key: value for key, value in result.items() if key != KEY and (key not in state or state[key] is not value)}
    branches = changed.get("parallel_results")
    if changed.keys() == {"parallel_results"} and isinstance(branches, list):
        return {"branches": len(branches), "failed": sum(getattr(branch, "success", True) is False for branch in branches)}
    return changed


def item_of(item: str, index: str) -> Given:
    """Return a function that returns the input of a branch from its state: the item, and its position."""
    return lambda state: {"index": state.get(index), "item": state.get(item)}


def combination_of(state: Any) -> dict[str, Any]:
    """Return the input of a branch of a matrix from its state."""
    return {"matrix": state.get("matrix")}
