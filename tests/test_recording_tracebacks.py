"""Errors as text: as Python prints them, bounded, whatever they do."""

from __future__ import annotations

import sys
import time
import traceback
from typing import Any

import pytest

from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.recording.tracebacks import (
    MAX_ERRORS,
    MAX_FRAMES,
    apart,
    chain,
    class_names,
    error_text,
    pieces,
    traceback_text,
    type_name,
)
from the_edge_obs.redaction.texts import MAX_STRING, PLACEHOLDER


class Odd(BaseException):
    """An error that is not an Exception."""


class LiarError(Exception):
    """An error of which everything raises."""

    __traceback__ = __cause__ = __context__ = __suppress_context__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    args = __dict__ = __notes__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __str__(self) -> str:
        raise Odd("asked")

    __repr__ = __str__

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise Odd("asked")


def raised(error: BaseException) -> BaseException:
    """Return an error with a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        return caught


def chained(how: str) -> BaseException:
    """Return an error that came from another one."""
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            if how == "cause":
                raise ValueError("second") from error
            if how == "none":
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904 - that is what is tested
    except ValueError as error:
        return error


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError("a message")),
        raised(ValueError()),
        raised(KeyError("k")),
        raised(OSError(2, "No such file", "x")),
        raised(Odd("in\ntwo lines")),
        ValueError("never raised"),
        *map(chained, ["cause", "context", "none"]),
    ],
    ids=repr,
)
def test_it_is_what_python_prints(error: BaseException) -> None:
    """Frames, causes, contexts, the name of the class with its module."""
    assert traceback_text(error) == "".join(traceback.format_exception(error))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups came with Python 3.11")
def test_notes_and_members_of_a_group_are_told() -> None:
    """Notes follow the message; members of a group follow, each indented."""
    group = ExceptionGroup("all", [ValueError("a"), ExceptionGroup("inner", [raised(KeyError("b"))])])  # noqa: F821
    group.add_note("seen twice")
    text = traceback_text(group)
    assert text.startswith("ExceptionGroup: all (2 sub-exceptions)\nseen twice\n  +---------------- 1 ----------------\n")
    assert "  | ValueError: a\n" in text
    assert "  |   | KeyError: 'b'\n" in text
    assert [piece for piece in pieces(group) if piece in ("a", "'b'", "seen twice")] == ["seen twice", "'b'", "a"]


def deep(level: int) -> None:
    """Raise below so many frames."""
    if level:
        deep(level - 1)
    raise ValueError("at the bottom")


@pytest.mark.slow
def test_it_is_bounded() -> None:
    """A thousand frames, errors and notes, and a message of ten megabytes: the last of each stay, and a cut is visible."""
    with pytest.raises(ValueError, match="bottom") as caught:
        deep(500)
    error = caught.value
    assert traceback_text(error).startswith(f"[+{502 - MAX_FRAMES} frames]\nTraceback")
    error.__dict__["__notes__"] = [f"note {number}" for number in range(1_000)]
    for number in range(1_000):
        following = ValueError(f"number {number} {'x' * 50_000}")
        following.__cause__, error = error, following
    text = traceback_text(error)
    assert text.startswith("[+ earlier errors]\n")
    assert len(text) < 2 * MAX_ERRORS * MAX_STRING
    assert text.count("…[+") == MAX_ERRORS
    assert list(pieces(error)) == [None]


def test_a_circle_of_errors_ends() -> None:
    """Each is told once."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert traceback_text(first).count("ValueError: first") == 1
    assert [str(error) for error, _ in chain(first)[0]] == ["first", "second"]


def test_a_hostile_error_is_told_all_the_same() -> None:
    """What it raises when it is asked, whatever class that is of, is what it says."""
    error = raised(LiarError())
    assert (type_name(error), class_names(error)[:2]) == ("LiarError", ["LiarError", "Exception"])
    assert error_text(error) == "<LiarError: Odd in its __str__>"
    text = traceback_text(error)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith(f"\n{__name__}.LiarError: <LiarError: Odd in its __str__>\n")
    assert None not in list(pieces(error))


def test_huge_arguments_are_not_written_out() -> None:
    """An error with a container of a million items says what a snapshot of it says, in a bounded time."""
    small, huge = ValueError([1, 2], {"a": 1}), KeyError((tuple(range(1_000_000)),))
    assert error_text(small) == "([1, 2], {'a': 1})"
    assert error_text(ValueError(list(range(1_000)))).endswith(',199,"[+800 items]"]')

    def took(size: int) -> float:
        error = ValueError([["x"] * 100] * size)
        began = time.perf_counter()
        error_text(error)
        return time.perf_counter() - began

    assert len(error_text(huge)) < MAX_STRING
    assert min(took(100_000) for _ in range(3)) < 20 * min(took(1_000) for _ in range(3))


def test_a_cut_text_loses_its_secrets_first() -> None:
    """The flow's taints count where a text is cut."""
    flow = FlowState(new_flow_id(), "f")
    flow.taints.learn("correct horse battery", is_certain=True)
    text = traceback_text(ValueError("x" * (MAX_STRING - 10) + " correct horse battery " + "y" * 9_000), flow)
    assert "correct" not in text
    assert PLACEHOLDER[:5] in text or "…[+" in text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_an_error_is_asked_goes_on(error: type[BaseException]) -> None:
    """Ctrl-C is nobody's message."""

    class InterruptingError(Exception):
        def __str__(self) -> str:
            raise error

    with pytest.raises(error):
        error_text(InterruptingError())


def test_apart_is_away_from_the_error_that_is_handled() -> None:
    """What fails in there has a stand-in for it as its context, which tells nothing of it; elsewhere nothing changes."""

    def fails(argument: str) -> None:
        raise OSError(argument)

    def inside() -> None:
        try:
            raise ValueError("secret")
        except ValueError:
            apart(fails, "inside")

    with pytest.raises(OSError, match="inside") as caught:
        inside()
    texts = [str(error) for error, _ in chain(caught.value)[0]]
    assert texts == ["inside", "an error is being logged; it is left out here, because it may contain secrets"]
    with pytest.raises(OSError, match="outside") as caught:
        apart(fails, "outside")
    assert caught.value.__context__ is None
