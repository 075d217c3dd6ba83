"""Real packages that are instrumented for OpenTelemetry, in flows: the trees they give, whole.

The session ``integrations`` of noxfile.py runs these tests with the oldest and with the newest versions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import the_edge_obs as obs

from .model_server import Endpoint, answer, chunk, sse

pytest.importorskip("opentelemetry.sdk.trace")

from opentelemetry.sdk.trace import TracerProvider

from the_edge_obs.integrations.otel import bridge

KEY = "sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C"


@pytest.fixture
def provider(ring: obs.RingBufferHandler) -> Iterator[TracerProvider]:
    """Return a bridged provider."""
    made = TracerProvider()
    undo = bridge(made)
    yield made
    undo()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@obs.observable("store.rows")
def rows(a: int, b: int) -> int:
    """Stand for what a program of its own does in a tool."""
    return a + b


def golden(run: Any) -> list[tuple[int, str, str, dict[str, Any]]]:
    """Return the tree of a run: depth, node, status, and the figures that are the same each time."""
    figures = ("input_tokens", "output_tokens", "tokens")
    return [
        (depth, span.node, span.status, {name: span.metrics[name] for name in figures if name in span.metrics})
        for depth, span in run.get_flow_log().walk()
    ]


def tokens(given: int, answered: int) -> dict[str, int]:
    return {"input_tokens": given, "output_tokens": answered, "tokens": given + answered}


def of_node(run: Any, node: str, key: str) -> list[Any]:
    """Return what the spans of a node were given or returned, wherever their events say it."""
    return [event["data"][key] for event in obs.query(run.flow_id, node=node) if key in event["data"]]


def assert_without_secret(run: Any) -> None:
    assert KEY not in json.dumps(obs.query(run.flow_id))


# --- the openai client, by OpenInference ---

ADD = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}


def completion(content: str | None, **message: Any) -> dict[str, Any]:
    """Return an answer of OpenAI's protocol."""
    return {
        "id": "r1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": "tool_calls" if message else "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@pytest.fixture
def openai(provider: TracerProvider) -> Iterator[Any]:
    """Return the module, instrumented by OpenInference."""
    module = pytest.importorskip("openai")
    instrumentor = pytest.importorskip("openinference.instrumentation.openai").OpenAIInstrumentor()
    inheriting = [kind for kind in (module.OpenAI, module.AsyncOpenAI) if "request" not in vars(kind)]
    instrumentor.instrument(tracer_provider=provider)
    yield module
    instrumentor.uninstrument()
    for kind in inheriting:
        if "request" in vars(kind):  # the inherited method, which it has put there
            del kind.request


ASKED = {"model": "small", "messages": [{"role": "user", "content": f"hi, my key is {KEY}"}]}


def test_the_openai_client_of_openinference(openai: Any, endpoint: Endpoint) -> None:
    """A chat with a tool that is a node of the program's own, a stream, and a refusal."""
    endpoint.answers = [
        answer(completion(None, tool_calls=[ADD])),
        answer(completion("3")),
        sse(
            *({"id": "x", "object": "chat.completion.chunk", "created": 1, **chunk(text)} for text in ("he", "llo")),
            "data: [DONE]\n\n",
        ),
        answer({"error": {"message": f"slow down, {KEY}"}}, 429),
    ]
    client = openai.OpenAI(base_url=endpoint.url, api_key=KEY, max_retries=0)

    @obs.observable("agent.own")
    def agent() -> str:
        call = client.chat.completions.create(**ASKED, temperature=0.5).choices[0].message.tool_calls[0]
        result = rows(**json.loads(call.function.arguments))
        again = [*ASKED["messages"], {"role": "tool", "tool_call_id": call.id, "content": str(result)}]  # type: ignore[misc]
        return str(client.chat.completions.create(model="small", messages=again).choices[0].message.content)

    with obs.flow("openai") as run:
        assert agent() == "3"
        stream = client.chat.completions.create(**ASKED, stream=True)
        with obs.span("read"):
            assert "".join(part.choices[0].delta.content for part in stream) == "hello"
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ASKED)
    client.close()
    assert golden(run) == [
        (0, "flow", "ok", {}),
        (1, "agent.own", "ok", {}),
        (2, "llm.call", "ok", tokens(7, 3)),
        (2, "store.rows", "ok", {}),
        (2, "llm.call", "ok", tokens(7, 3)),
        (1, "llm.call", "ok", {}),
        (1, "read", "ok", {}),
        (1, "llm.call", "error", {}),
    ]
    asked = of_node(run, "llm.call", "input")
    assert (asked[0]["temperature"], asked[1]["messages"][1]["content"], asked[2]["stream"]) == (0.5, "3", True)
    assert of_node(run, "llm.call", "output")[0]["choices"][0]["message"]["tool_calls"] == [ADD]
    (failed,) = obs.query(run.flow_id, node="llm.call", event_type="error")
    assert failed["data"]["error"]["type"] == "RateLimitError"
    assert "429" in failed["message"]
    (streamed,) = (span for span in run.get_flow_log().spans if "time_to_first_chunk_ms" in span.metrics)
    assert 0 < streamed.metrics["time_to_first_chunk_ms"] <= (streamed.duration_ms or 0)
    assert run.get_flow_log().metrics["tokens"] == 20
    assert_without_secret(run)


