"""What every test starts from: the logging tree and the context of a new process."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from the_edge_obs.context import CURRENT
from the_edge_obs.handlers import RingBufferHandler
from the_edge_obs.recording.buffers import listeners

# A busy machine is not a failure, so no profile has a deadline. In CI a failure is that of the change: each run tries the same
# examples, and prints how to repeat the one that fails. Elsewhere each run tries others. The profile thorough is for the run
# of CI that measures coverage, and nightly tries many, for tests that compare with the Rust runtime.
settings.register_profile("local", deadline=None, max_examples=30)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=100, derandomize=True, print_blob=True)
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # on a busy machine, drawing a large case takes long
settings.register_profile("nightly", deadline=None, max_examples=5_000, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local"))

_QUICK = "not slow"  # what the quick loop gives as -m
_ALL_SLOW = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.slow\b", re.MULTILINE)

# What a shell runs in the background ignores Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """In the quick loop, try fewer examples of each property, unless another profile is asked for."""
    if config.option.markexpr == _QUICK and not config.option.hypothesis_profile:
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the quick loop, do not import modules all of whose tests are slow: to collect them takes as long as some tests do."""
    if config.option.markexpr != _QUICK or collection_path.suffix != ".py":
        return None
    return True if _ALL_SLOW.search(collection_path.read_text(encoding="utf-8")) else None


def _reset() -> None:
    CURRENT.set(None)
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "tea":
            for handler in logger.handlers[:]:
                logger.removeHandler(handler)
                handler.close()
            logger.filters.clear()
            if logger.level != logging.NOTSET:  # each change of a level clears the caches of all loggers
                logger.setLevel(logging.NOTSET)
            logger.propagate, logger.disabled = True, False
    for ring in list(listeners):
        ring.dispose()
    if tree := sys.modules.get("the_edge_obs.configuration.logging_tree"):
        tree._piles.clear()  # what a test configured and did not undo
    if pricing := sys.modules.get("the_edge_obs.recording.pricing"):
        pricing.active.clear()
    if policies := sys.modules.get("the_edge_obs.secrets.policies"):
        policies._active.clear()
        policies._settle()


@pytest.fixture(autouse=True)
def fresh_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an untouched logging tree, no running flow, no policies or prices and no TEA_LOG, and clean up behind it."""
    monkeypatch.delenv("TEA_LOG", raising=False)
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    _reset()
    yield
    _reset()
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.handlers[:], root.filters[:], root.disabled = handlers, filters, False
    if root.level != level:
        root.setLevel(level)
    if root.manager.disable != logging.NOTSET:
        logging.disable(logging.NOTSET)
    logging.setLogRecordFactory(factory)


@pytest.fixture
def ring() -> RingBufferHandler:
    """Return a ring buffer on the logger ``tea``, which is at level debug."""
    handler = RingBufferHandler()
    logger = logging.getLogger("tea")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return handler
