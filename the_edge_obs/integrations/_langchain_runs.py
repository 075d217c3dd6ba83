"""The open runs of LangChain: for each the span that was started for it, and the place of what runs inside.

LangChain names the parent of each run. That is not always the parent in the log: an observed function may lie in between, and
some runs get no span. So each run also becomes current in the context in which it starts, unless user code outside of it may
share that context. What starts there later is below the current span if the innermost run of that context is its parent.

A run may end in another context than it started in. The asynchronous managers end runs in a task of their own. Then the context
of the start still has the ended run, and ``current()`` and ``_innermost`` skip it.
"""

from __future__ import annotations

import logging
import sys
from asyncio import CancelledError, get_running_loop
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import Context, ContextVar, Token, copy_context
from functools import partial
from time import perf_counter_ns
from typing import Any, Final, TypeVar

from .. import ObservabilityContext, SpanContext, StartedSpan, current, flow, guard, is_configured, start_span, use_span

GRAPH: Final = "graph"
NODE: Final = "graph.node"
CHAIN: Final = "chain"
LLM: Final = "llm.call"
TOOL: Final = "tool"
RETRIEVER: Final = "retriever"

MAX_OPEN: Final = 10_000  # runs; beyond that, the oldest ends as cancelled

_LOGGERS: Final = tuple(logging.getLogger(f"tea.{node}") for node in (GRAPH, LLM, TOOL, RETRIEVER, CHAIN))

# Before Python 3.11, an async step runs in the context in which its run started, and does not know its parent.
_SHARES_CONTEXTS: Final = sys.version_info < (3, 11)

_EMPTY: Final = Context()
"""The context around a run that has ended: a chain of such runs must not keep all of them alive."""

_T = TypeVar("_T")

_HERE: Final[ContextVar[Run | None]] = ContextVar("the_edge_obs.langchain", default=None)


def is_on() -> bool:
    """Tell whether anything of a run may be logged now."""
    for logger in _LOGGERS:
        if logger.isEnabledFor(logging.INFO):
            return True
    return is_configured()


