from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.actions import llm
from the_edge_obs.actions.llm import llm_call, llm_stream
from the_edge_obs.configuration.config import configure
from the_edge_obs.errors import ActionError
from the_edge_obs.instrumentation.flow_context import flow
from the_edge_obs.store.sources import query

from .local_server import RawServer
from .model_server import Answer, Endpoint, answer, chunk, drained, sse


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "*")
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _no_configured_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OLLAMA_API_BASE"):
        monkeypatch.delenv(name, raising=False)


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
COMPLETION = {
    "id": "x",
    "model": "m-1",
    "choices": [{"message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
RESULT = {"success": True, "content": "Hi there", "model": "m-1", "usage": USAGE, "finish_reason": "stop"}


# --- an endpoint -------------------------------------------------------------------------------------------------------


def test_call_sends_and_returns_what_the_protocol_says(endpoint: Endpoint) -> None:
    """Prompt and system become messages, options go into the body, the key into the header; the answer comes back flat."""
    endpoint.answers = [answer(COMPLETION)]
    result = llm_call(
        {},
        model="m",
        prompt="Hello",
        system="Be brief",
        temperature=0,
        max_tokens=9,
        stop=["."],
        response_format={"type": "text"},
        extra_body={"reasoning_effort": "none", "stop": None},
        base_url=endpoint.url + "/",
        api_key="sk-1",
    )
    path, headers, body = endpoint.asked[0]
    assert (result, path, headers["authorization"], body) == (
        RESULT,
        "/v1/chat/completions",
        "Bearer sk-1",
        {
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}],
            "temperature": 0,
            "max_tokens": 9,
            "response_format": {"type": "text"},
            "reasoning_effort": "none",
        },
    )


def test_messages_win_over_the_prompt_and_system_comes_first(endpoint: Endpoint) -> None:
    """A conversation is sent as it is, after the system's words; the caller's list stays untouched."""
    endpoint.answers = [answer(COMPLETION)]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    given = deepcopy(messages)
    llm_call({}, model="m", messages=messages, prompt="ignored", system="s", base_url=endpoint.url)
    assert endpoint.asked[0][2]["messages"] == [{"role": "system", "content": "s"}, *given]
    assert messages == given


@pytest.mark.parametrize(
    ("environment", "params", "key"),
    [
        ({"OPENAI_BASE_URL": "{url}", "OPENAI_API_KEY": "sk-2"}, {}, "Bearer sk-2"),
        ({"OPENAI_BASE_URL": "{url}"}, {}, None),
        (
            {"OPENAI_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": "sk-2"},
            {"api_base": "{url}", "api_key": "sk-3"},
            "Bearer sk-3",
        ),
        ({"OLLAMA_API_BASE": "{url}", "OPENAI_API_KEY": "sk-2"}, {}, None),
        ({"OLLAMA_API_BASE": "{url}", "OPENAI_API_KEY": "sk-2"}, {"provider": "ollama"}, None),
        ({"OLLAMA_API_BASE": "http://127.0.0.1:9", "OPENAI_BASE_URL": "{url}"}, {"provider": "openai"}, None),
        ({"OPENAI_BASE_URL": "{url}"}, {"provider": "auto", "answers": ["scripted"]}, None),
    ],
)
def test_endpoint_and_key_come_from_parameters_else_environment(
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    params: dict[str, Any],
    key: str | None,
) -> None:
    """Parameters win; a local Ollama gets no key; with provider auto a configured endpoint wins over the script."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(url=endpoint.url))
    endpoint.answers = [answer(COMPLETION)]
    given = {k: v.format(url=endpoint.url) if isinstance(v, str) else v for k, v in params.items()}
    assert llm_call({}, model="m", prompt="Hello", **given) == RESULT
    assert endpoint.asked[0][1].get("authorization") == key


def test_cost_is_told_when_the_endpoint_gives_one(endpoint: Endpoint) -> None:
    """usage.cost, as OpenRouter sends it, becomes cost_usd."""
    endpoint.answers = [answer({**COMPLETION, "usage": {**USAGE, "cost": 0.0125}})]
    assert llm_call({}, model="m", prompt="Hello", base_url=endpoint.url)["cost_usd"] == 0.0125


def test_endpoint_that_says_little_is_enough(endpoint: Endpoint) -> None:
    """Without model, usage, finish_reason and content the result still has its keys, and no guessed tokens."""
    endpoint.answers = [answer({"choices": [{"message": {"content": None}}]})]
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url)
    assert result == {"success": True, "content": "", "model": "m", "usage": {}, "finish_reason": None}


@pytest.mark.parametrize(
    ("reply", "error", "facts"),
    [
        (
            answer({"error": {"message": "bad key"}}, 401),
            "HTTP 401 Unauthorized from {url}: bad key",
            {"error_type": "authentication", "status_code": 401},
        ),
        (
            answer({"error": "slow down"}, 429, Retry_After="7"),
            "HTTP 429 Too Many Requests from {url}: slow down",
            {"error_type": "rate_limit", "status_code": 429, "retry_after": 7.0},
        ),
        (
            answer("<html>down", 500),
            "HTTP 500 Internal Server Error from {url}: <html>down",
            {"error_type": "http_error", "status_code": 500},
        ),
        (answer("", 404), "HTTP 404 Not Found from {url}", {"error_type": "http_error", "status_code": 404}),
        (answer("{"), "{url} sent invalid JSON: Expecting property name", {"error_type": "parse"}),
        (answer({"choices": []}), "the answer is not a chat completion: \"{{'choices': []}}\"", {"error_type": "parse"}),
        (answer([1]), "the answer is not a chat completion: '[1]'", {"error_type": "parse"}),
        (
            answer({"error": {"message": "no credit"}}),
            "the endpoint answered with an error: no credit",
            {"error_type": "api_error"},
        ),
    ],
)
def test_failures_of_the_endpoint_are_soft(endpoint: Endpoint, reply: Answer, error: str, facts: dict[str, Any]) -> None:
    """Whatever the endpoint does wrong lets the flow go on, and says what happened; called whole or as a stream."""
    endpoint.answers = [reply, reply]
    called = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url)
    pieces, streamed = drained(llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url))
    message = called.pop("error")
    assert message.startswith(error.format(url=endpoint.url + "/chat/completions"))
    assert called == {"success": False, **facts}
    assert (pieces, streamed) == ([], {"error": message, **called, "content": "", "streamed": True, "chunk_count": 0})


def test_silent_endpoint_is_a_timeout(endpoint: Endpoint) -> None:
    """An endpoint that says nothing within the timeout is a soft failure."""
    endpoint.answers = [endpoint.silent]
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url, timeout=0.05)
    assert result == {
        "success": False,
        "error": f"no answer from {endpoint.url}/chat/completions within 0.05 s",
        "error_type": "timeout",
    }


def test_no_endpoint_there_is_a_connection_failure(endpoint: Endpoint) -> None:
    """A refused connection is a soft failure."""
    endpoint.close()
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url)
    assert (result["success"], result["error_type"]) == (False, "connection")


# --- retries -----------------------------------------------------------------------------------------------------------


def test_passing_failures_are_tried_again(endpoint: Endpoint) -> None:
    """A rate limit and a server error pass by themselves; the result counts the attempts."""
    endpoint.answers = [answer({}, 429, Retry_After="0"), answer({}, 503), answer(COMPLETION)]
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url, max_retries=2, base_delay=0)
    assert result == {**RESULT, "attempts": 3, "total_delay": 0.0}


def test_lasting_failures_are_not_tried_again(endpoint: Endpoint) -> None:
    """A wrong key stays wrong."""
    endpoint.answers = [answer({}, 401)]
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url, max_retries=5)
    assert (result["error_type"], result["attempts"]) == ("authentication", 1)


def test_retries_end(endpoint: Endpoint) -> None:
    """After max_retries the last failure is the result."""
    endpoint.answers = [answer({}, 500), answer({}, 502)]
    result = llm_call({}, model="m", prompt="Hello", base_url=endpoint.url, max_retries=1, base_delay=0)
    assert (result["success"], result["status_code"], result["attempts"]) == (False, 502, 2)


@pytest.mark.parametrize(
    ("failures", "delays"),
    [
        ([{}, {}, {}], [(0.75, 1.0), (1.5, 2.0), (2.25, 3.0)]),
        ([{"retry_after": 0.5}, {"retry_after": 99}, {}], [(0.5, 0.5), (3.0, 3.0), (2.25, 3.0)]),
        ([{"retry_after": 0}, {"retry_after": 0.0}, {"retry_after": 0.001}], [(0.75, 1.0), (1.5, 2.0), (2.25, 3.0)]),
    ],
)
def test_delays_double_up_to_the_longest(
    monkeypatch: pytest.MonkeyPatch, failures: list[dict[str, Any]], delays: list[tuple[float, float]]
) -> None:
    """Each wait doubles, less up to a quarter, unless the endpoint asks for a time; none is longer than max_delay."""
    waited: list[float] = []
    monkeypatch.setattr(llm.time, "sleep", waited.append)
    answers = [*({"error": "busy", "error_type": "rate_limit", **facts} for facts in failures), "ok"]
    result = llm_call({}, prompt="Hello", answers=answers, max_retries=3, base_delay=1.0, max_delay=3.0)
    assert (result["total_delay"], result["attempts"], result["content"]) == (pytest.approx(sum(waited)), 4, "ok")
    assert [least <= seconds <= most for seconds, (least, most) in zip(waited, delays, strict=True)] == [True] * 3


@pytest.mark.slow
def test_retry_after_may_be_a_date(endpoint: Endpoint) -> None:
    """A Retry-After in the past is 0, one that is not a date means nothing."""
    past = format_datetime(datetime.now(timezone.utc) - timedelta(hours=1), usegmt=True)
    endpoint.answers = [answer({}, 429, Retry_After=past), answer({}, 429, Retry_After="soon")]
    results = [llm_call({}, model="m", prompt="Hello", base_url=endpoint.url) for _ in range(2)]
    assert [result.get("retry_after") for result in results] == [0.0, None]


def test_failed_attempts_are_logged_inside_a_flow() -> None:
    """No attempt goes unseen: each failed one is a warning of the running span, with what failed."""
    busy = {"error": "busy", "error_type": "rate_limit"}
    undo = configure({"level": "info"})
    try:
        with flow("triage") as run:
            llm_call({}, prompt="Hello", answers=[busy, "ok"], max_retries=1, base_delay=0)
        events = query(run.flow_id, node="llm.call")
    finally:
        undo()
    assert [(event["level"], event["event_type"], event["message"], event["data"]) for event in events] == [
        (
            "warn",
            "log",
            "attempt 1 of 2 failed",
            {"attempt": 1, "delay_seconds": 0, "failure": {"success": False, **busy}},
        )
    ]


# --- streams -----------------------------------------------------------------------------------------------------------


def test_stream_yields_text_as_it_arrives(endpoint: Endpoint) -> None:
    """The first piece is there before the endpoint sends the second; the whole is returned at the end."""
    second = threading.Event()
    endpoint.answers = [
        sse(
            chunk("Hi"),
            ": a comment\n\n",
            chunk(" there"),
            chunk(None, "stop"),
            {"choices": [], "usage": {**USAGE, "cost": 0.5}},
            "data: [DONE]\n\n",
            after=lambda: second.wait(30),
        )
    ]
    stream = llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url)
    assert next(stream) == "Hi"
    second.set()
    pieces, result = drained(stream)
    usage = {**USAGE, "cost": 0.5}
    assert pieces == [" there"]
    assert result == {**RESULT, "usage": usage, "cost_usd": 0.5, "streamed": True, "chunk_count": 2}
    body = endpoint.asked[0][2]
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_stream_reads_every_spelling_of_an_event(endpoint: Endpoint) -> None:
    """CRLF, no space after the colon, several data lines, other fields, no last blank line, text beyond ASCII."""
    one = json.dumps(chunk("é"), ensure_ascii=False)
    split = json.dumps(chunk("b", "stop")).replace('"choices"', '\ndata: "choices"', 1)
    endpoint.answers = [sse(f"id: 1\r\nevent: x\r\ndata:{one}\r\n\r\n", f"data: {split}\n")]
    pieces, result = drained(llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url))
    assert (pieces, result["success"], result["content"]) == (["é", "b"], True, "éb")


@pytest.mark.parametrize(
    ("last", "error", "error_type"),
    [
        ((), "the stream from {url} broke off", "connection"),
        (("data: {not json\n\n",), "the stream holds an invalid chunk: '{{not json'", "parse"),
        (({"error": {"message": "overloaded"}},), "the endpoint answered with an error: overloaded", "api_error"),
    ],
)
def test_failure_on_the_way_keeps_the_text_so_far(endpoint: Endpoint, last: tuple[Any, ...], error: str, error_type: str) -> None:
    """A stream that ends badly is a soft failure with what came before."""
    endpoint.answers = [sse(chunk("Hi"), *last)]
    pieces, result = drained(llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url))
    assert (pieces, result) == (
        ["Hi"],
        {
            "success": False,
            "error": error.format(url=endpoint.url + "/chat/completions"),
            "error_type": error_type,
            "content": "Hi",
            "streamed": True,
            "chunk_count": 1,
        },
    )


@pytest.mark.slow
def test_stream_that_falls_silent_is_a_timeout(endpoint: Endpoint) -> None:
    """The timeout counts each silence, not the whole stream."""
    endpoint.answers = [sse(chunk("Hi"), chunk("there"), after=lambda: endpoint.release.wait(30))]
    pieces, result = drained(llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url, timeout=1))
    assert (pieces, result["error_type"], result["content"]) == (["Hi"], "timeout", "Hi")


def test_stream_may_be_left_early(endpoint: Endpoint) -> None:
    """Closing the generator closes the connection."""
    endpoint.answers = [sse(chunk("Hi"), chunk(" there", "stop"))]
    stream = llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url)
    assert next(stream) == "Hi"
    stream.close()
    assert list(stream) == []


def test_endpoint_that_cannot_stream_is_taken_as_it_is(endpoint: Endpoint) -> None:
    """A whole completion in place of a stream is one piece."""
    endpoint.answers = [answer(COMPLETION)]
    pieces, result = drained(llm_stream({}, model="m", prompt="Hello", base_url=endpoint.url))
    assert (pieces, result) == (["Hi there"], {**RESULT, "streamed": True, "chunk_count": 1})


# --- a script ----------------------------------------------------------------------------------------------------------


def test_scripted_answer_looks_like_a_real_one() -> None:
    """Usage is estimated at four characters a token; the model is the one asked for."""
    assert llm_call({}, prompt="12345678", model="m", answers=["123"]) == {
        "success": True,
        "content": "123",
        "model": "m",
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        "finish_reason": "stop",
    }


def test_script_may_say_everything() -> None:
    """An answer may bring its own model, usage, finish_reason and cost."""
    said = {"content": "a", "model": "x", "usage": USAGE, "finish_reason": "length", "cost_usd": 0.1}
    assert llm_call({}, prompt="p", answers=[said]) == {"success": True, **said}


def test_answers_come_in_order_and_the_last_stays() -> None:
    """The place in the list is kept in the state: a new state begins anew."""
    state: dict[str, Any] = {}
    answers = ["a", "b"]
    assert [llm_call(state, prompt="p", answers=answers)["content"] for _ in range(4)] == ["a", "b", "b", "b"]
    assert llm_call({}, prompt="p", answers=answers)["content"] == "a"


def test_two_lists_are_counted_apart() -> None:
    """Two steps with their own answers do not move each other's place."""
    state: dict[str, Any] = {}
    got = [llm_call(state, prompt="p", answers=list(letters))["content"] for letters in ("ab", "cd", "ab", "cd")]
    assert got == ["a", "c", "b", "d"]


def test_match_chooses_by_what_was_said() -> None:
    """A match is searched in all messages; those without one answer the rest; each group has its own order."""
    state: dict[str, Any] = {}
    answers = [
        "other",
        {"match": r"refund\b", "content": "first refund"},
        {"match": "refund", "content": "second refund"},
        {"match": "(?i)HELP", "content": "help"},
    ]
    prompts = ["a refund please", "hello", "help me", "refund", "nothing"]
    got = [llm_call(state, prompt=prompt, answers=answers)["content"] for prompt in prompts]
    assert got == ["first refund", "other", "help", "second refund", "other"]
    parts = [{"role": "user", "content": [{"type": "text", "text": "help"}, {"type": "image_url"}]}]
    assert llm_call(state, messages=parts, answers=answers)["content"] == "help"


def test_branches_count_by_themselves() -> None:
    """Parallel branches work on copies of the state: whatever order they run in, each gets the same answers."""
    state: dict[str, Any] = {}
    answers = ["a", "b", "c"]
    llm_call(state, prompt="p", answers=answers)

    def branch(copied: dict[str, Any]) -> list[str]:
        return [llm_call(copied, prompt="p", answers=answers)["content"] for _ in range(2)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(branch, [deepcopy(state) for _ in range(8)]))
    assert results == [["b", "c"]] * 8
    assert llm_call(state, prompt="p", answers=answers)["content"] == "b"


def test_place_is_kept_beside_the_id_of_the_run() -> None:
    """Shallow copies of a running flow's state, as nested steps get them, share one place; a retry of them goes on."""
    state: dict[str, Any] = {"_observability": {"flow_id": "f"}}
    got = [llm_call(dict(state), prompt="p", answers=["a", "b"])["content"] for _ in range(2)]
    assert (got, sorted(state), sorted(state["_observability"])) == (["a", "b"], ["_observability"], ["flow_id", "llm_script"])


def test_scripted_error_is_a_soft_failure() -> None:
    """A script can fail as an endpoint does; the next call gets the next answer."""
    state: dict[str, Any] = {}
    answers = [{"error": "down", "error_type": "http_error", "status_code": 500}, {"error": "odd"}, "ok"]
    assert [llm_call(state, prompt="p", answers=answers) for _ in range(2)] == [
        {"success": False, "error": "down", "error_type": "http_error", "status_code": 500},
        {"success": False, "error": "odd", "error_type": "api_error"},
    ]
    assert llm_call(state, prompt="p", answers=answers)["content"] == "ok"


def test_scripted_stream_comes_word_by_word() -> None:
    """The pieces are the words, whitespace included; joined they are the content."""
    pieces, result = drained(llm_stream({}, prompt="p", answers=["One  two\nthree"]))
    assert (pieces, result["content"], result["chunk_count"]) == (["One  ", "two\n", "three"], "One  two\nthree", 3)
    pieces, result = drained(llm_stream({}, prompt="p", answers=[{"error": "down"}]))
    assert (pieces, result) == (
        [],
        {"success": False, "error": "down", "error_type": "api_error", "content": "", "streamed": True, "chunk_count": 0},
    )


def test_scripted_answer_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """``seconds`` is how long an answer or a failure takes; of a stream, all words together."""
    slept: list[float] = []
    monkeypatch.setattr(llm.time, "sleep", slept.append)
    llm_call({}, prompt="p", answers=[{"content": "a b", "seconds": 0.5}])
    drained(llm_stream({}, prompt="p", answers=[{"content": "a b", "seconds": 0.5}]))
    drained(llm_stream({}, prompt="p", answers=[{"error": "down", "seconds": 0.5}]))
    assert slept == [0.5, 0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.yaml", "answers:\n  - content: from a file\n    match: p\n"),
        ("s.yaml", "- from a file\n"),
        ("s.json", '{"answers": ["from a file"]}'),
    ],
)
def test_script_may_be_a_file(tmp_path: Path, name: str, text: str) -> None:
    """YAML and JSON hold the same list, bare or under answers; provider auto takes it when no endpoint is configured."""
    path = tmp_path / name
    path.write_text(text)
    for provider in (None, "scripted", "auto"):
        assert llm_call({}, prompt="p", script=str(path), provider=provider)["content"] == "from a file"


