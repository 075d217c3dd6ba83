"""Processes of a flow, and clocks that differ between hosts."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs import formats
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.pages import run_page
from the_edge_obs.tree.clocks import DrawnSpan, clock_shifts, drawn, processes, shift_notes
from the_edge_obs.tree.drawing import render

from .strategies import FLOW, T0, Event, span_id, whole

PIDS = {"a": 1, "b": 2, "c": 3}


def process(number: int, host: str, start: float, end: float, **fields: Any) -> list[Event]:
    """Return the entry and exit of a span, the root of a process on a host."""
    entry, out = whole(number, start, end, node="flow", **fields)
    entry["data"] = {"name": f"run{number}", "resource": {"host": host, "pid": PIDS[host[0]], "service": "s"}}
    return [entry, out]


def log_of(*spans: list[Event]) -> FlowLog:
    return build_flow_log(event for events in spans for event in events)


def shifts_of(log: FlowLog) -> dict[str, float]:
    return clock_shifts(log, processes(log))


def times(log: FlowLog) -> dict[str, tuple[float, float | None]]:
    """Return start and end of each span, by the end of its id, in seconds from T0."""
    return {
        span.span_id[-1]: (round(span.start - T0, 6), None if span.end is None else round(span.end - T0, 6)) for span in log.spans
    }


def test_a_clock_that_is_behind_is_drawn_later() -> None:
    """By as little as puts the remote child inside its parent; all that ran on its host moves with it, and nothing else."""
    log = log_of(
        process(1, "a", 0, 10),
        whole(2, 1, 9, parent=1),
        process(3, "b", -4, -1, parent=2),
        whole(4, -3, -2, parent=3),
        whole(5, 2, 3, parent=1),
    )
    picture = drawn(log)
    assert times(picture) == {"1": (0, 10), "2": (1, 9), "3": (1, 4), "4": (2, 3), "5": (2, 3)}
    assert [span.mark for span in picture.spans if isinstance(span, DrawnSpan) and span.mark] == ["a:1", "b:2 (clock +5 s)"]
    assert shift_notes(picture) == ["the clock of host b differs: what ran there is drawn 5 s later than it was logged"]
    assert (times(log)["3"], [event["timestamp"] for event in log.events]) == (
        (-4, -1),
        sorted(e["timestamp"] for e in log.events),
    )
    assert [span.duration_ms for span in picture.spans] == [10_000, 8_000, 3_000, 1_000, 1_000]


def test_a_clock_that_is_ahead_is_drawn_earlier() -> None:
    """Until the child ends with its parent."""
    log = log_of(process(1, "a", 0, 10), process(2, "b", 8, 12, parent=1))
    assert (shifts_of(log), times(drawn(log))["2"]) == ({"b": -2.0}, (6, 10))


def test_what_is_longer_than_its_parent_was_only_sent_off() -> None:
    """A queued task may end after its sender has; it cannot begin before it."""
    late = log_of(process(1, "a", 0, 1), process(2, "b", 5, 9, parent=1))
    early = log_of(process(1, "a", 0, 1), process(2, "b", -5, 9, parent=1))
    assert (shifts_of(late), shifts_of(early)) == ({}, {"b": 5.0})


def test_processes_of_one_host_have_one_clock() -> None:
    """A child outside its parent is not moved, and neither is one whose host nobody names; the processes are told apart."""
    log = log_of(process(1, "a", 0, 1), process(2, "a", 5, 5.5, parent=1))
    log.events[2]["data"]["resource"]["pid"] = 7
    nameless = log_of(process(1, "a", 0, 1), whole(2, 5, 5.5, parent=1, node="flow"))
    assert (shifts_of(log), shifts_of(nameless)) == ({}, {})
    assert [getattr(span, "process", None) for span in drawn(log).spans] == ["a:1", "a:7"]
    assert drawn(nameless) is nameless


def test_a_call_back_is_on_the_first_clock() -> None:
    """The callee's clock is moved into its caller, and around the call back, which is not moved itself."""
    log = log_of(process(1, "a", 0, 10), process(2, "b", 20, 26, parent=1), process(3, "a", 4, 8, parent=2))
    picture = drawn(log)
    assert (shifts_of(log), times(picture)) == ({"b": -16.0}, {"1": (0, 10), "2": (4, 10), "3": (4, 8)})


def test_several_calls_of_a_host_have_one_shift() -> None:
    """The one that suits all of them; the first call alone would be content with less."""
    calls = (process(2, "b", -1, 0, parent=1), whole(3, 5, 6, parent=1), process(4, "b", 2, 2.5, parent=3))
    assert shifts_of(log_of(process(1, "a", 0, 10), *calls)) == {"b": 3.0}


