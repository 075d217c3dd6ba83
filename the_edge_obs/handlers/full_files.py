"""The full recordings of one handler: a file beside each log, with the calls of chosen nodes. See ``recording.full``."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from ..errors import ConfigurationError
from ..recording.dispatch import reaches
from ..recording.full import SUFFIX
from ..recording.records import Facts
from .appending import FlowFiles

_MAX_NODES: Final = 4_096  # whose choice is remembered


class FullFiles:
    """The files of full recordings beside the logs of a handler. They are their owner's alone (mode 0600).

    Args:
        handler: The handler; it is referred to weakly. Its lock is used, because ``logging`` renews it in a forked child.
        path: The path of its logs, with or without ``{flow_id}``.
        nodes: The chosen nodes: globs.
    """

    def __init__(self, handler: logging.Handler, path: str, nodes: Iterable[str]) -> None:
        self._handler = weakref.ref(handler)
        self._nodes = tuple(nodes)
        self.path = path + SUFFIX
        self._files = FlowFiles(self.path)
        self._chosen: dict[str, bool] = {}

    def has_chosen(self, node: str) -> bool:
        """Tell whether the calls of a node are recorded."""
        known = self._chosen.get(node)
        if known is None:
            if len(self._chosen) >= _MAX_NODES:
                self._chosen.clear()
            known = self._chosen[node] = any(fnmatchcase(node, glob) for glob in self._nodes)
        return known

    def takes(self, facts: Facts) -> bool:
        """Tell whether the handler takes the event of facts: then its log has the call too."""
        handler = self._handler()
        return handler is not None and reaches(facts, handler)

    def write(self, flow_id: str, line: bytes) -> None:
        """Append a line to the recording of a flow.

        Raises:
            OSError: The line could not be written as a whole, or the file was deleted.
        """
        if (handler := self._handler()) is not None:
            handler.acquire()
            try:
                self._files.write(flow_id, line, time.time_ns(), is_end=False)
            finally:
                handler.release()

    def end(self, flow_id: str) -> None:
        """Close the file of a flow that has ended. The caller has the handler's lock."""
        self._files.end(flow_id)

    def close(self) -> None:
        """Close every file. The caller has the handler's lock."""
        self._files.close()


def checked_globs(where: str, nodes: object) -> tuple[str, ...]:
    """Return the globs of the chosen nodes.

    Args:
        where: The location of the entry, for messages.
        nodes: A list of globs such as ``llm.*``.

    Raises:
        ConfigurationError: It is not a list of texts; the message names the value and what is allowed.
    """
    if isinstance(nodes, (list, tuple)) and all(isinstance(glob, str) and glob and glob == glob.strip() for glob in nodes):
        return tuple(nodes)
    problem = f"{where} is {nodes!r}; it must be a list of nodes or globs such as [llm.*, rag.search]"
    raise ConfigurationError(problem, where=where)
