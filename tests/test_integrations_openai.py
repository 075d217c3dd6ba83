"""OpenAI's SDK, observed against an endpoint on this machine: what a call logs, and that its caller notices nothing."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError, MissingExtraError
from the_edge_obs.formats.otlp import Translator
from the_edge_obs.integrations import _openai_calls
from the_edge_obs.integrations.openai import instrument

from .model_server import USAGE, Endpoint, answer, completion, model_response, sdk_chunk, sse, streamed

openai = pytest.importorskip("openai")

HAS_RESPONSES = hasattr(openai.OpenAI, "responses") or "responses" in getattr(openai.OpenAI, "__annotations__", {})
needs_responses = pytest.mark.skipif(not HAS_RESPONSES, reason="this version of openai has no responses")

KEY = "sk-proj-Zq8Xv2Lw5Tn9Kc3Rb7Hd1Mf6"
ASKED = [{"role": "user", "content": "The capital of France?"}]
COUNTED = {"input_tokens": 1200, "output_tokens": 50, "tokens": 1250, "cached_tokens": 1000, "reasoning_tokens": 40}


@pytest.fixture
def server() -> Iterator[Endpoint]:
    """Return an endpoint of OpenAI's protocol."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture(autouse=True)
def instrumented(request: pytest.FixtureRequest) -> Iterator[None]:
    """Observe all clients, unless a test does so itself; afterwards the SDK is as it was."""
    before = {kind: dict(vars(kind)) for kind in (openai.OpenAI, openai.AsyncOpenAI)}
    undo = (lambda: None) if hasattr(request.function, "is_by_hand") else instrument()
    yield
    undo()
    assert {kind: dict(vars(kind)) for kind in before} == before
    _openai_calls._refusing.clear()


def by_hand(test: Any) -> Any:
    """Mark a test that observes clients itself."""
    test.is_by_hand = True
    return test


@pytest.fixture
def client(server: Endpoint) -> Iterator[Any]:
    """Return a sync client of the endpoint."""
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as made:
        yield made


def run_async(server: Endpoint, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """Use an async client of the endpoint."""

    async def run() -> Any:
        async with openai.AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as made:
            return await use(made)

    return asyncio.run(run())


def events(run: obs.ObservabilityContext, node: str = "llm.call") -> list[Any]:
    """Return the events of the calls of a run."""
    return obs.query(run.flow_id, node=node)


def end(run: obs.ObservabilityContext, node: str = "llm.call") -> Any:
    """Return the end of the only call of a run, without its durations."""
    entry, last = events(run, node)
    assert (entry["event_type"], entry["span_id"]) == ("entry", last["span_id"])
    metrics = {name: value for name, value in last["metrics"].items() if not name.endswith("_ms")}
    return SimpleNamespace(kind=last["event_type"], data=last["data"], output=last["data"].get("output"), metrics=metrics)


def parse_of(client: Any) -> Any:
    """Return what has ``parse`` and ``stream``: they were beta once."""
    completions = client.chat.completions
    return completions if hasattr(completions, "parse") and hasattr(completions, "stream") else client.beta.chat.completions


# --- whole answers ---


def test_a_chat_completion(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Messages and parameters are the input, the answer in the words of llm.call the output, tokens the metrics."""
    server.answers.append(answer(completion()))
    with obs.flow() as run:
        result = client.chat.completions.create(model="m", messages=ASKED, temperature=0.5, extra_body={"top_k": 3})
    assert type(result).__name__ == "ChatCompletion"
    assert result.choices[0].message.content == "Paris"
    entry, leave = events(run)
    assert entry["data"] == {
        "input": {"base_url": f"{server.url}/", "model": "m", "messages": ASKED, "temperature": 0.5, "top_k": 3}
    }
    assert leave["data"]["output"] == {
        "success": True,
        "content": "Paris",
        "finish_reason": "stop",
        "model": "m-1",
        "usage": completion()["usage"],
        "id": "chatcmpl-1",
    }
    assert {name: leave["metrics"][name] for name in COUNTED} == COUNTED
    assert server.asked[0][2] == {"model": "m", "messages": ASKED, "temperature": 0.5, "top_k": 3}


def test_tools_and_several_choices(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Calls of tools are in the output; of several answers, all are."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    whole = completion(None, "tool_calls", tool_calls=[call])
    whole["choices"].append({**completion("Lyon")["choices"][0], "index": 1})
    server.answers.append(answer(whole))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    with obs.flow() as run:
        client.chat.completions.create(model="m", messages=ASKED, tools=[tool], n=2)
    output = end(run).output
    assert (output["tool_calls"], output["finish_reason"]) == ([call], "tool_calls")
    assert [choice["content"] for choice in output["choices"]] == ["", "Lyon"]
    assert events(run)[0]["data"]["input"]["tools"] == [tool]


def test_parsed_answers(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``parse`` gives the caller's own type, and its errors."""
    pydantic = pytest.importorskip("pydantic")
    city = pydantic.create_model("City", name=(str, ...))
    server.answers += [answer(completion('{"name": "Paris"}')), answer(completion('{"name', "length"))]
    with obs.flow() as run:
        result = parse_of(client).parse(model="m", messages=ASKED, response_format=city)
    assert result.choices[0].message.parsed == city(name="Paris")
    assert end(run).output["content"] == '{"name": "Paris"}'
    assert events(run)[0]["data"]["input"]["response_format"]["type"] == "json_schema"
    with obs.flow() as run, pytest.raises(openai.LengthFinishReasonError):
        parse_of(client).parse(model="m", messages=ASKED, response_format=city)
    leave = end(run)  # older versions parse after the call
    assert leave.output["finish_reason"] == "length" if leave.kind == "exit" else "Length" in leave.data["error"]["type"]


@needs_responses
def test_a_response(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """The newer API, in the same words: text, refusal, reasoning, calls of tools."""
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Think."}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Par", "annotations": []}, {"type": "output_text", "text": "is", "annotations": []},
            {"type": "refusal", "refusal": "No more."},
        ]},
    ]  # fmt: skip
    server.answers.append(answer(model_response(*items)))
    with obs.flow() as run:
        result = client.responses.create(model="m", input="The capital of France?", instructions="Be brief.")
    assert result.output_text == "Paris"
    entry = events(run)[0]
    assert entry["data"]["input"] == {
        "base_url": f"{server.url}/",
        "model": "m",
        "input": "The capital of France?",
        "instructions": "Be brief.",
    }
    leave = end(run)
    assert leave.output == {
        "success": True,
        "content": "Paris",
        "refusal": "No more.",
        "reasoning": "Think.",
        "tool_calls": [
            {"id": "ws_1", "type": "web_search_call"},
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        ],
        "finish_reason": "tool_calls",
        "model": "m-1",
        "usage": model_response()["usage"],
        "id": "resp_1",
    }
    assert leave.metrics == COUNTED


