"""The callback handler: each event to a function, and no harm when the function does harm."""

from __future__ import annotations

import functools
import logging
import logging.config
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import problems

SEEN: list[dict[str, Any]] = []


@obs.observable("work")
def work(n: int) -> int:
    return n + 1


def install(callback: Any, level: int = logging.NOTSET) -> obs.CallbackHandler:
    handler = obs.CallbackHandler(callback, level)
    tea = logging.getLogger("tea")
    tea.setLevel("INFO")
    tea.addHandler(handler)
    return handler


def test_it_gets_every_event_of_a_flow() -> None:
    """In order, valid, as plain dicts."""
    seen: list[dict[str, Any]] = []
    install(seen.append)
    with obs.flow() as run:
        work(1)
    assert [(event["node"], event["event_type"]) for event in seen] == [
        ("flow", "entry"),
        ("work", "entry"),
        ("work", "exit"),
        ("flow", "exit"),
    ]
    assert {event["flow_id"] for event in seen} == {run.flow_id}
    assert [problem for event in seen for problem in problems(event)] == []


def test_its_level_counts() -> None:
    """As for every handler: below its level it gets nothing."""
    seen: list[dict[str, Any]] = []
    install(seen.append, logging.ERROR)
    with obs.flow(), obs.span("x") as span:
        span.log("fine")
        span.log("bad", "error")
    assert [event["message"] for event in seen] == ["bad"]


def test_records_outside_any_flow_are_left_out() -> None:
    """A foreign record that belongs to no flow is not an event."""
    seen: list[dict[str, Any]] = []
    logging.getLogger().addHandler(obs.CallbackHandler(seen.append))
    logging.getLogger("other").warning("outside")
    with obs.flow():
        logging.getLogger("other").warning("inside")
    assert [event["message"] for event in seen] == ["inside"]


def test_a_path_names_a_function() -> None:
    """``package.module:function``, as dictConfig files can have it."""
    assert obs.CallbackHandler("json:dumps").callback is __import__("json").dumps
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"c": {"class": "the_edge_obs.CallbackHandler", "callback": "builtins:len"}},
            "loggers": {"tea": {"level": "INFO", "handlers": ["c"]}},
        }
    )
    (handler,) = logging.getLogger("tea").handlers
    assert isinstance(handler, obs.CallbackHandler)
    assert handler.callback is len


@pytest.mark.parametrize("callback", ["json", "json:", ":dumps", "nowhere_at_all:f", "json:nothing", "json:__name__", 7, None])
def test_what_is_no_callback_is_refused(callback: Any) -> None:
    """The error names the value and what to write."""
    with pytest.raises(ConfigurationError) as caught:
        obs.CallbackHandler(callback)
    assert f"callback {callback!r} is not" in str(caught.value)
    assert "package.module:function" in str(caught.value)


def test_an_async_callback_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would await it. A plain one that returns a coroutine all the same is a failure of each event, counted."""

    async def send(event: dict[str, Any]) -> None: ...

    class Sender:
        async def __call__(self, event: dict[str, Any]) -> None: ...

    async def stream(event: dict[str, Any]) -> Any:
        yield event

    def items(event: dict[str, Any]) -> Any:
        yield event

    for callback in (send, Sender(), functools.partial(send), stream, items, Sender().__call__):
        with pytest.raises(
            ConfigurationError,
            match=r"callback .* is an? .*: a call alone does not run it; give a plain function .*queue\.put_nowait",
        ):
            obs.CallbackHandler(callback)
    logging.getLogger("tea").addHandler(obs.CallbackHandler(lambda event: send(event)))
    logging.getLogger("tea").addHandler(obs.RingBufferHandler())
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow() as run:
        pass
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 2
    assert "TypeError: the callback returned a coroutine, and nothing awaits it" in capsys.readouterr().err


def test_a_callback_may_log_and_observe(capsys: pytest.CaptureFixture[str]) -> None:
    """A callback that logs, or calls observed functions, does not call itself for ever."""
    seen: list[str] = []

    def busy(event: dict[str, Any]) -> None:
        seen.append(f"{event['node']} {event['event_type']}")
        logging.getLogger("tea.own").warning("from the callback")
        work(1)

    handler = install(busy)
    logging.getLogger().addHandler(handler)
    with obs.flow():
        pass
    assert seen[0] == "flow entry"
    assert len(seen) < 20
    assert "RecursionError" not in capsys.readouterr().err


def test_an_exception_in_it_stays_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes the way of handleError; the function's result does not change."""

    def bad(event: Any) -> None:
        raise ZeroDivisionError("by callback")

    install(bad)
    with obs.flow():
        assert work(1) == 2
    assert "ZeroDivisionError: by callback" in capsys.readouterr().err
