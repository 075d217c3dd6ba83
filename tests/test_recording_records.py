"""Records: complete and well behaved for everybody's handlers, and what of any record becomes an event."""

from __future__ import annotations

import copy
import io
import json
import logging
import logging.handlers
import pickle
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.event import KEYS, headline, problems
from the_edge_obs.recording.records import NodeRecord, event_of


class Keep(logging.Handler):
    """A foreign handler that keeps the records as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@obs.observable("rank.items")
def rank(top: int, password: str = "hunter2") -> dict[str, Any]:
    return {"best": top}


@pytest.fixture
def keep() -> Keep:
    """Return a foreign handler on the logger ``tea``, which is at level debug."""
    handler = Keep()
    logging.getLogger("tea").setLevel(logging.DEBUG)
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").propagate = False  # pytest's own handlers would ask for everything first
    return handler


def run(act: Any = lambda: rank(3)) -> str:
    """Run something in a flow and return the flow's id."""
    with obs.flow("records") as flow:
        act()
    return flow.flow_id


def test_a_record_has_everything_that_a_log_record_has(keep: Keep) -> None:
    """Every standard attribute is there with a fitting value, and no attribute is missing that logging's own has."""
    flow_id = run()
    entry = keep.records[1]
    assert set(vars(logging.makeLogRecord({}))) <= set(vars(entry))
    code = rank.__wrapped__.__code__  # type: ignore[attr-defined]
    expected = {
        "name": "tea.rank.items",
        "msg": "rank.items entry",
        "args": (),
        "levelname": "INFO",
        "levelno": 20,
        "pathname": __file__,
        "filename": Path(__file__).name,
        "module": Path(__file__).stem,
        "lineno": code.co_firstlineno,
        "funcName": "rank",
        "exc_info": None,
        "exc_text": None,
        "stack_info": None,
        "thread": threading.get_ident(),
        "threadName": threading.current_thread().name,
        "processName": "MainProcess",
        "flow_id": flow_id,
    }
    assert {key: getattr(entry, key) for key in expected} == expected
    assert entry.getMessage() == "rank.items entry"
    # The timestamp is cut to microseconds, and a float of today's seconds is rounded to a quarter of one.
    assert (entry.created, entry.flow_event) == (pytest.approx(entry.flow_event["timestamp"], abs=1.5e-6), event_of(entry))  # type: ignore[attr-defined]
    assert 0 <= entry.msecs < 1000
    assert entry.relativeCreated == pytest.approx((entry.created - logging._startTime) * 1000, abs=1) or sys.version_info >= (
        3,
        13,
    )  # type: ignore[attr-defined]
    assert repr(entry) == f'<LogRecord: tea.rank.items, 20, {__file__}, {code.co_firstlineno}, "rank.items entry">'


def test_the_times_of_a_record_are_those_of_its_event(keep: Keep) -> None:
    """Not those of the moment at which somebody asks for them, which may come later."""
    run()
    facts = keep.records[1].facts  # type: ignore[attr-defined]
    early = NodeRecord((*facts[:3], facts[3] - 5_250_000_000, *facts[4:]))
    late = NodeRecord(facts)
    assert late.created - early.created == pytest.approx(5.25, abs=1e-6)
    assert late.relativeCreated - early.relativeCreated == pytest.approx(5_250, abs=1)
    assert (late.msecs - early.msecs) % 1000 == 250


def test_ids_are_on_the_record(keep: Keep) -> None:
    """flow_id, span_id and parent_id are attributes, for formats and filters of others."""
    run()
    root, entry, leave, _ = keep.records
    assert {record.flow_id for record in keep.records} == {root.flow_id}  # type: ignore[attr-defined]
    assert (entry.span_id, entry.parent_id) == (leave.span_id, root.span_id)  # type: ignore[attr-defined]
    assert root.parent_id is None  # type: ignore[attr-defined]


