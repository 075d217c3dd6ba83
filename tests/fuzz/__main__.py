"""``python -m tests.fuzz [--minutes N] [--coverage] [TARGET ...]``: run targets for long, each with new examples all the time.

Prints for each target how many examples it has seen. A failure is shown as Hypothesis shrank it, the other targets go on, and the
exit status is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings

from .targets import TARGETS

_ROUND = 500  # examples between two looks at the clock


def main(arguments: list[str] | None = None) -> int:
    """Run the targets one after the other, each for its share of the time."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; all of them without one")
    parser.add_argument("--minutes", type=float, default=10, help="how long all of it takes; 10 by default")
    parser.add_argument("--coverage", action="store_true", help="let atheris steer one target, without end")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"{min(unknown)!r} is not a target; allowed: {', '.join(TARGETS)}")
    names = asked.targets or list(TARGETS)
    if asked.coverage:
        return _steered(parser, names)
    failed = [name for name in names if not _run(name, TARGETS[name], 60 * asked.minutes / len(names))]
    print(f"failed: {', '.join(failed)}" if failed else "no failure")
    return 1 if failed else 0


def _run(name: str, target: Callable[[], None], seconds: float) -> bool:
    """Run a target for some seconds, and tell whether nothing was wrong."""
    end, examples = time.monotonic() + seconds, 0
    # Hypothesis puts settings and seed on the function itself; the last ones count.
    phases = [Phase.generate, Phase.target, Phase.shrink]
    settings(max_examples=_ROUND, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck))(target)
    while time.monotonic() < end:
        number = random.SystemRandom().getrandbits(32)
        try:
            seed(number)(target)()
        except Exception:  # noqa: BLE001 - whatever went wrong is what was looked for
            traceback.print_exc()
            print(f"{name}: failed after {examples} examples, seed {number}")
            return False
        examples += _ROUND
    print(f"{name}: {examples} examples")
    return True


def _steered(parser: argparse.ArgumentParser, names: list[str]) -> int:
    """Hand one target to atheris, which never returns."""
    if len(names) != 1:
        parser.error("--coverage takes one target")
    try:
        import atheris
    except ImportError:
        parser.error("--coverage needs atheris: python -m pip install atheris")
    # The package was imported uninstrumented; what matters of it is instrumented function by function.
    atheris.instrument_all()
    atheris.Setup([sys.argv[0]], TARGETS[names[0]].hypothesis.fuzz_one_input)  # type: ignore[attr-defined]
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
