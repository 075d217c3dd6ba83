"""The guarded YAML reader: whatever stands in a file, an error with its line, in linear time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs.actions.llm import llm_call
from the_edge_obs.configuration.config import configure
from the_edge_obs.configuration.yaml_reader import read_yaml
from the_edge_obs.errors import ActionError, ConfigurationError, FlowFileError

from .growth import assert_linear


def written(folder: Path, text: str) -> Path:
    path = folder / "some.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def test_plain_data_is_read(tmp_path: Path) -> None:
    """Scalars have YAML 1.1's types, short sexagesimal numbers among them."""
    text = 'a: 1_000\nb: 0x1F\nc: 1:30\nd: .inf\ne: 1.5e+3\nf: ~\ng: yes\nh: "\\e[0m\\0"\n7: x\n'
    document = read_yaml(written(tmp_path, text))
    assert document is not None
    expected = {"a": 1000, "b": 31, "c": 90, "d": float("inf"), "e": 1500.0, "f": None, "g": True, "h": "\x1b[0m\0", 7: "x"}
    assert document.data == expected
    assert document.lines[("h",)] == 8


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_holds_nothing(tmp_path: Path, text: str) -> None:
    """None stands for no document; one that is null has data."""
    document = read_yaml(written(tmp_path, text))
    assert document is None or document.data is None


MISTAKES: list[tuple[str, int, str]] = [
    (
        "a: 1" + ":59" * 200_000,
        1,
        "'1:59:59:59:59:59:59:'... is a number or date of 600001 characters; put it in quotes",
    ),
    ("x: 1\na: 1" + ":59" * 50 + ".5", 2, "is a number or date of 153 characters"),
    ("a: " + "9" * 900_000, 1, "is a number or date of 900000 characters"),
    ("a: 0x" + "f" * 900_000, 1, "is a number or date of 900002 characters"),
    ("a: 0b" + "1" * 900_000, 1, "is a number or date of 900002 characters"),
    ("a: 0" + "7" * 900_000, 1, "is a number or date of 900001 characters"),
    ("a: 1.0e+" + "9" * 9_000, 1, "is a number or date of 9005 characters"),
    ("a: 1.0e+999", 1, "'1.0e+999' is too large for a number"),
    ("a: 2001-12-14t21:59:43.10-99:99", 1, "is not a valid value: offset must be"),
    ("a: !!timestamp foo", 1, "'foo' is not a valid value"),
    ("a: !!int ''", 1, "'' is not a valid value"),
    ("a: !!float ''", 1, "'' is not a valid value"),
    ("a: !!bool foo", 1, "'foo' is not a valid value"),
    ("a: !!map x", 1, "tag 'tag:yaml.org,2002:map' is not supported"),
    ("a: !!set x", 1, "tag 'tag:yaml.org,2002:set' is not supported"),
    ("a: =", 1, "could not determine a constructor"),
    ("a: 1\nb: \0", 2, "character '\\x00'"),
    ("a: 1\nb: \x1b[0m", 2, "character '\\x1b'"),
    ("a: 1\n\n# \x07", 3, "character '\\x07'"),
    ('a: 1\nb: "\\ud800"', 2, "a string has '\\ud800', half of a character"),
    ('a: 1\n"\\udfff": 1', 2, "a string has '\\udfff', half of a character"),
    ('a: 1\nb: "\\U00110000"', 2, "chr() arg not in range"),
    ('a: 1\nb: "\\UFFFFFFFF"', 2, "broken YAML: "),
    ("%YAML " + "9" * 9_000 + ".1\n---\na: 1", 1, ""),
    ("a: 1\n" + str(2**61) + ": 1", 2, "key 2305843009213693952 is too large for a number"),
    ("a: " + "[" * 100_000, 1, "nesting deeper than 64 levels"),
    ("{" * 100_000, 1, "nesting deeper than 64 levels"),
    ("? " * 50_000, 1, "nesting deeper than 64 levels"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "line", "problem"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_has_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    """One kind of error, whatever PyYAML or Python make of it."""
    path = written(tmp_path, text)
    with pytest.raises(FlowFileError) as caught:
        read_yaml(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert problem in caught.value.problem
    assert caught.value.problem.isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 14, 16, 19, 21, 25])
def test_configurations_and_scripts_are_read_the_same_way(tmp_path: Path, number: int) -> None:
    """The logging configuration and a script of answers have the same guards, and their own errors."""
    text, line, problem = MISTAKES[number]
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        configure(path)
    with pytest.raises(ActionError) as failed:
        llm_call({}, prompt="p", script=str(path))
    for error in (refused.value, failed.value):
        assert f"{path}:{line}: " in str(error)
        assert problem in str(error)


def test_a_path_that_is_no_path_is_an_error() -> None:
    """A NUL in a name, a folder and a missing file are refused alike."""
    for path in ("a\0b.yaml", "/", "/no/such/file.yaml"):
        with pytest.raises(FlowFileError, match="cannot read the file: "):
            read_yaml(path)


PIECES = [
    *(":59", "9", "[", "{", "- ", "? ", "a: ", "&a ", "*a ", "!x ", "!<%41>", "'", '"', '"\\n', "# ", "|\n", "\n", " ", "a\n"),
    *("<<: ", "%", ",", "[],", "a:1,", "..", "---\n"),
]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["a: ", "a: &a x\nb: ["])
@pytest.mark.parametrize("piece", PIECES)
def test_reading_is_linear(tmp_path: Path, piece: str, start: str) -> None:
    """Runs of everything that means something in YAML."""

    def make(size: int) -> Path:
        path = tmp_path / f"{size}.yaml"
        path.write_text(start + piece * (size // len(piece)), encoding="utf-8")
        return path

    def read(path: Path) -> Any:
        try:
            return read_yaml(path)
        except FlowFileError as error:
            return error

    assert_linear(make, read, 2_000)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(raw=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=20).map("".join))
def test_nothing_else_is_raised(tmp_path_factory: pytest.TempPathFactory, raw: str) -> None:
    """Data, or the one kind of error."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(raw, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(FlowFileError):
        read_yaml(path)
