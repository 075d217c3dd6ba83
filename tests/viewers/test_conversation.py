"""Messages on the page of a run, in each form in which they are logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..strategies import Event, event
from .conftest import Watched
from .run_pages import open_run, span_of

pytestmark = pytest.mark.slow

_TEXT = "Where is it?"
_FOUND = '{"van": true}'
_CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 7}'}}
_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
_CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": _TEXT}, _PICTURE]},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": _FOUND},
]
_CHOICE = {"message": {"role": "assistant", "content": "On the van."}, "finish_reason": "stop"}
_ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": _TEXT}]},
    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"order": 7}'},
    {"type": "function_call_output", "call_id": "c1", "output": _FOUND},
]
_ANSWER_ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "On the van."}]}
_RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": _FOUND}]}
_BLOCKS = [
    {"role": "user", "content": _TEXT},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find", "input": {"order": 7}}]},
    {"role": "user", "content": [_RESULT]},
]
_CLAUDE = {"role": "assistant", "content": [{"type": "text", "text": "On the van."}], "stop_reason": "end_turn"}
_LANGCHAIN = [
    {"type": "human", "content": _TEXT},
    {"type": "ai", "content": "", "tool_calls": [{"id": "c1", "name": "find", "args": {"order": 7}}]},
    {"type": "tool", "tool_call_id": "c1", "content": _FOUND},
]
_GEN_AI = [
    {"role": "user", "parts": [{"type": "text", "content": _TEXT}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"order": 7}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"van": True}}]},
]
_CONTENTS = [
    {"role": "user", "parts": [{"text": _TEXT}]},
    {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"order": 7}, "id": "c1"}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"van": True}, "id": "c1"}}]},
]
_CANDIDATE: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": "On the van."}]}, "finishReason": "STOP"}

_USER = f"user|{_TEXT}"
_TALK = [_USER, "assistant|→ find c1|order: 7|←|van: true"]
_PICTURED = [f"{_USER}|image_url, image/png, 26 characters", _TALK[1]]
_SAID = ["assistant|On the van."]
_SYSTEM = "system|Be brief."

# Node, input, output; the messages of the conversation, and of the answer.
FORMS: dict[str, tuple[str, Any, Any, list[str], list[str]]] = {
    "chat completions": ("llm.call", {"model": "m", "messages": _CHAT}, {"choices": [_CHOICE]}, [_SYSTEM, *_PICTURED], _SAID),
    "responses": ("m", {"instructions": "Be brief.", "input": _ITEMS}, {"output": [_ANSWER_ITEM]}, [_SYSTEM, *_TALK], _SAID),
    "Anthropic": (
        "ask",
        {"system": [{"type": "text", "text": "Be brief."}], "messages": _BLOCKS},
        _CLAUDE,
        [_SYSTEM, *_TALK],
        _SAID,
    ),
    "LangChain": (
        "agent",
        {"messages": _LANGCHAIN},
        {"messages": [*_LANGCHAIN, {"type": "ai", "content": "On the van."}]},
        _TALK,
        _SAID,
    ),
    "gen_ai": ("llm.call", {"messages": _GEN_AI}, {"role": "assistant", "parts": _CANDIDATE["content"]["parts"]}, _TALK, _SAID),
    "Google": ("llm.call", {"contents": _CONTENTS}, {"candidates": [_CANDIDATE]}, _TALK, _SAID),
    "a pair": ("graph", {"messages": [["human", _TEXT]]}, {"messages": [["user", _TEXT], ["ai", "On the van."]]}, [_USER], _SAID),
    "a prompt": (
        "llm.call",
        {"system": "Be brief.", "prompt": _TEXT, "model": "m"},
        {"success": True, "content": "On the van.", "finish_reason": "stop"},
        [_SYSTEM, _USER],
        _SAID,
    ),
    "a list, and a text": ("chat", [{"role": "user", "content": _TEXT}], "On the van.", [_USER], _SAID),
    "a soft failure": ("llm.call", {"prompt": _TEXT}, {"success": False, "error": "429"}, [_USER], []),
}


def told(page: Any, place: str = "#details .talk >> nth=0") -> list[str]:
    """Return the messages of a conversation, each as its lines."""
    return ["|".join(text.split("\n")) for text in page.locator(place).locator("> .message").all_inner_texts()]


def clean(watched: Watched) -> bool:
    """Tell whether the page asked for nothing and complained of nothing."""
    return (watched.requests, watched.complaints) == ([], [])


# Node, input, output of what is not a conversation.
OTHERS: dict[str, tuple[str, Any, Any]] = {
    "a file": ("file.read", {"path": "a.txt"}, {"content": "text", "path": "a.txt"}),
    "numbers": ("rank", {"messages": [1, 2]}, [{"role": 3}]),
    "texts": ("http.post", {"input": "text", "query": "q"}, "text"),
    "empty": ("rank", {"messages": []}, {"messages": None, "choices": [], "output": {}}),
    "names of JavaScript": ("rank", {"messages": {"role": "user"}, "constructor": {"role": "constructor"}}, [["a"], [{}]]),
}


@pytest.fixture(scope="module")
def opened(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Return the page of one run with a span of each form."""
    made = [event(1, "entry", 0, data={"name": "forms"})]
    spans = [(*form[:3], name) for name, form in FORMS.items()] + [(*other, name) for name, other in OTHERS.items()]
    for number, (node, given, answer, name) in enumerate(spans, 2):
        made.append(event(number, "entry", number, parent=1, node=node, step=name, data={"input": given}))
        made.append(event(number, "exit", number + 0.5, parent=1, node=node, step=name, data={"output": answer}))
    watched = Watched(browser.new_page(viewport={"width": 1280, "height": 800}))
    open_run(watched, tmp_path_factory.mktemp("forms"), made, row=None)
    yield watched
    watched.page.close()


