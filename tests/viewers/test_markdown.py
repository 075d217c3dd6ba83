"""A span and a run as Markdown, copied from the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.text import clock_text

from ..strategies import FLOW, T0, Event, event, span_id
from .conftest import Watched
from .run_pages import open_run, span_of

pytestmark = pytest.mark.slow


def failed() -> list[Event]:
    """Return a run with an error, whose texts hold backticks."""
    error = {"type": "ValueError", "message": "no ``` price", "where": "shop.py:7 in price", "traceback": "Traceback:\n````\nend"}
    given = {"input": {"article": "lamp", "secret": "[REDACTED]"}, "cut": ["input.secret"]}
    span: dict[str, Any] = {"parent": 1, "node": "price", "step": "ask `it`"}
    metrics = {"duration_ms": 100.0, "tokens": 1234}
    return [
        event(1, "entry", 0, data={"name": "shop"}),
        event(2, "entry", 0.1, **span, data=given),
        event(2, "log", 0.15, parent=1, node="my.lib", level="warn", message="slow\nindeed"),
        event(2, "error", 0.2, **span, level="error", data={"error": error}, metrics=metrics),
        event(1, "exit", 1, metrics={"duration_ms": 1000.0}),
    ]


SPAN = f"""\
## `` ask `it` `` (price): error

- in: `shop`
- start +100.0 ms, duration 100.0 ms
- tokens 1,234
- span `{span_id(2)}`
- cut or redacted: `input.secret`

### Error

````text
ValueError: no ``` price
````
raised at `shop.py:7 in price`

`````text
Traceback:
````
end
`````

### Input

```json
{{
  "article": "lamp",
  "secret": "[REDACTED]"
}}
```

### Logged

```text
+150.0 ms warn slow indeed
```
"""
RUN = f"""\
# Run `shop`: ok

- flow `{FLOW}`, started {clock_text(T0)}
- 1.00 s, 1 node, 5 events, 1 error, 1,234 tokens

## Tree

````text
shop (flow)           1.00 s  ok
  ask `it` (price)  100.0 ms  error: ValueError: no ``` price
````

{SPAN}"""


@pytest.fixture
def copied(watched: Watched) -> Any:
    """Return a function that returns what is in the clipboard."""
    watched.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return lambda: watched.page.evaluate("navigator.clipboard.readText()")


def test_a_span_and_a_run(watched: Watched, copied: Any, tmp_path: Path) -> None:
    """The tree, and of each error its place, traceback, input; a fence is longer than any in the text."""
    page = open_run(watched, tmp_path, failed())
    page.click("#details .top button:has-text('copy')")
    page.wait_for_selector("#details button:has-text('copied')")
    assert copied() == SPAN
    page.click("#share")
    page.wait_for_selector("#share:has-text('copied')")
    assert copied() == RUN
    assert (watched.requests, watched.complaints) == ([], [])


def test_keys_copy_too(watched: Watched, copied: Any, tmp_path: Path) -> None:
    """With c the span whose details are open, otherwise the run."""
    page = open_run(watched, tmp_path, failed(), row=None)
    page.keyboard.press("c")
    page.wait_for_selector("#share:has-text('copied')")
    assert copied() == RUN
    page.locator("#rows .row").nth(1).click()
    page.keyboard.press("c")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('##'))")
    assert copied() == SPAN


def test_what_is_long_is_cut_and_says_so(watched: Watched, copied: Any, tmp_path: Path) -> None:
    """Values, tracebacks (their end stays) and trees; a run of 5,000 spans still fits into a message."""
    error = {"type": "E", "message": "m" * 5000, "traceback": "start" + "t" * 20_000 + "the end"}
    made = [event(1, "entry", 0, data={"name": "big"})]
    for number in range(2, 5001):
        made.append(event(number, "entry", number / 1000, parent=1, node="rank", data={"input": "v" * 9000}))
        kind = "error" if number > 4980 else "exit"
        data = {"error": error} if kind == "error" else {}
        made.append(event(number, kind, number / 1000, parent=1, node="rank", data=data, metrics={"duration_ms": 1.0}))
    page = open_run(watched, tmp_path, made)
    page.click("#share")
    page.wait_for_selector("#share:has-text('copied')")
    text = copied()
    assert len(text) < 300_000
    assert re.findall("^….*", text, re.M) == ["… 4,850 of 5,000 spans are not listed", "… 10 more spans with errors"]
    for part in ("E: " + "m" * 1997 + "… (5,003 characters)", "v" * 8000 + "… (9,000 characters)", "ttt" + "the end\n```"):
        assert part in text
    assert "start" + "t" not in text


@pytest.mark.parametrize("how", ["no clipboard", "a clipboard that refuses", "nothing at all"])
def test_without_a_clipboard(watched: Watched, tmp_path: Path, how: str) -> None:
    """The text is copied by selecting it; where that is refused too, it is shown, and selected."""
    page = open_run(watched, tmp_path, span_of("rank", {"a": 1}, None), row=None)
    value = "undefined" if how == "no clipboard" else "{ writeText: () => Promise.reject(new Error('no')) }"
    page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{ value: {value} }})")
    if how == "nothing at all":
        page.evaluate("document.execCommand = () => false")
    page.evaluate("document.addEventListener('copy', () => (window.copied = document.activeElement.value))")
    page.click("#share")
    if how == "nothing at all":
        field = page.locator("dialog[open] textarea")
        assert field.input_value().startswith("# Run `chat`: ok\n")
        assert page.evaluate("document.querySelector('dialog textarea').selectionEnd") == len(field.input_value())
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
    else:
        page.wait_for_selector("#share:has-text('copied')")
        assert page.evaluate("window.copied").startswith("# Run `chat`: ok\n")
    assert (watched.requests, watched.complaints) == ([], [])
