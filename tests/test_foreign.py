"""Records of other libraries: scrubbed in place, and only where there is something to hide."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.redaction import PLACEHOLDER


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
    monkeypatch.setattr("the_edge_obs.foreign.scrub_text", lambda *_: 1 / 0)
    record = a_record("password=hunter2")
    assert obs.FlowContextFilter().filter(record)
    assert record.getMessage() == "[a record that cannot be scrubbed: ZeroDivisionError]"
