"""LangChain and LangGraph: their runs are spans of one tree, wherever and however they run."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import the_edge_obs as obs

pytest.importorskip("langgraph")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, CallbackManager, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph

from the_edge_obs.context import CURRENT, Lent
from the_edge_obs.integrations import _langchain_runs
from the_edge_obs.integrations.langchain import FlowCallback, install

from .langchain_parts import Model, State, agent_of, assert_whole, calling, data, drawn, graph_of, logs, only, says

try:
    from langgraph.types import RetryPolicy, Send
except ImportError:  # the oldest version
    from langgraph.constants import Send
    from langgraph.pregel.types import RetryPolicy

SECRET = "sk-proj-1234567890abcdefghijABCDEFGHIJ"


@pytest.fixture(autouse=True)
def undo(ring: obs.RingBufferHandler) -> Iterator[Callable[[], None]]:
    """Observe everything into the ring, at level info; return the undo."""
    logging.getLogger("tea").setLevel(logging.INFO)
    undo = install()
    yield undo
    undo()
    assert _langchain_runs._open == {}


@obs.observable("shop.work")
def work(item: Any) -> Any:
    return item


@obs.observable("shop.later")
async def later(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


@tool
def weigh(parcel: str) -> int:
    """Weigh a parcel."""
    return len(str(work(parcel)))


def asks(model: Any) -> Callable[[State], State]:
    """Return a node that asks a model between two observed calls."""

    def node(state: State) -> State:
        work("before")
        answer = model.invoke([HumanMessage("hi")])
        work("after")
        return {"log": [answer.content]}

    return node


def asks_later(model: Any) -> Any:
    """Return the same as a coroutine function."""

    async def node(state: State, config: RunnableConfig) -> State:
        work("before")
        answer = await model.ainvoke([HumanMessage("hi")], config)
        await later("after")
        work("after")
        return {"log": [answer.content]}

    return node


def run(graph: Any, how: str, state: Any = None) -> Any:
    """Run a graph in one of four ways."""
    state = {"log": []} if state is None else state
    if how == "invoke":
        return graph.invoke(state)
    if how == "stream":
        return list(graph.stream(state))
    if how == "ainvoke":
        return asyncio.run(graph.ainvoke(state))

    async def read() -> list[Any]:
        return [piece async for piece in graph.astream(state)]

    return asyncio.run(read())


HOW = pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])


# --- trees ---


@HOW
def test_a_graph_is_a_flow_of_its_own(ring: obs.RingBufferHandler, how: str) -> None:
    """Outside any flow the flow has the graph's name; what is called in a node is below that node."""
    graph = graph_of("triage", ("plan", says("plan")), ("ask", asks(Model(answers=["a b"]))), ("done", says("done")))
    run(graph, how)
    log = only(ring)
    assert (log.name, log.status, log.metrics["tokens"]) == ("triage", "ok", 5)
    assert drawn(log) == (
        "flow\n"
        "  graph triage\n"
        "    graph.node plan\n"
        "    graph.node ask\n"
        "      shop.work\n"
        "      llm.call\n"
        "      shop.work\n"
        "    graph.node done"
    )
    assert data(log, "graph", "entry")["input"] == {"log": []}
    assert data(log, "graph.node", "entry", "ask")["input"]["log"] == ["plan"]
    assert data(log, "graph.node", step="ask")["output"] == {"log": ["a b"]}
    if how in ("invoke", "ainvoke"):
        assert data(log, "graph")["output"]["log"] == ["plan", "a b", "done"]


@HOW
def test_a_graph_in_a_flow_is_a_span_of_it(ring: obs.RingBufferHandler, how: str) -> None:
    graph = graph_of("triage", ("ask", asks(Model(answers=["a b"]))))
    with obs.flow("desk"), obs.span("ticket"):
        run(graph, how)
        work("last")
    assert drawn(only(ring)) == (
        "flow\n"
        "  ticket\n"
        "    graph triage\n"
        "      graph.node ask\n"
        "        shop.work\n"
        "        llm.call\n"
        "        shop.work\n"
        "    shop.work"
    )


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
def test_async_nodes_are_parents_of_what_they_call(ring: obs.RingBufferHandler, how: str) -> None:
    """LangChain starts such runs in the node's context and ends them in another; what comes afterwards is not below them."""
    graph = graph_of("triage", ("one", asks_later(Model(answers=["a b"]))), ("two", asks_later(Model(answers=["c"]))))
    run(graph, how)
    node = "      shop.work\n      llm.call\n      shop.later\n      shop.work"
    assert drawn(only(ring)) == f"flow\n  graph triage\n    graph.node one\n{node}\n    graph.node two\n{node}"


def test_async_nodes_that_pass_no_config(ring: obs.RingBufferHandler) -> None:
    """Before Python 3.11 LangChain does not know the parent of such runs; the context does."""

    async def node(state: State) -> State:
        await Model(answers=["a"]).ainvoke("hi")
        await (RunnableLambda(work) | RunnableLambda(later)).ainvoke(1)
        work("after")
        return {"log": []}

    asyncio.run(graph_of("g", ("ask", node)).ainvoke({"log": []}))
    tree = drawn(only(ring)).replace("      chain RunnableSequence\n  ", "")
    called = "      llm.call\n      shop.work\n      shop.later\n      shop.work"
    assert tree == f"flow\n  graph g\n    graph.node ask\n{called}"