def test_attributes_that_are_not_there_are_attribute_errors(keep: Keep) -> None:
    """hasattr, getattr with a default and the error itself work as for any object."""
    run()
    record = keep.records[0]
    assert not hasattr(record, "colour")
    assert getattr(record, "colour", 7) == 7
    with pytest.raises(AttributeError, match="'NodeRecord' object has no attribute 'colour'"):
        record.colour  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_and_pickles_are_ordinary_records(keep: Keep, clone: Any) -> None:
    """A clone says the same and is the same event, though it is not our record any more."""
    run()
    for record in keep.records:
        twin = clone(record)
        assert type(twin) is logging.LogRecord
        assert vars(twin) == vars(record)
        assert event_of(twin) == event_of(record)


def test_what_others_set_on_a_record_stays(keep: Keep) -> None:
    """A filter may add or replace attributes, before anything was read as well as after."""
    run()
    record = keep.records[1]
    for key, value in {"msg": "replaced", "name": "other", "request": 7}.items():
        setattr(record, key, value)
    assert (record.getMessage(), record.name, record.request) == ("replaced", "other", 7)  # type: ignore[attr-defined]
    assert (record.levelname, record.funcName, record.args) == ("INFO", "rank", ())
    assert vars(record)["request"] == 7
    vars(record)["via_dict"] = 8
    assert record.via_dict == 8  # type: ignore[attr-defined]


def test_a_plain_stream_handler_formats_it() -> None:
    """%-formats of logging's own attributes and of the flow's ids work on any handler of the standard library."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter(
            "%(asctime)s.%(msecs)03d|%(levelname)s|%(name)s|%(thread)d|%(threadName)s|%(process)d|%(module)s:%(lineno)d|"
            "%(funcName)s|%(flow_id)s|%(message)s",
            "%H:%M:%S",
        )
    )
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").setLevel("INFO")
    flow_id = run()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    fields = lines[1].split("|")
    assert fields[1:4] == ["INFO", "tea.rank.items", str(threading.get_ident())]
    assert fields[-2:] == [flow_id, "rank.items entry"]


def test_a_rotating_file_takes_it(tmp_path: Path) -> None:
    """RotatingFileHandler asks for the size of a record before it writes."""
    handler = logging.handlers.RotatingFileHandler(tmp_path / "log", maxBytes=200, backupCount=50)
    handler.setFormatter(logging.Formatter("%(flow_id)s %(message)s"))
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").setLevel("INFO")
    flow_id = run(lambda: [rank(i) for i in range(10)])
    handler.close()
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 22
    assert all(line.startswith(flow_id) for line in lines)
    assert len(list(tmp_path.iterdir())) > 1


def test_queue_and_listener_deliver_the_same_events(ring: obs.RingBufferHandler) -> None:
    """Behind a queue, in another thread, a second ring gets the very events of the first; foreign records join them."""
    behind = obs.RingBufferHandler()
    line: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sender = logging.handlers.QueueHandler(line)  # type: ignore[arg-type]
    sender.addFilter(obs.FlowContextFilter())
    listener = logging.handlers.QueueListener(line, behind)  # type: ignore[arg-type]
    root = logging.getLogger()
    root.addHandler(sender)
    logging.getLogger("tea").removeHandler(ring)
    root.addHandler(ring)
    listener.start()
    try:

        def act() -> None:
            rank(3)
            logging.getLogger("other.library").warning("careful %s", "now", extra={"colour": "red"})

        flow_id = run(act)
    finally:
        listener.stop()
    here, there = ring.events(flow_id), behind.events(flow_id)
    assert [event["event_type"] for event in there] == ["entry", "entry", "exit", "log", "exit"]
    assert there == here


def test_a_listener_in_another_flow_does_not_adopt_records() -> None:
    """A stamped record belongs to the flow it was logged in, whatever flow the listener's thread is in."""
    behind = obs.RingBufferHandler()
    record = logging.LogRecord("other", logging.WARNING, __file__, 1, "hello", (), None)
    with obs.flow() as first:
        obs.FlowContextFilter().filter(record)
    with obs.flow() as second:
        behind.handle(record)
    assert [event["message"] for event in behind.events(first.flow_id)] == ["hello"]
    assert behind.events(second.flow_id) == []


