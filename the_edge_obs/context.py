"""Where a call stands: one context variable with an immutable value, its ids, and how they cross process borders.

A span id is a UUID whose first 8 bytes are its flow's and whose last 8 bytes are random. So the last 8 bytes serve as
an OpenTelemetry span id, and a W3C ``traceparent`` (trace id = flow id, 8-byte parent) is enough to name the parent span
in full on the other side. Ids are kept as integers and written out when somebody reads them.
"""

from __future__ import annotations

import contextvars
import gc
import os
import random
import re
import sys
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

from .errors import ConfigurationError
from .policies import Policy, policy_of_scope
from .taints import Taints

P = ParamSpec("P")
R = TypeVar("R")

# The seed comes from the operating system; a forked child seeds anew, or it would repeat its parent's ids.
_ids = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)
random_bits: Final = _ids.getrandbits

# RFC 9562: the two top bits of the last 8 bytes are the variant, 0b10, in a UUID of version 4.
VARIANT: Final = 1 << 63
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class FlowState:
    """What is known about one run while it lasts; shared by every span of it.

    Attributes:
        id: The flow id, a canonical UUID string.
        prefix: The first 19 characters of every span id in it.
        name: What the flow is called.
        scope: The owner of handlers that only take this flow's events, or None.
        taints: The flow's secrets, which must not reappear in it, and its own redaction policy.
        ended: Whether its root span has ended.
        faults: How many times logging itself failed for an event of the flow.
        reported: Which failures the flow's log already shows.
        is_silent: Whether nobody has heard of it yet: its root is filtered, or nothing listens.
        status: ok, error or cancelled once its root has ended; until then running.
        is_abroad: Whether another process may log into it, so that memory alone does not know it all.
    """

    __slots__ = (
        "__weakref__",
        "ended",
        "faults",
        "id",
        "is_abroad",
        "is_silent",
        "name",
        "prefix",
        "reported",
        "scope",
        "status",
        "taints",
    )

    def __init__(self, flow_id: str, name: str, scope: object = None) -> None:
        self.id = flow_id
        self.prefix = flow_id[:19]
        self.name = name
        self.scope = scope
        self.taints = Taints(policy=policy_of_scope(scope))
        self.ended = self.is_abroad = False
        self.faults = 0
        self.status, self.is_silent = "running", True
        self.reported: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        # With a record that FlowContextFilter stamped it may get into a pickle, where its secrets have no business.
        return str, (self.id,)

    def span_id(self, number: int) -> str:
        """Return the UUID of the span whose last 8 bytes are ``number``."""
        # Grouped from the right: 2 bytes, a hyphen, 6 bytes. Three times as fast as formatting the two parts.
        return self.prefix + number.to_bytes(8, "big").hex("-", 6)


class SpanContext(NamedTuple):
    """One span's place: its flow, its number, its parent's number (None for a root), its node and step."""

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


class RemoteParent(NamedTuple):
    """A span in another process, as its ``traceparent`` names it."""

    flow_id: str
    number: int


Place: TypeAlias = "tuple[FlowState, int, int | None, str, str | None]"
"""A ``SpanContext``, or the bare tuple that the hot path makes in its stead: that takes a third of the time."""

CURRENT: Final[ContextVar[Place | None]] = ContextVar("the_edge_obs.span", default=None)
place: Final[Callable[[], Place | None]] = CURRENT.get


def _keep_mappings_in_use() -> None:
    """Keep a context's mapping alive while CPython below 3.12 works on it: it holds no reference itself (gh-148891).

    ``ContextVar.set``, ``reset`` and ``copy_context`` allocate, and an allocation may start a collection. A finalizer in there,
    such as the end of a generator's span, sets a variable, and with that frees the mapping that the interrupted call is still
    reading: the interpreter crashes. So each collection begins with a reference to the mapping that is current. It is dropped
    when a collection begins elsewhere: then the call is over. One call starts far fewer collections than are remembered.
    From 3.12 on, collections never start inside such a call.
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
    found = place()
    return None if found is None else context_of(found)


def context_of(place: Place) -> SpanContext:
    """Return a place with names on it."""
    return place if isinstance(place, SpanContext) else SpanContext(*place)


def _before_fork() -> None:
    """The child goes on in the running flow, and what it logs is not in this process's memory."""
    if (span := current()) is not None:
        span.flow.is_abroad = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def new_flow_id() -> str:
    """Return a new flow id: a random UUID (version 4) as a string."""
    return str(uuid.UUID(int=random_bits(128), version=4))


