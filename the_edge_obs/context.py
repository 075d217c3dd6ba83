"""The running span: one context variable with an immutable value, and the ids of flows and spans.

A span id is a UUID. Its first 8 bytes are those of its flow's id, its last 8 bytes are random. So the last 8 bytes serve as
an OpenTelemetry span id, and a W3C ``traceparent`` (trace id = flow id, 8-byte parent) names the whole parent span on the other
side. Ids are kept as integers, and formatted when they are read.
"""

from __future__ import annotations

import contextvars
import gc
import os
import random
import sys
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeAlias

from .errors import ConfigurationError
from .secrets import policies, taints
from .secrets.policies import policy_of_scope
from .secrets.taints import Taints


def at_fork(**hooks: Callable[[], object]) -> None:
    """Register ``before``, ``after_in_parent`` and ``after_in_child`` for ``os.register_at_fork``, where there are forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)


at_fork(after_in_child=policies.renew_lock)
at_fork(after_in_child=taints.renew_lock)

# The operating system gives the seed. A forked child seeds again; otherwise it would repeat its parent's ids.
_ids = random.Random()
at_fork(after_in_child=_ids.seed)
random_bits: Final = _ids.getrandbits

# RFC 9562: the two top bits of the last 8 bytes are the variant, 0b10, in a UUID of version 4.
VARIANT: Final = 1 << 63
_VERSION_4: Final = 4 << 12  # in the first 8 bytes,
_RANDOM: Final = (1 << 64) - 1 & ~(15 << 12)  # of which these bits are not fixed
SAMPLED: Final = 1  # trace-flags of W3C Trace Context: the caller may have recorded this trace


_NOTHING_REPORTED: Final[frozenset[str]] = frozenset()


class FlowState:
    """The state of one run while it lasts, shared by all of its spans.

    Attributes:
        id: The flow id, a canonical UUID string.
        prefix: The first 19 characters of every span id in the flow.
        name: The flow's name.
        scope: The scope of handlers that only take this flow's events, or None.
        taints: The flow's secrets, which must not reappear in its log, and its own redaction policy.
        ended: Whether the root span has ended.
        faults: How many times logging itself failed for an event of the flow.
        reported: The failures that the flow's log already shows.
        is_silent: Whether no handler has seen the flow yet: its root is filtered, or there is no handler.
        status: ok, error or cancelled once the root has ended; until then running.
        is_abroad: Whether another process may log into the flow, so that memory alone may not hold all of it.
        trace_flags: The flags of the flow's W3C trace, 8 bits. Default 1, sampled.
        tracestate: The W3C ``tracestate`` of other tracing systems. Default: an empty text.
    """

    __slots__ = (
        "__weakref__", "ended", "faults", "id", "is_abroad", "is_silent", "name", "prefix", "reported", "scope", "status",
        "taints", "trace_flags", "tracestate",
    )  # fmt: skip

    def __init__(self, flow_id: str, name: str, scope: object = None) -> None:
        self.id = flow_id
        self.prefix = flow_id[:19]
        self.name = name
        self.scope = scope
        taints = self.taints = Taints()
        if scope is not None:
            taints.policy = policy_of_scope(scope)
        self.ended = self.is_abroad = False
        self.faults = 0
        self.status, self.is_silent = "running", True
        self.reported: frozenset[str] = _NOTHING_REPORTED
        self.trace_flags, self.tracestate = SAMPLED, ""

    def __reduce__(self) -> tuple[Any, ...]:
        # A record that FlowContextFilter has stamped may be pickled. The pickle must not contain the flow's secrets.
        return str, (self.id,)

    def span_id(self, number: int) -> str:
        """Return the UUID of the span whose last 8 bytes are ``number``."""
        # Grouped from the right: 2 bytes, a hyphen, 6 bytes. Three times as fast as formatting the two parts.
        return self.prefix + number.to_bytes(8, "big").hex("-", 6)


class SpanContext(NamedTuple):
    """One span, as ``current`` returns it.

    Attributes:
        flow: Its flow: ``id``, ``name``, the W3C ``trace_flags`` and ``tracestate``, and ``is_silent``, whether no handler has
            seen it yet.
        number: The last 8 bytes of the span's id as an integer: an OpenTelemetry span id.
        parent: The number of the enclosing span, or None for a root.
        node: The node.
        step: The YAML flow's name for the node, or None.
    """

    flow: FlowState
    number: int
    parent: int | None
    node: str
    step: str | None

    @property
    def span_id(self) -> str:
        """The span's id, a UUID string."""
        return self.flow.span_id(self.number)

    @property
    def parent_id(self) -> str | None:
        """The enclosing span's id, a UUID string, or None for a root."""
        return None if self.parent is None else self.flow.span_id(self.parent)