@HOW
def test_a_fan_out_by_send(ring: obs.RingBufferHandler, how: str) -> None:
    """Each branch is a node of its own, with what it was sent and what it calls."""
    builder = StateGraph(State)
    builder.add_node("split", says("split"))
    builder.add_node("branch", lambda state: {"log": [work(state["item"])]})
    builder.add_node("join", says("join"))
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", lambda state: [Send("branch", {"item": item}) for item in range(3)], ["branch"])
    builder.add_edge("branch", "join")
    builder.add_edge("join", END)
    run(builder.compile(), how)
    log = only(ring)
    branch = "    graph.node branch\n      shop.work\n"
    assert drawn(log) == f"flow\n  graph LangGraph\n    graph.node split\n{branch * 3}    graph.node join"
    given = [
        event["data"]["input"]
        for event in log.events
        if (event["node"], event["event_type"], event.get("step")) == ("graph.node", "entry", "branch")
    ]
    assert sorted(one["item"] for one in given) == [0, 1, 2]


@HOW
def test_an_agent_that_calls_tools(ring: obs.RingBufferHandler, how: str) -> None:
    """Models and tools are below the nodes that call them, whatever the versions call those; the calls are in the log."""
    model = Model(answers=[calling("weigh", parcel="lamp"), "it weighs 4"])
    run(agent_of(model, [weigh]), how, {"messages": [("user", "how heavy is the lamp?")]})
    log = only(ring)
    found = drawn(log)
    name = next(line.split()[1] for line in found.splitlines() if "graph.node" in line)  # agent, or model
    chain = "      chain RunnableSequence\n" if "chain RunnableSequence" in found else ""
    assert chain == ""
    assert found == (
        "flow\n"
        "  graph LangGraph\n"
        f"    graph.node {name}\n"
        "      llm.call\n"
        "    graph.node tools\n"
        "      tool.weigh\n"
        "        shop.work\n"
        f"    graph.node {name}\n"
        "      llm.call"
    )
    assert log.metrics["tokens"] == 10
    call = {"id": "call-weigh", "type": "function", "function": {"name": "weigh", "arguments": {"parcel": "lamp"}}}
    assert data(log, "llm.call", "entry")["input"]["tools"] == ["weigh"]
    assert data(log, "llm.call")["output"]["tool_calls"] == [call]
    assert data(log, "tool.weigh", "entry")["input"] == {"parcel": "lamp"}
    assert data(log, "tool.weigh")["output"] == {"role": "tool", "content": "4", "name": "weigh", "tool_call_id": "call-weigh"}


