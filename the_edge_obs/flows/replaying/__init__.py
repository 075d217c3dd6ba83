"""Replay: a flow runs again from its log, with the recorded answers of its actions."""

from .deciding import Asked, RecordedAnswers
from .running import Report, check_state, check_steps, problems, recorded_answers, replay
from .stopping import Stop, described

__all__ = [
    "Asked",
    "RecordedAnswers",
    "Report",
    "Stop",
    "check_state",
    "check_steps",
    "described",
    "problems",
    "recorded_answers",
    "replay",
]