# --- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "no endpoint is configured; set OPENAI_API_KEY"),
        ({"provider": "openai"}, "no endpoint is configured"),
        ({"provider": "auto"}, "no endpoint is configured"),
        ({"provider": "shell"}, "unknown provider 'shell'; allowed: auto, openai, ollama, scripted"),
        ({"provider": "scripted"}, "answers (a list) or script (a file); give one of them"),
        ({"answers": ["a"], "script": "b"}, "answers (a list) or script (a file); give one of them"),
        ({"base_url": "http://127.0.0.1:9"}, "model is None; give the name of a model of http://127.0.0.1:9"),
        ({"base_url": "file:///x", "model": "m"}, "url 'file:///x/chat/completions' is not an http or https URL"),
        ({"base_url": "https://api.openai.com/v1", "model": "m"}, "set OPENAI_API_KEY or give api_key"),
        ({"answers": ["a"], "prompt": None}, "neither prompt nor messages is given"),
        ({"answers": ["a"], "prompt": 3}, "prompt is 3; it must be a string"),
        ({"answers": ["a"], "system": ""}, "system is ''; it must be a string"),
        ({"answers": ["a"], "messages": ["hi"]}, "messages is ['hi']; it must be a list of {role: ..., content: ...}"),
        ({"answers": ["a"], "messages": []}, "messages is []; it must be a list"),
        ({"answers": ["a"], "extra_body": [1]}, "extra_body is [1]; it must be a mapping"),
        ({"answers": "a"}, "answers is 'a'; it must be a list of one or more answers"),
        ({"answers": []}, "answers is []; it must be a list"),
        ({"answers": [3]}, "answers[0] is 3; an answer is a string, or a dict"),
        ({"answers": [{"text": "a"}]}, "answers[0] has an unknown key 'text'; allowed: content, error, match"),
        ({"answers": ["a", {"match": "b"}]}, "answers[1] needs either content or error"),
        ({"answers": [{"content": {}}]}, "answers[0] has content {}; it must be a string"),
        ({"answers": [{"content": "a", "match": "("}]}, "answers[0] has match '(': it is not a valid regular expression"),
        ({"answers": [{"content": "a", "seconds": -1}]}, "answers[0] seconds is -1; it must be a number above 0"),
        ({"answers": [{"content": "a", "match": "z"}]}, "no scripted answer matches 'p'; tried: 'z'"),
        ({"script": "no/such.yaml"}, "script 'no/such.yaml' cannot be read"),
    ],
)
def test_bad_use_raises(params: dict[str, Any], message: str) -> None:
    """What the flow's author has to mend raises, names the value and the next step; called whole or as a stream."""
    given = {"prompt": "p", **params}
    with pytest.raises(ActionError, match=re.escape(message)):
        llm_call({}, **given)
    with pytest.raises(ActionError, match=re.escape(message)):
        next(llm_stream({}, **given))


