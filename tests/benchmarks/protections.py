"""``python -m tests.benchmarks.protections``: what reliability costs an observed node, by taking all of it away.

The same wrapper, logger and context run twice. Once as they are. Once without what protects them: secrets are replaced by their
key and not remembered, parameters are copied without any cap, and the ring is one deque a flow that weighs, counts and bounds
nothing. The ratio is what the hot path pays for all of it together.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import the_edge_obs as obs
from the_edge_obs.context import FlowState
from the_edge_obs.instrumentation import wrappers as instrumentation
from the_edge_obs.recording.dispatch import KEEPERS
from the_edge_obs.recording.records import Facts
from the_edge_obs.redaction.payloads import captured
from the_edge_obs.secrets.keys import KEY_CLASSES, SECRET, TOKEN, KeyClasses

from .node import NODE, REDACTED, SMALL, parameters
from .node import SECRET as PLANTED
from .rounds import FULL, QUICK, Plan, interleaved, rows_of
from .variants import BARE, ROOMY, _loop

WITH, WITHOUT = "as it is", "without protections"
VARIANTS = {"room for all": ROOMY, "a full ring": 1_000}


class BareRing(logging.Handler):
    """The last events of each flow, and nothing else."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.kept: dict[str, deque[Facts]] = defaultdict(partial(deque, maxlen=capacity))

    def keep(self, facts: Facts) -> Callable[[Facts], None]:
        append = self.kept[facts[0][0].id].append
        append(facts)
        return append

    def clear(self) -> None:
        self.kept.clear()


KEEPERS.add(BareRing)


def bare_snapshot(value: Any, flow: FlowState | None = None, classes: KeyClasses = KEY_CLASSES) -> Any:
    """Copy, and replace what stands under a secret key: no caps, no cycles, no hostile objects, no taints."""
    kind = type(value)
    if kind is dict:
        taken: dict[str, Any] = value.copy()
        known = classes.known
        for key, item in taken.items():
            try:
                verdict = known[key]
            except KeyError:
                verdict = classes[key]
            if verdict == SECRET or (verdict == TOKEN and not isinstance(item, (int, float))):
                taken[key] = REDACTED
            elif type(item) is dict or type(item) is list:
                taken[key] = bare_snapshot(item, flow, classes)
        return taken
    return [bare_snapshot(item, flow, classes) for item in value] if kind is list else value


@contextmanager
def protected(is_protected: bool, capacity: int) -> Iterator[Any]:
    """Put a ring on the tree, and take the protections of the capture away if they are not wanted; yield the ring."""
    ring: Any = obs.RingBufferHandler(capacity, max_bytes=None) if is_protected else BareRing(capacity)
    tea = logging.getLogger("tea")
    tea.setLevel(logging.INFO)
    tea.addHandler(ring)
    instrumentation.captured = captured if is_protected else bare_snapshot
    try:
        yield ring
    finally:
        instrumentation.captured = captured
        tea.removeHandler(ring)


def sample(is_protected: bool, capacity: int, calls: int) -> float:
    """Return µs a call inside a flow of its own."""
    with protected(is_protected, capacity) as ring:
        observed = obs.observable(NODE)(SMALL.call)
        with obs.flow("benchmark"):
            took = _loop(observed, calls, SMALL)
        ring.clear()
    return took / calls / 1000


def check(is_protected: bool) -> None:
    """Both keep what is logged and redact by key; only what is protected remembers the secret.

    Raises:
        RuntimeError: what is measured is not what its name says.
    """
    with protected(is_protected, ROOMY), obs.flow("check") as run:
        obs.observable(NODE)(SMALL.call)(parameters(), {}, None)
        flow = run.context.flow
    if flow.faults:
        raise RuntimeError(f"logging failed {flow.faults} times: what is measured is its failure")
    if (PLANTED in flow.taints) != is_protected:
        raise RuntimeError(f"the secret is {'not ' * is_protected}remembered; the switch of this benchmark does nothing")


def measure(plan: Plan) -> None:
    """Print a line for each variant: µs a node above the bare call, and their ratio."""
    for is_protected in (True, False):
        check(is_protected)
    for variant, capacity in VARIANTS.items():
        samplers: dict[str, Callable[[], float]] = {
            WITH: partial(sample, True, capacity, plan.calls),
            WITHOUT: partial(sample, False, capacity, plan.calls),
            BARE: lambda: _loop(SMALL.call, plan.calls, SMALL) / plan.calls / 1000,
        }
        rows = {row.contender: row for row in rows_of(variant, interleaved(plan.rounds, samplers), "µs/node", bare=BARE)}
        whole, bare = rows[WITH], rows[WITHOUT]
        least, middle = whole.minimum / bare.minimum, whole.median / bare.median
        print(f"{variant:<14} {whole.minimum:6.2f} {bare.minimum:6.2f} µs/node, ratio {least:.2f} (of medians {middle:.2f})")


if __name__ == "__main__":
    measure(QUICK if "--quick" in sys.argv[1:] else FULL)
