"""The command line, ``tea-obs``: one module a command; each parses, calls and prints."""

from .program import main

__all__ = ["main"]
