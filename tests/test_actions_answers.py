"""What servers of OpenAI's protocol were seen to answer, replayed by a local one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from the_edge_obs.actions import llm
from the_edge_obs.actions.llm import llm_call, llm_stream
from the_edge_obs.configuration.config import configure
from the_edge_obs.flows import load
from the_edge_obs.store.sources import query

from .model_server import Answer, Endpoint, answer, drained, sse

DONE = "data: [DONE]\n\n"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "*")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OLLAMA_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    running = Endpoint()
    yield running
    running.close()


def call(endpoint: Endpoint, reply: Answer, **params: Any) -> dict[str, Any]:
    endpoint.answers = [reply]
    return llm_call({}, model="m", prompt="p", base_url=endpoint.url, **params)


def streamed(endpoint: Endpoint, *events: Any) -> dict[str, Any]:
    """Return the result of a stream; its pieces are the content."""
    endpoint.answers = [sse(*events)]
    pieces, result = drained(llm_stream({}, model="m", prompt="p", base_url=endpoint.url))
    assert "".join(pieces) == result["content"]
    assert len(pieces) == result.pop("chunk_count")
    assert result.pop("streamed") is True
    return result


def whole(message: dict[str, Any], finish: str | None = "stop", **facts: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": USAGE, **facts}


def delta(said: dict[str, Any] | None, finish: str | None = None, index: int = 0, **facts: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": index, "delta": said, "finish_reason": finish}], **facts}


def tool(id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


RESULT = {"success": True, "content": "", "model": "m-1", "usage": USAGE, "finish_reason": "stop"}
FAILED = {"success": False, "content": "Hi"}


# --- failures ----------------------------------------------------------------------------------------------------------

OPENROUTER = {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "x"}}


@pytest.mark.parametrize(
    ("last", "text", "facts"),
    [
        # vLLM
        (
            [{"object": "error", "message": "out of blocks", "type": "InternalServerError", "code": 500}, DONE],
            "out of blocks",
            500,
        ),
        ([{"error": {"message": "bad", "type": "BadRequestError", "param": None, "code": 400}}, DONE], "bad", 400),
        # Anthropic
        (
            ['event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'],
            "Overloaded",
            529,
        ),
        ([{"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}], "slow", 429),
        (["event: error\ndata: the worker died\n\n"], "the worker died", None),
        # llama.cpp, before and after September 2025
        (['error: {"code":400,"message":"context size","type":"invalid_request_error"}\n\n', DONE], "context size", 400),
        ([{"error": {"code": 500, "message": "slot", "type": "server_error"}}], "slot", 500),
        # OpenAI
        (
            [{"error": {"message": "The server had an error", "type": "server_error", "code": None}}],
            "The server had an error",
            500,
        ),
        # OpenRouter
        ([delta({"content": ""}, "error", error={"code": "server_error", "message": "gone"})], "gone", 500),
        (
            [{"choices": [{"delta": {"content": ""}, "finish_reason": "error", "error": OPENROUTER}]}],
            "Provider disconnected",
            502,
        ),
        # Mistral, Ollama, a gateway
        ([delta({"content": ""}, "error")], "its finish_reason is 'error'", None),
        ([{"error": "model runner has stopped"}], "model runner has stopped", None),
        ([{"detail": "Internal error"}, DONE], "Internal error", None),
        ([{"code": 503, "msg": "no worker", "success": False}], "no worker", 503),
        ([{"error": {"reason": [1, 2]}}], '{"error": {"reason": [1, 2]}}'.removeprefix('{"error": ').removesuffix("}"), None),
    ],
)
def test_an_error_in_a_stream_is_a_failure(endpoint: Endpoint, last: list[Any], text: str, facts: int | None) -> None:
    """Whichever way a server says that it failed, the result says so, with the text so far and the status it stands for."""
    result = streamed(endpoint, delta({"role": "assistant", "content": "Hi"}), *last)
    status = {} if facts is None else {"status_code": facts}
    kind = "rate_limit" if facts == 429 else "api_error"
    assert result == {**FAILED, "error": f"the endpoint answered with an error: {text}", "error_type": kind, **status}


@pytest.mark.parametrize(
    ("payload", "text", "kind", "status"),
    [
        ({"object": "error", "message": "no model", "type": "NotFoundError", "code": 404}, "no model", "api_error", 404),
        ({"type": "error", "error": {"type": "authentication_error", "message": "key"}}, "key", "authentication", 401),
        ({"error": {"code": 429, "message": "slow down"}, "user_id": "u"}, "slow down", "rate_limit", 429),
        ({"error": {"code": "429", "message": "slow down"}}, "slow down", "rate_limit", 429),
        ([{"error": {"code": 503, "message": "unavailable", "status": "UNAVAILABLE"}}], "unavailable", "api_error", 503),
        ({"detail": [{"loc": ["body"], "msg": "required"}]}, '[{"loc": ["body"], "msg": "required"}]', "api_error", None),
        ({"message": "no Route matched", "request_id": "x"}, "no Route matched", "api_error", None),
        ({"choices": [{"finish_reason": "error", "message": {"content": "a"}, "error": OPENROUTER}]}, "Provider disconnected",
         "api_error", 502),
        (whole({"content": "half"}, "error"), "its finish_reason is 'error'", "api_error", None),
    ],
)  # fmt: skip
def test_status_200_with_an_error_is_a_failure(
    endpoint: Endpoint, payload: Any, text: str, kind: str, status: int | None
) -> None:
    """An answer is judged by what it says, not by its HTTP status; called whole and as a stream that is none."""
    facts = {} if status is None else {"status_code": status}
    failed = {"success": False, "error": f"the endpoint answered with an error: {text}", "error_type": kind, **facts}
    assert call(endpoint, answer(payload)) == failed
    for content_type in ("application/json", "text/plain", "text/event-stream"):
        endpoint.answers = [answer(json.dumps(payload), Content_Type=content_type)]
        _, result = drained(llm_stream({}, model="m", prompt="p", base_url=endpoint.url))
        assert result == {**failed, "content": "", "streamed": True, "chunk_count": 0}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"detail": "Not Found"}', "Not Found"),
        ('{"detail": [{"loc": ["body", "model"], "msg": "required"}]}', '[{"loc": ["body", "model"], "msg": "required"}]'),
        ('{"object": "error", "message": {"detail": [1]}, "type": "invalid_request_error"}', "[1]"),
        ('{"errors": ["a", "b"]}', '["a", "b"]'),
        ('["a", "b"]', '["a", "b"]'),
        ('{"code": 7}', '{"code": 7}'),
        ("<html>" + "x" * 600, "<html>" + "x" * 494),
        ('{"detail": "' + "x" * 600 + '"}', "x" * 500),
        ('{"error": {"message": "wrong key: open-sesame-123"}}', "wrong key: [REDACTED]"),
        ("<p>password=hunter2&amp;x</p>", "<p>password=[REDACTED]"),
    ],
)
def test_the_body_of_an_error_is_shown(endpoint: Endpoint, body: str, shown: str) -> None:
    """Its message, or the first 500 characters of whatever came, without the key that was sent and other secrets."""
    result = call(endpoint, answer(body, 400), api_key="open-sesame-123")
    assert result["error"].removeprefix(f"HTTP 400 Bad Request from {endpoint.url}/chat/completions: ")[: len(shown)] == shown
    assert ("hunter2" in result["error"], "open-sesame" in result["error"], len(result["error"]) < 600) == (False, False, True)


@pytest.mark.parametrize(
    "events", [[DONE], [": ping\n\n", DONE], [], [delta({"role": "assistant"}), DONE], [{"choices": []}, DONE]]
)
def test_a_stream_without_an_answer_is_a_failure(endpoint: Endpoint, events: list[Any]) -> None:
    """[DONE] alone, or after chunks that say nothing, is not an empty answer."""
    assert streamed(endpoint, *events) == {
        "success": False,
        "error": f"the stream from {endpoint.url}/chat/completions ended without an answer",
        "error_type": "api_error",
        "content": "",
    }


def test_a_page_in_place_of_an_answer_is_shown(endpoint: Endpoint) -> None:
    """HTML with status 200 is a failure that shows how it begins."""
    page, url = "<html>Sign in</html>", f"{endpoint.url}/chat/completions"
    assert call(endpoint, answer(page, Content_Type="text/html")) == {
        "success": False,
        "error": f"{url} sent invalid JSON: Expecting value: line 1 column 1 (char 0); it begins with {page!r}",
        "error_type": "parse",
    }
    assert streamed(endpoint, page) == {
        "success": False,
        "error": f"{url} did not send a stream of events; it begins with {page!r}",
        "error_type": "parse",
        "content": "",
    }


@pytest.mark.parametrize(
    "failing",
    [
        answer({}, 408),
        answer({"error": {"code": 429, "message": "slow"}}),
        answer({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        answer({"choices": [{"message": {"content": ""}, "error": OPENROUTER, "finish_reason": "error"}]}),
    ],
)
def test_failures_that_pass_are_tried_again(endpoint: Endpoint, failing: Answer) -> None:
    """A late request, a rate limit inside an answer with status 200, an overloaded model: the next attempt may do."""
    endpoint.answers = [failing, answer(whole({"content": "Hi"}))]
    result = llm_call({}, model="m", prompt="p", base_url=endpoint.url, max_retries=1, base_delay=0)
    assert result == {**RESULT, "content": "Hi", "attempts": 2, "total_delay": 0}


def test_retry_after_0_and_a_time_in_the_past_wait_all_the_same(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that is asked again at once fails again: the delay grows, less up to a quarter."""
    waited: list[float] = []
    monkeypatch.setattr(llm.time, "sleep", waited.append)
    past = "Mon, 01 Jan 2024 00:00:00 GMT"
    slow = {"error": {"code": 429, "message": "slow"}}
    endpoint.answers = [
        answer({}, 429, Retry_After="0"),
        answer({}, 503, Retry_After=past),
        answer(slow, Retry_After="-1"),
        answer(slow, Retry_After="9"),
        answer(whole({"content": "Hi"})),
    ]
    result = llm_call({}, model="m", prompt="p", base_url=endpoint.url, max_retries=4)
    assert [round(seconds / full * 4) in (3, 4) for seconds, full in zip(waited, (1, 2, 4, 9), strict=True)] == [True] * 4
    assert (result["success"], result["total_delay"], waited[3], len(set(waited[:3]))) == (True, pytest.approx(sum(waited)), 9, 3)


