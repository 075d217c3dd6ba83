"""A server of the Model Context Protocol over stdio, with which coding agents read a folder of logs: ``tea-obs mcp LOGDIR``."""

from .server import serve

__all__ = ["serve"]
