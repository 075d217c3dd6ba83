"""Runs: one flow for each run of a graph, or one span where the run is part of a flow, and how branches find their way back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ... import ObservabilityContext, current, extract, flow, inject, start_span, taint, use_span
from ...event import ROOT_NODE
from ._answers import Remembering

KEY: Final = "_observability"
"""The engine's own key of the state for the run's id."""

_MAX_FAILURES: Final = 64
_SHORTEST_SECRET: Final = 8  # a shorter value, such as `true`, would be taken out of every text

_live: dict[object, Run] = {}  # by flow id, and by the number of the run's span


class RunError(Exception):
    """The type of the error of a run or branch of which the engine reports only a text."""


class RunConfig(dict[str, Any]):
    """The config that the engine hands from a node to its branches by reference, with the run and the place they belong to."""

    __slots__ = ("branch", "place", "run")

    def __init__(self, values: Mapping[str, Any], run: Run, place: Any, branch: object = None) -> None:
        super().__init__(values)
        self.run, self.place, self.branch = run, place, branch

    def copy(self) -> RunConfig:
        """Return a copy that belongs to the same run."""
        return RunConfig(self, self.run, self.place, self.branch)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a checkpoint holds plain data


class Run:
    """A run that is going on: a flow, or inside a flow a span named ``graph``.

    Attributes:
        graph: The graph that runs.
        place: The context of the flow or span.
        flow_id: The flow.
    """

    def __init__(
        self, graph: Any, name: str, scope: object, state: Any, meta: Any, secrets: Any, answers: Remembering | None = None
    ) -> None:
        self.graph, self._answers = graph, answers
        self._failures: dict[str, BaseException] = {}
        self._is_over = False
        given = {key: value for key, value in state.items() if key != KEY} if isinstance(state, Mapping) else {}
        outer = current()
        self._frame: Any
        if outer is None:
            parent = extract(meta) if isinstance(meta, Mapping) and isinstance(meta.get("traceparent"), str) else None
            self._frame = flow(name, parent=parent, scope=scope)
            self._protect(given, secrets)
            self._frame.about = {"input": given}
            if answers is not None and answers.replay_of is not None:
                self._frame.about["replay_of"] = answers.replay_of
            self._frame.begin()
        else:
            self._frame = start_span("graph", input={"name": name, "state": given})
        context: Any = self._frame.context
        self.place: Any = outer if context is None else context
        place: Any = self.place
        self.flow_id: str = place.flow.id
        self._keys = [key for key in (self.flow_id, place.number) if _live.setdefault(key, self) is self]

    def _protect(self, given: dict[str, Any], secrets: Any) -> None:
        """Learn the secrets that the engine and the state know, before anything is logged."""
        if given or secrets:
            self._frame.learn_secrets({"state": given, "secrets": secrets})
        if texts := _texts(secrets):
            with use_span(self._frame.context):
                taint(texts)

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return a state that names this run: a checkpoint, a remote branch and a bare thread find it there."""
        before = state.get(KEY)
        with use_span(self.place):
            headers = inject({})
        try:
            named = dict(state) if type(state) is dict else copy.copy(state)
        except Exception:  # noqa: BLE001 - a class that cannot be copied: observability never breaks the observed code
            return state
        named[KEY] = {**(before if isinstance(before, dict) else {}), "enabled": True, "flow_id": self.flow_id, **headers}
        return named

    def config(self, values: Mapping[str, Any] | None) -> RunConfig:
        """Return the config of a run that carries it to the nodes."""
        return RunConfig(values or {}, self, self.place)

    def failed(self, error: BaseException) -> None:
        """Remember what a node raised: the engine passes on only its text."""
        if len(self._failures) < _MAX_FAILURES:
            with suppress(Exception):  # a foreign __str__
                self._failures[str(error)] = error

    def error_of(self, text: object) -> BaseException:
        """Return what a node raised with a text, or an error with that text."""
        return self._failures.get(str(text)) or RunError(str(text))

    def check(self) -> None:
        """Raise what stopped the run, if its answers did: the engine may have taken that for the failure of a node.

        Raises:
            ReplayStopped: They did.
        """
        if self._answers is not None:
            try:
                self._answers.check()
            except BaseException as stop:
                self.end(stop)
                raise

    def see(self, event: Any) -> None:
        """End the run before its last event is handed on: the engine's command line stops listening there."""
        self.check()
        kind = str(event.get("type")) if isinstance(event, Mapping) else ""
        if kind == "error":
            self.end(self.error_of(event.get("error")))
        elif kind == "validation_error":
            self.end(RunError(f"the initial state is not valid: {event.get('errors')}"))
        elif kind.startswith("interrupt"):
            self._note(event)
            self.end()
        elif kind in ("final", "http_response"):
            self.end()

    def _note(self, event: Mapping[str, Any]) -> None:
        message = f"interrupted at {event.get('node')!r}"
        about = {"node": event.get("node"), "checkpoint": event.get("checkpoint_path")}
        if isinstance(self._frame, ObservabilityContext):
            self._frame.log(ROOT_NODE, message=message, data=about)
        else:
            self._frame.log(message, **about)

    def end(self, error: BaseException | None = None) -> None:
        """End the flow or the span; a second call does nothing."""
        if self._is_over:
            return
        self._is_over = True
        for key in self._keys:
            if _live.get(key) is self:
                del _live[key]
        self._failures.clear()
        if isinstance(self._frame, ObservabilityContext):
            self._frame.close(error)
        else:
            self._frame.end(error=error)


def is_running(graph: Any) -> bool:
    """Tell whether the innermost span is the run of this graph: then the engine calls one of its entries from another."""
    place = current()
    run = None if place is None else _live.get(place.number)
    return run is not None and run.graph is graph


def run_of(config: Any, state: Any) -> tuple[Run | None, Any]:
    """Return the run that a node belongs to and its place there: from the config, otherwise from the state; or None twice."""
    if type(config) is RunConfig:
        return config.run, config.place
    meta = state.get(KEY) if isinstance(state, Mapping) else None
    flow_id = meta.get("flow_id") if isinstance(meta, Mapping) else None
    run = _live.get(flow_id) if isinstance(flow_id, str) else None
    return run, None if run is None else run.place


def _texts(value: Any) -> list[str]:
    """Return the texts in the engine's secrets that are long enough to be looked for."""
    if isinstance(value, str):
        return [value] if len(value) >= _SHORTEST_SECRET else []
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [text for item in items for text in _texts(item)]
