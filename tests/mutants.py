"""Mutation testing: make the code wrong in one place at a time, and see whether a test fails.

::

    python -m tests.mutants [GROUP ...] [--sample N] [--seed S] [--jobs N] [--module PATTERN] [--quick] [--list]

Each worker has a copy of the project in a temporary folder, and changes only that, so there is nothing to restore. A mutant is
*killed* when a test fails, *timed out* when the tests take much longer than they do without it, and a *survivor* otherwise. What
is changed, what is not, and how to judge a survivor: ``docs/mutation.md``.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from .mutations import Mutant, mutants_of

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "the_edge_obs"


class Group(NamedTuple):
    """Modules, and the tests that are about them: patterns below the package and below ``tests``.

    A module that is not there is looked for in folders, and a test in every folder.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


# The one list to change when modules move or get other names. A module's own test file need not be named here.
GROUPS: Final = {
    "redaction": Group(
        ("redaction/*.py", "secrets/*.py"),
        ("test_redaction_*.py", "test_secrets_*.py", "test_secrets.py", "test_any_value.py"),
    ),
    "handlers": Group(("handlers/*.py",), ("test_handlers_*.py", "test_failing_handlers.py")),
    "jsonl": Group(("jsonl.py",), ("test_jsonl.py", "test_store_validation.py", "test_store_sources.py")),
    "flow_log": Group(("flow_log.py",), ("test_flow_log.py", "test_store_summaries.py")),
}

_NOT_COPIED: Final = (".*", "__pycache__", "build", "dist", "*.egg-info", "_build", "node_modules", "target", "logs")
_MARKED: Final = ("not slow", "slow")  # first what is likely to notice soon
_PASSES: Final = (0, 5)  # exit codes of pytest: all pass, and there are none
_SLOWER: Final = 4.0  # times as long as without a mutant
_AT_LEAST: Final = 20.0  # seconds
_MOST_MEMORY: Final = 4 << 30  # bytes of a run: an endless loop may fill a list

# What a run executes. Where the package comes from is looked up without an import, which pytest is to see.
_RUN: Final = f"""
import importlib.util, pathlib, sys, pytest
origin = importlib.util.find_spec({PACKAGE!r}).origin
assert pathlib.Path(origin).is_relative_to(pathlib.Path.cwd()), f"the tests would import {{origin}}"
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({_MOST_MEMORY}, {_MOST_MEMORY}))
except (ImportError, ValueError, OSError):
    pass
sys.exit(pytest.main(sys.argv[1:]))
"""