@HOW
def test_a_graph_in_a_graph(ring: obs.RingBufferHandler, how: str) -> None:
    """As a node, and called in a node: each is a graph below the node."""
    inner = graph_of("inner", ("ask", asks(Model(answers=["a"]))))

    def calls(state: State) -> State:
        with obs.span("mine"):
            return {"log": inner.invoke({"log": []})["log"]}

    run(graph_of("outer", ("sub", inner), ("calls", calls)), how)
    assert drawn(only(ring)) == (
        "flow\n"
        "  graph outer\n"
        "    graph.node sub\n"
        "      graph inner\n"
        "        graph.node ask\n"
        "          shop.work\n"
        "          llm.call\n"
        "          shop.work\n"
        "    graph.node calls\n"
        "      mine\n"
        "        graph inner\n"
        "          graph.node ask\n"
        "            shop.work\n"
        "            llm.call\n"
        "            shop.work"
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_tasks_of_the_functional_api(ring: obs.RingBufferHandler, is_async: bool) -> None:
    """A task is a node below the one that calls it."""
    func = pytest.importorskip("langgraph.func")
    if is_async and sys.version_info < (3, 11):
        pytest.skip("LangGraph cannot call tasks of coroutine functions then")

    @func.task
    def add(number: int) -> Any:
        return work(number + 1)

    @func.task
    async def aadd(number: int) -> Any:
        return await later(number + 1)

    @func.entrypoint()
    def sums(number: int) -> list[int]:
        return [one.result() for one in [add(number), add(number)]]

    @func.entrypoint()
    async def asums(number: int) -> list[int]:
        return [await one for one in [aadd(number), aadd(number)]]

    assert (asyncio.run(asums.ainvoke(1)) if is_async else sums.invoke(1)) == [2, 2]
    a, call = ("a", "shop.later") if is_async else ("", "shop.work")
    task = f"      graph.node {a}add\n        {call}"
    assert drawn(only(ring)) == f"flow\n  graph LangGraph\n    graph.node {a}sums\n{task}\n{task}"


def test_async_streaming(ring: obs.RingBufferHandler) -> None:
    """The chunks of a model are counted, the first one is timed, and what reads a graph's stream is not inside the graph."""

    async def node(state: State, config: RunnableConfig) -> State:
        words = [piece.content async for piece in Model(answers=["a b c"]).astream([HumanMessage("hi")], config)]
        work("after")
        return {"log": words}

    async def read() -> None:
        async with obs.flow("desk"):
            async for _ in graph_of("triage", ("talk", node), ("end", says("end"))).astream({"log": []}):
                await later("reader")

    asyncio.run(read())
    log = only(ring)
    assert drawn(log, is_sorted=True) == (
        "flow\n"
        "  graph triage\n"
        "    graph.node end\n"
        "    graph.node talk\n"
        "      llm.call\n"
        "      shop.work\n"
        "  shop.later\n"
        "  shop.later"
    )
    (call,) = (span for span in log.spans if span.node == "llm.call")
    assert call.metrics["chunks"] >= 3
    assert 0 < call.metrics["time_to_first_chunk_ms"] <= (call.duration_ms or 0)
    assert data(log, "llm.call")["output"]["content"] == "abc"


def test_a_chain_is_one_span(ring: obs.RingBufferHandler) -> None:
    """Its steps are spans only at level debug; what they call is below the chain in any case."""
    chain = RunnableLambda(work) | RunnableLambda(str) | Model(answers=["a"])
    assert chain.invoke(1).content == "a"
    logging.getLogger("tea").setLevel(logging.DEBUG)
    chain.invoke(2)
    quiet, verbose = logs(ring)
    assert drawn(quiet) == "flow\n  chain RunnableSequence\n    shop.work\n    llm.call"
    assert drawn(verbose) == (
        "flow\n"
        "  chain RunnableSequence\n"
        "    chain work\n"
        "      shop.work\n"
        f"    chain {RunnableLambda(str).get_name()}\n"
        "    llm.call"
    )


class Shelf(BaseRetriever):
    """A retriever that finds one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        work(query)
        return [Document(page_content=f"about {query}", metadata={"page": 7})]


def test_models_tools_and_retrievers_alone(ring: obs.RingBufferHandler) -> None:
    """Outside a flow each is a flow's root, as an observed function is."""
    Model(answers=["a"]).invoke("hi")
    weigh.invoke({"parcel": "lamp"})
    Shelf().invoke("tides")
    found = logs(ring)
    assert [drawn(log) for log in found] == ["llm.call", "tool.weigh\n  shop.work", "retriever Shelf\n  shop.work"]
    assert data(found[0], "llm.call", "entry")["input"]["messages"] == [{"role": "user", "content": "hi"}]
    assert (data(found[1], "tool.weigh", "entry")["input"], data(found[1], "tool.weigh")["output"]) == ({"parcel": "lamp"}, 4)
    assert data(found[2], "retriever", "entry")["input"] == {"query": "tides"}
    assert data(found[2], "retriever")["output"] == {"documents": [{"content": "about tides", "metadata": {"page": 7}}]}


def test_messages_in_a_state_are_short(ring: obs.RingBufferHandler) -> None:
    """A message in the state of a graph is logged as its role and content."""
    graph_of("g", ("a", lambda state: {"log": [AIMessage("hello")]})).invoke(
        {"log": [HumanMessage("hi")], "item": {"deep": [HumanMessage("x")]}}
    )
    log = only(ring)
    assert data(log, "graph", "entry")["input"] == {
        "log": [{"role": "user", "content": "hi"}],
        "item": {"deep": [{"role": "user", "content": "x"}]},
    }
    assert data(log, "graph.node")["output"] == {"log": [{"role": "assistant", "content": "hello"}]}


# --- side by side ---


def test_a_batch_of_graphs_is_a_flow_each(ring: obs.RingBufferHandler) -> None:
    graph = graph_of("triage", ("ask", asks(Model(answers=["a"]))))
    graph.batch([{"log": []}] * 3)
    asyncio.run(graph.abatch([{"log": []}] * 3))
    expected = "flow\n  graph triage\n    graph.node ask\n      shop.work\n      llm.call\n      shop.work"
    assert [drawn(log) for log in logs(ring)] == [expected] * 6


def test_a_batch_of_chains_is_a_flow_each(ring: obs.RingBufferHandler) -> None:
    """LangChain starts all of them in one context before any of them runs."""
    chain = RunnableLambda(work) | RunnableLambda(str) | Model(answers=["a"])
    chain.batch([1, 2, 3])
    asyncio.run(chain.abatch([4, 5]))
    found = logs(ring)
    assert [drawn(log) for log in found] == ["flow\n  chain RunnableSequence\n    shop.work\n    llm.call"] * 5
    assert sorted(data(log, "shop.work")["output"] for log in found) == [1, 2, 3, 4, 5]
    assert not any("outer" in log.events[0]["data"] for log in found)


def test_a_batch_in_a_flow_is_in_that_flow(ring: obs.RingBufferHandler) -> None:
    chain = RunnableLambda(work) | RunnableLambda(str)
    with obs.flow("desk"):
        chain.batch([1, 2])
        work("last")
    assert drawn(only(ring)) == "flow" + "\n  chain RunnableSequence\n    shop.work" * 2 + "\n  shop.work"


def test_several_prompts_of_one_call_are_siblings(ring: obs.RingBufferHandler) -> None:
    """A model that is given several conversations at once starts all runs before it asks."""

    def node(state: State) -> State:
        Model(answers=["a", "b"]).generate([[HumanMessage("1")], [HumanMessage("2")]])
        return {"log": [work("after")]}

    graph_of("g", ("ask", node)).invoke({"log": []})
    assert drawn(only(ring)) == "flow\n  graph g\n    graph.node ask\n      llm.call\n      llm.call\n      shop.work"


def test_two_streams_in_turns_are_flows_of_their_own(ring: obs.RingBufferHandler) -> None:
    """Both start in the context of what reads them."""
    graph = graph_of("g", ("a", says("a")), ("b", says("b")))
    chain = RunnableLambda(lambda text: text) | Model(answers=["a b c"])
    for made in (lambda: graph.stream({"log": []}), lambda: chain.stream("x")):
        one, two = made(), made()
        next(one), next(two)
        list(one), list(two)
    tree = "flow\n  chain RunnableSequence\n    llm.call"
    assert [drawn(log) for log in logs(ring)] == ["flow\n  graph g\n    graph.node a\n    graph.node b"] * 2 + [tree] * 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="LangChain hands no context to coroutines then")