# --- what an answer holds ------------------------------------------------------------------------------------------------


def test_parts_are_joined_and_thoughts_kept_apart(endpoint: Endpoint) -> None:
    """Content as a list of parts, as Mistral sends it: text is content, thinking is reasoning; whole and in deltas."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm, "}, {"type": "text", "text": "yes"}]}
    parts = [thinking, {"type": "text", "text": "Hi "}, "there", {"type": "reference", "reference_ids": [1]}]
    expected = {**RESULT, "content": "Hi there", "reasoning": "hm, yes"}
    assert call(endpoint, answer(whole({"role": "assistant", "content": parts}))) == expected
    deltas = [delta({"content": [part]}) for part in parts]
    assert streamed(endpoint, *deltas, delta({"content": ""}, "stop", usage=USAGE), DONE) == expected


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept(endpoint: Endpoint, key: str) -> None:
    """Both spellings, as vLLM, OpenRouter, Ollama and llama.cpp have them; one that sends both is read once."""
    expected = {**RESULT, "content": "4", "reasoning": "2+2"}
    both = {"reasoning": "2+2", "reasoning_content": "2+2"}
    for said in ({key: "2+2"}, both):
        assert call(endpoint, answer(whole({"content": "4", **said}))) == expected
    deltas = [
        delta({"content": None, key: "2"}),
        delta({"content": None, key: "+2"}),
        delta({"content": "4"}, "stop", usage=USAGE),
    ]
    assert streamed(endpoint, *deltas, DONE) == expected


def test_a_refusal_is_kept(endpoint: Endpoint) -> None:
    """As a field, in deltas, and as a part of the content."""
    expected = {**RESULT, "refusal": "I cannot."}
    assert call(endpoint, answer(whole({"content": None, "refusal": "I cannot."}))) == expected
    assert call(endpoint, answer(whole({"content": [{"type": "refusal", "refusal": "I cannot."}]}))) == expected
    deltas = [delta({"refusal": "I "}), delta({"refusal": "cannot."}), delta({}, "stop"), {"choices": [], "usage": USAGE}]
    assert streamed(endpoint, *deltas, DONE) == expected


CALLS = [tool("a1", "search", '{"q": "x"}'), tool("b2", "add", '{"n": 1}')]


@pytest.mark.parametrize(
    "deltas",
    [
        # OpenAI: by index, arguments in pieces, two calls interleaved
        [
            [{"index": 0, "id": "a1", "type": "function", "function": {"name": "search", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"q": '}}],
            [{"index": 1, "id": "b2", "type": "function", "function": {"name": "add", "arguments": '{"n"'}}],
            [{"index": 0, "function": {"arguments": '"x"}'}}, {"index": 1, "function": {"arguments": ": 1}"}}],
        ],
        # Ollama: each call whole, all of them with index 0; before 0.4.7 without one
        [[{"index": 0, **CALLS[0]}], [{"index": 0, **CALLS[1]}]],
        [[{"index": 0, **CALLS[0]}, {"index": 0, **CALLS[1]}]],
        [CALLS],
        # without an index, in pieces
        [
            [tool("a1", "search", '{"q": ')],
            [{"function": {"arguments": '"x"}'}}],
            [tool("b2", "add", "")],
            [{"function": {"arguments": '{"n": 1}'}}],
        ],
        # the id repeated in each piece
        [
            [{"index": 0, **tool("a1", "search", '{"q": ')}],
            [{"index": 0, **tool("a1", "search", '"x"}')}],
            [{"index": 1, **CALLS[1]}],
        ],
        # Mistral and Ollama: arguments as an object
        [[{"index": 0, "id": "a1", "function": {"name": "search", "arguments": {"q": "x"}}}], [{"index": 1, **CALLS[1]}]],
    ],
)
def test_tool_calls_are_put_together(endpoint: Endpoint, deltas: list[list[dict[str, Any]]]) -> None:
    """Whichever way the pieces come, each call has its id, its name and all of its arguments."""
    events = [delta({"tool_calls": calls}) for calls in deltas]
    result = streamed(endpoint, *events, delta({}, "tool_calls", usage=USAGE), DONE)
    assert result == {**RESULT, "finish_reason": "tool_calls", "tool_calls": CALLS}


def test_tool_calls_of_a_whole_answer_are_kept(endpoint: Endpoint) -> None:
    """With or without an index, as an object, as Anthropic's blocks, as the old function_call, as a custom tool."""
    expected = {**RESULT, "finish_reason": "tool_calls", "tool_calls": CALLS}
    objects = [{**one, "function": {**one["function"], "arguments": json.loads(one["function"]["arguments"])}} for one in CALLS]
    same_index = [{"index": 0, **one} for one in CALLS]
    for calls in (CALLS, objects, same_index):
        assert call(endpoint, answer(whole({"content": None, "tool_calls": calls}, "tool_calls"))) == expected
    blocks = [{"type": "tool_use", "id": one["id"], **json_of(one)} for one in CALLS]
    assert call(endpoint, answer(whole({"content": blocks}, "tool_calls"))) == expected
    old = {"content": None, "function_call": {"name": "add", "arguments": '{"n": 1}'}}
    assert call(endpoint, answer(whole(old)))["tool_calls"] == [tool(None, "add", '{"n": 1}')]
    custom = {"id": "c3", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    assert call(endpoint, answer(whole({"content": None, "tool_calls": [custom]})))["tool_calls"] == [custom]


def json_of(one: dict[str, Any]) -> dict[str, Any]:
    return {"name": one["function"]["name"], "input": json.loads(one["function"]["arguments"])}


def test_choices_are_kept_apart(endpoint: Endpoint) -> None:
    """With n: 2 the content is the first choice's, and choices has both, in whatever order they come."""
    one, two = {"content": "Hi there", "finish_reason": "stop"}, {"content": "Hello", "finish_reason": "length"}
    expected = {**RESULT, **one, "choices": [{"index": 0, **one}, {"index": 1, **two}]}
    choices = [
        {"index": 1, "message": {"content": "Hello"}, "finish_reason": "length"},
        {"index": 0, "message": {"content": "Hi there"}, "finish_reason": "stop"},
    ]
    assert call(endpoint, answer({"model": "m-1", "choices": choices, "usage": USAGE}), extra_body={"n": 2}) == expected
    events = [
        delta({"content": "Hi"}),
        delta({"content": "Hel"}, index=1),
        {"choices": [{"index": 1, "delta": {"content": "lo"}}, {"index": 0, "delta": {"content": " there"}}]},
        delta({}, "length", index=1),
        delta({}, "stop"),
        {"choices": [], "usage": USAGE},
    ]
    assert streamed(endpoint, *events, DONE) == expected


def test_the_first_choice_is_the_one_with_index_0(endpoint: Endpoint) -> None:
    """A second choice that begins before it is not a piece of the answer."""
    events = [delta({"content": "Hel"}, index=1), delta({"content": "Hi"}), delta({"content": "lo"}, "stop", index=1)]
    result = streamed(endpoint, *events, delta({}, "stop"), DONE)
    assert (result["content"], [one["content"] for one in result["choices"]]) == ("Hi", ["Hi", "Hello"])


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/event-stream"])
def test_a_whole_answer_in_place_of_a_stream_is_taken(endpoint: Endpoint, content_type: str) -> None:
    """Whatever a gateway that cannot stream says its type is; on one line or several."""
    for indent in (None, 2):
        endpoint.answers = [answer(json.dumps(whole({"content": "Hi"}), indent=indent), Content_Type=content_type)]
        pieces, result = drained(llm_stream({}, model="m", prompt="p", base_url=endpoint.url))
        assert (pieces, result) == (["Hi"], {**RESULT, "content": "Hi", "streamed": True, "chunk_count": 1})


def test_a_choice_that_did_not_end_is_a_broken_stream(endpoint: Endpoint) -> None:
    """One of two choices that ends does not make the answer whole."""
    result = streamed(endpoint, delta({"content": "Hi"}), delta({"content": "Hel"}, index=1), delta({}, "stop"))
    assert (result["success"], result["error_type"], result["content"]) == (False, "connection", "Hi")


def test_azure_chunks_without_choices_or_deltas_are_read(endpoint: Endpoint) -> None:
    """The filter results that Azure sends first, and beside chunks, say nothing about the answer."""
    events = [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}], "model": ""},
        delta({"role": "assistant", "content": ""}),
        delta({"content": "Hi"}),
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 4}}]},
        delta({}, "content_filter", usage=USAGE),
    ]
    assert streamed(endpoint, *events, DONE) == {**RESULT, "content": "Hi", "finish_reason": "content_filter"}


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (USAGE, USAGE),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}, {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}),
        ({"input_tokens": 5, "output_tokens": 2}, {"input_tokens": 5, "output_tokens": 2, **USAGE}),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 2},
            {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 2, **USAGE},
        ),
        ({"prompt_eval_count": 5, "eval_count": 2}, {"prompt_eval_count": 5, "eval_count": 2, **USAGE}),
        (None, {}),
        ([], {}),
    ],
)
def test_usage_is_read_in_every_spelling(endpoint: Endpoint, usage: Any, counted: dict[str, Any]) -> None:
    """OpenAI's, Anthropic's and Ollama's names; in the last chunk, beside the last text, in a choice or in Groq's envelope."""
    payload = {**whole({"content": "Hi"}), "usage": usage}
    assert call(endpoint, answer(payload))["usage"] == counted
    text, end = delta({"content": "Hi"}), delta({}, "stop")
    in_choice = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]}
    for last in (
        [end, {"choices": [], "usage": usage}],
        [{**end, "usage": usage}],
        [in_choice],
        [{**end, "x_groq": {"usage": usage}}],
    ):
        assert streamed(endpoint, text, *last, DONE)["usage"] == counted


