from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from the_edge_obs.actions.json import json_parse, json_transform
from the_edge_obs.errors import ActionError, MissingExtraError

from .growth import assert_linear

DATA = {
    "users": [
        {"name": "Ann", "status": "active", "age": 31, "tags": ["a", "b"]},
        {"name": "Bob", "status": "away", "age": 25, "tags": ["c"]},
        {"name": "Cy", "status": "active", "age": 40},
    ],
    "limits": {"low": 1, "high": 9},
    "odd key": True,
    "empty": [],
    "nested": [[1, 2], [3], 4],
}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("null", None),
        ('"é"', "é"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_json_is_parsed(text: str | bytes, data: Any) -> None:
    """Text and bytes become data, a byte order mark in bytes does no harm."""
    assert json_parse({}, text=text) == {"data": data, "success": True}


def test_broken_json_is_a_soft_failure_with_its_position() -> None:
    """The failure says what is wrong, and in which line and column."""
    assert json_parse({}, text='{"a": 1,\n "b" 2}') == {
        "success": False,
        "error": "JSON parse error: Expecting ':' delimiter",
        "error_type": "parse",
        "position": {"line": 2, "column": 6},
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "Input text is None"),
        ("[NaN]", "JSON parse error: NaN is not a JSON number"),
        (b"\xff", "JSON parse error: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_other_failures_have_no_position(text: Any, error: str) -> None:
    """Nothing at all, a number that JSON lacks and bytes that are not text are soft failures."""
    assert json_parse({}, text=text) == {"success": False, "error": error, "error_type": "parse"}


def test_very_deep_json_is_a_soft_failure() -> None:
    """Nesting beyond the parser's depth does not end the flow."""
    assert json_parse({}, text="[" * 200_000)["error_type"] == "parse"


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("\n```\n[1]```\n", [1]),
        ('{"a": [1, 2,], // two\n /* and\n more */ "b": 1,}', {"a": [1, 2], "b": 1}),
        (r'{"url": "http://x//y", "s": "a,}\" /* kept */",}', {"url": "http://x//y", "s": 'a,}" /* kept */'}),
        ("{'a': 1}", None),
    ],
)
def test_lenient_parsing_takes_what_people_and_models_write(text: str, data: Any) -> None:
    """A fence, comments and trailing commas go, but what looks like them in a string stays; the rest fails as ever."""
    result = json_parse({}, text=text, strict=False)
    assert (result["success"], result.get("data")) == (data is not None, data)
    assert json_parse({}, text=text)["success"] is False


def test_default_stands_in_for_a_failure_when_lenient() -> None:
    """The default counts only without strict, and only when nothing could be parsed."""
    assert json_parse({}, text="{", strict=False, default={}) == {"data": {}, "success": True}
    assert json_parse({}, text=None, strict=False, default=[]) == {"data": [], "success": True}
    assert json_parse({}, text="[1,]", strict=False, default={})["data"] == [1]
    assert json_parse({}, text="{", default={})["success"] is False


def test_parsing_data_raises() -> None:
    """What is data already is a mistake in the flow."""
    with pytest.raises(ActionError, match="text is of type dict; it must be a string"):
        json_parse({}, text={"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("limits.low", 1),
        ("users[?status=='active'].name", ["Ann", "Cy"]),
        ("{names: users[].name, count: length(users)}", {"names": ["Ann", "Bob", "Cy"], "count": 3}),
        ("sum(users[].age)", 96),
        ("limits.no.where", None),
    ],
)
def test_expressions(expression: str, result: Any) -> None:
    """JMESPath picks, filters, reshapes and computes."""
    pytest.importorskip("jmespath")
    got = json_transform({}, data=DATA, expression=expression)
    assert got == {"result": result, "expression": expression, "success": True}


