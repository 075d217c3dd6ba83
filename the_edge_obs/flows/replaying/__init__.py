"""Replay: a flow runs again from its log, with the recorded answers of its actions."""

from .deciding import Asked, RecordedAnswers
from .running import Report, problems, recorded_answers, replay
from .stopping import Stop, described

__all__ = ["Asked", "RecordedAnswers", "Report", "Stop", "described", "problems", "recorded_answers", "replay"]
