from __future__ import annotations

import gc
import gzip
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.errors import ExportError, FlowNotFoundError, LogFileError, QueryError
from the_edge_obs.event_query import select
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.handlers import FlowFileHandler, RingBufferHandler
from the_edge_obs.jsonl import Skipped, lines_of
from the_edge_obs.redaction.verdicts import Remembered
from the_edge_obs.store import paths
from the_edge_obs.store.sources import iter_query

from .strategies import FLOW, OTHER_FLOW, T0, event, flows, whole

tea = logging.getLogger("tea")


def attach(*handlers: logging.Handler) -> None:
    tea.setLevel(logging.DEBUG)
    for handler in handlers:
        tea.addHandler(handler)


def write(path: Path, made: Iterable[dict[str, Any]]) -> Path:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines(lines_of(made))
    return path


def run_flow(spans: int = 3) -> str:
    with obs.flow("sample") as run:
        for number in range(spans):
            with obs.span("llm.call", prompt=number) as one:
                one.metric(chunks=number)
    return run.flow_id


# --- reading ---


def test_memory_spill_and_files_tell_the_same(tmp_path: Path):
    """A ring, a ring that spills nearly everything, a file, its compressed copy and exports give one and the same log."""
    spilling = RingBufferHandler(capacity=2, spill=tmp_path / "spill" / "{flow_id}.jsonl")
    attach(RingBufferHandler(), spilling, FlowFileHandler(str(tmp_path / "logs" / "{flow_id}.jsonl")))
    flow_id = run_flow()
    expected = obs.get_flow_log(flow_id).to_dict()
    assert expected["metrics"]["event_count"] == 11

    tea.removeHandler(tea.handlers[0])
    assert spilling.events(flow_id) == expected["events"]
    assert obs.get_flow_log(flow_id.upper()).to_dict() == expected

    file = tmp_path / "logs" / f"{flow_id}.jsonl"
    packed = write(tmp_path / "packed" / "log.jsonl.gz", expected["events"])
    for source in (file, str(file), packed, tmp_path / "logs", tmp_path / "packed"):
        assert obs.get_flow_log(source).to_dict() == expected
        assert obs.query(source) == expected["events"]


def test_the_running_flow_is_the_default(ring: RingBufferHandler):
    """Inside a flow no source need be given, and what has happened until now is there."""
    with obs.flow("now") as run:
        assert obs.get_flow_log().to_dict() == obs.get_flow_log(run.flow_id).to_dict()
        assert [one["event_type"] for one in obs.query()] == ["entry"]
        assert obs.get_flow_log().status == "running"


def test_without_a_running_flow_there_is_no_default():
    """The error says what to do."""
    with pytest.raises(FlowNotFoundError, match="no flow is running here; give a flow_id or a log file"):
        obs.get_flow_log()


