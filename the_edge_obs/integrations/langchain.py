"""LangChain and LangGraph: a callback handler that logs their runs as spans.

Needs the extra ``langchain`` (langchain-core 0.3 or newer). LangGraph is observed where it is installed.

A graph is a span ``graph``, its nodes are spans ``graph.node`` whose steps are their names, and models, tools and retrievers are
``llm.call``, ``tool.NAME`` and ``retriever``. A chain is one span ``chain``; its steps are spans at level debug. Outside any
flow, a graph or chain is a flow of its own, with its name.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from types import FrameType
from typing import Any, Final, TypeVar, cast

from .. import MissingExtraError, guard

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers.context import register_configure_hook
except ImportError as error:
    raise MissingExtraError("the integration with LangChain", "langchain") from error

from ._langchain_runs import CHAIN, GRAPH, LLM, NODE, RETRIEVER, TOOL, Run, is_on, open_run, opened, take, take_inner
from ._langchain_values import answered, asked, bubbled, is_bubble, plain

__all__ = ["FlowCallback", "install"]

_HIDDEN: Final = "langsmith:hidden"  # LangGraph's own steps, which it wants to be in no trace
_STEP: Final = "graph:step:"  # the tag of a node
_UNFIT: Final = re.compile(r"[^\w-]+")  # what a logger's name should not have
_LONGEST_TOOL: Final = 64  # characters
_CHAINS: Final = logging.getLogger(f"tea.{CHAIN}")

_Method = TypeVar("_Method", bound=Callable[..., None])


def _harmless(method: _Method) -> _Method:
    """Report what a method raises: LangChain would log it without redaction, or raise it in the observed code."""
    guarded = guard(f"LangChain's {method.__name__}")

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> None:
        with guarded:
            method(*args, **kwargs)

    return cast("_Method", call)


class FlowCallback(BaseCallbackHandler):
    """Log the runs of LangChain and LangGraph as spans: ``graph.invoke(state, {"callbacks": [FlowCallback()]})``.

    It has no state of its own: one handler serves any number of runs, threads and event loops, and several log a run once.
    While observability is off, it logs nothing.

    Example:
        >>> chain.invoke({"topic": "tides"}, {"callbacks": [FlowCallback()]})
    """

    run_inline = True  # otherwise asynchronous runs call it in another thread, in a copy of their context

    @_harmless
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a graph, a node of a graph, a chain, or a step of a chain."""
        if not is_on() or open_run(run_id) is not None:
            return
        tags, name, parent = tags or [], _name(kwargs, serialized), open_run(parent_run_id)
        if any(tag.startswith(_STEP) for tag in tags) or _is_task(name, metadata, parent):
            node = NODE
        else:
            node = GRAPH if _is_graph(sys._getframe(1)) else CHAIN
        run = Run(node, name, parent)
        level = logging.DEBUG if node == CHAIN and run.parent is not None else logging.INFO
        if _HIDDEN not in tags and (level == logging.INFO or _CHAINS.isEnabledFor(level)):
            run.show(None if _is_unknown(inputs) else lambda: plain(inputs), level)
        opened(run_id, run)
        if node != GRAPH:  # of a graph, only its nodes run the user's code; and what reads its stream is not inside it
            run.enter()

    @_harmless
    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[Any]],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a chat model."""
        given = lambda: asked(kwargs, metadata, {"messages": plain(messages[0]) if messages else []})  # noqa: E731
        _start(LLM, kwargs, run_id, parent_run_id, given)

    @_harmless
    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a model that completes a text."""
        given = lambda: asked(kwargs, metadata, {"prompt": prompts[0] if prompts else None})  # noqa: E731
        _start(LLM, kwargs, run_id, parent_run_id, given)

    @_harmless
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a tool."""
        tool = _UNFIT.sub("_", str((serialized or {}).get("name") or "tool"))[:_LONGEST_TOOL]
        _start(TOOL, kwargs, run_id, parent_run_id, lambda: plain(input_str if inputs is None else inputs), f".{tool}")

    @_harmless
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a retriever."""
        _start(RETRIEVER, kwargs, run_id, parent_run_id, lambda: {"query": query})

    @_harmless
    def on_llm_new_token(self, token: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Count a chunk of a model."""
        if (run := open_run(run_id)) is not None:
            run.note_chunk()

    @_harmless
    def on_stream_event(self, event: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Count a chunk of a model whose chunks are events."""
        if event.get("event") == "content-block-delta" and (run := open_run(run_id)) is not None:
            run.note_chunk()

    @_harmless
    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        """End a graph, a node, a chain or a step."""
        _end(run_id, lambda: plain(outputs))

    @_harmless
    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        """End a model."""
        _end(run_id, lambda: answered(response))

    @_harmless
    def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
        """End a tool. A message with the status ``error`` is an error that the tool has handled."""
        _end(run_id, lambda: _result(output))

    @_harmless
    def on_retriever_end(self, documents: Any, *, run_id: Any, **kwargs: Any) -> None:
        """End a retriever."""
        _end(run_id, lambda: {"documents": plain(list(documents))})

    @_harmless
    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """End what raised. An interrupt of a graph is the output of its node, not an error."""
        if is_bubble(error):
            _end(run_id, lambda: bubbled(error))
        elif (run := take(run_id)) is not None:
            for ended in [*([] if isinstance(error, Exception) else take_inner(run)), run]:
                ended.end(error=error)

    on_llm_error = on_tool_error = on_retriever_error = on_chain_error

    @_harmless
    def on_retry(self, retry_state: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Log that a model is asked again."""
        run, failed = open_run(run_id), getattr(retry_state.outcome, "failed", False)
        if run is not None and run.span is not None and failed:
            error = retry_state.outcome.exception()
            run.span.log(f"attempt {retry_state.attempt_number} failed: {type(error).__name__}: {error}", "warn")

    @_harmless
    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Log an event that the observed code has dispatched."""
        run = open_run(run_id)
        if run is not None and run.anchor is not None and run.anchor.span is not None:
            run.anchor.span.log(name, data=plain(data))


def install() -> Callable[[], None]:
    """Observe every run of LangChain and LangGraph from now on, and return the undo.

    While observability is off, LangChain gets no handler, and runs what it would run without this.

    Example:
        >>> undo = install()
        >>> graph.invoke({"question": "Is it high tide?"})
        >>> undo()
    """
    global _is_registered
    if not _is_registered:
        _is_registered = True
        register_configure_hook(cast("Any", _Variable()), inheritable=True, handle_class=FlowCallback)
    mark = object()
    _installed.add(mark)
    return lambda: _installed.discard(mark)


_installed: Final[set[object]] = set()
_is_registered = False
_callback: Final = FlowCallback()


class _Variable:
    """Stands for the context variable that LangChain asks for a handler: one that has a value in every thread, or in none."""

    def get(self) -> FlowCallback | None:
        return _callback if _installed and is_on() else None


def _start(
    node: str, about: Mapping[str, Any], run_id: Any, parent_run_id: Any, given: Callable[[], Any], tool: str = ""
) -> None:
    """Start a run that is always shown."""
    if not is_on() or open_run(run_id) is not None:
        return
    run = Run(node, about.get("name"), open_run(parent_run_id))
    run.show(given, logging.INFO, tool)
    opened(run_id, run)
    if about.get("batch_size", 1) == 1:  # otherwise the others of the batch start in the same context
        run.enter()


def _end(run_id: Any, output: Callable[[], Any]) -> None:
    run, given = take(run_id), None
    if run is None:
        return
    if run.span is not None:
        with guard("reading the output of a run of LangChain", run.place):
            given = output()
    run.end(given)


def _result(output: Any) -> Any:
    found = plain(output)
    if getattr(output, "status", None) == "error" and isinstance(found, dict):
        return {"success": False, "error": found.get("content"), **found}
    return found


def _is_unknown(inputs: Any) -> bool:
    """Tell whether the inputs are those that LangChain gives for a stream when it starts, ``{"input": ""}``."""
    return type(inputs) is dict and len(inputs) == 1 and type(text := inputs.get("input")) is str and not text


def _name(about: Mapping[str, Any], serialized: Mapping[str, Any] | None) -> str | None:
    return about.get("name") or (serialized or {}).get("name")


def _is_task(name: str | None, metadata: Mapping[str, Any] | None, parent: Run | None) -> bool:
    """Tell whether a run inside a node of a graph is a task, which LangGraph's functional API runs like a node."""
    if parent is None or parent.anchor is None or not metadata or metadata.get("langgraph_node") != name:
        return False
    return parent.anchor.node == NODE and parent.anchor.name != name


def _is_graph(frame: FrameType | None) -> bool:
    """Tell whether LangGraph started the run for a whole graph. Only the caller's module tells, at the start of the run."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module != __name__ and not module.startswith("langchain_core.callbacks"):
            return module.startswith("langgraph.pregel")
        frame = frame.f_back
    return False