@pytest.mark.parametrize("form", FORMS)
def test_forms(opened: Watched, form: str) -> None:
    """Who said what, each call with its arguments and its result, then the answer; pictures are named, and not loaded."""
    _, _, _, said, answered = FORMS[form]
    opened.page.locator("#rows .row", has=opened.page.get_by_text(form, exact=True)).first.click()
    assert told(opened.page) == said
    assert (told(opened.page, "#details .talk >> nth=1") if answered else []) == answered
    assert clean(opened)


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_conversation_is_a_tree(opened: Watched, other: str) -> None:
    """Nothing is guessed: the values are shown as they are."""
    opened.page.locator("#rows .row", has=opened.page.get_by_text(other, exact=True)).first.click()
    assert opened.page.locator("#details .message").count() == 0
    assert opened.page.locator("#details h3").all_inner_texts() == ["INPUT\ncopy", "OUTPUT\ncopy"]
    assert clean(opened)


def test_parts_that_are_not_known_are_shown_as_they_are(watched: Watched, tmp_path: Path) -> None:
    """Nothing is lost: new kinds of parts, items that are not messages, results without their call, thoughts, refusals."""
    given = [
        {"role": "user", "content": [{"type": "hologram", "beam": 7}, 5], "name": "ann"},
        {"role": "tool", "tool_call_id": "gone", "content": "late", "status": "error"},
        {"role": "assistant", "reasoning": "Hm.", "refusal": "I will not.", "content": None},
        {"odd": True},
        "[+3 items]",
        {"role": "constructor", "content": "text"},
    ]
    page = open_run(watched, tmp_path, span_of("llm.call", {"messages": given, "seed": 1}, None))
    assert told(page) == [
        "user ann|type: hologram|beam: 7|5",
        "tool|← failed result gone|late",
        "assistant|thinking|refusal: I will not.",
        "?|odd: true",
        "?|[+3 items]",
        "constructor|text",
    ]
    page.click("#details .thinking summary")
    assert page.locator("#details .thinking .text").inner_text() == "Hm."  # waits until it is there
    page.click("#details .facts summary")
    assert page.locator("#details .facts .leaf").inner_text() == "seed: 1"
    page.click("#details h3 button:has-text('as JSON')")
    assert page.locator("#details .message").count() == 0
    page.click("#details h3 button:has-text('as conversation')")
    assert page.locator("#details .message").count() == 6
    assert clean(watched)


def test_what_was_cut_or_redacted_is_marked(watched: Watched, tmp_path: Path) -> None:
    """Where the log says so, and only there: a text may look like it by itself."""
    given = [
        {"role": "user", "content": "my key is [REDACTED]"},
        {"role": "user", "content": "long…[+9 chars]"},
        {"role": "user", "content": "[REDACTED]?"},
    ]
    cut = ["input.messages[0].content", "input.messages[1].content"]  # fmt: skip
    page = open_run(watched, tmp_path, span_of("llm.call", {"messages": given}, None, cut))
    marks = [one.locator(".badge").all_inner_texts() for one in page.locator("#details .message").all()]
    assert marks == [["redacted"], ["cut"], []]
    assert page.inner_text("#details .cuts") == f"cut or redacted: {', '.join(cut)}"