@needs_responses
@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"status": "completed"}, ("exit", "stop")),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, ("exit", "length")),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, ("exit", "content_filter")),
        ({"status": "queued"}, ("exit", "queued")),
        ({"status": "failed", "error": {"code": "server_error", "message": "No luck."}}, ("error", "No luck.")),
    ],
)
def test_how_a_response_ended(ring: obs.RingBufferHandler, server: Endpoint, client: Any, facts: Any, expected: Any) -> None:
    """A failed one is an error of the span, though the SDK raises none."""
    server.answers.append(answer(model_response(**facts)))
    with obs.flow() as run:
        client.responses.create(model="m", input="?")
    leave = end(run)
    said = leave.data["error"]["message"] if leave.kind == "error" else leave.output["finish_reason"]
    assert (leave.kind, said) == expected


@needs_responses
def test_a_parsed_response(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``responses.parse``."""
    if not hasattr(client.responses, "parse"):
        pytest.skip("this version has none")
    pydantic = pytest.importorskip("pydantic")
    city = pydantic.create_model("City", name=(str, ...))
    said = {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": '{"name": "Paris"}', "annotations": []}
    ]}  # fmt: skip
    server.answers.append(answer(model_response(said)))
    with obs.flow() as run:
        result = client.responses.parse(model="m", input="?", text_format=city)
    assert result.output_parsed == city(name="Paris")
    assert end(run).output["content"] == '{"name": "Paris"}'


def test_embeddings(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """How many vectors of which size, not the vectors."""
    vectors = [{"object": "embedding", "index": number, "embedding": [0.25, 0.5, 1.0]} for number in range(2)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    server.answers.append(answer({"object": "list", "data": vectors, "model": "embed-1", "usage": usage}))
    with obs.flow() as run:
        result = client.embeddings.create(model="embed", input=["a", "b"], encoding_format="float")
    assert [row.embedding for row in result.data] == [[0.25, 0.5, 1.0]] * 2
    leave = end(run, "embedding.call")
    assert leave.output == {"success": True, "embeddings": 2, "dimensions": 3, "model": "embed-1", "usage": usage}
    assert leave.metrics == {"input_tokens": 8, "tokens": 8}
    assert events(run, "embedding.call")[0]["data"]["input"]["input"] == ["a", "b"]


def test_async_calls(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """Many at once, each below the span that made it."""
    server.answers += [answer(completion())] * 3

    async def use(client: Any) -> None:
        async def branch(name: str) -> None:
            with obs.span(name):
                await client.chat.completions.create(model="m", messages=ASKED)

        await asyncio.gather(*(branch(name) for name in "abc"))

    with obs.flow() as run:
        run_async(server, use)
    log = obs.get_flow_log(run.flow_id)
    names = {span.span_id: span.node for span in log.spans}
    calls = [span for span in log.spans if span.node == "llm.call"]
    assert sorted(names[span.parent_id or ""] for span in calls) == ["a", "b", "c"]
    assert log.metrics["tokens"] == 3750


def test_an_error_inside_an_answer(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """OpenRouter's errors under status 200 are errors of the span, as they are for llm.call; the caller gets the answer."""
    failed = {**completion()["choices"][0], "error": {"code": 502, "message": "Provider is down."}, "finish_reason": "error"}
    server.answers.append(answer({**completion(), "choices": [failed]}))
    with obs.flow() as run:
        assert client.chat.completions.create(model="m", messages=ASKED).choices[0].finish_reason == "error"
    assert (end(run).kind, "Provider is down." in end(run).data["error"]["message"]) == ("error", True)


def test_an_answer_of_another_kind(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """The SDK returns a text as it is, and JSON that is not a completion as an object without fields."""
    server.answers += [answer("<html>", Content_Type="text/html"), answer({"text": "hi"})]
    with obs.flow() as run:
        assert client.chat.completions.create(model="m", messages=ASKED) == "<html>"
    assert end(run).output == "<html>"
    with obs.flow() as run:
        client.chat.completions.create(model="m", messages=ASKED)
    assert end(run).output == {"text": "hi"}
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 0


def test_other_calls_are_not_observed(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Only calls of models are."""
    server.answers.append(answer({"id": "modr-1", "model": "m", "results": []}))
    with obs.flow() as run:
        client.moderations.create(input="x")
    assert [span.node for span in obs.get_flow_log(run.flow_id).spans] == ["flow"]


# --- streams ---


def test_a_stream(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """It is asked for usage, and the caller does not see the chunk that this brings."""
    server.answers.append(streamed("Pa", "ris"))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        assert [chunk.choices[0].delta.content for chunk in stream] == ["Pa", "ris", None]
    assert server.asked[0][2]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in events(run)[0]["data"]["input"]
    leave = end(run)
    assert (leave.output["content"], leave.output["finish_reason"], leave.output["model"]) == ("Paris", "stop", "m-1")
    assert leave.metrics == {**COUNTED, "chunks": 3}
    assert 0 < events(run)[1]["metrics"]["time_to_first_chunk_ms"] <= events(run)[1]["metrics"]["duration_ms"]


@pytest.mark.parametrize(
    ("options", "sent", "usages"),
    [
        ({"include_usage": True}, {"include_usage": True}, [None, None, 1250]),
        ({"include_usage": False}, {"include_usage": False}, [None, None]),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}, [None, None]),
    ],
)
def test_what_the_caller_asks_for(
    ring: obs.RingBufferHandler, server: Endpoint, client: Any, options: Any, sent: Any, usages: Any
) -> None:
    """Whoever asks for usage gets it, who refuses it is not asked for it, and no option of the caller is changed."""
    given = dict(options)
    server.answers.append(streamed("Paris", usage=sent["include_usage"]))
    with obs.flow():
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True, stream_options=options)
        assert [chunk.usage and chunk.usage.total_tokens for chunk in stream] == usages
    assert (server.asked[0][2]["stream_options"], options) == (sent, given)


def test_a_chunk_without_choices_that_is_not_usage(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Azure begins with one; the caller gets it."""
    filters = {**sdk_chunk(), "choices": [], "prompt_filter_results": []}
    server.answers.append(sse(filters, sdk_chunk("Paris", "stop"), "data: [DONE]\n\n"))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert [len(chunk.choices) for chunk in stream] == [0, 1]
    assert (end(run).output["content"], end(run).metrics) == ("Paris", {"chunks": 2})


def test_tool_calls_of_a_stream(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Their pieces are put together."""
    pieces = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"ci'}},
        {"index": 0, "function": {"arguments": 'ty": 1}'}},
    ]
    chunks = [sdk_chunk(tool_calls=[piece]) for piece in pieces]
    server.answers.append(sse(*chunks, sdk_chunk(finish="tool_calls"), "data: [DONE]\n\n"))
    with obs.flow() as run:
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    function = {"name": "weather", "arguments": '{"city": 1}'}
    assert end(run).output["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]


def test_a_stream_that_is_left(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """By closing it, or its ``with`` block: the span ends there, with what came so far."""
    for number in range(3):
        server.answers.append(streamed("Pa", "ris"))
        with obs.flow() as run:
            stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
            if number == 0:
                with stream:
                    assert next(stream).choices[0].delta.content == "Pa"
            elif number == 1:
                for _ in stream:
                    break
                stream.close()
            else:
                stream.response.close()
            leave = end(run)
        assert (leave.kind, leave.output["content"]) == ("exit", "" if number == 2 else "Pa")
        assert leave.metrics == {"chunks": 0 if number == 2 else 1, "closed_early": 1}
        assert list(stream) == []
        stream.close()


def test_a_stream_that_is_broken_off_and_read_on(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``break`` ends a loop, not the stream."""
    server.answers.append(streamed("Pa", "ris"))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        for _ in stream:
            break
        assert len(events(run)) == 1
        assert len(list(stream)) == 2
    assert end(run).output["content"] == "Paris"


DELTAS = st.one_of(
    st.builds(sdk_chunk, st.text(max_size=5) | st.none()),
    st.builds(lambda text: sdk_chunk(tool_calls=[{"index": 0, "function": {"arguments": text}}]), st.text(max_size=5)),
    st.builds(lambda text: {**sdk_chunk(), "choices": [], "prompt_filter_results": [text]}, st.text(max_size=5)),
    st.builds(lambda text: {**sdk_chunk(text), "usage": USAGE}, st.text(max_size=5)),
)


@by_hand
@given(st.lists(DELTAS, max_size=6), st.integers(0, 8), st.booleans(), st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_caller_sees_what_it_would_see_anyway(
    ring: obs.RingBufferHandler, server: Endpoint, client: Any, deltas: list[Any], read: int, is_closed: bool, asks: bool
) -> None:
    """Whatever the stream is, and however much of it is read; and the log has what was read."""

    def reply(handler: Any) -> None:
        options = server.asked[-1][2].get("stream_options") or {}
        last = [{**sdk_chunk(), "choices": [], "usage": USAGE}] if options.get("include_usage") else []
        sse(*deltas, sdk_chunk(finish="stop"), *last, "data: [DONE]\n\n")(handler)

    def seen() -> list[Any]:
        server.answers.append(reply)
        given = {"stream_options": {"include_usage": True}} if asks else {}
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True, **given)
        chunks = [chunk.to_dict() for chunk in itertools.islice(stream, read)]
        if is_closed:
            stream.close()
        else:
            chunks += [chunk.to_dict() for chunk in stream]
        return chunks

    bare = seen()
    undo = instrument()
    with obs.flow() as run:
        observed = seen()
    undo()
    assert observed == bare
    texts = [chunk["choices"][0]["delta"].get("content") or "" for chunk in observed if chunk["choices"]]
    assert end(run).output["content"] == "".join(texts)
    assert end(run).metrics["chunks"] == len(observed)


def test_a_stream_that_is_dropped(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Read in part or not at all: its span ends when it is garbage."""
    for count in (0, 1):
        server.answers.append(streamed("Pa", "ris"))
        with obs.flow() as run:
            stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
            for _ in range(count):
                next(stream)
            del stream
            gc.collect()
        assert end(run).metrics == {"chunks": count, "closed_early": 1}


def test_a_stream_that_fails(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """An error in the middle is that of the span, and reaches the caller unchanged."""
    server.answers.append(sse(sdk_chunk("Pa"), {"error": {"message": "Overloaded.", "code": 503}}))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert next(stream).choices[0].delta.content == "Pa"
        with pytest.raises(openai.APIError, match=r"Overloaded\."):
            next(stream)
    leave = end(run)
    assert (leave.kind, leave.data["error"]["type"], leave.metrics) == ("error", "APIError", {"chunks": 1})


def test_a_stream_whose_endpoint_hangs(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """A timeout between two chunks."""
    server.answers.append(sse(sdk_chunk("Pa"), sdk_chunk("ris"), after=lambda: server.release.wait(30)))
    with obs.flow() as run:
        stream = client.with_options(timeout=0.3).chat.completions.create(model="m", messages=ASKED, stream=True)
        with pytest.raises(Exception, match=r"timed out|[Tt]imeout"):
            list(stream)
    assert (end(run).kind, end(run).metrics["chunks"]) == ("error", 1)


def test_a_consumer_that_fails(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Its error is none of the call."""
    server.answers.append(streamed("Pa", "ris"))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)

        def read() -> None:
            with stream:
                next(stream)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            read()
    assert (end(run).kind, end(run).metrics["closed_early"]) == ("exit", 1)


def test_the_span_is_current_only_inside(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """The code that reads a stream is not in the span of the call, and what the SDK logs is."""
    logging.getLogger().addHandler(ring)
    logging.getLogger("httpx").setLevel(logging.INFO)
    logging.getLogger("httpx2").setLevel(logging.INFO)
    server.answers.append(streamed("Pa", "ris"))
    with obs.flow() as run, obs.span("outer") as outer:
        for _ in client.chat.completions.create(model="m", messages=ASKED, stream=True):
            assert obs.current() == outer.context
            with obs.span("inner"):
                pass
    log = obs.get_flow_log(run.flow_id)
    assert {span.parent_id for span in log.spans if span.node == "inner"} == {outer.context and outer.context.span_id}
    (call,) = [span for span in log.spans if span.node == "llm.call"]
    said = [event for event in log.events if event["event_type"] == "log"]
    assert {event["span_id"] for event in said if "HTTP Request" in str(event["message"])} == {call.span_id}


def test_the_streams_of_helpers(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``chat.completions.stream`` reads the stream for its events; left early, too."""
    for is_whole in (True, False):
        server.answers.append(streamed("Pa", "ris"))
        with obs.flow() as run:
            with parse_of(client).stream(model="m", messages=ASKED) as stream:
                for event in stream:
                    if not is_whole and event.type == "content.delta":
                        break
            if is_whole:
                whole = stream.get_final_completion()
                assert (whole.choices[0].message.content, whole.usage) == ("Paris", None)
        assert (end(run).output["content"], "closed_early" in end(run).metrics) == (
            ("Paris", False) if is_whole else ("Pa", True)
        )


def response_events(**facts: Any) -> list[str]:
    """Return the events of a streamed response."""
    begun = model_response(status="in_progress", **facts)
    delta = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    listed = [
        {"type": "response.created", "response": {**begun, "output": [], "usage": None}},
        {"type": "response.output_text.delta", **delta, "delta": "Pa"},
        {"type": "response.output_text.delta", **delta, "delta": "ris"},
        {"type": "response.completed", "response": model_response(**facts)},
    ]
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(listed)]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered]


@needs_responses
def test_a_streamed_response(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Whole, and left early; nothing is added to the request."""
    server.answers += [sse(*response_events())] * 2
    with obs.flow() as run:
        stream = client.responses.create(model="m", input="?", stream=True)
        assert [event.type for event in stream][-1] == "response.completed"
    assert end(run).output["content"] == "Paris"
    assert end(run).metrics == {**COUNTED, "chunks": 4}
    assert server.asked[0][2] == {"model": "m", "input": "?", "stream": True}
    with obs.flow() as run, client.responses.create(model="m", input="?", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    assert end(run).output["content"] == "Pa"
    assert end(run).metrics == {"chunks": 2, "closed_early": 1}


@needs_responses
def test_a_streamed_response_of_the_helper(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``responses.stream``."""
    if not hasattr(client.responses, "stream"):
        pytest.skip("this version has none")
    added = [
        {"type": "response.output_item.added", "output_index": 0, "sequence_number": 0,
         "item": {**model_response()["output"][0], "content": []}},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 0,
         "part": {"type": "output_text", "text": "", "annotations": []}},
    ]  # fmt: skip
    first, *rest = response_events()
    server.answers.append(sse(first, *(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in added), *rest))
    with obs.flow() as run, client.responses.stream(model="m", input="?") as stream:
        assert stream.get_final_response().output_text == "Paris"
    assert end(run).output["content"] == "Paris"


@needs_responses
def test_a_streamed_response_that_fails(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """The API says so in an event."""
    failed = {
        "type": "response.failed",
        "sequence_number": 1,
        "response": model_response(status="failed", error={"code": "server_error", "message": "No luck."}),
    }
    server.answers.append(sse(response_events()[0], f"event: response.failed\ndata: {json.dumps(failed)}\n\n"))
    with obs.flow() as run:
        list(client.responses.create(model="m", input="?", stream=True))
    assert (end(run).kind, end(run).data["error"]) == (
        "error",
        {"type": "server_error", "message": "No luck."},
    )


def test_async_streams(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """Whole, left early in three ways, and failing."""

    async def whole(client: Any) -> None:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert isinstance(stream, openai.AsyncStream)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["Pa", "ris", None]

    async def closed(client: Any) -> None:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        async for _ in stream:
            break
        await stream.close()

    async def left(client: Any) -> None:
        async with await client.chat.completions.create(model="m", messages=ASKED, stream=True) as stream:
            await stream.__anext__()

    async def unread(client: Any) -> None:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        await stream.close()
        assert len(events(run)) == 2

    async def helped(client: Any) -> None:
        async with parse_of(client).stream(model="m", messages=ASKED) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    break

    early, none = ("Pa", {"chunks": 1, "closed_early": 1}), ("", {"chunks": 0, "closed_early": 1})
    for use, expected in (
        (whole, ("Paris", {**COUNTED, "chunks": 3})),
        (closed, early),
        (left, early),
        (helped, early),
        (unread, none),
    ):
        server.answers.append(streamed("Pa", "ris"))
        with obs.flow() as run:
            run_async(server, use)
        assert (end(run).output["content"], end(run).metrics) == expected
    server.answers.append(sse(sdk_chunk("Pa"), {"error": {"message": "Overloaded."}}))
    with obs.flow() as run, pytest.raises(openai.APIError, match=r"Overloaded\."):
        run_async(server, whole)
    assert end(run).kind == "error"


def test_an_async_call_that_is_cancelled(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """In the request, and in the middle of a stream: cancelled, no error."""

    async def use(client: Any) -> None:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        async for _ in stream:
            begun.set()

    async def cancelled(client: Any) -> None:
        task = asyncio.ensure_future(use(client))
        while not (server.asked if is_silent else begun.is_set()):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for is_silent in (True, False):
        begun = asyncio.Event()
        hang = sse(sdk_chunk("Pa"), sdk_chunk("ris"), after=lambda: server.release.wait(30))
        server.answers.append(server.silent if is_silent else hang)
        with obs.flow() as run:
            run_async(server, cancelled)
        leave = end(run)
        assert (leave.data["cancelled"], obs.get_flow_log(run.flow_id).spans[1].status) == (True, "cancelled")


# --- endpoints that do not know what is asked for beside the caller's request ---


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_that_refuses_a_request_for_usage(
    ring: obs.RingBufferHandler, server: Endpoint, client: Any, status: int, is_async: bool
) -> None:
    """The call is made again as its caller made it, and later ones ask no more; the caller sees no error."""
    refusal = answer({"error": {"message": "Unrecognized request argument supplied: stream_options"}}, status)
    server.answers += [refusal, streamed("Pa", "ris", usage=False), streamed("Lyon", usage=False)]

    async def read(client: Any) -> str:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    def ask() -> str:
        if is_async:
            return str(run_async(server, read))
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with obs.flow() as run:
        assert (ask(), ask()) == ("Paris", "Lyon")
    assert ["stream_options" in body for _, _, body in server.asked] == [True, False, False]
    assert [event["event_type"] for event in events(run)] == ["entry", "exit", "entry", "exit"]


def test_a_request_that_is_refused_anyway(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """The caller gets the error of its own request, without another one as its context, and usage is asked for again."""
    refusal = answer({"error": {"message": "max_tokens is too large"}}, 400)
    server.answers += [refusal, refusal, streamed("Paris")]
    with obs.flow() as run:
        with pytest.raises(openai.BadRequestError, match="max_tokens is too large") as raised:
            client.chat.completions.create(model="m", messages=ASKED, stream=True)
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert "max_tokens is too large" in str(raised.value)
    assert not isinstance(raised.value.__context__, openai.OpenAIError)
    assert ["stream_options" in body for _, _, body in server.asked] == [True, False, True]
    assert [event["event_type"] for event in events(run)] == ["entry", "error", "entry", "exit"]


# --- raw responses ---


def test_raw_responses(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``with_raw_response``: headers, and the object when it is asked for."""
    server.answers.append(answer(completion(), X_Custom="7"))
    with obs.flow() as run:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
        assert (raw.headers["x-custom"], raw.parse().choices[0].message.content) == ("7", "Paris")
    assert (end(run).output["content"], end(run).metrics) == ("Paris", COUNTED)
    server.answers.append(streamed("Pa", "ris", usage=False))
    with obs.flow() as run:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
        stream = raw.parse()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Paris"
    assert (end(run).output["content"], end(run).metrics["chunks"]) == ("Paris", 3)
    assert "stream_options" not in server.asked[1][2]


def test_streaming_responses(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """``with_streaming_response``: parsed, read as text, read as lines, parsed to a stream, and not read at all."""
    create = client.chat.completions.with_streaming_response.create
    text = json.dumps(completion())

    def read(how: Callable[[Any], Any], **options: Any) -> tuple[Any, Any]:
        server.answers.append(streamed("Pa", "ris", usage=False) if options else answer(completion()))
        with obs.flow() as run, create(model="m", messages=ASKED, **options) as raw:
            result = how(raw)
        return result, end(run)

    result, leave = read(lambda raw: raw.parse().choices[0].message.content)
    assert (result, leave.output["content"], leave.metrics) == ("Paris", "Paris", COUNTED)
    result, leave = read(lambda raw: raw.text())
    assert (json.loads(result), leave.output["content"]) == (json.loads(text), "Paris")
    result, leave = read(lambda raw: len(list(raw.parse())), stream=True)
    assert (result, leave.output["content"], leave.metrics) == (3, "Paris", {"chunks": 3})
    for how in (lambda raw: len(list(raw.iter_lines())) > 3, lambda raw: True):
        result, leave = read(how, stream=True)
        assert (result, leave.kind, leave.output, leave.metrics) == (True, "exit", None, {})


def test_a_raw_response_that_is_dropped(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Its span ends when it is garbage."""
    server.answers.append(streamed("Paris", usage=False))
    with obs.flow() as run:
        client.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
        gc.collect()
        assert end(run).kind == "exit"


def test_async_raw_responses(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """Both kinds, whole and as a stream."""

    async def use(client: Any) -> list[Any]:
        completions = client.chat.completions
        raw = await completions.with_raw_response.create(model="m", messages=ASKED)
        found = [raw.parse().choices[0].message.content]
        raw = await completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
        found.append(len([chunk async for chunk in raw.parse()]))
        async with completions.with_streaming_response.create(model="m", messages=ASKED) as raw:
            found.append((await raw.parse()).choices[0].message.content)
        async with completions.with_streaming_response.create(model="m", messages=ASKED, stream=True) as raw:
            found.append(len([chunk async for chunk in await raw.parse()]))
        async with completions.with_streaming_response.create(model="m", messages=ASKED, stream=True) as raw:
            pass
        return found

    server.answers += [answer(completion()), streamed("Pa", "ris", usage=False)] * 2 + [streamed("Paris", usage=False)]
    with obs.flow() as run:
        assert run_async(server, use) == ["Paris", 3, "Paris", 3]
    outputs = [event["data"].get("output") for event in events(run) if event["event_type"] == "exit"]
    assert [output and output["content"] for output in outputs] == ["Paris"] * 4 + [None]


# --- errors ---


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "AuthenticationError"), (404, "NotFoundError"), (429, "RateLimitError"), (500, "InternalServerError")],
)
def test_errors_are_raised_unchanged(ring: obs.RingBufferHandler, server: Endpoint, client: Any, status: int, kind: str) -> None:
    """And are the error of the span."""
    server.answers.append(answer({"error": {"message": "No."}}, status))
    with obs.flow() as run, pytest.raises(getattr(openai, kind)) as raised:
        client.chat.completions.create(model="m", messages=ASKED)
    assert (raised.value.status_code, raised.value.__cause__) == (status, None)
    assert end(run).data["error"]["type"] == kind


def test_a_timeout_and_a_dead_endpoint(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Errors of the connection."""
    server.answers.append(server.silent)
    with obs.flow() as run, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m", messages=ASKED, timeout=0.2)
    assert end(run).data["error"]["type"] == "APITimeoutError"
    with (
        obs.flow() as run,
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key=KEY, max_retries=0) as dead,
        pytest.raises(openai.APIConnectionError),
    ):
        dead.embeddings.create(model="m", input="x")
    assert end(run, "embedding.call").data["error"]["type"] == "APIConnectionError"


def test_retries_are_one_call(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """What the SDK tries again is one span, whose duration has the waiting."""
    server.answers += [answer({"error": {"message": "Slow down."}}, 429, Retry_After_Ms="20"), answer(completion())]
    with obs.flow() as run:
        result = client.with_options(max_retries=1).chat.completions.create(model="m", messages=ASKED)
    assert (result.choices[0].message.content, len(server.asked)) == ("Paris", 2)
    assert events(run)[1]["metrics"]["duration_ms"] >= 15


# --- secrets ---

ODD_KEY = "qz7-Vx41-mKp9-Wd22-Lr58"  # has no known format: only the client says that it is a key


@pytest.mark.parametrize("is_stream", [False, True])
def test_no_key_is_in_any_sink(server: Endpoint, tmp_path: Path, is_stream: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the client and of one request, which the endpoint repeats in its answer and in its error."""
    other = "hB3-tY66-nQw1-Xs90-Zc47"
    heard: list[Any] = []
    undo = obs.configure(
        {
            "handlers": [
                {"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")},
                {"type": "console", "verbose": True},
                {"type": "callback", "callback": heard.append},
            ]
        }
    )
    text = f"Your keys are {ODD_KEY} and {other}."
    server.answers += [
        streamed(*text) if is_stream else answer(completion(text)),
        answer({"error": {"message": f"Incorrect API key provided: {ODD_KEY}, {other}"}}, 401),
    ]
    with (
        obs.flow() as run,
        openai.OpenAI(base_url=server.url, api_key=ODD_KEY, max_retries=0) as client,
        obs.span("outer", question=f"Is {ODD_KEY} my key?") as outer,
    ):
        result = client.chat.completions.create(model="m", messages=ASKED, stream=is_stream, extra_headers={"X-Api-Key": other})
        outer.output = text
        if is_stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in result) == text
        with pytest.raises(openai.AuthenticationError, match=ODD_KEY):
            client.chat.completions.create(model="m", messages=ASKED)
    log = obs.get_flow_log(run.flow_id)
    undo()
    files = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    out, err = capsys.readouterr()
    # The span around the call logged its input before the client was known.
    files, err = files[files.index('"llm.call"') :], err[err.index("llm.call") :]
    for sink in (files, json.dumps(heard[2:]), err, out, json.dumps(list(log.events))):
        assert ODD_KEY not in sink
        assert other not in sink
    assert "[REDACTED]" in files


def test_the_key_of_a_placeholder_hides_no_word(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """A local server's key is often a word, such as ollama; that word stays in the log."""
    server.answers.append(answer(completion("ollama says hi")))
    with obs.flow() as run, openai.OpenAI(base_url=server.url, api_key="ollama") as client:
        client.chat.completions.create(model="ollama/llama3", messages=ASKED)
    assert end(run).output["content"] == "ollama says hi"


def test_a_key_that_is_fetched(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """Newer versions take a function for the key."""
    if "Callable" not in str(inspect.signature(openai.OpenAI.__init__).parameters["api_key"].annotation):
        pytest.skip("this version takes a text only")
    server.answers.append(answer(completion(f"It is {ODD_KEY}.")))
    with obs.flow() as run, openai.OpenAI(base_url=server.url, api_key=lambda: ODD_KEY) as client:
        client.chat.completions.create(model="m", messages=ASKED)
    assert ODD_KEY not in json.dumps(events(run))
    assert server.asked[0][1]["authorization"] == f"Bearer {ODD_KEY}"


# --- endpoints ---


def test_azure(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """The path of a deployment, the key in another header."""
    server.answers.append(answer(completion()))
    with (
        obs.flow() as run,
        openai.AzureOpenAI(azure_endpoint=server.url.removesuffix("/v1"), api_key=ODD_KEY, api_version="2024-10-21") as client,
    ):
        client.chat.completions.create(model="dep", messages=ASKED)
    path, headers, _ = server.asked[0]
    assert (path, headers["api-key"]) == ("/openai/deployments/dep/chat/completions?api-version=2024-10-21", ODD_KEY)
    asked = events(run)[0]["data"]["input"]
    assert (asked["provider"], asked["model"]) == ("azure.ai.openai", "dep")
    assert ODD_KEY not in json.dumps(events(run))


def test_azure_whose_calls_are_filtered(server: Endpoint) -> None:
    """Older versions change the path of a request when they send it; errors are logged anyhow."""
    undo = obs.configure({"levels": {"llm": "warn"}})
    server.answers += [answer({"error": {"message": "No."}}, 401), streamed("Paris", usage=False)]
    azure = {"azure_endpoint": server.url.removesuffix("/v1"), "api_key": ODD_KEY, "api_version": "2024-10-21"}
    with obs.flow() as run, openai.AzureOpenAI(**azure) as client:
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="dep", messages=ASKED)
        assert len(list(client.chat.completions.create(model="dep", messages=ASKED, stream=True))) == 2
    assert [event["event_type"] for event in events(run)] == ["error"]
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 0
    undo()


def test_the_key_in_the_first_event(server: Endpoint, tmp_path: Path) -> None:
    """The keys of a client are known before the entry of its call is written."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "log.jsonl")}]})
    server.answers.append(answer(completion()))
    with obs.flow(), openai.OpenAI(base_url=server.url, api_key=ODD_KEY) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"Is {ODD_KEY} my key?"}])
    undo()
    assert ODD_KEY not in (tmp_path / "log.jsonl").read_text(encoding="utf-8")


def test_an_endpoint_that_tells_the_cost(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """OpenRouter does, and vLLM's reasoning has a name of its own; a price of ours does not replace that cost."""
    whole = completion(reasoning_content="Think.")
    whole["usage"] = {**whole["usage"], "cost": 0.25}
    server.answers.append(answer(whole))
    undo = obs.configure({"prices": {"*": {"input": 1, "output": 1}}})
    with obs.flow() as run:
        client.chat.completions.create(model="m", messages=ASKED)
    assert (end(run).metrics["cost_usd"], end(run).output["reasoning"]) == (0.25, "Think.")
    undo()


def test_prices_apply(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """To whole answers and streams alike, with the price of cached tokens."""
    undo = obs.configure({"prices": {"m-*": {"input": 10, "cached_input": 1, "output": 100}}})
    server.answers += [answer(completion()), streamed("Paris")]
    with obs.flow() as run:
        client.chat.completions.create(model="m", messages=ASKED)
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    expected = (200 * 10 + 1000 * 1 + 50 * 100) / 1e6
    found = [event["metrics"]["cost_usd"] for event in events(run) if event["event_type"] == "exit"]
    assert found == [pytest.approx(expected)] * 2
    undo()


def test_the_provider_of_openai_itself() -> None:
    """By the address; regional ones too."""
    for url, expected in (
        ("https://api.openai.com/v1", {"provider": "openai"}),
        ("https://eu.api.openai.com/v1", {"provider": "openai"}),
        ("https://api.openai.com.example/v1", {}),
    ):
        with openai.OpenAI(base_url=url, api_key=KEY) as client:
            assert _openai_calls._provider(client) == expected


def test_spans_of_open_telemetry(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """OTLP has the names of models, and the messages of both APIs."""
    server.answers += [answer(completion()), answer(model_response())]
    undo = obs.configure({})
    with obs.flow() as run:
        client.chat.completions.create(model="m", messages=ASKED)
        if HAS_RESPONSES:
            client.responses.create(model="m", instructions="Be brief.", input=[{"role": "user", "content": "?"}])
    from the_edge_obs.formats.otlp import runs_of

    ((_, spans),) = runs_of(obs.query(run.flow_id), {}, Translator())
    named = [span for span in spans if span.name == "chat m"]
    assert len(named) == (2 if HAS_RESPONSES else 1)
    first = named[0].attributes
    assert (first["gen_ai.usage.cache_read.input_tokens"], first["gen_ai.response.id"]) == (1000, "chatcmpl-1")
    if HAS_RESPONSES:
        asked = json.loads(named[1].attributes["gen_ai.input.messages"])  # type: ignore[arg-type]
        assert [(one["role"], one["parts"][0]["content"]) for one in asked] == [("system", "Be brief."), ("user", "?")]
    undo()


# --- off, filtered, outside a flow ---


def test_outside_a_flow_a_call_is_a_flow(server: Endpoint, client: Any) -> None:
    """As a decorated function is."""
    heard: list[Any] = []
    undo = obs.configure({"handlers": [{"type": "callback", "callback": heard.append}]})
    server.answers += [answer(completion()), streamed("Paris")]
    client.chat.completions.create(model="m", messages=ASKED)
    list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert obs.current() is None
    assert [(event["event_type"], event["node"], event["parent_id"]) for event in heard] == [
        ("entry", "llm.call", None),
        ("exit", "llm.call", None),
    ] * 2
    assert len({event["flow_id"] for event in heard}) == 2
    undo()


def test_a_filtered_call_is_the_bare_call(server: Endpoint, client: Any) -> None:
    """Nothing is asked for, nothing is logged; its errors are."""
    undo = obs.configure({"level": "warn"})
    server.answers += [
        streamed("Paris", usage=False),
        answer({"error": {"message": "No."}}, 429),
        sse(sdk_chunk("Pa"), {"error": {"message": "Overloaded."}}),
    ]
    with obs.flow() as run:
        assert len(list(client.chat.completions.create(model="m", messages=ASKED, stream=True))) == 2
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="m", messages=ASKED)
        with pytest.raises(openai.APIError, match="Overloaded"):
            list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert "stream_options" not in server.asked[0][2]
    assert [(event["event_type"], event["data"]["error"]["type"]) for event in events(run)] == [
        ("error", "RateLimitError"),
        ("error", "APIError"),
    ]
    undo()


OFF = """
import sys, openai
from the_edge_obs.integrations.openai import instrument
undo = instrument()
client = openai.OpenAI(base_url=sys.argv[1], api_key="x")
stream = client.chat.completions.create(model="m", messages=[], stream=True)
print(stream._iterator.gi_code is openai.Stream.__stream__.__code__, "read" in vars(stream.response))
print(len(list(stream)))
"""


@pytest.mark.slow
def test_without_observability_a_stream_is_that_of_the_sdk(server: Endpoint) -> None:
    """In a process that has configured nothing."""
    server.answers.append(streamed("Paris", usage=False))
    done = subprocess.run([sys.executable, "-c", OFF, server.url], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True False", "2"]
    assert "stream_options" not in server.asked[0][2]


# --- observing, and undoing it ---


@by_hand
def test_observing_is_undone(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """All clients, also those made before; twice is once, until both are undone."""
    before = vars(openai.OpenAI).get("request")
    first, second = instrument(), instrument()
    assert inspect.signature(openai.OpenAI.request) == inspect.signature(openai.OpenAI.request.__wrapped__)
    assert inspect.iscoroutinefunction(openai.AsyncOpenAI.request)
    counts = []
    for undo in (first, first, second, second):
        server.answers.append(answer(completion()))
        with obs.flow() as run:
            client.chat.completions.create(model="m", messages=ASKED)
        counts.append(len(events(run)))
        undo()
    assert counts == [2, 2, 2, 0]
    assert vars(openai.OpenAI).get("request") is before


@by_hand
def test_one_client(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """And what it is copied to; no other one, and not twice when all are observed as well."""
    undos = [instrument(client), instrument(client)]
    assert inspect.signature(client.request) == inspect.signature(openai.OpenAI(api_key="x").request)
    copies = [client, client.with_options(timeout=5), client.copy().with_options(timeout=6)]
    counts = []

    def ask(one: Any) -> int:
        server.answers.append(answer(completion()))
        with obs.flow() as run:
            one.chat.completions.create(model="m", messages=ASKED)
        return len(events(run))

    with openai.OpenAI(base_url=server.url, api_key=KEY) as other:
        counts += [*map(ask, copies), ask(other)]
        undo_all = instrument()
        counts += [*map(ask, copies), ask(other)]
        undo_all()
        undos.pop()()
        counts.append(ask(client))
        undos.pop()()
        counts += [*map(ask, copies), ask(other)]
    assert counts == [*(2, 2, 2, 0), *(2, 2, 2, 2), 2, *(0, 0, 0, 0)]
    assert not {"request", "copy", "with_options"} & vars(client).keys()


@by_hand
def test_one_async_client(ring: obs.RingBufferHandler, server: Endpoint) -> None:
    """As a sync one."""

    async def use(client: Any) -> list[int]:
        counts = []
        undo = instrument(client)
        for one in (client, client.with_options(timeout=5), undo):
            if one is undo:
                undo()
                one = client
            server.answers.append(answer(completion()))
            with obs.flow() as run:
                await one.chat.completions.create(model="m", messages=ASKED)
            counts.append(len(events(run)))
        return counts

    assert run_async(server, use) == [2, 2, 0]


@by_hand
def test_other_code_may_wrap_the_same_method(ring: obs.RingBufferHandler, server: Endpoint, client: Any) -> None:
    """Its wrapper stays after the undo, and calls the SDK; observing again observes."""
    undo = instrument()
    ours = openai.OpenAI.request
    calls: list[Any] = []

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return ours(self, *args, **kwargs)

    openai.OpenAI.request = theirs
    counts = []
    for step in (None, undo, instrument):
        later = step() if step is not None else None
        server.answers.append(answer(completion()))
        with obs.flow() as run:
            client.chat.completions.create(model="m", messages=ASKED)
        counts.append(len(events(run)))
    later()  # type: ignore[misc]
    assert (counts, len(calls), openai.OpenAI.request) == ([2, 0, 2], 3, theirs)
    del openai.OpenAI.request


@by_hand
def test_a_client_that_is_no_longer_observed_is_observed_by_its_class(
    ring: obs.RingBufferHandler, server: Endpoint, client: Any
) -> None:
    """Also while the wrapper of other code still calls ours; and each call is one span."""
    undo_client = instrument(client)
    ours = client.request
    client.request = lambda *args, **kwargs: ours(*args, **kwargs)
    counts = []
    for undo in (instrument(), undo_client, None):
        server.answers.append(answer(completion()))
        with obs.flow() as run:
            client.chat.completions.create(model="m", messages=ASKED)
        counts.append(len(events(run)))
        if undo is undo_client:
            undo_client()
        elif undo is not None:
            undo_class = undo
    undo_class()
    del client.request
    assert counts == [2, 2, 2]


@by_hand
def test_many_threads_observe_at_once(server: Endpoint) -> None:
    """And after all undos nothing is left."""
    undos: list[Callable[[], None]] = []
    threads = [threading.Thread(target=lambda: undos.append(instrument())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "request" in vars(openai.OpenAI)
    for undo in undos:
        undo()
    assert "request" not in vars(openai.OpenAI)


def test_what_cannot_be_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client; no SDK; an SDK of the time before clients."""
    with pytest.raises(ConfigurationError, match="'gpt-4o' is not a client of openai; give an OpenAI or AsyncOpenAI client"):
        instrument("gpt-4o")
    monkeypatch.setitem(sys.modules, "openai", SimpleNamespace())
    with pytest.raises(ConfigurationError, match=r"this version of openai is too old; install openai 1\.40 or newer"):
        instrument()
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"the_edge_obs\[openai\]"):
        instrument()


# --- what fails inside ---


@pytest.mark.parametrize("broken", ["Call", "_finish", "take", "follow"])
def test_a_failure_inside_does_not_reach_the_caller(
    ring: obs.RingBufferHandler,
    server: Endpoint,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    """It is counted and shown; the call goes on."""

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken inside")

    place = {
        "Call": ("the_edge_obs.integrations._openai_calls.start_span", fails),
        "_finish": ("the_edge_obs.integrations._openai_calls.Call._finish", fails),
        "take": ("the_edge_obs.integrations._openai_answers.ChatAnswer.take", fails),
        "follow": ("the_edge_obs.integrations._openai_calls._Live.follow", fails),
    }[broken]
    monkeypatch.setattr(*place)
    server.answers.append(streamed("Pa", "ris", usage=False))
    with obs.flow() as run:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Paris"
    log = obs.get_flow_log(run.flow_id)
    assert (log.status, log.metrics["fault_count"]) == ("ok", 1)
    assert capsys.readouterr().err.count("broken inside") == 1
    assert {span.status for span in log.spans} == {"ok"}