class Run:
    """One open run.

    Attributes:
        name: The name that LangChain has for it, or None.
        node: Its node, or what it would be if it were shown.
        span: Its span, or None if it is not shown.
        anchor: The run itself if it is shown, otherwise the nearest run around it that is.
        parent: The run around it, as LangChain names it or as the context has it, if that is open.
        outer: The span around it, or None outside any flow.
        around: The context outside of it: where ``outer`` is None, no span is current there.
        place: The span that everything inside is below.
        flow: The flow that was opened for it, or None.
        seen: The id of the last error that a run inside it ended with.
        chunks: How many chunks it has streamed.
        first: Nanoseconds from its start to its first chunk, or 0.
    """

    __slots__ = (
        "_before", "_is_ended", "_token", "_using", "anchor", "around", "chunks", "first", "flow", "name", "node", "outer",
        "parent", "place", "seen", "span", "started",
    )  # fmt: skip

    def __init__(self, node: str, name: str | None, parent: Run | None) -> None:
        self.node, self.name, self.parent = node, name, parent
        self.span: StartedSpan | None = None
        self.flow: ObservabilityContext | None = None
        self.chunks = self.first = self.seen = 0
        self.started = 0
        self._before: Run | None = None
        self._is_ended = False
        self._token: Token[Run | None] | None = None
        self._using: AbstractContextManager[None] | None = None
        self.around = copy_context()
        self.outer = self.place = self._outer()
        self.anchor: Run | None = None if self.parent is None else self.parent.anchor

    def _outer(self) -> SpanContext | None:
        """Return the span around the run."""
        here = _innermost()
        if self.parent is None and here is not None:
            if here.node == CHAIN and here.began_here():
                self.around = here.around
                return here.outer  # a batch of chains, or two streams in turns: both start in the context of the caller
            self.parent = here  # LangChain lost it, as it does where a run inside gets callbacks of its own
        if self.parent is None or here is self.parent.anchor:
            return current()
        self.around = self.parent.around
        return self.parent.place

    def began_here(self) -> bool:
        """Tell whether the run became current in the running context itself, not in one that this is a copy of."""
        if self._token is None or (_SHARES_CONTEXTS and _is_async()):
            return False
        try:
            _HERE.reset(self._token)
        except (ValueError, RuntimeError):
            return False
        self._token = _HERE.set(self)
        return True

    def show(self, given: Callable[[], Any] | None, level: int, tool: str = "") -> None:
        """Start a span for the run; outside any flow, a graph or chain first opens one of its name.

        Args:
            given: Returns the input of the span, or None if it has none.
            level: The level of the span.
            tool: The end of the node's name, with its dot.
        """
        if self.outer is None and self.node in (GRAPH, CHAIN):
            self.flow = flow(self.name or self.node)
            self.place = self._outside(partial(_begun, self.flow))
        node, about = self.node + tool, {}
        if given is not None and logging.getLogger(f"tea.{node}").isEnabledFor(level):
            with guard("reading the input of a run of LangChain", self.place):
                about["input"] = given()
        if self.place is None:
            self.span = self._outside(partial(start_span, node, step=self.name, level=level, **about))
        else:
            self.span = start_span(node, parent=self.place, step=self.name, level=level, **about)
        self.place, self.anchor = self.span.context or self.place, self
        self.started = perf_counter_ns()

    def _outside(self, call: Callable[[], _T]) -> _T:
        """Call a function outside any span: a chain that began in the same context may be current here, and not be around it."""
        return call() if current() is None else self.around.copy().run(call)

    def enter(self) -> None:
        """Make the run current in the running context, unless it is."""
        here = _innermost()
        if self.anchor is None or here is self.anchor:
            return
        if self.anchor is self:
            self._before = here
        self._token = _HERE.set(self.anchor)
        self._using = use_span(self.place)
        self._using.__enter__()

    def leave(self) -> None:
        """Make what was before the run current again, if this is the context in which it became current."""
        using, token, self._using, self._token = self._using, self._token, None, None
        if using is not None:
            using.__exit__(None, None, None)
        if token is not None:
            with suppress(ValueError, RuntimeError):
                _HERE.reset(token)

    def note_chunk(self) -> None:
        """Count a chunk. After the first one, the code that reads the chunks is not inside the run."""
        self.chunks += 1
        if not self.first:
            self.first = perf_counter_ns() - self.started
            self.leave()

    def end(self, output: Any = None, error: BaseException | None = None) -> None:
        """Log the end of the run.

        Args:
            output: The output of the span.
            error: What the run failed with, or None.
        """
        self.leave()
        self._is_ended, self.around = True, _EMPTY
        is_new = error is not None and self.seen != id(error)
        if error is not None and self.parent is not None:
            self.parent.seen = id(error)
        if self.span is not None:
            metrics = {"chunks": self.chunks, "time_to_first_chunk_ms": self.first / 1e6} if self.chunks else None
            if error is not None and self.span.context is None:
                with use_span(self.place):
                    self.span.end(error=error)
            else:
                self.span.end(output, error, metrics)
        elif is_new and isinstance(error, Exception):  # otherwise nothing would say which step failed
            with use_span(self.place):
                start_span(CHAIN, step=self.name, level="debug").end(error=error)
        if self.flow is not None:
            self.flow.close(error)


_open: Final[dict[Any, Run]] = {}


def opened(run_id: Any, run: Run) -> None:
    """Remember a run until it ends. If too many are open, the oldest will hardly end: it ends as cancelled."""
    _open[run_id] = run
    while len(_open) > MAX_OPEN:
        with suppress(RuntimeError, KeyError, StopIteration):  # another thread was faster
            _open.pop(next(iter(_open))).end(error=CancelledError("too many runs are open"))


def open_run(run_id: Any) -> Run | None:
    """Return the open run with an id, or None."""
    return _open.get(run_id)


def take(run_id: Any) -> Run | None:
    """Return the open run with an id, and forget it; None if it is not open."""
    return _open.pop(run_id, None)


def take_inner(run: Run) -> list[Run]:
    """Return the open runs inside a run, the innermost first, and forget them.

    LangChain ends the runs inside a cancelled run before it, but those of which it was cancelled while they started.
    """
    inside, ids = [run], []
    for run_id, other in list(_open.items()):
        if any(other.parent is around for around in inside):
            inside.append(other)
            ids.append(run_id)
    return [taken for run_id in reversed(ids) if (taken := take(run_id)) is not None]


def _innermost() -> Run | None:
    """Return the innermost shown run that is current in this context and still open."""
    run = _HERE.get()
    while run is not None and run._is_ended:
        run = run._before
    return run


def _begun(opened: ObservabilityContext) -> SpanContext | None:
    """Begin a flow, and return its root."""
    with use_span(opened):
        return current()


def _is_async() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True