def test_long_conversations_and_texts_fold(watched: Watched, tmp_path: Path) -> None:
    """The first and the last messages, the beginning of each text; one click brings the rest. What is searched for is shown."""
    given = [{"role": "user", "content": f"message {number}"} for number in range(200)]
    given[100]["content"] = "x" * 3000 + " needle " + "y" * 3000
    page = open_run(watched, tmp_path, span_of("llm.call", {"messages": given}, None))
    assert len(told(page)) == 27
    page.click("#details button:has-text('show 173 messages')")
    assert len(told(page)) == 200
    long = page.locator("#details .message").nth(100)
    assert (len(long.locator(".text").inner_text()), long.locator("button").inner_text()) == (1500, "show all 6,008 characters")
    page.fill("#text", "needle")
    assert page.locator("#details mark").all_inner_texts() == ["needle"]
    long = page.locator("#details .message").nth(100)
    long.locator("button").click()
    assert long.locator(".text").inner_text() == given[100]["content"]


_HOSTILE = {
    "markup": "</script><img src=x onerror=\"document.title='owned'\"><!--<b>&amp;",
    "controls": "a\x1b[31mb\x00c\u2028d\u2029e\x7ff",
    "direction": "user\u202eresu \u2066x\u2069 \u200bzero",
    "lone": "\ud800 half",
    "marks of Markdown": "# title\n[link](javascript:alert(1)) ![x](https://example.com/x.png) ``` ```` <script>",
}
_ESCAPED = {
    "controls": r"a\u001b[31mb\u0000c\u2028d\u2029e\u007ff",
    "direction": r"user\u202eresu \u2066x\u2069 \u200bzero",
    "lone": r"\ud800 half",
}


def test_hostile_texts_stay_text(watched: Watched, tmp_path: Path) -> None:
    """In every place of a message: no element is made of it, nothing is loaded, what is invisible is shown as an escape."""
    made = [event(1, "entry", 0, data={"name": "chat"}), event(1, "exit", 9)]
    for number, (name, text) in enumerate(_HOSTILE.items(), 2):
        call = {"id": text, "function": {"name": text, "arguments": json.dumps({text: text})}}
        given = [
            {"role": text, "name": text, "content": text},
            {
                "role": "assistant",
                "content": [{"type": text, "text": text}, {"type": "image", "url": text}],
                "tool_calls": [call],
            },
            {"role": "tool", "tool_call_id": text, "content": text},
        ]
        data = [{"input": {"messages": given, text: text}}, {"output": {"content": text, "usage": {text: text}}}]
        made.append(event(number, "entry", number / 10, parent=1, node="llm.call", step=name, data=data[0]))
        made.append(event(number, "exit", number / 10, parent=1, node="llm.call", step=name, data=data[1]))
    page = open_run(watched, tmp_path, made, row=None)
    for name, text in _HOSTILE.items():
        page.locator("#rows .row", has_text=name).first.click()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert _ESCAPED.get(name, text) in page.locator("#details").inner_text()
        elements = page.locator("#details").locator("img, script, iframe, b, a[href^=javascript]")
        assert (elements.count(), page.evaluate("document.scripts.length")) == (0, 2)
    assert (page.title(), clean(watched)) == ("chat · ok", True)


def test_a_text_of_a_megabyte(watched: Watched, tmp_path: Path) -> None:
    """Its beginning is shown at once, and more of it in pieces."""
    made: list[Event] = [event(1, "entry", 0, data={"name": "chat"})]
    text = "\u202e" * 20_000 + "z" * 900_000
    made.append(
        event(2, "entry", 0, parent=1, node="llm.call", data={"input": {"messages": [{"role": "user", "content": text}]}})
    )
    page = open_run(watched, tmp_path, made)
    button = page.locator("#details button.more")
    assert button.inner_text() == "show 100,000 more characters"
    button.click()
    assert len(page.locator("#details .message .text").inner_text()) == 20_000 * 6 + 81_500
    assert clean(watched)


def test_searching_is_linear(watched: Watched, tmp_path: Path) -> None:
    """A text of nothing but backslashes, which JSON doubles, does not stop the page."""
    text = "\\" * 300_000 + "x"
    page = open_run(watched, tmp_path, span_of("llm.call", {"messages": [{"role": "user", "content": text}]}, None), row=None)
    page.fill("#text", "needle")
    assert page.inner_text("#shown") == "0 of 2 spans"
    page.fill("#text", "\\\\")
    assert page.inner_text("#shown") == "1 of 2 spans"
    assert clean(watched)