@pytest.mark.parametrize("call", [obs.get_flow_log, obs.query, lambda flow: obs.export(flow, "x.jsonl")])
def test_an_unknown_flow_is_not_found(call: Callable[..., Any], ring: RingBufferHandler, tmp_path: Path):
    """A flow that neither a buffer nor a file has is an error that names it, and nothing is written."""
    attach(FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    with pytest.raises(FlowNotFoundError, match=f"flow '{FLOW}' is in no ring buffer and no flow file of this process; give"):
        call(FLOW)


def test_a_ring_that_lost_events_is_completed_from_the_flow_s_file(tmp_path: Path):
    """What the ring dropped comes from the file, nothing twice, and then nothing counts as lost."""
    small = RingBufferHandler(capacity=3)
    attach(small, FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    flow_id = run_flow()
    log = obs.get_flow_log(flow_id)
    assert small.dropped(flow_id) == 8
    assert (log.metrics["event_count"], log.metrics["dropped_count"]) == (11, 0)
    assert log.to_dict() == obs.get_flow_log(tmp_path / f"{flow_id}.jsonl").to_dict()


def test_what_the_file_lacks_stays_lost(tmp_path: Path):
    """A file that began later, or keeps less, makes up for what it has, no more."""
    errors_only = FlowFileHandler(str(tmp_path / "{flow_id}.jsonl"), level=logging.ERROR)
    attach(RingBufferHandler(capacity=2), errors_only)
    with obs.flow() as run:
        run.log("a", "error", "log", "kept in the file")
        for _ in range(20):
            run.log("a", "info", "log", "noise")
    log = obs.get_flow_log(run.flow_id)
    # 23 events; the ring keeps the last 2 and pins the error.
    assert (log.metrics["event_count"], log.metrics["dropped_count"]) == (3, 20)
    assert obs.get_flow_log(tmp_path / f"{run.flow_id}.jsonl").metrics["dropped_count"] == 0


def test_dropped_events_count_where_there_is_no_file():
    """A ring alone says how many events it has lost."""
    attach(RingBufferHandler(capacity=4))
    assert obs.get_flow_log(run_flow()).metrics["dropped_count"] == 7


def test_like_events_stay_as_many_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two events that are equal in all are two, however many of them the ring has kept beside the file."""
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    attach(RingBufferHandler(capacity=3), FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    with obs.flow() as run:
        for _ in range(6):
            run.log("a", message="same")
    assert [one["message"] for one in obs.query(run.flow_id, node="a")] == ["same"] * 6


@pytest.mark.parametrize("kept", range(7))
def test_of_like_events_a_ring_keeps_the_last(kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Events of one moment are told apart by what they say: each comes back once, in its order."""
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    attach(RingBufferHandler(capacity=kept + 1), FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    with obs.flow() as run:
        for number in range(6):
            run.log("a", message=str(number))
        assert [one["message"] for one in obs.query(run.flow_id, node="a")] == ["0", "1", "2", "3", "4", "5"]


def test_a_secret_learned_later_makes_no_doubles(tmp_path: Path):
    """What memory shows without a secret and the file wrote before it was known as one is one event."""
    attach(RingBufferHandler(capacity=3), FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    with obs.flow() as run:
        for _ in range(3):
            run.log("a", message="early")
        run.log("a", message="hunter2 is here")
        run.log("a", message="later", data={"password": "hunter2"})
        said = [one["message"] for one in obs.query(run.flow_id, node="a")]
    assert said == ["early", "early", "early", "[REDACTED] is here", "later"]


def test_an_event_that_a_file_had_to_cut_makes_no_doubles(tmp_path: Path):
    """Memory has the whole of an event whose line would have been too long."""
    attach(RingBufferHandler(capacity=2), FlowFileHandler(str(tmp_path / "{flow_id}.jsonl")))
    with obs.flow() as run:
        run.log("a", message="first")
        run.log("a", message="long", data={str(key): "x" * 4000 for key in range(60)})
        assert [one["message"] for one in obs.query(run.flow_id, node="a")] == ["first", "long"]


def test_flows_that_share_a_file_stay_apart(tmp_path: Path):
    """Of a file without {flow_id} in its path only the flow's own events are taken."""
    attach(FlowFileHandler(str(tmp_path / "all.jsonl")))
    first, second = run_flow(1), run_flow(2)
    assert obs.get_flow_log(first).metrics["event_count"] == 5
    assert {one["flow_id"] for one in obs.query(second)} == {second}
    with pytest.raises(FlowNotFoundError):
        obs.get_flow_log(FLOW)


def test_two_rings_tell_each_event_once():
    """Rings that both have a flow are read together, the smaller one's losses made up by the larger."""
    attach(RingBufferHandler(), RingBufferHandler(capacity=2))
    log = obs.get_flow_log(run_flow())
    assert (log.metrics["event_count"], log.metrics["dropped_count"]) == (11, 0)


def test_rings_at_different_levels_complete_one_another():
    """What one ring's level keeps out another has."""
    attach(RingBufferHandler(level=logging.WARNING), RingBufferHandler(level=logging.INFO))
    with obs.flow() as run:
        run.log("a", "warn", message="w")
        run.log("a", "info", message="i")
    assert [one["message"] for one in obs.query(run.flow_id, node="a")] == ["w", "i"]


@pytest.mark.slow
def test_a_closed_ring_can_still_be_read():
    """Whoever closes a ring and takes it off its logger leaves the runs in it readable, until 16 more were closed."""
    runs = []
    for _ in range(18):
        ring = RingBufferHandler()
        attach(ring)
        runs.append(run_flow())
        tea.removeHandler(ring)
        ring.close()
    del ring
    gc.collect()
    found = []
    for flow_id in runs:
        with suppress(FlowNotFoundError):
            found.append(obs.get_flow_log(flow_id).flow_id)
    assert found == runs[2:]


def test_a_disposed_ring_is_not_found():
    """What an undo does: the runs are gone for readers."""
    ring = RingBufferHandler()
    attach(ring)
    flow_id = run_flow()
    ring.close()
    ring.dispose()
    with pytest.raises(FlowNotFoundError):
        obs.get_flow_log(flow_id)


def test_what_silences_the_loggers_is_named(ring: RingBufferHandler):
    """``logging.disable`` and a disabled logger are not blamed on a configuration that was fine."""
    logging.disable(logging.CRITICAL)
    with pytest.raises(FlowNotFoundError, match=r"logging\.disable\(CRITICAL\) silences every logger; call logging\.disable"):
        obs.get_flow_log(run_flow())
    logging.disable(logging.NOTSET)
    logging.getLogger("tea.flow").disabled = True
    with obs.flow() as run:
        pass
    with pytest.raises(FlowNotFoundError, match=r"logger 'tea\.flow' is disabled; dictConfig .* disable_existing_loggers"):
        obs.get_flow_log(run.flow_id)


def test_failures_of_logging_are_counted_in_the_flow_log(ring: RingBufferHandler, monkeypatch: pytest.MonkeyPatch):
    """A callback that raises never reaches the flow, is counted each time and shown once."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    attach(obs.CallbackHandler(lambda event: 1 / 0))
    log = obs.get_flow_log(run_flow(1))
    assert (log.status, log.metrics["fault_count"]) == ("ok", 5)
    assert [one["message"] for one in log.events if one["node"] == "obs"] == [
        "CallbackHandler failed: ZeroDivisionError: division by zero"
    ]


def test_flows_are_read_while_others_come_and_go():
    """Threads that configure flows of their own do not disturb one another's reading."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # switch as often as can be, so that a race shows
    found: list[int] = []

    def work() -> None:
        for _ in range(30):
            with obs.ObservabilityContext(config={}) as run:
                found.append(run.get_flow_log().metrics["event_count"])

    threads = [threading.Thread(target=work) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [1] * 180


# --- files ---


def test_a_file_of_several_flows_names_them(tmp_path: Path):
    """A flow log is one flow's; the error names those that the file holds, and the ways to one of them work."""
    other = [{**one, "flow_id": OTHER_FLOW} for one in whole(2, 0, 1, parent=None)]
    path = write(tmp_path / "two.jsonl", [*whole(1, 0, 1), *other])
    with pytest.raises(LogFileError) as caught:
        obs.get_flow_log(path)
    assert str(caught.value) == (
        f"{str(path)!r} holds 2 flows: {FLOW}, {OTHER_FLOW}; give the file of one flow, or pass the events of one "
        f"flow_id to flow_log.build_flow_log(); in a terminal: tea-obs show {str(path)!r} --flow ID"
    )
    assert build_flow_log(one for one in obs.query(path) if one["flow_id"] == FLOW) == build_flow_log(whole(1, 0, 1))


def test_an_export_remembers_what_was_lost(tmp_path: Path) -> None:
    """The dropped_count of a .json export is read back, flow by flow, and exported again."""
    path, again = tmp_path / "a.json", tmp_path / "b" / "again.json"
    first = build_flow_log(whole(1, 0, 1), dropped=3)
    second = build_flow_log([{**one, "flow_id": OTHER_FLOW} for one in whole(2, 0, 1, parent=None)], dropped=4)
    path.write_text(json.dumps(first.to_dict()), encoding="utf-8")
    assert obs.get_flow_log(path) == first
    path.write_text(json.dumps([first.to_dict(), second.to_dict()]), encoding="utf-8")
    obs.export(path, again, "json")
    assert json.loads(again.read_text()) == [first.to_dict(), second.to_dict()]


@pytest.mark.parametrize("metrics", [None, [], {"dropped_count": "3"}, {"dropped_count": True}, {"dropped_count": -1}])
def test_an_export_that_says_nonsense_of_what_was_lost(tmp_path: Path, metrics: Any) -> None:
    """What is not a count is ignored."""
    log = build_flow_log(whole(1, 0, 1))
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**log.to_dict(), "metrics": metrics}), encoding="utf-8")
    assert obs.get_flow_log(path) == log


def test_a_log_beside_its_compressed_copy_counts_once(tmp_path: Path) -> None:
    """Queries, exports and flow logs see each event once, also where the copy has less or more, and names come in between."""
    made = whole(1, 0, 1)
    write(tmp_path / "a.jsonl", made)
    write(tmp_path / "a.jsonl-b.jsonl", [event(3, "log", 9, parent=1)])
    for copied in (made, made[:1], [*made, event(2, "log", 2, parent=1)]):
        write(tmp_path / "a.jsonl.gz", copied)
        expected = [*made, *copied[2:]]
        assert obs.query(tmp_path, end_time=T0 + 5) == expected
        assert len(obs.query(tmp_path)) == obs.export(tmp_path, tmp_path / "out" / "x.jsonl")["events"] == len(expected) + 1
        assert obs.get_flow_log(tmp_path).metrics["event_count"] == len(expected) + 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"\n\n", ""),
        (b"\x00\xff\xfe\x89PNG", r" \(1 line skipped; line 1: not valid JSON"),
        (b'{"a": 1}\nnothing\n', r" \(2 lines skipped; line 1: not an event\)"),
    ],
)
def test_files_without_events(tmp_path: Path, content: bytes, why: str):
    """An empty file, a binary one and one of something else are errors that say what was found instead."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    for call in (obs.get_flow_log, obs.query, lambda source: obs.export(source, tmp_path / "new" / "out.jsonl")):
        with pytest.raises(LogFileError, match="holds no events" + why):
            call(path)
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_what_is_not_there(tmp_path: Path):
    """Missing files, empty folders and nothing at all are errors that say so."""
    with pytest.raises(LogFileError, match=r"gone\.jsonl' cannot be read: no such file"):
        obs.query(tmp_path / "gone.jsonl")
    with pytest.raises(LogFileError, match=r"holds no logs; the name of a log ends in \.jsonl or \.jsonl\.gz"):
        obs.get_flow_log(tmp_path)
    with pytest.raises(LogFileError, match="source '' cannot be read; give a flow_id"):
        obs.get_flow_log("")


def test_a_torn_last_line_is_passed_over_and_noted(tmp_path: Path):
    """The log of a process that was killed tells what it has, as a flow that is still running."""
    path = write(tmp_path / "torn.jsonl", [event(1, "entry", 0), event(1, "log", 1)])
    path.write_bytes(path.read_bytes() + b'{"flow_id": "1111')
    skipped = Skipped()
    assert len(list(iter_query(path, skipped))) == 2
    assert (skipped.lines, skipped.torn) == (1, True)
    assert obs.get_flow_log(path).status == "running"


def test_the_events_of_a_folder_come_in_the_order_of_time(tmp_path: Path):
    """Whichever log they are in, before a limit is applied; nothing but logs is read."""
    write(tmp_path / "b.jsonl", [event(1, "log", 0, message="b")])
    write(tmp_path / "a.jsonl.gz", [event(1, "log", 5, message="a")])
    (tmp_path / "note.txt").write_text("no log")
    (tmp_path / "sub").mkdir()
    assert [one["message"] for one in obs.query(tmp_path)] == ["b", "a"]
    assert [one["message"] for one in obs.query(tmp_path, limit=1)] == ["b"]
    assert [one["message"] for one in obs.query(tmp_path, last=1)] == ["a"]


def test_a_folder_with_a_log_and_its_copy_counts_each_event_once(tmp_path: Path):
    """Two processes' files are merged, and a compressed copy beside the original adds nothing."""
    here, there = [*whole(1, 0, 10), *whole(2, 1, 9)], whole(3, 2, 8, node="flow")
    for name, made in (("here.jsonl", here), ("here.jsonl.gz", here), ("there.jsonl", there)):
        write(tmp_path / name, made)
    log = obs.get_flow_log(tmp_path)
    assert [(depth, span.node) for depth, span in log.walk()] == [(0, "flow"), (1, "node2"), (2, "flow")]
    assert log.metrics["event_count"] == 6


