"""Hooks around ``os.fork``, on systems that have it."""

from __future__ import annotations

import os
from collections.abc import Callable


def at_fork(**hooks: Callable[[], object]) -> None:
    """Register ``before``, ``after_in_parent`` and ``after_in_child`` as ``os.register_at_fork`` does; elsewhere, do nothing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)