def test_a_host_without_a_common_shift_does_not_begin_before_its_callers() -> None:
    """A clock that was set in the middle of a flow: no child is drawn before the span that called it."""
    calls = (process(2, "b", -5, -4, parent=1), process(3, "b", 9.5, 10, parent=1))
    assert shifts_of(log_of(process(1, "a", 0, 10), *calls)) == {"b": 5.0}


def test_a_shift_carries_over_to_those_who_are_called() -> None:
    """A host that is right beside a wrong caller is moved with it; one that is not, by what it lacks in addition."""
    chain = (process(1, "a", 0, 10), process(2, "b", -5, -1, parent=1))
    assert shifts_of(log_of(*chain, process(3, "c", -4, -2, parent=2))) == {"b": 5.0, "c": 5.0}
    assert shifts_of(log_of(*chain, process(3, "c", -8, -6, parent=2))) == {"b": 5.0, "c": 8.0}


def test_a_run_that_has_not_ended_bounds_its_children_from_below() -> None:
    """Its end is not known, so nothing has to end before it."""
    log = log_of(process(1, "a", 0, 10)[:1], process(2, "b", 20, 26, parent=1))
    behind = log_of(process(1, "a", 0, 10)[:1], process(2, "b", -2, 26, parent=1)[:1])
    assert (shifts_of(log), shifts_of(behind)) == ({}, {"b": 2.0})


def test_a_drawn_log_is_not_drawn_again() -> None:
    """Marks and times stay as they are, whoever draws it next; as a dict it is like any other."""
    log = log_of(process(1, "a", 0, 10), process(2, "b", 20, 26, parent=1))
    picture = drawn(log)
    assert drawn(picture) is picture
    assert [sorted(span.to_dict()) for span in picture.spans] == [sorted(span.to_dict()) for span in log.spans]


def test_the_tree_names_processes_and_clocks() -> None:
    """Beside the span where a process begins; siblings in the order in which they are drawn."""
    log = log_of(process(1, "a", 0, 10), whole(2, 1, 2, parent=1), process(3, "b", -4, 4, parent=1))
    assert list(render(log))[:3] == [
        "run1 a:1                  flow  █████████████  10.00 s  ok",
        "├─ run3 b:2 (clock +4 s)  flow  ██████████▌     8.00 s  ok",
        "└─ node2                         ██             1.00 s  ok",
    ]


SKEWED = (process(1, "a", 0, 10), process(2, "b", 20, 26, parent=1), whole(3, 21, 22, parent=2))
NOTE = "the clock of host b differs: what ran there is drawn 16 s earlier than it was logged"


def test_exports_for_viewers_are_drawn_and_say_so() -> None:
    """The others have the times of the log."""
    events = [event for span in SKEWED for event in span]
    trace = json.loads("".join(formats.renderer("chrome")(events, dropped={})))["traceEvents"]
    slices = {one["name"]: (one["ts"] - round(T0 * 1e6), one["args"].get("clock_shift_ms")) for one in trace if one["ph"] == "X"}
    assert slices == {"run1 a:1": (0, None), "run2 b:2 (clock -16 s)": (4_000_000, -16_000), "node3": (5_000_000, -16_000)}
    assert [one["args"] for one in trace if one["name"] == "process_labels"] == [{"labels": f"ok, {NOTE}"}]
    profiles = json.loads("".join(formats.renderer("speedscope")(events, dropped={})))["profiles"]
    assert [(one["name"], [at["at"] for at in one["events"]]) for one in profiles] == [
        (f"run1 {FLOW[:8]}; {NOTE}", [0, 4_000_000, 5_000_000, 6_000_000, 10_000_000, 10_000_000])
    ]
    assert list(map(json.loads, formats.renderer("jsonl")(events, dropped={}))) == events
    (raw,) = [json.loads("".join(formats.renderer("json")(events, dropped={})))]
    assert [span["start"] for span in raw["spans"]] == [T0, T0 + 20, T0 + 21]


def test_pages_and_notebooks_are_drawn_and_say_so() -> None:
    """Bars and events are where they are drawn; a note says by how much."""
    log = log_of(*SKEWED)
    page = "".join(run_page(log))
    assert (NOTE[1:] in html.unescape(page), "run2 b:2 (clock -16 s)" in page) == (True, True)
    data = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    assert [span[6] for span in data["spans"]] == [0, 4_000_000, 5_000_000]
    assert [event[4] for event in data["events"]] == [0, 4_000_000, 5_000_000, 6_000_000, 10_000_000, 10_000_000]
    notebook = log._repr_html_()
    assert (NOTE in notebook, "run2 b:2 (clock -16 s)" in notebook) == (True, True)