def test_reading_a_file_holds_one_event_at_a_time(tmp_path: Path):
    """A limit ends the reading: what comes after it, even if it cannot be read, is not looked at."""
    path = write(tmp_path / "a.jsonl", [event(1, "log", n) for n in range(3)])
    write(tmp_path / "b.jsonl", [])
    found = iter_query(path.parent, limit=1)
    assert next(found)["timestamp"] == event(1, "log", 0)["timestamp"]
    os.unlink(tmp_path / "b.jsonl")
    assert list(found) == []


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(made=flows(max_spans=5), node=st.sampled_from(["llm*", "flow", "http.get"]), limit=st.integers(0, 9))
def test_querying_a_file_is_filtering_its_events(tmp_path: Path, made: list[dict[str, Any]], node: str, limit: int):
    """Filters on a file give what they give on its events."""
    path = write(tmp_path / "flow.jsonl", made)
    assert obs.query(path, node=node, limit=limit) == list(select(made, {"node": node, "limit": limit}))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    filters=st.fixed_dictionaries(
        {},
        optional={
            "node": st.sampled_from(["llm*", ["flow", "a[b]"], "none"]),
            "level": st.sampled_from(["info", "warn", "error"]),
            "min_level": st.sampled_from(["warn", "info"]),
            "event_type": st.sampled_from(["entry", ["exit", "error"], "log"]),
            "span_id": st.integers(0, 30),
            "start_time": st.integers(0, 30),
            "end_time": st.integers(0, 30),
            "step": st.just("*"),
            "flow_id": st.sampled_from(["", "ffff"]),
            "text": st.sampled_from(["needle", "REDACTED", "7", ""]),
        },
    ),
    count=st.sampled_from([{}, {"limit": 0}, {"limit": 3}, {"last": 0}, {"last": 3}, {"last": 10**20}]),
    capacity=st.sampled_from([1000, 6]),
)
def test_querying_a_ring_is_filtering_its_events(filters: dict[str, Any], count: dict[str, int], capacity: int) -> None:
    """Filters are answered from facts where they can be, with what they give on the events."""
    ring = RingBufferHandler(capacity=capacity)
    attach(ring)
    try:
        with obs.flow("sample") as run, suppress(ZeroDivisionError):
            for number in range(4):
                with obs.span("llm.call", prompt=number, api_key="opaque-4711") as one:
                    one.metric(chunks=number)
                logging.getLogger("tea.a[b]").warning("a needle %d", number)
            with obs.span("llm.stream"):
                raise ZeroDivisionError
        made = ring.events(run.flow_id)
        for name, key in (("span_id", "span_id"), ("start_time", "timestamp"), ("end_time", "timestamp")):
            if name in filters:
                filters[name] = made[filters[name] % len(made)][key]
        wanted = list(select(made, {**filters, **count}))
        assert list(iter_query(run.flow_id, **filters, **count)) == wanted
        assert obs.query(run.flow_id, **filters, **count) == sorted(wanted, key=lambda event: event["timestamp"])
    finally:
        tea.removeHandler(ring)