def test_a_memory_handler_buffers_it() -> None:
    """What a MemoryHandler holds back and hands over later is whole."""
    target = Keep()
    handler = logging.handlers.MemoryHandler(100, logging.ERROR, target)
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").setLevel("INFO")
    run()
    assert target.records == []
    handler.flush()
    assert [record.getMessage().partition(" (")[0] for record in target.records] == [
        "flow entry",
        "rank.items entry",
        "rank.items exit",
        "flow exit",
    ]
    handler.close()


def test_caplog_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    """pytest's own capture gives messages, tuples and texts."""
    caplog.set_level(logging.INFO, "tea")
    run()
    assert ("tea.rank.items", logging.INFO, "rank.items entry") in caplog.record_tuples
    assert "rank.items entry" in caplog.messages
    assert f"{Path(__file__).name}:{rank.__wrapped__.__code__.co_firstlineno} rank.items entry" in caplog.text  # type: ignore[attr-defined]


def test_filters_by_name_work(keep: Keep) -> None:
    """A logging.Filter for a category lets only its nodes through, on a handler and as a function."""
    keep.addFilter(logging.Filter("tea.rank"))
    keep.addFilter(lambda record: record.getMessage().endswith("entry"))
    run()
    assert [record.getMessage() for record in keep.records] == ["rank.items entry"]


def test_a_record_factory_is_asked(keep: Keep) -> None:
    """What a custom record factory adds is on our records too."""
    plain = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.host = "node-7"
        return record

    logging.setLogRecordFactory(factory)
    run()
    assert {record.host for record in keep.records} == {"node-7"}  # type: ignore[attr-defined]


def test_records_with_changed_arguments_differ_from_what_was_logged(ring: obs.RingBufferHandler) -> None:
    """A foreign record's message is written out when it is logged: its arguments may change."""
    logging.getLogger().addHandler(ring)
    items = [1]
    with obs.flow() as flow:
        logging.getLogger("other").error("items %s", items)
        items.append(2)
    (event,) = [event for event in ring.events(flow.flow_id) if event["node"] == "other"]
    assert event["message"] == "items [1]"


def test_foreign_records_join_the_flow(ring: obs.RingBufferHandler) -> None:
    """With the ring on the root logger, other libraries' records are log events of the span they were logged in."""
    logging.getLogger("tea").removeHandler(ring)
    logging.getLogger().addHandler(ring)
    logger = logging.getLogger("urllib3.pool")

    @obs.observable("fetch")
    def fetch() -> None:
        logger.warning(
            "retry %d of %s", 2, "https://u:pa55word@h/", extra={"attempt": 2, "api_key": "k-123456", "event": "retry"}
        )
        try:
            raise ConnectionError("no route, key k-123456")
        except ConnectionError:
            logger.exception("failed")

    logger.warning("outside of any flow")
    with obs.flow() as flow:
        fetch()
    events = ring.events(flow.flow_id)
    entry = next(event for event in events if event["node"] == "fetch")
    first, second = (event for event in events if event["node"] == "urllib3.pool")
    assert {key: first[key] for key in ("span_id", "parent_id", "level", "event_type", "message", "data", "metrics")} == {
        "span_id": entry["span_id"],
        "parent_id": entry["parent_id"],
        "level": "warn",
        "event_type": "log",
        "message": "retry 2 of https://u:[REDACTED]@h/",
        "data": {"attempt": 2, "api_key": "[REDACTED]", "event": "retry", "cut": ["api_key", "message"]},
        "metrics": {},
    }
    assert (second["level"], second["message"]) == ("error", "failed")
    where = second["data"]["error"].pop("where")
    assert where.startswith(__file__)
    assert where.endswith(" in fetch")
    assert second["data"] == {
        "error": {"type": "ConnectionError", "message": "no route, key [REDACTED]"},
        "cut": ["error.message"],
    }
    assert [problem for event in events for problem in problems(event)] == []


