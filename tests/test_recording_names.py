"""Names of nodes and steps: whatever they hold, every handler, file, stream and page can take them."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import problems
from the_edge_obs.jsonl import read_events
from the_edge_obs.recording.names import MAX_NAME, fit_name
from the_edge_obs.redaction.texts import PLACEHOLDER


class Told(str):
    """A text that lies whenever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError("asked")

    __hash__ = None  # type: ignore[assignment]

    def strip(self, *_: Any) -> str:
        raise RuntimeError("asked")


HOSTILE = [
    ("llm.call", "llm.call"),
    ("étape 検索　x", "étape 検索　x"),
    ("lone \ud83d", "lone \\ud83d"),
    ("a\x00b", "a\\x00b"),
    ("two\nlines\r", "two\\nlines\\r"),
    ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
    ("ab\u202ecd\u2028", "ab\\u202ecd\\u2028"),
    ("get https://u:hunter2hunter2@host/x", f"get https://u:{PLACEHOLDER}@host/x"),
    ("n" * MAX_NAME, "n" * MAX_NAME),
    ("n" * 1_000_000, "n" * 232 + "[+999768 chars]"),
    (".".join("x" * 400_000), "x." * 116 + "[+799767 chars]"),
    (Told("told"), "told"),
]
ASCII = [(name, fit) for name, fit in HOSTILE if fit.isascii()]


@pytest.mark.parametrize(("name", "fit"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_made_fit(name: str, fit: str) -> None:
    """Most stay as they are; what is unfit is escaped, secrets are taken out, a long one is cut, visibly."""
    assert (fit_name(name), type(fit_name(name))) == (fit, str)


@pytest.mark.slow
@given(st.text(st.characters(), max_size=400))
def test_any_name_fits(name: str) -> None:
    """It is UTF-8 on one line, and making it fit again changes nothing."""
    fit = fit_name(name)
    assert len(fit.encode().splitlines()) <= 1
    assert len(fit) <= MAX_NAME
    assert fit_name(fit) == fit


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize(("name", "fit"), ASCII, ids=range(len(ASCII)))
def test_every_handler_takes_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, name: str, fit: str
) -> None:
    """Ring, file, callback, JSON, console and logging's own formatter, on an ASCII or UTF-8 stream: a line per event."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    seen: list[dict[str, Any]] = []
    plain, lines, console = (logging.StreamHandler(stream) for _ in range(3))
    plain.setFormatter(logging.Formatter("%(name)s %(message)s %(step)s", defaults={"step": ""}))
    lines.setFormatter(obs.JsonFormatter())
    console.setFormatter(obs.ConsoleFormatter())
    ring, file = obs.RingBufferHandler(), obs.FlowFileHandler(tmp_path / "{flow_id}.jsonl")
    tea = logging.getLogger("tea")
    tea.setLevel("DEBUG")
    for handler in (ring, file, obs.CallbackHandler(seen.append), plain, lines, console):
        tea.addHandler(handler)

    node = "".join(name.split())[:MAX_NAME]

    @obs.observable(node)
    def work(state: Any, **params: Any) -> None:
        """Do nothing."""

    with obs.flow(name) as run:
        with obs.span(node, step=name) as span:
            span.metric(n=1)
        work({}, node=name)
        run.log(node, message="hi")
        run.start_node_span(node)
        run.end_node_span(node)
    file.close()
    stream.flush()
    events = obs.query(run.flow_id)
    assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == 0
    assert {event["node"] for event in events} == {"flow", fit_name(node)}
    assert {event.get("step") for event in events} == {None, fit}
    assert [problem for event in events for problem in problems(event)] == []
    # The file has the order of writing. The end of a span is its entry and a duration, which another clock measures.
    written = sorted(read_events(tmp_path / f"{run.flow_id}.jsonl"), key=lambda event: float(event["timestamp"]))
    assert (len(seen), written) == (len(events), events)
    assert len(stream.buffer.getvalue().splitlines()) == 3 * len(events)  # type: ignore[attr-defined]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["processed item 17", "two\nlines", "no\xa0break", "tab\t", " rank", "x" * 257, "   "])
def test_a_text_is_not_a_node(text: str) -> None:
    """Each node has a logger for ever: what looks like a message is refused, and says where it belongs."""
    before = set(logging.Logger.manager.loggerDict)
    with obs.flow() as run:
        for name_it in (run.log, run.start_node_span, obs.span, obs.observable, lambda node: obs.instrument({node: print})):
            with pytest.raises(ConfigurationError, match=r"is not a name|run\.log\('rank', message='item 17 is done'\)"):
                name_it(text)
    assert set(logging.Logger.manager.loggerDict) - before <= {"tea", "tea.flow"}


@pytest.mark.parametrize("name", ["lone \ud83d", "x" * 1_000_000, "a\x00b"])
def test_records_of_other_loggers_have_fit_names_too(ring: obs.RingBufferHandler, name: str) -> None:
    """A foreign logger's name is the node of its event."""
    record = logging.makeLogRecord({"name": name, "msg": "hi", "levelno": logging.INFO})
    with obs.flow() as run:
        ring.handle(record)
        loose = json.loads(obs.JsonFormatter().format(record))
    (event,) = obs.query(run.flow_id, event_type="log")
    assert (event["node"], loose["node"]) == (fit_name(name), fit_name(name))


@pytest.mark.parametrize(("step", "fit"), [(7, "7"), ({"a": 1}, '{"a":1}'), (ValueError("x"), "x"), (b"raw", "raw")])
def test_a_step_that_is_not_a_text_becomes_one(ring: obs.RingBufferHandler, step: Any, fit: str) -> None:
    """It is a label, no reason to break the run."""
    with obs.flow() as run, obs.span("node", step=step):
        pass
    assert {event["step"] for event in obs.query(run.flow_id, node="node")} == {fit}


class Liar:
    """An object that raises when it is asked for its class."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("asked")


def test_an_argument_named_node_may_be_anything(ring: obs.RingBufferHandler) -> None:
    """What an engine passes as the step's name is no reason to break the call."""

    @obs.observable("work")
    def work(state: Any, node: Any = None) -> str:
        return "done"

    with obs.flow() as run:
        assert [work({}, node=node) for node in (Liar(), 7, None, [])] == ["done"] * 4
    assert [event.get("step") for event in obs.query(run.flow_id, node="work")] == [None] * 8
