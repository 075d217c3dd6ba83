"""Records of other libraries: scrubbed in place, and only where there is something to hide."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.recording.records import STANDARD
from the_edge_obs.redaction.texts import MAX_STRING, PLACEHOLDER


def a_record(msg: Any, *args: Any, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("other", logging.INFO, "x.py", 1, msg, args, None, "f")
    vars(record).update(extra)
    return record


def test_a_clean_record_stays_untouched() -> None:
    """Without a secret, message, arguments, extras and exc_info are the same objects."""
    argument, extra = ["a"], {"n": 1}
    try:
        raise ValueError("no secret")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = a_record("saw %s", argument, more=extra, exc_info=info)
    before = dict(vars(record))
    obs.FlowContextFilter().filter(record)
    after = {key: value for key, value in vars(record).items() if key in before}
    assert after == before
    assert all(after[key] is before[key] for key in before)


def test_arguments_are_scrubbed_one_by_one_where_they_can() -> None:
    """Formatters that take arguments apart, as access logs do, still find as many."""
    record = a_record("%s %s %d", "GET", "/p?token=abcdef123", 200)
    obs.FlowContextFilter().filter(record)
    assert (record.msg, record.args) == ("%s %s %d", ("GET", f"/p?token={PLACEHOLDER}", 200))


def test_a_record_is_scrubbed_whole_where_arguments_do_not_do() -> None:
    """A secret that only the message shows, and one that no placeholder fits for."""
    record = a_record("password=%s", "hunter2")
    obs.FlowContextFilter().filter(record)
    assert (record.msg, record.args) == (f"password={PLACEHOLDER}", ())
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow(), obs.span("x", password=123456789):
        number = a_record("pin %d", 123456789)
        obs.FlowContextFilter().filter(number)
    assert (number.getMessage(), number.args) == (f"pin {PLACEHOLDER}", ())


def test_a_dict_as_message_and_as_argument() -> None:
    """A dict is searched by key; what stands there is a secret in the message, too."""
    record = a_record({"event": "login", "password": "opaque-4711"})
    obs.FlowContextFilter().filter(record)
    assert record.msg == {"event": "login", "password": PLACEHOLDER}
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow():
        mapped = a_record("%(user)s knows opaque-4711", {"user": "ada", "password": "opaque-4711"})
        obs.FlowContextFilter().filter(mapped)
    assert mapped.getMessage() == f"ada knows {PLACEHOLDER}"
    assert "opaque-4711" not in repr(vars(mapped))


def test_an_error_keeps_its_type_and_message_in_our_event(ring: obs.RingBufferHandler) -> None:
    """A traceback with a secret is text alone; the event still tells what was raised."""
    logger = logging.getLogger("other")
    handlers = [logging.NullHandler(), ring]
    handlers[0].addFilter(obs.FlowContextFilter())
    handlers[0].handle = handlers[0].filter  # type: ignore[method-assign]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        with obs.flow() as run:
            try:
                raise KeyError("password=hunter2")
            except KeyError:
                logger.exception("failed")
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
    [event] = obs.query(run.flow_id, node="other")
    assert event["data"] == {"error": {"type": "KeyError", "message": f"'password={PLACEHOLDER}'"}}


def test_a_record_that_cannot_be_read_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while it is scrubbed is replaced, and the caller sees nothing of it."""
    monkeypatch.setattr("the_edge_obs.recording.foreign.clean_text", lambda *_: 1 / 0)
    record = a_record("password=hunter2")
    assert obs.FlowContextFilter().filter(record)
    assert record.getMessage() == "[a record that cannot be scrubbed: ZeroDivisionError]"


SHAPED = "sk-live0123456789abcdefghij"


def scrubbed(record: logging.LogRecord) -> logging.LogRecord:
    assert obs.FlowContextFilter().filter(record)
    return record


def everything(record: logging.LogRecord) -> str:
    """Return all that a handler of somebody else can show of a record."""
    return logging.Formatter("%(message)s").format(record) + repr(vars(record))


def test_a_long_message_is_cut_where_a_captured_text_is() -> None:
    """A harmless one as well: what cannot be looked through does not leave. The cut is visible and tells how much is missing."""
    record = scrubbed(a_record("word " * 2_000_000))
    kept, _, mark = record.getMessage().partition("…")
    assert (len(kept), mark, record.args) == (MAX_STRING, f"[+{10_000_000 - MAX_STRING} chars]", ())
    short = scrubbed(a_record("w" * MAX_STRING))
    assert short.getMessage() == "w" * MAX_STRING


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, MAX_STRING - 20, MAX_STRING - 3, MAX_STRING, 2 * MAX_STRING - 10, 900_000])
@pytest.mark.parametrize(
    "where", ["message", "argument", "extra", "stack_info", "exc_text", "error", "note", "mapping", "msg dict"]
)
def test_no_part_of_a_secret_leaves_wherever_it_stands(where: str, at: int) -> None:
    """Before, at and beyond the cut, in any part of a record."""
    text = "a line of words\n" * 70_000
    text = f"{text[:at]} {SHAPED} {text[at:]}"
    error = ValueError(text)
    if where == "note":
        error = ValueError("short")
        error.__dict__["__notes__"] = [text]
    if where in ("error", "note"):
        try:
            raise error
        except ValueError:
            record = a_record("failed", exc_info=sys.exc_info())
    elif where in ("extra", "stack_info", "exc_text"):
        record = a_record("hi", **{where: text})
    else:
        arguments = {"argument": ("%s", text), "mapping": ("%(a)s", {"a": text}), "msg dict": ({"a": text},)}
        record = a_record(*arguments.get(where, (text,)))
    shown = everything(scrubbed(record))
    assert SHAPED[5:15] not in shown
    assert len(shown) < 100_000