def test_a_query_reads_no_payload_of_events_that_it_leaves_out(ring: RingBufferHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node, level, type, time and span are known without it."""
    flow_id = run_flow()
    read: list[Any] = []
    scrubbed = Remembered.scrubbed
    monkeypatch.setattr(Remembered, "scrubbed", lambda *given: read.append(given) or scrubbed(*given))
    assert obs.query(flow_id, node="llm.*", min_level="error") == []
    assert read == []
    assert len(obs.query(flow_id, last=2)) == 2
    assert len(read) <= 2


def test_a_query_of_a_ring_makes_events_as_they_are_asked_for(ring: RingBufferHandler) -> None:
    """So a secret that the flow learns meanwhile is in none of those that follow."""
    with obs.flow("sample") as run:
        for _ in range(2):
            with obs.span("http.get", url="opaque-4711"):
                pass
        found = iter_query(run.flow_id, node="http.get", event_type="entry")
        assert next(found)["data"]["input"] == {"url": "opaque-4711"}
        with obs.span("http.get", password="opaque-4711"):
            pass
        assert next(found)["data"]["input"] == {"url": "[REDACTED]"}


def test_a_mistake_in_the_filters_comes_before_one_in_the_source():
    """Whoever misspells a filter hears of it even where there is nothing to read."""
    for call in (obs.query, lambda source, **filters: obs.export(source, "x", **filters)):
        with pytest.raises(QueryError, match="unknown filter 'nodes'; did you mean 'node'"):
            call("missing.jsonl", nodes="x")


# --- export ---


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(made=flows(max_spans=6))
def test_exports_read_back_as_the_same_flow_log(tmp_path: Path, made: list[dict[str, Any]]):
    """Round trip: a flow exported in either format, once or twice, tells the same."""
    source: Path = write(tmp_path / "flow.jsonl", made)
    expected = obs.get_flow_log(source).to_dict()
    for name in ("out.jsonl", "out.json", "again.jsonl", "again.json"):
        source = Path(obs.export(source, tmp_path / name, name.rpartition(".")[2])["path"])
        assert obs.get_flow_log(source).to_dict() == expected


def test_export_says_what_it_wrote(ring: RingBufferHandler, tmp_path: Path):
    """Path, format, events and bytes; folders are made, an old file is replaced."""
    flow_id = run_flow()
    path = tmp_path / "deep" / "er" / "out.jsonl"
    for _ in range(2):
        result = obs.export(flow_id, path)
        assert result == {"path": str(path), "format": "jsonl", "events": 11, "bytes": path.stat().st_size}
    assert [json.loads(line) for line in path.read_text().splitlines()] == obs.query(flow_id)
    assert os.listdir(path.parent) == ["out.jsonl"]


@pytest.mark.parametrize(
    ("name", "format_name"), [("x.jsonl.gz", "jsonl"), ("x.json.gz", "json"), ("x.gz", "jsonl"), ("x.html.gz", "html")]
)
def test_an_export_that_is_called_gz_is_packed(tmp_path: Path, name: str, format_name: str) -> None:
    """Readers go by the name, too."""
    made = whole(1, 0, 2)
    source = write(tmp_path / "run.jsonl", made)
    result = obs.export(source, tmp_path / name)
    assert (result["format"], result["bytes"]) == (format_name, (tmp_path / name).stat().st_size)
    assert gzip.decompress((tmp_path / name).read_bytes()).strip()
    if format_name != "html":
        assert obs.query(tmp_path / name) == made


@pytest.mark.parametrize("source", [3, 3.5, b"run.jsonl", [], [3], ["run.jsonl", ""]])
def test_what_cannot_be_a_source_is_refused_alike(source: Any, tmp_path: Path) -> None:
    """With the package's own error, which says what is one."""
    for read in (obs.query, obs.get_flow_log, obs.runs, lambda one: obs.export(one, tmp_path / "x.html")):
        with pytest.raises(LogFileError, match="cannot be read; give a flow_id"):
            read(source)


@pytest.mark.parametrize("path", ["", None, 3, b"x.html"])
def test_what_cannot_be_a_path_to_write_is_refused(path: Any, tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(ExportError, match="is not a file to write; give one such as"):
        obs.export(write(tmp_path / "run.jsonl", whole(1, 0, 2)), path)


def test_export_of_a_part(ring: RingBufferHandler, tmp_path: Path):
    """Filters choose what is exported; no match is an empty file."""
    flow_id = run_flow()
    assert obs.export(flow_id, tmp_path / "metrics.jsonl", event_type="metric")["events"] == 3
    assert obs.export(flow_id, tmp_path / "none.jsonl", node="nobody") == {
        "path": str(tmp_path / "none.jsonl"), "format": "jsonl", "events": 0, "bytes": 0,
    }  # fmt: skip


def test_export_of_the_running_flow(ring: RingBufferHandler, tmp_path: Path):
    """None is the running flow, and a json export says how much of it was lost."""
    tea.removeHandler(ring)
    ring.close()
    attach(RingBufferHandler(capacity=2))
    with obs.flow() as run:
        for _ in range(5):
            run.log("a")
        obs.export(None, tmp_path / "out.json", "json")
    exported = json.loads((tmp_path / "out.json").read_text())
    assert (exported["flow_id"], exported["status"]) == (run.flow_id, "running")
    assert (exported["metrics"]["event_count"], exported["metrics"]["dropped_count"]) == (2, 4)


def test_export_onto_its_own_source(tmp_path: Path):
    """A log can be filtered in place: it is read before it is replaced."""
    path = write(tmp_path / "log.jsonl", [*whole(1, 0, 2), event(1, "metric", 1)])
    obs.export(path, path, event_type="metric")
    assert [one["event_type"] for one in obs.query(path)] == ["metric"]


def test_an_unwritable_path_leaves_nothing_behind(ring: RingBufferHandler, tmp_path: Path):
    """The error names the path and why; no folder, no half file."""
    flow_id = run_flow()
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "out.jsonl", tmp_path, tmp_path / "new" / ("x" * 300)):
        with pytest.raises(ExportError, match="cannot be written: ") as caught:
            obs.export(flow_id, path)
        assert repr(str(path)) in str(caught.value)
        assert os.listdir(tmp_path) == ["file"]


def test_an_unknown_format_is_named(tmp_path: Path):
    """The error lists the formats, before anything is read or written."""
    with pytest.raises(ExportError, match=r"unknown format 'xml'; (did you mean .*)?allowed: .*json.*jsonl"):
        obs.export("missing.jsonl", tmp_path / "out.xml", "xml")
    assert os.listdir(tmp_path) == []


def test_files_of_other_runs_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a filter by flow, those that are named after another flow and whose totals say that they hold one run."""
    attach(FlowFileHandler(tmp_path / "flow-{flow_id}.jsonl"))
    wanted, other = run_flow(), run_flow()
    write(tmp_path / "worker.jsonl", [event(2, "log", 2, flow_id=wanted)])
    opened: list[str] = []
    read = paths.read_events

    def noted(path: Path, *given: Any) -> Any:
        opened.append(Path(path).name)
        return read(path, *given)

    monkeypatch.setattr(paths, "read_events", noted)
    assert {found["flow_id"] for found in obs.query(tmp_path, flow_id=wanted[:-4].upper())} == {wanted}
    assert sorted(opened) == sorted([f"flow-{wanted}.jsonl", "worker.jsonl"])
    opened.clear()
    assert {found["flow_id"] for found in obs.query(tmp_path, flow_id=[wanted, other])} == {wanted, other}
    assert len(opened) == 3
    (tmp_path / "worker.jsonl").unlink()
    opened.clear()
    assert obs.query(tmp_path, flow_id=FLOW) == []
    assert len(opened) == 1  # to tell whether there are events at all


@pytest.mark.parametrize("name", [f"{FLOW}.jsonl", "all.jsonl"])
@pytest.mark.parametrize("compressed", [False, True])
def test_events_in_files_of_other_names_are_found(tmp_path: Path, name: str, compressed: bool) -> None:
    """Such as those joined from several, or of a host or a job whose id looks like that of a run."""
    attach(FlowFileHandler(tmp_path / "flow-{flow_id}.jsonl"))
    other = run_flow()
    write(tmp_path / name, whole(1, 0, 4))
    lines = (tmp_path / f"flow-{other}.jsonl").read_bytes() + json.dumps(event(2, "error", 1, parent=1)).encode() + b"\n"
    (tmp_path / f"flow-{other}.jsonl").write_bytes(lines)
    if compressed:
        (tmp_path / f"flow-{other}.jsonl.gz").write_bytes(gzip.compress(lines))
        (tmp_path / f"flow-{other}.jsonl").unlink()
    write(tmp_path / f"job-{OTHER_FLOW}.jsonl", [event(2, "log", 2, parent=1)])
    assert [found["timestamp"] - T0 for found in obs.query(tmp_path, flow_id=FLOW)] == [0, 1, 2, 4]


def test_an_id_with_capitals_is_found(tmp_path: Path) -> None:
    """Another writer's: the filter does not mind the case of either."""
    path = write(tmp_path / "capitals.jsonl", whole(1, 0, 1, flow_id=FLOW.upper()))
    assert [len(obs.query(path, flow_id=flow_id)) for flow_id in (FLOW, FLOW.upper(), FLOW[:6], [FLOW, "x"])] == [2, 2, 2, 2]
    assert [run.flow_id for run in obs.runs(path, flow_id=FLOW[:6])] == [FLOW.upper()]


def test_a_flow_in_a_file_of_another_name_is_found(tmp_path: Path) -> None:
    """Although the name says that it is another one's."""
    write(tmp_path / f"flow-{FLOW}.jsonl", whole(1, 0, 1, flow_id=OTHER_FLOW))
    assert len(obs.query(tmp_path, flow_id=OTHER_FLOW)) == 2
    with pytest.raises(LogFileError, match="holds no events"):
        obs.query(write(tmp_path / "empty" / f"{FLOW}.jsonl", []), flow_id=FLOW)
