"""Hooks around a fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from the_edge_obs.forks import at_fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_hooks_run_on_their_side_of_a_fork() -> None:
    """Each hook runs once: before the fork, in the parent and in the child."""
    code = """
import os
from the_edge_obs.forks import at_fork
seen = []
at_fork(before=lambda: seen.append("before"), after_in_parent=lambda: seen.append("parent"))
at_fork(after_in_child=lambda: seen.append("child"))
if (child := os.fork()) == 0:
    os._exit(seen != ["before", "child"])
_, status = os.waitpid(child, 0)
assert status == 0 and seen == ["before", "parent"], (status, seen)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_system_without_forks_has_no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is nothing to register, and nothing fails."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    at_fork(after_in_child=lambda: None)