def new_number() -> int:
    """Return a new span number: 8 bytes, of which 62 bits are random."""
    return random_bits(62) | VARIANT


def checked_flow_id(flow_id: object) -> str:
    """Return a given flow id in its canonical form.

    Raises:
        ConfigurationError: it is not a UUID.
    """
    try:
        return str(uuid.UUID(str(flow_id)))
    except ValueError as error:
        raise ConfigurationError(
            f"flow_id {flow_id!r} is not a UUID; leave it out for a new one, "
            "or derive one from a name with uuid.uuid5(uuid.NAMESPACE_URL, name)"
        ) from error


def child_context(node: str, step: str | None = None) -> SpanContext:
    """Return the context of a new span below the running one; outside any flow it is the root of a flow of its own."""
    parent = current()
    if parent is None:
        return SpanContext(FlowState(new_flow_id(), node), new_number(), None, node, step)
    return SpanContext(parent.flow, new_number(), parent.number, node, step)


def inject(headers: MutableMapping[str, str]) -> MutableMapping[str, str]:
    """Add a W3C ``traceparent`` header for the running span, and return the headers; outside a flow they stay as they are.

    The format is https://www.w3.org/TR/trace-context/: ``00-<flow id>-<span>-01``.
    """
    span = current()
    if span is not None:
        span.flow.is_abroad = True
        headers["traceparent"] = f"00-{span.flow.id.replace('-', '')}-{span.number:016x}-01"
    return headers


def extract(headers: Mapping[str, str]) -> RemoteParent | None:
    """Return the remote span that a ``traceparent`` header names (in any case), or None without a valid one."""
    value = next((text for key, text in headers.items() if key.lower() == "traceparent"), None)
    match = _TRACEPARENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    version, trace, span, rest = match.groups()
    # Version 00 has exactly four fields; ff and all-zero ids are invalid (W3C Trace Context, section 3.2.2).
    if version == "ff" or (version == "00" and rest) or not int(trace, 16) or not int(span, 16):
        return None
    return RemoteParent(str(uuid.UUID(hex=trace)), int(span, 16))


flows_known: Final[weakref.WeakValueDictionary[str, FlowState]] = weakref.WeakValueDictionary()
"""Flows that ``flow`` opened, while somebody holds them: what they are called and how they ended, whatever their log shows."""

# Flows that a carrier was made in, while somebody holds them: a forked worker that gets it finds its flow here.
_carried: Final[weakref.WeakValueDictionary[str, FlowState]] = weakref.WeakValueDictionary()