class BaselineError(Exception):
    """The tests fail without any mutant, so that their failures tell nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """A mutant and what became of it: killed, timed out or survived."""

    mutant: Mutant
    outcome: str


def modules_of(group: Group) -> list[Path]:
    """Return the modules of a group, relative to the project.

    Raises:
        SystemExit: a pattern fits no module, as after a move.
    """
    found: dict[Path, None] = {}
    for pattern in group.modules:
        top = ROOT / PACKAGE
        paths = sorted(top.glob(pattern)) or sorted(top.rglob(pattern))
        if not paths:
            raise SystemExit(f"no module fits {pattern!r}; change GROUPS in {Path(__file__).relative_to(ROOT)}")
        found.update(dict.fromkeys(path.relative_to(ROOT) for path in paths))
    return list(found)


def files_of(module: Path, group: Group) -> list[str]:
    """Return the test files for a module, its own first: ``tests/test_handlers_ring.py`` for ``handlers/ring.py``."""
    parts = [part.strip("_") for part in module.with_suffix("").parts[1:]]
    own = [ROOT / "tests" / f"test_{'_'.join(parts[-count:])}.py" for count in range(len(parts), 0, -1)]
    more = [path for pattern in group.tests for path in sorted((ROOT / "tests").rglob(pattern))]
    files = dict.fromkeys(path.relative_to(ROOT).as_posix() for path in (*own, *more) if path.is_file())
    return list(files)


class Sandbox:
    """A copy of the project in which one mutant at a time is tried."""

    def __init__(self, folder: Path, marked: Sequence[str]) -> None:
        self._folder, self._marked = folder, marked
        self._output = folder.with_suffix(".txt")
        self._running: subprocess.Popen[bytes] | None = None
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))

    def took(self, tests: Sequence[str]) -> float:
        """Return the seconds that test files take without a mutant.

        Raises:
            BaselineError: they fail.
        """
        start = time.monotonic()
        for marked in self._marked:
            code = self._run([*tests, "-m", marked], None)
            if code not in _PASSES:
                failed = [line for line in self._said().splitlines() if line.startswith(("FAILED", "ERROR"))]
                raise BaselineError(
                    "\n".join([f"the tests fail without a mutant (exit code {code}): {' '.join(tests)}", *failed])
                )
        return time.monotonic() - start

    def outcome(self, mutant: Mutant, tests: Sequence[str], limit: float) -> str:
        """Return what becomes of a mutant: killed, timed out or survived."""
        path = self._folder / mutant.path
        original, times = path.read_bytes(), path.stat()
        try:
            path.write_text(mutant.applied(original.decode("utf-8")), encoding="utf-8")
            # A cached module is known by its time, in seconds, and size: a mutant's has to be another time.
            os.utime(path, (times.st_atime, times.st_mtime + 10))
            for marked in self._marked:
                if (code := self._run([*tests, "-m", marked], limit)) not in _PASSES:
                    return "timed out" if code is None else "killed"
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return "survived"

    def _said(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End the run in progress, and what it has started."""
        if (running := self._running) is not None:
            _end(running)

    def _run(self, tests: Sequence[str], limit: float | None) -> int | None:
        """Return the exit code of pytest, or None when it took longer than the limit."""
        options = ["-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONHASHSEED": "0"}
        if limit is not None:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        with self._output.open("wb") as output:
            run = self._running = subprocess.Popen(
                [sys.executable, "-c", _RUN, *options, *tests],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return run.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(run)
            self._running = None


def _end(run: subprocess.Popen[bytes]) -> None:
    """End a run with all that it has started, which may outlive it."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(run.pid, signal.SIGKILL)  # its process group has its number, for it began a session of its own
        else:
            run.kill()
    except (ProcessLookupError, PermissionError):
        pass
    run.wait()


class Trial:
    """Mutants tried side by side, each worker in a sandbox of its own.

    Args:
        folder: An empty folder for the sandboxes.
        jobs: How many workers.
        marked: Expressions for ``-m``: which tests run, and in which order.
    """

    def __init__(self, folder: Path, jobs: int, marked: Sequence[str] = _MARKED) -> None:
        self._idle: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        self._sandboxes = [Sandbox(folder / str(number), marked) for number in range(jobs)]
        for sandbox in self._sandboxes:
            self._idle.put(sandbox)
        self._pool = ThreadPoolExecutor(jobs)
        self._stopped = threading.Event()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for sandbox in self._sandboxes:
            sandbox.stop()
        self._pool.shutdown(cancel_futures=True)

    def baselines(self, files: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
        """Return the seconds that each of some lists of test files takes; all workers run at once, as they do later."""
        every = [list(self._pool.map(self._took, [tests] * len(self._sandboxes))) for tests in files]
        return {tests: max(times) for tests, times in zip(files, every, strict=True)}

    def results(self, mutants: Sequence[tuple[Mutant, tuple[str, ...], float]]) -> Iterator[Result]:
        """Yield what becomes of mutants, given with their tests and the longest that these may take."""
        yield from self._pool.map(self._tried, mutants)

    def _took(self, tests: tuple[str, ...]) -> float:
        sandbox = self._idle.get()
        try:
            return sandbox.took(tests)
        finally:
            self._idle.put(sandbox)

    def _tried(self, work: tuple[Mutant, tuple[str, ...], float]) -> Result:
        mutant, tests, limit = work
        sandbox = self._idle.get()
        try:
            return Result(mutant, "stopped" if self._stopped.is_set() else sandbox.outcome(mutant, tests, limit))
        finally:
            self._idle.put(sandbox)


def chosen(name: str, options: argparse.Namespace) -> list[tuple[Mutant, tuple[str, ...]]]:
    """Return the mutants of a group that are to be tried, with their tests: all, or as many as asked for, by lot."""
    group = GROUPS[name]
    modules = [path for path in modules_of(group) if options.module is None or path.match(options.module)]
    found = [
        (mutant, tuple(files_of(path, group)))
        for path in modules
        for mutant in mutants_of(path.as_posix(), (ROOT / path).read_text(encoding="utf-8"))
    ]
    if options.sample is None or options.sample >= len(found):
        return found
    numbers = random.Random(f"{options.seed} {name}").sample(range(len(found)), options.sample)
    return [found[number] for number in sorted(numbers)]


def try_group(name: str, trial: Trial, options: argparse.Namespace) -> Counter[str]:
    """Try the mutants of a group, print its survivors and its figures, and return the figures."""
    work = chosen(name, options)
    # The order of the files is the module's own; how long they take does not depend on it.
    took = trial.baselines(list(dict.fromkeys(tuple(sorted(tests)) for _, tests in work)))
    limited = [(mutant, tests, max(_AT_LEAST, _SLOWER * took[tuple(sorted(tests))])) for mutant, tests in work]
    figures: Counter[str] = Counter()
    for result in trial.results(limited):
        figures[result.outcome] += 1
        if result.outcome != "killed":
            print(f"{result.mutant}  [{result.outcome}]", flush=True)
    print(f"{name}: {len(work)} mutants, " + ", ".join(f"{figures[key]} {key}" for key in ("killed", "timed out", "survived")))
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants that the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Does a test fail when the code is wrong?")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}; none: all of them")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants of each group, picked by lot")
    parser.add_argument("--seed", default="0", metavar="S", help="which lot: the same seed picks the same mutants (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="workers (default: one a core)")
    parser.add_argument("--module", metavar="PATTERN", help="only modules that fit, such as 'taints.py'")
    parser.add_argument("--quick", action="store_true", help="run no slow tests: some survivors may be known to those")
    parser.add_argument("--list", action="store_true", help="print the mutants, and try none")
    options = parser.parse_args(arguments)
    if unknown := set(options.groups) - GROUPS.keys():
        parser.error(f"unknown group {sorted(unknown)[0]!r}; known are {', '.join(GROUPS)}")
    names = options.groups or list(GROUPS)
    if options.list:
        for name in names:
            print(*(mutant for mutant, _ in chosen(name, options)), sep="\n")
        return 0
    marked = _MARKED[:1] if options.quick else _MARKED
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, Trial(Path(folder), options.jobs, marked) as trial:
        try:
            for name in names:
                try_group(name, trial, options)
        except BaselineError as error:
            print(error, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
