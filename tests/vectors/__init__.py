"""Vectors: what the Python runtime answers to many small questions, for the test suites of other runtimes.

::

    python -m tests.vectors

writes ``examples/observability/vectors/*.json``; ``tests/test_vectors.py`` fails where a file is not current. Each file is
``{"version", "about", "cases"}`` in ASCII, and each case is an object with plain data on a line of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from . import flow_files, logs, numbers, redaction, selection, tables  # noqa: F401 - each registers its makers
from .registry import VERSION, content_of, names

__all__ = ["NAMES", "VECTORS", "VERSION", "content_of", "main"]

VECTORS: Final = Path(__file__).resolve().parents[2] / "examples" / "observability" / "vectors"
NAMES: Final = names()


def main() -> None:
    """Write all files."""
    VECTORS.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (VECTORS / f"{name}.json").write_text(content_of(name), encoding="ascii")
        print(f"{name}.json: {content_of(name).count(chr(10)) - 2} cases, {len(content_of(name)):,} bytes")