def test_two_async_streams_in_turns_are_flows_of_their_own(ring: obs.RingBufferHandler) -> None:
    chain = RunnableLambda(lambda text: text) | Model(answers=["a b c"])

    async def read() -> None:
        one, two = chain.astream("x"), chain.astream("y")
        for stream in (one, two, one, two):
            await stream.__anext__()
        work("between")
        for stream in (one, two):
            async for _ in stream:
                pass
        work("after")

    asyncio.run(read())
    tree = "flow\n  chain RunnableSequence\n    llm.call"
    first, second, *after = logs(ring)
    assert (drawn(first), drawn(after[-1])) == (tree, "shop.work")
    assert drawn(second).startswith(tree)


def test_what_is_asked_while_a_chain_is_read_is_not_in_it(ring: obs.RingBufferHandler) -> None:
    """The chain is current in the reader's context, but has begun there itself. Other context variables stay."""
    stream = (RunnableLambda(lambda text: text) | Model(answers=["a b c"])).stream("x")
    next(stream)
    Model(answers=["d"]).invoke("hi")
    RunnableLambda(work).invoke(1)
    list(stream)
    assert [drawn(log) for log in logs(ring)] == [
        "flow\n  chain RunnableSequence\n    llm.call",
        "llm.call",
        "flow\n  chain work\n    shop.work",
    ]


def test_inputs_of_foreign_types(ring: obs.RingBufferHandler) -> None:
    """What compares in its own way, such as an array, is logged as any value is."""

    class Array:
        def __eq__(self, other: object) -> Any:
            raise ValueError("the truth value of an array is ambiguous")

    RunnableLambda(work).invoke(Array())
    RunnableLambda(work).invoke({"input": Array()})
    list(RunnableLambda(work).stream("x"))
    first, second, streamed = logs(ring)
    assert "Array" in data(first, "chain", "entry")["input"]
    assert list(data(second, "chain", "entry")["input"]) == ["input"]
    assert data(streamed, "chain", "entry") == {}


def test_graphs_in_threads_and_in_one_loop(ring: obs.RingBufferHandler) -> None:
    """Ten at once, each with its own answers below its own nodes."""
    barrier = threading.Barrier(5)

    def meets(state: State) -> State:
        barrier.wait(10)
        return {"log": [work(state["item"])]}

    async def yields(state: State) -> State:
        for _ in range(5):
            await later(state["item"])
        return {"log": [state["item"]]}

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda item: graph_of("t", ("meet", meets)).invoke({"log": [], "item": item}), range(5)))

    async def all_of_them() -> None:
        graph = graph_of("a", ("yield", yields))
        await asyncio.gather(*(graph.ainvoke({"log": [], "item": item}) for item in range(5, 10)))

    asyncio.run(all_of_them())
    found = logs(ring)
    assert sorted(data(log, "graph", "entry")["input"]["item"] for log in found) == list(range(10))
    for log in found:
        item = data(log, "graph", "entry")["input"]["item"]
        outputs = {event["data"]["output"] for event in log.events if event["event_type"] == "exit" and "shop" in event["node"]}
        assert outputs == {item}


def test_workers_that_get_the_context_or_not(ring: obs.RingBufferHandler) -> None:
    """Parallel steps run in LangChain's threads with the context; a thread without it still has LangChain's parent."""

    def bare(value: Any, config: Any) -> Any:
        found: list[Any] = []
        asked = RunnableLambda(work) | RunnableLambda(lambda value: found.append(value))
        thread = threading.Thread(target=lambda: asked.invoke(value, {"callbacks": config["callbacks"]}))
        thread.start()
        thread.join()
        return found

    parallel = RunnableParallel(one=RunnableLambda(work), two=RunnableLambda(work), bare=RunnableLambda(bare))
    graph_of("g", ("fan", lambda state: {"log": [parallel.invoke(1)]})).invoke({"log": []})
    assert drawn(only(ring)) == "flow\n  graph g\n    graph.node fan" + "\n      shop.work" * 3


def test_tool_calls_side_by_side(ring: obs.RingBufferHandler) -> None:
    """Several calls of one answer run in threads."""
    calls = [{"name": "weigh", "args": {"parcel": word}, "id": word} for word in ("a", "bb", "ccc")]
    agent_of(Model(answers=[AIMessage("", tool_calls=calls), "done"]), [weigh]).invoke({"messages": [("user", "weigh")]})
    log = only(ring)
    given = {data["input"]["parcel"] for data in (e["data"] for e in log.events if e["node"] == "tool.weigh") if "input" in data}
    assert given == {"a", "bb", "ccc"}
    assert drawn(log).count("      tool.weigh\n        shop.work") == 3


# --- what goes wrong ---


@HOW
def test_a_node_that_fails(ring: obs.RingBufferHandler, how: str) -> None:
    """The error is in the node, the graph and the flow, and reaches the caller as it was."""
    failure = ValueError("no such parcel")

    def fails(state: State) -> State:
        work("before")
        raise failure

    with pytest.raises(ValueError) as caught:
        run(graph_of("g", ("ok", says("ok")), ("fails", fails), ("never", says("never"))), how)
    assert caught.value is failure
    log = only(ring)
    assert drawn(log) == ("flow !error\n  graph g !error\n    graph.node ok\n    graph.node fails !error\n      shop.work")
    assert data(log, "graph.node", "error")["error"]["message"] == "no such parcel"