@pytest.mark.parametrize(
    ("data", "expression", "error"),
    [
        (None, "a", "Input data is None"),
        (DATA, "length(limits.low)", "'length(limits.low)' does not fit the data: "),
        (DATA, "nope(@)", "Unknown function: nope()"),
    ],
)
def test_expression_that_does_not_fit_the_data_is_a_soft_failure(data: Any, expression: str, error: str) -> None:
    """What depends on the data lets the flow go on."""
    pytest.importorskip("jmespath")
    result = json_transform({}, data=data, expression=expression)
    assert (result["success"], result["error_type"], result["expression"]) == (False, "transform", expression)
    assert error in result["error"]


@pytest.mark.parametrize("expression", ["a..b", "users[", "a b", "{a}"])
def test_expression_with_a_mistake_raises(expression: str) -> None:
    """A mistake in the expression is one in the flow, whatever the data, and is told in one line."""
    pytest.importorskip("jmespath")
    with pytest.raises(ActionError, match=re.escape(f"expression {expression!r} is not valid JMESPath")) as caught:
        json_transform({}, data=DATA, expression=expression)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("expression", ["", None, 3])
def test_missing_expression_raises(expression: Any) -> None:
    """There is no default expression."""
    pytest.importorskip("jmespath")
    with pytest.raises(ActionError, match=f"expression is {expression!r}; it must be a string"):
        json_transform({}, data=DATA, expression=expression)


def test_without_jmespath_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is optional, and who lacks it is told how to get it."""
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(MissingExtraError, match=r"python -m pip install 'the_edge_obs\[jmespath\]'"):
        json_transform({}, data=DATA, expression="limits.low")


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "```\n",
        "```json\n",
        "` ",
        "[",
        "{",
        "]",
        '"',
        "\\",
        '\\"',
        "//",
        "/*",
        "*/",
        ", ",
        ",\n",
        " ",
        "\n",
        "/",
        "*",
        '"/*',
        "9",
        "-",
        "{,",
        "NaN",
        '":',
    ],
)
@pytest.mark.parametrize("around", [("", ""), ("```\n", ""), ('["', '",]'), ("```\n[1]", "```x"), ("[1, ", "]"), ('"', "")])
def test_lenient_parsing_is_linear(piece: str, around: tuple[str, str]) -> None:
    """Runs of everything that means something to it, alone and inside what opens before."""

    def parse(text: str) -> object:
        return json_parse({}, text=text, strict=False)

    assert_linear(lambda size: around[0] + piece * size + around[1], parse, 10_000)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('```json\n{"a": "```"}\n```', {"a": "```"}),
        ("```\n[1]```", [1]),
        ('["a // b", "/* c */", ",]", "\\"//"] // d', ["a // b", "/* c */", ",]", '"//']),
        ("[1, /* a */ 2, // b\n]", [1, 2]),
        ("[1] /* not closed", [1]),
    ],
)
def test_strings_are_left_alone(text: str, data: Any) -> None:
    """What looks like a comment, a comma or a fence inside a string stays."""
    assert json_parse({}, text=text, strict=False) == {"data": data, "success": True}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1e400]", "1e400 is out of the range of numbers"),
        ("-1" + "0" * 400 + ".0", "-1" + "0" * 58 + " is out of the range of numbers"),
        (r'["\ud800"]', r"\ud800 is a lone surrogate, which no character is"),
        (r'{"\uDC00\ud800": 1}', r"\uDC00 is a lone surrogate, which no character is"),
    ],
)
def test_what_other_runtimes_cannot_hold(text: str, problem: str) -> None:
    """Rule F7 of docs/parity.md: such texts fail in every runtime, unless strict is false."""
    assert json_parse({}, text=text) == {"success": False, "error": f"JSON parse error: {problem}", "error_type": "parse"}
    assert json_parse({}, text=text, strict=False)["success"] is True


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r'"\ud83d\ude00 \\ud800"', "\U0001f600 \\ud800"),
        ("-0", 0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ("1e308", 1e308),
        ("1e-400", 0.0),
    ],
)
def test_what_every_runtime_reads(text: str, data: object) -> None:
    """Rule F7 of docs/parity.md."""
    assert json_parse({}, text=text) == {"success": True, "data": data}
