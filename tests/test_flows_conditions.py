"""Conditions in every spelling that The Edge Agent takes."""

from __future__ import annotations

from typing import Any

import pytest

from the_edge_obs.errors import FlowFileError, FlowRunError
from the_edge_obs.flows.conditions import compile_condition
from the_edge_obs.flows.spot import Spot
from the_edge_obs.flows.templates import Compiler
from the_edge_obs.flows.yaml_source import Source

SPOT = Spot(Source({}), ("edges", 0, "when"), "edges[0]")
COMPILER = Compiler.of({})


def holds(value: Any, state: dict[str, Any], **options: Any) -> bool:
    condition = compile_condition(COMPILER, value, SPOT, **options)
    return condition.holds({"state": state})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("ready", True),
        ("!ready", False),
        ("missing", False),
        ("! missing", True),
        ("{{ state.count > 2 }}", True),
        ("state.count > 2", True),
        ("state.count > 5 or not state.missing", True),
        ("{{ state.empty }}", False),
        ("{{ state.word }}", True),
        ("!{{ state.ready }}", False),
        ("!{{ state.empty }}", True),
        ("! {{ state.missing }}", True),
        ("!{{\n state.count > 5\n}}", True),
        ("!state.ready", False),
        ("!state.missing", True),
        ("!true", False),
        ("!false", True),
        ("{% if state.ready %}no{% endif %}", False),
        ("{% if state.ready %}go{% endif %}", True),
    ],
)
def test_spellings(value: Any, expected: bool) -> None:
    """A bool, a flag, its negation, a template and a bare expression all work; a mixed text is judged by its words."""
    state = {"ready": True, "count": 3, "empty": [], "word": "no"}
    assert holds(value, state) is expected
    assert holds(value, state, expected=False) is not expected


@pytest.mark.parametrize(("word", "expected"), [("no", False), (" False ", False), ("0", False), ("", False), ("key", True)])
def test_words(word: str, expected: bool) -> None:
    """A goto takes the words of falsehood for what they say."""
    assert holds("state.word", {"word": word}, words=True) is expected
    assert holds("{{ state.word }}", {"word": word}, words=True) is expected


@pytest.mark.parametrize("value", ["yes", "No", "ON", "off", "none", "null", "!yes", " ! no "])
def test_words_of_truth_are_refused(value: str) -> None:
    """Quoted, they would be keys of the state that are missing: never true."""
    with pytest.raises(FlowFileError, match=r"edges\[0\]: condition '.*' is neither true nor false; write true or false"):
        holds(value, {})


@pytest.mark.parametrize(
    "value",
    [
        "{{ state.a }} and {{ state.b }}",
        "not {{ state.a }}",
        "{{ state.a }} == 'x'",
        "!{{ state.a }} or {{ state.b }}",
        "{{ state.a }}{{ state.b }}",
    ],
)
def test_a_text_put_together_is_refused(value: str) -> None:
    """Rendered, it is a text that says something whatever the state holds: always true."""
    with pytest.raises(FlowFileError, match=r"mixes text and expressions, so it always holds; put all of it into one \{\{ \}\}"):
        holds(value, {})


@pytest.mark.parametrize("value", [1, None, [], "  ", "!", "!{{ state.a"])
def test_no_condition(value: Any) -> None:
    """What is neither a bool nor a text is refused, and so is a negation of nothing."""
    with pytest.raises(FlowFileError, match=r"edges\[0\]"):
        holds(value, {})


@pytest.mark.parametrize("value", [1, None, [], "  "])
def test_what_is_no_text_is_refused(value: Any) -> None:
    """What is neither a bool nor a text is refused."""
    with pytest.raises(FlowFileError, match=r"edges\[0\]: condition .* is neither true, false nor an expression"):
        holds(value, {})


def test_broken_conditions() -> None:
    """A syntax error is found at load time, an error of evaluation names the edge."""
    with pytest.raises(FlowFileError, match=r"edges\[0\], key 'when': template syntax error"):
        holds("state.a &&& 1", {})
    with pytest.raises(FlowRunError, match=r"edges\[0\], key 'when': cannot render '{{ state.a > 1 }}': "):
        holds("state.a > 1", {})
