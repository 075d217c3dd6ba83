"""The builtin actions of a YAML flow: plain functions by name."""

from .registry import builtin_registry

__all__ = ["builtin_registry"]