def test_attempts_are_spans(ring: obs.RingBufferHandler) -> None:
    """A retry of a node, of a chain and of a model."""
    name = "retry_policy" if "retry_policy" in (StateGraph.add_node.__kwdefaults__ or {}) else "retry"
    retry = {name: RetryPolicy(initial_interval=0.001, max_attempts=2, retry_on=ValueError)}
    left = [ValueError("busy")]

    def flaky(state: State) -> State:
        if left:
            raise left.pop()
        return {"log": ["ok"]}

    graph_of("g", ("flaky", flaky), retry=retry).invoke({"log": []})
    model = Model(answers=[ValueError("busy"), "ok"]).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    assert model.invoke("hi").content == "ok"
    first, second = logs(ring)
    assert drawn(first) == "flow\n  graph g\n    graph.node flaky !error\n    graph.node flaky"
    assert drawn(second).endswith("  llm.call !error\n    llm.call")


def test_the_step_that_failed_is_named_once(ring: obs.RingBufferHandler) -> None:
    """A step without a span that fails is an error below its chain, also where a fallback handles it."""

    def broken(value: Any) -> Any:
        raise KeyError(value)

    chain = (RunnableLambda(str) | RunnableLambda(broken)).with_fallbacks([RunnableLambda(work)])
    assert chain.invoke(1) == 1
    log = only(ring)
    assert drawn(log) == "flow\n  chain RunnableWithFallbacks\n    chain broken !error\n    shop.work"
    assert log.status == "ok"


def test_a_tool_that_fails_and_one_that_says_so(ring: obs.RingBufferHandler) -> None:
    @tool
    def breaks() -> str:
        """Break."""
        raise ValueError("broken")

    @tool
    def refuses() -> str:
        """Refuse."""
        raise ToolException("refused")

    refuses.handle_tool_error = True
    with obs.flow("desk"):
        with pytest.raises(ValueError):
            breaks.invoke({})
        answer = refuses.invoke({"type": "tool_call", "id": "1", "name": "refuses", "args": {}})
    assert answer.status == "error"
    log = only(ring)
    assert drawn(log) == "flow\n  tool.breaks !error\n  tool.refuses !error"
    assert data(log, "tool.refuses", "error")["error"]["message"] == "refused"


def test_an_interrupt_is_not_an_error(ring: obs.RingBufferHandler) -> None:
    """The node says what it waits for; the run that goes on is a graph of its own."""
    try:
        from langgraph.types import Command, interrupt

        resume: Any = Command(resume="yes")
    except ImportError:
        from langgraph.errors import NodeInterrupt

        resume, asked = None, []

        def interrupt(value: Any) -> Any:
            if not asked:
                asked.append(value)
                raise NodeInterrupt(value)
            return "yes"

    def confirm(state: State) -> State:
        with obs.span("ask"):
            answer = interrupt({"question": "send it?"})
        return {"log": [answer]}

    graph = graph_of("g", ("confirm", confirm), ("send", says("sent")), checkpointer=MemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"log": []}, thread)
    assert graph.invoke(resume, thread)["log"] == ["yes", "sent"]
    first, second = logs(ring)
    assert (first.status, second.status) == ("ok", "ok")
    assert drawn(first).startswith("flow\n  graph g\n    graph.node confirm\n      ask")
    assert data(first, "graph.node")["output"] == {"interrupts": [{"question": "send it?"}]}
    assert drawn(second) == "flow\n  graph g\n    graph.node confirm\n      ask\n    graph.node send"


def test_an_interrupt_in_a_graph_in_a_graph(ring: obs.RingBufferHandler) -> None:
    interrupt = pytest.importorskip("langgraph.types")
    if not hasattr(interrupt, "interrupt"):
        pytest.skip("this version has no interrupt()")
    inner = graph_of("inner", ("confirm", lambda state: {"log": [interrupt.interrupt("ok?")]}))
    graph = graph_of("outer", ("sub", inner), checkpointer=MemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"log": []}, thread)
    graph.invoke(interrupt.Command(resume="yes"), thread)
    tree = "flow\n  graph outer\n    graph.node sub\n      graph inner\n        graph.node confirm"
    assert [(log.status, drawn(log)) for log in logs(ring)] == [("ok", tree)] * 2


@HOW
def test_a_command_to_a_parent_graph_is_not_an_error(ring: obs.RingBufferHandler, how: str) -> None:
    """LangGraph raises it through the inner graph."""
    types = pytest.importorskip("langgraph.types")
    if not hasattr(types, "Command"):
        pytest.skip("this version has no commands")
    inner = StateGraph(State)
    inner.add_node("hands_over", lambda state: types.Command(graph=types.Command.PARENT, goto="other", update={"log": ["x"]}))
    inner.add_edge(START, "hands_over")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile())
    outer.add_node("other", says("other"))
    outer.add_edge(START, "sub")
    run(outer.compile(), how)
    log = only(ring)
    assert drawn(log) == (
        "flow\n  graph LangGraph\n    graph.node sub\n      graph LangGraph\n        graph.node hands_over\n    graph.node other"
    )
    handed = data(log, "graph.node", step="hands_over")["output"]["ParentCommand"]
    assert (handed["goto"], handed["update"]) == ("other", {"log": ["x"]})


