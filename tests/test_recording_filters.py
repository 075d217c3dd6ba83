"""The filters: stamping records with the running flow, and keeping one owner's flows apart."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import pickle
import queue
from pathlib import Path
from typing import Any

import the_edge_obs as obs
from the_edge_obs.recording.filters import ScopeFilter


def a_record(**attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "other", "msg": "hello", **attributes})


def test_records_inside_a_flow_are_stamped() -> None:
    """A foreign record gets flow_id, span_id and parent_id of the running span."""
    record = a_record()
    with obs.flow() as run, obs.span("x") as _:
        assert obs.FlowContextFilter().filter(record) is True
        span = obs.current()
    assert span is not None
    assert (record.flow_id, record.span_id, record.parent_id) == (run.flow_id, span.span_id, span.parent_id)  # type: ignore[attr-defined]


def test_records_outside_any_flow_are_stamped_with_none() -> None:
    """So that a format may name the ids everywhere."""
    record = a_record()
    obs.FlowContextFilter().filter(record)
    assert (record.flow_id, record.span_id, record.parent_id) == (None, None, None)  # type: ignore[attr-defined]


def test_a_stamp_is_not_overwritten() -> None:
    """Behind a queue the context is another one: what was stamped first stays."""
    record = a_record()
    with obs.flow() as first:
        obs.FlowContextFilter().filter(record)
    with obs.flow():
        obs.FlowContextFilter().filter(record)
    assert record.flow_id == first.flow_id  # type: ignore[attr-defined]


def test_behind_a_queue_the_secrets_of_the_flow_stay_secret(tmp_path: Path) -> None:
    """What the flow has redacted by its key does not reappear in another library's record, nor what the record itself teaches."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    entrance = logging.handlers.QueueHandler(records)
    entrance.addFilter(obs.FlowContextFilter())
    logger = logging.getLogger("tea")
    logger.setLevel("INFO")
    logger.addHandler(entrance)
    files = obs.FlowFileHandler(tmp_path / "log.jsonl")
    listener = logging.handlers.QueueListener(records, files)
    with obs.flow(), obs.span("login", password="correct horse"):
        logging.getLogger("tea.db").info("used %s", "correct horse", extra={"note": ["correct horse"]})
        logging.getLogger("tea.db").info("used battery staple", extra={"api_key": "battery staple"})
    listener.start()
    listener.stop()
    files.close()
    found = obs.query(tmp_path / "log.jsonl", event_type="log")
    assert [(event["message"], event["data"]) for event in found] == [
        ("used [REDACTED]", {"note": ["[REDACTED]"]}),
        ("used [REDACTED]", {"api_key": "[REDACTED]", "cut": ["api_key"]}),
    ]


def test_a_pickled_stamp_takes_no_secrets_along() -> None:
    """A record can be sent to another process: it keeps its ids, and what the flow knows stays here."""
    record = a_record(levelno=logging.INFO)
    with obs.flow(scope=object()) as run, obs.span("login", password="correct horse"):
        obs.FlowContextFilter().filter(record)
        sent = pickle.dumps(record)
    assert b"correct horse" not in sent
    event = json.loads(obs.JsonFormatter().format(pickle.loads(sent)))
    assert (event["flow_id"], event["message"], event["data"]) == (run.flow_id, "hello", {})


def test_it_filters_by_name_as_logging_does() -> None:
    """``name`` lets only a logger and its children through; it stamps in any case."""
    only = obs.FlowContextFilter("tea.llm")
    assert [only.filter(a_record(name=name)) for name in ("tea.llm", "tea.llm.call", "tea.llmx", "tea")] == [
        True,
        True,
        False,
        False,
    ]


def test_on_a_handler_any_format_can_name_the_ids() -> None:
    """One handler, foreign and own records, inside and outside: no format ever fails."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(flow_id)s %(span_id)s %(parent_id)s %(message)s"))
    handler.addFilter(obs.FlowContextFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("tea").setLevel("INFO")
    logging.getLogger("other").warning("outside")
    with obs.flow() as run:
        logging.getLogger("other").warning("inside")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "None None None outside"
    assert [line.split()[0] for line in lines[1:]] == [run.flow_id] * 3
    assert lines[2].endswith(" None inside")


def test_a_scope_lets_only_its_own_flows_through(ring: obs.RingBufferHandler) -> None:
    """Two owners' handlers on one logger, each sees its own flows; records outside any flow belong to nobody."""
    mine, yours = object(), object()
    ring.addFilter(ScopeFilter(mine))
    with obs.flow(scope=mine) as one, obs.span("a"):
        pass
    with obs.flow(scope=yours), obs.span("b"):
        pass
    with obs.flow(), obs.span("c"):
        pass
    assert ring.flow_ids() == [one.flow_id]
    only = ScopeFilter(mine)
    assert only.filter(a_record()) is False
    with obs.flow(scope=mine):
        assert only.filter(a_record()) is True
    with obs.flow(scope=yours):
        assert only.filter(a_record()) is False


def test_a_filter_of_ours_needs_no_record_of_a_node(ring: obs.RingBufferHandler) -> None:
    """It judges the facts as it would judge a record: by the name of the logger, and by the flow's scope."""
    mine = object()
    ring.addFilter(obs.FlowContextFilter("tea.llm"))
    ring.addFilter(ScopeFilter(mine))
    with obs.flow(scope=mine) as run:
        for node in ("llm", "llm.call", "llmx", "http.get"):
            with obs.span(node):
                pass
    with obs.flow() as other, obs.span("llm.call"):
        pass
    assert [(event["node"], event["event_type"]) for event in ring.events(run.flow_id)] == [
        ("llm", "entry"),
        ("llm", "exit"),
        ("llm.call", "entry"),
        ("llm.call", "exit"),
    ]
    assert ring.flow_ids() == [run.flow_id] != [other.flow_id]