class Entered(SpanContext):
    """A span context that knows whether the span has ended. Other tasks and threads may still have it as their current span.

    Attributes:
        before: The span that was current when this one was entered.
        is_ended: Whether the span has ended.
        is_late: Whether ``before`` had ended by then, as in a task that outlives the span in which it was started.
    """

    before: Place | None = None
    is_ended = is_late = False


_new: Final = tuple.__new__


def entered(flow: FlowState, number: int, parent: int | None, node: str) -> Entered:
    """Return the context of a span, in half the time of ``Entered(...)``."""
    context: Entered = _new(Entered, (flow, number, parent, node, None))
    return context


class Started(Entered):
    """The context of a span that ``start_span`` started; ``use_span`` makes a ``Lent`` of it current."""


class Lent(Entered):
    """A started span in the block of one ``use_span``.

    A library may leave the block, and end the span, in another context than that in which the block began. Code that still has
    it as its current span is then in neither, but in what was current before.

    Attributes:
        of: The started span.
        is_left: Whether the block was left.
    """

    of: Started
    is_left = False

    @property
    def is_ended(self) -> bool:  # type: ignore[override]
        """Whether the span has ended."""
        return self.of.is_ended


def lent(span: Started) -> Lent:
    """Return a started span for a block that begins now."""
    made = Lent(*span)
    made.of, made.before = span, nearest_open(place())
    return made


class RemoteParent(NamedTuple):
    """A span in another process, as its ``traceparent`` names it, with the trace's flags and ``tracestate``."""

    flow_id: str
    number: int
    trace_flags: int = SAMPLED
    tracestate: str = ""


Place: TypeAlias = "tuple[FlowState, int, int | None, str, str | None]"
"""A ``SpanContext``, or a plain tuple of the same items. The hot path creates plain tuples, in a third of the time."""

CURRENT: Final[ContextVar[Place | None]] = ContextVar("the_edge_obs.span", default=None)
place: Final[Callable[[], Place | None]] = CURRENT.get
enter: Final = CURRENT.set
leave: Final = CURRENT.reset


def _keep_mappings_in_use() -> None:
    """Keep a context's mapping alive while CPython before 3.12 works on it, because CPython holds no reference (gh-148891).

    ``ContextVar.set``, ``reset`` and ``copy_context`` allocate, and an allocation may start a garbage collection. A finalizer,
    such as the end of a generator's span, then sets a variable and frees the mapping that the interrupted call still reads: the
    interpreter crashes. So each collection first takes a reference to the current mapping. The references are dropped when a
    collection begins at another instruction, because then the call is over. One call starts far fewer collections than are kept.
    From 3.12 on, no collection starts inside such a call.
    """
    copy, frame_of, kept = contextvars.copy_context, sys._getframe, deque[contextvars.Context](maxlen=64)
    where: tuple[int, int] | None = None

    def keep(phase: str, info: dict[str, int]) -> None:
        nonlocal where
        if phase != "start":
            return
        mapping, frame = copy(), frame_of().f_back
        here = None if frame is None else (id(frame), frame.f_lasti)
        if here != where:
            kept.clear()
            where = here
        kept.append(mapping)

    gc.callbacks.insert(0, keep)  # first: another callback may set a variable as well


if sys.version_info < (3, 12):
    _keep_mappings_in_use()