def test_too_many_steps_are_an_error(ring: obs.RingBufferHandler) -> None:
    builder = StateGraph(State)
    builder.add_node("again", says("again"))
    builder.add_edge(START, "again")
    builder.add_edge("again", "again")
    with pytest.raises(GraphRecursionError):
        builder.compile().invoke({"log": []}, {"recursion_limit": 3})
    assert only(ring).status == "error"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_is_left_early_is_cancelled(ring: obs.RingBufferHandler, is_async: bool) -> None:
    graph = graph_of("g", ("a", says("a")), ("b", asks(Model(answers=["x"]))), ("c", says("c")))

    async def read() -> None:
        stream = graph.astream({"log": []})
        async for _ in stream:
            break
        await stream.aclose()

    if is_async:
        asyncio.run(read())
    else:
        for _ in graph.stream({"log": []}):
            break
    log = only(ring)
    assert log.status == "cancelled"
    assert drawn(log).startswith("flow !cancelled\n  graph g !cancelled\n    graph.node a")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_stream_that_is_left_early_is_cancelled(ring: obs.RingBufferHandler, is_async: bool) -> None:
    async def read() -> None:
        stream = Model(answers=["a b c"]).astream("hi")
        async for _ in stream:
            break
        await stream.aclose()

    if is_async:
        asyncio.run(read())
    else:
        stream = Model(answers=["a b c"]).stream("hi")
        next(stream)
        stream.close()
    log = only(ring)
    assert (drawn(log), log.spans[0].metrics["chunks"]) == ("llm.call !cancelled", 1)


def test_a_cancelled_run(ring: obs.RingBufferHandler) -> None:
    """All that is open ends as cancelled, and the task is cancelled as without us."""

    async def main() -> None:
        began = asyncio.Event()

        async def waits(state: State) -> State:
            began.set()
            await asyncio.sleep(60)
            return {}

        task = asyncio.ensure_future(graph_of("g", ("waits", waits)).ainvoke({"log": []}))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert drawn(only(ring)) == "flow !cancelled\n  graph g !cancelled\n    graph.node waits !cancelled"


def test_a_run_that_is_cancelled_while_it_starts(ring: obs.RingBufferHandler) -> None:
    """LangChain tells nobody its end if another handler is slow to take its start. It ends with the run around it."""

    async def main() -> None:
        began = asyncio.Event()

        class Slow(AsyncCallbackHandler):
            async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
                if kwargs["name"] == "inner":
                    began.set()
                    await asyncio.sleep(60)

        step = RunnableLambda(later).with_config(run_name="inner")

        async def node(state: State, config: RunnableConfig) -> State:
            return {"log": [await (step | RunnableLambda(later)).ainvoke(1, config)]}

        graph = graph_of("g", ("calls", node))
        task = asyncio.ensure_future(graph.ainvoke({"log": []}, {"callbacks": [Slow()]}))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    logging.getLogger("tea").setLevel(logging.DEBUG)
    asyncio.run(main())
    log = only(ring)
    assert drawn(log).splitlines()[-1].strip() == "chain inner !cancelled"
    assert {span.status for span in log.spans} == {"cancelled"}


# --- events ---


def test_events_that_the_code_dispatches(ring: obs.RingBufferHandler) -> None:
    def node(state: State) -> State:
        RunnableLambda(lambda value: dispatch_custom_event("progress", {"done": value})).invoke(3)
        return {"log": []}

    graph_of("g", ("a", node)).invoke({"log": []})
    (event,) = (event for event in only(ring).events if event["event_type"] == "log")
    assert (event["node"], event["message"], event["data"]) == ("graph.node", "progress", {"data": {"done": 3}})


def test_a_model_that_is_asked_again(ring: obs.RingBufferHandler) -> None:
    """What ``create_base_retry_decorator`` tells is an event of the model's span."""
    from langchain_core.language_models.llms import create_base_retry_decorator

    class Flaky(Model):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            again = create_base_retry_decorator([ConnectionError], max_retries=2, run_manager=run_manager)
            asked = again(super()._generate)
            asked.retry.wait = lambda state: 0
            return asked(messages, stop)

    Flaky(answers=[ConnectionError("reset"), "ok"]).invoke("hi")
    log = only(ring)
    assert drawn(log) == "llm.call"
    assert [(e["level"], e["message"]) for e in log.events if e["event_type"] == "log"] == [
        ("warn", "attempt 1 failed: ConnectionError: reset")
    ]


# --- levels, on and off ---


def test_levels_of_categories(ring: obs.RingBufferHandler) -> None:
    """Nodes that are filtered open no span and report their errors; what is below them is below the next span."""
    logging.getLogger("tea.graph").setLevel(logging.WARNING)
    graph_of("g", ("ask", asks(Model(answers=["a"])))).invoke({"log": []})

    def fails(state: State) -> State:
        work("before")
        raise ValueError("broken")

    with pytest.raises(ValueError):
        graph_of("g", ("fails", fails)).invoke({"log": []})
    first, second = (obs.get_flow_log(flow_id) for flow_id in ring.flow_ids())
    assert drawn(first) == "flow\n  shop.work\n  llm.call\n  shop.work"
    assert_whole(first)
    assert drawn(second) == "flow !error\n  shop.work\n  graph.node fails !error\n  graph g !error"


def test_off_means_no_handler(ring: obs.RingBufferHandler) -> None:
    """While nothing is configured, LangChain gets no handler, and one that is given logs nothing."""
    assert [type(one) for one in CallbackManager.configure().handlers] == [FlowCallback]
    logging.getLogger("tea").setLevel(logging.NOTSET)
    logging.getLogger("tea").removeHandler(ring)
    assert CallbackManager.configure().handlers == []
    graph_of("g", ("a", says("a"))).invoke({"log": []}, {"callbacks": [FlowCallback()]})
    unconfigure = obs.configure({})
    assert [type(one) for one in CallbackManager.configure().handlers] == [FlowCallback]
    unconfigure()
    assert CallbackManager.configure().handlers == []
    assert ring.flow_ids() == []


