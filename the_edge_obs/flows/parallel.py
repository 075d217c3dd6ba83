"""Run branches side by side in threads, each with its own copy of the state."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields
from typing import Any

from ..errors import FlowRunError
from ..instrumentation.carriers import wrap
from ..recording.tracebacks import error_text, type_name
from .tracing import Tracer

RESULTS = "parallel_results"
"""Key of the state, and name in templates and code, under which a fan-in finds its branches' results."""

_MAX_THREADS = 32
_CHECK_INTERVAL = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class BranchResult:
    """The result of one branch, as a fan-in node sees it in ``parallel_results``.

    Its attributes, and the keys of its state, can also be read as items: ``result["success"]``, ``result.get("text")``.

    Args:
        branch: The branch's name: its first node, or ``name[index]`` for an item.
        success: Whether it ended without an exception.
        state: The branch's own state when it ended or failed.
        error: The exception's text, or None.
        error_type: The exception's class name, or None.
        timing_ms: How long it ran, in milliseconds.
    """

    branch: str
    success: bool
    state: dict[str, Any]
    error: str | None = None
    error_type: str | None = None
    timing_ms: float = 0.0

    def __getitem__(self, key: str) -> Any:
        if key in _FIELDS:
            return getattr(self, key)
        return self.state[key]

    def __contains__(self, key: object) -> bool:
        return key in _FIELDS or key in self.state

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def get(self, key: str, default: Any = None) -> Any:
        """Return an attribute, or a key of the branch's state, or the default."""
        return self[key] if key in _FIELDS else self.state.get(key, default)

    def keys(self) -> list[str]:
        """Return the names that can be read as items."""
        return [*_FIELDS, *(key for key in self.state if key not in _FIELDS)]


_FIELDS = tuple(field.name for field in fields(BranchResult))


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch to run.

    Args:
        name: Its name.
        input: The input that its span logs.
        state: Its own copy of the state, which ``work`` changes.
        work: Runs the branch.
    """

    name: str
    input: Mapping[str, Any]
    state: dict[str, Any]
    work: Callable[[], None]


def branch_state(state: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return a deep copy of the state for one branch of a step.

    Raises:
        FlowRunError: A value cannot be copied; the message names its key.
    """
    try:
        return copy.deepcopy(dict(state))
    except Exception as error:
        key = next((key for key, value in state.items() if not _copies(value)), "?")
        reason = error_text(error)
        problem = f"state key {key!r} cannot be copied for a parallel branch: {reason}; keep plain data in the state"
        raise FlowRunError(f"step {step!r}: {problem}", step=step) from error


def _copies(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - any failure means that it cannot be copied
        return False
    return True


def run_branches(
    tracer: Tracer, stop: threading.Event, branches: Sequence[Branch], limit: int | None = None, *, fail_fast: bool = False
) -> list[BranchResult]:
    """Run branches at the same time and return their results in the given order.

    A branch that raises an exception gives a result without success. When the waiting thread or a branch is interrupted
    (Ctrl-C), the other branches stop before their next node, and the interrupt is raised again.

    Args:
        tracer: Makes the branches' spans.
        stop: Set when the branches must stop.
        branches: The branches to run.
        limit: How many run at the same time; None for all of them, up to 32.
        fail_fast: Whether branches that have not begun when another one fails are left out. Default False.
    """
    if not branches:
        return []
    pool = ThreadPoolExecutor(min(limit or _MAX_THREADS, len(branches)), thread_name_prefix="flow-branch")
    try:
        failed = threading.Event() if fail_fast else None
        futures = [pool.submit(wrap(_run), tracer, stop, branch, failed) for branch in branches]
        return [_awaited(future) for future in futures]
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _awaited(future: Future[BranchResult]) -> BranchResult:
    """Wait for a branch in short intervals: a Ctrl-C just before a wait is only noticed when that wait ends."""
    while not wait([future], _CHECK_INTERVAL).done:
        pass
    return future.result()


def _run(tracer: Tracer, stop: threading.Event, branch: Branch, failed: threading.Event | None) -> BranchResult:
    if failed is not None and failed.is_set():
        return BranchResult(branch.name, False, branch.state, "left out: another branch has failed (fail_fast)", "CancelledError")
    started = time.monotonic()
    error: Exception | None = None
    try:
        with tracer.node("parallel.branch", None, branch.input):
            branch.work()
    except Exception as failure:  # noqa: BLE001 - the fan-in decides what a failed branch means
        error = failure
        if failed is not None:
            failed.set()
    except BaseException:
        stop.set()  # at once, not when the waiting thread reaches this branch
        raise
    # This branch could read the results of an earlier fork; kept in its own result, they would pile up from fork to fork.
    branch.state.pop(RESULTS, None)
    elapsed_ms = (time.monotonic() - started) * 1000
    if error is None:
        return BranchResult(branch.name, True, branch.state, timing_ms=elapsed_ms)
    return BranchResult(branch.name, False, branch.state, error_text(error), type_name(error), elapsed_ms)
