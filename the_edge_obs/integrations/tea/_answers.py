"""Answers in place of the engine's actions: asked inside the span of each call, and remembered where they stop a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ... import configure

if TYPE_CHECKING:
    from ...flows import Answers, Real


class Remembering:
    """The answers of one run. The engine may take what stops the run for the failure of a node, so that is kept.

    Attributes:
        stop: What stopped the run, or None.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.stop: BaseException | None = None

    @property
    def replay_of(self) -> str | None:
        """The flow whose recording this is, or None."""
        return self._answers.replay_of

    @property
    def secrets(self) -> Sequence[str | bytes | int]:
        """What the log of the run must never show."""
        return self._answers.secrets

    def call(self, name: str, params: Mapping[str, Any], state: Any, real: Real) -> Any:
        """Return what the answers return.

        Raises:
            ReplayStopped: They stop the run.
        """
        from ...flows import ReplayStopped

        try:
            return self._answers.call(name, params, state, real)
        except ReplayStopped as stop:
            self.stop = self.stop or stop
            raise

    def check(self) -> None:
        """Raise what stopped the run, if anything did."""
        if self.stop is not None:
            raise self.stop

    def listening(self, scope: object) -> Callable[[], None]:
        """Hand the events of runs to answers that find calls by their entries, and return the undo."""
        take = getattr(self._answers, "take", None)
        if take is None:
            return lambda: None
        return configure({"handlers": [{"type": "callback", "callback": lambda event: take(event)}]}, scope=scope)