def test_file_that_is_no_yaml_raises(tmp_path: Path) -> None:
    """The error names the file and stays on one line."""
    path = tmp_path / "s.yaml"
    path.write_text("answers: [")
    with pytest.raises(ActionError, match=r"\A.*s\.yaml' cannot be read .*\Z"):
        llm_call({}, prompt="p", script=str(path))


NUMBERS = [("max_retries", -1), ("max_retries", "2"), ("timeout", "soon"), ("base_delay", -1), ("max_delay", "9")]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_numbers_are_checked(name: str, value: Any) -> None:
    """A number of the wrong kind raises before anything is sent."""
    with pytest.raises(ActionError, match=f"{name} is {value!r}"):
        llm_call({}, prompt="p", model="m", base_url="http://127.0.0.1:9", **{"max_retries": 1, name: value})


# --- endpoints that mean harm ---


@pytest.mark.parametrize("call", ["call", "stream"])
def test_the_key_does_not_follow_a_redirect_to_another_origin(endpoint: Endpoint, call: str) -> None:
    """The other origin gets neither the key nor the prompt."""
    asked: list[bytes] = []

    def other(send: Any, release: Any) -> None:
        send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(COMPLETION).encode())

    with RawServer(other, seen=asked) as server:
        endpoint.answers = [answer("", 302, Location=f"{server.url}/elsewhere")]
        params = {"model": "m", "prompt": "zebra", "base_url": endpoint.url, "api_key": "sk-hunter2"}
        result = llm_call({}, **params) if call == "call" else drained(llm_stream({}, **params))[1]
    assert (result["success"], len(asked)) == (True, 1)
    assert asked[0].startswith(b"GET /elsewhere HTTP/1.1\r\n")
    assert not any(word in asked[0].lower() for word in (b"hunter2", b"zebra", b"authorization"))


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (STREAM + f"data: {json.dumps(chunk('Hi'))}\n\n".encode(), b"x"),
        (STREAM + f"data: {json.dumps(chunk('Hi'))}\n\n".encode(), b": still here\n\n"),
    ],
    ids=["headers", "line", "comments"],
)
def test_a_stream_without_an_event_is_a_timeout(monkeypatch: pytest.MonkeyPatch, first: bytes, again: bytes) -> None:
    """Bytes that come now and then, and make no event, do not keep a stream alive."""
    monkeypatch.setenv("no_proxy", "*")

    def trickle(send: Any, release: Any) -> None:
        send(first)
        while not release.wait(0.02):
            send(again)

    with RawServer(trickle) as server:
        pieces, result = drained(llm_stream({}, model="m", prompt="p", base_url=server.url, timeout=0.3))
    assert (result["error_type"], result["content"]) == ("timeout", "".join(pieces))


