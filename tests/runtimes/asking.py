"""What the two runtimes are asked, and how their answers are compared."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "examples" / "observability" / "parity"
EXPECTED = FIXTURES.parent / "parity-expected"
FAILING = ("failed",)  # the fixture whose run fails

_SHOWN = 2_000  # characters of a case and of an answer that a failure shows


class Rust:
    """A process of ``tea-obs-rs vectors``, which answers one case after the other; it is started again if it ends.

    Args:
        program: The program.
        **environment: Variables that it gets in addition.
    """

    def __init__(self, program: Path, **environment: str) -> None:
        self.program = program
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, ask: str, **case: Any) -> Any:
        """Return the answer to a case; a refusal is a mapping whose key ``error`` says why.

        Raises:
            AssertionError: The process ended instead of answering.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.dumps({"ask": ask, **case}) + "\n"
        try:
            process.stdin.write(line.encode())
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            told = self._end().decode(errors="replace")[-_SHOWN:]
            raise AssertionError(f"tea-obs-rs ended at the case {line[:_SHOWN]}{told}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end()

    def _end(self) -> bytes:
        """End the process, and return what it said on stderr."""
        assert self._process is not None
        self._process.communicate()
        self._process = None
        self._errors.seek(0)
        told = self._errors.read()
        self._errors.close()
        return told

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process, and no pipe of it can fill up
            self._process = subprocess.Popen(
                [str(self.program), "vectors"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._environment,
            )
        return self._process


def difference(python: Any, rust: Any, path: str = "") -> str | None:
    """Return the first difference of two JSON values, or None; numbers are compared by value, and booleans are not numbers."""
    if isinstance(python, Mapping) and isinstance(rust, Mapping) and python.keys() == rust.keys():
        return next(filter(None, (difference(python[key], rust[key], f"{path}.{key}") for key in python)), None)
    if isinstance(python, list) and isinstance(rust, list) and len(python) == len(rust):
        pairs = enumerate(zip(python, rust, strict=True))
        return next(filter(None, (difference(*pair, f"{path}[{at}]") for at, pair in pairs)), None)
    if python == rust and isinstance(python, bool) == isinstance(rust, bool):
        return None
    return f"at {path or 'the top'}\n  Python: {_short(python)}\n  Rust:   {_short(rust)}"


def check_same(case: Any, python: Any, rust: Any) -> None:
    """Fail if two answers differ, and show the case and both answers."""
    found = difference(python, rust)
    if found is not None:
        whole = f"\nwhole answers\n  Python: {_short(python)}\n  Rust:   {_short(rust)}"
        raise AssertionError(
            f"the runtimes differ {found}\ncase\n  {_short(case)}{'' if found.startswith('at the top') else whole}"
        )


def refused(answer: Any) -> bool:
    """Tell whether an answer of the Rust runtime is a refusal."""
    return isinstance(answer, dict) and "error" in answer


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...[{len(text)} characters]"


def plain(value: Any) -> Any:
    """Return a JSON value as both runtimes write it: integers beyond 64 bits as texts (L21)."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if type(value) is int and abs(value) > 2**63 - 1 else value