def test_the_last_undo_counts(undo: Callable[[], None]) -> None:
    """Whoever installs gets an undo of their own, which may be called twice."""
    another = install()
    undo()
    undo()
    assert [type(one) for one in CallbackManager.configure().handlers] == [FlowCallback]
    another()
    assert CallbackManager.configure().handlers == []


def test_a_run_is_logged_once(ring: obs.RingBufferHandler) -> None:
    """Though a handler is installed, and two more are given."""
    with_own = RunnableLambda(work).with_config(callbacks=[FlowCallback()])
    graph_of("g", ("a", lambda state: {"log": [with_own.invoke(1)]})).invoke({"log": []}, {"callbacks": [FlowCallback()]})
    assert drawn(only(ring)) == "flow\n  graph g\n    graph.node a\n      shop.work"


def test_only_the_given_runs_without_install(ring: obs.RingBufferHandler, undo: Callable[[], None]) -> None:
    undo()
    graph = graph_of("g", ("ask", asks(Model(answers=["a"]))))
    graph.invoke({"log": []})
    seen = {obs.get_flow_log(flow_id).spans[0].node for flow_id in ring.flow_ids()}
    assert seen == {"shop.work"}
    ring.clear()
    graph.invoke({"log": []}, {"callbacks": [FlowCallback()]})
    tree = "flow\n  graph g\n    graph.node ask\n      shop.work\n      llm.call\n      shop.work"
    assert drawn(only(ring)) == tree


def test_other_handlers_are_called_as_without_us(ring: obs.RingBufferHandler) -> None:
    seen: list[str] = []

    class Other(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs["name"])

    graph = graph_of("g", ("a", says("a")))
    asyncio.run(graph.ainvoke({"log": []}, {"callbacks": [Other()]}))
    assert [name for name in seen if "_" not in name and "<" not in name] == ["g", "a"]
    assert drawn(only(ring)) == "flow\n  graph g\n    graph.node a"


# --- faults, secrets, bounds ---


class Hostile(AIMessage):
    """A message that cannot be read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "content":
            raise RuntimeError("unreadable")
        return super().__getattribute__(name)


def test_nothing_is_raised_into_the_observed_code(ring: obs.RingBufferHandler, capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be read costs the input or the output; the run ends, and the fault is counted and told."""
    callback = FlowCallback()
    hostile = Hostile("x")
    with obs.flow("desk") as run:
        callback.on_chain_start(None, hostile, run_id=1, name="one")
        callback.on_chain_end({}, run_id=1)
        callback.on_chain_start(None, {}, run_id=2, name="two")
        callback.on_chain_end(hostile, run_id=2)
        callback.on_chain_end({}, run_id="unknown")
        callback.on_llm_end(None, run_id="unknown")
        callback.on_chat_model_start({}, [[hostile]], run_id=3)
        callback.on_llm_error(ValueError("x"), run_id=3)
        callback.on_llm_start({}, ["x"], run_id=4)
        callback.on_llm_end(object(), run_id=4)
        callback.on_retry(None, run_id=4)
        callback.on_stream_event(None, run_id=4)
    log = run.get_flow_log()
    assert drawn(log) == "flow\n  chain one\n  chain two\n  llm.call !error\n  llm.call"
    assert log.metrics["fault_count"] == 6
    told = capfd.readouterr().err.splitlines()
    assert told[0] == "the_edge_obs: reading the input of a run of LangChain failed: RuntimeError: unreadable"
    assert [line.partition(" failed")[0] for line in told[1:]] == [
        "the_edge_obs: reading the output of a run of LangChain",
        "the_edge_obs: reading the input of a run of LangChain",
        "the_edge_obs: reading the output of a run of LangChain",
        "the_edge_obs: LangChain's on_retry",
        "the_edge_obs: LangChain's on_stream_event",
    ]


def test_runs_without_a_name_and_hidden_ones(ring: obs.RingBufferHandler) -> None:
    """What LangChain's own packages do not do, others may: a chain without a name, a hidden run at the top."""
    callback = FlowCallback()
    callback.on_chain_start(None, {}, run_id=1)
    callback.on_chain_end({}, run_id=1)
    callback.on_chain_start(None, {}, run_id=2, name="hidden", tags=["langsmith:hidden"])
    callback.on_custom_event("progress", {}, run_id=2)
    callback.on_tool_start({"name": "send mail/now"}, "{'to': 'ada'}", run_id=3, parent_run_id=2)
    callback.on_tool_end("sent", run_id=3)
    callback.on_chain_end({}, run_id=2)
    callback.on_tool_start(None, "x", run_id=4, parent_run_id=2)
    callback.on_tool_end("y", run_id=4)
    first, second, third = logs(ring)
    assert (first.name, drawn(first)) == ("chain", "flow\n  chain")
    assert (drawn(second), data(second, "tool.send_mail_now", "entry")["input"]) == ("tool.send_mail_now", "{'to': 'ada'}")
    assert drawn(third) == "tool.tool"
    assert (_langchain_runs._innermost(), obs.current()) == (None, None)


