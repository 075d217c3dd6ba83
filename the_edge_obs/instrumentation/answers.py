"""Answers in place of calls: a run asks them before each action, and they return what was recorded, call it, or stop the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..context import CURRENT, Place
from ..recording.callables import kind_of, way_of
from ..recording.records import NOTHING
from ..secrets.keys import KEY_CLASSES, KeyClasses
from .later import hand_on
from .span_events import OpenSpan
from .wrappers import WRAPPERS, ObservedNode


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer. The span of the call is marked ``answered``, so its tokens and costs count in no total.

    Attributes:
        output: What the action returned. Default None.
        error: What it raised, or None.
        metrics: Numbers of the span's end, or None.
    """

    output: Any = None
    error: BaseException | None = None
    metrics: Mapping[str, Any] | None = None

    def given(self) -> Any:
        """Return the output, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.output


@dataclass(frozen=True, slots=True)
class Real:
    """The call that an answer stands for: calling this object makes it.

    Attributes:
        function: The action, or None for inline code.
        is_logged: Whether the call has a span. If its level is filtered, the current span is one around it.
        classes: Which keys of its input are secret.
    """

    function: Callable[..., Any] | None
    _call: Callable[[], Any]
    is_logged: bool = True
    classes: KeyClasses = KEY_CLASSES

    def __call__(self) -> Any:
        """Make the call, and return its result."""
        return self._call()


class ReplayStopped(BaseException):
    """Raised by ``Answers.call`` to end the run.

    It is not an ``Exception``: the ``on_error`` of a flow must not take it for a failure of the node.
    """

    def __init__(self, *args: object) -> None:  # which ``inspect.signature`` finds; that of ``BaseException`` has none
        super().__init__(*args)


class Answers(Protocol):
    """Answers the calls of a run. Several threads may ask at once."""

    @property
    def replay_of(self) -> str | None:
        """The flow whose recording this is; None if it is not the recording of one flow."""

    @property
    def secrets(self) -> Sequence[str | bytes | int]:
        """Secrets that the answers or the initial state hold, and that the log of the run must never show."""

    def call(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Any:
        """Return an ``Answer``, or call ``real`` and return its result.

        It is called inside the span of the call, whose entry is logged already; see ``Real.is_logged``.

        Args:
            name: The name of the action in the registry; ``python.run`` for inline code.
            params: What the action is given, without the state.
            state: The state of the flow.
            real: Makes the call.

        Raises:
            ReplayStopped: The call is neither answered nor made. The run ends, and this is raised at its end in any case.
        """


@dataclass(slots=True)
class Asking:
    """The answers of one run, and whether they stopped it.

    Attributes:
        answers: The answers.
        real_calls: How many actions were called after all.
        stop: What stopped the run, or None.
    """

    answers: Answers
    real_calls: int = 0
    stop: ReplayStopped | None = None

    def ask(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Any:
        """Return an ``Answer``, or the result of the real call.

        Raises:
            ReplayStopped: The run was stopped, now or before. Code that swallows it gets it again at its next call.
        """
        self.check()

        def make() -> Any:
            self.real_calls += real.function is not None
            return real()

        try:
            return self.answers.call(name, params, state, replace(real, _call=make))
        except ReplayStopped as stop:
            self.stop = self.stop or stop
            raise

    def check(self) -> None:
        """Raise what stopped the run, if anything did."""
        if self.stop is not None:
            raise self.stop


def asking(fn: Any, node: ObservedNode, name: str, asked: Asking) -> Callable[..., Any]:
    """Return a function that logs its calls as another does, and asks for an answer inside the span of each.

    Args:
        fn: The other function, which is not observed.
        node: Its node.
        name: Its name in the registry.
        asked: Answers the calls.
    """
    is_async = kind_of(fn) in ("coroutine", "iterable_coroutine")

    def observed(*args: Any, **kwargs: Any) -> Any:
        opened = node.open(args, kwargs) if node.logger.isEnabledFor(node.level) else None
        token = None if opened is None else CURRENT.set(opened.context)
        try:
            params, state = _params(node, args, kwargs), node.capture.state_of(args, kwargs)
            real = Real(fn, lambda: fn(*args, **kwargs), opened is not None, node.classes)
            got = asked.ask(name, params, state, real)
        except BaseException as error:
            _end(node, token, opened, kwargs, NOTHING, error)
            raise
        if type(got) is Answer:
            if got.error is None:
                _end(node, token, opened, kwargs, got.output, None, got)
                return _later(got) if is_async else got.output
            try:
                raise got.error
            except BaseException as error:
                _end(node, token, opened, kwargs, NOTHING, error, got)
                raise
        if (way := way_of(got)) is None:
            _end(node, token, opened, kwargs, got, None)
            return got
        if token is not None:
            CURRENT.reset(token)
        return hand_on(got, way, node, opened, WRAPPERS)

    return observed


def _end(
    node: ObservedNode,
    token: Token[Place | None] | None,
    opened: OpenSpan | None,
    kwargs: dict[str, Any],
    output: Any,
    error: BaseException | None,
    answer: Answer | None = None,
) -> None:
    """Log the end of a call, and make the span before it current again."""
    if opened is None or token is None:
        node.report(kwargs, error, output)
        return
    CURRENT.reset(token)
    if answer is None:
        opened.close(output, error)
    else:
        opened.close(output, error, dict(answer.metrics or {}), {"answered": True})


async def _later(answer: Answer) -> Any:
    return answer.output


def _params(node: ObservedNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    given = node.capture(args, kwargs)
    return given if isinstance(given, Mapping) else {"params": given}
