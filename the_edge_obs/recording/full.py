"""Full recording: the whole answers of chosen nodes, in a file of its own beside the log.

A log is for reading, so it is cut. To run a flow again from its log takes more: the whole answer with its types, the classes of
an exception, what the node wrote into the state, and the digest of the whole input. A recorder, such as a ``FlowFileHandler``
with ``full=["llm.*"]``, gets them as one line per call. Calls of other nodes are not affected: a function that is not chosen is
called exactly as if there were no recorder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..context import FlowState, SpanContext
from ..redaction.snapshots import snapshot
from ..redaction.texts import scrub
from ..redaction.typed import Digest, Typed, digest_of, full_name, typed
from ..secrets.keys import KeyClasses
from .records import ENTRY, NOTHING, NOWHERE, Facts
from .tracebacks import error_text, mro_of

VERSION: Final = 1
"""The version of the lines."""
SUFFIX: Final = ".full"
"""The name of a recording is that of its log with this suffix. Folders are searched for names that end otherwise."""


class Recorder(Protocol):
    """Something that takes the lines of chosen nodes.

    Attributes:
        path: Where they go. Of two recorders with the same path, one takes a line.
    """

    path: str

    def has_chosen(self, node: str) -> bool:
        """Tell whether the calls of a node are recorded."""

    def takes(self, facts: Facts) -> bool:
        """Tell whether the entry of a chosen node comes here."""

    def write(self, flow_id: str, line: bytes) -> None:
        """Take the line of a call, newline included."""


recorders: Final[list[Recorder]] = []
"""The recorders that are active."""
followers: Final[list[Callable[[], None]]] = []
"""Called when a recorder was added or removed."""


def activate(recorder: Recorder) -> None:
    """Add a recorder, unless it is active already."""
    if not any(other is recorder for other in recorders):
        recorders.append(recorder)
        _tell()


def deactivate(recorder: Recorder) -> None:
    """Remove a recorder, if it is active."""
    if any(other is recorder for other in recorders):
        recorders[:] = [other for other in recorders if other is not recorder]
        _tell()


def _tell() -> None:
    for follow in followers:
        follow()


def is_chosen(node: str) -> bool:
    """Tell whether a recorder has chosen a node."""
    return any(recorder.has_chosen(node) for recorder in recorders)


class FullCall:
    """The recording of a call that is running.

    Args:
        span: The span of the call.
        level: The level of its entry.
        given: The input, or NOTHING.
        classes: The key classifier of the node.
        state: The state that the node may write into, or None.
    """

    __slots__ = ("_before", "_classes", "_given", "_span", "_state", "_takers")

    def __init__(
        self, span: SpanContext, level: int, given: Any, classes: KeyClasses, state: dict[str, Any] | None = None
    ) -> None:
        facts: Facts = (span, ENTRY, level, 0, None, NOTHING, None, NOWHERE)
        takers = [recorder for recorder in recorders if recorder.has_chosen(span.node) and recorder.takes(facts)]
        self._takers = list({recorder.path: recorder for recorder in takers}.values())
        self._span, self._classes, self._state = span, classes, state
        self._given: Digest | None = None
        self._before: dict[str, tuple[Any, Any]] = {}
        if self._takers:
            if given is not NOTHING:
                self._given = digest_of(given, span.flow, classes)
            # What is inside a value may change as well.
            self._before = {key: (value, _seen(value)) for key, value in tuple((state or {}).items())}

    def end(self, output: Any, error: BaseException | None) -> None:
        """Write the line of the call, which has returned an output (or NOTHING) or raised an error."""
        if not self._takers:
            return
        flow = self._span.flow
        line: dict[str, Any] = {"full": VERSION, "flow_id": flow.id, "span_id": self._span.span_id, "node": self._span.node}
        parts: list[Typed | Digest] = []
        if self._given is not None:
            parts.append(self._given)
            line["input"] = {"sha256": self._given.sha256}
        if error is not None:
            arguments = typed(_args_of(error), "error.args", flow, self._classes)
            names = [full_name(kind) for kind in mro_of(error)]
            message = scrub(snapshot(error_text(error), flow), flow.taints)
            line["error"] = {"mro": names, "message": message, "args": arguments.tree}
            parts.append(arguments)
        elif output is not NOTHING:
            answer = typed(output, "output", flow, self._classes)
            line["output"] = answer.tree
            parts.append(answer)
        if changed := self._changed(flow):
            line["state"] = changed.tree
            parts.append(changed)
        if removed := [key for key in self._before if key not in (self._state or ())]:
            line["removed"] = [scrub(str(key), flow.taints) for key in removed]
        line["redacted"] = [path for part in parts for path in part.redacted]
        line["lost"] = {path: why for part in parts for path, why in part.lost.items()}
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for recorder in self._takers:
            recorder.write(flow.id, f"{text}\n".encode("utf-8", "replace"))

    def _changed(self, flow: FlowState) -> Typed | None:
        """Return the keys of the state that the call has changed, with their new values, or None."""
        changed: dict[str, Any] = {}
        for key, value in tuple((self._state or {}).items()):
            known = self._before.get(key)
            if known is None or known[0] is not value or known[1] != _seen(value):
                changed[key] = value
        return typed(changed, "state", flow, self._classes) if changed else None


def _seen(value: Any) -> Any:
    """Return what shows whether a value has changed inside."""
    return None if type(value) in _FIXED else typed(value, "").tree


_args_of: Final[Any] = vars(BaseException)["args"].__get__
_FIXED: Final = frozenset({str, int, float, bool, type(None)})
