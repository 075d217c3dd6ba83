"""The command line, ``tea-obs``.

Each command is a module with the command's name: it parses, calls and prints. The modules that serve the commands begin with an
underscore: the program around them, where they read, how they print.
"""

from ._program import main

__all__ = ["main"]