def test_a_stream_that_is_left_early(openai: Any, endpoint: Endpoint) -> None:
    """The flow goes on, and the span ends at the latest when the stream is gone."""
    parts = [{"id": "x", "object": "chat.completion.chunk", "created": 1, **chunk(text)} for text in ("he", "llo")]
    endpoint.answers = [sse(*parts, "data: [DONE]\n\n")]
    client = openai.OpenAI(base_url=endpoint.url, api_key=KEY, max_retries=0)
    with obs.flow("early") as run:
        stream = client.chat.completions.create(**ASKED, stream=True)
        for _ in stream:
            break
        stream.close()
        del stream
        with obs.span("after"):
            pass
    client.close()
    assert [(depth, node) for depth, node, *_ in golden(run)] == [(0, "flow"), (1, "llm.call"), (1, "after")]


def test_calls_side_by_side(openai: Any, endpoint: Endpoint) -> None:
    """Two flows in tasks, each with the asynchronous client: no call is in the other's."""
    endpoint.answers = [answer(completion("hello"))] * 4

    async def one(client: Any, name: str) -> Any:
        with obs.flow(name) as run:
            async with obs.span(f"node.{name}"):
                await asyncio.gather(*(client.chat.completions.create(**ASKED) for _ in range(2)))
        return run

    async def both() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=endpoint.url, api_key=KEY, max_retries=0) as client:
            return await asyncio.gather(one(client, "a"), one(client, "b"))

    for name, run in zip("ab", asyncio.run(both()), strict=True):
        assert [(depth, node) for depth, node, *_ in golden(run)] == [
            (0, "flow"), (1, f"node.{name}"), (2, "llm.call"), (2, "llm.call"),
        ]  # fmt: skip


# --- pydantic-ai ---


@pytest.fixture
def agents(provider: TracerProvider) -> Iterator[Callable[..., Any]]:
    """Return the class of agents, which are instrumented."""
    agent = pytest.importorskip("pydantic_ai").Agent
    instrumented = pytest.importorskip("pydantic_ai.models.instrumented")
    agent.instrument_all(instrumented.InstrumentationSettings(tracer_provider=provider))
    yield agent
    agent.instrument_all(False)


def without_group(tree: list[tuple[int, str, str, dict[str, Any]]]) -> list[tuple[int, str, str, dict[str, Any]]]:
    """Return a tree without the span in which versions before 1.0 group the tools of one answer."""
    kept, cut = [], None
    for depth, node, status, metrics in tree:
        cut = None if cut is not None and depth <= cut else cut
        if node == "otel.running_tools":
            cut = depth
        else:
            kept.append((depth - (cut is not None), node, status, metrics))
    return kept


def test_an_agent_of_pydantic_ai(agents: Callable[..., Any]) -> None:
    """The agent, its calls of a model, its tool, and in the tool a node of the program's own."""
    from pydantic_ai.models.test import TestModel

    agent = agents(TestModel(), name="calc")

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        return rows(a, b)

    with obs.flow("agent") as run:
        asyncio.run(agent.run(f"add, my key is {KEY}"))
    found = without_group(golden(run))
    counted = [metrics for _, node, _, metrics in found if node == "llm.call"]
    assert [(depth, node, status) for depth, node, status, _ in found] == [
        (0, "flow", "ok"),
        (1, "agent.calc", "ok"),
        (2, "llm.call", "ok"),
        (2, "tool.add", "ok"),
        (3, "store.rows", "ok"),
        (2, "llm.call", "ok"),
    ]
    assert all(one == tokens(one["input_tokens"], one["output_tokens"]) for one in counted)
    assert run.get_flow_log().metrics["tokens"] == sum(one["tokens"] for one in counted) > 0
    assert of_node(run, "tool.add", "input") == [{"a": 0, "b": 0}]
    first, last = (given for given in of_node(run, "llm.call", "input") if "messages" in given)
    assert (first["model"], first["messages"][0]["role"]) == ("test", "user")
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "tool"]
    called, said = of_node(run, "llm.call", "output")
    assert called["tool_calls"][0]["function"]["name"] == "add"
    assert said["content"] == '{"add":0}'
    assert of_node(run, "agent.calc", "output") == [{"add": 0}]
    assert_without_secret(run)


