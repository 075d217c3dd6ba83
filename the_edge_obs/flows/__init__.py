"""YAML flows: load one, run it."""

from ..instrumentation.answers import Answer, Answers, Real, ReplayStopped
from .runner import Flow, load

__all__ = ["Answer", "Answers", "Flow", "Real", "ReplayStopped", "load"]