def current() -> SpanContext | None:
    """Return the running span, or None outside any flow."""
    span = place()
    return None if span is None else context_of(span)


def context_of(span: Place) -> SpanContext:
    """Return a span, which may be a plain tuple, as a ``SpanContext``."""
    return span if isinstance(span, SpanContext) else SpanContext(*span)


HELD: Final[list[object]] = []
"""Objects that live until the interpreter is gone, because it holds the functions registered for forks, and so their globals."""


def _before_fork() -> None:
    """Mark the running flow: the child continues it, and this process does not see what the child logs."""
    if (span := current()) is not None:
        span.flow.is_abroad = True


at_fork(before=_before_fork)


def new_flow_id() -> str:
    """Return a new flow id: a random UUID (version 4) as a string."""
    # In two halves, and without uuid.UUID, which takes four times as long.
    text = (random_bits(64) & _RANDOM | _VERSION_4).to_bytes(8, "big").hex("-", 4)
    return f"{text[:13]}-{text[13:]}-{(random_bits(62) | VARIANT).to_bytes(8, 'big').hex('-', 6)}"


def new_number() -> int:
    """Return a new span number: 8 bytes, of which 62 bits are random."""
    return random_bits(62) | VARIANT


def checked_flow_id(flow_id: object) -> str:
    """Return a flow id in its canonical form.

    Raises:
        ConfigurationError: The id is not a UUID.
    """
    try:
        return str(uuid.UUID(str(flow_id)))
    except ValueError as error:
        raise ConfigurationError(
            f"flow_id {flow_id!r} is not a UUID; leave it out for a new one, "
            "or derive one from a name with uuid.uuid5(uuid.NAMESPACE_URL, name)"
        ) from error


def nearest_open(span: Place | None) -> Place | None:
    """Return the span itself if it is open, otherwise the nearest one that was current before it and is open, or None."""
    while isinstance(span, Entered) and span.is_ended:
        span = span.before
    return span


def child_context(node: str, step: str | None = None) -> Entered:
    """Return the context of a new span below the running one; outside any flow, the root of a new flow."""
    parent = place()
    if parent.__class__ is Lent and parent.is_left:
        parent = nearest_open(parent)
    if parent is None:
        return Entered(*root_context(node, step))
    child: Entered = _new(Entered, (parent[0], new_number(), parent[1], node, step))  # inline: many spans begin here
    child.before = parent
    return child


def root_context(node: str, step: str | None = None) -> SpanContext:
    """Return the context of a new span that is the root of a new flow."""
    return SpanContext(FlowState(new_flow_id(), node), new_number(), None, node, step)


foreign_parents: Final[list[Callable[[], RemoteParent | None]]] = []
"""Functions that return the running span of another tracing system, or None: a flow that begins in it is its child."""


class _FlowsKnown:
    """The states of flows by id, as long as they are referenced.

    A ``WeakValueDictionary`` takes ten times as long to add to and to lose a value from, a tenth of the time of a whole flow. The
    price: references to flows that are gone stay, at most as many as there are others, until they are swept.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, weakref.ref[FlowState]] = {}
        self._enough = _FEWEST_SWEPT

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, flow: FlowState) -> None:
        """Add a flow; of two with the same id the later one is known."""
        self._by_id[flow.id] = weakref.ref(flow)
        if len(self._by_id) > self._enough:
            self._sweep()

    def get(self, flow_id: str) -> FlowState | None:
        """Return the flow with an id, or None."""
        reference = self._by_id.get(flow_id)
        return None if reference is None else reference()

    def _sweep(self) -> None:
        # A copy: making a list of pairs may collect garbage, and then other threads, which add flows, run in between.
        for flow_id, reference in self._by_id.copy().items():
            if reference() is None and self._by_id.get(flow_id) is reference:
                self._by_id.pop(flow_id, None)
        self._enough = max(_FEWEST_SWEPT, 2 * len(self._by_id))


_FEWEST_SWEPT: Final = 1_024
flows_known: Final = _FlowsKnown()
"""Flows that ``flow`` opened, as long as they are referenced: their names and statuses, which their logs may lack."""