def test_chunks_that_are_events(ring: obs.RingBufferHandler) -> None:
    """Of the events of a streamed message, those with content are chunks."""
    callback = FlowCallback()
    callback.on_llm_start({}, ["x"], run_id=1)
    for kind in ("message-start", "content-block-start", "content-block-delta", "content-block-delta", "message-finish"):
        callback.on_stream_event({"event": kind}, run_id=1)
    callback.on_llm_end(LLMResult(generations=[]), run_id=1)
    assert only(ring).spans[0].metrics["chunks"] == 2


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """Keys in a model's arguments, messages, tool calls, states and errors."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "flow-{flow_id}.jsonl")}]})

    class Keyed(Model):
        api_key: str = SECRET

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"api_key": self.api_key, "model": "m", "headers": {"Authorization": f"Bearer {SECRET}"}}

    @tool
    def login(password: str) -> str:
        """Log in."""
        raise ValueError(f"wrong password {password}")

    def node(state: State) -> State:
        Keyed(answers=[f"the key is {SECRET}"]).invoke([HumanMessage(f"my key is {SECRET}")], api_key=SECRET)
        with pytest.raises(ValueError):
            login.invoke({"password": "correct-horse-battery"})
        return {"item": {"api_key": SECRET}}

    graph_of("g", ("a", node)).invoke({"log": [], "item": {"token": "Zx81hHq0LmNo77"}})
    undo()
    (path,) = tmp_path.iterdir()
    content = path.read_text(encoding="utf-8")
    assert '"node":"tool.login"' in content.replace(": ", ":")
    for secret in (SECRET, SECRET[8:], "correct-horse-battery", "Zx81hHq0LmNo77"):
        assert secret not in content


def test_runs_that_never_end_are_bounded(ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ends as cancelled when too many are open."""
    monkeypatch.setattr(_langchain_runs, "MAX_OPEN", 3)
    callback = FlowCallback()
    with obs.flow("desk") as run:
        for number in range(10):
            callback.on_llm_start({}, ["x"], run_id=number, batch_size=2)
        assert len(_langchain_runs._open) == 3
        for number in range(10):
            callback.on_llm_end(None, run_id=number)
    log = run.get_flow_log()
    assert [span.status for span in log.spans if span.node == "llm.call"] == ["cancelled"] * 7 + ["ok"] * 3


def test_a_task_that_runs_for_ever_keeps_nothing(ring: obs.RingBufferHandler) -> None:
    """Each run leaves its start in the task's context, and none of them keeps the one before."""
    model = Model(answers=["a"])

    async def main() -> None:
        for _ in range(5):
            await model.ainvoke("hi")
            await (RunnableLambda(str) | model).ainvoke("hi")
            here, span = _langchain_runs._HERE.get(), CURRENT.get()
            assert here is not None
            assert isinstance(span, Lent)
            assert (here._before, here.parent, span.before) == (None, None, None)

    asyncio.run(main())
    assert len(logs(ring)) == 10


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("the_edge_obs.integrations.langchain")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    with pytest.raises(obs.MissingExtraError, match=r"the_edge_obs\[langchain\]"):
        importlib.import_module("the_edge_obs.integrations.langchain")


# --- any graph ---


def _kinds() -> st.SearchStrategy[str]:
    return st.sampled_from(["says", "asks", "asks later", "tool", "chain", "stream", "sub", "fails", "fan"])


def _node(kind: str, depth: int) -> Any:
    model = Model(answers=["a b"])
    if kind == "asks":
        return asks(model)
    if kind == "asks later":
        return asks_later(model)
    if kind == "tool":
        return lambda state: {"log": [weigh.invoke({"parcel": "x"})]}
    if kind == "chain":
        return RunnableLambda(lambda state: work("x")) | model | RunnableLambda(lambda answer: {"log": [answer.content]})
    if kind == "stream":
        return lambda state: {"log": [work(piece.content) for piece in model.stream("hi")]}
    if kind == "fails":
        return RunnableLambda(_fail)
    if kind == "fan":
        return lambda state: {"log": [RunnableParallel(one=RunnableLambda(work), two=model).invoke("x")]}
    if kind == "sub" and depth < 2:
        return graph_of("sub", ("inner", _node("asks", depth + 1)), ("more", _node("sub", depth + 1)))
    return says(kind)


def _fail(state: State) -> State:
    raise ValueError("on purpose")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(_kinds(), min_size=1, max_size=4),
    how=st.sampled_from(["invoke", "stream", "ainvoke", "astream", "batch", "left"]),
    is_in_flow=st.booleans(),
    level=st.sampled_from([logging.DEBUG, logging.INFO]),
)
def test_every_run_ends_in_one_tree(
    ring: obs.RingBufferHandler, kinds: list[str], how: str, is_in_flow: bool, level: int
) -> None:
    """Whatever the nodes are and however the graph runs: no span stays open, none is an orphan, none is in a foreign flow."""
    ring.clear()
    logging.getLogger("tea").setLevel(level)
    if "asks later" in kinds and how in ("invoke", "stream", "batch", "left"):
        how = "ainvoke"  # LangGraph refuses to run such nodes otherwise
    graph = graph_of("any", *((f"n{number}", _node(kind, 0)) for number, kind in enumerate(kinds)))
    flow = obs.flow("desk") if is_in_flow else None
    with flow or obs.use_span(None):
        with suppress(ValueError):  # what fails on purpose
            if how == "batch":
                graph.batch([{"log": []}] * 2)
            elif how == "left":
                next(stream := graph.stream({"log": []}))
                stream.close()
            else:
                run(graph, how)
        assert obs.current() == (None if flow is None else flow.context)
    found = logs(ring)
    if "fails" not in kinds:  # the first failure of a batch cancels those that have not begun
        assert len(found) == (2 if how == "batch" and not is_in_flow else 1)
    assert _langchain_runs._open == {}