def test_usage_that_each_chunk_repeats_is_the_last_one(endpoint: Endpoint) -> None:
    """vLLM counts on in every chunk when it is asked to."""
    counts = [{**USAGE, "completion_tokens": n, "total_tokens": 5 + n} for n in (0, 1, 2)]
    events = [delta({"content": text}, usage=count) for text, count in zip(("", "H", "i"), counts, strict=True)]
    assert streamed(endpoint, *events, delta({}, "stop"), DONE)["usage"] == USAGE


# --- the request and the log -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_query_of_the_base_url_stays_behind_the_path(endpoint: Endpoint, slash: str) -> None:
    """Azure's version is a query, and its key has a header of its own."""
    endpoint.answers = [answer(whole({"content": "Hi"}))]
    url = f"{endpoint.url}/deployments/gpt{slash}?api-version=2024-10-21"
    result = llm_call({}, model="m", prompt="p", base_url=url, api_key="k-123")
    path, headers, _ = endpoint.asked[0]
    assert (result["content"], path) == ("Hi", "/v1/deployments/gpt/chat/completions?api-version=2024-10-21")
    assert (headers["api-key"], headers["authorization"]) == ("k-123", "Bearer k-123")


@pytest.mark.parametrize("action", ["llm.call", "llm.stream"])
def test_the_log_keeps_what_the_result_keeps(endpoint: Endpoint, action: str) -> None:
    """Tool calls, refusal and reasoning are in the node's output, secrets redacted, long ones cut."""
    secret, long = "sk-ant-api03-" + "a1B2" * 20, "so " * 20_000
    arguments = json.dumps({"api_key": secret, "q": "x"})
    message = {"content": "Hi", "reasoning": long, "refusal": "no", "tool_calls": [tool("a1", "search", arguments)]}
    endpoint.answers = [answer(whole(message))]
    node = {"name": "ask", "uses": action, "with": {"model": "m", "prompt": "p", "base_url": endpoint.url}, "output": "said"}
    undo = configure({"level": "info"})
    try:
        state = load({"nodes": [node]}).run()
        (end,) = query(state["flow_id"], node=action, event_type="exit")
    finally:
        undo()
    output = end["data"]["output"]
    assert (state["said"]["reasoning"], state["said"]["tool_calls"][0]["function"]["arguments"]) == (long, arguments)
    assert (output["refusal"], output["tool_calls"][0]["function"]["name"]) == ("no", "search")
    assert (secret in json.dumps(end), len(output["reasoning"]) < 20_000) == (False, True)