def test_the_end_of_a_long_traceback_stays() -> None:
    """An error is told at its end: of a stack or a formatted traceback the last lines are kept."""
    lines = [f"  line {number}" for number in range(100_000)]
    record = scrubbed(a_record("hi", stack_info="\n".join(lines)))
    first, *kept = str(record.stack_info).split("\n")
    assert kept == lines[-len(kept) :]
    assert first == f"[+{len(chr(10).join(lines)) - len(chr(10).join(kept))} chars]"
    assert 0.9 * 4 * MAX_STRING < len("\n".join(kept)) <= 4 * MAX_STRING


def test_a_deep_harmless_traceback_stays_untouched() -> None:
    """Handlers that take exc_info apart, as error trackers do, still find it."""

    def deeper(level: int) -> None:
        if level == 0:
            raise ValueError("at the bottom")
        deeper(level - 1)

    try:
        deeper(200)
    except ValueError:
        info = sys.exc_info()
    record = scrubbed(a_record("failed", exc_info=info))
    assert (record.exc_info, record.exc_text) == (info, None)


def test_an_error_that_cannot_be_looked_through_leaves_as_a_bounded_text() -> None:
    """A chain of a thousand errors: the last ones are told, and no secret of the others leaves with exc_info."""
    error = ValueError(SHAPED)
    for number in range(1_000):
        following = ValueError(f"number {number}")
        following.__cause__, error = error, following
    record = scrubbed(a_record("failed", exc_info=(type(error), error, None)))
    assert record.exc_info is None
    assert str(record.exc_text).startswith("[+ earlier errors]\nValueError: number 984\n\nThe above exception")
    assert str(record.exc_text).endswith("\nValueError: number 999")


def test_crowds_of_arguments_and_extras_are_cut() -> None:
    """As many as a container has items; of extras the rest is counted, arguments leave within the message."""
    crowd = scrubbed(a_record("hi", **{f"k{number}": number for number in range(1_000)}, last=SHAPED))
    extras = {key: value for key, value in vars(crowd).items() if key not in STANDARD}
    assert extras == {**{f"k{number}": number for number in range(200)}, "…": "[+801 items]"}
    many = scrubbed(a_record("%s " * 300, *[f"v{number}" for number in range(299)], SHAPED))
    assert (many.args, many.getMessage()) == ((), " ".join(f"v{number}" for number in range(299)) + f" {PLACEHOLDER} ")


@pytest.mark.slow
def test_the_time_does_not_grow_with_what_is_beyond_the_cap() -> None:
    """Sixteen times the text takes about as long: what is scrubbed is bounded before it is looked at."""

    def took(size: int) -> float:
        text = "user=ada key: value token " * (size // 26)
        best = float("inf")
        for _ in range(3):
            record = a_record(
                "%s", text, more=text, exc_text=text, stack_info=text, exc_info=(ValueError, ValueError(text), None)
            )
            began = time.perf_counter()
            scrubbed(record)
            best = min(best, time.perf_counter() - began)
        return best

    took(1 << 18)
    assert took(1 << 22) < 5 * took(1 << 18)


class Hostile:
    """An object that raises whatever it is asked."""

    def __init__(self, error: type[BaseException]) -> None:
        object.__setattr__(self, "error", error)

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "error")(SHAPED)

    def __str__(self) -> str:
        raise object.__getattribute__(self, "error")(SHAPED)

    __repr__ = __str__


class Odd(BaseException):
    """An error that is not an Exception."""


@pytest.mark.parametrize("error", [ValueError, Odd, RecursionError, GeneratorExit])
@pytest.mark.parametrize("make", [lambda x: a_record(x), lambda x: a_record("%s %s", x, 1), lambda x: a_record("hi", more=x)])
def test_hostile_objects_in_a_record_break_nothing(make: Any, error: type[BaseException]) -> None:
    """Whatever they raise, the record passes, with its secrets gone."""
    record = make(Hostile(error))
    record.secret = SHAPED
    scrubbed(record)
    assert SHAPED not in str(record.__dict__.get("secret", ""))
    assert SHAPED not in str(record.msg if type(record.msg) is str else "")


def test_what_interrupts_goes_on() -> None:
    """Ctrl-C and the end of the process are nobody's failure."""
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            scrubbed(a_record(Hostile(error)))
