"""Sessions that check the package: `nox -s NAME`."""

from __future__ import annotations

import nox


@nox.session
def mutants(session: nox.Session) -> None:
    """Make the code wrong in one place at a time and see whether a test fails; `-- handlers --sample 100` tries fewer."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.mutants", *(session.posargs or ["--sample", "60"]))
