"""YAML flows: load one, run it, replay it from its log."""

from ..instrumentation.answers import Answer, Answers, Real, ReplayStopped
from .replaying import Asked, RecordedAnswers, Report, Stop, recorded_answers, replay
from .runner import Flow, load

__all__ = [
    "Answer", "Answers", "Asked", "Flow", "Real", "RecordedAnswers", "ReplayStopped", "Report", "Stop", "load",
    "recorded_answers", "replay",
]  # fmt: skip
