"""How ``run`` observes a flow: a ring buffer for the tree, the display on stderr, and the log files."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from ..configuration.config import DEFAULT_PATH, ROOT, configure, first_levels, parse_levels, requested_levels
from ..errors import ConfigurationError
from ..flow_log import FlowLog
from ..handlers import FlowFileHandler, RingBufferHandler
from ..handlers.appending import checked_path
from ..store.sources import get_flow_log
from ._display import Display

# The tree needs the whole run, however small the flow's own buffer is.
_CAPACITY: Final = 100_000
_INI_SUFFIXES: Final = (".ini", ".cfg", ".conf")


class Watch:
    """What was observed of a run.

    Args:
        ring: The ring buffer that holds its events.
        files: Paths of log files, with ``{flow_id}``.
        shown: The context manager to run the flow in.
    """

    def __init__(self, ring: RingBufferHandler, files: Sequence[str], shown: AbstractContextManager[object]) -> None:
        self._ring = ring
        self._files = files
        self.shown = shown

    def log(self) -> FlowLog | None:
        """Return the flow log, or None when nothing was logged."""
        flow_ids = self._ring.flow_ids()
        return get_flow_log(flow_ids[0]) if flow_ids else None

    def files_of(self, flow_id: str) -> list[str]:
        """Return the log files that the run wrote, as relative paths if they are in the working directory."""
        paths = dict.fromkeys(file.replace("{flow_id}", flow_id) for file in self._files)
        here = os.getcwd() + os.sep
        return [path.removeprefix(here) for path in paths if os.path.exists(path)]


@contextmanager
def watching(block: Mapping[str, Any] | None, logging_file: str | None, log_dir: str | None, display: Display) -> Iterator[Watch]:
    """Observe the flow that runs inside this context manager.

    Args:
        block: The flow's ``observability:`` block, which must be enabled, or None.
        logging_file: A logging configuration to activate first, or None.
        log_dir: A folder for a log file of the run, or None.
        display: The display on stderr, unless the flow prints its events itself.

    Raises:
        ConfigurationError: the configuration or the folder cannot be used.
    """
    block = block or {}
    if logging_file is not None:
        _apply(logging_file)
    logger = logging.getLogger(ROOT)
    specs = block.get("handlers") or ()
    own: list[dict[str, Any]] = []
    shown: AbstractContextManager[object] = nullcontext()
    if not any(spec.get("type") == "console" for spec in specs) and not _prints(logger):
        own.extend(display.handlers())
        shown = display.shown()
    if log_dir is not None:
        own.append({"type": "file", "path": _in(log_dir)})
    # Use the flow's own levels, if any, so that the display shows what the flow's handlers get.
    level = logger.level or block.get("level", "info")
    levels = {"level": level, "levels": block.get("levels")}
    # Propagate to the handlers of a logging file, but not to handlers that an imported module added to the root logger.
    propagates = logger.propagate and logging_file is not None
    # What a flow records in full, it records beside the log of --log-dir too.
    record = block.get("record") if log_dir is not None else None
    undo = configure({**levels, "buffer_size": _CAPACITY, "handlers": own, "propagate": propagates, "record": record})
    try:
        ring = next(handler for handler in reversed(logger.handlers) if isinstance(handler, RingBufferHandler))
        files = [os.path.abspath(spec.get("path", DEFAULT_PATH)) for spec in specs if spec.get("type") == "file"]
        yield Watch(ring, [*files, *_paths(logger)], shown)
    finally:
        undo()


@contextmanager
def levels(given: Sequence[str]) -> Iterator[None]:
    """Activate the levels of ``--level``, which come before those of ``TEA_LOG`` and of every block.

    Raises:
        ConfigurationError: it names the part that cannot be read, in ``--level`` or in ``TEA_LOG``.
    """
    requested_levels()  # a mistake in TEA_LOG is reported before anything runs
    parts = [part for option in given for part in option.split(",")]
    with first_levels(parse_levels(parts, "--level")):
        yield


def _in(log_dir: str) -> str:
    try:
        return checked_path(os.path.join(log_dir, "flow-{flow_id}.jsonl"))
    except ConfigurationError as error:
        raise ConfigurationError(f"--log-dir {log_dir!r} cannot be used: {error}") from error


def _apply(path: str) -> None:
    """Activate a logging configuration: YAML or JSON for dictConfig, INI for fileConfig."""
    if not path.endswith(_INI_SUFFIXES):
        configure(path)
        return
    if not os.path.isfile(path):  # before Python 3.12 fileConfig treats a missing file as empty
        raise ConfigurationError(f"--logging {path!r} cannot be read: the file does not exist")
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except Exception as error:  # the classes that it names may raise anything
        reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(f"--logging {path!r} is not a configuration that fileConfig accepts: {reason}") from error


def _prints(logger: logging.Logger) -> bool:
    """Tell whether the flow's events reach the terminal without the display."""
    handlers = [*logger.handlers, *(logging.getLogger().handlers if logger.propagate else ())]
    return any(isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr) for handler in handlers)


def _paths(logger: logging.Logger) -> list[str]:
    handlers = [*logger.handlers, *logging.getLogger().handlers]
    return [handler.path for handler in handlers if isinstance(handler, FlowFileHandler)]
