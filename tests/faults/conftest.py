"""What the tests of this folder share: real programs, run in processes of their own, that must end in time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# A program that hangs shows where, and dies.
_PREAMBLE = "import faulthandler; faulthandler.dump_traceback_later({seconds}, exit=True)\n"


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that writes a program to a file and runs it: with pipes, or to its end, which must be a good one."""

    def run(code: str, *args: object, wait: bool = True, seconds: int = 60) -> Any:
        path = tmp_path / "program.py"
        path.write_text(_PREAMBLE.format(seconds=seconds) + code, encoding="utf-8")
        command = [sys.executable, str(path), *map(str, args)]
        if not wait:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 10, check=False)
        assert done.returncode == 0, done.stderr
        return done

    return run