class _Carrier(Generic[P, R]):
    """A function with the context of the call that wrapped it.

    Pickled, it takes the running span along in place of the whole context: in another process the function runs below that span,
    in the same flow. The flow's taints travel too, for what is a secret here must not show up in the log there.
    """

    __slots__ = ("__weakref__", "_context", "_fn")

    def __init__(self, fn: Callable[P, R], context: contextvars.Context) -> None:
        self._fn, self._context = fn, context

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._context.copy().run(self._fn, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        span = self._context.get(CURRENT)
        if span is None:
            return _unpickled, (self._fn, None, "", frozenset(), None, ())
        flow, *rest = span
        flow.is_abroad = True
        return _unpickled, (self._fn, flow.id, flow.name, flow.taints.copied(), flow.taints.policy, tuple(rest))


def _unpickled(
    fn: Callable[P, R], flow_id: str | None, name: str, taints: frozenset[str], policy: Policy | None, place: tuple[Any, ...]
) -> _Carrier[P, R]:
    """Return a carrier that came from another process; what else is in the context stays this process's own."""
    context = contextvars.copy_context()
    span = None
    if flow_id is not None:
        flow = _carried.setdefault(flow_id, FlowState(flow_id, name))
        flow.taints.policy = policy
        flow.taints.absorb(taints)
        span = SpanContext(flow, *place)
    # None as well: a forked worker still has the span of whoever started it.
    context.run(CURRENT.set, span)
    return _Carrier(fn, context)


def wrap(fn: Callable[P, R]) -> Callable[P, R]:
    """Return ``fn`` carrying the context of this call to wherever it runs: a pool, a thread, a timer, a callback.

    Each call runs in a copy of its own, so the result may be called many times and by many threads at once. It can be pickled if
    ``fn`` can, for pools of processes: there ``fn`` runs below the span that is running here, in the same flow. The pickle
    holds the secrets that the flow has redacted by their key, so that they stay out of the other process's log as well.
    """
    span = current()
    if span is not None:
        _carried[span.flow.id] = span.flow
    return _Carrier(fn, contextvars.copy_context())


def propagate() -> Callable[[], None]:
    """Make threads, and pools of threads and processes, inherit the context of whoever starts them, and return the undo.

    A thread gets the context of its ``start()``, the task of a ``concurrent.futures`` pool that of its ``submit()``. Process-wide
    and opt-in, since it changes what every library's threads see of every context variable. Several owners share one patch: it is
    taken back with the last of their undos.
    """
    owner = object()
    with _propagation.lock:
        if not _propagation.owners:
            _propagation.install()
        _propagation.owners.add(owner)

    def undo() -> None:
        with _propagation.lock:
            if owner in _propagation.owners:
                _propagation.owners.remove(owner)
                if not _propagation.owners:
                    _propagation.remove()

    return undo


class _Propagation:
    """The one patch of ``propagate``, and who wants it.

    Somebody may patch on top of it and keep it beyond its end: then it only passes calls on, and where it comes back to the top,
    the next patch stands in its place, not above it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owners: set[object] = set()
        self._is_undone = threading.Event()
        self._patches: list[tuple[Any, str, Any, Any]] = []

    def install(self) -> None:
        """Patch the methods that start threads and tasks."""
        self._is_undone = is_undone = threading.Event()
        submitting = threading.local()
        methods = [(threading.Thread, "start", _start_carrying), *((pool, "submit", _submit_carrying) for pool in _pools())]
        for owner, name, carrying in methods:
            theirs = getattr(owner, name)
            # Whoever patches with functools.wraps copies the mark of ours: it counts only on the function that it names.
            while (mark := getattr(theirs, _MARK, None)) is not None and mark[0] is theirs:
                theirs = mark[1]
            ours = carrying(theirs, submitting, is_undone)
            setattr(ours, _MARK, (ours, theirs))
            setattr(owner, name, ours)
            self._patches.append((owner, name, theirs, ours))

    def remove(self) -> None:
        """Give back what is still ours, and pass through from where somebody else still calls it."""
        self._is_undone.set()
        for owner, name, theirs, ours in self._patches:
            if getattr(owner, name) is ours:
                setattr(owner, name, theirs)
        self._patches.clear()


_MARK: Final = "_the_edge_obs_carrying"
_propagation: Final = _Propagation()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock."""
    _propagation.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _start_carrying(start: Callable[..., None], submitting: threading.local, is_undone: threading.Event) -> Callable[..., None]:
    def start_carrying(thread: threading.Thread) -> None:
        # A pool's worker outlives the task it was started for: it carries nothing, its tasks do.
        if not is_undone.is_set() and not getattr(submitting, "now", False):
            # What the instance already has is a run of ours from an earlier, failed start; what it has not, the class has.
            thread.run = wrap(thread.run)  # type: ignore[method-assign]
        start(thread)

    return start_carrying


def _submit_carrying(submit: Callable[..., Any], submitting: threading.local, is_undone: threading.Event) -> Callable[..., Any]:
    def submit_carrying(pool: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if is_undone.is_set():
            return submit(pool, fn, *args, **kwargs)
        outer, submitting.now = getattr(submitting, "now", False), True
        try:
            return submit(pool, wrap(fn), *args, **kwargs)
        finally:
            submitting.now = outer

    return submit_carrying


def _pools() -> list[Any]:
    from concurrent import futures

    try:
        return [futures.ThreadPoolExecutor, futures.ProcessPoolExecutor]
    except (ImportError, AttributeError):  # a platform without processes
        return [futures.ThreadPoolExecutor]
