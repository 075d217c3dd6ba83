"""Graphs, models and agents of LangChain and LangGraph for tests, in whatever version is installed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import count
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, StateGraph

import the_edge_obs as obs
from the_edge_obs.flow_log import FlowLog
from the_edge_obs.handlers import RingBufferHandler

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class State(TypedDict, total=False):
    """What the graphs work on."""

    log: Annotated[list[Any], operator.add]
    item: Any


class Model(BaseChatModel):
    """A chat model that answers by a list, again and again; a string is streamed in pieces, an exception is raised."""

    answers: list[Any]
    said: Any = None

    def model_post_init(self, context: Any) -> None:
        """Begin with the first answer."""
        self.said = count()

    @property
    def _llm_type(self) -> str:
        return "tests"

    def _next(self) -> AIMessage:
        answer = self.answers[next(self.said) % len(self.answers)]
        if isinstance(answer, BaseException):
            raise answer
        return AIMessage(answer, usage_metadata=USAGE) if isinstance(answer, str) else answer

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next()
        words = str(answer.content).split(" ")
        for number, word in enumerate(words):
            usage = answer.usage_metadata if number == len(words) - 1 else None
            piece = AIMessageChunk(word, usage_metadata=usage, tool_calls=answer.tool_calls)
            chunk = ChatGenerationChunk(message=piece)
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Take any tools."""
        return self.bind(tools=[{"type": "function", "function": {"name": tool.name}} for tool in tools], **kwargs)


def calling(name: str, **arguments: Any) -> AIMessage:
    """Return the answer of a model that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}], usage_metadata=USAGE)


def says(word: str) -> Callable[[State], State]:
    """Return a node that logs a word."""
    return lambda state: {"log": [word]}


def graph_of(name: str, *nodes: tuple[str, Any], checkpointer: Any = None, retry: Any = None) -> Any:
    """Return a graph of nodes, one after the other."""
    builder = StateGraph(State)
    before = START
    for step, node in nodes:
        if retry is None:
            builder.add_node(step, node)
        else:
            builder.add_node(step, node, **retry)
        builder.add_edge(before, step)
        before = step
    builder.add_edge(before, END)
    graph = builder.compile(checkpointer=checkpointer)
    graph.name = name  # the oldest version takes no name
    return graph


def agent_of(model: Any, tools: list[Any]) -> Any:
    """Return an agent that calls tools, as the installed versions make one."""
    try:
        from langchain.agents import create_agent
    except ImportError:
        from langgraph.prebuilt import create_react_agent

        return create_react_agent(model, tools)
    return create_agent(model, tools)


def logs(ring: RingBufferHandler) -> list[FlowLog]:
    """Return the log of each flow, in the order in which they began; each of them must be whole."""
    found = [obs.get_flow_log(flow_id) for flow_id in ring.flow_ids()]
    for log in found:
        assert_whole(log)
    return found


def only(ring: RingBufferHandler) -> FlowLog:
    """Return the log of the only flow, which must be whole."""
    (log,) = logs(ring)
    return log


def assert_whole(log: FlowLog) -> None:
    """Check that every span has ended, and that all are in one tree."""
    ids = [span.span_id for span in log.spans]
    assert len(set(ids)) == len(ids)
    assert [span.node for span in log.spans if span.status == "running"] == []
    assert [span.node for span in log.spans if span.partial and span.status != "error"] == []  # only errors of filtered nodes
    assert [span.node for span in log.spans if span.parent_id is None] == [log.spans[0].node]
    assert [span.node for span in log.spans if span.parent_id is not None and span.parent_id not in ids] == []
    assert (log.metrics["dropped_count"], log.metrics["fault_count"]) == (0, 0)


def drawn(log: FlowLog, *, is_sorted: bool = False) -> str:
    """Return the tree of a log: each span's node, step, and status unless it is ok; sorted where siblings run side by side."""
    by_id = {span.span_id: span for span in log.spans}

    def lines(span: Any, depth: int) -> list[str]:
        status = "" if span.status == "ok" else f" !{span.status}"
        below = [lines(by_id[child], depth + 1) for child in span.children]
        own = f"{'  ' * depth}{span.node}{'' if span.step is None else ' ' + span.step}{status}"
        return [own, *(line for group in (sorted(below) if is_sorted else below) for line in group)]

    (root,) = log.roots
    return "\n".join(lines(root, 0))


def data(log: FlowLog, node: str, event_type: str = "exit", step: str | None = None) -> dict[str, Any]:
    """Return the data of the first event of a node."""
    return next(
        event["data"]
        for event in log.events
        if (event["node"], event["event_type"]) == (node, event_type) and (step is None or event.get("step") == step)
    )
