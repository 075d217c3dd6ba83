"""YAML flows: load one, run it."""

from .runner import Flow, load

__all__ = ["Flow", "load"]