def test_a_tool_and_a_model_of_pydantic_ai_that_fail(agents: Callable[..., Any]) -> None:
    """Each has its error, and the agent that of what it failed with."""
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.test import TestModel

    def broken(messages: Any, info: Any) -> Any:
        raise ValueError(f"no such model for {KEY}")

    agent = agents(TestModel(), name="calc")

    @agent.tool_plain
    def add(a: int) -> int:
        raise LookupError("no rows")

    runs = []
    for one, error in ((agent, LookupError), (agents(FunctionModel(broken), name="other"), ValueError)):
        with obs.flow("fails") as run, pytest.raises(error):
            asyncio.run(one.run("go"))
        runs.append({node: status for _, node, status, _ in golden(run)})
        assert_without_secret(run)
    assert runs[0].items() >= {"flow": "ok", "agent.calc": "error", "llm.call": "ok", "tool.add": "error"}.items()
    assert runs[1] == {"flow": "ok", "agent.other": "error", "llm.call": "error"}


def test_a_stream_of_pydantic_ai(agents: Callable[..., Any]) -> None:
    """What the program does while it reads is beside or below the call, never below another flow's."""
    from pydantic_ai.models.test import TestModel

    agent = agents(TestModel(custom_output_text="one two three"), name="teller")

    async def read() -> list[str]:
        async with agent.run_stream("go") as result:
            return [part async for part in result.stream_text(delta=True, debounce_by=None)]

    with obs.flow("stream") as run:
        assert "".join(asyncio.run(read())) == "one two three"
        with obs.span("after"):
            pass
    assert [(depth, node, status) for depth, node, status, _ in golden(run)] == [
        (0, "flow", "ok"), (1, "agent.teller", "ok"), (2, "llm.call", "ok"), (1, "after", "ok"),
    ]  # fmt: skip
    assert of_node(run, "llm.call", "output")[0]["content"] == "one two three"


# --- OpenTelemetry's own ---


@pytest.mark.parametrize("package", ["httpx", "requests"])
def test_http_clients(package: str, provider: TracerProvider, endpoint: Endpoint) -> None:
    """A request is a node; a secret in its address is not in the log; a refusal is an error; the server learns who asks."""
    module = pytest.importorskip(package)
    instrumentation = pytest.importorskip(f"opentelemetry.instrumentation.{package}")
    (name,) = (name for name in ("HTTPXClientInstrumentor", "RequestsInstrumentor") if hasattr(instrumentation, name))
    instrumentor = getattr(instrumentation, name)()
    instrumentor.instrument(tracer_provider=provider)
    endpoint.answers = [answer({"a": 1}), answer({"a": 1}, 500)]
    try:
        with obs.flow("http") as run, obs.span("ask"):
            for _ in range(2):
                module.post(f"{endpoint.url}/rows?api_key={KEY}", json={})
    finally:
        instrumentor.uninstrument()
    assert golden(run) == [
        (0, "flow", "ok", {}), (1, "ask", "ok", {}), (2, "http.client", "ok", {}), (2, "http.client", "error", {}),
    ]  # fmt: skip
    given = of_node(run, "http.client", "input")[0]
    assert (given["method"], given["url"].partition("?")[0]) == ("POST", f"{endpoint.url}/rows")
    assert of_node(run, "http.client", "output") == [{"status_code": 200}]
    assert_without_secret(run)
    spans = [span for span in run.get_flow_log().spans if span.node == "http.client"]
    sent = [headers["traceparent"].split("-")[1:3] for _, headers, _ in endpoint.asked]
    assert sent == [[span_id.replace("-", "") for span_id in (run.flow_id, span.span_id[19:])] for span in spans]


def test_queries_of_sqlalchemy(provider: TracerProvider) -> None:
    """A query is a node."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    instrumentor = instrumentation.SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, tracer_provider=provider)
    if not instrumentor.is_instrumented_by_opentelemetry:
        pytest.skip("the instrumentation refuses this version of SQLAlchemy")
    try:
        with obs.flow("sql") as run, engine.connect() as connection, obs.span("ask"):
            connection.execute(sqlalchemy.text("select 1"))
    finally:
        instrumentor.uninstrument()
        engine.dispose()
    assert (2, "db.query", "ok", {}) in golden(run)
    (asked,) = (given for given in of_node(run, "db.query", "input") if "statement" in given)
    assert (asked["system"], asked["statement"]) == ("sqlite", "select 1")