@pytest.mark.parametrize(
    ("msg", "args", "expected"),
    [
        ("plain", (), "plain"),
        ("%s and %s", ("one",), "%s and %s [TypeError]"),
        ("%d", ("one",), "%d [TypeError]"),
        (7, (), "7"),
        ("a\ud800b", (), "a\ufffdb"),
    ],
)
def test_broken_messages_are_not_lost(ring: obs.RingBufferHandler, msg: Any, args: Any, expected: str) -> None:
    """A message whose arguments do not fit is kept as far as it goes."""
    with obs.flow() as flow:
        ring.handle(logging.LogRecord("other", logging.INFO, __file__, 1, msg, args, None))
    assert [event["message"] for event in ring.events(flow.flow_id) if event["node"] == "other"] == [expected]


@pytest.mark.parametrize(
    "extra", [{"error": "timeout"}, {"error": {"type": 1}}, {"event": {"span_id": "x"}}, {"flow_id": "mine"}]
)
def test_extras_of_others_make_no_invalid_events(ring: obs.RingBufferHandler, extra: dict[str, Any]) -> None:
    """Whatever names other people give their extras, the event follows the schema."""
    logging.getLogger().addHandler(ring)
    with obs.flow() as flow:
        logging.getLogger("other").warning("careful", extra=extra)
    events = ring.events(flow.flow_id)
    assert [event["message"] for event in events if event["node"] == "other"] == ["careful"]
    assert [problem for event in events for problem in problems(event)] == []


def test_an_extra_called_error_stays_beside_what_was_raised(ring: obs.RingBufferHandler) -> None:
    """The one that was raised has the name that the schema gives it."""
    logging.getLogger().addHandler(ring)
    with obs.flow() as flow:
        try:
            raise ConnectionError("no route")
        except ConnectionError:
            logging.getLogger("other").exception("failed", extra={"error": "E17"})
    [event] = [event for event in ring.events(flow.flow_id) if event["node"] == "other"]
    assert (event["data"]["error"]["message"], event["data"]["error'"], problems(event)) == ("no route", "E17", [])


def test_a_flow_id_of_others_outside_a_flow_is_not_ours(ring: obs.RingBufferHandler) -> None:
    """Outside any flow, an extra called flow_id that is not a stamp of the filter makes no event."""
    record = logging.makeLogRecord({"name": "other", "msg": "x", "levelno": 20, "flow_id": "../../etc/passwd"})
    assert event_of(record) is None
    ring.handle(record)
    assert ring.flow_ids() == []


# Names that events and records have, and values as programs give them; a UUID may look like one of ours.
EXTRAS = st.dictionaries(
    st.sampled_from([*KEYS, "flow_event", "taint", "_flow_id"]).filter(lambda key: key != "message"),
    st.none() | st.integers(-9, 9) | st.sampled_from(["order-17", "", "11111111-2222-4333-8444-555555555555"]) | st.just(["x"]),
)


@pytest.mark.slow
@given(extra=EXTRAS, filters=st.sampled_from([[], [obs.FlowContextFilter()]]), inside=st.booleans())
def test_extras_with_the_names_of_an_event_are_data(extra: dict[str, Any], filters: list[logging.Filter], inside: bool) -> None:
    """What a program says under such a name is in the data; the event is whole, in a run and outside, stamped or not."""
    ids = {key: extra[key] for key in ("flow_id", "span_id", "parent_id") if key in extra}
    lines, ring = io.StringIO(), obs.RingBufferHandler()
    stream = logging.StreamHandler(lines)
    stream.setFormatter(obs.JsonFormatter())
    logger = logging.Logger("shop")
    for handler in (stream, ring):
        handler.filters[:] = filters
        logger.addHandler(handler)
    run = obs.flow()
    if inside:
        with run:
            logger.warning("paid", extra=extra)
    else:
        logger.warning("paid", extra=extra)
    event = json.loads(lines.getvalue())
    looks_stamped = len(ids) == 3 and all(isinstance(value, str) and len(value) == 36 for value in list(ids.values())[:3])
    if looks_stamped:
        return  # all three ids are UUIDs: that is what a record from another process is like
    wanted = {key: value for key, value in extra.items() if key not in ids or value is not None}
    assert {key: value for key, value in event["data"].items() if value is not None} == {
        key: value for key, value in wanted.items() if value is not None
    }
    assert (event["node"], event["message"], event["flow_id"]) == ("shop", "paid", run.flow_id if inside else None)
    assert problems({**event, **({} if inside else {"flow_id": run.flow_id, "span_id": run.flow_id})}) == []
    assert ring.events(run.flow_id) == ([event] if inside else [])