# --- laws ---

SECOND = 1_000_000


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Draw a flow that calls through hosts: of each span its host, its parent's number, its start and its end in microseconds.

    Children lie inside their parents, as they do by one clock. Each host is called once.
    """
    spans = [("a", 0, 0, draw(st.integers(1, 60)) * SECOND)]
    for host in draw(st.permutations(["b", "c"])):
        parent = draw(st.integers(1, len(spans)))
        _, _, begin, end = spans[parent - 1]
        start = draw(st.integers(begin, end))
        spans.append((host, parent, start, draw(st.integers(start, end))))
        if draw(st.booleans()):  # a span of its own
            inner = draw(st.integers(start, spans[-1][3]))
            spans.append((host, len(spans), inner, draw(st.integers(inner, spans[-1][3]))))
    return spans


OFFSETS = st.fixed_dictionaries({host: st.integers(-100 * SECOND, 100 * SECOND) for host in PIDS})


def logged(spans: list[tuple[str, int, int, int]], offsets: dict[str, int]) -> list[list[Event]]:
    """Return the events of a flow as its hosts log them, each by its own clock."""
    made = []
    for number, (host, parent, start, end) in enumerate(spans, 1):
        moments = (start + offsets[host]) / SECOND, (end + offsets[host]) / SECOND
        is_first = parent == 0 or spans[parent - 1][0] != host
        made.append(
            (process(number, host, *moments, parent=parent or None)) if is_first else whole(number, *moments, parent=parent)
        )
        for event in made[-1]:  # as written by one clock: whole microseconds
            event["timestamp"] = round(event["timestamp"], 6)
    return made


@given(calls(), st.integers(-100 * SECOND, 100 * SECOND))
def test_without_skew_nothing_changes(spans: list[tuple[str, int, int, int]], offset: int) -> None:
    """Also if all clocks are wrong alike."""
    log = log_of(*logged(spans, dict.fromkeys(PIDS, offset)))
    picture = drawn(log)
    assert (shifts_of(log), times(picture), picture.events) == ({}, times(log), log.events)
    assert shift_notes(picture) == []


@given(calls(), OFFSETS)
def test_a_constant_offset_per_host_is_undone_up_to_the_slack(
    spans: list[tuple[str, int, int, int]], offsets: dict[str, int]
) -> None:
    """Remote children are inside their parents again, durations stay, and no host is further off than its calls leave room."""
    log = log_of(*logged(spans, offsets))
    picture = {span.span_id: span for span in drawn(log).spans}
    shifts = shifts_of(log)
    room = {"a": 2}  # microseconds; times are floats
    for number, (host, parent, start, end) in enumerate(spans, 1):
        span = picture[span_id(number)]
        assert (span.duration_ms, round(span.start * SECOND)) == (
            log.spans[[one.span_id for one in log.spans].index(span.span_id)].duration_ms,
            round((T0 + (start + offsets[host]) / SECOND + shifts.get(host, 0.0)) * SECOND),
        )
        if parent and spans[parent - 1][0] != host:
            around, (caller, _, begin, last) = picture[span_id(parent)], spans[parent - 1]
            assert span.start >= around.start - 2e-6
            assert (span.end or 0.0) <= (around.end or 0.0) + 2e-6
            room[host] = room[caller] + (last - begin) - (end - start)
    for host, slack in room.items():
        error = shifts.get(host, 0.0) * SECOND + offsets[host] - offsets["a"]
        assert abs(error) <= slack + 2


@given(calls(), OFFSETS, st.randoms(use_true_random=False))
def test_the_order_of_the_files_makes_no_difference(
    spans: list[tuple[str, int, int, int]], offsets: dict[str, int], random: Any
) -> None:
    """The events of each process stand in a file of their own; the tree is the same whichever file is read first."""
    files = logged(spans, offsets)
    by_host: dict[str, list[Event]] = {}
    for (host, *_), events in zip(spans, files, strict=True):
        by_host.setdefault(host, []).extend(events)
    shuffled = list(by_host.values())
    random.shuffle(shuffled)
    first, second = log_of(*by_host.values()), log_of(*shuffled)

    def tree(log: FlowLog) -> list[tuple[int, str, float]]:
        return sorted((depth, span.span_id, span.start) for depth, span in drawn(log).walk())

    assert (tree(first), shifts_of(first)) == (tree(second), shifts_of(second))
    assert replace(first, events=[], spans=[]) == replace(second, events=[], spans=[])
    assert first.flow_id == FLOW