@pytest.mark.slow
def test_a_stream_may_last_longer_than_its_timeout(endpoint: Endpoint) -> None:
    """Each event has the whole timeout: a long answer is not late, and neither is one that is read slowly."""
    beat = threading.Event()
    endpoint.answers = [sse(*(chunk(str(number)) for number in range(8)), chunk(None, "stop"))]
    stream = llm_stream({}, model="m", prompt="p", base_url=endpoint.url, timeout=0.4)
    pieces = [next(stream)]
    for _ in range(3):
        beat.wait(0.2)  # what the consumer takes does not count
        pieces.append(next(stream))
    rest, result = drained(stream)
    assert ("".join([*pieces, *rest]), result["success"]) == ("01234567", True)


@pytest.mark.parametrize(
    "body",
    [
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: " + b"x" * 5_000_000,
        b"data: [1]\n\n",
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": ["a"]}}]}\n\n',
        b'data: {"choices": [5]}\n\n',
        b'data: {"choices": {"a": 1}}\n\n',
        b"\xff\xfe\n\n",
    ],
)
def test_no_stream_raises(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Whatever comes in place of chunks is a soft failure."""
    monkeypatch.setenv("no_proxy", "*")
    with RawServer(lambda send, release: send(STREAM + body)) as server:
        _, result = drained(llm_stream({}, model="m", prompt="p", base_url=server.url, timeout=20))
    assert (result["success"], result["error_type"] in ("parse", "connection")) == (False, True)


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"error": ' + "[" * 100_000, "9" * 10_000])
@pytest.mark.parametrize("status", [200, 500])
def test_monstrous_json_is_a_soft_failure(endpoint: Endpoint, payload: str, status: int) -> None:
    """Depth and digits beyond the parser's are answers that cannot be read."""
    endpoint.answers = [answer(payload, status)]
    result = llm_call({}, model="m", prompt="p", base_url=endpoint.url)
    assert (result["success"], result["error_type"]) == (False, "parse" if status == 200 else "http_error")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1e400", None),
        ("inf", None),
        ("nan", None),
        ("9" * 5_000, None),
        ("-3", 0.0),
        ("99999999999", 99999999999.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999", None),
        ("Mon, 00 Jan 2024", None),
        (",", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_nothing(endpoint: Endpoint, header: str, seconds: float | None) -> None:
    """No header makes a result that JSON cannot carry, or raises."""
    endpoint.answers = [answer({}, 429, Retry_After=header)]
    assert llm_call({}, model="m", prompt="p", base_url=endpoint.url).get("retry_after") == seconds


@pytest.mark.parametrize(
    "match", ["(a+)+$", "(a|a)*$", "(?:a*){3,}b", "a?" * 30 + "a" * 30, "a*a*a*b", "(a|b)(a|b)(a|b)(a|b)", "a" * 501]
)
def test_a_match_that_may_take_for_ever_is_refused(match: str) -> None:
    """Repeats inside repeats and rows of options are named before anything is searched."""
    with pytest.raises(ActionError, match=r"answers\[0\] has match"):
        llm_call({}, prompt="a" * 60 + "!", answers=[{"match": match, "content": "x"}, "y"])


def test_a_match_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two open repeats look at the square of the text: a long text is refused, and a search ends with its time."""
    monkeypatch.setattr("the_edge_obs.actions._matching._SECONDS", 0.05)
    for prompt in ("a" * 100_000, "a" * 15_000):
        with pytest.raises(ActionError, match=r"match 'a\*a\*b': .* use a simpler one"):
            llm_call({}, prompt=prompt, answers=[{"match": "a*a*b", "content": "x"}, "y"])