@pytest.mark.parametrize("inside", [True, False])
def test_a_format_has_the_ids_that_a_program_gives(inside: bool) -> None:
    """The filter leaves a program's flow_id to formats, adds what is missing, and takes secrets out of it."""
    record = logging.makeLogRecord({"name": "shop", "msg": "paid", "flow_id": "order-17", "parent_id": "password=hunter2"})
    with obs.flow() as run, obs.span("pay") as span:
        assert span.context is None
        if inside:
            obs.FlowContextFilter().filter(record)
    if not inside:
        obs.FlowContextFilter().filter(record)
    text = logging.Formatter("%(flow_id)s %(span_id)s %(parent_id)s").format(record)
    assert text == f"order-17 {run.context.span_id if inside else None} password=[REDACTED]"


def test_a_stamped_record_keeps_its_run_behind_a_queue(ring: obs.RingBufferHandler) -> None:
    """A program's flow_id on it does not hide which run it was logged in."""
    waiting: queue.Queue[Any] = queue.Queue()
    handler = logging.handlers.QueueHandler(waiting)
    handler.addFilter(obs.FlowContextFilter())
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    with obs.flow() as run:
        logger.warning("paid", extra={"flow_id": "order-17"})
    with obs.flow():
        ring.handle(waiting.get())
    [event] = [event for event in ring.events(run.flow_id) if event["node"] == "shop"]
    assert (event["message"], event["data"], event["span_id"]) == ("paid", {"flow_id": "order-17"}, run.context.span_id)


def test_headlines() -> None:
    """The message, or what happened; an error's type and message; how long it took."""
    event: dict[str, Any] = {"node": "n", "event_type": "exit", "message": None, "data": {}, "metrics": {"duration_ms": 1.26}}
    assert headline(event) == "n exit (1.3 ms)"
    assert headline({**event, "message": "done", "metrics": {}}) == "n done"
    assert headline({**event, "data": {"error": {"type": "E", "message": "m"}}, "metrics": {}}) == "n E: m"


def test_events_are_fresh_each_time(ring: obs.RingBufferHandler) -> None:
    """Whoever changes an event that he got changes nobody else's."""
    flow_id = run()
    first = ring.events(flow_id)
    wanted = json.dumps(first)
    for event in first:
        event["data"]["changed"] = event["metrics"]["changed"] = True
        event["node"] = "changed"
    assert json.dumps(ring.events(flow_id)) == wanted


def test_our_records_are_recognised(keep: Keep) -> None:
    """They are ``LogRecord``s, and lazily made: nothing but level and facts until somebody asks."""
    run()
    assert all(isinstance(record, logging.LogRecord) and type(record) is NodeRecord for record in keep.records)


def test_records_cross_to_another_process(tmp_path: Path, keep: Keep) -> None:
    """SocketHandler's way: a pickle of the record's dict makes a record on the other side."""
    run()
    sent = logging.handlers.SocketHandler("localhost", 1).makePickle(keep.records[1])
    received = logging.makeLogRecord(pickle.loads(sent[4:]))
    assert received.getMessage() == "rank.items entry"
    assert event_of(received) == event_of(keep.records[1])
